/* From bytes to a handler, and what requests wait for.
 *
 * Happy path: path → verb → query → kind → subject → one authoriser call → handler. A handler
 * answers, or parks the request (barrier, waiting, writing, streaming) and is resumed; api_settle
 * answers whatever error a step returns. Failure: each step names its error; the answer is a
 * Status. When the client goes away the request is unlinked from whatever it waits for. */
#include "api/routes/request.h"

#include "api/kinds/protobody.h"
#include "api/routes/worker.h"

static bool request_invariant(const struct tt_sm *sm, uint32_t state)
{
    const struct api_request *rq = TT_CONTAINER_OF(sm, const struct api_request, sm);
    bool linked = rq->link.next != &rq->link;
    switch ((enum api_state)state) {
    case API_BARRIER:
    case API_WAITING:
        return linked && rq->resume != NULL;
    case API_WRITING:
        return !linked && rq->proposal != NULL;
    case API_RUNNING:
    case API_STREAMING:
    case API_DONE:
        return !linked && rq->proposal == NULL;
    case API_STATE_COUNT:
    default:
        return false;
    }
}

#define AFTER(state) TT_SM_BIT(state)
static const struct tt_sm_state request_states[API_STATE_COUNT] = {
    [API_RUNNING] = {"running",
                     AFTER(API_BARRIER) | AFTER(API_WAITING) | AFTER(API_WRITING) |
                         AFTER(API_STREAMING) | AFTER(API_DONE),
                     false},
    [API_BARRIER] = {"barrier", AFTER(API_RUNNING) | AFTER(API_DONE), false},
    [API_WAITING] = {"waiting", AFTER(API_RUNNING) | AFTER(API_DONE), false},
    [API_WRITING] = {"writing", AFTER(API_RUNNING) | AFTER(API_DONE), false},
    [API_STREAMING] = {"streaming", AFTER(API_DONE), false},
    [API_DONE] = {"done", 0, true},
};
static const struct tt_sm_def request_sm = {"api_request", request_states, API_STATE_COUNT,
                                            request_invariant};

int api_no_memory(struct tt_err *err)
{
    return TT_FAIL(err, TT_ETOOLARGE, "the request is too large");
}

struct tt_object_ref api_ref(const struct api_request *rq, struct tt_str name)
{
    return (struct tt_object_ref){rq->kind->group, rq->kind->plural, rq->path.ns, name};
}

int api_object_key(struct api_request *rq, struct tt_str name, struct tt_str *ret_key,
                   struct tt_err *err)
{
    struct tt_buf *buf = &rq->worker->key;
    tt_buf_reset(buf);
    struct tt_object_ref ref = api_ref(rq, name);
    int r = tt_key_object(buf, &ref, err);
    if (r) {
        return r;
    }
    char *copy = tt_buf_ok(buf) ? tt_arena_strndup(rq->arena, buf->ptr, buf->len) : NULL;
    if (!copy) {
        return api_no_memory(err);
    }
    *ret_key = tt_str(copy, buf->len);
    return TT_OK;
}

bool api_is_dry_run(const struct api_request *rq)
{
    return rq->query.dry_run.len > 0;
}

/* Media types are compared without their parameters. */
static struct tt_str media_type(struct tt_str content_type)
{
    struct tt_str type;
    if (!tt_str_cut(&content_type, ';', &type)) {
        return TT_STR("");
    }
    return tt_str_trim(type);
}

int api_body_json(struct api_request *rq, struct tt_str *ret_json, struct tt_err *err)
{
    struct tt_str type = media_type(rq->http->content_type);
    struct tt_str body = rq->http->body;
    if (tt_str_eq_c(type, "application/vnd.kubernetes.protobuf") ||
        (type.len == 0 && tt_proto_body_is(body))) {
        TT_AUTO_BUF struct tt_buf json;
        tt_buf_init(&json, TT_JSON_SIZE_MAX);
        int r = tt_proto_body_to_json(rq->kinds, body, &json, err);
        if (r) {
            return r;
        }
        char *copy = tt_buf_ok(&json) ? tt_arena_strndup(rq->arena, json.ptr, json.len) : NULL;
        if (!copy) {
            return api_no_memory(err);
        }
        *ret_json = tt_str(copy, json.len);
        return TT_OK;
    }
    if (type.len > 0 && !tt_str_eq_c(type, "application/json")) {
        return TT_FAIL(err, TT_EMEDIATYPE,
                       "the body of the request was in an unknown format - accepted media types "
                       "include: application/json, application/vnd.kubernetes.protobuf");
    }
    *ret_json = body;
    return TT_OK;
}

