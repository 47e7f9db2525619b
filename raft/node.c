/* Lifecycle and inputs of the node.
 *
 *            tt_node_start                 own vote durable
 *   NEW ───────────────────→ ELECTING ─────────────────────→ RUNNING ⇄ INSTALLING
 *    └──────── not the sole voter ───────────────────────────↗
 *   any live state → FAULTED (rule 10) or STOPPED
 *
 * An input does its own work at once; tt_node_turn, once per loop turn, does what can be shared by
 * a run of inputs: applies, packs and submits commands, starts read rounds, ends what is overdue,
 * and releases the outbox. Answers therefore never leave from within the submitting call. */
#include "raft/node_parts.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"

static bool invariant(const struct tt_sm *sm, uint32_t state)
{
    const struct tt_node *node = TT_CONTAINER_OF(sm, struct tt_node, sm);
    switch (state) {
    case NODE_NEW:
    case NODE_ELECTING:
        return !node->raft_open;
    case NODE_RUNNING:
        return node->raft_open;
    case NODE_INSTALLING:
        return node->raft_open && node->staging != NULL;
    default:
        return true;
    }
}

static const struct tt_sm_state STATES[] = {
    [NODE_NEW] = {"new",
                  TT_SM_BIT(NODE_ELECTING) | TT_SM_BIT(NODE_RUNNING) | TT_SM_BIT(NODE_STOPPED),
                  true},
    [NODE_ELECTING] = {"electing",
                       TT_SM_BIT(NODE_RUNNING) | TT_SM_BIT(NODE_FAULTED) | TT_SM_BIT(NODE_STOPPED),
                       true},
    [NODE_RUNNING] = {"running",
                      TT_SM_BIT(NODE_INSTALLING) | TT_SM_BIT(NODE_FAULTED) |
                          TT_SM_BIT(NODE_STOPPED),
                      true},
    [NODE_INSTALLING] = {"installing",
                         TT_SM_BIT(NODE_RUNNING) | TT_SM_BIT(NODE_FAULTED) |
                             TT_SM_BIT(NODE_STOPPED),
                         true},
    [NODE_FAULTED] = {"faulted", TT_SM_BIT(NODE_STOPPED), true},
    [NODE_STOPPED] = {"stopped", 0, true},
};
static const struct tt_sm_def SM = {"node", STATES, sizeof STATES / sizeof STATES[0], invariant};

bool node_alive(const struct tt_node *node)
{
    uint32_t state = tt_sm_state(&node->sm);
    return state == NODE_RUNNING || state == NODE_INSTALLING;
}

bool node_live(const struct tt_node *node)
{
    return node_alive(node) || tt_sm_state(&node->sm) == NODE_ELECTING;
}

uint64_t node_now(struct tt_node *node)
{
    /* libraft computes with differences: time must not step back. */
    node->now_ms = tt_u64_max(node->now_ms, tt_clock_ms(node->config.clock));
    return node->now_ms;
}

uint64_t node_core_time(const struct tt_node *node)
{
    return node->now_ms + node->core_ahead_ms;
}

static void answer_all(struct tt_node *node)
{
    proposals_stop(node);
    read_index_stop(node);
    membership_op_stop(node);
}

void node_fault(struct tt_node *node, const struct tt_err *err)
{
    if (!node_live(node)) {
        return;
    }
    tt_sm_move(&node->sm, NODE_FAULTED);
    bool led = node->ready;
    node->ready = false;
    node->lead_term = 0;
    answer_all(node);
    if (led) {
        node->config.io.leading(node->config.io.ctx, 0);
    }
    node->config.io.fault(node->config.io.ctx, err);
}

struct node_peer *node_peer_find(struct tt_node *node, uint64_t id)
{
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        if (node->peers[i].id == id) {
            return &node->peers[i];
        }
    }
    return NULL;
}

struct node_peer *node_peer(struct tt_node *node, uint64_t id)
{
    if (id == 0 || id == node->config.id) {
        return NULL;
    }
    struct node_peer *peer = node_peer_find(node, id);
    if (peer) {
        return peer;
    }
    /* A free slot, or that of the one who is no member and was not heard for the longest time. */
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        struct node_peer *slot = &node->peers[i];
        bool reusable = slot->id == 0 || (!tt_membership_get(&node->membership, slot->id) &&
                                          !slot->reading && !slot->stream.snapshot);
        if (reusable && (!peer || slot->heard_ms < peer->heard_ms)) {
            peer = slot;
        }
    }
    if (peer) {
        memset(peer, 0, sizeof *peer);
        peer->id = id;
    }
    return peer;
}

