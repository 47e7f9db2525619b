/* Changes of the membership and of the leader in time, on the leader; followers forward them.
 *
 *   ADD       spare appended → committed → done
 *   PROMOTE   probed → (standby appended → committed →) caught up → voter appended → committed →
 *             done
 *   REMOVE    appended → committed → done; of the leader: drained, handed over, "ask again": any
 *             server but the one that goes, which would not hear the answer
 *   TRANSFER  drained → asked of the core → another server leads → done
 *   SNAPSHOT  answered by the server that was asked
 *
 * One change at a time; they wait for the leader's own barrier. Catching up is measured here (match
 * index within one election timeout of the leader's last index, at most ROUNDS_MAX rounds) because
 * the core's own rounds never end on an idle cluster (rule 9).
 *
 * Draining: the core tells the other server to take over at its next answer, and that one declines
 * while it has anything left to store; under load that is always, and every attempt would stop all
 * writes for an election timeout. So writes queue here until the other one has stored all there is,
 * which takes one sync, and only then the core is asked.
 * Ownership: embedded in the node; the op is the caller's. Thread: core. Errors: op->code, op->err;
 * a lost leadership leaves what was appended unknown (TT_ETIMEOUT). */
#ifndef RAFT_MEMBERSHIP_OP_H
#define RAFT_MEMBERSHIP_OP_H

#include "base/sm.h"
#include "proto/peer.pb-c.h"
#include "raft/membership.h"

struct tt_node;

enum {
    CHANGE_DEADLINE_MS_DEFAULT = 30000,
    CHANGE_ROUNDS_MAX = 10,
    CHANGE_FORWARDED_MAX = 4,
    CHANGE_TRANSFER_TRIES = 3,
    CHANGE_TRANSFER_LAG = 8, /* entries: writes begin to queue when no more are missing */
};

enum change_state {
    CHANGE_IDLE,
    CHANGE_WAITING,  /* for the barrier */
    CHANGE_PROBING,  /* for MemberInfo */
    CHANGE_APPENDED, /* for the entry at `index` */
    CHANGE_CATCHING_UP,
    CHANGE_DRAINING,     /* for the next leader to have stored everything */
    CHANGE_TRANSFERRING, /* for it to lead */
};
struct membership_op {
    struct tt_sm sm;          /* enum change_state */
    struct tt_change_op *op;  /* NULL: a peer forwarded it */
    uint64_t peer_id;         /* that peer; 0: there is none, or it was answered */
    uint64_t request;         /* the peer's, for the reply */
    enum tt_change_kind kind; /* never TT_CHANGE_SNAPSHOT */
    struct tt_member member;  /* as asked; ADD: with the id it is given */
    uint64_t deadline_ms;     /* monotonic; then unknown if appended, else not done */
    uint64_t index;           /* CHANGE_APPENDED */
    uint64_t asked_ms;        /* CHANGE_PROBING: an info heard after this is the answer */
    uint64_t round_index;     /* CHANGE_CATCHING_UP: target of the round */
    uint64_t round_start_ms;  /* CHANGE_CATCHING_UP: monotonic */
    uint32_t round;           /* CHANGE_CATCHING_UP: 1 to CHANGE_ROUNDS_MAX */
    uint64_t transfer_to;     /* CHANGE_DRAINING: 0 = whoever has most */
    uint64_t held_ms;         /* CHANGE_DRAINING: since when writes queue; 0 = they do not */
    uint32_t tries;           /* of a transfer */
    struct {
        struct tt_change_op *op;       /* NULL: free */
        uint64_t request;              /* ours; names the reply */
        uint64_t deadline_ms;          /* monotonic; then the outcome is unknown */
    } forwarded[CHANGE_FORWARDED_MAX]; /* to the leader: who waits for its reply */
};

void membership_op_init(struct membership_op *change);
void membership_op_add(struct tt_node *node, struct tt_change_op *op);
void membership_op_forwarded(struct tt_node *node, uint64_t peer_id,
                             const Tt__Peer__Change *change);
void membership_op_reply(struct tt_node *node, const Tt__Peer__ChangeReply *reply);
void membership_op_turn(struct tt_node *node);
void membership_op_applied(struct tt_node *node, uint64_t index, uint64_t term);
void membership_op_leadership_lost(struct tt_node *node);
void membership_op_stop(struct tt_node *node);
bool membership_op_busy(const struct membership_op *change);
/* Nothing may be appended now: it would keep leadership from being handed over. */
bool membership_op_holds(const struct membership_op *change);

#endif
