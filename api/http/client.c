/* Calls and the pool.
 *
 * A call: start → waiting (no free stream) → on a connection → ended → done. Every end, whatever
 * its cause, puts the call on the `ended` list; done runs at the end of the turn, so never inside
 * start, cancel or a callback of the codec. One timer serves all deadlines and the once-a-second
 * look at the connections (keep-alive, idle). */
#include "api/http/client_internal.h"

#include "base/intmath.h"
#include "server/tls/context.h"

enum {
    STREAMS_DEFAULT = 100,
    WAITING_DEFAULT = 1024,
    CONNECT_MS = 5000,
    KEEPALIVE_MS = 10000,
    KEEPALIVE_TIMEOUT_MS = 5000,
    TICK_MS = 1000,
    ANSWER_MAX = 64 << 20
};

static uint64_t now_of(const struct tt_http_client *client)
{
    return tt_loop_now_ms(client->config.loop);
}

static void idle_turn(uv_idle_t *idle)
{
    (void)idle; /* its being active keeps the loop from blocking with work left */
}

void http_client_wake(struct tt_http_client *client)
{
    if (!uv_is_closing((uv_handle_t *)&client->idle)) {
        uv_idle_start(&client->idle, idle_turn);
    }
}

void http_client_timer(struct tt_http_client *client, uint64_t at_ms)
{
    if (at_ms >= client->timer_ms || client->is_closing) {
        return;
    }
    uint64_t now = now_of(client);
    client->timer_ms = at_ms;
    tt_timer_start(&client->timer, at_ms > now ? at_ms - now : 0, 0);
}

void http_client_end_call(struct tt_http_call *call, const struct tt_err *error)
{
    TT_ASSERT(!call->is_ended && !call->conn);
    if (error) {
        call->error = *error;
    }
    call->is_ended = true;
    tt_list_push_back(&call->client->ended, &call->link);
    http_client_wake(call->client);
}

static void end_with(struct tt_http_call *call, int code, const char *why)
{
    struct tt_err err;
    tt_err_init(&err);
    (void)TT_FAIL(&err, code, "%s", why);
    if (call->conn) {
        http_client_conn_detach(call);
    } else {
        tt_list_remove(&call->link);
        call->client->waiting_count--;
    }
    http_client_end_call(call, &err);
}

static struct http_client_conn *conn_with_room(struct tt_http_client *client)
{
    struct http_client_conn *best = NULL;
    uint32_t best_room = 0;
    for (struct tt_list *n = client->conns.next; n != &client->conns; n = n->next) {
        struct http_client_conn *conn = TT_CONTAINER_OF(n, struct http_client_conn, link);
        uint32_t room = http_client_conn_room(conn);
        if (room > best_room) {
            best = conn;
            best_room = room;
        }
    }
    return best;
}

/* Connections that can serve a waiting call now or soon. */
static uint32_t usable_count(const struct tt_http_client *client, bool only_connecting)
{
    uint32_t count = 0;
    for (const struct tt_list *n = client->conns.next; n != &client->conns; n = n->next) {
        const struct http_client_conn *conn = TT_CONTAINER_OF(n, struct http_client_conn, link);
        bool counts = only_connecting ? !conn->is_open : true;
        count += counts && !conn->is_leaving ? 1 : 0;
    }
    return count;
}

void http_client_pump(struct tt_http_client *client)
{
    while (!tt_list_empty(&client->waiting)) {
        struct http_client_conn *conn = conn_with_room(client);
        if (!conn) {
            return;
        }
        struct tt_list *node = tt_list_pop_front(&client->waiting);
        client->waiting_count--;
        http_client_conn_submit(conn, TT_CONTAINER_OF(node, struct tt_http_call, link));
    }
}

static int grow_pool(struct tt_http_client *client, struct tt_err *err)
{
    bool is_enough = usable_count(client, true) > 0 ||
                     usable_count(client, false) >= client->config.connections_max;
    return is_enough ? 0 : http_client_conn_open(client, err);
}

static void deliver_ended(struct tt_http_client *client)
{
    struct tt_list *node;
    while ((node = tt_list_pop_front(&client->ended))) {
        struct tt_http_call *call = TT_CONTAINER_OF(node, struct tt_http_call, link);
        const struct tt_err *err = call->error.code != 0 ? &call->error : NULL;
        client->active--;
        call->client = NULL;
        call->done(call, err);
    }
}

static void close_handles(struct tt_http_client *client);

static void on_prepare(uv_prepare_t *prepare)
{
    struct tt_http_client *client = prepare->data;
    if (!tt_list_empty(&client->ended) || !tt_list_empty(&client->dirty)) {
        tt_loop_mark(client->config.loop, "http client");
        deliver_ended(client); /* first: new calls go out in this turn */
        http_client_pump(client);
        uint32_t left = client->conn_count;
        while (left > 0 && !tt_list_empty(&client->dirty)) {
            left--;
            http_client_conn_flush(
                TT_CONTAINER_OF(client->dirty.next, struct http_client_conn, dirty_link));
        }
    }
    bool is_quiet = tt_list_empty(&client->ended) && tt_list_empty(&client->dirty);
    if (is_quiet) {
        uv_idle_stop(&client->idle);
    }
    if (is_quiet && client->is_closing && client->conn_count == 0) {
        close_handles(client);
    }
}