struct tt_issues *api_request_causes(struct api_request *rq)
{
    struct tt_issues *causes = tt_arena_alloc(rq->arena, sizeof *causes);
    if (causes) {
        tt_issues_init(causes, rq->arena);
        rq->causes = causes;
    }
    return causes;
}

int api_check_body(struct api_request *rq, const char *type_name, yyjson_mut_doc *doc,
                   enum tt_field_validation validation, struct tt_err *err)
{
    const struct tt_type *type = tt_kinds_type(rq->kinds, tt_str_c(type_name));
    const char *dot = strrchr(type_name, '.');
    TT_ASSERT(type != NULL && dot != NULL);
    int r = tt_type_adopt(type, doc, validation, &rq->warnings, err);
    if (r) {
        return TT_WRAP(err, r, "the body cannot be handled as a %s", dot + 1);
    }
    struct tt_str kind = tt_json_get_str(yyjson_mut_doc_get_root(doc), "kind");
    if (kind.len > 0 && !tt_str_eq_c(kind, dot + 1)) {
        return TT_FAIL(err, TT_EINVAL,
                       "the kind in the data (%.*s) does not match the expected kind (%s)",
                       TT_STR_ARG(tt_str_head(kind, 80)), dot + 1);
    }
    return TT_OK;
}

/* One alternative of an Accept header. False: nothing we can answer with. */
static bool accept_format(struct tt_str alternative, enum api_format *ret_format)
{
    struct tt_str type;
    struct tt_str as = TT_STR("");
    bool meta_group = false;
    bool known_version = true;
    (void)tt_str_cut(&alternative, ';', &type); /* never NULL here */
    struct tt_str param;
    while (alternative.len > 0 && tt_str_cut(&alternative, ';', &param)) {
        struct tt_str value = tt_str_trim(param);
        struct tt_str name;
        (void)tt_str_cut(&value, '=', &name); /* likewise */
        if (tt_str_eq_c(name, "as")) {
            as = value;
        } else if (tt_str_eq_c(name, "g")) {
            meta_group = tt_str_eq_c(value, "meta.k8s.io");
        } else if (tt_str_eq_c(name, "v")) {
            known_version = tt_str_eq_c(value, "v1");
        }
    }
    type = tt_str_trim(type);
    if (!tt_str_eq_c(type, "application/json") && !tt_str_eq_c(type, "*/*") &&
        !tt_str_eq_c(type, "application/*")) {
        return false;
    }
    if (as.len == 0) {
        *ret_format = API_FORMAT_JSON;
        return true;
    }
    if (!meta_group || !known_version) {
        return false;
    }
    if (tt_str_eq_c(as, "Table")) {
        *ret_format = API_FORMAT_TABLE;
        return true;
    }
    *ret_format = API_FORMAT_METADATA;
    return tt_str_eq_c(as, "PartialObjectMetadata") || tt_str_eq_c(as, "PartialObjectMetadataList");
}

static int negotiate(struct tt_str accept, enum api_format *ret_format, struct tt_err *err)
{
    *ret_format = API_FORMAT_JSON;
    if (accept.len == 0 || tt_str_eq_c(accept, "application/json")) {
        return TT_OK;
    }
    struct tt_str rest = accept;
    struct tt_str alternative;
    while (rest.len > 0 && tt_str_cut(&rest, ',', &alternative)) {
        if (alternative.len > 0 && accept_format(alternative, ret_format)) {
            return TT_OK;
        }
    }
    return TT_FAIL(err, TT_ENOTACCEPTABLE,
                   "only the following media types are accepted: application/json");
}

static bool is_review_group(struct tt_str group)
{
    return tt_str_eq_c(group, "authorization.k8s.io") ||
           tt_str_eq_c(group, "authentication.k8s.io");
}

static int find_kind(struct api_request *rq, struct tt_err *err)
{
    const struct api_path *path = &rq->path;
    rq->kind = tt_kinds_resource(rq->kinds, path->group, path->version, path->resource);
    if (!rq->kind) {
        return TT_FAIL(err, TT_ENOTFOUND, "the server could not find the requested resource");
    }
    bool needs_namespace =
        rq->kind->namespaced &&
        (path->name.len > 0 || rq->verb == TT_VERB_CREATE || rq->verb == TT_VERB_DELETECOLLECTION);
    if ((path->ns.len > 0 && !rq->kind->namespaced) ||
        (needs_namespace && path->ns.len == 0 && !is_review_group(path->group))) {
        return TT_FAIL(err, TT_ENOTFOUND, "the server could not find the requested resource");
    }
    if (path->subresource.len > 0) {
        const struct tt_subresource *sub = tt_kind_subresource(rq->kind, path->subresource);
        if (!sub) {
            return TT_FAIL(err, TT_ENOTFOUND, "this server does not serve %.*s/%.*s",
                           TT_STR_ARG(path->resource), TT_STR_ARG(path->subresource));
        }
    }
    return TT_OK;
}

