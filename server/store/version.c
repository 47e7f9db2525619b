/* Reading versions: gets, counts, history. Everything here touches only what the version reaches,
 * so it needs no lock. */
#include "server/store/apply.h"

#include <inttypes.h>

#include "base/intmath.h"

uint64_t tt_version_revision(const struct tt_version *version)
{
    return version->state.history.revision;
}

uint64_t tt_version_compacted(const struct tt_version *version)
{
    return version->state.history.compacted;
}

uint64_t tt_version_index(const struct tt_version *version)
{
    return version->state.index;
}

uint64_t tt_version_count(const struct tt_version *version)
{
    return version->state.rows.count;
}

uint64_t tt_version_bytes(const struct tt_version *version)
{
    return version->state.row_bytes;
}

uint64_t tt_version_hash(const struct tt_version *version)
{
    return store_state_hash(&version->state);
}

uint64_t tt_version_time_ms(const struct tt_version *version)
{
    return version->state.time_ms;
}

void tt_version_free(struct tt_version *version)
{
    tt_version_unref(version);
}

const struct tt_item *tt_version_get(const struct tt_version *version, struct tt_str key)
{
    const struct store_item *item = store_tree_get(&version->state.rows, key);
    return item ? &item->item : NULL;
}

uint64_t tt_version_count_range(const struct tt_version *version, struct tt_str from,
                                struct tt_str to)
{
    const struct store_tree *rows = &version->state.rows;
    uint64_t below = store_tree_rank(rows, from);
    uint64_t end = to.len > 0 ? store_tree_rank(rows, to) : rows->count;
    return end > below ? end - below : 0;
}

void tt_key_prefix_end(struct tt_str prefix, struct tt_buf *ret_buf)
{
    while (prefix.len > 0 && (unsigned char)prefix.ptr[prefix.len - 1] == 0xff) {
        prefix.len--;
    }
    tt_buf_reset(ret_buf);
    if (prefix.len > 0) {
        tt_buf_append(ret_buf, prefix.ptr, prefix.len - 1);
        tt_buf_char(ret_buf, (char)((unsigned char)prefix.ptr[prefix.len - 1] + 1));
    }
}

int tt_history_seek(const struct tt_version *version, uint64_t after_revision,
                    struct tt_history_cursor *ret_cursor, struct tt_err *err)
{
    const struct store_history *history = &version->state.history;
    if (after_revision != 0 && after_revision < history->compacted) {
        return TT_FAIL(err, TT_EEXPIRED,
                       "revision %" PRIu64 " was compacted, history begins after %" PRIu64,
                       after_revision, history->compacted);
    }
    uint64_t after = tt_u64_max(after_revision, history->compacted);
    *ret_cursor = (struct tt_history_cursor){.next_revision = after + 1};
    return 0;
}

bool tt_history_next(const struct tt_version *version, struct tt_history_cursor *cursor,
                     struct tt_change *ret_change)
{
    const struct store_history *history = &version->state.history;
    if (cursor->next_revision > history->revision || cursor->next_revision <= history->compacted) {
        return false;
    }
    const struct store_change *change = store_history_get(history, cursor->next_revision);
    *ret_change = (struct tt_change){
        .revision = cursor->next_revision,
        .item = change->item,
        .prev = change->prev ? &change->prev->item : NULL,
    };
    cursor->next_revision++;
    return true;
}
