/* gRPC over a unix socket, against a small server of our own on nghttp2: /echo one message back,
 * /three a stream of three in small pieces, /error no message, /cut no trailers, /hang nothing,
 * /compressed a flag we do not take. */
#include <nghttp2/nghttp2.h>

#include "api/http/grpc.h"
#include "tests/unit/server/tls/fixture.h"

struct peer {
    uv_pipe_t listener;
    uv_pipe_t pipe; /* one connection is enough */
    nghttp2_session *session;
    char path[64];     /* of the request being read */
    char message[256]; /* its body */
    size_t message_size;
    char answer[512];
    size_t answer_size;
    size_t answer_sent;
    bool is_connected;
};

struct world {
    struct fixture fixture;
    struct peer peer;
    struct tt_http_client *client;
    char socket[FIXTURE_PATH_SIZE];
    int closing; /* handles of ours still open */
};

static nghttp2_nv nv_of(const char *name, const char *value)
{
    nghttp2_nv nv = {.namelen = strlen(name), .valuelen = strlen(value)};
    memcpy(&nv.name, &name, sizeof nv.name);
    memcpy(&nv.value, &value, sizeof nv.value);
    return nv;
}

static ssize_t peer_read(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t size,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)source;
    struct peer *peer = user;
    size_t left = peer->answer_size - peer->answer_sent;
    size_t piece = left < 7 ? left : 7; /* messages are cut anywhere */
    assert_true(piece <= size);
    memcpy(buf, peer->answer + peer->answer_sent, piece);
    peer->answer_sent += piece;
    if (peer->answer_sent == peer->answer_size) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (strcmp(peer->path, "/cut") != 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_nv trailer = nv_of("grpc-status", "0");
            assert_int_equal(nghttp2_submit_trailer(session, stream_id, &trailer, 1), 0);
        }
    }
    return (ssize_t)piece;
}

static void add_message(struct peer *peer, char flag, const char *bytes, size_t size)
{
    char *at = peer->answer + peer->answer_size;
    at[0] = flag;
    at[1] = 0;
    at[2] = 0;
    at[3] = 0;
    at[4] = (char)size;
    memcpy(at + 5, bytes, size);
    peer->answer_size += 5 + size;
}

static void peer_answer(struct peer *peer, int32_t stream_id)
{
    nghttp2_nv head[4] = {nv_of(":status", "200"), nv_of("content-type", "application/grpc"),
                          nv_of("grpc-status", "5"), nv_of("grpc-message", "no%20such%20pod")};
    nghttp2_data_provider provider = {.read_callback = peer_read};
    peer->answer_size = 0;
    peer->answer_sent = 0;
    if (strcmp(peer->path, "/hang") == 0) {
        return;
    }
    if (strcmp(peer->path, "/error") == 0) {
        assert_int_equal(nghttp2_submit_response(peer->session, stream_id, head, 4, NULL), 0);
        return;
    }
    if (strcmp(peer->path, "/long") == 0) {
        char text[320];
        memset(text, 'x', sizeof text);
        memcpy(text + sizeof text - 12, ": the cause", 12);
        head[3] = nv_of("grpc-message", text);
        assert_int_equal(nghttp2_submit_response(peer->session, stream_id, head, 4, NULL), 0);
        return;
    }
    if (strcmp(peer->path, "/three") == 0) {
        add_message(peer, 0, "one", 3);
        add_message(peer, 0, "", 0);
        add_message(peer, 0, "three", 5);
    } else {
        char flag = strcmp(peer->path, "/compressed") == 0 ? 1 : 0;
        add_message(peer, flag, peer->message + 5, peer->message_size - 5);
    }
    assert_int_equal(nghttp2_submit_response(peer->session, stream_id, head, 2, &provider), 0);
}

static int peer_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                       size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                       void *user)
{
    (void)session;
    (void)frame;
    (void)flags;
    struct peer *peer = user;
    if (name_size == 5 && memcmp(name, ":path", 5) == 0) {
        (void)snprintf(peer->path, sizeof peer->path, "%.*s", (int)value_size, (const char *)value);
        peer->message_size = 0;
    }
    return 0;
}

static int peer_data(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                     const uint8_t *data, size_t size, void *user)
{
    (void)session;
    (void)flags;
    (void)stream_id;
    struct peer *peer = user;
    assert_true(peer->message_size + size <= sizeof peer->message);
    memcpy(peer->message + peer->message_size, data, size);
    peer->message_size += size;
    return 0;
}

static int peer_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    bool is_request = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (is_request && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        peer_answer(user, frame->hd.stream_id);
    }
    return 0;
}

