/* Revocation: rows t/revocations/<serial>, replicated like everything else, taken over by every
 * worker of every server.
 *
 * Happy path: POST adds a row; when a worker sees the number of rows change (or looks again, every
 * REFRESH_MS), it gives the whole set to the TLS contexts, so that handshakes fail, and cuts the
 * connections of its own server that use one: well within 5 s of the commit.
 * Failure: an unreadable row still revokes, since its key is the serial. */
#include "api/kinds/keys.h"
#include "api/routes/write.h"
#include "base/json.h"

#define REVOCATIONS TT_STR("revocations")
enum { REFRESH_MS = 2000, SERIAL_SIZE_MAX = 63 };

struct serials {
    size_t count;
    struct tt_str items[]; /* borrowed from the version */
};

static int table_range(struct tt_buf *from, struct tt_buf *to)
{
    tt_buf_init(from, TT_OBJECT_KEY_SIZE_MAX);
    tt_buf_init(to, TT_OBJECT_KEY_SIZE_MAX);
    int r = tt_key_row(from, REVOCATIONS, TT_STR(""), NULL);
    if (r == TT_OK) {
        tt_key_prefix_end(tt_buf_view(from), to);
    }
    return r;
}

static bool is_cut(void *ctx, const struct tt_peer_identity *peer)
{
    const struct serials *serials = ctx;
    struct tt_str serial = tt_str_c(peer->serial);
    for (size_t i = 0; i < serials->count; i++) {
        if (tt_str_eq(serials->items[i], serial)) {
            return true;
        }
    }
    return false;
}

/* Every context that shakes hands: who is revoked is neither let in nor called. */
static void revoke_everywhere(const struct tt_api_config *config, const struct serials *serials)
{
    struct tt_tls_context *contexts[] = {config->server_tls, config->peer_tls,
                                         config->peer_client_tls, config->client_tls};
    for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
        if (contexts[i]) {
            tt_tls_context_revoke(contexts[i], serials->items, serials->count);
        }
    }
}

static void take_over(struct tt_api_worker *worker, struct tt_version *version, struct tt_str from,
                      struct tt_str to)
{
    struct tt_scan *scan = NULL;
    if (tt_scan_new(version, from, to, 0, &scan, NULL)) {
        return;
    }
    size_t count_max = (size_t)tt_version_count_range(version, from, to);
    struct serials *serials = tt_xcalloc(1, sizeof *serials + count_max * sizeof serials->items[0]);
    const struct tt_item *item;
    while (serials->count < count_max && (item = tt_scan_next(scan))) {
        serials->items[serials->count++] = tt_str_skip(item->key, from.len);
    }
    revoke_everywhere(&worker->api->config, serials);
    tt_http_server_cut(worker->server, is_cut, serials);
    tt_scan_free(scan);
    tt_free(serials);
}

void api_revocations_refresh(struct tt_api_worker *worker, struct tt_version *version)
{
    struct api_revocations *state = &worker->revocations;
    uint64_t revision = tt_version_revision(version);
    if (revision < state->revision) {
        return; /* the store is being replaced by a snapshot: what was revoked stays so */
    }
    state->revision = revision;
    TT_AUTO_BUF struct tt_buf from;
    TT_AUTO_BUF struct tt_buf to;
    int r = table_range(&from, &to);
    TT_ASSERT(r == TT_OK);
    uint64_t count = tt_version_count_range(version, tt_buf_view(&from), tt_buf_view(&to));
    uint64_t now_ms = api_now_ms(worker);
    bool due = count > 0 && now_ms - state->checked_ms >= REFRESH_MS;
    if (count == state->count && !due) {
        return;
    }
    state->count = count;
    state->checked_ms = now_ms;
    take_over(worker, version, tt_buf_view(&from), tt_buf_view(&to));
}

/* ---- routes ---- */

static int list_revocations(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf from;
    TT_AUTO_BUF struct tt_buf to;
    struct tt_scan *scan = NULL;
    int r = table_range(&from, &to);
    if (r == TT_OK) {
        r = tt_scan_new(version, tt_buf_view(&from), tt_buf_view(&to), 0, &scan, err);
    }
    if (r) {
        return r;
    }
    struct tt_buf *buf = &rq->worker->text;
    struct tt_json_writer w;
    tt_buf_reset(buf);
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_array(&w, "revoked");
    const struct tt_item *item;
    while ((item = tt_scan_next(scan))) {
        tt_json_str(&w, NULL, tt_str_skip(item->key, from.len));
    }
    tt_json_array_end(&w);
    tt_json_object_end(&w);
    tt_scan_free(scan);
    api_respond_json(rq, 200, tt_buf_view(buf));
    return TT_OK;
}

static int revoked(struct api_request *rq, const struct api_outcome *outcome, struct tt_err *err)
{
    if (outcome->code) {
        return TT_FAIL(err, outcome->code, "the revocation could not be committed");
    }
    api_respond_success(rq, TT_STR(""), TT_STR(""));
    return TT_OK;
}

static bool is_serial(struct tt_str text)
{
    if (text.len == 0 || text.len > SERIAL_SIZE_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            return false;
        }
    }
    return true;
}

static int add_revocation(struct api_request *rq, struct tt_err *err)
{
    struct tt_str json;
    yyjson_mut_doc *doc = NULL;
    int r = api_body_json(rq, &json, err);
    if (r == TT_OK) {
        r = tt_json_parse(rq->arena, json, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, err);
    }
    if (r) {
        return r;
    }
    struct tt_str serial = tt_json_get_str(yyjson_mut_doc_get_root(doc), "serial");
    if (!is_serial(serial)) {
        return TT_FAIL(err, TT_EINVAL, "serial: the certificate's serial in lower-case hex");
    }
    TT_AUTO_BUF struct tt_buf key;
    tt_buf_init(&key, TT_OBJECT_KEY_SIZE_MAX);
    r = tt_key_row(&key, REVOCATIONS, serial, err);
    if (r) {
        return r;
    }
    struct tt_txn_op op = {
        TT_OP_PUT, tt_buf_view(&key), {.codec = TT_CODEC_RECORD, .bytes = rq->subject.uri}};
    struct tt_txn txn = {.ops = &op,
                         .op_count = 1,
                         .actor = rq->subject.uri,
                         .verb = TT_STR("revoke"),
                         .request_id = rq->http->request_key};
    struct tt_bytes *command = NULL;
    r = tt_txn_encode(&txn, &command, err);
    return r ? r : api_propose(rq, command, revoked, err);
}

int api_handle_revocations(struct api_request *rq, struct tt_err *err)
{
    if (rq->http->method == TT_HTTP_POST) {
        return add_revocation(rq, err);
    }
    api_barrier(rq, list_revocations);
    return TT_OK;
}
