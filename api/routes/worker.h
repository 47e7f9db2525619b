/* The inside of an API worker: its queues of waiting requests, pools of operations, counters.
 *
 * Ownership: the worker owns pools and hub; requests belong to their exchanges. Thread: the
 * worker's loop, but for the gathering of metrics (messages between workers). Errors: none here. */
#ifndef API_ROUTES_WORKER_H
#define API_ROUTES_WORKER_H

#include "api/routes/metrics.h"
#include "api/routes/request.h"
#include "api/watch/hub.h"
#include "base/loop.h"
#include "base/poke.h"
#include "server/tls/pki.h"

enum {
    API_READ_WAIT_MS = 3000,   /* for a revision above the local one */
    API_WRITE_WAIT_MS = 10000, /* for a commit, when the client names no timeout */
    API_TICK_MS = 250,
    API_RANDOM_SIZE = 1024, /* bytes per system call */
    API_SCRATCH_CHUNK_SIZE = 256 << 10,
    API_SCRATCH_SIZE_MAX = 64 << 20, /* one stored object parsed, at its worst */
};

struct tt_api {
    struct tt_api_config config;                       /* a copy; unchanged */
    struct tt_api_worker *workers[TT_API_WORKERS_MAX]; /* set before the loops run */
    uint32_t worker_count;                             /* of workers */
    struct tt_store_listener listener;                 /* wakes every worker */
    uint64_t started_ms;                               /* wall clock, for metrics */
};

/* One read index for all requests of a loop turn. */
struct api_batch {
    struct tt_read_op op;    /* ctx is this struct */
    struct tt_list link;     /* in free_batches */
    struct tt_list requests; /* struct api_request by link, in state BARRIER; empty in the pool */
    struct tt_api_worker *worker; /* whose pool it is of */
};
/* A proposal that is out; rq is NULL once its client went away. */
struct api_proposal {
    struct tt_propose_op op;      /* ctx is this struct */
    struct tt_list link;          /* in corked, then in none, then in free_proposals */
    struct api_request *rq;       /* in state WRITING; NULL in the pool, too */
    struct tt_api_worker *worker; /* whose pool it is of */
    /* What goes on when it is done and rq still there. */
    int (*result)(struct api_request *rq, const struct api_outcome *outcome, struct tt_err *err);
};
/* What of the revocation rows has been taken over. */
struct api_revocations {
    uint64_t revision;   /* of the newest version looked at */
    uint64_t count;      /* rows seen at the last look */
    uint64_t checked_ms; /* monotonic: when */
};
/* Watches whose right may end before they do (guard.c). */
struct api_guards {
    struct tt_list requests; /* struct api_request, by guard */
    uint64_t revision;       /* changes up to it have been looked through */
};
/* A cached document: discovery and OpenAPI, by registry generation. */
struct api_document {
    struct tt_bytes *bytes; /* NULL: not built */
    uint64_t generation;    /* of the kinds it was built from */
};
/* What a server that was removed says; with the index, PRIu64. */
#define API_REMOVED                                                                                \
    "this server was removed from the cluster, whose configuration at index %" PRIu64              \
    " is without it: ask another one; stop it, or add it anew (docs/ops/joining.md)"
enum { API_OPENAPI_CACHE_MAX = 4 };
struct api_openapi_entry {
    char path[128];               /* "apis/apps/v1" */
    struct api_document document; /* of that path */
    uint64_t used;                /* rising: the least recently used goes */
};

/* The worker's reference to a snapshot of the registry, shared by its requests: one lock for each
 * snapshot instead of two for each request. */
struct api_kinds {
    struct tt_kinds *kinds; /* a reference */
    uint32_t users;         /* requests, and the worker while it is its newest; freed at 0 */
};

