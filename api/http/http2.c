/* HTTP/2 on nghttp2.
 *
 * receive: bytes → nghttp2_session_mem_recv → callbacks: a stream's headers and body collect in its
 * exchange, END_STREAM hands it to the handler, which may answer inside the callback.
 * fill: nghttp2_session_mem_send → TLS queue. DATA frames use NO_COPY: the payload goes from where
 * it lies straight into the TLS queue. Floods: resets have a budget per second (a reset stream has
 * cost us a handler call), all control frames too. A header block over the limit of request.c is
 * decoded, for the sake of HPACK's table, and its stream answered 431, up to four times that limit;
 * beyond it, and beyond any budget, the connection ends with ENHANCE_YOUR_CALM. nghttp2 itself
 * bounds CONTINUATION frames (8 where it knows how), queued SETTINGS and PING answers, and a single
 * field of 64 KiB: that one ends the connection with COMPRESSION_ERROR. A stream that is
 * answered before its request is complete is reset with NO_ERROR behind the answer, so that the
 * client stops sending. */
#include "api/http/server_internal.h"

#include <nghttp2/nghttp2.h>

#include "base/intmath.h"

enum {
    STREAM_WINDOW = 256 * 1024,
    CONNECTION_WINDOW = 4 * 1024 * 1024,
    CONTINUATION_FRAMES_MAX = 16 /* per header block */
};

struct http2 {
    nghttp2_session *session;    /* owned; its user data is the connection */
    uint32_t continuation_count; /* of the header block being received */
    bool is_refused;             /* over a limit */
    bool is_deaf;                /* the session cannot read on; it only says so and ends */
};

static struct http2 *h2_of(const struct http_conn *conn)
{
    return conn->state;
}

static struct tt_http_exchange *exchange_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static void calm_down(struct http_conn *conn)
{
    struct http2 *h2 = h2_of(conn);
    if (!h2->is_refused) {
        h2->is_refused = true;
        conn->is_draining = true;
        conn->server->stats.connections_cut++;
        (void)nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
    }
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_conn *conn = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct tt_http_exchange *ex = http_exchange_new(conn);
    ex->stream_id = frame->hd.stream_id;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, ex) == 0
               ? 0
               : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)flags;
    struct http_conn *conn = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers */
    }
    struct tt_http_exchange *ex = exchange_of(session, frame->hd.stream_id);
    if (!ex) {
        return 0;
    }
    struct tt_str n = tt_str((const char *)name, name_len);
    struct tt_str v = tt_str((const char *)value, value_len);
    if (tt_str_eq(n, TT_STR(":path"))) {
        http_request_target(ex, v);
    } else if (tt_str_eq(n, TT_STR(":method"))) {
        ex->request.method = http_request_method(v);
    } else {
        http_request_header(ex, n, v);
    }
    if (ex->header_bytes > 4u * HTTP_HEADER_BYTES_MAX) {
        calm_down(conn);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t size, void *user)
{
    (void)flags;
    (void)user;
    struct tt_http_exchange *ex = exchange_of(session, stream_id);
    if (ex) {
        http_request_body(ex, tt_str((const char *)data, size));
    }
    return 0;
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    (void)session;
    struct http_conn *conn = user;
    struct http2 *h2 = h2_of(conn);
    if (hd->type == NGHTTP2_CONTINUATION) {
        if (++h2->continuation_count > CONTINUATION_FRAMES_MAX) {
            calm_down(conn);
            return NGHTTP2_ERR_CALLBACK_FAILURE; /* nothing after it can be trusted to end */
        }
        return 0;
    }
    h2->continuation_count = 0;
    bool is_costly = hd->type == NGHTTP2_HEADERS || (hd->type == NGHTTP2_DATA && hd->length > 0);
    if (!is_costly && !http_conn_spend(conn, &conn->budget_frames, HTTP_CONTROL_FRAMES_MAX)) {
        calm_down(conn);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_conn *conn = user;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
        if (!http_conn_spend(conn, &conn->budget_resets,
                             conn->server->limits.resets_per_second_max)) {
            calm_down(conn);
        }
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct tt_http_exchange *ex = exchange_of(session, frame->hd.stream_id);
    if (!ex || h2_of(conn)->is_refused) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        http_request_headers_done(ex);
    }
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        http_request_complete(ex);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *user)
{
    (void)error_code;
    (void)user;
    struct tt_http_exchange *ex = exchange_of(session, stream_id);
    if (ex) {
        (void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        http_exchange_close(ex);
    }
    return 0;
}

static ssize_t read_data(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                         uint32_t *data_flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)stream_id;
    (void)buf;
    (void)user;
    struct tt_http_exchange *ex = source->ptr;
    bool is_ended = ex->state == HTTP_EX_ENDED;
    if (ex->out_bytes == 0 && !is_ended) {
        ex->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t size = tt_size_min(ex->out_bytes, length);
    *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (size == ex->out_bytes && is_ended) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)size;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                     size_t length, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)frame;
    struct http_conn *conn = user;
    struct tt_http_exchange *ex = source->ptr;
    enum { FRAME_HEADER = 9 };
    TT_ASSERT(frame->data.padlen == 0);
    if (!http_conn_may_fill(conn)) {
        return NGHTTP2_ERR_WOULDBLOCK; /* nghttp2 asks again at the next fill */
    }
    http_conn_write(conn, tt_str((const char *)header, FRAME_HEADER));
    while (length > 0) {
        struct tt_str front = tt_str_head(http_exchange_front(ex), length);
        http_conn_write(conn, front);
        http_exchange_consume(ex, front.len);
        length -= front.len;
    }
    return 0;
}