static void peer_written(uv_write_t *write, int status)
{
    (void)status;
    test_free(write);
}

static void peer_flush(struct peer *peer)
{
    const uint8_t *bytes;
    ssize_t size;
    while ((size = nghttp2_session_mem_send(peer->session, &bytes)) > 0) {
        uv_write_t *write = test_malloc(sizeof *write + (size_t)size);
        memcpy(write + 1, bytes, (size_t)size);
        uv_buf_t buf = uv_buf_init((char *)(write + 1), (unsigned)size);
        assert_int_equal(uv_write(write, (uv_stream_t *)&peer->pipe, &buf, 1, peer_written), 0);
    }
}

static void peer_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)handle;
    *buf = uv_buf_init(test_malloc(size), (unsigned)size);
}

static void peer_received(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct peer *peer = stream->data;
    if (size > 0) {
        assert_true(nghttp2_session_mem_recv(peer->session, (const uint8_t *)buf->base,
                                             (size_t)size) == size);
        peer_flush(peer);
    }
    test_free(buf->base);
    if (size < 0) {
        assert_int_equal(uv_read_stop(stream), 0);
    }
}

static void peer_accept(uv_stream_t *listener, int status)
{
    struct peer *peer = listener->data;
    nghttp2_session_callbacks *cb;
    assert_int_equal(status, 0);
    assert_false(peer->is_connected);
    peer->is_connected = true;
    assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, peer_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, peer_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, peer_frame);
    assert_int_equal(nghttp2_session_server_new(&peer->session, cb, peer), 0);
    nghttp2_session_callbacks_del(cb);
    assert_int_equal(nghttp2_submit_settings(peer->session, 0, NULL, 0), 0);
    assert_int_equal(uv_pipe_init(listener->loop, &peer->pipe, 0), 0);
    peer->pipe.data = peer;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&peer->pipe), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&peer->pipe, peer_alloc, peer_received), 0);
}

static int world_up(void **state)
{
    struct world *world = test_calloc(1, sizeof *world);
    struct tt_err err;
    tt_err_init(&err);
    fixture_up(&world->fixture);
    (void)fixture_path(&world->fixture, "grpc.sock", world->socket);
    uv_loop_t *uv = tt_loop_uv(world->fixture.loop);
    assert_int_equal(uv_pipe_init(uv, &world->peer.listener, 0), 0);
    world->peer.listener.data = &world->peer;
    assert_int_equal(uv_pipe_bind(&world->peer.listener, world->socket), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&world->peer.listener, 1, peer_accept), 0);
    struct tt_http_client_config config = {.loop = world->fixture.loop, .unix_path = world->socket};
    fixture_must(tt_http_client_new(&config, &world->client, &err), &err);
    *state = world;
    return 0;
}

static void count_closed(void *ctx)
{
    ((struct world *)ctx)->closing--;
}

static void count_handle(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    TT_CONTAINER_OF(peer, struct world, peer)->closing--;
}

static bool all_closed(void *ctx)
{
    return ((struct world *)ctx)->closing == 0;
}

static int world_down(void **state)
{
    struct world *world = *state;
    world->closing = world->peer.is_connected ? 3 : 2;
    tt_http_client_close(world->client, count_closed, world);
    uv_close((uv_handle_t *)&world->peer.listener, count_handle);
    if (world->peer.is_connected) {
        uv_close((uv_handle_t *)&world->peer.pipe, count_handle);
    }
    assert_true(fixture_turn_until(&world->fixture, all_closed, world));
    nghttp2_session_del(world->peer.session);
    fixture_down(&world->fixture);
    test_free(world);
    return 0;
}

struct outcome {
    struct tt_grpc_call call;
    int done;
    int code;
    char text[256];
    char reply[256];
    size_t reply_size;
    int messages;
};

static void on_done(struct tt_grpc_call *call, const struct tt_err *err)
{
    struct outcome *o = call->ctx;
    o->done++;
    o->code = err ? err->code : 0;
    if (err) {
        (void)tt_err_format(err, o->text, sizeof o->text);
    } else if (!call->message) {
        o->reply_size = call->reply.len;
        memcpy(o->reply, call->reply.ptr ? call->reply.ptr : "", call->reply.len);
    }
}

static void on_message(struct tt_grpc_call *call, struct tt_str bytes)
{
    struct outcome *o = call->ctx;
    o->messages++;
    memcpy(o->reply + o->reply_size, bytes.ptr, bytes.len);
    o->reply_size += bytes.len;
}

