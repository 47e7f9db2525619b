/* How servers conduct themselves towards each other: rules whose breach loses nothing, so that no
 * history shows it.
 *
 * Ownership: part of struct sim. Thread: one. Errors: sim_fail. */
#ifndef TESTS_SIM_SIM_CONDUCT_H
#define TESTS_SIM_SIM_CONDUCT_H

#include "tests/sim/sim.h"

/* `from` agreed that `to` begins `term`. */
void sim_conduct_agreed(struct sim_server *from, const struct sim_server *to, uint64_t term);
/* Who led in `term` hands over to `to`. */
void sim_conduct_handed(struct sim *sim, const struct sim_server *to, uint64_t term);
/* Before it is stored: whether a term may begin with it. */
void sim_conduct_hard_state(struct sim_server *server, const struct tt_wal_req *req);
void sim_conduct_snapshot(struct sim_server *server, const struct tt_node_snapshot *meta);
void sim_conduct_turn(struct sim_server *server);
void sim_conduct_fini(struct sim *sim);

#endif
