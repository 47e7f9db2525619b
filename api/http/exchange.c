/* Exchanges: the pool, the queue of outgoing parts, and the response calls.
 *
 * RECEIVING → HANDLING → (STREAMING →) ENDED → back to the pool when the protocol has sent the last
 * byte or the stream is gone. A request answered early (too large, too many) goes from RECEIVING to
 * ENDED. When the stream goes while the handler has the exchange, `cancelled` is called first.
 *
 * No allocation on the way of a common request: the arena keeps a chunk, body and copy buffers stay
 * with a pooled exchange while they are small, a few parts are inline. Parts with an owner are sent
 * from where they lie: their only copy is the one into the TLS queue. */
#include "api/http/server_internal.h"

#include "base/intmath.h"
#include "base/json.h"

enum { ARENA_CHUNK = 8 * 1024, ARENA_MAX = 64 * 1024 * 1024 };

struct tt_http_exchange *http_exchange_new(struct http_conn *conn)
{
    struct tt_http_server *server = conn->server;
    struct tt_list *node = tt_list_pop_front(&server->pool);
    struct tt_http_exchange *ex;
    if (node) {
        ex = TT_CONTAINER_OF(node, struct tt_http_exchange, link);
        server->pool_count--;
        if (server->pool_count < server->pool_low) {
            server->pool_low = server->pool_count;
        }
    } else {
        ex = TT_NEW(struct tt_http_exchange);
        ex->arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
        ex->server = server;
        ex->parts = ex->inline_parts;
        ex->parts_cap = HTTP_INLINE_PARTS;
        server->pool_low = 0;
    }
    TT_ASSERT(ex->out_bytes == 0 && ex->parts_count == 0);
    ex->conn = conn;
    ex->state = HTTP_EX_RECEIVING;
    ex->request = (struct tt_http_request){.method = TT_HTTP_OTHER};
    ex->content_length = UINT64_MAX;
    ex->progress_ms = http_now(server);
    tt_list_push_back(&conn->exchanges, &ex->link);
    conn->exchange_count++;
    return ex;
}

static void exchange_free(struct tt_http_exchange *ex)
{
    tt_arena_free(ex->arena);
    tt_free(ex->body);
    tt_free(ex->copy);
    if (ex->parts != ex->inline_parts) {
        tt_free(ex->parts);
    }
    tt_free(ex);
}

/* Back to the state of a new exchange, keeping small buffers. */
static void exchange_reset(struct tt_http_exchange *ex)
{
    if (ex->body_cap > HTTP_KEEP_MAX) {
        tt_free(ex->body);
        ex->body = NULL;
        ex->body_cap = 0;
    }
    if (ex->copy_cap > HTTP_KEEP_MAX) {
        tt_free(ex->copy);
        ex->copy = NULL;
        ex->copy_cap = 0;
    }
    if (ex->parts != ex->inline_parts) {
        tt_free(ex->parts);
        ex->parts = ex->inline_parts;
        ex->parts_cap = HTTP_INLINE_PARTS;
    }
    tt_arena_reset(ex->arena);
    ex->conn = NULL;
    ex->stream_id = 0;
    ex->reject_status = 0;
    ex->request_complete = false;
    ex->is_deferred = false;
    ex->expect_continue = false;
    ex->header_count = 0;
    ex->header_bytes = 0;
    ex->body_len = 0;
    ex->parts_head = 0;
    ex->on_drain = NULL;
    ex->wants_drain = false;
    ex->user = NULL;
}

void http_exchange_close(struct tt_http_exchange *ex)
{
    struct tt_http_server *server = ex->server;
    struct http_conn *conn = ex->conn;
    if (ex->state == HTTP_EX_HANDLING || ex->state == HTTP_EX_STREAMING) {
        ex->state = HTTP_EX_ENDED;
        server->stats.cancelled++;
        server->handler.cancelled(server->handler.ctx, ex);
    }
    http_exchange_drop_output(ex);
    conn->account->body_bytes -= ex->body_len;
    if (ex->account) {
        TT_ASSERT(ex->account->requests > 0);
        ex->account->requests--;
        ex->account = NULL;
    }
    tt_list_remove(&ex->link);
    TT_ASSERT(conn->exchange_count > 0);
    conn->exchange_count--;
    if (conn->exchange_count == 0) {
        conn->idle_since_ms = http_now(server);
    }
    exchange_reset(ex);
    ex->link.next = server->pool.next; /* front: the warmest is used first */
    ex->link.prev = &server->pool;
    server->pool.next->prev = &ex->link;
    server->pool.next = &ex->link;
    server->pool_count++;
}

