/* The API client against HTTP servers that answer as a cluster would: failover, retries, errors,
 * informers. */
#include "api/client/api_client.h"
#include "api/client/informer.h"
#include "tests/support/kept_port.h"
#include "tests/unit/api/http/web.h"

struct caller {
    struct tt_api_call call;
    int done;
    int code;
    int status;
    char message[256];
    char answer[256];
};

static void on_done(struct tt_api_call *call, const struct tt_err *err)
{
    struct caller *caller = call->ctx;
    caller->done++;
    caller->code = err ? err->code : 0;
    caller->status = call->status;
    (void)snprintf(caller->message, sizeof caller->message, "%s", err ? tt_err_cause(err) : "");
    (void)snprintf(caller->answer, sizeof caller->answer, "%.*s", TT_STR_ARG(call->answer));
}

static bool is_done(void *ctx)
{
    return ((struct caller *)ctx)->done > 0;
}

static struct tt_api_client *client_of(struct web *web, const uint16_t *ports, uint32_t count)
{
    struct tt_kubeconfig kubeconfig = {.endpoint_count = count};
    struct tt_api_client *client = NULL;
    struct tt_err err;
    tt_err_init(&err);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(kubeconfig.endpoint[i].host, sizeof kubeconfig.endpoint[i].host,
                       "127.0.0.1");
        kubeconfig.endpoint[i].port = ports[i];
    }
    struct tt_api_client_config config = {.loop = web->fixture.loop,
                                          .kubeconfig = &kubeconfig,
                                          .tls = web->h2_tls,
                                          .timeout_ms = UINT64_MAX}; /* a test's turns end */
    fixture_must(tt_api_client_new(&config, &client, &err), &err);
    return client;
}

static void set_true(void *ctx)
{
    *(bool *)ctx = true;
}

static bool is_true(void *ctx)
{
    return *(bool *)ctx;
}

static void client_down(struct web *web, struct tt_api_client *client)
{
    bool closed = false;
    tt_api_client_close(client, set_true, &closed);
    assert_true(fixture_turn_until(&web->fixture, is_true, &closed));
}

static void ask(struct web *web, struct tt_api_client *client, struct caller *caller,
                const char *method, const char *path)
{
    struct tt_err err;
    tt_err_init(&err);
    caller->call.method = method;
    caller->call.path = tt_str_c(path);
    caller->call.done = on_done;
    caller->call.ctx = caller;
    caller->done = 0;
    fixture_must(tt_api_call_start(client, &caller->call, &err), &err);
    assert_int_equal(caller->done, 0);
    assert_true(fixture_turn_until(&web->fixture, is_done, caller));
    assert_int_equal(caller->done, 1);
}

static void dead_endpoint_is_passed_over(void **state)
{
    (void)state;
    struct web web;
    struct caller caller = {.done = 0};
    uint16_t ports[3];
    int keepers[2] = {kept_port(&ports[0]), kept_port(&ports[1])}; /* nobody listens there */
    web_up(&web, NULL);
    ports[2] = tt_http_server_port(web.server);
    struct tt_api_client *client = client_of(&web, ports, 3);
    caller.call.body = TT_STR("payload");
    ask(&web, client, &caller, "POST", "/echo"); /* a write: nothing had reached the dead ones */
    assert_int_equal(caller.code, 0);
    assert_int_equal(caller.status, 200);
    assert_string_equal(caller.answer, "payload");
    assert_int_equal(web.requests, 1);
    client_down(&web, client);
    web_down(&web);
    assert_int_equal(close(keepers[0]), 0);
    assert_int_equal(close(keepers[1]), 0);
}

