/* Applying commands.
 *
 * tt_store_apply: decode and check everything, then change the working copy; there is no way to
 * fail in between, so a transaction is all or nothing without undo. The time is raised, expired
 * exactly-once entries go, a known request id repeats its answer, compares are checked, and each
 * put or delete takes its own revision. tt_store_publish turns the working copy into a version
 * (copying a struct: the trees are shared) and opens the next batch.
 *
 * Failure modes: TT_ECORRUPT before anything was changed. A failed compare is not a failure of
 * apply: the result says TT_ECONFLICT.
 */
#include "server/store/apply.h"

#include <inttypes.h>

#include "base/intmath.h"
#include "server/store/hash.h"

enum {
    HISTORY_BYTES_MAX = 64 << 20,
    HISTORY_BYTES_KEEP = 56 << 20, /* compaction goes down to here, so that it is not due at once */
    HISTORY_MS_MAX = 300000,
    HISTORY_MS_KEEP = 290000,
    DECODER_SIZE_MAX = 8 << 20 /* a command of 2 MiB and its message structs */
};
enum chain_tag { CHAIN_DELETE = 4, CHAIN_COMPACT = 5, CHAIN_LEVEL = 6 };

static void state_init(struct store_state *state)
{
    *state = (struct store_state){.feature_level = STORE_FEATURE_LEVEL_FIRST};
}

struct tt_store *tt_store_new(void)
{
    struct tt_store *store = TT_NEW(struct tt_store);
    state_init(&store->state);
    tt_list_init(&store->listeners);
    store->once = store_once_new();
    store_decoder_init(&store->decoder, DECODER_SIZE_MAX);
    store->writer.batch = 1;
    store->lineage = store_lineage_new(&store->slot, &store->state, store->writer.batch++, NULL);
    return store;
}

void tt_store_free(struct tt_store *store)
{
    if (!store) {
        return;
    }
    store_publish_quietly(store);
    store_lineage_close(store->lineage, &store->slot);
    store_once_free(store->once);
    store_decoder_fini(&store->decoder);
    tt_free(store);
}

void tt_store_reclaim_with(struct tt_store *store, struct tt_store_reclaimer *reclaimer)
{
    TT_ASSERT(store->state.index == 0);
    store->reclaimer = reclaimer;
    store->lineage->reclaimer = reclaimer;
}

void tt_store_clear(struct tt_store *store)
{
    store_publish_quietly(store);
    store_lineage_end(store->lineage, &store->slot);
    state_init(&store->state);
    store_once_free(store->once);
    store->once = store_once_new();
    store->lineage =
        store_lineage_new(&store->slot, &store->state, store->writer.batch++, store->reclaimer);
}

void store_discard(struct tt_store *store)
{
    struct store_garbage_list all = {0};
    TT_ASSERT(!store->dirty && !store->writer.retired.first); /* everything is of this batch */
    store_tree_collect(&store->state.rows, &all);
    store_tree_collect(&store->state.onces, &all);
    store_history_collect(&store->state.history, &all);
    store_garbage_list_free(&all);
    state_init(&store->state);
    store_once_free(store->once);
    store->once = store_once_new();
}

struct tt_version *tt_store_version(struct tt_store *store)
{
    return store_slot_acquire(&store->slot);
}

/* The item has gone to history. */
static void row_removed(struct tt_store *store, const struct store_item *item)
{
    store->state.content_hash -= item->digest;
    store->state.row_bytes -= store_item_bytes(&item->item);
}

static void row_added(struct tt_store *store, const struct store_item *item)
{
    store->state.content_hash += item->digest;
    store->state.row_bytes += store_item_bytes(&item->item);
}

void store_apply_row(struct tt_store *store, struct store_item *item)
{
    struct store_item *replaced = store_tree_put(&store->state.rows, &store->writer, item);
    TT_ASSERT(!replaced); /* rows of a snapshot come in order */
    row_added(store, item);
}

/* A put that has begun: what can be done before it is certain that it takes place. */
struct put_start {
    struct store_tree_path path; /* to the key; good until the next change */
    struct store_item *item;     /* owned; not sealed */
};

/* Two reads from far memory overlap here: of what the put replaces and of the new value. */
static void put_start(const struct tt_store *store, struct tt_str key, const struct tt_value *value,
                      struct put_start *ret_start)
{
    store_tree_approach(&store->state.rows, key, &ret_start->path);
    ret_start->item = store_item_new(key, value, store->writer.batch);
}

