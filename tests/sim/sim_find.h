/* Whether the simulator finds what was planted.
 *
 * Ownership: nothing is kept. Thread: one. Errors: exit code 1, the reason printed. */
#ifndef TESTS_SIM_SIM_FIND_H
#define TESTS_SIM_SIM_FIND_H

#include "tests/sim/sim_run.h"

/* only: the name of a bug; NULL = all of them. Returns an exit code. */
int sim_find_bugs(const struct sim_options *base, const char *only, size_t jobs);

#endif
