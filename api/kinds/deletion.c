/* Deletion as a pure decision on one object; see the header for the rules.
 *
 *   present ──delete──▶ marked (deletionTimestamp) ──last finalizer gone / grace 0──▶ removed
 *      └──────────────── nothing to wait for ───────────────────────────────────────────▲
 *
 * A second delete of a marked pod may only shorten its grace period, never lengthen it. */
#include "api/kinds/deletion.h"

#include "base/clock.h"

enum { DEFAULT_POD_GRACE_SECONDS = 30, GRACE_SECONDS_MAX = 10 * 365 * 86400 };

static yyjson_mut_val *metadata_of(const struct tt_object *object)
{
    return tt_json_get(object->root, "metadata");
}

static bool list_empty(yyjson_mut_val *list)
{
    return list == NULL || !yyjson_mut_is_arr(list) || yyjson_mut_arr_size(list) == 0;
}

static bool is_core_kind(const struct tt_object *object, const char *plural)
{
    return object->kind->group.len == 0 && tt_str_eq_c(object->kind->plural, plural);
}

/* Seconds a pod may take to stop; 0 when there is nothing to stop. Bounded, as the time it ends at
 * is written down. */
static int64_t pod_grace_seconds(const struct tt_object *object, int64_t asked)
{
    if (!is_core_kind(object, "pods") || tt_json_get_str(object->root, "spec.nodeName").len == 0) {
        return 0;
    }
    struct tt_str phase = tt_json_get_str(object->root, "status.phase");
    if (tt_str_eq(phase, TT_STR("Succeeded")) || tt_str_eq(phase, TT_STR("Failed"))) {
        return 0;
    }
    int64_t grace = asked >= 0 ? asked
                               : tt_json_get_i64(object->root, "spec.terminationGracePeriodSeconds",
                                                 DEFAULT_POD_GRACE_SECONDS);
    return grace < GRACE_SECONDS_MAX ? grace : GRACE_SECONDS_MAX;
}

static bool waits(const struct tt_object *object)
{
    if (!list_empty(tt_json_get(object->root, "metadata.finalizers"))) {
        return true;
    }
    return is_core_kind(object, "namespaces") &&
           !list_empty(tt_json_get(object->root, "spec.finalizers"));
}

static bool add_finalizer(struct tt_object *object, struct tt_str finalizer)
{
    if (tt_object_has_finalizer(object, finalizer)) {
        return true;
    }
    yyjson_mut_val *list = tt_json_get(object->root, "metadata.finalizers");
    if (list == NULL || !yyjson_mut_is_arr(list)) {
        list = yyjson_mut_arr(object->doc);
        if (list == NULL || !tt_json_set(object->doc, object->root, "metadata.finalizers", list)) {
            return false;
        }
    }
    return yyjson_mut_arr_add_strncpy(object->doc, list, finalizer.ptr, finalizer.len);
}

static bool apply_propagation(struct tt_object *object, enum tt_propagation propagation)
{
    bool removed;
    if (propagation != TT_PROPAGATE_FOREGROUND) {
        tt_object_remove_finalizer(object, TT_STR(TT_FINALIZER_FOREGROUND), &removed);
    }
    if (propagation != TT_PROPAGATE_ORPHAN) {
        tt_object_remove_finalizer(object, TT_STR(TT_FINALIZER_ORPHAN), &removed);
    }
    switch (propagation) {
    case TT_PROPAGATE_FOREGROUND:
        return add_finalizer(object, TT_STR(TT_FINALIZER_FOREGROUND));
    case TT_PROPAGATE_ORPHAN:
        return add_finalizer(object, TT_STR(TT_FINALIZER_ORPHAN));
    case TT_PROPAGATE_BACKGROUND:
        return true;
    }
    return true;
}

static bool set_deletion_time(struct tt_object *object, uint64_t now_ms, int64_t grace_seconds)
{
    char text[TT_TIME_TEXT_SIZE];
    size_t size = tt_time_format(now_ms + (uint64_t)grace_seconds * 1000u, text);
    yyjson_mut_val *metadata = metadata_of(object);
    return tt_json_put_str(object->doc, metadata, TT_STR("deletionTimestamp"),
                           tt_str(text, size)) &&
           tt_json_put_i64(object->doc, metadata, TT_STR("deletionGracePeriodSeconds"),
                           grace_seconds);
}

