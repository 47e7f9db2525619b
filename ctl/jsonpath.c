/* One step at a time: ".name", "[3]" or "['name']". A template is text and tags; the body of a
 * range is filled once for each value of its path. */
#include "ctl/jsonpath.h"

#include "api/json/json.h"

enum { STEPS_MAX = 64, RANGES_MAX = 8, VALUES_MAX = 1000000 };

struct step {
    struct tt_str name; /* a member; empty: an index */
    uint64_t index;     /* from 0, while name is empty and is_all false */
    bool is_all;        /* every element or member; templates only */
};

static bool cut_brackets(struct tt_str *path, struct step *ret)
{
    ptrdiff_t end = tt_str_find(*path, ']');
    if (end < 2) {
        return false;
    }
    struct tt_str inside = tt_str_skip(tt_str_head(*path, (size_t)end), 1);
    char first = inside.ptr[0];
    *path = tt_str_skip(*path, (size_t)end + 1);
    if (first != '\'' && first != '"') {
        *ret = (struct step){.name = TT_STR_NONE, .is_all = tt_str_eq_c(inside, "*")};
        return ret->is_all || tt_str_to_u64(inside, &ret->index);
    }
    bool is_closed = inside.len > 2 && inside.ptr[inside.len - 1] == first;
    *ret = (struct step){.name = tt_str_skip(tt_str_head(inside, inside.len - 1), 1)};
    return is_closed;
}

static bool cut_step(struct tt_str *path, struct step *ret)
{
    if (path->ptr[0] == '[') {
        return cut_brackets(path, ret);
    }
    struct tt_str rest = path->ptr[0] == '.' ? tt_str_skip(*path, 1) : *path;
    size_t size = 0;
    if (tt_str_starts(rest, TT_STR("*"))) {
        *ret = (struct step){.is_all = true};
        *path = tt_str_skip(rest, 1);
        return true;
    }
    while (size < rest.len && strchr(".[]*?@(){}'\"", rest.ptr[size]) == NULL) {
        size++;
    }
    *ret = (struct step){.name = tt_str_head(rest, size)};
    *path = tt_str_skip(rest, size);
    return size > 0;
}

static yyjson_val *take_step(yyjson_val *val, const struct step *step)
{
    return step->name.len > 0 ? yyjson_obj_getn(val, step->name.ptr, step->name.len)
                              : yyjson_arr_get(val, step->index);
}

int ctl_jsonpath(yyjson_val *root, struct tt_str path, yyjson_val **ret, struct tt_err *err)
{
    struct tt_str rest = path;
    if (tt_str_starts(rest, TT_STR("{")) && tt_str_ends(rest, TT_STR("}"))) {
        rest = tt_str_skip(tt_str_head(rest, rest.len - 1), 1);
    }
    if (rest.len == 0) {
        return TT_FAIL(err, TT_EINVAL, "an empty path: give one such as {.status.phase}");
    }
    yyjson_val *val = root;
    for (int i = 0; rest.len > 0; i++) {
        struct step step;
        if (i == STEPS_MAX || !cut_step(&rest, &step) || step.is_all) {
            return TT_FAIL(err, TT_EINVAL,
                           "\"%.*s\": only .name, [index] and ['name'] are understood",
                           TT_STR_ARG(path));
        }
        val = take_step(val, &step);
    }
    *ret = val;
    return TT_OK;
}

/* ---- templates ---- */

/* The values of a path, in order. */
struct values {
    yyjson_val **items; /* the array is owned, what it holds borrowed from the document */
    size_t count;       /* of items; there is room for the next power of two */
};

static int bad_template(struct tt_str tag, struct tt_err *err)
{
    return TT_FAIL(err, TT_EINVAL,
                   "{%.*s}: only .name, [index], [*], ['name'], \"text\", range and end are "
                   "understood",
                   TT_STR_ARG(tag));
}

static void add_value(struct values *values, yyjson_val *val)
{
    bool is_full = (values->count & (values->count - 1)) == 0; /* sizes are powers of two */
    if (val == NULL || values->count == VALUES_MAX) {
        return;
    }
    if (is_full) {
        size_t size = values->count > 0 ? 2 * values->count : 1;
        values->items = tt_xrealloc(values->items, size * sizeof values->items[0]);
    }
    values->items[values->count++] = val;
}

static void add_all(struct values *values, yyjson_val *val)
{
    yyjson_arr_iter elements = yyjson_arr_iter_with(val);
    yyjson_obj_iter members = yyjson_obj_iter_with(val);
    yyjson_val *key;
    yyjson_val *element;
    while ((element = yyjson_arr_iter_next(&elements)) != NULL) {
        add_value(values, element);
    }
    while ((key = yyjson_obj_iter_next(&members)) != NULL) {
        add_value(values, yyjson_obj_iter_get_val(key));
    }
}

/* ret->items is the caller's to free. */
static int find_values(yyjson_val *root, struct tt_str path, struct values *ret, struct tt_err *err)
{
    struct tt_str rest = path;
    if (tt_str_starts(rest, TT_STR("$")) || tt_str_starts(rest, TT_STR("@"))) {
        rest = tt_str_skip(rest, 1);
    }
    if (tt_str_eq_c(rest, ".")) {
        rest = TT_STR("");
    }
    add_value(ret, root);
    for (int i = 0; rest.len > 0; i++) {
        struct step step;
        struct values next = {.items = NULL};
        if (i == STEPS_MAX || !cut_step(&rest, &step)) {
            return bad_template(path, err);
        }
        for (size_t v = 0; v < ret->count; v++) {
            if (step.is_all) {
                add_all(&next, ret->items[v]);
            } else {
                add_value(&next, take_step(ret->items[v], &step));
            }
        }
        tt_free(ret->items);
        *ret = next;
    }
    return TT_OK;
}

