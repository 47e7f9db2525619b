/* One simulated server: the production replica core, its node, log and store; sim_env.c is its
 * surroundings.
 *
 * A crash is power loss: the node and its memory go at once, the disk keeps a random part of what
 * was not synced. A start is that of production. A fault that the node reports is the end of that
 * process; unless a disk failure was ordered it is a violation. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/sim_client.h"
#include "tests/sim/sim_conduct.h"

enum { HOUSEKEEPING_MS = 500 };

static uint64_t clock_ns(void *ctx)
{
    const struct sim_server *server = ctx;
    return server->sim->now_us * 1000 + server->clock_offset_ms * 1000000;
}

static uint64_t clock_wall_ms(void *ctx)
{
    const struct sim_server *server = ctx;
    return server->sim->now_us / SIM_MS + UINT64_C(1700000000000) + server->clock_offset_ms;
}

static void restart_event(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->a];
    if (!server->running && !server->removed && server->incarnation == event->b) {
        sim_server_start(server);
    }
}

static void plan_restart(struct sim_server *server, uint64_t after_ms)
{
    struct sim_event event = {
        .run = restart_event, .server = -1, .a = (uint64_t)server->slot, .b = server->incarnation};
    sim_schedule(server->sim, after_ms * SIM_MS, event);
}

/* The production state machine, looked over. */

static int fsm_stamp(void *ctx, uint8_t *command, size_t size, uint64_t wall_ms, struct tt_err *err)
{
    struct sim_server *server = ctx;
    return server->fsm.stamp(server->fsm.ctx, command, size, wall_ms, err);
}

static bool fsm_grows(void *ctx, struct tt_str command)
{
    struct sim_server *server = ctx;
    return server->fsm.grows(server->fsm.ctx, command);
}

static int fsm_apply(void *ctx, uint64_t index, uint32_t position, struct tt_str command,
                     struct tt_apply_result *ret, struct tt_err *err)
{
    struct sim_server *server = ctx;
    sim_check_installed(server);
    sim_check_apply(server, index, position, command);
    if (server->sim->failed) {
        return TT_FAIL(err, TT_ECORRUPT, "the run is over"); /* the store would not survive it */
    }
    int r = server->fsm.apply(server->fsm.ctx, index, position, command, ret, err);
    if (r == 0) {
        sim_check_applied(server);
    }
    return r;
}

static void fsm_publish(void *ctx, uint64_t index)
{
    struct sim_server *server = ctx;
    server->fsm.publish(server->fsm.ctx, index);
    sim_check_published(server);
}

static uint64_t fsm_hash(void *ctx)
{
    struct sim_server *server = ctx;
    return server->fsm.hash(server->fsm.ctx);
}

static void must(struct sim_server *server, int r, const struct tt_err *err, const char *what)
{
    if (r != 0) {
        char text[256];
        (void)tt_err_format(err, text, sizeof text);
        sim_fail(server->sim, SIM_OPENS, "server %s: %s: %s", server->name, what, text);
    }
}

static void snapshot_take(void *ctx, const struct tt_node_snapshot *meta)
{
    struct sim_server *server = ctx;
    if (meta->index > server->durable.last_index) {
        sim_fail(server->sim, SIM_SNAPSHOT_STORED,
                 "%s takes a snapshot at %" PRIu64 ", its log is durable up to %" PRIu64,
                 server->name, meta->index, server->durable.last_index);
    }
    sim_conduct_snapshot(server, meta);
    server->snapshots.take(server->snapshots.ctx, meta);
}

static void snapshot_read(void *ctx, uint64_t peer_id, uint64_t index, uint64_t offset)
{
    struct sim_server *server = ctx;
    server->snapshots.read(server->snapshots.ctx, peer_id, index, offset);
}

static void snapshot_stage(void *ctx, const struct tt_node_snapshot *meta, uint64_t offset,
                           struct tt_bytes *piece)
{
    struct sim_server *server = ctx;
    server->snapshots.stage(server->snapshots.ctx, meta, offset, piece);
}

static void snapshot_install(void *ctx, const struct tt_node_snapshot *meta)
{
    struct sim_server *server = ctx;
    server->snapshots.install(server->snapshots.ctx, meta);
}