static bool h2_fill(struct http_conn *conn)
{
    struct http2 *h2 = h2_of(conn);
    while (http_conn_may_fill(conn)) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(h2->session, &bytes);
        if (size < 0) {
            http_conn_doom(conn);
            return false;
        }
        if (size == 0) {
            break;
        }
        http_conn_write(conn, tt_str((const char *)bytes, (size_t)size));
    }
    return !http_conn_may_fill(conn);
}

static int h2_receive(struct http_conn *conn, struct tt_str bytes)
{
    struct http2 *h2 = h2_of(conn);
    if (h2->is_deaf) {
        return 0;
    }
    ssize_t taken = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.ptr, bytes.len);
    if (taken < 0) {
        h2->is_deaf = true;
        calm_down(conn);
    }
    return 0;
}

static size_t put_header(nghttp2_nv *nv, struct tt_str name, struct tt_str value, uint8_t flags)
{
    /* nghttp2 takes non-const pointers but does not write through them. */
    memcpy(&nv->name, &name.ptr, sizeof nv->name);
    memcpy(&nv->value, &value.ptr, sizeof nv->value);
    nv->namelen = name.len;
    nv->valuelen = value.len;
    nv->flags = flags;
    return 1;
}

/* In out; snprintf would be a tenth of a small response's cost. */
static struct tt_str digits(uint64_t value, char out[TT_U64_DIGITS_MAX])
{
    return tt_str(out, tt_u64_digits(value, out));
}

static void h2_respond(struct tt_http_exchange *ex, int status,
                       const struct tt_http_header *headers, size_t header_count)
{
    struct http2 *h2 = h2_of(ex->conn);
    nghttp2_nv nv[HTTP_RESPONSE_HEADERS_MAX + 2];
    char status_text[TT_U64_DIGITS_MAX];
    char length_text[TT_U64_DIGITS_MAX];
    TT_ASSERT(status >= 200 && status <= 999);
    size_t count = put_header(&nv[0], TT_STR(":status"), digits((uint64_t)status, status_text),
                              NGHTTP2_NV_FLAG_NO_COPY_NAME);
    bool has_length = false;
    for (size_t i = 0; i < header_count; i++) {
        has_length = has_length || tt_str_eq(headers[i].name, TT_STR("content-length"));
        count += put_header(&nv[count], headers[i].name, headers[i].value, NGHTTP2_NV_FLAG_NONE);
    }
    bool may_have_body = status != 204 && status != 304;
    if (!has_length && ex->state == HTTP_EX_ENDED && may_have_body) {
        count += put_header(&nv[count], TT_STR("content-length"),
                            digits(ex->out_bytes, length_text), NGHTTP2_NV_FLAG_NO_COPY_NAME);
    }
    if (!may_have_body || ex->request.method == TT_HTTP_HEAD) {
        http_exchange_drop_output(ex);
    }
    nghttp2_data_provider provider = {.source.ptr = ex, .read_callback = read_data};
    bool is_headers_only = ex->state == HTTP_EX_ENDED && ex->out_bytes == 0;
    int r = nghttp2_submit_response(h2->session, ex->stream_id, nv, count,
                                    is_headers_only ? NULL : &provider);
    if (r < 0) {
        (void)nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, ex->stream_id,
                                        NGHTTP2_INTERNAL_ERROR);
    }
}

