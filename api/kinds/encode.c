/* The stored form: one pass over the members, metadata first, without resourceVersion; and putting
 * resourceVersion back in on the way out. */
#include "api/kinds/object.h"

static void write_key(struct tt_buf *buf, yyjson_mut_val *key)
{
    tt_json_write(buf, key);
    tt_buf_char(buf, ':');
}

static void write_metadata(struct tt_buf *buf, yyjson_mut_val *metadata)
{
    size_t i, n;
    bool first = true;
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(metadata, i, n, key, item)
    {
        struct tt_str name = tt_json_str_of(key);
        if (tt_str_eq(name, TT_STR("resourceVersion"))) {
            continue;
        }
        if (!first) {
            tt_buf_char(buf, ',');
        }
        first = false;
        write_key(buf, key);
        tt_json_write(buf, item);
    }
    tt_buf_char(buf, '}');
}

static bool is_head(struct tt_str name)
{
    return tt_str_eq(name, TT_STR("kind")) || tt_str_eq(name, TT_STR("apiVersion")) ||
           tt_str_eq(name, TT_STR("metadata"));
}

int tt_object_encode(const struct tt_object *object, struct tt_buf *buf, uint32_t *ret_splice,
                     struct tt_err *err)
{
    size_t start = buf->len, i, n;
    yyjson_mut_val *metadata = yyjson_mut_obj_get(object->root, "metadata"), *key, *item;
    TT_ASSERT(yyjson_mut_obj_size(metadata) > 0);
    tt_buf_c(buf, "{\"kind\":\"");
    tt_buf_str(buf, object->kind->kind);
    tt_buf_c(buf, "\",\"apiVersion\":\"");
    tt_buf_str(buf, object->kind->api_version);
    tt_buf_c(buf, "\",\"metadata\":{");
    size_t splice = buf->len - start;
    write_metadata(buf, metadata);
    yyjson_mut_obj_foreach(object->root, i, n, key, item)
    {
        if (!is_head(tt_json_str_of(key))) {
            tt_buf_char(buf, ',');
            write_key(buf, key);
            tt_json_write(buf, item);
        }
    }
    tt_buf_char(buf, '}');
    if (!tt_buf_ok(buf) || buf->len - start > TT_OBJECT_SIZE_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "the object is larger than %d bytes",
                       (int)TT_OBJECT_SIZE_MAX);
    }
    *ret_splice = (uint32_t)splice;
    return TT_OK;
}

size_t tt_object_splice(uint64_t revision, char out[TT_SPLICE_SIZE])
{
    static const char head[] = "\"resourceVersion\":\"";
    enum { HEAD_SIZE = sizeof head - 1 };
    _Static_assert(HEAD_SIZE + TT_U64_DIGITS_MAX + 2 <= TT_SPLICE_SIZE, "room for any revision");
    memcpy(out, head, HEAD_SIZE); /* each answer has one: snprintf would be dear */
    size_t len = HEAD_SIZE + tt_u64_digits(revision, out + HEAD_SIZE);
    out[len++] = '"';
    out[len++] = ',';
    return len;
}

void tt_object_write_spliced(struct tt_buf *buf, struct tt_str stored, uint32_t splice,
                             uint64_t revision)
{
    char text[TT_SPLICE_SIZE];
    TT_ASSERT(splice < stored.len);
    size_t len = tt_object_splice(revision, text);
    tt_buf_str(buf, tt_str_head(stored, splice));
    tt_buf_append(buf, text, len);
    tt_buf_str(buf, tt_str_skip(stored, splice));
}
