/* See tree_hint.h. Entries with equal words (keys that go on alike, or that end: missing bytes
 * count as zero) are told apart by comparing them in full. */
#include "server/store/tree_hint.h"

#include "server/store/tree.h"

static uint32_t word_of(struct tt_str key, size_t prefix)
{
    uint32_t word = 0;
    for (size_t i = 0; i < 4; i++) {
        size_t at = prefix + i;
        word = word << 8 | (at < key.len ? (unsigned char)key.ptr[at] : 0u);
    }
    return word;
}

static size_t common_size(struct tt_str a, struct tt_str b)
{
    size_t size = 0;
    while (size < a.len && size < b.len && a.ptr[size] == b.ptr[size]) {
        size++;
    }
    return size;
}

/* Binary search in [low, high) comparing whole keys. */
static size_t find_plain(const void *node, size_t low, size_t high, tree_key_at *key_at,
                         struct tt_str key, bool *ret_found)
{
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = store_key_cmp(key_at(node, middle), key);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *ret_found = false;
    return low;
}

size_t tree_hints_find(const struct tree_hints *hints, const void *node, size_t count,
                       tree_key_at *key_at, struct tt_str key, bool *ret_found)
{
    if (key.len < hints->prefix) {
        return find_plain(node, 0, count, key_at, key, ret_found);
    }
    uint32_t word = word_of(key, hints->prefix);
    size_t low = 0;
    for (size_t left = count; left > 0;) {
        size_t half = left / 2;
        bool right = hints->words[low + half] < word;
        low += right ? half + 1 : 0;
        left = right ? left - half - 1 : half;
    }
    size_t high = low;
    while (high < count && hints->words[high] == word) {
        high++;
    }
    size_t at = find_plain(node, low, high, key_at, key, ret_found);
    if (*ret_found) {
        return at;
    }
    bool between = (at == 0 || store_key_cmp(key_at(node, at - 1), key) < 0) &&
                   (at == count || store_key_cmp(key_at(node, at), key) > 0);
    return between ? at : find_plain(node, 0, count, key_at, key, ret_found);
}

void tree_hints_build(struct tree_hints *hints, const void *node, size_t count, tree_key_at *key_at)
{
    TT_ASSERT(count <= TREE_HINT_MAX);
    hints->prefix = 0;
    if (count > 0) {
        hints->prefix = (uint32_t)common_size(key_at(node, 0), key_at(node, count - 1));
    }
    for (size_t i = 0; i < count; i++) {
        hints->words[i] = word_of(key_at(node, i), hints->prefix);
    }
}

void tree_hints_insert(struct tree_hints *hints, const void *node, size_t count,
                       tree_key_at *key_at, size_t at)
{
    TT_ASSERT(at < count && count <= TREE_HINT_MAX);
    if (at == 0 || at == count - 1) {
        size_t prefix = common_size(key_at(node, 0), key_at(node, count - 1));
        if (prefix != hints->prefix) {
            tree_hints_build(hints, node, count, key_at);
            return;
        }
    }
    /* A key between two others begins with what they have in common. */
    memmove(hints->words + at + 1, hints->words + at, (count - 1 - at) * sizeof hints->words[0]);
    hints->words[at] = word_of(key_at(node, at), hints->prefix);
}

void tree_hints_remove(struct tree_hints *hints, size_t count, size_t at)
{
    TT_ASSERT(at <= count);
    memmove(hints->words + at, hints->words + at + 1, (count - at) * sizeof hints->words[0]);
}

bool tree_hints_valid(const struct tree_hints *hints, const void *node, size_t count,
                      tree_key_at *key_at)
{
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        good = common_size(key_at(node, 0), key_at(node, i)) >= hints->prefix &&
               hints->words[i] == word_of(key_at(node, i), hints->prefix);
    }
    return good;
}
