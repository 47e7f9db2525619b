/* Answers: Status, JSON, objects in the three formats clients ask for, streams.
 *
 * Happy path: the parts of a stored object (head, resourceVersion, tail) go out without being
 * re-encoded; small ones are copied by the HTTP server, large ones stay in the store's item, which
 * is referenced until they are sent. Each answer ends the request exactly once. Failure: what
 * cannot be rendered becomes a Status. */
#include "api/kinds/status.h"
#include "api/kinds/table.h"
#include "api/routes/worker.h"
#include "base/json.h"

enum {
    SHARE_SIZE_MIN = 4096, /* bytes: below, a copy is cheaper than two references */
    WARNINGS_MAX = 16,
    HEADERS_MAX = 1 + WARNINGS_MAX, /* the content type, and a header per warning */
};

static void release_item(const void *owner)
{
    tt_item_unref(owner);
}

/* `299 - "text"`: quotes and backslashes escaped, as RFC 7234 section 5.5 has it. */
static bool warning_text(struct tt_arena *arena, struct tt_str message, struct tt_str *ret_value)
{
    char *out = tt_arena_alloc(arena, message.len * 2 + 8);
    if (!out) {
        return false;
    }
    size_t size = 7;
    memcpy(out, "299 - \"", size);
    for (size_t i = 0; i < message.len; i++) {
        char c = message.ptr[i];
        if (c == '"' || c == '\\') {
            out[size++] = '\\';
        }
        out[size++] = (unsigned char)c < ' ' ? ' ' : c;
    }
    out[size++] = '"';
    *ret_value = tt_str(out, size);
    return true;
}

static size_t make_headers(struct api_request *rq, const char *content_type,
                           struct tt_http_header headers[HEADERS_MAX])
{
    size_t count = 0;
    headers[count++] = (struct tt_http_header){TT_STR("content-type"), tt_str_c(content_type)};
    for (size_t i = 0; i < rq->warnings.count && i < WARNINGS_MAX; i++) {
        headers[count].name = TT_STR("warning");
        if (warning_text(rq->arena, rq->warnings.items[i].message, &headers[count].value)) {
            count++;
        }
    }
    return count;
}

void api_respond_typed(struct api_request *rq, int http_status, const char *content_type,
                       struct tt_str body)
{
    struct tt_http_header headers[HEADERS_MAX];
    size_t count = make_headers(rq, content_type, headers);
    struct tt_http_part part = {.bytes = body};
    struct tt_http_exchange *ex = rq->ex;
    api_request_end(rq, http_status);
    tt_http_respond(ex, http_status, headers, count, &part, body.len > 0 ? 1 : 0);
}

void api_respond_json(struct api_request *rq, int http_status, struct tt_str body)
{
    api_respond_typed(rq, http_status, "application/json", body);
}

void api_respond_parts(struct api_request *rq, int http_status, const struct tt_http_part *parts,
                       size_t part_count)
{
    struct tt_http_header headers[HEADERS_MAX];
    size_t count = make_headers(rq, "application/json", headers);
    struct tt_http_exchange *ex = rq->ex;
    api_request_end(rq, http_status);
    tt_http_respond(ex, http_status, headers, count, parts, part_count);
}

/* Kubernetes names the object in details only for errors about an object. Of a 422 without causes
 * kubectl prints the message only when details name nothing. */
static void add_details(const struct api_request *rq, int code, struct tt_status *status)
{
    bool has_causes = rq->causes && tt_issues_total(rq->causes) > 0;
    bool about_object = code == TT_ENOTFOUND || code == TT_ECONFLICT || code == TT_EEXISTS ||
                        code == TT_EFORBIDDEN || (code == TT_EINVALID && has_causes);
    status->causes = has_causes ? rq->causes : NULL;
    if (!about_object || rq->path.route != API_ROUTE_RESOURCE) {
        return;
    }
    status->name = rq->path.name.len > 0 ? rq->path.name : rq->status_name;
    status->group = rq->path.group;
    status->resource = rq->path.resource;
    if (code == TT_EINVALID) {
        status->resource = rq->kind ? rq->kind->kind : rq->path.resource;
    } else if (code == TT_ENOTFOUND && rq->missing_ns.len > 0) {
        status->name = rq->missing_ns;
        status->group = TT_STR("");
        status->resource = TT_STR("namespaces");
    }
}