static bool is_done(void *ctx)
{
    return ((struct outcome *)ctx)->done > 0;
}

static void ask(struct world *world, struct outcome *o, const char *path, bool is_stream,
                uint64_t timeout_ms)
{
    struct tt_err err;
    tt_err_init(&err);
    memset(o, 0, sizeof *o);
    o->call.path = path;
    o->call.timeout_ms = timeout_ms;
    o->call.message = is_stream ? on_message : NULL;
    o->call.done = on_done;
    o->call.ctx = o;
    fixture_must(tt_grpc_start(world->client, &o->call, TT_STR("hello"), &err), &err);
    assert_int_equal(o->done, 0);
    assert_true(fixture_turn_until(&world->fixture, is_done, o));
    assert_int_equal(o->done, 1);
}

static void unary_call_gives_one_message(void **state)
{
    struct outcome o;
    ask(*state, &o, "/echo", false, 0);
    assert_int_equal(o.code, 0);
    assert_int_equal(o.call.status, TT_GRPC_OK);
    assert_int_equal(o.reply_size, 5);
    assert_memory_equal(o.reply, "hello", 5);
}

static void stream_gives_every_message_whole(void **state)
{
    struct outcome o;
    ask(*state, &o, "/three", true, 0);
    assert_int_equal(o.code, 0);
    assert_int_equal(o.messages, 3);
    assert_int_equal(o.reply_size, 8);
    assert_memory_equal(o.reply, "onethree", 8);
}

static void several_messages_are_no_unary_answer(void **state)
{
    struct outcome o;
    ask(*state, &o, "/three", false, 0);
    assert_int_equal(o.code, TT_EPROTO);
}

static void status_and_text_of_an_error_arrive(void **state)
{
    struct outcome o;
    ask(*state, &o, "/error", false, 0);
    assert_int_equal(o.code, TT_ENOTFOUND);
    assert_int_equal(o.call.status, TT_GRPC_NOT_FOUND);
    assert_non_null(strstr(o.text, "NOT_FOUND: no such pod"));
}

static void end_of_a_long_text_is_told(void **state)
{
    struct outcome o;
    ask(*state, &o, "/long", false, 0);
    assert_non_null(strstr(o.text, "/long: NOT_FOUND: ... xxx"));
    assert_non_null(strstr(o.text, "xxx: the cause"));
}

static void end_without_a_status_is_no_success(void **state)
{
    struct outcome o;
    ask(*state, &o, "/cut", false, 0);
    assert_int_equal(o.code, TT_ECLOSED);
    assert_int_equal(o.call.status, -1);
}

static void compressed_message_is_refused(void **state)
{
    struct outcome o;
    ask(*state, &o, "/compressed", true, 0);
    assert_int_equal(o.code, TT_EPROTO);
    assert_int_equal(o.messages, 0);
}

static void deadline_ends_a_call(void **state)
{
    struct outcome o;
    ask(*state, &o, "/hang", false, 100);
    assert_int_equal(o.code, TT_ETIMEOUT);
    ask(*state, &o, "/echo", false, 0); /* the connection lives */
    assert_int_equal(o.code, 0);
}

static bool client_closed(void *ctx)
{
    return *(bool *)ctx;
}

static void set_true(void *ctx)
{
    *(bool *)ctx = true;
}

static void missing_socket_is_unavailable(void **state)
{
    struct world *world = *state;
    struct tt_http_client *good = world->client;
    struct tt_http_client_config config = {.loop = world->fixture.loop,
                                           .unix_path = "/nonexistent/tutti.sock"};
    struct outcome o;
    bool closed = false;
    assert_int_equal(tt_http_client_new(&config, &world->client, NULL), 0);
    ask(world, &o, "/echo", false, 0);
    assert_int_equal(o.code, TT_EUNAVAILABLE);
    tt_http_client_close(world->client, set_true, &closed);
    assert_true(fixture_turn_until(&world->fixture, client_closed, &closed));
    world->client = good;
}

int main(void)
{
#define GRPC_TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
    const struct CMUnitTest tests[] = {
        GRPC_TEST(unary_call_gives_one_message),
        GRPC_TEST(stream_gives_every_message_whole),
        GRPC_TEST(several_messages_are_no_unary_answer),
        GRPC_TEST(status_and_text_of_an_error_arrive),
        GRPC_TEST(end_of_a_long_text_is_told),
        GRPC_TEST(end_without_a_status_is_no_success),
        GRPC_TEST(compressed_message_is_refused),
        GRPC_TEST(deadline_ends_a_call),
        GRPC_TEST(missing_socket_is_unavailable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
