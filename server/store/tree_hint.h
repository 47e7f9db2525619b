/* Finding a key among the sorted keys of a node without touching most of them.
 *
 * The keys of a node lie all over memory, so a binary search over them costs a cache miss a step.
 * A node keeps what all its keys have in common, and of each key the four bytes behind that, as a
 * number in one array. A key sought that does not begin with the common part is before or behind
 * all keys; otherwise the search goes over the numbers, and only keys with the very same number
 * are looked at. So a place between two keys is found within the node, and a key that is there by
 * looking at that key alone, as long as the four bytes tell the keys apart.
 * Ownership: embedded in nodes. Thread: that of the node. Errors: none. */
#ifndef SERVER_STORE_TREE_HINT_H
#define SERVER_STORE_TREE_HINT_H

#include "base/str.h"

/* The lead fills a leaf up to a size that the allocator rounds it to anyway. */
enum { TREE_HINT_MAX = 64, TREE_LEAD_SIZE = 92 };
struct tree_hints {
    uint32_t prefix;               /* bytes that all keys of the node have in common, or fewer */
    char lead[TREE_LEAD_SIZE];     /* the first of those; when there are more, the keys have them */
    uint32_t words[TREE_HINT_MAX]; /* of key i: four bytes behind the prefix, big-endian */
};
/* The key of entry i of a node. */
typedef struct tt_str tree_key_at(const void *node, size_t i);
/* The keys of a node, rising. */
struct tree_keys {
    const void *node; /* what `at` is called with */
    size_t count;     /* of keys */
    tree_key_at *at;  /* reads one */
};

/* The first half of a search, which looks at no key: the entry to look at, *ret_maybe when it has
 * the word of the key. Otherwise it is the first whose key is not smaller, and the key is absent.
 */
size_t tree_hints_guess(const struct tree_hints *hints, const struct tree_keys *keys,
                        struct tt_str key, bool *ret_maybe);
/* The second half, of a guess that is a maybe: first entry whose key is not smaller; *ret_found
 * when equal. */
size_t tree_hints_confirm(const struct tree_hints *hints, const struct tree_keys *keys,
                          struct tt_str key, size_t guess, bool *ret_found);
/* Both halves. */
size_t tree_hints_find(const struct tree_hints *hints, const struct tree_keys *keys,
                       struct tt_str key, bool *ret_found);
/* Of the hints of a node with `count` entries, for a copy of the node. */
void tree_hints_copy(struct tree_hints *to, const struct tree_hints *from, size_t count);
/* All anew. */
void tree_hints_build(struct tree_hints *hints, const struct tree_keys *keys);
/* Entry `at` was put into the node, which has `keys` now. */
void tree_hints_insert(struct tree_hints *hints, const struct tree_keys *keys, size_t at);
/* Entry `at` was taken out of the node, which has `count` now. */
void tree_hints_remove(struct tree_hints *hints, size_t count, size_t at);
/* For tests. */
bool tree_hints_valid(const struct tree_hints *hints, const struct tree_keys *keys);

#endif
