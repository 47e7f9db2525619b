/* Merge patches and JSON patches.
 *
 * A JSON patch runs operation by operation on the target; pointers are RFC 6901. Work is bounded:
 * by the number of operations, by the values that may be copied, by the depth of a pointer and of
 * what is put under it (so that operations cannot build a tree deeper than TT_JSON_DEPTH_MAX), and
 * by the steps spent walking arrays and objects. Failure modes: each names the operation's index.
 */
#include "api/json/patch.h"

#include "base/intmath.h"

enum {
    STEPS_MAX = 20 << 20, /* members and elements looked at */
    MERGE_PAIRS_MAX = 64 << 20,
};

struct patching {
    yyjson_mut_doc *doc;  /* borrowed; the target's: new values are made in it */
    yyjson_mut_val *root; /* the target as changed so far; an operation may replace it */
    size_t index;         /* of the operation */
    size_t steps;         /* spent */
    size_t values;        /* copied */
    struct tt_err *err;   /* the caller's; may be NULL */
};
/* Where a pointer leads. */
struct place {
    yyjson_mut_val *parent; /* NULL: the root itself */
    yyjson_mut_val *val;    /* what is there; NULL: nothing */
    struct tt_str name;     /* member of an object parent, unescaped */
    size_t at;              /* element of an array parent; its size for "-" */
    unsigned depth;         /* of val */
};

static int merge(yyjson_mut_doc *doc, yyjson_mut_val *target, yyjson_mut_val *patch, size_t *pairs,
                 struct tt_err *err);

static int no_memory(struct tt_err *err)
{
    return TT_FAIL(err, TT_ETOOLARGE, "the patch needs more memory than one request may use");
}

static int merge_member(yyjson_mut_doc *doc, yyjson_mut_val *target, yyjson_mut_val *key,
                        size_t *pairs, struct tt_err *err)
{
    struct tt_str name = tt_json_str_of(key);
    yyjson_mut_val *val = yyjson_mut_obj_iter_get_val(key);
    if (yyjson_mut_is_null(val)) {
        (void)tt_json_remove(target, name); /* absent is fine */
        return TT_OK;
    }
    if (!yyjson_mut_is_obj(val)) {
        return tt_json_put(doc, target, name, tt_json_copy(doc, val)) ? TT_OK : no_memory(err);
    }
    yyjson_mut_val *child = tt_json_member(target, name);
    if (!yyjson_mut_is_obj(child)) {
        child = yyjson_mut_obj(doc);
        if (!tt_json_put(doc, target, name, child)) {
            return no_memory(err);
        }
    }
    return merge(doc, child, val, pairs, err);
}

/* Recursion is bounded by the patch's depth. */
static int merge(yyjson_mut_doc *doc, yyjson_mut_val *target, yyjson_mut_val *patch, size_t *pairs,
                 struct tt_err *err)
{
    size_t i, n, work;
    yyjson_mut_val *key, *item;
    if (!tt_size_mul(yyjson_mut_obj_size(patch),
                     yyjson_mut_obj_size(target) + yyjson_mut_obj_size(patch), &work) ||
        work > MERGE_PAIRS_MAX - *pairs) {
        return TT_FAIL(err, TT_ETOOLARGE, "the patch has too many members to merge");
    }
    *pairs += work;
    yyjson_mut_obj_foreach(patch, i, n, key, item)
    {
        int r = merge_member(doc, target, key, pairs, err);
        if (r < 0) {
            return r;
        }
    }
    return TT_OK;
}

int tt_json_merge_patch(yyjson_mut_doc *doc, yyjson_mut_val *target, yyjson_mut_val *patch,
                        yyjson_mut_val **ret_root, struct tt_err *err)
{
    size_t pairs = 0;
    if (!yyjson_mut_is_obj(patch)) {
        yyjson_mut_val *copy = tt_json_copy(doc, patch);
        if (copy == NULL) {
            return no_memory(err);
        }
        *ret_root = copy;
        return TT_OK;
    }
    yyjson_mut_val *root = yyjson_mut_is_obj(target) ? target : yyjson_mut_obj(doc);
    if (root == NULL) {
        return no_memory(err);
    }
    int r = merge(doc, root, patch, &pairs, err);
    if (r == TT_OK) {
        *ret_root = root;
    }
    return r;
}

static int op_fail(struct patching *p, int code, struct tt_str path, const char *why)
{
    return TT_FAIL(p->err, code, "JSON patch operation %zu: path \"%.*s\": %s", p->index,
                   TT_STR_ARG(tt_str_head(path, 100)), why);
}

/* ~0 and ~1 → '~' and '/'. */
static bool unescape(struct patching *p, struct tt_str part, struct tt_str *ret)
{
    if (tt_str_find(part, '~') < 0) {
        *ret = part;
        return true;
    }
    char *out = p->doc->alc.malloc(p->doc->alc.ctx, part.len + 1);
    size_t len = 0;
    for (size_t i = 0; out != NULL && i < part.len; i++) {
        char c = part.ptr[i];
        if (c == '~') {
            i++;
            if (i == part.len || (part.ptr[i] != '0' && part.ptr[i] != '1')) {
                return false;
            }
            c = part.ptr[i] == '0' ? '~' : '/';
        }
        out[len++] = c;
    }
    *ret = tt_str(out, len);
    return out != NULL;
}

