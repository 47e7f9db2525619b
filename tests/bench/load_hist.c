/* Bucket of a value: its power of two and the next LOAD_HIST_SUB_BITS bits. */
#include "tests/bench/load.h"

static size_t bucket_of(uint64_t ns)
{
    enum { SUB = 1 << LOAD_HIST_SUB_BITS };
    if (ns < SUB) {
        return (size_t)ns;
    }
    unsigned exponent = 63u - (unsigned)__builtin_clzll(ns);
    unsigned shift = exponent - LOAD_HIST_SUB_BITS;
    size_t bucket = ((size_t)(shift + 1) << LOAD_HIST_SUB_BITS) + (size_t)((ns >> shift) - SUB);
    return bucket < LOAD_HIST_SIZE ? bucket : LOAD_HIST_SIZE - 1;
}

static uint64_t bucket_value(size_t bucket)
{
    enum { SUB = 1 << LOAD_HIST_SUB_BITS };
    if (bucket < SUB) {
        return bucket;
    }
    size_t shift = (bucket >> LOAD_HIST_SUB_BITS) - 1;
    return ((uint64_t)(bucket & (SUB - 1)) + SUB) << shift;
}

void load_hist_add(struct load_hist *hist, uint64_t ns)
{
    hist->count[bucket_of(ns)]++;
    hist->total++;
    hist->max_ns = ns > hist->max_ns ? ns : hist->max_ns;
}

uint64_t load_hist_quantile(const struct load_hist *hist, double quantile)
{
    uint64_t rank = (uint64_t)(quantile * (double)hist->total);
    uint64_t seen = 0;
    for (size_t i = 0; i < LOAD_HIST_SIZE; i++) {
        seen += hist->count[i];
        if (seen > rank) {
            return bucket_value(i);
        }
    }
    return hist->max_ns;
}
