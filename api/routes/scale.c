/* The scale subresource: spec.replicas of a workload behind autoscaling/v1 Scale.
 *
 * Happy path: GET renders a Scale of the stored object; PUT reads one, PATCH changes a rendered
 * one; both set spec.replicas of the object and answer with its Scale. Failure: as updates; a Scale
 * without a count, or with a negative one, is invalid. */
#include "api/json/patch.h"
#include "api/routes/write.h"
#include "base/json.h"

#define SCALE_HEAD "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{"

static void write_list(struct tt_buf *buf, yyjson_mut_val *values)
{
    yyjson_mut_val *value;
    yyjson_mut_arr_iter iter;
    bool first = true;
    yyjson_mut_arr_iter_init(values, &iter);
    while ((value = yyjson_mut_arr_iter_next(&iter))) {
        tt_buf_c(buf, first ? "" : ",");
        tt_buf_str(buf, tt_json_str_of(value));
        first = false;
    }
}

static void write_expression(struct tt_buf *buf, yyjson_mut_val *expression)
{
    struct tt_str key = tt_json_get_str(expression, "key");
    struct tt_str relation = tt_json_get_str(expression, "operator");
    if (tt_str_eq_c(relation, "DoesNotExist")) {
        tt_buf_char(buf, '!');
    }
    tt_buf_str(buf, key);
    bool in = tt_str_eq_c(relation, "In");
    if (in || tt_str_eq_c(relation, "NotIn")) {
        tt_buf_c(buf, in ? " in (" : " notin (");
        write_list(buf, tt_json_get(expression, "values"));
        tt_buf_char(buf, ')');
    }
}

/* The selector in the notation of queries: what autoscalers list pods by. */
static void write_selector(struct tt_buf *buf, yyjson_mut_val *selector)
{
    yyjson_mut_val *key;
    yyjson_mut_obj_iter labels;
    bool first = true;
    yyjson_mut_obj_iter_init(tt_json_get(selector, "matchLabels"), &labels);
    while ((key = yyjson_mut_obj_iter_next(&labels))) {
        tt_buf_c(buf, first ? "" : ",");
        tt_buf_str(buf, tt_json_str_of(key));
        tt_buf_char(buf, '=');
        tt_buf_str(buf, tt_json_str_of(yyjson_mut_obj_iter_get_val(key)));
        first = false;
    }
    yyjson_mut_val *expression;
    yyjson_mut_arr_iter expressions;
    yyjson_mut_arr_iter_init(tt_json_get(selector, "matchExpressions"), &expressions);
    while ((expression = yyjson_mut_arr_iter_next(&expressions))) {
        tt_buf_c(buf, first ? "" : ",");
        write_expression(buf, expression);
        first = false;
    }
}

/* A Scale without resourceVersion, in the arena; that belongs behind SCALE_HEAD. */
static int render(struct api_request *rq, const struct tt_object *object, struct tt_str *ret_text,
                  struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf selector;
    tt_buf_init(&selector, 64 << 10);
    write_selector(&selector, tt_json_get(object->root, "spec.selector"));
    struct tt_buf *buf = &rq->worker->text;
    struct tt_json_writer w;
    tt_buf_reset(buf);
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "kind", "Scale");
    tt_json_c(&w, "apiVersion", "autoscaling/v1");
    tt_json_object(&w, "metadata");
    tt_json_str(&w, "name", tt_object_name(object));
    tt_json_str(&w, "namespace", tt_object_namespace(object));
    tt_json_str(&w, "uid", tt_object_uid(object));
    tt_json_str(&w, "creationTimestamp",
                tt_json_get_str(object->root, "metadata.creationTimestamp"));
    tt_json_object_end(&w);
    tt_json_object(&w, "spec");
    tt_json_i64(&w, "replicas", tt_json_get_i64(object->root, "spec.replicas", 1));
    tt_json_object_end(&w);
    tt_json_object(&w, "status");
    tt_json_i64(&w, "replicas", tt_json_get_i64(object->root, "status.replicas", 0));
    tt_json_str(&w, "selector", tt_buf_view(&selector));
    tt_json_object_end(&w);
    tt_json_object_end(&w);
    char *copy = tt_buf_ok(buf) && tt_buf_ok(&selector)
                     ? tt_arena_strndup(rq->arena, buf->ptr, buf->len)
                     : NULL;
    *ret_text = tt_str(copy, buf->len);
    TT_ASSERT(!copy || tt_str_starts(*ret_text, TT_STR(SCALE_HEAD)));
    return copy ? TT_OK : api_no_memory(err);
}