static void scan_deadlines(struct tt_list *calls, uint64_t now_ms, uint64_t *next_ms)
{
    struct tt_list *node = calls->next;
    while (node != calls) {
        struct tt_http_call *call = TT_CONTAINER_OF(node, struct tt_http_call, link);
        node = node->next;
        if (call->deadline_ms <= now_ms) {
            end_with(call, TT_ETIMEOUT, "no complete answer in time");
        } else {
            *next_ms = tt_u64_min(*next_ms, call->deadline_ms);
        }
    }
}

static void on_timer(struct tt_timer *timer)
{
    struct tt_http_client *client = TT_CONTAINER_OF(timer, struct tt_http_client, timer);
    uint64_t now = now_of(client);
    uint64_t next = client->conn_count > 0 ? now + TICK_MS : UINT64_MAX;
    client->timer_ms = UINT64_MAX;
    scan_deadlines(&client->waiting, now, &next);
    for (struct tt_list *n = client->conns.next; n != &client->conns; n = n->next) {
        struct http_client_conn *conn = TT_CONTAINER_OF(n, struct http_client_conn, link);
        scan_deadlines(&conn->calls, now, &next);
        http_client_conn_tick(conn, now);
    }
    http_client_timer(client, next);
}

/* Waiting calls have no connection to hope for any more. */
static void fail_waiting(struct tt_http_client *client, const struct tt_err *why)
{
    char text[256] = "";
    if (why) {
        tt_err_format(why, text, sizeof text);
    }
    int code = why && why->code == TT_ETLS ? TT_ETLS : TT_EUNAVAILABLE;
    struct tt_err err;
    tt_err_init(&err);
    (void)TT_FAIL(&err, code, "cannot reach %s%s%s", client->authority, why ? ": " : "", text);
    struct tt_list *node;
    while ((node = tt_list_pop_front(&client->waiting))) {
        client->waiting_count--;
        http_client_end_call(TT_CONTAINER_OF(node, struct tt_http_call, link), &err);
    }
}

void http_client_conn_gone(struct http_client_conn *conn, const struct tt_err *err)
{
    struct tt_http_client *client = conn->client;
    TT_ASSERT(client->conn_count > 0);
    client->conn_count--;
    http_client_wake(client);
    if (tt_list_empty(&client->waiting) || usable_count(client, false) > 0) {
        return;
    }
    /* One that was open and went away is replaced; one that never opened ends the hope. */
    struct tt_err open_err;
    tt_err_init(&open_err);
    if (!conn->is_open) {
        fail_waiting(client, err);
    } else if (http_client_conn_open(client, &open_err) < 0) {
        fail_waiting(client, &open_err);
    }
}

static char *copy_text(const char *text)
{
    return text ? tt_xstrdup(text) : NULL;
}

static void client_free(struct tt_http_client *client)
{
    nghttp2_session_callbacks_del(client->callbacks);
    tt_tls_context_unref(client->config.tls);
    tt_free(client->host);
    tt_free(client->server_name);
    tt_free(client->unix_path);
    tt_free(client->authority);
    tt_free(client);
}

static void apply_defaults(struct tt_http_client_config *config)
{
    config->connections_max = config->connections_max ? config->connections_max : 1;
    config->streams_max = config->streams_max ? config->streams_max : STREAMS_DEFAULT;
    config->calls_waiting_max =
        config->calls_waiting_max ? config->calls_waiting_max : WAITING_DEFAULT;
    config->connect_timeout_ms =
        config->connect_timeout_ms ? config->connect_timeout_ms : CONNECT_MS;
    config->keepalive_ms = config->keepalive_ms ? config->keepalive_ms : KEEPALIVE_MS;
    config->keepalive_timeout_ms =
        config->keepalive_timeout_ms ? config->keepalive_timeout_ms : KEEPALIVE_TIMEOUT_MS;
}

