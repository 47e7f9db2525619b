/* The key queue: a map from key to entry, a FIFO list of ready entries and a binary heap of delayed
 * ones.
 *
 *   idle ──add──▶ ready ──take──▶ active ──done──▶ idle (or ready when it was added meanwhile)
 *     └─add_at──▶ delayed ──due──▶ ready              └──retry──▶ delayed
 *
 * An entry that becomes idle is freed unless it carries failures; those are dropped with it on
 * success. The heap holds each entry at most once (heap_slot), so every bound is key_count_max. */
#include "reconciler/engine/key_queue.h"

#include "base/intmath.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/queue.h"

enum place { PLACE_READY, PLACE_DELAYED, PLACE_ACTIVE };

struct entry {
    struct tt_list link; /* in ready, while PLACE_READY */
    struct tt_str key;   /* bytes behind the struct */
    uint64_t due_ms;     /* while PLACE_DELAYED */
    size_t heap_slot;    /* index in heap, while PLACE_DELAYED */
    uint32_t failures;   /* in a row */
    enum place place;    /* never idle: such entries are freed */
    bool again;          /* added while active */
    bool backing_off;    /* delayed because it failed */
    uint64_t again_ms;   /* when `again` is due; 0 = at once */
};

struct tt_key_queue {
    struct tt_key_queue_limits limits; /* as given; never changes */
    struct tt_map *entries;            /* key → entry, owned here */
    struct tt_list ready;              /* of entries by link, oldest first; all PLACE_READY */
    struct entry **heap; /* by due_ms; the array is owned, each entry borrowed from entries */
    size_t heap_count;   /* entries in heap, all PLACE_DELAYED */
    size_t heap_cap;     /* entries heap has room for; doubles, never shrinks */
    size_t ready_count;  /* length of ready */
    size_t active_count; /* entries taken and not done; they outlast a clear */
};

struct tt_key_queue *tt_key_queue_new(const struct tt_key_queue_limits *limits)
{
    TT_ASSERT(limits->key_count_max > 0);
    TT_ASSERT(limits->backoff_ms_min > 0 && limits->backoff_ms_min <= limits->backoff_ms_max);
    struct tt_key_queue *queue = TT_NEW(struct tt_key_queue);
    queue->limits = *limits;
    queue->entries = tt_map_new(limits->key_count_max, tt_free);
    tt_list_init(&queue->ready);
    return queue;
}

void tt_key_queue_free(struct tt_key_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    tt_map_free(queue->entries);
    tt_free(queue->heap);
    tt_free(queue);
}

static void heap_put(struct tt_key_queue *queue, size_t slot, struct entry *entry)
{
    queue->heap[slot] = entry;
    entry->heap_slot = slot;
}

