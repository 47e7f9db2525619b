/* The core loop of a production member.
 *
 *   API threads ──propose/read/change──▶ core mailbox ─▶ node ─▶ log thread, transport
 *   log thread, transport, pool ──completions──▶ core mailbox ─▶ node ─▶ answers, one chain per
 *   asking mailbox and loop turn
 *
 * Every turn of the loop ends in tt_node_turn (submit what has queued) and then flushes the
 * answers, so that many small messages cost one wake-up. Housekeeping runs every 100 ms: disk
 * space, due compaction, status copies.
 *
 * Stop: the node answers what is out, the transport closes, the log gets its STOP request, and when
 * it and all snapshot jobs are back the loop ends. Ops that arrive meanwhile are refused, but
 * answered like all others. */
#include "raft/replica.h"

#include "base/log.h"
#include "base/rng.h"
#include "raft/peer_codec.h"
#include "raft/replica_internal.h"

enum {
    CORE_MAILBOX_MAX = 1 << 16,
    HOUSEKEEPING_MS = 100,
    OP_DEADLINE_MS = 10000,
};

/* Answers. */

static void flush_replies(struct tt_replica *replica)
{
    for (size_t i = 0; i < replica->reply_count; i++) {
        struct reply_chain *chain = &replica->replies[i];
        /* A closed mailbox belongs to a thread that is ending: its ops end with it. */
        TT_IGNORE(tt_mailbox_post_answers(chain->box, chain->first, chain->last));
    }
    replica->reply_count = 0;
}

