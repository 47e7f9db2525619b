/* One step of libraft's core and everything its update demands.
 *
 * Order within an update: term and vote first (rule 6), then entries, then messages, then the
 * commit index: what leaves the node is queued behind the hard state by construction. The update's
 * arrays die at the next step, so all of them are consumed before anything else is fed.
 *
 * Leadership: the core's state is compared with ours after each update. Gained: our own barrier,
 * unless the core appended one (rule 4). Lost: whatever depended on it is told.
 *
 * Failure: a result other than a refused SUBMIT or TRANSFER is fatal (rule 10). */
#include "raft/node_parts.h"

#include <inttypes.h>

#include "base/log.h"

static void on_commit(struct tt_node *node)
{
    uint64_t commit = raft_commit_index(&node->raft);
    /* libraft's own index steps back when an old message arrives late; what is committed stays so.
     */
    if (commit > node->commit_index) {
        node->commit_index = commit;
    }
    node_config_commit(node, node->commit_index);
}

static void on_update(struct tt_node *node, const struct raft_update *update)
{
    if (update->flags & (RAFT_UPDATE_CURRENT_TERM)) {
        node_hard_state(node, raft_current_term(&node->raft), raft_voted_for(&node->raft));
    } else if (update->flags & (RAFT_UPDATE_VOTED_FOR)) {
        node_hard_state(node, raft_current_term(&node->raft), raft_voted_for(&node->raft));
    }
    if (update->flags & (RAFT_UPDATE_ENTRIES)) {
        node_append(node, update);
        if (!node_alive(node)) {
            return; /* it found the log broken */
        }
    }
    if (update->flags & (RAFT_UPDATE_SNAPSHOT)) {
        node_snapshot_update(node, update);
    }
    if (update->flags & (RAFT_UPDATE_MESSAGES)) {
        for (unsigned i = 0; i < update->messages.n; i++) {
            node_send_raft(node, &update->messages.batch[i]);
        }
    }
    if (update->flags & (RAFT_UPDATE_COMMIT_INDEX)) {
        on_commit(node);
    }
    node_settle_leadership(node);
}

bool node_step(struct tt_node *node, struct raft_event *event, int *ret_refusal)
{
    TT_ASSERT(node->raft_open);
    TT_ASSERT(node_alive(node));
    struct raft_update update;
    memset(&update, 0, sizeof update);
    event->time = node_core_time(node);
    /* Rule 8: the core's threshold stays off. */
    event->capacity = NODE_FAULT(node, space_by_core)
                          ? (unsigned short)tt_u64_min(node->disk_free >> 20, UINT16_MAX)
                          : 0;
    int refusal = raft_step(&node->raft, event, &update);
    node->stats.step_count++;
    if (refusal != 0) {
        if (ret_refusal && (event->type == RAFT_SUBMIT || event->type == RAFT_TRANSFER)) {
            *ret_refusal = refusal;
            return false;
        }
        struct tt_err err;
        tt_err_init(&err);
        (void)TT_FAIL(&err, TT_EINTERNAL, "libraft refused event %d in term %llu: %s",
                      (int)event->type, raft_current_term(&node->raft), raft_strerror(refusal));
        node_fault(node, &err);
        return false;
    }
    on_update(node, &update);
    return node_alive(node);
}

void node_hard_state(struct tt_node *node, uint64_t term, uint64_t vote)
{
    TT_ASSERT(term >= node->hard_term);
    if (term == node->hard_term && vote == node->hard_vote) {
        return; /* submitted already, and what follows waits for that */
    }
    /* One vote per term, for ever. */
    TT_ASSERT(term > node->hard_term || node->hard_vote == 0);
    node->hard_term = term;
    node->hard_vote = vote;
    node->hold_seq++;
    node_log_hard_state(node, term, vote);
}

bool node_submit(struct tt_node *node, enum raft_entry_type type, struct tt_bytes *payload,
                 uint64_t *ret_index)
{
    struct raft_entry *entry = &node->feed[0];
    memset(entry, 0, sizeof *entry);
    entry->term = raft_current_term(&node->raft);
    entry->type = type;
    entry->buf.base = (void *)(uintptr_t)payload->ptr;
    entry->buf.len = payload->size;
    entry->batch = entry->buf.base; /* only looked at: SUBMIT keeps nothing of ours */
    node->feed_payload[0] = payload;
    uint64_t index = node->last_index + 1;
    struct raft_event event = {.type = RAFT_SUBMIT};
    event.submit.entries = entry;
    event.submit.n = 1;
    int refusal = 0;
    bool accepted = node_step(node, &event, &refusal);
    if (accepted) {
        TT_ASSERT(node->last_index >= index);
        node->stats.entry_count++;
        *ret_index = index;
    }
    return accepted;
}

static void gained(struct tt_node *node, uint64_t term)
{
    node->lead_term = term;
    node->ready = false;
    node->barrier_index = 0;
    TT_LOG(TT_LOG_INFO, "raft", "leads", TT_F_U64("term", term),
           TT_F_U64("index", node->last_index));
    if (NODE_FAULT(node, no_own_barrier)) {
        node->ready = true;
        return;
    }
    const struct tt_wal_entry *last = tt_wal_cache_get(node->cache, node->last_index);
    if (last && last->term == term && last->type == RAFT_BARRIER) {
        node->barrier_index = last->index; /* the core's own */
        return;
    }
    static const uint8_t zero[8];
    struct tt_bytes *payload = tt_bytes_new(zero, sizeof zero);
    uint64_t index = 0;
    if (node_submit(node, RAFT_BARRIER, payload, &index)) {
        node->barrier_index = index;
    }
    tt_bytes_unref(payload);
}

static void lost(struct tt_node *node)
{
    TT_LOG(TT_LOG_INFO, "raft", "leads no more", TT_F_U64("term", node->lead_term));
    bool was_ready = node->ready;
    node->lead_term = 0;
    node->ready = false;
    node->barrier_index = 0;
    proposals_leadership_lost(node);
    read_index_leadership_lost(node);
    membership_op_leadership_lost(node);
    if (was_ready) {
        node->config.io.leading(node->config.io.ctx, 0);
    }
}

void node_settle_leadership(struct tt_node *node)
{
    bool leads = raft_state(&node->raft) == RAFT_LEADER;
    uint64_t term = raft_current_term(&node->raft);
    if (node->lead_term != 0 && (!leads || term != node->lead_term)) {
        lost(node);
    }
    if (leads && node->lead_term == 0) {
        gained(node, term);
    }
}
