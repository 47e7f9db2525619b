/* The part of JSONPath that waiting and scripts need: {.a.b[0]['key.with.dots'].c}, with or without
 * the braces; in templates also [*], text around the braces, {"\n"} and {range .items[*]}…{end}.
 *
 * Ownership: borrows. Thread: any. Errors: TT_EINVAL for anything else (filters, slices). */
#ifndef CTL_JSONPATH_H
#define CTL_JSONPATH_H

#include <yyjson.h>

#include "base/buf.h"

/* *ret is NULL when the path leads nowhere in root. */
int ctl_jsonpath(yyjson_val *root, struct tt_str path, yyjson_val **ret,
                 struct tt_err *err) TT_MUST_USE;
/* Appends the template filled from root, as kubectl's -o jsonpath does: several values of one path
 * with a space between them, objects and lists as JSON, nothing for what is not there. Without a
 * root (NULL) it only looks for mistakes. */
int ctl_template(yyjson_val *root, struct tt_str text, struct tt_buf *buf,
                 struct tt_err *err) TT_MUST_USE;

#endif
