/* Recursion follows the manifest and is bounded by the documents' depth (64 levels). */
#include "ctl/merge.h"

#include <stdlib.h>

enum { CONFIG_SIZE_MAX = 4 << 20, RETAINED_MAX = 64 };

struct merge {
    yyjson_mut_doc *doc; /* of live */
    bool is_full;        /* the arena */
};

static void merge_objects(struct merge *m, const struct tt_type *type, yyjson_mut_val *live,
                          yyjson_mut_val *last, yyjson_mut_val *next);

static struct tt_str key_of(yyjson_mut_val *key)
{
    return tt_str(yyjson_mut_get_str(key), yyjson_mut_get_len(key));
}

static yyjson_mut_val *copy(struct merge *m, yyjson_mut_val *val)
{
    yyjson_mut_val *result = tt_json_copy(m->doc, val);
    m->is_full = m->is_full || result == NULL;
    return result;
}

static void put(struct merge *m, yyjson_mut_val *obj, struct tt_str name, yyjson_mut_val *val)
{
    if (val == NULL || !tt_json_put(m->doc, obj, name, val)) {
        m->is_full = true;
    }
}

/* ---- lists ---- */

static bool contains(yyjson_mut_val *arr, yyjson_mut_val *val)
{
    yyjson_mut_arr_iter iter = yyjson_mut_arr_iter_with(arr);
    yyjson_mut_val *item;
    while ((item = yyjson_mut_arr_iter_next(&iter)) != NULL) {
        if (tt_json_equal(item, val)) {
            return true;
        }
    }
    return false;
}

/* The item of a list with the same value of the key as `like`. */
static yyjson_mut_val *same_item(yyjson_mut_val *arr, yyjson_mut_val *like, struct tt_str key)
{
    yyjson_mut_val *wanted = tt_json_member(like, key);
    yyjson_mut_arr_iter iter = yyjson_mut_arr_iter_with(arr);
    yyjson_mut_val *item;
    while (wanted != NULL && (item = yyjson_mut_arr_iter_next(&iter)) != NULL) {
        yyjson_mut_val *has = tt_json_member(item, key);
        if (has != NULL && tt_json_equal(has, wanted)) {
            return item;
        }
    }
    return NULL;
}

static void append(struct merge *m, yyjson_mut_val *arr, yyjson_mut_val *val)
{
    if (val == NULL || !yyjson_mut_arr_append(arr, val)) {
        m->is_full = true;
    }
}

static bool all_have(yyjson_mut_val *arr, struct tt_str key)
{
    yyjson_mut_arr_iter iter = yyjson_mut_arr_iter_with(arr);
    yyjson_mut_val *item;
    while ((item = yyjson_mut_arr_iter_next(&iter)) != NULL) {
        if (tt_json_member(item, key) == NULL) {
            return false;
        }
    }
    return true;
}

static void retain_keys(yyjson_mut_val *live, yyjson_mut_val *next)
{
    struct tt_str names[RETAINED_MAX];
    size_t count = 0;
    yyjson_mut_obj_iter iter = yyjson_mut_obj_iter_with(live);
    yyjson_mut_val *key;
    while ((key = yyjson_mut_obj_iter_next(&iter)) != NULL && count < RETAINED_MAX) {
        if (tt_json_member(next, key_of(key)) == NULL) {
            names[count++] = key_of(key);
        }
    }
    for (size_t i = 0; i < count; i++) {
        (void)tt_json_remove(live, names[i]); /* it is there */
    }
}

/* One object of a field: with retainKeys, a change of any member drops the members not named. */
static void merge_member(struct merge *m, const struct tt_field *field, const struct tt_type *type,
                         yyjson_mut_val *live, yyjson_mut_val *const both[2])
{
    bool retains = field != NULL && (field->patch_strategy & TT_PATCH_RETAIN_KEYS) != 0;
    yyjson_mut_val *before = retains ? copy(m, live) : NULL;
    merge_objects(m, type, live, both[0], both[1]);
    if (before != NULL && !tt_json_equal(before, live)) {
        retain_keys(live, both[1]);
    }
}

/* Items of the manifest in its order, then those of others. */
static yyjson_mut_val *merge_keyed(struct merge *m, const struct tt_field *field,
                                   yyjson_mut_val *live, yyjson_mut_val *last, yyjson_mut_val *next)
{
    struct tt_str key = field->merge_key;
    const struct tt_type *type = field->type->item;
    yyjson_mut_val *result = yyjson_mut_arr(m->doc);
    yyjson_mut_arr_iter iter = yyjson_mut_arr_iter_with(next);
    yyjson_mut_val *item;
    while ((item = yyjson_mut_arr_iter_next(&iter)) != NULL) {
        yyjson_mut_val *is = same_item(live, item, key);
        yyjson_mut_val *merged = copy(m, is != NULL ? is : item);
        if (is != NULL && merged != NULL) {
            yyjson_mut_val *const both[2] = {same_item(last, item, key), item};
            merge_member(m, field, type, merged, both);
        }
        append(m, result, merged);
    }
    iter = yyjson_mut_arr_iter_with(live);
    while ((item = yyjson_mut_arr_iter_next(&iter)) != NULL) {
        if (same_item(next, item, key) == NULL && same_item(last, item, key) == NULL) {
            append(m, result, copy(m, item));
        }
    }
    return result;
}

