/* Strategic merge patch.
 *
 * Objects merge member by member; null deletes. Lists whose field says `merge` are merged: objects
 * by their merge key, scalars as sets; all others are replaced. Directives come first: $patch on an
 * object (replace, delete), $retainKeys, $deleteFromPrimitiveList/x, and at last
 * $setElementOrder/x, which orders the merged list: elements it names in its order, the others
 * where they stood. A member that is new goes through the same code with an empty target, so that
 * directives and nulls inside it never reach the store. Failure modes: malformed directives,
 * elements without merge key, lists too long to merge pairwise. Recursion is bounded by the patch's
 * depth. */
#include "api/kinds/strategic.h"

#include "base/intmath.h"

/* Comparisons one patch may need: two lists of 2000 elements each. */
enum { PAIRS_MAX = 4 << 20, DIRECTIVE_MAX = 256 };

#define ORDER_PREFIX  TT_STR("$setElementOrder/")
#define DELETE_PREFIX TT_STR("$deleteFromPrimitiveList/")

struct merge {
    yyjson_mut_doc *doc; /* of target and patch; new values are made in it */
    size_t pairs;        /* comparisons so far */
    struct tt_err *err;  /* borrowed */
};

static int merge_object(struct merge *m, const struct tt_type *type, yyjson_mut_val *target,
                        yyjson_mut_val *patch);

static int no_memory(struct merge *m)
{
    return TT_FAIL(m->err, TT_ETOOLARGE, "the patch needs more memory than one request may use");
}

static int spend(struct merge *m, size_t a, size_t b)
{
    size_t pairs;
    if (!tt_size_mul(a, b, &pairs) || pairs > PAIRS_MAX - m->pairs) {
        return TT_FAIL(m->err, TT_ETOOLARGE, "the lists in this patch are too long to merge");
    }
    m->pairs += pairs;
    return TT_OK;
}

static struct tt_str directive(yyjson_mut_val *val)
{
    return tt_json_str_of(yyjson_mut_obj_get(val, "$patch"));
}

/* The element of `list` with the same merge key (or, without key, the same value). */
static yyjson_mut_val *find_element(yyjson_mut_val *list, struct tt_str key, yyjson_mut_val *like)
{
    yyjson_mut_val *wanted = key.len > 0 ? tt_json_member(like, key) : like, *item;
    size_t i, n;
    yyjson_mut_arr_foreach(list, i, n, item)
    {
        yyjson_mut_val *has = key.len > 0 ? tt_json_member(item, key) : item;
        if (has != NULL && tt_json_equal(has, wanted)) {
            return item;
        }
    }
    return NULL;
}

static void remove_element(yyjson_mut_val *list, yyjson_mut_val *element)
{
    yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(list);
    for (yyjson_mut_val *item; (item = yyjson_mut_arr_iter_next(&it)) != NULL;) {
        if (item == element) {
            (void)yyjson_mut_arr_iter_remove(&it); /* the removed value is not needed */
            return;
        }
    }
}

static int merge_scalars(struct merge *m, yyjson_mut_val *target, yyjson_mut_val *patch)
{
    size_t i, n;
    yyjson_mut_val *item;
    yyjson_mut_arr_foreach(patch, i, n, item)
    {
        if (find_element(target, TT_STR(""), item) == NULL &&
            !yyjson_mut_arr_append(target, tt_json_copy(m->doc, item))) {
            return no_memory(m);
        }
    }
    return TT_OK;
}

/* One element of a patch list into the target list. */
static int merge_element(struct merge *m, const struct tt_field *field, yyjson_mut_val *target,
                         yyjson_mut_val *item)
{
    struct tt_str op = directive(item), key = field->merge_key;
    if (!yyjson_mut_is_obj(item) || tt_json_member(item, key) == NULL) {
        return TT_FAIL(m->err, TT_EINVAL,
                       "an element of %.*s does not contain the declared merge key: %.*s",
                       TT_STR_ARG(field->name), TT_STR_ARG(key));
    }
    yyjson_mut_val *found = find_element(target, key, item);
    if (tt_str_eq(op, TT_STR("delete"))) {
        if (found != NULL) {
            remove_element(target, found);
        }
        return TT_OK;
    }
    if (found == NULL) {
        found = yyjson_mut_obj(m->doc);
        if (!yyjson_mut_arr_append(target, found)) {
            return no_memory(m);
        }
    }
    return merge_object(m, field->type->item, found, item);
}

