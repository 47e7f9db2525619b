/* HTTP/1.1 on llhttp (strict mode: what smuggling needs is refused).
 *
 * One request at a time: the parser pauses at the end of a message; what the client has pipelined
 * behind it waits in `pending` while the stream is paused, and is parsed when the answer is out.
 * Responses: a head with content-length, or chunks for streams (for HTTP/1.0 clients the end of the
 * connection ends the body). Failure modes: a malformed message is answered 400 and the connection
 * ends; an answer given before the request was complete ends it too, after the client had time to
 * read it (linger: its further bytes are thrown away).
 *
 *   reading → (message complete) paused → answered → reading | lingering → closing */
#include "api/http/server_internal.h"

#include <llhttp.h>
#include <stdio.h>

#include "base/intmath.h"

enum { PENDING_MAX = 64 * 1024, LINE_MAX_SIZE = HTTP_HEADER_BYTES_MAX, PIECE_MAX = 16 * 1024 };

struct http1 {
    llhttp_t parser;             /* its data is this */
    struct http_conn *conn;      /* owns it: conn->state */
    struct tt_http_exchange *ex; /* being received or answered; NULL between requests */
    struct tt_buf url;           /* of the message being parsed */
    struct tt_buf name;          /* header in pieces */
    struct tt_buf value;         /* of that header, in pieces */
    struct tt_buf pending;       /* received while the parser waits */
    bool is_paused;              /* a complete message waits for its answer */
    bool is_chunked;             /* the response */
    bool close_after;            /* no keep-alive */
    bool wrote_end;              /* last chunk written */
    bool is_lingering;           /* the last answer is out: input is thrown away */
    bool is_done;                /* the stream may be closed */
};

static struct http1 *h1_of(const struct http_conn *conn)
{
    return conn->state;
}

static int on_message_begin(llhttp_t *parser)
{
    struct http1 *h1 = parser->data;
    TT_ASSERT(!h1->ex);
    h1->ex = http_exchange_new(h1->conn);
    tt_buf_reset(&h1->url);
    return HPE_OK;
}

static int append(struct http1 *h1, struct tt_buf *buf, const char *at, size_t size)
{
    tt_buf_append(buf, at, size);
    if (!tt_buf_ok(buf)) {
        h1->ex->reject_status = 431;
        return HPE_USER;
    }
    return HPE_OK;
}

static int on_url(llhttp_t *parser, const char *at, size_t size)
{
    struct http1 *h1 = parser->data;
    return append(h1, &h1->url, at, size);
}

static int on_url_complete(llhttp_t *parser)
{
    struct http1 *h1 = parser->data;
    http_request_target(h1->ex, tt_buf_view(&h1->url));
    return HPE_OK;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t size)
{
    struct http1 *h1 = parser->data;
    return append(h1, &h1->name, at, size);
}

