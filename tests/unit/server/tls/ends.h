/* Both ends of TLS connections for tests: a listening door, pairs of streams, and what happened to
 * each end.
 *
 * Ownership: streams free themselves; ends live on the test's stack until closed. Thread: the
 * test's. Errors: assertions. */
#ifndef TESTS_UNIT_SERVER_TLS_ENDS_H
#define TESTS_UNIT_SERVER_TLS_ENDS_H

#include "tests/unit/server/tls/fixture.h"

/* One end of a connection, with everything that happened to it. */
struct end {
    struct fixture *fixture;
    struct tt_tls_stream *stream; /* NULL after closed */
    bool echo;                    /* writes back what it reads */
    bool opened;
    bool closed;
    bool failed; /* closed came with an error */
    size_t received_size;
    uint64_t received_sum; /* of the bytes: order is checked by text */
    char text[256];        /* the first bytes */
    char error[512];
    int code; /* of the error */
    uint32_t writable_count;
    struct tt_peer_identity peer; /* role NONE when there was none */
    char alpn[32];
};

static inline void end_opened(void *ctx, struct tt_tls_stream *stream)
{
    struct end *end = ctx;
    const struct tt_peer_identity *peer = tt_tls_stream_peer(stream);
    assert_false(end->opened);
    end->opened = true;
    end->stream = stream;
    if (peer != NULL) {
        end->peer = *peer;
    }
    (void)snprintf(end->alpn, sizeof end->alpn, "%.*s", TT_STR_ARG(tt_tls_stream_alpn(stream)));
}

static inline void end_data(void *ctx, struct tt_tls_stream *stream, struct tt_str bytes)
{
    struct end *end = ctx;
    for (size_t i = 0; i < bytes.len; i++) {
        if (end->received_size + i < sizeof end->text - 1) {
            end->text[end->received_size + i] = bytes.ptr[i];
        }
        end->received_sum += (uint8_t)bytes.ptr[i];
    }
    end->received_size += bytes.len;
    if (end->echo) {
        assert_int_equal(tt_tls_stream_write(stream, bytes), 0);
        tt_tls_stream_flush(stream);
    }
}

static inline void end_writable(void *ctx, struct tt_tls_stream *stream)
{
    struct end *end = ctx;
    (void)stream;
    end->writable_count++;
}

static inline void end_closed(void *ctx, struct tt_tls_stream *stream, const struct tt_err *err)
{
    struct end *end = ctx;
    (void)stream;
    assert_false(end->closed);
    end->closed = true;
    end->stream = NULL;
    if (err != NULL) {
        end->failed = true;
        end->code = err->code;
        (void)tt_err_format(err, end->error, sizeof end->error);
    }
}

static inline struct tt_tls_stream_config end_config(struct end *end, struct tt_tls_context *tls)
{
    return (struct tt_tls_stream_config){
        .loop = end->fixture->loop,
        .tls = tls,
        .write_queue_max = 1 << 20,
        .events = {end_opened, end_data, end_writable, end_closed},
        .ctx = end,
    };
}

/* A listener that accepts one connection per waiting end. */
struct door {
    struct fixture *fixture;
    struct tt_tls_context *tls;
    struct tt_tls_listener *listener;
    struct end *next; /* who gets the next connection; NULL: it is closed */
    bool closed;
};

static inline void door_accepted(void *ctx, int fd, const char *remote)
{
    struct door *door = ctx;
    struct tt_err err;
    tt_err_init(&err);
    assert_true(remote[0] != '\0');
    if (door->next == NULL) { /* nobody waits: a connection that was given up */
        (void)close(fd);
        return;
    }
    struct tt_tls_stream_config config = end_config(door->next, door->tls);
    fixture_must(tt_tls_stream_accept(&config, fd, &door->next->stream, &err), &err);
    door->next = NULL;
}

static inline void door_open(struct door *door, struct fixture *fixture, struct tt_tls_context *tls)
{
    struct tt_err err;
    tt_err_init(&err);
    *door = (struct door){.fixture = fixture, .tls = tls};
    struct tt_tls_listener_config config = {
        .loop = fixture->loop, .host = "127.0.0.1", .accepted = door_accepted, .ctx = door};
    fixture_must(tt_tls_listener_new(&config, &door->listener, &err), &err);
    assert_true(tt_tls_listener_port(door->listener) > 0);
}

static inline void door_on_closed(void *ctx)
{
    ((struct door *)ctx)->closed = true;
}

static inline bool door_is_closed(void *ctx)
{
    return ((struct door *)ctx)->closed;
}

static inline void door_close(struct door *door)
{
    tt_tls_listener_close(door->listener, door_on_closed, door);
    assert_true(fixture_turn_until(door->fixture, door_is_closed, door));
}

/* Two ends of one connection. */
struct pair {
    struct end server;
    struct end client;
};

static inline void pair_connect(struct pair *pair, struct door *door, struct tt_tls_context *tls,
                                const char *server_name)
{
    struct tt_err err;
    tt_err_init(&err);
    memset(pair, 0, sizeof *pair);
    pair->server.fixture = door->fixture;
    pair->client.fixture = door->fixture;
    door->next = &pair->server;
    struct tt_tls_stream_config config = end_config(&pair->client, tls);
    config.server_name = server_name;
    fixture_must(tt_tls_stream_connect(&config, "127.0.0.1", tt_tls_listener_port(door->listener),
                                       &pair->client.stream, &err),
                 &err);
}

static inline bool pair_is_open(void *ctx)
{
    struct pair *pair = ctx;
    return pair->server.opened && pair->client.opened;
}

static inline bool pair_is_closed(void *ctx)
{
    struct pair *pair = ctx;
    return pair->server.closed && pair->client.closed;
}

/* Ends the connection and lets both sides hear it. */
static inline void pair_close(struct pair *pair)
{
    if (pair->client.stream != NULL) {
        tt_tls_stream_close(pair->client.stream);
    }
    assert_true(fixture_turn_until(pair->client.fixture, pair_is_closed, pair));
}

#endif
