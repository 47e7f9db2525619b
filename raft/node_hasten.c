/* An election without waiting for the timer: when the leader's process is known to be gone, and
 * when a server has just started and hears of no leader (then most likely all of them have).
 *
 * A killed process refuses connections within milliseconds, while the election timer runs for half
 * a second to a whole one, and the slower of two decides (rule 11): a follower refuses pre-votes
 * until its own timer has fired. libraft's core cannot be told that a leader is gone, but its time
 * is ours to give: here it steps forward to the core's own timeout. Correctness never depends on
 * time, and pre-vote keeps a server that is wrong about the leader from disturbing the others.
 *
 *   leader's address refuses → wait (turns by rank) → timer fired → candidate → leads, follows, or
 *   again after a random while; after HASTEN_TRIES the ordinary timer takes over.
 *
 * Turns: two candidates at the same moment split the votes and lose a whole timeout. The voters
 * take turns by their place among the voters that are left, HASTEN_TURN_MS apart, which is longer
 * than a vote takes; the first to have asked for votes in vain is a candidate by then and votes. */
#include "raft/node_parts.h"

#include "base/log.h"

enum {
    HASTEN_START_MS = 100, /* after a start: connections and the heartbeat of one who leads */
    HASTEN_DOUBT_MS = 10,  /* beyond a heartbeat */
    HASTEN_TURN_MS = 60,
    HASTEN_JITTER_MS = 15,
    HASTEN_TRIES = 3,
    HASTEN_RETRY_MS = 120
};

/* How many voters other than the leader have their turn before us. */
static uint64_t turn_of(const struct tt_node *node, uint64_t leader_id)
{
    uint64_t before = 0;
    for (size_t i = 0; i < node->membership.count; i++) {
        const struct tt_member *member = &node->membership.members[i];
        before += member->role == TT_ROLE_VOTER && member->id != leader_id &&
                  member->id < node->config.id;
    }
    return before;
}

/* leader_id: the server that is waited for in vain; 0: none is known. */
static void begin(struct tt_node *node, uint64_t leader_id, uint64_t delay_ms)
{
    node->hasten.leader_id = leader_id;
    node->hasten.since_ms = node->now_ms;
    node->hasten.tries = HASTEN_TRIES;
    node->hasten.at_ms = node->now_ms + delay_ms + turn_of(node, leader_id) * HASTEN_TURN_MS +
                         tt_rng_below(&node->rng, HASTEN_JITTER_MS);
}

void node_hasten_start(struct tt_node *node)
{
    if (node_alive(node) && tt_membership_is_voter(&node->membership, node->config.id)) {
        begin(node, 0, HASTEN_START_MS);
    }
}

void tt_node_peer_absent(struct tt_node *node, uint64_t peer_id)
{
    (void)node_now(node);
    bool follows = node_alive(node) && raft_state(&node->raft) == RAFT_FOLLOWER && peer_id != 0 &&
                   node_leader(node) == peer_id;
    if (!follows || node->hasten.at_ms != 0 ||
        !tt_membership_is_voter(&node->membership, node->config.id)) {
        return;
    }
    TT_LOG(TT_LOG_INFO, "raft", "the leader's process is gone", TT_F_U64("peer", peer_id));
    /* One that is alive after all has its next heartbeat to be heard by. */
    begin(node, peer_id, node->config.heartbeat_ms + HASTEN_DOUBT_MS);
}

/* Somebody leads, or we have voted for another one, or the leader is heard again. */
static bool settled(struct tt_node *node)
{
    uint64_t leader_id = node->hasten.leader_id;
    const struct node_peer *peer = leader_id != 0 ? node_peer_find(node, leader_id) : NULL;
    enum raft_state state = raft_state(&node->raft);
    bool waits =
        state == RAFT_CANDIDATE || (state == RAFT_FOLLOWER && node_leader(node) == leader_id);
    return !waits || (peer != NULL && peer->heard_ms > node->hasten.since_ms);
}

bool node_hasten_tick(struct tt_node *node)
{
    struct node_hasten *hasten = &node->hasten;
    if (hasten->at_ms == 0 || node->now_ms < hasten->at_ms) {
        return false;
    }
    hasten->at_ms = 0;
    if (settled(node) || hasten->tries == 0) {
        return false;
    }
    hasten->tries--;
    hasten->at_ms = node->now_ms + HASTEN_RETRY_MS + tt_rng_below(&node->rng, HASTEN_RETRY_MS);
    uint64_t due_ms = raft_timeout(&node->raft);
    if (due_ms > node_core_time(node)) {
        node->core_ahead_ms += due_ms - node_core_time(node);
    }
    return true;
}
