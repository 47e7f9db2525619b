/* See tree_hint.h. Entries with equal words (keys that go on alike, or that end: missing bytes
 * count as zero) are told apart by comparing them in full. Different words say which key is the
 * smaller one, also when one of them ends: where they differ first, a byte that is missing counts
 * as the smallest. */
#include "server/store/tree_hint.h"

#include "base/intmath.h"
#include "server/store/tree.h"

static uint32_t word_of(struct tt_str key, size_t prefix)
{
    uint32_t word = 0;
    if (key.len >= prefix + sizeof word) {
        memcpy(&word, key.ptr + prefix, sizeof word);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        word = __builtin_bswap32(word);
#endif
        return word;
    }
    for (size_t i = 0; i < sizeof word; i++) {
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
static size_t find_plain(const struct tree_keys *keys, size_t low, size_t high, struct tt_str key,
                         bool *ret_found)
{
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = store_key_cmp(keys->at(keys->node, middle), key);
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

/* What all keys begin with; entry `holder` is one of them, if there are any. */
static struct tt_str common_part(const struct tree_hints *hints, const struct tree_keys *keys,
                                 size_t holder)
{
    bool kept = hints->prefix <= sizeof hints->lead;
    return tt_str(kept ? hints->lead : keys->at(keys->node, holder).ptr, hints->prefix);
}

static bool begins_with(struct tt_str key, struct tt_str common)
{
    return key.len >= common.len && memcmp(key.ptr, common.ptr, common.len) == 0;
}

/* First entry whose word is not smaller. */
static size_t find_word(const struct tree_hints *hints, size_t count, uint32_t word)
{
    size_t low = 0;
    for (size_t left = count; left > 0;) {
        size_t half = left / 2;
        bool right = hints->words[low + half] < word;
        low += right ? half + 1 : 0;
        left = right ? left - half - 1 : half;
    }
    return low;
}

size_t tree_hints_guess(const struct tree_hints *hints, const struct tree_keys *keys,
                        struct tt_str key, bool *ret_maybe)
{
    struct tt_str common = common_part(hints, keys, 0);
    *ret_maybe = false;
    if (common.len > 0 && !begins_with(key, common)) {
        return store_key_cmp(key, common) < 0 ? 0 : keys->count;
    }
    uint32_t word = word_of(key, hints->prefix);
    size_t low = find_word(hints, keys->count, word);
    *ret_maybe = low < keys->count && hints->words[low] == word;
    return low;
}

size_t tree_hints_confirm(const struct tree_hints *hints, const struct tree_keys *keys,
                          struct tt_str key, size_t guess, bool *ret_found)
{
    /* Mostly this is the one. */
    int order = store_key_cmp(keys->at(keys->node, guess), key);
    *ret_found = order == 0;
    if (order >= 0) {
        return guess;
    }
    size_t high = guess + 1;
    while (high < keys->count && hints->words[high] == hints->words[guess]) {
        high++;
    }
    return find_plain(keys, guess + 1, high, key, ret_found);
}

size_t tree_hints_find(const struct tree_hints *hints, const struct tree_keys *keys,
                       struct tt_str key, bool *ret_found)
{
    bool maybe;
    size_t at = tree_hints_guess(hints, keys, key, &maybe);
    *ret_found = false;
    return maybe ? tree_hints_confirm(hints, keys, key, at, ret_found) : at;
}

void tree_hints_copy(struct tree_hints *to, const struct tree_hints *from, size_t count)
{
    to->prefix = from->prefix;
    memcpy(to->lead, from->lead, sizeof to->lead);
    memcpy(to->words, from->words, count * sizeof to->words[0]);
}

void tree_hints_build(struct tree_hints *hints, const struct tree_keys *keys)
{
    TT_ASSERT(keys->count <= TREE_HINT_MAX);
    hints->prefix = 0;
    if (keys->count > 0) {
        struct tt_str first = keys->at(keys->node, 0);
        hints->prefix = (uint32_t)common_size(first, keys->at(keys->node, keys->count - 1));
        memcpy(hints->lead, first.ptr, tt_size_min(hints->prefix, sizeof hints->lead));
    }
    for (size_t i = 0; i < keys->count; i++) {
        hints->words[i] = word_of(keys->at(keys->node, i), hints->prefix);
    }
}

void tree_hints_insert(struct tree_hints *hints, const struct tree_keys *keys, size_t at)
{
    size_t count = keys->count;
    TT_ASSERT(at < count && count <= TREE_HINT_MAX);
    struct tt_str key = keys->at(keys->node, at);
    /* A key between two others begins with what they have in common. */
    bool begins = at > 0 && at < count - 1;
    if (!begins && count > 2) {
        begins = begins_with(key, common_part(hints, keys, at == 0 ? 1 : 0));
    }
    if (!begins) {
        tree_hints_build(hints, keys);
        return;
    }
    memmove(hints->words + at + 1, hints->words + at, (count - 1 - at) * sizeof hints->words[0]);
    hints->words[at] = word_of(key, hints->prefix);
}

void tree_hints_remove(struct tree_hints *hints, size_t count, size_t at)
{
    TT_ASSERT(at <= count);
    memmove(hints->words + at, hints->words + at + 1, (count - at) * sizeof hints->words[0]);
    if (count == 0) {
        hints->prefix = 0; /* no key has it */
    }
}

bool tree_hints_valid(const struct tree_hints *hints, const struct tree_keys *keys)
{
    bool good = keys->count > 0 || hints->prefix == 0;
    for (size_t i = 0; good && i < keys->count; i++) {
        struct tt_str key = keys->at(keys->node, i);
        size_t kept = tt_size_min(hints->prefix, sizeof hints->lead);
        good = common_size(keys->at(keys->node, 0), key) >= hints->prefix &&
               memcmp(key.ptr, hints->lead, kept) == 0 &&
               hints->words[i] == word_of(key, hints->prefix);
    }
    return good;
}