/* Selectors on name and node matter to the authoriser; they are cut out without a full parse. */
static struct tt_str selector_value(struct tt_str selector, const char *path)
{
    struct tt_str term;
    while (selector.len > 0 && tt_str_cut(&selector, ',', &term)) {
        if (!tt_str_starts(term, tt_str_c(path))) {
            continue;
        }
        struct tt_str value = tt_str_skip(term, strlen(path));
        if (tt_str_starts(value, TT_STR("=="))) {
            return tt_str_skip(value, 2);
        }
        if (tt_str_starts(value, TT_STR("="))) {
            return tt_str_skip(value, 1);
        }
    }
    return TT_STR("");
}

int api_authorise(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    struct tt_auth_request request = {
        .access = rq->path.access,
        .verb = rq->verb,
        .path = rq->http->path,
        .group = rq->path.group,
        .resource = rq->path.resource,
        .subresource = rq->path.subresource,
        .ns = rq->path.ns,
        .name = rq->path.name,
        .selector_name = selector_value(rq->query.field_selector, "metadata.name"),
        .selector_node = selector_value(rq->query.field_selector, "spec.nodeName"),
    };
    int r = tt_authorise(&rq->subject, &request, version, &rq->grant, err);
    if (r) {
        rq->worker->metrics.denied++;
    }
    return r;
}

static int first_authorisation(struct api_request *rq, struct tt_err *err)
{
    if (rq->subject.kind != TT_SUBJECT_AGENT) {
        return api_authorise(rq, NULL, err);
    }
    struct tt_version *version = tt_store_version(rq->worker->api->config.store);
    int r = api_authorise(rq, version, err);
    tt_version_unref(version);
    return r;
}

static int resource_verb(struct api_request *rq, struct tt_err *err)
{
    int r = find_kind(rq, err);
    if (r == TT_OK) {
        r = negotiate(rq->http->accept, &rq->format, err);
    }
    if (r) {
        return r;
    }
    bool supported = rq->path.subresource.len > 0 ||
                     tt_kind_has_verb(rq->kind, tt_str_c(tt_verb_name(rq->verb)));
    if (!supported) {
        return TT_FAIL(err, TT_EMETHOD,
                       "the server does not allow this method on the requested resource");
    }
    if (rq->query.dry_run.len > 0 && !tt_str_eq_c(rq->query.dry_run, "All")) {
        return TT_FAIL(err, TT_EINVAL, "Invalid value: \"%.*s\": dryRun must be All",
                       TT_STR_ARG(rq->query.dry_run));
    }
    return rq->path.name.len > 0 ? api_object_key(rq, rq->path.name, &rq->key, err) : TT_OK;
}

/* Authorise before the kind is looked up: who has no right learns nothing about what exists. */
static int prepare(struct api_request *rq, struct tt_err *err)
{
    const struct tt_http_request *http = rq->http;
    int r = api_path_parse(rq->arena, http->method, http->path, &rq->path, err);
    if (r == TT_OK) {
        r = api_query_parse(rq->arena, http->query, &rq->query, err);
    }
    bool resource = r == TT_OK && rq->path.route == API_ROUTE_RESOURCE;
    if (resource) {
        r = api_path_verb(&rq->path, http->method, rq->query.watch, &rq->verb, err);
    } else {
        rq->verb = http->method == TT_HTTP_GET ? TT_VERB_GET : TT_VERB_CREATE;
    }
    if (r) {
        if (rq->subject.kind == TT_SUBJECT_ANONYMOUS) {
            return TT_FAIL(err, TT_EUNAUTHORIZED, "Unauthorized");
        }
        return r;
    }
    r = first_authorisation(rq, err);
    if (r == TT_OK && resource) {
        r = resource_verb(rq, err);
    }
    return r;
}

typedef int (*route_handler)(struct api_request *rq, struct tt_err *err);

