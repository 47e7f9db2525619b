/* One connection of the client: byte stream + nghttp2 session.
 *
 * connecting → open → leaving (GOAWAY or idle: no new calls) → closing → gone.
 * As in the server nothing is written or closed inside a callback: the turn's end flushes. A call
 * ends when its stream closes; when the connection goes first, a call whose headers had not left
 * ends as TT_EUNAVAILABLE (safe to repeat), the others as TT_ECLOSED; TLS itself failing (a refused
 * certificate) is TT_ETLS for all. */
#include "api/http/client_internal.h"

#include <stdio.h>

#include "base/intmath.h"

static struct tt_http_call *call_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

void http_client_conn_dirty(struct http_client_conn *conn)
{
    if (tt_list_empty(&conn->dirty_link)) {
        tt_list_push_back(&conn->client->dirty, &conn->dirty_link);
        http_client_wake(conn->client);
    }
}

void http_client_conn_doom(struct http_client_conn *conn, int code, const char *why)
{
    if (!conn->is_doomed) {
        conn->is_doomed = true;
        conn->is_leaving = true;
        (void)TT_FAIL(&conn->error, code, "%s", why);
    }
    http_client_conn_dirty(conn);
}

/* ---- what comes ---- */

static void take_status(struct tt_http_call *call, struct tt_str value)
{
    uint64_t status;
    if (tt_str_to_u64(value, &status) && status < 1000) {
        call->status = (int)status;
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)flags;
    (void)user;
    struct tt_http_call *call = call_of(session, frame->hd.stream_id);
    if (!call || frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    struct tt_str n = tt_str((const char *)name, name_len);
    struct tt_str v = tt_str((const char *)value, value_len);
    if (tt_str_eq(n, TT_STR(":status"))) {
        take_status(call, v);
    } else if (call->header && call->status >= 200) {
        call->header(call, n, v, call->headers_done);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t size, void *user)
{
    (void)flags;
    (void)user;
    struct tt_http_call *call = call_of(session, stream_id);
    if (!call) {
        return 0;
    }
    struct tt_str bytes = tt_str((const char *)data, size);
    if (call->data) {
        call->data(call, bytes);
        return 0;
    }
    tt_buf_str(&call->answer, bytes);
    if (!tt_buf_ok(&call->answer)) {
        struct tt_err err;
        tt_err_init(&err);
        (void)TT_FAIL(&err, TT_ETOOLARGE, "the answer is larger than %zu bytes",
                      call->answer.size_max);
        http_client_conn_detach(call);
        http_client_end_call(call, &err);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_client_conn *conn = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        conn->is_leaving = true;
        http_client_conn_dirty(conn);
    } else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK)) {
        conn->ping_ms = 0;
    } else if (frame->hd.type == NGHTTP2_SETTINGS) {
        http_client_pump(conn->client); /* the peer may allow more streams now */
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct tt_http_call *call = call_of(session, frame->hd.stream_id);
    if (!call) {
        return 0;
    }
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        call->end_seen = true;
    }
    if (frame->hd.type == NGHTTP2_HEADERS && call->status >= 200 && !call->headers_done) {
        call->headers_done = true;
        if (call->started) {
            call->started(call);
        }
    }
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)user;
    if (frame->hd.type == NGHTTP2_HEADERS) {
        struct tt_http_call *call = call_of(session, frame->hd.stream_id);
        if (call) {
            call->is_sent = true;
        }
    }
    return 0;
}

static void end_closed_stream(struct tt_http_call *call, uint32_t error_code)
{
    struct tt_err err;
    tt_err_init(&err);
    call->stream_error = error_code;
    if (call->end_seen) {
        http_client_end_call(call, NULL);
    } else if (error_code == NGHTTP2_REFUSED_STREAM) {
        (void)TT_FAIL(&err, TT_EUNAVAILABLE, "the peer refused the request unprocessed");
        http_client_end_call(call, &err);
    } else {
        (void)TT_FAIL(&err, TT_ECLOSED, "the stream was reset: %s",
                      nghttp2_http2_strerror(error_code));
        http_client_end_call(call, &err);
    }
}

