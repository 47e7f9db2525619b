/* Telling followers of a commit at once.
 *
 * The core tells followers the commit index with the next entries or the next heartbeat. On a busy
 * leader that is soon; on a quiet one a write through a follower, or a watch on it, would wait for
 * the heartbeat. So at the end of a turn the leader sends an AppendEntries without entries to every
 * follower that is known to hold the log up to the commit index and has not been told of it: its
 * previous entry is the commit index itself, so the follower's own check of the match stays the
 * judge, and a message that is lost or late does no harm.
 *
 * What a follower holds is known from its answers in the present term; an answer of an older term
 * counts for nothing. */
#include "raft/node_parts.h"

void node_announce_sent(struct tt_node *node, uint64_t peer_id, uint64_t commit)
{
    struct node_peer *peer = node_peer_find(node, peer_id);
    if (peer) {
        peer->commit_sent = tt_u64_max(peer->commit_sent, commit);
    }
}

void node_announce_matched(struct tt_node *node, struct node_peer *peer, uint64_t term,
                           uint64_t last_index)
{
    if (term != raft_current_term(&node->raft)) {
        return;
    }
    if (peer->matched_term != term) {
        peer->matched_term = term;
        peer->matched = 0;
        peer->commit_sent = 0;
    }
    peer->matched = tt_u64_max(peer->matched, last_index);
}

static void announce(struct tt_node *node, struct node_peer *peer, uint64_t commit,
                     uint64_t commit_term)
{
    peer->commit_sent = commit;
    node_send_entries(node, peer->id, commit + 1, commit_term, NULL, 0);
}

void node_announce_turn(struct tt_node *node)
{
    if (raft_state(&node->raft) != RAFT_LEADER) {
        return;
    }
    uint64_t commit = raft_commit_index(&node->raft);
    const struct tt_wal_entry *entry = tt_wal_cache_get(node->cache, commit);
    for (size_t i = 0; entry != NULL && i < NODE_PEERS_MAX; i++) {
        struct node_peer *peer = &node->peers[i];
        if (peer->id != 0 && peer->matched_term == raft_current_term(&node->raft) &&
            peer->matched >= commit && peer->commit_sent < commit) {
            announce(node, peer, commit, entry->term);
        }
    }
}
