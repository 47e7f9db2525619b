/* Commands from clients on their way into the log: queued, packed into entries while the previous
 * batch is in flight, forwarded when another server leads, and answered once their fate is known.
 *
 * An entry's payload is a run of {size u32 little-endian, command}. An in-flight batch is known by
 * (index, term): when that index is applied with that term its commands succeeded; when another
 * entry is applied there they can never commit; until then, after a loss of leadership or the
 * deadline, the outcome is unknown (TT_ETIMEOUT).
 * Ownership: embedded in the node; ops are the callers'. Thread: core. Errors: in op->code. */
#ifndef RAFT_PROPOSALS_H
#define RAFT_PROPOSALS_H

#include "proto/peer.pb-c.h"
#include "server/store/proposer.h"
#include "server/store/store.h"

struct tt_node;

enum {
    PROPOSALS_COMMANDS_PER_ENTRY_MAX = 4096,
    PROPOSALS_DEADLINE_MS_DEFAULT = 10000,
    PROPOSALS_EXPIRE_MS = 10,             /* between two looks for overdue ones */
    PROPOSALS_LOST_LEADER_WAIT_MS = 1000, /* a fate is known by then or called unknown */
};

struct proposal {
    struct tt_list link;
    struct tt_propose_op *op; /* NULL: a peer forwarded it */
    uint64_t peer_id;         /* that peer */
    uint64_t request;         /* its request, or ours to the leader */
    struct tt_bytes *command; /* owned until packed */
    size_t size;              /* of command, for the bound */
    uint64_t deadline_ms;
    uint64_t index; /* forwarded and answered: answer once this is applied here */
    int code;
    struct tt_apply_result result;
};
struct proposal_batch {
    struct tt_list link;
    uint64_t index; /* of the entry */
    uint64_t term;
    struct tt_list commands; /* in entry order */
};
struct proposals {
    struct tt_list queue;     /* neither appended nor forwarded */
    struct tt_list batches;   /* appended here, by index */
    struct tt_list forwarded; /* sent to the leader, no answer yet */
    struct tt_list answered;  /* answered by the leader, not applied here yet */
    struct tt_list finished;  /* fate known, to be answered after the next publish */
    size_t count;             /* of all lists */
    size_t bytes;             /* of their commands */
    size_t in_flight;         /* batches of this leadership not yet committed */
    uint64_t expire_ms;       /* monotonic time of the next look for overdue ones */
};

void proposals_init(struct proposals *proposals);
void proposals_fini(struct proposals *proposals);
void proposals_add(struct tt_node *node, struct tt_propose_op *op);
void proposals_forward_received(struct tt_node *node, uint64_t peer_id,
                                const Tt__Peer__Forward *forward);
void proposals_reply_received(struct tt_node *node, const Tt__Peer__ForwardReply *reply);
/* Submits or forwards what may go, ends what is overdue. */
void proposals_turn(struct tt_node *node);
/* The entry at (index, term) is about to be applied: its batch, or NULL. Batches that can never
 * commit any more are finished. */
struct proposal_batch *proposals_batch_at(struct tt_node *node, uint64_t index, uint64_t term);
void proposals_batch_done(struct tt_node *node, struct proposal_batch *batch);
void proposals_published(struct tt_node *node); /* applied_index is visible to readers */
void proposals_installed(struct tt_node *node, uint64_t index); /* a snapshot jumped over entries */
void proposals_leadership_lost(struct tt_node *node);
void proposals_stop(struct tt_node *node);
bool proposals_pending(const struct proposals *proposals);

#endif
