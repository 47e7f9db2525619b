/* Reading the tree and putting into it.
 *
 * A put finds its path, then walks down it, making each node on its way writable (tree_*_writable),
 * and walks up again: a node that was full has split, and hands the new right half and a separator
 * to its parent. A node that is appended to splits so that the left one stays full: keys that
 * arrive in order (restore, time-ordered names) give a dense tree. Depth is at most 12: with 16
 * children at least on average, far beyond memory.
 *
 *   inner   [ sep0 | sep1 | … ]          keys < sep0 → child 0, sep0 <= keys < sep1 → child 1 …
 *             /      |      \
 *   leaf   [items] [items] [items]
 */
#include "server/store/tree_node.h"

/* What a split hands to the parent. */
struct tree_split {
    struct store_garbage *right;       /* NULL: no split */
    struct store_separator *separator; /* not greater than any key in right; NULL: no split */
};

void store_tree_retire(struct store_tree_writer *writer, struct store_garbage *garbage)
{
    if (garbage->birth == writer->batch) {
        store_garbage_free(garbage, writer->batch - 1, &writer->retired);
    } else {
        TT_ASSERT(garbage->birth < writer->batch);
        store_garbage_push(&writer->retired, garbage);
    }
}

static struct store_leaf *leaf_new(struct store_tree_writer *writer)
{
    struct store_leaf *leaf = tt_xmalloc(sizeof *leaf);
    leaf->garbage = (struct store_garbage){.kind = STORE_GARBAGE_LEAF};
    leaf->garbage.birth = writer->batch & ((UINT64_C(1) << 56) - 1);
    leaf->count = 0;
    return leaf;
}

static struct store_inner *inner_new(struct store_tree_writer *writer)
{
    struct store_inner *inner = tt_xmalloc(sizeof *inner);
    inner->garbage = (struct store_garbage){.kind = STORE_GARBAGE_INNER};
    inner->garbage.birth = writer->batch & ((UINT64_C(1) << 56) - 1);
    inner->count = 0;
    return inner;
}

struct store_leaf *tree_leaf_writable(struct store_tree_writer *writer, struct store_garbage **slot)
{
    struct store_leaf *leaf = tree_leaf(*slot);
    if (leaf->garbage.birth == writer->batch) {
        return leaf;
    }
    struct store_leaf *copy = leaf_new(writer);
    copy->count = leaf->count;
    tree_hints_copy(&copy->hints, &leaf->hints, leaf->count);
    memcpy(copy->items, leaf->items, leaf->count * sizeof leaf->items[0]);
    store_tree_retire(writer, &leaf->garbage);
    *slot = &copy->garbage;
    return copy;
}

struct store_inner *tree_inner_writable(struct store_tree_writer *writer,
                                        struct store_garbage **slot)
{
    struct store_inner *inner = tree_inner(*slot);
    if (inner->garbage.birth == writer->batch) {
        return inner;
    }
    struct store_inner *copy = inner_new(writer);
    size_t count = inner->count;
    copy->count = count;
    tree_hints_copy(&copy->hints, &inner->hints, count - 1);
    memcpy(copy->children, inner->children, count * sizeof inner->children[0]);
    memcpy(copy->separators, inner->separators, (count - 1) * sizeof inner->separators[0]);
    memcpy(copy->counts, inner->counts, count * sizeof inner->counts[0]);
    store_tree_retire(writer, &inner->garbage);
    *slot = &copy->garbage;
    return copy;
}

/* The struct and, right behind it, the key: three lines of memory, all on their way at once. */
static void fetch_item(const struct store_item *item)
{
    __builtin_prefetch(item);
    __builtin_prefetch((const char *)item + 64);
    __builtin_prefetch((const char *)item + 128);
}

struct tt_str tree_leaf_key(const void *leaf, size_t i)
{
    const struct store_item *item = ((const struct store_leaf *)leaf)->items[i];
    fetch_item(item);
    return item->item.key;
}

struct tt_str tree_inner_key(const void *inner, size_t i)
{
    const struct store_separator *separator = ((const struct store_inner *)inner)->separators[i];
    return tt_str(separator->bytes, separator->size);
}

size_t tree_leaf_find(const struct store_leaf *leaf, struct tt_str key, bool *ret_found)
{
    struct tree_keys keys = tree_leaf_keys(leaf);
    return tree_hints_find(&leaf->hints, &keys, key, ret_found);
}

