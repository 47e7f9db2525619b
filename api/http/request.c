/* What HTTP/1.1 and HTTP/2 do alike with an incoming request: keep the headers that routes care
 * for, collect the body, apply the limits, hand it to the handler.
 *
 * Limits answer before the request is whole: the exchange then ends, what still comes of the body
 * is thrown away. 431 for headers, 413 for the body, 429 for a client with too much in flight. */
#include "api/http/server_internal.h"

#include "base/intmath.h"

enum { BODY_START = 4 * 1024, BODY_GROW_ALIGN = 1024 };

static struct tt_str keep(struct tt_http_exchange *ex, struct tt_str text)
{
    char *copy = tt_arena_strndup(ex->arena, text.ptr, text.len);
    if (!copy) {
        ex->reject_status = 431;
        return TT_STR_NONE;
    }
    return tt_str(copy, text.len);
}

/* Counts a header against the limits; false when it must be dropped. */
static bool count_header(struct tt_http_exchange *ex, size_t name_len, size_t value_len)
{
    ex->header_count++;
    ex->header_bytes += name_len + value_len + 32;
    if (ex->header_count > HTTP_HEADERS_MAX || ex->header_bytes > HTTP_HEADER_BYTES_MAX) {
        ex->reject_status = 431;
        return false;
    }
    return true;
}

void http_request_target(struct tt_http_exchange *ex, struct tt_str target)
{
    if (!count_header(ex, 0, target.len)) {
        return;
    }
    struct tt_str kept = keep(ex, target);
    ptrdiff_t split = tt_str_find(kept, '?');
    if (split < 0) {
        ex->request.path = kept;
        ex->request.query = TT_STR_NONE;
    } else {
        ex->request.path = tt_str_head(kept, (size_t)split);
        ex->request.query = tt_str_skip(kept, (size_t)split + 1);
    }
}

enum tt_http_method http_request_method(struct tt_str text)
{
    static const struct {
        struct tt_str name;         /* upper case, as it comes */
        enum tt_http_method method; /* OTHER is in no row */
    } methods[] = {{{"GET", 3}, TT_HTTP_GET},        {{"POST", 4}, TT_HTTP_POST},
                   {{"PUT", 3}, TT_HTTP_PUT},        {{"PATCH", 5}, TT_HTTP_PATCH},
                   {{"DELETE", 6}, TT_HTTP_DELETE},  {{"HEAD", 4}, TT_HTTP_HEAD},
                   {{"OPTIONS", 7}, TT_HTTP_OPTIONS}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (tt_str_eq(text, methods[i].name)) {
            return methods[i].method;
        }
    }
    return TT_HTTP_OTHER;
}

static void header_content_length(struct tt_http_exchange *ex, struct tt_str value)
{
    uint64_t length;
    bool is_repeat = ex->content_length != UINT64_MAX;
    if (!tt_str_to_u64(value, &length) || (is_repeat && length != ex->content_length)) {
        ex->reject_status = 400;
        return;
    }
    ex->content_length = length;
}

/* The header's place in the request; NULL when routes do not care for it. Names are lower case. */
static struct tt_str *header_slot(struct tt_http_request *request, struct tt_str name)
{
    const struct {
        struct tt_str name;  /* lower case */
        struct tt_str *slot; /* in request */
    } slots[] = {
        {{"accept", 6}, &request->accept},
        {{"content-type", 12}, &request->content_type},
        {{":authority", 10}, &request->authority},
        {{"host", 4}, &request->authority},
        {{"if-none-match", 13}, &request->if_none_match},
        {{"tutti-request-id", 16}, &request->request_key},
    };
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        if (tt_str_eq(name, slots[i].name)) {
            return slots[i].slot;
        }
    }
    return NULL;
}

