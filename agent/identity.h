/* The agent's certificate: got once with a join token, renewed before it ends.
 *
 * The key is made here and never leaves the machine; servers get a request and answer with a
 * certificate. Files are replaced atomically, the key first; whoever reloads in between keeps what
 * it has. Ownership: options and paths are kept. Thread: join at start-up (blocks); the renewer on
 * the loop. Errors: join says what to do; a failed renewal is logged and tried again. */
#ifndef AGENT_IDENTITY_H
#define AGENT_IDENTITY_H

#include "agent/agent_options.h"
#include "api/client/api_client.h"

/* With --join and no certificate yet: asks the servers for one. Else does nothing. */
int identity_join(const struct agent_options *options, struct tt_err *err) TT_MUST_USE;

struct identity {
    const struct agent_options *options; /* kept; paths of the files */
    struct tt_api_client *client;        /* kept; carries the request */
    struct tt_buf key;                   /* of the running request; wiped */
    uint64_t renew_at_ms;                /* Unix time; 0: not known */
    uint64_t next_try_ms;                /* monotonic */
    uint64_t retry_ms;                   /* between two tries */
    bool is_renewing;                    /* a request is under way: at most one */
};
void identity_init(struct identity *identity, const struct agent_options *options,
                   struct tt_api_client *client);
/* Call about every second; renewed certificates are found by whoever reloads files. */
void identity_tick(struct identity *identity, uint64_t wall_ms, uint64_t mono_ms);
void identity_fini(struct identity *identity);

#endif
