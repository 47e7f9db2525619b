/* What the files of the HTTP server share: server, connection, exchange, client account.
 *
 * A connection speaks HTTP/1.1 (http1.c) or HTTP/2 (http2.c) behind struct http_protocol; both feed
 * requests through request.c and answer through exchange.c. Nothing is written to a socket inside a
 * protocol callback: connections with output are marked dirty and flushed once per loop turn
 * (conn.c). Ownership: the server owns connections, pools and accounts; a connection its exchanges.
 * Thread: that of the loop. Errors: see server.h. */
#ifndef API_HTTP_SERVER_INTERNAL_H
#define API_HTTP_SERVER_INTERNAL_H

#include "api/http/server.h"
#include "base/map.h"
#include "server/tls/stream.h"

enum {
    HTTP_HEADER_BYTES_MAX = 32 * 1024, /* names, values and 32 per header, as in HTTP/2 SETTINGS */
    HTTP_HEADERS_MAX = 128,
    HTTP_BODY_PADDING = 64,     /* readable zero bytes behind a body */
    HTTP_QUEUE_MAX = 96 * 1024, /* capacity of a TLS queue */
    /* Fill it up to here: a frame or a response head still fits, and `writable` will be called. */
    HTTP_FILL_MAX = HTTP_QUEUE_MAX / 2 + 1,
    HTTP_KEEP_MAX = 16 * 1024, /* a pooled exchange keeps buffers up to this size */
    HTTP_INLINE_PARTS = 6,
    HTTP_PARTS_MAX = 16 * 1024, /* parts queued on one stream */
    HTTP_RESPONSE_HEADERS_MAX = 24,
    HTTP_STALL_MS = 30 * 1000,       /* a response that makes no progress for so long is cut */
    HTTP_LINGER_MS = 2 * 1000,       /* discard input so long after an early answer */
    HTTP_CONTROL_FRAMES_MAX = 20000, /* per second and connection: PING, SETTINGS, empty DATA … */
    HTTP_EXPIRED_MS = 3 * 1000,      /* what runs when the certificate ends gets so long */
    HTTP_SWEEP_MS = 1000
};

struct http_conn;

/* What one client (an identity, or an address before it is known) uses now. */
struct http_account {
    uint32_t refs;     /* connections that point here; freed at 0 */
    uint32_t requests; /* with the handler or being answered */
    size_t body_bytes; /* of requests, received and not yet answered */
    size_t out_bytes;  /* of answers, queued */
    char key[272];     /* "id:" and URI or "ip:" and address: key in accounts */
};

/* A run of bytes to send. */
struct http_out_part {
    struct tt_str bytes;                /* what is left of it */
    const void *owner;                  /* NULL: bytes lie in the exchange's copy buffer */
    void (*release)(const void *owner); /* called once */
};

enum http_exchange_state {
    HTTP_EX_RECEIVING, /* headers or body incomplete */
    HTTP_EX_HANDLING,  /* the handler has it */
    HTTP_EX_STREAMING, /* response begun, more may come */
    HTTP_EX_ENDED      /* the handler is done; bytes may still be on their way */
};

struct tt_http_exchange {
    struct tt_list link;            /* of the connection's list, or the server's pool */
    struct tt_http_server *server;  /* set once; owns it */
    struct http_conn *conn;         /* NULL in the pool */
    struct http_account *account;   /* counted there as a request; NULL when not */
    struct tt_http_request request; /* texts in arena, body in body */
    struct tt_arena *arena;         /* owned; reset with each use */
    enum http_exchange_state state; /* set when taken from the pool */
    int32_t stream_id;              /* HTTP/2 */
    int reject_status;              /* an answer decided before the request was complete; 0: none */
    bool request_complete;          /* the whole request was received */
    bool is_deferred;               /* HTTP/2: nghttp2 waits for more data */
    bool expect_continue;           /* HTTP/1.1: send 100 before the body */
    uint32_t header_count;          /* so far, the target too */
    size_t header_bytes;            /* so far, 32 more for each */
    uint64_t content_length;        /* UINT64_MAX: not told */
    char *body;                     /* body_cap + HTTP_BODY_PADDING bytes */
    size_t body_len;                /* bytes in it; counted in the account until answered */
    size_t body_cap;                /* 0: body is NULL */
    struct http_out_part inline_parts[HTTP_INLINE_PARTS]; /* room for a common response */
    struct http_out_part *parts;                          /* ring; inline_parts until it grows */
    uint32_t parts_cap;                                   /* slots of the ring */
    uint32_t parts_head;                                  /* slot of the front part */
    uint32_t parts_count;                                 /* queued, from parts_head on */
    size_t out_bytes;                                     /* sum of the parts */
    char *copy;                                           /* copied parts of a whole response */
    size_t copy_cap;                                      /* bytes; 0: copy is NULL */
    void (*on_drain)(void *ctx, struct tt_http_exchange *ex); /* of stream_begin; may be NULL */
    bool wants_drain;                                         /* a write was refused */
    void *user;                                               /* the handler's; NULL until set */
    uint64_t progress_ms; /* last time bytes moved in either direction */
};