void http_exchange_pool_trim(struct tt_http_server *server, uint32_t keep)
{
    while (server->pool_count > keep) {
        struct tt_list *node = server->pool.prev;
        tt_list_remove(node);
        server->pool_count--;
        exchange_free(TT_CONTAINER_OF(node, struct tt_http_exchange, link));
    }
}

struct tt_str http_exchange_front(const struct tt_http_exchange *ex)
{
    return ex->parts_count > 0 ? ex->parts[ex->parts_head].bytes : TT_STR_NONE;
}

static void pop_part(struct tt_http_exchange *ex)
{
    struct http_out_part part = ex->parts[ex->parts_head];
    ex->parts_head = (ex->parts_head + 1) % ex->parts_cap;
    ex->parts_count--;
    if (part.owner) {
        part.release(part.owner);
    }
}

void http_exchange_consume(struct tt_http_exchange *ex, size_t size)
{
    TT_ASSERT(size <= ex->out_bytes);
    ex->out_bytes -= size;
    ex->conn->account->out_bytes -= size;
    ex->progress_ms = http_now(ex->server);
    while (size > 0) {
        struct http_out_part *part = &ex->parts[ex->parts_head];
        size_t taken = tt_size_min(size, part->bytes.len);
        part->bytes = tt_str_skip(part->bytes, taken);
        size -= taken;
        if (part->bytes.len == 0) {
            pop_part(ex);
        }
    }
}

void http_exchange_drop_output(struct tt_http_exchange *ex)
{
    while (ex->parts_count > 0) {
        pop_part(ex);
    }
    ex->conn->account->out_bytes -= ex->out_bytes;
    ex->out_bytes = 0;
}

void http_exchange_drained(struct tt_http_exchange *ex)
{
    size_t low = ex->server->limits.response_backlog_max / 2;
    if (!ex->wants_drain || ex->state != HTTP_EX_STREAMING) {
        return;
    }
    if (ex->out_bytes > low) {
        ex->conn->wants_drain = true;
        return;
    }
    ex->wants_drain = false;
    if (ex->on_drain) {
        ex->on_drain(ex->server->handler.ctx, ex);
    }
}

static void push_part(struct tt_http_exchange *ex, struct http_out_part part)
{
    TT_ASSERT(part.bytes.len > 0);
    if (ex->parts_count == ex->parts_cap) {
        uint32_t cap = ex->parts_cap * 2;
        struct http_out_part *grown = tt_xmalloc(cap * sizeof *grown);
        for (uint32_t i = 0; i < ex->parts_count; i++) {
            grown[i] = ex->parts[(ex->parts_head + i) % ex->parts_cap];
        }
        if (ex->parts != ex->inline_parts) {
            tt_free(ex->parts);
        }
        ex->parts = grown;
        ex->parts_cap = cap;
        ex->parts_head = 0;
    }
    TT_ASSERT(ex->parts_count < ex->parts_cap);
    uint32_t tail = ex->parts_head + ex->parts_count;
    ex->parts[tail < ex->parts_cap ? tail : tail - ex->parts_cap] = part;
    ex->parts_count++;
    ex->out_bytes += part.bytes.len;
    ex->conn->account->out_bytes += part.bytes.len;
}

static void release_part(const struct tt_http_part *part)
{
    if (part->owner && part->release) {
        part->release(part->owner);
    }
}

static void release_nothing(const void *owner)
{
    (void)owner;
}

static void push_owned(struct tt_http_exchange *ex, const struct tt_http_part *part)
{
    if (part->bytes.len == 0) {
        release_part(part);
        return;
    }
    push_part(ex, (struct http_out_part){part->bytes, part->owner,
                                         part->release ? part->release : release_nothing});
}

