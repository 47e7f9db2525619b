/* GET of a collection: a range scan of one version, written out in pieces.
 *
 * Happy path: the first piece (up to PIECE_ITEMS objects) answers short lists at once; longer ones
 * become a stream that goes on whenever the client has taken what was written, so that a list of a
 * million objects never lies in memory. The scan pins its version meanwhile. metadata comes last in
 * lists (its continue token is known only then) and first in tables, whose pages are bounded.
 * Failure: an expired continue token is answered with 410 and a token that goes on from the same
 * key at the present revision. */
#include "api/kinds/table.h"
#include "api/routes/list_token.h"
#include "api/routes/selection.h"
#include "api/routes/worker.h"

enum {
    PIECE_ITEMS = 64,
    PIECE_SIZE = 64 << 10,
    TABLE_PAGE_MAX = 5000, /* rows of one page: they are held until the head can be written */
    PAGE_BYTES_MAX = 48 << 20,
};

struct list_op {
    struct api_selection selection; /* the whole collection and its selectors */
    struct tt_str from, to;         /* what is left of it; in the arena */
    uint64_t at_revision;           /* of the scan; 0 = the version's own */
    uint64_t revision;              /* told to the client */
    uint64_t limit;                 /* 0: none */
    uint64_t sent;                  /* objects written so far */
    uint64_t remaining;             /* behind this page; 0: not told */
    struct tt_str token;            /* of the next page; "" at the end */
    enum tt_table_include include;  /* of tables */
    struct tt_scan *scan;           /* owned; pins its version; NULL before and after */
    struct tt_buf piece;            /* written, not yet taken by the stream */
    bool begun;                     /* the head is in a piece */
    bool ended;                     /* the tail is in a piece */
};

static void list_cleanup(struct api_request *rq)
{
    struct list_op *op = rq->op;
    tt_scan_free(op->scan);
    op->scan = NULL;
    tt_buf_fini(&op->piece);
}

/* fieldSelector=metadata.name=X within one namespace is a look-up. */
static int narrow_to_name(struct api_request *rq, struct list_op *op, struct tt_err *err)
{
    struct tt_str name;
    if (!op->selection.fields ||
        !tt_field_selector_exact(op->selection.fields, "metadata.name", &name) || name.len == 0 ||
        (rq->kind->namespaced && rq->path.ns.len == 0)) {
        return TT_OK;
    }
    struct tt_str key;
    int r = api_object_key(rq, name, &key, err);
    if (r) {
        return r;
    }
    char *end = tt_arena_alloc(rq->arena, key.len + 1);
    if (!end) {
        return api_no_memory(err);
    }
    memcpy(end, key.ptr, key.len);
    end[key.len] = '\0';
    op->from = key;
    op->to = tt_str(end, key.len + 1);
    return TT_OK;
}

static int check_match(const struct api_query *query, bool exact, struct tt_err *err)
{
    struct tt_str match = query->resource_version_match;
    if (match.len == 0) {
        return TT_OK;
    }
    if (!exact && !tt_str_eq_c(match, "NotOlderThan")) {
        return TT_FAIL(err, TT_EINVAL,
                       "resourceVersionMatch: Unsupported value: \"%.*s\": supported values: "
                       "\"Exact\", \"NotOlderThan\"",
                       TT_STR_ARG(match));
    }
    if (query->resource_version.len == 0) {
        return TT_FAIL(err, TT_EINVAL,
                       "resourceVersionMatch: Forbidden: resourceVersionMatch is "
                       "forbidden unless resourceVersion is provided");
    }
    if (exact && query->revision == 0) {
        return TT_FAIL(err, TT_EINVAL,
                       "resourceVersionMatch: Forbidden: resourceVersionMatch "
                       "\"Exact\" is forbidden for resourceVersion \"0\"");
    }
    return TT_OK;
}

