/* Linearizable reads without a lease.
 *
 * Leader at term T whose own barrier is applied: note the commit index C, ask the voters whether
 * they are still at T; with a majority a read is served once C is applied here. Reads that arrive
 * during a round join the next one. A follower asks the leader for C, one question at a time.
 *
 *   joining → round → applying → answered          (leader)
 *   joining → asked → applying → answered          (follower)
 *
 * A question carries its sender's term. At T it is as good as an answer to a probe that was sent
 * after the asking reads arrived: where leader and asker are a majority, no round is needed.
 *
 * Why it is safe: a leader elected before the read would have moved a voter of that majority above
 * T. Ownership: embedded in the node. Thread: core. Errors: in op->code. */
#ifndef RAFT_READ_INDEX_H
#define RAFT_READ_INDEX_H

#include "proto/peer.pb-c.h"
#include "server/store/proposer.h"

struct tt_node;

enum { READ_DEADLINE_MS_DEFAULT = 10000, READ_RETRY_MS = 100 };

struct read_wait {
    struct tt_list link;   /* in one of read_index's lists */
    struct tt_read_op *op; /* NULL: a follower asks */
    uint64_t peer_id;      /* that follower */
    uint64_t request;      /* the follower's, for the reply */
    uint64_t deadline_ms;  /* monotonic; then it ends with TT_EUNAVAILABLE */
    uint64_t index;        /* to be applied */
};
struct read_index {
    struct tt_list joining;        /* for the next round or question */
    struct tt_list round;          /* of the round that is out (leader) */
    struct tt_list asked;          /* of the question that is out (follower) */
    struct tt_list applying;       /* index known */
    size_t count;                  /* of all lists */
    uint64_t round_number;         /* of the newest round */
    uint64_t round_index;          /* C */
    uint64_t round_config;         /* index of the configuration it is counted in */
    uint64_t acks[TT_MEMBERS_MAX]; /* who has confirmed the newest round, [0, ack_count) */
    size_t ack_count;              /* voters and others */
    uint64_t sent_ms;              /* of the newest probe or question */
    uint64_t request;              /* of the question that is out; 0 = none */
    uint64_t asked_leader;         /* whom the question that is out went to */
};

void read_index_init(struct read_index *reads);
void read_index_fini(struct read_index *reads);
void read_index_add(struct tt_node *node, struct tt_read_op *op);
void read_index_question(struct tt_node *node, uint64_t peer_id, const Tt__Peer__ReadIndex *ask);
void read_index_answer(struct tt_node *node, const Tt__Peer__ReadIndexReply *reply);
void read_index_probe(struct tt_node *node, uint64_t peer_id, const Tt__Peer__ReadProbe *probe);
void read_index_ack(struct tt_node *node, uint64_t peer_id, const Tt__Peer__ReadProbeReply *ack);
void read_index_turn(struct tt_node *node);
void read_index_published(struct tt_node *node);
void read_index_leadership_lost(struct tt_node *node);
void read_index_stop(struct tt_node *node);

#endif