size_t tree_inner_find(const struct store_inner *inner, struct tt_str key)
{
    struct tree_keys keys = tree_inner_keys(inner);
    bool found;
    size_t at = tree_hints_find(&inner->hints, &keys, key, &found);
    return found ? at + 1 : at; /* a separator belongs to the right */
}

uint32_t tree_node_items(struct store_garbage *node)
{
    if (tree_is_leaf(node)) {
        return (uint32_t)tree_leaf(node)->count;
    }
    const struct store_inner *inner = tree_inner(node);
    uint64_t sum = 0;
    for (size_t i = 0; i < inner->count; i++) {
        sum += inner->counts[i];
    }
    TT_ASSERT(sum <= UINT32_MAX);
    return (uint32_t)sum;
}

struct store_separator *tree_separator_new(struct store_tree_writer *writer, struct tt_str left,
                                           struct tt_str right)
{
    size_t size = 0;
    while (size < left.len && size < right.len && left.ptr[size] == right.ptr[size]) {
        size++;
    }
    TT_ASSERT(size < right.len); /* right > left: it differs here, or goes on */
    size++;
    struct store_separator *separator = tt_xmalloc(sizeof *separator + size);
    separator->garbage = (struct store_garbage){.kind = STORE_GARBAGE_SEPARATOR};
    separator->garbage.birth = writer->batch & ((UINT64_C(1) << 56) - 1);
    separator->size = size;
    memcpy(separator->bytes, right.ptr, size);
    return separator;
}

void tree_run_add(struct tree_run *run, const struct store_inner *inner)
{
    TT_ASSERT(run->count + inner->count <= TREE_RUN_MAX);
    memcpy(run->children + run->count, inner->children, inner->count * sizeof run->children[0]);
    memcpy(run->counts + run->count, inner->counts, inner->count * sizeof run->counts[0]);
    memcpy(run->separators + run->count, inner->separators,
           (inner->count - 1) * sizeof run->separators[0]);
    run->count += inner->count;
}

void tree_run_deal(const struct tree_run *run, size_t first, size_t count,
                   struct store_inner *ret_inner)
{
    TT_ASSERT(count >= 1 && count <= STORE_TREE_INNER_MAX && first + count <= run->count);
    memcpy(ret_inner->children, run->children + first, count * sizeof run->children[0]);
    memcpy(ret_inner->counts, run->counts + first, count * sizeof run->counts[0]);
    memcpy(ret_inner->separators, run->separators + first, (count - 1) * sizeof run->separators[0]);
    ret_inner->count = count;
    tree_inner_hint(ret_inner);
}

static struct tree_split leaf_insert(struct store_tree_writer *writer, struct store_leaf *leaf,
                                     size_t at, struct store_item *item)
{
    struct tree_split split = {0};
    if (leaf->count == STORE_TREE_LEAF_MAX) {
        struct store_leaf *right = leaf_new(writer);
        size_t keep = at == leaf->count ? leaf->count : leaf->count / 2;
        right->count = leaf->count - keep;
        memcpy(right->items, leaf->items + keep, right->count * sizeof right->items[0]);
        if (keep < leaf->count) {
            leaf->count = keep;
            tree_leaf_hint(leaf);
        }
        tree_leaf_hint(right);
        split.right = &right->garbage;
        if (at >= keep && (at > keep || right->count == 0)) {
            at -= keep;
            leaf = right;
        }
    }
    memmove(leaf->items + at + 1, leaf->items + at, (leaf->count - at) * sizeof leaf->items[0]);
    leaf->items[at] = item;
    leaf->count++;
    struct tree_keys keys = tree_leaf_keys(leaf);
    tree_hints_insert(&leaf->hints, &keys, at);
    return split;
}