/* resourceVersion, resourceVersionMatch and continue together. */
static int check_revision(const struct api_request *rq, struct list_op *op, struct tt_err *err)
{
    const struct api_query *query = &rq->query;
    bool has_match = query->resource_version_match.len > 0;
    bool exact = tt_str_eq_c(query->resource_version_match, "Exact");
    if (query->continue_token.len > 0 && (has_match || query->revision > 0)) {
        return TT_FAIL(err, TT_EINVAL,
                       "specifying resource version is not allowed when using continue");
    }
    bool legacy_exact = !has_match && query->limit > 0;
    op->at_revision = exact || legacy_exact ? query->revision : 0;
    return check_match(query, exact, err);
}

/* ---- writing ---- */

static bool matches(struct api_request *rq, const struct list_op *op, struct tt_str text)
{
    if (api_selection_all(&op->selection)) {
        return true;
    }
    struct tt_arena *scratch = rq->worker->scratch;
    yyjson_doc *doc = NULL;
    if (tt_json_read(scratch, text, &doc, NULL)) {
        return false;
    }
    return api_selection_matches(&op->selection, yyjson_doc_get_root(doc));
}

static int write_item(struct api_request *rq, struct list_op *op, const struct tt_item *item,
                      struct tt_str text, struct tt_err *err)
{
    struct tt_table_row row = {.stored = text,
                               .splice = item->value.splice,
                               .revision = item->mod_revision,
                               .first = op->sent == 0};
    if (rq->format == API_FORMAT_TABLE) {
        struct tt_table_style style = {rq->kind, op->include,
                                       tt_clock_wall_ms(rq->worker->api->config.clock)};
        return tt_table_row(&op->piece, rq->worker->scratch, &style, &row, err);
    }
    if (!row.first) {
        tt_buf_char(&op->piece, ',');
    }
    if (rq->format == API_FORMAT_METADATA) {
        return tt_object_write_metadata(&op->piece, rq->worker->scratch, &row, err);
    }
    tt_object_write_spliced(&op->piece, text, row.splice, row.revision);
    return TT_OK;
}

/* The page is full: remember where the next one starts. */
static int end_page(struct api_request *rq, struct list_op *op, const struct tt_item *next,
                    struct tt_err *err)
{
    struct api_list_token token = {op->revision, next->key};
    if (op->at_revision == 0 && api_selection_all(&op->selection)) {
        struct tt_version *version = tt_store_version(rq->worker->api->config.store);
        if (tt_version_revision(version) == op->revision) {
            op->remaining = tt_version_count_range(version, next->key, op->to);
        }
        tt_version_unref(version);
    }
    return api_list_token_encode(rq->arena, &token, op->selection.from, &op->token, err);
}

static int fill_piece(struct api_request *rq, struct list_op *op, bool *ret_end, struct tt_err *err)
{
    bool table_page = rq->format == API_FORMAT_TABLE && op->limit > 0;
    for (unsigned count = 0; table_page || (count < PIECE_ITEMS && op->piece.len < PIECE_SIZE);) {
        const struct tt_item *item = tt_scan_next(op->scan);
        if (!item) {
            *ret_end = true;
            return TT_OK;
        }
        struct tt_str text;
        tt_arena_reset(rq->worker->scratch);
        int r = tt_item_text(item, rq->worker->api->config.sealer, rq->worker->scratch, &text, err);
        if (r) {
            return r;
        }
        if (!matches(rq, op, text)) {
            continue;
        }
        if (op->limit > 0 && op->sent == op->limit) {
            *ret_end = true;
            return end_page(rq, op, item, err);
        }
        r = write_item(rq, op, item, text, err);
        if (r) {
            return r;
        }
        op->sent++;
        count++;
        if (!tt_buf_ok(&op->piece)) {
            return TT_FAIL(err, TT_ETOOLARGE, "the page is too large: ask for fewer objects");
        }
    }
    return TT_OK;
}

