/* The TLS stream over real sockets: what a user of it relies on. */
#include <arpa/inet.h>
#include <unistd.h>

#include "tests/unit/server/tls/world.h"

static bool client_got_hello(void *ctx)
{
    return ((struct pair *)ctx)->client.received_size >= 5;
}

static void both_ends_know_each_other_and_talk(void **state)
{
    struct world *world = *state;
    struct pair pair;
    pair_connect(&pair, &world->door, world->client_tls, "127.0.0.1");
    pair.server.echo = true;
    assert_int_equal(tt_tls_stream_write(pair.client.stream, TT_STR("hello")), 0); /* before open */
    assert_true(fixture_turn_until(&world->fixture, client_got_hello, &pair));
    assert_string_equal(pair.client.text, "hello");
    assert_int_equal(pair.client.peer.role, TT_IDENTITY_SERVER);
    assert_string_equal(pair.client.peer.uri, "spiffe://test/server/s1");
    assert_int_equal(pair.server.peer.role, TT_IDENTITY_USER);
    assert_string_equal(pair.server.peer.name, "alice");
    assert_int_equal(pair.server.peer.group_count, 2);
    assert_string_equal(pair.server.peer.groups[0], "system:masters");
    assert_string_equal(pair.server.alpn, "test/1");
    assert_string_equal(pair.client.alpn, "test/1");
    pair_close(&pair);
    assert_false(pair.client.failed);
    assert_false(pair.server.failed);
}

static bool server_has_closed(void *ctx)
{
    return ((struct pair *)ctx)->server.closed;
}

static void close_delivers_what_was_queued(void **state)
{
    struct world *world = *state;
    struct pair pair;
    static char bytes[900000]; /* more than the sockets' buffers take at once */
    memset(bytes, 'x', sizeof bytes);
    pair_connect(&pair, &world->door, world->client_tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &pair));
    assert_int_equal(tt_tls_stream_write(pair.client.stream, tt_str(bytes, sizeof bytes)), 0);
    tt_tls_stream_close(pair.client.stream);
    tt_tls_stream_close(pair.client.stream); /* idempotent */
    assert_int_equal(tt_tls_stream_write(pair.client.stream, TT_STR("late")), TT_ECLOSED);
    assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
    assert_int_equal(pair.server.received_size, sizeof bytes);
    assert_false(pair.server.failed);
}

struct slice {
    struct pair *pair;
    size_t size_wanted; /* received so far by the server */
    uint64_t until_ms;  /* monotonic */
};

static bool slice_is_read(void *ctx)
{
    struct slice *slice = ctx;
    return slice->pair->server.received_size >= slice->size_wanted || slice->pair->server.closed;
}

static bool slice_time_is_up(void *ctx)
{
    return tt_clock_ms(tt_clock_real()) >= ((struct slice *)ctx)->until_ms;
}

/* The reader takes longer in all than a closing side waits for one that is dead. */
static void a_slow_reader_gets_everything_after_close(void **state)
{
    enum { SIZE = 24 << 20, SLICE = 2 << 20, PAUSE_MS = 250 };
    struct world *world = *state;
    struct pair pair = {.server = {.fixture = &world->fixture},
                        .client = {.fixture = &world->fixture}};
    struct slice slice = {.pair = &pair};
    char *bytes = test_calloc(1, SIZE);
    struct tt_err err;
    tt_err_init(&err);
    world->door.next = &pair.server;
    struct tt_tls_stream_config config = end_config(&pair.client, world->client_tls);
    config.write_queue_max = SIZE;
    fixture_must(tt_tls_stream_connect(&config, "127.0.0.1",
                                       tt_tls_listener_port(world->door.listener),
                                       &pair.client.stream, &err),
                 &err);
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &pair));
    assert_int_equal(tt_tls_stream_write(pair.client.stream, tt_str(bytes, SIZE)), 0);
    tt_tls_stream_close(pair.client.stream);
    while (!pair.server.closed && pair.server.received_size + SLICE < SIZE) {
        slice.size_wanted = pair.server.received_size + SLICE;
        assert_true(fixture_turn_until(&world->fixture, slice_is_read, &slice));
        if (pair.server.stream != NULL) {
            tt_tls_stream_pause(pair.server.stream, true);
            slice.until_ms = tt_clock_ms(tt_clock_real()) + PAUSE_MS;
            assert_true(fixture_turn_until(&world->fixture, slice_time_is_up, &slice));
            tt_tls_stream_pause(pair.server.stream, false);
        }
    }
    assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
    assert_int_equal(pair.server.received_size, SIZE);
    assert_false(pair.client.failed);
    test_free(bytes);
}

