/* What leaves the node: raft messages as frames, entries for followers, answers; all of it through
 * one queue held behind the term and vote it relies on (rule 6).
 *
 * Entries come from memory; for a follower that lags behind it they are read from the log in the
 * background, one read per peer, and the message leaves when they are there (until then further
 * ones for that peer are as good as lost: raft repeats). Frames are cut at about 1 MiB and before
 * each RAFT_CHANGE (rules 1, 10). Payloads go along as references: the log, the memory of it and
 * the frames for all followers share one copy (docs/adr/0026). */
#include "raft/node_parts.h"

static void out_push(struct tt_node *node, struct node_out *out)
{
    out->hold = NODE_FAULT(node, outbox_not_held) ? 0 : node->hold_seq;
    tt_list_push_back(&node->outbox, &out->link);
}

void node_send(struct tt_node *node, uint64_t peer_id, Tt__Peer__Message *message)
{
    node_send_with(node, peer_id, message, NULL, 0);
}

void node_send_with(struct tt_node *node, uint64_t peer_id, Tt__Peer__Message *message,
                    struct tt_bytes *const *pieces, size_t count)
{
    TT_ASSERT(count <= PEER_PIECES_MAX);
    struct node_out *out = tt_xcalloc(1, sizeof *out + (1 + count) * sizeof out->parts[0]);
    out->kind = OUT_FRAME;
    out->peer_id = peer_id;
    out->bulk = message->body_case == TT__PEER__MESSAGE__BODY_SNAPSHOT_PIECE;
    out->parts[out->part_count++] = peer_encode(node->cluster, message);
    for (size_t i = 0; i < count; i++) {
        out->parts[out->part_count++] = tt_bytes_ref(pieces[i]);
    }
    out_push(node, out);
}

static void out_free(struct node_out *out)
{
    for (size_t i = 0; i < out->part_count; i++) {
        tt_bytes_unref(out->parts[i]);
    }
    tt_free(out);
}

void node_out_propose(struct tt_node *node, struct tt_propose_op *op, int code)
{
    struct node_out *out = TT_NEW(struct node_out);
    op->code = code;
    out->kind = OUT_PROPOSE;
    out->op.propose = op;
    out_push(node, out);
}

void node_out_read(struct tt_node *node, struct tt_read_op *op, int code)
{
    struct node_out *out = TT_NEW(struct node_out);
    op->code = code;
    out->kind = OUT_READ;
    out->op.read = op;
    out_push(node, out);
}

void node_out_change(struct tt_node *node, struct tt_change_op *op, int code)
{
    struct node_out *out = TT_NEW(struct node_out);
    op->code = code;
    out->kind = OUT_CHANGE;
    out->op.change = op;
    out_push(node, out);
}

static void out_release(struct tt_node *node, struct node_out *out)
{
    const struct tt_node_io *io = &node->config.io;
    switch (out->kind) {
    case OUT_FRAME:
        io->send(io->ctx, out->peer_id, out->parts, out->part_count, out->bulk);
        break;
    case OUT_PROPOSE:
        io->propose_done(io->ctx, out->op.propose);
        break;
    case OUT_READ:
        io->read_done(io->ctx, out->op.read);
        break;
    case OUT_CHANGE:
        io->change_done(io->ctx, out->op.change);
        break;
    }
    out_free(out);
}

/* With `all`, answers leave whatever they wait for (the node has stopped or failed); frames do not.
 */
void node_out_flush(struct tt_node *node, bool all)
{
    while (!tt_list_empty(&node->outbox)) {
        struct node_out *out = TT_CONTAINER_OF(node->outbox.next, struct node_out, link);
        if (out->hold > node->hold_done && !all) {
            return;
        }
        tt_list_remove(&out->link);
        if (all && out->kind == OUT_FRAME) {
            out_free(out);
        } else {
            out_release(node, out);
        }
    }
}

void node_out_drop(struct tt_node *node)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(&node->outbox)) != NULL) {
        out_free(TT_CONTAINER_OF(link, struct node_out, link));
    }
}

/* One frame with entries[0, count). */
static void send_append(struct tt_node *node, uint64_t peer_id, const Tt__Peer__AppendEntries *head,
                        const struct tt_wal_entry *const *entries, size_t count)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__AppendEntries append = *head;
    Tt__Peer__Entry wire[NODE_FEED_MAX];
    Tt__Peer__Entry *pointers[NODE_FEED_MAX];
    struct tt_bytes *payloads[NODE_FEED_MAX];
    size_t payload_count = 0;
    TT_ASSERT(count <= NODE_FEED_MAX);
    for (size_t i = 0; i < count; i++) {
        tt__peer__entry__init(&wire[i]);
        wire[i].term = entries[i]->term;
        wire[i].type = entries[i]->type;
        if (entries[i]->payload) {
            wire[i].size = (uint32_t)entries[i]->payload->size;
            payloads[payload_count++] = entries[i]->payload;
        }
        pointers[i] = &wire[i];
    }
    append.n_entries = count;
    append.entries = pointers;
    message.body_case = TT__PEER__MESSAGE__BODY_APPEND_ENTRIES;
    message.append_entries = &append;
    node_send_with(node, peer_id, &message, payloads, payload_count);
}

