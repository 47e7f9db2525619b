/* The nemesis: every now and then a fault, what kind and how bad drawn from the seed. At the end
 * everything heals; within SETTLE_MS there must be a leader again, a write must go through every
 * member, and all members must have applied all of it with the same state. */
#include "tests/sim/sim_nemesis.h"

#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/sim_client.h"

#define SIM_SPACE (UINT64_C(1) << 40)
enum { SETTLE_MS = 30000, SETTLE_STEP_MS = 500 };

static void cut(struct sim *sim, size_t from, size_t to, uint64_t for_ms)
{
    sim->links[from][to].cut_until_us = sim->now_us + for_ms * SIM_MS;
}

static void crash(struct sim *sim, struct sim_server *server)
{
    sim->faults[SIM_CRASH]++;
    sim_server_crash(server, sim_between(sim, 10, 6000));
}

static void crash_several(struct sim *sim)
{
    size_t count = tt_rng_chance(&sim->rng, 0.2) ? SIM_SERVERS_MAX : 1;
    for (size_t i = 0; i < count; i++) {
        struct sim_server *server = sim_pick(sim);
        if (server) {
            crash(sim, server);
        }
    }
}

static void stop(struct sim *sim, struct sim_server *server)
{
    sim->faults[SIM_STOP]++;
    sim_server_stop(server, sim_between(sim, 100, 3000));
}

static void partition(struct sim *sim)
{
    sim->faults[SIM_PARTITION]++;
    uint64_t side = tt_rng_u64(&sim->rng);
    uint64_t for_ms = sim_between(sim, 100, 8000);
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        for (size_t j = 0; j < SIM_SERVERS_MAX; j++) {
            if (((side >> i) & 1) != ((side >> j) & 1)) {
                cut(sim, i, j, for_ms);
            }
        }
    }
}

static void one_way_cut(struct sim *sim)
{
    sim->faults[SIM_ONE_WAY_CUT]++;
    size_t from = (size_t)tt_rng_below(&sim->rng, SIM_SERVERS_MAX);
    uint64_t for_ms = sim_between(sim, 100, 6000);
    for (size_t to = 0; to < SIM_SERVERS_MAX; to++) {
        if (tt_rng_chance(&sim->rng, 0.7)) {
            cut(sim, from, to, for_ms);
        }
    }
}

static void pause_one(struct sim *sim, struct sim_server *server)
{
    const struct sim_server *leader = sim_leader(sim);
    if (leader && tt_rng_chance(&sim->rng, 0.5)) {
        server = &sim->servers[leader->slot];
    }
    sim->faults[SIM_PAUSE]++;
    server->paused_until_us = sim->now_us + sim_between(sim, 50, 10000) * SIM_MS;
    sim_trace(sim, "%s paused", server->name);
}

static void slow_disk(struct sim *sim, struct sim_server *server)
{
    sim->faults[SIM_SLOW_DISK]++;
    server->sync_us = sim_between(sim, 1, tt_rng_chance(&sim->rng, 0.5) ? 10 : 600) * SIM_MS;
}

static void stall_over(struct sim *sim, struct sim_event *event)
{
    sim->servers[event->a].sync_us = 2 * SIM_MS;
}

/* What it writes now takes longer than the election of another one. */
static void stall_disk(struct sim *sim, struct sim_server *server)
{
    sim->faults[SIM_SLOW_DISK]++;
    server->sync_us = sim_between(sim, 600, 6000) * SIM_MS;
    struct sim_event event = {.run = stall_over, .server = -1, .a = (uint64_t)server->slot};
    sim_schedule(sim, sim_between(sim, 5, 50) * SIM_MS, event);
}

/* With writes under way that others will replace. */
static void isolate_leader(struct sim *sim)
{
    struct sim_server *leader = sim_leader(sim);
    if (!leader) {
        return;
    }
    sim->faults[SIM_ISOLATE_LEADER]++;
    uint64_t for_ms = sim_between(sim, 200, 5000);
    if (tt_rng_chance(&sim->rng, 0.5)) {
        tt_rng_chance(&sim->rng, 0.5) ? slow_disk(sim, leader) : stall_disk(sim, leader);
        sim_client_burst(sim, leader);
    }
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        cut(sim, (size_t)leader->slot, i, for_ms);
        if (tt_rng_chance(&sim->rng, 0.8)) {
            cut(sim, i, (size_t)leader->slot, for_ms);
        }
    }
}

static void disk_failure(struct sim *sim, struct sim_server *server)
{
    sim->faults[SIM_DISK_FAILURE]++;
    server->fault_expected = true;
    tt_disk_memory_fail_at(server->memory, sim_between(sim, 1, 60),
                           tt_rng_chance(&sim->rng, 0.5) ? TT_EIO : TT_ENOSPACE);
}

static void clock_jump(struct sim *sim, struct sim_server *server)
{
    sim->faults[SIM_CLOCK_JUMP]++;
    server->clock_offset_ms += sim_between(sim, 10, 5000);
    server->timer_us = tt_u64_min(server->timer_us, sim->now_us + 1);
}

