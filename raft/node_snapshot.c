/* Taking snapshots of our own, and installing a leader's once it lies here whole and durable.
 *
 * Taking: due by log bytes (at least the minimum, and half the last snapshot) or by hand; waits
 * until what is applied is durable in our log too (rule 7: applying pauses there), and for the end
 * of a membership change (rule 9). The state machine pins, a background worker writes, then the
 * core forgets the entries and the log may drop them.
 *
 * Installing (rule 5): INSTALL_SNAPSHOT is fed only when the file is staged. The core drops its
 * entries; so do we. State machine and log are replaced side by side; when both are,
 * PERSISTED_SNAPSHOT. Until then commit indexes are noted, nothing is applied. A failure cannot be
 * undone in the core: it is fatal, and the restart begins from the disk. */
#include "raft/node_parts.h"

#include <inttypes.h>

#include "base/log.h"

enum { SNAPSHOT_RETRY_MS = 10000 };

static struct tt_str config_view(const struct tt_node_snapshot *snapshot)
{
    return tt_str((const char *)snapshot->config, snapshot->config_size);
}

static void staging_drop(struct tt_node *node)
{
    tt_free(node->staging);
    node->staging = NULL;
    node->stage_busy = false;
}

void node_snapshot_fini(struct tt_node *node)
{
    staging_drop(node);
    tt_free(node->taking);
    tt_free(node->snapshot);
    raft_configuration_close(&node->installing.configuration);
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        node_stream_reset(&node->peers[i]);
    }
}

bool node_snapshot_busy(const struct tt_node *node)
{
    bool busy = node->staging != NULL || node->snapshot_op != NULL;
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        busy = busy || node->peers[i].stream.state != STREAM_IDLE;
    }
    return busy;
}

uint64_t node_snapshot_due_size(const struct tt_node *node)
{
    return tt_u64_max(node->config.snapshot_log_size_min, node->snapshot->file_size / 2);
}

static bool due(const struct tt_node *node)
{
    bool by_itself = node->snapshot_renew || node->log_bytes >= node_snapshot_due_size(node);
    /* One at a time: the file that the log names is never among those that may go. */
    bool settled = node->snapshot_logged == node->snapshot->index;
    bool wanted = node->snapshot_op || (by_itself && node->now_ms >= node->snapshot_retry_ms);
    return wanted && settled && node->applied_index > node->snapshot->index;
}

static void take(struct tt_node *node)
{
    bool changing = node->config_count > 0 || node->raft.configuration_uncommitted_index != 0 ||
                    node->config_committed.index > node->applied_index;
    if (changing && !NODE_FAULT(node, snapshot_in_change)) {
        node->apply_stop = 0;
        return; /* a membership change is under way */
    }
    if (node->applied_index > node->raft.last_stored && !NODE_FAULT(node, snapshot_unstored)) {
        node->apply_stop = node->applied_index;
        return; /* its entries are not durable here yet */
    }
    node->apply_stop = 0;
    TT_ASSERT(node->published_index == node->applied_index);
    struct tt_node_snapshot *meta = TT_NEW(struct tt_node_snapshot);
    meta->index = node->applied_index;
    meta->term = node->applied_term;
    meta->config_index = node->config_committed.index;
    TT_ASSERT(node->config_committed.bytes->size <= sizeof meta->config);
    meta->config_size = (uint32_t)node->config_committed.bytes->size;
    memcpy(meta->config, node->config_committed.bytes->ptr, meta->config_size);
    node->taking = meta;
    node->config.snapshots.take(node->config.snapshots.ctx, meta);
}

/* A new snapshot needs a new entry behind the old one. */
static void renew_turn(struct tt_node *node)
{
    bool idle = node->ready && node->applied_index == node->last_index &&
                node->applied_index == node->snapshot->index;
    if (!node->snapshot_renew || !idle) {
        return;
    }
    static const uint8_t zero[8];
    struct tt_bytes *payload = tt_bytes_new(zero, sizeof zero);
    uint64_t index;
    (void)node_submit(node, RAFT_BARRIER, payload, &index); /* refused: in the next turn */
    tt_bytes_unref(payload);
}

