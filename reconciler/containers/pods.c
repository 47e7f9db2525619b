/* Small readings of pods and conditions shared by the container plans. */
#include "reconciler/containers/pods.h"

/* Three thousand years: a wait that long never ends, and its nanoseconds would not be told apart
 * from a short one's. */
#define TOLERATION_SECONDS_MAX INT64_C(100000000000)

bool pod_is_active(const struct tt_view *pod)
{
    struct tt_str phase = tt_view_str(pod, "status.phase");
    return !tt_view_is_deleting(pod) && !tt_str_eq(phase, TT_STR("Succeeded")) &&
           !tt_str_eq(phase, TT_STR("Failed"));
}

yyjson_val *view_condition(const struct tt_view *view, const char *type)
{
    yyjson_val *conditions = tt_json_iget(view->root, "status.conditions");
    size_t index;
    size_t count;
    yyjson_val *condition;
    yyjson_arr_foreach(conditions, index, count, condition)
    {
        if (tt_str_eq_c(tt_json_istr_of(yyjson_obj_get(condition, "type")), type)) {
            return condition;
        }
    }
    return NULL;
}

bool view_condition_true(const struct tt_view *view, const char *type, uint64_t *ret_since_ms)
{
    yyjson_val *condition = view_condition(view, type);
    uint64_t since = 0;
    (void)tt_time_parse(tt_json_istr_of(yyjson_obj_get(condition, "lastTransitionTime")),
                        &since); /* absent: since ever */
    if (ret_since_ms != NULL) {
        *ret_since_ms = since;
    }
    return tt_str_eq(tt_json_istr_of(yyjson_obj_get(condition, "status")), TT_STR("True"));
}

bool pod_is_available(const struct tt_view *pod, int64_t min_ready_seconds, uint64_t now_ms,
                      uint64_t *ret_wait_ms)
{
    uint64_t since;
    *ret_wait_ms = 0;
    if (!view_condition_true(pod, "Ready", &since)) {
        return false;
    }
    if (min_ready_seconds <= 0) {
        return true;
    }
    uint64_t due = since + (uint64_t)min_ready_seconds * 1000u;
    if (due <= now_ms) {
        return true;
    }
    *ret_wait_ms = due - now_ms;
    return false;
}

static bool tolerates(yyjson_val *toleration, yyjson_val *taint)
{
    struct tt_str key = tt_json_istr_of(yyjson_obj_get(toleration, "key"));
    struct tt_str effect = tt_json_istr_of(yyjson_obj_get(toleration, "effect"));
    struct tt_str value = tt_json_istr_of(yyjson_obj_get(toleration, "value"));
    bool exists =
        tt_str_eq(tt_json_istr_of(yyjson_obj_get(toleration, "operator")), TT_STR("Exists"));
    if (effect.len > 0 && !tt_str_eq(effect, tt_json_istr_of(yyjson_obj_get(taint, "effect")))) {
        return false;
    }
    if (key.len == 0) {
        return exists;
    }
    return tt_str_eq(key, tt_json_istr_of(yyjson_obj_get(taint, "key"))) &&
           (exists || tt_str_eq(value, tt_json_istr_of(yyjson_obj_get(taint, "value"))));
}

static uint64_t toleration_ms(yyjson_val *toleration)
{
    int64_t seconds;
    if (!tt_json_ito_i64(yyjson_obj_get(toleration, "tolerationSeconds"), &seconds) ||
        seconds > TOLERATION_SECONDS_MAX) {
        return POD_TOLERATES_FOREVER;
    }
    return seconds > 0 ? (uint64_t)seconds * 1000u : 0;
}

bool pod_tolerates(const struct tt_view *pod, yyjson_val *taint, uint64_t *ret_ms)
{
    size_t index;
    size_t count;
    yyjson_val *toleration;
    yyjson_arr_foreach(tt_json_iget(pod->root, "spec.tolerations"), index, count, toleration)
    {
        if (tolerates(toleration, taint)) {
            *ret_ms = toleration_ms(toleration);
            return true;
        }
    }
    return false;
}

yyjson_mut_val *owner_reference(yyjson_mut_doc *doc, const struct tt_view *owner,
                                const struct tt_kind *kind)
{
    yyjson_mut_val *reference = yyjson_mut_obj(doc);
    if (reference == NULL ||
        !tt_json_put_str(doc, reference, TT_STR("apiVersion"), kind->api_version) ||
        !tt_json_put_str(doc, reference, TT_STR("kind"), kind->kind) ||
        !tt_json_put_str(doc, reference, TT_STR("name"), owner->ref.name) ||
        !tt_json_put_str(doc, reference, TT_STR("uid"), tt_view_uid(owner)) ||
        !tt_json_put(doc, reference, TT_STR("controller"), yyjson_mut_bool(doc, true)) ||
        !tt_json_put(doc, reference, TT_STR("blockOwnerDeletion"), yyjson_mut_bool(doc, true))) {
        return NULL;
    }
    return reference;
}

int adopt_orphan(struct tt_pass *pass, const struct tt_view *owner, const struct tt_view *orphan,
                 struct tt_err *err)
{
    struct tt_object object;
    int r = tt_pass_edit(pass, orphan, &object, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_mut_val *owners = tt_json_get(object.root, "metadata.ownerReferences");
    if (owners == NULL || !yyjson_mut_is_arr(owners)) {
        owners = yyjson_mut_arr(object.doc);
    }
    yyjson_mut_val *reference = owner_reference(object.doc, owner, tt_pass_kind(pass, &owner->ref));
    if (owners == NULL || reference == NULL || !yyjson_mut_arr_append(owners, reference) ||
        !tt_json_set(object.doc, object.root, "metadata.ownerReferences", owners)) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room to adopt %.*s", TT_STR_ARG(orphan->ref.name));
    }
    return tt_pass_update(pass, orphan, &object, TT_PART_MAIN, err);
}

int release_owned(struct tt_pass *pass, const struct tt_view *owner, const struct tt_view *owned,
                  struct tt_err *err)
{
    struct tt_object object;
    int r = tt_pass_edit(pass, owned, &object, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_mut_val *owners = tt_json_get(object.root, "metadata.ownerReferences");
    yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(owners);
    for (yyjson_mut_val *entry; (entry = yyjson_mut_arr_iter_next(&it)) != NULL;) {
        if (tt_str_eq(tt_json_get_str(entry, "uid"), tt_view_uid(owner))) {
            (void)yyjson_mut_arr_iter_remove(&it); /* the removed value is not needed */
        }
    }
    if (yyjson_mut_arr_size(owners) == 0) {
        (void)tt_json_remove_path(object.root, "metadata.ownerReferences"); /* it was there */
    }
    return tt_pass_update(pass, owned, &object, TT_PART_MAIN, err);
}