/* An error carries only the beginning of a long list of findings. */
static void add_findings(const struct api_request *rq, int code, struct tt_status *status)
{
    struct tt_str whole = TT_STR("");
    if (code == TT_EINVALID && rq->causes) {
        whole = rq->causes->refusal;
    } else if (code == TT_EINVAL) {
        whole = rq->warnings.refusal;
    }
    status->message = whole.len > 0 ? whole : status->message;
}

/* Whether the client may try again at once what it did. */
static bool is_retryable(const struct api_request *rq, int code)
{
    bool too_new =
        rq->causes && rq->causes->count > 0 && rq->causes->items[0].kind == TT_ISSUE_TOO_NEW;
    return code == TT_ETIMEOUT ? too_new : tt_err_retryable(code);
}

/* The 410 of a list carries a token that goes on from the same key at the present revision. */
static void write_expired(struct tt_buf *buf, const struct tt_status *status, struct tt_str token)
{
    struct tt_json_writer w;
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "kind", "Status");
    tt_json_c(&w, "apiVersion", "v1");
    tt_json_object(&w, "metadata");
    tt_json_str(&w, "continue", token);
    tt_json_object_end(&w);
    tt_json_c(&w, "status", "Failure");
    tt_json_str(&w, "message", status->message);
    tt_json_str(&w, "reason", status->reason);
    tt_json_i64(&w, "code", status->http_code);
    tt_json_object_end(&w);
}

void api_fail(struct api_request *rq, const struct tt_err *err)
{
    TT_ASSERT(err->code != TT_OK);
    struct tt_status status = {0};
    tt_status_from_err(&status, err, rq->arena);
    add_details(rq, err->code, &status);
    add_findings(rq, err->code, &status);
    struct tt_http_header headers[2];
    size_t count = 0;
    headers[count++] = (struct tt_http_header){TT_STR("content-type"), TT_STR("application/json")};
    if (is_retryable(rq, err->code)) {
        status.retry_after_s = 1;
        headers[count++] = (struct tt_http_header){TT_STR("retry-after"), TT_STR("1")};
    }
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    if (rq->expired_token.len > 0) {
        write_expired(buf, &status, rq->expired_token);
    } else {
        tt_status_write(buf, &status);
    }
    struct tt_http_part part = {.bytes = tt_buf_view(buf)};
    struct tt_http_exchange *ex = rq->ex;
    if (tt_sm_state(&rq->sm) == API_STREAMING) {
        api_stream_abort(rq);
        return;
    }
    api_request_end(rq, status.http_code);
    tt_http_respond(ex, status.http_code, headers, count, &part, 1);
}

static int respond_table(struct api_request *rq, int http_status, const struct tt_table_row *row,
                         struct tt_err *err)
{
    enum tt_table_include include;
    if (!tt_table_include_parse(rq->query.include_object, &include)) {
        return TT_FAIL(err, TT_EINVAL, "Invalid value: \"%.*s\": unknown includeObject",
                       TT_STR_ARG(rq->query.include_object));
    }
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    struct tt_table_list_meta meta = {.revision = row->revision};
    tt_table_begin(buf, rq->kind, &meta, true);
    struct tt_table_style style = {rq->kind, include,
                                   tt_clock_wall_ms(rq->worker->api->config.clock)};
    int r = tt_table_row(buf, rq->arena, &style, row, err);
    if (r) {
        return r;
    }
    tt_table_end(buf);
    if (!tt_buf_ok(buf)) {
        return api_no_memory(err);
    }
    api_respond_json(rq, http_status, tt_buf_view(buf));
    return TT_OK;
}

static int respond_metadata(struct api_request *rq, int http_status, const struct tt_table_row *row,
                            struct tt_err *err)
{
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    int r = tt_object_write_metadata(buf, rq->arena, row, err);
    if (r) {
        return r;
    }
    if (!tt_buf_ok(buf)) {
        return api_no_memory(err);
    }
    api_respond_json(rq, http_status, tt_buf_view(buf));
    return TT_OK;
}

