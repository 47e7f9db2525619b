/* What a replica core asks for, in virtual time: mailboxes whose thread wakes a little later, a
 * pool whose jobs take their time or are refused, frames for the network.
 *
 * Work of a job happens at one instant, its completion arrives at a later one. A crash in between
 * leaves what the simulated disk kept, and the job never comes back. */
#include "tests/sim/sim_client.h"

static void core_wakes(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    server->dirty = true;
    (void)tt_mailbox_drain(server->core_box);
}

static void core_wake(void *ctx)
{
    struct sim_server *server = ctx;
    struct sim_event event = {.run = core_wakes, .server = server->slot};
    sim_schedule(server->sim, sim_between(server->sim, 1, 30), event);
}

static void api_wakes(struct sim *sim, struct sim_event *event)
{
    (void)tt_mailbox_drain(sim->servers[event->server].api_box);
}

/* Now and then the thread that asked is busy when its answer comes, or sleeps for long. */
static void api_wake(void *ctx)
{
    struct sim_server *server = ctx;
    struct sim *sim = server->sim;
    uint64_t dice = tt_rng_below(&sim->rng, 1000);
    uint64_t most = dice < 3 ? 15000 * SIM_MS : dice < 50 ? 50 * SIM_MS : 200;
    struct sim_event event = {.run = api_wakes, .server = server->slot};
    sim_schedule(sim, sim_between(sim, 5, sim->healing ? 200 : most), event);
}

/* As between machines: what arrives is a copy. */
static void send_frame(void *ctx, uint64_t peer_id, struct tt_bytes *const *parts,
                       size_t part_count, bool bulk)
{
    struct sim_server *server = ctx;
    (void)bulk;
    if (server->running) {
        sim_net_send(server, peer_id, tt_bytes_join(parts, part_count));
    }
}

static void set_timer(void *ctx, uint64_t at_ms)
{
    struct sim_server *server = ctx;
    uint64_t local_us =
        at_ms > server->clock_offset_ms ? (at_ms - server->clock_offset_ms) * SIM_MS : 0;
    server->timer_us = tt_u64_max(local_us, server->sim->now_us + 1);
}

static void peers_changed(void *ctx, const struct tt_member *members, size_t count)
{
    (void)ctx, (void)members, (void)count; /* everybody can always reach everybody */
}

static void die_event(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    sim_server_crash(server, sim_between(sim, 50, 3000));
}

static void fault(void *ctx, const struct tt_err *err)
{
    struct sim_server *server = ctx;
    char text[256];
    (void)tt_err_format(err, text, sizeof text);
    sim_trace(server->sim, "%s faulted: %s", server->name, text);
    if (!server->fault_expected) {
        sim_fail(server->sim, SIM_STAYS_UP, "server %s stopped itself: %s", server->name, text);
    }
    struct sim_event event = {.run = die_event, .server = server->slot};
    sim_schedule(server->sim, 1, event);
}

static void work_done(struct tt_msg *msg)
{
    struct tt_work *work = TT_CONTAINER_OF(msg, struct tt_work, msg);
    work->done(work);
}

static void work_event(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    struct tt_work *work;
    memcpy(&work, &event->a, sizeof work);
    work->work(work);
    work->msg.run = work_done;
    int r = tt_mailbox_post_answer(work->reply, &work->msg);
    TT_ASSERT(r == 0); /* the box is open while its server runs */
}

static int run_work(void *ctx, struct tt_work *work, bool slow)
{
    struct sim_server *server = ctx;
    struct sim *sim = server->sim;
    if (!sim->healing && tt_rng_chance(&sim->rng, 0.01)) {
        return TT_EBUSY;
    }
    struct sim_event event = {.run = work_event, .server = server->slot};
    memcpy(&event.a, &work, sizeof work);
    bool late = slow || tt_rng_chance(&sim->rng, 0.1);
    sim_schedule(sim, sim_between(sim, 50, (late ? 500 : 5) * SIM_MS), event);
    return 0;
}

static void idle(void *ctx)
{
    (void)ctx; /* nobody waits: a stopped server is freed with its jobs */
}

struct replica_env sim_env(struct sim_server *server)
{
    struct sim *sim = server->sim;
    return (struct replica_env){.disk = &server->disk,
                                .log_segment_size = TT_WAL_SEGMENT_SIZE_MIN,
                                .log_id = server->id,
                                .snapshot_piece_size = 1u << sim_between(sim, 10, 13),
                                .box = server->core_box,
                                .send = send_frame,
                                .set_timer = set_timer,
                                .peers_changed = peers_changed,
                                .fault = fault,
                                .run = run_work,
                                .idle = idle,
                                .ctx = server};
}

void sim_env_open(struct sim_server *server)
{
    server->core_box = tt_mailbox_new(1 << 16, core_wake, server);
    server->api_box = tt_mailbox_new(1 << 16, api_wake, server);
}

static void box_end(struct tt_mailbox *box)
{
    tt_mailbox_close(box);
    (void)tt_mailbox_drain(box);
    tt_mailbox_free(box);
}

void sim_env_close(struct sim_server *server)
{
    TT_ASSERT(!server->running); /* what the messages do now is seen by nobody */
    server->core.stopping = true;
    box_end(TT_TAKE(server->core_box));
    box_end(TT_TAKE(server->api_box));
}
