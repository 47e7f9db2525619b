/* Semantic validation from the schema: required, enum, limits, formats, then the type's rules.
 *
 * The walk follows the tree, except for required fields, which are looked for in each object.
 * Nothing here stops at the first finding: all causes are listed, bounded by the issues' maximum.
 * Recursion is bounded by the tree's depth. */
#include <stdio.h>

#include "api/kinds/decode.h"
#include "api/kinds/format.h"
#include "api/kinds/rules.h"

enum { SHOW_SIZE_MAX = 128 };

static void validate_value(struct rule_check *ctx, const struct tt_type *type, yyjson_mut_val *val,
                           const struct tt_field_path *path);

static const struct {
    const struct tt_rule *rules; /* one of the tables of rules.h */
    const size_t *count;         /* of rules; that file knows it */
} rule_sets[] = {
    {kinds_rules_core, &kinds_rules_core_count},
    {kinds_rules_pod, &kinds_rules_pod_count},
    {kinds_rules_workload, &kinds_rules_workload_count},
};

const struct tt_rule *kinds_rule(struct tt_str name)
{
    for (size_t s = 0; s < sizeof rule_sets / sizeof rule_sets[0]; s++) {
        for (size_t i = 0; i < *rule_sets[s].count; i++) {
            if (tt_str_eq_c(name, rule_sets[s].rules[i].name)) {
                return &rule_sets[s].rules[i];
            }
        }
    }
    return NULL;
}

void rule_cause(struct rule_check *ctx, enum tt_issue_kind kind, const struct tt_field_path *path,
                const char *name, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int size = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct tt_field_path here = {.parent = path, .name = tt_str_c(name)};
    struct tt_str at = tt_field_path_format(name[0] != '\0' ? &here : path, ctx->arena);
    tt_issues_add(ctx->causes, kind, at, "%s", size < 0 ? "invalid" : text);
}

const char *rule_show(struct rule_check *ctx, yyjson_mut_val *val)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 1 << 20);
    tt_json_write(&buf, val);
    size_t len = buf.len < SHOW_SIZE_MAX ? buf.len : SHOW_SIZE_MAX;
    const char *copy = len > 0 ? tt_arena_strndup(ctx->arena, buf.ptr, len) : NULL;
    return copy != NULL ? copy : "";
}

static bool is_missing(yyjson_mut_val *val)
{
    return val == NULL || (yyjson_mut_is_str(val) && yyjson_mut_get_len(val) == 0) ||
           (yyjson_mut_is_arr(val) && yyjson_mut_arr_size(val) == 0);
}

static void check_enum(struct rule_check *ctx, const struct tt_field *field, yyjson_mut_val *val,
                       const struct tt_field_path *path)
{
    struct tt_str text = tt_json_str_of(val);
    if (text.len == 0) {
        return; /* unset, or not a string: elements are checked one by one */
    }
    for (size_t i = 0; i < field->enum_count; i++) {
        if (tt_str_eq(field->enums[i], text)) {
            return;
        }
    }
    char list[256] = "";
    size_t len = 0;
    for (size_t i = 0; i < field->enum_count && len < sizeof list; i++) {
        int n = snprintf(list + len, sizeof list - len, "%s\"%.*s\"", i > 0 ? ", " : "",
                         TT_STR_ARG(field->enums[i]));
        len += n > 0 ? (size_t)n : 0;
    }
    rule_cause(ctx, TT_ISSUE_NOT_SUPPORTED, path, "", "Unsupported value: %s: supported values: %s",
               rule_show(ctx, val), list);
}

static void check_limits(struct rule_check *ctx, const struct tt_field *field, yyjson_mut_val *val,
                         const struct tt_field_path *path)
{
    int64_t value;
    if (!tt_json_to_i64(val, &value)) {
        return;
    }
    bool low = field->has_min && value < field->min, high = field->has_max && value > field->max;
    if ((low || high) && field->has_min && field->has_max) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "",
                   "Invalid value: %lld: must be between %lld and %lld, inclusive",
                   (long long)value, (long long)field->min, (long long)field->max);
    } else if (low) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "",
                   "Invalid value: %lld: must be greater than or equal to %lld", (long long)value,
                   (long long)field->min);
    } else if (high) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "",
                   "Invalid value: %lld: must be less than or equal to %lld", (long long)value,
                   (long long)field->max);
    }
}

