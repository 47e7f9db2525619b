/* A call and its tries.
 *
 *   start → trying ⇄ sleeping (back-off) → done
 * A try goes to the endpoint in use. What the failure says decides: nothing reached the server →
 * the next endpoint at once, and after a full round a pause that doubles; the outcome is unknown →
 * the same, but only for reads and keyed writes; TLS refused → the other endpoints, but no second
 * round; 429 and 503 → a pause (what Retry-After says, at
 * least the back-off). Everything else, and the deadline, ends the call. One timer wakes all
 * sleepers. */
#include "api/client/api_client.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/http/uri.h"
#include "api/json/json.h"
#include "base/intmath.h"
#include "server/tls/context.h"

enum {
    WARNING_MAX = 4096, /* bytes of one warning's text; longer ones are left out */
    TIMEOUT_MS = 30000,
    BACKOFF_MS_MIN = 50,
    BACKOFF_MS_MAX = 2000,
    RETRY_AFTER_MS_MAX = 60000,
    ERROR_BODY_MAX = 64 << 10,
    STATUS_ARENA_MAX = 1 << 20
};

struct tt_api_client {
    struct tt_loop *loop;                          /* kept */
    struct tt_tls_context *tls;                    /* a reference */
    struct tt_http_client *http[TT_ENDPOINTS_MAX]; /* owned; in the order of the kubeconfig */
    uint32_t endpoint_count;                       /* in http */
    uint32_t endpoint;                             /* in use: the last that answered */
    char *user_agent;                              /* owned */
    uint64_t timeout_ms;                           /* of calls that name none */
    uint64_t backoff_ms_max;                       /* pauses double up to it */
    struct tt_list trying;                         /* by call.link: a try is running */
    struct tt_list sleeping;                       /* by call.link: until wake_ms */
    struct tt_timer timer;                         /* the next sleeper */
    uint64_t timer_ms;                             /* when it fires; UINT64_MAX: not set */
    uint32_t open_count;                           /* HTTP clients and timer, not yet closed */
    bool is_closing;                               /* no new calls, no more tries */
    bool is_shutting;          /* the calls are gone, the rest is being closed */
    void (*closed)(void *ctx); /* of close; may be NULL */
    void *closed_ctx;          /* of closed */
};

/* ---- TLS material from memory ---- */

