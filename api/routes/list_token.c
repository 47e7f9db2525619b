/* Form: base64url, without padding, of "1 <revision> <rest of the key>". The rest may hold a NUL
 * (the smallest key behind another one), so that lengths, not terminators, bound it. */
#include "api/routes/list_token.h"

#include <stdio.h>

enum {
    TOKEN_SIZE_MAX = 2048,
    HEAD_SIZE_MAX = 32, /* version and revision, before the key */
};

static int bad_token(struct tt_err *err)
{
    return TT_FAIL(err, TT_EINVAL,
                   "continue key is not valid: the token was not issued for this list");
}

int api_list_token_encode(struct tt_arena *arena, const struct api_list_token *token,
                          struct tt_str prefix, struct tt_str *ret_text, struct tt_err *err)
{
    TT_ASSERT(tt_str_starts(token->key, prefix));
    struct tt_str rest = tt_str_skip(token->key, prefix.len);
    char *plain = tt_arena_alloc(arena, HEAD_SIZE_MAX + rest.len);
    char *text = tt_arena_alloc(arena, tt_base64_encoded_size(HEAD_SIZE_MAX + rest.len) + 1);
    if (!plain || !text) {
        return TT_FAIL(err, TT_ETOOLARGE, "the continue token is too large");
    }
    int written = snprintf(plain, HEAD_SIZE_MAX, "1 %llu ", (unsigned long long)token->revision);
    TT_ASSERT(written > 0 && written < HEAD_SIZE_MAX);
    size_t head_size = (size_t)written;
    if (rest.len > 0) {
        memcpy(plain + head_size, rest.ptr, rest.len);
    }
    size_t size = tt_base64_encode(plain, head_size + rest.len, text);
    while (size > 0 && text[size - 1] == '=') {
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    }
    *ret_text = tt_str(text, size);
    return TT_OK;
}

/* base64url without padding → bytes in the arena. */
static bool decode_text(struct tt_arena *arena, struct tt_str text, struct tt_str *ret_plain)
{
    size_t padded = (text.len + 3) / 4 * 4;
    char *standard = tt_arena_alloc(arena, padded + 1);
    char *plain = tt_arena_alloc(arena, padded + 1);
    if (!standard || !plain) {
        return false;
    }
    for (size_t i = 0; i < padded; i++) {
        char c = i < text.len ? text.ptr[i] : '=';
        standard[i] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    ptrdiff_t size = tt_base64_decode(tt_str(standard, padded), plain, padded);
    if (size < 0) {
        return false;
    }
    *ret_plain = tt_str(plain, (size_t)size);
    return true;
}

int api_list_token_decode(struct tt_arena *arena, struct tt_str text, struct tt_str prefix,
                          struct api_list_token *ret_token, struct tt_err *err)
{
    struct tt_str plain;
    if (text.len > TOKEN_SIZE_MAX || !decode_text(arena, text, &plain)) {
        return bad_token(err);
    }
    struct tt_str rest = plain;
    struct tt_str form;
    struct tt_str number;
    struct api_list_token token = {0};
    if (!tt_str_cut(&rest, ' ', &form) || !tt_str_eq_c(form, "1") ||
        !tt_str_cut(&rest, ' ', &number) || !tt_str_to_u64(number, &token.revision) ||
        rest.len == 0) {
        return bad_token(err);
    }
    char *key = tt_arena_alloc(arena, prefix.len + rest.len);
    if (!key) {
        return TT_FAIL(err, TT_ETOOLARGE, "the continue token is too large");
    }
    memcpy(key, prefix.ptr, prefix.len);
    memcpy(key + prefix.len, rest.ptr, rest.len);
    token.key = tt_str(key, prefix.len + rest.len);
    *ret_token = token;
    return TT_OK;
}
