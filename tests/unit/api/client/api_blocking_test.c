/* The blocking wrapper: its loop runs on a thread of its own, so does the server here. */
#include "api/client/api_client.h"
#include "api/http/server.h"
#include "tests/unit/server/tls/fixture.h"

struct world {
    struct fixture fixture; /* its loop is not used */
    struct tt_loop *loop;   /* the server's, on its own thread */
    struct tt_tls_context *server_tls;
    struct tt_tls_context *client_tls;
    struct tt_http_server *server;
    struct tt_api_blocking *blocking;
};

static void on_request(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    const struct tt_http_request *request = tt_http_request(ex);
    if (tt_str_eq_c(request->path, "/echo")) {
        tt_http_respond_text(ex, 200, "text/plain", request->body);
    } else {
        tt_http_respond_status(ex, 403, NULL, TT_STR("not yours"));
    }
}

static void on_cancelled(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    (void)ex;
}

static void on_stop(void *ctx)
{
    tt_http_server_stop(((struct world *)ctx)->server, 0, NULL, NULL);
}

static struct tt_tls_context *tls_of(const struct fixture *fixture, bool server, const char *file)
{
    char paths[3][FIXTURE_PATH_SIZE];
    struct tt_tls_config config = fixture_config(server, paths, fixture, file);
    struct tt_tls_context *context = NULL;
    struct tt_err err;
    tt_err_init(&err);
    config.alpn = "h2";
    fixture_must(tt_tls_context_new(&config, &context, &err), &err);
    return context;
}

static int world_up(void **state)
{
    struct world *world = test_calloc(1, sizeof *world);
    struct tt_err err;
    tt_err_init(&err);
    fixture_up(&world->fixture);
    world->server_tls = tls_of(&world->fixture, true, "server");
    world->client_tls = tls_of(&world->fixture, false, "user");
    world->loop = tt_loop_new(
        &(struct tt_loop_config){
            .name = "server", .mailbox_max = 16, .on_stop = on_stop, .ctx = world},
        &err);
    assert_non_null(world->loop);
    struct tt_http_server_config server = {.loop = world->loop,
                                           .tls = world->server_tls,
                                           .host = "127.0.0.1",
                                           .handler = {on_request, on_cancelled, NULL}};
    fixture_must(tt_http_server_new(&server, &world->server, &err), &err);
    struct tt_kubeconfig kubeconfig = {.endpoint_count = 1};
    (void)snprintf(kubeconfig.endpoint[0].host, sizeof kubeconfig.endpoint[0].host, "127.0.0.1");
    kubeconfig.endpoint[0].port = tt_http_server_port(world->server);
    fixture_must(tt_loop_start(world->loop, &err), &err);
    struct tt_api_client_config config = {.kubeconfig = &kubeconfig, .tls = world->client_tls};
    fixture_must(tt_api_blocking_new(&config, &world->blocking, &err), &err);
    *state = world;
    return 0;
}

static int world_down(void **state)
{
    struct world *world = *state;
    tt_api_blocking_free(world->blocking);
    tt_loop_free(world->loop);
    tt_http_server_free(world->server);
    tt_tls_context_unref(world->server_tls);
    tt_tls_context_unref(world->client_tls);
    fixture_down(&world->fixture);
    test_free(world);
    return 0;
}

static void calls_return_their_answers(void **state)
{
    struct world *world = *state;
    struct tt_api_result result;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(tt_api_blocking_call(world->blocking, "POST", TT_STR("/echo"),
                                              TT_STR("body"), &result, NULL),
                         0);
        assert_int_equal(result.status, 200);
        assert_true(tt_str_eq_c(tt_buf_view(&result.body), "body"));
        tt_buf_fini(&result.body);
    }
}

static void error_answer_keeps_code_and_body(void **state)
{
    struct world *world = *state;
    struct tt_api_result result;
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(
        tt_api_blocking_call(world->blocking, "GET", TT_STR("/else"), TT_STR_NONE, &result, &err),
        TT_EFORBIDDEN);
    assert_string_equal(tt_err_cause(&err), "not yours");
    assert_int_equal(result.status, 403);
    assert_true(tt_str_find_str(tt_buf_view(&result.body), TT_STR("Forbidden")) > 0);
    tt_buf_fini(&result.body);
}

int main(void)
{
#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_up, world_down)
    const struct CMUnitTest tests[] = {
        WORLD_TEST(calls_return_their_answers),
        WORLD_TEST(error_answer_keeps_code_and_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
