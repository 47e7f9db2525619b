/* What the HTTP tests share: a server with a handler that does what the path asks, and a client.
 *
 * Paths: /echo answers the body · /hold keeps the exchange in web.held · /big answers web.big_size
 * owned bytes · /stream begins a stream and keeps it in web.held · everything else 404.
 * Ownership: web_up/web_down. Thread: the test's. Errors: assertions. */
#ifndef TESTS_UNIT_API_HTTP_WEB_H
#define TESTS_UNIT_API_HTTP_WEB_H

#include "tests/unit/server/tls/fixture.h"

#include "api/http/client.h"
#include "api/http/server.h"
#include "base/rng.h"

enum { WEB_HELD_MAX = 64 };

struct web {
    struct fixture fixture;
    struct tt_tls_context *server_tls;
    struct tt_tls_context *h2_tls;
    struct tt_tls_context *h1_tls;
    struct tt_http_server *server;
    struct tt_http_client *client; /* NULL until web_client */
    struct tt_http_exchange *held[WEB_HELD_MAX];
    size_t held_count;
    size_t big_size;
    char *big;
    int released;  /* parts given back */
    int cancelled; /* exchanges taken away */
    int drained;   /* on_drain calls */
    int requests;
    bool (*route)(struct web *web, struct tt_http_exchange *ex); /* asked first; may be NULL */
    void *route_ctx;
    bool server_closed;
    bool client_closed;
    char last_path[128];
    char last_query[128];
    char last_peer[256];
    char last_content_type[64];
    enum tt_http_method last_method;
};

static inline void web_release(const void *owner)
{
    struct web *web;
    memcpy(&web, &owner, sizeof web);
    web->released++;
}

static inline void web_drained(void *ctx, struct tt_http_exchange *ex)
{
    (void)ex;
    ((struct web *)ctx)->drained++;
}

static inline void web_note(struct web *web, struct tt_http_exchange *ex)
{
    const struct tt_http_request *request = tt_http_request(ex);
    const struct tt_peer_identity *peer = tt_http_peer(ex);
    web->requests++;
    web->last_method = request->method;
    (void)snprintf(web->last_path, sizeof web->last_path, "%.*s", TT_STR_ARG(request->path));
    (void)snprintf(web->last_query, sizeof web->last_query, "%.*s", TT_STR_ARG(request->query));
    (void)snprintf(web->last_peer, sizeof web->last_peer, "%s", peer ? peer->uri : "");
    (void)snprintf(web->last_content_type, sizeof web->last_content_type, "%.*s",
                   TT_STR_ARG(request->content_type));
    for (int i = 0; i < 64; i++) {
        assert_int_equal(request->body.ptr[request->body.len + (size_t)i], 0);
    }
}

static inline void web_request(void *ctx, struct tt_http_exchange *ex)
{
    struct web *web = ctx;
    const struct tt_http_request *request = tt_http_request(ex);
    struct tt_http_header type = {TT_STR("content-type"), TT_STR("text/plain")};
    web_note(web, ex);
    if (web->route && web->route(web, ex)) {
        return;
    }
    if (tt_str_eq_c(request->path, "/echo")) {
        tt_http_respond_text(ex, 200, "text/plain", request->body);
    } else if (tt_str_eq_c(request->path, "/hold")) {
        assert_true(web->held_count < WEB_HELD_MAX);
        web->held[web->held_count++] = ex;
    } else if (tt_str_eq_c(request->path, "/big")) {
        struct tt_http_part parts[2] = {{TT_STR("<"), NULL, NULL},
                                        {tt_str(web->big, web->big_size), web, web_release}};
        tt_http_respond(ex, 200, &type, 1, parts, 2);
    } else if (tt_str_eq_c(request->path, "/stream")) {
        tt_http_stream_begin(ex, 200, &type, 1, web_drained);
        web->held[web->held_count++] = ex;
    } else {
        tt_http_respond_status(ex, 404, NULL, TT_STR("no such path"));
    }
}

static inline void web_cancelled(void *ctx, struct tt_http_exchange *ex)
{
    struct web *web = ctx;
    web->cancelled++;
    for (size_t i = 0; i < web->held_count; i++) {
        if (web->held[i] == ex) {
            web->held[i] = NULL;
        }
    }
}

static inline struct tt_tls_context *web_tls(const struct fixture *fixture, bool server,
                                             const char *file, const char *alpn)
{
    char paths[3][FIXTURE_PATH_SIZE];
    struct tt_tls_config config = fixture_config(server, paths, fixture, file);
    struct tt_tls_context *context = NULL;
    struct tt_err err;
    tt_err_init(&err);
    config.alpn = alpn;
    config.client_auth = TT_TLS_CLIENT_OPTIONAL;
    fixture_must(tt_tls_context_new(&config, &context, &err), &err);
    return context;
}

static inline void web_up(struct web *web, const struct tt_http_limits *limits)
{
    struct tt_err err;
    tt_err_init(&err);
    memset(web, 0, sizeof *web);
    fixture_up(&web->fixture);
    web->big_size = 300000;
    web->big = test_malloc(1 << 20);
    memset(web->big, 'b', 1 << 20);
    web->server_tls = web_tls(&web->fixture, true, "server", "h2,http/1.1");
    web->h2_tls = web_tls(&web->fixture, false, "user", "h2");
    web->h1_tls = web_tls(&web->fixture, false, "user", "http/1.1");
    struct tt_http_server_config config = {.loop = web->fixture.loop,
                                           .tls = web->server_tls,
                                           .host = "127.0.0.1",
                                           .handler = {web_request, web_cancelled, web}};
    if (limits) {
        config.limits = *limits;
    }
    fixture_must(tt_http_server_new(&config, &web->server, &err), &err);
}

static inline struct tt_http_client *web_client(struct web *web)
{
    struct tt_err err;
    tt_err_init(&err);
    struct tt_http_client_config config = {.loop = web->fixture.loop,
                                           .tls = web->h2_tls,
                                           .host = "127.0.0.1",
                                           .port = tt_http_server_port(web->server)};
    fixture_must(tt_http_client_new(&config, &web->client, &err), &err);
    return web->client;
}

static inline void web_client_closed(void *ctx)
{
    struct web *web = ctx;
    web->client_closed = true;
    web->client = NULL;
}

static inline void web_server_closed(void *ctx)
{
    ((struct web *)ctx)->server_closed = true;
}

static inline bool web_is_closed(void *ctx)
{
    const struct web *web = ctx;
    return !web->client && web->server_closed;
}

static inline void web_down(struct web *web)
{
    if (web->client) {
        tt_http_client_close(web->client, web_client_closed, web);
    }
    if (!web->server_closed) {
        tt_http_server_stop(web->server, 0, web_server_closed, web);
    }
    assert_true(fixture_turn_until(&web->fixture, web_is_closed, web));
    tt_http_server_free(web->server);
    tt_tls_context_unref(web->server_tls);
    tt_tls_context_unref(web->h2_tls);
    tt_tls_context_unref(web->h1_tls);
    test_free(web->big);
    fixture_down(&web->fixture);
}

#endif
