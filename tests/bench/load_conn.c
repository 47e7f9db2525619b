/* A connection: blocking connect and handshake (set-up is not measured), then non-blocking under
 * epoll. Frames of a loop turn are coalesced and leave in full records. A connection that is lost
 * fails its operations and is opened again a moment later. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/load.h"

enum {
    OUT_MAX = 256 << 10,
    RECORD = 16384,
    FILL_MAX = OUT_MAX - 2 * RECORD, /* leaves room for one more frame */
    STREAM_WINDOW = 1 << 20,
    CONN_WINDOW = 64 << 20,
    RETRY_NS = 100 * 1000 * 1000
};

int load_tls_new(struct load *load, struct tt_err *err)
{
    static const unsigned char alpn[] = {2, 'h', '2'};
    const struct load_options *options = &load->options;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    bool ok = ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
              SSL_CTX_load_verify_locations(ctx, options->ca_path, NULL) == 1 &&
              SSL_CTX_use_certificate_chain_file(ctx, options->cert_path) == 1 &&
              SSL_CTX_use_PrivateKey_file(ctx, options->key_path, SSL_FILETYPE_PEM) == 1 &&
              SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn) == 0;
    if (!ok) {
        SSL_CTX_free(ctx);
        return TT_FAIL(err, TT_ETLS, "load certificates: %s",
                       ERR_reason_error_string(ERR_peek_last_error()));
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, (size_t)4 * RECORD);
    load->tls = ctx;
    return 0;
}

/* ---- HTTP/2 callbacks ---- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)flags;
    (void)user;
    struct tt_str n = tt_str((const char *)name, name_size);
    struct tt_str v = tt_str((const char *)value, value_size);
    bool is_status = tt_str_eq(n, TT_STR(":status"));
    if (!is_status && !tt_str_eq(n, TT_STR("grpc-status"))) {
        return 0;
    }
    struct load_op *op = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    uint64_t number;
    if (!op || !tt_str_to_u64(v, &number) || number > 999) {
        return 0;
    }
    *(is_status ? &op->status : &op->grpc_status) = (int)number;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t size, void *user)
{
    (void)flags;
    (void)user;
    struct load_op *op = nghttp2_session_get_stream_user_data(session, stream_id);
    if (op) {
        op->answer_size += size;
        if (op->kind == LOAD_WATCH) {
            load_watch_data(op, tt_str((const char *)data, size));
        }
    }
    return 0;
}

static void unlink_op(struct load_op *op)
{
    op->prev->next = op->next;
    op->next->prev = op->prev;
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user)
{
    (void)user;
    struct load_op *op = nghttp2_session_get_stream_user_data(session, stream_id);
    if (op) {
        unlink_op(op);
        load_op_done(op, error_code != NGHTTP2_NO_ERROR);
    }
    return 0;
}

/* Says only how much goes into the next frame: send_body writes it. */
static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t size,
                         uint32_t *data_flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)stream_id;
    (void)buf;
    (void)user;
    struct load_op *op = source->ptr;
    size_t rest = load_body_size(op) - op->body_sent;
    bool stays_open = op->kind == LOAD_WATCH; /* a gRPC watch ends when the client half-closes */
    if (rest == 0 && stays_open) {
        return NGHTTP2_ERR_DEFERRED;
    }
    *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (rest <= size && !stays_open) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)(rest < size ? rest : size);
}

/* A frame of the body goes straight to where records are made from; a full buffer leaves it for
 * the next fill. */
static int send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                     size_t size, nghttp2_data_source *source, void *user)
{
    enum { FRAME_HEAD = 9 };
    (void)session;
    struct load_conn *conn = user;
    TT_ASSERT(frame->data.padlen == 0);
    if (conn->out_size + FRAME_HEAD + size > FILL_MAX) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    memcpy(conn->out + conn->out_size, head, FRAME_HEAD);
    load_body_take(conn->load, source->ptr, conn->out + conn->out_size + FRAME_HEAD, size);
    conn->out_size += FRAME_HEAD + size;
    return 0;
}

nghttp2_session_callbacks *load_callbacks(void)
{
    nghttp2_session_callbacks *cb;
    int r = nghttp2_session_callbacks_new(&cb);
    TT_ASSERT(r == 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_body);
    return cb;
}

