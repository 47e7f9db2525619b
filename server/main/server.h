/* One tutti server: everything wired together, started in order, stopped in reverse. Used by
 * `tuttid server` and `tuttid dev`.
 *
 *   keys → TLS contexts → pools → replica (log, store) → API workers → reconcilers → raft starts
 *
 * Ownership: owns all of it. Thread: new/run/free on the main thread, which runs the loop for
 * signals, certificate reload and start-up writes; stop from any thread.
 * Errors: start-up errors name the option or file; later fatal ones end the process. */
#ifndef SERVER_MAIN_SERVER_H
#define SERVER_MAIN_SERVER_H

#include "base/version.h"
#include "server/main/server_options.h"

struct server;
int server_new(const struct server_options *options, struct server **ret_server,
               struct tt_err *err) TT_MUST_USE;
/* Runs until SIGTERM, SIGINT or server_stop. */
int server_run(struct server *server, struct tt_err *err) TT_MUST_USE;
void server_stop(struct server *server);
void server_free(struct server *server); /* NULL is fine */

#endif
