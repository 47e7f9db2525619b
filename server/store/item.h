/* Inside of struct tt_item, and the header that everything owned by a version lineage shares.
 *
 * Ownership: an item is born with one reference, the tree's. The change that replaces or deletes it
 * takes that over, as its prev; readers take more as they like. Tree nodes, separators and history
 * chunks have no reference counts: they live from the batch that made them to the death of the last
 * version that can reach them (lineage.h). Thread: made by the writer, read by any. Errors: none.
 */
#ifndef SERVER_STORE_ITEM_H
#define SERVER_STORE_ITEM_H

#include <stdatomic.h>

#include "server/store/version.h"

enum store_garbage_kind {
    STORE_GARBAGE_ITEM,
    STORE_GARBAGE_LEAF,
    STORE_GARBAGE_INNER,
    STORE_GARBAGE_SEPARATOR,
    STORE_GARBAGE_CHUNK,
    STORE_GARBAGE_DIRECTORY
};
/* First member of everything that is retired by the writer and freed later. */
struct store_garbage {
    struct store_garbage *next; /* in a retired list; readers never look at it */
    uint64_t birth : 56; /* batch that made it: versions of earlier batches cannot reach it */
    uint64_t kind : 8;   /* enum store_garbage_kind */
};
/* Retired things, appended and joined in O(1). */
struct store_garbage_list {
    struct store_garbage *first; /* freed or sorted out first; NULL: empty */
    struct store_garbage *last;  /* meaningless when first is NULL */
    size_t count;                /* in the list; many are handed to the reclaimer */
};
static inline void store_garbage_push(struct store_garbage_list *list, struct store_garbage *g)
{
    g->next = NULL;
    if (list->last) {
        list->last->next = g;
    } else {
        list->first = g;
    }
    list->last = g;
    list->count++;
}
/* Moves all of `from` behind `to`. */
void store_garbage_join(struct store_garbage_list *to, struct store_garbage_list *from);
/* Frees one thing by its kind; nothing may reach it any more. The items that a chunk owns are freed
 * like it when they were born after `batch`: older versions may have them in their trees, so the
 * others go onto `keep`. */
void store_garbage_free(struct store_garbage *garbage, uint64_t batch,
                        struct store_garbage_list *keep);
void store_garbage_list_free(struct store_garbage_list *list);

struct store_item {
    struct store_garbage garbage; /* first member */
    atomic_uint refs;             /* of the tree or history, and readers; freed at 0 */
    uint32_t unused;              /* padding, zero */
    uint64_t digest;              /* store_item_digest */
    struct tt_item item; /* key, key id and bytes lie behind this struct in one allocation */
};
static inline struct store_item *store_item_of(const struct tt_item *item)
{
    return TT_CONTAINER_OF(item, struct store_item, item);
}
/* Copies key and value. Born in `batch` with one reference, not sealed yet. */
struct store_item *store_item_new(struct tt_str key, const struct tt_value *value, uint64_t batch);
/* Sets the revisions and the digest, once, before anybody else sees the item. */
void store_item_seal(struct store_item *item, uint64_t create_revision, uint64_t mod_revision);
/* Live bytes of an item as tt_version_bytes counts them. */
static inline uint64_t store_item_bytes(const struct tt_item *item)
{
    return (uint64_t)item->key.len + item->value.key_id.len + item->value.bytes.len;
}

#endif
