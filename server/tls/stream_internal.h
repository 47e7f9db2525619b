/* The stream's struct, shared by stream.c (bytes) and stream_connect.c (finding and reaching an
 * address).
 *
 * Ownership, thread, errors: as in stream.h. */
#ifndef SERVER_TLS_STREAM_INTERNAL_H
#define SERVER_TLS_STREAM_INTERNAL_H

#include <netdb.h>

#include "base/sm.h"
#include "server/tls/address.h"
#include "server/tls/ring.h"
#include "server/tls/stream.h"

enum stream_state {
    STREAM_RESOLVING,   /* name look-up; clients only */
    STREAM_CONNECTING,  /* TCP; clients only */
    STREAM_HANDSHAKING, /* TLS */
    STREAM_OPEN,
    STREAM_DRAINING, /* last bytes out, close_notify, then waiting for the peer's end */
    STREAM_CLOSED    /* handles are closing; then `closed` and free */
};

struct tt_tls_stream {
    struct tt_sm sm;                    /* enum stream_state */
    struct tt_loop *loop;               /* kept */
    struct tt_tls_context *tls;         /* referenced */
    struct tt_tls_stream_events events; /* copied */
    void *ctx;                          /* of events */
    SSL *ssl;                           /* owned; NULL before a socket is connected */
    int fd;                             /* owned; -1: none */
    uv_poll_t poll;                     /* on fd, while poll_open */
    int poll_mask;                      /* events asked for now */
    struct tt_timer timer; /* handshake deadline; when open: "go on reading"; drain deadline */
    uint32_t pending;      /* open handles and requests: freed at 0 in STREAM_CLOSED */
    bool poll_open;        /* poll is initialised and not closing */
    bool paused;           /* the user wants no data */
    bool write_blocked;    /* OpenSSL waits for the socket to take bytes */
    bool was_high;         /* the queue passed half of its maximum: `writable` is due later */
    bool notified_end;     /* our close_notify is out */
    bool is_overdue;       /* a drain deadline passed without progress: the last chance */
    bool failed;           /* err is set: what `closed` will say */
    bool refused;          /* connecting: nobody listens at any of the addresses tried */
    bool has_peer;         /* peer is set */
    struct tt_ring ring;   /* bytes not yet given to OpenSSL */
    char *server_name;     /* owned; NULL: any server of the CA */
    uint64_t handshake_timeout_ms; /* never 0 here: the default is filled in */
    uint32_t user_timeout_ms;      /* 0: kernel's default */
    struct tt_peer_identity peer;  /* valid when has_peer */
    char remote[TT_REMOTE_SIZE];   /* "" before an address is known */
    uv_getaddrinfo_t resolve;      /* running in STREAM_RESOLVING */
    struct addrinfo *addresses;    /* owned by libuv's allocator; NULL for numeric hosts */
    struct addrinfo *address_next; /* borrowed from addresses: to try next */
    uint16_t port;                 /* clients: where to */
    struct tt_err err;             /* valid when failed */
};

struct tt_tls_stream *tt_stream_new(const struct tt_tls_stream_config *config,
                                    enum stream_state state);
/* A connected socket: creates the TLS side and begins the handshake. */
void tt_stream_begin_handshake(struct tt_tls_stream *stream);
/* Initialises poll on stream->fd and asks for events. */
int tt_stream_poll_open(struct tt_tls_stream *stream, int mask, uv_poll_cb on_event,
                        struct tt_err *err) TT_MUST_USE;
/* Goes to STREAM_CLOSED; stream->err, when failed, is what the user hears. */
void tt_stream_finish(struct tt_tls_stream *stream);
/* One of the pending handles or requests is gone. */
void tt_stream_release(struct tt_tls_stream *stream);
/* Clients: tells OpenSSL which name the certificate must carry. */
int tt_stream_expect(struct tt_tls_stream *stream, struct tt_err *err) TT_MUST_USE;
/* The poll callback from the handshake on. */
void tt_stream_on_event(uv_poll_t *poll, int status, int events);

#endif
