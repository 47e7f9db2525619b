/* Reviews of oneself: `kubectl auth can-i`, `auth whoami`.
 *
 * Happy path: the body's attributes become the very question the authoriser is asked on a request;
 * its answer is the status. Nothing is stored. Failure: a body without attributes is invalid. */
#include "api/routes/worker.h"

enum { USER_SIZE = 192 };

static int respond_review(struct api_request *rq, const struct tt_object *object,
                          struct tt_err *err)
{
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    tt_json_write(buf, object->root);
    if (!tt_buf_ok(buf)) {
        return api_no_memory(err);
    }
    api_respond_json(rq, 201, tt_buf_view(buf));
    return TT_OK;
}

static struct tt_str text_of(yyjson_mut_val *root, const char *dotted)
{
    struct tt_str text = tt_json_get_str(root, dotted);
    return text.ptr ? text : TT_STR("");
}

/* ---- access ---- */

/* Any verb, or a verb we do not know, is asked as the strongest one. */
static bool ask_resource(struct api_request *rq, yyjson_mut_val *attributes,
                         struct tt_version *version)
{
    struct tt_auth_request request = {
        .access = TT_ACCESS_RESOURCE,
        .group = text_of(attributes, "group"),
        .resource = text_of(attributes, "resource"),
        .subresource = text_of(attributes, "subresource"),
        .ns = text_of(attributes, "namespace"),
        .name = text_of(attributes, "name"),
    };
    struct tt_str verb = text_of(attributes, "verb");
    if (!tt_verb_parse(verb, &request.verb)) {
        return rq->subject.kind == TT_SUBJECT_ADMIN;
    }
    return tt_authorise(&rq->subject, &request, version, NULL, NULL) == TT_OK;
}

static bool ask_path(struct api_request *rq, yyjson_mut_val *attributes)
{
    struct tt_str path = text_of(attributes, "path");
    bool get = tt_str_eq_c(text_of(attributes, "verb"), "get");
    struct api_path parsed;
    if (api_path_parse(rq->arena, get ? TT_HTTP_GET : TT_HTTP_POST, path, &parsed, NULL) ||
        parsed.access == TT_ACCESS_RESOURCE) {
        return rq->subject.kind == TT_SUBJECT_ADMIN;
    }
    struct tt_auth_request request = {
        .access = parsed.access, .verb = get ? TT_VERB_GET : TT_VERB_CREATE, .path = path};
    return tt_authorise(&rq->subject, &request, NULL, NULL, NULL) == TT_OK;
}

static int review_access(struct api_request *rq, struct tt_object *object, struct tt_err *err)
{
    yyjson_mut_val *resource = tt_json_get(object->root, "spec.resourceAttributes");
    yyjson_mut_val *path = tt_json_get(object->root, "spec.nonResourceAttributes");
    if ((resource != NULL) == (path != NULL)) {
        return TT_FAIL(err, TT_EINVALID,
                       "exactly one of resourceAttributes and nonResourceAttributes must be given");
    }
    bool allowed;
    if (resource) {
        struct tt_version *version = tt_store_version(rq->worker->api->config.store);
        allowed = ask_resource(rq, resource, version);
        tt_version_unref(version);
    } else {
        allowed = ask_path(rq, path);
    }
    yyjson_mut_val *value = yyjson_mut_bool(object->doc, allowed);
    if (!value || !tt_json_set(object->doc, object->root, "status.allowed", value)) {
        return api_no_memory(err);
    }
    if (!allowed && !tt_json_set_str(object->doc, object->root, "status.reason",
                                     TT_STR("no built-in role of the caller allows it"))) {
        return api_no_memory(err);
    }
    return respond_review(rq, object, err);
}

/* ---- rules ---- */

/* JSON of the rules of each kind of subject: what api/auth decides, told in Kubernetes' terms. */
#define SELF_RULES                                                                                 \
    "{\"verbs\":[\"create\"],\"apiGroups\":[\"authorization.k8s.io\"],"                            \
    "\"resources\":[\"selfsubjectaccessreviews\",\"selfsubjectrulesreviews\"]},"                   \
    "{\"verbs\":[\"create\"],\"apiGroups\":[\"authentication.k8s.io\"],"                           \
    "\"resources\":[\"selfsubjectreviews\"]}"
