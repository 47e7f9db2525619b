/* The HTTP client: how calls end, whatever happens to the connection. */
#include "api/http/client_internal.h"
#include "tests/support/kept_port.h"
#include "tests/unit/api/http/web_call.h"

static void every_call_of_many_is_answered_once(void **state)
{
    (void)state;
    enum { CALLS = 300 }; /* more than one connection's streams: some wait */
    struct web web;
    web_open(&web, NULL);
    struct web_call *calls = test_calloc(CALLS, sizeof *calls);
    for (int i = 0; i < CALLS; i++) {
        web_start(&web, &calls[i], "POST", "/echo", TT_STR("x"));
    }
    for (int i = 0; i < CALLS; i++) {
        web_finish(&web, &calls[i]);
        assert_int_equal(calls[i].code, 0);
        assert_int_equal(calls[i].call.answer.len, 1);
        tt_http_call_fini(&calls[i].call);
    }
    assert_int_equal(web.requests, CALLS);
    assert_int_equal(tt_http_client_active(web.client), 0);
    struct tt_http_server_stats stats;
    tt_http_server_get_stats(web.server, &stats);
    assert_int_equal(stats.connections_seen, 1);
    test_free(calls);
    web_down(&web);
}

static void deadline_ends_a_call(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    struct tt_err err;
    tt_err_init(&err);
    web_open(&web, NULL);
    memset(&wc, 0, sizeof wc);
    wc.call = (struct tt_http_call){.method = "GET",
                                    .path = TT_STR("/hold"),
                                    .timeout_ms = 150,
                                    .done = web_call_done,
                                    .ctx = &wc};
    uint64_t start_ms = tt_loop_now_ms(web.fixture.loop); /* what deadlines are counted from */
    fixture_must(tt_http_call_start(web.client, &wc.call, &err), &err);
    web_finish(&web, &wc);
    assert_int_equal(wc.code, TT_ETIMEOUT);
    assert_in_range(tt_loop_now_ms(web.fixture.loop) - start_ms, 150, 20000);
    web_close(&web, &wc);
}

static struct tt_http_client *other_client(struct web *web, struct tt_tls_context *tls,
                                           uint16_t port, const char *server_name)
{
    struct tt_err err;
    tt_err_init(&err);
    struct tt_http_client *client = NULL;
    struct tt_http_client_config config = {.loop = web->fixture.loop,
                                           .tls = tls,
                                           .host = "127.0.0.1",
                                           .port = port,
                                           .server_name = server_name};
    fixture_must(tt_http_client_new(&config, &client, &err), &err);
    return client;
}

static void unreachable_server_is_unavailable(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    uint16_t dead;
    int keeper = kept_port(&dead);
    web_up(&web, NULL);
    web.client = other_client(&web, web.h2_tls, dead, NULL);
    web_exchange(&web, &wc, "GET", "/echo", TT_STR_NONE);
    assert_int_equal(wc.code, TT_EUNAVAILABLE);
    assert_int_equal(web.requests, 0);
    web_close(&web, &wc);
    assert_int_equal(close(keeper), 0);
}

static void wrong_server_is_refused(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_up(&web, NULL);
    web.client = other_client(&web, web.h2_tls, tt_http_server_port(web.server),
                              "spiffe://test/server/another");
    web_exchange(&web, &wc, "GET", "/echo", TT_STR_NONE);
    assert_int_equal(wc.code, TT_ETLS);
    assert_int_equal(web.requests, 0);
    web_close(&web, &wc);
}

static void server_without_h2_is_refused(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_up(&web, NULL);
    web.client = other_client(&web, web.h1_tls, tt_http_server_port(web.server), NULL);
    web_exchange(&web, &wc, "GET", "/echo", TT_STR_NONE);
    assert_int_equal(wc.code, TT_EUNAVAILABLE);
    assert_int_equal(web.requests, 0);
    web_close(&web, &wc);
}