bool node_peer_recent(const struct tt_node *node, uint64_t id)
{
    if (id == node->config.id) {
        return true;
    }
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        const struct node_peer *peer = &node->peers[i];
        if (peer->id == id) {
            return peer->heard_ms != 0 &&
                   node->now_ms - peer->heard_ms < 2 * (uint64_t)node->config.election_timeout_ms;
        }
    }
    return false;
}

uint64_t node_leader(struct tt_node *node)
{
    if (!node_alive(node)) {
        return 0;
    }
    raft_id id = 0;
    const char *address = NULL;
    raft_leader(&node->raft, &id, &address);
    return id;
}

static void defaults(struct tt_node_config *config)
{
    struct {
        uint64_t *field; /* of config; 0 = not given */
        uint64_t value;  /* the default */
    } const wide[] = {
        {&config->cache_size_max, 16 << 20},    {&config->snapshot_log_size_min, 256 << 20},
        {&config->hash_interval_ms, 60000},     {&config->disk_free_growth_min, 256 << 20},
        {&config->disk_free_any_min, 64 << 20}, {&config->snapshot_trailing_size, 64 << 20},
    };
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        if (*wide[i].field == 0) {
            *wide[i].field = wide[i].value;
        }
    }
    if (config->election_timeout_ms == 0) {
        config->election_timeout_ms = 500;
    }
    if (config->heartbeat_ms == 0) {
        config->heartbeat_ms = 50;
    }
    if (config->snapshot_trailing == 0 || config->snapshot_trailing > NODE_TRAILING_MAX) {
        config->snapshot_trailing = NODE_TRAILING_MAX;
    }
}

struct tt_node *tt_node_new(const struct tt_node_config *config)
{
    TT_ASSERT(config->id > 0);
    struct tt_node *node = TT_NEW(struct tt_node);
    node->config = *config;
    defaults(&node->config);
    (void)snprintf(node->name, sizeof node->name, "%s", config->name);
    (void)snprintf(node->api_address, sizeof node->api_address, "%s", config->api_address);
    (void)snprintf(node->cluster_id, sizeof node->cluster_id, "%s", config->cluster_id);
    node->config.name = node->name;
    node->config.api_address = node->api_address;
    node->config.cluster_id = node->cluster_id;
    node->cluster = peer_cluster_hash(node->cluster_id);
    node->cache = tt_wal_cache_new(node->config.cache_size_max);
    node->disk_free = UINT64_MAX;
    tt_rng_seed(&node->rng, config->seed);
    node->next_request = tt_rng_u64(&node->rng) >> 1;
    tt_list_init(&node->writes);
    tt_list_init(&node->outbox);
    proposals_init(&node->proposals);
    read_index_init(&node->reads);
    membership_op_init(&node->change);
    raft_configuration_init(&node->installing.configuration);
    node->snapshot = TT_NEW(struct tt_node_snapshot);
    tt_sm_init(&node->sm, &SM, NODE_NEW);
    return node;
}

void tt_node_free(struct tt_node *node)
{
    if (!node) {
        return;
    }
    if (node->raft_open) {
        raft_close(&node->raft, NULL);
    }
    node_log_fini(node);
    node_out_drop(node);
    node_config_fini(node);
    node_snapshot_fini(node);
    node_start_fini(node);
    proposals_fini(&node->proposals);
    read_index_fini(&node->reads);
    tt_wal_cache_free(node->cache);
    tt_free(node);
}

void tt_node_stop(struct tt_node *node)
{
    if (tt_sm_state(&node->sm) == NODE_STOPPED) {
        return;
    }
    bool led = node->ready;
    node->ready = false;
    node->lead_term = 0;
    answer_all(node);
    tt_sm_move(&node->sm, NODE_STOPPED);
    if (led) {
        node->config.io.leading(node->config.io.ctx, 0);
    }
    node_out_flush(node, true);
}

/* A follower that has become the only voter would lead in the term it is in; its former leader led
 * in that one too. So it takes the next term first, by the vote it would give anyone (rule 3). */
static void sole_voter_term(struct tt_node *node)
{
    struct raft_message message = {
        .type = RAFT_REQUEST_VOTE, .server_id = node->config.id, .server_address = "-"};
    message.request_vote.version = 2;
    message.request_vote.term = raft_current_term(&node->raft) + 1;
    message.request_vote.candidate_id = node->config.id;
    message.request_vote.last_log_index = UINT64_MAX;
    message.request_vote.last_log_term = UINT64_MAX;
    message.request_vote.disrupt_leader = true;
    struct raft_event event = {.type = RAFT_RECEIVE};
    event.receive.message = &message;
    if (node_step(node, &event, NULL)) {
        node->sole_term = raft_current_term(&node->raft);
    }
}

