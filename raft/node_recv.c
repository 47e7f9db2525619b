/* Frames in: raft messages are fed to the core, the rest goes to its module.
 *
 * Rule 1: an AppendEntries is fed in parts, each RAFT_CHANGE at the front of one; a part that was
 * not accepted ends the message. Payloads are our own references, into the frame that they came in;
 * the core gets a one-byte token as "batch", which it frees unless it keeps the entries.
 *
 * What is applied here is committed, so every leader has it: an AppendEntries that reaches below it
 * is shortened to begin there. The core takes entries that it has compacted for ones it never had,
 * and would append them at the end of its log (run: a late rejection made a leader start over at
 * 1).
 *
 * Kept from the core: vote results unless we are a candidate (it reads the candidate's state before
 * it looks), TimeoutNow for a sole voter (it would lead in the same term, rule 3). */
#include "raft/node_parts.h"

/* libraft wants an address; ours are in the configuration. */
static const char *const ADDRESS = "-";

static bool feed_message(struct tt_node *node, struct raft_message *message)
{
    struct raft_event event = {.type = RAFT_RECEIVE};
    message->server_address = ADDRESS;
    event.receive.message = message;
    return node_step(node, &event, NULL);
}

/* Entries [from, to) of the wire message as one message to the core. */
static bool feed_part(struct tt_node *node, uint64_t peer_id, const Tt__Peer__AppendEntries *wire,
                      struct peer_attachment *attachment, size_t from, size_t to)
{
    struct raft_message message = {.type = RAFT_APPEND_ENTRIES, .server_id = peer_id};
    struct raft_append_entries *args = &message.append_entries;
    args->term = wire->term;
    args->prev_log_index = wire->prev_log_index + from;
    args->prev_log_term = from > 0 ? wire->entries[from - 1]->term : wire->prev_log_term;
    args->leader_commit = wire->leader_commit;
    args->entries = node->feed;
    args->n_entries = (unsigned)(to - from);
    TT_ASSERT(to - from <= NODE_FEED_MAX && node->feed_token == NULL);
    if (to > from) {
        node->feed_token = raft_malloc(1);
        TT_ASSERT(node->feed_token);
    }
    for (size_t i = from; i < to; i++) {
        const Tt__Peer__Entry *entry = wire->entries[i];
        struct tt_bytes *payload = peer_piece_keep(attachment, entry->size);
        node->feed_payload[i - from] = payload;
        node->feed[i - from] = (struct raft_entry){
            .term = entry->term,
            .type = entry->type,
            .buf = {.base = (void *)(uintptr_t)payload->ptr, .len = payload->size},
            .batch = node->feed_token};
    }
    bool fed = feed_message(node, &message);
    node->feed_token = NULL; /* freed by node_append, or else by the core */
    for (size_t i = from; i < to; i++) {
        tt_bytes_unref(node->feed_payload[i - from]);
        node->feed_payload[i - from] = NULL;
    }
    return fed && node->last_index >= wire->prev_log_index + to;
}

/* Term of an entry of the core's log, or of its snapshot; 0 = it has none there. */
static uint64_t term_at(const struct raft_trail *trail, uint64_t index)
{
    for (unsigned i = trail->front; index > trail->offset && i != trail->back;
         i = (i + 1) % trail->size) {
        if (index <= trail->records[i].index) {
            return trail->records[i].term;
        }
    }
    return index == trail->snapshot.index ? trail->snapshot.term : 0;
}

/* Before a configuration is fed: where our log is the leader's up to it, an earlier configuration
 * in it is committed, whatever the commit index says; nobody may append one before. The core has
 * room for one that is not: told too late, it falls back to the one before both when the newer one
 * is truncated (run). */
static void settle_configs(struct tt_node *node, const Tt__Peer__AppendEntries *wire, size_t from)
{
    uint64_t prev_index = wire->prev_log_index + from;
    uint64_t prev_term = from > 0 ? wire->entries[from - 1]->term : wire->prev_log_term;
    if (from < wire->n_entries && wire->entries[from]->type == RAFT_CHANGE &&
        node->config_count > 0 && wire->term >= raft_current_term(&node->raft) && prev_index > 0 &&
        term_at(&node->raft.trail, prev_index) == prev_term) {
        node_config_commit(node, prev_index);
    }
}

/* All of the message lies within what is applied: say so. */
static void feed_known(struct tt_node *node, uint64_t peer_id, const Tt__Peer__AppendEntries *wire)
{
    struct raft_message message = {.type = RAFT_APPEND_ENTRIES, .server_id = peer_id};
    message.append_entries.term = wire->term;
    message.append_entries.prev_log_index = node->applied_index;
    message.append_entries.prev_log_term = node->applied_term;
    message.append_entries.leader_commit = wire->leader_commit;
    message.append_entries.entries = node->feed;
    (void)feed_message(node, &message);
}

