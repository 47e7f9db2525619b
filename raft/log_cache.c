/* A ring of the newest entries, bounded in bytes.
 *
 * Happy path: append at the end, evict at the front until the bytes fit. Failure modes: what must
 * not be evicted yet (pinned: it cannot be read from disk, or is still to be applied) may push the
 * cache over its bound; the node's own limits on what is in flight bound that. */
#include "raft/log_cache.h"

#include "base/intmath.h"

enum { CACHE_ENTRY_COST = 64, CACHE_CAPACITY_MIN = 64 };

struct tt_wal_cache {
    uint64_t size_max;         /* bytes */
    uint64_t size;             /* bytes, payloads and costs */
    uint64_t pinned;           /* entries above this index stay */
    struct tt_wal_entry *ring; /* capacity is a power of two */
    size_t capacity;           /* entries */
    uint64_t first;            /* index of the oldest; ring slot = index & (capacity - 1) */
    size_t count;              /* entries held */
};

struct tt_wal_cache *tt_wal_cache_new(uint64_t size_max)
{
    struct tt_wal_cache *cache = TT_NEW(struct tt_wal_cache);
    cache->size_max = size_max;
    cache->pinned = UINT64_MAX;
    return cache;
}

static struct tt_wal_entry *slot(const struct tt_wal_cache *cache, uint64_t index)
{
    return &cache->ring[index & (cache->capacity - 1)];
}

static void drop(struct tt_wal_cache *cache, uint64_t index)
{
    struct tt_wal_entry *entry = slot(cache, index);
    cache->size -= CACHE_ENTRY_COST + (entry->payload ? entry->payload->size : 0);
    tt_bytes_unref(entry->payload);
    entry->payload = NULL;
    cache->count--;
}

void tt_wal_cache_reset(struct tt_wal_cache *cache)
{
    while (cache->count > 0) {
        drop(cache, cache->first + cache->count - 1);
    }
    TT_ASSERT(cache->size == 0);
}

void tt_wal_cache_free(struct tt_wal_cache *cache)
{
    if (cache) {
        tt_wal_cache_reset(cache);
        tt_free(cache->ring);
        tt_free(cache);
    }
}

static void evict(struct tt_wal_cache *cache)
{
    while (cache->count > 1 && cache->size > cache->size_max && cache->first <= cache->pinned) {
        drop(cache, cache->first);
        cache->first++;
    }
}

static void grow(struct tt_wal_cache *cache)
{
    size_t capacity = tt_size_max(CACHE_CAPACITY_MIN, cache->capacity * 2);
    struct tt_wal_entry *ring = tt_xcalloc(capacity, sizeof *ring);
    for (size_t i = 0; i < cache->count; i++) {
        uint64_t index = cache->first + i;
        ring[index & (capacity - 1)] = *slot(cache, index);
    }
    tt_free(cache->ring);
    cache->ring = ring;
    cache->capacity = capacity;
}

void tt_wal_cache_append(struct tt_wal_cache *cache, const struct tt_wal_entry *entry)
{
    if (cache->count > 0 && entry->index != cache->first + cache->count) {
        if (entry->index < cache->first + cache->count) {
            tt_wal_cache_truncate(cache, entry->index);
        } else {
            tt_wal_cache_reset(cache);
        }
    }
    if (cache->count == 0) {
        cache->first = entry->index;
    }
    if (cache->count == cache->capacity) {
        grow(cache);
    }
    TT_ASSERT(entry->index == cache->first + cache->count);
    cache->count++;
    struct tt_wal_entry *to = slot(cache, entry->index);
    *to = *entry;
    to->payload = entry->payload ? tt_bytes_ref(entry->payload) : NULL;
    cache->size += CACHE_ENTRY_COST + (entry->payload ? entry->payload->size : 0);
    evict(cache);
}

void tt_wal_cache_truncate(struct tt_wal_cache *cache, uint64_t from_index)
{
    while (cache->count > 0 && cache->first + cache->count > from_index) {
        drop(cache, cache->first + cache->count - 1);
    }
}

void tt_wal_cache_pin(struct tt_wal_cache *cache, uint64_t index)
{
    cache->pinned = index;
    evict(cache);
}

const struct tt_wal_entry *tt_wal_cache_get(const struct tt_wal_cache *cache, uint64_t index)
{
    if (index < cache->first || index - cache->first >= cache->count) {
        return NULL;
    }
    return slot(cache, index);
}

uint64_t tt_wal_cache_first(const struct tt_wal_cache *cache)
{
    return cache->count > 0 ? cache->first : 0;
}

uint64_t tt_wal_cache_last(const struct tt_wal_cache *cache)
{
    return cache->count > 0 ? cache->first + cache->count - 1 : 0;
}

uint64_t tt_wal_cache_bytes(const struct tt_wal_cache *cache)
{
    return cache->size;
}