static yyjson_mut_val *merge_set(struct merge *m, yyjson_mut_val *live, yyjson_mut_val *last,
                                 yyjson_mut_val *next)
{
    yyjson_mut_val *result = yyjson_mut_arr(m->doc);
    yyjson_mut_arr_iter iter = yyjson_mut_arr_iter_with(live);
    yyjson_mut_val *item;
    while ((item = yyjson_mut_arr_iter_next(&iter)) != NULL) {
        if (contains(next, item) || !contains(last, item)) {
            append(m, result, copy(m, item));
        }
    }
    iter = yyjson_mut_arr_iter_with(next);
    while ((item = yyjson_mut_arr_iter_next(&iter)) != NULL) {
        if (!contains(result, item)) {
            append(m, result, copy(m, item));
        }
    }
    return result;
}

/* The same items, in any order? Then live stays as it is. */
static bool same_items(yyjson_mut_val *a, yyjson_mut_val *b)
{
    yyjson_mut_arr_iter iter = yyjson_mut_arr_iter_with(a);
    yyjson_mut_val *item;
    while ((item = yyjson_mut_arr_iter_next(&iter)) != NULL) {
        if (!contains(b, item)) {
            return false;
        }
    }
    return yyjson_mut_arr_size(a) == yyjson_mut_arr_size(b);
}

static yyjson_mut_val *merge_lists(struct merge *m, const struct tt_field *field,
                                   yyjson_mut_val *live, yyjson_mut_val *last, yyjson_mut_val *next)
{
    bool merges = field != NULL && (field->patch_strategy & TT_PATCH_MERGE) != 0;
    if (!merges) {
        return copy(m, next);
    }
    if (field->merge_key.len == 0) {
        yyjson_mut_val *set = merge_set(m, live, last, next);
        return same_items(set, live) ? copy(m, live) : set;
    }
    return all_have(next, field->merge_key) ? merge_keyed(m, field, live, last, next)
                                            : copy(m, next);
}

/* ---- objects ---- */

static void merge_field(struct merge *m, const struct tt_type *type, yyjson_mut_val *live,
                        yyjson_mut_val *last, yyjson_mut_val *named)
{
    struct tt_str name = key_of(named);
    bool is_object = type != NULL && type->kind == TT_TYPE_OBJECT;
    const struct tt_field *field = is_object ? tt_type_field(type, name) : NULL;
    const struct tt_type *below = field != NULL ? field->type : NULL;
    if (type != NULL && type->kind == TT_TYPE_MAP) {
        below = type->item;
    }
    yyjson_mut_val *next = yyjson_mut_obj_iter_get_val(named);
    yyjson_mut_val *is = tt_json_member(live, name);
    yyjson_mut_val *was = tt_json_member(last, name);
    if (yyjson_mut_is_null(next)) {
        (void)tt_json_remove(live, name); /* gone or was not there */
    } else if (yyjson_mut_is_obj(is) && yyjson_mut_is_obj(next)) {
        yyjson_mut_val *const both[2] = {was, next};
        merge_member(m, field, below, is, both);
    } else if (yyjson_mut_is_arr(is) && yyjson_mut_is_arr(next)) {
        put(m, live, name, merge_lists(m, field, is, was, next));
    } else if (is == NULL || !tt_json_equal(is, next)) {
        put(m, live, name, copy(m, next));
    }
}

static void merge_objects(struct merge *m, const struct tt_type *type, yyjson_mut_val *live,
                          yyjson_mut_val *last, yyjson_mut_val *next)
{
    yyjson_mut_obj_iter iter = yyjson_mut_obj_iter_with(last);
    yyjson_mut_val *key;
    while ((key = yyjson_mut_obj_iter_next(&iter)) != NULL) {
        if (tt_json_member(next, key_of(key)) == NULL) {
            (void)tt_json_remove(live, key_of(key)); /* someone may have removed it already */
        }
    }
    iter = yyjson_mut_obj_iter_with(next);
    while ((key = yyjson_mut_obj_iter_next(&iter)) != NULL) {
        merge_field(m, type, live, last, key);
    }
}