static int on_header_value(llhttp_t *parser, const char *at, size_t size)
{
    struct http1 *h1 = parser->data;
    return append(h1, &h1->value, at, size);
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct http1 *h1 = parser->data;
    for (size_t i = 0; i < h1->name.len; i++) {
        char c = h1->name.ptr[i];
        h1->name.ptr[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    struct tt_str name = tt_buf_view(&h1->name);
    struct tt_str value = tt_buf_view(&h1->value);
    if (tt_str_eq(name, TT_STR("upgrade"))) {
        char *copy = tt_arena_strndup(h1->ex->arena, value.ptr, value.len);
        h1->ex->request.upgrade = copy ? tt_str(copy, value.len) : TT_STR_NONE;
    }
    http_request_header(h1->ex, name, value);
    tt_buf_reset(&h1->name);
    tt_buf_reset(&h1->value);
    return h1->ex->reject_status == 0 ? HPE_OK : HPE_USER;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http1 *h1 = parser->data;
    struct tt_http_exchange *ex = h1->ex;
    parser->upgrade = 0; /* an upgrade is the handler's to offer; else it is a plain request */
    const char *method = llhttp_method_name((llhttp_method_t)llhttp_get_method(parser));
    ex->request.method = http_request_method(tt_str_c(method));
    h1->close_after = !llhttp_should_keep_alive(parser);
    http_request_headers_done(ex);
    if (ex->state != HTTP_EX_RECEIVING) {
        return HPE_USER;
    }
    if (ex->expect_continue && ex->content_length != 0) {
        http_conn_write(h1->conn, TT_STR("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    return HPE_OK;
}

static int on_body(llhttp_t *parser, const char *at, size_t size)
{
    struct http1 *h1 = parser->data;
    http_request_body(h1->ex, tt_str(at, size));
    return h1->ex->state == HTTP_EX_RECEIVING ? HPE_OK : HPE_USER;
}

static int on_message_complete(llhttp_t *parser)
{
    struct http1 *h1 = parser->data;
    h1->is_paused = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t parser_settings = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* The message cannot be parsed on: answer what was decided, else 400, and end. */
static void parse_failed(struct http1 *h1)
{
    struct http_conn *conn = h1->conn;
    h1->close_after = true;
    if (!h1->ex) {
        h1->ex = http_exchange_new(conn);
    }
    if (h1->ex->state == HTTP_EX_RECEIVING) {
        int status = h1->ex->reject_status != 0 ? h1->ex->reject_status : 400;
        http_request_reject(h1->ex, status,
                            status == 431 ? "the request's headers are too large"
                                          : "malformed HTTP/1.1 message");
    }
    h1->is_lingering = true;
    conn->is_draining = true;
    conn->linger_until_ms = http_now(conn->server) + HTTP_LINGER_MS;
}

/* Parses until a message is complete, the bytes are used up or broken. Returns the bytes left. */
static struct tt_str parse(struct http1 *h1, struct tt_str bytes)
{
    llhttp_errno_t r = llhttp_execute(&h1->parser, bytes.ptr, bytes.len);
    if (r == HPE_OK) {
        return TT_STR_NONE;
    }
    if (r != HPE_PAUSED) {
        parse_failed(h1);
        return TT_STR_NONE;
    }
    const char *end = llhttp_get_error_pos(&h1->parser);
    TT_ASSERT(end >= bytes.ptr && end <= bytes.ptr + bytes.len);
    struct tt_str left = tt_str_skip(bytes, (size_t)(end - bytes.ptr));
    http_request_complete(h1->ex);
    return left;
}

static int h1_receive(struct http_conn *conn, struct tt_str bytes)
{
    struct http1 *h1 = h1_of(conn);
    if (h1->is_lingering || h1->is_done) {
        return 0;
    }
    if (!h1->is_paused) {
        bytes = parse(h1, bytes);
    }
    if (bytes.len == 0) {
        return 0;
    }
    tt_buf_append(&h1->pending, bytes.ptr, bytes.len);
    tt_tls_stream_pause(conn->stream, true);
    return tt_buf_ok(&h1->pending) ? 0 : TT_ETOOLARGE;
}

/* The answer is out: take up the next request, or end. */
static void next_request(struct http1 *h1)
{
    struct http_conn *conn = h1->conn;
    bool was_complete = h1->ex->request_complete;
    http_exchange_close(h1->ex);
    h1->ex = NULL;
    h1->is_chunked = false;
    h1->wrote_end = false;
    if (h1->close_after || conn->is_draining) {
        conn->is_draining = true;
        h1->is_lingering = h1->is_lingering || !was_complete;
        h1->is_done = !h1->is_lingering;
        if (h1->is_lingering && conn->linger_until_ms == 0) {
            conn->linger_until_ms = http_now(conn->server) + HTTP_LINGER_MS;
        }
        return;
    }
    TT_ASSERT(h1->is_paused);
    h1->is_paused = false;
    llhttp_resume(&h1->parser);
    if (h1->pending.len > 0) {
        struct tt_str left = parse(h1, tt_buf_view(&h1->pending));
        tt_buf_consume(&h1->pending, h1->pending.len - left.len);
    }
    if (h1->pending.len == 0) {
        tt_buf_fini(&h1->pending);
        tt_buf_init(&h1->pending, PENDING_MAX);
        tt_tls_stream_pause(conn->stream, false);
    }
}

static void write_piece(struct http1 *h1, struct tt_str piece)
{
    struct http_conn *conn = h1->conn;
    if (h1->is_chunked) {
        char head[24];
        int len = snprintf(head, sizeof head, "%zx\r\n", piece.len);
        http_conn_write(conn, tt_str(head, (size_t)len));
    }
    http_conn_write(conn, piece);
    if (h1->is_chunked) {
        http_conn_write(conn, TT_STR("\r\n"));
    }
    http_exchange_consume(h1->ex, piece.len);
}

static bool h1_fill(struct http_conn *conn)
{
    struct http1 *h1 = h1_of(conn);
    while (h1->ex && http_conn_may_fill(conn)) {
        struct tt_http_exchange *ex = h1->ex;
        if (ex->out_bytes > 0) {
            write_piece(h1, tt_str_head(http_exchange_front(ex), PIECE_MAX));
        } else if (ex->state != HTTP_EX_ENDED) {
            return false;
        } else if (h1->is_chunked && !h1->wrote_end) {
            h1->wrote_end = true;
            http_conn_write(conn, TT_STR("0\r\n\r\n"));
        } else {
            next_request(h1);
        }
    }
    return h1->ex != NULL;
}

/* llhttp's "NOT_FOUND" as "Not Found". */
static void put_phrase(struct tt_buf *head, int status)
{
    const char *name = llhttp_status_name((llhttp_status_t)status);
    bool is_inside = false;
    for (const char *c = name; *c; c++) {
        bool is_lower = is_inside && *c >= 'A' && *c <= 'Z' && status != 200;
        tt_buf_char(head, *c == '_' ? ' ' : is_lower ? (char)(*c - 'A' + 'a') : *c);
        is_inside = *c != '_';
    }
}

/* Writes status line and headers; false when they do not fit. */
static bool write_head(struct http1 *h1, struct tt_http_exchange *ex, int status,
                       const struct tt_http_header *headers, size_t header_count)
{
    struct tt_buf *head = &ex->server->scratch;
    tt_buf_reset(head);
    tt_buf_printf(head, "HTTP/1.1 %d ", status);
    put_phrase(head, status);
    tt_buf_append(head, "\r\n", 2);
    bool has_length = false;
    for (size_t i = 0; i < header_count; i++) {
        has_length = has_length || tt_str_eq(headers[i].name, TT_STR("content-length"));
        tt_buf_str(head, headers[i].name);
        tt_buf_append(head, ": ", 2);
        tt_buf_str(head, headers[i].value);
        tt_buf_append(head, "\r\n", 2);
    }
    bool may_have_body = status != 204 && status != 304;
    if (ex->state != HTTP_EX_ENDED) {
        h1->is_chunked = h1->parser.http_minor >= 1;
        h1->close_after = h1->close_after || !h1->is_chunked;
        tt_buf_c(head, h1->is_chunked ? "transfer-encoding: chunked\r\n" : "");
    } else if (!has_length && may_have_body) {
        tt_buf_printf(head, "content-length: %zu\r\n", ex->out_bytes);
    }
    if (h1->close_after || h1->conn->is_draining) {
        tt_buf_c(head, "connection: close\r\n");
    }
    tt_buf_append(head, "\r\n", 2);
    if (!may_have_body || ex->request.method == TT_HTTP_HEAD) {
        http_exchange_drop_output(ex);
        h1->is_chunked = false;
    }
    if (tt_buf_ok(head)) {
        http_conn_write(h1->conn, tt_buf_view(head));
    }
    return tt_buf_ok(head);
}

/* A header value with a line break would let its author write headers of our answer. */
static bool headers_are_clean(const struct tt_http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (tt_str_find(headers[i].value, '\r') >= 0 || tt_str_find(headers[i].value, '\n') >= 0) {
            return false;
        }
    }
    return true;
}

static void h1_respond(struct tt_http_exchange *ex, int status,
                       const struct tt_http_header *headers, size_t header_count)
{
    struct http1 *h1 = h1_of(ex->conn);
    TT_ASSERT(h1->ex == ex);
    if (!ex->request_complete) {
        h1->close_after = true;
    }
    if (!headers_are_clean(headers, header_count) ||
        !write_head(h1, ex, status, headers, header_count)) {
        http_conn_doom(ex->conn);
    }
}

static void h1_resume(struct tt_http_exchange *ex)
{
    TT_ASSERT(h1_of(ex->conn)->ex == ex); /* the next fill takes it from there */
}

static void h1_abort(struct tt_http_exchange *ex)
{
    http_conn_doom(ex->conn); /* only the end of the connection says that the body is incomplete */
}

static void h1_cut_request(struct tt_http_exchange *ex)
{
    TT_ASSERT(h1_of(ex->conn)->close_after); /* ended by lingering */
}

static void h1_drain(struct http_conn *conn)
{
    struct http1 *h1 = h1_of(conn);
    if (!h1->ex) {
        h1->is_done = true;
    }
}

static void h1_refuse(struct http_conn *conn)
{
    struct http1 *h1 = h1_of(conn);
    static const char answer[] = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n"
                                 "content-length: 0\r\nconnection: close\r\n\r\n";
    http_conn_write(conn, TT_STR(answer));
    h1->is_lingering = true;
    conn->linger_until_ms = http_now(conn->server) + HTTP_LINGER_MS;
}

static bool h1_is_finished(const struct http_conn *conn)
{
    return h1_of(conn)->is_done && tt_tls_stream_queued(conn->stream) == 0;
}

static int h1_open(struct http_conn *conn, struct tt_err *err)
{
    (void)err;
    struct http1 *h1 = TT_NEW(struct http1);
    llhttp_init(&h1->parser, HTTP_REQUEST, &parser_settings);
    h1->parser.data = h1;
    h1->conn = conn;
    tt_buf_init(&h1->url, LINE_MAX_SIZE);
    tt_buf_init(&h1->name, LINE_MAX_SIZE);
    tt_buf_init(&h1->value, LINE_MAX_SIZE);
    tt_buf_init(&h1->pending, PENDING_MAX);
    conn->state = h1;
    return 0;
}

static void h1_close(struct http_conn *conn)
{
    struct http1 *h1 = h1_of(conn);
    tt_buf_fini(&h1->url);
    tt_buf_fini(&h1->name);
    tt_buf_fini(&h1->value);
    tt_buf_fini(&h1->pending);
    tt_free(h1);
    conn->state = NULL;
}

const struct http_protocol http1_protocol = {
    .open = h1_open,
    .close = h1_close,
    .receive = h1_receive,
    .fill = h1_fill,
    .respond = h1_respond,
    .resume = h1_resume,
    .abort = h1_abort,
    .cut_request = h1_cut_request,
    .drain = h1_drain,
    .refuse = h1_refuse,
    .is_finished = h1_is_finished,
};