static const struct {
    const char *subresource; /* of any resource whose kind has it */
    enum tt_verb verb;       /* that the method means */
    route_handler handler;   /* of exactly this pair */
} subresource_handlers[] = {
    {"status", TT_VERB_GET, api_handle_get},
    {"status", TT_VERB_UPDATE, api_handle_update},
    {"status", TT_VERB_PATCH, api_handle_patch},
    {"finalize", TT_VERB_UPDATE, api_handle_update},
    {"binding", TT_VERB_CREATE, api_handle_binding},
    {"eviction", TT_VERB_CREATE, api_handle_eviction},
    {"log", TT_VERB_GET, api_handle_log},
    {"scale", TT_VERB_GET, api_handle_scale},
    {"scale", TT_VERB_UPDATE, api_handle_scale},
    {"scale", TT_VERB_PATCH, api_handle_scale},
};

static int dispatch_subresource(struct api_request *rq, struct tt_err *err)
{
    for (size_t i = 0; i < sizeof subresource_handlers / sizeof subresource_handlers[0]; i++) {
        if (subresource_handlers[i].verb == rq->verb &&
            tt_str_eq_c(rq->path.subresource, subresource_handlers[i].subresource)) {
            return subresource_handlers[i].handler(rq, err);
        }
    }
    return TT_FAIL(err, TT_EMETHOD,
                   "the server does not allow this method on the requested resource");
}

static int dispatch_resource(struct api_request *rq, struct tt_err *err)
{
    if (rq->path.subresource.len > 0) {
        return dispatch_subresource(rq, err);
    }
    if (is_review_group(rq->path.group)) {
        return api_handle_review(rq, err);
    }
    switch (rq->verb) {
    case TT_VERB_GET:
        return api_handle_get(rq, err);
    case TT_VERB_LIST:
        return api_handle_list(rq, err);
    case TT_VERB_WATCH:
        return api_handle_watch(rq, err);
    case TT_VERB_CREATE:
        return api_handle_create(rq, err);
    case TT_VERB_UPDATE:
        return api_handle_update(rq, err);
    case TT_VERB_PATCH:
        return api_handle_patch(rq, err);
    case TT_VERB_DELETE:
        return api_handle_delete(rq, err);
    case TT_VERB_DELETECOLLECTION:
        return api_handle_delete_collection(rq, err);
    case TT_VERB_COUNT:
    default:
        return TT_FAIL(err, TT_EMETHOD, "unknown verb");
    }
}

static const route_handler handlers[API_ROUTE_COUNT] = {
    [API_ROUTE_VERSION] = api_handle_version,
    [API_ROUTE_HEALTHZ] = api_handle_health,
    [API_ROUTE_LIVEZ] = api_handle_health,
    [API_ROUTE_READYZ] = api_handle_health,
    [API_ROUTE_METRICS] = api_handle_metrics,
    [API_ROUTE_CORE_VERSIONS] = api_handle_discovery,
    [API_ROUTE_GROUPS] = api_handle_discovery,
    [API_ROUTE_GROUP] = api_handle_discovery,
    [API_ROUTE_RESOURCES] = api_handle_discovery,
    [API_ROUTE_OPENAPI_INDEX] = api_handle_openapi,
    [API_ROUTE_OPENAPI_DOCUMENT] = api_handle_openapi,
    [API_ROUTE_OPENAPI_V2] = api_handle_openapi_v2,
    [API_ROUTE_JOIN] = api_handle_join,
    [API_ROUTE_TOKENS] = api_handle_tokens,
    [API_ROUTE_RENEW] = api_handle_renew,
    [API_ROUTE_REVOCATIONS] = api_handle_revocations,
    [API_ROUTE_CLUSTER] = api_handle_cluster,
    [API_ROUTE_MEMBER_ADD] = api_handle_change,
    [API_ROUTE_MEMBER_PROMOTE] = api_handle_change,
    [API_ROUTE_MEMBER_REMOVE] = api_handle_change,
    [API_ROUTE_TRANSFER] = api_handle_change,
    [API_ROUTE_SNAPSHOT] = api_handle_change,
    [API_ROUTE_BACKUP] = api_handle_backup,
    [API_ROUTE_RESOURCE] = dispatch_resource,
};

/* What a node may do depends on stored pods. A refusal from a version that lags would be a lie; a
 * grant would hand out what a Secret is by now on a right that ended before. Both are decided on a
 * version that is up to date. */
static int dispatch_confirmed(struct api_request *rq, struct tt_version *version,
                              struct tt_err *err)
{
    int r = api_authorise(rq, version, err);
    if (r == TT_OK) {
        r = resource_verb(rq, err);
    }
    return r ? r : handlers[rq->path.route](rq, err);
}

