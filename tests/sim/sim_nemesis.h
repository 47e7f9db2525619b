/* Faults, drawn from the seed, and the healing at the end after which progress is required.
 *
 * Ownership: part of struct sim. Thread: one. */
#ifndef TESTS_SIM_SIM_NEMESIS_H
#define TESTS_SIM_SIM_NEMESIS_H

#include "tests/sim/sim.h"

void sim_nemesis_begin(struct sim *sim);
/* Ends all faults, lets the cluster settle, and requires that it works again. */
void sim_nemesis_heal(struct sim *sim);
const char *sim_fault_name(size_t fault);

#endif
