/* TLS: a thin wrapper of tt_tls_stream, which does all the work.
 * Unix socket: connect → open → closed. flush tries to write at once; what the kernel does not take
 * moves to a second buffer that belongs to one uv_write, while new bytes collect in the first.
 * Failures (refused, reset, timeout) close the handle; `closed` runs when handle and timer are
 * gone. */
#include "api/http/byte_stream.h"

#include "base/buf.h"
#include "base/mem.h"
#include "server/tls/stream.h"

/* ---- TLS ---- */

struct tls_bytes {
    struct tt_byte_stream base;          /* what the user holds */
    struct tt_tls_stream *stream;        /* does the work; frees itself after closed */
    struct tt_byte_stream_events events; /* the user's */
    void *ctx;                           /* of events */
    const char *alpn;                    /* static or NULL: what was asked for */
    bool has_wrong_alpn;                 /* closed tells it */
};

static struct tls_bytes *tls_of(const struct tt_byte_stream *stream)
{
    return TT_CONTAINER_OF(stream, struct tls_bytes, base);
}

static void tls_opened(void *ctx, struct tt_tls_stream *stream)
{
    struct tls_bytes *tls = ctx;
    if (tls->alpn && !tt_str_eq_c(tt_tls_stream_alpn(stream), tls->alpn)) {
        tls->has_wrong_alpn = true;
        tt_tls_stream_close(stream);
        return;
    }
    tls->events.opened(tls->ctx);
}

static void tls_data(void *ctx, struct tt_tls_stream *stream, struct tt_str bytes)
{
    (void)stream;
    const struct tls_bytes *tls = ctx;
    if (!tls->has_wrong_alpn) {
        tls->events.data(tls->ctx, bytes);
    }
}

static void tls_writable(void *ctx, struct tt_tls_stream *stream)
{
    (void)stream;
    const struct tls_bytes *tls = ctx;
    tls->events.writable(tls->ctx);
}

static void tls_closed(void *ctx, struct tt_tls_stream *stream, const struct tt_err *err)
{
    (void)stream;
    struct tls_bytes *tls = ctx;
    struct tt_err wrong;
    tt_err_init(&wrong);
    if (tls->has_wrong_alpn) {
        (void)TT_FAIL(&wrong, TT_EPROTO, "the peer does not speak %s", tls->alpn);
        err = &wrong;
    }
    tls->events.closed(tls->ctx, err);
    tt_free(tls);
}

static int tls_write(struct tt_byte_stream *stream, struct tt_str bytes)
{
    return tt_tls_stream_write(tls_of(stream)->stream, bytes);
}

static size_t tls_queued(const struct tt_byte_stream *stream)
{
    return tt_tls_stream_queued(tls_of(stream)->stream);
}

static void tls_flush(struct tt_byte_stream *stream)
{
    tt_tls_stream_flush(tls_of(stream)->stream);
}

static void tls_close(struct tt_byte_stream *stream)
{
    tt_tls_stream_close(tls_of(stream)->stream);
}

static void tls_abort(struct tt_byte_stream *stream)
{
    tt_tls_stream_abort(tls_of(stream)->stream);
}

static const struct tt_byte_stream_ops tls_ops = {tls_write, tls_queued, tls_flush, tls_close,
                                                  tls_abort};

static int connect_tls(const struct tt_byte_stream_config *config,
                       struct tt_byte_stream **ret_stream, struct tt_err *err)
{
    struct tls_bytes *tls = TT_NEW(struct tls_bytes);
    tls->base.ops = &tls_ops;
    tls->events = config->events;
    tls->ctx = config->ctx;
    tls->alpn = config->alpn;
    struct tt_tls_stream_config stream_config = {
        .loop = config->loop,
        .tls = config->tls,
        .server_name = config->server_name,
        .write_queue_max = config->write_queue_max,
        .handshake_timeout_ms = config->connect_timeout_ms,
        .events = {tls_opened, tls_data, tls_writable, tls_closed},
        .ctx = tls,
    };
    int r = tt_tls_stream_connect(&stream_config, config->host, config->port, &tls->stream, err);
    if (r < 0) {
        tt_free(tls);
        return r;
    }
    *ret_stream = &tls->base;
    return 0;
}

