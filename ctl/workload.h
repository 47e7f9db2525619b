/* What the commands about workloads have in common: a session, the objects that were named, one
 * after the other.
 *
 * Ownership: a workload owns its session and buffers. Thread: one. Errors: those of requests. */
#ifndef CTL_WORKLOAD_H
#define CTL_WORKLOAD_H

#include "ctl/targets.h"

struct ctl_workload {
    struct ctl_common common;        /* options, filled before it is opened */
    struct ctl_session *session;     /* owned; NULL before it is open */
    struct ctl_resources *resources; /* owned; NULL likewise */
    struct ctl_targets targets;      /* what the words name */
    struct tt_buf label;             /* "deployment.apps/web": of the one at hand */
};
struct ctl_workload *ctl_workload_new(void);
void ctl_workload_free(struct ctl_workload *workload);
/* Connects, and finds what the words name. */
int ctl_workload_open(struct ctl_workload *workload, const struct ctl_args *args,
                      struct tt_err *err) TT_MUST_USE;
/* Each named object in turn, until one fails. */
int ctl_workload_each(struct ctl_workload *workload, void *ctx,
                      int (*act)(void *ctx, const struct ctl_target *target, struct tt_err *err),
                      struct tt_err *err) TT_MUST_USE;
/* Initialises path with that of the object. */
void ctl_workload_path(const struct ctl_workload *workload, const struct ctl_target *target,
                       struct tt_buf *path);
int ctl_workload_patch(struct ctl_workload *workload, struct tt_str path, const char *content_type,
                       struct tt_str body, struct tt_err *err) TT_MUST_USE;

#endif
