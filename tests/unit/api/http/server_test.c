/* The HTTP server as handlers and clients see it, over loopback TLS. */
#include "tests/unit/api/http/web_call.h"

static void h2_request_reaches_the_handler_and_back(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    struct tt_http_header header = {TT_STR("content-type"), TT_STR("application/x-test")};
    web_start(&web, &wc, "POST", "/echo?a=b", TT_STR("hello"));
    wc.call.headers = &header;
    wc.call.header_count = 1;
    web_finish(&web, &wc);
    assert_int_equal(wc.code, 0);
    assert_int_equal(wc.call.status, 200);
    assert_string_equal(wc.type, "text/plain");
    assert_int_equal(wc.call.answer.len, 5);
    assert_memory_equal(wc.call.answer.ptr, "hello", 5);
    assert_int_equal(web.last_method, TT_HTTP_POST);
    assert_string_equal(web.last_path, "/echo");
    assert_string_equal(web.last_query, "a=b");
    assert_string_equal(web.last_peer, "spiffe://test/user/alice");
    web_close(&web, &wc);
}

static void owned_parts_are_released_once_after_they_were_sent(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    for (int i = 1; i <= 3; i++) {
        web_exchange(&web, &wc, "GET", "/big", TT_STR_NONE);
        assert_int_equal(wc.call.answer.len, web.big_size + 1);
        assert_int_equal(wc.call.answer.ptr[0], '<');
        assert_int_equal(wc.call.answer.ptr[web.big_size], 'b');
        assert_int_equal(web.released, i);
        tt_http_call_fini(&wc.call);
    }
    web_down(&web);
}

static void head_has_the_length_but_no_body(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    web_exchange(&web, &wc, "HEAD", "/big", TT_STR_NONE);
    assert_int_equal(wc.code, 0);
    assert_int_equal(wc.call.answer.len, 0);
    assert_int_equal(web.released, 1);
    web_close(&web, &wc);
}

static void body_of_a_megabyte_arrives_whole(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    web_exchange(&web, &wc, "PUT", "/echo", tt_str(web.big, 1 << 20));
    assert_int_equal(wc.code, 0);
    assert_int_equal(wc.call.answer.len, 1 << 20);
    assert_memory_equal(wc.call.answer.ptr, web.big, 1 << 20);
    web_close(&web, &wc);
}

static void oversized_body_is_answered_413(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    struct tt_http_limits limits = {.body_size_max = 1000};
    web_open(&web, &limits);
    web_exchange(&web, &wc, "PUT", "/echo", tt_str(web.big, 1001));
    assert_int_equal(wc.call.status, 413);
    assert_true(tt_str_find_str(tt_buf_view(&wc.call.answer), TT_STR("RequestEntityTooLarge")) > 0);
    assert_int_equal(web.requests, 0);
    tt_http_call_fini(&wc.call);
    web_exchange(&web, &wc, "PUT", "/echo", tt_str(web.big, 1000));
    assert_int_equal(wc.call.status, 200);
    web_close(&web, &wc);
}

static void too_many_requests_of_a_client_are_answered_429(void **state)
{
    (void)state;
    struct web web;
    struct web_call held[3];
    struct web_call wc;
    struct tt_http_limits limits = {.requests_per_client_max = 3};
    web_open(&web, &limits);
    for (int i = 0; i < 3; i++) {
        web_start(&web, &held[i], "GET", "/hold", TT_STR_NONE);
    }
    web_exchange(&web, &wc, "GET", "/echo", TT_STR_NONE);
    assert_int_equal(wc.call.status, 429);
    tt_http_call_fini(&wc.call);
    for (int i = 0; i < 3; i++) {
        tt_http_respond_text(web.held[i], 200, "text/plain", TT_STR("late"));
        web_finish(&web, &held[i]);
        assert_int_equal(held[i].call.status, 200);
        tt_http_call_fini(&held[i].call);
    }
    web_exchange(&web, &wc, "GET", "/echo", TT_STR_NONE);
    assert_int_equal(wc.call.status, 200);
    web_close(&web, &wc);
}

