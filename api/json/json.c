/* Parsing and values.
 *
 * Happy path of tt_json_parse: one look at the text bounds its depth (counting brackets is enough
 * for almost every body), yyjson parses it into the arena, one recursive pass turns the flat result
 * into a mutable tree that shares its strings and finds duplicate members on the way.
 * Failure modes: too large, too deep, malformed, duplicate member, NUL in a string, arena full;
 * each is refused before anything was handed out. Depth is bounded before yyjson runs, because
 * neither it nor later passes bound it themselves. */
#include "api/json/json.h"

#include <stdlib.h>

enum {
    NAIVE_MEMBERS_MAX = 24, /* up to here comparing each pair of names is the fastest */
    BLOCK = 64,
};

static void *alc_malloc(void *ctx, size_t size)
{
    return tt_arena_alloc(ctx, size);
}

static void *alc_realloc(void *ctx, void *ptr, size_t old_size, size_t size)
{
    if (size <= old_size) {
        return ptr;
    }
    void *moved = tt_arena_alloc(ctx, size);
    if (moved != NULL && ptr != NULL) {
        memcpy(moved, ptr, old_size);
    }
    return moved;
}

static void alc_free(void *ctx, void *ptr)
{
    (void)ctx;
    (void)ptr; /* the arena's end frees all */
}

void tt_json_alc(struct tt_arena *arena, yyjson_alc *ret_alc)
{
    TT_ASSERT(arena != NULL);
    *ret_alc = (yyjson_alc){alc_malloc, alc_realloc, alc_free, arena};
}

yyjson_mut_doc *tt_json_new(struct tt_arena *arena)
{
    yyjson_alc alc;
    tt_json_alc(arena, &alc);
    return yyjson_mut_doc_new(&alc);
}

/* Opening brackets in the text, strings included: an upper bound of its depth. */
static size_t count_openings(struct tt_str text)
{
    size_t total = 0, i = 0;
    for (; i + BLOCK <= text.len; i += BLOCK) {
        uint8_t count = 0;
        for (size_t k = 0; k < BLOCK; k++) { /* constant length: becomes vector code */
            count = (uint8_t)(count + ((text.ptr[i + k] | 0x20) == '{'));
        }
        total += count;
    }
    for (; i < text.len; i++) {
        total += (text.ptr[i] | 0x20) == '{';
    }
    return total;
}

/* Exact, strings skipped; stops at the first bracket that is too deep. */
static bool depth_ok(struct tt_str text)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > TT_JSON_DEPTH_MAX) {
                return false;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

static bool has_nul(yyjson_val *root)
{
    /* Values lie flat behind the root: no recursion needed. */
    yyjson_val *end = unsafe_yyjson_get_next(root);
    for (yyjson_val *val = root; val < end; val++) {
        if (yyjson_is_str(val) &&
            memchr(unsafe_yyjson_get_str(val), 0, unsafe_yyjson_get_len(val)) != NULL) {
            return true;
        }
    }
    return false;
}

/* Most texts have no backslash at all, and looking for one byte is forty times faster. */
static bool escapes_nul(struct tt_str text)
{
    return memchr(text.ptr, '\\', text.len) != NULL &&
           memmem(text.ptr, text.len, "\\u0000", 6) != NULL;
}

int tt_json_read(struct tt_arena *arena, struct tt_str text, yyjson_doc **ret_doc,
                 struct tt_err *err)
{
    if (text.len == 0) {
        return TT_FAIL(err, TT_EINVAL, "the body is empty");
    }
    if (text.len > TT_JSON_SIZE_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "%zu bytes of JSON exceed %d", text.len,
                       (int)TT_JSON_SIZE_MAX);
    }
    if (count_openings(text) > TT_JSON_DEPTH_MAX && !depth_ok(text)) {
        return TT_FAIL(err, TT_EINVAL, "JSON is nested deeper than %d levels",
                       (int)TT_JSON_DEPTH_MAX);
    }
    yyjson_alc alc;
    tt_json_alc(arena, &alc);
    yyjson_read_err why;
    /* Without YYJSON_READ_INSITU yyjson copies the text and leaves ours alone. */
    union {
        const char *in; /* the caller's text, not written to */
        char *out;      /* the same, as yyjson wants it */
    } bytes = {.in = text.ptr};
    yyjson_doc *doc = yyjson_read_opts(bytes.out, text.len, YYJSON_READ_NUMBER_AS_RAW, &alc, &why);
    if (doc == NULL) {
        if (why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION) {
            return TT_FAIL(err, TT_ETOOLARGE, "JSON needs more memory than one request may use");
        }
        return TT_FAIL(err, TT_EINVAL, "invalid JSON at byte %zu: %s", why.pos, why.msg);
    }
    if (escapes_nul(text) && has_nul(yyjson_doc_get_root(doc))) {
        return TT_FAIL(err, TT_EINVAL, "a JSON string contains a NUL character");
    }
    *ret_doc = doc;
    return TT_OK;
}