/* {"$patch": "replace"} as an element: the other elements of the patch are the new list. */
static bool replaces_list(yyjson_mut_val *patch)
{
    size_t i, n;
    yyjson_mut_val *item;
    yyjson_mut_arr_foreach(patch, i, n, item)
    {
        if (tt_str_eq(directive(item), TT_STR("replace"))) {
            return true;
        }
    }
    return false;
}

static int merge_list(struct merge *m, const struct tt_field *field, yyjson_mut_val *target,
                      yyjson_mut_val *patch)
{
    size_t i, n;
    yyjson_mut_val *item;
    int r = spend(m, yyjson_mut_arr_size(target) + yyjson_mut_arr_size(patch),
                  yyjson_mut_arr_size(patch));
    if (r < 0) {
        return r;
    }
    if (field->merge_key.len == 0) {
        return merge_scalars(m, target, patch);
    }
    bool replace = replaces_list(patch);
    if (replace) {
        (void)yyjson_mut_arr_clear(target); /* an array: cannot fail */
    }
    yyjson_mut_arr_foreach(patch, i, n, item)
    {
        if (replace && tt_str_eq(directive(item), TT_STR("replace"))) {
            continue;
        }
        r = merge_element(m, field, target, item);
        if (r < 0) {
            return r;
        }
    }
    return TT_OK;
}

/* Position of an element in a list, by merge key or value; -1: not there. */
static ptrdiff_t position(yyjson_mut_val *list, struct tt_str key, yyjson_mut_val *like)
{
    yyjson_mut_val *wanted = key.len > 0 ? tt_json_member(like, key) : like, *item;
    size_t i, n;
    yyjson_mut_arr_foreach(list, i, n, item)
    {
        yyjson_mut_val *has =
            key.len > 0 && yyjson_mut_is_obj(item) ? tt_json_member(item, key) : item;
        if (has != NULL && wanted != NULL && tt_json_equal(has, wanted)) {
            return (ptrdiff_t)i;
        }
    }
    return -1;
}

/* One element while ordering. */
struct placed {
    yyjson_mut_val *val; /* borrowed from the list */
    ptrdiff_t wanted;    /* in $setElementOrder; -1: not named there */
    ptrdiff_t was;       /* before the patch; -1: new */
};

/* Unnamed elements that stood before `was`, or all that are left when `was` is PTRDIFF_MAX. */
static void append_others(yyjson_mut_val *list, struct placed *items, size_t count, size_t *next,
                          ptrdiff_t was)
{
    for (; *next < count; (*next)++) {
        struct placed *at = &items[*next];
        if (at->wanted >= 0) {
            continue;
        }
        if (was != PTRDIFF_MAX && (at->was < 0 || was < 0 || at->was > was)) {
            return;
        }
        (void)yyjson_mut_arr_append(list, at->val); /* both exist: cannot fail */
    }
}

/* Named elements in their order, the others merged in by where they stood before. */
static void interleave(yyjson_mut_val *list, struct placed *items, size_t count, size_t order_size)
{
    size_t next = 0;
    (void)yyjson_mut_arr_clear(list); /* an array: cannot fail */
    for (size_t w = 0; w < order_size; w++) {
        for (size_t i = 0; i < count; i++) {
            if (items[i].wanted == (ptrdiff_t)w) {
                append_others(list, items, count, &next, items[i].was);
                (void)yyjson_mut_arr_append(list, items[i].val); /* cannot fail either */
            }
        }
    }
    append_others(list, items, count, &next, PTRDIFF_MAX);
}

static int set_order(struct merge *m, struct tt_str key, yyjson_mut_val *list,
                     yyjson_mut_val *before, yyjson_mut_val *order)
{
    size_t count = yyjson_mut_arr_size(list), size = yyjson_mut_arr_size(order), n;
    if (count == 0) {
        return TT_OK;
    }
    int r = spend(m, count, size + yyjson_mut_arr_size(before));
    r = r == TT_OK ? spend(m, count, size) : r;
    if (r < 0) {
        return r;
    }
    TT_AUTO_FREE struct placed *items = tt_xcalloc(count, sizeof *items);
    size_t i;
    yyjson_mut_val *item;
    yyjson_mut_arr_foreach(list, i, n, item)
    {
        items[i] = (struct placed){
            .val = item, .wanted = position(order, key, item), .was = position(before, key, item)};
    }
    interleave(list, items, count, size);
    return TT_OK;
}