static void put_finish(struct tt_store *store, struct put_start *start)
{
    struct store_state *state = &store->state;
    uint64_t revision = state->history.revision + 1;
    struct store_item *item = TT_TAKE(start->item);
    struct store_item *prev = store_tree_arrive(&start->path, item->item.key);
    store_item_seal(item, prev ? prev->item.create_revision : revision, revision);
    struct store_item *replaced =
        store_tree_put_at(&state->rows, &store->writer, &start->path, item);
    TT_ASSERT(replaced == prev);
    store_history_append(&state->history, &store->writer, &item->item, prev, state->time_ms);
    state->history_bytes += store_history_bytes(prev);
    state->chain_hash = store_fold(state->chain_hash, item->digest);
    row_added(store, item);
    if (prev) {
        row_removed(store, prev);
    }
}

void store_apply_put(struct tt_store *store, struct tt_str key, const struct tt_value *value)
{
    struct put_start start;
    put_start(store, key, value, &start);
    put_finish(store, &start);
}

bool store_apply_delete(struct tt_store *store, struct tt_str key)
{
    struct store_state *state = &store->state;
    struct store_item *prev = store_tree_remove(&state->rows, &store->writer, key);
    if (!prev) {
        return false;
    }
    store_history_append(&state->history, &store->writer, NULL, prev, state->time_ms);
    state->history_bytes += store_history_bytes(prev);
    state->chain_hash = store_fold(store_fold(state->chain_hash, CHAIN_DELETE), prev->digest);
    row_removed(store, prev);
    return true;
}

/* Most transactions compare the key that they put first, and hold: that put is begun before the
 * compares, which then need not search for the key. */
static bool compares_hold(const struct tt_store *store, const struct tt_txn *txn,
                          struct put_start *first, int32_t *ret_failed)
{
    struct tt_str first_key = first ? txn->ops[0].key : TT_STR_NONE;
    for (size_t i = 0; i < txn->compare_count; i++) {
        const struct tt_compare *compare = &txn->compares[i];
        bool started = first && tt_str_eq(compare->key, first_key);
        const struct store_item *item = started ? store_tree_arrive(&first->path, first_key)
                                                : store_tree_get(&store->state.rows, compare->key);
        if ((item ? item->item.mod_revision : 0) != compare->mod_revision) {
            *ret_failed = (int32_t)i;
            return false;
        }
    }
    return true;
}

static void apply_ops(struct tt_store *store, const struct tt_txn *txn, struct put_start *first,
                      struct tt_apply_result *ret)
{
    uint64_t before = store->state.history.revision;
    for (size_t i = 0; i < txn->op_count; i++) {
        const struct tt_txn_op *op = &txn->ops[i];
        if (op->kind != TT_OP_PUT) {
            (void)store_apply_delete(store, op->key); /* absent: changes nothing */
        } else if (i == 0 && first) {
            put_finish(store, first);
        } else {
            store_apply_put(store, op->key, &op->value);
        }
    }
    if (store->state.history.revision > before) {
        ret->revision_first = before + 1;
        ret->revision_last = store->state.history.revision;
    }
}

static void apply_txn(struct tt_store *store, const struct tt_txn *txn, struct tt_apply_result *ret)
{
    struct store_state *state = &store->state;
    struct store_once_record record = {
        .time_ms = state->time_ms,
        .actor = txn->actor,
        .request_id = txn->request_id,
    };
    struct store_once_record known;
    store_once_expire(store->once, state, &store->writer);
    if (record.request_id.len > 0 &&
        store_once_find(store->once, record.actor, record.request_id, state->time_ms, &known)) {
        ret->revision_first = known.revision_first;
        ret->revision_last = known.revision_last;
        return;
    }
    struct put_start start;
    struct put_start *first = NULL;
    if (txn->op_count > 0 && txn->ops[0].kind == TT_OP_PUT) {
        first = &start;
        put_start(store, txn->ops[0].key, &txn->ops[0].value, first);
    }
    if (!compares_hold(store, txn, first, &ret->failed_compare)) {
        if (first) {
            tt_item_unref(&first->item->item);
        }
        ret->code = TT_ECONFLICT;
        return;
    }
    apply_ops(store, txn, first, ret);
    if (record.request_id.len > 0) {
        record.sequence = ++state->once_sequence;
        record.revision_first = ret->revision_first;
        record.revision_last = ret->revision_last;
        store_once_add(store->once, state, &store->writer, &record);
    }
}

