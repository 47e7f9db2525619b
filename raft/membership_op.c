/* One membership change at a time, step by step; the states and their order are in the header.
 *
 * Failure: a step that is not legal ends the op with its reason and appends nothing. Overdue before
 * anything was appended: TT_EUNAVAILABLE; after: TT_ETIMEOUT, the change may or may not happen. A
 * PROMOTE that fails while catching up leaves a standby behind, which may be promoted again. */
#include "raft/membership_op.h"

#include <inttypes.h>
#include <stdio.h>

#include "raft/node_parts.h"

enum { PROBE_RETRY_MS = 200 };

static bool invariant(const struct tt_sm *sm, uint32_t state)
{
    const struct membership_op *change = TT_CONTAINER_OF(sm, struct membership_op, sm);
    bool owned = change->op != NULL || change->peer_id != 0;
    return (state == CHANGE_IDLE) == !owned && (state != CHANGE_APPENDED || change->index > 0);
}

#define FROM_WAITING                                                                               \
    (TT_SM_BIT(CHANGE_IDLE) | TT_SM_BIT(CHANGE_PROBING) | TT_SM_BIT(CHANGE_APPENDED) |             \
     TT_SM_BIT(CHANGE_CATCHING_UP) | TT_SM_BIT(CHANGE_DRAINING))
static const struct tt_sm_state STATES[] = {
    [CHANGE_IDLE] = {"idle", TT_SM_BIT(CHANGE_WAITING), true},
    [CHANGE_WAITING] = {"waiting", FROM_WAITING, true},
    [CHANGE_PROBING] = {"probing", TT_SM_BIT(CHANGE_IDLE) | TT_SM_BIT(CHANGE_APPENDED), true},
    [CHANGE_APPENDED] = {"appended", TT_SM_BIT(CHANGE_IDLE) | TT_SM_BIT(CHANGE_CATCHING_UP), true},
    [CHANGE_CATCHING_UP] = {"catching up", TT_SM_BIT(CHANGE_IDLE) | TT_SM_BIT(CHANGE_APPENDED),
                            true},
    [CHANGE_DRAINING] = {"draining", TT_SM_BIT(CHANGE_IDLE) | TT_SM_BIT(CHANGE_TRANSFERRING), true},
    [CHANGE_TRANSFERRING] = {"transferring", TT_SM_BIT(CHANGE_IDLE) | TT_SM_BIT(CHANGE_DRAINING),
                             true},
};
static const struct tt_sm_def SM = {"membership change", STATES, sizeof STATES / sizeof STATES[0],
                                    invariant};

void membership_op_init(struct membership_op *change)
{
    memset(change, 0, sizeof *change);
    tt_sm_init(&change->sm, &SM, CHANGE_IDLE);
}

bool membership_op_busy(const struct membership_op *change)
{
    bool busy = tt_sm_state(&change->sm) != CHANGE_IDLE;
    for (size_t i = 0; i < CHANGE_FORWARDED_MAX; i++) {
        busy = busy || change->forwarded[i].op != NULL;
    }
    return busy;
}

bool membership_op_holds(const struct membership_op *change)
{
    uint32_t state = tt_sm_state(&change->sm);
    return state == CHANGE_TRANSFERRING || (state == CHANGE_DRAINING && change->held_ms != 0);
}

static void send_reply(struct tt_node *node, uint64_t peer_id, uint64_t request, uint64_t id,
                       int code, const struct tt_err *why)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__ChangeReply reply = TT__PEER__CHANGE_REPLY__INIT;
    char text[PEER_TEXT_SIZE_MAX];
    (void)tt_err_format(why, text, sizeof text);
    reply.request = request;
    reply.code = code;
    reply.id = id;
    reply.text = text;
    message.body_case = TT__PEER__MESSAGE__BODY_CHANGE_REPLY;
    message.change_reply = &reply;
    node_send(node, peer_id, &message);
}

static void end(struct tt_node *node, int code, const struct tt_err *why)
{
    struct membership_op *change = &node->change;
    struct tt_change_op *op = TT_TAKE(change->op);
    if (op) {
        op->member.id = change->member.id;
        op->err = *why;
        node_out_change(node, op, code);
    } else {
        send_reply(node, change->peer_id, change->request, change->member.id, code, why);
        change->peer_id = 0;
    }
    tt_sm_move(&change->sm, CHANGE_IDLE);
}

