/* The core loop of a production member: threads, timers and the transport around replica_core.
 *
 * Every turn of the loop ends in replica_core_turn. Housekeeping runs every 100 ms.
 *
 * Stop: the core answers what is out, the transport closes, the log gets its STOP request, and when
 * it and all snapshot jobs are back the loop ends. Ops that arrive meanwhile are refused, but
 * answered like all others. */
#include "raft/replica.h"

#include "base/file.h"
#include "base/log.h"
#include "base/poke.h"
#include "base/rng.h"
#include "raft/peer_codec.h"
#include "raft/replica_core.h"

enum {
    CORE_MAILBOX_MAX = 1 << 16,
    HOUSEKEEPING_MS = 100,
    REPLICA_FRAME_TYPE = TT_TRANSPORT_TYPE_MIN, /* peer_codec frames */
};

struct tt_replica {
    struct replica_core core;       /* what has no threads; first to be made, last to go */
    struct tt_wal_thread *log;      /* owned */
    struct tt_transport *transport; /* owned */
    struct tt_loop *loop;           /* the core thread; owned */
    struct tt_timer timer;          /* the node's wish */
    struct tt_timer housekeeping;   /* every HOUSEKEEPING_MS */
    struct tt_cell *stats;          /* struct tt_replica_stats */
    struct tt_transport_stats transport_stats; /* as told last by the transport */
    struct tt_poke recheck;                    /* any thread: revocations have changed */
    bool log_ended;                            /* the STOP request is back */
    bool removed;                              /* from the cluster: it has no peers any more */
    struct tt_wal_req stop_req;                /* the log's last one; once, at stop */
};

_Static_assert(1 + PEER_PIECES_MAX <= (int)TT_TRANSPORT_PARTS_MAX,
               "a frame is a head and its pieces");
_Static_assert(PEER_FRAME_SIZE_MAX <= (int)TT_TRANSPORT_FRAME_SIZE_MAX, "every frame can be sent");
_Static_assert(PEER_COMMANDS_MAX <= PEER_PIECES_MAX && PEER_ENTRIES_MAX <= PEER_PIECES_MAX,
               "each has a piece");

/* What the core asks for. */

static void env_send(void *ctx, uint64_t peer_id, struct tt_bytes *const *parts, size_t part_count,
                     bool bulk)
{
    struct tt_replica *replica = ctx;
    enum tt_transport_channel channel = bulk ? TT_TRANSPORT_BULK : TT_TRANSPORT_FAST;
    tt_transport_send(replica->transport, peer_id, channel, REPLICA_FRAME_TYPE, parts, part_count);
}

static void env_set_timer(void *ctx, uint64_t at_ms)
{
    struct tt_replica *replica = ctx;
    uint64_t now = tt_clock_ms(replica->core.config.clock);
    tt_timer_start(&replica->timer, at_ms > now ? at_ms - now : 0, 0);
}

static void env_peers_changed(void *ctx, const struct tt_member *members, size_t count)
{
    struct tt_replica *replica = ctx;
    /* A joining server knows no configuration yet, only whom to listen to. */
    if (count > 0 && !replica->removed) {
        tt_transport_set_peers(replica->transport, members, count);
    }
}

static void env_committed(void *ctx, uint64_t index, const struct tt_membership *membership)
{
    struct tt_replica *replica = ctx;
    tt_transport_set_committed(replica->transport, index, membership);
}

/* Nobody is left to talk with. Nothing is written down: a restart asks again. */
static void env_removed(void *ctx, uint64_t index)
{
    struct tt_replica *replica = ctx;
    struct tt_err err;
    tt_err_init(&err);
    (void)TT_FAIL(&err, TT_ECONFLICT,
                  "this server was removed from the cluster, whose configuration at index %llu is "
                  "without it: stop it; to let it in again, empty %s, add it anew and start it "
                  "with --join (docs/ops/joining.md)",
                  (unsigned long long)index, replica->core.config.data_dir);
    TT_LOG(TT_LOG_ERROR, "raft", "removed", TT_F_ERR(&err));
    replica->removed = true;
    tt_transport_set_peers(replica->transport, NULL, 0);
}

