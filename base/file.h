/* Small files: read whole, replace atomically (temporary name, fsync, rename, fsync of the
 * directory), make directories.
 *
 * For certificates, configuration, watermarks: blocking, so from start-up, the pool or the log
 * thread only. Ownership: buffers are the caller's. Thread: any that may wait for a disk. Errors:
 * errno with the path. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"

int tt_file_read(const char *path, size_t size_max, struct tt_buf *ret_buf, struct tt_err *err)
    TT_MUST_USE; /* ret_buf is (re)initialised with size_max; fini it */
int tt_file_write_atomic(const char *path, struct tt_str bytes, unsigned mode,
                         struct tt_err *err) TT_MUST_USE;
int tt_dir_make(const char *path, unsigned mode,
                struct tt_err *err) TT_MUST_USE; /* with parents; existing is fine */
int tt_dir_sync(const char *path, struct tt_err *err) TT_MUST_USE;
int tt_dir_remove_tree(const char *path, struct tt_err *err)
    TT_MUST_USE; /* of any depth; never follows symbolic links; absent is fine; removes what it can
                    and gives the first failure */
bool tt_path_exists(const char *path);

#endif
