/* Shows several logs at once, line by line, or one after the other.
 *
 * Ownership: borrows. Thread: the caller's, which runs a loop until all streams have ended.
 * Errors: those of the first stream that failed; each is told on standard error with its source,
 * and the others go on. */
#ifndef CTL_LOG_STREAM_H
#define CTL_LOG_STREAM_H

#include "ctl/log_sources.h"

struct ctl_log_show {
    const struct tt_kubeconfig *kubeconfig; /* borrowed: which cluster, who asks */
    const struct ctl_log_sources *sources;  /* borrowed; one stream each */
    size_t at_once;                         /* streams that run together; 1: in order */
    uint64_t timeout_ms;                    /* of one stream; UINT64_MAX: none */
    bool prefix;                            /* each line says where it comes from */
};
int ctl_log_show(const struct ctl_log_show *show, struct tt_err *err) TT_MUST_USE;

#endif
