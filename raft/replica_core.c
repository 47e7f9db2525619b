/* Doors, answers and the node's outputs.
 *
 *   API threads ──propose/read/change──▶ core mailbox ─▶ node ─▶ log, peers
 *   log, peers, jobs ──completions──▶ core mailbox ─▶ node ─▶ answers, one chain per asking mailbox
 *   and turn
 *
 * Every turn ends in tt_node_turn (submit what has queued) and then flushes the answers, so that
 * many small messages cost one wake-up.
 *
 * A read is answered when the local store holds what it must see, but the one who asked looks into
 * the store a little later, and by then a snapshot may be on its way into it. So the answer says
 * which revision is the least: whoever finds less asks again, and that waits for the install.
 *
 * Stop: the node answers what is out; ops that arrive later are refused, but answered like all
 * others. Snapshot jobs come back in their own time and find nobody who wants them. */
#include "raft/replica_core.h"

#include "base/intmath.h"
#include "base/log.h"

enum { OP_DEADLINE_MS = 10000 };

/* Answers. */

static void flush_replies(struct replica_core *core)
{
    for (size_t i = 0; i < core->reply_count; i++) {
        struct reply_chain *chain = &core->replies[i];
        /* A closed mailbox belongs to a thread that is ending: its ops end with it. */
        TT_IGNORE(tt_mailbox_post_answers(chain->box, chain->first, chain->last));
    }
    core->reply_count = 0;
}

static void reply(struct replica_core *core, struct tt_mailbox *box, struct tt_msg *msg)
{
    msg->next = NULL;
    for (size_t i = 0; i < core->reply_count; i++) {
        struct reply_chain *chain = &core->replies[i];
        if (chain->box == box) {
            chain->last->next = msg;
            chain->last = msg;
            return;
        }
    }
    if (core->reply_count == REPLICA_REPLY_BOXES_MAX) {
        flush_replies(core);
    }
    core->replies[core->reply_count++] =
        (struct reply_chain){.box = box, .first = msg, .last = msg};
}

static void run_propose_done(struct tt_msg *msg)
{
    struct tt_propose_op *op = TT_CONTAINER_OF(msg, struct tt_propose_op, msg);
    op->done(op);
}

static void run_read_done(struct tt_msg *msg)
{
    struct tt_read_op *op = TT_CONTAINER_OF(msg, struct tt_read_op, msg);
    op->done(op);
}

static void run_change_done(struct tt_msg *msg)
{
    struct tt_change_op *op = TT_CONTAINER_OF(msg, struct tt_change_op, msg);
    op->done(op);
}

static void io_propose_done(void *ctx, struct tt_propose_op *op)
{
    op->msg.run = run_propose_done;
    reply(ctx, op->reply, &op->msg);
}

/* While a snapshot is being installed the store is behind what was published before. */
static uint64_t published_revision(const struct replica_core *core)
{
    struct tt_version *version = tt_store_version(core->store);
    uint64_t revision = tt_version_revision(version);
    tt_version_unref(version);
    return tt_u64_max(revision, core->revision_floor);
}

static void io_read_done(void *ctx, struct tt_read_op *op)
{
    struct replica_core *core = ctx;
    op->revision = published_revision(core);
    op->msg.run = run_read_done;
    reply(core, op->reply, &op->msg);
}

/* The node's other outputs. */

static void io_send(void *ctx, uint64_t peer_id, struct tt_bytes *const *parts, size_t part_count,
                    bool bulk)
{
    struct replica_core *core = ctx;
    core->env.send(core->env.ctx, peer_id, parts, part_count, bulk);
}

static void io_set_timer(void *ctx, uint64_t at_ms)
{
    struct replica_core *core = ctx;
    core->env.set_timer(core->env.ctx, at_ms);
}

static void io_peers_changed(void *ctx, const struct tt_member *members, size_t count)
{
    struct replica_core *core = ctx;
    core->env.peers_changed(core->env.ctx, members, count);
}

static void io_committed(void *ctx, uint64_t index, const struct tt_membership *membership)
{
    struct replica_core *core = ctx;
    if (core->env.committed != NULL) {
        core->env.committed(core->env.ctx, index, membership);
    }
}

static void io_removed(void *ctx, uint64_t index)
{
    struct replica_core *core = ctx;
    if (core->env.removed != NULL) {
        core->env.removed(core->env.ctx, index);
    }
}

static void io_fault(void *ctx, const struct tt_err *err)
{
    struct replica_core *core = ctx;
    core->env.fault(core->env.ctx, err);
}

static void write_status(struct replica_core *core)
{
    struct tt_cluster_status status;
    tt_node_status(core->node, &status);
    struct tt_version *version = tt_store_version(core->store);
    status.revision = tt_version_revision(version);
    status.feature_level = tt_store_feature_level(core->store);
    tt_version_unref(version);
    tt_cell_write(core->status, &status);
    core->told = (struct told_leader){status.leader_id, status.term, status.state};
}

