/* What the TLS tests share: a temporary directory, a CA, files, contexts, and a loop that is turned
 * until something holds.
 *
 * Ownership: fixture_up/fixture_down. Thread: the test's. Errors: assertions. */
#ifndef TESTS_UNIT_SERVER_TLS_FIXTURE_H
#define TESTS_UNIT_SERVER_TLS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/loop.h"
#include "server/tls/pki.h"
#include "server/tls/stream.h"

enum { FIXTURE_PATH_SIZE = 256, FIXTURE_TURN_MS_MAX = 10000 };

struct fixture {
    char dir[FIXTURE_PATH_SIZE]; /* temporary */
    struct tt_pki_ca *ca;        /* of cluster "test" */
    struct tt_loop *loop;        /* turned by fixture_turn_until */
    uv_timer_t tick;             /* wakes the loop so that conditions are looked at */
};

static inline void fixture_must(int code, const struct tt_err *err)
{
    if (code != 0) {
        char text[512];
        (void)tt_err_format(err, text, sizeof text);
        fail_msg("%s: %s", tt_err_name(code), text);
    }
}

static inline const char *fixture_path(const struct fixture *fixture, const char *name,
                                       char out[FIXTURE_PATH_SIZE])
{
    (void)snprintf(out, FIXTURE_PATH_SIZE, "%.200s/%.50s", fixture->dir, name);
    return out;
}

static inline void fixture_on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* Issues <file>.crt and <file>.key. */
static inline void fixture_issue(struct fixture *fixture, const struct tt_pki_ca *ca,
                                 const struct tt_pki_subject *subject, const char *file)
{
    char cert[FIXTURE_PATH_SIZE];
    char key[FIXTURE_PATH_SIZE];
    char name[64];
    struct tt_err err;
    (void)snprintf(name, sizeof name, "%s.crt", file);
    (void)fixture_path(fixture, name, cert);
    (void)snprintf(name, sizeof name, "%s.key", file);
    (void)fixture_path(fixture, name, key);
    tt_err_init(&err);
    fixture_must(
        tt_pki_issue_files(ca, subject, tt_clock_wall_ms(tt_clock_real()), cert, key, &err), &err);
}

static inline struct tt_tls_config fixture_config(bool server, char paths[3][FIXTURE_PATH_SIZE],
                                                  const struct fixture *fixture, const char *file)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s.crt", file);
    (void)fixture_path(fixture, name, paths[0]);
    (void)snprintf(name, sizeof name, "%s.key", file);
    (void)fixture_path(fixture, name, paths[1]);
    (void)fixture_path(fixture, "ca.crt", paths[2]);
    return (struct tt_tls_config){.cert_path = paths[0],
                                  .key_path = paths[1],
                                  .ca_path = paths[2],
                                  .alpn = "test/1",
                                  .server = server};
}

static inline struct tt_tls_context *fixture_context(const struct fixture *fixture, bool server,
                                                     const char *file)
{
    char paths[3][FIXTURE_PATH_SIZE];
    struct tt_tls_config config = fixture_config(server, paths, fixture, file);
    struct tt_tls_context *context = NULL;
    struct tt_err err;
    tt_err_init(&err);
    fixture_must(tt_tls_context_new(&config, &context, &err), &err);
    return context;
}

static inline void fixture_up(struct fixture *fixture)
{
    char cert[FIXTURE_PATH_SIZE];
    char key[FIXTURE_PATH_SIZE];
    const char *base = getenv("TMPDIR");
    struct tt_err err;
    tt_err_init(&err);
    memset(fixture, 0, sizeof *fixture);
    (void)snprintf(fixture->dir, sizeof fixture->dir, "%s/tutti-tls-XXXXXX",
                   base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(fixture->dir));
    fixture_must(tt_pki_ca_new("test", tt_clock_wall_ms(tt_clock_real()), 0, &fixture->ca, &err),
                 &err);
    fixture_must(tt_pki_ca_save(fixture->ca, fixture_path(fixture, "ca.crt", cert),
                                fixture_path(fixture, "ca.key", key), &err),
                 &err);
    fixture_issue(fixture, fixture->ca,
                  &(struct tt_pki_subject){
                      .role = TT_IDENTITY_SERVER, .name = "s1", .hosts = "localhost,127.0.0.1,::1"},
                  "server");
    fixture_issue(fixture, fixture->ca,
                  &(struct tt_pki_subject){
                      .role = TT_IDENTITY_USER, .name = "alice", .groups = "system:masters,ops"},
                  "user");
    fixture->loop = tt_loop_new(&(struct tt_loop_config){.name = "test", .mailbox_max = 64}, &err);
    assert_non_null(fixture->loop);
    assert_int_equal(uv_timer_init(tt_loop_uv(fixture->loop), &fixture->tick), 0);
    assert_int_equal(uv_timer_start(&fixture->tick, fixture_on_tick, 10, 10), 0);
}

static inline void fixture_down(struct fixture *fixture)
{
    struct tt_err err;
    tt_err_init(&err);
    uv_close((uv_handle_t *)&fixture->tick, NULL);
    tt_loop_free(fixture->loop);
    tt_pki_ca_free(fixture->ca);
    fixture_must(tt_dir_remove_tree(fixture->dir, &err), &err);
}

/* Turns the loop until holds(ctx), at most FIXTURE_TURN_MS_MAX; false when it never held. */
static inline bool fixture_turn_until(struct fixture *fixture, bool (*holds)(void *ctx), void *ctx)
{
    uint64_t end_ms = tt_clock_ms(tt_clock_real()) + FIXTURE_TURN_MS_MAX;
    while (!holds(ctx) && tt_clock_ms(tt_clock_real()) < end_ms) {
        (void)uv_run(tt_loop_uv(fixture->loop), UV_RUN_ONCE);
    }
    return holds(ctx);
}

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
    fixture_must(tt_tls_listener_new(fixture->loop, "127.0.0.1", 0, door_accepted, door,
                                     &door->listener, &err),
                 &err);
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
