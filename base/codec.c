#include "base/str.h"

/* Text codecs of base/str.h: hexadecimal, base64 (RFC 4648, standard alphabet) and UTF-8.
 *
 * Failure modes: decoders are for outside input, so they are strict: anything but the canonical
 * encoding is refused, and nothing is written behind out_size. */

size_t tt_hex_encode(const void *bytes, size_t size, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = bytes;
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * size] = '\0';
    return 2 * size;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

ptrdiff_t tt_hex_decode(struct tt_str text, void *out, size_t out_size)
{
    uint8_t *bytes = out;
    if (text.len % 2 != 0 || text.len / 2 > out_size) {
        return -1;
    }
    for (size_t i = 0; i < text.len / 2; i++) {
        int high = hex_digit(text.ptr[2 * i]);
        int low = hex_digit(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0) {
            return -1;
        }
        bytes[i] = (uint8_t)(high * 16 + low);
    }
    return (ptrdiff_t)(text.len / 2);
}

size_t tt_base64_encoded_size(size_t size)
{
    return (size / 3 + (size % 3 != 0)) * 4;
}

size_t tt_base64_encode(const void *bytes, size_t size, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = bytes;
    size_t len = 0;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t group = (uint32_t)in[i] << 16;
        group |= left > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)in[i + 2] : 0;
        out[len++] = alphabet[group >> 18 & 63];
        out[len++] = alphabet[group >> 12 & 63];
        out[len++] = left > 1 ? alphabet[group >> 6 & 63] : '=';
        out[len++] = left > 2 ? alphabet[group & 63] : '=';
    }
    out[len] = '\0';
    return len;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+') {
        return 62;
    }
    return c == '/' ? 63 : -1;
}

/* Decodes four characters of which `padding` are '='. False unless canonical. */
static bool base64_group(const char *text, size_t padding, uint8_t out[3])
{
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = i >= 4 - padding ? 0 : base64_digit(text[i]);
        if (digit < 0) {
            return false;
        }
        group = group << 6 | (uint32_t)digit;
    }
    out[0] = (uint8_t)(group >> 16);
    out[1] = (uint8_t)(group >> 8);
    out[2] = (uint8_t)group;
    /* Bits under the padding must be zero, or two texts would mean the same bytes. */
    return (padding < 1 || out[2] == 0) && (padding < 2 || out[1] == 0);
}

ptrdiff_t tt_base64_decode(struct tt_str text, void *out, size_t out_size)
{
    if (text.len % 4 != 0) {
        return -1;
    }
    if (text.len == 0) {
        return 0;
    }
    size_t padding = 0;
    while (padding < 2 && text.ptr[text.len - 1 - padding] == '=') {
        padding++;
    }
    size_t size = text.len / 4 * 3 - padding;
    if (size > out_size) {
        return -1;
    }
    uint8_t *bytes = out;
    size_t len = 0;
    for (size_t i = 0; i < text.len; i += 4) {
        uint8_t group[3];
        if (!base64_group(text.ptr + i, i + 4 == text.len ? padding : 0, group)) {
            return -1;
        }
        size_t count = size - len < 3 ? size - len : 3;
        memcpy(bytes + len, group, count);
        len += count;
    }
    return (ptrdiff_t)size;
}

/* Length the first byte announces; 0 for continuation bytes and for what no valid text has. */
static size_t utf8_announced(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    if (first < 0xe0) {
        return 2;
    }
    return first < 0xf0 ? 3 : 4;
}

/* The range of the second byte keeps out overlong forms, surrogates and values over U+10FFFF (RFC
 * 3629, table 3-7 of Unicode). */
static bool utf8_second_fits(uint8_t first, uint8_t second)
{
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

size_t tt_utf8_sequence(struct tt_str s)
{
    uint8_t first = s.len > 0 ? (uint8_t)s.ptr[0] : 0xff;
    size_t count = utf8_announced(first);
    if (count <= 1 || s.len < count || !utf8_second_fits(first, (uint8_t)s.ptr[1])) {
        return count == 1 ? 1 : 0;
    }
    for (size_t i = 2; i < count; i++) {
        if (((uint8_t)s.ptr[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return count;
}

bool tt_utf8_valid(struct tt_str s)
{
    while (s.len > 0) {
        size_t count = tt_utf8_sequence(s);
        if (count == 0) {
            return false;
        }
        s = tt_str_skip(s, count);
    }
    return true;
}