static void reply(struct tt_replica *replica, struct tt_mailbox *box, struct tt_msg *msg)
{
    msg->next = NULL;
    for (size_t i = 0; i < replica->reply_count; i++) {
        struct reply_chain *chain = &replica->replies[i];
        if (chain->box == box) {
            chain->last->next = msg;
            chain->last = msg;
            return;
        }
    }
    if (replica->reply_count == REPLICA_REPLY_BOXES_MAX) {
        flush_replies(replica);
    }
    replica->replies[replica->reply_count++] =
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

static void io_read_done(void *ctx, struct tt_read_op *op)
{
    op->msg.run = run_read_done;
    reply(ctx, op->reply, &op->msg);
}

/* The node's other outputs. */

static void io_send(void *ctx, uint64_t peer_id, struct tt_bytes *frame, bool bulk)
{
    struct tt_replica *replica = ctx;
    enum tt_transport_channel channel = bulk ? TT_TRANSPORT_BULK : TT_TRANSPORT_FAST;
    tt_transport_send(replica->transport, peer_id, channel, REPLICA_FRAME_TYPE, &frame, 1);
    tt_bytes_unref(frame);
}

static void io_set_timer(void *ctx, uint64_t at_ms)
{
    struct tt_replica *replica = ctx;
    uint64_t now = tt_clock_ms(replica->config.clock);
    tt_timer_start(&replica->timer, at_ms > now ? at_ms - now : 0, 0);
}

static void io_peers_changed(void *ctx, const struct tt_member *members, size_t count)
{
    struct tt_replica *replica = ctx;
    if (count > 0) { /* a joining server knows no configuration yet, only whom to listen to */
        tt_transport_set_peers(replica->transport, members, count);
    }
}

static void write_status(struct tt_replica *replica)
{
    struct tt_cluster_status status;
    tt_node_status(replica->node, &status);
    struct tt_version *version = tt_store_version(replica->store);
    status.revision = tt_version_revision(version);
    status.feature_level = tt_store_feature_level(replica->store);
    tt_version_unref(version);
    tt_cell_write(replica->status, &status);
}

static void io_change_done(void *ctx, struct tt_change_op *op)
{
    write_status(ctx); /* whoever made a change sees it in the status at once */
    op->msg.run = run_change_done;
    reply(ctx, op->reply, &op->msg);
}

static void io_leading(void *ctx, uint64_t term)
{
    struct tt_replica *replica = ctx;
    if (term == replica->leading_term) {
        return;
    }
    TT_LOG(TT_LOG_INFO, "raft", term != 0 ? "leading" : "not leading any more",
           TT_F_U64("term", term != 0 ? term : replica->leading_term));
    struct tt_list *head = &replica->leadership_listeners;
    for (struct tt_list *link = head->next; link != head; link = link->next) {
        struct tt_leadership_listener *listener =
            TT_CONTAINER_OF(link, struct tt_leadership_listener, link);
        if (replica->leading_term != 0) {
            listener->lost(listener);
        }
        if (term != 0) {
            listener->gained(listener, term);
        }
    }
    replica->leading_term = term;
}

static void io_fault(void *ctx, const struct tt_err *err)
{
    struct tt_replica *replica = ctx;
    replica->config.fatal(replica->config.ctx, err);
}

static void log_fatal(void *ctx, const struct tt_err *err)
{
    struct tt_replica *replica = ctx;
    replica->config.fatal(replica->config.ctx, err);
}

/* Inputs. */

static void transport_received(void *ctx, uint64_t peer_id, uint8_t type, struct tt_bytes *payload)
{
    struct tt_replica *replica = ctx;
    if (type == REPLICA_FRAME_TYPE && !replica->stopping) {
        tt_node_receive(replica->node, peer_id, tt_str((const char *)payload->ptr, payload->size));
    }
    tt_bytes_unref(payload);
}

static void transport_reach(void *ctx, uint64_t peer_id, enum tt_transport_reach reach)
{
    struct tt_replica *replica = ctx;
    if (reach != TT_TRANSPORT_ABSENT) {
        const char *what = reach == TT_TRANSPORT_CONNECTED ? "peer connected" : "peer disconnected";
        TT_LOG(TT_LOG_INFO, "raft", what, TT_F_U64("peer", peer_id));
    }
    if (replica->stopping) {
        return;
    }
    if (reach == TT_TRANSPORT_CONNECTED) {
        tt_node_peer_reachable(replica->node, peer_id);
    } else if (reach == TT_TRANSPORT_ABSENT) {
        tt_node_peer_absent(replica->node, peer_id);
    }
}

/* Whoever knows this id by another directory got votes or acknowledgements under it that this
 * directory has forgotten: no further word may leave it. */
static void transport_disowned(void *ctx, uint64_t peer_id)
{
    struct tt_replica *replica = ctx;
    struct tt_err err;
    tt_err_init(&err);
    (void)TT_FAIL(
        &err, TT_ECONFLICT,
        "member %llu knows member %llu, this server, by another data directory: what was in "
        "that one is lost; remove %s from the cluster, empty its directory and add it "
        "anew (docs/ops/recovery.md)",
        (unsigned long long)peer_id, (unsigned long long)replica->identity.member_id,
        replica->config.name);
    io_fault(replica, &err);
}

static void transport_stats(void *ctx, const struct tt_transport_stats *stats)
{
    struct tt_replica *replica = ctx;
    replica->transport_stats = *stats;
}

static void timer_fired(struct tt_timer *timer)
{
    tt_node_tick(TT_CONTAINER_OF(timer, struct tt_replica, timer)->node);
}

static void core_propose(struct tt_msg *msg)
{
    struct tt_propose_op *op = TT_CONTAINER_OF(msg, struct tt_propose_op, msg);
    struct tt_replica *replica = op->door;
    tt_node_propose(replica->node, op);
}

static int door_propose(struct tt_proposer *proposer, struct tt_propose_op *op)
{
    struct tt_replica *replica = TT_CONTAINER_OF(proposer, struct tt_replica, proposer);
    TT_ASSERT(op->command != NULL && op->reply != NULL && op->done != NULL);
    op->door = replica;
    op->msg.run = core_propose;
    if (op->deadline_ms == 0) {
        op->deadline_ms = tt_clock_ms(replica->config.clock) + OP_DEADLINE_MS;
    }
    int r = tt_mailbox_post(tt_loop_mailbox(replica->loop), &op->msg);
    if (r != TT_OK) {
        tt_bytes_unref(TT_TAKE(op->command)); /* taken, always */
    }
    return r;
}

static void core_read(struct tt_msg *msg)
{
    struct tt_read_op *op = TT_CONTAINER_OF(msg, struct tt_read_op, msg);
    struct tt_replica *replica = op->door;
    tt_node_read(replica->node, op);
}

static int door_read(struct tt_cluster *cluster, struct tt_read_op *op)
{
    struct tt_replica *replica = TT_CONTAINER_OF(cluster, struct tt_replica, cluster);
    op->door = replica;
    op->msg.run = core_read;
    if (op->deadline_ms == 0) {
        op->deadline_ms = tt_clock_ms(replica->config.clock) + OP_DEADLINE_MS;
    }
    return tt_mailbox_post(tt_loop_mailbox(replica->loop), &op->msg);
}

static void core_change(struct tt_msg *msg)
{
    struct tt_change_op *op = TT_CONTAINER_OF(msg, struct tt_change_op, msg);
    struct tt_replica *replica = op->door;
    tt_node_change(replica->node, op);
}

static int door_change(struct tt_cluster *cluster, struct tt_change_op *op)
{
    struct tt_replica *replica = TT_CONTAINER_OF(cluster, struct tt_replica, cluster);
    op->door = replica;
    op->msg.run = core_change;
    return tt_mailbox_post(tt_loop_mailbox(replica->loop), &op->msg);
}

static void door_status(struct tt_cluster *cluster, struct tt_cluster_status *ret_status)
{
    tt_cell_read(TT_CONTAINER_OF(cluster, struct tt_replica, cluster)->status, ret_status);
}

static void door_listen(struct tt_cluster *cluster, struct tt_leadership_listener *listener)
{
    struct tt_replica *replica = TT_CONTAINER_OF(cluster, struct tt_replica, cluster);
    tt_list_push_back(&replica->leadership_listeners, &listener->link);
}

/* Housekeeping. */

static void compaction_done(struct tt_propose_op *op)
{
    TT_CONTAINER_OF(op, struct tt_replica, compaction)->compaction_out = false;
}

static void compact_when_due(struct tt_replica *replica)
{
    if (replica->leading_term == 0 || replica->compaction_out) {
        return;
    }
    uint64_t revision = tt_store_compaction_due(replica->store);
    if (revision == 0) {
        return;
    }
    replica->compaction_out = true;
    replica->compaction =
        (struct tt_propose_op){.command = tt_command_compact(revision),
                               .deadline_ms = tt_clock_ms(replica->config.clock) + OP_DEADLINE_MS,
                               .reply = tt_loop_mailbox(replica->loop),
                               .done = compaction_done};
    tt_node_propose(replica->node, &replica->compaction);
}

static void housekeeping_fired(struct tt_timer *timer)
{
    struct tt_replica *replica = TT_CONTAINER_OF(timer, struct tt_replica, housekeeping);
    if (replica->stopping) {
        return; /* it only keeps the loop alive until the log has stopped */
    }
    uint64_t free_bytes;
    if (tt_datadir_free_space(replica->datadir, &free_bytes, NULL) == TT_OK) {
        tt_node_disk_free(replica->node, free_bytes);
    }
    compact_when_due(replica);
    replica_snapshots_pace(replica);
    write_status(replica);
    struct tt_replica_stats stats = {.transport = replica->transport_stats};
    tt_node_stats(replica->node, &stats.node);
    tt_cell_write(replica->stats, &stats);
}

static void recheck_run(struct tt_poke *poke)
{
    tt_transport_recheck(TT_CONTAINER_OF(poke, struct tt_replica, recheck)->transport);
}

static void core_turn(void *ctx)
{
    struct tt_replica *replica = ctx;
    if (replica->node != NULL) {     /* a loop that never ran has its turn when it is freed */
        tt_node_turn(replica->node); /* a stopped node only hands out its refusals */
    }
    flush_replies(replica);
}

/* Life. */

static void core_started(void *ctx)
{
    struct tt_replica *replica = ctx;
    tt_timer_init(&replica->timer, replica->loop, timer_fired);
    tt_timer_init(&replica->housekeeping, replica->loop, housekeeping_fired);
    tt_timer_start(&replica->housekeeping, HOUSEKEEPING_MS, HOUSEKEEPING_MS);
    struct tt_err err;
    tt_err_init(&err);
    int r = tt_node_start(replica->node, &replica->disk, &err);
    tt_node_load_fini(&replica->disk);
    if (r != TT_OK) {
        (void)TT_WRAP(&err, r, "start the raft node");
        io_fault(replica, &err);
    }
    write_status(replica);
}

/* The timers keep the loop and its mailbox open: a job of a pool must find it open when it is done.
 */
void replica_end_when_idle(struct tt_replica *replica)
{
    if (replica->log_ended && replica->jobs_out == 0) {
        tt_timer_close(&replica->timer, NULL);
        tt_timer_close(&replica->housekeeping, NULL);
    }
}

static void log_stopped(struct tt_wal_req *req)
{
    struct tt_replica *replica = req->owner;
    replica->log_ended = true;
    replica_end_when_idle(replica);
}

static void transport_stopped(void *ctx)
{
    struct tt_replica *replica = ctx;
    struct tt_wal_queue queue = tt_wal_thread_queue(replica->log);
    replica->stop_req =
        (struct tt_wal_req){.op = TT_WAL_OP_STOP, .done = log_stopped, .owner = replica};
    queue.submit(queue.ctx, &replica->stop_req);
}

static void core_stopping(void *ctx)
{
    struct tt_replica *replica = ctx;
    io_leading(replica, 0);
    tt_node_stop(replica->node);
    replica->stopping = true;
    tt_pace_cancel(replica->pace);
    tt_timer_stop(&replica->timer);
    flush_replies(replica);
    tt_transport_stop(replica->transport, transport_stopped, replica);
}

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

static int new_node(struct tt_replica *replica)
{
    struct tt_node_config config = {
        .id = replica->identity.member_id,
        .name = replica->config.name,
        .api_address = replica->config.api_address,
        .cluster_id = replica->identity.cluster_id,
        .seed = (unsigned)tt_random_u64(),
        .snapshot_log_size_min = replica->config.snapshot_log_size_min,
        .snapshot_trailing = replica->config.snapshot_trailing,
        .clock = replica->config.clock,
        .log = tt_wal_thread_queue(replica->log),
        .io = {.send = io_send,
               .set_timer = io_set_timer,
               .peers_changed = io_peers_changed,
               .propose_done = io_propose_done,
               .read_done = io_read_done,
               .change_done = io_change_done,
               .leading = io_leading,
               .fault = io_fault,
               .ctx = replica},
        .fsm = tt_node_store_fsm(&replica->fsm),
        .snapshots = replica_snapshots(replica),
    };
    replica->node = tt_node_new(&config);
    return TT_OK;
}

static int new_threads(struct tt_replica *replica, struct tt_err *err)
{
    const struct tt_loop_config loop = {.name = "core",
                                        .mailbox_max = CORE_MAILBOX_MAX,
                                        .on_start = core_started,
                                        .on_stop = core_stopping,
                                        .on_turn = core_turn,
                                        .ctx = replica};
    replica->loop = tt_loop_new(&loop, err);
    if (replica->loop == NULL) {
        return TT_EINTERNAL;
    }
    tt_poke_init(&replica->recheck, tt_loop_mailbox(replica->loop), recheck_run);
    const struct tt_wal_thread_config log = {.log = TT_TAKE(replica->wal),
                                             .reply = tt_loop_mailbox(replica->loop),
                                             .pool = replica->config.pool,
                                             .fatal = log_fatal,
                                             .ctx = replica};
    int r = tt_wal_thread_start(&log, &replica->log, err);
    if (r != TT_OK) {
        return r;
    }
    const struct tt_transport_config transport = {.self_id = replica->identity.member_id,
                                                  .incarnation = replica->identity.incarnation,
                                                  .book = replica->book,
                                                  .cluster = replica->config.cluster,
                                                  .cluster_id = replica->identity.cluster_id,
                                                  .host = replica->config.peer_host,
                                                  .port = replica->config.peer_port,
                                                  .server_tls = replica->config.server_tls,
                                                  .client_tls = replica->config.client_tls,
                                                  .deliver_to = tt_loop_mailbox(replica->loop),
                                                  .received = transport_received,
                                                  .reach = transport_reach,
                                                  .disowned = transport_disowned,
                                                  .stats = transport_stats,
                                                  .ctx = replica};
    int made = tt_transport_new(&transport, &replica->transport, err);
    if (made == TT_OK && replica->config.known_count > 0) {
        tt_transport_hint_peers(replica->transport, replica->config.known,
                                replica->config.known_count);
    }
    return made;
}

int tt_replica_new(const struct tt_replica_config *config, struct tt_replica **ret_replica,
                   struct tt_err *err)
{
    TT_ASSERT(config->fatal != NULL);
    struct tt_replica *replica = TT_NEW(struct tt_replica);
    replica->config = *config;
    copy_strings(&replica->config);
    tt_list_init(&replica->leadership_listeners);
    replica->proposer.propose = door_propose;
    replica->cluster = (struct tt_cluster){.read_index = door_read,
                                           .change = door_change,
                                           .status = door_status,
                                           .listen = door_listen};
    replica->status = tt_cell_new(sizeof(struct tt_cluster_status));
    replica->stats = tt_cell_new(sizeof(struct tt_replica_stats));
    replica->pace = tt_pace_new(100);
    replica->store = tt_store_new();
    tt_store_reclaim_with(replica->store, config->reclaimer);
    replica->fsm.store = replica->store;
    int r = replica_disk_open(replica, err);
    if (r == TT_OK) {
        r = new_threads(replica, err);
    }
    if (r == TT_OK) {
        r = new_node(replica);
    }
    if (r != TT_OK) {
        tt_replica_free(replica);
        return TT_WRAP(err, r, "open the replica in %s", config->data_dir);
    }
    *ret_replica = replica;
    return TT_OK;
}

int tt_replica_start(struct tt_replica *replica, struct tt_err *err)
{
    int r = tt_transport_start(replica->transport, err);
    return r != TT_OK ? r : tt_loop_start(replica->loop, err);
}

void tt_replica_stop(struct tt_replica *replica)
{
    tt_loop_join(replica->loop);
}

void tt_replica_free(struct tt_replica *replica)
{
    if (replica == NULL) {
        return;
    }
    tt_wal_thread_free(replica->log);
    tt_node_free(TT_TAKE(replica->node));
    tt_transport_free(replica->transport);
    tt_peer_book_free(replica->book);
    replica_snapshots_fini(replica);
    tt_loop_free(replica->loop);
    tt_wal_free(replica->wal);
    tt_node_load_fini(&replica->disk);
    tt_datadir_free(replica->datadir);
    tt_store_free(replica->store);
    tt_cell_free(replica->status);
    tt_cell_free(replica->stats);
    tt_pace_free(replica->pace);
    free_strings(&replica->config);
    tt_free(replica);
}

struct tt_store *tt_replica_store(struct tt_replica *replica)
{
    return replica->store;
}

struct tt_proposer *tt_replica_proposer(struct tt_replica *replica)
{
    return &replica->proposer;
}

struct tt_cluster *tt_replica_cluster(struct tt_replica *replica)
{
    return &replica->cluster;
}

uint64_t tt_replica_member_id(const struct tt_replica *replica)
{
    return replica->identity.member_id;
}

void tt_replica_recheck_peers(struct tt_replica *replica)
{
    tt_poke_fire(&replica->recheck);
}

void tt_replica_stats(struct tt_replica *replica, struct tt_replica_stats *ret_stats)
{
    tt_cell_read(replica->stats, ret_stats);
}
