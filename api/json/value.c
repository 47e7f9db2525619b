/* Reading, changing, comparing and writing values. Recursion is bounded by TT_JSON_DEPTH_MAX:
 * parsing guarantees it, tt_json_check restores it after patches. */
#include <stdlib.h>

#include "api/json/json.h"

enum { PATH_PARTS_MAX = 16, NAIVE_MEMBERS_MAX = 32, NUMBER_SIZE_MAX = 64 };

static bool check_value(yyjson_mut_val *val, unsigned depth, size_t *budget)
{
    if (*budget == 0 || depth > TT_JSON_DEPTH_MAX) {
        return false;
    }
    (*budget)--;
    size_t i, count;
    yyjson_mut_val *key, *item;
    if (yyjson_mut_is_arr(val)) {
        yyjson_mut_arr_foreach(val, i, count, item)
        {
            if (!check_value(item, depth + 1, budget)) {
                return false;
            }
        }
    } else if (yyjson_mut_is_obj(val)) {
        yyjson_mut_obj_foreach(val, i, count, key, item)
        {
            if (!check_value(item, depth + 1, budget)) {
                return false;
            }
        }
    }
    return true;
}

int tt_json_check(yyjson_mut_val *val, size_t count_max, struct tt_err *err)
{
    size_t budget = count_max;
    if (!check_value(val, 0, &budget)) {
        return TT_FAIL(err, TT_ETOOLARGE, "the result is deeper than %d levels or too large",
                       (int)TT_JSON_DEPTH_MAX);
    }
    return TT_OK;
}

static yyjson_mut_val *copy_value(yyjson_mut_doc *doc, yyjson_mut_val *val, unsigned depth)
{
    size_t i, count;
    yyjson_mut_val *key, *item;
    if (val == NULL || depth > TT_JSON_DEPTH_MAX) {
        return NULL;
    }
    if (yyjson_mut_is_arr(val)) {
        yyjson_mut_val *out = yyjson_mut_arr(doc);
        yyjson_mut_arr_foreach(val, i, count, item)
        {
            if (!yyjson_mut_arr_append(out, copy_value(doc, item, depth + 1))) {
                return NULL;
            }
        }
        return out;
    }
    if (yyjson_mut_is_obj(val)) {
        yyjson_mut_val *out = yyjson_mut_obj(doc);
        yyjson_mut_obj_foreach(val, i, count, key, item)
        {
            yyjson_mut_val *name =
                yyjson_mut_strncpy(doc, unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key));
            if (!yyjson_mut_obj_add(out, name, copy_value(doc, item, depth + 1))) {
                return NULL;
            }
        }
        return out;
    }
    if (yyjson_mut_is_raw(val)) {
        return yyjson_mut_rawncpy(doc, yyjson_mut_get_raw(val), yyjson_mut_get_len(val));
    }
    if (yyjson_mut_is_str(val)) {
        return yyjson_mut_strncpy(doc, yyjson_mut_get_str(val), yyjson_mut_get_len(val));
    }
    yyjson_mut_val *out = yyjson_mut_null(doc);
    if (out != NULL) {
        out->tag = val->tag;
        out->uni = val->uni;
    }
    return out;
}

yyjson_mut_val *tt_json_copy(yyjson_mut_doc *doc, yyjson_mut_val *val)
{
    return copy_value(doc, val, 0);
}

struct tt_str tt_json_str_of(yyjson_mut_val *val)
{
    return yyjson_mut_is_str(val) ? tt_str(yyjson_mut_get_str(val), yyjson_mut_get_len(val))
                                  : TT_STR_NONE;
}

struct tt_str tt_json_istr_of(yyjson_val *val)
{
    return yyjson_is_str(val) ? tt_str(yyjson_get_str(val), yyjson_get_len(val)) : TT_STR_NONE;
}

