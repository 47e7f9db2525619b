/* Disks whose durable bytes change by themselves, on one member at a time.
 *
 * Damage is done while all voters hold everything, so the cluster can lose this one. The member may
 * go on for a while; its next start is the verdict: it either refuses (its directory is then in
 * quarantine, the administrator removes it and adds another) or has everything that was durable,
 * which sim_check_restart looks at. Anything between would be a vote with a hole in its memory. */
#include <stdio.h>

#include "tests/sim/sim_client.h"

static bool is_whole(const struct sim_server *server, uint64_t index)
{
    return server->durable.snapshot_index >= index || server->durable.last_index >= index;
}

/* The leader, when every member is a running voter that has stored all that is committed. The
 * members are those of its newest configuration: with one that is not committed the others may know
 * fewer voters, and without the damaged one have no majority. */
static struct sim_server *whole_leader(struct sim *sim)
{
    struct sim_server *leader = sim_leader(sim);
    if (!leader || !leader->node->ready || leader->node->config_count > 0) {
        return NULL;
    }
    const struct tt_membership *members = &leader->node->membership;
    for (size_t i = 0; i < members->count; i++) {
        const struct sim_server *server = sim_by_id(sim, members->members[i].id);
        if (members->members[i].role != TT_ROLE_VOTER || !server || !server->running ||
            server->rotten || !is_whole(server, leader->node->commit_index)) {
            return NULL;
        }
    }
    return members->count >= 3 ? leader : NULL;
}

bool sim_rot_whole(struct sim *sim)
{
    return whole_leader(sim) != NULL;
}

static const char *pick_file(struct sim *sim, struct sim_server *server, size_t *ret_size)
{
    size_t count = 0;
    while (tt_disk_memory_path(server->memory, count)) {
        count++;
    }
    const char *path = tt_disk_memory_path(server->memory, tt_rng_below(&sim->rng, count));
    (void)tt_disk_memory_bytes(server->memory, path, ret_size);
    return *ret_size > 0 ? path : NULL;
}

static bool damage(struct sim *sim, struct sim_server *server)
{
    size_t size = 0;
    const char *path = pick_file(sim, server, &size);
    if (!path) {
        return false;
    }
    size_t at = (size_t)tt_rng_below(&sim->rng, size);
    if (tt_rng_chance(&sim->rng, 0.5)) {
        at =
            (size_t)tt_rng_below(&sim->rng, tt_size_min(size, 8192)); /* where the bytes are used */
    }
    size_t count = tt_rng_chance(&sim->rng, 0.5) ? 1 : (size_t)sim_between(sim, 2, 700);
    for (size_t i = at; i < at + count && i < size; i++) {
        uint64_t bits =
            count == 1 ? UINT64_C(1) << tt_rng_below(&sim->rng, 8) : tt_rng_below(&sim->rng, 256);
        tt_disk_memory_rot(server->memory, path, i, (uint8_t)bits);
    }
    sim_trace(sim, "%s: %zu bytes of %s rot at %zu", server->name, count, path, at);
    return true;
}

static void retire_removed(struct sim *sim)
{
    const struct sim_server *leader = sim_leader(sim);
    for (size_t i = 0; leader && leader->node->ready && i < SIM_SERVERS_MAX; i++) {
        struct sim_server *server = &sim->servers[i];
        if (server->used && server->refused &&
            !tt_membership_get(&leader->node->membership, server->id)) {
            sim_server_retire(server);
        }
    }
}

void sim_rot_step(struct sim *sim)
{
    retire_removed(sim);
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        struct sim_server *server = &sim->servers[i];
        if (server->used && server->running && server->rotten) {
            sim_server_crash(server, 100); /* time for the verdict */
            return;
        }
    }
    const struct sim_server *leader = whole_leader(sim);
    if (!leader) {
        sim_admin_change(sim);
        return;
    }
    const struct tt_membership *members = &leader->node->membership;
    uint64_t id = members->members[tt_rng_below(&sim->rng, members->count)].id;
    struct sim_server *server = sim_by_id(sim, id);
    if (damage(sim, server)) {
        sim->faults[SIM_ROT]++;
        server->rotten = true;
        server->fault_expected = true;
    }
}

void sim_rot_heal(struct sim *sim)
{
    if (sim->rots && !sim->failed) {
        retire_removed(sim);
        sim_admin_change(sim);
    }
}

void sim_rot_judged(struct sim_server *server, bool refused)
{
    struct sim *sim = server->sim;
    sim_trace(sim, "%s %s", server->name, refused ? "refuses to start" : "is intact");
    server->rotten = false;
    server->refused = refused;
    server->removed = server->removed || refused;
    sim->refused_count += refused;
    sim->intact_count += !refused;
}