/* ---- reading ---- */

static int scale_from(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    const struct tt_item *item = tt_version_get(version, rq->key);
    if (!item) {
        return api_not_found(rq, rq->path.name, err);
    }
    struct tt_object object;
    struct tt_str text;
    int r = tt_object_stored(rq->kind, rq->arena, item->value.bytes, 0, &object, err);
    if (r == TT_OK) {
        r = render(rq, &object, &text, err);
    }
    if (r) {
        return r;
    }
    struct api_view view = {text, sizeof SCALE_HEAD - 1, item->mod_revision, NULL};
    return api_respond_object(rq, 200, &view, err);
}

/* ---- writing ---- */

/* doc: the patch, then the Scale that comes of it. */
static int patched_scale(struct api_request *rq, const struct api_write *op, struct tt_str present,
                         yyjson_mut_doc **doc, struct tt_err *err)
{
    yyjson_mut_val *patch = yyjson_mut_doc_get_root(*doc);
    yyjson_mut_doc *scale = NULL;
    int r = tt_json_parse(rq->arena, present, TT_JSON_DUPLICATES_REFUSE, NULL, &scale, err);
    if (r) {
        return r;
    }
    yyjson_mut_val *target = yyjson_mut_doc_get_root(scale);
    r = op->patch_type == TT_PATCH_JSON ? tt_json_patch(scale, target, patch, &target, err)
                                        : tt_json_merge_patch(scale, target, patch, &target, err);
    yyjson_mut_doc_set_root(scale, target);
    *doc = scale;
    return r;
}

/* The Scale the client wants, as a document. */
static int wanted_scale(struct api_request *rq, struct api_write *op, struct tt_str present,
                        yyjson_mut_val **ret_root, struct tt_err *err)
{
    yyjson_mut_doc *doc = NULL;
    int r = tt_json_parse(rq->arena, op->body, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, err);
    if (r == TT_OK && rq->verb == TT_VERB_PATCH) {
        r = patched_scale(rq, op, present, &doc, err);
    }
    if (r == TT_OK) {
        r = api_check_body(rq, "io.k8s.api.autoscaling.v1.Scale", doc, op->validation, err);
    }
    *ret_root = yyjson_mut_doc_get_root(doc);
    return r;
}

