/* A TLS byte stream on a libuv loop: the one socket+TLS implementation under HTTP, the raft
 * transport and the clients.
 *
 * Non-blocking SSL on the socket (uv_poll). Reads are delivered from one shared buffer per loop;
 * writes are queued by the user and leave coalesced, in full 16 KiB records, when
 * tt_tls_stream_flush is called (users do so once per loop turn). States: connecting → handshaking
 * → open → closing → closed. Ownership: the stream is freed by itself after `closed` ran; callbacks
 * never run after it. Thread: that of the loop. Errors: delivered once through `closed`. Identity:
 * verified before `opened`; required unless the context says optional. */
#ifndef SERVER_TLS_STREAM_H
#define SERVER_TLS_STREAM_H

#include "base/buf.h"
#include "base/loop.h"
#include "server/tls/context.h"

struct tt_tls_stream;
struct tt_tls_stream_events {
    void (*opened)(void *ctx, struct tt_tls_stream *stream); /* handshake done */
    void (*data)(void *ctx, struct tt_tls_stream *stream,
                 struct tt_str bytes); /* borrowed until return */
    void (*writable)(
        void *ctx,
        struct tt_tls_stream *stream); /* the queue fell below half its maximum; may be NULL */
    void (*closed)(void *ctx, struct tt_tls_stream *stream,
                   const struct tt_err *err); /* err NULL: clean close. Last call. */
};
struct tt_tls_stream_config {
    struct tt_loop *loop;       /* keeps */
    struct tt_tls_context *tls; /* refs */
    const char *server_name;    /* clients: expected SPIFFE uri or DNS/IP of the server; NULL = any
                                   certificate of the CA; copied */
    size_t write_queue_max;     /* bytes; tt_tls_stream_write refuses beyond it */
    uint64_t handshake_timeout_ms;      /* 0 = 10 s */
    uint32_t user_timeout_ms;           /* TCP_USER_TIMEOUT; 0 = kernel default */
    struct tt_tls_stream_events events; /* copied */
    void *ctx;                          /* passed to events; keeps */
};
int tt_tls_stream_accept(const struct tt_tls_stream_config *config, int fd,
                         struct tt_tls_stream **ret_stream,
                         struct tt_err *err) TT_MUST_USE; /* takes fd, always */
int tt_tls_stream_connect(const struct tt_tls_stream_config *config, const char *host,
                          uint16_t port, struct tt_tls_stream **ret_stream,
                          struct tt_err *err) TT_MUST_USE; /* numeric host or name */
void tt_tls_stream_set_ctx(struct tt_tls_stream *stream, void *ctx);
/* Queues bytes (copied into the stream's ring). TT_EBUSY when the queue is full: nothing was taken.
 */
int tt_tls_stream_write(struct tt_tls_stream *stream, struct tt_str bytes) TT_MUST_USE;
size_t tt_tls_stream_queued(const struct tt_tls_stream *stream);
void tt_tls_stream_flush(struct tt_tls_stream *stream);
void tt_tls_stream_pause(struct tt_tls_stream *stream,
                         bool paused); /* stop reading: back-pressure */
void tt_tls_stream_close(
    struct tt_tls_stream *stream); /* idempotent; flushes what fits, close_notify, then closed */
void tt_tls_stream_abort(struct tt_tls_stream *stream); /* RST now */
const struct tt_peer_identity *
tt_tls_stream_peer(const struct tt_tls_stream *stream); /* NULL without a certificate */
struct tt_str tt_tls_stream_alpn(const struct tt_tls_stream *stream);
/* In `closed` of a client's stream: every address refused the connection, so nobody listens there.
 * (Unreachable hosts and timeouts do not say so.) */
bool tt_tls_stream_refused(const struct tt_tls_stream *stream);
const char *tt_tls_stream_remote(const struct tt_tls_stream *stream); /* "127.0.0.1:4711" */

/* A listener that hands accepted sockets over. */
struct tt_tls_listener;
struct tt_tls_listener_config {
    struct tt_loop *loop; /* keeps */
    const char *host;     /* numeric address */
    uint16_t port;        /* 0 = any free one */
    bool shared; /* SO_REUSEPORT: several loops share the port (ask tt_tls_port_check first) */
    void (*accepted)(void *ctx, int fd, const char *remote); /* takes fd; remote is borrowed */
    void *ctx;                                               /* keeps */
};
int tt_tls_listener_new(const struct tt_tls_listener_config *config,
                        struct tt_tls_listener **ret_listener, struct tt_err *err) TT_MUST_USE;
/* Does nobody listen there yet? SO_REUSEPORT would let a second process in, which then gets a part
 * of the connections of the first. */
int tt_tls_port_check(const char *host, uint16_t port, struct tt_err *err) TT_MUST_USE;
uint16_t tt_tls_listener_port(const struct tt_tls_listener *listener);
void tt_tls_listener_close(struct tt_tls_listener *listener, void (*closed)(void *ctx),
                           void *ctx); /* frees itself after closed */

#endif