void tt_node_tick(struct tt_node *node)
{
    (void)node_now(node);
    if (!node_alive(node)) {
        return;
    }
    bool hastened = node_hasten_tick(node);
    if (!hastened && node_core_time(node) < raft_timeout(&node->raft)) {
        return;
    }
    if (raft_state(&node->raft) != RAFT_LEADER &&
        tt_membership_sole_voter(&node->membership, node->config.id) &&
        node->sole_term != raft_current_term(&node->raft) &&
        !NODE_FAULT(node, sole_voter_same_term)) {
        sole_voter_term(node);
        return;
    }
    struct raft_event event = {.type = RAFT_TIMEOUT};
    (void)node_step(node, &event, NULL);
}

void tt_node_receive(struct tt_node *node, uint64_t peer_id, struct tt_bytes *frame)
{
    (void)node_now(node);
    if (!node_alive(node)) {
        return;
    }
    Tt__Peer__Message *message = NULL;
    struct peer_attachment attachment;
    struct tt_err err;
    tt_err_init(&err);
    struct node_peer *peer = node_peer(node, peer_id);
    if (!peer || peer_decode(node->cluster, frame, &message, &attachment, &err) < 0) {
        node->stats.frame_dropped_count++;
        TT_LOG(TT_LOG_DEBUG, "raft", "frame dropped", TT_F_U64("peer", peer_id), TT_F_ERR(&err));
        return;
    }
    peer->heard_ms = node->now_ms;
    node_receive(node, peer, message, &attachment);
    peer_message_free(message);
}

void tt_node_peer_reachable(struct tt_node *node, uint64_t peer_id)
{
    (void)node_now(node);
    struct node_peer *peer = node_peer(node, peer_id);
    if (peer && node_alive(node)) {
        node_send_info(node, peer_id, false);
    }
}

void tt_node_disk_free(struct tt_node *node, uint64_t free_bytes)
{
    node->disk_free = free_bytes;
}

void tt_node_propose(struct tt_node *node, struct tt_propose_op *op)
{
    (void)node_now(node);
    proposals_add(node, op);
}

void tt_node_read(struct tt_node *node, struct tt_read_op *op)
{
    (void)node_now(node);
    read_index_add(node, op);
}

void tt_node_change(struct tt_node *node, struct tt_change_op *op)
{
    (void)node_now(node);
    membership_op_add(node, op);
}

static void info_turn(struct tt_node *node)
{
    if (node->now_ms < node->info_due_ms) {
        return;
    }
    node->info_due_ms = node->now_ms + NODE_INFO_INTERVAL_MS;
    for (size_t i = 0; i < node->membership.count; i++) {
        if (node->membership.members[i].id != node->config.id) {
            node_send_info(node, node->membership.members[i].id, false);
        }
    }
}

/* When the next tick is due: the core's timer, work that waits for time, or the rest of a run. */
static void schedule(struct tt_node *node)
{
    if (!node_live(node)) {
        return;
    }
    uint64_t at = node->now_ms + 1000;
    if (node_alive(node)) {
        /* A time in the past would spin (rule 9). */
        uint64_t left_ms =
            raft_timeout(&node->raft) - tt_u64_min(raft_timeout(&node->raft), node_core_time(node));
        at = tt_u64_min(at, node->now_ms + tt_u64_max(left_ms, 1));
        if (node->hasten.at_ms != 0) {
            at = tt_u64_min(at, tt_u64_max(node->hasten.at_ms, node->now_ms + 1));
        }
    }
    bool pending = node->proposals.count > 0 || node->reads.count > 0 ||
                   membership_op_busy(&node->change) || node_snapshot_busy(node);
    if (pending) {
        at = tt_u64_min(at, node->now_ms + NODE_TICK_MS);
    }
    if (node->apply_more) {
        at = node->now_ms;
    }
    node->config.io.set_timer(node->config.io.ctx, at);
}

void tt_node_turn(struct tt_node *node)
{
    (void)node_now(node);
    static void (*const steps[])(struct tt_node *) = {
        node_apply,         proposals_turn, read_index_turn, membership_op_turn,
        node_snapshot_turn, node_hash_turn, info_turn,       node_announce_turn,
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && node_alive(node); i++) {
        steps[i](node);
    }
    node_out_flush(node, !node_live(node));
    schedule(node);
}