void node_snapshot_turn(struct tt_node *node)
{
    renew_turn(node);
    if (tt_sm_state(&node->sm) == NODE_RUNNING && !node->taking && due(node)) {
        take(node);
    } else {
        node->apply_stop = 0;
        if (node->snapshot_op && !node->taking && !due(node)) {
            node_out_change(node, TT_TAKE(node->snapshot_op), 0); /* nothing new to put into one */
        }
    }
    node_stream_turn(node);
}

/* Entries to keep behind the snapshot at `index`, for followers that lag a little: a number of
 * them, and no more than so many bytes, or large entries would fill the disk. At least one. */
static uint32_t trailing_count(const struct tt_node *node, uint64_t index)
{
    uint64_t size = 0;
    uint32_t count = 0;
    while (count < node->config.snapshot_trailing && count < index) {
        size += node->trailing_size[(index - count) % NODE_TRAILING_MAX];
        if (size > node->config.snapshot_trailing_size && count > 0) {
            break;
        }
        count++;
    }
    return count;
}

static void taken(struct tt_node *node, const struct tt_node_snapshot *meta)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    event.snapshot.metadata.index = meta->index;
    event.snapshot.metadata.term = meta->term;
    event.snapshot.metadata.configuration_index = meta->config_index;
    int r = tt_membership_to_raft(config_view(meta), &event.snapshot.metadata.configuration, NULL);
    TT_ASSERT(r == 0);
    uint32_t trailing = trailing_count(node, meta->index);
    event.snapshot.trailing = trailing;
    if (!node_step(node, &event, NULL)) {
        return;
    }
    if (node->snapshot_renew) {
        node->snapshot_renew = false;
        node->snapshot_retry_ms =
            node->now_ms + SNAPSHOT_RETRY_MS; /* it may not have been the file */
        for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
            node_stream_reset(&node->peers[i]); /* the core asks again, for this one */
        }
    }
    *node->snapshot = *meta;
    uint64_t keep_from = meta->index > trailing ? meta->index - trailing + 1 : 1;
    node->log_bytes = 0;
    node_log_snapshot(node, meta, keep_from, false);
    TT_LOG(TT_LOG_INFO, "raft", "snapshot taken", TT_F_U64("index", meta->index),
           TT_F_U64("size", meta->file_size));
}

void tt_node_snapshot_taken(struct tt_node *node, const struct tt_node_snapshot *meta, int code)
{
    (void)node_now(node);
    if (!node->taking || node->taking->index != meta->index) {
        return;
    }
    bool current = tt_sm_state(&node->sm) == NODE_RUNNING && meta->index > node->snapshot->index;
    if (code == 0 && current) {
        taken(node, meta);
    } else if (code != 0) {
        node->snapshot_retry_ms = node->now_ms + SNAPSHOT_RETRY_MS;
        TT_LOG(TT_LOG_WARN, "raft", "snapshot failed", TT_F_C("err", tt_err_name(code)));
    }
    tt_free(TT_TAKE(node->taking));
    if (node->snapshot_op) {
        node_out_change(node, TT_TAKE(node->snapshot_op), code);
    }
}

/* The staged file is whole: let the core decide whether it needs it. */
void node_snapshot_staged(struct tt_node *node)
{
    const struct tt_node_snapshot *meta = node->staging;
    struct raft_message message = {
        .type = RAFT_INSTALL_SNAPSHOT, .server_id = node->staging_peer, .server_address = "-"};
    struct raft_install_snapshot *args = &message.install_snapshot;
    args->term = node->staging_term;
    args->last_index = meta->index;
    args->last_term = meta->term;
    args->conf_index = meta->config_index;
    int r = tt_membership_to_raft(config_view(meta), &args->conf, NULL);
    TT_ASSERT(r == 0);
    args->data.len = 1; /* the core passes it through unread; the file is named by `staging` */
    args->data.base = raft_malloc(args->data.len);
    TT_ASSERT(args->data.base);
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = &message;
    if (node_step(node, &event, NULL) && tt_sm_state(&node->sm) != NODE_INSTALLING) {
        node_stream_want(node, node->staging_peer, meta->index, meta->file_size, true);
        staging_drop(node);
    }
}

