/* Events in virtual time. A binary heap ordered by (time, order of scheduling), beside it one timer
 * per server; everything random comes from the one generator, so a seed is a run. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "tests/sim/sim.h"

void sim_fail(struct sim *sim, enum sim_invariant broken, const char *fmt, ...)
{
    const struct sim_bug *bug = sim->options.bug;
    if (sim->failed || (bug && (bug->unseen & UINT64_C(1) << broken) != 0)) {
        return; /* the first one is the cause */
    }
    sim->broken = broken;
    sim->failed = true;
    int prefix = snprintf(sim->text, sizeof sim->text,
                          "at %" PRIu64 ".%03" PRIu64 " s: ", sim->now_us / 1000000,
                          sim->now_us / 1000 % 1000);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(sim->text + prefix, sizeof sim->text - (size_t)prefix, fmt, args);
    va_end(args);
    sim_trace(sim, "VIOLATION %s", sim->text);
}

const char *sim_invariant_text(enum sim_invariant invariant)
{
    static const char *const texts[SIM_INVARIANT_COUNT] = {[SIM_NOTHING_BROKEN] = "nothing",
#define SIM_INVARIANT_TEXT(name, text) [SIM_##name] = (text),
                                                           SIM_INVARIANTS(SIM_INVARIANT_TEXT)
#undef SIM_INVARIANT_TEXT
    };
    return texts[invariant];
}

void sim_trace(struct sim *sim, const char *fmt, ...)
{
    if (!sim->options.trace) {
        return;
    }
    printf("%8" PRIu64 ".%03" PRIu64 " ", sim->now_us / 1000, sim->now_us % 1000);
    va_list args;
    va_start(args, fmt);
    (void)vprintf(fmt, args);
    va_end(args);
    (void)putchar('\n');
}

uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high)
{
    return tt_rng_range(&sim->rng, low, high);
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

static void push(struct sim *sim, struct sim_event event)
{
    if (sim->heap_count == sim->heap_cap) {
        sim->heap_cap = sim->heap_cap == 0 ? 1024 : 2 * sim->heap_cap;
        sim->heap = tt_xrealloc(sim->heap, sim->heap_cap * sizeof *sim->heap);
    }
    size_t i = sim->heap_count++;
    while (i > 0 && before(&event, &sim->heap[(i - 1) / 2])) {
        sim->heap[i] = sim->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim->heap[i] = event;
}

static struct sim_event pop(struct sim *sim)
{
    struct sim_event first = sim->heap[0];
    struct sim_event last = sim->heap[--sim->heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= sim->heap_count) {
            break;
        }
        if (child + 1 < sim->heap_count && before(&sim->heap[child + 1], &sim->heap[child])) {
            child++;
        }
        if (!before(&sim->heap[child], &last)) {
            break;
        }
        sim->heap[i] = sim->heap[child];
        i = child;
    }
    if (sim->heap_count > 0) {
        sim->heap[i] = last;
    }
    return first;
}

void sim_schedule(struct sim *sim, uint64_t delay_us, struct sim_event event)
{
    event.at_us = sim->now_us + delay_us;
    event.order = ++sim->order;
    if (event.server >= 0) {
        event.incarnation = sim->servers[event.server].incarnation;
    }
    push(sim, event);
}

static void run_event(struct sim *sim, struct sim_event *event)
{
    struct sim_server *server = event->server >= 0 ? &sim->servers[event->server] : NULL;
    if (server && (!server->running || server->incarnation != event->incarnation)) {
        tt_bytes_unref(event->bytes);
        return;
    }
    if (server && server->paused_until_us > sim->now_us) {
        struct sim_event later = *event;
        later.at_us = server->paused_until_us;
        later.order = ++sim->order;
        push(sim, later);
        return;
    }
    event->run(sim, event);
    tt_bytes_unref(event->bytes);
}

/* The server whose timer fires first; its time goes to *ret_at. */
static struct sim_server *next_timer(struct sim *sim, uint64_t *ret_at)
{
    struct sim_server *next = NULL;
    *ret_at = UINT64_MAX;
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        struct sim_server *server = &sim->servers[i];
        if (!server->running || server->timer_us == UINT64_MAX) {
            continue;
        }
        uint64_t at = tt_u64_max(server->timer_us, server->paused_until_us);
        if (at < *ret_at) {
            *ret_at = at;
            next = server;
        }
    }
    return next;
}

static void note(struct sim *sim, uint64_t what)
{
    sim->event_count++;
    sim->trace_hash = (sim->trace_hash ^ what ^ sim->now_us) * UINT64_C(0x9E3779B97F4A7C15);
    sim->trace_hash ^= sim->trace_hash >> 29;
}

static void turn_dirty(struct sim *sim)
{
    for (size_t i = 0; i < SIM_SERVERS_MAX && !sim->failed; i++) {
        if (sim->servers[i].running && sim->servers[i].dirty) {
            sim_check_turn(&sim->servers[i]); /* before the turn may append a new configuration */
            sim_server_turn(&sim->servers[i]);
        }
    }
}

void sim_run(struct sim *sim, uint64_t until_us)
{
    while (!sim->failed) {
        uint64_t timer_at;
        struct sim_server *timer = next_timer(sim, &timer_at);
        uint64_t event_at = sim->heap_count > 0 ? sim->heap[0].at_us : UINT64_MAX;
        uint64_t at = tt_u64_min(timer_at, event_at);
        if (at > until_us) {
            break;
        }
        sim->now_us = tt_u64_max(sim->now_us, at);
        if (event_at <= timer_at) {
            struct sim_event event = pop(sim);
            note(sim, event.order);
            run_event(sim, &event);
        } else {
            note(sim, (uint64_t)timer->slot + 1000);
            timer->timer_us = UINT64_MAX;
            timer->dirty = true;
            tt_node_tick(timer->node);
        }
        turn_dirty(sim);
    }
    if (!sim->failed) {
        sim->now_us = tt_u64_max(sim->now_us, until_us);
    }
}

struct sim_server *sim_by_id(struct sim *sim, uint64_t id)
{
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        if (sim->servers[i].used && sim->servers[i].id == id) {
            return &sim->servers[i];
        }
    }
    return NULL;
}

struct sim_server *sim_pick(struct sim *sim)
{
    size_t count = 0;
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        count += sim->servers[i].running;
    }
    if (count == 0) {
        return NULL;
    }
    size_t skip = (size_t)tt_rng_below(&sim->rng, count);
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        if (sim->servers[i].running && skip-- == 0) {
            return &sim->servers[i];
        }
    }
    return NULL;
}

struct sim_server *sim_leader(struct sim *sim)
{
    struct sim_server *leader = NULL;
    uint64_t term = 0;
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        struct sim_server *server = &sim->servers[i];
        if (server->running && server->node->lead_term > term) {
            term = server->node->lead_term;
            leader = server;
        }
    }
    return leader;
}