/* Two servers, neither of which takes the certificate: each is asked once, and none again. */
static void refused_credentials_end_at_once(void **state)
{
    (void)state;
    struct web web;
    struct caller caller = {.done = 0};
    struct tt_http_server_stats stats;
    web_up(&web, NULL);
    uint16_t port = tt_http_server_port(web.server);
    struct tt_api_client *client = client_of(&web, (const uint16_t[]){port, port}, 2);
    const struct tt_revocation revoked = {.id = TT_STR("user.alice"), .wall_ms = UINT64_MAX};
    tt_tls_context_revoke(web.server_tls, "", &revoked, 1);
    ask(&web, client, &caller, "GET", "/echo");
    assert_int_equal(caller.code, TT_ETLS);
    assert_non_null(strstr(caller.message, "alert"));
    tt_http_server_get_stats(web.server, &stats);
    assert_int_equal(stats.connections_seen, 2);
    client_down(&web, client);
    web_down(&web);
}

/* One server's own certificate is bad: the next one is asked. */
static void a_server_that_cannot_be_trusted_is_passed_over(void **state)
{
    (void)state;
    struct web web;
    struct caller caller = {.done = 0};
    web_up(&web, NULL);
    uint16_t good = tt_http_server_port(web.server);
    fixture_issue(&web.fixture, web.fixture.ca,
                  &(struct tt_pki_subject){
                      .role = TT_IDENTITY_SERVER, .name = "s2", .hosts = "elsewhere.example"},
                  "elsewhere");
    struct tt_tls_context *other = web_tls(&web.fixture, true, "elsewhere", "h2");
    struct tt_http_server *server = NULL;
    bool closed = false;
    struct tt_http_server_config config = {.loop = web.fixture.loop,
                                           .tls = other,
                                           .host = "127.0.0.1",
                                           .handler = {web_request, web_cancelled, &web}};
    assert_int_equal(tt_http_server_new(&config, &server, NULL), 0);
    const uint16_t ports[2] = {tt_http_server_port(server), good};
    struct tt_api_client *client = client_of(&web, ports, 2);
    caller.call.body = TT_STR("payload");
    ask(&web, client, &caller, "POST", "/echo");
    assert_int_equal(caller.code, 0);
    assert_int_equal(caller.status, 200);
    client_down(&web, client);
    tt_http_server_stop(server, 0, set_true, &closed);
    assert_true(fixture_turn_until(&web.fixture, is_true, &closed));
    tt_http_server_free(server);
    tt_tls_context_unref(other);
    web_down(&web);
}

/* A deadline that comes while a try still runs is TT_ETIMEOUT, and rightly so: on a machine that
 * stood still so long, the next call gets twice the time. */
static void nobody_there_ends_at_the_deadline(void **state)
{
    (void)state;
    struct web web;
    struct caller caller = {.call = {.timeout_ms = 150}};
    uint16_t dead;
    int keeper = kept_port(&dead);
    uint64_t start_ms;
    web_up(&web, NULL);
    struct tt_api_client *client = client_of(&web, &dead, 1);
    do {
        caller.call.timeout_ms *= 2;
        start_ms = tt_loop_now_ms(web.fixture.loop); /* what deadlines are counted from */
        ask(&web, client, &caller, "GET", "/echo");
    } while (caller.code == TT_ETIMEOUT && caller.call.timeout_ms < 5000);
    assert_int_equal(caller.code, TT_EUNAVAILABLE);
    assert_int_equal(caller.status, 0);
    assert_true(tt_loop_now_ms(web.fixture.loop) - start_ms >= caller.call.timeout_ms);
    client_down(&web, client);
    web_down(&web);
    assert_int_equal(close(keeper), 0);
}

static void status_becomes_the_error(void **state)
{
    (void)state;
    struct web web;
    struct caller caller = {.done = 0};
    web_up(&web, NULL);
    uint16_t port = tt_http_server_port(web.server);
    struct tt_api_client *client = client_of(&web, &port, 1);
    ask(&web, client, &caller, "GET", "/absent");
    assert_int_equal(caller.code, TT_ENOTFOUND);
    assert_int_equal(caller.status, 404);
    assert_string_equal(caller.message, "no such path");
    assert_non_null(strstr(caller.answer, "\"kind\":\"Status\""));
    client_down(&web, client);
    web_down(&web);
}