/* ---- unix socket ---- */

enum { READ_SIZE = 64 * 1024, CONNECT_MS = 10000 };

struct unix_bytes {
    struct tt_byte_stream base;          /* what the user holds */
    uv_pipe_t pipe;                      /* the socket; a handle */
    uv_connect_t connect;                /* in flight until is_open */
    uv_write_t write;                    /* in flight when is_writing */
    struct tt_timer timer;               /* connect timeout */
    struct tt_byte_stream_events events; /* the user's */
    void *ctx;                           /* of events */
    struct tt_buf out;                   /* queued */
    struct tt_buf busy;                  /* belongs to `write` */
    struct tt_err err;                   /* code 0: clean end */
    uint32_t handles;                    /* not yet closed */
    bool is_open;                        /* connected; stays true */
    bool is_writing;                     /* busy is in a uv_write; one at a time */
    bool is_closing;                     /* handles are closing: of the events only closed is due */
    char read[READ_SIZE];                /* the next bytes, lent to data */
};

static struct unix_bytes *unix_of(const struct tt_byte_stream *stream)
{
    return TT_CONTAINER_OF(stream, struct unix_bytes, base);
}

static void unix_handle_closed(struct unix_bytes *u)
{
    if (--u->handles > 0) {
        return;
    }
    u->events.closed(u->ctx, u->err.code != 0 ? &u->err : NULL);
    tt_buf_fini(&u->out);
    tt_buf_fini(&u->busy);
    tt_free(u);
}

static void on_pipe_closed(uv_handle_t *handle)
{
    unix_handle_closed(handle->data);
}

static void on_timer_closed(struct tt_timer *timer)
{
    unix_handle_closed(TT_CONTAINER_OF(timer, struct unix_bytes, timer));
}

static void unix_shut(struct unix_bytes *u)
{
    if (u->is_closing) {
        return;
    }
    u->is_closing = true;
    uv_close((uv_handle_t *)&u->pipe, on_pipe_closed);
    tt_timer_close(&u->timer, on_timer_closed);
}

static void unix_fail(struct unix_bytes *u, int uv_code, const char *what)
{
    if (u->err.code == 0 && !u->is_closing) {
        (void)TT_FAIL_UV(&u->err, uv_code, what);
    }
    unix_shut(u);
}

static void on_connect_timeout(struct tt_timer *timer)
{
    unix_fail(TT_CONTAINER_OF(timer, struct unix_bytes, timer), UV_ETIMEDOUT, "connect");
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)size;
    struct unix_bytes *u = handle->data;
    *buf = uv_buf_init(u->read, sizeof u->read);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct unix_bytes *u = stream->data;
    if (u->is_closing) {
        return;
    }
    if (size == UV_EOF) {
        unix_shut(u);
    } else if (size < 0) {
        unix_fail(u, (int)size, "read from a unix socket");
    } else if (size > 0) {
        u->events.data(u->ctx, tt_str(buf->base, (size_t)size));
    }
}

static void on_connect(uv_connect_t *connect, int status)
{
    struct unix_bytes *u = connect->data;
    if (u->is_closing) {
        return;
    }
    if (status == 0) {
        status = uv_read_start((uv_stream_t *)&u->pipe, on_alloc, on_read);
    }
    if (status < 0) {
        unix_fail(u, status, "connect to a unix socket");
        return;
    }
    u->is_open = true;
    tt_timer_stop(&u->timer);
    u->events.opened(u->ctx);
}

static void unix_flush(struct tt_byte_stream *stream);