/* The context reads files: give it anonymous ones, so that no key touches a disk. */
static int memory_file(const char *text, char path[32], struct tt_err *err)
{
    int fd = memfd_create("tutti-tls", MFD_CLOEXEC);
    if (fd < 0) {
        return TT_FAIL(err, TT_EIO, "cannot create an anonymous file");
    }
    struct tt_str rest = tt_str_c(text);
    while (rest.len > 0) {
        ssize_t count = write(fd, rest.ptr, rest.len);
        if (count <= 0) {
            close(fd);
            return TT_FAIL(err, TT_EIO, "cannot write an anonymous file");
        }
        rest = tt_str_skip(rest, (size_t)count);
    }
    (void)snprintf(path, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static int make_tls(const struct tt_kubeconfig *config, struct tt_tls_context **ret_tls,
                    struct tt_err *err)
{
    if (!config->ca_pem || !config->cert_pem || !config->key_pem) {
        return TT_FAIL(err, TT_EINVAL,
                       "kubeconfig: certificate-authority, client-certificate and client-key are "
                       "needed");
    }
    const char *texts[3] = {config->cert_pem, config->key_pem, config->ca_pem};
    char paths[3][32];
    int fds[3] = {-1, -1, -1};
    int r = 0;
    for (int i = 0; i < 3 && r >= 0; i++) {
        fds[i] = memory_file(texts[i], paths[i], err);
        r = fds[i];
    }
    if (r >= 0) {
        struct tt_tls_config tls = {
            .cert_path = paths[0], .key_path = paths[1], .ca_path = paths[2], .alpn = "h2"};
        r = tt_tls_context_new(&tls, ret_tls, err);
    }
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    return r;
}

/* ---- errors ---- */

static int code_of_http(int status)
{
    static const int codes[] = {
#define CODE(name, value, http, reason, retryable, exit_code) (name),
        TT_ERR_CODES(CODE)
#undef CODE
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (tt_err_http_status(codes[i]) == status) {
            return codes[i];
        }
    }
    return status >= 500 ? TT_EINTERNAL : TT_EINVAL;
}

static int code_of_reason(struct tt_str reason, int http_status)
{
    static const int codes[] = {
#define CODE(name, value, http, reason, retryable, exit_code) (name),
        TT_ERR_CODES(CODE)
#undef CODE
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        if (reason.len > 0 && tt_str_eq_c(reason, tt_err_reason(codes[i]))) {
            return codes[i];
        }
    }
    return code_of_http(http_status);
}

int tt_api_status_error(int http_status, struct tt_str body, struct tt_err *err)
{
    TT_AUTO(tt_arena) arena = tt_arena_new(16 << 10, STATUS_ARENA_MAX);
    yyjson_doc *doc = NULL;
    struct tt_str reason = TT_STR_NONE;
    struct tt_str message = TT_STR_NONE;
    if (body.len > 0 && body.len <= ERROR_BODY_MAX && tt_json_read(arena, body, &doc, NULL) == 0) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        reason = tt_json_iget_str(root, "reason");
        message = tt_json_iget_str(root, "message");
    }
    int code = code_of_reason(reason, http_status);
    if (message.len > 0) {
        return TT_FAIL(err, code, "%.*s", TT_STR_ARG(message));
    }
    return TT_FAIL(err, code, "the server answered HTTP %d", http_status);
}

/* ---- paths ---- */

static void path_part(struct tt_buf *buf, struct tt_str part)
{
    tt_buf_char(buf, '/');
    tt_uri_encode(buf, part);
}

void tt_api_path(struct tt_buf *buf, const struct tt_api_resource *resource,
                 struct tt_str namespace, struct tt_str name, struct tt_str subresource,
                 struct tt_str query)
{
    if (resource->group[0] == '\0') {
        tt_buf_c(buf, "/api");
    } else {
        tt_buf_c(buf, "/apis");
        path_part(buf, tt_str_c(resource->group));
    }
    path_part(buf, tt_str_c(resource->version));
    if (namespace.len > 0) {
        tt_buf_c(buf, "/namespaces");
        path_part(buf, namespace);
    }
    path_part(buf, tt_str_c(resource->resource));
    if (name.len > 0) {
        path_part(buf, name);
    }
    if (subresource.len > 0) {
        path_part(buf, subresource);
    }
    if (query.len > 0) {
        tt_buf_char(buf, '?');
        tt_buf_str(buf, query);
    }
}

/* ---- calls ---- */

static uint64_t now_of(const struct tt_api_client *client)
{
    return tt_loop_now_ms(client->loop);
}

static void maybe_shut(struct tt_api_client *client);

static void finish(struct tt_api_call *call, const struct tt_err *err)
{
    struct tt_api_client *client = call->client;
    tt_list_remove(&call->link);
    call->client = NULL;
    struct tt_buf answer = call->http.answer; /* done may start the call anew */
    struct tt_buf error_body = call->error_body;
    call->http.answer = (struct tt_buf){0};
    call->error_body = (struct tt_buf){0};
    call->answer = error_body.len > 0 ? tt_buf_view(&error_body) : tt_buf_view(&answer);
    call->done(call, err);
    tt_buf_fini(&answer);
    tt_buf_fini(&error_body);
    maybe_shut(client);
}

static void arm(struct tt_api_client *client, uint64_t at_ms)
{
    if (at_ms < client->timer_ms) {
        uint64_t now = now_of(client);
        client->timer_ms = at_ms;
        tt_timer_start(&client->timer, at_ms > now ? at_ms - now : 0, 0);
    }
}

/* Tries again at at_ms, or ends with call->err at the deadline. */
static void sleep_until(struct tt_api_call *call, uint64_t at_ms)
{
    struct tt_api_client *client = call->client;
    tt_list_remove(&call->link);
    tt_list_push_back(&client->sleeping, &call->link);
    call->is_sleeping = true;
    call->wake_ms = tt_u64_min(at_ms, call->deadline_ms);
    arm(client, call->wake_ms);
}

static void next_endpoint(struct tt_api_call *call)
{
    struct tt_api_client *client = call->client;
    if (client->endpoint == call->endpoint) {
        client->endpoint = (call->endpoint + 1) % client->endpoint_count;
    }
}

/* call->err says what went wrong with this try. */
static void try_again(struct tt_api_call *call)
{
    struct tt_api_client *client = call->client;
    uint64_t now = now_of(client);
    call->tries_in_round++;
    uint64_t pause = 0;
    if (call->retry_after_ms > 0 || call->tries_in_round >= client->endpoint_count) {
        call->tries_in_round = 0;
        pause = tt_u64_max(call->backoff_ms, call->retry_after_ms);
        call->backoff_ms = tt_u64_min(call->backoff_ms * 2, client->backoff_ms_max);
    }
    call->retry_after_ms = 0;
    sleep_until(call, now + pause);
}

static bool is_repeatable(const struct tt_api_call *call)
{
    return call->request_key || strcmp(call->method, "GET") == 0 ||
           strcmp(call->method, "HEAD") == 0;
}

/* May a try that failed so be followed by another one? Nothing reached the server, or it may have
 * and that does no harm. */
static bool may_try_again(const struct tt_api_call *call, const struct tt_err *err)
{
    switch (err->code) {
    case TT_EUNAVAILABLE:
    case TT_EBUSY:
        return true;
    case TT_ETLS:
        return !call->http.is_sent || is_repeatable(call);
    case TT_ECLOSED:
    case TT_ETIMEOUT:
        return is_repeatable(call);
    default:
        return false;
    }
}

static void on_transport_error(struct tt_api_call *call, const struct tt_err *err)
{
    struct tt_api_client *client = call->client;
    bool is_over = now_of(client) >= call->deadline_ms || call->has_data || call->is_cancelled ||
                   client->is_closing;
    bool again = !is_over && may_try_again(call, err);
    call->err = *err;
    if (err->code == TT_ETLS && call->refusal.code == TT_OK) {
        call->refusal = *err;
    }
    if (call->refusal.code != TT_OK && call->tries_in_round + 1 >= client->endpoint_count) {
        call->err = call->refusal; /* all were asked: a second round would not end better */
        again = false;
    }
    next_endpoint(call);
    if (again) {
        try_again(call);
    } else {
        finish(call, &call->err);
    }
}

static void on_http_done(struct tt_http_call *http, const struct tt_err *err)
{
    struct tt_api_call *call = http->ctx;
    struct tt_api_client *client = call->client;
    if (err) {
        on_transport_error(call, err);
        return;
    }
    call->status = http->status;
    if (http->status >= 200 && http->status < 300) {
        client->endpoint = call->endpoint;
        finish(call, NULL);
        return;
    }
    struct tt_str body =
        call->data ? tt_buf_view(&call->error_body) : tt_buf_view(&call->http.answer);
    tt_err_init(&call->err);
    (void)tt_api_status_error(http->status, body, &call->err);
    bool is_busy = http->status == 429 || http->status == 503;
    bool has_time = now_of(client) + call->retry_after_ms < call->deadline_ms;
    if (is_busy && has_time && !call->is_cancelled && !client->is_closing) {
        if (http->status == 503) {
            next_endpoint(call);
        }
        call->retry_after_ms = tt_u64_max(call->retry_after_ms, 1); /* never at once */
        try_again(call);
        return;
    }
    finish(call, &call->err);
}

/* `299 - "text"` with \" and \\ inside, as RFC 7234 section 5.5 has it. */
static void tell_warning(struct tt_api_call *call, struct tt_str value)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, WARNING_MAX);
    struct tt_str rest = value;
    struct tt_str code_and_agent;
    if (!tt_str_cut(&rest, '"', &code_and_agent) || rest.ptr == NULL) {
        return;
    }
    for (size_t i = 0; i < rest.len && rest.ptr[i] != '"'; i++) {
        i += rest.ptr[i] == '\\' && i + 1 < rest.len ? 1 : 0;
        tt_buf_char(&text, (unsigned char)rest.ptr[i] < ' ' ? ' ' : rest.ptr[i]); /* no escapes */
    }
    if (tt_buf_ok(&text) && text.len > 0) {
        call->warning(call, tt_buf_view(&text));
    }
}

