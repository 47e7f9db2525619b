/* One simulated server: the production node, log and store put together as production does, with
 * every output going to the simulation.
 *
 * A crash is power loss: the node and its memory go at once, the disk keeps a random part of what
 * was not synced. A start reads the disk as production does. A fault that the node reports is the
 * end of that process; unless a disk failure was ordered it is a violation. */
#include <inttypes.h>
#include <stdio.h>

#include "raft/node_load.h"
#include "tests/sim/sim_client.h"

enum { SIM_SEGMENT_SIZE = TT_WAL_SEGMENT_SIZE_MIN };

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

static void io_send(void *ctx, uint64_t peer_id, struct tt_bytes *frame, bool bulk)
{
    (void)bulk;
    sim_net_send(ctx, peer_id, frame);
}

static void io_set_timer(void *ctx, uint64_t at_ms)
{
    struct sim_server *server = ctx;
    uint64_t local_us =
        at_ms > server->clock_offset_ms ? (at_ms - server->clock_offset_ms) * SIM_MS : 0;
    server->timer_us = tt_u64_max(local_us, server->sim->now_us + 1);
}

static void io_peers_changed(void *ctx, const struct tt_member *members, size_t count)
{
    (void)ctx, (void)members, (void)count; /* everybody can always reach everybody */
}

