/* Discovery, OpenAPI and /version: documents that follow from the registry, cached by its
 * generation.
 *
 * Happy path: the aggregated documents and the last few OpenAPI documents are kept as shared bytes
 * and sent without a copy; OpenAPI has an ETag, so that a client asks for each once. Failure: an
 * unknown group or version is a 404. */
#include "api/kinds/discovery.h"

#include "api/kinds/openapi.h"
#include "api/routes/worker.h"
#include "base/json.h"

enum { DISCOVERY_SIZE_MAX = 4 << 20 };

static void release_bytes(const void *owner)
{
    tt_bytes_unref((struct tt_bytes *)(uintptr_t)owner);
}

/* Ends the request with shared bytes. */
static void respond_shared(struct api_request *rq, const char *content_type, struct tt_bytes *bytes,
                           struct tt_str etag)
{
    struct tt_http_header headers[3] = {
        {TT_STR("content-type"), tt_str_c(content_type)},
        {TT_STR("etag"), etag},
        {TT_STR("cache-control"), TT_STR("public, max-age=31536000, immutable")},
    };
    struct tt_http_part part = {.bytes = tt_str((const char *)bytes->ptr, bytes->size),
                                .owner = tt_bytes_ref(bytes),
                                .release = release_bytes};
    struct tt_http_exchange *ex = rq->ex;
    size_t header_count = etag.len == 0 ? 1 : rq->query.hash.len > 0 ? 3 : 2;
    api_request_end(rq, 200);
    tt_http_respond(ex, 200, headers, header_count, &part, 1);
}

static int respond_buf(struct api_request *rq, const struct tt_buf *buf, struct tt_err *err)
{
    if (!tt_buf_ok(buf)) {
        return api_no_memory(err);
    }
    api_respond_json(rq, 200, tt_buf_view(buf));
    return TT_OK;
}

static int unknown(struct tt_err *err)
{
    return TT_FAIL(err, TT_ENOTFOUND, "the server could not find the requested resource");
}

/* ---- discovery ---- */

static bool accepts_aggregated(struct tt_str accept, const char **ret_version)
{
    *ret_version = "v2";
    if (tt_str_find_str(accept, TT_STR("as=APIGroupDiscoveryList")) < 0) {
        return false;
    }
    struct tt_str alternative;
    while (accept.len > 0 && tt_str_cut(&accept, ',', &alternative)) {
        if (tt_str_find_str(alternative, TT_STR("as=APIGroupDiscoveryList")) < 0) {
            return false; /* plain JSON is preferred */
        }
        if (tt_str_find_str(alternative, TT_STR("v=v2beta1")) >= 0) {
            *ret_version = "v2beta1";
            return true;
        }
        if (tt_str_find_str(alternative, TT_STR("v=v2")) >= 0) {
            return true;
        }
    }
    return false;
}

static struct tt_bytes *aggregated(struct api_request *rq, bool core, const char *version)
{
    bool beta = strcmp(version, "v2") != 0;
    struct api_document *document = &rq->worker->discovery[(core ? 0 : 2) + (beta ? 1 : 0)];
    uint64_t generation = tt_kinds_generation(rq->kinds);
    if (!document->bytes || document->generation != generation) {
        TT_AUTO_BUF struct tt_buf buf;
        tt_buf_init(&buf, DISCOVERY_SIZE_MAX);
        tt_discovery_aggregated(&buf, rq->kinds, core, version);
        tt_bytes_unref(document->bytes);
        document->bytes = tt_buf_ok(&buf) ? tt_bytes_new(buf.ptr, buf.len) : NULL;
        document->generation = generation;
    }
    return document->bytes;
}

static int legacy(struct api_request *rq, struct tt_err *err)
{
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    bool known = true;
    if (rq->path.route == API_ROUTE_CORE_VERSIONS) {
        tt_discovery_api_versions(buf, rq->http->authority);
    } else if (rq->path.route == API_ROUTE_GROUPS) {
        tt_discovery_group_list(buf, rq->kinds);
    } else if (rq->path.route == API_ROUTE_GROUP) {
        known = tt_discovery_group(buf, rq->kinds, rq->path.group);
    } else {
        known = tt_discovery_resource_list(buf, rq->kinds, rq->path.group, rq->path.version);
    }
    return known ? respond_buf(rq, buf, err) : unknown(err);
}

