#include "base/map.h"

#include "base/mem.h"

/* Open addressing with linear probing over a power-of-two table, at most three quarters in use.
 *
 * A removed entry leaves a grave, so that probe chains stay whole and an iteration may remove what
 * it stands on; graves go when the table is rebuilt, which only an insertion does. Failure modes:
 * full (count_max entries). */

enum { MAP_FIRST_SLOTS = 16 };

enum map_slot_state { SLOT_EMPTY, SLOT_GRAVE, SLOT_USED };

struct map_slot {
    char *key;                 /* owned copy, key_len bytes; only when used */
    size_t key_len;            /* bytes */
    uint64_t hash;             /* of the key: spares comparisons and rehashing */
    void *value;               /* never NULL when used */
    enum map_slot_state state; /* see above */
};

struct tt_map {
    struct map_slot *slots;          /* slot_count of them, NULL before the first set */
    size_t slot_count;               /* a power of two */
    size_t used;                     /* slots in use */
    size_t graves;                   /* slots that were in use */
    size_t count_max;                /* bound on used */
    void (*free_value)(void *value); /* may be NULL */
};

struct tt_map *tt_map_new(size_t count_max, void (*free_value)(void *value))
{
    TT_ASSERT(count_max <= SIZE_MAX / 8 / sizeof(struct map_slot));
    struct tt_map *map = TT_NEW(struct tt_map);
    map->count_max = count_max;
    map->free_value = free_value;
    return map;
}

static void drop_value(const struct tt_map *map, void *value)
{
    if (map->free_value) {
        map->free_value(value);
    }
}

void tt_map_free(struct tt_map *map)
{
    if (!map) {
        return;
    }
    for (size_t i = 0; i < map->slot_count; i++) {
        if (map->slots[i].state == SLOT_USED) {
            tt_free(map->slots[i].key);
            drop_value(map, map->slots[i].value);
        }
    }
    tt_free(map->slots);
    tt_free(map);
}

static struct map_slot *find_slot(const struct tt_map *map, struct tt_str key, uint64_t hash)
{
    if (map->slot_count == 0) {
        return NULL;
    }
    size_t mask = map->slot_count - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        struct map_slot *slot = &map->slots[i];
        if (slot->state == SLOT_EMPTY) {
            return NULL;
        }
        if (slot->state == SLOT_USED && slot->hash == hash &&
            tt_str_eq(tt_str(slot->key, slot->key_len), key)) {
            return slot;
        }
    }
}

void *tt_map_get(const struct tt_map *map, struct tt_str key)
{
    const struct map_slot *slot = find_slot(map, key, tt_str_hash(key));
    return slot ? slot->value : NULL;
}

/* The slot a new key of this hash goes to: the first grave or empty one on its way. */
static struct map_slot *free_slot(struct map_slot *slots, size_t slot_count, uint64_t hash)
{
    size_t mask = slot_count - 1;
    size_t i = (size_t)hash & mask;
    while (slots[i].state == SLOT_USED) {
        i = (i + 1) & mask;
    }
    return &slots[i];
}

/* Makes sure that one more entry leaves a quarter of the table empty. */
static void make_room(struct tt_map *map)
{
    if (map->slot_count > 0 && map->used + map->graves + 1 <= map->slot_count / 4 * 3) {
        return;
    }
    size_t slot_count = MAP_FIRST_SLOTS;
    while (slot_count / 2 < map->used + 1) {
        slot_count *= 2;
    }
    struct map_slot *slots = tt_xcalloc(slot_count, sizeof *slots);
    for (size_t i = 0; i < map->slot_count; i++) {
        if (map->slots[i].state == SLOT_USED) {
            *free_slot(slots, slot_count, map->slots[i].hash) = map->slots[i];
        }
    }
    tt_free(map->slots);
    map->slots = slots;
    map->slot_count = slot_count;
    map->graves = 0;
}

int tt_map_set(struct tt_map *map, struct tt_str key, void *value, struct tt_err *err)
{
    TT_ASSERT(value != NULL);
    uint64_t hash = tt_str_hash(key);
    struct map_slot *slot = find_slot(map, key, hash);
    if (slot) {
        void *old = slot->value;
        slot->value = value;
        if (old != value) {
            drop_value(map, old);
        }
        return TT_OK;
    }
    if (map->used >= map->count_max) {
        return TT_FAIL(err, TT_EBUSY, "map is full: %zu entries", map->used);
    }
    make_room(map);
    slot = free_slot(map->slots, map->slot_count, hash);
    map->graves -= slot->state == SLOT_GRAVE ? 1 : 0;
    *slot = (struct map_slot){tt_str_xdup(key), key.len, hash, value, SLOT_USED};
    map->used++;
    return TT_OK;
}

bool tt_map_remove(struct tt_map *map, struct tt_str key)
{
    struct map_slot *slot = find_slot(map, key, tt_str_hash(key));
    if (!slot) {
        return false;
    }
    struct map_slot old = *slot;
    *slot = (struct map_slot){.state = SLOT_GRAVE};
    map->used--;
    map->graves++;
    tt_free(old.key);
    drop_value(map, old.value);
    return true;
}

size_t tt_map_count(const struct tt_map *map)
{
    return map->used;
}

bool tt_map_next(const struct tt_map *map, size_t *cursor, struct tt_str *ret_key, void **ret_value)
{
    for (size_t i = *cursor; i < map->slot_count; i++) {
        const struct map_slot *slot = &map->slots[i];
        if (slot->state == SLOT_USED) {
            *ret_key = tt_str(slot->key, slot->key_len);
            *ret_value = slot->value;
            *cursor = i + 1;
            return true;
        }
    }
    *cursor = map->slot_count;
    return false;
}
