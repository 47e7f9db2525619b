/* Revocation: rows t/revocations/<id>, replicated like everything else, taken over by every worker
 * of every server. The id is a certificate's serial, or "<role>.<name>" of an identity
 * (server/tls/revocation.h).
 *
 * Happy path: POST adds a row; when a worker sees the number of rows change (or looks again, every
 * REFRESH_MS), it gives the whole set to the TLS contexts, so that handshakes fail, and cuts the
 * connections of its own server that use one: well within 5 s of the commit.
 * Failure: an unreadable row still revokes, since its key says whom and its revision says when. */
#include <stdio.h>

#include "api/kinds/keys.h"
#include "api/routes/write.h"
#include "base/json.h"

#define REVOCATIONS TT_STR("revocations")
enum { REFRESH_MS = 2000, SERIAL_SIZE_MAX = 63 };

struct revocations {
    size_t count;                 /* of items */
    struct tt_revocation items[]; /* borrowed from the version */
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

static struct tt_revocation revocation_of(const struct tt_item *item, struct tt_str id)
{
    return (struct tt_revocation){.id = id,
                                  .revision = item->mod_revision,
                                  .wall_ms = tt_revocation_wall_ms(item->value.bytes)};
}

static bool is_cut(void *ctx, const struct tt_peer_identity *peer)
{
    return tt_tls_context_is_revoked(ctx, peer);
}

/* Every context that shakes hands: who is revoked is neither let in nor called. */
static void revoke_everywhere(const struct tt_api_config *config,
                              const struct revocations *revocations)
{
    struct tt_cluster_status *status = TT_NEW(struct tt_cluster_status);
    struct tt_tls_context *contexts[] = {config->server_tls, config->peer_tls,
                                         config->peer_client_tls, config->client_tls};
    config->cluster->status(config->cluster, status);
    for (size_t i = 0; i < sizeof contexts / sizeof contexts[0]; i++) {
        if (contexts[i]) {
            tt_tls_context_revoke(contexts[i], status->cluster_id, revocations->items,
                                  revocations->count);
        }
    }
    tt_free(status);
}

static void take_over(struct tt_api_worker *worker, struct tt_version *version, struct tt_str from,
                      struct tt_str to)
{
    struct tt_scan *scan = NULL;
    if (tt_scan_new(version, from, to, 0, &scan, NULL)) {
        return;
    }
    size_t count_max = (size_t)tt_version_count_range(version, from, to);
    struct revocations *revocations =
        tt_xcalloc(1, sizeof *revocations + count_max * sizeof revocations->items[0]);
    const struct tt_item *item;
    while (revocations->count < count_max && (item = tt_scan_next(scan))) {
        revocations->items[revocations->count++] =
            revocation_of(item, tt_str_skip(item->key, from.len));
    }
    struct tt_api_config *config = &worker->api->config;
    revoke_everywhere(config, revocations);
    if (config->server_tls) {
        tt_http_server_cut(worker->server, is_cut, config->server_tls);
    }
    tt_scan_free(scan);
    tt_free(revocations);
}

/* The row of one id, if there is one. */
static bool find_row(struct tt_version *version, struct tt_str id, struct tt_revocation *ret)
{
    TT_AUTO_BUF struct tt_buf key;
    tt_buf_init(&key, TT_OBJECT_KEY_SIZE_MAX);
    const struct tt_item *item = tt_key_row(&key, REVOCATIONS, id, NULL) == TT_OK
                                     ? tt_version_get(version, tt_buf_view(&key))
                                     : NULL;
    if (item) {
        *ret = revocation_of(item, id);
    }
    return item != NULL;
}

bool api_is_revoked(struct tt_version *version, const char *cluster_id,
                    const struct tt_peer_identity *peer)
{
    char id[TT_REVOCATION_ID_SIZE];
    struct tt_revocation found;
    tt_revocation_id(peer->role, peer->name, id);
    return find_row(version, tt_str_c(peer->serial), &found) ||
           (find_row(version, tt_str_c(id), &found) &&
            tt_revocation_covers(&found, cluster_id, peer));
}

uint64_t api_revoked_at(struct tt_version *version, enum tt_role role, const char *name)
{
    char id[TT_REVOCATION_ID_SIZE];
    struct tt_revocation found;
    tt_revocation_id(role, name, id);
    return find_row(version, tt_str_c(id), &found) ? found.revision : 0;
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

static void list_identities(struct tt_json_writer *w, struct tt_scan *scan, size_t prefix_size)
{
    const struct tt_item *item;
    tt_json_array(w, "identities");
    while ((item = tt_scan_next(scan))) {
        struct tt_str name = tt_str_skip(item->key, prefix_size);
        if (!tt_revocation_is_identity(name)) {
            continue;
        }
        char text[TT_REVOCATION_ID_SIZE];
        struct tt_str role = TT_STR_NONE;
        (void)tt_str_cut(&name, '.', &role); /* it has one */
        (void)snprintf(text, sizeof text, "%.*s/%.*s", TT_STR_ARG(role), TT_STR_ARG(name));
        tt_json_object(w, NULL);
        tt_json_c(w, "identity", text);
        tt_json_u64(w, "revision", item->mod_revision);
        tt_json_object_end(w);
    }
    tt_json_array_end(w);
}

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
        struct tt_str id = tt_str_skip(item->key, from.len);
        if (!tt_revocation_is_identity(id)) {
            tt_json_str(&w, NULL, id);
        }
    }
    tt_json_array_end(&w);
    tt_scan_free(scan);
    r = tt_scan_new(version, tt_buf_view(&from), tt_buf_view(&to), 0, &scan, err);
    if (r) {
        return r;
    }
    list_identities(&w, scan, from.len);
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
    api_respond_success(rq, 200, TT_STR(""), TT_STR(""));
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

/* The id of the row that the body asks for. */
static int read_id(struct api_request *rq, char out[TT_REVOCATION_ID_SIZE], struct tt_err *err)
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
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    struct tt_str serial = tt_json_get_str(root, "serial");
    struct tt_str identity = tt_json_get_str(root, "identity");
    if (identity.len > 0 && serial.len == 0) {
        return tt_revocation_id_parse(identity, rq->worker->api->config.cluster_name, out, err);
    }
    if (identity.len > 0 || !is_serial(serial)) {
        return TT_FAIL(err, TT_EINVAL,
                       "serial: a certificate's serial in lower-case hex, or identity: "
                       "user/NAME, agent/NAME, server/NAME or a spiffe:// URI");
    }
    memcpy(out, serial.ptr, serial.len);
    out[serial.len] = '\0';
    return TT_OK;
}

