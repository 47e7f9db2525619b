/* Types and normal forms.
 *
 * One walk over tree and schema. Happy path: each member is looked up by hash, each scalar compared
 * with its type. Members that are null count as absent, as they do for Kubernetes' decoder.
 * Failure modes: a wrong type ends the walk with the field's path; unknown fields are listed and
 * removed. Recursion is bounded by the tree's depth. */
#include "api/kinds/decode.h"

#include "api/kinds/quantity.h"
#include "base/clock.h"

static int decode_value(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val,
                        const struct tt_field_path *path);

static const char *type_name(const struct tt_type *type)
{
    switch (type->kind) {
    case TT_TYPE_OBJECT:
    case TT_TYPE_MAP:
        return "object";
    case TT_TYPE_LIST:
        return "array";
    case TT_TYPE_STRING:
        return "string";
    case TT_TYPE_INT32:
        return "int32";
    case TT_TYPE_INT64:
        return "int64";
    case TT_TYPE_BOOL:
        return "boolean";
    case TT_TYPE_NUMBER:
        return "number";
    case TT_TYPE_QUANTITY:
        return "quantity (such as 500m or 2Gi)";
    case TT_TYPE_INT_OR_STRING:
        return "int32 or string";
    case TT_TYPE_TIME:
    case TT_TYPE_MICRO_TIME:
        return "RFC 3339 time";
    case TT_TYPE_DURATION:
        return "duration (such as 1h30m)";
    case TT_TYPE_BYTES:
        return "base64 string";
    case TT_TYPE_ANY:
        break;
    }
    return "value";
}

static const char *json_name(yyjson_mut_val *val)
{
    switch (yyjson_mut_get_type(val)) {
    case YYJSON_TYPE_OBJ:
        return "object";
    case YYJSON_TYPE_ARR:
        return "array";
    case YYJSON_TYPE_STR:
        return "string";
    case YYJSON_TYPE_BOOL:
        return "boolean";
    case YYJSON_TYPE_RAW:
    case YYJSON_TYPE_NUM:
        return "number";
    default:
        return "null";
    }
}

static int mismatch(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val,
                    const struct tt_field_path *path)
{
    struct tt_str at = tt_field_path_format(path, ctx->arena);
    struct tt_str text = tt_json_str_of(val);
    const char *found = json_name(val);
    if (text.ptr != NULL && type->kind != TT_TYPE_OBJECT && type->kind != TT_TYPE_LIST) {
        return TT_FAIL(ctx->err, TT_EINVAL,
                       "json: cannot unmarshal string \"%.*s\" into field "
                       "%.*s of type %s",
                       (int)(text.len < 64 ? text.len : 64), text.ptr, TT_STR_ARG(at),
                       type_name(type));
    }
    return TT_FAIL(ctx->err, TT_EINVAL, "json: cannot unmarshal %s into field %.*s of type %s",
                   found, TT_STR_ARG(at), type_name(type));
}

static void unknown(struct decode *ctx, const struct tt_field_path *path)
{
    if (ctx->issues != NULL) {
        struct tt_str at = tt_field_path_format(path, ctx->arena);
        tt_issues_add(ctx->issues, TT_ISSUE_UNKNOWN_FIELD, at, "unknown field \"%.*s\"",
                      TT_STR_ARG(at));
    }
}

static int decode_object(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val,
                         const struct tt_field_path *path)
{
    yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(val);
    for (yyjson_mut_val *key; (key = yyjson_mut_obj_iter_next(&it)) != NULL;) {
        struct tt_field_path here = {.parent = path, .name = tt_json_str_of(key)};
        yyjson_mut_val *member = yyjson_mut_obj_iter_get_val(key);
        const struct tt_field *field = tt_type_field(type, here.name);
        if (field == NULL && type->keeps_unknown) {
            continue;
        }
        if (field == NULL) {
            unknown(ctx, &here);
        }
        if (field == NULL || (yyjson_mut_is_null(member) && !field->nullable)) {
            (void)yyjson_mut_obj_iter_remove(&it); /* the removed value is not needed */
            continue;
        }
        int r = decode_value(ctx, field->type, member, &here);
        if (r < 0) {
            return r;
        }
    }
    return TT_OK;
}

static int decode_map(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val,
                      const struct tt_field_path *path)
{
    size_t i, n;
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(val, i, n, key, item)
    {
        struct tt_field_path here = {.parent = path, .name = tt_json_str_of(key), .is_key = true};
        if (yyjson_mut_is_null(item) && type->item->kind == TT_TYPE_STRING) {
            unsafe_yyjson_set_strn(item, "", 0); /* Go's zero value */
        }
        int r = decode_value(ctx, type->item, item, &here);
        if (r < 0) {
            return r;
        }
    }
    return TT_OK;
}

static int decode_list(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val,
                       const struct tt_field_path *path)
{
    struct tt_field_path here = {.parent = path};
    size_t n;
    yyjson_mut_val *item;
    yyjson_mut_arr_foreach(val, here.index, n, item)
    {
        int r = decode_value(ctx, type->item, item, &here);
        if (r < 0) {
            return r;
        }
    }
    return TT_OK;
}

/* Replaces a scalar's text by a copy in the arena. */
static int set_text(struct decode *ctx, yyjson_mut_val *val, const char *text, size_t len)
{
    const char *copy = tt_arena_strndup(ctx->arena, text, len);
    if (copy == NULL) {
        return TT_FAIL(ctx->err, TT_ETOOLARGE, "the object needs more memory than allowed");
    }
    unsafe_yyjson_set_strn(val, copy, len);
    return TT_OK;
}

