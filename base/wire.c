/* See wire.h. A varint is little-endian in groups of seven bits, the top bit of a byte says that
 * more follow. The fewest bytes: the last one is not zero (but for the number 0 itself, which is
 * one byte). 64 bits need ten bytes, the tenth of which can only be 1. */
#include "base/wire.h"

enum { VARINT_SIZE_MAX = 10 };

bool tt_wire_long_varint(struct tt_wire *wire, uint64_t *ret)
{
    uint64_t value = 0;
    size_t left = (size_t)(wire->end - wire->at);
    for (size_t i = 0; i < left && i < VARINT_SIZE_MAX; i++) {
        uint8_t byte = wire->at[i];
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            bool shortest = byte != 0 || i == 0;
            bool fits = i + 1 < VARINT_SIZE_MAX || byte == 1;
            if (!shortest || !fits) {
                return false;
            }
            wire->at += i + 1;
            *ret = value;
            return true;
        }
    }
    return false;
}