/* "0", "12", or "-" for the end; no leading zeros. */
static bool parse_index(struct tt_str part, size_t count, size_t *ret)
{
    uint64_t index;
    if (tt_str_eq(part, TT_STR("-"))) {
        *ret = count;
        return true;
    }
    if (part.len == 0 || (part.len > 1 && part.ptr[0] == '0') || part.ptr[0] < '0' ||
        part.ptr[0] > '9' || !tt_str_to_u64(part, &index) || index > count) {
        return false;
    }
    *ret = (size_t)index;
    return true;
}

/* One step down from place->val. */
static int descend(struct patching *p, struct place *place, struct tt_str part, struct tt_str path)
{
    yyjson_mut_val *parent = place->val;
    place->parent = parent;
    place->depth++;
    if (place->depth > TT_JSON_DEPTH_MAX) {
        return op_fail(p, TT_EINVALID, path, "is too deep");
    }
    if (yyjson_mut_is_obj(parent)) {
        p->steps += yyjson_mut_obj_size(parent);
        if (!unescape(p, part, &place->name)) {
            return op_fail(p, TT_EINVAL, path, "has a bad escape");
        }
        place->val = tt_json_member(parent, place->name);
    } else if (yyjson_mut_is_arr(parent)) {
        size_t count = yyjson_mut_arr_size(parent);
        if (!parse_index(part, count, &place->at)) {
            return op_fail(p, TT_EINVALID, path, "is no index of that array");
        }
        p->steps += place->at;
        place->val = place->at < count ? yyjson_mut_arr_get(parent, place->at) : NULL;
    } else {
        return op_fail(p, TT_EINVALID, path, "does not exist");
    }
    return p->steps <= STEPS_MAX ? TT_OK
                                 : TT_FAIL(p->err, TT_ETOOLARGE, "the JSON patch is too large");
}

static int resolve(struct patching *p, struct tt_str path, struct place *ret)
{
    struct tt_str rest = path, part;
    *ret = (struct place){.val = p->root};
    if (path.len == 0) {
        return TT_OK;
    }
    if (path.ptr[0] != '/') {
        return op_fail(p, TT_EINVAL, path, "does not start with '/'");
    }
    rest = tt_str_skip(rest, 1);
    rest.ptr = rest.ptr != NULL ? rest.ptr : ""; /* "/" has one empty part */
    while (tt_str_cut(&rest, '/', &part)) {
        if (ret->val == NULL) {
            return op_fail(p, TT_EINVALID, path, "does not exist");
        }
        int r = descend(p, ret, part, path);
        if (r < 0) {
            return r;
        }
    }
    return TT_OK;
}

static bool put_at(struct patching *p, const struct place *place, yyjson_mut_val *val, bool replace)
{
    if (place->parent == NULL) {
        p->root = val;
        return true;
    }
    if (yyjson_mut_is_obj(place->parent)) {
        return tt_json_put(p->doc, place->parent, place->name, val);
    }
    return replace ? yyjson_mut_arr_replace(place->parent, place->at, val) != NULL
                   : yyjson_mut_arr_insert(place->parent, val, place->at);
}

static void remove_at(struct patching *p, const struct place *place)
{
    if (place->parent == NULL) {
        p->root = yyjson_mut_null(p->doc);
    } else if (yyjson_mut_is_obj(place->parent)) {
        (void)tt_json_remove(place->parent, place->name); /* resolve found it */
    } else {
        (void)yyjson_mut_arr_remove(place->parent, place->at); /* resolve found it */
    }
}

static size_t count_values(yyjson_mut_val *val, unsigned depth, unsigned *deepest)
{
    size_t i, n, total = 1;
    yyjson_mut_val *key, *item;
    *deepest = depth > *deepest ? depth : *deepest;
    if (depth > 2 * TT_JSON_DEPTH_MAX) {
        return total; /* too deep anyway */
    }
    if (yyjson_mut_is_arr(val)) {
        yyjson_mut_arr_foreach(val, i, n, item)
        {
            total += count_values(item, depth + 1, deepest);
        }
    } else if (yyjson_mut_is_obj(val)) {
        yyjson_mut_obj_foreach(val, i, n, key, item)
        {
            total += count_values(item, depth + 1, deepest);
        }
    }
    return total;
}