static void end_with(struct tt_node *node, int code, const char *why)
{
    struct tt_err err;
    tt_err_init(&err);
    if (code != 0) {
        (void)TT_FAIL(&err, code, "%s", why);
    }
    end(node, code, &err);
}

/* Appends `next` as the new configuration. False: the op has ended. */
static bool append(struct tt_node *node, const struct tt_membership *next)
{
    struct tt_bytes *bytes = NULL;
    struct tt_err err;
    tt_err_init(&err);
    int r = tt_membership_encode(next, &bytes, &err);
    if (r < 0) {
        end(node, r, &err);
        return false;
    }
    uint64_t index = 0;
    bool submitted = node_submit(node, RAFT_CHANGE, bytes, &index);
    tt_bytes_unref(bytes);
    if (!submitted) {
        if (node_alive(node)) {
            end_with(node, TT_EUNAVAILABLE, "another change or a transfer is under way");
        }
        return false;
    }
    if (tt_sm_state(&node->change.sm) == CHANGE_IDLE) {
        return false; /* committed and applied on the spot, or leadership lost */
    }
    node->change.index = index;
    tt_sm_move(&node->change.sm, CHANGE_APPENDED);
    return true;
}

static void add(struct tt_node *node)
{
    struct tt_membership next = node->membership;
    struct tt_member *spare = &node->change.member;
    if (spare->id == 0) {
        spare->id = TT_MEMBER_ID_BASE + node->last_index + 1; /* never given before, never again */
    }
    struct tt_err err;
    tt_err_init(&err);
    int r = tt_membership_add(&next, spare, &err);
    if (r < 0) {
        end(node, r, &err);
        return;
    }
    (void)append(node, &next);
}

static void promote_step(struct tt_node *node, enum tt_member_role role)
{
    struct tt_membership next = node->membership;
    struct tt_err err;
    tt_err_init(&err);
    int r = tt_membership_promote(&next, node->change.member.id, role, &err);
    if (r < 0) {
        end(node, r, &err);
        return;
    }
    (void)append(node, &next);
}

static void catch_up_begin(struct tt_node *node)
{
    struct membership_op *change = &node->change;
    change->round = 1;
    change->round_index = node->last_index;
    change->round_start_ms = node->now_ms;
    tt_sm_move(&change->sm, CHANGE_CATCHING_UP);
}

static void promote(struct tt_node *node)
{
    struct membership_op *change = &node->change;
    const struct tt_member *member = tt_membership_get(&node->membership, change->member.id);
    if (!member) {
        end_with(node, TT_ENOTFOUND, "no such server");
    } else if (member->role == TT_ROLE_VOTER) {
        end_with(node, TT_ECONFLICT, "it is a voter already");
    } else if (member->role == TT_ROLE_STANDBY) {
        catch_up_begin(node);
    } else {
        change->asked_ms = node->now_ms;
        node_send_info(node, change->member.id, true);
        tt_sm_move(&change->sm, CHANGE_PROBING);
    }
}

static uint64_t match_of(struct tt_node *node, uint64_t id)
{
    raft_index match = 0;
    return raft_match_index(&node->raft, id, &match) == 0 ? match : 0;
}

static uint64_t furthest_voter(struct tt_node *node)
{
    uint64_t best = 0;
    for (size_t i = 0; i < node->membership.count; i++) {
        const struct tt_member *member = &node->membership.members[i];
        bool possible = member->role == TT_ROLE_VOTER && member->id != node->config.id &&
                        node_peer_recent(node, member->id);
        if (possible && (best == 0 || match_of(node, member->id) > match_of(node, best))) {
            best = member->id;
        }
    }
    return best;
}

static void hand_over(struct tt_node *node, uint64_t to)
{
    struct raft_event event = {.type = RAFT_TRANSFER};
    event.transfer.server_id = to;
    int refusal = 0;
    node->change.tries++;
    tt_sm_move(&node->change.sm, CHANGE_TRANSFERRING);
    if (!node_step(node, &event, &refusal) && node_alive(node)) {
        end_with(node, TT_EUNAVAILABLE, raft_strerror(refusal));
    }
}

static void draining_turn(struct tt_node *node)
{
    struct membership_op *change = &node->change;
    uint64_t to = change->transfer_to != 0 ? change->transfer_to : furthest_voter(node);
    if (to == 0 || !node_peer_recent(node, to)) {
        end_with(node, TT_EUNAVAILABLE, "no server that could take over is heard of");
        return;
    }
    uint64_t match = match_of(node, to);
    if (match >= node->last_index) {
        hand_over(node, to);
    } else if (change->held_ms == 0 && node->last_index - match <= CHANGE_TRANSFER_LAG) {
        change->held_ms = node->now_ms;
    } else if (change->held_ms != 0 &&
               node->now_ms - change->held_ms >= node->config.election_timeout_ms) {
        end_with(node, TT_EUNAVAILABLE, "the other server stores too slowly to take over");
    }
}

