/* The state hash: what members compare, defined to the byte so that every build computes the same.
 *
 * digest(seed, bytes): h = seed ^ size * K1; for each 8-byte little-endian word w (the last one
 * padded with zeros): h = rotl(h ^ w * K2, 29) * K1; in four independent lanes for inputs of 32
 * bytes and more, lane i taking the words 4n + i and starting with h + i * K3, joined in order with
 * h = rotl(h ^ lane, 29) * K1; the rest follows in one lane. Finally h ^= h >> 32, h *= K3,
 * h ^= h >> 29.
 *
 * content = sum modulo 2^64 of the digests of all live items and all exactly-once entries: no
 * order, so it can be computed again from a restored state. chain = fold of everything that was
 * applied, in order. The state hash is fold(chain, content).
 * Not against adversaries: the log they share is authenticated; it finds divergence and bit rot.
 * Thread: any. */
#ifndef SERVER_STORE_HASH_H
#define SERVER_STORE_HASH_H

#include "base/str.h"

uint64_t store_digest(uint64_t seed, struct tt_str bytes);
/* Ordered combination of two hashes. */
static inline uint64_t store_fold(uint64_t hash, uint64_t next)
{
    hash ^= next * UINT64_C(0x9fb21c651e98df25);
    hash = (hash << 29 | hash >> 35) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

#endif
