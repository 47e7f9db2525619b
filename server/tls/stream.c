#include "server/tls/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <unistd.h>

#include "server/tls/internal.h"
#include "server/tls/openssl_err.h"
#include "server/tls/stream_internal.h"

/* Happy path: handshake → identity → `opened` → SSL_read on readable events, SSL_write on flush →
 * close: what is queued, close_notify, half-close, wait for the peer's end → `closed`.
 *
 *   RESOLVING → CONNECTING → HANDSHAKING → OPEN → DRAINING → CLOSED
 *        └───────────┴────────────┴─────────┴───────────────────┘   (failure or abort)
 *
 * System calls are the cost of a request, so: one write per 16 KiB record and flush; the socket is
 * watched for writing only while OpenSSL could not write; an event ends when OpenSSL holds no more
 * bytes (polling is level-triggered, so no further read only to hear EAGAIN); the watched set is
 * changed only when it differs. With read-ahead OpenSSL may hold bytes the kernel no longer
 * announces: the timer takes up reading again after a pause or a spent budget.
 *
 * Failure modes: every OpenSSL failure ends in fail(): the first cause is kept and told once
 * through `closed`, from a close callback and never inside a call of the user. A peer that was
 * refused in the handshake gets its alert: we half-close and discard what it sends until its end or
 * DRAIN_MS. */

enum {
    RECORD_SIZE = 16384,
    READ_SIZE = 8192, /* on the stack; a full record takes two reads */
    READ_BATCH = 32,  /* reads per event: then others get their turn */
    DRAIN_MS = 1000,  /* without progress on the last bytes, and again for the peer's end */
    HANDSHAKE_MS = 10000,
    DISCARD_BATCH = 16
};

static bool state_is_sane(const struct tt_sm *sm, uint32_t state)
{
    const struct tt_tls_stream *stream = TT_CONTAINER_OF(sm, struct tt_tls_stream, sm);
    switch ((enum stream_state)state) {
    case STREAM_RESOLVING:
    case STREAM_CONNECTING:
        return stream->ssl == NULL;
    case STREAM_HANDSHAKING:
        return stream->ssl != NULL && stream->fd >= 0 && !stream->has_peer;
    case STREAM_OPEN:
        return stream->ssl != NULL && stream->fd >= 0 && !stream->failed;
    case STREAM_DRAINING:
        return stream->ssl != NULL && stream->fd >= 0 && stream->poll_open;
    case STREAM_CLOSED:
        return true;
    }
    return false;
}

static const struct tt_sm_state STATES[] = {
    [STREAM_RESOLVING] = {"resolving", TT_SM_BIT(STREAM_CONNECTING) | TT_SM_BIT(STREAM_CLOSED),
                          false},
    [STREAM_CONNECTING] = {"connecting", TT_SM_BIT(STREAM_HANDSHAKING) | TT_SM_BIT(STREAM_CLOSED),
                           false},
    [STREAM_HANDSHAKING] = {"handshaking",
                            TT_SM_BIT(STREAM_OPEN) | TT_SM_BIT(STREAM_DRAINING) |
                                TT_SM_BIT(STREAM_CLOSED),
                            false},
    [STREAM_OPEN] = {"open", TT_SM_BIT(STREAM_DRAINING) | TT_SM_BIT(STREAM_CLOSED), false},
    [STREAM_DRAINING] = {"draining", TT_SM_BIT(STREAM_CLOSED), false},
    [STREAM_CLOSED] = {"closed", 0, true},
};
static const struct tt_sm_def MACHINE = {"tls stream", STATES, STREAM_CLOSED + 1, state_is_sane};

static enum stream_state state_of(const struct tt_tls_stream *stream)
{
    return (enum stream_state)tt_sm_state(&stream->sm);
}

/* ---- life ---------------------------------------------------------------------------------- */

static void on_timer(struct tt_timer *timer);