static int add_revocation(struct api_request *rq, struct tt_err *err)
{
    char id[TT_REVOCATION_ID_SIZE];
    char text[TT_REVOCATION_TEXT_SIZE];
    TT_AUTO_BUF struct tt_buf key;
    tt_buf_init(&key, TT_OBJECT_KEY_SIZE_MAX);
    int r = read_id(rq, id, err);
    if (r == TT_OK) {
        r = tt_key_row(&key, REVOCATIONS, tt_str_c(id), err);
    }
    if (r) {
        return r;
    }
    tt_revocation_format(tt_clock_wall_ms(rq->worker->api->config.clock), rq->subject.uri, text);
    struct tt_txn_op op = {
        TT_OP_PUT, tt_buf_view(&key), {.codec = TT_CODEC_RECORD, .bytes = tt_str_c(text)}};
    struct tt_txn txn = {.ops = &op,
                         .op_count = 1,
                         .actor = rq->subject.uri,
                         .verb = TT_STR("revoke"),
                         .request_id = rq->http->request_key};
    struct tt_bytes *command = NULL;
    r = tt_txn_encode(&txn, &command, err);
    if (r == TT_OK) {
        api_propose(rq, command, revoked);
    }
    return r;
}

int api_handle_revocations(struct api_request *rq, struct tt_err *err)
{
    if (rq->http->method == TT_HTTP_POST) {
        return add_revocation(rq, err);
    }
    api_barrier(rq, list_revocations);
    return TT_OK;
}
