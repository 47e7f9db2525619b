/* The newest entries in memory, bounded in bytes: what followers that keep up are fed from, and
 * what is applied. Older ones are read from disk (log_queue.h, TT_WAL_OP_READ).
 *
 * Ownership: holds a reference on each payload. Thread: the node's. Errors: none; an entry that is
 * not there is simply not found. */
#ifndef RAFT_LOG_CACHE_H
#define RAFT_LOG_CACHE_H

#include "raft/log.h"

struct tt_wal_cache;
/* size_max counts payload bytes plus a fixed cost per entry; the newest entry always stays. */
struct tt_wal_cache *tt_wal_cache_new(uint64_t size_max);
void tt_wal_cache_free(struct tt_wal_cache *cache);
TT_DEFINE_AUTO(tt_wal_cache)
/* Refs the payload. An index that does not follow the last one: truncates (lower) or resets first.
 */
void tt_wal_cache_append(struct tt_wal_cache *cache, const struct tt_wal_entry *entry);
void tt_wal_cache_truncate(struct tt_wal_cache *cache, uint64_t from_index);
/* Entries above this index are never evicted: not applied or not durable yet, so not readable. */
void tt_wal_cache_pin(struct tt_wal_cache *cache, uint64_t index);
void tt_wal_cache_reset(struct tt_wal_cache *cache);
/* Borrowed until the next append, truncate, pin or reset; NULL when it is not in memory. */
const struct tt_wal_entry *tt_wal_cache_get(const struct tt_wal_cache *cache, uint64_t index);
uint64_t tt_wal_cache_first(const struct tt_wal_cache *cache); /* 0 when empty */
uint64_t tt_wal_cache_last(const struct tt_wal_cache *cache);  /* 0 when empty */
uint64_t tt_wal_cache_bytes(const struct tt_wal_cache *cache);

#endif
