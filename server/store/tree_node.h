/* Shared by the files of the tree (tree.c reads and inserts, tree_remove.c removes): making nodes
 * writable and finding places in them. Ownership, thread, errors: as in tree.h. */
#ifndef SERVER_STORE_TREE_NODE_H
#define SERVER_STORE_TREE_NODE_H

#include "server/store/tree.h"

static inline bool tree_is_leaf(const struct store_garbage *node)
{
    return node->kind == STORE_GARBAGE_LEAF;
}
static inline struct store_leaf *tree_leaf(struct store_garbage *node)
{
    return TT_CONTAINER_OF(node, struct store_leaf, garbage);
}
static inline struct store_inner *tree_inner(struct store_garbage *node)
{
    return TT_CONTAINER_OF(node, struct store_inner, garbage);
}
/* The node itself when this batch made it, otherwise a copy that took its place. */
struct store_leaf *tree_leaf_writable(struct store_tree_writer *writer,
                                      struct store_garbage **slot);
struct store_inner *tree_inner_writable(struct store_tree_writer *writer,
                                        struct store_garbage **slot);
/* First index whose key is not smaller; *ret_found when equal. */
size_t tree_leaf_find(const struct store_leaf *leaf, struct tt_str key, bool *ret_found);
struct tt_str tree_leaf_key(const void *leaf, size_t i);
struct tt_str tree_inner_key(const void *inner, size_t i); /* of separator i */
static inline struct tree_keys tree_leaf_keys(const struct store_leaf *leaf)
{
    return (struct tree_keys){leaf, leaf->count, tree_leaf_key};
}
static inline struct tree_keys tree_inner_keys(const struct store_inner *inner)
{
    return (struct tree_keys){inner, inner->count - 1, tree_inner_key};
}
static inline void tree_leaf_hint(struct store_leaf *leaf)
{
    struct tree_keys keys = tree_leaf_keys(leaf);
    tree_hints_build(&leaf->hints, &keys);
}
static inline void tree_inner_hint(struct store_inner *inner)
{
    struct tree_keys keys = tree_inner_keys(inner);
    tree_hints_build(&inner->hints, &keys);
}
/* The child that holds the key if any does. */
size_t tree_inner_find(const struct store_inner *inner, struct tt_str key);
uint32_t tree_node_items(struct store_garbage *node);
/* The shortest string above left and not above right. */
struct store_separator *tree_separator_new(struct store_tree_writer *writer, struct tt_str left,
                                           struct tt_str right);

/* Children of one or two neighbours laid out in a row, to be dealt out again. */
enum { TREE_RUN_MAX = 2 * STORE_TREE_INNER_MAX };
struct tree_run {
    size_t count; /* of children */
    /* of one or two neighbours, before they are dealt out again */
    struct store_garbage *children[TREE_RUN_MAX];
    struct store_separator *separators[TREE_RUN_MAX]; /* [i] before child i + 1 */
    uint32_t counts[TREE_RUN_MAX];                    /* items below child i */
};
void tree_run_add(struct tree_run *run, const struct store_inner *inner);
void tree_run_deal(const struct tree_run *run, size_t first, size_t count,
                   struct store_inner *ret_inner);

#endif