static void on_written(uv_write_t *write, int status)
{
    struct unix_bytes *u = write->data;
    u->is_writing = false;
    tt_buf_reset(&u->busy);
    if (u->is_closing) {
        return;
    }
    if (status < 0) {
        unix_fail(u, status, "write to a unix socket");
        return;
    }
    unix_flush(&u->base);
    if (!u->is_closing) {
        u->events.writable(u->ctx);
    }
}

static void unix_flush(struct tt_byte_stream *stream)
{
    struct unix_bytes *u = unix_of(stream);
    if (!u->is_open || u->is_writing || u->is_closing || u->out.len == 0) {
        return;
    }
    uv_buf_t part = uv_buf_init(u->out.ptr, (unsigned)u->out.len);
    int taken = uv_try_write((uv_stream_t *)&u->pipe, &part, 1);
    if (taken < 0 && taken != UV_EAGAIN) {
        unix_fail(u, taken, "write to a unix socket");
        return;
    }
    tt_buf_consume(&u->out, taken > 0 ? (size_t)taken : 0);
    if (u->out.len == 0) {
        return;
    }
    struct tt_buf rest = u->out;
    u->out = u->busy;
    u->busy = rest;
    part = uv_buf_init(u->busy.ptr, (unsigned)u->busy.len);
    u->is_writing = true;
    u->write.data = u;
    int r = uv_write(&u->write, (uv_stream_t *)&u->pipe, &part, 1, on_written);
    if (r < 0) {
        u->is_writing = false;
        unix_fail(u, r, "write to a unix socket");
    }
}

static int unix_write(struct tt_byte_stream *stream, struct tt_str bytes)
{
    struct unix_bytes *u = unix_of(stream);
    if (u->is_closing) {
        return TT_ECLOSED;
    }
    if (bytes.len > u->out.size_max - u->out.len) {
        return TT_EBUSY;
    }
    tt_buf_str(&u->out, bytes);
    return 0;
}

static size_t unix_queued(const struct tt_byte_stream *stream)
{
    const struct unix_bytes *u = unix_of(stream);
    return u->out.len + (u->is_writing ? u->busy.len : 0);
}

static void unix_close(struct tt_byte_stream *stream)
{
    unix_flush(stream);
    unix_shut(unix_of(stream));
}

static void unix_abort(struct tt_byte_stream *stream)
{
    unix_shut(unix_of(stream));
}

static const struct tt_byte_stream_ops unix_ops = {unix_write, unix_queued, unix_flush, unix_close,
                                                   unix_abort};

static int connect_unix(const struct tt_byte_stream_config *config,
                        struct tt_byte_stream **ret_stream, struct tt_err *err)
{
    struct unix_bytes *u = TT_NEW(struct unix_bytes);
    int r = uv_pipe_init(tt_loop_uv(config->loop), &u->pipe, 0);
    if (r < 0) {
        tt_free(u);
        return TT_FAIL_UV(err, r, "create a unix socket");
    }
    u->base.ops = &unix_ops;
    u->pipe.data = u;
    u->connect.data = u;
    u->events = config->events;
    u->ctx = config->ctx;
    u->handles = 2;
    tt_err_init(&u->err);
    tt_buf_init(&u->out, config->write_queue_max);
    tt_buf_init(&u->busy, config->write_queue_max);
    tt_timer_init(&u->timer, config->loop, on_connect_timeout);
    tt_timer_start(&u->timer, config->connect_timeout_ms ? config->connect_timeout_ms : CONNECT_MS,
                   0);
    uv_pipe_connect(&u->connect, &u->pipe, config->unix_path, on_connect);
    *ret_stream = &u->base;
    return 0;
}

int tt_byte_stream_connect(const struct tt_byte_stream_config *config,
                           struct tt_byte_stream **ret_stream, struct tt_err *err)
{
    TT_ASSERT(config->events.opened && config->events.data && config->events.writable &&
              config->events.closed);
    TT_ASSERT((config->tls != NULL) != (config->unix_path != NULL));
    return config->tls ? connect_tls(config, ret_stream, err)
                       : connect_unix(config, ret_stream, err);
}