/* Whoever asks after a change of leader must not be sent to the one before. */
static void tell_leader(struct replica_core *core)
{
    struct tt_node_view view;
    tt_node_view(core->node, &view);
    bool same = view.leader_id == core->told.leader_id && view.term == core->told.term &&
                view.state == core->told.state;
    if (!same && !REPLICA_FAULT(core, leader_untold)) {
        write_status(core);
    }
}

static void io_change_done(void *ctx, struct tt_change_op *op)
{
    write_status(ctx); /* whoever made a change sees it in the status at once */
    op->msg.run = run_change_done;
    reply(ctx, op->reply, &op->msg);
}

static void io_leading(void *ctx, uint64_t term)
{
    struct replica_core *core = ctx;
    if (term == core->leading_term) {
        return;
    }
    TT_LOG(TT_LOG_INFO, "raft", term != 0 ? "leading" : "not leading any more",
           TT_F_U64("term", term != 0 ? term : core->leading_term));
    struct tt_list *head = &core->leadership_listeners;
    for (struct tt_list *link = head->next; link != head; link = link->next) {
        struct tt_leadership_listener *listener =
            TT_CONTAINER_OF(link, struct tt_leadership_listener, link);
        if (core->leading_term != 0 && !REPLICA_FAULT(core, lost_untold)) {
            listener->lost(listener);
        }
        if (term != 0) {
            listener->gained(listener, term);
        }
    }
    core->leading_term = term;
}

/* Doors. */

static void core_propose(struct tt_msg *msg)
{
    struct tt_propose_op *op = TT_CONTAINER_OF(msg, struct tt_propose_op, msg);
    struct replica_core *core = op->door;
    tt_node_propose(core->node, op);
}

static int door_propose(struct tt_proposer *proposer, struct tt_propose_op *op)
{
    struct replica_core *core = TT_CONTAINER_OF(proposer, struct replica_core, proposer);
    TT_ASSERT(op->command != NULL && op->reply != NULL && op->done != NULL);
    op->door = core;
    op->msg.run = core_propose;
    if (op->deadline_ms == 0) {
        op->deadline_ms = tt_clock_ms(core->config.clock) + OP_DEADLINE_MS;
    }
    int r = tt_mailbox_post(core->env.box, &op->msg);
    if (r != TT_OK) {
        tt_bytes_unref(TT_TAKE(op->command)); /* taken, always */
    }
    return r;
}

static void core_read(struct tt_msg *msg)
{
    struct tt_read_op *op = TT_CONTAINER_OF(msg, struct tt_read_op, msg);
    struct replica_core *core = op->door;
    tt_node_read(core->node, op);
}

static int door_read(struct tt_cluster *cluster, struct tt_read_op *op)
{
    struct replica_core *core = TT_CONTAINER_OF(cluster, struct replica_core, cluster);
    op->door = core;
    op->msg.run = core_read;
    if (op->deadline_ms == 0) {
        op->deadline_ms = tt_clock_ms(core->config.clock) + OP_DEADLINE_MS;
    }
    return tt_mailbox_post(core->env.box, &op->msg);
}

static void core_change(struct tt_msg *msg)
{
    struct tt_change_op *op = TT_CONTAINER_OF(msg, struct tt_change_op, msg);
    struct replica_core *core = op->door;
    tt_node_change(core->node, op);
}

static int door_change(struct tt_cluster *cluster, struct tt_change_op *op)
{
    struct replica_core *core = TT_CONTAINER_OF(cluster, struct replica_core, cluster);
    op->door = core;
    op->msg.run = core_change;
    return tt_mailbox_post(core->env.box, &op->msg);
}

static void door_status(struct tt_cluster *cluster, struct tt_cluster_status *ret_status)
{
    tt_cell_read(TT_CONTAINER_OF(cluster, struct replica_core, cluster)->status, ret_status);
}

static void door_listen(struct tt_cluster *cluster, struct tt_leadership_listener *listener)
{
    struct replica_core *core = TT_CONTAINER_OF(cluster, struct replica_core, cluster);
    tt_list_push_back(&core->leadership_listeners, &listener->link);
}

/* Housekeeping. */

static void compaction_done(struct tt_propose_op *op)
{
    TT_CONTAINER_OF(op, struct replica_core, compaction)->compaction_out = false;
}