int ctl_merge(const struct tt_type *type, yyjson_mut_doc *doc, yyjson_mut_val *live,
              yyjson_mut_val *last, yyjson_mut_val *next, struct tt_err *err)
{
    struct merge m = {.doc = doc};
    merge_objects(&m, type, live, last, next);
    return m.is_full ? TT_FAIL(err, TT_ETOOLARGE, "the object is too large to merge") : TT_OK;
}

/* ---- the annotation ---- */

/* As Go's encoder writes text: <, > and & escaped too. */
static void write_text(struct tt_buf *buf, struct tt_str s)
{
    tt_buf_char(buf, '"');
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '"' || c == '\\') {
            tt_buf_char(buf, '\\');
            tt_buf_char(buf, c);
        } else if (c == '\n') {
            tt_buf_c(buf, "\\n");
        } else if (c == '\t') {
            tt_buf_c(buf, "\\t");
        } else if (c == '\r') {
            tt_buf_c(buf, "\\r");
        } else if ((unsigned char)c < 0x20 || c == '<' || c == '>' || c == '&') {
            tt_buf_printf(buf, "\\u%04x", (unsigned)c);
        } else {
            tt_buf_char(buf, c);
        }
    }
    tt_buf_char(buf, '"');
}

struct member {
    struct tt_str name;  /* the key; borrowed */
    yyjson_mut_val *val; /* borrowed */
};

static int by_name(const void *a, const void *b)
{
    const struct member *first = a;
    const struct member *second = b;
    return tt_str_cmp(first->name, second->name);
}

static void write_sorted(struct tt_buf *buf, yyjson_mut_val *val);

static void write_sorted_object(struct tt_buf *buf, yyjson_mut_val *obj)
{
    size_t count = yyjson_mut_obj_size(obj);
    struct member *members = tt_xcalloc(count + 1, sizeof *members);
    yyjson_mut_obj_iter iter = yyjson_mut_obj_iter_with(obj);
    yyjson_mut_val *key;
    for (size_t i = 0; (key = yyjson_mut_obj_iter_next(&iter)) != NULL; i++) {
        members[i] = (struct member){key_of(key), yyjson_mut_obj_iter_get_val(key)};
    }
    qsort(members, count, sizeof *members, by_name);
    tt_buf_char(buf, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            tt_buf_char(buf, ',');
        }
        write_text(buf, members[i].name);
        tt_buf_char(buf, ':');
        write_sorted(buf, members[i].val);
    }
    tt_buf_char(buf, '}');
    tt_free(members);
}

static void write_sorted(struct tt_buf *buf, yyjson_mut_val *val)
{
    if (yyjson_mut_is_obj(val)) {
        write_sorted_object(buf, val);
    } else if (yyjson_mut_is_str(val)) {
        write_text(buf, tt_json_str_of(val));
    } else if (yyjson_mut_is_arr(val)) {
        yyjson_mut_arr_iter iter = yyjson_mut_arr_iter_with(val);
        yyjson_mut_val *item;
        char before = '[';
        while ((item = yyjson_mut_arr_iter_next(&iter)) != NULL) {
            tt_buf_char(buf, before);
            write_sorted(buf, item);
            before = ',';
        }
        tt_buf_c(buf, before == '[' ? "[]" : "]");
    } else {
        tt_json_write(buf, val);
    }
}

int ctl_last_applied_set(yyjson_mut_doc *doc, yyjson_mut_val *object, struct tt_err *err)
{
    yyjson_mut_val *annotations = tt_json_get(object, "metadata.annotations");
    if (!yyjson_mut_is_obj(annotations)) {
        annotations = yyjson_mut_obj(doc);
        if (annotations == NULL || !tt_json_set(doc, object, "metadata.annotations", annotations)) {
            return TT_FAIL(err, TT_EINVAL, "metadata is not an object");
        }
    }
    (void)tt_json_remove(annotations, TT_STR(CTL_LAST_APPLIED)); /* usually absent */
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, CONFIG_SIZE_MAX);
    write_sorted(&text, object);
    tt_buf_char(&text, '\n');
    if (!tt_buf_ok(&text) ||
        !tt_json_put_str(doc, annotations, TT_STR(CTL_LAST_APPLIED), tt_buf_view(&text))) {
        return TT_FAIL(err, TT_ETOOLARGE, "the object is too large");
    }
    return TT_OK;
}

void ctl_last_applied_get(struct tt_arena *arena, yyjson_mut_val *live, yyjson_mut_val **ret)
{
    yyjson_mut_val *annotations = tt_json_get(live, "metadata.annotations");
    struct tt_str text = tt_json_str_of(tt_json_member(annotations, TT_STR(CTL_LAST_APPLIED)));
    yyjson_mut_doc *doc = NULL;
    *ret = NULL;
    if (text.len > 0 &&
        tt_json_parse(arena, text, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, NULL) == TT_OK) {
        *ret = yyjson_mut_doc_get_root(doc);
    }
}