static void on_header(struct tt_http_call *http, struct tt_str name, struct tt_str value,
                      bool trailer)
{
    struct tt_api_call *call = http->ctx;
    uint64_t seconds;
    if (!trailer && tt_str_eq_c(name, "retry-after") && tt_str_to_u64(value, &seconds)) {
        call->retry_after_ms = tt_u64_min(seconds, RETRY_AFTER_MS_MAX / 1000) * 1000;
    }
    if (!trailer && call->warning != NULL && tt_str_eq_c(name, "warning")) {
        tell_warning(call, value);
    }
}

static void on_data(struct tt_http_call *http, struct tt_str bytes)
{
    struct tt_api_call *call = http->ctx;
    if (http->status >= 200 && http->status < 300) {
        call->has_data = true;
        call->status = http->status;
        call->data(call, bytes);
    } else {
        tt_buf_str(&call->error_body, tt_str_head(bytes, ERROR_BODY_MAX - call->error_body.len));
    }
}

static size_t fill_headers(struct tt_api_call *call)
{
    const char *accept = call->accept ? call->accept : "application/json";
    const char *type = call->content_type ? call->content_type : "application/json";
    struct tt_http_header *headers = call->headers;
    size_t count = 0;
    headers[count++] = (struct tt_http_header){TT_STR("accept"), tt_str_c(accept)};
    headers[count++] =
        (struct tt_http_header){TT_STR("user-agent"), tt_str_c(call->client->user_agent)};
    if (call->body.len > 0) {
        headers[count++] = (struct tt_http_header){TT_STR("content-type"), tt_str_c(type)};
    }
    if (call->request_key) {
        headers[count++] =
            (struct tt_http_header){TT_STR("tutti-request-id"), tt_str_c(call->request_key)};
    }
    return count;
}