static void heap_up(struct tt_key_queue *queue, size_t slot)
{
    struct entry *entry = queue->heap[slot];
    while (slot > 0 && queue->heap[(slot - 1) / 2]->due_ms > entry->due_ms) {
        heap_put(queue, slot, queue->heap[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    heap_put(queue, slot, entry);
}

static void heap_down(struct tt_key_queue *queue, size_t slot)
{
    struct entry *entry = queue->heap[slot];
    for (;;) {
        size_t child = 2 * slot + 1;
        if (child >= queue->heap_count) {
            break;
        }
        if (child + 1 < queue->heap_count &&
            queue->heap[child + 1]->due_ms < queue->heap[child]->due_ms) {
            child++;
        }
        if (queue->heap[child]->due_ms >= entry->due_ms) {
            break;
        }
        heap_put(queue, slot, queue->heap[child]);
        slot = child;
    }
    heap_put(queue, slot, entry);
}

static void delay(struct tt_key_queue *queue, struct entry *entry, uint64_t due_ms)
{
    if (queue->heap_count == queue->heap_cap) {
        queue->heap_cap = queue->heap_cap == 0 ? 64 : 2 * queue->heap_cap;
        queue->heap = tt_xrealloc(queue->heap, queue->heap_cap * sizeof(struct entry *));
    }
    entry->place = PLACE_DELAYED;
    entry->due_ms = due_ms;
    heap_put(queue, queue->heap_count++, entry);
    heap_up(queue, entry->heap_slot);
    TT_ASSERT(queue->heap_count <= queue->limits.key_count_max);
}

static void undelay(struct tt_key_queue *queue, struct entry *entry)
{
    TT_ASSERT(entry->place == PLACE_DELAYED);
    TT_ASSERT(queue->heap[entry->heap_slot] == entry);
    size_t slot = entry->heap_slot;
    struct entry *last = queue->heap[--queue->heap_count];
    if (last != entry) {
        heap_put(queue, slot, last);
        heap_down(queue, slot);
        heap_up(queue, last->heap_slot);
    }
    entry->backing_off = false;
}

static void make_ready(struct tt_key_queue *queue, struct entry *entry)
{
    entry->place = PLACE_READY;
    tt_list_push_back(&queue->ready, &entry->link);
    queue->ready_count++;
}

/* A new entry in no place yet; NULL when the queue is full. */
static struct entry *entry_new(struct tt_key_queue *queue, struct tt_str key)
{
    struct entry *entry = tt_xcalloc(1, sizeof *entry + key.len + 1);
    char *bytes = (char *)(entry + 1);
    memcpy(bytes, key.ptr, key.len);
    entry->key = tt_str(bytes, key.len);
    tt_list_init(&entry->link);
    if (tt_map_set(queue->entries, key, entry, NULL) != TT_OK) {
        tt_free(entry);
        return NULL;
    }
    return entry;
}

bool tt_key_queue_add(struct tt_key_queue *queue, struct tt_str key, uint64_t now_ms)
{
    return tt_key_queue_add_at(queue, key, now_ms);
}

bool tt_key_queue_add_at(struct tt_key_queue *queue, struct tt_str key, uint64_t due_ms)
{
    TT_ASSERT(key.len > 0);
    struct entry *entry = tt_map_get(queue->entries, key);
    if (entry == NULL) {
        entry = entry_new(queue, key);
        if (entry == NULL) {
            return false;
        }
        delay(queue, entry, due_ms);
        return true;
    }
    if (entry->place == PLACE_ACTIVE) {
        entry->again_ms = entry->again ? tt_u64_min(entry->again_ms, due_ms) : due_ms;
        entry->again = true;
    } else if (entry->place == PLACE_DELAYED && !entry->backing_off && due_ms < entry->due_ms) {
        undelay(queue, entry);
        delay(queue, entry, due_ms);
    }
    return true;
}

static void wake_due(struct tt_key_queue *queue, uint64_t now_ms)
{
    while (queue->heap_count > 0 && queue->heap[0]->due_ms <= now_ms) {
        struct entry *entry = queue->heap[0];
        undelay(queue, entry);
        make_ready(queue, entry);
    }
}

bool tt_key_queue_take(struct tt_key_queue *queue, uint64_t now_ms, struct tt_str *ret_key)
{
    wake_due(queue, now_ms);
    struct tt_list *link = tt_list_pop_front(&queue->ready);
    if (link == NULL) {
        return false;
    }
    struct entry *entry = TT_CONTAINER_OF(link, struct entry, link);
    TT_ASSERT(entry->place == PLACE_READY);
    queue->ready_count--;
    queue->active_count++;
    entry->place = PLACE_ACTIVE;
    entry->again = false;
    *ret_key = entry->key;
    return true;
}

static uint64_t backoff_ms(const struct tt_key_queue *queue, uint32_t failures)
{
    uint64_t wait = queue->limits.backoff_ms_min;
    for (uint32_t i = 1; i < failures && wait < queue->limits.backoff_ms_max; i++) {
        wait *= 2;
    }
    return tt_u64_min(wait, queue->limits.backoff_ms_max);
}

void tt_key_queue_done(struct tt_key_queue *queue, struct tt_str key, enum tt_key_outcome outcome,
                       uint64_t now_ms)
{
    struct entry *entry = tt_map_get(queue->entries, key);
    TT_ASSERT(entry != NULL);
    TT_ASSERT(entry->place == PLACE_ACTIVE);
    queue->active_count--;
    if (outcome == TT_KEY_RETRY) {
        entry->failures++;
        delay(queue, entry, now_ms + backoff_ms(queue, entry->failures));
        entry->backing_off = true;
        return;
    }
    entry->failures = 0;
    if (entry->again) {
        delay(queue, entry, entry->again_ms);
        return;
    }
    (void)tt_map_remove(queue->entries, key); /* frees the entry; it was found above */
}

uint64_t tt_key_queue_next_due_ms(struct tt_key_queue *queue, uint64_t now_ms)
{
    if (!tt_list_empty(&queue->ready)) {
        return now_ms;
    }
    return queue->heap_count > 0 ? tt_u64_max(queue->heap[0]->due_ms, now_ms) : UINT64_MAX;
}

void tt_key_queue_clear(struct tt_key_queue *queue)
{
    struct tt_str key;
    void *value;
    for (size_t i = 0; tt_map_next(queue->entries, &i, &key, &value);) {
        struct entry *entry = value;
        entry->again = false;
        if (entry->place != PLACE_ACTIVE) {
            (void)tt_map_remove(queue->entries, key); /* it is the current one */
        }
    }
    tt_list_init(&queue->ready);
    queue->ready_count = 0;
    queue->heap_count = 0;
}

size_t tt_key_queue_ready_count(const struct tt_key_queue *queue)
{
    return queue->ready_count;
}

size_t tt_key_queue_active_count(const struct tt_key_queue *queue)
{
    return queue->active_count;
}