static int write_values(yyjson_val *root, struct tt_str path, struct tt_buf *buf,
                        struct tt_err *err)
{
    struct values values = {.items = NULL};
    int r = find_values(root, path, &values, err);
    for (size_t i = 0; r == TT_OK && i < values.count; i++) {
        tt_buf_c(buf, i > 0 ? " " : "");
        if (yyjson_is_str(values.items[i])) {
            tt_buf_str(buf, tt_json_istr_of(values.items[i]));
        } else {
            tt_json_iwrite(buf, values.items[i]);
        }
    }
    tt_free(values.items);
    return r;
}

static void write_quoted(struct tt_str text, struct tt_buf *buf)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\\' && i + 1 < text.len) {
            c = text.ptr[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        tt_buf_char(buf, c);
    }
}

/* The text before the next tag, and the tag without its braces; ret_tag->ptr NULL: none is left. */
static int cut_tag(struct tt_str *rest, struct tt_str *ret_text, struct tt_str *ret_tag,
                   struct tt_err *err)
{
    ptrdiff_t begin = tt_str_find(*rest, '{');
    *ret_tag = TT_STR_NONE;
    *ret_text = begin >= 0 ? tt_str_head(*rest, (size_t)begin) : *rest;
    *rest = tt_str_skip(*rest, ret_text->len);
    if (begin < 0) {
        return TT_OK;
    }
    char quote = '\0';
    for (size_t i = 1; i < rest->len; i++) {
        char c = rest->ptr[i];
        if (quote == '\0' && c == '}') {
            *ret_tag = tt_str_trim(tt_str(rest->ptr + 1, i - 1));
            *rest = tt_str_skip(*rest, i + 1);
            return TT_OK;
        }
        if (quote != '\0' && c == '\\') {
            i++;
        } else if (c == quote) {
            quote = '\0';
        } else if (quote == '\0' && (c == '"' || c == '\'')) {
            quote = c;
        }
    }
    return TT_FAIL(err, TT_EINVAL, "\"%.*s\": a brace without its end", TT_STR_ARG(*rest));
}

/* Cuts up to the {end} that belongs to a {range} just cut. */
static int cut_body(struct tt_str *rest, struct tt_str *ret_body, struct tt_err *err)
{
    const char *begin = rest->ptr;
    for (int depth = 1; depth > 0;) {
        struct tt_str text;
        struct tt_str tag;
        int r = cut_tag(rest, &text, &tag, err);
        if (r != TT_OK) {
            return r;
        }
        if (tag.ptr == NULL) {
            return TT_FAIL(err, TT_EINVAL, "a {range} without its {end}");
        }
        *ret_body = tt_str(begin, (size_t)(text.ptr + text.len - begin));
        depth += tt_str_starts(tag, TT_STR("range ")) - tt_str_eq_c(tag, "end");
    }
    return TT_OK;
}

static int fill(yyjson_val *root, struct tt_str text, int depth, struct tt_buf *buf,
                struct tt_err *err);

static int fill_range(yyjson_val *root, struct tt_str path, struct tt_str body, int depth,
                      struct tt_buf *buf, struct tt_err *err)
{
    struct values values = {.items = NULL};
    int r = depth < RANGES_MAX ? find_values(root, path, &values, err)
                               : TT_FAIL(err, TT_EINVAL, "too many ranges in one another");
    for (size_t i = 0; r == TT_OK && i < values.count; i++) {
        r = fill(values.items[i], body, depth + 1, buf, err);
    }
    if (r == TT_OK && root == NULL) {
        r = fill(NULL, body, depth + 1, buf, err); /* only to find its mistakes */
    }
    tt_free(values.items);
    return r;
}

static int fill(yyjson_val *root, struct tt_str text, int depth, struct tt_buf *buf,
                struct tt_err *err)
{
    struct tt_str rest = text;
    int r = TT_OK;
    while (r == TT_OK && rest.len > 0) {
        struct tt_str plain;
        struct tt_str tag;
        struct tt_str body = TT_STR("");
        r = cut_tag(&rest, &plain, &tag, err);
        tt_buf_str(buf, plain);
        if (r != TT_OK || tag.ptr == NULL) {
            return r;
        }
        if (tag.len >= 2 && (tag.ptr[0] == '"' || tag.ptr[0] == '\'')) {
            write_quoted(tt_str(tag.ptr + 1, tag.len - 2), buf);
        } else if (tt_str_starts(tag, TT_STR("range "))) {
            r = cut_body(&rest, &body, err);
            r = r == TT_OK
                    ? fill_range(root, tt_str_trim(tt_str_skip(tag, 6)), body, depth, buf, err)
                    : r;
        } else if (tt_str_eq_c(tag, "end") || tag.len == 0) {
            return TT_FAIL(err, TT_EINVAL, "{%.*s} at a place where nothing begins",
                           TT_STR_ARG(tag));
        } else {
            r = write_values(root, tag, buf, err);
        }
    }
    return r;
}

int ctl_template(yyjson_val *root, struct tt_str text, struct tt_buf *buf, struct tt_err *err)
{
    int r = fill(root, text, 0, buf, err);
    if (r == TT_OK && !tt_buf_ok(buf)) {
        r = TT_FAIL(err, TT_ETOOLARGE, "the output is too large");
    }
    return r;
}