struct tt_tls_stream *tt_stream_new(const struct tt_tls_stream_config *config,
                                    enum stream_state state)
{
    TT_ASSERT(config->events.data != NULL && config->events.closed != NULL);
    struct tt_tls_stream *stream = TT_NEW(struct tt_tls_stream);
    stream->loop = config->loop;
    stream->tls = tt_tls_context_ref(config->tls);
    stream->events = config->events;
    stream->ctx = config->ctx;
    stream->fd = -1;
    stream->server_name = config->server_name != NULL ? tt_xstrdup(config->server_name) : NULL;
    stream->user_timeout_ms = config->user_timeout_ms;
    stream->handshake_timeout_ms =
        config->handshake_timeout_ms > 0 ? config->handshake_timeout_ms : HANDSHAKE_MS;
    tt_ring_init(&stream->ring, config->write_queue_max);
    tt_err_init(&stream->err);
    tt_sm_init(&stream->sm, &MACHINE, state);
    tt_timer_init(&stream->timer, stream->loop, on_timer);
    stream->pending = 1;
    tt_timer_start(&stream->timer, stream->handshake_timeout_ms, 0);
    return stream;
}

static void stream_free(struct tt_tls_stream *stream)
{
    tt_sm_fini(&stream->sm);
    SSL_free(stream->ssl);
    tt_tls_context_unref(stream->tls);
    tt_ring_fini(&stream->ring);
    uv_freeaddrinfo(stream->addresses);
    tt_free(stream->server_name);
    tt_free(stream);
}

void tt_stream_release(struct tt_tls_stream *stream)
{
    TT_ASSERT(stream->pending > 0);
    if (--stream->pending > 0) {
        return;
    }
    TT_ASSERT(state_of(stream) == STREAM_CLOSED);
    if (stream->events.closed != NULL) {
        stream->events.closed(stream->ctx, stream, stream->failed ? &stream->err : NULL);
    }
    stream_free(stream);
}

static void on_poll_closed(uv_handle_t *handle)
{
    tt_stream_release(handle->data);
}

static void on_timer_closed(struct tt_timer *timer)
{
    tt_stream_release(TT_CONTAINER_OF(timer, struct tt_tls_stream, timer));
}

void tt_stream_finish(struct tt_tls_stream *stream)
{
    if (state_of(stream) == STREAM_CLOSED) {
        return;
    }
    bool resolving = state_of(stream) == STREAM_RESOLVING;
    tt_sm_move(&stream->sm, STREAM_CLOSED);
    if (resolving && stream->pending > 1) {
        (void)uv_cancel((uv_req_t *)&stream->resolve); /* too late is fine: its callback looks */
    }
    if (stream->poll_open) {
        stream->poll_open = false;
        uv_close((uv_handle_t *)&stream->poll, on_poll_closed);
    }
    if (stream->fd >= 0) {
        (void)close(
            stream->fd); /* allowed right after uv_close; its errors come too late to matter */
        stream->fd = -1;
    }
    tt_timer_close(&stream->timer, on_timer_closed);
}

int tt_stream_poll_open(struct tt_tls_stream *stream, int mask, uv_poll_cb on_event,
                        struct tt_err *err)
{
    TT_ASSERT(!stream->poll_open && stream->fd >= 0);
    int r = uv_poll_init(tt_loop_uv(stream->loop), &stream->poll, stream->fd);
    if (r != 0) {
        return TT_FAIL_UV(err, r, "watch a socket");
    }
    stream->poll.data = stream;
    stream->poll_open = true;
    stream->pending++;
    stream->poll_mask = mask;
    r = uv_poll_start(&stream->poll, mask, on_event);
    TT_ASSERT(r == 0); /* fails only on a closing handle */
    return 0;
}

