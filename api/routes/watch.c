/* GET …?watch=true: where a watch starts, and its stream.
 *
 * Happy path: resourceVersion says where (absent: everything that is there now, linearizable, then
 * changes; "0": the same from the local version; N: changes behind N, waiting until N is here); the
 * hub does the rest and writes whole lines into the stream.
 * Failure: before the stream begins a Status; afterwards an ERROR event or the end of the stream,
 * both of which clients answer by resuming or listing again. */
#include "api/routes/worker.h"
#include "base/intmath.h"
#include "base/rng.h"

enum {
    WATCH_HOLD_MIN_MS = 30 * 60 * 1000, /* default length: 30 to 60 minutes, spread */
    WATCH_HOLD_MS = 30 * 60 * 1000,
    WATCH_TIMEOUT_MAX_S = 24 * 3600,
};

static int sink_write(void *ctx, const struct tt_http_part *part, bool last)
{
    (void)last;
    struct api_request *rq = ctx;
    return tt_http_stream_write(rq->ex, part, 1);
}

static void sink_ended(void *ctx)
{
    struct api_request *rq = ctx;
    rq->op = NULL; /* the hub frees the watch */
    api_stream_end(rq);
}

static void watch_cleanup(struct api_request *rq)
{
    rq->worker->metrics.watches--;
    struct tt_watch *watch = rq->op;
    rq->op = NULL;
    if (watch) {
        tt_watch_cancel(watch);
    }
}

void api_watch_end(struct api_request *rq)
{
    struct tt_watch *watch = rq->op;
    TT_ASSERT(tt_sm_state(&rq->sm) == API_STREAMING);
    rq->op = NULL;
    if (watch) {
        tt_watch_cancel(watch);
    }
    api_stream_end(rq);
}

static void on_drain(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    struct api_request *rq = tt_http_user(ex);
    if (tt_sm_state(&rq->sm) == API_STREAMING && rq->op) {
        tt_watch_drained(rq->op);
    }
}

/* A watch ends cleanly with the certificate it was opened with, at the latest. */
static uint64_t until_expiry_ms(const struct api_request *rq)
{
    uint64_t wall_ms = tt_clock_wall_ms(rq->worker->api->config.clock);
    const struct tt_peer_identity *peer = rq->subject.peer;
    if (!peer) {
        return UINT64_MAX;
    }
    return peer->not_after_ms > wall_ms ? peer->not_after_ms - wall_ms : 0;
}

static uint64_t watch_deadline(const struct api_request *rq)
{
    uint64_t hold_ms = WATCH_HOLD_MIN_MS + tt_random_u64() % WATCH_HOLD_MS;
    if (rq->query.timeout_s > 0) {
        hold_ms = tt_u64_min(rq->query.timeout_s, WATCH_TIMEOUT_MAX_S) * 1000;
    }
    return api_now_ms(rq->worker) + tt_u64_min(hold_ms, until_expiry_ms(rq));
}

static enum tt_watch_form watch_form(const struct api_request *rq)
{
    switch (rq->format) {
    case API_FORMAT_TABLE:
        return TT_WATCH_TABLE;
    case API_FORMAT_METADATA:
        return TT_WATCH_METADATA;
    case API_FORMAT_JSON:
    default:
        return TT_WATCH_JSON;
    }
}

static bool lists_first(const struct api_request *rq)
{
    if (rq->query.has_send_initial_events) {
        return rq->query.send_initial_events;
    }
    return rq->query.revision == 0;
}

static int watch_from(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    const struct api_query *query = &rq->query;
    struct tt_watch_config config = {
        .kinds = rq->kinds,
        .kind = rq->kind,
        .ns = rq->path.ns,
        .label_selector = query->label_selector,
        .field_selector = query->field_selector,
        .form = watch_form(rq),
        .start = lists_first(rq) ? TT_WATCH_LIST_FIRST : TT_WATCH_RESUME,
        .revision = query->revision > 0 ? query->revision : tt_version_revision(version),
        .version = version,
        .bookmarks = query->bookmarks,
        .initial_end_bookmark = query->send_initial_events && query->bookmarks,
        .deadline_ms = watch_deadline(rq),
        .client = rq->subject.uri,
        .sink = {.write = sink_write, .ended = sink_ended, .ctx = rq},
    };
    if (!tt_table_include_parse(query->include_object, &config.include)) {
        return TT_FAIL(err, TT_EINVAL, "Invalid value: \"%.*s\": unknown includeObject",
                       TT_STR_ARG(query->include_object));
    }
    struct tt_watch *watch = NULL;
    int r = tt_watch_start(rq->worker->hub, &config, &watch, err);
    if (r == TT_EEXPIRED) {
        tt_err_init(err);
        return TT_FAIL(err, TT_EEXPIRED, "too old resource version: %llu (%llu)",
                       (unsigned long long)query->revision,
                       (unsigned long long)tt_version_compacted(version));
    }
    if (r) {
        return r;
    }
    rq->op = watch;
    rq->cleanup = watch_cleanup;
    rq->worker->metrics.watches++;
    if (api_guard_needed(rq)) {
        api_guard_add(rq);
    }
    api_stream_begin(rq, "application/json", on_drain);
    tt_watch_run(watch);
    return TT_OK;
}

/* As Kubernetes validates ListOptions of a watch. */
static int check_options(const struct api_request *rq, struct tt_err *err)
{
    const struct api_query *query = &rq->query;
    bool not_older = tt_str_eq_c(query->resource_version_match, "NotOlderThan");
    if (query->has_send_initial_events && !not_older) {
        return TT_FAIL(err, TT_EINVALID,
                       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
                       "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if (!query->has_send_initial_events && query->resource_version_match.len > 0) {
        return TT_FAIL(err, TT_EINVALID,
                       "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
                       "resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
                       "provided");
    }
    return TT_OK;
}

/* GET …/NAME?watch=true is the watch of one name. */
static int select_name(struct api_request *rq, struct tt_err *err)
{
    if (rq->path.name.len == 0) {
        return TT_OK;
    }
    char *text = tt_arena_printf(rq->arena, "metadata.name=%.*s", TT_STR_ARG(rq->path.name));
    if (!text) {
        return api_no_memory(err);
    }
    rq->query.field_selector = tt_str_c(text);
    return TT_OK;
}

int api_handle_watch(struct api_request *rq, struct tt_err *err)
{
    int r = check_options(rq, err);
    if (r == TT_OK) {
        r = select_name(rq, err);
    }
    if (r) {
        return r;
    }
    api_read_version(rq, watch_from);
    return TT_OK;
}