static bool busy_twice(struct web *web, struct tt_http_exchange *ex)
{
    if (web->requests > 2) {
        return false;
    }
    tt_http_respond_text(ex, 503, "text/plain", TT_STR("not now"));
    return true;
}

static void busy_server_is_asked_again(void **state)
{
    (void)state;
    struct web web;
    struct caller caller = {.done = 0};
    web_up(&web, NULL);
    web.route = busy_twice;
    uint16_t port = tt_http_server_port(web.server);
    struct tt_api_client *client = client_of(&web, &port, 1);
    ask(&web, client, &caller, "GET", "/echo");
    assert_int_equal(caller.code, 0);
    assert_int_equal(web.requests, 3);
    client_down(&web, client);
    web_down(&web);
}

static bool cut_me(void *ctx, const struct tt_peer_identity *peer)
{
    (void)ctx;
    (void)peer;
    return true;
}

static bool lose_first(struct web *web, struct tt_http_exchange *ex)
{
    if (web->requests > 1) {
        return false;
    }
    tt_http_stream_abort(ex);
    tt_http_server_cut(web->server, cut_me, NULL);
    return true;
}

static void unknown_outcome_repeats_reads_and_keyed_writes_only(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        const char *key;
        int code;
        int requests;
    } cases[] = {{"GET", NULL, 0, 2}, {"POST", NULL, TT_ECLOSED, 1}, {"POST", "key-1", 0, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct web web;
        struct caller caller = {.call = {.request_key = cases[i].key}};
        web_up(&web, NULL);
        web.route = lose_first;
        uint16_t port = tt_http_server_port(web.server);
        struct tt_api_client *client = client_of(&web, &port, 1);
        ask(&web, client, &caller, cases[i].method, "/echo");
        assert_int_equal(caller.code, cases[i].code);
        assert_int_equal(web.requests, cases[i].requests);
        client_down(&web, client);
        web_down(&web);
    }
}

static bool is_sleeping(void *ctx)
{
    return ((struct caller *)ctx)->call.is_sleeping;
}

static void close_ends_a_sleeping_call(void **state)
{
    (void)state;
    struct web web;
    struct caller caller = {.done = 0};
    uint16_t dead;
    int keeper = kept_port(&dead);
    web_up(&web, NULL);
    struct tt_api_client *client = client_of(&web, &dead, 1);
    caller.call = (struct tt_api_call){
        .method = "GET", .path = TT_STR("/echo"), .done = on_done, .ctx = &caller};
    assert_int_equal(tt_api_call_start(client, &caller.call, NULL), 0);
    assert_true(fixture_turn_until(&web.fixture, is_sleeping, &caller));
    client_down(&web, client);
    assert_int_equal(caller.done, 1);
    assert_int_equal(caller.code, TT_ECANCELED);
    web_down(&web);
    assert_int_equal(close(keeper), 0);
}

static void paths_are_built_and_encoded(void **state)
{
    (void)state;
    struct tt_buf buf;
    tt_buf_init(&buf, 1024);
    struct tt_api_resource core = {"", "v1", "pods"};
    struct tt_api_resource apps = {"apps", "v1", "deployments"};
    tt_api_path(&buf, &core, TT_STR("default"), TT_STR("a b"), TT_STR("status"), TT_STR("x=1"));
    tt_buf_char(&buf, ' ');
    tt_api_path(&buf, &apps, TT_STR_NONE, TT_STR_NONE, TT_STR_NONE, TT_STR_NONE);
    assert_true(
        tt_str_eq_c(tt_buf_view(&buf),
                    "/api/v1/namespaces/default/pods/a%20b/status?x=1 /apis/apps/v1/deployments"));
    tt_buf_fini(&buf);
}

/* ---- informer ---- */

