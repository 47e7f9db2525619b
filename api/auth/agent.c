/* What a node may do is decided by what is stored about its pods.
 *
 * Happy path: node and lease are compared by name alone; a pod is fetched and its spec.nodeName
 * compared; a Secret or ConfigMap is looked for in the pods of its namespace that are bound to the
 * node. Pods that do not contain both names as bytes are skipped unparsed, so that a node of a
 * large namespace costs a memory scan. Failure: anything unreadable gives no right. */
#include "api/auth/agent.h"

#include "api/json/json.h"
#include "api/kinds/keys.h"

enum {
    ARENA_CHUNK_SIZE = 64 << 10,
    ARENA_SIZE_MAX = 32 << 20, /* one pod of 1 MiB, parsed */
};

static bool is_core(const struct tt_auth_request *request, const char *resource)
{
    return request->group.len == 0 && tt_str_eq_c(request->resource, resource);
}

/* The object a request names: by path, or by a field selector on the name. */
static struct tt_str named(const struct tt_auth_request *request)
{
    return request->name.len > 0 ? request->name : request->selector_name;
}

/* A stored object, NULL when there is none or it cannot be read. */
static yyjson_val *stored(struct tt_arena *arena, struct tt_version *version,
                          const struct tt_object_ref *ref)
{
    yyjson_doc *doc = NULL;
    TT_AUTO_BUF struct tt_buf key;
    tt_buf_init(&key, TT_OBJECT_KEY_SIZE_MAX);
    if (!version || ref->ns.len == 0 || ref->name.len == 0 || tt_key_object(&key, ref, NULL)) {
        return NULL;
    }
    const struct tt_item *item = tt_version_get(version, tt_buf_view(&key));
    if (!item || item->value.codec != TT_CODEC_JSON ||
        tt_json_read(arena, item->value.bytes, &doc, NULL)) {
        return NULL;
    }
    return yyjson_doc_get_root(doc);
}

static bool node_allowed(struct tt_str node, const struct tt_auth_request *request,
                         struct tt_auth_grant *grant)
{
    bool plain_or_status =
        request->subresource.len == 0 || tt_str_eq_c(request->subresource, "status");
    switch (request->verb) {
    case TT_VERB_CREATE:
        grant->only_name = node;
        return request->subresource.len == 0;
    case TT_VERB_GET:
    case TT_VERB_LIST:
    case TT_VERB_WATCH:
    case TT_VERB_UPDATE:
    case TT_VERB_PATCH:
        return plain_or_status && tt_str_eq(named(request), node);
    case TT_VERB_DELETE:
    case TT_VERB_DELETECOLLECTION:
    case TT_VERB_COUNT:
    default:
        return false;
    }
}

static bool lease_allowed(struct tt_str node, const struct tt_auth_request *request,
                          struct tt_auth_grant *grant)
{
    if (!tt_str_eq_c(request->ns, "kube-node-lease") || request->subresource.len > 0) {
        return false;
    }
    if (request->verb == TT_VERB_CREATE) {
        grant->only_name = node;
        return true;
    }
    return request->verb != TT_VERB_DELETECOLLECTION && tt_str_eq(named(request), node);
}

static bool pod_allowed(struct tt_str node, const struct tt_auth_request *request,
                        struct tt_version *version)
{
    bool is_status = tt_str_eq_c(request->subresource, "status");
    if (request->subresource.len > 0 && !is_status) {
        return false;
    }
    switch (request->verb) {
    case TT_VERB_LIST:
    case TT_VERB_WATCH:
        return tt_str_eq(request->selector_node, node);
    case TT_VERB_GET:
        return tt_auth_pod_on_node(version, request->ns, request->name, node);
    case TT_VERB_UPDATE:
    case TT_VERB_PATCH:
        return is_status && tt_auth_pod_on_node(version, request->ns, request->name, node);
    case TT_VERB_DELETE:
        return !is_status && tt_auth_pod_on_node(version, request->ns, request->name, node);
    case TT_VERB_CREATE:
    case TT_VERB_DELETECOLLECTION:
    case TT_VERB_COUNT:
    default:
        return false;
    }
}