static void net_quality(struct sim *sim)
{
    sim->faults[SIM_NET_QUALITY]++;
    bool bad = tt_rng_chance(&sim->rng, 0.5);
    sim->drop = bad ? tt_rng_unit(&sim->rng) * 0.3 : 0;
    sim->duplicate = bad ? tt_rng_unit(&sim->rng) * 0.2 : 0.001;
    sim->delay_chance = bad ? tt_rng_unit(&sim->rng) * 0.2 : 0.001;
    sim->delay_us = sim_between(sim, 100, bad ? 100 * SIM_MS : 2 * SIM_MS);
}

/* Long enough to fall behind the others' logs; or it is only deaf, and asks them to write what it
 * will find in a snapshot. */
static void lag(struct sim *sim, struct sim_server *server)
{
    sim->faults[SIM_LAG]++;
    uint64_t for_ms = sim_between(sim, 5000, 40000);
    bool deaf = tt_rng_chance(&sim->rng, 0.5);
    if (deaf) {
        sim_client_burst(sim, server);
    }
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        if (!deaf) {
            cut(sim, (size_t)server->slot, i, for_ms);
        }
        cut(sim, i, (size_t)server->slot, for_ms);
    }
}

static void space_back(struct sim *sim, struct sim_event *event)
{
    tt_disk_memory_set_free_space(sim->servers[event->a].memory, SIM_SPACE);
}

static void disk_full(struct sim *sim, struct sim_server *server)
{
    sim->faults[SIM_DISK_FULL]++;
    tt_disk_memory_set_free_space(server->memory, sim_between(sim, 0, 300) << 20);
    struct sim_event event = {.run = space_back, .server = -1, .a = (uint64_t)server->slot};
    sim_schedule(sim, sim_between(sim, 1, 10000) * SIM_MS, event);
}

static void hit_server(struct sim *sim, uint64_t dice, struct sim_server *server)
{
    if (dice < 8) {
        stop(sim, server);
    } else if (dice < 20) {
        pause_one(sim, server);
    } else if (dice < 32) {
        slow_disk(sim, server);
    } else if (dice < 40) {
        disk_failure(sim, server);
    } else if (dice < 46) {
        clock_jump(sim, server);
    } else if (dice < 52) {
        sim->faults[SIM_COMPACTION]++;
        sim_client_compact(sim, server);
    } else if (dice < 58) {
        sim->faults[SIM_BURST]++;
        sim_client_burst(sim, server);
    } else if (dice < 62) {
        lag(sim, server);
    } else {
        disk_full(sim, server);
    }
}

static void hit(struct sim *sim)
{
    uint64_t dice = tt_rng_below(&sim->rng, 140);
    struct sim_server *server = sim_pick(sim);
    if (dice < 66) {
        if (server) {
            hit_server(sim, dice, server);
        }
    } else if (dice < 80) {
        crash_several(sim);
    } else if (dice < 90) {
        partition(sim);
    } else if (dice < 96) {
        one_way_cut(sim);
    } else if (dice < 104) {
        isolate_leader(sim);
    } else if (dice < 112) {
        net_quality(sim);
    } else if (dice < 126) {
        sim->rots ? sim_rot_step(sim) : sim_admin_change(sim);
    } else if (dice < 131) {
        sim_admin_transfer(sim);
    } else if (dice < 136) {
        sim_admin_snapshot(sim);
    } else if (server) {
        sim->faults[SIM_TAKEN_FOR_GONE]++;
        sim_net_gone(server); /* which it is not */
    }
}

static void nemesis_step(struct sim *sim, struct sim_event *event)
{
    (void)event;
    if (sim->healing) {
        return;
    }
    hit(sim);
    struct sim_event next = {.run = nemesis_step, .server = -1};
    sim_schedule(sim, sim_between(sim, 1, 2 * sim->nemesis_gap_ms) * SIM_MS, next);
}

void sim_nemesis_begin(struct sim *sim)
{
    sim->nemesis_gap_ms = sim_between(sim, 50, tt_rng_chance(&sim->rng, 0.5) ? 800 : 6000);
    struct sim_event first = {.run = nemesis_step, .server = -1};
    sim_schedule(sim, 1000 * SIM_MS, first);
}

static void end_faults(struct sim *sim)
{
    sim->healing = true;
    sim->drop = 0;
    sim->duplicate = 0;
    sim->delay_chance = 0;
    sim->delay_us = 1 * SIM_MS;
    memset(sim->links, 0, sizeof sim->links);
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        struct sim_server *server = &sim->servers[i];
        server->sync_us = 2 * SIM_MS;
        server->paused_until_us = 0;
        if (server->used) {
            tt_disk_memory_set_free_space(server->memory, SIM_SPACE);
        }
        if (server->used && server->running) {
            tt_disk_memory_fail_at(server->memory, 0, 0);
        }
        if (server->used && server->running && server->fault_expected) {
            sim_server_crash(server, 100); /* its disk may be dead without its log knowing */
        }
    }
    sim_clients_calm(sim);
}

