/* meta/v1 Status: how every failure, and some successes, answer.
 *
 * Ownership: appends to the caller's buffer; borrows the strings. Thread: any.
 * Errors: those of the buffer. */
#ifndef API_KINDS_STATUS_H
#define API_KINDS_STATUS_H

#include "api/json/issues.h"
#include "base/buf.h"

struct tt_status {
    int http_code;                            /* 200 for Success */
    struct tt_str reason;                     /* empty for Success */
    struct tt_str message;                    /* may be empty for Success */
    struct tt_str name, group, resource, uid; /* details; resource = plural name; empty: left out */
    const struct tt_issues *causes;           /* NULL: none */
    uint32_t retry_after_s;                   /* 0: left out */
};
void tt_status_write(struct tt_buf *buf, const struct tt_status *status);
/* reason and code from err's code, message from its frames. */
void tt_status_from_err(struct tt_status *ret_status, const struct tt_err *err,
                        struct tt_arena *arena);

#endif
