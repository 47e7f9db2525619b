/* What a refusal of the server says about a manifest: each cause with the line it is about.
 *
 * Ownership: borrows. Thread: one. Errors: none. */
#ifndef CTL_STATUS_ERROR_H
#define CTL_STATUS_ERROR_H

#include "ctl/manifest.h"

/* Appends lines "FILE:LINE: LABEL: message", one per cause (one in all when the Status has none),
 * then what to do next. status is the answer's body, may be empty; err the error made of it. */
void ctl_explain_refusal(struct tt_buf *buf, const struct ctl_object *object, struct tt_str label,
                         struct tt_str status, const struct tt_err *err);

#endif
