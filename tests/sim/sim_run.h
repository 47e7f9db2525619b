/* One seed from the first event to the verdict.
 *
 * Ownership: nothing is kept. Thread: one. */
#ifndef TESTS_SIM_SIM_RUN_H
#define TESTS_SIM_SIM_RUN_H

#include "tests/sim/sim.h"

struct sim_report {
    bool failed;
    char text[SIM_TEXT_SIZE];
    uint64_t simulated_ms;
    uint64_t event_count;
    uint64_t acked_count;
    uint64_t read_count;
    uint64_t trace_hash;
    uint64_t installed_count; /* snapshots */
    uint64_t faults[SIM_FAULT_COUNT];
};
void sim_seed(const struct sim_options *options, struct sim_report *ret);

#endif