static void abort_is_told_as_an_error(void **state)
{
    struct world *world = *state;
    struct pair pair;
    pair_connect(&pair, &world->door, world->client_tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &pair));
    tt_tls_stream_abort(pair.client.stream);
    assert_true(fixture_turn_until(&world->fixture, server_has_closed, &pair));
    assert_true(pair.server.failed);
    pair_close(&pair);
}

static bool queue_is_low(void *ctx)
{
    return ((struct pair *)ctx)->client.writable_count > 0;
}

static bool is_stuck(void *ctx)
{
    struct pair *pair = ctx;
    return pair->server.received_size == 1;
}

static void a_full_queue_refuses_and_then_says_when_it_has_room(void **state)
{
    struct world *world = *state;
    struct pair pair;
    static char bytes[1 << 20];
    pair_connect(&pair, &world->door, world->client_tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &pair));
    assert_int_equal(tt_tls_stream_write(pair.client.stream, TT_STR("a")), 0);
    tt_tls_stream_flush(pair.client.stream);
    assert_true(fixture_turn_until(&world->fixture, is_stuck, &pair));
    tt_tls_stream_pause(pair.server.stream, true);
    size_t sent = 1;
    for (bool stuck = false; !stuck;) { /* until neither socket nor queue takes more */
        size_t queued = tt_tls_stream_queued(pair.client.stream);
        bool taken = tt_tls_stream_write(pair.client.stream, tt_str(bytes, sizeof bytes)) == 0;
        sent += taken ? sizeof bytes : 0;
        assert_true(sent < (size_t)256 << 20); /* far more than the sockets hold */
        tt_tls_stream_flush(pair.client.stream);
        (void)uv_run(tt_loop_uv(world->fixture.loop), UV_RUN_ONCE);
        stuck = !taken && tt_tls_stream_queued(pair.client.stream) == queued;
    }
    assert_int_equal(tt_tls_stream_write(pair.client.stream, tt_str(bytes, sizeof bytes)),
                     TT_EBUSY);
    assert_true(tt_tls_stream_queued(pair.client.stream) > 0);
    pair.client.writable_count = 0;
    assert_int_equal(pair.server.received_size, 1);
    tt_tls_stream_pause(pair.server.stream, false);
    assert_true(fixture_turn_until(&world->fixture, queue_is_low, &pair));
    tt_tls_stream_close(pair.client.stream);
    assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
    assert_int_equal(pair.server.received_size, sent);
}

static bool client_has_closed(void *ctx)
{
    return ((struct pair *)ctx)->client.closed;
}

static void a_client_refuses_a_server_of_another_name(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"10.1.2.3", "example.org", "spiffe://test/server/s2", "s1"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct pair pair;
        pair_connect(&pair, &world->door, world->client_tls, names[i]);
        assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
        assert_true(pair.client.failed);
        assert_false(pair.client.opened);
        assert_int_equal(pair.client.code, TT_ETLS);
    }
}

static void a_server_is_found_by_name_and_by_identity(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"localhost", "127.0.0.1", "spiffe://test/server/s1", "::1"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct pair pair;
        pair_connect(&pair, &world->door, world->client_tls, names[i]);
        assert_true(fixture_turn_until(&world->fixture, pair_is_open, &pair));
        pair_close(&pair);
    }
}

