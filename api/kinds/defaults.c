/* Defaulting: at each object first the fields' defaults, then the type's rules, then its members.
 * Types without defaults anywhere below are not entered, so that most objects cost nothing here. */
#include "api/kinds/decode.h"
#include "api/kinds/rules.h"

static bool fill_value(struct rule_default *ctx, const struct tt_type *type, yyjson_mut_val *val);

/* A default's small document → a value of the object. */
static yyjson_mut_val *default_copy(yyjson_mut_doc *doc, yyjson_val *val)
{
    return yyjson_val_mut_copy(doc, val);
}

/* Absent, or the zero of a field whose zero means unset. */
static bool is_unset(const struct tt_field *field, yyjson_mut_val *val)
{
    int64_t number;
    if (val == NULL || field->pointer) {
        return val == NULL;
    }
    return (yyjson_mut_is_str(val) && yyjson_mut_get_len(val) == 0) ||
           (tt_json_to_i64(val, &number) && number == 0);
}

static bool fill_object(struct rule_default *ctx, const struct tt_type *type, yyjson_mut_val *val)
{
    for (uint32_t i = 0; i < type->field_count; i++) {
        const struct tt_field *field = &type->fields[i];
        if (field->default_value != NULL && is_unset(field, tt_json_member(val, field->name)) &&
            !tt_json_put(ctx->doc, val, field->name,
                         default_copy(ctx->doc, field->default_value))) {
            return false;
        }
    }
    for (uint32_t i = 0; i < type->rule_count; i++) {
        if (type->rules[i]->fill != NULL && !type->rules[i]->fill(ctx, val)) {
            return false;
        }
    }
    size_t i, n;
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(val, i, n, key, item)
    {
        const struct tt_field *field =
            unsafe_yyjson_is_ctn(item) ? tt_type_field(type, tt_json_str_of(key)) : NULL;
        if (field != NULL && !fill_value(ctx, field->type, item)) {
            return false;
        }
    }
    return true;
}

static bool fill_value(struct rule_default *ctx, const struct tt_type *type, yyjson_mut_val *val)
{
    size_t i, n;
    yyjson_mut_val *key, *item;
    if (type->kind == TT_TYPE_OBJECT) {
        return !type->has_defaults || !yyjson_mut_is_obj(val) || fill_object(ctx, type, val);
    }
    if (type->kind == TT_TYPE_LIST && type->item->kind == TT_TYPE_OBJECT) {
        yyjson_mut_arr_foreach(val, i, n, item)
        {
            if (!fill_value(ctx, type->item, item)) {
                return false;
            }
        }
    }
    if (type->kind == TT_TYPE_MAP && type->item->kind == TT_TYPE_OBJECT) {
        yyjson_mut_obj_foreach(val, i, n, key, item)
        {
            if (!fill_value(ctx, type->item, item)) {
                return false;
            }
        }
    }
    return true;
}

bool kinds_fill_defaults(yyjson_mut_doc *doc, const struct tt_type *type, yyjson_mut_val *root)
{
    struct rule_default ctx = {.doc = doc, .root = root};
    return fill_value(&ctx, type, root);
}
