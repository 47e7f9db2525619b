/* The canonical wire form of protobuf messages, read into views and written in place.
 *
 * Canonical: fields in rising order of their numbers, each once, varints in the fewest bytes, tags
 * of one byte (numbers 1 to 15). It is what protobuf-c and these functions write; other encodings
 * of the same message exist, and a reader that must take those too falls back to protobuf-c when
 * one of these functions says no. Ownership: views borrow the bytes read. Thread: any. Errors:
 * false, and then the place of reading means nothing. */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

enum { TT_WIRE_VARINT = 0, TT_WIRE_FIXED64 = 1, TT_WIRE_BYTES = 2 };
/* The tag of a field, number 1 to 15. */
#define TT_WIRE_TAG(number, type) ((uint8_t)((number) << 3 | (type)))

struct tt_wire {
    const uint8_t *at;  /* next byte */
    const uint8_t *end; /* behind the last */
};
static inline struct tt_wire tt_wire_of(struct tt_str bytes)
{
    const uint8_t *at = (const uint8_t *)(const void *)bytes.ptr;
    return (struct tt_wire){at, bytes.len > 0 ? at + bytes.len : at};
}
static inline bool tt_wire_done(const struct tt_wire *wire)
{
    return wire->at == wire->end;
}
/* Steps over the tag if it is the next byte; false: it is not. */
static inline bool tt_wire_tag(struct tt_wire *wire, uint8_t tag)
{
    if (wire->at == wire->end || *wire->at != tag) {
        return false;
    }
    wire->at++;
    return true;
}
/* Of the fewest bytes and at most 64 bits. */
bool tt_wire_long_varint(struct tt_wire *wire, uint64_t *ret);
static inline bool tt_wire_varint(struct tt_wire *wire, uint64_t *ret)
{
    if (wire->at != wire->end && *wire->at < 0x80) {
        *ret = *wire->at++;
        return true;
    }
    return tt_wire_long_varint(wire, ret);
}
static inline bool tt_wire_bytes(struct tt_wire *wire, struct tt_str *ret)
{
    uint64_t size;
    if (!tt_wire_varint(wire, &size) || size > (size_t)(wire->end - wire->at)) {
        return false;
    }
    *ret = tt_str((const char *)wire->at, (size_t)size);
    wire->at += size;
    return true;
}
/* Optional fields: true and *ret untouched when another tag or the end follows. */
static inline bool tt_wire_maybe_varint(struct tt_wire *wire, uint8_t tag, uint64_t max,
                                        uint64_t *ret)
{
    uint64_t value;
    if (!tt_wire_tag(wire, tag)) {
        return true;
    }
    if (!tt_wire_varint(wire, &value) || value > max) {
        return false;
    }
    *ret = value;
    return true;
}
static inline bool tt_wire_maybe_bytes(struct tt_wire *wire, uint8_t tag, size_t size_max,
                                       struct tt_str *ret)
{
    struct tt_str value;
    if (!tt_wire_tag(wire, tag)) {
        return true;
    }
    if (!tt_wire_bytes(wire, &value) || value.len > size_max) {
        return false;
    }
    *ret = value;
    return true;
}

/* Writing: sizes first, then into exactly that much room; each returns where the next byte goes. */
static inline size_t tt_wire_varint_size(uint64_t value)
{
    return (size_t)(70 - __builtin_clzll(value | 1)) / 7; /* of the bits in use, sevens */
}
/* With tag and size. */
static inline size_t tt_wire_field_size(size_t bytes)
{
    return 1 + tt_wire_varint_size(bytes) + bytes;
}
static inline uint8_t *tt_wire_put_varint(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        *at++ = (uint8_t)(value | 0x80);
    }
    *at++ = (uint8_t)value;
    return at;
}
static inline uint8_t *tt_wire_put_number(uint8_t *at, uint8_t tag, uint64_t value)
{
    *at++ = tag;
    return tt_wire_put_varint(at, value);
}
static inline uint8_t *tt_wire_put_bytes(uint8_t *at, uint8_t tag, struct tt_str bytes)
{
    at = tt_wire_put_number(at, tag, bytes.len);
    if (bytes.len > 0) {
        memcpy(at, bytes.ptr, bytes.len);
    }
    return at + bytes.len;
}

#endif