static void check_map_format(struct rule_check *ctx, const struct tt_field *field,
                             yyjson_mut_val *val, const struct tt_field_path *path)
{
    size_t i, n;
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(val, i, n, key, item)
    {
        const char *why = format_check_key(field->format, tt_json_str_of(key));
        if (why != NULL) {
            rule_cause(ctx, TT_ISSUE_INVALID, path, "", "Invalid value: %s: %s",
                       rule_show(ctx, key), why);
        }
        why = yyjson_mut_is_str(item) ? format_check_value(field->format, tt_json_str_of(item))
                                      : NULL;
        if (why != NULL) {
            rule_cause(ctx, TT_ISSUE_INVALID, path, "", "Invalid value: %s: %s",
                       rule_show(ctx, item), why);
        }
    }
}

static void check_format(struct rule_check *ctx, const struct tt_field *field, yyjson_mut_val *val,
                         const struct tt_field_path *path)
{
    if (yyjson_mut_is_obj(val)) {
        check_map_format(ctx, field, val, path);
        return;
    }
    if (yyjson_mut_is_arr(val)) {
        struct tt_field_path here = {.parent = path};
        size_t n;
        yyjson_mut_val *item;
        yyjson_mut_arr_foreach(val, here.index, n, item)
        {
            if (yyjson_mut_is_str(item)) {
                check_format(ctx, field, item, &here);
            }
        }
        return;
    }
    struct tt_str text = tt_json_str_of(val);
    const char *why = text.len > 0 ? format_check(field->format, text) : NULL;
    if (why != NULL) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "", "Invalid value: %s: %s", rule_show(ctx, val),
                   why);
    }
}

static void check_field(struct rule_check *ctx, const struct tt_field *field, yyjson_mut_val *val,
                        const struct tt_field_path *path)
{
    if (field->enum_count > 0) {
        check_enum(ctx, field, val, path);
    }
    if (field->has_min || field->has_max) {
        check_limits(ctx, field, val, path);
    }
    if (field->format.len > 0) {
        check_format(ctx, field, val, path);
    }
    if (unsafe_yyjson_is_ctn(val)) {
        validate_value(ctx, field->type, val, path);
    }
}

static void validate_object(struct rule_check *ctx, const struct tt_type *type, yyjson_mut_val *val,
                            const struct tt_field_path *path)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const struct tt_field *field = &type->fields[i];
        if (field->required && is_missing(tt_json_member(val, field->name))) {
            struct tt_field_path here = {.parent = path, .name = field->name};
            rule_cause(ctx, TT_ISSUE_REQUIRED, &here, "", "Required value");
        }
    }
    size_t i, n;
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(val, i, n, key, item)
    {
        struct tt_field_path here = {.parent = path, .name = tt_json_str_of(key)};
        const struct tt_field *field = tt_type_field(type, here.name);
        if (field != NULL) {
            check_field(ctx, field, item, &here);
        }
    }
    for (uint32_t k = 0; k < type->rule_count; k++) {
        if (type->rules[k]->check != NULL) {
            type->rules[k]->check(ctx, val, path);
        }
    }
}

static void validate_value(struct rule_check *ctx, const struct tt_type *type, yyjson_mut_val *val,
                           const struct tt_field_path *path)
{
    struct tt_field_path here = {.parent = path};
    size_t i, n;
    yyjson_mut_val *key, *item;
    if (type->kind == TT_TYPE_OBJECT && yyjson_mut_is_obj(val)) {
        validate_object(ctx, type, val, path);
    } else if (type->kind == TT_TYPE_LIST && type->item->kind == TT_TYPE_OBJECT) {
        yyjson_mut_arr_foreach(val, here.index, n, item)
        {
            validate_value(ctx, type->item, item, &here);
        }
    } else if (type->kind == TT_TYPE_MAP && type->item->kind == TT_TYPE_OBJECT) {
        here.is_key = true;
        yyjson_mut_obj_foreach(val, i, n, key, item)
        {
            here.name = tt_json_str_of(key);
            validate_value(ctx, type->item, item, &here);
        }
    }
}

void kinds_validate(struct tt_issues *causes, const struct tt_type *type, yyjson_mut_val *root)
{
    struct rule_check ctx = {.causes = causes, .arena = causes->arena, .root = root};
    validate_value(&ctx, type, root, NULL);
}

void kinds_validate_update(struct tt_issues *causes, const struct tt_type *type,
                           yyjson_mut_val *root, yyjson_mut_val *old)
{
    struct rule_check ctx = {.causes = causes, .arena = causes->arena, .root = root};
    for (uint32_t i = 0; i < type->rule_count; i++) {
        if (type->rules[i]->check_update != NULL) {
            type->rules[i]->check_update(&ctx, root, old);
        }
    }
}
