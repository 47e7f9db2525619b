/* The ordered map: a copy-on-write B+tree of items.
 *
 * A struct store_tree is a root pointer; copying it is a snapshot. The writer changes nodes that
 * were made in its own batch in place and copies all others, handing the old ones to its retired
 * list; it never touches a node that a published version reaches. Items lie in leaves only; inner
 * nodes separate their children by short strings of their own (the shortest that separates), so a
 * deleted item is not pinned by them, and count the items below each child. Ownership: nodes and
 * items belong to the lineage (item.h); what a root reaches stays until the versions that hold it
 * are gone. Thread: changes on the writer's thread, reads from any. Errors: none.
 */
#ifndef SERVER_STORE_TREE_H
#define SERVER_STORE_TREE_H

#include "server/store/item.h"
#include "server/store/tree_hint.h"

enum { STORE_TREE_LEAF_MAX = 64, STORE_TREE_INNER_MAX = 64, STORE_TREE_DEPTH_MAX = 12 };

/* Shared by all inner nodes that copy it. */
struct store_separator {
    struct store_garbage garbage; /* first; retired when no inner node of the new tree has it */
    size_t size;                  /* of bytes */
    char bytes[]; /* greater than every key left of it, not greater than any key right of it */
};
struct store_leaf {
    struct store_garbage garbage; /* first; its birth says if the batch may change it in place */
    size_t count;                 /* of items; at least 1 (an empty tree has no root) */
    struct tree_hints hints;      /* of the items' keys */
    struct store_item *items[STORE_TREE_LEAF_MAX]; /* by key, strictly rising */
};
struct store_inner {
    struct store_garbage garbage; /* first; its birth says if the batch may change it in place */
    size_t count;                 /* of children; at least 2 */
    struct tree_hints hints;      /* of the separators */
    struct store_garbage *children[STORE_TREE_INNER_MAX];     /* all leaves or all inner */
    struct store_separator *separators[STORE_TREE_INNER_MAX]; /* [i] lies before child i + 1 */
    uint32_t counts[STORE_TREE_INNER_MAX];                    /* items below child i */
};
struct store_tree {
    struct store_garbage *root; /* NULL when empty */
    uint64_t count;             /* items */
};
/* What a change needs to know of the batch it belongs to. */
struct store_tree_writer {
    uint64_t batch;                    /* nodes of this birth are changed in place */
    struct store_garbage_list retired; /* of this batch */
};

/* Where a key is, or would be. Good until the tree changes. */
struct store_tree_path {
    const struct store_leaf *leaf;       /* NULL: the tree is empty */
    struct store_item *item;             /* there; NULL: absent, or not known yet */
    uint8_t depth;                       /* inner nodes above the leaf */
    uint8_t child[STORE_TREE_DEPTH_MAX]; /* taken at each of them; [0, depth) */
    uint8_t index;                       /* in the leaf */
    bool maybe;                          /* not known yet: the key may be at the index */
};
_Static_assert(STORE_TREE_INNER_MAX <= UINT8_MAX && STORE_TREE_LEAF_MAX < UINT8_MAX,
               "places in nodes fit a path");

struct store_item *store_tree_get(const struct store_tree *tree, struct tt_str key);
/* The same in two steps, and with the way there for a put. The first only has the item brought near
 * from memory: whoever has something else to do meanwhile does it before the second. */
void store_tree_approach(const struct store_tree *tree, struct tt_str key,
                         struct store_tree_path *ret_path);
struct store_item *store_tree_arrive(struct store_tree_path *path, struct tt_str key);
/* Takes the item's first reference. Returns what it replaces (NULL: nothing), still referenced: the
 * caller retires it. */
struct store_item *store_tree_put(struct store_tree *tree, struct store_tree_writer *writer,
                                  struct store_item *item);
/* The same when the path of the item's key was walked already and the tree is as it was then. */
struct store_item *store_tree_put_at(struct store_tree *tree, struct store_tree_writer *writer,
                                     const struct store_tree_path *path, struct store_item *item);
/* Returns what was removed, to be retired by the caller; NULL when the key is absent. */
struct store_item *store_tree_remove(struct store_tree *tree, struct store_tree_writer *writer,
                                     struct tt_str key);
/* Frees what this batch made itself, keeps the rest on the retired list. */
void store_tree_retire(struct store_tree_writer *writer, struct store_garbage *garbage);
/* Items with a key smaller than `key`. */
uint64_t store_tree_rank(const struct store_tree *tree, struct tt_str key);
/* Everything the root reaches goes onto the list. */
void store_tree_collect(const struct store_tree *tree, struct store_garbage_list *list);
/* Order, counts and fill of every node: for tests and for a restored tree in tests. */
bool store_tree_valid(const struct store_tree *tree);

struct store_tree_cursor {
    const struct store_leaf *leaf;                         /* NULL at the end */
    size_t index;                                          /* in leaf */
    size_t depth;                                          /* inner nodes above */
    const struct store_inner *inner[STORE_TREE_DEPTH_MAX]; /* the way from the root; [0, depth) */
    size_t child[STORE_TREE_DEPTH_MAX];                    /* taken at each of them */
};
/* At the first item whose key is not smaller than `key`. The tree's nodes must stay. */
void store_tree_seek(const struct store_tree *tree, struct tt_str key,
                     struct store_tree_cursor *ret_cursor);
/* The item at the cursor, which moves on; NULL at the end. */
struct store_item *store_tree_next(struct store_tree_cursor *cursor);

/* Bytewise, a prefix before what it begins. */
static inline int store_key_cmp(struct tt_str a, struct tt_str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;
    if (order == 0 && a.len != b.len) {
        order = a.len < b.len ? -1 : 1;
    }
    return order;
}

#endif
