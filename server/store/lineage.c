/* See lineage.h.
 *
 *   versions:  v1 (pinned by a snapshot) — v5 (dies) — v6 (published)
 *   v5.garbage: [a born 3] [b born 1] [c born 5]
 *   a and c were born after v1: freed. b goes to v1.garbage.
 *
 * A dying version stays in the list, so that others that die meanwhile find it as their neighbour;
 * it leaves only when under the lock nothing is left to look through and its older neighbour is
 * still the one it was compared with.
 */
#include "server/store/lineage.h"

#include "base/pace.h"

enum { SLOT_COUNT_SHIFT = 48, SLOT_COUNT_HIGH = 1 << 14, HAND_OVER_MIN = 512, REST_AFTER = 4096 };
#define STORE_SLOT_BIAS (INT64_C(1) << 40)
#define SLOT_POINTER    ((UINT64_C(1) << SLOT_COUNT_SHIFT) - 1)

static struct tt_version *version_of(uint64_t word)
{
    return (struct tt_version *)(void *)(uintptr_t)(word & SLOT_POINTER);
}

static void chunk_items_free(const struct store_chunk *chunk, uint64_t batch,
                             struct store_garbage_list *keep)
{
    for (uint32_t i = chunk->first; i < chunk->end; i++) {
        struct store_item *prev = chunk->changes[i].prev;
        if (prev && prev->garbage.birth <= batch) {
            store_garbage_push(keep, &prev->garbage);
        } else if (prev) {
            tt_item_unref(&prev->item);
        }
    }
}

void store_garbage_free(struct store_garbage *garbage, uint64_t batch,
                        struct store_garbage_list *keep)
{
    if (garbage->kind == STORE_GARBAGE_ITEM) {
        tt_item_unref(&TT_CONTAINER_OF(garbage, struct store_item, garbage)->item);
        return;
    }
    if (garbage->kind == STORE_GARBAGE_CHUNK) {
        chunk_items_free(TT_CONTAINER_OF(garbage, struct store_chunk, garbage), batch, keep);
    }
    tt_free(garbage); /* the first member of all of them */
}

void store_garbage_list_free(struct store_garbage_list *list)
{
    struct store_garbage_list keep = {0};
    for (struct store_garbage *g = list->first; g;) {
        struct store_garbage *next = g->next;
        store_garbage_free(g, 0, &keep);
        g = next;
    }
    TT_ASSERT(!keep.first); /* everything was born later */
    *list = (struct store_garbage_list){0};
}

/* References given out through the slot pile up in its count; they are moved to the version before
 * the count could overflow. Adding first and taking back when the exchange fails keeps refs from
 * ever being too small. */
static void slot_settle(struct store_slot *slot, struct tt_version *version)
{
    uint64_t word = atomic_load(&slot->word);
    uint64_t count = word >> SLOT_COUNT_SHIFT;
    if (version_of(word) != version || count == 0) {
        return;
    }
    atomic_fetch_add(&version->refs, (int_fast64_t)count);
    if (!atomic_compare_exchange_strong(&slot->word, &word, word & SLOT_POINTER)) {
        int_fast64_t before = atomic_fetch_sub(&version->refs, (int_fast64_t)count);
        TT_ASSERT(before > (int_fast64_t)count); /* the caller has a reference */
    }
}

struct tt_version *store_slot_acquire(struct store_slot *slot)
{
    uint64_t word = atomic_fetch_add(&slot->word, UINT64_C(1) << SLOT_COUNT_SHIFT);
    struct tt_version *version = version_of(word);
    TT_ASSERT(version);
    if ((word >> SLOT_COUNT_SHIFT) >= SLOT_COUNT_HIGH) {
        slot_settle(slot, version);
    }
    return version;
}

static void version_died(struct tt_version *version)
{
    struct store_lineage *lineage = version->lineage;
    (void)pthread_mutex_lock(&lineage->lock); /* fails only for a lock that is not one */
    bool large = version->last || version->garbage.count >= HAND_OVER_MIN;
    struct tt_store_reclaimer *reclaimer = lineage->reclaimer;
    (void)pthread_mutex_unlock(&lineage->lock);
    if (large && reclaimer) {
        reclaimer->hand_over(reclaimer, version);
    } else {
        tt_version_reclaim(version, NULL);
    }
}

/* How much was looked at since the last rest. */
struct reclaim_pause {
    struct tt_pace *pace; /* NULL: no rests (any more) */
    uint64_t begin_ns;    /* of the thread's time, at the last rest */
    uint32_t count;       /* garbage looked at since then, a chunk as all its changes */
};

static void pause_after(struct reclaim_pause *pause, const struct store_garbage *next)
{
    pause->count += next->kind == STORE_GARBAGE_CHUNK ? STORE_CHUNK_CHANGES : 1;
    if (!pause->pace || pause->count < REST_AFTER) {
        return;
    }
    if (!tt_pace_rest(pause->pace, tt_clock_thread_ns() - pause->begin_ns)) {
        pause->pace = NULL; /* the server stops: soon done is best */
    }
    pause->begin_ns = tt_clock_thread_ns();
    pause->count = 0;
}

/* Frees what was born after `batch`, appends the rest to `keep`. */
static void sort_out(struct store_garbage_list *taken, uint64_t batch,
                     struct store_garbage_list *keep, struct reclaim_pause *pause)
{
    for (struct store_garbage *g = taken->first; g;) {
        struct store_garbage *next = g->next;
        pause_after(pause, g);
        if (g->birth > batch) {
            store_garbage_free(g, batch, keep);
        } else {
            store_garbage_push(keep, g);
        }
        g = next;
    }
    *taken = (struct store_garbage_list){0};
}

