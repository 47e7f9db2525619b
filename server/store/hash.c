/* See hash.h for the definition; this file only follows it. Words are read with memcpy and swapped
 * on big-endian machines, so the result does not depend on the machine. */
#include "server/store/hash.h"

#define K1 UINT64_C(0x9e3779b97f4a7c15)
#define K2 UINT64_C(0x9fb21c651e98df25)
#define K3 UINT64_C(0xd6e8feb86659fd93)

static inline uint64_t word_at(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap64(w);
#endif
    return w;
}

static inline uint64_t step(uint64_t h, uint64_t w)
{
    h ^= w * K2;
    return (h << 29 | h >> 35) * K1;
}

uint64_t store_digest(uint64_t seed, struct tt_str bytes)
{
    uint64_t h = seed ^ (uint64_t)bytes.len * K1;
    const char *p = bytes.ptr;
    size_t left = bytes.len;
    if (left >= 32) {
        uint64_t lane[4] = {h, h + K3, h + 2 * K3, h + 3 * K3};
        for (; left >= 32; left -= 32, p += 32) {
            lane[0] = step(lane[0], word_at(p));
            lane[1] = step(lane[1], word_at(p + 8));
            lane[2] = step(lane[2], word_at(p + 16));
            lane[3] = step(lane[3], word_at(p + 24));
        }
        for (unsigned i = 0; i < 4; i++) {
            h = (h ^ lane[i]);
            h = (h << 29 | h >> 35) * K1;
        }
    }
    for (; left >= 8; left -= 8, p += 8) {
        h = step(h, word_at(p));
    }
    if (left > 0) {
        char last[8] = {0};
        memcpy(last, p, left);
        h = step(h, word_at(last));
    }
    h ^= h >> 32;
    h *= K3;
    return h ^ h >> 29;
}
