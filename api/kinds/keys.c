/* Composing and parsing keys: pure text, checked part by part because a '/' inside a name would
 * turn one object into another. */
#include "api/kinds/keys.h"

static bool part_ok(struct tt_str part)
{
    return part.len == 0 ||
           (memchr(part.ptr, '/', part.len) == NULL && memchr(part.ptr, 0, part.len) == NULL);
}

static struct tt_str stored_group(struct tt_str group)
{
    return group.len == 0 ? TT_STR("core") : group;
}

static int append(struct tt_buf *buf, const struct tt_str *parts, size_t count, struct tt_err *err)
{
    size_t start = buf->len;
    for (size_t i = 0; i < count; i++) {
        if (!part_ok(parts[i])) {
            return TT_FAIL(err, TT_EINVAL,
                           "\"%.*s\" cannot be part of a key: it contains '/' or NUL",
                           TT_STR_ARG(parts[i]));
        }
        tt_buf_str(buf, parts[i]);
        if (i + 1 < count) {
            tt_buf_char(buf, '/');
        }
    }
    if (!tt_buf_ok(buf) || buf->len - start > TT_OBJECT_KEY_SIZE_MAX) {
        return TT_FAIL(err, TT_EINVAL, "the key is longer than %d bytes",
                       (int)TT_OBJECT_KEY_SIZE_MAX);
    }
    return TT_OK;
}

int tt_key_object(struct tt_buf *buf, const struct tt_object_ref *ref, struct tt_err *err)
{
    TT_ASSERT(ref->resource.len > 0);
    if (ref->name.len == 0) {
        return TT_FAIL(err, TT_EINVAL, "an object of %.*s needs a name", TT_STR_ARG(ref->resource));
    }
    const struct tt_str parts[] = {TT_STR("o"), stored_group(ref->group), ref->resource, ref->ns,
                                   ref->name};
    return append(buf, parts, 5, err);
}

int tt_key_list_prefix(struct tt_buf *buf, const struct tt_object_ref *ref, struct tt_err *err)
{
    TT_ASSERT(ref->resource.len > 0);
    /* A trailing empty part ends the prefix with '/', so that "pod" never covers "pods". */
    const struct tt_str parts[] = {TT_STR("o"), stored_group(ref->group), ref->resource,
                                   ref->ns.len > 0 ? ref->ns : TT_STR(""), TT_STR("")};
    return append(buf, parts, ref->ns.len > 0 ? 5 : 4, err);
}

int tt_key_row(struct tt_buf *buf, struct tt_str table, struct tt_str id, struct tt_err *err)
{
    TT_ASSERT(table.len > 0);
    const struct tt_str parts[] = {TT_STR("t"), table, id};
    return append(buf, parts, 3, err);
}

bool tt_key_parse(struct tt_str key, struct tt_object_ref *ret_ref)
{
    struct tt_str parts[5];
    for (size_t i = 0; i < 5; i++) {
        if (!tt_str_cut(&key, '/', &parts[i])) {
            return false;
        }
    }
    if (key.ptr != NULL && key.len > 0) {
        return false;
    }
    if (!tt_str_eq(parts[0], TT_STR("o")) || parts[1].len == 0 || parts[2].len == 0 ||
        parts[4].len == 0 || memchr(parts[4].ptr, '/', parts[4].len) != NULL) {
        return false;
    }
    ret_ref->group = tt_str_eq(parts[1], TT_STR("core")) ? TT_STR("") : parts[1];
    ret_ref->resource = parts[2];
    ret_ref->ns = parts[3];
    ret_ref->name = parts[4];
    return true;
}