static bool one_is_held(void *ctx)
{
    return ((struct web *)ctx)->held_count == 1;
}

static bool one_is_cancelled(void *ctx)
{
    return ((struct web *)ctx)->cancelled == 1;
}

static void handler_hears_that_the_client_cancelled(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    web_start(&web, &wc, "GET", "/hold", TT_STR_NONE);
    assert_true(fixture_turn_until(&web.fixture, one_is_held, &web));
    tt_http_call_cancel(&wc.call);
    tt_http_call_cancel(&wc.call);
    assert_int_equal(wc.done, 0);
    web_finish(&web, &wc);
    assert_int_equal(wc.code, TT_ECANCELED);
    assert_true(fixture_turn_until(&web.fixture, one_is_cancelled, &web));
    web_close(&web, &wc);
    assert_int_equal(web.cancelled, 1);
}

static void count_pieces(struct tt_http_call *call, struct tt_str bytes)
{
    ((struct web_call *)call->ctx)->pieces += bytes.len;
}

static bool has_six(void *ctx)
{
    return ((struct web_call *)ctx)->pieces == 6;
}

static void stream_pieces_arrive_as_they_are_written(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    web_start(&web, &wc, "GET", "/stream", TT_STR_NONE);
    wc.call.data = count_pieces;
    assert_true(fixture_turn_until(&web.fixture, one_is_held, &web));
    struct tt_http_part parts[2] = {{TT_STR("abc"), NULL, NULL},
                                    {TT_STR("def"), &web, web_release}};
    assert_int_equal(tt_http_stream_write(web.held[0], parts, 2), 0);
    assert_true(fixture_turn_until(&web.fixture, has_six, &wc));
    assert_int_equal(wc.done, 0);
    assert_int_equal(web.released, 1);
    assert_int_equal(tt_http_stream_backlog(web.held[0]), 0);
    tt_http_stream_end(web.held[0]);
    web_finish(&web, &wc);
    assert_int_equal(wc.code, 0);
    web_close(&web, &wc);
}

static void aborted_stream_is_no_complete_answer(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    web_start(&web, &wc, "GET", "/stream", TT_STR_NONE);
    assert_true(fixture_turn_until(&web.fixture, one_is_held, &web));
    tt_http_stream_abort(web.held[0]);
    web_finish(&web, &wc);
    assert_int_equal(wc.code, TT_ECLOSED);
    web_close(&web, &wc);
}

static bool cut_alice(void *ctx, const struct tt_peer_identity *peer)
{
    (*(int *)ctx)++;
    return strcmp(peer->name, "alice") == 0;
}

static void cut_ends_the_connections_of_an_identity(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    int asked = 0;
    web_open(&web, NULL);
    web_start(&web, &wc, "GET", "/hold", TT_STR_NONE);
    assert_true(fixture_turn_until(&web.fixture, one_is_held, &web));
    tt_http_server_cut(web.server, cut_alice, &asked);
    assert_int_equal(asked, 1);
    web_finish(&web, &wc);
    assert_int_equal(wc.code, TT_ECLOSED);
    assert_int_equal(web.cancelled, 1);
    web_close(&web, &wc);
}

/* The second in which the client's certificate ends: it has whole seconds, so a time of our own
 * clock would be up to one second off. */
static uint64_t certificate_end_ms(const struct web *web)
{
    assert_non_null(web->held[0]);
    return tt_http_peer(web->held[0])->not_after_ms;
}

/* Until the client has heard that its connection takes no more requests, they are refused. */
static void exchange_until_answered(struct web *web, struct web_call *wc)
{
    int tries = 0;
    do {
        web_exchange(web, wc, "GET", "/echo", TT_STR_NONE);
    } while (wc->code == TT_EUNAVAILABLE && ++tries < 100);
    assert_int_equal(wc->code, 0);
}

