/* Committed entries into the state machine, in order, each once; then publish, then answers.
 *
 * Entries come from memory, after a restart from the log in runs. Nothing is applied while a
 * snapshot is being installed: the commit index already counts entries behind it (rule 5). A run is
 * bounded so that the core thread comes back to its loop.
 *
 * State hashes: after each barrier every member tells the others the hash of its state there. A
 * member whose hash a majority of the voters contradicts stops (promise 8). */
#include "raft/node_parts.h"

#include <inttypes.h>

#include "base/log.h"
#include "raft/packing.h"

enum { APPLY_RUN_SIZE_MAX = 2 << 20 };

static void apply_fault(struct tt_node *node, struct tt_err *err, int code, uint64_t index)
{
    (void)TT_WRAP(err, code, "apply entry %" PRIu64, index);
    node_fault(node, err);
}

/* The commands of one entry. `batch`: the proposals they came from, or NULL. */
static bool apply_commands(struct tt_node *node, const struct tt_wal_entry *entry,
                           struct proposal_batch *batch)
{
    const struct tt_fsm *fsm = &node->config.fsm;
    struct tt_str rest = {NULL, 0};
    if (entry->payload) {
        rest = tt_str((const char *)entry->payload->ptr, entry->payload->size);
    }
    struct tt_list *link = batch ? batch->commands.next : NULL;
    struct packed_command packed;
    struct tt_err err;
    tt_err_init(&err);
    int more = 0;
    for (uint32_t position = 0; (more = packing_next(&rest, &packed)) == 1; position++) {
        struct tt_apply_result result = {.failed_compare = -1};
        int r = fsm->apply(fsm->ctx, entry->index, position, packed.command, &result, &err);
        if (r < 0) {
            apply_fault(node, &err, r, entry->index);
            return false;
        }
        if (batch && link != &batch->commands) {
            struct proposal *proposal = TT_CONTAINER_OF(link, struct proposal, link);
            proposal->result = result;
            proposal->code = result.code;
            link = link->next;
        } else if (packed.member == node->config.id) {
            proposals_forwarded_applied(node, packed.request, entry->index, &result);
        }
    }
    if (more < 0) {
        (void)TT_FAIL(&err, TT_ECORRUPT, "bad packing");
        apply_fault(node, &err, TT_ECORRUPT, entry->index);
        return false;
    }
    return true;
}

static void hash_broadcast(struct tt_node *node, uint64_t index)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__StateHash hash = TT__PEER__STATE_HASH__INIT;
    memmove(&node->own_hash_index[1], &node->own_hash_index[0],
            (NODE_HASHES_MAX - 1) * sizeof node->own_hash_index[0]);
    memmove(&node->own_hash[1], &node->own_hash[0],
            (NODE_HASHES_MAX - 1) * sizeof node->own_hash[0]);
    hash.index = index;
    hash.hash = node->config.fsm.hash(node->config.fsm.ctx);
    node->own_hash_index[0] = index;
    node->own_hash[0] = hash.hash;
    message.body_case = TT__PEER__MESSAGE__BODY_STATE_HASH;
    message.state_hash = &hash;
    for (size_t i = 0; i < node->membership.count; i++) {
        uint64_t id = node->membership.members[i].id;
        if (id != node->config.id) {
            node_send(node, id, &message);
        }
    }
}

static void apply_barrier(struct tt_node *node, const struct tt_wal_entry *entry)
{
    hash_broadcast(node, entry->index);
    if (node->lead_term != 0 && entry->index == node->barrier_index &&
        entry->term == node->lead_term) {
        node->ready = true;
        node->hash_due_ms = node->now_ms + node->config.hash_interval_ms;
        node->config.io.leading(node->config.io.ctx, node->lead_term);
    }
}

static bool apply_entry(struct tt_node *node, const struct tt_wal_entry *entry)
{
    TT_ASSERT(entry->index == node->applied_index + 1);
    struct proposal_batch *batch = proposals_batch_at(node, entry->index, entry->term);
    switch (entry->type) {
    case RAFT_COMMAND:
        if (!apply_commands(node, entry, batch)) {
            return false;
        }
        break;
    case RAFT_BARRIER:
        apply_barrier(node, entry);
        break;
    default:
        break; /* a configuration: told to the core when it was committed */
    }
    node->applied_index = entry->index;
    node->applied_term = entry->term;
    if (batch) {
        proposals_batch_done(node, batch);
    }
    membership_op_applied(node, entry->index, entry->term);
    return true;
}

static void publish(struct tt_node *node)
{
    if (node->published_index == node->applied_index) {
        return;
    }
    node->config.fsm.publish(node->config.fsm.ctx, node->applied_index);
    node->published_index = node->applied_index;
    tt_wal_cache_pin(node->cache, tt_u64_min(node->applied_index, node->raft.last_stored));
    proposals_published(node);
    read_index_published(node);
}

