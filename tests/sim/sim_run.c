/* A seed: draw the cluster, let the nemesis loose, heal, judge. */
#include "tests/sim/sim_run.h"

#include <stdio.h>

#include "tests/sim/sim_client.h"
#include "tests/sim/sim_nemesis.h"

enum { CHAOS_MS_MIN = 30000, CHAOS_MS_SHORT = 400000, CHAOS_MS_MAX = 5000000 };
enum { CHAOS_MS_BUG = 200000 };

static void create_servers(struct sim *sim)
{
    static const size_t sizes[] = {1, 3, 3, 3, 5};
    sim->voter_count = sizes[tt_rng_below(&sim->rng, sizeof sizes / sizeof sizes[0])];
    if (sim->options.voter_count != 0) {
        sim->voter_count = sim->options.voter_count;
    }
    struct tt_membership first = {.count = sim->voter_count};
    for (size_t i = 0; i < sim->voter_count; i++) {
        struct tt_member *member = &first.members[i];
        member->id = i + 1;
        member->role = TT_ROLE_VOTER;
        (void)snprintf(member->name, sizeof member->name, "s%zu", i + 1);
        (void)snprintf(member->peer_address, sizeof member->peer_address, "127.0.0.1:%zu",
                       7000 + i + 1);
    }
    for (size_t i = 0; i < sim->voter_count; i++) {
        sim_server_create(sim, (int)i, i + 1, &first);
    }
    sim->next_id = sim->voter_count + 1;
}

static void collect(const struct sim *sim, struct sim_report *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->failed = sim->failed;
    ret->broken = sim->broken;
    memcpy(ret->text, sim->text, sizeof ret->text);
    ret->simulated_ms = sim->now_us / SIM_MS;
    ret->event_count = sim->event_count;
    ret->acked_count = sim->acked_count;
    ret->unknown_count = sim->unknown_count;
    ret->read_count = sim->read_count;
    ret->trace_hash = sim->trace_hash;
    ret->installed_count = sim->installed_count;
    ret->refused_count = sim->refused_count;
    ret->intact_count = sim->intact_count;
    memcpy(ret->faults, sim->faults, sizeof ret->faults);
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        if (sim->servers[i].node) {
            ret->installed_count += sim->servers[i].node->stats.snapshot_installed_count;
        }
    }
}

static void destroy(struct sim *sim)
{
    for (size_t i = 0; i < SIM_SERVERS_MAX; i++) {
        sim_server_fini(&sim->servers[i]); /* may still hold ops of the clients */
    }
    sim_admin_fini(sim);
    sim_clients_fini(sim);
    for (size_t i = 0; i < sim->heap_count; i++) {
        tt_bytes_unref(sim->heap[i].bytes);
    }
    tt_free(sim->heap);
    sim_check_fini(sim);
    tt_free(sim);
}

/* Many begin, some live long. With a planted bug nearly all are short: most show early, and many
 * beginnings find more than a few long lives. */
static uint64_t draw_chaos_ms(struct sim *sim)
{
    if (sim->options.bug && !sim->options.bug->lives_long) {
        return CHAOS_MS_BUG;
    }
    return tt_rng_chance(&sim->rng, 0.5) ? sim_between(sim, CHAOS_MS_MIN, CHAOS_MS_SHORT)
                                         : sim_between(sim, CHAOS_MS_SHORT, CHAOS_MS_MAX);
}

struct sim *sim_begin(const struct sim_options *options)
{
    struct sim *sim = TT_NEW(struct sim);
    sim->options = *options;
    tt_rng_seed(&sim->rng, options->seed);
    sim->now_us = 1000 * SIM_MS;
    sim->delay_us = 1 * SIM_MS;
    sim->delay_chance = 0.001;
    sim->election_timeout_ms = tt_rng_chance(&sim->rng, 0.5) ? 500 : 1000;
    create_servers(sim);
    sim_clients_init(sim);
    sim_admin_init(sim);
    return sim;
}

void sim_end(struct sim *sim, struct sim_report *ret)
{
    collect(sim, ret);
    destroy(sim);
}

void sim_seed(const struct sim_options *options, struct sim_report *ret)
{
    struct sim *sim = sim_begin(options);
    sim->rots = sim->voter_count >= 3 && tt_rng_chance(&sim->rng, 0.25);
    sim_nemesis_begin(sim);
    uint64_t chaos_ms = options->chaos_ms != 0 ? options->chaos_ms : draw_chaos_ms(sim);
    sim_run(sim, sim->now_us + chaos_ms * SIM_MS);
    sim_nemesis_heal(sim);
    sim_end(sim, ret);
}
