/* The node's side of the log: requests with their completions, and the configurations in it.
 *
 * Happy path: the core hands entries out → cached, and appended with one request → the request
 * completes → PERSISTED_ENTRIES tells the core.
 *
 * Rule 2: a completion says nothing about terms. Each append remembers up to which index the log
 * still holds what it wrote (valid_last): a truncation lowers that of everything in flight, an
 * install sets it to nothing. Requests complete in order, so reporting valid_last when it is above
 * what the core knows is exact. The epoch travels along and must agree.
 *
 * Failure: a request that failed is fatal (rule 10). */
#include "raft/node_parts.h"

#include <inttypes.h>

#include "raft/snapshot_file.h"

static void write_free(struct node_write *write)
{
    if (write->req.op == TT_WAL_OP_APPEND) {
        for (size_t i = 0; i < write->req.count; i++) {
            tt_bytes_unref(write->entries[i].payload);
        }
    } else if (write->req.op == TT_WAL_OP_READ) {
        for (size_t i = 0; i < write->req.read_count; i++) {
            tt_bytes_unref(write->entries[i].payload);
        }
    }
    tt_free(write);
}

void node_log_fini(struct tt_node *node)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(&node->writes)) != NULL) {
        write_free(TT_CONTAINER_OF(link, struct node_write, link));
    }
}

static void append_done(struct tt_node *node, const struct node_write *write)
{
    uint64_t limit = write->valid_last;
    node->log_bytes = write->req.bytes_since_snapshot;
    if (NODE_FAULT(node, report_stale_writes)) {
        limit = tt_u64_min(write->first + write->req.count - 1, node->last_index);
    }
    if (tt_sm_state(&node->sm) != NODE_RUNNING || limit <= node->raft.last_stored) {
        return;
    }
    TT_ASSERT(limit <= node->last_index);
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
    event.persisted_entries.index = limit;
    (void)node_step(node, &event, NULL);
}

static void read_done(struct tt_node *node, struct node_write *write)
{
    const struct tt_wal_req *req = &write->req;
    if (write->peer_id == 0) {
        node->apply_reading = false;
        if (req->result == 0 && req->epoch == node->epoch) {
            node_apply_read_done(node, write->entries, req->read_count);
        }
        return; /* otherwise the next turn asks again */
    }
    struct node_peer *peer = node_peer_find(node, write->peer_id);
    if (peer) {
        peer->reading = false;
    }
    if (req->result != 0 || node->lead_term == 0 || req->term != node->lead_term ||
        req->read_count == 0) {
        return; /* as if the message had been lost */
    }
    const struct tt_wal_entry *entries[NODE_FEED_MAX];
    size_t count = tt_size_min(req->read_count, tt_size_min(write->want, NODE_FEED_MAX));
    for (size_t i = 0; i < count; i++) {
        entries[i] = &write->entries[i];
    }
    node_send_entries(node, write->peer_id, write->first, write->prev_term, entries, count);
}

static void on_done(struct tt_wal_req *req)
{
    struct node_write *write = TT_CONTAINER_OF(req, struct node_write, req);
    struct tt_node *node = write->node;
    tt_list_remove(&write->link);
    (void)node_now(node);
    bool failed = req->result != 0 && !(req->op == TT_WAL_OP_READ && req->result == TT_ENOTFOUND) &&
                  !NODE_FAULT(node, write_error_ignored);
    if (failed && node_live(node)) {
        (void)TT_WRAP(&write->err, req->result, "log request %d", (int)req->op);
        node_fault(node, &write->err);
    }
    if (node_live(node)) {
        switch (req->op) {
        case TT_WAL_OP_HARD_STATE:
            TT_ASSERT(req->epoch <= node->epoch);
            node->hold_done = write->first;
            if (tt_sm_state(&node->sm) == NODE_ELECTING) {
                node_open_core(node);
            }
            break;
        case TT_WAL_OP_APPEND:
            append_done(node, write);
            break;
        case TT_WAL_OP_READ:
            read_done(node, write);
            break;
        case TT_WAL_OP_SNAPSHOT:
            node->log_bytes = req->bytes_since_snapshot;
            node->snapshot_logged = write->snapshot.index;
            break;
        case TT_WAL_OP_INSTALL:
            node->log_bytes = req->bytes_since_snapshot;
            node->snapshot_logged = write->snapshot.index;
            node_snapshot_logged(node);
            break;
        case TT_WAL_OP_TRUNCATE:
        case TT_WAL_OP_STOP:
            break;
        }
    }
    write_free(write);
}

static struct node_write *write_new(struct tt_node *node, enum tt_wal_op op, size_t entry_count)
{
    struct node_write *write =
        tt_xcalloc(1, sizeof *write + entry_count * sizeof write->entries[0]);
    tt_err_init(&write->err);
    write->node = node;
    write->req.op = op;
    write->req.epoch = node->epoch;
    write->req.err = &write->err;
    write->req.done = on_done;
    return write;
}

static void write_submit(struct tt_node *node, struct node_write *write)
{
    tt_list_push_back(&node->writes, &write->link);
    node->config.log.submit(node->config.log.ctx, &write->req);
}