static struct tree_split inner_insert(struct store_tree_writer *writer, struct store_inner *inner,
                                      size_t at, struct tree_split child)
{
    struct tree_split split = {0};
    size_t tail = inner->count - at;
    if (inner->count < STORE_TREE_INNER_MAX) {
        memmove(inner->children + at + 1, inner->children + at, tail * sizeof inner->children[0]);
        memmove(inner->counts + at + 1, inner->counts + at, tail * sizeof inner->counts[0]);
        memmove(inner->separators + at, inner->separators + at - 1,
                tail * sizeof inner->separators[0]);
        inner->children[at] = child.right;
        inner->counts[at] = tree_node_items(child.right);
        inner->separators[at - 1] = child.separator;
        inner->count++;
        struct tree_keys keys = tree_inner_keys(inner);
        tree_hints_insert(&inner->hints, &keys, at - 1);
        return split;
    }
    struct tree_run run;
    run.count = 0;
    tree_run_add(&run, inner);
    memmove(run.children + at + 1, run.children + at, tail * sizeof run.children[0]);
    memmove(run.counts + at + 1, run.counts + at, tail * sizeof run.counts[0]);
    memmove(run.separators + at, run.separators + at - 1, tail * sizeof run.separators[0]);
    run.children[at] = child.right;
    run.counts[at] = tree_node_items(child.right);
    run.separators[at - 1] = child.separator;
    run.count++;
    size_t keep = tail == 0 ? run.count - 2 : run.count / 2;
    struct store_inner *right = inner_new(writer);
    tree_run_deal(&run, 0, keep, inner);
    tree_run_deal(&run, keep, run.count - keep, right);
    split.right = &right->garbage;
    split.separator = run.separators[keep - 1];
    return split;
}

/* A put on its way down and up again. */
struct tree_put {
    struct store_tree_writer *writer;   /* of the batch */
    const struct store_tree_path *path; /* where the item goes */
    struct store_item *item;            /* put */
    struct store_item *replaced;        /* out: what was there before; NULL: nothing */
};

static struct tree_split put_leaf(struct tree_put *put, struct store_garbage **slot)
{
    struct store_leaf *leaf = tree_leaf_writable(put->writer, slot);
    size_t at = put->path->index;
    put->replaced = put->path->item;
    if (put->replaced) {
        TT_ASSERT(leaf->items[at] == put->replaced);
        leaf->items[at] = put->item;
        return (struct tree_split){0};
    }
    struct tree_split split = leaf_insert(put->writer, leaf, at, put->item);
    if (split.right) {
        split.separator = tree_separator_new(put->writer, leaf->items[leaf->count - 1]->item.key,
                                             tree_leaf(split.right)->items[0]->item.key);
    }
    return split;
}

/* Recursion is bounded by the tree's depth. */
static struct tree_split put_node(struct tree_put *put, struct store_garbage **slot, size_t depth)
{
    if (depth == put->path->depth) {
        TT_ASSERT(tree_is_leaf(*slot));
        return put_leaf(put, slot);
    }
    struct store_inner *inner = tree_inner_writable(put->writer, slot);
    size_t at = put->path->child[depth];
    struct tree_split split = put_node(put, &inner->children[at], depth + 1);
    if (split.right) {
        inner->counts[at] = tree_node_items(inner->children[at]);
        return inner_insert(put->writer, inner, at + 1, split);
    }
    inner->counts[at] += put->replaced ? 0 : 1;
    return split;
}

static void put_first(struct store_tree *tree, struct store_tree_writer *writer,
                      struct store_item *item)
{
    struct store_leaf *leaf = leaf_new(writer);
    leaf->items[0] = item;
    leaf->count = 1;
    tree_leaf_hint(leaf);
    tree->root = &leaf->garbage;
    tree->count = 1;
}

struct store_item *store_tree_put_at(struct store_tree *tree, struct store_tree_writer *writer,
                                     const struct store_tree_path *path, struct store_item *item)
{
    TT_ASSERT(!path->maybe);
    if (!tree->root) {
        put_first(tree, writer, item);
        return NULL;
    }
    struct tree_put put = {.writer = writer, .path = path, .item = item};
    struct tree_split split = put_node(&put, &tree->root, 0);
    if (split.right) {
        struct store_inner *root = inner_new(writer);
        root->count = 2;
        root->children[0] = tree->root;
        root->children[1] = split.right;
        root->separators[0] = split.separator;
        root->counts[0] = tree_node_items(tree->root);
        root->counts[1] = tree_node_items(split.right);
        tree_inner_hint(root);
        tree->root = &root->garbage;
    }
    tree->count += put.replaced ? 0 : 1;
    return put.replaced;
}

struct store_item *store_tree_put(struct store_tree *tree, struct store_tree_writer *writer,
                                  struct store_item *item)
{
    struct store_tree_path path;
    store_tree_approach(tree, item->item.key, &path);
    (void)store_tree_arrive(&path, item->item.key); /* it is in the path */
    return store_tree_put_at(tree, writer, &path, item);
}

