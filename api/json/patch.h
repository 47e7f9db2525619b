/* JSON Merge Patch (RFC 7386) and JSON Patch (RFC 6902), bounded.
 *
 * Both change `target` (a value of doc) or return a new root in the same document; on an error the
 * target may be half changed, so callers patch a copy.
 * Ownership: values live in doc's arena. Thread: one.
 * Errors: TT_EINVAL for a malformed patch (message names the operation's index), TT_EINVALID for a
 * patch that does not fit the target (a path that does not exist, a failed test; also with the
 * index: Kubernetes answers 422), TT_ETOOLARGE for bounds. */
#ifndef API_JSON_PATCH_H
#define API_JSON_PATCH_H

#include "api/json/json.h"

enum {
    TT_JSON_PATCH_OPS_MAX = 10000,
    TT_JSON_PATCH_VALUES_MAX = 200000, /* values in the result: copy operations cannot explode */
};

/* ret_root is usually target itself; a patch that is no object replaces it. */
int tt_json_merge_patch(yyjson_mut_doc *doc, yyjson_mut_val *target, yyjson_mut_val *patch,
                        yyjson_mut_val **ret_root, struct tt_err *err) TT_MUST_USE;
int tt_json_patch(yyjson_mut_doc *doc, yyjson_mut_val *target, yyjson_mut_val *patch,
                  yyjson_mut_val **ret_root, struct tt_err *err) TT_MUST_USE;

#endif
