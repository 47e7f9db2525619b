/* The state hash: what members compare, defined to the byte so that every build computes the same.
 *
 * digest(seed, bytes): h = seed ^ size * K1; for each 8-byte little-endian word w (the last one
 * padded with zeros): h = rotl(h ^ w * K2, 29) * K1; in four independent lanes for inputs of 32
 * bytes and more, lane i taking the words 4n + i and starting with h + i * K3, joined in order with
 * h = rotl(h ^ lane, 29) * K1; the rest follows in one lane. Finally h ^= h >> 32, h *= K3,
 * h ^= h >> 29.
 *
 * fold(h, n): h ^= n * K2; h = rotl(h, 29) * K1; h ^= h >> 32.
 * An item's digest folds, from digest(1, key): create revision, mod revision, codec << 32 | splice,
 * digest(2, key id) unless that is empty, digest(3, bytes). (item.c)
 * content = sum modulo 2^64 of the digests of all live items and exactly-once entries: no order, so
 * a restored state is checked by computing it again. chain = fold over everything applied, in
 * order, from 0: for a put the item's digest; for a delete 4 and the digest of what was there; for
 * a compaction 5 and the revision; for a feature level 6 and the level. The state hash folds, from
 * the chain: content, revision, compaction mark, leader time, exactly-once sequence, feature level.
 * Not against adversaries: the log they share is authenticated; it finds divergence and bit rot.
 * Ownership: borrows the bytes. Thread: any. Errors: none. */
#ifndef SERVER_STORE_HASH_H
#define SERVER_STORE_HASH_H

#include "base/str.h"

uint64_t store_digest(uint64_t seed, struct tt_str bytes);
static inline uint64_t store_fold(uint64_t hash, uint64_t next)
{
    hash ^= next * UINT64_C(0x9fb21c651e98df25);
    hash = (hash << 29 | hash >> 35) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

#endif