static void a_connection_takes_no_request_after_its_certificate_but_ends_what_runs(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    struct web_call next;
    struct tt_http_server_stats stats;
    web_open(&web, NULL);
    web_start(&web, &wc, "GET", "/hold", TT_STR_NONE);
    assert_true(fixture_turn_until(&web.fixture, one_is_held, &web));
    uint64_t end_ms = certificate_end_ms(&web);
    tt_http_server_get_stats(web.server, &stats);
    uint64_t seen = stats.connections_seen;
    tt_http_server_expire(web.server, end_ms - 1);
    tt_http_server_expire(web.server, end_ms);
    tt_http_server_expire(web.server, end_ms + 2999);
    exchange_until_answered(&web, &next);
    assert_int_equal(next.call.status, 200);
    tt_http_server_get_stats(web.server, &stats);
    assert_int_equal(stats.connections_seen, seen + 1); /* over a new connection */
    tt_http_call_fini(&next.call);
    assert_non_null(web.held[0]);
    tt_http_respond_text(web.held[0], 200, "text/plain", TT_STR("bye"));
    web_finish(&web, &wc);
    assert_int_equal(wc.call.status, 200);
    web_close(&web, &wc);
}

static void what_outlives_its_certificate_for_long_is_cut(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    web_start(&web, &wc, "GET", "/hold", TT_STR_NONE);
    assert_true(fixture_turn_until(&web.fixture, one_is_held, &web));
    uint64_t end_ms = certificate_end_ms(&web);
    tt_http_server_expire(web.server, end_ms);
    tt_http_server_expire(web.server, end_ms + 3000);
    web_finish(&web, &wc);
    assert_int_equal(wc.code, TT_ECLOSED);
    assert_int_equal(web.cancelled, 1);
    web_close(&web, &wc);
}

enum { AN_HOUR_MS = 3600 * 1000 }; /* it never comes to that */

static bool server_is_closed(void *ctx)
{
    return ((struct web *)ctx)->server_closed;
}

static void stop_lets_a_running_request_end(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    web_start(&web, &wc, "GET", "/hold", TT_STR_NONE);
    assert_true(fixture_turn_until(&web.fixture, one_is_held, &web));
    tt_http_server_stop(web.server, AN_HOUR_MS, web_server_closed, &web);
    for (int i = 0; i < 5; i++) {
        (void)uv_run(tt_loop_uv(web.fixture.loop), UV_RUN_ONCE);
    }
    assert_false(web.server_closed);
    tt_http_respond_text(web.held[0], 200, "text/plain", TT_STR("bye"));
    web_finish(&web, &wc);
    assert_int_equal(wc.call.status, 200);
    assert_true(fixture_turn_until(&web.fixture, server_is_closed, &web));
    web_close(&web, &wc);
}

static void stop_cuts_what_does_not_end(void **state)
{
    (void)state;
    struct web web;
    struct web_call wc;
    web_open(&web, NULL);
    web_start(&web, &wc, "GET", "/hold", TT_STR_NONE);
    assert_true(fixture_turn_until(&web.fixture, one_is_held, &web));
    tt_http_server_stop(web.server, 50, web_server_closed, &web);
    web_finish(&web, &wc);
    assert_int_equal(wc.code, TT_ECLOSED);
    assert_true(fixture_turn_until(&web.fixture, server_is_closed, &web));
    assert_int_equal(web.cancelled, 1);
    web_close(&web, &wc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h2_request_reaches_the_handler_and_back),
        cmocka_unit_test(owned_parts_are_released_once_after_they_were_sent),
        cmocka_unit_test(head_has_the_length_but_no_body),
        cmocka_unit_test(body_of_a_megabyte_arrives_whole),
        cmocka_unit_test(oversized_body_is_answered_413),
        cmocka_unit_test(too_many_requests_of_a_client_are_answered_429),
        cmocka_unit_test(handler_hears_that_the_client_cancelled),
        cmocka_unit_test(stream_pieces_arrive_as_they_are_written),
        cmocka_unit_test(aborted_stream_is_no_complete_answer),
        cmocka_unit_test(cut_ends_the_connections_of_an_identity),
        cmocka_unit_test(a_connection_takes_no_request_after_its_certificate_but_ends_what_runs),
        cmocka_unit_test(what_outlives_its_certificate_for_long_is_cut),
        cmocka_unit_test(stop_lets_a_running_request_end),
        cmocka_unit_test(stop_cuts_what_does_not_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
