/* One seed from the first event to the verdict.
 *
 * Ownership: nothing is kept. Thread: one. */
#ifndef TESTS_SIM_SIM_RUN_H
#define TESTS_SIM_SIM_RUN_H

#include "tests/sim/sim.h"

struct sim_report {
    bool failed;
    enum sim_invariant broken;
    char text[SIM_TEXT_SIZE];
    uint64_t simulated_ms;
    uint64_t event_count;
    uint64_t acked_count;
    uint64_t unknown_count;
    uint64_t read_count;
    uint64_t trace_hash;
    uint64_t installed_count; /* snapshots */
    uint64_t refused_count;   /* members that found their disk damaged */
    uint64_t intact_count;    /* damaged disks that held everything nevertheless */
    uint64_t faults[SIM_FAULT_COUNT];
};
/* A cluster that has just begun; no nemesis yet. */
struct sim *sim_begin(const struct sim_options *options);
void sim_end(struct sim *sim, struct sim_report *ret); /* frees it */
void sim_seed(const struct sim_options *options, struct sim_report *ret);

#endif