/* Asks for exactly what the state needs; costs nothing when that did not change. */
static void poll_update(struct tt_tls_stream *stream)
{
    int mask = 0;
    if (state_of(stream) == STREAM_CLOSED) {
        return;
    }
    if (state_of(stream) == STREAM_OPEN) {
        bool writable_due = stream->was_high && stream->ring.size <= stream->ring.size_max / 2;
        mask = (stream->paused ? 0 : UV_READABLE) |
               (stream->write_blocked || writable_due ? UV_WRITABLE : 0);
    } else {
        mask = stream->write_blocked ? UV_WRITABLE : UV_READABLE;
    }
    if (mask == stream->poll_mask) {
        return;
    }
    stream->poll_mask = mask;
    int r = mask != 0 ? uv_poll_start(&stream->poll, mask, tt_stream_on_event)
                      : uv_poll_stop(&stream->poll);
    TT_ASSERT(r == 0);
}

/* ---- failure and end ----------------------------------------------------------------------- */

static void drain(struct tt_tls_stream *stream);

/* Half-closes and waits for the peer's end, so that it reads what we sent last. */
static void drain_begin(struct tt_tls_stream *stream)
{
    tt_sm_move(&stream->sm, STREAM_DRAINING);
    tt_timer_start(&stream->timer, DRAIN_MS, 0);
    drain(stream);
}

/* stream->err says why. */
static void fail(struct tt_tls_stream *stream, bool tell_peer)
{
    stream->failed = true;
    if (tell_peer && state_of(stream) == STREAM_HANDSHAKING) {
        stream->notified_end = true; /* OpenSSL sent the alert; nothing else may follow */
        stream->write_blocked = false;
        (void)shutdown(stream->fd, SHUT_WR); /* a socket that is gone needs none */
        drain_begin(stream);
        return;
    }
    tt_stream_finish(stream);
}

static void fail_ssl(struct tt_tls_stream *stream, int ssl_error, const char *what)
{
    int errno_value = errno;
    long verify = SSL_get_verify_result(stream->ssl);
    if (ssl_error == SSL_ERROR_SYSCALL && errno_value != 0) {
        ERR_clear_error();
        (void)TT_FAIL_ERRNO(&stream->err, errno_value, "%s %s", what, stream->remote);
    } else if (verify != X509_V_OK) {
        (void)TT_FAIL_SSL(&stream->err, TT_ETLS, "%s %s: %s", what, stream->remote,
                          X509_verify_cert_error_string(verify));
    } else if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ERR_clear_error();
        (void)TT_FAIL(&stream->err, TT_ECLOSED, "%s %s: the peer went away", what, stream->remote);
    } else {
        (void)TT_FAIL_SSL(&stream->err, TT_ETLS, "%s %s", what, stream->remote);
    }
    fail(stream, ssl_error == SSL_ERROR_SSL);
}

/* What an unsuccessful OpenSSL call wants; true when the stream goes on. */
static bool go_on(struct tt_tls_stream *stream, int result, const char *what)
{
    int ssl_error = SSL_get_error(stream->ssl, result);
    switch (ssl_error) {
    case SSL_ERROR_WANT_READ:
        return true;
    case SSL_ERROR_WANT_WRITE:
        stream->write_blocked = true;
        return true;
    case SSL_ERROR_ZERO_RETURN: /* the peer's close_notify */
        tt_tls_stream_close(stream);
        return false;
    default:
        fail_ssl(stream, ssl_error, what);
        return false;
    }
}

/* Reads and drops; true at the peer's end. */
static bool discard(struct tt_tls_stream *stream)
{
    for (int i = 0; i < DISCARD_BATCH; i++) {
        char bytes[READ_SIZE] __attribute__((uninitialized));
        ssize_t size = recv(stream->fd, bytes, sizeof bytes, 0);
        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) {
            return true;
        }
        if (size < 0) {
            return false;
        }
    }
    return false;
}

static void write_queue(struct tt_tls_stream *stream)
{
    while (stream->ring.size > 0 && !stream->write_blocked) {
        struct tt_str front = tt_str_head(tt_ring_front(&stream->ring), RECORD_SIZE);
        size_t written = 0;
        ERR_clear_error();
        int r = SSL_write_ex(stream->ssl, front.ptr, front.len, &written);
        if (r == 1) {
            tt_ring_drop(&stream->ring, written);
        } else if (!go_on(stream, r, "write to")) {
            return;
        } else if (!stream->write_blocked) {
            return; /* wants to read first: the next readable event brings it on */
        }
    }
}

