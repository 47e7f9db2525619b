/* File systems in memory for what must not come to a disk.
 *
 * Ownership: paths are borrowed. Thread: any; blocks. Errors: errno with the path. */
#ifndef AGENT_MEMORY_FS_H
#define AGENT_MEMORY_FS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct memory_fs_options {
    uint64_t size_max; /* bytes; 0: the kernel's default, half of the memory */
    unsigned mode;     /* of its top directory */
    bool no_programs;  /* nothing in it can be executed */
};
/* Has the directory, which exists, lie in memory: mounts a file system there unless it does already
 * (a mount of its own, or all of the path is in memory). What lay in it on a disk is removed
 * before. */
int memory_fs_mount(const char *directory, const struct memory_fs_options *options,
                    struct tt_err *err) TT_MUST_USE;
/* Unmounts what is mounted on direct children of the directory. Absent is fine. */
int memory_fs_unmount_in(const char *directory, struct tt_err *err) TT_MUST_USE;

#endif
