/* The administrator: one membership change at a time, through any server. A server that is added
 * runs before it is; one that was removed goes on for a while, as a real one would. */
#include <inttypes.h>
#include <stdio.h>

#include "tests/sim/sim_client.h"

enum { SIM_VOTERS_MIN = 3, ADMIN_TIMEOUT_MS = 20000 };

struct sim_admin {
    struct tt_change_op change; /* add, promote, remove */
    struct tt_change_op side;   /* transfer or snapshot */
    bool change_out;
    bool side_out;
    int change_server; /* slot the op was given to */
    int side_server;
};

static uint64_t deadline_ms(const struct sim_server *server)
{
    return server->sim->now_us / SIM_MS + server->clock_offset_ms + ADMIN_TIMEOUT_MS;
}

static void change_done(struct tt_change_op *op);

static void submit(struct sim_server *server, struct tt_change_op *op)
{
    struct tt_cluster *door = &server->core.cluster;
    op->deadline_ms = deadline_ms(server);
    op->reply = server->api_box;
    op->done = change_done;
    op->ctx = server;
    int r = door->change(door, op);
    TT_ASSERT(r == 0); /* there are two at most */
}

static int free_slot(const struct sim *sim)
{
    for (int i = 0; i < SIM_SERVERS_MAX; i++) {
        if (!sim->servers[i].used) {
            return i;
        }
    }
    return -1;
}

static void remove_event(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = sim_by_id(sim, event->a);
    if (server && !server->removed) {
        server->removed = true;
        if (server->running) {
            sim_server_crash(server, 1);
        }
    }
}

static void change_done(struct tt_change_op *op)
{
    struct sim_server *server = op->ctx;
    struct sim *sim = server->sim;
    if (!server->running) {
        return; /* its process ended with the answer */
    }
    struct sim_admin *admin = sim->admin;
    char text[256];
    (void)tt_err_format(&op->err, text, sizeof text);
    sim_trace(sim, "change %d of %" PRIu64 " by %s: %s %s", (int)op->kind, op->member.id,
              server->name, tt_err_name(op->code), text);
    if (op == &admin->side) {
        admin->side_out = false;
        return;
    }
    admin->change_out = false;
    if (op->kind == TT_CHANGE_REMOVE && op->code == 0) {
        struct sim_event event = {.run = remove_event, .server = -1, .a = op->member.id};
        sim_schedule(sim, sim_between(sim, 1, 20) * 1000 * SIM_MS, event);
    }
}

static void name_new(struct tt_change_op *op, uint64_t id)
{
    op->kind = TT_CHANGE_ADD;
    op->member.id = id;
    (void)snprintf(op->member.name, sizeof op->member.name, "s%" PRIu64, id);
    (void)snprintf(op->member.peer_address, sizeof op->member.peer_address, "127.0.0.1:%" PRIu64,
                   7000 + id);
}

static void add(struct sim *sim, struct tt_change_op *op, int slot)
{
    uint64_t id = sim->next_id++;
    sim_server_create(sim, slot, id, NULL);
    name_new(op, id);
}

/* What `server` takes for the membership decides what may be asked. */
static bool choose(struct sim *sim, const struct tt_membership *members, struct tt_change_op *op)
{
    for (size_t i = 0; i < members->count; i++) {
        if (members->members[i].role != TT_ROLE_VOTER && tt_rng_chance(&sim->rng, 0.7)) {
            op->kind = TT_CHANGE_PROMOTE;
            op->member.id = members->members[i].id;
            return true;
        }
    }
    size_t voters = tt_membership_voter_count(members);
    int slot = free_slot(sim);
    if (slot >= 0 && members->count < 6 && tt_rng_chance(&sim->rng, 0.5)) {
        add(sim, op, slot);
        return true;
    }
    if (members->count > 0 && (voters > SIM_VOTERS_MIN || tt_rng_chance(&sim->rng, 0.2))) {
        op->kind = TT_CHANGE_REMOVE;
        op->member.id = members->members[tt_rng_below(&sim->rng, members->count)].id;
        return true;
    }
    return false;
}

/* What a damaged member needs: out with it, another one in. */
static bool choose_repair(struct sim *sim, const struct tt_membership *members,
                          struct tt_change_op *op)
{
    for (size_t i = 0; i < members->count; i++) {
        const struct sim_server *server = sim_by_id(sim, members->members[i].id);
        bool lost = !server || server->refused;
        if (lost || members->members[i].role != TT_ROLE_VOTER) {
            op->kind = lost ? TT_CHANGE_REMOVE : TT_CHANGE_PROMOTE;
            op->member.id = members->members[i].id;
            return true;
        }
    }
    if (members->count == 0 || members->count >= sim->voter_count) {
        return false;
    }
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        const struct sim_server *server = &sim->servers[i];
        if (server->used && server->running && !tt_membership_get(members, server->id)) {
            name_new(op, server->id); /* an earlier addition did not come through */
            return true;
        }
    }
    int slot = free_slot(sim);
    if (slot >= 0) {
        add(sim, op, slot);
    }
    return slot >= 0;
}

void sim_admin_change(struct sim *sim)
{
    struct sim_admin *admin = sim->admin;
    struct sim_server *server = sim_pick(sim);
    if (admin->change_out || !server) {
        return;
    }
    memset(&admin->change, 0, sizeof admin->change);
    struct tt_membership members = server->node->membership;
    bool chosen = sim->rots ? choose_repair(sim, &members, &admin->change)
                            : choose(sim, &members, &admin->change);
    if (!chosen) {
        return;
    }
    sim->faults[SIM_MEMBERSHIP]++;
    admin->change_out = true;
    admin->change_server = server->slot;
    submit(server, &admin->change);
}

static void side(struct sim *sim, enum tt_change_kind kind)
{
    struct sim_admin *admin = sim->admin;
    struct sim_server *server = sim_pick(sim);
    if (admin->side_out || !server) {
        return;
    }
    memset(&admin->side, 0, sizeof admin->side);
    admin->side.kind = kind;
    admin->side_out = true;
    admin->side_server = server->slot;
    submit(server, &admin->side);
}

void sim_admin_transfer(struct sim *sim)
{
    sim->faults[SIM_TRANSFER]++;
    side(sim, TT_CHANGE_TRANSFER);
}

void sim_admin_snapshot(struct sim *sim)
{
    sim->faults[SIM_SNAPSHOT]++;
    side(sim, TT_CHANGE_SNAPSHOT);
}

void sim_admin_server_gone(struct sim_server *server)
{
    struct sim_admin *admin = server->sim->admin;
    if (admin && admin->change_out && admin->change_server == server->slot) {
        admin->change_out = false;
    }
    if (admin && admin->side_out && admin->side_server == server->slot) {
        admin->side_out = false;
    }
}

void sim_admin_init(struct sim *sim)
{
    sim->admin = TT_NEW(struct sim_admin);
}

void sim_admin_fini(struct sim *sim)
{
    tt_free(TT_TAKE(sim->admin));
}