static void drain(struct tt_tls_stream *stream)
{
    if (!stream->notified_end) {
        size_t before = stream->ring.size;
        write_queue(stream);
        if (state_of(stream) == STREAM_DRAINING && stream->ring.size < before) {
            tt_timer_start(&stream->timer, DRAIN_MS, 0); /* a slow reader is not a dead one */
            stream->is_overdue = false;
        }
        if (state_of(stream) != STREAM_DRAINING || stream->ring.size > 0) {
            poll_update(stream);
            return;
        }
        ERR_clear_error();
        (void)SSL_shutdown(stream->ssl); /* best effort: the peer also sees the end of TCP */
        ERR_clear_error();
        stream->notified_end = true;
        stream->write_blocked = false;
        (void)shutdown(stream->fd, SHUT_WR);
        if ((SSL_get_shutdown(stream->ssl) & SSL_RECEIVED_SHUTDOWN) != 0) {
            tt_stream_finish(stream); /* the peer had ended before */
            return;
        }
        tt_timer_start(&stream->timer, DRAIN_MS, 0);
    }
    poll_update(stream);
}

/* ---- handshake ----------------------------------------------------------------------------- */

static int peer_check(struct tt_tls_stream *stream, struct tt_err *err)
{
    if (SSL_session_reused(stream->ssl) != 0) {
        return TT_FAIL(err, TT_ETLS, "%s resumed a session", stream->remote);
    }
    X509 *cert = SSL_get0_peer_certificate(stream->ssl);
    if (cert == NULL) {
        return 0; /* the context allows it, or the handshake would have failed */
    }
    int r = tt_identity_from_cert(cert, &stream->peer, err);
    if (r != 0) {
        return TT_WRAP(err, r, "identify %s", stream->remote);
    }
    stream->has_peer = true;
    const char *expected = stream->server_name;
    if (expected != NULL && tt_str_starts(tt_str_c(expected), TT_STR("spiffe://")) &&
        strcmp(expected, stream->peer.uri) != 0) {
        return TT_FAIL(err, TT_ETLS, "%s is %s, not %s", stream->remote, stream->peer.uri,
                       expected);
    }
    return 0;
}

static void read_some(struct tt_tls_stream *stream);

static void handshake(struct tt_tls_stream *stream)
{
    stream->write_blocked = false;
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(stream->ssl);
    if (r != 1) {
        if (go_on(stream, r, "TLS handshake with")) {
            poll_update(stream);
        }
        return;
    }
    if (peer_check(stream, &stream->err) != 0) {
        fail(stream, false);
        return;
    }
    tt_timer_stop(&stream->timer);
    tt_sm_move(&stream->sm, STREAM_OPEN);
    if (stream->events.opened != NULL) {
        stream->events.opened(stream->ctx, stream);
    }
    tt_tls_stream_flush(stream);
    read_some(stream); /* the last flight may have brought data */
}

void tt_stream_begin_handshake(struct tt_tls_stream *stream)
{
    stream->ssl = tt_tls_context_ssl(stream->tls, &stream->err);
    if (stream->ssl == NULL ||
        tt_tls_context_attach(stream->tls, stream->ssl, stream->fd, &stream->err) != 0 ||
        tt_stream_expect(stream, &stream->err) != 0) {
        fail(stream, false);
        return;
    }
    if (tt_tls_context_is_server(stream->tls)) {
        SSL_set_accept_state(stream->ssl);
    } else {
        SSL_set_connect_state(stream->ssl);
    }
    tt_sm_move(&stream->sm, STREAM_HANDSHAKING);
    if (stream->poll_open) {
        /* The connect attempt watched with its own callback: replace it whatever the mask. */
        stream->poll_mask = 0;
    } else if (tt_stream_poll_open(stream, UV_READABLE, tt_stream_on_event, &stream->err) != 0) {
        fail(stream, false);
        return;
    }
    if (!tt_tls_context_is_server(stream->tls)) {
        handshake(stream);
    }
}