static void try_now(struct tt_api_call *call)
{
    struct tt_api_client *client = call->client;
    uint64_t now = now_of(client);
    tt_list_remove(&call->link);
    tt_list_push_back(&client->trying, &call->link);
    call->is_sleeping = false;
    call->endpoint = client->endpoint;
    call->status = 0;
    tt_http_call_fini(&call->http);
    tt_buf_reset(&call->error_body);
    call->http = (struct tt_http_call){.method = call->method,
                                       .path = call->path,
                                       .headers = call->headers,
                                       .header_count = fill_headers(call),
                                       .body = call->body,
                                       .header = on_header,
                                       .data = call->data ? on_data : NULL,
                                       .done = on_http_done,
                                       .ctx = call};
    if (call->deadline_ms != UINT64_MAX) {
        call->http.timeout_ms = call->deadline_ms > now ? call->deadline_ms - now : 1;
    }
    struct tt_err err;
    tt_err_init(&err);
    if (tt_http_call_start(client->http[call->endpoint], &call->http, &err) < 0) {
        call->err = err;
        next_endpoint(call);
        try_again(call); /* later, so never inside the user's start */
    }
}

static void on_timer(struct tt_timer *timer)
{
    struct tt_api_client *client = TT_CONTAINER_OF(timer, struct tt_api_client, timer);
    uint64_t now = now_of(client);
    uint64_t next = UINT64_MAX;
    struct tt_list due;
    tt_list_init(&due);
    client->timer_ms = UINT64_MAX;
    struct tt_list *node = client->sleeping.next;
    while (node != &client->sleeping) {
        struct tt_api_call *call = TT_CONTAINER_OF(node, struct tt_api_call, link);
        node = node->next;
        if (call->wake_ms > now) {
            next = tt_u64_min(next, call->wake_ms);
            continue;
        }
        tt_list_remove(&call->link);
        tt_list_push_back(&due, &call->link);
    }
    arm(client, next);
    while (!tt_list_empty(&due)) {
        struct tt_api_call *call = TT_CONTAINER_OF(due.next, struct tt_api_call, link);
        if (call->is_cancelled || client->is_closing) {
            tt_err_init(&call->err);
            (void)TT_FAIL(&call->err, TT_ECANCELED, "cancelled");
            finish(call, &call->err);
        } else if (now >= call->deadline_ms) {
            finish(call, &call->err);
        } else {
            try_now(call);
        }
    }
}

int tt_api_call_start(struct tt_api_client *client, struct tt_api_call *call, struct tt_err *err)
{
    TT_ASSERT(!call->client && call->done && call->method && call->path.len > 0);
    if (client->is_closing) {
        return TT_FAIL(err, TT_ECANCELED, "the client was closed");
    }
    uint64_t timeout_ms = call->timeout_ms ? call->timeout_ms : client->timeout_ms;
    call->client = client;
    call->deadline_ms = timeout_ms == UINT64_MAX ? UINT64_MAX : now_of(client) + timeout_ms;
    call->backoff_ms = BACKOFF_MS_MIN;
    call->retry_after_ms = 0;
    call->tries_in_round = 0;
    call->is_cancelled = false;
    call->has_data = false;
    call->answer = TT_STR_NONE;
    call->http = (struct tt_http_call){0};
    tt_buf_init(&call->error_body, ERROR_BODY_MAX);
    tt_err_init(&call->err);
    tt_err_init(&call->refusal);
    tt_list_init(&call->link);
    try_now(call);
    return 0;
}

