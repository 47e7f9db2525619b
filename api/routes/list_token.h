/* The continue token of a list: the revision the list is read at and the key it goes on from.
 *
 * Opaque to clients, but not trusted: a token that does not lead into the range of its own list is
 * refused. Ownership: in the arena. Thread: any. Errors: TT_EINVAL, worded as Kubernetes does. */
#ifndef API_ROUTES_LIST_TOKEN_H
#define API_ROUTES_LIST_TOKEN_H

#include "base/mem.h"
#include "base/str.h"

struct api_list_token {
    uint64_t revision; /* 0: whatever is newest (an inconsistent continuation) */
    struct tt_str key; /* the first key of the rest; absolute */
};
/* prefix: of the list's range; the token holds only what is behind it. */
int api_list_token_encode(struct tt_arena *arena, const struct api_list_token *token,
                          struct tt_str prefix, struct tt_str *ret_text,
                          struct tt_err *err) TT_MUST_USE;
int api_list_token_decode(struct tt_arena *arena, struct tt_str text, struct tt_str prefix,
                          struct api_list_token *ret_token, struct tt_err *err) TT_MUST_USE;

#endif
