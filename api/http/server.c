/* The server: listener, end-of-turn flush, sweep, stop.
 *
 * The flush runs in uv_prepare: after all callbacks of a turn, before the loop blocks. While a
 * connection is dirty an idle handle is active, so that the loop does not block with output
 * waiting, whatever made it after the flush (another prepare callback, a very fast reader). Stop:
 * listener closed, connections drained until drain_ms, then cut; when the last one is gone the
 * handles are closed and `closed` runs. */
#include "api/http/server_internal.h"

#include <nghttp2/nghttp2.h>

#include "base/log.h"

static void apply_defaults(struct tt_http_limits *limits)
{
#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if (limits->field == 0) {                                                                  \
            limits->field = (value);                                                               \
        }                                                                                          \
    } while (0)
    DEFAULT(connections_max, 4096);
    DEFAULT(connections_per_client_max, 512);
    DEFAULT(streams_per_connection_max, 256);
    DEFAULT(requests_per_client_max, 8192);
    DEFAULT(body_size_max, 2u << 20);
    DEFAULT(body_bytes_per_client_max, 64u << 20);
    DEFAULT(response_backlog_max, 1u << 20);
    DEFAULT(response_bytes_per_client_max, 32u << 20);
    DEFAULT(resets_per_second_max, 500);
    DEFAULT(idle_timeout_ms, 300000);
    DEFAULT(header_timeout_ms, 10000);
#undef DEFAULT
}

static void flush_dirty(struct tt_http_server *server)
{
    /* Connections made dirty again by their own flush wait for the next round. */
    uint32_t left = server->conn_count;
    while (left > 0 && !tt_list_empty(&server->dirty)) {
        left--;
        http_conn_flush(TT_CONTAINER_OF(server->dirty.next, struct http_conn, dirty_link));
    }
}

static void idle_turn(uv_idle_t *idle)
{
    (void)idle; /* its being active is what keeps the loop from blocking */
}

void http_server_has_dirty(struct tt_http_server *server)
{
    uv_idle_start(&server->idle, idle_turn);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct tt_http_server *server = prepare->data;
    if (tt_list_empty(&server->dirty)) {
        return;
    }
    tt_loop_mark(server->loop, "http flush");
    flush_dirty(server);
    if (tt_list_empty(&server->dirty)) {
        uv_idle_stop(&server->idle);
    }
}

static void on_sweep(struct tt_timer *timer)
{
    struct tt_http_server *server = TT_CONTAINER_OF(timer, struct tt_http_server, sweep);
    uint64_t now = http_now(server);
    bool cut_all = server->is_stopping && now >= server->drain_until_ms;
    struct tt_list *node = server->conns.next;
    while (node != &server->conns) {
        struct http_conn *conn = TT_CONTAINER_OF(node, struct http_conn, link);
        node = node->next;
        if (cut_all) {
            http_conn_doom(conn);
        } else {
            http_conn_sweep(conn, now);
        }
    }
    http_exchange_pool_trim(server, server->pool_count - server->pool_low / 4);
    server->pool_low = server->pool_count;
}

static void on_accept(void *ctx, int fd, const char *remote)
{
    http_conn_accept(ctx, fd, remote);
}

static void start_handles(struct tt_http_server *server)
{
    uv_loop_t *uv = tt_loop_uv(server->loop);
    uv_prepare_init(uv, &server->prepare);
    uv_idle_init(uv, &server->idle);
    server->prepare.data = server;
    server->idle.data = server;
    uv_prepare_start(&server->prepare, on_prepare);
    tt_timer_init(&server->sweep, server->loop, on_sweep);
    tt_timer_start(&server->sweep, HTTP_SWEEP_MS, HTTP_SWEEP_MS);
    server->handles = 3;
}

int tt_http_server_new(const struct tt_http_server_config *config,
                       struct tt_http_server **ret_server, struct tt_err *err)
{
    TT_ASSERT(config->handler.request && config->handler.cancelled);
    struct tt_http_server *server = TT_NEW(struct tt_http_server);
    server->loop = config->loop;
    server->tls = config->tls;
    server->limits = config->limits;
    server->handler = config->handler;
    apply_defaults(&server->limits);
    tt_list_init(&server->conns);
    tt_list_init(&server->dirty);
    tt_list_init(&server->pool);
    server->accounts = tt_map_new((size_t)server->limits.connections_max * 2, NULL);
    tt_buf_init(&server->scratch, HTTP_HEADER_BYTES_MAX);
    const struct tt_tls_listener_config listener = {.loop = config->loop,
                                                    .shared = true,
                                                    .host = config->host,
                                                    .port = config->port,
                                                    .accepted = on_accept,
                                                    .ctx = server};
    int r = tt_tls_listener_new(&listener, &server->listener, err);
    if (r < 0) {
        tt_http_server_free(server);
        return TT_WRAP(err, r, "HTTP server on %s:%u", config->host, config->port);
    }
    server->port = tt_tls_listener_port(server->listener);
    start_handles(server);
    *ret_server = server;
    return 0;
}

