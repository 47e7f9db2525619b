/* What others may see of the node: a view for its owner, the status of the cluster, counters. */
#include "raft/node_parts.h"

#include <stdio.h>

static enum tt_server_state server_state(const struct tt_node *node)
{
    if (node->removed_index != 0) {
        return TT_STATE_REMOVED;
    }
    switch (tt_sm_state(&node->sm)) {
    case NODE_INSTALLING:
        return TT_STATE_INSTALLING;
    case NODE_FAULTED:
        return TT_STATE_FAULTED;
    case NODE_RUNNING:
        break;
    default:
        return TT_STATE_STARTING;
    }
    switch (node->raft.state) {
    case RAFT_LEADER:
        return TT_STATE_LEADER;
    case RAFT_CANDIDATE:
        return TT_STATE_CANDIDATE;
    default:
        return TT_STATE_FOLLOWER;
    }
}

static uint64_t leader_of(const struct tt_node *node)
{
    if (!node_alive(node) || node->removed_index != 0) {
        return 0;
    }
    if (node->raft.state == RAFT_LEADER) {
        return node->config.id;
    }
    return node->raft.state == RAFT_FOLLOWER ? node->raft.follower_state.current_leader.id : 0;
}

void tt_node_view(const struct tt_node *node, struct tt_node_view *ret)
{
    *ret = (struct tt_node_view){
        .state = server_state(node),
        .term = node->hard_term,
        .leader_id = leader_of(node),
        .commit_index = node->commit_index,
        .applied_index = node->applied_index,
        .last_index = node->last_index,
        .stored_index = node->raft_open ? node->raft.last_stored : 0,
        .ready = node->ready,
        .snapshot_index = node->snapshot_logged,
        .log_size = node->log_bytes,
        .snapshot_due_size = node_snapshot_due_size(node),
    };
}

static void fill_member(const struct tt_node *node, struct tt_member *member)
{
    if (member->id == node->config.id) {
        (void)snprintf(member->api_address, sizeof member->api_address, "%s", node->api_address);
        member->reachable = true;
        member->last_index = node->last_index;
        return;
    }
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        const struct node_peer *peer = &node->peers[i];
        if (peer->id == member->id) {
            memcpy(member->api_address, peer->api_address, sizeof member->api_address);
            member->reachable = node_peer_recent(node, peer->id);
            member->last_index = peer->info_last_index;
        }
    }
    raft_index match = 0;
    if (node->lead_term != 0 && raft_match_index(&node->raft, member->id, &match) == 0) {
        member->last_index = match;
    }
}

/* revision, state_hash of the store and feature_level are the owner's to fill in. */
void tt_node_status(const struct tt_node *node, struct tt_cluster_status *ret)
{
    memset(ret, 0, sizeof *ret);
    memcpy(ret->cluster_id, node->cluster_id, sizeof ret->cluster_id);
    ret->self_id = node->config.id;
    ret->state = server_state(node);
    ret->leader_id = leader_of(node);
    ret->term = node->hard_term;
    ret->commit_index = node->commit_index;
    ret->applied_index = node->applied_index;
    ret->last_index = node->last_index;
    ret->removed_index = node->removed_index;
    ret->state_hash = node->config.fsm.hash(node->config.fsm.ctx);
    ret->member_count = (uint32_t)node->membership.count;
    for (size_t i = 0; i < node->membership.count; i++) {
        ret->members[i] = node->membership.members[i];
        fill_member(node, &ret->members[i]);
    }
}

void tt_node_stats(const struct tt_node *node, struct tt_node_stats *ret)
{
    *ret = node->stats;
}