static bool needed_allowed(struct tt_str node, const struct tt_auth_request *request,
                           struct tt_version *version)
{
    if (request->verb != TT_VERB_GET && request->verb != TT_VERB_LIST &&
        request->verb != TT_VERB_WATCH) {
        return false;
    }
    if (request->subresource.len > 0 || request->ns.len == 0 || named(request).len == 0) {
        return false;
    }
    return tt_auth_node_needs(version, node, request->resource, request->ns, named(request));
}

/* An Event that this node reported before. */
static bool reported_by(struct tt_version *version, const struct tt_auth_request *request,
                        struct tt_str node)
{
    const struct tt_object_ref ref = {TT_STR(""), TT_STR("events"), request->ns, request->name};
    TT_AUTO(tt_arena) arena = tt_arena_new(ARENA_CHUNK_SIZE, ARENA_SIZE_MAX);
    yyjson_val *event = stored(arena, version, &ref);
    return event != NULL && tt_str_eq(tt_json_iget_str(event, "source.host"), node);
}

/* Whatever is written must be about the node or its pods; what is changed must be its own. */
static bool event_allowed(struct tt_str node, const struct tt_auth_request *request,
                          struct tt_version *version, struct tt_auth_grant *grant)
{
    bool changes = request->verb == TT_VERB_UPDATE || request->verb == TT_VERB_PATCH;
    if (request->subresource.len > 0 || (request->verb != TT_VERB_CREATE && !changes)) {
        return false;
    }
    grant->event_node = node;
    return !changes || reported_by(version, request, node);
}

bool auth_agent_allowed(struct tt_str node, const struct tt_auth_request *request,
                        struct tt_version *version, struct tt_auth_grant *ret_grant)
{
    TT_ASSERT(node.len > 0);
    if (is_core(request, "nodes")) {
        return node_allowed(node, request, ret_grant);
    }
    if (is_core(request, "pods")) {
        return pod_allowed(node, request, version);
    }
    if (is_core(request, "secrets") || is_core(request, "configmaps")) {
        return needed_allowed(node, request, version);
    }
    if (tt_str_eq_c(request->group, "coordination.k8s.io") &&
        tt_str_eq_c(request->resource, "leases")) {
        return lease_allowed(node, request, ret_grant);
    }
    return is_core(request, "events") && event_allowed(node, request, version, ret_grant);
}

bool tt_auth_pod_on_node(struct tt_version *version, struct tt_str ns, struct tt_str name,
                         struct tt_str node)
{
    const struct tt_object_ref ref = {TT_STR(""), TT_STR("pods"), ns, name};
    TT_AUTO(tt_arena) arena = tt_arena_new(ARENA_CHUNK_SIZE, ARENA_SIZE_MAX);
    yyjson_val *pod = stored(arena, version, &ref);
    return pod != NULL && tt_str_eq(tt_json_iget_str(pod, "spec.nodeName"), node);
}

static bool member_is(yyjson_val *object, const char *member, struct tt_str name)
{
    return tt_str_eq(tt_json_iget_str(object, member), name);
}

static bool volume_names(yyjson_val *volume, bool is_secret, struct tt_str name)
{
    if (is_secret ? member_is(volume, "secret.secretName", name)
                  : member_is(volume, "configMap.name", name)) {
        return true;
    }
    yyjson_val *source;
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(tt_json_iget(volume, "projected.sources"), &iter);
    while ((source = yyjson_arr_iter_next(&iter))) {
        if (member_is(source, is_secret ? "secret.name" : "configMap.name", name)) {
            return true;
        }
    }
    return false;
}

