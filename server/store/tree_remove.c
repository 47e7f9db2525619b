/* Removing from the tree, and walking it whole.
 *
 * A remove walks down making nodes writable; on the way up a child that fell below a quarter is
 * joined with a neighbour, or the two share evenly when together they would be nearly full (so that
 * puts and removes in turn do not split and join the same nodes for ever). An inner root with one
 * child is replaced by it; an empty leaf as root by nothing.
 */
#include "server/store/tree_node.h"

enum {
    LEAF_MIN = STORE_TREE_LEAF_MAX / 4,
    LEAF_JOIN_MAX = STORE_TREE_LEAF_MAX * 3 / 4,
    INNER_MIN = STORE_TREE_INNER_MAX / 4,
    INNER_JOIN_MAX = STORE_TREE_INNER_MAX * 3 / 4
};

/* Takes child `at` and the separator before it out of the row. */
static void inner_drop(struct store_inner *inner, size_t at)
{
    size_t tail = inner->count - at - 1;
    memmove(inner->children + at, inner->children + at + 1, tail * sizeof inner->children[0]);
    memmove(inner->counts + at, inner->counts + at + 1, tail * sizeof inner->counts[0]);
    memmove(inner->separators + at - 1, inner->separators + at, tail * sizeof inner->separators[0]);
    inner->count--;
    tree_hints_remove(&inner->hints, inner->count - 1, at - 1);
}

static void balance_leaves(struct store_tree_writer *writer, struct store_inner *parent, size_t at)
{
    struct store_leaf *left = tree_leaf_writable(writer, &parent->children[at]);
    size_t total = left->count + tree_leaf(parent->children[at + 1])->count;
    struct store_separator *separator = parent->separators[at];
    if (total <= LEAF_JOIN_MAX) {
        struct store_leaf *right = tree_leaf(parent->children[at + 1]);
        memcpy(left->items + left->count, right->items, right->count * sizeof right->items[0]);
        left->count = total;
        tree_leaf_hint(left);
        parent->counts[at] = (uint32_t)total;
        inner_drop(parent, at + 1);
        store_tree_retire(writer, &right->garbage);
        store_tree_retire(writer, &separator->garbage);
        return;
    }
    struct store_leaf *right = tree_leaf_writable(writer, &parent->children[at + 1]);
    struct store_item *row[2 * STORE_TREE_LEAF_MAX];
    size_t keep = total / 2;
    memcpy(row, left->items, left->count * sizeof row[0]);
    memcpy(row + left->count, right->items, right->count * sizeof row[0]);
    memcpy(left->items, row, keep * sizeof row[0]);
    memcpy(right->items, row + keep, (total - keep) * sizeof row[0]);
    left->count = keep;
    right->count = total - keep;
    tree_leaf_hint(left);
    tree_leaf_hint(right);
    parent->counts[at] = (uint32_t)keep;
    parent->counts[at + 1] = (uint32_t)(total - keep);
    parent->separators[at] =
        tree_separator_new(writer, left->items[keep - 1]->item.key, right->items[0]->item.key);
    tree_inner_hint(parent);
    store_tree_retire(writer, &separator->garbage);
}

static void balance_inners(struct store_tree_writer *writer, struct store_inner *parent, size_t at)
{
    struct store_inner *left = tree_inner_writable(writer, &parent->children[at]);
    struct tree_run run;
    run.count = 0;
    tree_run_add(&run, left);
    run.separators[run.count - 1] = parent->separators[at];
    tree_run_add(&run, tree_inner(parent->children[at + 1]));
    if (run.count <= INNER_JOIN_MAX) {
        struct store_garbage *right = parent->children[at + 1];
        tree_run_deal(&run, 0, run.count, left);
        parent->counts[at] = tree_node_items(&left->garbage);
        inner_drop(parent, at + 1);
        store_tree_retire(writer, right);
        return;
    }
    struct store_inner *right = tree_inner_writable(writer, &parent->children[at + 1]);
    size_t keep = run.count / 2;
    tree_run_deal(&run, 0, keep, left);
    tree_run_deal(&run, keep, run.count - keep, right);
    parent->separators[at] = run.separators[keep - 1];
    tree_inner_hint(parent);
    parent->counts[at] = tree_node_items(&left->garbage);
    parent->counts[at + 1] = tree_node_items(&right->garbage);
}

static void balance(struct store_tree_writer *writer, struct store_inner *parent, size_t at)
{
    struct store_garbage *child = parent->children[at];
    bool leaf = tree_is_leaf(child);
    bool low = leaf ? tree_leaf(child)->count < LEAF_MIN : tree_inner(child)->count < INNER_MIN;
    if (!low) {
        return;
    }
    TT_ASSERT(parent->count >= 2);
    size_t left = at > 0 ? at - 1 : 0;
    if (leaf) {
        balance_leaves(writer, parent, left);
    } else {
        balance_inners(writer, parent, left);
    }
}

