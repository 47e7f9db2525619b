/* PUT and PATCH of an object, of its status, and of a Namespace's finalizers.
 *
 * Happy path: the stored object is loaded, the new one decoded (PUT) or made by patching a copy;
 * what clients may not change is taken from the old one; an object that comes out the same is not
 * written. The last finalizer of an object that is being deleted takes the object with it.
 * Failure: a resourceVersion that is not the stored one is a conflict; without one the write is
 * admitted again on the newer object. */
#include "api/kinds/advice.h"
#include "api/routes/write.h"

static enum tt_object_part part_of(const struct api_request *rq)
{
    return tt_str_eq_c(rq->path.subresource, "status") ? TT_PART_STATUS : TT_PART_MAIN;
}

static int check_revision(struct api_request *rq, const struct api_write *op,
                          const struct tt_object *object, struct tt_err *err)
{
    uint64_t revision = 0;
    int r = tt_object_resource_version(object, &revision, err);
    if (r) {
        return r;
    }
    return revision > 0 && revision != op->old_revision ? api_write_conflict(rq, err) : TT_OK;
}

static int check_name(struct api_request *rq, const struct tt_object *object, struct tt_err *err)
{
    struct tt_str name = tt_object_name(object);
    if (!tt_str_eq(name, rq->path.name)) {
        return TT_FAIL(err, TT_EINVAL,
                       "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                       TT_STR_ARG(name), TT_STR_ARG(rq->path.name));
    }
    return TT_OK;
}

static int validate(struct api_request *rq, const struct tt_object *object,
                    const struct tt_object *old, struct tt_err *err)
{
    struct tt_issues *causes = api_request_causes(rq);
    if (!causes) {
        return api_no_memory(err);
    }
    return tt_object_validate_update(object, old, part_of(rq), causes, err);
}

/* From here PUT and PATCH are the same: object is what the client wants. */
static int admit_changed(struct api_request *rq, struct api_write *op, struct tt_object *object,
                         const struct tt_object *old, struct tt_err *err)
{
    int r = check_name(rq, object, err);
    if (r == TT_OK) {
        r = check_revision(rq, op, object, err);
    }
    if (r == TT_OK) {
        r = tt_object_prepare_update(object, old, part_of(rq), err);
    }
    if (r == TT_OK) {
        r = tt_admit_grant(&op->admission, object, err);
    }
    if (r == TT_OK && part_of(rq) == TT_PART_MAIN) {
        r = tt_admit_update(&op->admission, object, old, err);
    }
    if (r == TT_OK) {
        r = validate(rq, object, old, err);
    }
    if (r == TT_OK) {
        r = api_write_encode(rq, op, object, err);
    }
    if (r) {
        return r;
    }
    if (part_of(rq) == TT_PART_MAIN) {
        tt_object_advise(object, &rq->warnings);
    }
    if (tt_object_deletion_complete(object)) {
        op->action = API_WRITE_DELETE;
    } else {
        op->action = tt_object_equal(object, old) ? API_WRITE_NOTHING : API_WRITE_PUT;
    }
    return TT_OK;
}

static int admit_update(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    struct tt_object old;
    struct tt_object object;
    int r = api_write_decode(rq, op, &object, err);
    if (r == TT_OK) {
        r = api_write_load(rq, op, &old, err);
    }
    return r ? r : admit_changed(rq, op, &object, &old, err);
}

/* Only spec.finalizers of the body counts: what the Namespace's deletion still waits for. */
static int admit_finalize(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    struct tt_object old;
    struct tt_object body;
    struct tt_object object;
    int r = api_write_decode(rq, op, &body, err);
    if (r == TT_OK) {
        r = api_write_load(rq, op, &old, err);
    }
    if (r == TT_OK) {
        r = check_name(rq, &body, err);
    }
    if (r == TT_OK) {
        r = check_revision(rq, op, &body, err);
    }
    if (r) {
        return r;
    }
    object = old;
    yyjson_mut_val *finalizers = tt_json_get(body.root, "spec.finalizers");
    yyjson_mut_val *copy =
        finalizers ? tt_json_copy(object.doc, finalizers) : yyjson_mut_arr(object.doc);
    if (!copy || !tt_json_set(object.doc, object.root, "spec.finalizers", copy)) {
        return api_no_memory(err);
    }
    op->action = tt_object_deletion_complete(&object) ? API_WRITE_DELETE : API_WRITE_PUT;
    return api_write_encode(rq, op, &object, err);
}

int api_handle_update(struct api_request *rq, struct tt_err *err)
{
    bool finalizes = tt_str_eq_c(rq->path.subresource, "finalize");
    struct api_write *op = NULL;
    int r = api_write_new_json(rq, finalizes ? admit_finalize : admit_update, &op, err);
    return r ? r : api_write_start(rq, op, err);
}

/* ---- patch ---- */

static int admit_patch(struct api_request *rq, struct api_write *op, struct tt_err *err)
{
    struct tt_object old;
    struct tt_object object;
    int r = api_write_load(rq, op, &old, err);
    if (r) {
        return r;
    }
    const struct tt_item *item = tt_version_get(op->admission.version, rq->key);
    r = api_write_stored(rq, item, &object, err);
    if (r == TT_OK) {
        r = tt_object_patch(&object, op->patch_type, op->body, op->validation, &rq->warnings, err);
    }
    return r ? r : admit_changed(rq, op, &object, &old, err);
}

int api_patch_type(struct api_request *rq, enum tt_patch_type *ret_type, struct tt_err *err)
{
    struct tt_str content_type = rq->http->content_type;
    struct tt_str type = TT_STR("");
    if (content_type.len > 0 && tt_str_cut(&content_type, ';', &type)) {
        type = tt_str_trim(type);
    }
    return tt_patch_type_parse(rq->kind, type, ret_type, err);
}

int api_handle_patch(struct api_request *rq, struct tt_err *err)
{
    struct api_write *op = NULL;
    int r = api_write_new(rq, &op, err);
    if (r) {
        return r;
    }
    r = api_patch_type(rq, &op->patch_type, err);
    if (r) {
        return r;
    }
    op->body = rq->http->body;
    op->admit = admit_patch;
    return api_write_start(rq, op, err);
}
