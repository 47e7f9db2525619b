/* The HTTP server: TLS 1.3 with client certificates, HTTP/2 (ALPN h2) and HTTP/1.1, one instance
 * per API thread.
 *
 * Each request is a struct tt_http_exchange: the handler gets it once the whole body is there,
 * answers now or later, in one piece or as a stream. All frames of a connection produced in one
 * loop turn leave in one write of up to 16 KiB records. Ownership: the server owns exchanges; a
 * handler may use one until it has responded (or ended its stream) or `cancelled` was called.
 * Thread: that of the loop; several servers share a port through SO_REUSEPORT.
 * Errors: protocol violations close the stream or connection; limits answer 413, 429 or 431. */
#ifndef API_HTTP_SERVER_H
#define API_HTTP_SERVER_H

#include "base/buf.h"
#include "base/loop.h"
#include "base/mem.h"

struct tt_tls_context;   /* server/tls/context.h */
struct tt_peer_identity; /* server/tls/identity.h */
struct tt_http_server;
struct tt_http_exchange;

enum tt_http_method {
    TT_HTTP_GET,
    TT_HTTP_HEAD,
    TT_HTTP_POST,
    TT_HTTP_PUT,
    TT_HTTP_PATCH,
    TT_HTTP_DELETE,
    TT_HTTP_OPTIONS,
    TT_HTTP_OTHER
};
struct tt_http_request {
    enum tt_http_method method;  /* OTHER: none of those above */
    struct tt_str path;          /* percent-encoded, without the query */
    struct tt_str query;         /* without '?' */
    struct tt_str authority;     /* :authority, or Host; empty when absent */
    struct tt_str accept;        /* the headers routes care for; empty when absent */
    struct tt_str content_type;  /* as sent, with parameters */
    struct tt_str if_none_match; /* as sent; compared as a whole */
    struct tt_str request_key;   /* Tutti-Request-Id: exactly-once retries */
    struct tt_str upgrade;       /* HTTP/1.1 only */
    struct tt_str body;          /* contiguous; NUL-padded by 64 readable bytes behind the end */
};
struct tt_http_header {
    struct tt_str name;  /* lower case */
    struct tt_str value; /* without line breaks */
};
struct tt_http_handler {
    /* Whole and within the limits: answer now or later. */
    void (*request)(void *ctx, struct tt_http_exchange *ex);
    /* The peer went away or reset the stream before the response ended: drop every reference to ex.
     * Not called after the end. */
    void (*cancelled)(void *ctx, struct tt_http_exchange *ex);
    void *ctx; /* first argument of both, and of on_drain */
};
struct tt_http_limits {
    uint32_t connections_max;            /* of this server; 0 = default for each */
    uint32_t connections_per_client_max; /* per address before authentication, per identity after */
    uint32_t streams_per_connection_max; /* concurrent */
    uint32_t requests_per_client_max;    /* concurrent, per identity */
    size_t body_size_max;                /* default 2 MiB */
    size_t body_bytes_per_client_max;    /* buffered at once, per identity */
    size_t response_backlog_max; /* bytes queued on a stream before tt_http_stream_write refuses */
    /* Of all its answers: then streams wait for their own backlog to drain and new requests get 429
     * until it reads. */
    size_t response_bytes_per_client_max;
    uint32_t resets_per_second_max; /* HTTP/2 rapid reset budget per connection */
    /* without a request, 0 = 300 s · of handshake or a request that stands still, 0 = 10 s */
    uint64_t idle_timeout_ms, header_timeout_ms;
};
struct tt_http_server_config {
    struct tt_loop *loop;           /* keeps */
    struct tt_tls_context *tls;     /* keeps */
    const char *host;               /* numeric address to bind */
    uint16_t port;                  /* 0 = any free one */
    struct tt_http_limits limits;   /* copied */
    struct tt_http_handler handler; /* copied; both functions are set */
};
/* Call on the loop's thread or before it starts. */
int tt_http_server_new(const struct tt_http_server_config *config,
                       struct tt_http_server **ret_server, struct tt_err *err) TT_MUST_USE;
