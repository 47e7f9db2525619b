/* One step at a time: ".name", "[3]" or "['name']". */
#include "ctl/jsonpath.h"

enum { STEPS_MAX = 64 };

struct step {
    struct tt_str name; /* a member; empty: an index */
    uint64_t index;
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
        *ret = (struct step){.name = TT_STR_NONE};
        return tt_str_to_u64(inside, &ret->index);
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
    while (size < rest.len && strchr(".[]*?@(){}'\"", rest.ptr[size]) == NULL) {
        size++;
    }
    *ret = (struct step){.name = tt_str_head(rest, size)};
    *path = tt_str_skip(rest, size);
    return size > 0;
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
        if (i == STEPS_MAX || !cut_step(&rest, &step)) {
            return TT_FAIL(err, TT_EINVAL,
                           "\"%.*s\": only .name, [index] and ['name'] are understood",
                           TT_STR_ARG(path));
        }
        val = step.name.len > 0 ? yyjson_obj_getn(val, step.name.ptr, step.name.len)
                                : yyjson_arr_get(val, step.index);
    }
    *ret = val;
    return TT_OK;
}
