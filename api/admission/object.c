/* Happy path of a create: the Namespace's row is read and compared, the grant's demands are
 * checked, Namespaces get what their deletion relies on. Failure: the messages of Kubernetes' own
 * lifecycle admission, since clients show and match them. */
#include "api/admission/object.h"

#include "api/admission/seal.h"

static bool is_namespace_kind(const struct tt_kind *kind)
{
    return kind->group.len == 0 && tt_str_eq_c(kind->plural, "namespaces");
}

void tt_admission_compare(struct tt_admission *admission, struct tt_str key, uint64_t mod_revision)
{
    TT_ASSERT(admission->compare_count < TT_ADMISSION_COMPARES_MAX);
    admission->compares[admission->compare_count++] = (struct tt_compare){key, mod_revision};
}

static const char *title(const struct tt_object *object, struct tt_arena *arena)
{
    const char *text =
        tt_arena_printf(arena, "%.*s%s%.*s \"%.*s\"", TT_STR_ARG(object->kind->plural),
                        object->kind->group.len > 0 ? "." : "", TT_STR_ARG(object->kind->group),
                        TT_STR_ARG(tt_object_name(object)));
    return text ? text : "the object";
}

static struct tt_str arena_key(struct tt_admission *admission, const struct tt_object_ref *ref)
{
    struct tt_str key = TT_STR_NONE;
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, TT_OBJECT_KEY_SIZE_MAX);
    if (tt_key_object(&buf, ref, NULL) == TT_OK && tt_buf_ok(&buf)) {
        key.ptr = tt_arena_strndup(admission->arena, buf.ptr, buf.len);
        key.len = key.ptr ? buf.len : 0;
    }
    return key;
}

/* The mark is looked for as bytes first: nearly every Namespace lives, and an annotation may carry
 * the same name. */
static bool is_terminating(const struct tt_admission *admission, struct tt_str stored)
{
    static const char mark[] = "\"deletionTimestamp\"";
    yyjson_doc *doc = NULL;
    if (!memmem(stored.ptr, stored.len, mark, sizeof mark - 1)) {
        return false;
    }
    return tt_json_read(admission->arena, stored, &doc, NULL) != TT_OK ||
           tt_json_iget_str(yyjson_doc_get_root(doc), "metadata.deletionTimestamp").len > 0;
}

int tt_admit_namespace(struct tt_admission *admission, const struct tt_object *object,
                       struct tt_str ns, struct tt_err *err)
{
    if (ns.len == 0) {
        return TT_OK;
    }
    struct tt_object_ref ref = {TT_STR(""), TT_STR("namespaces"), TT_STR(""), ns};
    struct tt_str key = arena_key(admission, &ref);
    const struct tt_item *item = key.len > 0 ? tt_version_get(admission->version, key) : NULL;
    if (!item) {
        return TT_FAIL(err, TT_ENOTFOUND, "namespaces \"%.*s\" not found", TT_STR_ARG(ns));
    }
    if (is_terminating(admission, item->value.bytes)) {
        return TT_FAIL(err, TT_EFORBIDDEN,
                       "%s is forbidden: unable to create new content in namespace %.*s because "
                       "it is being terminated",
                       title(object, admission->arena), TT_STR_ARG(ns));
    }
    tt_admission_compare(admission, key, item->mod_revision);
    return TT_OK;
}

int tt_admit_grant(const struct tt_admission *admission, const struct tt_object *object,
                   struct tt_err *err)
{
    struct tt_str only_name = admission->grant.only_name;
    if (only_name.len > 0 && !tt_str_eq(tt_object_name(object), only_name)) {
        return TT_FAIL(err, TT_EFORBIDDEN, "%s is forbidden: node \"%.*s\" may only write its own",
                       title(object, admission->arena), TT_STR_ARG(only_name));
    }
    return tt_admit_own_event(admission, object, err);
}

static bool set_name_label(struct tt_object *object)
{
    yyjson_mut_val *metadata = tt_json_get(object->root, "metadata");
    yyjson_mut_val *labels = tt_json_member(metadata, TT_STR("labels"));
    if (!labels || !yyjson_mut_is_obj(labels)) {
        labels = yyjson_mut_obj(object->doc);
        if (!labels || !tt_json_put(object->doc, metadata, TT_STR("labels"), labels)) {
            return false;
        }
    }
    return tt_json_put_str(object->doc, labels, TT_STR("kubernetes.io/metadata.name"),
                           tt_object_name(object));
}

int tt_admit_create(struct tt_admission *admission, struct tt_object *object, struct tt_err *err)
{
    if (!is_namespace_kind(object->kind)) {
        return tt_admit_own_node_create(admission, object, err);
    }
    yyjson_mut_val *finalizers = yyjson_mut_arr(object->doc);
    if (!finalizers || !yyjson_mut_arr_add_str(object->doc, finalizers, "kubernetes") ||
        !tt_json_set(object->doc, object->root, "spec.finalizers", finalizers) ||
        !tt_json_set_str(object->doc, object->root, "status.phase", TT_STR("Active")) ||
        !set_name_label(object)) {
        return TT_FAIL(err, TT_ETOOLARGE, "the request is too large");
    }
    return TT_OK;
}

static bool has_string(yyjson_mut_val *array, struct tt_str text)
{
    yyjson_mut_val *element;
    yyjson_mut_arr_iter iter;
    yyjson_mut_arr_iter_init(array, &iter);
    while ((element = yyjson_mut_arr_iter_next(&iter))) {
        if (tt_str_eq(tt_json_str_of(element), text)) {
            return true;
        }
    }
    return false;
}

int tt_admit_update(struct tt_admission *admission, struct tt_object *object,
                    const struct tt_object *old, struct tt_err *err)
{
    if (is_namespace_kind(object->kind) && !set_name_label(object)) {
        return TT_FAIL(err, TT_ETOOLARGE, "the request is too large");
    }
    int r = tt_admit_own_event_update(admission, old, err);
    if (r == TT_OK) {
        r = tt_admit_own_node_update(admission, object, old, err);
    }
    if (r || !tt_object_is_deleting(old)) {
        return r;
    }
    yyjson_mut_val *before = tt_json_get(old->root, "metadata.finalizers");
    yyjson_mut_val *element;
    yyjson_mut_arr_iter iter;
    yyjson_mut_arr_iter_init(tt_json_get(object->root, "metadata.finalizers"), &iter);
    while ((element = yyjson_mut_arr_iter_next(&iter))) {
        struct tt_str name = tt_json_str_of(element);
        if (!has_string(before, name)) {
            return TT_FAIL(err, TT_EINVALID,
                           "%.*s \"%.*s\" is invalid: metadata.finalizers: Forbidden: no new "
                           "finalizers can be added if the object is being deleted, found new "
                           "finalizers \"%.*s\"",
                           TT_STR_ARG(object->kind->kind), TT_STR_ARG(tt_object_name(object)),
                           TT_STR_ARG(name));
        }
    }
    return TT_OK;
}
