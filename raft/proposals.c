/* The way of a command into the log and of its outcome back.
 *
 *   queue → batch (appended here) → finished → answered
 *   queue → forwarded → applied here → finished → answered
 *                     → answered by the leader → applied here → answered
 *
 * Adaptive batching: while two batches are in flight everything queues; when one commits, all that
 * has queued leaves as the next. No timers.
 *
 * Fates. Queued and overdue: TT_EUNAVAILABLE, nothing was proposed. Appended here: known once that
 * index is applied here, or an entry of a higher term. Forwarded: known once its entry is applied
 * here, or one of a higher term (raft/forwarded.h). What is lost goes back to the queue and from
 * there to whoever leads now. A truncation proves nothing: another server may still carry the entry
 * and win.
 *
 * The leader answers a follower only where that one may not find out by itself: what was refused,
 * and what it does not hold in its log yet, as a snapshot might jump over it there. */
#include "raft/proposals.h"

#include "raft/node_parts.h"
#include "raft/packing.h"

static struct proposal *proposal_of(struct tt_list *link)
{
    return TT_CONTAINER_OF(link, struct proposal, link);
}

static struct proposal *proposal_of_attempt(struct attempt *attempt)
{
    return TT_CONTAINER_OF(attempt, struct proposal, attempt);
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
    forwarded_init(&proposals->forwarded);
    tt_list_init(&proposals->answered);
    tt_list_init(&proposals->finished);
}

static void proposal_free(struct proposal *proposal)
{
    tt_bytes_unref(proposal->command);
    tt_free(proposal);
}

static void free_list(struct tt_list *list)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(list)) != NULL) {
        proposal_free(proposal_of(link));
    }
}

/* Whatever was forwarded, one by one. */
static struct proposal *forwarded_any(struct proposals *proposals)
{
    struct attempt *attempt = forwarded_settled(&proposals->forwarded, UINT64_MAX);
    return attempt ? proposal_of_attempt(attempt) : NULL;
}

void proposals_fini(struct proposals *proposals)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(&proposals->batches)) != NULL) {
        free_list(&batch_of(link)->commands);
        tt_bytes_unref(batch_of(link)->payload);
        tt_free(batch_of(link));
    }
    struct proposal *proposal;
    while ((proposal = forwarded_any(proposals)) != NULL) {
        proposal_free(proposal);
    }
    free_list(&proposals->queue);
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

