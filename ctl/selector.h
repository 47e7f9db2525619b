/* Label selectors as text: what a workload's or a Service's selector asks of labels, in the words
 * that a list request takes.
 *
 * Ownership: borrows. Thread: one. Errors: those of the buffer. */
#ifndef CTL_SELECTOR_H
#define CTL_SELECTOR_H

#include <yyjson.h>

#include "base/buf.h"

/* Appends "app=web,tier in (a,b),!old" for a LabelSelector, or for the plain labels of a Service;
 * nothing for one that is empty. */
void ctl_selector_write(struct tt_buf *buf, yyjson_val *selector);

#endif
