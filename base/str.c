#include "base/str.h"

#include "base/intmath.h"
#include "base/mem.h"

/* Views over borrowed bytes: comparing, searching, cutting, numbers. The text codecs are in
 * codec.c. Failure modes: none allocate but tt_str_xdup; parsers leave their output untouched when
 * they refuse. */

int tt_str_cmp(struct tt_str a, struct tt_str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;
    if (order != 0) {
        return order < 0 ? -1 : 1;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool tt_str_eq_nocase(struct tt_str a, struct tt_str b)
{
    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        if (lower(a.ptr[i]) != lower(b.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool tt_str_starts(struct tt_str s, struct tt_str prefix)
{
    return s.len >= prefix.len && tt_str_eq(tt_str_head(s, prefix.len), prefix);
}

bool tt_str_ends(struct tt_str s, struct tt_str suffix)
{
    return s.len >= suffix.len && tt_str_eq(tt_str_skip(s, s.len - suffix.len), suffix);
}

struct tt_str tt_str_skip(struct tt_str s, size_t count)
{
    if (!s.ptr) {
        return s;
    }
    count = count < s.len ? count : s.len;
    return tt_str(s.ptr + count, s.len - count);
}

struct tt_str tt_str_head(struct tt_str s, size_t count)
{
    return tt_str(s.ptr, count < s.len ? count : s.len);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct tt_str tt_str_trim(struct tt_str s)
{
    while (s.len > 0 && is_space(s.ptr[0])) {
        s = tt_str_skip(s, 1);
    }
    while (s.len > 0 && is_space(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

ptrdiff_t tt_str_find(struct tt_str s, char c)
{
    const char *hit = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
    return hit ? hit - s.ptr : -1;
}

ptrdiff_t tt_str_find_str(struct tt_str s, struct tt_str needle)
{
    if (needle.len == 0) {
        return 0;
    }
    const char *hit = s.len > 0 ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return hit ? hit - s.ptr : -1;
}

bool tt_str_cut(struct tt_str *s, char sep, struct tt_str *ret_part)
{
    if (!s->ptr) {
        return false;
    }
    ptrdiff_t at = tt_str_find(*s, sep);
    if (at < 0) {
        *ret_part = *s;
        *s = TT_STR_NONE;
        return true;
    }
    *ret_part = tt_str_head(*s, (size_t)at);
    *s = tt_str_skip(*s, (size_t)at + 1);
    return true;
}

bool tt_str_to_u64(struct tt_str s, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(s.ptr[i] - '0');
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    if (s.len == 0) {
        return false;
    }
    *ret = value;
    return true;
}

size_t tt_u64_digits(uint64_t value, char out[TT_U64_DIGITS_MAX])
{
    char digits[TT_U64_DIGITS_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

bool tt_str_to_i64(struct tt_str s, int64_t *ret)
{
    bool negative = s.len > 0 && s.ptr[0] == '-';
    uint64_t magnitude;
    if (!tt_str_to_u64(negative ? tt_str_skip(s, 1) : s, &magnitude)) {
        return false;
    }
    uint64_t bound = (uint64_t)INT64_MAX + (negative ? 1 : 0);
    if (magnitude > bound) {
        return false;
    }
    if (magnitude > (uint64_t)INT64_MAX) {
        *ret = INT64_MIN;
    } else {
        *ret = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    }
    return true;
}

char *tt_str_xdup(struct tt_str s)
{
    char *copy = tt_xmalloc(s.len + 1);
    if (s.len > 0) {
        memcpy(copy, s.ptr, s.len);
    }
    copy[s.len] = '\0';
    return copy;
}

/* Folded multiplication: both halves of the 128-bit product carry into the result. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ tt_u128 product = (tt_u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t tt_str_hash(struct tt_str s)
{
    const uint64_t k0 = UINT64_C(0x9e3779b97f4a7c15);
    const uint64_t k1 = UINT64_C(0xbf58476d1ce4e5b9);
    uint64_t hash = fold(s.len ^ k0, k1);
    size_t at = 0;
    for (; s.len - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, s.ptr + at, sizeof word);
        hash = fold(hash ^ word, k1);
    }
    if (at < s.len) {
        uint64_t word = 0;
        memcpy(&word, s.ptr + at, s.len - at);
        hash = fold(hash ^ word, k0);
    }
    return fold(hash ^ k0, k1);
}