/* A copy of val that may be put at `place`. */
static int copy_for(struct patching *p, const struct place *place, yyjson_mut_val *val,
                    struct tt_str path, yyjson_mut_val **ret)
{
    unsigned deepest = 0;
    p->values += count_values(val, 0, &deepest);
    if (p->values > TT_JSON_PATCH_VALUES_MAX) {
        return TT_FAIL(p->err, TT_ETOOLARGE, "the result of the JSON patch is too large");
    }
    if (place->depth + deepest > TT_JSON_DEPTH_MAX) {
        return op_fail(p, TT_EINVALID, path, "the result would be nested too deep");
    }
    *ret = tt_json_copy(p->doc, val);
    return *ret != NULL ? TT_OK : no_memory(p->err);
}

static int op_put(struct patching *p, struct tt_str path, yyjson_mut_val *val, bool replace)
{
    struct place place;
    yyjson_mut_val *copy = NULL;
    int r = resolve(p, path, &place);
    if (r == TT_OK && replace && place.val == NULL) {
        return op_fail(p, TT_EINVALID, path, "does not exist");
    }
    if (r == TT_OK && val == NULL) {
        return op_fail(p, TT_EINVAL, path, "the operation has no value");
    }
    if (r == TT_OK) {
        r = copy_for(p, &place, val, path, &copy);
    }
    if (r == TT_OK && !put_at(p, &place, copy, replace)) {
        r = no_memory(p->err);
    }
    return r;
}

static int op_remove(struct patching *p, struct tt_str path)
{
    struct place place;
    int r = resolve(p, path, &place);
    if (r < 0) {
        return r;
    }
    if (place.val == NULL) {
        return op_fail(p, TT_EINVALID, path, "does not exist");
    }
    remove_at(p, &place);
    return TT_OK;
}

static int op_copy(struct patching *p, struct tt_str path, struct tt_str from, bool move)
{
    struct place source;
    int r = resolve(p, from, &source);
    if (r < 0) {
        return r;
    }
    if (source.val == NULL) {
        return op_fail(p, TT_EINVALID, from, "does not exist");
    }
    if (move && tt_str_starts(path, from) && path.len > from.len && path.ptr[from.len] == '/') {
        return op_fail(p, TT_EINVALID, path, "a value cannot be moved into itself");
    }
    if (move && tt_str_eq(path, from)) {
        return TT_OK;
    }
    yyjson_mut_val *val = source.val;
    if (move) {
        remove_at(p, &source);
    }
    return op_put(p, path, val, false);
}

static int op_test(struct patching *p, struct tt_str path, yyjson_mut_val *val)
{
    struct place place;
    int r = resolve(p, path, &place);
    if (r == TT_OK && (place.val == NULL || !tt_json_equal(place.val, val))) {
        r = op_fail(p, TT_EINVALID, path, "the test failed");
    }
    return r;
}

static int run_op(struct patching *p, yyjson_mut_val *op)
{
    struct tt_str name = tt_json_str_of(yyjson_mut_obj_get(op, "op"));
    struct tt_str path = tt_json_str_of(yyjson_mut_obj_get(op, "path"));
    struct tt_str from = tt_json_str_of(yyjson_mut_obj_get(op, "from"));
    yyjson_mut_val *val = yyjson_mut_obj_get(op, "value");
    bool move = tt_str_eq(name, TT_STR("move")), copy = tt_str_eq(name, TT_STR("copy"));
    if (path.ptr == NULL || ((move || copy) && from.ptr == NULL)) {
        return TT_FAIL(p->err, TT_EINVAL, "JSON patch operation %zu: needs op, path%s", p->index,
                       move || copy ? " and from" : "");
    }
    if (tt_str_eq(name, TT_STR("add"))) {
        return op_put(p, path, val, false);
    }
    if (tt_str_eq(name, TT_STR("replace"))) {
        return op_put(p, path, val, true);
    }
    if (tt_str_eq(name, TT_STR("remove"))) {
        return op_remove(p, path);
    }
    if (tt_str_eq(name, TT_STR("test"))) {
        return op_test(p, path, val);
    }
    if (move || copy) {
        return op_copy(p, path, from, move);
    }
    return TT_FAIL(p->err, TT_EINVAL, "JSON patch operation %zu: \"%.*s\" is no operation",
                   p->index, TT_STR_ARG(tt_str_head(name, 40)));
}

int tt_json_patch(yyjson_mut_doc *doc, yyjson_mut_val *target, yyjson_mut_val *patch,
                  yyjson_mut_val **ret_root, struct tt_err *err)
{
    struct patching p = {.doc = doc, .root = target, .err = err};
    size_t n;
    yyjson_mut_val *op;
    if (!yyjson_mut_is_arr(patch)) {
        return TT_FAIL(err, TT_EINVAL, "a JSON patch is an array of operations");
    }
    if (yyjson_mut_arr_size(patch) > TT_JSON_PATCH_OPS_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "a JSON patch has at most %d operations",
                       (int)TT_JSON_PATCH_OPS_MAX);
    }
    yyjson_mut_arr_foreach(patch, p.index, n, op)
    {
        int r = run_op(&p, op);
        if (r < 0) {
            return r;
        }
    }
    *ret_root = p.root;
    return TT_OK;
}