static int decode_quantity(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val,
                           const struct tt_field_path *path)
{
    struct tt_str text = yyjson_mut_is_raw(val)
                             ? tt_str(yyjson_mut_get_raw(val), yyjson_mut_get_len(val))
                             : tt_json_str_of(val);
    struct tt_quantity quantity;
    char canonical[TT_QUANTITY_TEXT_SIZE];
    if (text.ptr == NULL || !tt_quantity_parse(text, &quantity)) {
        return mismatch(ctx, type, val, path);
    }
    size_t len = tt_quantity_format(&quantity, canonical);
    if (yyjson_mut_is_str(val) && tt_str_eq(text, tt_str(canonical, len))) {
        return TT_OK;
    }
    return set_text(ctx, val, canonical, len);
}

static int decode_time(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val,
                       const struct tt_field_path *path)
{
    struct tt_str text = tt_json_str_of(val);
    uint64_t wall_ms;
    if (text.ptr == NULL || !tt_time_parse(text, &wall_ms)) {
        return mismatch(ctx, type, val, path);
    }
    bool normal = text.len == 20 && text.ptr[19] == 'Z';
    if (normal || type->kind == TT_TYPE_MICRO_TIME) {
        return TT_OK;
    }
    char canonical[TT_TIME_TEXT_SIZE];
    return set_text(ctx, val, canonical, tt_time_format(wall_ms, canonical));
}

static bool base64_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

static bool base64_ok(struct tt_str text)
{
    size_t len = text.len;
    if (len % 4 != 0) {
        return false;
    }
    if (len > 0 && text.ptr[len - 1] == '=') {
        len -= text.ptr[len - 2] == '=' ? 2 : 1;
    }
    for (size_t i = 0; i < len; i++) {
        if (!base64_char(text.ptr[i])) {
            return false;
        }
    }
    return true;
}

static int decode_bytes(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val,
                        const struct tt_field_path *path)
{
    struct tt_str text = tt_json_str_of(val);
    if (text.ptr != NULL && memchr(text.ptr, '\n', text.len) != NULL) {
        /* Folded base64 from a manifest: line breaks do not count. */
        char *flat = tt_arena_alloc(ctx->arena, text.len + 1);
        size_t len = 0;
        for (size_t i = 0; flat != NULL && i < text.len; i++) {
            flat[len] = text.ptr[i];
            len += text.ptr[i] != '\n' && text.ptr[i] != '\r';
        }
        if (flat == NULL) {
            return TT_FAIL(ctx->err, TT_ETOOLARGE, "the object needs more memory than allowed");
        }
        text = tt_str(flat, len);
        unsafe_yyjson_set_strn(val, flat, len);
    }
    return text.ptr != NULL && base64_ok(text) ? TT_OK : mismatch(ctx, type, val, path);
}

static bool is_int(yyjson_mut_val *val, int64_t min, int64_t max)
{
    int64_t value;
    return tt_json_to_i64(val, &value) && value >= min && value <= max;
}

static bool scalar_ok(const struct tt_type *type, yyjson_mut_val *val)
{
    int64_t ns;
    switch (type->kind) {
    case TT_TYPE_STRING:
        return yyjson_mut_is_str(val);
    case TT_TYPE_INT32:
        return is_int(val, INT32_MIN, INT32_MAX);
    case TT_TYPE_INT64:
        return is_int(val, INT64_MIN, INT64_MAX);
    case TT_TYPE_BOOL:
        return yyjson_mut_is_bool(val);
    case TT_TYPE_NUMBER:
        return tt_json_is_number(val);
    case TT_TYPE_INT_OR_STRING:
        return yyjson_mut_is_str(val) || is_int(val, INT32_MIN, INT32_MAX);
    case TT_TYPE_DURATION:
        return tt_duration_parse(tt_json_str_of(val), &ns);
    case TT_TYPE_ANY:
        return true;
    case TT_TYPE_OBJECT:
    case TT_TYPE_LIST:
    case TT_TYPE_MAP:
    case TT_TYPE_QUANTITY:
    case TT_TYPE_TIME:
    case TT_TYPE_MICRO_TIME:
    case TT_TYPE_BYTES:
        break;
    }
    return false;
}

static int decode_value(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val,
                        const struct tt_field_path *path)
{
    if (type->kind == TT_TYPE_OBJECT && yyjson_mut_is_obj(val)) {
        return decode_object(ctx, type, val, path);
    }
    if (type->kind == TT_TYPE_LIST && yyjson_mut_is_arr(val)) {
        return decode_list(ctx, type, val, path);
    }
    if (type->kind == TT_TYPE_MAP && yyjson_mut_is_obj(val)) {
        return decode_map(ctx, type, val, path);
    }
    if (type->kind == TT_TYPE_QUANTITY) {
        return decode_quantity(ctx, type, val, path);
    }
    if (type->kind == TT_TYPE_TIME || type->kind == TT_TYPE_MICRO_TIME) {
        return decode_time(ctx, type, val, path);
    }
    if (type->kind == TT_TYPE_BYTES) {
        return decode_bytes(ctx, type, val, path);
    }
    return scalar_ok(type, val) ? TT_OK : mismatch(ctx, type, val, path);
}

int kinds_decode(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val)
{
    TT_ASSERT(ctx->doc != NULL && ctx->arena != NULL);
    return decode_value(ctx, type, val, NULL);
}