/* Below the mark or in the future: nothing to do, on every member alike. */
static void apply_compact(struct tt_store *store, uint64_t revision)
{
    struct store_state *state = &store->state;
    if (revision > state->history.compacted && revision <= state->history.revision) {
        state->history_bytes -= store_history_compact(&state->history, &store->writer, revision);
        state->chain_hash = store_fold(store_fold(state->chain_hash, CHAIN_COMPACT), revision);
    }
}

static void apply_level(struct tt_store *store, uint32_t level)
{
    struct store_state *state = &store->state;
    if (level > state->feature_level) {
        state->feature_level = level;
        state->chain_hash = store_fold(store_fold(state->chain_hash, CHAIN_LEVEL), level);
    }
}

int tt_store_apply(struct tt_store *store, uint64_t index, struct tt_str command,
                   struct tt_apply_result *ret, struct tt_err *err)
{
    struct store_command *decoded = &store->command;
    int r =
        store_command_decode(&store->decoder, command, store->state.feature_level, decoded, err);
    if (r != 0) {
        return TT_WRAP(err, r, "apply index %" PRIu64, index);
    }
    if (decoded->body == STORE_BODY_RAISE && decoded->raise > STORE_FEATURE_LEVEL_MAX) {
        return TT_FAIL(err, TT_ECORRUPT,
                       "apply index %" PRIu64 ": feature level %" PRIu32
                       " is above %d of this build",
                       index, decoded->raise, STORE_FEATURE_LEVEL_MAX);
    }
    TT_ASSERT(index > store->state.index);
    *ret = (struct tt_apply_result){.failed_compare = -1};
    store->dirty = true;
    store->state.index = index;
    store->state.time_ms = tt_u64_max(store->state.time_ms, decoded->leader_time_ms);
    switch (decoded->body) {
    case STORE_BODY_TXN:
        apply_txn(store, &decoded->txn, ret);
        break;
    case STORE_BODY_COMPACT:
        apply_compact(store, decoded->compact);
        break;
    case STORE_BODY_RAISE:
        apply_level(store, decoded->raise);
        break;
    }
    return 0;
}

void store_publish_quietly(struct tt_store *store)
{
    if (store->dirty) {
        store->dirty = false;
        store_lineage_publish(store->lineage, &store->slot, &store->state, store->writer.batch,
                              &store->writer.retired);
        store->writer.batch++;
    }
}

void tt_store_publish(struct tt_store *store)
{
    bool news = store->dirty;
    store_publish_quietly(store);
    struct tt_list *at = store->listeners.next;
    while (news && at != &store->listeners) {
        struct tt_store_listener *listener = TT_CONTAINER_OF(at, struct tt_store_listener, link);
        at = at->next;
        listener->published(listener, store->state.history.revision);
    }
}

void tt_store_listen(struct tt_store *store, struct tt_store_listener *listener)
{
    tt_list_push_back(&store->listeners, &listener->link);
}

void tt_store_unlisten(struct tt_store *store, struct tt_store_listener *listener)
{
    (void)store; /* the list is intrusive */
    tt_list_remove(&listener->link);
}

uint64_t store_state_hash(const struct store_state *state)
{
    uint64_t h = store_fold(state->chain_hash, state->content_hash);
    h = store_fold(h, state->history.revision);
    h = store_fold(h, state->history.compacted);
    h = store_fold(h, state->time_ms);
    h = store_fold(h, state->once_sequence);
    return store_fold(h, state->feature_level);
}

uint64_t tt_store_hash(const struct tt_store *store)
{
    return store_state_hash(&store->state);
}

uint32_t tt_store_feature_level(const struct tt_store *store)
{
    return store->state.feature_level;
}

uint64_t tt_store_compaction_due(const struct tt_store *store)
{
    const struct store_state *state = &store->state;
    const struct store_history *history = &state->history;
    if (history->revision == history->compacted) {
        return 0;
    }
    uint64_t oldest_ms = store_history_chunk(history, history->compacted + 1)->time_ms;
    uint64_t over = 0;
    if (state->history_bytes > HISTORY_BYTES_MAX) {
        over = state->history_bytes - HISTORY_BYTES_KEEP;
    } else if (oldest_ms + HISTORY_MS_MAX > state->time_ms) {
        return 0;
    }
    uint64_t time_ms_min = state->time_ms > HISTORY_MS_KEEP ? state->time_ms - HISTORY_MS_KEEP : 0;
    uint64_t due = store_history_due(history, over, time_ms_min);
    return due > history->compacted ? due : 0;
}