void tt_api_call_cancel(struct tt_api_call *call)
{
    if (!call->client || call->is_cancelled) {
        return;
    }
    call->is_cancelled = true;
    if (call->is_sleeping) {
        call->wake_ms = 0;
        arm(call->client, 0);
    } else {
        tt_http_call_cancel(&call->http);
    }
}

/* ---- life ---- */

static void part_closed(struct tt_api_client *client)
{
    TT_ASSERT(client->open_count > 0);
    if (--client->open_count > 0) {
        return;
    }
    if (client->closed) {
        client->closed(client->closed_ctx);
    }
    tt_tls_context_unref(client->tls);
    tt_free(client->user_agent);
    tt_free(client);
}

static void http_closed(void *ctx)
{
    part_closed(ctx);
}

static void timer_closed(struct tt_timer *timer)
{
    part_closed(TT_CONTAINER_OF(timer, struct tt_api_client, timer));
}

static void maybe_shut(struct tt_api_client *client)
{
    bool is_quiet = tt_list_empty(&client->trying) && tt_list_empty(&client->sleeping);
    if (!client->is_closing || client->is_shutting || !is_quiet) {
        return;
    }
    client->is_shutting = true;
    for (uint32_t i = 0; i < client->endpoint_count; i++) {
        tt_http_client_close(client->http[i], http_closed, client);
    }
    tt_timer_close(&client->timer, timer_closed);
}

void tt_api_client_close(struct tt_api_client *client, void (*closed)(void *ctx), void *ctx)
{
    TT_ASSERT(!client->is_closing);
    client->is_closing = true;
    client->closed = closed;
    client->closed_ctx = ctx;
    for (struct tt_list *n = client->trying.next; n != &client->trying; n = n->next) {
        tt_api_call_cancel(TT_CONTAINER_OF(n, struct tt_api_call, link));
    }
    for (struct tt_list *n = client->sleeping.next; n != &client->sleeping; n = n->next) {
        tt_api_call_cancel(TT_CONTAINER_OF(n, struct tt_api_call, link));
    }
    maybe_shut(client);
}

static int make_endpoints(struct tt_api_client *client, const struct tt_api_client_config *config,
                          struct tt_err *err)
{
    for (uint32_t i = 0; i < config->kubeconfig->endpoint_count; i++) {
        const struct tt_endpoint *endpoint = &config->kubeconfig->endpoint[i];
        const char *name = config->kubeconfig->server_name;
        struct tt_http_client_config http = {.loop = config->loop,
                                             .tls = client->tls,
                                             .host = endpoint->host,
                                             .port = endpoint->port,
                                             .server_name = name ? name : endpoint->host,
                                             .connections_max = config->connections_max,
                                             .streams_max = 250};
        int r = tt_http_client_new(&http, &client->http[i], err);
        if (r < 0) {
            return r;
        }
        client->endpoint_count++;
        client->open_count++;
    }
    return 0;
}

int tt_api_client_new(const struct tt_api_client_config *config, struct tt_api_client **ret_client,
                      struct tt_err *err)
{
    struct tt_tls_context *tls = NULL;
    if (config->tls) {
        tls = tt_tls_context_ref(config->tls);
    } else {
        int r = make_tls(config->kubeconfig, &tls, err);
        if (r < 0) {
            return r;
        }
    }
    struct tt_api_client *client = TT_NEW(struct tt_api_client);
    client->loop = config->loop;
    client->tls = tls;
    client->user_agent = tt_xstrdup(config->user_agent ? config->user_agent : "tutti");
    client->timeout_ms = config->timeout_ms ? config->timeout_ms : TIMEOUT_MS;
    client->backoff_ms_max = config->backoff_ms_max ? config->backoff_ms_max : BACKOFF_MS_MAX;
    tt_list_init(&client->trying);
    tt_list_init(&client->sleeping);
    tt_timer_init(&client->timer, config->loop, on_timer);
    client->timer_ms = UINT64_MAX;
    client->open_count = 1;
    int r = make_endpoints(client, config, err);
    if (r < 0) {
        tt_api_client_close(client, NULL, NULL);
        return r;
    }
    *ret_client = client;
    return 0;
}