static void receive_append_entries(struct tt_node *node, uint64_t peer_id,
                                   const Tt__Peer__AppendEntries *wire,
                                   struct peer_attachment *attachment)
{
    size_t from = 0;
    if (tt_sm_state(&node->sm) == NODE_RUNNING && wire->prev_log_index < node->applied_index) {
        uint64_t known = node->applied_index - wire->prev_log_index;
        if (known >= wire->n_entries) {
            feed_known(node, peer_id, wire);
            return;
        }
        from = (size_t)known;
        for (size_t i = 0; i < from; i++) {
            peer_piece_skip(attachment, wire->entries[i]->size);
        }
    }
    do {
        size_t to = from + (wire->n_entries > from);
        while (to < wire->n_entries &&
               (wire->entries[to]->type != RAFT_CHANGE || NODE_FAULT(node, split_not_at_change))) {
            to++;
        }
        settle_configs(node, wire, from);
        if (!node_alive(node) || !feed_part(node, peer_id, wire, attachment, from, to)) {
            return;
        }
        from = to;
    } while (from < wire->n_entries);
}

/* The core's own word for the leader may be older than its term: a vote for a newer one does not
 * make it forget. Whoever sent entries of the current term leads in it. */
static void note_leader(struct tt_node *node, uint64_t peer_id, uint64_t term)
{
    if (node_leader(node) == peer_id && raft_current_term(&node->raft) == term) {
        node->led_by = peer_id;
        node->led_term = term;
    }
}

static void receive_append_entries_result(struct tt_node *node, struct node_peer *peer,
                                          const Tt__Peer__AppendEntriesResult *wire)
{
    struct raft_message message = {.type = RAFT_APPEND_ENTRIES_RESULT, .server_id = peer->id};
    message.append_entries_result.term = wire->term;
    message.append_entries_result.rejected = wire->rejected;
    message.append_entries_result.last_log_index = wire->last_log_index;
    peer->disk_low = wire->disk_low;
    if (wire->rejected == 0) {
        node_announce_matched(node, peer, wire->term, wire->last_log_index);
    }
    (void)feed_message(node, &message);
}

/* Our place in the core's configuration while we are a standby there; NULL otherwise. */
static struct raft_server *standby_self(struct tt_node *node)
{
    struct raft_configuration *configuration = &node->raft.configuration;
    for (unsigned i = 0; i < configuration->n; i++) {
        struct raft_server *server = &configuration->servers[i];
        if (server->id == node->config.id && server->role == RAFT_STANDBY) {
            return server;
        }
    }
    return NULL;
}

/* A standby's core never forgets a leader, as its timer starts no election. Whoever asks for votes
 * does not lead; and one that was not heard for so long does not either. */
static bool leader_gone(struct tt_node *node, uint64_t candidate_id)
{
    uint64_t leader = node_leader(node);
    return leader == candidate_id || !node_peer_recent(node, leader);
}

/* A candidate may know that we are a voter before we do: its log has the promotion, ours not yet.
 * By the algorithm a server votes whatever its own configuration says (dissertation, 4.1); the core
 * refuses, and a sole voter that fell while promoting its first companion could never lead again.
 * So the core sees itself as a voter during this one step. */
static void receive_request_vote(struct tt_node *node, uint64_t peer_id,
                                 const Tt__Peer__RequestVote *wire)
{
    struct raft_server *standby = standby_self(node);
    struct raft_message message = {.type = RAFT_REQUEST_VOTE, .server_id = peer_id};
    message.request_vote.version = 2;
    message.request_vote.term = wire->term;
    message.request_vote.candidate_id = peer_id;
    message.request_vote.last_log_index = wire->last_log_index;
    message.request_vote.last_log_term = wire->last_log_term;
    message.request_vote.disrupt_leader = wire->disrupt_leader;
    message.request_vote.pre_vote = wire->pre_vote;
    if (standby) {
        standby->role = RAFT_VOTER;
        message.request_vote.disrupt_leader = wire->disrupt_leader || leader_gone(node, peer_id);
    }
    (void)feed_message(node, &message);
    if (standby) {
        standby->role = RAFT_STANDBY;
    }
}

static void receive_request_vote_result(struct tt_node *node, uint64_t peer_id,
                                        const Tt__Peer__RequestVoteResult *wire)
{
    if (raft_state(&node->raft) != RAFT_CANDIDATE) {
        return;
    }
    struct raft_message message = {.type = RAFT_REQUEST_VOTE_RESULT, .server_id = peer_id};
    message.request_vote_result.version = 2;
    message.request_vote_result.term = wire->term;
    message.request_vote_result.vote_granted = wire->vote_granted;
    message.request_vote_result.pre_vote = wire->pre_vote;
    if (NODE_FAULT(node, space_by_core)) {
        message.request_vote_result.features = 1; /* as if all disks were like ours */
        message.request_vote_result.capacity =
            (unsigned short)tt_u64_min(node->disk_free >> 20, UINT16_MAX);
    }
    (void)feed_message(node, &message);
}

