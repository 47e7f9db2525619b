/* A raw TLS connection to the server of web.h, for everything a decent client would not send.
 *
 * Ownership: raw_connect/raw_end. Thread: the test's. Errors: assertions. */
#ifndef TESTS_UNIT_API_HTTP_RAW_H
#define TESTS_UNIT_API_HTTP_RAW_H

#include "tests/unit/api/http/web.h"

/* A raw TLS connection: what was received, whether it ended. */
struct raw {
    struct tt_tls_stream *stream; /* NULL after closed */
    struct tt_buf in;
    bool opened;
    bool closed;
    const char *wanted; /* for raw_has */
    size_t wanted_count;
};

static inline void raw_opened(void *ctx, struct tt_tls_stream *stream)
{
    (void)stream;
    ((struct raw *)ctx)->opened = true;
}

static inline void raw_data(void *ctx, struct tt_tls_stream *stream, struct tt_str bytes)
{
    (void)stream;
    tt_buf_str(&((struct raw *)ctx)->in, bytes);
}

static inline void raw_closed(void *ctx, struct tt_tls_stream *stream, const struct tt_err *err)
{
    (void)stream;
    (void)err;
    struct raw *raw = ctx;
    raw->closed = true;
    raw->stream = NULL;
}

static inline bool raw_is_open_or_closed(void *ctx)
{
    const struct raw *raw = ctx;
    return raw->opened || raw->closed;
}

static inline bool raw_is_closed(void *ctx)
{
    return ((struct raw *)ctx)->closed;
}

/* False: it was closed before it opened; raw_end is due either way. */
static inline bool raw_try_connect(struct web *web, struct raw *raw, struct tt_tls_context *tls)
{
    struct tt_err err;
    tt_err_init(&err);
    memset(raw, 0, sizeof *raw);
    tt_buf_init(&raw->in, 8 << 20);
    struct tt_tls_stream_config config = {.loop = web->fixture.loop,
                                          .tls = tls,
                                          .write_queue_max = 4 << 20,
                                          .events = {raw_opened, raw_data, NULL, raw_closed},
                                          .ctx = raw};
    fixture_must(tt_tls_stream_connect(&config, "127.0.0.1", tt_http_server_port(web->server),
                                       &raw->stream, &err),
                 &err);
    assert_true(fixture_turn_until(&web->fixture, raw_is_open_or_closed, raw));
    return raw->opened;
}

static inline void raw_connect(struct web *web, struct raw *raw, struct tt_tls_context *tls)
{
    assert_true(raw_try_connect(web, raw, tls));
}

static inline void raw_send(struct raw *raw, struct tt_str bytes)
{
    if (raw->stream) { /* the server may have cut it: then the write is refused, which is fine */
        int r = tt_tls_stream_write(raw->stream, bytes);
        assert_true(r == 0 || r == TT_ECLOSED);
        tt_tls_stream_flush(raw->stream);
    }
}

static inline void raw_text(struct raw *raw, const char *text)
{
    raw_send(raw, tt_str_c(text));
}

static inline bool raw_has(void *ctx)
{
    const struct raw *raw = ctx;
    struct tt_str rest = tt_buf_view(&raw->in);
    size_t found = 0;
    ptrdiff_t at;
    while (rest.len > 0 && (at = tt_str_find_str(rest, tt_str_c(raw->wanted))) >= 0) {
        found++;
        rest = tt_str_skip(rest, (size_t)at + strlen(raw->wanted));
    }
    return found >= raw->wanted_count;
}

/* Waits until the text came count times. */
static inline bool raw_wait(struct web *web, struct raw *raw, const char *text, size_t count)
{
    raw->wanted = text;
    raw->wanted_count = count;
    return fixture_turn_until(&web->fixture, raw_has, raw);
}

static inline void raw_end(struct web *web, struct raw *raw)
{
    if (raw->stream) {
        tt_tls_stream_abort(raw->stream);
    }
    assert_true(fixture_turn_until(&web->fixture, raw_is_closed, raw));
    tt_buf_fini(&raw->in);
}

#endif
