#include "base/rng.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/str.h"

/* xoshiro256** (Blackman, Vigna) for what must replay, getrandom(2) for what must not be guessed.
 * Failure modes: without entropy no key or token may be made, so the process aborts. */

static uint64_t splitmix64(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void tt_rng_seed(struct tt_rng *rng, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        rng->s[i] = splitmix64(&seed);
    }
}

static uint64_t rotate_left(uint64_t value, unsigned count)
{
    return value << count | value >> (64 - count);
}

uint64_t tt_rng_u64(struct tt_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t tt_rng_below(struct tt_rng *rng, uint64_t bound)
{
    TT_ASSERT(bound > 0);
    /* The first (2^64 mod bound) values would favour small results. */
    uint64_t unfair = (UINT64_C(0) - bound) % bound;
    uint64_t value = tt_rng_u64(rng);
    while (value < unfair) {
        value = tt_rng_u64(rng);
    }
    return value % bound;
}

uint64_t tt_rng_range(struct tt_rng *rng, uint64_t low, uint64_t high)
{
    TT_ASSERT(low <= high);
    uint64_t span = high - low;
    return span == UINT64_MAX ? tt_rng_u64(rng) : low + tt_rng_below(rng, span + 1);
}

double tt_rng_unit(struct tt_rng *rng)
{
    return (double)(tt_rng_u64(rng) >> 11) * 0x1.0p-53;
}

_Bool tt_rng_chance(struct tt_rng *rng, double probability)
{
    return tt_rng_unit(rng) < probability;
}

void tt_rng_fill(struct tt_rng *rng, void *out, size_t size)
{
    struct tt_rng local = *rng; /* in registers, whatever `out` may alias */
    uint8_t *to = out;
    for (; size >= sizeof(uint64_t); to += sizeof(uint64_t), size -= sizeof(uint64_t)) {
        uint64_t word = tt_rng_u64(&local);
        memcpy(to, &word, sizeof word);
    }
    if (size > 0) {
        uint64_t word = tt_rng_u64(&local);
        memcpy(to, &word, size);
    }
    *rng = local;
}

void tt_random_bytes(void *out, size_t size)
{
    uint8_t *to = out;
    while (size > 0) {
        ssize_t count = getrandom(to, size, 0);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        TT_ASSERT(count > 0);
        to += count;
        size -= (size_t)count;
    }
}

uint64_t tt_random_u64(void)
{
    uint64_t value;
    tt_random_bytes(&value, sizeof value);
    return value;
}

void tt_uuid_v4(char out[TT_UUID_TEXT_SIZE])
{
    uint8_t raw[16];
    char hex[33];
    tt_random_bytes(raw, sizeof raw);
    raw[6] = (uint8_t)((raw[6] & 0x0f) | 0x40); /* version 4 (RFC 9562) */
    raw[8] = (uint8_t)((raw[8] & 0x3f) | 0x80); /* variant 10 */
    tt_hex_encode(raw, sizeof raw, hex);
    int len = snprintf(out, TT_UUID_TEXT_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
                       hex + 16, hex + 20);
    TT_ASSERT(len == TT_UUID_TEXT_SIZE - 1);
}