/* "3", "-3"; also "3.0" and "3e2", which Kubernetes' decoder takes for whole numbers too. */
static bool raw_to_i64(struct tt_str text, int64_t *ret)
{
    if (tt_str_to_i64(text, ret)) {
        return true;
    }
    char copy[NUMBER_SIZE_MAX];
    if (text.len == 0 || text.len >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    char *end = NULL;
    double value = strtod(copy, &end);
    if (end != copy + text.len || !(value >= -9007199254740992.0 && value <= 9007199254740992.0) ||
        value != (double)(int64_t)value) {
        return false;
    }
    *ret = (int64_t)value;
    return true;
}

bool tt_json_to_i64(yyjson_mut_val *val, int64_t *ret)
{
    if (yyjson_mut_is_raw(val)) {
        return raw_to_i64(tt_str(yyjson_mut_get_raw(val), yyjson_mut_get_len(val)), ret);
    }
    if (yyjson_mut_is_sint(val)) {
        *ret = yyjson_mut_get_sint(val);
        return true;
    }
    if (yyjson_mut_is_uint(val) && yyjson_mut_get_uint(val) <= INT64_MAX) {
        *ret = (int64_t)yyjson_mut_get_uint(val);
        return true;
    }
    return false;
}

bool tt_json_ito_i64(yyjson_val *val, int64_t *ret)
{
    if (yyjson_is_raw(val)) {
        return raw_to_i64(tt_str(yyjson_get_raw(val), yyjson_get_len(val)), ret);
    }
    return false;
}

bool tt_json_to_double(yyjson_mut_val *val, double *ret)
{
    if (!tt_json_is_number(val)) {
        return false;
    }
    if (!yyjson_mut_is_raw(val)) {
        *ret = yyjson_mut_get_num(val);
        return true;
    }
    char copy[NUMBER_SIZE_MAX * 8];
    size_t len = yyjson_mut_get_len(val);
    if (len >= sizeof copy) {
        return false;
    }
    memcpy(copy, yyjson_mut_get_raw(val), len);
    copy[len] = '\0';
    char *end = NULL;
    double value = strtod(copy, &end);
    if (end != copy + len) {
        return false;
    }
    *ret = value;
    return true;
}

bool tt_json_is_number(yyjson_mut_val *val)
{
    return yyjson_mut_is_raw(val) || yyjson_mut_is_num(val);
}

yyjson_mut_val *tt_json_member(yyjson_mut_val *obj, struct tt_str name)
{
    return name.ptr != NULL ? yyjson_mut_obj_getn(obj, name.ptr, name.len) : NULL;
}

yyjson_mut_val *tt_json_get(yyjson_mut_val *root, const char *dotted)
{
    struct tt_str path = tt_str_c(dotted), part;
    for (int i = 0; i < PATH_PARTS_MAX && root != NULL && tt_str_cut(&path, '.', &part); i++) {
        root = yyjson_mut_obj_getn(root, part.ptr, part.len);
    }
    return root;
}

yyjson_val *tt_json_iget(yyjson_val *root, const char *dotted)
{
    struct tt_str path = tt_str_c(dotted), part;
    for (int i = 0; i < PATH_PARTS_MAX && root != NULL && tt_str_cut(&path, '.', &part); i++) {
        root = yyjson_obj_getn(root, part.ptr, part.len);
    }
    return root;
}

struct tt_str tt_json_get_str(yyjson_mut_val *root, const char *dotted)
{
    return tt_json_str_of(tt_json_get(root, dotted));
}

struct tt_str tt_json_iget_str(yyjson_val *root, const char *dotted)
{
    return tt_json_istr_of(tt_json_iget(root, dotted));
}

int64_t tt_json_get_i64(yyjson_mut_val *root, const char *dotted, int64_t fallback)
{
    int64_t value = fallback;
    return tt_json_to_i64(tt_json_get(root, dotted), &value) ? value : fallback;
}

int64_t tt_json_iget_i64(yyjson_val *root, const char *dotted, int64_t fallback)
{
    int64_t value = fallback;
    return tt_json_ito_i64(tt_json_iget(root, dotted), &value) ? value : fallback;
}

bool tt_json_put(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct tt_str name, yyjson_mut_val *val)
{
    if (!yyjson_mut_is_obj(obj) || val == NULL || name.ptr == NULL) {
        return false;
    }
    yyjson_mut_val *key = yyjson_mut_strncpy(doc, name.ptr, name.len);
    if (key == NULL) {
        return false;
    }
    if (yyjson_mut_obj_getn(obj, name.ptr, name.len) != NULL) {
        return yyjson_mut_obj_replace(obj, key, val);
    }
    return yyjson_mut_obj_add(obj, key, val);
}

bool tt_json_put_str(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct tt_str name,
                     struct tt_str value)
{
    return tt_json_put(doc, obj, name,
                       yyjson_mut_strncpy(doc, value.ptr != NULL ? value.ptr : "", value.len));
}

bool tt_json_put_i64(yyjson_mut_doc *doc, yyjson_mut_val *obj, struct tt_str name, int64_t value)
{
    return tt_json_put(doc, obj, name, yyjson_mut_sint(doc, value));
}

bool tt_json_set(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *dotted, yyjson_mut_val *val)
{
    struct tt_str path = tt_str_c(dotted), part;
    for (int i = 0; i < PATH_PARTS_MAX && tt_str_cut(&path, '.', &part); i++) {
        if (path.ptr == NULL || path.len == 0) {
            return tt_json_put(doc, root, part, val);
        }
        yyjson_mut_val *next = tt_json_member(root, part);
        if (next == NULL || yyjson_mut_is_null(next)) {
            next = yyjson_mut_obj(doc);
            if (!tt_json_put(doc, root, part, next)) {
                return false;
            }
        }
        root = next;
    }
    return false;
}

bool tt_json_set_str(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *dotted,
                     struct tt_str value)
{
    return tt_json_set(doc, root, dotted,
                       yyjson_mut_strncpy(doc, value.ptr != NULL ? value.ptr : "", value.len));
}

bool tt_json_remove(yyjson_mut_val *obj, struct tt_str name)
{
    return name.ptr != NULL && yyjson_mut_obj_remove_keyn(obj, name.ptr, name.len) != NULL;
}

bool tt_json_remove_path(yyjson_mut_val *root, const char *dotted)
{
    struct tt_str path = tt_str_c(dotted), part;
    for (int i = 0; i < PATH_PARTS_MAX && root != NULL && tt_str_cut(&path, '.', &part); i++) {
        if (path.ptr == NULL || path.len == 0) {
            return tt_json_remove(root, part);
        }
        root = tt_json_member(root, part);
    }
    return false;
}

static int cmp_member(const void *a, const void *b)
{
    yyjson_mut_val *const *x = a, *const *y = b;
    return tt_str_cmp(tt_json_str_of(*x), tt_json_str_of(*y));
}

static yyjson_mut_val **sorted_keys(yyjson_mut_val *obj, size_t count)
{
    yyjson_mut_val **keys = tt_xcalloc(count, sizeof(yyjson_mut_val *));
    size_t i, n;
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(obj, i, n, key, item)
    {
        keys[i] = key;
    }
    qsort(keys, count, sizeof(yyjson_mut_val *), cmp_member);
    return keys;
}

static bool large_objects_equal(yyjson_mut_val *a, yyjson_mut_val *b, size_t count)
{
    TT_AUTO_FREE yyjson_mut_val **x = sorted_keys(a, count);
    TT_AUTO_FREE yyjson_mut_val **y = sorted_keys(b, count);
    bool equal = true;
    for (size_t i = 0; equal && i < count; i++) {
        equal = cmp_member(&x[i], &y[i]) == 0 && tt_json_equal(x[i]->next, y[i]->next);
    }
    return equal;
}

static bool objects_equal(yyjson_mut_val *a, yyjson_mut_val *b)
{
    size_t i, count = yyjson_mut_obj_size(a);
    if (count != yyjson_mut_obj_size(b)) {
        return false;
    }
    if (count > NAIVE_MEMBERS_MAX) {
        return large_objects_equal(a, b, count);
    }
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(b);
    yyjson_mut_obj_foreach(a, i, count, key, item)
    {
        yyjson_mut_val *other =
            yyjson_mut_obj_iter_getn(&it, unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key));
        if (other == NULL || !tt_json_equal(item, other)) {
            return false;
        }
    }
    return true;
}