/* Every member works again and has everything. */
static bool settled(struct sim *sim)
{
    const struct sim_server *leader = sim_leader(sim);
    if (!leader || !leader->node->ready) {
        return false;
    }
    const struct tt_membership *members = &leader->node->membership;
    uint64_t commit = leader->node->commit_index;
    for (size_t i = 0; i < members->count; i++) {
        struct sim_server *server = sim_by_id(sim, members->members[i].id);
        if (!server || !server->running) {
            return false;
        }
        if (members->members[i].role == TT_ROLE_SPARE) {
            continue; /* gets nothing by design */
        }
        if (!sim_client_write_through_ok(sim, server)) {
            (void)sim_client_write_through(sim, server);
            return false;
        }
        if (server->node->applied_index + 64 < commit) {
            return false;
        }
    }
    return true;
}

static void trace_streams(struct sim *sim, const struct tt_node *node)
{
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        const struct node_peer *peer = &node->peers[i];
        if (peer->stream.state != STREAM_IDLE) {
            sim_trace(sim,
                      "  stream to %" PRIu64 ": state %d, snapshot %" PRIu64 ", offset %" PRIu64
                      " of %" PRIu64 ", last sign %" PRIu64 " ms ago",
                      peer->id, (int)peer->stream.state, peer->stream.snapshot->index,
                      peer->stream.offset, peer->stream.snapshot->file_size,
                      node->now_ms - peer->stream.active_ms);
        }
    }
    if (node->staging) {
        sim_trace(sim,
                  "  stages snapshot %" PRIu64 " of %" PRIu64 ", offset %" PRIu64 " of %" PRIu64
                  ", busy %d",
                  node->staging->index, node->staging_peer, node->staging_offset,
                  node->staging->file_size, (int)node->stage_busy);
    }
}

static void trace_servers(struct sim *sim)
{
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        const struct sim_server *server = &sim->servers[i];
        if (!server->used || !server->running) {
            continue;
        }
        struct tt_node_view view;
        tt_node_view(server->node, &view);
        char roles[TT_MEMBERS_MAX * 8] = "";
        size_t size = 0;
        const struct tt_membership *members = &server->node->membership;
        for (size_t m = 0; m < members->count; m++) {
            size += (size_t)snprintf(roles + size, sizeof roles - size, "%s%c ",
                                     members->members[m].name, "-+v"[members->members[m].role]);
        }
        sim_trace(
            sim,
            "%s: state %d term %" PRIu64 " leader %" PRIu64 " commit %" PRIu64 " applied %" PRIu64
            " last %" PRIu64 " stored %" PRIu64 " snapshot %" PRIu64 " members %s, %s",
            server->name, (int)view.state, view.term, view.leader_id, view.commit_index,
            view.applied_index, view.last_index, view.stored_index, view.snapshot_index, roles,
            sim_client_write_through_ok(sim, server) ? "writes" : "no write went through");
        trace_streams(sim, server->node);
    }
}

void sim_nemesis_heal(struct sim *sim)
{
    end_faults(sim);
    uint64_t end_us = sim->now_us + (sim->rots ? 2 : 1) * (uint64_t)SETTLE_MS * SIM_MS;
    bool ok = false;
    while (!sim->failed && !ok && sim->now_us < end_us) {
        sim_run(sim, sim->now_us + SETTLE_STEP_MS * SIM_MS);
        sim_rot_heal(sim);
        ok = settled(sim);
    }
    if (!ok) {
        trace_servers(sim);
        const struct sim_server *leader = sim_leader(sim);
        sim_fail(sim, SIM_PROGRESS,
                 "no progress %d s after the last fault: leader %s, commit %" PRIu64,
                 SETTLE_MS / 1000, leader ? leader->name : "none",
                 leader ? leader->node->commit_index : 0);
    }
}

const char *sim_fault_name(size_t fault)
{
    static const char *const names[SIM_FAULT_COUNT] = {
        [SIM_CRASH] = "crash",
        [SIM_STOP] = "stop",
        [SIM_PARTITION] = "partition",
        [SIM_ONE_WAY_CUT] = "one-way cut",
        [SIM_ISOLATE_LEADER] = "isolated leader",
        [SIM_PAUSE] = "pause",
        [SIM_SLOW_DISK] = "slow disk",
        [SIM_DISK_FAILURE] = "disk failure",
        [SIM_CLOCK_JUMP] = "clock jump",
        [SIM_NET_QUALITY] = "network quality",
        [SIM_MEMBERSHIP] = "membership change",
        [SIM_TRANSFER] = "transfer",
        [SIM_SNAPSHOT] = "snapshot",
        [SIM_COMPACTION] = "compaction",
        [SIM_BURST] = "burst",
        [SIM_LAG] = "long isolation",
        [SIM_DISK_FULL] = "full disk",
        [SIM_TAKEN_FOR_GONE] = "taken for gone",
        [SIM_ROT] = "rotten disk",
        [SIM_FRAME_DROPPED] = "frame dropped",
        [SIM_FRAME_DUPLICATED] = "frame duplicated",
        [SIM_FRAME_DELAYED] = "frame delayed",
    };
    return names[fault];
}
