/* Commands from clients on their way into the log: queued, packed into entries while the previous
 * batch is in flight, forwarded when another server leads, and answered once their fate is known.
 *
 * An in-flight batch is known by (index, term), a forwarded command by its request, which its entry
 * carries (raft/packing.h). Either fate is known as soon as the entries applied here have come to
 * it or have passed it: then it has succeeded, or it can never commit and is proposed again. Until
 * then, at the deadline, and where a snapshot hides the entries, the outcome is unknown
 * (TT_ETIMEOUT). Why that is safe: raft/forwarded.h, docs/adr/0025.
 * Ownership: embedded in the node; ops are the callers'. Thread: core. Errors: in op->code. */
#ifndef RAFT_PROPOSALS_H
#define RAFT_PROPOSALS_H

#include "proto/peer.pb-c.h"
#include "raft/forwarded.h"
#include "server/store/proposer.h"
#include "server/store/store.h"

struct tt_node;

enum {
    PROPOSALS_COMMANDS_PER_ENTRY_MAX = 4096,
    PROPOSALS_DEADLINE_MS_DEFAULT = 10000,
    PROPOSALS_EXPIRE_MS = 10, /* between two looks for overdue ones */
};

struct proposal {
    struct tt_list link;      /* in one list of proposals, or of its batch; not while forwarded */
    struct attempt attempt;   /* while it is forwarded, in place of the link */
    struct tt_propose_op *op; /* NULL: a peer forwarded it */
    uint64_t peer_id;         /* that peer */
    uint64_t request;         /* its request */
    uint64_t term; /* of the leader that the peer meant: to be appended in this one only */
    struct tt_bytes *command; /* a reference until packed here, or answered; may be a slice */
    size_t size;              /* of command, for the bound */
    uint64_t deadline_ms;     /* monotonic; then unknown if it left the queue, else not done */
    uint64_t index; /* of its entry; forwarded and answered: answer once this is applied here */
    int code;       /* answered, finished: what the op will get */
    struct tt_apply_result result; /* of applying it; failed_compare is -1 before */
};
struct proposal_batch {
    struct tt_list link;      /* proposals.batches */
    uint64_t index;           /* of the entry */
    uint64_t term;            /* of the entry: ours, as leader then */
    struct tt_bytes *payload; /* a reference: the commands, should they be lost */
    struct tt_list commands;  /* in entry order */
};
struct proposals {
    struct tt_list queue;       /* neither appended nor forwarded */
    struct tt_list batches;     /* appended here, by index */
    struct tt_list answered;    /* answered by the leader, not applied here yet */
    struct tt_list finished;    /* fate known, to be answered after the next publish */
    size_t count;               /* of all lists */
    size_t bytes;               /* of their commands */
    size_t in_flight;           /* batches of this leadership not yet committed */
    uint64_t expire_ms;         /* monotonic time of the next look for overdue ones */
    uint64_t refused_term;      /* its leader leads no more: nothing is forwarded to it */
    struct forwarded forwarded; /* sent to the leader, fate not known yet */
};

void proposals_init(struct proposals *proposals);
void proposals_fini(struct proposals *proposals);
void proposals_add(struct tt_node *node, struct tt_propose_op *op);
struct peer_attachment;
void proposals_forward_received(struct tt_node *node, uint64_t peer_id,
                                const Tt__Peer__Forward *forward,
                                struct peer_attachment *attachment);
void proposals_reply_received(struct tt_node *node, const Tt__Peer__ForwardReply *reply);
/* Submits or forwards what may go, ends what is overdue. */
void proposals_turn(struct tt_node *node);
/* The entry at (index, term) is about to be applied: its batch, or NULL. What can never commit any
 * more is proposed again. */
struct proposal_batch *proposals_batch_at(struct tt_node *node, uint64_t index, uint64_t term);
void proposals_batch_done(struct tt_node *node, struct proposal_batch *batch);
/* A command that was forwarded from here has been applied, in the entry at `index`. */
void proposals_forwarded_applied(struct tt_node *node, uint64_t request, uint64_t index,
                                 const struct tt_apply_result *result);
void proposals_published(struct tt_node *node); /* applied_index is visible to readers */
/* A snapshot jumped over entries; its last one was at (index, term). */
void proposals_installed(struct tt_node *node, uint64_t index, uint64_t term);
void proposals_leadership_lost(struct tt_node *node);
void proposals_stop(struct tt_node *node);
bool proposals_pending(const struct proposals *proposals);

#endif
