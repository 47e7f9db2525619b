/* A condition is found by its type, or appended; its times move as Kubernetes has them: the time of
 * the last transition with its status, that of the last update with anything it says. */
#include "reconciler/engine/condition.h"

static yyjson_mut_val *find_condition(yyjson_mut_val *list, const char *type)
{
    size_t index;
    size_t count;
    yyjson_mut_val *item;
    yyjson_mut_arr_foreach(list, index, count, item)
    {
        if (tt_str_eq_c(tt_json_get_str(item, "type"), type)) {
            return item;
        }
    }
    return NULL;
}

/* The entry of this type in status.conditions, made when absent; NULL: the arena is full. */
static yyjson_mut_val *condition_entry(struct tt_object *object, const char *type)
{
    yyjson_mut_doc *doc = object->doc;
    yyjson_mut_val *list = tt_json_get(object->root, "status.conditions");
    if (list == NULL || !yyjson_mut_is_arr(list)) {
        list = yyjson_mut_arr(doc);
        if (list == NULL || !tt_json_set(doc, object->root, "status.conditions", list)) {
            return NULL;
        }
    }
    yyjson_mut_val *entry = find_condition(list, type);
    if (entry == NULL) {
        entry = yyjson_mut_obj(doc);
        if (entry == NULL || !yyjson_mut_arr_append(list, entry) ||
            !tt_json_put_str(doc, entry, TT_STR("type"), tt_str_c(type))) {
            return NULL;
        }
    }
    return entry;
}

static bool says(yyjson_mut_val *entry, const char *member, struct tt_str text)
{
    return tt_str_eq(tt_json_get_str(entry, member), text);
}

bool tt_object_set_condition(struct tt_object *object, const struct tt_condition *condition,
                             uint64_t now_ms, bool with_update_time)
{
    yyjson_mut_doc *doc = object->doc;
    yyjson_mut_val *entry = condition_entry(object, condition->type);
    if (entry == NULL) {
        return false;
    }
    bool same_status = says(entry, "status", tt_str_c(condition->status));
    bool same = same_status && says(entry, "reason", tt_str_c(condition->reason)) &&
                says(entry, "message", condition->message);
    char text[TT_TIME_TEXT_SIZE];
    struct tt_str now = tt_str(text, tt_time_format(now_ms, text));
    return (same_status || tt_json_put_str(doc, entry, TT_STR("lastTransitionTime"), now)) &&
           (same || !with_update_time ||
            tt_json_put_str(doc, entry, TT_STR("lastUpdateTime"), now)) &&
           tt_json_put_str(doc, entry, TT_STR("status"), tt_str_c(condition->status)) &&
           tt_json_put_str(doc, entry, TT_STR("reason"), tt_str_c(condition->reason)) &&
           tt_json_put_str(doc, entry, TT_STR("message"), condition->message);
}
