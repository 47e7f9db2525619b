/* The way of a command into the log and of its outcome back.
 *
 *   queue → batch (appended here) → finished → answered
 *   queue → forwarded → answered by the leader → applied here → answered
 *
 * Adaptive batching: while two batches are in flight everything queues; when one commits, all that
 * has queued leaves as the next. No timers.
 *
 * Fates. Queued and overdue: TT_EUNAVAILABLE, nothing was proposed. Appended: known once that index
 * is applied here, with our term or with another one; unknown when overdue, one second after a lost
 * leadership at the latest. A truncation proves nothing: another server may still carry the entry
 * and win. */
#include "raft/proposals.h"

#include "raft/node_parts.h"

enum { COMMAND_HEAD_SIZE = 4 };

static struct proposal *proposal_of(struct tt_list *link)
{
    return TT_CONTAINER_OF(link, struct proposal, link);
}

static struct proposal_batch *batch_of(struct tt_list *link)
{
    return TT_CONTAINER_OF(link, struct proposal_batch, link);
}

void proposals_init(struct proposals *proposals)
{
    memset(proposals, 0, sizeof *proposals);
    tt_list_init(&proposals->queue);
    tt_list_init(&proposals->batches);
    tt_list_init(&proposals->forwarded);
    tt_list_init(&proposals->answered);
    tt_list_init(&proposals->finished);
}

static void free_list(struct tt_list *list)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(list)) != NULL) {
        struct proposal *proposal = proposal_of(link);
        tt_bytes_unref(proposal->command);
        tt_free(proposal);
    }
}

void proposals_fini(struct proposals *proposals)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(&proposals->batches)) != NULL) {
        free_list(&batch_of(link)->commands);
        tt_free(batch_of(link));
    }
    free_list(&proposals->queue);
    free_list(&proposals->forwarded);
    free_list(&proposals->answered);
    free_list(&proposals->finished);
}

static void command_release(struct proposals *proposals, struct proposal *proposal)
{
    if (proposal->command) {
        proposals->bytes -= proposal->size;
        tt_bytes_unref(TT_TAKE(proposal->command));
    }
}

static void send_reply(struct tt_node *node, const struct proposal *proposal, int code)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__ForwardReply reply = TT__PEER__FORWARD_REPLY__INIT;
    reply.request = proposal->request;
    reply.code = code;
    reply.index = proposal->index;
    reply.revision_first = proposal->result.revision_first;
    reply.revision_last = proposal->result.revision_last;
    reply.failed_compare = proposal->result.failed_compare;
    message.body_case = TT__PEER__MESSAGE__BODY_FORWARD_REPLY;
    message.forward_reply = &reply;
    node_send(node, proposal->peer_id, &message);
}

/* Tells whoever asked; nobody is left to be told after this. */
static void tell(struct tt_node *node, struct proposal *proposal, int code)
{
    if (proposal->op) {
        proposal->op->revision_first = proposal->result.revision_first;
        proposal->op->revision_last = proposal->result.revision_last;
        proposal->op->failed_compare = proposal->result.failed_compare;
        node_out_propose(node, TT_TAKE(proposal->op), code);
    } else if (proposal->peer_id != 0) {
        send_reply(node, proposal, code);
        proposal->peer_id = 0;
    }
}

/* Unlinked and gone after this. */
static void answer(struct tt_node *node, struct proposal *proposal, int code)
{
    command_release(&node->proposals, proposal);
    node->proposals.count--;
    tell(node, proposal, code);
    tt_free(proposal);
}

static void answer_all(struct tt_node *node, struct tt_list *list, int code)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(list)) != NULL) {
        answer(node, proposal_of(link), code);
    }
}

/* Most of the voters could not hold what a growing command brings. */
static bool voters_low(const struct tt_node *node)
{
    size_t low = 0;
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        const struct node_peer *peer = &node->peers[i];
        low += peer->disk_low && tt_membership_is_voter(&node->membership, peer->id);
    }
    return low > 0 && 2 * low >= tt_membership_voter_count(&node->membership);
}

/* Rule 8: the reserve is ours, at the proposer; the command is looked at only when space is short.
 */
static int check_space(const struct tt_node *node, struct tt_str command)
{
    const struct tt_fsm *fsm = &node->config.fsm;
    if (node->disk_free < node->config.disk_free_any_min) {
        return TT_ENOSPACE;
    }
    bool short_of = node->disk_free < node->config.disk_free_growth_min || voters_low(node);
    return short_of && fsm->grows(fsm->ctx, command) ? TT_ENOSPACE : 0;
}

