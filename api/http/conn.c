/* A connection: from accepted socket to freed memory, whatever protocol it speaks.
 *
 * accept → handshake → open (ALPN chooses the protocol) → [draining] → closing → closed.
 * Output is never written inside a protocol callback: a connection with something to say is put on
 * the server's dirty list, and the turn's end flushes each of them with one coalesced write. The
 * same place closes and aborts streams, so that no connection goes away under a callback of its
 * own. Failure modes: the peer goes (closed), a protocol violation or flood (doomed), a peer that
 * does not read or write (sweep). */
#include "api/http/server_internal.h"

#include <unistd.h>

#include "base/log.h"

enum { FILL_ROUNDS_MAX = 32 };

void http_conn_dirty(struct http_conn *conn)
{
    if (tt_list_empty(&conn->dirty_link)) {
        http_server_has_dirty(conn->server);
        tt_list_push_back(&conn->server->dirty, &conn->dirty_link);
    }
}

void http_conn_doom(struct http_conn *conn)
{
    if (!conn->is_doomed) {
        conn->is_doomed = true;
        conn->server->stats.connections_cut++;
    }
    http_conn_dirty(conn);
}

void http_conn_write(struct http_conn *conn, struct tt_str bytes)
{
    if (tt_tls_stream_write(conn->stream, bytes) < 0) {
        http_conn_doom(conn); /* cannot be: fill stops a frame before the maximum */
    }
}

bool http_conn_may_fill(const struct http_conn *conn)
{
    return !conn->is_doomed && tt_tls_stream_queued(conn->stream) < HTTP_FILL_MAX;
}

bool http_conn_spend(struct http_conn *conn, uint32_t *counter, uint32_t max)
{
    uint64_t now = http_now(conn->server);
    if (now - conn->budget_ms >= 1000) {
        conn->budget_ms = now;
        conn->budget_resets = 0;
        conn->budget_frames = 0;
    }
    return ++*counter <= max;
}

static void swap_account(struct http_conn *conn, const char *kind, struct tt_str key)
{
    struct http_account *old = conn->account;
    conn->account = http_account_ref(conn->server, kind, key);
    http_account_unref(conn->server, old);
}

static void conn_opened(void *ctx, struct tt_tls_stream *stream)
{
    struct http_conn *conn = ctx;
    struct tt_http_server *server = conn->server;
    const struct tt_peer_identity *peer = tt_tls_stream_peer(stream);
    if (peer) {
        swap_account(conn, "id", tt_str_c(peer->uri));
    }
    bool is_h2 = tt_str_eq_c(tt_tls_stream_alpn(stream), "h2");
    const struct http_protocol *protocol = is_h2 ? &http2_protocol : &http1_protocol;
    struct tt_err err;
    tt_err_init(&err);
    if (protocol->open(conn, &err) < 0) {
        TT_LOG(TT_LOG_ERROR, "http", "cannot open a connection", TT_F_ERR(&err));
        http_conn_doom(conn);
        return;
    }
    conn->protocol = protocol;
    conn->idle_since_ms = http_now(server);
    if (conn->account->refs > server->limits.connections_per_client_max) {
        server->stats.connections_cut++;
        protocol->refuse(conn);
        conn->is_draining = true;
    } else if (server->is_stopping) {
        conn->is_draining = true;
        protocol->drain(conn);
    }
    http_conn_dirty(conn);
}

static void conn_data(void *ctx, struct tt_tls_stream *stream, struct tt_str bytes)
{
    (void)stream;
    struct http_conn *conn = ctx;
    if (conn->is_doomed || !conn->protocol) {
        return;
    }
    if (conn->protocol->receive(conn, bytes) < 0) {
        http_conn_doom(conn);
    }
    http_conn_dirty(conn);
}

static void conn_writable(void *ctx, struct tt_tls_stream *stream)
{
    (void)stream;
    http_conn_dirty(ctx);
}

static void conn_free(struct http_conn *conn)
{
    struct tt_http_server *server = conn->server;
    while (!tt_list_empty(&conn->exchanges)) {
        http_exchange_close(TT_CONTAINER_OF(conn->exchanges.next, struct tt_http_exchange, link));
    }
    if (conn->protocol) {
        conn->protocol->close(conn);
    }
    tt_list_remove(&conn->dirty_link);
    tt_list_remove(&conn->link);
    http_account_unref(server, conn->account);
    TT_ASSERT(server->conn_count > 0);
    server->conn_count--;
    tt_free(conn);
    http_server_maybe_closed(server);
}

static void conn_closed(void *ctx, struct tt_tls_stream *stream, const struct tt_err *err)
{
    (void)stream;
    struct http_conn *conn = ctx;
    if (err && !conn->protocol) {
        TT_LOG(TT_LOG_DEBUG, "http", "handshake failed", TT_F_ERR(err));
    }
    conn_free(conn);
}

/* "127.0.0.1:4711" → "127.0.0.1". */
static struct tt_str address_host(const char *remote)
{
    struct tt_str text = tt_str_c(remote);
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] == ':') {
            return tt_str_head(text, i - 1);
        }
    }
    return text;
}

