/* Finding a key among the sorted keys of a node without touching most of them.
 *
 * The keys of a node lie all over memory, so a binary search over them costs a cache miss a step.
 * A node keeps of each key the four bytes behind what all its keys have in common, as a number in
 * one array; the search goes over the numbers and confirms with one or two keys. What is assumed
 * (that the key sought begins like the others) is checked at the end by comparing with the
 * neighbours; when it was wrong, a plain binary search decides.
 * Ownership: embedded in nodes. Thread: that of the node. Errors: none. */
#ifndef SERVER_STORE_TREE_HINT_H
#define SERVER_STORE_TREE_HINT_H

#include "base/str.h"

enum { TREE_HINT_MAX = 64 };
struct tree_hints {
    uint32_t prefix;               /* bytes that all keys of the node have in common, or fewer */
    uint32_t words[TREE_HINT_MAX]; /* of key i: four bytes behind the prefix, big-endian */
};
/* The key of entry i of a node. */
typedef struct tt_str tree_key_at(const void *node, size_t i);

/* First entry whose key is not smaller; *ret_found when equal. */
size_t tree_hints_find(const struct tree_hints *hints, const void *node, size_t count,
                       tree_key_at *key_at, struct tt_str key, bool *ret_found);
/* All anew, for `count` entries. */
void tree_hints_build(struct tree_hints *hints, const void *node, size_t count,
                      tree_key_at *key_at);
/* Entry `at` was put into the node, which has `count` now. */
void tree_hints_insert(struct tree_hints *hints, const void *node, size_t count,
                       tree_key_at *key_at, size_t at);
/* Entry `at` was taken out of the node, which has `count` now. */
void tree_hints_remove(struct tree_hints *hints, size_t count, size_t at);
/* For tests. */
bool tree_hints_valid(const struct tree_hints *hints, const void *node, size_t count,
                      tree_key_at *key_at);

#endif
