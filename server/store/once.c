/* See once.h. Key of an entry: its sequence, big-endian, so that the tree's order is age. Value:
 * {u64 time, u64 first, u64 last, u32 actor size, actor, request id}, little-endian.
 *
 * The index is two levels of hash maps, identity → {request id → entry}, each small enough to grow
 * without a stall. Every removal is decided by replicated state alone (sequence, time, counts), so
 * that all members keep the same entries.
 */
#include "server/store/once.h"

#include "base/intmath.h"
#include "base/map.h"

enum { RECORD_FIXED_SIZE = 28, SEQUENCE_SIZE = 8 };

struct once_actor {
    char *name;             /* owned; the key in once->actors */
    size_t name_size;       /* bytes */
    struct tt_map *ids;     /* request id → struct once_entry */
    struct tt_list entries; /* oldest first */
};
struct once_entry {
    struct tt_list link;      /* actor->entries */
    struct once_actor *actor; /* owns the entry; freed with its last one */
    struct store_item *item;  /* the tree's */
};
struct store_once {
    struct tt_map *actors; /* identity → struct once_actor */
};

static void actor_free(void *value)
{
    struct once_actor *actor = value;
    struct tt_list *link;
    while ((link = tt_list_pop_front(&actor->entries))) {
        tt_free(TT_CONTAINER_OF(link, struct once_entry, link));
    }
    tt_map_free(actor->ids);
    tt_free(actor->name);
    tt_free(actor);
}

struct store_once *store_once_new(void)
{
    struct store_once *once = TT_NEW(struct store_once);
    once->actors = tt_map_new(STORE_ONCE_MAX + 1, actor_free);
    return once;
}

void store_once_free(struct store_once *once)
{
    if (once) {
        tt_map_free(once->actors);
        tt_free(once);
    }
}

static void sequence_put(char out[SEQUENCE_SIZE], uint64_t sequence)
{
    for (unsigned i = 0; i < SEQUENCE_SIZE; i++) {
        out[i] = (char)(unsigned char)(sequence >> (56 - 8 * i));
    }
}

bool store_once_decode(const struct tt_item *item, struct store_once_record *ret_record)
{
    struct tt_str bytes = item->value.bytes;
    const uint8_t *p = (const uint8_t *)(const void *)bytes.ptr;
    if (item->key.len != SEQUENCE_SIZE || bytes.len < RECORD_FIXED_SIZE) {
        return false;
    }
    uint64_t sequence = 0;
    for (unsigned i = 0; i < SEQUENCE_SIZE; i++) {
        sequence = sequence << 8 | (unsigned char)item->key.ptr[i];
    }
    size_t actor_size = tt_le32_get(p + 24);
    if (actor_size > bytes.len - RECORD_FIXED_SIZE) {
        return false;
    }
    *ret_record = (struct store_once_record){
        .sequence = sequence,
        .time_ms = tt_le64_get(p),
        .revision_first = tt_le64_get(p + 8),
        .revision_last = tt_le64_get(p + 16),
        .actor = tt_str(bytes.ptr + RECORD_FIXED_SIZE, actor_size),
        .request_id = tt_str_skip(bytes, RECORD_FIXED_SIZE + actor_size),
    };
    return true;
}

static struct store_item *record_item(const struct store_once_record *record, uint64_t batch)
{
    size_t size = RECORD_FIXED_SIZE + record->actor.len + record->request_id.len;
    TT_AUTO_FREE uint8_t *bytes = tt_xmalloc(size);
    tt_le64_put(bytes, record->time_ms);
    tt_le64_put(bytes + 8, record->revision_first);
    tt_le64_put(bytes + 16, record->revision_last);
    tt_le32_put(bytes + 24, (uint32_t)record->actor.len);
    if (record->actor.len > 0) {
        memcpy(bytes + RECORD_FIXED_SIZE, record->actor.ptr, record->actor.len);
    }
    memcpy(bytes + RECORD_FIXED_SIZE + record->actor.len, record->request_id.ptr,
           record->request_id.len);
    char key[SEQUENCE_SIZE];
    sequence_put(key, record->sequence);
    struct tt_value value = {.codec = TT_CODEC_RECORD, .bytes = tt_str((const char *)bytes, size)};
    struct store_item *item = store_item_new(tt_str(key, sizeof key), &value, batch);
    store_item_seal(item, 0, 0);
    return item;
}

static struct once_entry *find_entry(const struct store_once *once, struct tt_str actor_name,
                                     struct tt_str request_id)
{
    const struct once_actor *actor = tt_map_get(once->actors, actor_name);
    return actor ? tt_map_get(actor->ids, request_id) : NULL;
}