void node_snapshot_update(struct tt_node *node, const struct raft_update *update)
{
    TT_ASSERT(node->staging && update->snapshot.metadata.index == node->staging->index);
    TT_LOG(TT_LOG_INFO, "raft", "installs a snapshot",
           TT_F_U64("index", update->snapshot.metadata.index));
    raft_free(update->snapshot.chunk.base);
    node->installing = update->snapshot.metadata;
    node_log_truncated(node, 1);
    if (!NODE_FAULT(node, apply_while_installing)) {
        tt_wal_cache_reset(node->cache);
    }
    node->last_index = node->staging->index;
    node->apply_stop = 0;
    node->install_parts = 2;
    tt_sm_move(&node->sm, NODE_INSTALLING);
    node_log_snapshot(node, node->staging, node->staging->index + 1, true);
    node->config.snapshots.install(node->config.snapshots.ctx, node->staging);
}

static void installed(struct tt_node *node)
{
    uint64_t index = node->staging->index;
    tt_sm_move(&node->sm, NODE_RUNNING);
    *node->snapshot = *node->staging;
    node->applied_index = index;
    node->applied_term = node->staging->term;
    node->published_index = index;
    node->commit_index = tt_u64_max(node->commit_index, index);
    struct tt_bytes *config = tt_bytes_new(node->staging->config, node->staging->config_size);
    node_config_set(node, node->staging->config_index, config);
    tt_bytes_unref(config);
    node->stats.snapshot_installed_count++;
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT};
    event.persisted_snapshot.metadata = node->installing;
    event.persisted_snapshot.last = true;
    raft_configuration_init(&node->installing.configuration); /* the core's now */
    uint64_t size = node->staging->file_size;
    uint64_t peer_id = node->staging_peer;
    staging_drop(node);
    if (node_step(node, &event, NULL)) {
        node_stream_want(node, peer_id, index, size, true);
        proposals_installed(node, index, node->applied_term);
        read_index_published(node);
    }
}

static void install_part_done(struct tt_node *node)
{
    TT_ASSERT(node->install_parts > 0);
    if (--node->install_parts == 0) {
        installed(node);
    }
}

void node_snapshot_logged(struct tt_node *node)
{
    if (tt_sm_state(&node->sm) == NODE_INSTALLING) {
        install_part_done(node);
    }
}

void tt_node_snapshot_installed(struct tt_node *node, uint64_t index, int code)
{
    (void)node_now(node);
    if (tt_sm_state(&node->sm) != NODE_INSTALLING || node->staging->index != index) {
        return;
    }
    if (code != 0) {
        struct tt_err err;
        tt_err_init(&err);
        (void)TT_FAIL(&err, code, "install snapshot %" PRIu64, index);
        node_fault(node, &err);
        return;
    }
    install_part_done(node);
}

void tt_node_snapshot_staged(struct tt_node *node, uint64_t index, uint64_t offset, int code)
{
    (void)node_now(node);
    if (!node_alive(node) || !node->staging || node->staging->index != index || !node->stage_busy) {
        return;
    }
    node->stage_busy = false;
    if (code != 0) {
        TT_LOG(TT_LOG_WARN, "raft", "snapshot piece refused", TT_F_U64("index", index),
               TT_F_C("err", tt_err_name(code)));
        staging_drop(node);
        return;
    }
    node->staging_offset = offset;
    if (offset == node->staging->file_size) {
        node_snapshot_staged(node);
    } else {
        node_stream_want(node, node->staging_peer, index, offset, false);
    }
}
