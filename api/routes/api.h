/* The served API: Kubernetes' resource model over the store, plus tutti's own routes.
 *
 * One struct tt_api holds what all API threads share (immutable once the workers run); one worker
 * per thread owns an HTTP server, its watches and its requests. Reads come from published store
 * versions (linearizable ones after a read index, shared by all requests of a loop turn); writes
 * are admitted against a version, compared row by row at apply, and admitted again when a compare
 * fails.
 * Ownership: the config's pointers are kept and must outlive the API. Thread: new/free of the API
 * and of workers before the loops start and after they ended; stop on the worker's loop.
 * Errors: of requests: meta/v1 Status to the client. */
#ifndef API_ROUTES_API_H
#define API_ROUTES_API_H

#include "api/admission/seal.h"
#include "api/http/server.h"
#include "api/kinds/registry.h"
#include "base/clock.h"
#include "server/store/proposer.h"
#include "server/store/store.h"
#include "server/tls/context.h"

struct tt_api;
struct tt_api_worker;

enum { TT_API_WORKERS_MAX = 64 };

struct tt_api_config {
    struct tt_store *store;                 /* its published versions are read and listened for */
    struct tt_registry *registry;           /* a snapshot for each request */
    struct tt_proposer *proposer;           /* the way of all writes but changes of members */
    struct tt_cluster *cluster;             /* read indexes, status, changes of members */
    const struct tt_clock *clock;           /* deadlines, ages, time stamps */
    const struct tt_sealer *sealer;         /* NULL: Secrets cannot be written or read */
    struct tt_tls_context *server_tls;      /* of the API's listeners; revocations are set here */
    struct tt_tls_context *peer_tls;        /* of the peer transport; likewise; may be NULL */
    struct tt_tls_context *peer_client_tls; /* that it dials with; likewise; may be NULL */
    struct tt_tls_context *client_tls; /* to reach agents (logs); likewise; NULL: logs answer 503 */
    const char *ca_cert_path; /* to sign for joining and renewal; NULL: those routes answer 503 */
    const char *ca_key_path;  /* its private key; NULL likewise */
    const char *version;      /* of this build, for /version and metrics */
    const char *cluster_name; /* the trust domain of identities */
    /* Appends what other parts of the program count, for /metrics; on any worker; NULL: nothing. */
    void (*write_metrics)(void *ctx, struct tt_buf *buf);
    void *metrics_ctx; /* of write_metrics */
};
struct tt_api *tt_api_new(const struct tt_api_config *config);
void tt_api_free(struct tt_api *api); /* after its workers */
TT_DEFINE_AUTO(tt_api)

struct tt_api_worker_config {
    struct tt_loop *loop;         /* keeps; runs on the thread of the worker */
    const char *host;             /* numeric address to bind; port as of the HTTP server */
    uint16_t port;                /* 0 = any free one */
    struct tt_http_limits limits; /* 0 in a member = the default; backlog of a response: 256 KiB */
    uint32_t watches_per_client_max; /* 0 = 1,000 */
};
/* Before the loop runs. */
int tt_api_worker_new(struct tt_api *api, const struct tt_api_worker_config *config,
                      struct tt_api_worker **ret_worker, struct tt_err *err) TT_MUST_USE;
uint16_t tt_api_worker_port(const struct tt_api_worker *worker);
/* On the loop: ends watches (clients resume elsewhere), drains requests, then `closed` runs. */
void tt_api_worker_stop(struct tt_api_worker *worker, uint64_t drain_ms, void (*closed)(void *ctx),
                        void *ctx);
void tt_api_worker_free(struct tt_api_worker *worker); /* after closed and the loop's end */

/* The objects every cluster has: Namespaces default, kube-system, kube-public, kube-node-lease. One
 * transaction that creates those that are absent in `version`; *ret_command is NULL when all are
 * there. */
int tt_api_bootstrap_command(const struct tt_api *api, struct tt_version *version,
                             struct tt_bytes **ret_command, struct tt_err *err) TT_MUST_USE;

#endif