static bool expired(const struct store_once_record *record, uint64_t time_ms)
{
    return time_ms >= record->time_ms &&
           time_ms - record->time_ms > UINT64_C(3600000) * STORE_ONCE_HOURS;
}

bool store_once_find(const struct store_once *once, struct tt_str actor, struct tt_str request_id,
                     uint64_t time_ms, struct store_once_record *ret_record)
{
    const struct once_entry *entry = find_entry(once, actor, request_id);
    struct store_once_record record;
    if (!entry || !store_once_decode(&entry->item->item, &record) || expired(&record, time_ms)) {
        return false;
    }
    *ret_record = record;
    return true;
}

static void drop_entry(struct store_once *once, struct store_state *state,
                       struct store_tree_writer *writer, struct once_entry *entry)
{
    struct once_actor *actor = entry->actor;
    struct store_item *item = entry->item;
    struct store_once_record record;
    bool good = store_once_decode(&item->item, &record);
    TT_ASSERT(good);
    bool known = tt_map_remove(actor->ids, record.request_id);
    TT_ASSERT(known);
    tt_list_remove(&entry->link);
    tt_free(entry);
    if (tt_list_empty(&actor->entries)) {
        known = tt_map_remove(once->actors, tt_str(actor->name, actor->name_size));
        TT_ASSERT(known);
    }
    struct store_item *removed = store_tree_remove(&state->onces, writer, item->item.key);
    TT_ASSERT(removed == item);
    state->content_hash -= item->digest;
    store_tree_retire(writer, &item->garbage);
}

static struct once_entry *oldest(const struct store_once *once, const struct store_state *state)
{
    struct store_tree_cursor cursor;
    struct store_once_record record;
    store_tree_seek(&state->onces, TT_STR_NONE, &cursor);
    const struct store_item *item = store_tree_next(&cursor);
    if (!item || !store_once_decode(&item->item, &record)) {
        return NULL;
    }
    return find_entry(once, record.actor, record.request_id);
}

static struct once_actor *actor_get(struct store_once *once, struct tt_str name)
{
    struct once_actor *actor = tt_map_get(once->actors, name);
    if (!actor) {
        actor = TT_NEW(struct once_actor);
        actor->name = tt_str_xdup(name);
        actor->name_size = name.len;
        actor->ids = tt_map_new(STORE_ONCE_ACTOR_MAX, NULL);
        tt_list_init(&actor->entries);
        int r = tt_map_set(once->actors, name, actor, NULL);
        TT_ASSERT(r == 0); /* each identity has an entry, and there are fewer than the map holds */
    }
    return actor;
}

void store_once_add(struct store_once *once, struct store_state *state,
                    struct store_tree_writer *writer, const struct store_once_record *record)
{
    TT_ASSERT(record->request_id.len > 0);
    struct once_entry *same = find_entry(once, record->actor, record->request_id);
    if (same) {
        drop_entry(once, state, writer, same);
    }
    if (state->onces.count >= STORE_ONCE_MAX) {
        drop_entry(once, state, writer, oldest(once, state));
    }
    const struct once_actor *full = tt_map_get(once->actors, record->actor);
    if (full && tt_map_count(full->ids) >= STORE_ONCE_ACTOR_MAX) {
        drop_entry(once, state, writer,
                   TT_CONTAINER_OF(full->entries.next, struct once_entry, link));
    }
    struct once_actor *actor = actor_get(once, record->actor);
    struct once_entry *entry = TT_NEW(struct once_entry);
    entry->actor = actor;
    entry->item = record_item(record, writer->batch);
    int r = tt_map_set(actor->ids, record->request_id, entry, NULL);
    TT_ASSERT(r == 0);
    tt_list_push_back(&actor->entries, &entry->link);
    state->content_hash += entry->item->digest;
    struct store_item *replaced = store_tree_put(&state->onces, writer, entry->item);
    TT_ASSERT(!replaced);
}

void store_once_expire(struct store_once *once, struct store_state *state,
                       struct store_tree_writer *writer)
{
    for (unsigned i = 0; i < STORE_ONCE_EXPIRE_STEP && state->onces.count > 0; i++) {
        struct once_entry *entry = oldest(once, state);
        struct store_once_record record;
        if (!entry || !store_once_decode(&entry->item->item, &record) ||
            !expired(&record, state->time_ms)) {
            return;
        }
        drop_entry(once, state, writer, entry);
    }
}