static bool may_apply(const struct tt_node *node)
{
    if (tt_sm_state(&node->sm) != NODE_RUNNING && !NODE_FAULT(node, apply_while_installing)) {
        return false;
    }
    uint64_t limit = tt_u64_min(node->commit_index, node->last_index);
    return node->applied_index < limit &&
           (node->apply_stop == 0 || node->applied_index < node->apply_stop);
}

/* How many voters gave this hash at this index; ourselves included. */
static size_t hash_votes(const struct tt_node *node, uint64_t index, uint64_t hash, uint64_t own)
{
    size_t votes = 0;
    for (size_t i = 0; i < node->membership.count; i++) {
        const struct tt_member *member = &node->membership.members[i];
        if (member->role != TT_ROLE_VOTER) {
            continue;
        }
        if (member->id == node->config.id) {
            votes += own == hash;
            continue;
        }
        for (size_t p = 0; p < NODE_PEERS_MAX; p++) {
            const struct node_peer *peer = &node->peers[p];
            votes += peer->id == member->id && peer->hash_index == index && peer->hash == hash;
        }
    }
    return votes;
}

static void hash_contradicted(struct tt_node *node, uint64_t index)
{
    struct tt_err err;
    tt_err_init(&err);
    (void)TT_FAIL(&err, TT_ECORRUPT, "state at index %" PRIu64 " differs from that of a majority",
                  index);
    node_fault(node, &err);
}

/* Our hash at this index against those of the others, whichever came first: a member that lags
 * behind has theirs before its own. */
static void hash_judge(struct tt_node *node, uint64_t index)
{
    size_t at = 0;
    while (at < NODE_HASHES_MAX && node->own_hash_index[at] != index) {
        at++;
    }
    if (at == NODE_HASHES_MAX || index == 0) {
        return;
    }
    uint64_t own = node->own_hash[at];
    size_t voters = tt_membership_voter_count(&node->membership);
    for (size_t i = 0; i < NODE_PEERS_MAX && node_alive(node); i++) {
        const struct node_peer *peer = &node->peers[i];
        if (peer->id == 0 || peer->hash_index != index || peer->hash == own) {
            continue;
        }
        TT_LOG(TT_LOG_ERROR, "raft", "state hash differs", TT_F_U64("index", index),
               TT_F_U64("peer", peer->id));
        if (hash_votes(node, index, peer->hash, own) > voters / 2) {
            hash_contradicted(node, index);
        }
    }
}

void node_apply(struct tt_node *node)
{
    size_t size = 0;
    uint64_t hashed = node->own_hash_index[0];
    while (may_apply(node) && size < APPLY_RUN_SIZE_MAX) {
        const struct tt_wal_entry *entry = tt_wal_cache_get(node->cache, node->applied_index + 1);
        if (!entry) {
            if (!node->apply_reading) {
                node->apply_reading = true;
                node_log_read(node, 0, node->applied_index + 1, TT_WAL_READ_COUNT_MAX, 0);
            }
            break;
        }
        size += entry->payload ? entry->payload->size : 0;
        if (!apply_entry(node, entry)) {
            return;
        }
    }
    node->apply_more = may_apply(node) && !node->apply_reading;
    publish(node);
    if (node->own_hash_index[0] != hashed) {
        hash_judge(node, node->own_hash_index[0]);
    }
}

void node_apply_read_done(struct tt_node *node, const struct tt_wal_entry *entries, size_t count)
{
    uint64_t hashed = node->own_hash_index[0];
    for (size_t i = 0; i < count && may_apply(node); i++) {
        if (entries[i].index != node->applied_index + 1) {
            continue; /* applied from memory meanwhile */
        }
        if (!apply_entry(node, &entries[i])) {
            return;
        }
    }
    publish(node);
    if (node->own_hash_index[0] != hashed) {
        hash_judge(node, node->own_hash_index[0]);
    }
}

void node_hash_received(struct tt_node *node, struct node_peer *peer, uint64_t index, uint64_t hash)
{
    peer->hash_index = index;
    peer->hash = hash;
    hash_judge(node, index);
}

void node_hash_turn(struct tt_node *node)
{
    if (!node->ready || node->now_ms < node->hash_due_ms) {
        return;
    }
    static const uint8_t zero[8];
    node->hash_due_ms = node->now_ms + node->config.hash_interval_ms;
    struct tt_bytes *payload = tt_bytes_new(zero, sizeof zero);
    uint64_t index;
    (void)node_submit(node, RAFT_BARRIER, payload, &index); /* refused: tried again when due */
    tt_bytes_unref(payload);
}
