/* Three rules of conduct.
 *
 *   - Nobody begins a term while a majority follows a leader: a majority of its own voters has
 *     agreed before, or the leader handed over. What was agreed is read off the frames; the core
 *     counts a late answer for the term before as well, so do we. The core asks once: a candidate
 *     that was agreed to goes on from term to term until it leads or follows.
 *   - A snapshot on its way to a peer goes on: it is not offered anew while pieces travel.
 *   - A snapshot is begun when the newest configuration of the log is committed and part of it. */
#include "tests/sim/sim_conduct.h"

#include <inttypes.h>

struct candidate {
    uint64_t id;                      /* whose record it is: slots are used again */
    uint64_t begun_term;              /* by its present candidacy; 0 = it is no candidate */
    uint64_t handed_term;             /* newest term whose leader handed over to it */
    uint64_t agreed[SIM_SERVERS_MAX]; /* by slot: newest term that was agreed to */
};
struct sim_conduct {
    struct candidate candidates[SIM_SERVERS_MAX]; /* by slot */
};

static struct candidate *candidate_of(struct sim *sim, const struct sim_server *server)
{
    if (!sim->conduct) {
        sim->conduct = TT_NEW(struct sim_conduct);
    }
    struct candidate *candidate = &sim->conduct->candidates[server->slot];
    if (candidate->id != server->id) {
        *candidate = (struct candidate){.id = server->id};
    }
    return candidate;
}

void sim_conduct_agreed(struct sim_server *from, const struct sim_server *to, uint64_t term)
{
    uint64_t *agreed = &candidate_of(from->sim, to)->agreed[from->slot];
    *agreed = tt_u64_max(*agreed, term);
}

void sim_conduct_handed(struct sim *sim, const struct sim_server *to, uint64_t term)
{
    struct candidate *candidate = candidate_of(sim, to);
    candidate->handed_term = tt_u64_max(candidate->handed_term, term);
}

static bool is_agreed(struct sim_server *server, uint64_t term)
{
    const struct candidate *candidate = candidate_of(server->sim, server);
    const struct tt_membership *members = &server->node->membership;
    size_t agreed = 0;
    for (size_t i = 0; i < members->count; i++) {
        const struct sim_server *voter = sim_by_id(server->sim, members->members[i].id);
        agreed += members->members[i].role == TT_ROLE_VOTER && voter &&
                  (voter == server || candidate->agreed[voter->slot] + 1 >= term);
    }
    return candidate->handed_term + 1 >= term || 2 * agreed > tt_membership_voter_count(members);
}

static bool follows(const struct sim_server *server, const struct sim_server *leader)
{
    struct raft *raft = &server->node->raft;
    return server == leader ||
           (raft_state(raft) == RAFT_FOLLOWER && node_leader(server->node) == leader->id &&
            raft_current_term(raft) == raft_current_term(&leader->node->raft));
}

static bool is_up(const struct sim_server *server)
{
    return server && server->running && node_alive(server->node) && server->node->raft_open;
}

/* Of the voters of a leader; 0 when it does not lead or is no majority's leader. */
static size_t follower_count(struct sim *sim, const struct sim_server *leader)
{
    if (!is_up(leader) || raft_state(&leader->node->raft) != RAFT_LEADER) {
        return 0;
    }
    const struct tt_membership *members = &leader->node->membership;
    size_t count = 0;
    for (size_t i = 0; i < members->count; i++) {
        const struct sim_server *voter = sim_by_id(sim, members->members[i].id);
        count +=
            members->members[i].role == TT_ROLE_VOTER && is_up(voter) && follows(voter, leader);
    }
    return 2 * count > tt_membership_voter_count(members) ? count : 0;
}

void sim_conduct_hard_state(struct sim_server *server, const struct tt_wal_req *req)
{
    struct sim *sim = server->sim;
    if (req->term <= server->memory_log.term || req->voted_for != server->id) {
        return;
    }
    struct candidate *candidate = candidate_of(sim, server);
    bool goes_on = candidate->begun_term != 0 && candidate->begun_term + 1 == req->term;
    if (goes_on || is_agreed(server, req->term)) {
        candidate->begun_term = req->term;
        return;
    }
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        const struct sim_server *leader = &sim->servers[i];
        size_t followers = leader != server ? follower_count(sim, leader) : 0;
        if (followers > 0 && raft_current_term(&leader->node->raft) < req->term) {
            sim_fail(sim, SIM_UNDISTURBED,
                     "%s begins term %" PRIu64 " without asking, while %zu voters follow %s",
                     server->name, req->term, followers, leader->name);
        }
    }
}

/* Index of the newest configuration in the server's log; 0 when it lies before its snapshot. */
static uint64_t newest_change(const struct sim_server *server)
{
    const struct sim_shadow *log = &server->memory_log;
    uint64_t index = log->last_index;
    while (index > log->snapshot_index &&
           !sim_check_is_change(server->sim, index, log->terms[index])) {
        index--;
    }
    return index > log->snapshot_index ? index : 0;
}

void sim_conduct_snapshot(struct sim_server *server, const struct tt_node_snapshot *meta)
{
    uint64_t newest = newest_change(server);
    if (newest > meta->config_index || meta->config_index > meta->index) {
        sim_fail(server->sim, SIM_SNAPSHOT_SETTLED,
                 "%s takes a snapshot at %" PRIu64 " with configuration %" PRIu64
                 ", the log's newest is %" PRIu64,
                 server->name, meta->index, meta->config_index, newest);
    }
}

void sim_conduct_turn(struct sim_server *server)
{
    if (raft_state(&server->node->raft) != RAFT_CANDIDATE) {
        candidate_of(server->sim, server)->begun_term = 0;
    }
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        const struct node_peer *peer = &server->node->peers[i];
        if (peer->stream.state == STREAM_OFFERED &&
            (peer->stream.begun > 0 || peer->stream.offset > 0)) {
            sim_fail(server->sim, SIM_ONE_STREAM,
                     "%s offers snapshot %" PRIu64 " to %" PRIu64 " while pieces travel",
                     server->name, peer->stream.snapshot->index, peer->id);
        }
    }
}

void sim_conduct_fini(struct sim *sim)
{
    tt_free(TT_TAKE(sim->conduct));
}
