/* Scans: the tree's order, and at an older revision the tree overlaid with history.
 *
 * What a key was at revision r is the `prev` of its first change after r. A scan at r collects
 * those from the changes after r that lie in the range, sorts them by key once, and then merges two
 * ordered streams: an overlaid key hides the tree's item, and shows its prev when it had one.
 * Bounded by what history keeps.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "server/store/apply.h"

struct overlay {
    struct tt_str key;          /* borrowed from the version's history */
    const struct tt_item *prev; /* NULL: absent at the scan's revision */
    uint64_t revision;          /* of the change: the first of a key counts */
};
struct tt_scan {
    struct tt_version *version;      /* referenced */
    struct store_tree_cursor cursor; /* in the version's tree, behind ahead */
    const struct tt_item *ahead;     /* the tree's next item in range, NULL at its end */
    char *to;                        /* owned copy */
    size_t to_size;                  /* 0: no upper end */
    struct overlay *overlays;        /* owned; by key, NULL for the version's own revision */
    size_t overlay_count;            /* of overlays; one per key */
    size_t overlay_next;             /* the first that was not passed yet */
};

static bool in_range(struct tt_str key, struct tt_str from, struct tt_str to)
{
    return store_key_cmp(from, key) <= 0 && (to.len == 0 || store_key_cmp(key, to) < 0);
}

static int overlay_cmp(const void *a, const void *b)
{
    const struct overlay *x = a;
    const struct overlay *y = b;
    int order = store_key_cmp(x->key, y->key);
    if (order != 0) {
        return order;
    }
    return x->revision < y->revision ? -1 : 1;
}

static void overlay_build(struct tt_scan *scan, struct tt_str from, struct tt_str to,
                          uint64_t at_revision)
{
    const struct store_history *history = &scan->version->state.history;
    size_t capacity = 64;
    size_t count = 0;
    struct overlay *all = tt_xmalloc(capacity * sizeof *all);
    for (uint64_t at = at_revision + 1; at <= history->revision; at++) {
        const struct store_change *change = store_history_get(history, at);
        struct tt_str key = change->item ? change->item->key : change->prev->item.key;
        if (!in_range(key, from, to)) {
            continue;
        }
        if (count == capacity) {
            capacity *= 2;
            all = tt_xrealloc(all, capacity * sizeof *all);
        }
        all[count++] = (struct overlay){key, change->prev ? &change->prev->item : NULL, at};
    }
    qsort(all, count, sizeof *all, overlay_cmp);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !tt_str_eq(all[kept - 1].key, all[i].key)) {
            all[kept++] = all[i];
        }
    }
    scan->overlays = all;
    scan->overlay_count = kept;
}

static void step_tree(struct tt_scan *scan)
{
    const struct store_item *item = store_tree_next(&scan->cursor);
    bool end = !item || (scan->to_size > 0 &&
                         store_key_cmp(item->item.key, tt_str(scan->to, scan->to_size)) >= 0);
    scan->ahead = end ? NULL : &item->item;
}

int tt_scan_new(struct tt_version *version, struct tt_str from, struct tt_str to,
                uint64_t at_revision, struct tt_scan **ret_scan, struct tt_err *err)
{
    const struct store_history *history = &version->state.history;
    if (at_revision > history->revision) {
        return TT_FAIL(err, TT_EINVALID,
                       "revision %" PRIu64 " is in the future, the newest is %" PRIu64, at_revision,
                       history->revision);
    }
    if (at_revision != 0 && at_revision < history->compacted) {
        return TT_FAIL(err, TT_EEXPIRED,
                       "revision %" PRIu64 " was compacted, history begins after %" PRIu64,
                       at_revision, history->compacted);
    }
    struct tt_scan *scan = TT_NEW(struct tt_scan);
    scan->version = tt_version_ref(version);
    scan->to = tt_str_xdup(to);
    scan->to_size = to.len;
    if (at_revision != 0 && at_revision < history->revision) {
        overlay_build(scan, from, to, at_revision);
    }
    store_tree_seek(&version->state.rows, from, &scan->cursor);
    step_tree(scan);
    *ret_scan = scan;
    return 0;
}

const struct tt_item *tt_scan_next(struct tt_scan *scan)
{
    while (scan->overlay_next < scan->overlay_count) {
        const struct overlay *over = &scan->overlays[scan->overlay_next];
        int order = scan->ahead ? store_key_cmp(scan->ahead->key, over->key) : 1;
        if (order < 0) {
            break;
        }
        if (order == 0) {
            step_tree(scan);
        }
        scan->overlay_next++;
        if (over->prev) {
            return over->prev;
        }
    }
    const struct tt_item *item = scan->ahead;
    if (item) {
        step_tree(scan);
    }
    return item;
}

void tt_scan_free(struct tt_scan *scan)
{
    if (!scan) {
        return;
    }
    tt_free(scan->overlays);
    tt_free(scan->to);
    tt_version_unref(scan->version);
    tt_free(scan);
}
