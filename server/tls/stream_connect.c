#include <errno.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "server/tls/internal.h"
#include "server/tls/openssl_err.h"
#include "server/tls/stream_internal.h"

/* Happy path: numeric host → connect at once; a name → look-up on libuv's pool → each address in
 * turn until one answers → handshake.
 *
 *   RESOLVING → CONNECTING ⇄ (next address) → HANDSHAKING
 *
 * A refused address closes its poll handle first: only that handle's close callback may start the
 * next attempt, because the handle's memory is used again. The deadline of the handshake covers all
 * of it. */

static void connect_next(struct tt_tls_stream *stream);

static void fail_connect(struct tt_tls_stream *stream, int errno_value)
{
    bool refused = errno_value == ECONNREFUSED;
    stream->refused = refused && (stream->refused || !stream->failed);
    if (!stream->failed) {
        tt_err_init(&stream->err);
        (void)TT_FAIL_ERRNO(&stream->err, errno_value, "connect to %s", stream->remote);
        stream->failed = true; /* the first address's answer is told if no other one works */
    }
}

static void on_attempt_closed(uv_handle_t *handle)
{
    struct tt_tls_stream *stream = handle->data;
    if (tt_sm_state(&stream->sm) == STREAM_CONNECTING) {
        connect_next(stream);
    }
    tt_stream_release(stream);
}

static void attempt_drop(struct tt_tls_stream *stream)
{
    stream->poll_open = false;
    stream->poll_mask = 0;
    uv_close((uv_handle_t *)&stream->poll, on_attempt_closed);
    (void)close(stream->fd); /* nothing was sent */
    stream->fd = -1;
}

static void on_connect_event(uv_poll_t *poll, int status, int events)
{
    struct tt_tls_stream *stream = poll->data;
    int cause = 0;
    socklen_t size = sizeof cause;
    (void)status; /* SO_ERROR tells more */
    (void)events;
    if (tt_sm_state(&stream->sm) != STREAM_CONNECTING) {
        return;
    }
    if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &cause, &size) != 0) {
        cause = errno;
    }
    if (cause != 0) {
        fail_connect(stream, cause);
        attempt_drop(stream);
        return;
    }
    stream->failed = false;
    stream->refused = false;
    tt_stream_begin_handshake(stream);
}

/* True when the attempt is under way. */
static bool attempt(struct tt_tls_stream *stream, const struct sockaddr_storage *address)
{
    tt_address_format(address, stream->remote);
    stream->fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (stream->fd < 0) {
        fail_connect(stream, errno);
        return false;
    }
    tt_socket_tune(stream->fd, stream->user_timeout_ms);
    if (connect(stream->fd, (const struct sockaddr *)address, tt_address_size(address)) != 0 &&
        errno != EINPROGRESS) {
        fail_connect(stream, errno);
    } else if (tt_stream_poll_open(stream, UV_WRITABLE, on_connect_event, &stream->err) == 0) {
        return true;
    } else {
        stream->failed = true;
        stream->refused = false;
    }
    (void)close(stream->fd); /* nothing was sent */
    stream->fd = -1;
    return false;
}

static void connect_next(struct tt_tls_stream *stream)
{
    while (stream->address_next != NULL) {
        struct addrinfo *info = stream->address_next;
        struct sockaddr_storage address = {0};
        stream->address_next = info->ai_next;
        if (info->ai_addrlen > sizeof address ||
            (info->ai_family != AF_INET && info->ai_family != AF_INET6)) {
            continue;
        }
        memcpy(&address, info->ai_addr, info->ai_addrlen);
        tt_address_set_port(&address, stream->port);
        if (attempt(stream, &address)) {
            return;
        }
    }
    TT_ASSERT(stream->failed);
    tt_stream_finish(stream);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *addresses)
{
    struct tt_tls_stream *stream = request->data;
    stream->addresses = addresses;
    if (tt_sm_state(&stream->sm) == STREAM_RESOLVING) {
        tt_sm_move(&stream->sm, STREAM_CONNECTING);
        if (status != 0 || addresses == NULL) {
            tt_err_init(&stream->err);
            (void)TT_FAIL_UV(&stream->err, status != 0 ? status : UV_EAI_NODATA, "look up a name");
            stream->failed = true;
        }
        stream->address_next = addresses;
        connect_next(stream);
    }
    tt_stream_release(stream);
}

/* What the server's certificate must say, checked by OpenSSL within the handshake; a SPIFFE id is
 * compared afterwards. The common name never counts. */
static int expect_host(struct tt_tls_stream *stream, const char *name, struct tt_err *err)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(stream->ssl);
    struct sockaddr_storage unused;
    if (tt_str_starts(tt_str_c(name), TT_STR("spiffe://"))) {
        return 0;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    bool ok = tt_address_parse(name, 0, &unused)
                  ? X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1
                  : X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
                        SSL_set_tlsext_host_name(stream->ssl, name) == 1;
    return ok ? 0 : TT_FAIL_SSL(err, TT_EINVAL, "expect the server name %s", name);
}

int tt_stream_expect(struct tt_tls_stream *stream, struct tt_err *err)
{
    return stream->server_name != NULL ? expect_host(stream, stream->server_name, err) : 0;
}

int tt_tls_stream_connect(const struct tt_tls_stream_config *config, const char *host,
                          uint16_t port, struct tt_tls_stream **ret_stream, struct tt_err *err)
{
    TT_ASSERT(!tt_tls_context_is_server(config->tls));
    struct sockaddr_storage address;
    struct tt_tls_stream *stream = tt_stream_new(config, STREAM_RESOLVING);
    stream->port = port;
    if (tt_address_parse(host, port, &address)) {
        tt_sm_move(&stream->sm, STREAM_CONNECTING);
        if (!attempt(stream, &address)) {
            tt_stream_finish(stream); /* told through `closed`, like any refusal */
        }
        *ret_stream = stream;
        return 0;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    stream->resolve.data = stream;
    int r =
        uv_getaddrinfo(tt_loop_uv(stream->loop), &stream->resolve, on_resolved, host, NULL, &hints);
    if (r != 0) {
        stream->events.closed = NULL; /* the caller hears it from us */
        tt_stream_finish(stream);
        return TT_FAIL_UV(err, r, "look up a name");
    }
    stream->pending++;
    *ret_stream = stream;
    return 0;
}