uint16_t tt_http_server_port(const struct tt_http_server *server);
/* Closes listeners and connections (GOAWAY first, streams get drain_ms); `closed` runs on the loop
 * when all is gone, then free. */
void tt_http_server_stop(struct tt_http_server *server, uint64_t drain_ms,
                         void (*closed)(void *ctx), void *ctx);
void tt_http_server_free(struct tt_http_server *server);
/* Counts since the start, and what is open now. */
struct tt_http_server_stats {
    uint64_t requests;         /* complete, handed to the handler */
    uint64_t rejected;         /* answered by the server itself: 400, 408, 413, 429, 431 */
    uint64_t cancelled;        /* the peer went before the answer ended */
    uint64_t connections_cut;  /* for a flood, a stall or a limit */
    uint64_t connections_seen; /* accepted */
    uint32_t connections_open; /* now, not since the start */
};
void tt_http_server_get_stats(const struct tt_http_server *server,
                              struct tt_http_server_stats *ret_stats);
/* Connections whose certificate has ended by now (Unix time) take no new requests (GOAWAY), and are
 * cut some seconds later: an identity holds no longer than its certificate. Call now and then. */
void tt_http_server_expire(struct tt_http_server *server, uint64_t wall_ms);
/* Cuts every connection whose identity the predicate names (revocation). */
void tt_http_server_cut(struct tt_http_server *server,
                        bool (*is_cut)(void *ctx, const struct tt_peer_identity *peer), void *ctx);

const struct tt_http_request *tt_http_request(const struct tt_http_exchange *ex);
const struct tt_peer_identity *
tt_http_peer(const struct tt_http_exchange *ex); /* NULL: no client certificate was presented */
struct tt_arena *tt_http_arena(struct tt_http_exchange *ex); /* lives as long as ex */
void tt_http_set_user(struct tt_http_exchange *ex, void *user);
void *tt_http_user(const struct tt_http_exchange *ex);
struct tt_http_server *tt_http_exchange_server(const struct tt_http_exchange *ex);

/* Answers in one piece. Body = the parts in order; each part is either borrowed until the call
 * returns (owner NULL: copied) or kept alive through owner/release (no copy: stored objects are
 * sent as they are). Ends the exchange. */
struct tt_http_part {
    struct tt_str bytes; /* may be empty */
    const void *owner;   /* NULL: copy now; the exchange's arena: they lie there */
    /* called once when the bytes are no longer needed; NULL: nothing to be done */
    void (*release)(const void *owner);
};
void tt_http_respond(struct tt_http_exchange *ex, int status, const struct tt_http_header *headers,
                     size_t header_count, const struct tt_http_part *parts, size_t part_count);
/* Convenience: content-type and one copied body. */
void tt_http_respond_text(struct tt_http_exchange *ex, int status, const char *content_type,
                          struct tt_str body);

/* Convenience: a Kubernetes Status failure; reason may be NULL (then that of the HTTP status). */
void tt_http_respond_status(struct tt_http_exchange *ex, int status, const char *reason,
                            struct tt_str message);

/* Streams (watch, list in chunks, logs). write refs the bytes; TT_EBUSY when the backlog is full:
 * nothing was taken (owners stay the caller's), wait for on_drain. */
void tt_http_stream_begin(struct tt_http_exchange *ex, int status,
                          const struct tt_http_header *headers, size_t header_count,
                          void (*on_drain)(void *ctx, struct tt_http_exchange *ex));
int tt_http_stream_write(struct tt_http_exchange *ex, const struct tt_http_part *parts,
                         size_t part_count) TT_MUST_USE;
size_t
tt_http_stream_backlog(const struct tt_http_exchange *ex); /* bytes not yet handed to the kernel */
void tt_http_stream_end(struct tt_http_exchange *ex);
void tt_http_stream_abort(struct tt_http_exchange *ex); /* RST_STREAM / connection close */

#endif