/* Names are literals; values, too, or belong to the operation or the connection: none is copied. */
static size_t put(nghttp2_nv *nv, struct tt_str name, struct tt_str value)
{
    memcpy(&nv->name, &name.ptr, sizeof nv->name);
    memcpy(&nv->value, &value.ptr, sizeof nv->value);
    nv->namelen = name.len;
    nv->valuelen = value.len;
    nv->flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    return 1;
}

static size_t put_number(nghttp2_nv *nv, struct tt_str name, struct tt_buf *scratch, uint64_t value)
{
    tt_buf_reset(scratch);
    tt_buf_u64(scratch, value);
    (void)put(nv, name, tt_buf_view(scratch));
    nv->flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    return 1;
}

void load_conn_submit(struct load_conn *conn, struct load_op *op)
{
    const struct load_mode *mode = conn->load->options.mode;
    nghttp2_nv nv[LOAD_HEADERS_MAX];
    bool has_body = op->body.len > 0;
    bool is_write = mode->is_grpc || has_body;
    bool is_create = conn->load->phase == LOAD_PREPARE && !mode->is_grpc;
    const char *method = op->kind == LOAD_WATCH && !mode->is_grpc ? "GET"
                         : is_create && has_body                  ? "POST"
                                                                  : mode->method;
    size_t count = put(&nv[0], TT_STR(":method"), tt_str_c(method));
    count += put(&nv[count], TT_STR(":scheme"), TT_STR("https"));
    count += put(&nv[count], TT_STR(":path"), tt_buf_view(&op->path));
    count += put(&nv[count], TT_STR(":authority"), tt_str_c(conn->endpoint));
    if (mode->is_grpc) {
        count += put(&nv[count], TT_STR("content-type"), TT_STR("application/grpc"));
        count += put(&nv[count], TT_STR("te"), TT_STR("trailers"));
    } else {
        count += put(&nv[count], TT_STR("accept"), TT_STR("application/json"));
        count += put(&nv[count], TT_STR("user-agent"), TT_STR("tutti-load/1"));
    }
    if (!mode->is_grpc && has_body) {
        count += put(&nv[count], TT_STR("content-type"), TT_STR("application/json"));
        count += put_number(&nv[count], TT_STR("content-length"), &conn->load->scratch,
                            load_body_size(op));
    }
    nghttp2_data_provider provider = {.source.ptr = op, .read_callback = read_body};
    op->conn = conn;
    op->next = &conn->ops;
    op->prev = conn->ops.prev;
    conn->ops.prev->next = op;
    conn->ops.prev = op;
    op->stream_id =
        nghttp2_submit_request(conn->session, NULL, nv, count, is_write ? &provider : NULL, op);
    conn->is_dirty = true;
    if (op->stream_id < 0) {
        load_conn_lose(conn, "no more streams");
    }
}

/* ---- the socket ---- */

static int dial(const char *endpoint, struct tt_err *err)
{
    const char *colon = strrchr(endpoint, ':');
    if (!colon) {
        return TT_FAIL(err, TT_EINVAL, "endpoint %s: host:port expected", endpoint);
    }
    char host[128];
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - endpoint), endpoint);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *address;
    if (getaddrinfo(host, colon + 1, &hints, &address) != 0) {
        return TT_FAIL(err, TT_EINVAL, "endpoint %s: numeric address expected", endpoint);
    }
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = fd < 0 ? -1 : connect(fd, address->ai_addr, address->ai_addrlen);
    int saved = errno;
    freeaddrinfo(address);
    if (r < 0) {
        if (fd >= 0) {
            close(fd);
        }
        return TT_FAIL_ERRNO(err, saved, "connect to %s", endpoint);
    }
    struct timeval patience = {.tv_sec = 3};
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience); /* handshake */
    return fd;
}

static int open_session(struct load_conn *conn, struct tt_err *err)
{
    nghttp2_option *option;
    nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
                                         {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    int r = nghttp2_option_new(&option);
    if (r == 0) {
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_no_http_messaging(option, 1); /* whether headers are well-formed */
        r = nghttp2_session_client_new2(&conn->session, conn->load->callbacks, conn, option);
        nghttp2_option_del(option);
    }
    if (r == 0) {
        r = nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings, 2);
    }
    if (r == 0) {
        r = nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW);
    }
    return r == 0 ? 0 : TT_FAIL(err, TT_EINTERNAL, "HTTP/2: %s", nghttp2_strerror(r));
}

