/* Rules of docs/raft.md that the simulator's own copy of the node breaks on purpose, to prove that
 * the simulator would notice. Without TT_SIM, that is in every production build, the switches do
 * not exist and NODE_FAULT is the constant false.
 *
 * Ownership: plain struct. Thread: set before the node starts. Errors: none. */
#ifndef RAFT_NODE_FAULTS_H
#define RAFT_NODE_FAULTS_H

#include <stdbool.h>

#ifdef TT_SIM
struct tt_node_faults {
    bool split_not_at_change;    /* rule 1 */
    bool report_stale_writes;    /* rule 2 */
    bool sole_voter_same_term;   /* rule 3 */
    bool no_own_barrier;         /* rule 4 */
    bool apply_while_installing; /* rule 5 */
    bool repeats_not_dropped;    /* rule 5: what the core asks again for begins anew */
    bool fed_unstaged;           /* rule 5: a snapshot is fed to the core before it lies here */
    bool outbox_not_held;        /* rule 6 */
    bool snapshot_unstored;      /* rule 7: a snapshot beyond what is durable in the log */
    bool start_index_first;      /* rule 7: an empty log behind a snapshot begins at 1 */
    bool space_by_core;          /* rule 8: the core's capacity threshold instead of our reserve */
    bool config_not_fed;         /* rule 9 */
    bool snapshot_in_change;     /* rule 9: a snapshot while the members change */
    bool no_pre_vote;            /* rule 10 */
    bool write_error_ignored;    /* rule 10 */
    bool ack_before_commit;      /* a proposal is answered when it is appended */
    bool read_without_probe;     /* a round needs no majority */
    bool probe_ignores_term;     /* a voter that left the term counts, too */
    bool ack_other_term;         /* the entry at a batch's index is taken for the batch */
    bool read_before_applied;    /* a confirmed read does not wait for its index */
    bool proposals_dropped;      /* at the loss of leadership */
    bool again_too_early;    /* what was forwarded goes to a new leader before its first entry */
    bool again_at_loss;      /* what was appended is proposed again when leadership is lost */
    bool forward_any_term;   /* a leader appends what was meant for another term */
    bool own_not_recognised; /* a follower takes its own commands in the log for others' */
    bool hidden_is_lost;     /* what a snapshot may hide is taken for lost */
};
#define NODE_FAULT(node, name) ((node)->faults.name)
#else
#define NODE_FAULT(node, name) false
#endif

#endif
