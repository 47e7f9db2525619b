/* OpenAPI v3 per group-version, from the schemas: enough for kubectl's create, apply and explain.
 *
 * Documents are built when asked for, not kept here: callers cache the bytes by
 * tt_kinds_generation if they wish. The hash changes whenever the document would.
 * Ownership: appends to the caller's buffer. Thread: any. Errors: false for an unknown
 * group-version. */
#ifndef API_KINDS_OPENAPI_H
#define API_KINDS_OPENAPI_H

#include "api/kinds/registry.h"
#include "base/buf.h"

enum { TT_OPENAPI_HASH_SIZE = 33, TT_OPENAPI_SIZE_MAX = 8 << 20 };

/* GET /openapi/v3: {"paths":{"api/v1":{"serverRelativeURL":"/openapi/v3/api/v1?hash=…"}}} */
void tt_openapi_index(struct tt_buf *buf, const struct tt_kinds *kinds);
/* path: "api/v1" or "apis/apps/v1". */
bool tt_openapi_document(struct tt_buf *buf, const struct tt_kinds *kinds, struct tt_str path);
bool tt_openapi_hash(const struct tt_kinds *kinds, struct tt_str path,
                     char out[TT_OPENAPI_HASH_SIZE]);

#endif