int api_respond_object(struct api_request *rq, int http_status, const struct api_view *view,
                       struct tt_err *err)
{
    struct tt_str text = view->text;
    uint32_t splice = view->splice;
    uint64_t revision = view->revision;
    const struct tt_item *owner = view->owner;
    TT_ASSERT(splice > 0 && splice < text.len);
    struct tt_table_row row = {
        .stored = text, .splice = splice, .revision = revision, .first = true};
    if (rq->format == API_FORMAT_TABLE) {
        return respond_table(rq, http_status, &row, err);
    }
    if (rq->format == API_FORMAT_METADATA) {
        return respond_metadata(rq, http_status, &row, err);
    }
    char *spliced = tt_arena_alloc(rq->arena, TT_SPLICE_SIZE);
    if (!spliced) {
        return api_no_memory(err);
    }
    size_t splice_size = revision > 0 ? tt_object_splice(revision, spliced) : 0;
    bool share = owner && text.len >= SHARE_SIZE_MIN;
    /* What lies in the request's arena stays there until it is sent: it has no copy either. */
    const void *stays = owner ? NULL : rq->arena;
    struct tt_http_part parts[3] = {
        {.bytes = tt_str_head(text, splice), .owner = stays},
        {.bytes = tt_str(spliced, splice_size), .owner = rq->arena},
        {.bytes = tt_str_skip(text, splice), .owner = stays},
    };
    if (share) {
        for (unsigned i = 0; i < 3; i += 2) {
            parts[i].owner = tt_item_ref(owner);
            parts[i].release = release_item;
        }
    }
    api_respond_parts(rq, http_status, parts, 3);
    return TT_OK;
}

int api_respond_item(struct api_request *rq, const struct tt_item *item, struct tt_err *err)
{
    struct tt_str text;
    int r = tt_item_text(item, rq->worker->api->config.sealer, rq->arena, &text, err);
    if (r) {
        return r;
    }
    const struct tt_item *owner = item->value.codec == TT_CODEC_JSON ? item : NULL;
    struct api_view view = {text, item->value.splice, item->mod_revision, owner};
    return api_respond_object(rq, 200, &view, err);
}

void api_respond_success(struct api_request *rq, int http_status, struct tt_str name,
                         struct tt_str uid)
{
    TT_ASSERT(http_status == 200 || http_status == 201);
    struct tt_status status = {.http_code = http_status,
                               .name = name,
                               .group = rq->path.group,
                               .resource = rq->path.resource,
                               .uid = uid};
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    tt_status_write(buf, &status);
    api_respond_json(rq, http_status, tt_buf_view(buf));
}

const char *api_object_title(struct api_request *rq, struct tt_str name)
{
    const char *title = tt_arena_printf(
        rq->arena, "%.*s%s%.*s \"%.*s\"", TT_STR_ARG(rq->path.resource),
        rq->path.group.len > 0 ? "." : "", TT_STR_ARG(rq->path.group), TT_STR_ARG(name));
    return title ? title : "the object";
}

int api_not_found(struct api_request *rq, struct tt_str name, struct tt_err *err)
{
    return TT_FAIL(err, TT_ENOTFOUND, "%s not found", api_object_title(rq, name));
}

void api_stream_begin(struct api_request *rq, const char *content_type,
                      void (*on_drain)(void *ctx, struct tt_http_exchange *ex))
{
    struct tt_http_header headers[HEADERS_MAX];
    size_t count = make_headers(rq, content_type, headers);
    tt_sm_move(&rq->sm, API_STREAMING);
    tt_http_stream_begin(rq->ex, 200, headers, count, on_drain);
}

void api_stream_end(struct api_request *rq)
{
    struct tt_http_exchange *ex = rq->ex;
    api_request_end(rq, 200);
    tt_http_stream_end(ex);
}

void api_stream_abort(struct api_request *rq)
{
    struct tt_http_exchange *ex = rq->ex;
    api_request_end(rq, 0);
    tt_http_stream_abort(ex);
}