static void env_fault(void *ctx, const struct tt_err *err)
{
    struct tt_replica *replica = ctx;
    replica->core.config.fatal(replica->core.config.ctx, err);
}

static int env_run(void *ctx, struct tt_work *work, bool slow)
{
    struct tt_replica *replica = ctx;
    const struct tt_replica_config *config = &replica->core.config;
    return tt_pool_submit(slow ? config->slow_pool : config->pool, work);
}

/* The timers keep the loop and its mailbox open: a job of a pool must find it open when it is done.
 */
static void end_when_idle(void *ctx)
{
    struct tt_replica *replica = ctx;
    if (replica->log_ended && replica_core_idle(&replica->core)) {
        tt_timer_close(&replica->timer, NULL);
        tt_timer_close(&replica->housekeeping, NULL);
    }
}

/* Inputs. */

static void transport_received(void *ctx, uint64_t peer_id, uint8_t type, struct tt_bytes *payload)
{
    struct tt_replica *replica = ctx;
    if (type == REPLICA_FRAME_TYPE && !replica->core.stopping) {
        tt_node_receive(replica->core.node, peer_id, payload);
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
    if (replica->core.stopping) {
        return;
    }
    if (reach == TT_TRANSPORT_CONNECTED) {
        tt_node_peer_reachable(replica->core.node, peer_id);
    } else if (reach == TT_TRANSPORT_ABSENT) {
        tt_node_peer_absent(replica->core.node, peer_id);
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
        (unsigned long long)peer_id, (unsigned long long)replica->core.identity.member_id,
        replica->core.config.name);
    env_fault(replica, &err);
}

static void transport_removed(void *ctx, uint64_t peer_id, uint64_t index)
{
    struct tt_replica *replica = ctx;
    TT_LOG(TT_LOG_INFO, "raft", "a peer says that this server was removed",
           TT_F_U64("peer", peer_id), TT_F_U64("index", index));
    if (!replica->core.stopping) {
        tt_node_hear_removed(replica->core.node, index);
    }
}

static void transport_stats(void *ctx, const struct tt_transport_stats *stats)
{
    struct tt_replica *replica = ctx;
    replica->transport_stats = *stats;
}

static void timer_fired(struct tt_timer *timer)
{
    tt_node_tick(TT_CONTAINER_OF(timer, struct tt_replica, timer)->core.node);
}

static void housekeeping_fired(struct tt_timer *timer)
{
    struct tt_replica *replica = TT_CONTAINER_OF(timer, struct tt_replica, housekeeping);
    if (replica->core.stopping) {
        return; /* it only keeps the loop alive until the log has stopped */
    }
    replica_core_housekeeping(&replica->core);
    struct tt_replica_stats stats = {.transport = replica->transport_stats};
    tt_node_stats(replica->core.node, &stats.node);
    tt_cell_write(replica->stats, &stats);
}

static void recheck_run(struct tt_poke *poke)
{
    tt_transport_recheck(TT_CONTAINER_OF(poke, struct tt_replica, recheck)->transport);
}

static void core_turn(void *ctx)
{
    replica_core_turn(&((struct tt_replica *)ctx)->core);
}

/* Life. */

static void core_started(void *ctx)
{
    struct tt_replica *replica = ctx;
    tt_timer_init(&replica->timer, replica->loop, timer_fired);
    tt_timer_init(&replica->housekeeping, replica->loop, housekeeping_fired);
    tt_timer_start(&replica->housekeeping, HOUSEKEEPING_MS, HOUSEKEEPING_MS);
    replica_core_start(&replica->core);
}

static void log_stopped(struct tt_wal_req *req)
{
    struct tt_replica *replica = req->owner;
    replica->log_ended = true;
    end_when_idle(replica);
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
    replica_core_stop(&replica->core);
    tt_timer_stop(&replica->timer);
    tt_transport_stop(replica->transport, transport_stopped, replica);
}

static void new_node(struct tt_replica *replica)
{
    struct tt_node_config config = replica_core_node_config(&replica->core);
    config.seed = tt_random_u64();
    config.log = tt_wal_thread_queue(replica->log);
    replica->core.node = tt_node_new(&config);
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
    replica->core.env.box = tt_loop_mailbox(replica->loop);
    tt_poke_init(&replica->recheck, tt_loop_mailbox(replica->loop), recheck_run);
    const struct tt_wal_thread_config log = {.log = TT_TAKE(replica->core.wal),
                                             .reply = tt_loop_mailbox(replica->loop),
                                             .pool = replica->core.config.pool,
                                             .fatal = env_fault,
                                             .ctx = replica};
    int r = tt_wal_thread_start(&log, &replica->log, err);
    if (r != TT_OK) {
        return r;
    }
    const struct tt_transport_config transport = {.self_id = replica->core.identity.member_id,
                                                  .incarnation = replica->core.identity.incarnation,
                                                  .book = replica->core.book,
                                                  .cluster = replica->core.config.cluster,
                                                  .cluster_id = replica->core.identity.cluster_id,
                                                  .host = replica->core.config.peer_host,
                                                  .port = replica->core.config.peer_port,
                                                  .server_tls = replica->core.config.server_tls,
                                                  .client_tls = replica->core.config.client_tls,
                                                  .deliver_to = tt_loop_mailbox(replica->loop),
                                                  .received = transport_received,
                                                  .reach = transport_reach,
                                                  .disowned = transport_disowned,
                                                  .removed = transport_removed,
                                                  .stats = transport_stats,
                                                  .ctx = replica};
    int made = tt_transport_new(&transport, &replica->transport, err);
    if (made == TT_OK && replica->core.config.known_count > 0) {
        tt_transport_hint_peers(replica->transport, replica->core.config.known,
                                replica->core.config.known_count);
    }
    return made;
}

int tt_replica_new(const struct tt_replica_config *config, struct tt_replica **ret_replica,
                   struct tt_err *err)
{
    TT_ASSERT(config->fatal != NULL);
    struct tt_replica *replica = TT_NEW(struct tt_replica);
    const struct replica_env env = {.disk = tt_disk_system(),
                                    .lock = true,
                                    .send = env_send,
                                    .set_timer = env_set_timer,
                                    .peers_changed = env_peers_changed,
                                    .committed = env_committed,
                                    .removed = env_removed,
                                    .fault = env_fault,
                                    .pace = tt_pace_new(100),
                                    .run = env_run,
                                    .idle = end_when_idle,
                                    .ctx = replica};
    replica_core_init(&replica->core, config, &env);
    replica->stats = tt_cell_new(sizeof(struct tt_replica_stats));
    int r = tt_dir_make(config->data_dir, 0700, err);
    if (r == TT_OK) {
        r = replica_core_open(&replica->core, err);
    }
    if (r == TT_OK) {
        r = new_threads(replica, err);
    }
    if (r != TT_OK) {
        tt_replica_free(replica);
        return TT_WRAP(err, r, "open the replica in %s", config->data_dir);
    }
    new_node(replica);
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
    TT_ASSERT(replica_core_idle(&replica->core));
    tt_wal_thread_free(replica->log);
    tt_node_free(TT_TAKE(replica->core.node));
    tt_transport_free(TT_TAKE(replica->transport)); /* before its book */
    tt_loop_free(replica->loop);
    struct tt_pace *pace = replica->core.env.pace;
    replica_core_fini(&replica->core);
    tt_pace_free(pace);
    tt_cell_free(replica->stats);
    tt_free(replica);
}

struct tt_store *tt_replica_store(struct tt_replica *replica)
{
    return replica->core.store;
}

struct tt_proposer *tt_replica_proposer(struct tt_replica *replica)
{
    return &replica->core.proposer;
}

struct tt_cluster *tt_replica_cluster(struct tt_replica *replica)
{
    return &replica->core.cluster;
}

uint64_t tt_replica_member_id(const struct tt_replica *replica)
{
    return replica->core.identity.member_id;
}

void tt_replica_recheck_peers(struct tt_replica *replica)
{
    tt_poke_fire(&replica->recheck);
}

void tt_replica_stats(struct tt_replica *replica, struct tt_replica_stats *ret_stats)
{
    tt_cell_read(replica->stats, ret_stats);
}
