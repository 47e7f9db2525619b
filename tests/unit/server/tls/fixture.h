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

enum { FIXTURE_PATH_SIZE = 256, FIXTURE_TURN_MS_MAX = 60000 };

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

#endif