/* Who reconciles is told of the end of a leadership before the next one begins. */

static void gained(struct tt_leadership_listener *listener, uint64_t term)
{
    struct sim_server *server = TT_CONTAINER_OF(listener, struct sim_server, leadership);
    sim_trace(server->sim, "%s leading %" PRIu64, server->name, term);
    if (server->told_term != 0) {
        sim_fail(server->sim, SIM_END_TOLD,
                 "%s is told to lead in term %" PRIu64 ", and was not told of the end of "
                 "term %" PRIu64,
                 server->name, term, server->told_term);
    }
    server->told_term = term;
}

static void lost(struct tt_leadership_listener *listener)
{
    struct sim_server *server = TT_CONTAINER_OF(listener, struct sim_server, leadership);
    sim_trace(server->sim, "%s does not lead any more", server->name);
    server->told_term = 0;
}

void sim_server_create(struct sim *sim, int slot, uint64_t id, const struct tt_membership *first)
{
    struct sim_server *server = &sim->servers[slot];
    uint32_t incarnation = server->incarnation; /* of an earlier server: its events stay void */
    memset(server, 0, sizeof *server);
    server->incarnation = incarnation;
    server->sim = sim;
    server->slot = slot;
    server->id = id;
    server->used = true;
    server->sync_us = 2 * SIM_MS;
    (void)snprintf(server->name, sizeof server->name, "s%" PRIu64, id);
    server->memory = tt_disk_memory_new();
    server->first = first;
    sim_server_start(server);
    server->first = NULL;
}

static void init_core(struct sim_server *server)
{
    struct sim *sim = server->sim;
    struct replica_env env = sim_env(server);
    const struct tt_replica_config config = {
        .data_dir = "data",
        .name = server->name,
        .cluster = "simulated",
        .api_address = "127.0.0.1:6443",
        .peer_host = "127.0.0.1",
        .clock = &server->clock,
        .snapshot_log_size_min = sim_between(sim, 4, 48) << 10,
        .snapshot_trailing = (uint32_t)sim_between(sim, 1, 40),
        .cluster_id = "simulated",
        .member_id = server->id,
        .initial = server->first ? server->first->members : NULL,
        .initial_count = server->first ? server->first->count : 0,
    };
    replica_core_init(&server->core, &config, &env);
    server->leadership = (struct tt_leadership_listener){.gained = gained, .lost = lost};
    server->core.cluster.listen(&server->core.cluster, &server->leadership);
    server->told_term = 0;
    server->installs_seen = 0;
    if (sim->options.bug) {
        server->core.faults = sim->options.bug->replica;
    }
}

/* As production makes it, with what is to be looked over passing by here first. */
static void make_node(struct sim_server *server)
{
    struct sim *sim = server->sim;
    struct tt_node_config config = replica_core_node_config(&server->core);
    config.seed = tt_rng_u64(&sim->rng);
    config.cache_size_max = sim_between(sim, 1, 16) << 12;
    config.election_timeout_ms = sim->election_timeout_ms;
    config.heartbeat_ms = sim->election_timeout_ms / 10;
    config.hash_interval_ms = sim_between(sim, 1, 10) * 1000;
    config.log = sim_disk_queue(server);
    server->fsm = config.fsm;
    config.fsm = (struct tt_fsm){.stamp = fsm_stamp,
                                 .grows = fsm_grows,
                                 .apply = fsm_apply,
                                 .publish = fsm_publish,
                                 .hash = fsm_hash,
                                 .ctx = server};
    server->snapshots = config.snapshots;
    config.snapshots = (struct tt_node_snapshots){.take = snapshot_take,
                                                  .read = snapshot_read,
                                                  .stage = snapshot_stage,
                                                  .install = snapshot_install,
                                                  .ctx = server};
    server->node = tt_node_new(&config);
    server->core.node = server->node;
    if (sim->options.bug) {
        server->node->faults = sim->options.bug->node;
    }
}

static void housekeeping(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    server->dirty = true;
    replica_core_housekeeping(&server->core);
    sim_schedule(sim, HOUSEKEEPING_MS * SIM_MS, *event);
}