void store_tree_approach(const struct store_tree *tree, struct tt_str key,
                         struct store_tree_path *ret_path)
{
    struct store_garbage *node = tree->root;
    *ret_path = (struct store_tree_path){0};
    if (!node) {
        return;
    }
    while (!tree_is_leaf(node)) {
        TT_ASSERT(ret_path->depth < STORE_TREE_DEPTH_MAX);
        const struct store_inner *inner = tree_inner(node);
        size_t at = tree_inner_find(inner, key);
        ret_path->child[ret_path->depth++] = (uint8_t)at;
        node = inner->children[at];
    }
    const struct store_leaf *leaf = tree_leaf(node);
    struct tree_keys keys = tree_leaf_keys(leaf);
    size_t at = tree_hints_guess(&leaf->hints, &keys, key, &ret_path->maybe);
    ret_path->leaf = leaf;
    ret_path->index = (uint8_t)at;
    if (ret_path->maybe) {
        fetch_item(leaf->items[at]);
    }
}

struct store_item *store_tree_arrive(struct store_tree_path *path, struct tt_str key)
{
    if (path->maybe) {
        const struct store_leaf *leaf = path->leaf;
        struct tree_keys keys = tree_leaf_keys(leaf);
        bool found;
        size_t at = tree_hints_confirm(&leaf->hints, &keys, key, path->index, &found);
        path->maybe = false;
        path->index = (uint8_t)at;
        path->item = found ? leaf->items[at] : NULL;
    }
    return path->item;
}

struct store_item *store_tree_get(const struct store_tree *tree, struct tt_str key)
{
    struct store_tree_path path;
    store_tree_approach(tree, key, &path);
    return store_tree_arrive(&path, key);
}

uint64_t store_tree_rank(const struct store_tree *tree, struct tt_str key)
{
    struct store_garbage *node = tree->root;
    uint64_t rank = 0;
    if (!node) {
        return 0;
    }
    while (!tree_is_leaf(node)) {
        const struct store_inner *inner = tree_inner(node);
        size_t at = tree_inner_find(inner, key);
        for (size_t i = 0; i < at; i++) {
            rank += inner->counts[i];
        }
        node = inner->children[at];
    }
    bool found;
    return rank + tree_leaf_find(tree_leaf(node), key, &found);
}

/* Down the leftmost way from `node` to a leaf, recording it. */
static void descend_first(struct store_tree_cursor *cursor, struct store_garbage *node)
{
    while (!tree_is_leaf(node)) {
        TT_ASSERT(cursor->depth < STORE_TREE_DEPTH_MAX);
        cursor->inner[cursor->depth] = tree_inner(node);
        cursor->child[cursor->depth] = 0;
        node = tree_inner(node)->children[0];
        cursor->depth++;
    }
    cursor->leaf = tree_leaf(node);
    cursor->index = 0;
}

static void next_leaf(struct store_tree_cursor *cursor)
{
    cursor->leaf = NULL;
    while (cursor->depth > 0) {
        size_t above = cursor->depth - 1;
        const struct store_inner *inner = cursor->inner[above];
        if (++cursor->child[above] < inner->count) {
            descend_first(cursor, inner->children[cursor->child[above]]);
            return;
        }
        cursor->depth--;
    }
}

void store_tree_seek(const struct store_tree *tree, struct tt_str key,
                     struct store_tree_cursor *ret_cursor)
{
    struct store_garbage *node = tree->root;
    ret_cursor->leaf = NULL;
    ret_cursor->depth = 0;
    ret_cursor->index = 0;
    if (!node) {
        return;
    }
    while (!tree_is_leaf(node)) {
        TT_ASSERT(ret_cursor->depth < STORE_TREE_DEPTH_MAX);
        const struct store_inner *inner = tree_inner(node);
        size_t at = tree_inner_find(inner, key);
        ret_cursor->inner[ret_cursor->depth] = inner;
        ret_cursor->child[ret_cursor->depth] = at;
        ret_cursor->depth++;
        node = inner->children[at];
    }
    bool found;
    ret_cursor->leaf = tree_leaf(node);
    ret_cursor->index = tree_leaf_find(ret_cursor->leaf, key, &found);
}

struct store_item *store_tree_next(struct store_tree_cursor *cursor)
{
    while (cursor->leaf && cursor->index >= cursor->leaf->count) {
        next_leaf(cursor);
    }
    return cursor->leaf ? cursor->leaf->items[cursor->index++] : NULL;
}