struct tt_api_worker {
    struct tt_api *api;            /* kept */
    struct tt_loop *loop;          /* kept; all but published and interested is of its thread */
    struct tt_http_server *server; /* owned */
    struct tt_watch_hub *hub;      /* owned; all watches of this worker */
    uint32_t index;                /* in api->workers */
    struct api_kinds *kinds;       /* taken last; NULL before the first request */
    uv_prepare_t turn;             /* before the loop blocks: one read index for all barriers */
    struct tt_poke published;      /* fired by the store's writer */
    atomic_bool interested;        /* set here, read by the writer: see note_interest */
    uv_timer_t tick;               /* bookmarks, time-outs */
    struct tt_list barrier;        /* requests that want a linearizable version */
    struct tt_list waiting;        /* requests that want a revision */
    struct tt_list free_batches;   /* pool of struct api_batch, owned */
    struct tt_list free_proposals; /* pool of struct api_proposal, owned */
    struct tt_list corked;         /* struct api_proposal to submit at the turn's end */
    uv_idle_t uncork;              /* runs while there are some: the loop does not block */
    uint32_t ops_out;           /* batches, proposals, changes, gatherings: submitted, not done */
    struct tt_arena *scratch;   /* for one object at a time; reset by its user */
    struct tt_buf key;          /* scratch for keys */
    struct tt_buf text;         /* scratch for encoded objects and small bodies */
    struct api_metrics metrics; /* of its thread, too: gathered by a message (health.c) */
    struct api_document discovery[4];                        /* /api, /apis: v2 and v2beta1 */
    struct api_openapi_entry openapi[API_OPENAPI_CACHE_MAX]; /* built when asked for */
    uint64_t openapi_uses;                                   /* so far: what `used` is taken from */
    struct api_revocations revocations;                      /* seen last */
    struct api_guards guards;                                /* watches to look at again */
    bool caught_up; /* a read index has been reached since the start: who is revoked is known */
    struct tt_pki_ca *ca;            /* NULL: this server does not sign */
    struct tt_list agents;           /* struct api_agent: clients of nodes, for logs */
    uint32_t agent_count;            /* of agents; bounded (log.c) */
    uv_idle_t work;                  /* runs while watches list or catch up */
    bool working;                    /* `work` is started */
    uint8_t random[API_RANDOM_SIZE]; /* fresh system randomness, each byte used once */
    size_t random_left;              /* unused bytes at its end */
    bool stopping, http_closed;      /* stop was called; the HTTP server has drained */
    unsigned handles_open;           /* turn, tick, work, and holds */
    void (*closed)(void *ctx);       /* of stop; NULL before it and once it ran */
    void *closed_ctx;                /* of closed */
};

/* worker.c: the queues. */
/* System randomness for uids and names, fetched in bulk; size at most API_RANDOM_SIZE. */
void api_worker_random(struct tt_api_worker *worker, void *out, size_t size);
void api_worker_publish(struct tt_api_worker *worker);
/* The registry's newest snapshot, until it is put back. */
struct api_kinds *api_kinds_get(struct tt_api_worker *worker);
void api_kinds_put(struct api_kinds *kinds);             /* NULL is fine */
uint64_t api_now_ms(const struct tt_api_worker *worker); /* monotonic */
/* request.c: the HTTP handler. */
void api_on_request(void *ctx, struct tt_http_exchange *ex);
void api_on_cancelled(void *ctx, struct tt_http_exchange *ex);
/* Unlinks and counts; the response has been handed over, or the client is gone. */
void api_request_end(struct api_request *rq, int http_status);
/* Runs rq->resume with the version, or answers code. */
void api_resume(struct api_request *rq, struct tt_version *version, int code);
/* revoke.c: takes over revocation rows when their number changed or when they were not looked at
 * for a while, and cuts their connections. */
void api_revocations_refresh(struct tt_api_worker *worker, struct tt_version *version);
/* Is the certificate revoked in this version, by serial or by identity? */
bool api_is_revoked(struct tt_version *version, const char *cluster_id,
                    const struct tt_peer_identity *peer);
/* Revision of the identity's revocation; 0: there is none. */
uint64_t api_revoked_at(struct tt_version *version, enum tt_role role, const char *name);
/* guard.c: does the right to this watch rest on stored objects; then it is guarded until its
 * request ends (unlink rq->guard). The tick ends those that have lost it. */
bool api_guard_needed(const struct api_request *rq);
void api_guard_add(struct api_request *rq);
void api_guards_tick(struct tt_api_worker *worker, struct tt_version *version);
/* watch.c: ends the stream of a running watch. */
void api_watch_end(struct api_request *rq);
/* log.c: closes the clients of nodes; *pending falls as they end. */
void api_agents_close(struct tt_api_worker *worker);
void api_agents_tick(struct tt_api_worker *worker);
/* worker.c: one more or one less thing to wait for when stopping. */
void api_worker_hold(struct tt_api_worker *worker);
void api_worker_release(struct tt_api_worker *worker);

#endif