static void h2_resume(struct tt_http_exchange *ex)
{
    if (ex->is_deferred) {
        ex->is_deferred = false;
        (void)nghttp2_session_resume_data(h2_of(ex->conn)->session, ex->stream_id);
    }
}

static void h2_abort(struct tt_http_exchange *ex)
{
    (void)nghttp2_submit_rst_stream(h2_of(ex->conn)->session, NGHTTP2_FLAG_NONE, ex->stream_id,
                                    NGHTTP2_INTERNAL_ERROR);
}

static void h2_cut_request(struct tt_http_exchange *ex)
{
    (void)nghttp2_submit_rst_stream(h2_of(ex->conn)->session, NGHTTP2_FLAG_NONE, ex->stream_id,
                                    NGHTTP2_NO_ERROR);
}

static void h2_drain(struct http_conn *conn)
{
    nghttp2_session *session = h2_of(conn)->session;
    (void)nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(session), NGHTTP2_NO_ERROR,
                                NULL, 0);
}

static void h2_refuse(struct http_conn *conn)
{
    struct http2 *h2 = h2_of(conn);
    h2->is_refused = true;
    (void)nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static bool h2_is_finished(const struct http_conn *conn)
{
    nghttp2_session *session = h2_of(conn)->session;
    bool is_over = !nghttp2_session_want_read(session) && !nghttp2_session_want_write(session);
    return is_over ||
           (conn->is_draining && conn->exchange_count == 0 && !nghttp2_session_want_write(session));
}

static void make_callbacks(struct tt_http_server *server)
{
    nghttp2_session_callbacks *cb;
    int r = nghttp2_session_callbacks_new(&cb);
    TT_ASSERT(r == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
    server->h2_callbacks = cb;
    nghttp2_option *option;
    r = nghttp2_option_new(&option);
    TT_ASSERT(r == 0);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, (size_t)2 * HTTP_HEADER_BYTES_MAX);
    server->h2_options = option;
}

static int h2_open(struct http_conn *conn, struct tt_err *err)
{
    struct tt_http_server *server = conn->server;
    if (!server->h2_callbacks) {
        make_callbacks(server);
    }
    struct http2 *h2 = TT_NEW(struct http2);
    int r =
        nghttp2_session_server_new2(&h2->session, server->h2_callbacks, conn, server->h2_options);
    if (r < 0) {
        tt_free(h2);
        return TT_FAIL(err, TT_EINTERNAL, "nghttp2 session: %s", nghttp2_strerror(r));
    }
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, server->limits.streams_per_connection_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADER_BYTES_MAX},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    r = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
                                sizeof settings / sizeof *settings);
    if (r == 0) {
        r = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                  CONNECTION_WINDOW);
    }
    if (r < 0) {
        nghttp2_session_del(h2->session);
        tt_free(h2);
        return TT_FAIL(err, TT_EINTERNAL, "nghttp2 settings: %s", nghttp2_strerror(r));
    }
    conn->state = h2;
    return 0;
}

static void h2_close(struct http_conn *conn)
{
    struct http2 *h2 = h2_of(conn);
    nghttp2_session_del(h2->session);
    tt_free(h2);
    conn->state = NULL;
}

const struct http_protocol http2_protocol = {
    .open = h2_open,
    .close = h2_close,
    .receive = h2_receive,
    .fill = h2_fill,
    .respond = h2_respond,
    .resume = h2_resume,
    .abort = h2_abort,
    .cut_request = h2_cut_request,
    .drain = h2_drain,
    .refuse = h2_refuse,
    .is_finished = h2_is_finished,
};