static void enqueue(struct tt_node *node, struct proposal *proposal)
{
    struct proposals *proposals = &node->proposals;
    proposals->count++;
    proposals->bytes += proposal->size;
    int code = 0;
    if (!node_live(node)) {
        code = TT_ECLOSED;
    } else if (proposals->count > TT_NODE_OPS_MAX || proposals->bytes > TT_NODE_OPS_BYTES_MAX) {
        code = TT_EBUSY;
    } else if (proposal->size > TT_NODE_COMMAND_SIZE_MAX || proposal->size == 0) {
        code = TT_ETOOLARGE;
    }
    if (code != 0) {
        answer(node, proposal, code);
    } else {
        tt_list_push_back(&proposals->queue, &proposal->link);
    }
}

void proposals_add(struct tt_node *node, struct tt_propose_op *op)
{
    struct proposal *proposal = TT_NEW(struct proposal);
    proposal->op = op;
    proposal->command = TT_TAKE(op->command);
    proposal->size = proposal->command->size;
    proposal->deadline_ms =
        op->deadline_ms != 0 ? op->deadline_ms : node->now_ms + PROPOSALS_DEADLINE_MS_DEFAULT;
    proposal->result.failed_compare = -1;
    enqueue(node, proposal);
}

void proposals_forward_received(struct tt_node *node, uint64_t peer_id,
                                const Tt__Peer__Forward *forward)
{
    struct proposal *proposal = TT_NEW(struct proposal);
    proposal->peer_id = peer_id;
    proposal->request = forward->request;
    proposal->command = tt_bytes_new(forward->command.data, forward->command.len);
    proposal->size = forward->command.len;
    proposal->deadline_ms = node->now_ms + forward->timeout_ms;
    proposal->result.failed_compare = -1;
    if (node->lead_term == 0) {
        node->proposals.count++;
        node->proposals.bytes += proposal->size;
        answer(node, proposal, TT_ENOTLEADER);
        return;
    }
    enqueue(node, proposal);
}

static void expire(struct tt_node *node, struct tt_list *list, int code)
{
    for (struct tt_list *link = list->next, *next; link != list; link = next) {
        next = link->next;
        struct proposal *proposal = proposal_of(link);
        if (proposal->deadline_ms <= node->now_ms) {
            tt_list_remove(link);
            answer(node, proposal, code);
        }
    }
}

static void expire_batches(struct tt_node *node)
{
    struct tt_list *batches = &node->proposals.batches;
    for (struct tt_list *link = batches->next; link != batches; link = link->next) {
        struct tt_list *commands = &batch_of(link)->commands;
        for (struct tt_list *c = commands->next; c != commands; c = c->next) {
            if (proposal_of(c)->deadline_ms <= node->now_ms) {
                tell(node, proposal_of(c), TT_ETIMEOUT); /* keeps its place in the entry */
            }
        }
    }
}

/* Stamps a command and appends it to the payload of the entry being built. */
static void pack(struct tt_node *node, struct proposal *proposal, struct proposal_batch *batch,
                 struct tt_buf *payload, uint64_t wall_ms)
{
    const struct tt_fsm *fsm = &node->config.fsm;
    struct tt_err err;
    tt_err_init(&err);
    struct tt_str view = tt_str((const char *)proposal->command->ptr, proposal->size);
    int code = check_space(node, view);
    if (code == 0) {
        code = fsm->stamp(fsm->ctx, proposal->command, wall_ms, &err);
    }
    if (code != 0) {
        answer(node, proposal, code);
        return;
    }
    uint8_t head[COMMAND_HEAD_SIZE];
    tt_le32_put(head, (uint32_t)proposal->size);
    tt_buf_append(payload, head, sizeof head);
    tt_buf_append(payload, proposal->command->ptr, proposal->size);
    tt_list_push_back(&batch->commands, &proposal->link);
}

/* What has queued, up to one entry. */
static size_t fill(struct tt_node *node, struct proposal_batch *batch, struct tt_buf *payload)
{
    struct proposals *proposals = &node->proposals;
    uint64_t wall_ms = tt_clock_wall_ms(node->config.clock);
    size_t count = 0;
    while (!tt_list_empty(&proposals->queue) && count < PROPOSALS_COMMANDS_PER_ENTRY_MAX) {
        struct proposal *proposal = proposal_of(proposals->queue.next);
        if (payload->len > 0 &&
            payload->len + COMMAND_HEAD_SIZE + proposal->size > TT_NODE_BATCH_SIZE_MAX) {
            break;
        }
        tt_list_remove(&proposal->link);
        size_t before = payload->len;
        pack(node, proposal, batch, payload, wall_ms);
        count += payload->len > before;
    }
    return count;
}

/* Puts an entry's commands back in front: the core did not take it. */
static void unfill(struct proposals *proposals, struct proposal_batch *batch)
{
    while (!tt_list_empty(&batch->commands)) {
        struct tt_list *last = batch->commands.prev;
        tt_list_remove(last);
        tt_list_push_back(proposals->queue.next, last); /* before the first */
    }
}