struct picture {
    struct web web;
    struct tt_api_client *client;
    struct tt_informer *informer;
    char log[512]; /* "+a ~a -a S" */
    int lists;
    struct tt_http_exchange *watch; /* the running watch, or NULL */
    bool second_list;               /* answer with the other list */
    char watched_from[32];
    bool closed;
};

static void add_log(struct picture *p, const char *mark, struct tt_str name)
{
    size_t used = strlen(p->log);
    (void)snprintf(p->log + used, sizeof p->log - used, "%s%.*s ", mark, (int)name.len,
                   name.len > 0 ? name.ptr : "");
}

static void on_changed(void *ctx, enum tt_informer_change change,
                       const struct tt_informer_object *object)
{
    static const char *const marks[] = {"+", "~", "-"};
    add_log(ctx, marks[change], object->name);
}

static void on_synced(void *ctx)
{
    add_log(ctx, "S", TT_STR_NONE);
}

#define OBJECT(name, version)                                                                      \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"n\",\"resourceVersion\":\"" version      \
    "\",\"uid\":\"u\"}}"

static bool list_or_watch(struct web *web, struct tt_http_exchange *ex)
{
    struct picture *p = web->route_ctx;
    struct tt_str query = tt_http_request(ex)->query;
    if (tt_str_find_str(query, TT_STR("watch=true")) >= 0) {
        ptrdiff_t at = tt_str_find_str(query, TT_STR("resourceVersion="));
        struct tt_str from =
            tt_str_head(tt_str_skip(query, (size_t)at), sizeof p->watched_from - 1);
        memcpy(p->watched_from, from.ptr, from.len);
        p->watched_from[from.len] = '\0';
        tt_http_stream_begin(ex, 200, NULL, 0, NULL);
        p->watch = ex;
        return true;
    }
    p->lists++;
    const char *page = "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"more/2\"},"
                       "\"items\":[" OBJECT("a", "5") "]}";
    if (tt_str_find_str(query, TT_STR("continue=more%2F2")) >= 0) {
        page = "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[" OBJECT("b", "7") "]}";
    } else if (p->second_list) {
        page = "{\"metadata\":{\"resourceVersion\":\"30\"},\"items\":[" OBJECT("b", "7") "," OBJECT(
            "d", "21") "]}";
    }
    tt_http_respond_text(ex, 200, "application/json", tt_str_c(page));
    return true;
}

static bool is_watching(void *ctx)
{
    return ((struct picture *)ctx)->watch != NULL;
}

static void wait_log(struct picture *p, const char *wanted);
struct wanted_log {
    struct picture *p;
    const char *text;
};
static bool log_is(void *ctx)
{
    const struct wanted_log *w = ctx;
    return strcmp(w->p->log, w->text) == 0;
}
static void wait_log(struct picture *p, const char *wanted)
{
    struct wanted_log w = {p, wanted};
    if (!fixture_turn_until(&p->web.fixture, log_is, &w)) {
        fail_msg("log is '%s', not '%s'", p->log, wanted);
    }
}

static void send_event(struct picture *p, const char *text)
{
    struct tt_http_part part = {tt_str_c(text), NULL, NULL};
    assert_int_equal(tt_http_stream_write(p->watch, &part, 1), 0);
}

static void picture_closed(void *ctx)
{
    ((struct picture *)ctx)->closed = true;
}

static bool picture_is_closed(void *ctx)
{
    return ((struct picture *)ctx)->closed;
}

static int picture_up(void **state)
{
    struct picture *p = test_calloc(1, sizeof *p);
    web_up(&p->web, NULL);
    p->web.route = list_or_watch;
    p->web.route_ctx = p;
    uint16_t port = tt_http_server_port(p->web.server);
    p->client = client_of(&p->web, &port, 1);
    struct tt_informer_config config = {.loop = p->web.fixture.loop,
                                        .client = p->client,
                                        .resource = {"", "v1", "pods"},
                                        .field_selector = TT_STR("spec.nodeName=n1"),
                                        .keep_json = true,
                                        .changed = on_changed,
                                        .synced = on_synced,
                                        .ctx = p};
    assert_int_equal(tt_informer_new(&config, &p->informer, NULL), 0);
    *state = p;
    return 0;
}