int load_conn_open(struct load_conn *conn, struct tt_err *err)
{
    int fd = dial(conn->endpoint, err);
    if (fd < 0) {
        return fd;
    }
    SSL *ssl = SSL_new(conn->load->tls);
    TT_ASSERT(ssl);
    (void)SSL_set_fd(ssl, fd);
    ERR_clear_error();
    if (SSL_connect(ssl) != 1) {
        SSL_free(ssl);
        close(fd);
        return TT_FAIL(err, TT_ETLS, "TLS with %s: %s", conn->endpoint,
                       ERR_reason_error_string(ERR_peek_last_error()));
    }
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    conn->fd = fd;
    conn->ssl = ssl;
    conn->out = conn->out ? conn->out : tt_xmalloc(OUT_MAX);
    conn->out_size = 0;
    conn->out_sent = 0;
    conn->wants_write = false;
    conn->is_dirty = true;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (epoll_ctl(conn->load->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        return TT_FAIL_ERRNO(err, errno, "epoll");
    }
    return open_session(conn, err);
}

void load_conn_lose(struct load_conn *conn, const char *why)
{
    struct load *load = conn->load;
    if (conn->fd < 0) {
        return;
    }
    if (load->first_error[0] == '\0') {
        (void)snprintf(load->first_error, sizeof load->first_error, "%s: %s", conn->endpoint, why);
    }
    SSL_free(conn->ssl);
    close(conn->fd); /* leaves epoll with it */
    nghttp2_session_del(conn->session);
    conn->fd = -1;
    conn->ssl = NULL;
    conn->session = NULL;
    conn->is_dirty = false;
    conn->retry_ns = load_now() + RETRY_NS;
    while (conn->ops.next != &conn->ops) {
        struct load_op *op = conn->ops.next;
        unlink_op(op);
        load_op_done(op, true);
    }
}

static void want_write(struct load_conn *conn, bool wanted)
{
    if (conn->wants_write == wanted) {
        return;
    }
    conn->wants_write = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0u), .data.ptr = conn};
    (void)epoll_ctl(conn->load->epoll, EPOLL_CTL_MOD, conn->fd, &event); /* it is registered */
}

/* Frames into the buffer until it holds some records; false: nothing to send. */
static bool fill(struct load_conn *conn)
{
    if (conn->out_sent < conn->out_size) {
        return true;
    }
    conn->out_sent = 0;
    conn->out_size = 0;
    while (conn->out_size < FILL_MAX) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(conn->session, &bytes);
        if (size <= 0) {
            break;
        }
        TT_ASSERT((size_t)size <= OUT_MAX - conn->out_size);
        memcpy(conn->out + conn->out_size, bytes, (size_t)size);
        conn->out_size += (size_t)size;
    }
    return conn->out_size > 0;
}

void load_conn_flush(struct load_conn *conn)
{
    conn->is_dirty = false;
    while (conn->fd >= 0 && fill(conn)) {
        size_t size = conn->out_size - conn->out_sent;
        size = size < RECORD ? size : RECORD;
        ERR_clear_error();
        int r = SSL_write(conn->ssl, conn->out + conn->out_sent, (int)size);
        if (r > 0) {
            conn->out_sent += (size_t)r;
            continue;
        }
        int error = SSL_get_error(conn->ssl, r);
        if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) {
            want_write(conn, true);
            return;
        }
        load_conn_lose(conn, "write failed");
        return;
    }
    if (conn->fd >= 0) {
        want_write(conn, false);
    }
}

void load_conn_read(struct load_conn *conn)
{
    uint8_t *bytes = conn->load->in;
    while (conn->fd >= 0) {
        ERR_clear_error();
        int r = SSL_read(conn->ssl, bytes, LOAD_READ_MAX);
        if (r <= 0) {
            int error = SSL_get_error(conn->ssl, r);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
                load_conn_lose(conn, "closed by the server");
            }
            return;
        }
        conn->is_dirty = true;
        ssize_t taken = nghttp2_session_mem_recv(conn->session, bytes, (size_t)r);
        if (taken < 0) {
            load_conn_lose(conn, nghttp2_strerror((int)taken));
            return;
        }
        if (!SSL_has_pending(conn->ssl)) {
            return; /* level-triggered: no second read only to hear EAGAIN */
        }
    }
}
