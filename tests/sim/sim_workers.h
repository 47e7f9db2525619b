/* Many seeds in worker processes: one that dies (an assertion) takes its seed with it, no more.
 *
 * Ownership: the caller's structs. Thread: one. Errors: what failed is in the totals. */
#ifndef TESTS_SIM_SIM_WORKERS_H
#define TESTS_SIM_SIM_WORKERS_H

#include "tests/sim/sim_run.h"

enum { SIM_JOBS_MAX = 16 };

struct sim_total {
    uint64_t seeds; /* done */
    uint64_t failed;
    uint64_t first_failed;   /* the lowest seed among them */
    struct sim_report first; /* its report */
    struct sim_report sum;
};

struct sim_span {
    uint64_t next;      /* seed to begin */
    uint64_t last;      /* seed */
    bool stop_at_first; /* failure: no more seeds are begun, those before it are finished */
    bool quiet;         /* failures are not printed */
};

void sim_run_span(const struct sim_options *options, struct sim_span span, size_t jobs,
                  struct sim_total *total);
void sim_add_report(struct sim_total *total, uint64_t seed, const struct sim_report *report);
void sim_print_report(uint64_t seed, const struct sim_report *report);
void sim_print_total(const struct sim_total *total, uint64_t elapsed_ms);
uint64_t sim_fault_count(const struct sim_total *total); /* those of the nemesis */
double sim_simulated_days(const struct sim_total *total);

#endif