#define OPEN_PATHS                                                                                 \
    "{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/api\",\"/api/*\",\"/apis\",\"/apis/*\","         \
    "\"/healthz\",\"/livez\",\"/readyz\",\"/openapi/v3\",\"/openapi/v3/*\",\"/version\"]}"
#define RULES(resources, paths)                                                                    \
    "{\"incomplete\":false,\"resourceRules\":[" SELF_RULES resources                               \
    "],\"nonResourceRules\":[" OPEN_PATHS paths "]}"

static const char *rules_of(enum tt_subject_kind kind)
{
    switch (kind) {
    case TT_SUBJECT_ADMIN:
        return RULES(",{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]}",
                     ",{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}");
    case TT_SUBJECT_READER:
    case TT_SUBJECT_SERVER:
        return RULES(",{\"verbs\":[\"get\",\"list\",\"watch\"],\"apiGroups\":[\"*\"],"
                     "\"resources\":[\"* (but secrets)\"]}",
                     ",{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/metrics\","
                     "\"/tutti/v1/cluster\",\"/tutti/v1/certificates/revoked\"]}");
    case TT_SUBJECT_AGENT:
        return RULES(",{\"verbs\":[\"create\",\"get\",\"list\",\"patch\",\"update\",\"watch\"],"
                     "\"apiGroups\":[\"\"],\"resources\":[\"nodes (its own)\","
                     "\"nodes/status (its own)\"]}",
                     "");
    case TT_SUBJECT_ANONYMOUS:
    case TT_SUBJECT_NOBODY:
    case TT_SUBJECT_KIND_COUNT:
    default:
        return RULES("", "");
    }
}

static int review_rules(struct api_request *rq, struct tt_object *object, struct tt_err *err)
{
    yyjson_mut_doc *rules = NULL;
    int r = tt_json_parse(rq->arena, tt_str_c(rules_of(rq->subject.kind)),
                          TT_JSON_DUPLICATES_REFUSE, NULL, &rules, err);
    if (r) {
        return r;
    }
    yyjson_mut_val *copy = tt_json_copy(object->doc, yyjson_mut_doc_get_root(rules));
    if (!copy || !tt_json_set(object->doc, object->root, "status", copy)) {
        return api_no_memory(err);
    }
    return respond_review(rq, object, err);
}

/* ---- self ---- */

static int review_self(struct api_request *rq, struct tt_object *object, struct tt_err *err)
{
    char user[USER_SIZE];
    size_t size = tt_subject_user(&rq->subject, user, sizeof user);
    yyjson_mut_val *groups = yyjson_mut_arr(object->doc);
    struct tt_str group;
    for (uint32_t i = 0; groups && (group = tt_subject_group(&rq->subject, i)).len > 0; i++) {
        if (!yyjson_mut_arr_add_strncpy(object->doc, groups, group.ptr, group.len)) {
            return api_no_memory(err);
        }
    }
    if (!groups ||
        !tt_json_set_str(object->doc, object->root, "status.userInfo.username",
                         tt_str(user, size)) ||
        !tt_json_set_str(object->doc, object->root, "status.userInfo.uid", rq->subject.uri) ||
        !tt_json_set(object->doc, object->root, "status.userInfo.groups", groups)) {
        return api_no_memory(err);
    }
    return respond_review(rq, object, err);
}

int api_handle_review(struct api_request *rq, struct tt_err *err)
{
    struct tt_str json;
    struct tt_object object;
    int r = api_body_json(rq, &json, err);
    if (r == TT_OK) {
        r = tt_object_decode(rq->kind, json, TT_FIELDS_WARN, &rq->warnings, &object, err);
    }
    if (r) {
        return r;
    }
    if (tt_str_eq_c(rq->path.resource, "selfsubjectaccessreviews")) {
        return review_access(rq, &object, err);
    }
    if (tt_str_eq_c(rq->path.resource, "selfsubjectrulesreviews")) {
        return review_rules(rq, &object, err);
    }
    return review_self(rq, &object, err);
}
