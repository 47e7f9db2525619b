/* Which files a ConfigMap, Secret, projected or downward volume holds, with their bytes.
 *
 * Ownership: all copied into the arena, so that it can go to another thread. Thread: that of the
 * loop (it reads what is known of objects). Errors: TT_EBUSY an object is not known yet ·
 * TT_ENOTFOUND it, or a key of it, is missing · TT_EINVAL a source the agent does not know. */
#ifndef AGENT_COLLECT_H
#define AGENT_COLLECT_H

#include "agent/env.h"
#include "agent/project.h"

struct collected {
    struct project_file *files; /* in the caller's arena; paths not yet checked */
    size_t count;               /* at most PROJECT_FILES_MAX */
};
/* The part of a volume whose content is projected; NULL: another type. */
yyjson_val *collect_part(yyjson_val *volume);
/* It holds a Secret, alone or among others. */
bool collect_is_secret(yyjson_val *volume);
/* ret_files is set on failure too (what there was until then). */
int collect_files(const struct env_context *context, yyjson_val *volume, struct tt_arena *arena,
                  struct collected *ret_files, struct tt_err *err) TT_MUST_USE;

#endif