static bool submit_one(struct tt_node *node)
{
    struct proposals *proposals = &node->proposals;
    struct tt_buf payload;
    tt_buf_init(&payload, TT_NODE_BATCH_SIZE_MAX + TT_NODE_COMMAND_SIZE_MAX);
    struct proposal_batch *batch = TT_NEW(struct proposal_batch);
    tt_list_init(&batch->commands);
    size_t count = fill(node, batch, &payload);
    bool submitted = false;
    if (count > 0) {
        TT_ASSERT(tt_buf_ok(&payload));
        batch->term = node->lead_term;
        struct tt_bytes *bytes = tt_bytes_new(payload.ptr, payload.len);
        submitted = node_submit(node, RAFT_COMMAND, bytes, &batch->index);
        tt_bytes_unref(bytes);
    }
    tt_buf_fini(&payload);
    if (!submitted) {
        unfill(proposals, batch);
        tt_free(batch);
        return false;
    }
    node->stats.command_count += count;
    for (struct tt_list *link = batch->commands.next; link != &batch->commands; link = link->next) {
        command_release(proposals, proposal_of(link));
        proposal_of(link)->index = batch->index;
    }
    tt_list_push_back(&proposals->batches, &batch->link);
    proposals->in_flight++;
    if (NODE_FAULT(node, ack_before_commit)) {
        answer_all(node, &batch->commands, 0);
    }
    return true;
}

static void forward_one(struct tt_node *node, struct proposal *proposal, uint64_t leader)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__Forward forward = TT__PEER__FORWARD__INIT;
    proposal->request = ++node->next_request;
    uint64_t left_ms =
        proposal->deadline_ms > node->now_ms ? proposal->deadline_ms - node->now_ms : 0;
    forward.request = proposal->request;
    forward.timeout_ms = (uint32_t)tt_u64_min(left_ms, PEER_TIMEOUT_MS_MAX);
    forward.command.data = (uint8_t *)(uintptr_t)proposal->command->ptr;
    forward.command.len = proposal->size;
    message.body_case = TT__PEER__MESSAGE__BODY_FORWARD;
    message.forward = &forward;
    node_send(node, leader, &message);
    tt_list_remove(&proposal->link);
    tt_list_push_back(&node->proposals.forwarded, &proposal->link);
}

/* The fate of what went to a former leader will hardly be told any more. */
static void leader_changed(struct tt_node *node)
{
    uint64_t limit = node->now_ms + PROPOSALS_LOST_LEADER_WAIT_MS;
    struct tt_list *forwarded = &node->proposals.forwarded;
    for (struct tt_list *link = forwarded->next; link != forwarded; link = link->next) {
        proposal_of(link)->deadline_ms = tt_u64_min(proposal_of(link)->deadline_ms, limit);
    }
}

void proposals_turn(struct tt_node *node)
{
    struct proposals *proposals = &node->proposals;
    uint64_t leader = node_leader(node);
    if (leader != 0 && (leader != node->seen_leader || node->hard_term != node->seen_term)) {
        node->seen_leader = leader;
        node->seen_term = node->hard_term;
        leader_changed(node);
    }
    while (node->lead_term != 0 && !tt_list_empty(&proposals->queue) &&
           !membership_op_holds(&node->change) &&
           proposals->in_flight < TT_NODE_ENTRIES_IN_FLIGHT_MAX && submit_one(node)) {
    }
    if (node->lead_term == 0 && leader != 0 && leader != node->config.id) {
        while (!tt_list_empty(&proposals->queue)) {
            forward_one(node, proposal_of(proposals->queue.next), leader);
        }
    }
    if (proposals->count > 0 && node->now_ms >= proposals->expire_ms) {
        proposals->expire_ms = node->now_ms + PROPOSALS_EXPIRE_MS; /* they may be thousands */
        expire(node, &proposals->queue, TT_EUNAVAILABLE);
        expire(node, &proposals->forwarded, TT_ETIMEOUT);
        expire(node, &proposals->answered, TT_ETIMEOUT);
        expire_batches(node);
    }
}