/* Queues a whole body: owned parts as they are, the others copied once into one buffer. */
static void queue_whole(struct tt_http_exchange *ex, const struct tt_http_part *parts, size_t count)
{
    size_t copied = 0;
    for (size_t i = 0; i < count; i++) {
        copied += parts[i].owner ? 0 : parts[i].bytes.len;
    }
    if (copied > ex->copy_cap) {
        tt_free(ex->copy);
        ex->copy_cap = tt_size_max(copied, 2048);
        ex->copy = tt_xmalloc(ex->copy_cap);
    }
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].owner) {
            push_owned(ex, &parts[i]);
        } else if (parts[i].bytes.len > 0) {
            memcpy(ex->copy + used, parts[i].bytes.ptr, parts[i].bytes.len);
            struct tt_str bytes = tt_str(ex->copy + used, parts[i].bytes.len);
            push_part(ex, (struct http_out_part){bytes, NULL, NULL});
            used += parts[i].bytes.len;
        }
    }
    TT_ASSERT(used == copied);
}

static void drop_body_accounting(struct tt_http_exchange *ex)
{
    ex->conn->account->body_bytes -= ex->body_len;
    ex->body_len = 0;
}

void tt_http_respond(struct tt_http_exchange *ex, int status, const struct tt_http_header *headers,
                     size_t header_count, const struct tt_http_part *parts, size_t part_count)
{
    TT_ASSERT(ex->state == HTTP_EX_HANDLING || ex->state == HTTP_EX_RECEIVING);
    TT_ASSERT(header_count <= HTTP_RESPONSE_HEADERS_MAX);
    queue_whole(ex, parts, part_count);
    ex->state = HTTP_EX_ENDED;
    drop_body_accounting(ex);
    ex->progress_ms = http_now(ex->server);
    ex->conn->protocol->respond(ex, status, headers, header_count);
    http_conn_dirty(ex->conn);
}

void tt_http_respond_text(struct tt_http_exchange *ex, int status, const char *content_type,
                          struct tt_str body)
{
    struct tt_http_header header = {TT_STR("content-type"), tt_str_c(content_type)};
    struct tt_http_part part = {body, NULL, NULL};
    tt_http_respond(ex, status, &header, 1, &part, 1);
}

