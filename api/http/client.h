/* An HTTP/2 client for one endpoint: a small pool of connections, many streams on each.
 *
 *   call.method = "GET"; call.path = …; call.done = …; tt_http_call_start(client, &call, &err)
 * Each call ends with exactly one done, never inside start or cancel. The answer is collected into
 * call.body, or handed over piece by piece when `data` is set (watches, logs). A connection is
 * opened when a call needs one; when it cannot be, the calls that wait for it fail with
 * TT_EUNAVAILABLE and the next start tries again: when and where to retry is the user's policy.
 * Ownership: a call is the caller's, with all it points to, until done. Thread: that of the loop.
 * Errors: TT_EUNAVAILABLE nothing reached the peer (safe to repeat) · TT_ECLOSED the connection or
 * stream ended after the request left (outcome unknown) · TT_ETIMEOUT · TT_ECANCELED ·
 * TT_ETOOLARGE the answer · TT_ETLS · TT_EBUSY too many calls wait. An HTTP error status is an
 * answer, not an error. */
#ifndef API_HTTP_CLIENT_H
#define API_HTTP_CLIENT_H

#include "api/http/server.h"
#include "base/buf.h"
#include "base/loop.h"

struct tt_http_client;
struct http_client_conn;
struct tt_http_client_config {
    struct tt_loop *loop;          /* keeps */
    struct tt_tls_context *tls;    /* refs; NULL: unix_path, in the clear */
    const char *host;              /* all strings copied */
    uint16_t port;                 /* TLS: of TCP */
    const char *server_name;       /* TLS: expected SPIFFE URI or name; NULL = any of the CA */
    const char *unix_path;         /* path of a socket; NULL: TLS */
    const char *authority;         /* NULL: "host:port", for unix sockets "localhost" */
    uint32_t connections_max;      /* 0 = 1 */
    uint32_t streams_max;          /* per connection; 0 = 100; the peer's setting lowers it */
    uint32_t calls_waiting_max;    /* 0 = 1,024 */
    uint64_t connect_timeout_ms;   /* 0 = 5 s */
    uint64_t keepalive_ms;         /* ping when nothing came for so long; 0 = 10 s */
    uint64_t keepalive_timeout_ms; /* and give up after so long; 0 = 5 s */
    uint64_t idle_timeout_ms;      /* close a connection without calls; 0 = never */
};

struct tt_http_call {
    /* Request: set before start, unchanged until done. */
    const char *method;                   /* static: "GET" … */
    struct tt_str path;                   /* with the query, encoded */
    const struct tt_http_header *headers; /* without pseudo headers and content-length */
    size_t header_count;                  /* at most 16; more: TT_EINVAL */
    struct tt_str body;                   /* borrowed until done; empty: none */
    uint64_t timeout_ms;                  /* from start to done; 0 = none */
    size_t response_size_max;             /* of a collected body; 0 = 64 MiB */
    /* Each header of the answer; `trailer` for those behind the body. May be NULL. */
    void (*header)(struct tt_http_call *call, struct tt_str name, struct tt_str value,
                   bool trailer);
    void (*started)(struct tt_http_call *call); /* status is known; may be NULL */
    /* A piece of the body, borrowed; NULL: collected. The call may be cancelled inside. */
    void (*data)(struct tt_http_call *call, struct tt_str bytes);
    void (*done)(struct tt_http_call *call, const struct tt_err *err); /* err NULL: answered */
    void *ctx;                                                         /* the user's */
    /* Answer. */
    int status;            /* 0 until known */
    struct tt_buf answer;  /* collected body; freed by tt_http_call_fini */
    uint64_t stream_error; /* HTTP/2 error code when the peer reset the stream */
    /* The client's. */
    struct tt_list link;           /* of the connection's calls, or of those waiting or ended */
    struct tt_http_client *client; /* NULL when not running */
    struct http_client_conn *conn; /* NULL while waiting and when ended */
    struct tt_err error;           /* why it ended; code 0: answered */
    uint64_t deadline_ms;          /* monotonic; UINT64_MAX: none */
    size_t body_sent;              /* bytes of body that nghttp2 took */
    int32_t stream_id;             /* on conn; 0: not submitted yet */
    bool is_sent;                  /* the request's headers left */
    bool headers_done;             /* those of the final answer */
    bool end_seen;                 /* the answer is complete */
    bool is_ended;                 /* only done is missing */
};

int tt_http_client_new(const struct tt_http_client_config *config,
                       struct tt_http_client **ret_client, struct tt_err *err) TT_MUST_USE;
/* Ends every call with TT_ECANCELED and closes; `closed` runs on the loop when all is gone, and the
 * client is freed after it returned. */
void tt_http_client_close(struct tt_http_client *client, void (*closed)(void *ctx), void *ctx);
/* Failure: done is not called. */
int tt_http_call_start(struct tt_http_client *client, struct tt_http_call *call,
                       struct tt_err *err) TT_MUST_USE;
/* A request to end: done comes later with TT_ECANCELED (or what happened first). Idempotent. */
void tt_http_call_cancel(struct tt_http_call *call);
void tt_http_call_fini(struct tt_http_call *call);                 /* frees the collected body */
size_t tt_http_client_active(const struct tt_http_client *client); /* calls not yet done */

#endif