static void transfer(struct tt_node *node, uint64_t to)
{
    node->change.transfer_to = to;
    node->change.held_ms = 0;
    tt_sm_move(&node->change.sm, CHANGE_DRAINING);
    draining_turn(node);
}

static void begin_transfer(struct tt_node *node)
{
    uint64_t to = node->change.member.id;
    node->change.tries = 0;
    if (to == node->config.id) {
        end_with(node, 0, "");
    } else if (tt_membership_voter_count(&node->membership) < 2) {
        end_with(node, TT_ECONFLICT, "it is the only voter: nobody else can lead");
    } else if (to != 0 && !tt_membership_is_voter(&node->membership, to)) {
        end_with(node, TT_ECONFLICT, "only a voter can lead");
    } else {
        transfer(node, to);
    }
}

static void remove_member(struct tt_node *node)
{
    uint64_t id = node->change.member.id;
    size_t reachable = 0;
    for (size_t i = 0; i < node->membership.count; i++) {
        const struct tt_member *member = &node->membership.members[i];
        reachable +=
            member->id != id && member->role == TT_ROLE_VOTER && node_peer_recent(node, member->id);
    }
    struct tt_membership next = node->membership;
    struct tt_err err;
    tt_err_init(&err);
    int r = tt_membership_remove(&next, id, reachable, &err);
    if (r < 0) {
        end(node, r, &err);
    } else if (id == node->config.id) {
        /* A leader that is no member by its own log, uncommitted, could neither lead again nor vote
         * for one with less: somebody else has to remove it. */
        node->change.tries = 0;
        transfer(node, 0);
    } else {
        (void)append(node, &next);
    }
}

static void begin(struct tt_node *node)
{
    switch (node->change.kind) {
    case TT_CHANGE_ADD:
        add(node);
        break;
    case TT_CHANGE_PROMOTE:
        promote(node);
        break;
    case TT_CHANGE_REMOVE:
        remove_member(node);
        break;
    case TT_CHANGE_TRANSFER:
        begin_transfer(node);
        break;
    case TT_CHANGE_SNAPSHOT:
        TT_ASSERT(false); /* answered before it gets here */
        break;
    }
}

static void accept(struct tt_node *node, enum tt_change_kind kind, const struct tt_member *member,
                   uint64_t deadline_ms)
{
    struct membership_op *change = &node->change;
    change->kind = kind;
    change->member = *member;
    change->deadline_ms = deadline_ms;
    change->index = 0;
    tt_sm_move(&change->sm, CHANGE_WAITING);
}

static void forward(struct tt_node *node, struct tt_change_op *op, uint64_t deadline_ms)
{
    struct membership_op *change = &node->change;
    uint64_t leader = node_leader(node);
    size_t slot = 0;
    while (slot < CHANGE_FORWARDED_MAX && change->forwarded[slot].op) {
        slot++;
    }
    if (leader == 0 || slot == CHANGE_FORWARDED_MAX) {
        int code = leader == 0 ? TT_EUNAVAILABLE : TT_EBUSY;
        (void)TT_FAIL(&op->err, code, leader == 0 ? "no leader is known" : "too many changes");
        node_out_change(node, op, code);
        return;
    }
    uint64_t request = ++node->next_request;
    change->forwarded[slot].op = op;
    change->forwarded[slot].request = request;
    change->forwarded[slot].deadline_ms = deadline_ms;
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__Change wire = TT__PEER__CHANGE__INIT;
    uint64_t left_ms = deadline_ms > node->now_ms ? deadline_ms - node->now_ms : 0;
    wire.request = request;
    wire.timeout_ms = (uint32_t)tt_u64_min(left_ms, PEER_TIMEOUT_MS_MAX);
    wire.kind = op->kind;
    wire.id = op->member.id;
    wire.name = op->member.name;
    wire.peer_address = op->member.peer_address;
    message.body_case = TT__PEER__MESSAGE__BODY_CHANGE;
    message.change = &wire;
    node_send(node, leader, &message);
}