/* ---- events -------------------------------------------------------------------------------- */

/* One read and its delivery; true when another one is worth trying. */
static bool read_once(struct tt_tls_stream *stream)
{
    char bytes[READ_SIZE] __attribute__((uninitialized));
    size_t size = 0;
    ERR_clear_error();
    errno = 0;
    int r = SSL_read_ex(stream->ssl, bytes, sizeof bytes, &size);
    if (r != 1) {
        (void)go_on(stream, r, "read from"); /* either way this event is over */
        return false;
    }
    stream->events.data(stream->ctx, stream, tt_str(bytes, size));
    return state_of(stream) == STREAM_OPEN && SSL_has_pending(stream->ssl) == 1;
}

static void read_some(struct tt_tls_stream *stream)
{
    int budget = READ_BATCH;
    while (state_of(stream) == STREAM_OPEN && !stream->paused && budget > 0 && read_once(stream)) {
        budget--;
    }
    if (state_of(stream) == STREAM_OPEN && !stream->paused && budget == 0) {
        tt_timer_start(&stream->timer, 0, 0);
    }
    poll_update(stream);
}

static void on_open_event(struct tt_tls_stream *stream, int events)
{
    if ((events & UV_WRITABLE) != 0) {
        stream->write_blocked = false;
        tt_tls_stream_flush(stream);
        if (state_of(stream) == STREAM_OPEN && stream->was_high &&
            stream->ring.size <= stream->ring.size_max / 2) {
            stream->was_high = false;
            if (stream->events.writable != NULL) {
                stream->events.writable(stream->ctx, stream);
            }
        }
    }
    if ((events & UV_READABLE) != 0) {
        read_some(stream);
    }
    poll_update(stream);
}

static void on_drain_event(struct tt_tls_stream *stream)
{
    if (!stream->notified_end) {
        stream->write_blocked = false;
        drain(stream);
    } else if (discard(stream)) {
        tt_stream_finish(stream);
    }
}

void tt_stream_on_event(uv_poll_t *poll, int status, int events)
{
    struct tt_tls_stream *stream = poll->data;
    tt_loop_mark(stream->loop, "tls stream");
    if (status < 0) {
        events = UV_READABLE | UV_WRITABLE; /* the next call on the socket says what happened */
    }
    switch (state_of(stream)) {
    case STREAM_HANDSHAKING:
        handshake(stream);
        break;
    case STREAM_OPEN:
        on_open_event(stream, events);
        break;
    case STREAM_DRAINING:
        on_drain_event(stream);
        break;
    case STREAM_RESOLVING: /* no handle of ours exists in the first two */
    case STREAM_CONNECTING:
    case STREAM_CLOSED:
        break;
    }
}

/* A loop that stood still runs its timers before it looks at its sockets, and the peer may have
 * stood still with it: it gets a second, shorter chance. */
static void on_drain_timeout(struct tt_tls_stream *stream)
{
    size_t before = stream->ring.size;
    if (!stream->notified_end && before > 0) {
        stream->write_blocked = false;
        drain(stream);
        if (state_of(stream) != STREAM_DRAINING || stream->ring.size < before) {
            return;
        }
        if (!stream->is_overdue) {
            stream->is_overdue = true;
            tt_timer_start(&stream->timer, DRAIN_MS / 2, 0);
            return;
        }
    }
    tt_stream_finish(stream);
}