static void leave_conn(struct tt_http_call *call)
{
    struct http_client_conn *conn = call->conn;
    (void)nghttp2_session_set_stream_user_data(conn->session, call->stream_id, NULL);
    call->conn = NULL;
    tt_list_remove(&call->link);
    TT_ASSERT(conn->call_count > 0);
    conn->call_count--;
    if (conn->call_count == 0) {
        conn->idle_since_ms = tt_loop_now_ms(conn->client->config.loop);
    }
    http_client_conn_dirty(conn);
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *user)
{
    (void)user;
    struct tt_http_call *call = call_of(session, stream_id);
    if (call) {
        leave_conn(call);
        end_closed_stream(call, error_code);
    }
    return 0;
}

/* A request that cannot go out any more (GOAWAY came first) never becomes a stream, so its stream
 * is never closed: it ends here. */
static int on_frame_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error_code,
                             void *user)
{
    (void)session;
    struct http_client_conn *conn = user;
    if (frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    for (struct tt_list *n = conn->calls.next; n != &conn->calls; n = n->next) {
        struct tt_http_call *call = TT_CONTAINER_OF(n, struct tt_http_call, link);
        if (call->stream_id == frame->hd.stream_id) {
            struct tt_err err;
            tt_err_init(&err);
            (void)TT_FAIL(&err, TT_EUNAVAILABLE, "request not sent: %s",
                          nghttp2_strerror(error_code));
            leave_conn(call);
            http_client_end_call(call, &err);
            return 0;
        }
    }
    return 0;
}

nghttp2_session_callbacks *http_client_callbacks(void)
{
    nghttp2_session_callbacks *cb;
    int r = nghttp2_session_callbacks_new(&cb);
    TT_ASSERT(r == 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    return cb;
}

/* ---- what goes ---- */

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                         uint32_t *data_flags, nghttp2_data_source *source, void *user)
{
    (void)source;
    (void)user;
    struct tt_http_call *call = call_of(session, stream_id);
    if (!call) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* ended meanwhile: its memory is not ours */
    }
    struct tt_str rest = tt_str_head(tt_str_skip(call->body, call->body_sent), length);
    if (rest.len > 0) {
        memcpy(buf, rest.ptr, rest.len);
    }
    call->body_sent += rest.len;
    if (call->body_sent == call->body.len) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)rest.len;
}

static size_t put(nghttp2_nv *nv, struct tt_str name, struct tt_str value)
{
    /* nghttp2 takes non-const pointers but does not write through them; it copies both. */
    memcpy(&nv->name, &name.ptr, sizeof nv->name);
    memcpy(&nv->value, &value.ptr, sizeof nv->value);
    nv->namelen = name.len;
    nv->valuelen = value.len;
    nv->flags = NGHTTP2_NV_FLAG_NONE;
    return 1;
}

void http_client_conn_submit(struct http_client_conn *conn, struct tt_http_call *call)
{
    struct tt_http_client *client = conn->client;
    nghttp2_nv nv[HTTP_CLIENT_HEADERS_MAX + 5];
    char length[24];
    const char *scheme = client->config.tls ? "https" : "http";
    size_t count = put(&nv[0], TT_STR(":method"), tt_str_c(call->method));
    count += put(&nv[count], TT_STR(":scheme"), tt_str_c(scheme));
    count += put(&nv[count], TT_STR(":authority"), tt_str_c(client->authority));
    count += put(&nv[count], TT_STR(":path"), call->path);
    for (size_t i = 0; i < call->header_count; i++) {
        count += put(&nv[count], call->headers[i].name, call->headers[i].value);
    }
    if (call->body.len > 0) {
        int len = snprintf(length, sizeof length, "%zu", call->body.len);
        count += put(&nv[count], TT_STR("content-length"), tt_str(length, (size_t)len));
    }
    nghttp2_data_provider provider = {.read_callback = read_body};
    int32_t id = nghttp2_submit_request(conn->session, NULL, nv, count,
                                        call->body.len > 0 ? &provider : NULL, call);
    if (id < 0) { /* stream ids used up, or out of memory */
        struct tt_err err;
        tt_err_init(&err);
        (void)TT_FAIL(&err, TT_EUNAVAILABLE, "cannot open a stream: %s", nghttp2_strerror(id));
        conn->is_leaving = true;
        http_client_end_call(call, &err);
        return;
    }
    call->stream_id = id;
    call->conn = conn;
    tt_list_push_back(&conn->calls, &call->link);
    conn->call_count++;
    http_client_conn_dirty(conn);
}

