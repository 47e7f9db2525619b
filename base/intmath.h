/* Overflow-checked arithmetic and narrowing.
 *
 * Ownership: values only. Thread: any. Errors: false means it would not fit; *ret is untouched
 * then.
 */
#ifndef BASE_INTMATH_H
#define BASE_INTMATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No C standard has them; gcc and clang do on every 64-bit machine. */
__extension__ typedef __int128 tt_i128;
__extension__ typedef unsigned __int128 tt_u128;

static inline bool tt_size_add(size_t a, size_t b, size_t *ret)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *ret = sum;
    return true;
}
static inline bool tt_size_mul(size_t a, size_t b, size_t *ret)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *ret = product;
    return true;
}
static inline size_t tt_size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}
static inline size_t tt_size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}
static inline uint64_t tt_u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t tt_u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
/* Little-endian fields of disk and wire formats. */
static inline void tt_le32_put(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline void tt_le64_put(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline uint32_t tt_le32_get(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t tt_le64_get(const uint8_t *p)
{
    return (uint64_t)tt_le32_get(p) | (uint64_t)tt_le32_get(p + 4) << 32;
}

#endif
