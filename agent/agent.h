/* One node agent: driver, API client, informer of its pods, sync, node object, log server, wired
 * together and stopped in reverse.
 *
 * Ownership: owns all of it. Thread: new, run and free on the main thread, which runs the loop.
 * Errors: start-up errors name the option or file; later ones are logged and tried again. */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include "agent/agent_options.h"

struct agent;
int agent_new(const struct agent_options *options, struct agent **ret_agent,
              struct tt_err *err) TT_MUST_USE;
/* Runs until SIGTERM or SIGINT. Containers are left running. */
int agent_run(struct agent *agent, struct tt_err *err) TT_MUST_USE;
void agent_free(struct agent *agent); /* NULL is fine */

#endif
