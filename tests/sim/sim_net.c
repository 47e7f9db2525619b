/* Frames between servers. Each may be dropped, delayed for long, duplicated or overtaken; links are
 * cut per direction. What the transport never does (deliver a forwarded command twice) is not done
 * to those either. */
#include "tests/sim/sim.h"

static void deliver(struct sim *sim, struct sim_event *event)
{
    struct sim_server *to = &sim->servers[event->server];
    const struct sim_server *from = &sim->servers[event->a];
    if (sim->links[from->slot][to->slot].cut_until_us > sim->now_us) {
        sim->faults[SIM_FRAME_DROPPED]++;
        return;
    }
    to->dirty = true;
    tt_node_receive(to->node, from->id, event->bytes);
}

static uint64_t delay_us(struct sim *sim)
{
    uint64_t delay = sim_between(sim, 50, sim->delay_us);
    if (tt_rng_chance(&sim->rng, sim->delay_chance)) {
        sim->faults[SIM_FRAME_DELAYED]++;
        /* Now and then beyond an election: who led when it left may lead again, in another term. */
        uint64_t most_ms = tt_rng_chance(&sim->rng, 0.1) ? 4000 : 400;
        delay += sim_between(sim, 1 * SIM_MS, most_ms * SIM_MS);
    }
    return delay;
}

/* The tag of the body in a frame: behind the size of the head field 1 (cluster) takes nine bytes,
 * then comes the body's key. */
static bool at_most_once(const struct tt_bytes *frame)
{
    enum { KEY_AT = 4 + 9 };
    if (frame->size <= KEY_AT) {
        return true;
    }
    uint8_t field = frame->ptr[KEY_AT] >> 3;
    return field == 11 || field == 13; /* Forward, Change */
}

static void miss(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = &sim->servers[event->server];
    server->dirty = true;
    tt_node_peer_absent(server->node, event->a);
}

void sim_net_gone(const struct sim_server *server)
{
    struct sim *sim = server->sim;
    for (int i = 0; i < SIM_SERVERS_MAX; i++) {
        if (i != server->slot && sim->servers[i].running && tt_rng_chance(&sim->rng, 0.7)) {
            struct sim_event event = {.run = miss, .server = i, .a = server->id};
            sim_schedule(sim, sim_between(sim, 1, 80) * SIM_MS, event);
        }
    }
}

void sim_net_send(struct sim_server *from, uint64_t to_id, struct tt_bytes *frame)
{
    struct sim *sim = from->sim;
    struct sim_server *to = sim_by_id(sim, to_id);
    sim_check_frame(from, to_id, frame);
    bool lost = !to || tt_rng_chance(&sim->rng, sim->drop) ||
                sim->links[from->slot][to->slot].cut_until_us > sim->now_us;
    if (lost) {
        sim->faults[SIM_FRAME_DROPPED]++;
        tt_bytes_unref(frame);
        return;
    }
    struct sim_event event = {.run = deliver, .server = to->slot, .a = (uint64_t)from->slot};
    if (tt_rng_chance(&sim->rng, sim->duplicate) && !at_most_once(frame)) {
        sim->faults[SIM_FRAME_DUPLICATED]++;
        event.bytes = tt_bytes_ref(frame);
        sim_schedule(sim, delay_us(sim), event);
    }
    event.bytes = frame;
    sim_schedule(sim, delay_us(sim), event);
}