/* The first mark: a change of intent, so the generation moves and a Namespace starts terminating.
 */
static bool mark(struct tt_object *object, uint64_t now_ms, int64_t grace_seconds)
{
    if (!set_deletion_time(object, now_ms, grace_seconds)) {
        return false;
    }
    int64_t generation = tt_json_get_i64(object->root, "metadata.generation", 0);
    if (generation > 0 &&
        !tt_json_put_i64(object->doc, metadata_of(object), TT_STR("generation"), generation + 1)) {
        return false;
    }
    return !is_core_kind(object, "namespaces") ||
           tt_json_set_str(object->doc, object->root, "status.phase", TT_STR("Terminating"));
}

int tt_object_prepare_delete(struct tt_object *object, const struct tt_deletion_options *options,
                             enum tt_deletion *ret_deletion, struct tt_err *err)
{
    TT_ASSERT(object->root != NULL);
    TT_ASSERT(metadata_of(object) != NULL);
    int64_t grace = pod_grace_seconds(object, options->grace_seconds);
    if (!tt_object_is_deleting(object)) {
        if (!apply_propagation(object, options->propagation)) {
            return TT_FAIL(err, TT_ETOOLARGE, "no room to record the deletion");
        }
        if (!waits(object) && grace == 0) {
            *ret_deletion = TT_DELETION_REMOVE;
            return TT_OK;
        }
        if (!mark(object, options->now_ms, grace)) {
            return TT_FAIL(err, TT_ETOOLARGE, "no room to record the deletion");
        }
        *ret_deletion = TT_DELETION_MARK;
        return TT_OK;
    }
    int64_t before = tt_json_get_i64(object->root, "metadata.deletionGracePeriodSeconds", 0);
    if (!waits(object) && grace == 0) {
        *ret_deletion = TT_DELETION_REMOVE;
        return TT_OK;
    }
    if (options->grace_seconds >= 0 && grace < before) {
        if (!set_deletion_time(object, options->now_ms, grace)) {
            return TT_FAIL(err, TT_ETOOLARGE, "no room to record the deletion");
        }
        *ret_deletion = TT_DELETION_MARK;
        return TT_OK;
    }
    *ret_deletion = TT_DELETION_UNCHANGED;
    return TT_OK;
}

bool tt_object_deletion_complete(const struct tt_object *object)
{
    return tt_object_is_deleting(object) && !waits(object) &&
           tt_json_get_i64(object->root, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

bool tt_object_is_deleting(const struct tt_object *object)
{
    return tt_json_get_str(object->root, "metadata.deletionTimestamp").len > 0;
}

/* Index of the finalizer in the list, or the list's size. */
static size_t finalizer_index(yyjson_mut_val *list, struct tt_str finalizer)
{
    size_t index;
    size_t count;
    yyjson_mut_val *item;
    yyjson_mut_arr_foreach(list, index, count, item)
    {
        if (tt_str_eq(tt_json_str_of(item), finalizer)) {
            return index;
        }
    }
    return yyjson_mut_arr_size(list);
}

bool tt_object_has_finalizer(const struct tt_object *object, struct tt_str finalizer)
{
    yyjson_mut_val *list = tt_json_get(object->root, "metadata.finalizers");
    return list != NULL && yyjson_mut_is_arr(list) &&
           finalizer_index(list, finalizer) < yyjson_mut_arr_size(list);
}

void tt_object_remove_finalizer(struct tt_object *object, struct tt_str finalizer,
                                bool *ret_removed)
{
    *ret_removed = tt_object_has_finalizer(object, finalizer);
    if (!*ret_removed) {
        return;
    }
    yyjson_mut_val *list = tt_json_get(object->root, "metadata.finalizers");
    (void)yyjson_mut_arr_remove(list, finalizer_index(list, finalizer));
    if (yyjson_mut_arr_size(list) == 0) {
        (void)tt_json_remove(metadata_of(object), TT_STR("finalizers"));
    }
}