void membership_op_add(struct tt_node *node, struct tt_change_op *op)
{
    struct membership_op *change = &node->change;
    tt_err_init(&op->err);
    uint64_t deadline_ms =
        op->deadline_ms != 0 ? op->deadline_ms : node->now_ms + CHANGE_DEADLINE_MS_DEFAULT;
    if (!node_alive(node)) {
        node_out_change(node, op, TT_FAIL(&op->err, TT_ECLOSED, "the server is not running"));
    } else if (op->kind == TT_CHANGE_SNAPSHOT) {
        if (node->snapshot_op) {
            node_out_change(node, op, TT_FAIL(&op->err, TT_EBUSY, "a snapshot is being taken"));
        } else {
            node->snapshot_op = op;
        }
    } else if (node->lead_term == 0 && op->kind == TT_CHANGE_REMOVE &&
               op->member.id == node->config.id) {
        /* The leader ends the connections with the entry: the answer could not come back. */
        int code = TT_FAIL(&op->err, TT_ECONFLICT,
                           "a server does not hear the answer to its own removal: ask another one");
        node_out_change(node, op, code);
    } else if (node->lead_term == 0) {
        forward(node, op, deadline_ms);
    } else if (tt_sm_state(&change->sm) != CHANGE_IDLE) {
        node_out_change(node, op, TT_FAIL(&op->err, TT_EBUSY, "another change is under way"));
    } else {
        change->op = op;
        accept(node, op->kind, &op->member, deadline_ms);
    }
}

void membership_op_forwarded(struct tt_node *node, uint64_t peer_id, const Tt__Peer__Change *wire)
{
    struct membership_op *change = &node->change;
    struct tt_err err;
    tt_err_init(&err);
    if (node->lead_term == 0 || wire->kind == TT_CHANGE_SNAPSHOT) {
        int code = TT_FAIL(&err, TT_ENOTLEADER, "this server does not lead");
        send_reply(node, peer_id, wire->request, wire->id, code, &err);
        return;
    }
    if (tt_sm_state(&change->sm) != CHANGE_IDLE) {
        int code = TT_FAIL(&err, TT_EBUSY, "another change is under way");
        send_reply(node, peer_id, wire->request, wire->id, code, &err);
        return;
    }
    struct tt_member member = {.id = wire->id};
    (void)snprintf(member.name, sizeof member.name, "%s", wire->name);
    (void)snprintf(member.peer_address, sizeof member.peer_address, "%s", wire->peer_address);
    change->peer_id = peer_id;
    change->request = wire->request;
    accept(node, (enum tt_change_kind)wire->kind, &member, node->now_ms + wire->timeout_ms);
}

void membership_op_reply(struct tt_node *node, const Tt__Peer__ChangeReply *reply)
{
    struct membership_op *change = &node->change;
    for (size_t i = 0; i < CHANGE_FORWARDED_MAX; i++) {
        if (!change->forwarded[i].op || change->forwarded[i].request != reply->request) {
            continue;
        }
        struct tt_change_op *op = TT_TAKE(change->forwarded[i].op);
        op->member.id = reply->id;
        if (reply->code != 0) {
            (void)TT_FAIL(&op->err, reply->code, "%s", reply->text);
        }
        node_out_change(node, op, reply->code);
    }
}

static void probing_turn(struct tt_node *node)
{
    struct membership_op *change = &node->change;
    const struct node_peer *peer = node_peer_find(node, change->member.id);
    if (peer && peer->info_ms > change->asked_ms) {
        promote_step(node, TT_ROLE_STANDBY); /* it is there and answers as what it claims to be */
    } else if ((node->now_ms - change->asked_ms) % PROBE_RETRY_MS >= PROBE_RETRY_MS / 2) {
        node_send_info(node, change->member.id, true);
    }
}

static void catching_up_turn(struct tt_node *node)
{
    struct membership_op *change = &node->change;
    raft_index match = 0;
    if (raft_match_index(&node->raft, change->member.id, &match) != 0) {
        end_with(node, TT_ENOTFOUND, "no such server");
        return;
    }
    if (match < change->round_index) {
        return;
    }
    uint64_t elapsed_ms = node->now_ms - change->round_start_ms;
    if (match == node->last_index || elapsed_ms < node->config.election_timeout_ms) {
        promote_step(node, TT_ROLE_VOTER);
    } else if (change->round == CHANGE_ROUNDS_MAX) {
        end_with(node, TT_EUNAVAILABLE, "the server does not catch up");
    } else {
        change->round++;
        change->round_index = node->last_index;
        change->round_start_ms = node->now_ms;
    }
}