void api_settle(struct api_request *rq, int code, struct tt_err *err)
{
    if (code) {
        api_fail(rq, err);
    }
}

static int begin(struct api_request *rq, struct tt_err *err)
{
    int r = prepare(rq, err);
    TT_ASSERT(r != TT_OK || handlers[rq->path.route] != NULL);
    bool refused = r == TT_EFORBIDDEN && rq->subject.kind == TT_SUBJECT_AGENT;
    bool granted = r == TT_OK && api_guard_needed(rq);
    if ((refused || granted) && rq->path.route == API_ROUTE_RESOURCE) {
        api_barrier(rq, dispatch_confirmed);
        return TT_OK;
    }
    return r ? r : handlers[rq->path.route](rq, err);
}

/* Who came in before the revocations were known is looked at once more: cutting the connection
 * takes a moment, and a write must not get through meanwhile. */
static int begin_caught_up(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    (void)version;
    struct tt_tls_context *tls = rq->worker->api->config.server_tls;
    if (tls && tt_tls_context_is_revoked(tls, rq->subject.peer)) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "the certificate is revoked");
    }
    return begin(rq, err);
}

/* A server that has just started does not know yet what was committed, so not who is revoked:
 * whoever shows a certificate waits for a read index first. Routes for everybody do not. */
static bool must_catch_up(struct api_request *rq)
{
    struct api_path path;
    if (rq->worker->caught_up || rq->subject.kind == TT_SUBJECT_ANONYMOUS) {
        return false;
    }
    return api_path_parse(rq->arena, rq->http->method, rq->http->path, &path, NULL) != TT_OK ||
           path.access != TT_ACCESS_PUBLIC;
}

void api_on_request(void *ctx, struct tt_http_exchange *ex)
{
    struct tt_api_worker *worker = ctx;
    struct tt_arena *arena = tt_http_arena(ex);
    struct api_request *rq = tt_arena_alloc(arena, sizeof *rq);
    if (!rq) {
        tt_http_respond_text(ex, 503, "text/plain", TT_STR("out of memory for this request\n"));
        return;
    }
    memset(rq, 0, sizeof *rq);
    tt_list_init(&rq->link);
    tt_list_init(&rq->guard);
    rq->worker = worker;
    rq->ex = ex;
    rq->http = tt_http_request(ex);
    rq->arena = arena;
    rq->kinds_held = api_kinds_get(worker);
    rq->kinds = rq->kinds_held->kinds;
    rq->start_ns = tt_clock_ns(worker->api->config.clock);
    tt_issues_init(&rq->warnings, arena);
    tt_sm_init(&rq->sm, &request_sm, API_RUNNING);
    tt_http_set_user(ex, rq);
    tt_subject_from_peer(tt_http_peer(ex), &rq->subject);
    if (must_catch_up(rq)) {
        api_barrier(rq, begin_caught_up);
        return;
    }
    struct tt_err err;
    tt_err_init(&err);
    api_settle(rq, begin(rq, &err), &err);
}

void api_request_end(struct api_request *rq, int http_status)
{
    TT_ASSERT(tt_sm_state(&rq->sm) != API_DONE);
    struct tt_api_worker *worker = rq->worker;
    uint64_t now_ns = tt_clock_ns(worker->api->config.clock);
    unsigned verb = rq->path.access == TT_ACCESS_RESOURCE && rq->path.route == API_ROUTE_RESOURCE
                        ? (unsigned)rq->verb
                        : (unsigned)TT_VERB_COUNT;
    api_metrics_count(&worker->metrics, verb, http_status, (now_ns - rq->start_ns) / 1000);
    if (rq->cleanup) {
        rq->cleanup(rq);
    }
    tt_list_remove(&rq->link);
    tt_list_remove(&rq->guard);
    if (rq->proposal) {
        ((struct api_proposal *)rq->proposal)->rq = NULL;
        rq->proposal = NULL;
    }
    api_kinds_put(rq->kinds_held);
    rq->kinds_held = NULL;
    rq->kinds = NULL;
    rq->ex = NULL;
    tt_sm_move(&rq->sm, API_DONE);
    tt_sm_fini(&rq->sm);
}

void api_on_cancelled(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    struct api_request *rq = tt_http_user(ex);
    if (rq && tt_sm_state(&rq->sm) != API_DONE) {
        api_request_end(rq, 0);
    }
}