static void write_head(struct api_request *rq, struct tt_buf *buf)
{
    bool metadata = rq->format == API_FORMAT_METADATA;
    struct tt_str kind = metadata ? TT_STR("PartialObjectMetadataList") : rq->kind->list_kind;
    struct tt_str version = metadata ? TT_STR("meta.k8s.io/v1") : rq->kind->api_version;
    tt_buf_printf(buf, "{\"kind\":\"%.*s\",\"apiVersion\":\"%.*s\",\"items\":[", TT_STR_ARG(kind),
                  TT_STR_ARG(version));
}

static void write_tail(const struct list_op *op, struct tt_buf *buf)
{
    tt_buf_c(buf, "],\"metadata\":{\"resourceVersion\":\"");
    tt_buf_u64(buf, op->revision);
    tt_buf_char(buf, '"');
    if (op->token.len > 0) {
        tt_buf_c(buf, ",\"continue\":\"");
        tt_buf_str(buf, op->token);
        tt_buf_char(buf, '"');
        if (op->remaining > 0) {
            tt_buf_c(buf, ",\"remainingItemCount\":");
            tt_buf_u64(buf, op->remaining);
        }
    }
    tt_buf_c(buf, "}}\n");
}

/* The rows of the page are in `piece`; the head, which names the next page, goes before them. */
static int wrap_table(struct api_request *rq, struct list_op *op, struct tt_err *err)
{
    struct tt_table_list_meta meta = {op->revision, op->token, op->remaining};
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    tt_table_begin(buf, rq->kind, &meta, true);
    tt_buf_str(buf, tt_buf_view(&op->piece));
    tt_table_end(buf);
    if (!tt_buf_ok(buf)) {
        return TT_FAIL(err, TT_ETOOLARGE, "the page is too large: ask for fewer objects");
    }
    api_respond_json(rq, 200, tt_buf_view(buf));
    return TT_OK;
}

static void begin_piece(struct api_request *rq, struct list_op *op)
{
    tt_buf_reset(&op->piece);
    if (op->begun) {
        return;
    }
    op->begun = true;
    if (rq->format != API_FORMAT_TABLE) {
        write_head(rq, &op->piece);
    } else if (op->limit == 0) {
        struct tt_table_list_meta meta = {.revision = op->revision};
        tt_table_begin(&op->piece, rq->kind, &meta, true);
    }
}

static int next_piece(struct api_request *rq, struct list_op *op, struct tt_err *err)
{
    begin_piece(rq, op);
    int r = fill_piece(rq, op, &op->ended, err);
    if (r || !op->ended) {
        return r;
    }
    if (rq->format != API_FORMAT_TABLE) {
        write_tail(op, &op->piece);
    } else if (op->limit == 0) {
        tt_table_end(&op->piece);
    }
    return TT_OK;
}

/* Streams until the client's backlog is full or all is written. */
static void pump(struct api_request *rq)
{
    struct list_op *op = rq->op;
    struct tt_err err;
    tt_err_init(&err);
    for (;;) {
        if (op->piece.len > 0) {
            struct tt_http_part part = {.bytes = tt_buf_view(&op->piece)};
            int r = tt_http_stream_write(rq->ex, &part, 1);
            if (r == TT_EBUSY) {
                return; /* on_drain goes on with this piece */
            }
            if (r) {
                api_stream_abort(rq);
                return;
            }
        }
        if (op->ended) {
            api_stream_end(rq);
            return;
        }
        if (next_piece(rq, op, &err)) {
            api_stream_abort(rq); /* half a list must not look whole */
            return;
        }
    }
}

static void on_drain(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    struct api_request *rq = tt_http_user(ex);
    if (tt_sm_state(&rq->sm) == API_STREAMING) {
        pump(rq);
    }
}

static int first_piece(struct api_request *rq, struct list_op *op, struct tt_err *err)
{
    int r = next_piece(rq, op, err);
    if (r) {
        return r;
    }
    if (op->ended && rq->format == API_FORMAT_TABLE && op->limit > 0) {
        return wrap_table(rq, op, err);
    }
    if (op->ended) {
        struct tt_http_part part = {.bytes = tt_buf_view(&op->piece)};
        struct tt_buf keep = op->piece; /* the end of the request must not free what is sent */
        op->piece = (struct tt_buf){0};
        api_respond_parts(rq, 200, &part, 1);
        tt_buf_fini(&keep);
        return TT_OK;
    }
    api_stream_begin(rq, "application/json", on_drain);
    pump(rq);
    return TT_OK;
}

