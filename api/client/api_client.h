/* The tutti API client: typed requests to any server of a cluster, with failover.
 *
 * A request goes to the endpoint in use; when nothing reached it (refused, TLS failure, connection
 * lost before the request left) the next endpoint is tried at once, then all again with back-off
 * until the call's deadline; but when TLS failed with one of them (a refused certificate will not
 * become a better one), one round over all of them ends the call with TT_ETLS. A request whose
 * outcome is unknown is repeated only when that is safe: reads always, writes only with a request
 * key. 429 and 503 answers are repeated after Retry-After. Ownership: a call is the caller's until
 * done. Thread: that of the loop. Errors: done's err carries the code that the Status reason names
 * (NotFound → TT_ENOTFOUND …) and the server's message; transport errors as in api/http/client.h.
 */
#ifndef API_CLIENT_API_CLIENT_H
#define API_CLIENT_API_CLIENT_H

#include "api/client/kubeconfig.h"
#include "api/http/client.h"

struct tt_api_client;
struct tt_api_client_config {
    struct tt_loop *loop;                   /* keeps */
    const struct tt_kubeconfig *kubeconfig; /* copied; needs CA, certificate and key */
    struct tt_tls_context *tls;             /* refs; NULL: made from the kubeconfig's material */
    const char *user_agent;                 /* copied; NULL = "tutti" */
    uint64_t timeout_ms;                    /* of calls that name none; 0 = 30 s */
    uint64_t backoff_ms_max;                /* 0 = 2 s; starts at 50 ms and doubles */
    uint32_t connections_max;               /* per endpoint; 0 = 1 */
};

struct tt_api_call {
    /* Set before start, unchanged until done. */
    const char *method;       /* "GET", "POST", "PUT", "PATCH", "DELETE" */
    struct tt_str path;       /* with query; see tt_api_path */
    struct tt_str body;       /* JSON; empty: none */
    const char *content_type; /* NULL = application/json */
    const char *accept;       /* NULL = application/json */
    const char *request_key;  /* Tutti-Request-Id: makes a write repeatable; may be NULL */
    uint64_t timeout_ms;      /* over all tries; 0 = the client's; UINT64_MAX = none */
    /* Streams (watch, logs): each piece of a 2xx body; NULL: collected in answer. */
    void (*data)(struct tt_api_call *call, struct tt_str bytes);
    /* Each Warning of the server, as text for people; borrowed. NULL: they are ignored. */
    void (*warning)(struct tt_api_call *call, struct tt_str text);
    /* err NULL: a 2xx answer. The call may be started again inside. */
    void (*done)(struct tt_api_call *call, const struct tt_err *err);
    void *ctx; /* the user's */
    /* Answer. */
    int status;           /* HTTP status; 0 when there was none */
    struct tt_str answer; /* body (also of errors: a Status), borrowed until done returned */
    /* The client's. */
    struct tt_http_call http;
    struct tt_api_client *client;     /* NULL when not running */
    struct tt_list link;              /* of the client's running or sleeping calls */
    struct tt_http_header headers[4]; /* of http */
    struct tt_buf error_body;         /* of a streamed call's error */
    struct tt_err err;                /* why the last try failed */
    struct tt_err refusal;            /* the first failure of TLS; code 0: none */
    uint64_t deadline_ms;             /* monotonic; UINT64_MAX: none */
    uint64_t wake_ms;                 /* sleeping: when to try again */
    uint64_t backoff_ms;              /* of the next round */
    uint64_t retry_after_ms;          /* what the server asked for; 0: nothing */
    uint32_t tries_in_round;          /* endpoints tried without a pause */
    uint32_t endpoint;                /* index used by this try */
    bool is_sleeping;                 /* between two tries */
    bool is_cancelled;                /* no more tries */
    bool has_data;                    /* the user saw data: no more tries */
};

int tt_api_client_new(const struct tt_api_client_config *config, struct tt_api_client **ret_client,
                      struct tt_err *err) TT_MUST_USE;
/* Ends every call with TT_ECANCELED; freed after `closed` ran on the loop. */
void tt_api_client_close(struct tt_api_client *client, void (*closed)(void *ctx), void *ctx);
int tt_api_call_start(struct tt_api_client *client, struct tt_api_call *call,
                      struct tt_err *err) TT_MUST_USE;
void tt_api_call_cancel(struct tt_api_call *call);

/* A kind's place in the API. */
struct tt_api_resource {
    const char *group;    /* "" for the core group */
    const char *version;  /* "v1" */
    const char *resource; /* "pods" */
};
/* "/api/v1/namespaces/NS/pods/NAME/SUB?QUERY": namespace, name, subresource and query may be
 * empty; query is appended as it is. */
void tt_api_path(struct tt_buf *buf, const struct tt_api_resource *resource,
                 struct tt_str namespace, struct tt_str name, struct tt_str subresource,
                 struct tt_str query);
/* The error a non-2xx answer stands for: from its Status body, else from the HTTP status. Returns
 * the code. */
int tt_api_status_error(int http_status, struct tt_str body, struct tt_err *err);

/* Blocking calls for the ctl and tests: owns a loop on a thread of its own. Call from one thread
 * other than the loop's. */
struct tt_api_blocking;
int tt_api_blocking_new(const struct tt_api_client_config *config /* loop ignored */,
                        struct tt_api_blocking **ret_blocking, struct tt_err *err) TT_MUST_USE;
void tt_api_blocking_free(struct tt_api_blocking *blocking);
struct tt_api_result {
    int status;         /* HTTP; 0 when there was none */
    struct tt_buf body; /* tt_buf_fini; filled for errors too */
};
int tt_api_blocking_call(struct tt_api_blocking *blocking, const char *method, struct tt_str path,
                         struct tt_str body, struct tt_api_result *ret_result,
                         struct tt_err *err) TT_MUST_USE;
/* All fields of the call but done and ctx count; `data` runs on the loop's thread while this blocks
 * (embed the call to reach one's own state: ctx is the wrapper's). */
int tt_api_blocking_run(struct tt_api_blocking *blocking, struct tt_api_call *call,
                        struct tt_api_result *ret_result, struct tt_err *err) TT_MUST_USE;
TT_DEFINE_AUTO(tt_api_blocking)

#endif
