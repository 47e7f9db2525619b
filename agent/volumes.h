/* The files of a pod on its node: volumes, log directory, and where containers see them.
 *
 *   ROOT/pods/UID/volumes/NAME/…   0700 above, so that only containers get in
 *   ROOT/logs/NAMESPACE_POD_UID/CONTAINER/ATTEMPT.log
 * ConfigMap, Secret, projected and downward volumes are written like Kubernetes does: a new
 * directory, then one rename of the link `..data`, so that a container never sees half an update.
 * Those with a Secret lie in memory, never on a disk.
 * Ownership: paths are the caller's buffers or in its arena. Thread: plan and mounts on the loop;
 * apply and remove block (files without fsync: what is lost is written again), so from the pool,
 * one at a time for a pod. Errors: TT_EBUSY an object is not known yet · TT_ENOTFOUND it is missing
 * · TT_EINVAL a volume the agent does not know · TT_EIO … */
#ifndef AGENT_VOLUMES_H
#define AGENT_VOLUMES_H

#include "agent/env.h"

enum { VOLUMES_PATH_SIZE = 512 };

/* ROOT must exist and be absolute. */
int volumes_pod_path(const char *root, const char *uid, char out[VOLUMES_PATH_SIZE],
                     struct tt_err *err) TT_MUST_USE;
int volumes_log_path(const char *root, const char *ns, const char *pod, const char *uid,
                     char out[VOLUMES_PATH_SIZE], struct tt_err *err) TT_MUST_USE;
/* What a pod's volumes should hold, complete with all bytes; secrets are wiped by free. */
struct volumes;
int volumes_plan(const char *root, const struct env_context *context, struct volumes **ret_plan,
                 struct tt_err *err) TT_MUST_USE;
void volumes_free(struct volumes *plan); /* NULL is fine */
TT_DEFINE_AUTO(volumes)
/* Makes what is missing and brings all content up to date. Idempotent. */
int volumes_apply(const struct volumes *plan, struct tt_err *err) TT_MUST_USE;
/* Mounts of one container: host paths in the arena. The volumes were prepared. */
int volumes_mounts(const char *root, const struct env_context *context, struct tt_arena *arena,
                   struct rt_container_config *config, struct tt_err *err) TT_MUST_USE;
/* Removes files, logs and mounts of a pod. Absent is fine. */
int volumes_remove(const char *root, const char *uid, struct tt_err *err) TT_MUST_USE;

#endif
