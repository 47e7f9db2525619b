/* POST of a collection, and pods' binding subresource.
 *
 * Happy path: decode, prepare (names, uid, time stamp, defaults), Namespace, validate, encode; the
 * transaction demands that the row is absent and the Namespace unchanged. Failure: see write.h; a
 * generated name that is taken is generated again by the next attempt. */
#include "api/kinds/advice.h"
#include "api/routes/write.h"
#include "base/rng.h"

enum { SUFFIX_SIZE = 5 };

/* The alphabet of Kubernetes' generated names: no vowels, nothing that looks like another. */
static void make_suffix(uint64_t random, char out[SUFFIX_SIZE + 1])
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    for (unsigned i = 0; i < SUFFIX_SIZE; i++) {
        out[i] = alphabet[random % (sizeof alphabet - 1)];
        random /= sizeof alphabet - 1;
    }
    out[SUFFIX_SIZE] = '\0';
}

/* A version 4 UUID (RFC 9562) of the worker's randomness. */
static void make_uid(const uint8_t random[16], char out[TT_UUID_TEXT_SIZE])
{
    uint8_t bytes[16];
    char hex[33];
    memcpy(bytes, random, sizeof bytes);
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    (void)tt_hex_encode(bytes, sizeof bytes, hex); /* fixed size */
    static const uint8_t group_size[5] = {8, 4, 4, 4, 12};
    size_t from = 0;
    size_t to = 0;
    for (unsigned i = 0; i < 5; i++) {
        memcpy(out + to, hex + from, group_size[i]);
        from += group_size[i];
        to += group_size[i];
        out[to++] = i < 4 ? '-' : '\0';
    }
}

static int prepare(struct api_request *rq, struct api_write *op, struct tt_object *object,
                   struct tt_err *err)
{
    char uid[TT_UUID_TEXT_SIZE];
    char suffix[SUFFIX_SIZE + 1];
    struct {
        uint8_t uid[16]; /* random; version and variant are set later */
        uint64_t suffix; /* random; becomes that of a generated name */
    } random;
    api_worker_random(rq->worker, &random, sizeof random);
    make_uid(random.uid, uid);
    make_suffix(random.suffix, suffix);
    struct tt_object_create params = {
        .ns = rq->path.ns, .now_ms = op->admission.now_ms, .uid = uid, .name_suffix = suffix};
    uint64_t revision = 0;
    int r = tt_object_resource_version(object, &revision, err);
    if (r) {
        return r;
    }
    if (revision > 0) {
        return TT_FAIL(err, TT_EINVAL,
                       "resourceVersion should not be set on objects to be created");
    }
    r = tt_object_prepare_create(object, &params, err);
    if (r) {
        return r;
    }
    rq->status_name = api_write_keep(rq, tt_object_name(object));
    return tt_admit_create(&op->admission, object, err);
}

static int validate(struct api_request *rq, const struct tt_object *object, struct tt_err *err)
{
    struct tt_issues *causes = api_request_causes(rq);
    if (!causes) {
        return api_no_memory(err);
    }
    return tt_object_validate(object, causes, err);
}

/* A refusal because of its Namespace is about that. */
static int admit_namespace(struct api_request *rq, struct api_write *op,
                           const struct tt_object *object, struct tt_err *err)
{
    int r = tt_admit_namespace(&op->admission, object, rq->path.ns, err);
    if (r == TT_ENOTFOUND) {
        rq->missing_ns = rq->path.ns;
    }
    struct tt_issues *causes = r == TT_EFORBIDDEN ? api_request_causes(rq) : NULL;
    if (causes) {
        tt_issues_add(causes, TT_ISSUE_TERMINATING, TT_STR("metadata.namespace"),
                      "namespace %.*s is being terminated", TT_STR_ARG(rq->path.ns));
    }
    return r;
}

static int admit_create(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    struct tt_object object;
    int r = api_write_decode(rq, op, &object, err);
    if (r == TT_OK) {
        r = prepare(rq, op, &object, err);
    }
    if (r == TT_OK) {
        r = validate(rq, &object, err);
    }
    if (r == TT_OK) {
        r = admit_namespace(rq, op, &object, err);
    }
    if (r == TT_OK) {
        r = tt_admit_grant(&op->admission, &object, err);
    }
    if (r == TT_OK) {
        r = api_object_key(rq, tt_object_name(&object), &op->key, err);
    }
    if (r) {
        return r;
    }
    rq->key = op->key;
    if (tt_version_get(op->admission.version, op->key)) {
        return TT_FAIL(err, TT_EEXISTS, "%s already exists",
                       api_object_title(rq, tt_object_name(&object)));
    }
    tt_object_advise(&object, &rq->warnings);
    tt_admission_compare(&op->admission, op->key, 0);
    op->action = API_WRITE_PUT;
    op->name = rq->status_name;
    return api_write_encode(rq, op, &object, err);
}

int api_handle_create(struct api_request *rq, struct tt_err *err)
{
    struct api_write *op = NULL;
    int r = api_write_new_json(rq, admit_create, &op, err);
    if (r) {
        return r;
    }
    op->http_status = 201;
    return api_write_start(rq, op, err);
}

/* ---- binding: a scheduler puts a pod on a node ---- */

static int read_binding(struct api_request *rq, struct api_write *op, struct tt_str *ret_node,
                        struct tt_err *err)
{
    yyjson_mut_doc *doc = NULL;
    int r =
        tt_json_parse(rq->worker->scratch, op->body, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, err);
    if (r) {
        return r;
    }
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    struct tt_str name = tt_json_get_str(root, "metadata.name");
    struct tt_str kind = tt_json_get_str(root, "target.kind");
    *ret_node = tt_json_get_str(root, "target.name");
    if ((name.len > 0 && !tt_str_eq(name, rq->path.name)) ||
        (kind.len > 0 && !tt_str_eq_c(kind, "Node")) || ret_node->len == 0) {
        return TT_FAIL(err, TT_EINVAL, "a Binding names its pod and a target of kind Node");
    }
    return TT_OK;
}

static int admit_binding(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    struct tt_str node;
    struct tt_object pod;
    int r = read_binding(rq, op, &node, err);
    if (r == TT_OK) {
        r = api_write_load(rq, op, &pod, err);
    }
    if (r) {
        return r;
    }
    if (tt_json_get(pod.root, "metadata.deletionTimestamp")) {
        return TT_FAIL(err, TT_ECONFLICT,
                       "Operation cannot be fulfilled on %s: pod is being deleted, cannot be "
                       "assigned to a host",
                       api_object_title(rq, rq->path.name));
    }
    struct tt_str present = tt_json_get_str(pod.root, "spec.nodeName");
    if (present.len > 0) {
        return TT_FAIL(err, TT_ECONFLICT,
                       "Operation cannot be fulfilled on %s: pod is already assigned to node "
                       "\"%.*s\"",
                       api_object_title(rq, rq->path.name), TT_STR_ARG(present));
    }
    if (!tt_json_set_str(pod.doc, pod.root, "spec.nodeName", node)) {
        return api_no_memory(err);
    }
    op->action = API_WRITE_PUT;
    op->name = rq->path.name;
    op->uid = api_write_keep(rq, tt_object_uid(&pod));
    return api_write_encode(rq, op, &pod, err);
}

int api_handle_binding(struct api_request *rq, struct tt_err *err)
{
    struct api_write *op = NULL;
    int r = api_write_new_json(rq, admit_binding, &op, err);
    if (r) {
        return r;
    }
    op->answers_status = true;
    op->http_status = 201;
    return api_write_start(rq, op, err);
}