static int picture_down(void **state)
{
    struct picture *p = *state;
    tt_informer_close(p->informer, picture_closed, p);
    assert_true(fixture_turn_until(&p->web.fixture, picture_is_closed, p));
    client_down(&p->web, p->client);
    web_down(&p->web);
    test_free(p);
    return 0;
}

static void informer_lists_in_pages_and_follows(void **state)
{
    struct picture *p = *state;
    wait_log(p, "+a +b S ");
    assert_true(fixture_turn_until(&p->web.fixture, is_watching, p));
    assert_int_equal(p->lists, 2);
    assert_non_null(strstr(p->watched_from, "resourceVersion=10&"));
    send_event(p, "{\"type\":\"ADDED\",\"object\":" OBJECT("c", "11") "}\n{\"type\":\"MODI");
    send_event(p, "FIED\",\"object\":" OBJECT("a", "12") "}\n");
    send_event(p, "{\"type\":\"DELETED\",\"object\":" OBJECT("b", "13") "}\n");
    wait_log(p, "+a +b S +c ~a -b ");
    assert_int_equal(tt_informer_count(p->informer), 2);
    struct tt_informer_object object;
    assert_true(tt_informer_get(p->informer, TT_STR("n"), TT_STR("a"), &object));
    assert_int_equal(object.resource_version, 12);
    assert_true(tt_str_find_str(object.json, TT_STR("\"12\"")) > 0);
    assert_false(tt_informer_get(p->informer, TT_STR("n"), TT_STR("b"), &object));
}

static void informer_resumes_where_a_watch_ended(void **state)
{
    struct picture *p = *state;
    assert_true(fixture_turn_until(&p->web.fixture, is_watching, p));
    send_event(p,
               "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"20\"}}}\n");
    struct tt_http_exchange *first = p->watch;
    p->watch = NULL;
    tt_http_stream_end(first);
    assert_true(fixture_turn_until(&p->web.fixture, is_watching, p));
    assert_non_null(strstr(p->watched_from, "resourceVersion=20&"));
    assert_int_equal(p->lists, 2);
}

static void informer_lists_again_after_410(void **state)
{
    struct picture *p = *state;
    assert_true(fixture_turn_until(&p->web.fixture, is_watching, p));
    p->second_list = true;
    send_event(p, "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,"
                  "\"reason\":\"Expired\"}}\n");
    p->watch = NULL;
    wait_log(p, "+a +b S +d -a S "); /* a is gone, b is unchanged, d is new */
    assert_true(fixture_turn_until(&p->web.fixture, is_watching, p));
    assert_non_null(strstr(p->watched_from, "resourceVersion=30&"));
}

int main(void)
{
#define INFORMER_TEST(f) cmocka_unit_test_setup_teardown(f, picture_up, picture_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_endpoint_is_passed_over),
        cmocka_unit_test(refused_credentials_end_at_once),
        cmocka_unit_test(a_server_that_cannot_be_trusted_is_passed_over),
        cmocka_unit_test(nobody_there_ends_at_the_deadline),
        cmocka_unit_test(status_becomes_the_error),
        cmocka_unit_test(busy_server_is_asked_again),
        cmocka_unit_test(unknown_outcome_repeats_reads_and_keyed_writes_only),
        cmocka_unit_test(close_ends_a_sleeping_call),
        cmocka_unit_test(paths_are_built_and_encoded),
        INFORMER_TEST(informer_lists_in_pages_and_follows),
        INFORMER_TEST(informer_resumes_where_a_watch_ended),
        INFORMER_TEST(informer_lists_again_after_410),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
