/* Clients of the simulated cluster: writers and readers whose histories must be linearizable, and
 * an administrator who changes the membership.
 *
 * The order of revisions is the order of the history: a write must get a higher revision than
 * anything confirmed before it began, a read must see at least all of that, and what was confirmed
 * must be in the one history. Ownership: part of struct sim. Thread: one. */
#ifndef TESTS_SIM_SIM_CLIENT_H
#define TESTS_SIM_SIM_CLIENT_H

#include "tests/sim/sim.h"

void sim_clients_init(struct sim *sim);
void sim_clients_fini(struct sim *sim);
void sim_clients_calm(struct sim *sim);                 /* for the end: only a little load */
void sim_client_server_gone(struct sim_server *server); /* its ops will not be answered */
void sim_client_burst(struct sim *sim, struct sim_server *server);
void sim_client_compact(struct sim *sim, struct sim_server *server);
bool sim_client_write_through(struct sim *sim, struct sim_server *server); /* begins; see below */
bool sim_client_write_through_ok(const struct sim *sim, const struct sim_server *server);

void sim_admin_init(struct sim *sim);
void sim_admin_fini(struct sim *sim);
void sim_admin_change(struct sim *sim); /* add, promote or remove */
void sim_admin_transfer(struct sim *sim);
void sim_admin_snapshot(struct sim *sim);
void sim_admin_server_gone(struct sim_server *server);

#endif