static void transferring_turn(struct tt_node *node)
{
    struct membership_op *change = &node->change;
    if (raft_transferee(&node->raft) != 0) {
        return;
    }
    /* The core gave up after an election timeout and leads on. */
    if (change->tries < CHANGE_TRANSFER_TRIES) {
        transfer(node, change->transfer_to);
    } else {
        end_with(node, TT_EUNAVAILABLE, "the other server did not take over in time");
    }
}

static void expire(struct tt_node *node)
{
    struct membership_op *change = &node->change;
    uint32_t state = tt_sm_state(&change->sm);
    if (state != CHANGE_IDLE && change->deadline_ms <= node->now_ms) {
        end_with(node, change->index > 0 ? TT_ETIMEOUT : TT_EUNAVAILABLE, "not done in time");
    }
    for (size_t i = 0; i < CHANGE_FORWARDED_MAX; i++) {
        if (change->forwarded[i].op && change->forwarded[i].deadline_ms <= node->now_ms) {
            struct tt_change_op *op = TT_TAKE(change->forwarded[i].op);
            node_out_change(node, op, TT_FAIL(&op->err, TT_ETIMEOUT, "no answer of the leader"));
        }
    }
}

void membership_op_turn(struct tt_node *node)
{
    struct membership_op *change = &node->change;
    if (node->lead_term != 0) {
        switch ((enum change_state)tt_sm_state(&change->sm)) {
        case CHANGE_WAITING:
            if (node->ready) {
                begin(node);
            }
            break;
        case CHANGE_PROBING:
            probing_turn(node);
            break;
        case CHANGE_CATCHING_UP:
            catching_up_turn(node);
            break;
        case CHANGE_DRAINING:
            draining_turn(node);
            break;
        case CHANGE_TRANSFERRING:
            transferring_turn(node);
            break;
        case CHANGE_IDLE:
        case CHANGE_APPENDED:
            break;
        }
    }
    expire(node);
}

void membership_op_applied(struct tt_node *node, uint64_t index, uint64_t term)
{
    struct membership_op *change = &node->change;
    if (tt_sm_state(&change->sm) != CHANGE_APPENDED || change->index != index) {
        return;
    }
    if (term != node->lead_term) {
        end_with(node, TT_EUNAVAILABLE, "another leader's entry took its place");
        return;
    }
    const struct tt_member *member = tt_membership_get(&node->membership, change->member.id);
    if (change->kind == TT_CHANGE_PROMOTE && member && member->role == TT_ROLE_STANDBY) {
        catch_up_begin(node);
    } else {
        end_with(node, 0, "");
    }
}

void membership_op_leadership_lost(struct tt_node *node)
{
    struct membership_op *change = &node->change;
    switch ((enum change_state)tt_sm_state(&change->sm)) {
    case CHANGE_IDLE:
        break;
    case CHANGE_TRANSFERRING:
        if (change->kind == TT_CHANGE_REMOVE) {
            end_with(node, TT_ENOTLEADER, "it led: leadership was handed over, ask again");
            break;
        }
        end_with(node, 0, ""); /* who leads now is seen in the status */
        break;
    case CHANGE_APPENDED:
        if (change->index <= node->commit_index) {
            end_with(node, 0, ""); /* it took effect: we are no member or no voter any more */
            break;
        }
        end_with(node, TT_ETIMEOUT, "leadership was lost before the change was committed");
        break;
    case CHANGE_WAITING:
    case CHANGE_PROBING:
    case CHANGE_CATCHING_UP:
    case CHANGE_DRAINING:
        end_with(node, TT_ENOTLEADER, "leadership was lost");
        break;
    }
}

void membership_op_stop(struct tt_node *node)
{
    struct membership_op *change = &node->change;
    if (tt_sm_state(&change->sm) != CHANGE_IDLE) {
        end_with(node, TT_ECLOSED, "the server stops");
    }
    if (node->snapshot_op) {
        struct tt_change_op *op = TT_TAKE(node->snapshot_op);
        node_out_change(node, op, TT_FAIL(&op->err, TT_ECLOSED, "the server stops"));
    }
    for (size_t i = 0; i < CHANGE_FORWARDED_MAX; i++) {
        struct tt_change_op *op = TT_TAKE(change->forwarded[i].op);
        if (op) {
            node_out_change(node, op, TT_FAIL(&op->err, TT_ETIMEOUT, "the server stops"));
        }
    }
}