static int check_scale(struct api_request *rq, const struct api_write *op,
                       const struct tt_object *old, yyjson_mut_val *root, int64_t *ret_replicas,
                       struct tt_err *err)
{
    struct tt_str name = tt_json_get_str(root, "metadata.name");
    struct tt_str ns = tt_json_get_str(root, "metadata.namespace");
    if (!tt_str_eq(name, rq->path.name) || (ns.len > 0 && !tt_str_eq(ns, rq->path.ns))) {
        return TT_FAIL(err, TT_EINVAL,
                       "the Scale is of %.*s/%.*s, which is not the object on the URL",
                       TT_STR_ARG(tt_str_head(ns, 80)), TT_STR_ARG(tt_str_head(name, 80)));
    }
    struct tt_str uid = tt_json_get_str(root, "metadata.uid");
    if (uid.len > 0 && !tt_str_eq(uid, tt_object_uid(old))) {
        return TT_FAIL(err, TT_ECONFLICT,
                       "Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
                       TT_STR_ARG(tt_str_head(uid, 40)),
                       TT_STR_ARG(tt_str_head(tt_object_uid(old), 40)));
    }
    struct tt_str revision = tt_json_get_str(root, "metadata.resourceVersion");
    uint64_t number = 0;
    if (revision.len > 0 && (!tt_str_to_u64(revision, &number) || number != op->old_revision)) {
        return api_write_conflict(rq, err);
    }
    yyjson_mut_val *replicas = tt_json_get(root, "spec.replicas");
    *ret_replicas = 0; /* absent is 0, as in the Scale type */
    if (!replicas || (tt_json_to_i64(replicas, ret_replicas) && *ret_replicas >= 0)) {
        return TT_OK;
    }
    struct tt_issues *causes = api_request_causes(rq);
    if (causes) {
        tt_issues_add(causes, TT_ISSUE_INVALID, TT_STR("spec.replicas"),
                      "Invalid value: %lld: must be greater than or equal to 0",
                      (long long)*ret_replicas);
    }
    return TT_FAIL(
        err, TT_EINVALID,
        "Scale.autoscaling \"%.*s\" is invalid: spec.replicas: Invalid value: %lld: must "
        "be greater than or equal to 0",
        TT_STR_ARG(rq->path.name), (long long)*ret_replicas);
}

static int set_replicas(struct api_request *rq, struct api_write *op, const struct tt_object *old,
                        int64_t replicas, struct tt_err *err)
{
    struct tt_object object;
    struct tt_issues *causes = api_request_causes(rq);
    const struct tt_item *item = tt_version_get(op->admission.version, rq->key);
    int r = api_write_stored(rq, item, &object, err);
    if (r) {
        return r;
    }
    yyjson_mut_val *spec = tt_json_get(object.root, "spec");
    if (!causes || !spec || !tt_json_put_i64(object.doc, spec, TT_STR("replicas"), replicas)) {
        return api_no_memory(err);
    }
    r = tt_object_prepare_update(&object, old, TT_PART_MAIN, err);
    if (r == TT_OK) {
        r = tt_object_validate_update(&object, old, TT_PART_MAIN, causes, err);
    }
    if (r == TT_OK) {
        r = render(rq, &object, &op->shown, err);
    }
    if (r) {
        return r;
    }
    op->shown_splice = sizeof SCALE_HEAD - 1;
    op->action = tt_object_equal(&object, old) ? API_WRITE_NOTHING : API_WRITE_PUT;
    return api_write_encode(rq, op, &object, err);
}

static int admit_scale(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    struct tt_object old;
    struct tt_str present;
    yyjson_mut_val *wanted = NULL;
    int64_t replicas = 0;
    int r = api_write_load(rq, op, &old, err);
    if (r == TT_OK) {
        r = render(rq, &old, &present, err);
    }
    if (r == TT_OK) {
        r = wanted_scale(rq, op, present, &wanted, err);
    }
    if (r == TT_OK) {
        r = check_scale(rq, op, &old, wanted, &replicas, err);
    }
    return r ? r : set_replicas(rq, op, &old, replicas, err);
}

int api_handle_scale(struct api_request *rq, struct tt_err *err)
{
    rq->format = API_FORMAT_JSON;
    if (rq->verb == TT_VERB_GET) {
        api_read_version(rq, scale_from);
        return TT_OK;
    }
    struct api_write *op = NULL;
    int r = api_write_new(rq, &op, err);
    if (r) {
        return r;
    }
    op->body = rq->http->body;
    if (rq->verb == TT_VERB_PATCH) {
        r = api_patch_type(rq, &op->patch_type, err);
    } else {
        r = api_body_json(rq, &op->body, err);
    }
    if (r) {
        return r;
    }
    op->admit = admit_scale;
    return api_write_start(rq, op, err);
}