/* Whoever holds the entry will apply it: no snapshot can jump over it there. */
static bool peer_holds(struct tt_node *node, const struct proposal *proposal)
{
    const struct node_peer *peer = node_peer_find(node, proposal->peer_id);
    return proposal->index != 0 && peer && peer->matched_term == node->lead_term &&
           peer->matched >= proposal->index;
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
        if (code != TT_ETIMEOUT && !peer_holds(node, proposal)) {
            send_reply(node, proposal, code);
        }
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
    } else if (node->removed_index != 0) {
        code = TT_EUNAVAILABLE;
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

/* Nothing else may be appended that a peer has forwarded. */
static bool meant_for_us(const struct tt_node *node, uint64_t term)
{
    return node->lead_term != 0 && (term == node->lead_term || NODE_FAULT(node, forward_any_term));
}

static void forward_refuse(struct tt_node *node, uint64_t peer_id, const Tt__Peer__Forward *forward)
{
    for (size_t i = 0; i < forward->n_size; i++) {
        const struct proposal refused = {.request = forward->first_request + i, .peer_id = peer_id};
        send_reply(node, &refused, TT_ENOTLEADER);
    }
}

/* The commands stay in the frame that they came in: they leave in order, so that it is gone soon
 * after most of them, and what a frame carries was bounded by its sender's turn. */
void proposals_forward_received(struct tt_node *node, uint64_t peer_id,
                                const Tt__Peer__Forward *forward,
                                struct peer_attachment *attachment)
{
    if (!meant_for_us(node, forward->term)) {
        forward_refuse(node, peer_id, forward);
        return;
    }
    for (size_t i = 0; i < forward->n_size; i++) {
        struct proposal *proposal = TT_NEW(struct proposal);
        proposal->peer_id = peer_id;
        proposal->request = forward->first_request + i;
        proposal->term = forward->term;
        proposal->command = peer_piece_take(attachment, forward->size[i]);
        proposal->size = forward->size[i];
        proposal->deadline_ms = node->now_ms + forward->timeout_ms[i];
        proposal->result.failed_compare = -1;
        enqueue(node, proposal);
    }
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

static void expire_forwarded(struct tt_node *node)
{
    struct forwarded *forwarded = &node->proposals.forwarded;
    for (struct tt_list *link = forwarded->attempts.next, *next; link != &forwarded->attempts;
         link = next) {
        next = link->next;
        struct proposal *proposal =
            proposal_of_attempt(TT_CONTAINER_OF(link, struct attempt, link));
        if (proposal->deadline_ms <= node->now_ms) {
            (void)forwarded_take(forwarded, proposal->attempt.request);
            answer(node, proposal, TT_ETIMEOUT);
        }
    }
}

/* Those of peers look after their deadlines themselves. */
static void expire_batches(struct tt_node *node)
{
    struct tt_list *batches = &node->proposals.batches;
    for (struct tt_list *link = batches->next; link != batches; link = link->next) {
        struct tt_list *commands = &batch_of(link)->commands;
        for (struct tt_list *c = commands->next; c != commands; c = c->next) {
            if (proposal_of(c)->op && proposal_of(c)->deadline_ms <= node->now_ms) {
                tell(node, proposal_of(c), TT_ETIMEOUT); /* keeps its place in the entry */
            }
        }
    }
}

static struct packed_command packed_of(const struct proposal *proposal)
{
    return (struct packed_command){.command = tt_bytes_view(proposal->command),
                                   .member = proposal->peer_id,
                                   .request = proposal->request};
}

/* 0: it may be appended now. */
static int check(const struct tt_node *node, const struct proposal *proposal)
{
    bool allowed = proposal->op || meant_for_us(node, proposal->term);
    return allowed ? check_space(node, tt_bytes_view(proposal->command)) : TT_ENOTLEADER;
}

/* What has queued, up to one entry. Returns the size of its payload. */
static size_t fill(struct tt_node *node, struct proposal_batch *batch)
{
    struct proposals *proposals = &node->proposals;
    size_t size = 0;
    size_t count = 0;
    while (!tt_list_empty(&proposals->queue) && count < PROPOSALS_COMMANDS_PER_ENTRY_MAX) {
        struct proposal *proposal = proposal_of(proposals->queue.next);
        const struct packed_command packed = packed_of(proposal);
        if (count > 0 && size + packing_size(&packed) > TT_NODE_BATCH_SIZE_MAX) {
            break;
        }
        tt_list_remove(&proposal->link);
        int code = check(node, proposal);
        if (code != 0) {
            answer(node, proposal, code);
            continue;
        }
        tt_list_push_back(&batch->commands, &proposal->link);
        size += packing_size(&packed);
        count++;
    }
    return size;
}

/* The payload of the batch, each command stamped in its place there: the command itself may be
 * shared. Returns how many it holds. */
static size_t pack(struct tt_node *node, struct proposal_batch *batch, size_t size)
{
    const struct tt_fsm *fsm = &node->config.fsm;
    uint64_t wall_ms = tt_clock_wall_ms(node->config.clock);
    uint8_t *start;
    size_t count = 0;
    batch->payload = tt_bytes_new_uninit(size, &start);
    uint8_t *to = start;
    for (struct tt_list *link = batch->commands.next; link != &batch->commands;) {
        struct proposal *proposal = proposal_of(link);
        link = link->next;
        const struct packed_command packed = packed_of(proposal);
        uint8_t *command = packing_put(to, &packed);
        struct tt_err err;
        tt_err_init(&err);
        int code = fsm->stamp(fsm->ctx, command, proposal->size, wall_ms, &err);
        if (code != 0) {
            tt_list_remove(&proposal->link);
            answer(node, proposal, code); /* and the next one in its place */
            continue;
        }
        to = command + proposal->size;
        count++;
    }
    TT_ASSERT((size_t)(to - start) <= size);
    tt_bytes_shorten(batch->payload, (size_t)(to - start));
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
    struct proposal_batch *batch = TT_NEW(struct proposal_batch);
    tt_list_init(&batch->commands);
    size_t size = fill(node, batch);
    size_t count = size > 0 ? pack(node, batch, size) : 0;
    bool submitted = false;
    if (count > 0) {
        batch->term = node->lead_term;
        submitted = node_submit(node, RAFT_COMMAND, batch->payload, &batch->index);
    }
    if (!submitted) {
        unfill(proposals, batch);
        tt_bytes_unref(batch->payload);
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

static void batch_free(struct tt_node *node, struct proposal_batch *batch)
{
    if (batch->term == node->lead_term && node->proposals.in_flight > 0) {
        node->proposals.in_flight--;
    }
    TT_ASSERT(tt_list_empty(&batch->commands));
    tt_list_remove(&batch->link);
    tt_bytes_unref(batch->payload);
    tt_free(batch);
}

/* It was proposed, and is lost for certain: once more, before `next` in the queue. */
static void propose_again(struct tt_node *node, struct proposal *proposal, struct tt_list *next)
{
    proposal->index = 0;
    if (!proposal->op) {
        answer(node, proposal, TT_ENOTLEADER); /* the peer's to decide, if it waits still */
    } else if (proposal->deadline_ms <= node->now_ms) {
        answer(node, proposal, TT_EUNAVAILABLE);
    } else {
        tt_list_push_back(next, &proposal->link);
    }
}

/* Its commands back to the front of the queue: the payload has kept their bytes, and stays until
 * they are packed again. */
static void batch_again(struct tt_node *node, struct proposal_batch *batch)
{
    struct tt_list *next = node->proposals.queue.next;
    struct tt_str rest = tt_bytes_view(batch->payload);
    struct packed_command packed;
    struct tt_list *link;
    while ((link = tt_list_pop_front(&batch->commands)) != NULL) {
        struct proposal *proposal = proposal_of(link);
        int r = packing_next(&rest, &packed);
        TT_ASSERT(r == 1); /* it was packed here */
        if (proposal->op) {
            size_t at = (size_t)((const uint8_t *)packed.command.ptr - batch->payload->ptr);
            proposal->command = tt_bytes_slice(batch->payload, at, packed.command.len);
            node->proposals.bytes += proposal->size;
        }
        propose_again(node, proposal, next);
    }
    batch_free(node, batch);
}

/* An entry of `term` is about to be applied: what was forwarded to an earlier leader and did not
 * come by is lost, but for what may lie in a snapshot. */
static void settle_forwarded(struct tt_node *node, uint64_t term)
{
    struct proposals *proposals = &node->proposals;
    struct tt_list *next = proposals->queue.next;
    struct attempt *attempt;
    while ((attempt = forwarded_settled(&proposals->forwarded, term)) != NULL) {
        struct proposal *proposal = proposal_of_attempt(attempt);
        if (attempt->hidden && !NODE_FAULT(node, hidden_is_lost)) {
            answer(node, proposal, TT_ETIMEOUT);
        } else {
            propose_again(node, proposal, next);
        }
    }
}

/* One frame with as many from the front of the queue as fit. */
static void forward_some(struct tt_node *node)
{
    struct tt_list *queue = &node->proposals.queue;
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__Forward forward = TT__PEER__FORWARD__INIT;
    struct tt_bytes *commands[PEER_COMMANDS_MAX];
    uint32_t timeouts[PEER_COMMANDS_MAX];
    uint32_t sizes[PEER_COMMANDS_MAX];
    size_t count = 0;
    size_t size = 0;
    forward.term = node->led_term;
    forward.first_request = node->next_request + 1;
    while (!tt_list_empty(queue) && count < PEER_COMMANDS_MAX) {
        struct proposal *proposal = proposal_of(queue->next);
        if (count > 0 && size + proposal->size > PEER_ATTACHMENT_SIZE_TARGET) {
            break;
        }
        tt_list_remove(&proposal->link);
        if (proposal->deadline_ms <= node->now_ms) {
            answer(node, proposal, TT_EUNAVAILABLE);
            continue;
        }
        uint64_t left_ms = proposal->deadline_ms - node->now_ms;
        commands[count] = proposal->command;
        timeouts[count] = (uint32_t)tt_u64_min(left_ms, PEER_TIMEOUT_MS_MAX);
        sizes[count] = (uint32_t)proposal->size;
        count++;
        size += proposal->size;
        forwarded_add(&node->proposals.forwarded, &proposal->attempt, ++node->next_request,
                      forward.term);
    }
    forward.n_timeout_ms = forward.n_size = count;
    forward.timeout_ms = timeouts;
    forward.size = sizes;
    message.body_case = TT__PEER__MESSAGE__BODY_FORWARD;
    message.forward = &forward;
    if (count > 0) {
        node_send_with(node, node->led_by, &message, commands, count);
    }
}

/* A leader that refused once because of its term will not lead in it again. */
static bool may_forward(struct tt_node *node)
{
    return node->lead_term == 0 && node->led_by != 0 && node_leader(node) == node->led_by &&
           raft_current_term(&node->raft) == node->led_term &&
           node->led_term > node->proposals.refused_term;
}

void proposals_turn(struct tt_node *node)
{
    struct proposals *proposals = &node->proposals;
    if (NODE_FAULT(node, again_too_early)) {
        settle_forwarded(node, node->led_term);
    }
    while (node->lead_term != 0 && !tt_list_empty(&proposals->queue) &&
           !membership_op_holds(&node->change) &&
           proposals->in_flight < TT_NODE_ENTRIES_IN_FLIGHT_MAX && submit_one(node)) {
    }
    while (!tt_list_empty(&proposals->queue) && may_forward(node)) {
        forward_some(node);
    }
    if (proposals->count > 0 && node->now_ms >= proposals->expire_ms) {
        proposals->expire_ms = node->now_ms + PROPOSALS_EXPIRE_MS; /* they may be thousands */
        expire(node, &proposals->queue, TT_EUNAVAILABLE);
        expire_forwarded(node);
        expire(node, &proposals->answered, TT_ETIMEOUT);
        expire_batches(node);
    }
}

void proposals_reply_received(struct tt_node *node, const Tt__Peer__ForwardReply *reply)
{
    struct proposals *proposals = &node->proposals;
    struct attempt *attempt = forwarded_take(&proposals->forwarded, reply->request);
    if (!attempt) {
        return;
    }
    struct proposal *proposal = proposal_of_attempt(attempt);
    if (reply->code == TT_ENOTLEADER) {
        proposals->refused_term = tt_u64_max(proposals->refused_term, attempt->term);
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

void proposals_forwarded_applied(struct tt_node *node, uint64_t request, uint64_t index,
                                 const struct tt_apply_result *result)
{
    struct proposals *proposals = &node->proposals;
    struct attempt *attempt = NODE_FAULT(node, own_not_recognised)
                                  ? NULL
                                  : forwarded_take(&proposals->forwarded, request);
    if (!attempt) {
        return; /* overdue, answered by the leader, or of an earlier start */
    }
    struct proposal *proposal = proposal_of_attempt(attempt);
    proposal->index = index;
    proposal->result = *result;
    proposal->code = result->code;
    command_release(proposals, proposal);
    tt_list_push_back(&proposals->finished, &proposal->link);
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
        } else if (batch->index <= index || batch->term < term) {
            batch_again(node, batch); /* others are committed in its place, or before it */
        }
    }
    settle_forwarded(node, term);
    return found;
}

void proposals_batch_done(struct tt_node *node, struct proposal_batch *batch)
{
    struct tt_list *link;
    while ((link = tt_list_pop_front(&batch->commands)) != NULL) {
        tt_list_push_back(&node->proposals.finished, link);
    }
    batch_free(node, batch);
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

void proposals_installed(struct tt_node *node, uint64_t index, uint64_t term)
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
    /* The leader of that term may still tell of its own, those of earlier ones do not. */
    forwarded_hide(&node->proposals.forwarded, term);
    settle_forwarded(node, term);
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
    while (NODE_FAULT(node, again_at_loss) && !tt_list_empty(&proposals->batches)) {
        batch_again(node, batch_of(proposals->batches.next));
    }
}

void proposals_stop(struct tt_node *node)
{
    struct proposals *proposals = &node->proposals;
    answer_all(node, &proposals->queue, TT_ECLOSED);
    struct proposal *proposal;
    while ((proposal = forwarded_any(proposals)) != NULL) {
        answer(node, proposal, TT_ETIMEOUT);
    }
    answer_all(node, &proposals->answered, TT_ETIMEOUT);
    answer_all(node, &proposals->finished, TT_ETIMEOUT);
    while (!tt_list_empty(&proposals->batches)) {
        struct proposal_batch *batch = batch_of(proposals->batches.next);
        answer_all(node, &batch->commands, TT_ETIMEOUT);
        batch_free(node, batch);
    }
}