/* The two protocols. */
struct http_protocol {
    /* Once, after the handshake: makes conn->state. */
    int (*open)(struct http_conn *conn, struct tt_err *err);
    void (*close)(struct http_conn *conn);                       /* free the protocol's state */
    int (*receive)(struct http_conn *conn, struct tt_str bytes); /* negative: cut */
    /* Moves output into the TLS queue until it holds FILL_MAX; true: there is more. */
    bool (*fill)(struct http_conn *conn);
    void (*respond)(struct tt_http_exchange *ex, int status, const struct tt_http_header *headers,
                    size_t header_count);        /* body: the exchange's parts */
    void (*resume)(struct tt_http_exchange *ex); /* parts were added, or the end */
    /* The answer stays incomplete, and the peer can tell. */
    void (*abort)(struct tt_http_exchange *ex);
    void (*cut_request)(struct tt_http_exchange *ex); /* answered, but still being sent */
    void (*drain)(struct http_conn *conn);  /* no new requests; close when the last is answered */
    void (*refuse)(struct http_conn *conn); /* over a limit: say so and close */
    bool (*is_finished)(const struct http_conn *conn); /* all said: close the stream */
};
extern const struct http_protocol http1_protocol;
extern const struct http_protocol http2_protocol;

struct http_conn {
    struct tt_list link;                  /* of the server's list */
    struct tt_list dirty_link;            /* of the server's dirty list, else alone */
    struct tt_http_server *server;        /* owns it */
    struct tt_tls_stream *stream;         /* frees itself after closed; conn goes with it */
    const struct http_protocol *protocol; /* NULL until the handshake is done */
    void *state;                          /* the protocol's */
    struct http_account *account;         /* a reference: of the address, then of the identity */
    struct tt_list exchanges;             /* owned; by ex.link */
    uint32_t exchange_count;              /* in exchanges */
    bool wants_drain;                     /* one of the exchanges may want on_drain */
    bool is_doomed;                       /* abort at the next flush */
    bool is_draining;                     /* no new requests */
    bool is_closing;                      /* the stream was told to close */
    uint64_t idle_since_ms;   /* when opened or the last exchange ended; valid without any */
    uint64_t linger_until_ms; /* 0: not lingering */
    uint64_t budget_ms;       /* start of the running second of the two counts */
    uint32_t budget_resets;   /* RST_STREAM in that second */
    uint32_t budget_frames;   /* control frames in that second */
};

struct tt_http_server {
    struct tt_loop *loop;             /* kept */
    struct tt_tls_context *tls;       /* kept */
    struct tt_http_limits limits;     /* defaults filled in */
    struct tt_http_handler handler;   /* copied */
    struct tt_tls_listener *listener; /* NULL when closed */
    uint16_t port;                    /* the one bound */
    struct tt_list conns;             /* owned; by conn.link */
    uint32_t conn_count;              /* in conns */
    struct tt_list dirty;             /* by dirty_link: flushed at the turn's end */
    struct tt_list pool;              /* free exchanges */
    uint32_t pool_count;              /* in pool */
    uint32_t pool_low;       /* fewest in the pool since the last sweep: these were not needed */
    struct tt_map *accounts; /* by account.key; the last unref frees one */
    struct tt_buf scratch;   /* HTTP/1.1 response heads */
    struct tt_http_server_stats stats; /* but connections_open: that is conn_count */
    void *h2_callbacks;                /* nghttp2_session_callbacks */
    void *h2_options;                  /* nghttp2_option */
    uv_prepare_t prepare;              /* the turn's end: flushes the dirty */
    uv_idle_t idle;                    /* active with a dirty one: the loop does not block */
    struct tt_timer sweep;             /* each HTTP_SWEEP_MS: stalls, idle ones, pool */
    uint32_t handles;                  /* not yet closed */
    bool is_stopping;                  /* no new connections, no new requests */
    uint64_t drain_until_ms;           /* stopping: what is left then is cut */
    void (*closed)(void *ctx);         /* of stop; may be NULL */
    void *closed_ctx;                  /* of closed */
};

/* conn.c */
void http_conn_accept(struct tt_http_server *server, int fd, const char *remote);
void http_conn_dirty(struct http_conn *conn);
void http_conn_flush(struct http_conn *conn);
void http_conn_doom(struct http_conn *conn);
void http_conn_write(struct http_conn *conn, struct tt_str bytes);
bool http_conn_may_fill(const struct http_conn *conn);
void http_conn_sweep(struct http_conn *conn, uint64_t now_ms);
/* False: the budget of the running second is used up. */
bool http_conn_spend(struct http_conn *conn, uint32_t *counter, uint32_t max);
void http_server_has_dirty(struct tt_http_server *server);
void http_server_maybe_closed(struct tt_http_server *server);

/* account.c */
struct http_account *http_account_ref(struct tt_http_server *server, const char *kind,
                                      struct tt_str key);
void http_account_unref(struct tt_http_server *server, struct http_account *account);

/* exchange.c */
struct tt_http_exchange *http_exchange_new(struct http_conn *conn);
void http_exchange_close(struct tt_http_exchange *ex); /* tells the handler if it still has it */
void http_exchange_pool_trim(struct tt_http_server *server, uint32_t keep);
/* The front part; takes `size` bytes off it. */
struct tt_str http_exchange_front(const struct tt_http_exchange *ex);
void http_exchange_consume(struct tt_http_exchange *ex, size_t size);
void http_exchange_drained(struct tt_http_exchange *ex); /* calls on_drain when due */
void http_exchange_drop_output(struct tt_http_exchange *ex);

/* request.c */
void http_request_target(struct tt_http_exchange *ex, struct tt_str target);
void http_request_header(struct tt_http_exchange *ex, struct tt_str name, struct tt_str value);
enum tt_http_method http_request_method(struct tt_str text);
void http_request_body(struct tt_http_exchange *ex, struct tt_str bytes);
void http_request_headers_done(struct tt_http_exchange *ex); /* early refusals */
void http_request_complete(struct tt_http_exchange *ex);     /* hands it to the handler */
void http_request_reject(struct tt_http_exchange *ex, int status, const char *message);

static inline uint64_t http_now(const struct tt_http_server *server)
{
    return tt_loop_now_ms(server->loop);
}

#endif