static void connecting_by_name_tries_every_address(void **state)
{
    struct world *world = *state;
    struct pair pair = {.server = {.fixture = &world->fixture},
                        .client = {.fixture = &world->fixture}};
    struct tt_err err;
    tt_err_init(&err);
    world->door.next = &pair.server;
    struct tt_tls_stream_config config = end_config(&pair.client, world->client_tls);
    fixture_must(tt_tls_stream_connect(&config, "localhost",
                                       tt_tls_listener_port(world->door.listener),
                                       &pair.client.stream, &err),
                 &err);
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &pair));
    pair_close(&pair);
}

static void a_refused_connection_is_told_once_through_closed(void **state)
{
    struct world *world = *state;
    struct pair pair = {.client = {.fixture = &world->fixture}};
    struct tt_err err;
    tt_err_init(&err);
    struct tt_tls_stream_config config = end_config(&pair.client, world->client_tls);
    fixture_must(tt_tls_stream_connect(&config, "127.0.0.1", 1, &pair.client.stream, &err), &err);
    assert_false(pair.client.closed); /* never within the call */
    assert_true(fixture_turn_until(&world->fixture, client_has_closed, &pair));
    assert_true(pair.client.failed);
    assert_non_null(strstr(pair.client.error, "127.0.0.1:1"));
}

/* A listening socket nobody accepts from: TCP connects, TLS never answers. */
static void a_silent_peer_times_out(void **state)
{
    struct world *world = *state;
    struct pair pair = {.client = {.fixture = &world->fixture}};
    struct tt_err err;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    tt_err_init(&err);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    struct tt_tls_stream_config config = end_config(&pair.client, world->client_tls);
    config.handshake_timeout_ms = 100;
    fixture_must(tt_tls_stream_connect(&config, "127.0.0.1", ntohs(address.sin_port),
                                       &pair.client.stream, &err),
                 &err);
    assert_true(fixture_turn_until(&world->fixture, client_has_closed, &pair));
    assert_int_equal(pair.client.code, TT_ETIMEOUT);
    assert_int_equal(close(fd), 0);
}

static void a_stream_closed_before_it_opened_says_so_without_error(void **state)
{
    struct world *world = *state;
    struct pair pair;
    pair_connect(&pair, &world->door, world->client_tls, NULL);
    tt_tls_stream_close(pair.client.stream);
    assert_true(fixture_turn_until(&world->fixture, client_has_closed, &pair));
    assert_false(pair.client.failed);
    if (pair.server.stream != NULL) {
        assert_true(fixture_turn_until(&world->fixture, server_has_closed, &pair));
        assert_true(pair.server.failed);
    }
    world->door.next = NULL;
}

static void a_port_is_shared_only_when_asked(void **state)
{
    struct world *world = *state;
    struct tt_err err;
    tt_err_init(&err);
    uint16_t port = tt_tls_listener_port(world->door.listener);
    struct tt_tls_listener *second = NULL;
    const struct tt_tls_listener_config config = {.loop = world->fixture.loop,
                                                  .host = "127.0.0.1",
                                                  .port = port,
                                                  .shared = true,
                                                  .accepted = door_accepted,
                                                  .ctx = &world->door};
    assert_int_not_equal(tt_tls_listener_new(&config, &second, &err), TT_OK);
    assert_int_not_equal(tt_tls_port_check("127.0.0.1", port, &err), TT_OK);
    assert_null(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_know_each_other_and_talk),
        cmocka_unit_test(close_delivers_what_was_queued),
        cmocka_unit_test(a_slow_reader_gets_everything_after_close),
        cmocka_unit_test(abort_is_told_as_an_error),
        cmocka_unit_test(a_full_queue_refuses_and_then_says_when_it_has_room),
        cmocka_unit_test(a_client_refuses_a_server_of_another_name),
        cmocka_unit_test(a_port_is_shared_only_when_asked),
        cmocka_unit_test(a_server_is_found_by_name_and_by_identity),
        cmocka_unit_test(connecting_by_name_tries_every_address),
        cmocka_unit_test(a_refused_connection_is_told_once_through_closed),
        cmocka_unit_test(a_silent_peer_times_out),
        cmocka_unit_test(a_stream_closed_before_it_opened_says_so_without_error),
    };
    return cmocka_run_group_tests(tests, world_up, world_down);
}