static void oversized_answer_ends_the_call(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    struct tt_err err;
    tt_err_init(&err);
    web_open(&web, NULL);
    memset(&wc, 0, sizeof wc);
    wc.call = (struct tt_http_call){.method = "GET",
                                    .path = TT_STR("/big"),
                                    .response_size_max = 1000,
                                    .done = web_call_done,
                                    .ctx = &wc};
    fixture_must(tt_http_call_start(web.client, &wc.call, &err), &err);
    web_finish(&web, &wc);
    assert_int_equal(wc.code, TT_ETOOLARGE);
    tt_http_call_fini(&wc.call);
    web_start(&web, &wc, "GET", "/big", TT_STR_NONE); /* the connection is still good */
    web_finish(&web, &wc);
    assert_int_equal(wc.code, 0);
    web_close(&web, &wc);
}

static void cancel_in_data(struct tt_http_call *call, struct tt_str bytes)
{
    ((struct web_call *)call->ctx)->pieces += bytes.len;
    tt_http_call_cancel(call);
}

static void cancel_inside_data_stops_it(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    web_start(&web, &wc, "GET", "/big", TT_STR_NONE);
    wc.call.data = cancel_in_data;
    web_finish(&web, &wc);
    assert_int_equal(wc.code, TT_ECANCELED);
    assert_true(wc.pieces > 0 && wc.pieces < web.big_size);
    web_close(&web, &wc);
}

static bool client_is_gone(void *ctx)
{
    return ((struct web *)ctx)->client_closed;
}

static void close_cancels_what_runs_and_what_waits(void **state)
{
    (void)state;
    enum { CALLS = 120 }; /* 100 streams, 20 waiting */
    struct web web;
    struct web_call *calls = test_calloc(CALLS, sizeof *calls);
    web_open(&web, NULL);
    web.big_size = 1;
    for (int i = 0; i < CALLS; i++) {
        web_start(&web, &calls[i], "GET", i == 0 ? "/hold" : "/stream-not-there", TT_STR_NONE);
    }
    tt_http_client_close(web.client, web_client_closed, &web);
    assert_int_equal(calls[0].done, 0);
    for (int i = 0; i < CALLS; i++) {
        web_finish(&web, &calls[i]);
        assert_int_equal(calls[i].code, TT_ECANCELED);
        tt_http_call_fini(&calls[i].call);
    }
    test_free(calls);
    assert_true(fixture_turn_until(&web.fixture, client_is_gone, &web));
    web_down(&web);
}

/* On either side: the client hears of it later than the server. */
static bool no_connection(void *ctx)
{
    const struct web *web = ctx;
    struct tt_http_server_stats stats;
    tt_http_server_get_stats(web->server, &stats);
    return stats.connections_open == 0 && web->client->conn_count == 0;
}

static bool everyone(void *ctx, const struct tt_peer_identity *peer)
{
    (void)ctx;
    (void)peer;
    return true;
}

static void next_call_opens_a_new_connection(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    web_exchange(&web, &wc, "GET", "/echo", TT_STR_NONE);
    tt_http_call_fini(&wc.call);
    tt_http_server_cut(web.server, everyone, NULL);
    assert_true(fixture_turn_until(&web.fixture, no_connection, &web));
    web_exchange(&web, &wc, "GET", "/echo", TT_STR_NONE);
    assert_int_equal(wc.code, 0);
    assert_int_equal(wc.call.status, 200);
    web_close(&web, &wc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_of_many_is_answered_once),
        cmocka_unit_test(deadline_ends_a_call),
        cmocka_unit_test(unreachable_server_is_unavailable),
        cmocka_unit_test(wrong_server_is_refused),
        cmocka_unit_test(server_without_h2_is_refused),
        cmocka_unit_test(oversized_answer_ends_the_call),
        cmocka_unit_test(cancel_inside_data_stops_it),
        cmocka_unit_test(close_cancels_what_runs_and_what_waits),
        cmocka_unit_test(next_call_opens_a_new_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
