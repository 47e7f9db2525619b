/* struct tt_str: a borrowed view of bytes, the way strings travel between functions.
 *
 * Ownership: a view owns nothing; the bytes must outlive it. Not NUL-terminated unless said.
 * Thread: any. Errors: false or a negative position, as each function says. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct tt_str {
    const char *ptr; /* may be NULL when len is 0 */
    size_t len;      /* bytes */
};

#define TT_STR(literal) ((struct tt_str){(literal), sizeof(literal) - 1})
#define TT_STR_NONE     ((struct tt_str){NULL, 0})
#define TT_STR_ARG(s)   (int)(s).len, (s).ptr /* for "%.*s" */

static inline struct tt_str tt_str(const char *ptr, size_t len)
{
    return (struct tt_str){ptr, len};
}
static inline struct tt_str tt_str_c(const char *c_string)
{
    return (struct tt_str){c_string, c_string ? strlen(c_string) : 0};
}
static inline bool tt_str_eq(struct tt_str a, struct tt_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool tt_str_eq_c(struct tt_str a, const char *b)
{
    return tt_str_eq(a, tt_str_c(b));
}
int tt_str_cmp(struct tt_str a,
               struct tt_str b); /* bytewise, shorter first: the store's key order */
bool tt_str_eq_nocase(struct tt_str a, struct tt_str b); /* ASCII */
bool tt_str_starts(struct tt_str s, struct tt_str prefix);
bool tt_str_ends(struct tt_str s, struct tt_str suffix);
struct tt_str tt_str_skip(struct tt_str s, size_t count); /* count is clamped */
struct tt_str tt_str_head(struct tt_str s, size_t count); /* count is clamped */
struct tt_str tt_str_trim(struct tt_str s);               /* ASCII white space at both ends */
ptrdiff_t tt_str_find(struct tt_str s, char c);           /* index or -1 */
ptrdiff_t tt_str_find_str(struct tt_str s, struct tt_str needle);
/* Cuts the part before the first `sep` off *s into *ret_part. When there is no sep the part is all
 * of *s and *s becomes empty. Returns false only when *s was TT_STR_NONE (ptr NULL): so "a," gives
 * "a" and "" and then stops. */
bool tt_str_cut(struct tt_str *s, char sep, struct tt_str *ret_part);
/* Whole string must be a decimal number in range; false leaves *ret untouched. */
bool tt_str_to_u64(struct tt_str s, uint64_t *ret);
bool tt_str_to_i64(struct tt_str s, int64_t *ret);
enum { TT_U64_DIGITS_MAX = 20 };
/* Decimal, without a NUL; returns how many digits. */
size_t tt_u64_digits(uint64_t value, char out[TT_U64_DIGITS_MAX]);
char *tt_str_xdup(struct tt_str s);    /* NUL-terminated copy; free with tt_free */
uint64_t tt_str_hash(struct tt_str s); /* not stable across versions: never persist it */

/* Text codecs. Decoders return the byte count or -1 on bad input or when out_size is short. */
size_t tt_hex_encode(const void *bytes, size_t size, char *out); /* writes 2*size chars + NUL */
ptrdiff_t tt_hex_decode(struct tt_str text, void *out, size_t out_size);
size_t tt_base64_encoded_size(size_t size); /* with padding, without NUL */
size_t tt_base64_encode(const void *bytes, size_t size,
                        char *out); /* writes tt_base64_encoded_size chars + NUL */
ptrdiff_t tt_base64_decode(struct tt_str text, void *out,
                           size_t out_size); /* standard alphabet, strict padding */
bool tt_utf8_valid(struct tt_str s);
/* Bytes (1 to 4) of the valid UTF-8 sequence s begins with, 0 when there is none. */
size_t tt_utf8_sequence(struct tt_str s);

#endif
