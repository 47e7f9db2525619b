/* Protobuf request bodies as kubectl 1.32 and later send them, turned into JSON by the schemas.
 *
 * Envelope: "k8s\0", then runtime.Unknown {1: TypeMeta {1 apiVersion, 2 kind}, 2: raw,
 * 3: contentEncoding, 4: contentType}. Only requests are decoded; answers are JSON.
 * Ownership: the text is appended to buf. Thread: one.
 * Errors: TT_EINVAL malformed, TT_EMEDIATYPE for a kind not in the registry. Unknown field numbers
 * are skipped. Bounded by depth 64 and the buffer's maximum. */
#ifndef API_KINDS_PROTOBODY_H
#define API_KINDS_PROTOBODY_H

#include "api/kinds/registry.h"
#include "base/buf.h"

bool tt_proto_body_is(struct tt_str body); /* starts with the magic bytes */
/* The kind named in the envelope may also be a shared type of meta/v1 (DeleteOptions, …). */
int tt_proto_body_to_json(const struct tt_kinds *kinds, struct tt_str body, struct tt_buf *buf,
                          struct tt_err *err) TT_MUST_USE;

#endif