static int delete_scalars(struct merge *m, yyjson_mut_val *list, yyjson_mut_val *gone)
{
    int r = spend(m, yyjson_mut_arr_size(list), yyjson_mut_arr_size(gone));
    if (r < 0) {
        return r;
    }
    yyjson_mut_arr_iter it = yyjson_mut_arr_iter_with(list);
    for (yyjson_mut_val *item; (item = yyjson_mut_arr_iter_next(&it)) != NULL;) {
        if (find_element(gone, TT_STR(""), item) != NULL) {
            (void)yyjson_mut_arr_iter_remove(&it); /* the removed value is not needed */
        }
    }
    return TT_OK;
}

static int retain_keys(struct merge *m, yyjson_mut_val *target, yyjson_mut_val *keys)
{
    if (!yyjson_mut_is_arr(keys)) {
        return TT_FAIL(m->err, TT_EINVAL, "$retainKeys is not a list");
    }
    int r = spend(m, yyjson_mut_obj_size(target), yyjson_mut_arr_size(keys));
    if (r < 0) {
        return r;
    }
    yyjson_mut_obj_iter it = yyjson_mut_obj_iter_with(target);
    for (yyjson_mut_val *key; (key = yyjson_mut_obj_iter_next(&it)) != NULL;) {
        if (find_element(keys, TT_STR(""), key) == NULL) {
            (void)yyjson_mut_obj_iter_remove(&it); /* the removed value is not needed */
        }
    }
    return TT_OK;
}

static const struct tt_field *field_of(const struct tt_type *type, struct tt_str name)
{
    return type != NULL && type->kind == TT_TYPE_OBJECT ? tt_type_field(type, name) : NULL;
}

static bool merges_list(const struct tt_field *field)
{
    return field != NULL && (field->patch_strategy & TT_PATCH_MERGE) != 0 &&
           field->type->kind == TT_TYPE_LIST;
}

/* The list of the patch under the field's name merged or put in place, then ordered. */
static int merge_list_member(struct merge *m, const struct tt_field *field, yyjson_mut_val *target,
                             yyjson_mut_val *patch, yyjson_mut_val *order)
{
    yyjson_mut_val *list = tt_json_member(target, field->name);
    yyjson_mut_val *before = list != NULL && order != NULL ? tt_json_copy(m->doc, list) : NULL;
    if (!yyjson_mut_is_arr(list) && patch != NULL) {
        list = yyjson_mut_arr(m->doc);
        if (!tt_json_put(m->doc, target, field->name, list)) {
            return no_memory(m);
        }
    }
    int r = patch != NULL ? merge_list(m, field, list, patch) : TT_OK;
    if (r == TT_OK && yyjson_mut_is_arr(list) && yyjson_mut_is_arr(order)) {
        r = set_order(m, field->merge_key, list, before, order);
    }
    return r;
}

static int merge_child_object(struct merge *m, const struct tt_type *type, yyjson_mut_val *target,
                              struct tt_str name, yyjson_mut_val *patch)
{
    yyjson_mut_val *child = tt_json_member(target, name);
    if (tt_str_eq(directive(patch), TT_STR("delete"))) {
        (void)tt_json_remove(target, name); /* absent is fine */
        return TT_OK;
    }
    if (!yyjson_mut_is_obj(child)) {
        child = yyjson_mut_obj(m->doc);
        if (!tt_json_put(m->doc, target, name, child)) {
            return no_memory(m);
        }
    }
    return merge_object(m, type, child, patch);
}

static struct tt_str member_name(struct tt_str directive_key, struct tt_str prefix)
{
    return tt_str_skip(directive_key, prefix.len);
}

/* A member whose name starts with '$'. */
static int merge_directive(struct merge *m, const struct tt_type *type, yyjson_mut_val *target,
                           yyjson_mut_val *patch, yyjson_mut_val *key)
{
    struct tt_str name = tt_json_str_of(key);
    yyjson_mut_val *val = yyjson_mut_obj_iter_get_val(key);
    if (tt_str_eq(name, TT_STR("$patch")) || tt_str_eq(name, TT_STR("$retainKeys"))) {
        return TT_OK; /* done before the members */
    }
    if (!yyjson_mut_is_arr(val)) {
        return TT_FAIL(m->err, TT_EINVAL, "%.*s is not a list",
                       TT_STR_ARG(tt_str_head(name, DIRECTIVE_MAX / 2)));
    }
    if (tt_str_starts(name, DELETE_PREFIX)) {
        yyjson_mut_val *list = tt_json_member(target, member_name(name, DELETE_PREFIX));
        return yyjson_mut_is_arr(list) ? delete_scalars(m, list, val) : TT_OK;
    }
    if (tt_str_starts(name, ORDER_PREFIX)) {
        struct tt_str of = member_name(name, ORDER_PREFIX);
        const struct tt_field *field = field_of(type, of);
        /* With a list of that name in the patch the order is applied there. */
        return merges_list(field) && tt_json_member(patch, of) == NULL
                   ? merge_list_member(m, field, target, NULL, val)
                   : TT_OK;
    }
    return TT_FAIL(m->err, TT_EINVAL, "unknown directive %.*s in the patch",
                   TT_STR_ARG(tt_str_head(name, DIRECTIVE_MAX / 2)));
}

