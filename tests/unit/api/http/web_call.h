/* Calls of the HTTP tests: one is started, finished with its outcome at hand, and ended.
 *
 * Ownership: the test's; what a call received is freed by tt_http_call_fini. Thread: the test's.
 * Errors: assertions. */
#ifndef TESTS_UNIT_API_HTTP_WEB_CALL_H
#define TESTS_UNIT_API_HTTP_WEB_CALL_H

#include "tests/unit/api/http/web.h"

/* A call and what came of it. */
struct web_call {
    struct tt_http_call call;
    int done;
    int code;      /* of err; 0: answered */
    size_t pieces; /* bytes seen by data */
    char type[64]; /* content-type */
};

static inline void web_call_header(struct tt_http_call *call, struct tt_str name,
                                   struct tt_str value, bool trailer)
{
    struct web_call *wc = call->ctx;
    if (!trailer && tt_str_eq_c(name, "content-type")) {
        (void)snprintf(wc->type, sizeof wc->type, "%.*s", TT_STR_ARG(value));
    }
}

static inline void web_call_done(struct tt_http_call *call, const struct tt_err *err)
{
    struct web_call *wc = call->ctx;
    wc->done++;
    wc->code = err ? err->code : 0;
}

static inline bool web_call_is_done(void *ctx)
{
    return ((struct web_call *)ctx)->done > 0;
}

static inline void web_start(struct web *web, struct web_call *wc, const char *method,
                             const char *path, struct tt_str body)
{
    struct tt_err err;
    tt_err_init(&err);
    memset(wc, 0, sizeof *wc);
    wc->call.method = method;
    wc->call.path = tt_str_c(path);
    wc->call.body = body;
    wc->call.header = web_call_header;
    wc->call.done = web_call_done;
    wc->call.ctx = wc;
    fixture_must(tt_http_call_start(web->client, &wc->call, &err), &err);
    assert_int_equal(wc->done, 0);
}

static inline void web_finish(struct web *web, struct web_call *wc)
{
    assert_true(fixture_turn_until(&web->fixture, web_call_is_done, wc));
    assert_int_equal(wc->done, 1);
}

/* A server and its client. */
static inline void web_open(struct web *web, const struct tt_http_limits *limits)
{
    web_up(web, limits);
    web_client(web);
}

/* A whole call; its answer is there until its end (tt_http_call_fini). */
static inline void web_exchange(struct web *web, struct web_call *wc, const char *method,
                                const char *path, struct tt_str body)
{
    web_start(web, wc, method, path, body);
    web_finish(web, wc);
}

/* The last call of a test. */
static inline void web_close(struct web *web, struct web_call *wc)
{
    tt_http_call_fini(&wc->call);
    web_down(web);
}

#endif