void http_conn_accept(struct tt_http_server *server, int fd, const char *remote)
{
    server->stats.connections_seen++;
    if (server->is_stopping || server->conn_count >= server->limits.connections_max) {
        server->stats.connections_cut++;
        close(fd);
        return;
    }
    struct http_account *account = http_account_ref(server, "ip", address_host(remote));
    if (account->refs > server->limits.connections_per_client_max) {
        server->stats.connections_cut++;
        http_account_unref(server, account);
        close(fd);
        return;
    }
    struct http_conn *conn = TT_NEW(struct http_conn);
    conn->server = server;
    conn->account = account;
    tt_list_init(&conn->dirty_link);
    tt_list_init(&conn->exchanges);
    tt_list_push_back(&server->conns, &conn->link);
    server->conn_count++;
    struct tt_tls_stream_config config = {
        .loop = server->loop,
        .tls = server->tls,
        .write_queue_max = HTTP_QUEUE_MAX,
        .handshake_timeout_ms = server->limits.header_timeout_ms,
        .events = {conn_opened, conn_data, conn_writable, conn_closed},
        .ctx = conn,
    };
    struct tt_err err;
    tt_err_init(&err);
    if (tt_tls_stream_accept(&config, fd, &conn->stream, &err) < 0) {
        TT_LOG(TT_LOG_WARN, "http", "cannot accept a connection", TT_F_ERR(&err));
        conn_free(conn);
    }
}

/* Most connections have none to call: looking at each exchange would only pull it into the cache.
 */
static void drain_callbacks(struct http_conn *conn)
{
    if (!conn->wants_drain) {
        return;
    }
    conn->wants_drain = false; /* who still waits says so again */
    struct tt_list *node = conn->exchanges.next;
    for (uint32_t left = conn->exchange_count; left > 0 && node != &conn->exchanges; left--) {
        struct tt_list *next = node->next;
        http_exchange_drained(TT_CONTAINER_OF(node, struct tt_http_exchange, link));
        node = next;
    }
}

void http_conn_flush(struct http_conn *conn)
{
    tt_list_remove(&conn->dirty_link);
    if (conn->is_closing) {
        return;
    }
    if (conn->is_doomed) {
        conn->is_closing = true;
        tt_tls_stream_abort(conn->stream);
        return;
    }
    if (!conn->protocol) {
        return;
    }
    bool more = true;
    for (int round = 0; more && round < FILL_ROUNDS_MAX && !conn->is_doomed; round++) {
        more = conn->protocol->fill(conn);
        tt_tls_stream_flush(conn->stream);
        more = more && http_conn_may_fill(conn);
    }
    drain_callbacks(conn);
    if (conn->is_doomed || more) {
        http_conn_dirty(conn);
    } else if (conn->protocol->is_finished(conn)) {
        conn->is_closing = true;
        tt_tls_stream_close(conn->stream);
    }
}

/* True when the peer keeps us waiting with this exchange for too long. */
static bool is_stalled(const struct tt_http_exchange *ex, uint64_t now_ms)
{
    if (ex->state == HTTP_EX_RECEIVING) {
        return now_ms - ex->progress_ms > ex->server->limits.header_timeout_ms;
    }
    return ex->out_bytes > 0 && now_ms - ex->progress_ms > HTTP_STALL_MS;
}

/* False: the connection was doomed for a stalled exchange. */
static bool sweep_exchanges(struct http_conn *conn, uint64_t now_ms)
{
    struct tt_list *node = conn->exchanges.next;
    while (node != &conn->exchanges) {
        struct tt_http_exchange *ex = TT_CONTAINER_OF(node, struct tt_http_exchange, link);
        node = node->next;
        if (is_stalled(ex, now_ms)) {
            http_conn_doom(conn);
            return false;
        }
        bool is_rest_unwanted =
            ex->state == HTTP_EX_ENDED && !ex->request_complete && ex->out_bytes == 0;
        if (is_rest_unwanted && now_ms - ex->progress_ms >= HTTP_SWEEP_MS) {
            conn->protocol->cut_request(ex);
            http_conn_dirty(conn);
        }
    }
    return true;
}

void http_conn_sweep(struct http_conn *conn, uint64_t now_ms)
{
    if (conn->is_closing || !conn->protocol || !sweep_exchanges(conn, now_ms)) {
        return;
    }
    bool has_lingered = conn->linger_until_ms != 0 && now_ms >= conn->linger_until_ms;
    uint64_t quiet_ms = conn->exchange_count == 0 ? now_ms - conn->idle_since_ms : 0;
    if (has_lingered || (conn->is_draining && quiet_ms > HTTP_LINGER_MS)) {
        conn->is_closing = true;
        tt_tls_stream_close(conn->stream);
    } else if (!conn->is_draining && quiet_ms > conn->server->limits.idle_timeout_ms) {
        conn->is_draining = true;
        conn->protocol->drain(conn);
        http_conn_dirty(conn);
    }
}
