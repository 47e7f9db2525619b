/* Serves container logs to the API servers: GET /containerLogs/NAMESPACE/POD/CONTAINER?….
 *
 * HTTPS with client certificates; only the role server may ask. Answers 200 and the text, 400 for
 * a container that has no log yet, 404 for one that is not here, 403 for everybody else.
 * Ownership: keeps loop, tls and sync. Thread: that of the loop. Errors: those of the listener. */
#ifndef AGENT_LOG_SERVER_H
#define AGENT_LOG_SERVER_H

#include "agent/sync.h"
#include "api/http/server.h"

struct log_server;
struct log_server_config {
    struct tt_loop *loop;         /* keeps */
    struct tt_tls_context *tls;   /* keeps; a server context */
    struct sync *sync;            /* keeps */
    const struct tt_clock *clock; /* keeps; wall time for sinceSeconds */
    const char *root;             /* kept; below it: logs/ */
    const char *host;             /* keeps; address to listen on */
    uint16_t port;                /* TCP, to listen on */
};
int log_server_new(const struct log_server_config *config, struct log_server **ret_server,
                   struct tt_err *err) TT_MUST_USE;
void log_server_close(struct log_server *server, void (*closed)(void *ctx),
                      void *ctx); /* frees itself */

#endif
