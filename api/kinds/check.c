/* Validating whole objects: names, the schema, what may not change; and the wording of a 422. */
#include "api/kinds/decode.h"
#include "api/kinds/format.h"
#include "api/kinds/object.h"
#include "api/kinds/rules.h"

enum { MESSAGE_SIZE_MAX = 64 << 10, IMMUTABLE_VALUE_MAX = 128 };

static const char *name_problem(const struct tt_kind *kind, struct tt_str name)
{
    switch ((enum tt_name_rule)kind->name_rule) {
    case TT_NAME_LABEL:
        return format_dns1123_label(name);
    case TT_NAME_LABEL_1035:
        return format_dns1035_label(name);
    case TT_NAME_SUBDOMAIN:
        break;
    }
    return format_dns1123_subdomain(name);
}

static void check_names(const struct tt_object *object, struct tt_issues *causes)
{
    struct tt_str name = tt_object_name(object), ns = tt_object_namespace(object);
    if (name.len == 0) {
        tt_issues_add(causes, TT_ISSUE_REQUIRED, TT_STR("metadata.name"),
                      "Required value: name or generateName is required");
    } else {
        const char *why = name_problem(object->kind, name);
        if (why != NULL) {
            tt_issues_add(causes, TT_ISSUE_INVALID, TT_STR("metadata.name"),
                          "Invalid value: \"%.*s\": %s", TT_STR_ARG(tt_str_head(name, 260)), why);
        }
    }
    if (object->kind->namespaced && ns.len == 0) {
        tt_issues_add(causes, TT_ISSUE_REQUIRED, TT_STR("metadata.namespace"), "Required value");
    } else if (object->kind->namespaced && format_dns1123_label(ns) != NULL) {
        tt_issues_add(causes, TT_ISSUE_INVALID, TT_STR("metadata.namespace"),
                      "Invalid value: \"%.*s\": %s", TT_STR_ARG(tt_str_head(ns, 260)),
                      format_dns1123_label(ns));
    }
}

struct tt_str tt_object_invalid_message(const struct tt_kind *kind, struct tt_str name,
                                        const struct tt_issues *causes, struct tt_arena *arena)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, MESSAGE_SIZE_MAX);
    tt_buf_printf(&buf, "%.*s%s%.*s \"%.*s\" is invalid: %s", TT_STR_ARG(kind->kind),
                  kind->group.len > 0 ? "." : "", TT_STR_ARG(kind->group),
                  TT_STR_ARG(tt_str_head(name, 260)), causes->count > 1 ? "[" : "");
    for (size_t i = 0; i < causes->count; i++) {
        tt_buf_printf(&buf, "%s%.*s: %.*s", i > 0 ? ", " : "", TT_STR_ARG(causes->items[i].field),
                      TT_STR_ARG(causes->items[i].message));
    }
    if (causes->dropped > 0) {
        tt_buf_printf(&buf, ", and %zu more", causes->dropped);
    }
    tt_buf_c(&buf, causes->count > 1 ? "]" : "");
    const char *copy = tt_arena_strndup(arena, buf.ptr, buf.len);
    return copy != NULL ? tt_str(copy, buf.len) : TT_STR("the object is invalid");
}

static int verdict(const struct tt_object *object, struct tt_issues *causes, struct tt_err *err)
{
    if (tt_issues_total(causes) == 0) {
        return TT_OK;
    }
    causes->refusal =
        tt_object_invalid_message(object->kind, tt_object_name(object), causes, causes->arena);
    return TT_FAIL(err, TT_EINVALID, "%.*s", TT_STR_ARG(causes->refusal));
}

int tt_object_validate(const struct tt_object *object, struct tt_issues *ret_causes,
                       struct tt_err *err)
{
    check_names(object, ret_causes);
    kinds_validate(ret_causes, object->kind->type, object->root);
    return verdict(object, ret_causes, err);
}

static void check_immutable_paths(const struct tt_object *object, const struct tt_object *old,
                                  struct tt_issues *causes)
{
    const struct tt_kind *kind = object->kind;
    struct rule_check show = {.causes = causes, .arena = object->arena};
    for (size_t i = 0; i < kind->immutable_count; i++) {
        char *path = tt_arena_strndup(object->arena, kind->immutable_paths[i].ptr,
                                      kind->immutable_paths[i].len);
        if (path == NULL) {
            causes->dropped++; /* refused rather than let through */
            return;
        }
        yyjson_mut_val *is = tt_json_get(object->root, path);
        if (!tt_json_equal(is, tt_json_get(old->root, path))) {
            tt_issues_add(causes, TT_ISSUE_INVALID, kind->immutable_paths[i],
                          "Invalid value: %s: field is immutable",
                          is != NULL ? rule_show(&show, is) : "null");
        }
    }
}

/* An object that is going away only loses finalizers. */
static void check_finalizers(const struct tt_object *object, const struct tt_object *old,
                             struct tt_issues *causes)
{
    yyjson_mut_val *was = tt_json_get(old->root, "metadata.finalizers"), *item, *other;
    size_t i, n, k, m;
    if (tt_json_get(old->root, "metadata.deletionTimestamp") == NULL) {
        return;
    }
    yyjson_mut_arr_foreach(tt_json_get(object->root, "metadata.finalizers"), i, n, item)
    {
        bool known = false;
        yyjson_mut_arr_foreach(was, k, m, other)
        {
            known |= k < TT_ISSUES_MAX && tt_json_equal(item, other);
        }
        if (!known) {
            tt_issues_add(causes, TT_ISSUE_FORBIDDEN, TT_STR("metadata.finalizers"),
                          "Forbidden: no new finalizers can be added if the object is being "
                          "deleted, found new finalizers [\"%.*s\"]",
                          TT_STR_ARG(tt_str_head(tt_json_str_of(item), IMMUTABLE_VALUE_MAX)));
        }
    }
}

int tt_object_validate_update(const struct tt_object *object, const struct tt_object *old,
                              enum tt_object_part part, struct tt_issues *ret_causes,
                              struct tt_err *err)
{
    check_names(object, ret_causes);
    kinds_validate(ret_causes, object->kind->type, object->root);
    if (part == TT_PART_MAIN) {
        check_immutable_paths(object, old, ret_causes);
        check_finalizers(object, old, ret_causes);
        kinds_validate_update(ret_causes, object->kind->type, object->root, old->root);
    }
    return verdict(object, ret_causes, err);
}