static bool list_names(yyjson_val *list, const char *member, struct tt_str name)
{
    yyjson_val *element;
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(list, &iter);
    while ((element = yyjson_arr_iter_next(&iter))) {
        if (member_is(element, member, name)) {
            return true;
        }
    }
    return false;
}

static bool containers_name(yyjson_val *containers, bool is_secret, struct tt_str name)
{
    yyjson_val *container;
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(containers, &iter);
    while ((container = yyjson_arr_iter_next(&iter))) {
        if (list_names(yyjson_obj_get(container, "env"),
                       is_secret ? "valueFrom.secretKeyRef.name" : "valueFrom.configMapKeyRef.name",
                       name) ||
            list_names(yyjson_obj_get(container, "envFrom"),
                       is_secret ? "secretRef.name" : "configMapRef.name", name)) {
            return true;
        }
    }
    return false;
}

static bool pod_names(yyjson_val *pod, struct tt_str node, bool is_secret, struct tt_str name)
{
    yyjson_val *spec = yyjson_obj_get(pod, "spec");
    if (!member_is(spec, "nodeName", node)) {
        return false;
    }
    if (is_secret && list_names(yyjson_obj_get(spec, "imagePullSecrets"), "name", name)) {
        return true;
    }
    if (containers_name(yyjson_obj_get(spec, "containers"), is_secret, name) ||
        containers_name(yyjson_obj_get(spec, "initContainers"), is_secret, name) ||
        containers_name(yyjson_obj_get(spec, "ephemeralContainers"), is_secret, name)) {
        return true;
    }
    yyjson_val *volume;
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(yyjson_obj_get(spec, "volumes"), &iter);
    while ((volume = yyjson_arr_iter_next(&iter))) {
        if (volume_names(volume, is_secret, name)) {
            return true;
        }
    }
    return false;
}

static bool item_names(struct tt_arena *arena, const struct tt_item *item, struct tt_str node,
                       bool is_secret, struct tt_str name)
{
    struct tt_str bytes = item->value.bytes;
    if (item->value.codec != TT_CODEC_JSON || !memmem(bytes.ptr, bytes.len, name.ptr, name.len) ||
        !memmem(bytes.ptr, bytes.len, node.ptr, node.len)) {
        return false;
    }
    tt_arena_reset(arena);
    yyjson_doc *doc = NULL;
    if (tt_json_read(arena, bytes, &doc, NULL)) {
        return false;
    }
    return pod_names(yyjson_doc_get_root(doc), node, is_secret, name);
}

bool tt_auth_node_needs(struct tt_version *version, struct tt_str node, struct tt_str resource,
                        struct tt_str ns, struct tt_str name)
{
    if (!version || ns.len == 0 || name.len == 0) {
        return false;
    }
    bool is_secret = tt_str_eq_c(resource, "secrets");
    TT_AUTO_BUF struct tt_buf from;
    tt_buf_init(&from, TT_OBJECT_KEY_SIZE_MAX);
    TT_AUTO_BUF struct tt_buf to;
    tt_buf_init(&to, TT_OBJECT_KEY_SIZE_MAX);
    struct tt_object_ref ref = {TT_STR(""), TT_STR("pods"), ns, TT_STR("")};
    if (tt_key_list_prefix(&from, &ref, NULL)) {
        return false;
    }
    tt_key_prefix_end(tt_buf_view(&from), &to);
    TT_AUTO(tt_arena) arena = tt_arena_new(ARENA_CHUNK_SIZE, ARENA_SIZE_MAX);
    struct tt_scan *scan = NULL;
    bool found = false;
    if (!tt_scan_new(version, tt_buf_view(&from), tt_buf_view(&to), 0, &scan, NULL)) {
        const struct tt_item *item;
        while (!found && (item = tt_scan_next(scan))) {
            found = item_names(arena, item, node, is_secret, name);
        }
        tt_scan_free(scan);
    }
    return found;
}
