/* Writes the content of one projected volume: a set of small files that changes as a whole.
 *
 * Ownership: file names and bytes are borrowed until commit. Thread: one. Errors: TT_EINVAL a path
 * that would leave the volume; errno of the file system. */
#ifndef AGENT_PROJECT_H
#define AGENT_PROJECT_H

#include "base/err.h"
#include "base/str.h"

enum { PROJECT_FILES_MAX = 1024 };
struct project_file {
    const char *path;    /* below the volume; "a/b" */
    struct tt_str bytes; /* content; borrowed */
    unsigned mode;       /* permission bits, whatever the umask */
};
/* Makes `directory` hold exactly these files; does nothing when it does already. */
int project_commit(const char *directory, const struct project_file *files, size_t count,
                   struct tt_err *err) TT_MUST_USE;
/* It holds some content. */
bool project_is_there(const char *directory);
/* Relative, without empty, "." or ".." parts. */
bool project_path_valid(const char *path);

#endif