static void on_timer(struct tt_timer *timer)
{
    struct tt_tls_stream *stream = TT_CONTAINER_OF(timer, struct tt_tls_stream, timer);
    switch (state_of(stream)) {
    case STREAM_RESOLVING:
    case STREAM_CONNECTING:
    case STREAM_HANDSHAKING:
        if (!stream->failed) {
            (void)TT_FAIL(&stream->err, TT_ETIMEOUT, "no TLS connection with %s in time",
                          stream->remote);
        }
        fail(stream, false);
        break;
    case STREAM_OPEN:
        read_some(stream);
        break;
    case STREAM_DRAINING:
        on_drain_timeout(stream);
        break;
    case STREAM_CLOSED:
        break;
    }
}

/* ---- the user's calls ---------------------------------------------------------------------- */

int tt_tls_stream_accept(const struct tt_tls_stream_config *config, int fd,
                         struct tt_tls_stream **ret_stream, struct tt_err *err)
{
    TT_ASSERT(tt_tls_context_is_server(config->tls));
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getpeername(fd, (struct sockaddr *)&address, &size) != 0) {
        int r = TT_FAIL_ERRNO(err, errno, "accept a connection");
        (void)close(fd); /* it is gone already */
        return r;
    }
    struct tt_tls_stream *stream = tt_stream_new(config, STREAM_CONNECTING);
    stream->fd = fd;
    tt_address_format(&address, stream->remote);
    tt_socket_tune(fd, stream->user_timeout_ms);
    tt_stream_begin_handshake(stream); /* a failure is told through `closed` */
    *ret_stream = stream;
    return 0;
}

void tt_tls_stream_set_ctx(struct tt_tls_stream *stream, void *ctx)
{
    stream->ctx = ctx;
}

int tt_tls_stream_write(struct tt_tls_stream *stream, struct tt_str bytes)
{
    enum stream_state state = state_of(stream);
    if (state == STREAM_DRAINING || state == STREAM_CLOSED) {
        return TT_ECLOSED;
    }
    if (!tt_ring_put(&stream->ring, bytes)) {
        stream->was_high = true;
        return TT_EBUSY;
    }
    if (stream->ring.size > stream->ring.size_max / 2) {
        stream->was_high = true;
    }
    return 0;
}

size_t tt_tls_stream_queued(const struct tt_tls_stream *stream)
{
    return stream->ring.size;
}

void tt_tls_stream_flush(struct tt_tls_stream *stream)
{
    if (state_of(stream) != STREAM_OPEN) {
        return; /* before: sent once open; after: drain() does it */
    }
    errno = 0;
    write_queue(stream);
    poll_update(stream);
}

void tt_tls_stream_pause(struct tt_tls_stream *stream, bool paused)
{
    if (stream->paused == paused) {
        return;
    }
    stream->paused = paused;
    if (state_of(stream) != STREAM_OPEN) {
        return;
    }
    if (!paused && SSL_has_pending(stream->ssl) == 1) {
        tt_timer_start(&stream->timer, 0, 0);
    }
    poll_update(stream);
}

void tt_tls_stream_close(struct tt_tls_stream *stream)
{
    if (state_of(stream) == STREAM_OPEN) {
        drain_begin(stream);
    } else if (state_of(stream) != STREAM_DRAINING) {
        tt_stream_finish(stream);
    }
}

void tt_tls_stream_abort(struct tt_tls_stream *stream)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (stream->fd >= 0) {
        (void)setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* best effort */
    }
    tt_stream_finish(stream);
}

const struct tt_peer_identity *tt_tls_stream_peer(const struct tt_tls_stream *stream)
{
    return stream->has_peer ? &stream->peer : NULL;
}

struct tt_str tt_tls_stream_alpn(const struct tt_tls_stream *stream)
{
    const unsigned char *name = NULL;
    unsigned size = 0;
    if (stream->ssl != NULL) {
        SSL_get0_alpn_selected(stream->ssl, &name, &size);
    }
    return tt_str((const char *)name, size);
}

bool tt_tls_stream_refused(const struct tt_tls_stream *stream)
{
    return stream->refused;
}

const char *tt_tls_stream_remote(const struct tt_tls_stream *stream)
{
    return stream->remote;
}