void http_client_conn_detach(struct tt_http_call *call)
{
    struct http_client_conn *conn = call->conn;
    (void)nghttp2_submit_rst_stream(conn->session, NGHTTP2_FLAG_NONE, call->stream_id,
                                    NGHTTP2_CANCEL);
    leave_conn(call);
}

static void fill(struct http_client_conn *conn)
{
    while (conn->stream->ops->queued(conn->stream) < HTTP_CLIENT_FILL_MAX) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(conn->session, &bytes);
        if (size == 0) {
            return;
        }
        struct tt_str piece = tt_str((const char *)bytes, size > 0 ? (size_t)size : 0);
        if (size < 0 || conn->stream->ops->write(conn->stream, piece) < 0) {
            http_client_conn_doom(conn, TT_ECLOSED, "cannot write to the connection");
            return;
        }
    }
}

void http_client_conn_flush(struct http_client_conn *conn)
{
    tt_list_remove(&conn->dirty_link);
    if (conn->is_closing) {
        return;
    }
    if (conn->is_open && !conn->is_doomed) {
        fill(conn);
        conn->stream->ops->flush(conn->stream);
        fill(conn); /* what did not fit before; `writable` goes on from here */
        conn->stream->ops->flush(conn->stream);
    }
    if (conn->is_doomed) {
        conn->is_closing = true;
        tt_list_remove(&conn->dirty_link);
        conn->stream->ops->abort(conn->stream);
        return;
    }
    bool is_over = conn->is_open && !nghttp2_session_want_read(conn->session) &&
                   !nghttp2_session_want_write(conn->session);
    bool has_left = conn->is_leaving && conn->call_count == 0;
    if (is_over || has_left) {
        conn->is_leaving = true;
        conn->is_closing = true;
        conn->stream->ops->close(conn->stream);
    }
}

/* ---- the stream ---- */

static void stream_opened(void *ctx)
{
    struct http_client_conn *conn = ctx;
    conn->is_open = true;
    conn->heard_ms = tt_loop_now_ms(conn->client->config.loop);
    conn->idle_since_ms = conn->heard_ms;
    http_client_conn_dirty(conn);
    http_client_pump(conn->client);
}

static void stream_data(void *ctx, struct tt_str bytes)
{
    struct http_client_conn *conn = ctx;
    if (conn->is_doomed) {
        return;
    }
    conn->heard_ms = tt_loop_now_ms(conn->client->config.loop);
    ssize_t taken = nghttp2_session_mem_recv(conn->session, (const uint8_t *)bytes.ptr, bytes.len);
    if (taken < 0) {
        http_client_conn_doom(conn, TT_EPROTO, nghttp2_strerror((int)taken));
    }
    http_client_conn_dirty(conn);
}

static void stream_writable(void *ctx)
{
    http_client_conn_dirty(ctx);
}

static void end_call_of_gone(struct tt_http_call *call, const struct http_client_conn *conn,
                             const struct tt_err *err)
{
    struct tt_err end;
    tt_err_init(&end);
    char why[256] = "";
    if (err) {
        tt_err_format(err, why, sizeof why);
    }
    const char *peer = conn->client->authority;
    if (err &&
        err->code == TT_ETLS) { /* in TLS 1.3 a server refuses after the client's handshake */
        (void)TT_FAIL(&end, TT_ETLS, "connection to %s lost: %s", peer, why);
    } else if (call->is_sent) {
        (void)TT_FAIL(&end, TT_ECLOSED, "connection to %s lost%s%s", peer, err ? ": " : "", why);
    } else {
        (void)TT_FAIL(&end, TT_EUNAVAILABLE, "connection to %s lost before the request left%s%s",
                      peer, err ? ": " : "", why);
    }
    http_client_end_call(call, &end);
}