void node_log_hard_state(struct tt_node *node, uint64_t term, uint64_t vote)
{
    struct node_write *write = write_new(node, TT_WAL_OP_HARD_STATE, 0);
    write->req.term = term;
    write->req.voted_for = vote;
    write->first = node->hold_seq;
    write_submit(node, write);
}

/* The log's end moves back to before `from`: nothing in flight may be reported beyond it. */
void node_log_truncated(struct tt_node *node, uint64_t from)
{
    node->epoch++;
    for (struct tt_list *link = node->writes.next; link != &node->writes; link = link->next) {
        struct node_write *write = TT_CONTAINER_OF(link, struct node_write, link);
        if (write->req.op == TT_WAL_OP_APPEND && write->valid_last >= from) {
            write->valid_last = from - 1;
        }
    }
}

/* The payload of an entry of the update: ours when it was fed, else the core's barrier. */
static struct tt_bytes *entry_payload(struct tt_node *node, const struct raft_entry *entry)
{
    uintptr_t position = (uintptr_t)entry - (uintptr_t)node->feed;
    if ((uintptr_t)entry >= (uintptr_t)node->feed && position < sizeof node->feed) {
        return tt_bytes_ref(node->feed_payload[position / sizeof node->feed[0]]);
    }
    TT_ASSERT(entry->type == RAFT_BARRIER);
    struct tt_bytes *payload = tt_bytes_new(entry->buf.base, entry->buf.len);
    raft_free(entry->batch);
    return payload;
}

/* What is committed is never replaced; the core checks it against its own index, which may be
 * behind ours. A leader that wants it all the same is broken, or we are. */
static bool check_committed(struct tt_node *node, uint64_t first)
{
    if (first > node->commit_index || first > node->last_index) {
        return true;
    }
    struct tt_err err;
    tt_err_init(&err);
    (void)TT_FAIL(&err, TT_ECORRUPT,
                  "a leader replaces entry %" PRIu64 ", committed up to %" PRIu64, first,
                  node->commit_index);
    node_fault(node, &err);
    return false;
}

static void token_free(struct tt_node *node)
{
    if (node->feed_token) {
        raft_free(node->feed_token); /* ours again, because the core kept the entries */
        node->feed_token = NULL;
    }
}

void node_append(struct tt_node *node, const struct raft_update *update)
{
    uint64_t first = update->entries.index;
    size_t count = update->entries.n;
    if (!check_committed(node, first)) {
        token_free(node);
        return;
    }
    TT_ASSERT(count > 0 && first <= node->last_index + 1);
    struct node_write *write = write_new(node, TT_WAL_OP_APPEND, count);
    if (first <= node->last_index) {
        node_log_truncated(node, first);
        node_config_truncate(node, first);
        write->req.truncate_from = first;
        write->req.epoch = node->epoch;
    }
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *from = &update->entries.batch[i];
        write->entries[i] = (struct tt_wal_entry){.index = first + i,
                                                  .term = from->term,
                                                  .type = (uint8_t)from->type,
                                                  .payload = entry_payload(node, from)};
        tt_wal_cache_append(node->cache, &write->entries[i]);
        const struct tt_bytes *payload = write->entries[i].payload;
        node->trailing_size[(first + i) % NODE_TRAILING_MAX] =
            payload ? (uint32_t)payload->size : 0;
        if (from->type == RAFT_CHANGE) {
            node_config_push(node, first + i, write->entries[i].payload);
        }
    }
    token_free(node);
    node->last_index = first + count - 1;
    write->first = first;
    write->valid_last = node->last_index;
    write->req.entries = write->entries;
    write->req.count = count;
    write_submit(node, write);
}

void node_log_read(struct tt_node *node, uint64_t peer_id, uint64_t first, uint64_t count,
                   uint64_t prev_term)
{
    struct node_write *write = write_new(node, TT_WAL_OP_READ, TT_WAL_READ_COUNT_MAX);
    write->peer_id = peer_id;
    write->first = first;
    write->want = count;
    write->prev_term = prev_term;
    write->req.term = node->lead_term;
    write->req.first_index = first;
    write->req.size_max = NODE_READ_SIZE_MAX;
    write->req.read_entries = write->entries;
    write_submit(node, write);
}

void node_log_snapshot(struct tt_node *node, const struct tt_node_snapshot *snapshot,
                       uint64_t keep_from, bool install)
{
    struct node_write *write = write_new(node, install ? TT_WAL_OP_INSTALL : TT_WAL_OP_SNAPSHOT, 0);
    struct tt_snapshot_handle handle = {
        .index = snapshot->index, .term = snapshot->term, .size = snapshot->file_size};
    _Static_assert(sizeof handle.hash == sizeof snapshot->sha256, "both are SHA-256");
    memcpy(handle.hash, snapshot->sha256, sizeof handle.hash);
    write->snapshot.index = snapshot->index;
    write->snapshot.term = snapshot->term;
    write->snapshot.handle_size = TT_SNAPSHOT_HANDLE_SIZE;
    tt_snapshot_handle_encode(&handle, write->snapshot.handle);
    write->req.snapshot = &write->snapshot;
    write->req.keep_from = keep_from;
    write_submit(node, write);
}