int api_handle_discovery(struct api_request *rq, struct tt_err *err)
{
    const char *version;
    bool root = rq->path.route == API_ROUTE_CORE_VERSIONS || rq->path.route == API_ROUTE_GROUPS;
    if (!root || !accepts_aggregated(rq->http->accept, &version)) {
        return legacy(rq, err);
    }
    struct tt_bytes *bytes = aggregated(rq, rq->path.route == API_ROUTE_CORE_VERSIONS, version);
    if (!bytes) {
        return api_no_memory(err);
    }
    char *type = tt_arena_printf(
        rq->arena, "application/json;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList", version);
    if (!type) {
        return api_no_memory(err);
    }
    respond_shared(rq, type, bytes, TT_STR(""));
    return TT_OK;
}

/* ---- OpenAPI ---- */

static struct api_openapi_entry *openapi_slot(struct tt_api_worker *worker, struct tt_str path,
                                              uint64_t generation)
{
    struct api_openapi_entry *oldest = &worker->openapi[0];
    for (unsigned i = 0; i < API_OPENAPI_CACHE_MAX; i++) {
        struct api_openapi_entry *entry = &worker->openapi[i];
        if (entry->document.bytes && entry->document.generation == generation &&
            tt_str_eq_c(path, entry->path)) {
            return entry;
        }
        if (entry->used < oldest->used) {
            oldest = entry;
        }
    }
    tt_bytes_unref(oldest->document.bytes);
    oldest->document.bytes = NULL;
    return oldest;
}

static struct tt_bytes *openapi_document(struct api_request *rq, struct tt_str path)
{
    struct tt_api_worker *worker = rq->worker;
    uint64_t generation = tt_kinds_generation(rq->kinds);
    struct api_openapi_entry *entry = openapi_slot(worker, path, generation);
    TT_ASSERT(entry != NULL); /* there is always an oldest one */
    entry->used = ++worker->openapi_uses;
    if (!entry->document.bytes && path.len < sizeof entry->path) {
        TT_AUTO_BUF struct tt_buf buf;
        tt_buf_init(&buf, TT_OPENAPI_SIZE_MAX);
        if (!tt_openapi_document(&buf, rq->kinds, path) || !tt_buf_ok(&buf)) {
            return NULL;
        }
        entry->document.bytes = tt_bytes_new(buf.ptr, buf.len);
        entry->document.generation = generation;
        memcpy(entry->path, path.ptr, path.len);
        entry->path[path.len] = '\0';
    }
    return entry->document.bytes;
}

static void respond_not_modified(struct api_request *rq, struct tt_str etag)
{
    struct tt_http_header header = {TT_STR("etag"), etag};
    struct tt_http_exchange *ex = rq->ex;
    api_request_end(rq, 304);
    tt_http_respond(ex, 304, &header, 1, NULL, 0);
}

int api_handle_openapi(struct api_request *rq, struct tt_err *err)
{
    if (rq->path.route == API_ROUTE_OPENAPI_INDEX) {
        struct tt_buf *buf = &rq->worker->text;
        tt_buf_reset(buf);
        tt_openapi_index(buf, rq->kinds);
        return respond_buf(rq, buf, err);
    }
    char hash[TT_OPENAPI_HASH_SIZE];
    if (!tt_openapi_hash(rq->kinds, rq->path.rest, hash)) {
        return unknown(err);
    }
    char *etag = tt_arena_printf(rq->arena, "\"%s\"", hash);
    if (!etag) {
        return api_no_memory(err);
    }
    if (tt_str_eq_c(rq->http->if_none_match, etag)) {
        respond_not_modified(rq, tt_str_c(etag));
        return TT_OK;
    }
    struct tt_bytes *bytes = openapi_document(rq, rq->path.rest);
    if (!bytes) {
        return unknown(err);
    }
    respond_shared(rq, "application/json", bytes, tt_str_c(etag));
    return TT_OK;
}

/* ---- version ---- */

int api_handle_version(struct api_request *rq, struct tt_err *err)
{
    struct tt_buf *buf = &rq->worker->text;
    struct tt_json_writer w;
    tt_buf_reset(buf);
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "major", "1"); /* the Kubernetes API level clients choose their behaviour by */
    tt_json_c(&w, "minor", "32");
    char *version = tt_arena_printf(rq->arena, "v1.32.0+tutti.%s", rq->worker->api->config.version);
    tt_json_c(&w, "gitVersion", version ? version : "v1.32.0");
    tt_json_c(&w, "gitCommit", "");
    tt_json_c(&w, "gitTreeState", "clean");
    tt_json_c(&w, "buildDate", "1970-01-01T00:00:00Z");
    tt_json_c(&w, "goVersion", "none");
    tt_json_c(&w, "compiler", "gcc");
    tt_json_c(&w, "platform", "linux/amd64");
    tt_json_object_end(&w);
    return respond_buf(rq, buf, err);
}