static void stream_closed(void *ctx, const struct tt_err *err)
{
    struct http_client_conn *conn = ctx;
    const struct tt_err *why = conn->is_doomed ? &conn->error : err;
    while (!tt_list_empty(&conn->calls)) {
        struct tt_http_call *call = TT_CONTAINER_OF(conn->calls.next, struct tt_http_call, link);
        leave_conn(call);
        end_call_of_gone(call, conn, why);
    }
    tt_list_remove(&conn->dirty_link);
    tt_list_remove(&conn->link);
    nghttp2_session_del(conn->session);
    http_client_conn_gone(conn, why);
    tt_free(conn);
}

static int open_session(struct http_client_conn *conn, struct tt_err *err)
{
    nghttp2_option *option;
    int r = nghttp2_option_new(&option);
    if (r == 0) {
        nghttp2_option_set_no_closed_streams(option, 1);
        r = nghttp2_session_client_new2(&conn->session, conn->client->callbacks, conn, option);
        nghttp2_option_del(option);
    }
    if (r < 0) {
        return TT_FAIL(err, TT_EINTERNAL, "nghttp2 session: %s", nghttp2_strerror(r));
    }
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP_CLIENT_STREAM_WINDOW},
    };
    r = nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings, 2);
    if (r == 0) {
        r = nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0,
                                                  HTTP_CLIENT_WINDOW);
    }
    if (r < 0) {
        nghttp2_session_del(conn->session);
        return TT_FAIL(err, TT_EINTERNAL, "nghttp2 settings: %s", nghttp2_strerror(r));
    }
    return 0;
}

int http_client_conn_open(struct tt_http_client *client, struct tt_err *err)
{
    struct http_client_conn *conn = TT_NEW(struct http_client_conn);
    conn->client = client;
    tt_list_init(&conn->dirty_link);
    tt_list_init(&conn->calls);
    tt_err_init(&conn->error);
    int r = open_session(conn, err);
    if (r < 0) {
        tt_free(conn);
        return r;
    }
    struct tt_byte_stream_config config = {
        .loop = client->config.loop,
        .tls = client->config.tls,
        .host = client->host,
        .port = client->config.port,
        .server_name = client->server_name,
        .alpn = client->config.tls ? "h2" : NULL,
        .unix_path = client->unix_path,
        .write_queue_max = HTTP_CLIENT_QUEUE_MAX,
        .connect_timeout_ms = client->config.connect_timeout_ms,
        .events = {stream_opened, stream_data, stream_writable, stream_closed},
        .ctx = conn,
    };
    r = tt_byte_stream_connect(&config, &conn->stream, err);
    if (r < 0) {
        nghttp2_session_del(conn->session);
        tt_free(conn);
        return r;
    }
    tt_list_push_back(&client->conns, &conn->link);
    client->conn_count++;
    http_client_timer(client, tt_loop_now_ms(client->config.loop) + 1000);
    return 0;
}

uint32_t http_client_conn_room(const struct http_client_conn *conn)
{
    if (conn->is_leaving || !conn->is_open) {
        return 0;
    }
    uint32_t max = conn->client->config.streams_max;
    uint32_t peer_max =
        nghttp2_session_get_remote_settings(conn->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    max = peer_max < max ? peer_max : max;
    return conn->call_count < max ? max - conn->call_count : 0;
}

void http_client_conn_tick(struct http_client_conn *conn, uint64_t now_ms)
{
    const struct tt_http_client_config *config = &conn->client->config;
    if (!conn->is_open || conn->is_closing || conn->is_doomed) {
        return;
    }
    bool is_idle = conn->call_count == 0 && config->idle_timeout_ms > 0 &&
                   now_ms - conn->idle_since_ms >= config->idle_timeout_ms;
    if (is_idle) {
        conn->is_leaving = true;
        http_client_conn_dirty(conn);
    } else if (conn->ping_ms != 0 && now_ms - conn->ping_ms >= config->keepalive_timeout_ms) {
        http_client_conn_doom(conn, TT_ETIMEOUT, "the peer does not answer pings");
    } else if (conn->ping_ms == 0 && now_ms - conn->heard_ms >= config->keepalive_ms) {
        conn->ping_ms = now_ms;
        (void)nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL);
        http_client_conn_dirty(conn);
    }
}