/* State of one immutable → mutable pass. */
struct thaw {
    struct tt_arena *arena;             /* borrowed; receives all that is made here */
    yyjson_mut_doc *doc;                /* receives the values */
    enum tt_json_duplicates duplicates; /* what to do about them */
    struct tt_issues *issues;           /* NULL: refuse */
    bool check;                         /* look for duplicates at all */
    struct tt_err *err;                 /* the caller's; may be NULL */
};

static int thaw_value(struct thaw *t, yyjson_val *val, const struct tt_field_path *path,
                      yyjson_mut_val **ret);

static int thaw_full(struct thaw *t)
{
    return TT_FAIL(t->err, TT_ETOOLARGE, "JSON needs more memory than one request may use");
}

static struct tt_str ikey(yyjson_val *key)
{
    return tt_str(key->uni.str, unsafe_yyjson_get_len(key));
}

static bool same_key(yyjson_val *a, yyjson_val *b)
{
    /* Not by tag: it also says whether the text had escapes. */
    return tt_str_eq(ikey(a), ikey(b));
}

static int thaw_duplicate(struct thaw *t, yyjson_val *key, const struct tt_field_path *parent)
{
    struct tt_field_path path = {.parent = parent, .name = ikey(key)};
    struct tt_str text = tt_field_path_format(&path, t->arena);
    if (t->duplicates == TT_JSON_DUPLICATES_REFUSE || t->issues == NULL) {
        return TT_FAIL(t->err, TT_EINVAL, "duplicate field \"%.*s\"", TT_STR_ARG(text));
    }
    tt_issues_add(t->issues, TT_ISSUE_DUPLICATE_FIELD, text, "duplicate field \"%.*s\"",
                  TT_STR_ARG(text));
    return TT_OK;
}

/* Members that a later one of the same name replaces, ordered as in the document. */
struct shadowed {
    yyjson_val *few[NAIVE_MEMBERS_MAX]; /* room for small objects */
    yyjson_val **keys;                  /* few, or arena memory */
    size_t count;                       /* of keys; 0: nothing to leave out */
};

static size_t find_same(yyjson_val *const *keys, size_t count, yyjson_val *key)
{
    size_t i = 0;
    while (i < count && !same_key(keys[i], key)) {
        i++;
    }
    return i;
}

static int shadowed_small(struct thaw *t, yyjson_val *obj, const struct tt_field_path *path,
                          struct shadowed *out)
{
    yyjson_val *seen[NAIVE_MEMBERS_MAX];
    size_t count = 0;
    yyjson_obj_iter it = yyjson_obj_iter_with(obj);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it)) != NULL;) {
        size_t same = find_same(seen, count, key);
        if (same < count) {
            int r = thaw_duplicate(t, key, path);
            if (r < 0) {
                return r;
            }
            out->keys[out->count++] = seen[same];
        }
        seen[same] = key;
        count += same == count;
    }
    return TT_OK;
}

static int cmp_name(const void *a, const void *b)
{
    yyjson_val *const *x = a, *const *y = b;
    int c = tt_str_cmp(ikey(*x), ikey(*y));
    return c != 0 ? c : (*x > *y) - (*x < *y);
}

static int cmp_place(const void *a, const void *b)
{
    yyjson_val *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

/* Sorting makes equal names neighbours: never quadratic. */
static int shadowed_large(struct thaw *t, yyjson_val *obj, const struct tt_field_path *path,
                          struct shadowed *out)
{
    size_t count = yyjson_obj_size(obj), n = 0;
    yyjson_val **keys = tt_arena_alloc(t->arena, count * sizeof(yyjson_val *));
    if (keys == NULL) {
        return thaw_full(t);
    }
    yyjson_obj_iter it = yyjson_obj_iter_with(obj);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it)) != NULL;) {
        keys[n++] = key;
    }
    TT_ASSERT(n == count);
    qsort(keys, count, sizeof(yyjson_val *), cmp_name);
    out->keys = keys;
    for (size_t i = 0; i + 1 < count; i++) {
        if (same_key(keys[i], keys[i + 1])) {
            int r = thaw_duplicate(t, keys[i + 1], path);
            if (r < 0) {
                return r;
            }
            out->keys[out->count++] = keys[i]; /* never overtakes the reading index */
        }
    }
    qsort(out->keys, out->count, sizeof(yyjson_val *), cmp_place);
    return TT_OK;
}

static int find_shadowed(struct thaw *t, yyjson_val *obj, const struct tt_field_path *path,
                         struct shadowed *out)
{
    out->keys = out->few;
    out->count = 0;
    if (yyjson_obj_size(obj) > NAIVE_MEMBERS_MAX) {
        return shadowed_large(t, obj, path, out);
    }
    int r = shadowed_small(t, obj, path, out);
    qsort(out->keys, out->count, sizeof(yyjson_val *), cmp_place);
    return r;
}

