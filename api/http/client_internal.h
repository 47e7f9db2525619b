/* What the files of the HTTP client share: client.c (pool, calls, time) and client_conn.c (one
 * connection on nghttp2).
 *
 * Ownership: the client owns its connections; calls are the user's. Thread: that of the loop.
 * Errors: end the call, or the connection with all its calls. */
#ifndef API_HTTP_CLIENT_INTERNAL_H
#define API_HTTP_CLIENT_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "api/http/byte_stream.h"
#include "api/http/client.h"

enum {
    HTTP_CLIENT_QUEUE_MAX = 160 * 1024,
    HTTP_CLIENT_FILL_MAX = HTTP_CLIENT_QUEUE_MAX / 2 + 1,
    HTTP_CLIENT_HEADERS_MAX = 16,
    HTTP_CLIENT_STREAM_WINDOW = 1 << 20,
    HTTP_CLIENT_WINDOW = 16 << 20
};

struct http_client_conn {
    struct tt_list link;           /* of the client's list */
    struct tt_list dirty_link;     /* of its dirty list, else alone */
    struct tt_http_client *client; /* owns it */
    struct tt_byte_stream *stream; /* frees itself after closed, and conn goes with it */
    nghttp2_session *session;      /* owned */
    struct tt_list calls;          /* by call.link: submitted, not ended */
    uint32_t call_count;           /* in calls */
    uint64_t heard_ms;             /* when the last byte came */
    uint64_t ping_ms;              /* when the unanswered ping left; 0: none */
    uint64_t idle_since_ms;        /* when the last call left; valid without calls */
    struct tt_err error;           /* why we abort it */
    bool is_open;                  /* connected, TLS done; stays true */
    bool is_leaving;               /* takes no new calls: GOAWAY, or idle */
    bool is_doomed;                /* abort at the next flush */
    bool is_closing;               /* the stream was told */
};

struct tt_http_client {
    struct tt_http_client_config config;  /* strings below */
    char *host;                           /* owned; NULL: none was given */
    char *server_name;                    /* owned; NULL: any of the CA */
    char *unix_path;                      /* owned; NULL: TLS */
    char *authority;                      /* owned; names the peer in errors too */
    struct tt_list conns;                 /* owned; by conn.link */
    uint32_t conn_count;                  /* in conns */
    struct tt_list dirty;                 /* by dirty_link: flushed at the turn's end */
    struct tt_list waiting;               /* calls without a connection */
    struct tt_list ended;                 /* calls whose done is due */
    uint32_t waiting_count;               /* in waiting */
    size_t active;                        /* calls whose done has not run */
    nghttp2_session_callbacks *callbacks; /* owned; of all sessions */
    uv_prepare_t prepare;                 /* the turn's end: done, pump, flush */
    uv_idle_t idle;                       /* active with work left: the loop does not block */
    struct tt_timer timer;                /* deadlines; each second the connections */
    uint64_t timer_ms;                    /* when it fires; UINT64_MAX: not set */
    uint32_t handles;                     /* not yet closed */
    bool is_closing;                      /* no new calls */
    void (*closed)(void *ctx);            /* of close; may be NULL */
    void *closed_ctx;                     /* of closed */
};

/* client.c */
/* The call is over: done runs at the end of the turn. error NULL: answered. */
void http_client_end_call(struct tt_http_call *call, const struct tt_err *error);
void http_client_pump(struct tt_http_client *client); /* waiting calls to free streams */
void http_client_wake(struct tt_http_client *client); /* the turn's end has work */
void http_client_conn_gone(struct http_client_conn *conn, const struct tt_err *err);
void http_client_timer(struct tt_http_client *client, uint64_t at_ms); /* fire by then */

/* client_conn.c */
nghttp2_session_callbacks *http_client_callbacks(void);
int http_client_conn_open(struct tt_http_client *client, struct tt_err *err) TT_MUST_USE;
/* Free streams; 0 when it takes no calls. */
uint32_t http_client_conn_room(const struct http_client_conn *conn);
void http_client_conn_submit(struct http_client_conn *conn, struct tt_http_call *call);
void http_client_conn_detach(struct tt_http_call *call); /* resets its stream */
void http_client_conn_dirty(struct http_client_conn *conn);
void http_client_conn_doom(struct http_client_conn *conn, int code, const char *why);
void http_client_conn_flush(struct http_client_conn *conn);
void http_client_conn_tick(struct http_client_conn *conn, uint64_t now_ms);

#endif