int tt_http_client_new(const struct tt_http_client_config *config,
                       struct tt_http_client **ret_client, struct tt_err *err)
{
    if ((config->tls != NULL) == (config->unix_path != NULL) || (config->tls && !config->host)) {
        return TT_FAIL(err, TT_EINVAL, "an HTTP client needs a TLS endpoint or a unix socket");
    }
    struct tt_http_client *client = TT_NEW(struct tt_http_client);
    client->config = *config;
    apply_defaults(&client->config);
    client->config.tls = config->tls ? tt_tls_context_ref(config->tls) : NULL;
    client->host = copy_text(config->host);
    client->server_name = copy_text(config->server_name);
    client->unix_path = copy_text(config->unix_path);
    if (config->authority) {
        client->authority = tt_xstrdup(config->authority);
    } else if (config->unix_path) {
        client->authority = tt_xstrdup("localhost");
    } else {
        bool is_v6 = tt_str_find(tt_str_c(config->host), ':') >= 0;
        client->authority =
            tt_xasprintf(is_v6 ? "[%s]:%u" : "%s:%u", config->host, (unsigned)config->port);
    }
    client->callbacks = http_client_callbacks();
    tt_list_init(&client->conns);
    tt_list_init(&client->dirty);
    tt_list_init(&client->waiting);
    tt_list_init(&client->ended);
    uv_loop_t *uv = tt_loop_uv(config->loop);
    uv_prepare_init(uv, &client->prepare);
    uv_idle_init(uv, &client->idle);
    client->prepare.data = client;
    client->idle.data = client;
    uv_prepare_start(&client->prepare, on_prepare);
    tt_timer_init(&client->timer, config->loop, on_timer);
    client->timer_ms = UINT64_MAX;
    client->handles = 3;
    *ret_client = client;
    return 0;
}

static void handle_closed(struct tt_http_client *client)
{
    TT_ASSERT(client->handles > 0);
    if (--client->handles > 0) {
        return;
    }
    if (client->closed) {
        client->closed(client->closed_ctx);
    }
    client_free(client);
}

static void uv_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void timer_closed(struct tt_timer *timer)
{
    handle_closed(TT_CONTAINER_OF(timer, struct tt_http_client, timer));
}

static void close_handles(struct tt_http_client *client)
{
    TT_ASSERT(client->active == 0);
    uv_close((uv_handle_t *)&client->prepare, uv_handle_closed);
    uv_close((uv_handle_t *)&client->idle, uv_handle_closed);
    tt_timer_close(&client->timer, timer_closed);
}

void tt_http_client_close(struct tt_http_client *client, void (*closed)(void *ctx), void *ctx)
{
    TT_ASSERT(!client->is_closing);
    client->is_closing = true;
    client->closed = closed;
    client->closed_ctx = ctx;
    while (!tt_list_empty(&client->waiting)) {
        end_with(TT_CONTAINER_OF(client->waiting.next, struct tt_http_call, link), TT_ECANCELED,
                 "the client was closed");
    }
    for (struct tt_list *n = client->conns.next; n != &client->conns; n = n->next) {
        struct http_client_conn *conn = TT_CONTAINER_OF(n, struct http_client_conn, link);
        while (!tt_list_empty(&conn->calls)) {
            end_with(TT_CONTAINER_OF(conn->calls.next, struct tt_http_call, link), TT_ECANCELED,
                     "the client was closed");
        }
        conn->is_leaving = true;
        http_client_conn_dirty(conn);
    }
    http_client_wake(client);
}

int tt_http_call_start(struct tt_http_client *client, struct tt_http_call *call, struct tt_err *err)
{
    TT_ASSERT(!call->client && call->done && call->method);
    if (client->is_closing) {
        return TT_FAIL(err, TT_ECANCELED, "the client was closed");
    }
    if (call->header_count > HTTP_CLIENT_HEADERS_MAX) {
        return TT_FAIL(err, TT_EINVAL, "more than %d request headers", HTTP_CLIENT_HEADERS_MAX);
    }
    struct http_client_conn *conn = conn_with_room(client);
    if (!conn && client->waiting_count >= client->config.calls_waiting_max) {
        return TT_FAIL(err, TT_EBUSY, "%u calls to %s wait already", client->waiting_count,
                       client->authority);
    }
    int r = conn ? 0 : grow_pool(client, err);
    if (r < 0) {
        return TT_WRAP(err, r, "connect to %s", client->authority);
    }
    size_t size_max = call->response_size_max ? call->response_size_max : ANSWER_MAX;
    tt_buf_fini(&call->answer);
    tt_buf_init(&call->answer, size_max);
    call->status = 0;
    call->stream_error = 0;
    call->conn = NULL;
    tt_err_init(&call->error);
    call->body_sent = 0;
    call->stream_id = 0;
    call->is_sent = false;
    call->headers_done = false;
    call->end_seen = false;
    call->is_ended = false;
    call->client = client;
    call->deadline_ms = call->timeout_ms ? now_of(client) + call->timeout_ms : UINT64_MAX;
    client->active++;
    http_client_timer(client, call->deadline_ms);
    if (conn) {
        http_client_conn_submit(conn, call);
    } else {
        tt_list_push_back(&client->waiting, &call->link);
        client->waiting_count++;
    }
    return 0;
}

void tt_http_call_cancel(struct tt_http_call *call)
{
    if (call->client && !call->is_ended) {
        end_with(call, TT_ECANCELED, "cancelled");
    }
}

void tt_http_call_fini(struct tt_http_call *call)
{
    TT_ASSERT(!call->client);
    tt_buf_fini(&call->answer);
}

size_t tt_http_client_active(const struct tt_http_client *client)
{
    return client->active;
}
