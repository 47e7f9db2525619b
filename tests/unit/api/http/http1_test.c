/* HTTP/1.1 as it is on the wire, and curl as a client we did not write. */
#include <spawn.h>
#include <sys/wait.h>

#include "tests/unit/api/http/raw.h"

static void keep_alive_serves_several_requests(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    web_up(&web, NULL);
    raw_connect(&web, &raw, web.h1_tls);
    raw_text(&raw, "GET /echo?q=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(raw_wait(&web, &raw, "HTTP/1.1 200 OK\r\n", 1));
    assert_string_equal(web.last_path, "/echo");
    assert_string_equal(web.last_query, "q=1");
    raw_text(&raw,
             "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: x/y\r\nContent-Length: 3\r\n\r\nabc");
    assert_true(raw_wait(&web, &raw, "\r\n\r\nabc", 1));
    assert_string_equal(web.last_content_type, "x/y");
    assert_string_equal(web.last_peer, "spiffe://test/user/alice");
    raw_end(&web, &raw);
    web_down(&web);
}

static bool one_is_held(void *ctx)
{
    return ((struct web *)ctx)->held_count == 1;
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    web_up(&web, NULL);
    raw_connect(&web, &raw, web.h1_tls);
    raw_text(&raw, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst"
                   "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nsecond"
                   "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
                   "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nlast");
    assert_true(raw_wait(&web, &raw, "second", 1));
    assert_true(fixture_turn_until(&web.fixture, one_is_held, &web));
    struct tt_str in = tt_buf_view(&raw.in);
    assert_true(tt_str_find_str(in, TT_STR("first")) < tt_str_find_str(in, TT_STR("second")));
    assert_true(tt_str_find_str(in, TT_STR("last")) < 0); /* waits behind the held one */
    tt_http_respond_text(web.held[0], 200, "text/plain", TT_STR("held"));
    assert_true(raw_wait(&web, &raw, "last", 1));
    raw_end(&web, &raw);
    web_down(&web);
}

static void chunked_bodies_go_both_ways(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    web_up(&web, NULL);
    raw_connect(&web, &raw, web.h1_tls);
    raw_text(&raw, "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    raw_text(&raw, "4\r\nwiki\r\n");
    raw_text(&raw, "5\r\npedia\r\n0\r\n\r\n");
    assert_true(raw_wait(&web, &raw, "wikipedia", 1));
    raw_text(&raw, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(raw_wait(&web, &raw, "transfer-encoding: chunked\r\n", 1));
    struct tt_http_part part = {TT_STR("hello"), NULL, NULL};
    assert_int_equal(tt_http_stream_write(web.held[0], &part, 1), 0);
    assert_true(raw_wait(&web, &raw, "5\r\nhello\r\n", 1));
    tt_http_stream_end(web.held[0]);
    assert_true(raw_wait(&web, &raw, "0\r\n\r\n", 1));
    raw_text(&raw, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(raw_wait(&web, &raw, "HTTP/1.1 200 OK\r\n", 3));
    raw_end(&web, &raw);
    web_down(&web);
}

static void expectation_is_met_before_the_body(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    web_up(&web, NULL);
    raw_connect(&web, &raw, web.h1_tls);
    raw_text(&raw,
             "PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_true(raw_wait(&web, &raw, "HTTP/1.1 100 Continue\r\n\r\n", 1));
    assert_int_equal(web.requests, 0);
    raw_text(&raw, "ok");
    assert_true(raw_wait(&web, &raw, "HTTP/1.1 200 OK\r\n", 1));
    raw_end(&web, &raw);
    web_down(&web);
}

static void oversized_expectation_is_refused_without_the_body(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    web_up(&web, NULL);
    raw_connect(&web, &raw, web.h1_tls);
    raw_text(&raw, "PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                   "Content-Length: 99999999\r\n\r\n");
    assert_true(raw_wait(&web, &raw, "HTTP/1.1 413 ", 1));
    assert_true(raw_wait(&web, &raw, "connection: close\r\n", 1));
    assert_true(tt_str_find_str(tt_buf_view(&raw.in), TT_STR("100 Continue")) < 0);
    assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raw));
    raw_end(&web, &raw);
    web_down(&web);
}

/* Each of these is a classic of request smuggling or plain garbage: one 400, then the end. */
static void malformed_messages_end_the_connection(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "NONSENSE\r\n\r\n",
        "GET /echo HTTP/9.9\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost : a\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    };
    enum { COUNT = sizeof bad / sizeof *bad };
    struct web web;
    struct raw raw[COUNT];
    web_up(&web, NULL);
    for (size_t i = 0; i < COUNT; i++) { /* all first: the server lingers with each for seconds */
        raw_connect(&web, &raw[i], web.h1_tls);
        raw_text(&raw[i], bad[i]);
        if (!raw_wait(&web, &raw[i], "HTTP/1.1 400 Bad Request\r\n", 1)) {
            fail_msg("case %zu: %.300s", i, raw[i].in.ptr ? raw[i].in.ptr : "");
        }
        raw_text(&raw[i], "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raw[i]));
        assert_true(tt_str_find_str(tt_buf_view(&raw[i].in), TT_STR(" 200 ")) < 0);
        raw_end(&web, &raw[i]);
    }
    assert_int_equal(web.requests, 0);
    web_down(&web);
}

static void oversized_headers_are_answered_431(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    web_up(&web, NULL);
    raw_connect(&web, &raw, web.h1_tls);
    raw_text(&raw, "GET /echo HTTP/1.1\r\nX-Big: ");
    raw_send(&raw, tt_str(web.big, 40000));
    raw_text(&raw, "\r\n\r\n");
    assert_true(raw_wait(&web, &raw, "HTTP/1.1 431 ", 1));
    assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raw));
    raw_end(&web, &raw);
    raw_connect(&web, &raw, web.h1_tls);
    raw_text(&raw, "GET /echo HTTP/1.1\r\n");
    for (int i = 0; i < 200; i++) {
        raw_text(&raw, "A: b\r\n");
    }
    raw_text(&raw, "\r\n");
    assert_true(raw_wait(&web, &raw, "HTTP/1.1 431 ", 1));
    raw_end(&web, &raw);
    web_down(&web);
}

static void old_clients_get_a_stream_that_ends_with_the_connection(void **state)
{
    (void)state;
    struct web web;
    struct raw raw;
    web_up(&web, NULL);
    raw_connect(&web, &raw, web.h1_tls);
    raw_text(&raw, "GET /stream HTTP/1.0\r\n\r\n");
    assert_true(raw_wait(&web, &raw, "connection: close\r\n\r\n", 1));
    struct tt_http_part part = {TT_STR("plain"), NULL, NULL};
    assert_int_equal(tt_http_stream_write(web.held[0], &part, 1), 0);
    tt_http_stream_end(web.held[0]);
    assert_true(fixture_turn_until(&web.fixture, raw_is_closed, &raw));
    assert_true(tt_str_ends(tt_buf_view(&raw.in), TT_STR("\r\n\r\nplain")));
    raw_end(&web, &raw);
    web_down(&web);
}

struct child {
    pid_t pid;
    bool ended;
    int status;
};

static bool child_ended(void *ctx)
{
    struct child *child = ctx;
    if (!child->ended && waitpid(child->pid, &child->status, WNOHANG) == child->pid) {
        child->ended = true;
    }
    return child->ended;
}

static void curl_round_trip(struct web *web, char *version)
{
    char ca[FIXTURE_PATH_SIZE];
    char cert[FIXTURE_PATH_SIZE];
    char key[FIXTURE_PATH_SIZE];
    char body[FIXTURE_PATH_SIZE];
    char out[FIXTURE_PATH_SIZE];
    char at_body[FIXTURE_PATH_SIZE + 1];
    char url[64];
    struct tt_err err;
    tt_err_init(&err);
    (void)fixture_path(&web->fixture, "ca.crt", ca);
    (void)fixture_path(&web->fixture, "user.crt", cert);
    (void)fixture_path(&web->fixture, "user.key", key);
    (void)fixture_path(&web->fixture, "body", body);
    (void)fixture_path(&web->fixture, "out", out);
    (void)snprintf(at_body, sizeof at_body, "@%s", body);
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/echo", tt_http_server_port(web->server));
    fixture_must(tt_file_write_atomic(body, tt_str(web->big, 1 << 20), 0600, &err), &err);
    char *argv[] = {(char[]){"curl"},
                    (char[]){"-q"}, /* whatever the user's .curlrc says */
                    (char[]){"-sS"},
                    version,
                    (char[]){"--cacert"},
                    ca,
                    (char[]){"--cert"},
                    cert,
                    (char[]){"--key"},
                    key,
                    (char[]){"--data-binary"},
                    at_body,
                    (char[]){"-o"},
                    out,
                    url,
                    NULL};
    struct child child = {.ended = false};
    char *environment[] = {(char[]){"PATH=/usr/bin:/bin"}, NULL};
    assert_int_equal(posix_spawn(&child.pid, "/usr/bin/curl", NULL, NULL, argv, environment), 0);
    assert_true(fixture_turn_until(&web->fixture, child_ended, &child));
    assert_true(WIFEXITED(child.status));
    assert_int_equal(WEXITSTATUS(child.status), 0);
    struct tt_buf got;
    fixture_must(tt_file_read(out, 2 << 20, &got, &err), &err);
    assert_int_equal(got.len, 1 << 20);
    tt_buf_fini(&got);
}

static void curl_gets_back_what_it_sends_in_both_versions(void **state)
{
    (void)state;
    if (access("/usr/bin/curl", X_OK) != 0) {
        print_message("skipped: no curl on this machine\n");
        skip();
    }
    struct web web;
    web_up(&web, NULL);
    curl_round_trip(&web, (char[]){"--http1.1"});
    curl_round_trip(&web, (char[]){"--http2"});
    assert_int_equal(web.requests, 2);
    web_down(&web);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keep_alive_serves_several_requests),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(chunked_bodies_go_both_ways),
        cmocka_unit_test(expectation_is_met_before_the_body),
        cmocka_unit_test(oversized_expectation_is_refused_without_the_body),
        cmocka_unit_test(malformed_messages_end_the_connection),
        cmocka_unit_test(oversized_headers_are_answered_431),
        cmocka_unit_test(old_clients_get_a_stream_that_ends_with_the_connection),
        cmocka_unit_test(curl_gets_back_what_it_sends_in_both_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
