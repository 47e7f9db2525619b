#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "server/tls/address.h"
#include "server/tls/stream.h"

/* Happy path: bind (with SO_REUSEPORT when shared), listen, and at each readable event accept a
 * bounded number of sockets, handing each to `accepted`, which owns the descriptor from then on.
 *
 * Failure modes: out of descriptors or memory → the backlog stays with the kernel and polling stops
 * for a moment, so that a level-triggered event does not spin; a connection that went away before
 * accept is skipped. Close: both handles must be gone before the listener is freed. */

enum { BACKLOG = 1024, ACCEPT_BATCH = 32, RETRY_MS = 50 };

struct tt_tls_listener {
    uv_poll_t poll;        /* on fd */
    struct tt_timer retry; /* running while polling is off because accept failed */
    struct tt_loop *loop;  /* kept */
    int fd;                /* owned */
    uint16_t port;         /* what it is bound to */
    uint32_t handle_count; /* open handles: freed at 0 */
    bool closing;          /* close was called */
    /* gives fd away; remote as text, borrowed */
    void (*accepted)(void *ctx, int fd, const char *remote);
    void *ctx;                        /* of accepted */
    void (*closed)(void *closed_ctx); /* may be NULL */
    void *closed_ctx;                 /* of closed */
};

static void on_readable(uv_poll_t *poll, int status, int events);

static void polling_start(struct tt_tls_listener *listener)
{
    int r = uv_poll_start(&listener->poll, UV_READABLE, on_readable);
    TT_ASSERT(r == 0); /* fails only on a closing handle */
}

static void on_retry(struct tt_timer *timer)
{
    polling_start(TT_CONTAINER_OF(timer, struct tt_tls_listener, retry));
}

/* One accept; false ends the batch. */
static bool accept_one(struct tt_tls_listener *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    int fd =
        accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        char remote[TT_REMOTE_SIZE];
        tt_address_format(&address, remote);
        listener->accepted(listener->ctx, fd, remote);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        struct tt_err err;
        tt_err_init(&err);
        (void)TT_FAIL_ERRNO(&err, errno, "accept"); /* only for the log line */
        TT_LOG(TT_LOG_WARN, "tls", "cannot accept connections", TT_F_ERR(&err));
        (void)uv_poll_stop(&listener->poll); /* cannot fail */
        tt_timer_start(&listener->retry, RETRY_MS, 0);
        return false;
    }
    return errno == EINTR || errno == ECONNABORTED; /* EAGAIN: the backlog is empty */
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct tt_tls_listener *listener = poll->data;
    (void)status; /* an error shows in accept */
    (void)events;
    tt_loop_mark(listener->loop, "accept");
    for (int i = 0; i < ACCEPT_BATCH && !listener->closing; i++) {
        if (!accept_one(listener)) {
            return;
        }
    }
}

/* A listening socket; also set when it fails after the socket was made. */
static int open_socket(const struct tt_tls_listener_config *config, int *ret_fd, uint16_t *ret_port,
                       struct tt_err *err)
{
    struct sockaddr_storage address;
    int one = 1;
    if (!tt_address_parse(config->host, config->port, &address)) {
        return TT_FAIL(err, TT_EINVAL, "%s is not a numeric address", config->host);
    }
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "create a socket");
    }
    *ret_fd = fd;
    socklen_t size = tt_address_size(&address);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        (config->shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0) ||
        bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return TT_FAIL_ERRNO(err, errno, "listen on %s port %u", config->host,
                             (unsigned)config->port);
    }
    *ret_port = tt_address_port(&address);
    return 0;
}

int tt_tls_port_check(const char *host, uint16_t port, struct tt_err *err)
{
    const struct tt_tls_listener_config config = {.host = host, .port = port};
    int fd = -1;
    uint16_t bound;
    int r = open_socket(&config, &fd, &bound, err);
    if (fd >= 0) {
        (void)close(fd); /* nobody has connected */
    }
    return r;
}

int tt_tls_listener_new(const struct tt_tls_listener_config *config,
                        struct tt_tls_listener **ret_listener, struct tt_err *err)
{
    struct tt_tls_listener *listener = TT_NEW(struct tt_tls_listener);
    listener->loop = config->loop;
    listener->accepted = config->accepted;
    listener->ctx = config->ctx;
    listener->fd = -1;
    int r = open_socket(config, &listener->fd, &listener->port, err);
    if (r == 0) {
        int uv = uv_poll_init(tt_loop_uv(listener->loop), &listener->poll, listener->fd);
        r = uv != 0 ? TT_FAIL_UV(err, uv, "watch a listening socket") : 0;
    }
    if (r != 0) {
        if (listener->fd >= 0) {
            (void)close(listener->fd); /* nothing was written to it */
        }
        tt_free(listener);
        return r;
    }
    listener->poll.data = listener;
    tt_timer_init(&listener->retry, listener->loop, on_retry);
    listener->handle_count = 2;
    polling_start(listener);
    *ret_listener = listener;
    return 0;
}

uint16_t tt_tls_listener_port(const struct tt_tls_listener *listener)
{
    return listener->port;
}

static void handle_gone(struct tt_tls_listener *listener)
{
    TT_ASSERT(listener->handle_count > 0 && listener->closing);
    if (--listener->handle_count > 0) {
        return;
    }
    if (listener->closed != NULL) {
        listener->closed(listener->closed_ctx);
    }
    tt_free(listener);
}

static void on_poll_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

static void on_retry_closed(struct tt_timer *timer)
{
    handle_gone(TT_CONTAINER_OF(timer, struct tt_tls_listener, retry));
}

void tt_tls_listener_close(struct tt_tls_listener *listener, void (*closed)(void *ctx), void *ctx)
{
    TT_ASSERT(!listener->closing);
    listener->closing = true;
    listener->closed = closed;
    listener->closed_ctx = ctx;
    uv_close((uv_handle_t *)&listener->poll, on_poll_closed);
    tt_timer_close(&listener->retry, on_retry_closed);
    (void)close(listener->fd); /* a listening socket has nothing to lose */
}