void http_request_header(struct tt_http_exchange *ex, struct tt_str name, struct tt_str value)
{
    if (!count_header(ex, name.len, value.len)) {
        return;
    }
    struct tt_str *slot = header_slot(&ex->request, name);
    if (slot) {
        if (!slot->ptr) { /* of a repeated header the first counts; :authority comes before host */
            *slot = keep(ex, value);
        }
    } else if (tt_str_eq(name, TT_STR("content-length"))) {
        header_content_length(ex, value);
    } else if (tt_str_eq(name, TT_STR("expect"))) {
        ex->expect_continue = tt_str_eq_nocase(value, TT_STR("100-continue"));
    }
}

void http_request_reject(struct tt_http_exchange *ex, int status, const char *message)
{
    TT_ASSERT(ex->state == HTTP_EX_RECEIVING);
    ex->server->stats.rejected++;
    tt_http_respond_status(ex, status, NULL, tt_str_c(message));
}

void http_request_headers_done(struct tt_http_exchange *ex)
{
    if (ex->state != HTTP_EX_RECEIVING) {
        return;
    }
    size_t body_max = ex->server->limits.body_size_max;
    if (ex->reject_status == 431) {
        http_request_reject(ex, 431, "the request's headers are too large");
    } else if (ex->reject_status != 0 || ex->request.path.len == 0) {
        http_request_reject(ex, 400, "malformed request");
    } else if (ex->content_length != UINT64_MAX && ex->content_length > body_max) {
        http_request_reject(ex, 413, "the request's body is too large");
    }
}

/* Room for `more` bytes and the padding. */
static void grow_body(struct tt_http_exchange *ex, size_t more)
{
    size_t needed = ex->body_len + more;
    if (needed <= ex->body_cap) {
        return;
    }
    size_t cap = tt_size_max(ex->body_cap * 2, BODY_START);
    if (ex->content_length != UINT64_MAX && ex->content_length <= HTTP_KEEP_MAX) {
        cap = tt_size_max(cap, (size_t)ex->content_length);
    }
    cap = tt_size_max(cap, needed);
    cap = (cap + BODY_GROW_ALIGN - 1) / BODY_GROW_ALIGN * BODY_GROW_ALIGN;
    ex->body = tt_xrealloc(ex->body, cap + HTTP_BODY_PADDING);
    ex->body_cap = cap;
}

void http_request_body(struct tt_http_exchange *ex, struct tt_str bytes)
{
    if (ex->state != HTTP_EX_RECEIVING || bytes.len == 0) {
        return;
    }
    struct http_account *account = ex->conn->account;
    const struct tt_http_limits *limits = &ex->server->limits;
    if (bytes.len > limits->body_size_max - ex->body_len) {
        http_request_reject(ex, 413, "the request's body is too large");
        return;
    }
    if (account->body_bytes + bytes.len > limits->body_bytes_per_client_max) {
        http_request_reject(ex, 429, "too many request bytes of this client are in flight");
        return;
    }
    grow_body(ex, bytes.len);
    memcpy(ex->body + ex->body_len, bytes.ptr, bytes.len);
    ex->body_len += bytes.len;
    account->body_bytes += bytes.len;
    ex->progress_ms = http_now(ex->server);
    TT_ASSERT(ex->body_len <= ex->body_cap);
}

void http_request_complete(struct tt_http_exchange *ex)
{
    ex->request_complete = true;
    if (ex->state != HTTP_EX_RECEIVING) {
        return;
    }
    struct tt_http_server *server = ex->server;
    struct http_account *account = ex->conn->account;
    if (account->out_bytes >= server->limits.response_bytes_per_client_max) {
        http_request_reject(ex, 429, "too much that this client asked for was not read yet");
        return;
    }
    if (account->requests >= server->limits.requests_per_client_max) {
        http_request_reject(ex, 429, "too many requests of this client are in flight");
        return;
    }
    if (ex->body_len > 0) {
        memset(ex->body + ex->body_len, 0, HTTP_BODY_PADDING);
        ex->request.body = tt_str(ex->body, ex->body_len);
    } else {
        static const char nothing[HTTP_BODY_PADDING];
        ex->request.body = tt_str(nothing, 0);
    }
    account->requests++;
    ex->account = account;
    ex->state = HTTP_EX_HANDLING;
    server->stats.requests++;
    server->handler.request(server->handler.ctx, ex);
}