/* False: no name is there twice, which is nearly always known without keeping a list. */
static bool may_repeat(yyjson_val *obj)
{
    size_t count = yyjson_obj_size(obj);
    if (count > NAIVE_MEMBERS_MAX) {
        return true;
    }
    yyjson_obj_iter it = yyjson_obj_iter_with(obj);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it)) != NULL;) {
        yyjson_obj_iter before = yyjson_obj_iter_with(obj);
        for (yyjson_val *other; (other = yyjson_obj_iter_next(&before)) != key;) {
            if (same_key(key, other)) {
                return true;
            }
        }
    }
    return false;
}

/* gone: NULL when all members stay. */
static int thaw_members(struct thaw *t, yyjson_val *val, const struct tt_field_path *path,
                        yyjson_mut_val *out, const struct shadowed *gone)
{
    size_t next_gone = 0;
    int r = TT_OK;
    yyjson_obj_iter it = yyjson_obj_iter_with(val);
    for (yyjson_val *key; r == TT_OK && (key = yyjson_obj_iter_next(&it)) != NULL;) {
        if (gone != NULL && next_gone < gone->count && gone->keys[next_gone] == key) {
            next_gone++;
            continue;
        }
        struct tt_field_path here = {.parent = path, .name = ikey(key)};
        yyjson_mut_val *member = NULL;
        yyjson_mut_val *name = yyjson_mut_strn(t->doc, here.name.ptr, here.name.len);
        r = thaw_value(t, yyjson_obj_iter_get_val(key), &here, &member);
        if (r == TT_OK && !yyjson_mut_obj_add(out, name, member)) {
            r = thaw_full(t);
        }
    }
    return r;
}

static int thaw_object(struct thaw *t, yyjson_val *val, const struct tt_field_path *path,
                       yyjson_mut_val *out)
{
    if (!t->check || !may_repeat(val)) {
        return thaw_members(t, val, path, out, NULL);
    }
    struct shadowed gone;
    int r = find_shadowed(t, val, path, &gone);
    return r ? r : thaw_members(t, val, path, out, &gone);
}

static int thaw_array(struct thaw *t, yyjson_val *val, const struct tt_field_path *path,
                      yyjson_mut_val *out)
{
    struct tt_field_path here = {.parent = path};
    yyjson_arr_iter it = yyjson_arr_iter_with(val);
    for (yyjson_val *item; (item = yyjson_arr_iter_next(&it)) != NULL; here.index++) {
        yyjson_mut_val *element = NULL;
        int r = thaw_value(t, item, &here, &element);
        if (r < 0) {
            return r;
        }
        if (!yyjson_mut_arr_append(out, element)) {
            return thaw_full(t);
        }
    }
    return TT_OK;
}

/* Recursion is bounded: the text's depth was checked. */
static int thaw_value(struct thaw *t, yyjson_val *val, const struct tt_field_path *path,
                      yyjson_mut_val **ret)
{
    yyjson_mut_val *out = NULL;
    int r = TT_OK;
    if (unsafe_yyjson_is_ctn(val)) {
        bool is_obj = yyjson_is_obj(val);
        out = is_obj ? yyjson_mut_obj(t->doc) : yyjson_mut_arr(t->doc);
        if (out != NULL) {
            r = is_obj ? thaw_object(t, val, path, out) : thaw_array(t, val, path, out);
        }
    } else {
        out = yyjson_mut_null(t->doc);
        if (out != NULL) { /* scalars share layout and text with the parsed document */
            out->tag = val->tag;
            memcpy(&out->uni, &val->uni, sizeof out->uni);
        }
    }
    if (out == NULL) {
        return thaw_full(t);
    }
    *ret = out;
    return r;
}

static int thaw_root(struct thaw *t, yyjson_val *root, yyjson_mut_doc **ret_doc)
{
    t->doc = tt_json_new(t->arena);
    if (t->doc == NULL) {
        return thaw_full(t);
    }
    yyjson_mut_val *value = NULL;
    int r = thaw_value(t, root, NULL, &value);
    if (r < 0) {
        return r;
    }
    yyjson_mut_doc_set_root(t->doc, value);
    *ret_doc = t->doc;
    return TT_OK;
}

int tt_json_parse(struct tt_arena *arena, struct tt_str text, enum tt_json_duplicates duplicates,
                  struct tt_issues *issues, yyjson_mut_doc **ret_doc, struct tt_err *err)
{
    yyjson_doc *doc = NULL;
    int r = tt_json_read(arena, text, &doc, err);
    if (r < 0) {
        return r;
    }
    struct thaw t = {
        .arena = arena, .duplicates = duplicates, .issues = issues, .check = true, .err = err};
    return thaw_root(&t, yyjson_doc_get_root(doc), ret_doc);
}

int tt_json_mutable(struct tt_arena *arena, yyjson_val *val, yyjson_mut_doc **ret_doc,
                    struct tt_err *err)
{
    TT_ASSERT(val != NULL);
    struct thaw t = {.arena = arena, .err = err};
    return thaw_root(&t, val, ret_doc);
}
