/* The part of JSONPath that waiting and scripts need: {.a.b[0]['key.with.dots'].c}, with or without
 * the braces.
 *
 * Ownership: borrows. Thread: any. Errors: TT_EINVAL for anything else (filters, wildcards). */
#ifndef CTL_JSONPATH_H
#define CTL_JSONPATH_H

#include <yyjson.h>

#include "base/str.h"

/* *ret is NULL when the path leads nowhere in root. */
int ctl_jsonpath(yyjson_val *root, struct tt_str path, yyjson_val **ret,
                 struct tt_err *err) TT_MUST_USE;

#endif