void proposals_reply_received(struct tt_node *node, const Tt__Peer__ForwardReply *reply)
{
    struct proposals *proposals = &node->proposals;
    struct proposal *proposal = NULL;
    for (struct tt_list *link = proposals->forwarded.next; link != &proposals->forwarded;
         link = link->next) {
        if (proposal_of(link)->request == reply->request) {
            proposal = proposal_of(link);
            break;
        }
    }
    if (!proposal) {
        return;
    }
    tt_list_remove(&proposal->link);
    if (reply->code == TT_ENOTLEADER) {
        tt_list_push_back(&proposals->queue, &proposal->link); /* nothing was proposed */
        return;
    }
    proposal->code = reply->code;
    proposal->index = reply->index;
    proposal->result.revision_first = reply->revision_first;
    proposal->result.revision_last = reply->revision_last;
    proposal->result.failed_compare = reply->failed_compare;
    if (reply->index <= node->published_index) {
        answer(node, proposal, proposal->code);
    } else {
        command_release(proposals, proposal);
        tt_list_push_back(&proposals->answered, &proposal->link);
    }
}

static void batch_free(struct tt_node *node, struct proposal_batch *batch)
{
    if (batch->term == node->lead_term && node->proposals.in_flight > 0) {
        node->proposals.in_flight--;
    }
    TT_ASSERT(tt_list_empty(&batch->commands));
    tt_list_remove(&batch->link);
    tt_free(batch);
}

static void finish(struct tt_node *node, struct proposal_batch *batch, int code)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(&batch->commands)) != NULL) {
        struct proposal *proposal = proposal_of(link);
        if (code != 0) {
            proposal->code = code;
            proposal->index = 0;
        }
        tt_list_push_back(&node->proposals.finished, link);
    }
    batch_free(node, batch);
}

struct proposal_batch *proposals_batch_at(struct tt_node *node, uint64_t index, uint64_t term)
{
    struct tt_list *batches = &node->proposals.batches;
    struct proposal_batch *found = NULL;
    for (struct tt_list *link = batches->next, *next; link != batches; link = next) {
        next = link->next;
        struct proposal_batch *batch = batch_of(link);
        bool same_term = batch->term == term || NODE_FAULT(node, ack_other_term);
        if (batch->index == index && same_term) {
            found = batch;
        } else if (batch->index <= index) {
            finish(node, batch, TT_EUNAVAILABLE); /* another entry is committed in its place */
        }
    }
    return found;
}

void proposals_batch_done(struct tt_node *node, struct proposal_batch *batch)
{
    finish(node, batch, 0);
}

void proposals_published(struct tt_node *node)
{
    struct proposals *proposals = &node->proposals;
    struct tt_list *link;
    while ((link = tt_list_pop_front(&proposals->finished)) != NULL) {
        answer(node, proposal_of(link), proposal_of(link)->code);
    }
    for (link = proposals->answered.next; link != &proposals->answered;) {
        struct proposal *proposal = proposal_of(link);
        link = link->next;
        if (proposal->index <= node->published_index) {
            tt_list_remove(&proposal->link);
            answer(node, proposal, proposal->code);
        }
    }
}

void proposals_installed(struct tt_node *node, uint64_t index)
{
    struct tt_list *batches = &node->proposals.batches;
    for (struct tt_list *link = batches->next, *next; link != batches; link = next) {
        next = link->next;
        struct proposal_batch *batch = batch_of(link);
        if (batch->index <= index) {
            answer_all(node, &batch->commands, TT_ETIMEOUT); /* hidden in the snapshot */
            batch_free(node, batch);
        }
    }
    proposals_published(node);
}

void proposals_leadership_lost(struct tt_node *node)
{
    struct proposals *proposals = &node->proposals;
    proposals->in_flight = 0;
    if (NODE_FAULT(node, proposals_dropped)) {
        free_list(&proposals->queue);
    }
    for (struct tt_list *link = proposals->queue.next, *next; link != &proposals->queue;
         link = next) {
        next = link->next;
        if (!proposal_of(link)->op) {
            tt_list_remove(link);
            answer(node, proposal_of(link), TT_ENOTLEADER);
        }
    }
    uint64_t limit = node->now_ms + PROPOSALS_LOST_LEADER_WAIT_MS;
    for (struct tt_list *link = proposals->batches.next; link != &proposals->batches;
         link = link->next) {
        struct tt_list *commands = &batch_of(link)->commands;
        for (struct tt_list *c = commands->next; c != commands; c = c->next) {
            proposal_of(c)->deadline_ms = tt_u64_min(proposal_of(c)->deadline_ms, limit);
        }
    }
}

void proposals_stop(struct tt_node *node)
{
    struct proposals *proposals = &node->proposals;
    answer_all(node, &proposals->queue, TT_ECLOSED);
    answer_all(node, &proposals->forwarded, TT_ETIMEOUT);
    answer_all(node, &proposals->answered, TT_ETIMEOUT);
    answer_all(node, &proposals->finished, TT_ETIMEOUT);
    while (!tt_list_empty(&proposals->batches)) {
        struct proposal_batch *batch = batch_of(proposals->batches.next);
        answer_all(node, &batch->commands, TT_ETIMEOUT);
        batch_free(node, batch);
    }
}