/* The Kubernetes reason of an HTTP status: that of the first error code with it. */
static const char *status_reason(int status)
{
    static const struct {
        int status;         /* HTTP; the first entry with it counts */
        const char *reason; /* static */
    } reasons[] = {
#define REASON(name, value, http, reason, retryable, exit_code) {(http), (reason)},
        TT_ERR_CODES(REASON)
#undef REASON
            {408, "Timeout"},
        {431, "RequestHeaderFieldsTooLarge"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return tt_err_reason(status >= 500 ? TT_EINTERNAL : TT_EINVAL);
}

void tt_http_respond_status(struct tt_http_exchange *ex, int status, const char *reason,
                            struct tt_str message)
{
    struct tt_buf text;
    tt_buf_init(&text, 16 * 1024);
    struct tt_json_writer w;
    tt_json_begin(&w, &text);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "kind", "Status");
    tt_json_c(&w, "apiVersion", "v1");
    tt_json_object(&w, "metadata");
    tt_json_object_end(&w);
    tt_json_c(&w, "status", "Failure");
    tt_json_str(&w, "message", tt_str_head(message, 2048));
    tt_json_c(&w, "reason", reason ? reason : status_reason(status));
    tt_json_u64(&w, "code", (uint64_t)status);
    tt_json_object_end(&w);
    TT_ASSERT(tt_buf_ok(&text));
    struct tt_http_header headers[] = {{TT_STR("content-type"), TT_STR("application/json")},
                                       {TT_STR("retry-after"), TT_STR("1")}};
    struct tt_http_part part = {tt_buf_view(&text), NULL, NULL};
    bool is_later = status == 429 || status == 503;
    tt_http_respond(ex, status, headers, is_later ? 2 : 1, &part, 1);
    tt_buf_fini(&text);
}

void tt_http_stream_begin(struct tt_http_exchange *ex, int status,
                          const struct tt_http_header *headers, size_t header_count,
                          void (*on_drain)(void *ctx, struct tt_http_exchange *ex))
{
    TT_ASSERT(ex->state == HTTP_EX_HANDLING);
    TT_ASSERT(header_count <= HTTP_RESPONSE_HEADERS_MAX);
    ex->state = HTTP_EX_STREAMING;
    ex->on_drain = on_drain;
    drop_body_accounting(ex);
    ex->progress_ms = http_now(ex->server);
    ex->conn->protocol->respond(ex, status, headers, header_count);
    http_conn_dirty(ex->conn);
}

static void release_copy(const void *owner)
{
    struct tt_bytes *bytes;
    memcpy(&bytes, &owner, sizeof bytes); /* the owner of a copied part is ours, and not const */
    tt_bytes_unref(bytes);
}

int tt_http_stream_write(struct tt_http_exchange *ex, const struct tt_http_part *parts,
                         size_t part_count)
{
    TT_ASSERT(ex->state == HTTP_EX_STREAMING);
    if (ex->request.method == TT_HTTP_HEAD) { /* an answer without a body */
        for (size_t i = 0; i < part_count; i++) {
            release_part(&parts[i]);
        }
        return 0;
    }
    size_t size = 0;
    for (size_t i = 0; i < part_count; i++) {
        size += parts[i].bytes.len;
    }
    /* One write may pass the maximum when nothing is queued: a part is never split by the user. */
    const struct tt_http_limits *limits = &ex->server->limits;
    bool is_over = ex->out_bytes + size > limits->response_backlog_max ||
                   ex->conn->account->out_bytes + size > limits->response_bytes_per_client_max;
    bool is_full = ex->out_bytes > 0 && is_over;
    if (is_full || ex->parts_count + part_count > HTTP_PARTS_MAX) {
        ex->wants_drain = true;
        ex->conn->wants_drain = true;
        return TT_EBUSY;
    }
    if (ex->out_bytes == 0) {
        ex->progress_ms = http_now(ex->server);
    }
    for (size_t i = 0; i < part_count; i++) {
        struct tt_http_part part = parts[i];
        if (!part.owner && part.bytes.len > 0) {
            struct tt_bytes *copy = tt_bytes_new(part.bytes.ptr, part.bytes.len);
            part = (struct tt_http_part){tt_str((const char *)copy->ptr, copy->size), copy,
                                         release_copy};
        }
        push_owned(ex, &part);
    }
    ex->conn->protocol->resume(ex);
    http_conn_dirty(ex->conn);
    return 0;
}

size_t tt_http_stream_backlog(const struct tt_http_exchange *ex)
{
    return ex->out_bytes + (ex->conn ? tt_tls_stream_queued(ex->conn->stream) : 0);
}

void tt_http_stream_end(struct tt_http_exchange *ex)
{
    TT_ASSERT(ex->state == HTTP_EX_STREAMING);
    ex->state = HTTP_EX_ENDED;
    ex->conn->protocol->resume(ex);
    http_conn_dirty(ex->conn);
}

void tt_http_stream_abort(struct tt_http_exchange *ex)
{
    TT_ASSERT(ex->state == HTTP_EX_STREAMING || ex->state == HTTP_EX_HANDLING);
    ex->state = HTTP_EX_ENDED;
    http_exchange_drop_output(ex);
    ex->conn->protocol->abort(ex);
    http_conn_dirty(ex->conn);
}

const struct tt_http_request *tt_http_request(const struct tt_http_exchange *ex)
{
    return &ex->request;
}

const struct tt_peer_identity *tt_http_peer(const struct tt_http_exchange *ex)
{
    return tt_tls_stream_peer(ex->conn->stream);
}

struct tt_arena *tt_http_arena(struct tt_http_exchange *ex)
{
    return ex->arena;
}

void tt_http_set_user(struct tt_http_exchange *ex, void *user)
{
    ex->user = user;
}

void *tt_http_user(const struct tt_http_exchange *ex)
{
    return ex->user;
}

struct tt_http_server *tt_http_exchange_server(const struct tt_http_exchange *ex)
{
    return ex->server;
}