static int merge_member(struct merge *m, const struct tt_type *type, yyjson_mut_val *target,
                        yyjson_mut_val *patch, yyjson_mut_val *key)
{
    struct tt_str name = tt_json_str_of(key);
    yyjson_mut_val *val = yyjson_mut_obj_iter_get_val(key);
    const struct tt_field *field = field_of(type, name);
    if (yyjson_mut_is_null(val)) {
        (void)tt_json_remove(target, name); /* absent is fine */
        return TT_OK;
    }
    if (yyjson_mut_is_arr(val) && merges_list(field)) {
        char order_name[DIRECTIVE_MAX];
        yyjson_mut_val *order = NULL;
        if (name.len + ORDER_PREFIX.len < sizeof order_name) {
            memcpy(order_name, ORDER_PREFIX.ptr, ORDER_PREFIX.len);
            memcpy(order_name + ORDER_PREFIX.len, name.ptr, name.len);
            order = tt_json_member(patch, tt_str(order_name, ORDER_PREFIX.len + name.len));
        }
        return merge_list_member(m, field, target, val, order);
    }
    if (yyjson_mut_is_obj(val)) {
        const struct tt_type *child = field != NULL                               ? field->type
                                      : type != NULL && type->kind == TT_TYPE_MAP ? type->item
                                                                                  : NULL;
        return merge_child_object(m, child, target, name, val);
    }
    yyjson_mut_val *copy = tt_json_copy(m->doc, val);
    return tt_json_put(m->doc, target, name, copy) ? TT_OK : no_memory(m);
}

static int merge_object(struct merge *m, const struct tt_type *type, yyjson_mut_val *target,
                        yyjson_mut_val *patch)
{
    struct tt_str op = directive(patch);
    if (op.len > 0 && !tt_str_eq(op, TT_STR("replace")) && !tt_str_eq(op, TT_STR("merge")) &&
        !tt_str_eq(op, TT_STR("delete"))) {
        return TT_FAIL(m->err, TT_EINVAL, "unknown $patch directive \"%.*s\"",
                       TT_STR_ARG(tt_str_head(op, DIRECTIVE_MAX / 2)));
    }
    if (tt_str_eq(op, TT_STR("replace")) || tt_str_eq(op, TT_STR("delete"))) {
        (void)yyjson_mut_obj_clear(target); /* an object: cannot fail */
    }
    if (tt_str_eq(op, TT_STR("delete"))) {
        return TT_OK;
    }
    int r = spend(m, yyjson_mut_obj_size(target) + yyjson_mut_obj_size(patch),
                  yyjson_mut_obj_size(patch));
    yyjson_mut_val *retain = yyjson_mut_obj_get(patch, "$retainKeys");
    if (r == TT_OK && retain != NULL) {
        r = retain_keys(m, target, retain);
    }
    size_t i, n;
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(patch, i, n, key, item)
    {
        struct tt_str name = tt_json_str_of(key);
        bool special = name.len > 0 && name.ptr[0] == '$';
        r = r < 0     ? r
            : special ? merge_directive(m, type, target, patch, key)
                      : merge_member(m, type, target, patch, key);
    }
    return r;
}

int tt_strategic_merge(const struct tt_type *type, yyjson_mut_doc *doc, yyjson_mut_val *target,
                       yyjson_mut_val *patch, struct tt_err *err)
{
    struct merge m = {.doc = doc, .err = err};
    if (!yyjson_mut_is_obj(target) || !yyjson_mut_is_obj(patch)) {
        return TT_FAIL(err, TT_EINVAL, "a strategic merge patch is an object");
    }
    return merge_object(&m, type, target, patch);
}