/* ---- start ---- */

static int expired(struct api_request *rq, struct list_op *op, struct tt_err *err)
{
    tt_err_init(err);
    if (rq->query.continue_token.len == 0) {
        return TT_FAIL(err, TT_EEXPIRED, "The resourceVersion for the provided list is too old.");
    }
    struct api_list_token token = {0, op->from};
    int r = api_list_token_encode(rq->arena, &token, op->selection.from, &rq->expired_token, err);
    if (r) {
        return r;
    }
    return TT_FAIL(err, TT_EEXPIRED,
                   "The provided continue parameter is too old to display a consistent list "
                   "result. You can start a new list without the continue parameter, or use the "
                   "continue token in this response to go on with an inconsistent one.");
}

static int list_from(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    struct list_op *op = rq->op;
    uint64_t present = tt_version_revision(version);
    if (op->at_revision == present) {
        op->at_revision = 0;
    }
    op->revision = op->at_revision > 0 ? op->at_revision : present;
    tt_buf_init(&op->piece, PAGE_BYTES_MAX);
    rq->cleanup = list_cleanup;
    int r = tt_scan_new(version, op->from, op->to, op->at_revision, &op->scan, err);
    if (r == TT_EEXPIRED) {
        return expired(rq, op, err);
    }
    if (r == TT_EINVALID) {
        tt_err_init(err);
        return TT_FAIL(err, TT_EINVAL, "the revision of the list lies in the future");
    }
    if (r) {
        return r;
    }
    return first_piece(rq, op, err);
}

static int apply_token(struct api_request *rq, struct list_op *op, struct tt_err *err)
{
    if (rq->query.continue_token.len == 0) {
        return TT_OK;
    }
    struct api_list_token token;
    int r =
        api_list_token_decode(rq->arena, rq->query.continue_token, op->selection.from, &token, err);
    if (r) {
        return r;
    }
    op->from = token.key;
    op->at_revision = token.revision;
    /* Any server that has reached the token's revision can go on with the list. */
    char *text = tt_arena_printf(rq->arena, "%llu", (unsigned long long)token.revision);
    if (!text) {
        return api_no_memory(err);
    }
    rq->query.revision = token.revision;
    rq->query.resource_version = tt_str_c(token.revision > 0 ? text : "");
    return TT_OK;
}

int api_handle_list(struct api_request *rq, struct tt_err *err)
{
    struct list_op *op = tt_arena_alloc(rq->arena, sizeof *op);
    if (!op) {
        return api_no_memory(err);
    }
    memset(op, 0, sizeof *op);
    rq->op = op;
    op->limit = rq->query.limit;
    if (!tt_table_include_parse(rq->query.include_object, &op->include)) {
        return TT_FAIL(err, TT_EINVAL, "Invalid value: \"%.*s\": unknown includeObject",
                       TT_STR_ARG(rq->query.include_object));
    }
    if (rq->format == API_FORMAT_TABLE && op->limit > TABLE_PAGE_MAX) {
        op->limit = TABLE_PAGE_MAX;
    }
    int r = api_selection_range(rq, &op->selection, err);
    op->from = op->selection.from;
    op->to = op->selection.to;
    if (r == TT_OK) {
        r = check_revision(rq, op, err);
    }
    if (r == TT_OK) {
        r = api_selection_parse(rq, &op->selection, err);
    }
    if (r == TT_OK) {
        r = narrow_to_name(rq, op, err);
    }
    if (r == TT_OK) {
        r = apply_token(rq, op, err);
    }
    if (r) {
        return r;
    }
    api_read_version(rq, list_from);
    return TT_OK;
}
