/* Items: one allocation each {struct store_item | key | key id | bytes}. The digest is computed
 * once, at birth, because the content hash needs it again when the item is replaced, long after its
 * bytes have left the cache. */
#include "server/store/item.h"

#include "server/store/hash.h"

static uint64_t item_digest(const struct tt_item *item)
{
    uint64_t h = store_digest(1, item->key);
    h = store_fold(h, item->create_revision);
    h = store_fold(h, item->mod_revision);
    h = store_fold(h, (uint64_t)item->value.codec << 32 | item->value.splice);
    if (item->value.key_id.len > 0) {
        h = store_fold(h, store_digest(2, item->value.key_id));
    }
    return store_fold(h, store_digest(3, item->value.bytes));
}

struct store_item *store_item_new(struct tt_str key, const struct tt_value *value, uint64_t batch)
{
    TT_ASSERT(key.len <= UINT32_MAX && value->bytes.len <= UINT32_MAX);
    size_t size = sizeof(struct store_item) + key.len + value->key_id.len + value->bytes.len;
    struct store_item *made = tt_xmalloc(size);
    char *behind = (char *)made + sizeof *made;
    *made = (struct store_item){
        .garbage = {.birth = batch & ((UINT64_C(1) << 56) - 1), .kind = STORE_GARBAGE_ITEM},
        .item = {.key = {behind, key.len},
                 .value = {.codec = value->codec,
                           .splice = value->splice,
                           .key_id = {behind + key.len, value->key_id.len},
                           .bytes = {behind + key.len + value->key_id.len, value->bytes.len}}},
    };
    atomic_init(&made->refs, 1);
    memcpy(behind, key.ptr, key.len);
    if (value->key_id.len > 0) {
        memcpy(behind + key.len, value->key_id.ptr, value->key_id.len);
    }
    if (value->bytes.len > 0) {
        memcpy(behind + key.len + value->key_id.len, value->bytes.ptr, value->bytes.len);
    }
    return made;
}

void store_item_seal(struct store_item *item, uint64_t create_revision, uint64_t mod_revision)
{
    item->item.create_revision = create_revision;
    item->item.mod_revision = mod_revision;
    item->digest = item_digest(&item->item);
}

const struct tt_item *tt_item_ref(const struct tt_item *item)
{
    unsigned before =
        atomic_fetch_add_explicit(&store_item_of(item)->refs, 1, memory_order_relaxed);
    TT_ASSERT(before > 0);
    return item;
}

void tt_item_unref(const struct tt_item *item)
{
    if (!item) {
        return;
    }
    struct store_item *in = store_item_of(item);
    unsigned before = atomic_fetch_sub_explicit(&in->refs, 1, memory_order_acq_rel);
    TT_ASSERT(before > 0);
    if (before == 1) {
        tt_free(in);
    }
}

void store_garbage_join(struct store_garbage_list *to, struct store_garbage_list *from)
{
    if (!from->first) {
        return;
    }
    if (to->last) {
        to->last->next = from->first;
    } else {
        to->first = from->first;
    }
    to->last = from->last;
    to->count += from->count;
    *from = (struct store_garbage_list){0};
}