static void io_leading(void *ctx, uint64_t term)
{
    struct sim_server *server = ctx;
    sim_trace(server->sim, "%s leading %" PRIu64, server->name, term);
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

static void die_event(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    sim_server_crash(server, sim_between(sim, 50, 3000));
}

static void io_fault(void *ctx, const struct tt_err *err)
{
    struct sim_server *server = ctx;
    char text[256];
    (void)tt_err_format(err, text, sizeof text);
    sim_trace(server->sim, "%s faulted: %s", server->name, text);
    if (!server->fault_expected) {
        sim_fail(server->sim, "server %s stopped itself: %s", server->name, text);
    }
    struct sim_event event = {.run = die_event, .server = server->slot};
    sim_schedule(server->sim, 1, event);
}

static int fsm_stamp(void *ctx, struct tt_bytes *command, uint64_t wall_ms, struct tt_err *err)
{
    struct sim_server *server = ctx;
    struct tt_fsm real = tt_node_store_fsm(&server->store);
    return real.stamp(real.ctx, command, wall_ms, err);
}

static bool fsm_grows(void *ctx, struct tt_str command)
{
    struct sim_server *server = ctx;
    struct tt_fsm real = tt_node_store_fsm(&server->store);
    return real.grows(real.ctx, command);
}

static int fsm_apply(void *ctx, uint64_t index, uint32_t position, struct tt_str command,
                     struct tt_apply_result *ret, struct tt_err *err)
{
    struct sim_server *server = ctx;
    struct tt_fsm real = tt_node_store_fsm(&server->store);
    sim_check_apply(server, index, position, command);
    return real.apply(real.ctx, index, position, command, ret, err);
}

static void fsm_publish(void *ctx, uint64_t index)
{
    struct sim_server *server = ctx;
    struct tt_fsm real = tt_node_store_fsm(&server->store);
    real.publish(real.ctx, index);
    sim_check_published(server);
}

static uint64_t fsm_hash(void *ctx)
{
    struct sim_server *server = ctx;
    return tt_store_hash(server->store.store);
}

static void must(struct sim_server *server, int r, const struct tt_err *err, const char *what)
{
    if (r != 0) {
        char text[256];
        (void)tt_err_format(err, text, sizeof text);
        sim_fail(server->sim, "server %s: %s: %s", server->name, what, text);
    }
}

void sim_server_create(struct sim *sim, int slot, uint64_t id, const struct tt_membership *first)
{
    struct sim_server *server = &sim->servers[slot];
    memset(server, 0, sizeof *server);
    server->sim = sim;
    server->slot = slot;
    server->id = id;
    server->used = true;
    server->sync_us = 2 * SIM_MS;
    (void)snprintf(server->name, sizeof server->name, "s%" PRIu64, id);
    server->memory = tt_disk_memory_new();
    const struct tt_disk *disk = tt_disk_memory_disk(server->memory);
    struct tt_err err;
    tt_err_init(&err);
    must(server, disk->ops->mkdir(disk->ctx, "log", &err), &err, "mkdir");
    must(server, disk->ops->mkdir(disk->ctx, "snapshots", &err), &err, "mkdir");
    struct tt_wal_config config = {
        .disk = disk, .dir = "log", .segment_size = SIM_SEGMENT_SIZE, .log_id = id};
    struct tt_wal_entry entry = {.index = 1, .term = 1, .type = RAFT_CHANGE};
    if (first) {
        must(server, tt_membership_encode(first, &entry.payload, &err), &err, "configuration");
    }
    must(server, tt_wal_bootstrap(&config, &entry, first ? 1 : 0, &err), &err, "bootstrap");
    must(server, disk->ops->sync_dir(disk->ctx, "log", &err), &err, "sync_dir");
    must(server, disk->ops->sync_dir(disk->ctx, "", &err), &err, "sync_dir");
    tt_bytes_unref(entry.payload);
    sim_server_start(server);
}

static struct tt_node_config node_config(struct sim_server *server)
{
    struct sim *sim = server->sim;
    return (struct tt_node_config){
        .id = server->id,
        .name = server->name,
        .api_address = "127.0.0.1:6443",
        .cluster_id = "simulated",
        .seed = (unsigned)tt_rng_u64(&sim->rng) | 1u,
        .cache_size_max = sim_between(sim, 1, 16) << 12,
        .snapshot_log_size_min = sim_between(sim, 4, 48) << 10,
        .snapshot_trailing = (uint32_t)sim_between(sim, 1, 40),
        .hash_interval_ms = sim_between(sim, 1, 10) * 1000,
        .clock = &server->clock,
        .log = sim_disk_queue(server),
        .io = {.send = io_send,
               .set_timer = io_set_timer,
               .peers_changed = io_peers_changed,
               .propose_done = sim_client_propose_done,
               .read_done = sim_client_read_done,
               .change_done = sim_admin_done,
               .leading = io_leading,
               .fault = io_fault,
               .ctx = server},
        .fsm = {.stamp = fsm_stamp,
                .grows = fsm_grows,
                .apply = fsm_apply,
                .publish = fsm_publish,
                .hash = fsm_hash,
                .ctx = server},
        .snapshots = sim_snapshots(server),
    };
}

static bool open_log(struct sim_server *server, struct tt_wal_snapshot *ret_snapshot)
{
    struct tt_wal_config config = {.disk = &server->disk,
                                   .dir = "log",
                                   .segment_size = SIM_SEGMENT_SIZE,
                                   .log_id = server->id};
    struct tt_wal_recovered found = {.term = 0};
    struct tt_err err;
    tt_err_init(&err);
    int r = tt_wal_open(&config, &server->wal, &found, &err);
    must(server, r, &err, "open the log");
    *ret_snapshot = found.snapshot;
    return r == 0;
}

static void start_node(struct sim_server *server)
{
    struct tt_node_snapshot snapshot = {.index = 0};
    struct tt_wal_snapshot named;
    if (!open_log(server, &named) || !sim_snapshot_load(server, &named, &snapshot)) {
        return;
    }
    struct tt_node_disk disk;
    struct tt_err err;
    tt_err_init(&err);
    int r = tt_node_load(server->wal, &snapshot, &disk, &err);
    must(server, r, &err, "load");
    if (r != 0) {
        return;
    }
    sim_check_restart(server, &disk);
    sim_check_restored(server, snapshot.index);
    struct tt_node_config config = node_config(server);
    server->node = tt_node_new(&config);
    if (server->sim->options.bug) {
        server->node->faults = server->sim->options.bug->node;
    }
    server->running = true;
    r = tt_node_start(server->node, &disk, &err);
    must(server, r, &err, "start");
    tt_node_load_fini(&disk);
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
    server->store.store = tt_store_new();
    start_node(server);
}

/* Everything in memory is gone. */
static void drop(struct sim_server *server)
{
    server->running = false;
    server->incarnation++;
    sim_client_server_gone(server);
    sim_snapshot_close(server);
    if (server->node) {
        server->sim->installed_count += server->node->stats.snapshot_installed_count;
    }
    tt_node_free(TT_TAKE(server->node));
    tt_wal_free(TT_TAKE(server->wal));
    tt_store_free(TT_TAKE(server->store.store));
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
    server->stopping = true;
    tt_node_stop(server->node);
    server->stopping = false;
    drop(server);
    sim_net_gone(server);
    tt_disk_memory_crash(server->memory, &server->sim->rng);
    plan_restart(server, restart_after_ms);
}

void sim_server_turn(struct sim_server *server)
{
    server->dirty = false;
    tt_node_turn(server->node);
    sim_check_turn(server);
}

void sim_server_fini(struct sim_server *server)
{
    if (!server->used) {
        return;
    }
    if (server->running || server->node || server->wal || server->store.store) {
        drop(server);
    }
    tt_disk_memory_free(server->memory);
    tt_free(server->durable.terms);
    tt_free(server->memory_log.terms);
}