static void receive_timeout_now(struct tt_node *node, uint64_t peer_id,
                                const Tt__Peer__TimeoutNow *wire)
{
    if (tt_membership_sole_voter(&node->membership, node->config.id)) {
        return;
    }
    struct raft_message message = {.type = RAFT_TIMEOUT_NOW, .server_id = peer_id};
    message.timeout_now.term = wire->term;
    message.timeout_now.last_log_index = wire->last_log_index;
    message.timeout_now.last_log_term = wire->last_log_term;
    (void)feed_message(node, &message);
}

/* Messages of the core. False when it is none. */
static bool receive_raft(struct tt_node *node, struct node_peer *peer,
                         const Tt__Peer__Message *message, struct peer_attachment *attachment)
{
    switch ((int)message->body_case) {
    case TT__PEER__MESSAGE__BODY_APPEND_ENTRIES:
        receive_append_entries(node, peer->id, message->append_entries, attachment);
        note_leader(node, peer->id, message->append_entries->term);
        return true;
    case TT__PEER__MESSAGE__BODY_APPEND_ENTRIES_RESULT:
        receive_append_entries_result(node, peer, message->append_entries_result);
        return true;
    case TT__PEER__MESSAGE__BODY_REQUEST_VOTE:
        receive_request_vote(node, peer->id, message->request_vote);
        return true;
    case TT__PEER__MESSAGE__BODY_REQUEST_VOTE_RESULT:
        receive_request_vote_result(node, peer->id, message->request_vote_result);
        return true;
    case TT__PEER__MESSAGE__BODY_TIMEOUT_NOW:
        receive_timeout_now(node, peer->id, message->timeout_now);
        return true;
    default:
        return false;
    }
}

void node_send_info(struct tt_node *node, uint64_t peer_id, bool reply_wanted)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__MemberInfo info = TT__PEER__MEMBER_INFO__INIT;
    info.name = node->name;
    info.api_address = node->api_address;
    info.term = raft_current_term(&node->raft);
    info.last_index = node->last_index;
    info.applied_index = node->applied_index;
    info.reply_wanted = reply_wanted;
    message.body_case = TT__PEER__MESSAGE__BODY_MEMBER_INFO;
    message.member_info = &info;
    node_send(node, peer_id, &message);
}

static void receive_info(struct tt_node *node, struct node_peer *peer,
                         const Tt__Peer__MemberInfo *info)
{
    peer->info_ms = node->now_ms;
    peer->info_last_index = info->last_index;
    memcpy(peer->api_address, info->api_address, strlen(info->api_address) + 1);
    if (info->reply_wanted) {
        node_send_info(node, peer->id, false);
    }
}

void node_receive(struct tt_node *node, struct node_peer *peer, const Tt__Peer__Message *message,
                  struct peer_attachment *attachment)
{
    if (receive_raft(node, peer, message, attachment)) {
        return;
    }
    switch ((int)message->body_case) {
    case TT__PEER__MESSAGE__BODY_READ_PROBE:
        read_index_probe(node, peer->id, message->read_probe);
        break;
    case TT__PEER__MESSAGE__BODY_READ_PROBE_REPLY:
        read_index_ack(node, peer->id, message->read_probe_reply);
        break;
    case TT__PEER__MESSAGE__BODY_READ_INDEX:
        read_index_question(node, peer->id, message->read_index);
        break;
    case TT__PEER__MESSAGE__BODY_READ_INDEX_REPLY:
        read_index_answer(node, message->read_index_reply);
        break;
    case TT__PEER__MESSAGE__BODY_FORWARD:
        proposals_forward_received(node, peer->id, message->forward, attachment);
        break;
    case TT__PEER__MESSAGE__BODY_FORWARD_REPLY:
        proposals_reply_received(node, message->forward_reply);
        break;
    case TT__PEER__MESSAGE__BODY_CHANGE:
        membership_op_forwarded(node, peer->id, message->change);
        break;
    case TT__PEER__MESSAGE__BODY_CHANGE_REPLY:
        membership_op_reply(node, message->change_reply);
        break;
    case TT__PEER__MESSAGE__BODY_STATE_HASH:
        node_hash_received(node, peer, message->state_hash->index, message->state_hash->hash);
        break;
    case TT__PEER__MESSAGE__BODY_MEMBER_INFO:
        receive_info(node, peer, message->member_info);
        break;
    default:
        node_snapshot_receive(node, peer, message, attachment);
        break;
    }
}