void tt_version_reclaim(struct tt_version *dead, struct tt_pace *pace)
{
    /* With the last version the whole store goes: nobody is served from it any more. */
    struct reclaim_pause pause = {.pace = dead->last ? NULL : pace,
                                  .begin_ns = tt_clock_thread_ns()};
    struct store_lineage *lineage = dead->lineage;
    struct store_garbage_list taken = {0};
    struct store_garbage_list keep = {0};
    uint64_t compared = UINT64_MAX; /* batch of the older neighbour `keep` was compared with */
    bool lineage_done = false;
    TT_ASSERT(atomic_load(&dead->refs) == 0);
    if (dead->last) {
        store_tree_collect(&dead->state.rows, &taken);
        store_tree_collect(&dead->state.onces, &taken);
        store_history_collect(&dead->state.history, &taken);
    }
    for (;;) {
        (void)pthread_mutex_lock(&lineage->lock);
        store_garbage_join(&taken, &dead->garbage);
        struct tt_list *before = dead->link.prev;
        struct tt_version *older = NULL;
        if (before != &lineage->versions) {
            older = TT_CONTAINER_OF(before, struct tt_version, link);
        }
        uint64_t batch = older ? older->batch : 0;
        if (batch == compared && !taken.first) {
            if (older) {
                store_garbage_join(&older->garbage, &keep);
            }
            tt_list_remove(&dead->link);
            lineage_done = lineage->closed && tt_list_empty(&lineage->versions);
            (void)pthread_mutex_unlock(&lineage->lock);
            break;
        }
        (void)pthread_mutex_unlock(&lineage->lock);
        if (batch != compared) {
            store_garbage_join(&taken, &keep);
            compared = batch;
        }
        sort_out(&taken, batch, &keep, &pause);
    }
    TT_ASSERT(!keep.first); /* with no older version everything was freed */
    tt_free(dead);
    if (lineage_done) {
        (void)pthread_mutex_destroy(&lineage->lock);
        tt_free(lineage);
    }
}

static struct tt_version *version_new(struct store_lineage *lineage,
                                      const struct store_state *state, uint64_t batch)
{
    struct tt_version *version = TT_NEW(struct tt_version);
    atomic_init(&version->refs, STORE_SLOT_BIAS);
    version->lineage = lineage;
    version->batch = batch;
    version->state = *state;
    tt_list_init(&version->link);
    TT_ASSERT(((uint64_t)(uintptr_t)version & ~SLOT_POINTER) == 0);
    return version;
}

/* The store's own reference goes, and those given out through the slot are counted. */
static void slot_leave(uint64_t word)
{
    struct tt_version *version = version_of(word);
    int_fast64_t change = (int_fast64_t)(word >> SLOT_COUNT_SHIFT) - STORE_SLOT_BIAS;
    int_fast64_t after = atomic_fetch_add(&version->refs, change) + change;
    TT_ASSERT(after >= 0);
    if (after == 0) {
        version_died(version);
    }
}

struct store_lineage *store_lineage_new(struct store_slot *slot, const struct store_state *state,
                                        uint64_t batch, struct tt_store_reclaimer *reclaimer)
{
    struct store_lineage *lineage = TT_NEW(struct store_lineage);
    int failed = pthread_mutex_init(&lineage->lock, NULL);
    TT_ASSERT(failed == 0);
    tt_list_init(&lineage->versions);
    lineage->reclaimer = reclaimer;
    struct tt_version *version = version_new(lineage, state, batch);
    tt_list_push_back(&lineage->versions, &version->link);
    uint64_t old = atomic_exchange(&slot->word, (uint64_t)(uintptr_t)version);
    if (old != 0) {
        slot_leave(old);
    }
    return lineage;
}

void store_lineage_publish(struct store_lineage *lineage, struct store_slot *slot,
                           const struct store_state *state, uint64_t batch,
                           struct store_garbage_list *retired)
{
    struct tt_version *version = version_new(lineage, state, batch);
    struct tt_version *old = version_of(atomic_load(&slot->word));
    TT_ASSERT(old->batch < batch);
    (void)pthread_mutex_lock(&lineage->lock);
    store_garbage_join(&old->garbage, retired);
    tt_list_push_back(&lineage->versions, &version->link);
    (void)pthread_mutex_unlock(&lineage->lock);
    slot_leave(atomic_exchange(&slot->word, (uint64_t)(uintptr_t)version));
}

void store_lineage_end(struct store_lineage *lineage, const struct store_slot *slot)
{
    struct tt_version *version = version_of(atomic_load(&slot->word));
    (void)pthread_mutex_lock(&lineage->lock);
    version->last = true;
    lineage->closed = true;
    (void)pthread_mutex_unlock(&lineage->lock);
}

void store_lineage_close(struct store_lineage *lineage, struct store_slot *slot)
{
    store_lineage_end(lineage, slot);
    slot_leave(atomic_exchange(&slot->word, 0));
}

struct tt_version *tt_version_ref(struct tt_version *version)
{
    int_fast64_t before = atomic_fetch_add_explicit(&version->refs, 1, memory_order_relaxed);
    (void)before; /* may be 0 or less while references are still counted in the slot */
    return version;
}

void tt_version_unref(struct tt_version *version)
{
    if (version && atomic_fetch_sub(&version->refs, 1) == 1) {
        version_died(version);
    }
}