/* Everything in memory is gone. */
static void drop(struct sim_server *server)
{
    server->running = false;
    server->incarnation++;
    sim_env_close(server);
    sim_client_server_gone(server);
    if (server->node) {
        server->sim->installed_count += server->node->stats.snapshot_installed_count;
    }
    server->node = NULL;
    replica_core_fini(&server->core);
    tt_wal_free(TT_TAKE(server->wal));
}

static void start_node(struct sim_server *server)
{
    struct tt_err err;
    tt_err_init(&err);
    int r = replica_core_open(&server->core, &err);
    if (r == TT_ECORRUPT && server->rotten) {
        drop(server);
        sim_rot_judged(server, true);
        if (server->sim->options.bug && server->sim->options.bug->rejoin_empty) {
            tt_disk_memory_free(server->memory);
            server->memory = tt_disk_memory_new();
            sim_server_start(server);
        }
        return;
    }
    must(server, r, &err, "open");
    if (r != 0) {
        return;
    }
    server->wal = TT_TAKE(server->core.wal);
    sim_check_restart(server, &server->core.disk);
    sim_check_restored(server, server->core.disk.snapshot.index);
    if (server->rotten) {
        sim_rot_judged(server, false);
    }
    make_node(server);
    server->running = true;
    replica_core_start(&server->core);
    struct sim_event event = {.run = housekeeping, .server = server->slot};
    sim_schedule(server->sim, sim_between(server->sim, 1, HOUSEKEEPING_MS) * SIM_MS, event);
    sim_server_turn(server);
}

void sim_server_start(struct sim_server *server)
{
    TT_ASSERT(!server->running && !server->node);
    sim_trace(server->sim, "%s starts", server->name);
    server->incarnation++;
    server->clock = (struct tt_clock){clock_ns, clock_wall_ms, server};
    server->timer_us = UINT64_MAX;
    server->paused_until_us = 0;
    server->fault_expected = false;
    server->commit_checked = 0;
    server->dirty = false;
    sim_disk_open(server);
    sim_env_open(server);
    init_core(server);
    start_node(server);
}

void sim_server_crash(struct sim_server *server, uint64_t restart_after_ms)
{
    sim_trace(server->sim, "%s crashes", server->name);
    drop(server);
    sim_net_gone(server);
    tt_disk_memory_crash(server->memory, &server->sim->rng);
    plan_restart(server, restart_after_ms);
}

void sim_server_stop(struct sim_server *server, uint64_t restart_after_ms)
{
    sim_trace(server->sim, "%s stops", server->name);
    replica_core_stop(&server->core);
    if (server->told_term != 0) {
        sim_fail(server->sim, SIM_END_TOLD,
                 "%s stops, and was not told of the end of term %" PRIu64, server->name,
                 server->told_term);
    }
    (void)tt_mailbox_drain(server->api_box);
    drop(server);
    sim_net_gone(server);
    tt_disk_memory_crash(server->memory, &server->sim->rng);
    plan_restart(server, restart_after_ms);
}

/* What others read of the leadership is what the node knows. */
static void check_status(struct sim_server *server)
{
    struct tt_cluster_status status;
    struct tt_node_view view;
    server->core.cluster.status(&server->core.cluster, &status);
    tt_node_view(server->node, &view);
    if (status.leader_id != view.leader_id || status.term != view.term) {
        sim_fail(server->sim, SIM_STATUS,
                 "the status of %s names leader %" PRIu64 " of term %" PRIu64 ", it is %" PRIu64
                 " of %" PRIu64,
                 server->name, status.leader_id, status.term, view.leader_id, view.term);
    }
}

void sim_server_turn(struct sim_server *server)
{
    server->dirty = false;
    replica_core_turn(&server->core);
    check_status(server);
    sim_check_turn(server);
}

void sim_server_retire(struct sim_server *server)
{
    sim_server_fini(server);
    server->used = false;
    server->memory = NULL;
    memset(&server->durable, 0, sizeof server->durable);
    memset(&server->memory_log, 0, sizeof server->memory_log);
}

void sim_server_fini(struct sim_server *server)
{
    if (!server->used) {
        return;
    }
    if (server->core_box) {
        drop(server);
    }
    tt_disk_memory_free(server->memory);
    tt_free(server->durable.terms);
    tt_free(server->memory_log.terms);
}