uint16_t tt_http_server_port(const struct tt_http_server *server)
{
    return server->port;
}

static void handle_closed(struct tt_http_server *server)
{
    TT_ASSERT(server->handles > 0);
    if (--server->handles == 0 && server->closed) {
        server->closed(server->closed_ctx);
    }
}

static void uv_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void sweep_closed(struct tt_timer *timer)
{
    handle_closed(TT_CONTAINER_OF(timer, struct tt_http_server, sweep));
}

void http_server_maybe_closed(struct tt_http_server *server)
{
    bool is_done = server->is_stopping && !server->listener && server->conn_count == 0;
    if (!is_done || uv_is_closing((uv_handle_t *)&server->prepare)) {
        return;
    }
    uv_close((uv_handle_t *)&server->prepare, uv_handle_closed);
    uv_close((uv_handle_t *)&server->idle, uv_handle_closed);
    tt_timer_close(&server->sweep, sweep_closed);
}

static void listener_closed(void *ctx)
{
    struct tt_http_server *server = ctx;
    server->listener = NULL;
    http_server_maybe_closed(server);
}

void tt_http_server_stop(struct tt_http_server *server, uint64_t drain_ms,
                         void (*closed)(void *ctx), void *ctx)
{
    TT_ASSERT(!server->is_stopping);
    server->is_stopping = true;
    server->drain_until_ms = http_now(server) + drain_ms;
    server->closed = closed;
    server->closed_ctx = ctx;
    tt_timer_start(&server->sweep, drain_ms < HTTP_SWEEP_MS ? drain_ms : HTTP_SWEEP_MS,
                   HTTP_SWEEP_MS);
    for (struct tt_list *n = server->conns.next; n != &server->conns; n = n->next) {
        struct http_conn *conn = TT_CONTAINER_OF(n, struct http_conn, link);
        if (conn->protocol && !conn->is_draining) {
            conn->is_draining = true;
            conn->protocol->drain(conn);
        }
        http_conn_dirty(conn);
    }
    tt_tls_listener_close(server->listener, listener_closed, server);
}

void tt_http_server_free(struct tt_http_server *server)
{
    if (!server) {
        return;
    }
    TT_ASSERT(server->handles == 0 && server->conn_count == 0);
    http_exchange_pool_trim(server, 0);
    tt_map_free(server->accounts);
    tt_buf_fini(&server->scratch);
    nghttp2_session_callbacks_del(server->h2_callbacks);
    nghttp2_option_del(server->h2_options);
    tt_free(server);
}

void tt_http_server_get_stats(const struct tt_http_server *server,
                              struct tt_http_server_stats *ret_stats)
{
    *ret_stats = server->stats;
    ret_stats->connections_open = server->conn_count;
}

void tt_http_server_cut(struct tt_http_server *server,
                        bool (*is_cut)(void *ctx, const struct tt_peer_identity *peer), void *ctx)
{
    for (struct tt_list *n = server->conns.next; n != &server->conns; n = n->next) {
        struct http_conn *conn = TT_CONTAINER_OF(n, struct http_conn, link);
        const struct tt_peer_identity *peer =
            conn->protocol ? tt_tls_stream_peer(conn->stream) : NULL;
        if (peer && is_cut(ctx, peer)) {
            http_conn_doom(conn);
        }
    }
}

void tt_http_server_expire(struct tt_http_server *server, uint64_t wall_ms)
{
    for (struct tt_list *n = server->conns.next; n != &server->conns; n = n->next) {
        struct http_conn *conn = TT_CONTAINER_OF(n, struct http_conn, link);
        const struct tt_peer_identity *peer =
            conn->protocol ? tt_tls_stream_peer(conn->stream) : NULL;
        if (!peer || wall_ms < peer->not_after_ms) {
            continue;
        }
        if (!conn->is_draining) {
            conn->is_draining = true;
            conn->protocol->drain(conn);
            http_conn_dirty(conn);
        } else if (wall_ms >= peer->not_after_ms + HTTP_EXPIRED_MS) {
            http_conn_doom(conn);
        }
    }
}