void node_send_entries(struct tt_node *node, uint64_t peer_id, uint64_t first, uint64_t prev_term,
                       const struct tt_wal_entry *const *entries, size_t count)
{
    Tt__Peer__AppendEntries head = TT__PEER__APPEND_ENTRIES__INIT;
    head.term = raft_current_term(&node->raft);
    head.leader_commit = raft_commit_index(&node->raft);
    node_announce_sent(node, peer_id, head.leader_commit);
    head.prev_log_index = first - 1;
    head.prev_log_term = prev_term;
    size_t from = 0;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t entry_size = entries[i]->payload ? entries[i]->payload->size : 0;
        bool change = entries[i]->type == RAFT_CHANGE && !NODE_FAULT(node, split_not_at_change);
        if (i > from && (change || size + entry_size > PEER_ATTACHMENT_SIZE_TARGET)) {
            send_append(node, peer_id, &head, entries + from, i - from);
            head.prev_log_index += i - from;
            head.prev_log_term = entries[i - 1]->term;
            from = i;
            size = 0;
        }
        size += entry_size;
    }
    send_append(node, peer_id, &head, entries + from, count - from);
}

static void send_append_entries(struct tt_node *node, const struct raft_message *raft)
{
    const struct raft_append_entries *args = &raft->append_entries;
    const struct tt_wal_entry *entries[NODE_FEED_MAX];
    size_t count = tt_size_min(args->n_entries, NODE_FEED_MAX);
    uint64_t first = args->prev_log_index + 1;
    struct node_peer *peer = node_peer(node, raft->server_id);
    for (size_t i = 0; i < count; i++) {
        entries[i] = tt_wal_cache_get(node->cache, first + i);
        if (!entries[i]) {
            if (peer && !peer->reading) {
                peer->reading = true;
                node_log_read(node, raft->server_id, first, count, args->prev_log_term);
            }
            return;
        }
    }
    node_send_entries(node, raft->server_id, first, args->prev_log_term, entries, count);
}

static void send_request_vote(struct tt_node *node, const struct raft_message *raft)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__RequestVote vote = TT__PEER__REQUEST_VOTE__INIT;
    vote.term = raft->request_vote.term;
    vote.last_log_index = raft->request_vote.last_log_index;
    vote.last_log_term = raft->request_vote.last_log_term;
    vote.disrupt_leader = raft->request_vote.disrupt_leader;
    vote.pre_vote = raft->request_vote.pre_vote;
    message.body_case = TT__PEER__MESSAGE__BODY_REQUEST_VOTE;
    message.request_vote = &vote;
    node_send(node, raft->server_id, &message);
}

/* A refused pre-vote carries our term when that is the reason: the core echoes the candidate's,
 * which then never learns that it is behind. A long log at a low term and a short one at a high
 * term would refuse each other for ever. */
static void send_request_vote_result(struct tt_node *node, const struct raft_message *raft)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__RequestVoteResult result = TT__PEER__REQUEST_VOTE_RESULT__INIT;
    result.term = raft->request_vote_result.term;
    result.vote_granted = raft->request_vote_result.vote_granted;
    result.pre_vote = raft->request_vote_result.pre_vote;
    if (result.pre_vote && !result.vote_granted) {
        result.term = tt_u64_max(result.term, raft_current_term(&node->raft));
    }
    message.body_case = TT__PEER__MESSAGE__BODY_REQUEST_VOTE_RESULT;
    message.request_vote_result = &result;
    node_send(node, raft->server_id, &message);
}

static void send_append_entries_result(struct tt_node *node, const struct raft_message *raft)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__AppendEntriesResult result = TT__PEER__APPEND_ENTRIES_RESULT__INIT;
    result.term = raft->append_entries_result.term;
    result.rejected = raft->append_entries_result.rejected;
    result.last_log_index = raft->append_entries_result.last_log_index;
    result.disk_low = node->disk_free < node->config.disk_free_growth_min;
    message.body_case = TT__PEER__MESSAGE__BODY_APPEND_ENTRIES_RESULT;
    message.append_entries_result = &result;
    node_send(node, raft->server_id, &message);
}

static void send_timeout_now(struct tt_node *node, const struct raft_message *raft)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__TimeoutNow now = TT__PEER__TIMEOUT_NOW__INIT;
    now.term = raft->timeout_now.term;
    now.last_log_index = raft->timeout_now.last_log_index;
    now.last_log_term = raft->timeout_now.last_log_term;
    message.body_case = TT__PEER__MESSAGE__BODY_TIMEOUT_NOW;
    message.timeout_now = &now;
    node_send(node, raft->server_id, &message);
}

void node_send_raft(struct tt_node *node, const struct raft_message *raft)
{
    if (raft->server_id == node->config.id) {
        return; /* the answer to our own vote as the sole voter */
    }
    switch (raft->type) {
    case RAFT_APPEND_ENTRIES:
        send_append_entries(node, raft);
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        send_append_entries_result(node, raft);
        break;
    case RAFT_REQUEST_VOTE:
        send_request_vote(node, raft);
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        send_request_vote_result(node, raft);
        break;
    case RAFT_INSTALL_SNAPSHOT:
        node_snapshot_send(node, raft->server_id);
        break;
    case RAFT_TIMEOUT_NOW:
        send_timeout_now(node, raft);
        break;
    }
}
