/* The HTTP server behind a stream of our own making: the first byte chooses HTTP/1.1 or HTTP/2, the
 * second how the rest is cut into reads. The handler answers, streams, holds or aborts by the first
 * byte of the path. Checked: no memory error, no leak, every exchange ends, accounts come out even
 * (the server asserts that when a connection goes). */
#include <unistd.h>

#include "api/http/server_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stands in for server/tls/stream.c. */
struct tt_tls_stream {
    struct tt_tls_stream_config config;
    size_t queued;
    bool is_h2;
    bool is_over;
};

int tt_tls_stream_accept(const struct tt_tls_stream_config *config, int fd,
                         struct tt_tls_stream **ret_stream, struct tt_err *err)
{
    (void)err;
    struct tt_tls_stream *stream = TT_NEW(struct tt_tls_stream);
    stream->config = *config;
    stream->is_h2 = fd == -2;
    *ret_stream = stream;
    return 0;
}

int tt_tls_stream_write(struct tt_tls_stream *stream, struct tt_str bytes)
{
    TT_ASSERT(bytes.len <= stream->config.write_queue_max - stream->queued);
    stream->queued += bytes.len;
    return 0;
}

size_t tt_tls_stream_queued(const struct tt_tls_stream *stream)
{
    return stream->queued;
}

void tt_tls_stream_flush(struct tt_tls_stream *stream)
{
    stream->queued = 0;
}

void tt_tls_stream_pause(struct tt_tls_stream *stream, bool paused)
{
    (void)stream;
    (void)paused;
}

void tt_tls_stream_close(struct tt_tls_stream *stream)
{
    stream->is_over = true;
}

void tt_tls_stream_abort(struct tt_tls_stream *stream)
{
    stream->is_over = true;
}

const struct tt_peer_identity *tt_tls_stream_peer(const struct tt_tls_stream *stream)
{
    (void)stream;
    return NULL;
}

struct tt_str tt_tls_stream_alpn(const struct tt_tls_stream *stream)
{
    return stream->is_h2 ? TT_STR("h2") : TT_STR("http/1.1");
}

struct tt_tls_listener {
    int unused;
};

int tt_tls_listener_new(const struct tt_tls_listener_config *config,
                        struct tt_tls_listener **ret_listener, struct tt_err *err)
{
    (void)config;
    (void)err;
    *ret_listener = TT_NEW(struct tt_tls_listener);
    return 0;
}

uint16_t tt_tls_listener_port(const struct tt_tls_listener *listener)
{
    (void)listener;
    return 1;
}

void tt_tls_listener_close(struct tt_tls_listener *listener, void (*closed)(void *ctx), void *ctx)
{
    tt_free(listener);
    closed(ctx);
}

static void on_request(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    const struct tt_http_request *request = tt_http_request(ex);
    struct tt_http_part part = {request->body, NULL, NULL};
    char choice = request->path.len > 1 ? request->path.ptr[1] : ' ';
    TT_ASSERT(request->body.ptr[request->body.len] == '\0');
    if (choice == 's') {
        tt_http_stream_begin(ex, 200, NULL, 0, NULL);
        (void)tt_http_stream_write(ex, &part, 1); /* a refusal is fine */
        tt_http_stream_end(ex);
    } else if (choice == 'a') {
        tt_http_stream_abort(ex);
    } else if (choice != 'h') { /* held ones are cancelled when the connection goes */
        tt_http_respond(ex, choice == 'n' ? 204 : 200, NULL, 0, &part, 1);
    }
}

static void on_cancelled(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    (void)ex;
}

static void set_true(void *ctx)
{
    *(bool *)ctx = true;
}

static void feed(struct tt_loop *loop, struct tt_tls_stream *stream, struct tt_str bytes,
                 size_t piece)
{
    stream->config.events.opened(stream->config.ctx, stream);
    (void)uv_run(tt_loop_uv(loop), UV_RUN_NOWAIT);
    while (bytes.len > 0 && !stream->is_over) {
        struct tt_str part = tt_str_head(bytes, piece);
        bytes = tt_str_skip(bytes, part.len);
        stream->config.events.data(stream->config.ctx, stream, part);
        (void)uv_run(tt_loop_uv(loop), UV_RUN_NOWAIT);
    }
    stream->config.events.closed(stream->config.ctx, stream, NULL);
    tt_free(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 65536) {
        return 0;
    }
    struct tt_loop_config loop_config = {.name = "fuzz", .mailbox_max = 4};
    struct tt_loop *loop = tt_loop_new(&loop_config, NULL);
    TT_ASSERT(loop);
    struct tt_http_server_config config = {.loop = loop,
                                           .host = "",
                                           .limits = {.body_size_max = 4096},
                                           .handler = {on_request, on_cancelled, NULL}};
    struct tt_http_server *server = NULL;
    bool closed = false;
    int r = tt_http_server_new(&config, &server, NULL);
    TT_ASSERT(r == 0);
    http_conn_accept(server, (data[0] & 1) ? -2 : -3, "127.0.0.1:1");
    struct http_conn *conn = TT_CONTAINER_OF(server->conns.next, struct http_conn, link);
    feed(loop, conn->stream, tt_str((const char *)data + 2, size - 2), (size_t)data[1] * 16 + 1);
    tt_http_server_stop(server, 0, set_true, &closed);
    while (!closed) {
        (void)uv_run(tt_loop_uv(loop), UV_RUN_ONCE);
    }
    tt_http_server_free(server);
    tt_loop_free(loop);
    return 0;
}