static void compact_when_due(struct replica_core *core)
{
    if (core->leading_term == 0 || core->compaction_out) {
        return;
    }
    uint64_t revision = tt_store_compaction_due(core->store);
    if (revision == 0) {
        return;
    }
    core->compaction_out = true;
    core->compaction =
        (struct tt_propose_op){.command = tt_command_compact(revision),
                               .deadline_ms = tt_clock_ms(core->config.clock) + OP_DEADLINE_MS,
                               .reply = core->env.box,
                               .done = compaction_done};
    tt_node_propose(core->node, &core->compaction);
}

/* Life. */

static void copy_strings(struct tt_replica_config *config)
{
    config->data_dir = tt_xstrdup(config->data_dir);
    config->name = tt_xstrdup(config->name);
    config->cluster = tt_xstrdup(config->cluster);
    config->api_address = tt_xstrdup(config->api_address);
    config->peer_host = tt_xstrdup(config->peer_host);
    config->cluster_id = config->cluster_id != NULL ? tt_xstrdup(config->cluster_id) : NULL;
}

static void free_strings(const struct tt_replica_config *config)
{
    const char *strings[] = {config->data_dir,    config->name,      config->cluster,
                             config->api_address, config->peer_host, config->cluster_id};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++) {
        void *copy;
        memcpy(&copy, &strings[i], sizeof copy);
        tt_free(copy);
    }
}

void replica_core_init(struct replica_core *core, const struct tt_replica_config *config,
                       const struct replica_env *env)
{
    memset(core, 0, sizeof *core);
    core->config = *config;
    core->env = *env;
    copy_strings(&core->config);
    tt_list_init(&core->leadership_listeners);
    tt_list_init(&core->jobs);
    tt_list_init(&core->parked);
    core->proposer.propose = door_propose;
    core->cluster = (struct tt_cluster){.read_index = door_read,
                                        .change = door_change,
                                        .status = door_status,
                                        .listen = door_listen};
    core->status = tt_cell_new(sizeof(struct tt_cluster_status));
    core->store = tt_store_new();
    tt_store_reclaim_with(core->store, config->reclaimer);
    core->fsm.store = core->store;
}

void replica_core_fini(struct replica_core *core)
{
    tt_node_free(TT_TAKE(core->node));
    replica_snapshots_fini(core);
    tt_wal_free(TT_TAKE(core->wal));
    tt_node_load_fini(&core->disk);
    tt_peer_book_free(TT_TAKE(core->book));
    tt_datadir_free(TT_TAKE(core->datadir));
    tt_store_free(TT_TAKE(core->store));
    tt_cell_free(TT_TAKE(core->status));
    free_strings(&core->config);
}

struct tt_node_config replica_core_node_config(struct replica_core *core)
{
    return (struct tt_node_config){
        .id = core->identity.member_id,
        .name = core->config.name,
        .api_address = core->config.api_address,
        .cluster_id = core->identity.cluster_id,
        .snapshot_log_size_min = core->config.snapshot_log_size_min,
        .snapshot_trailing = core->config.snapshot_trailing,
        .clock = core->config.clock,
        .io = {.send = io_send,
               .set_timer = io_set_timer,
               .peers_changed = io_peers_changed,
               .committed = io_committed,
               .removed = io_removed,
               .propose_done = io_propose_done,
               .read_done = io_read_done,
               .change_done = io_change_done,
               .leading = io_leading,
               .fault = io_fault,
               .ctx = core},
        .fsm = tt_node_store_fsm(&core->fsm),
        .snapshots = replica_snapshots(core),
    };
}

void replica_core_start(struct replica_core *core)
{
    struct tt_err err;
    tt_err_init(&err);
    int r = tt_node_start(core->node, &core->disk, &err);
    tt_node_load_fini(&core->disk);
    if (r != TT_OK) {
        (void)TT_WRAP(&err, r, "start the raft node");
        core->env.fault(core->env.ctx, &err);
    }
    write_status(core);
}

void replica_core_turn(struct replica_core *core)
{
    if (core->node != NULL) {     /* a loop that never ran has its turn when it is freed */
        tt_node_turn(core->node); /* a stopped node only hands out its refusals */
        tell_leader(core);
    }
    flush_replies(core);
}

void replica_core_housekeeping(struct replica_core *core)
{
    uint64_t free_bytes;
    if (tt_datadir_free_space(core->datadir, &free_bytes, NULL) == TT_OK) {
        tt_node_disk_free(core->node, free_bytes);
    }
    compact_when_due(core);
    replica_snapshots_pace(core);
    replica_snapshots_resume(core);
    write_status(core);
}

void replica_core_stop(struct replica_core *core)
{
    io_leading(core, 0);
    tt_node_stop(core->node);
    core->stopping = true;
    if (core->env.pace != NULL) {
        tt_pace_cancel(core->env.pace);
    }
    flush_replies(core);
}

bool replica_core_idle(const struct replica_core *core)
{
    return tt_list_empty(&core->jobs);
}