/* The key is known to be there. Recursion is bounded by the depth. */
static struct store_item *remove_node(struct store_tree_writer *writer, struct store_garbage **slot,
                                      struct tt_str key)
{
    if (tree_is_leaf(*slot)) {
        struct store_leaf *leaf = tree_leaf_writable(writer, slot);
        bool found;
        size_t at = tree_leaf_find(leaf, key, &found);
        TT_ASSERT(found);
        struct store_item *removed = leaf->items[at];
        leaf->count--;
        memmove(leaf->items + at, leaf->items + at + 1, (leaf->count - at) * sizeof leaf->items[0]);
        tree_hints_remove(&leaf->hints, leaf->count, at);
        return removed;
    }
    struct store_inner *inner = tree_inner_writable(writer, slot);
    size_t at = tree_inner_find(inner, key);
    struct store_item *removed = remove_node(writer, &inner->children[at], key);
    inner->counts[at]--;
    balance(writer, inner, at);
    return removed;
}

struct store_item *store_tree_remove(struct store_tree *tree, struct store_tree_writer *writer,
                                     struct tt_str key)
{
    if (!store_tree_get(tree, key)) {
        return NULL;
    }
    struct store_item *removed = remove_node(writer, &tree->root, key);
    tree->count--;
    if (tree_is_leaf(tree->root)) {
        if (tree->count == 0) {
            store_tree_retire(writer, tree->root);
            tree->root = NULL;
        }
    } else if (tree_inner(tree->root)->count == 1) {
        struct store_garbage *old = tree->root;
        tree->root = tree_inner(old)->children[0];
        store_tree_retire(writer, old);
    }
    return removed;
}

static void collect_node(struct store_garbage *node, struct store_garbage_list *list)
{
    if (tree_is_leaf(node)) {
        const struct store_leaf *leaf = tree_leaf(node);
        for (size_t i = 0; i < leaf->count; i++) {
            store_garbage_push(list, &leaf->items[i]->garbage);
        }
    } else {
        const struct store_inner *inner = tree_inner(node);
        for (size_t i = 0; i < inner->count; i++) {
            collect_node(inner->children[i], list);
            if (i + 1 < inner->count) {
                store_garbage_push(list, &inner->separators[i]->garbage);
            }
        }
    }
    store_garbage_push(list, node);
}

void store_tree_collect(const struct store_tree *tree, struct store_garbage_list *list)
{
    if (tree->root) {
        collect_node(tree->root, list);
    }
}

static bool leaf_valid(const struct store_leaf *leaf, struct tt_str low, struct tt_str high)
{
    struct tree_keys keys = tree_leaf_keys(leaf);
    if (leaf->count < 1 || leaf->count > STORE_TREE_LEAF_MAX ||
        !tree_hints_valid(&leaf->hints, &keys)) {
        return false;
    }
    for (size_t i = 1; i < leaf->count; i++) {
        if (store_key_cmp(leaf->items[i - 1]->item.key, leaf->items[i]->item.key) >= 0) {
            return false;
        }
    }
    return store_key_cmp(low, leaf->items[0]->item.key) <= 0 &&
           (high.len == 0 || store_key_cmp(leaf->items[leaf->count - 1]->item.key, high) < 0);
}

/* Every key of the node lies in [low, high); an empty high means no end. */
static bool node_valid(struct store_garbage *node, struct tt_str low, struct tt_str high)
{
    if (tree_is_leaf(node)) {
        return leaf_valid(tree_leaf(node), low, high);
    }
    const struct store_inner *inner = tree_inner(node);
    struct tree_keys keys = tree_inner_keys(inner);
    bool good = inner->count >= 2 && inner->count <= STORE_TREE_INNER_MAX &&
                tree_hints_valid(&inner->hints, &keys);
    for (size_t i = 0; good && i < inner->count; i++) {
        struct tt_str to = i + 1 < inner->count ? tree_inner_key(inner, i) : high;
        good = inner->counts[i] == tree_node_items(inner->children[i]) &&
               tree_is_leaf(inner->children[i]) == tree_is_leaf(inner->children[0]) &&
               node_valid(inner->children[i], low, to);
        low = to;
    }
    return good;
}

bool store_tree_valid(const struct store_tree *tree)
{
    if (!tree->root) {
        return tree->count == 0;
    }
    return tree->count == tree_node_items(tree->root) &&
           node_valid(tree->root, TT_STR_NONE, TT_STR_NONE);
}