static bool numbers_equal(yyjson_mut_val *a, yyjson_mut_val *b)
{
    if (yyjson_mut_is_raw(a) && yyjson_mut_is_raw(b) &&
        tt_str_eq(tt_str(yyjson_mut_get_raw(a), yyjson_mut_get_len(a)),
                  tt_str(yyjson_mut_get_raw(b), yyjson_mut_get_len(b)))) {
        return true;
    }
    int64_t x, y;
    return tt_json_to_i64(a, &x) && tt_json_to_i64(b, &y) && x == y;
}

bool tt_json_equal(yyjson_mut_val *a, yyjson_mut_val *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    if (tt_json_is_number(a) && tt_json_is_number(b)) {
        return numbers_equal(a, b);
    }
    if (yyjson_mut_get_type(a) != yyjson_mut_get_type(b)) {
        return false;
    }
    if (yyjson_mut_is_obj(a)) {
        return objects_equal(a, b);
    }
    if (yyjson_mut_is_arr(a)) {
        size_t i, count = yyjson_mut_arr_size(a);
        bool equal = count == yyjson_mut_arr_size(b);
        yyjson_mut_val *item, *other = equal ? yyjson_mut_arr_get_first(b) : NULL;
        yyjson_mut_arr_foreach(a, i, count, item)
        {
            if (!equal) {
                break;
            }
            equal = tt_json_equal(item, other);
            other = other->next;
        }
        return equal;
    }
    return yyjson_mut_is_str(a) ? tt_str_eq(tt_json_str_of(a), tt_json_str_of(b))
                                : a->tag == b->tag;
}
