/* One pass per part, no look-ahead beyond the two hex digits of an escape. Parts without an escape
 * stay views of the input; the others are decoded into the arena, which is never longer than the
 * input. Refused: what another program might read differently (NUL, bad escapes, dot segments, an
 * escaped slash inside a segment). */
#include "api/http/uri.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

ptrdiff_t tt_uri_decode(struct tt_str text, bool plus_is_space, char *out, size_t out_size)
{
    size_t used = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            if (text.len - i < 3) {
                return -1;
            }
            int high = hex_value(text.ptr[i + 1]);
            int low = hex_value(text.ptr[i + 2]);
            if (high < 0 || low < 0) {
                return -1;
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0' || used == out_size) {
            return -1;
        }
        out[used++] = c;
    }
    TT_ASSERT(used <= text.len);
    return (ptrdiff_t)used;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void tt_uri_encode(struct tt_buf *buf, struct tt_str text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_unreserved(c)) {
            tt_buf_char(buf, c);
        } else {
            char escape[3] = {'%', digits[((unsigned char)c) >> 4],
                              digits[((unsigned char)c) & 15]};
            tt_buf_append(buf, escape, sizeof escape);
        }
    }
}

/* Decodes into the arena when there is something to decode. */
static int decode_part(struct tt_str part, bool plus_is_space, struct tt_arena *arena,
                       struct tt_str *ret_part, struct tt_err *err)
{
    bool plain = tt_str_find(part, '%') < 0 && (!plus_is_space || tt_str_find(part, '+') < 0);
    if (plain) {
        if (part.len > 0 && memchr(part.ptr, '\0', part.len)) {
            return TT_FAIL(err, TT_EINVAL, "NUL byte in the request target");
        }
        *ret_part = part;
        return 0;
    }
    char *out = tt_arena_alloc(arena, part.len);
    if (!out) {
        return TT_FAIL(err, TT_ENOMEM, "request arena is full");
    }
    ptrdiff_t size = tt_uri_decode(part, plus_is_space, out, part.len);
    if (size < 0) {
        return TT_FAIL(err, TT_EINVAL, "malformed escape in the request target");
    }
    *ret_part = tt_str(out, (size_t)size);
    return 0;
}

int tt_query_parse(struct tt_str query, struct tt_arena *arena, struct tt_query *ret_query,
                   struct tt_err *err)
{
    ret_query->count = 0;
    struct tt_str part;
    while (query.len > 0 && tt_str_cut(&query, '&', &part)) {
        if (part.len == 0) {
            continue;
        }
        if (ret_query->count == TT_QUERY_PARAMS_MAX) {
            return TT_FAIL(err, TT_ETOOLARGE, "more than %d query parameters", TT_QUERY_PARAMS_MAX);
        }
        struct tt_query_param *param = &ret_query->param[ret_query->count];
        ptrdiff_t split = tt_str_find(part, '=');
        struct tt_str name = split < 0 ? part : tt_str_head(part, (size_t)split);
        struct tt_str value = split < 0 ? TT_STR("") : tt_str_skip(part, (size_t)split + 1);
        int r = decode_part(name, true, arena, &param->name, err);
        if (r == 0) {
            r = decode_part(value, true, arena, &param->value, err);
        }
        if (r < 0) {
            return TT_WRAP(err, r, "query parameter %u", ret_query->count + 1);
        }
        ret_query->count++;
    }
    return 0;
}

const struct tt_str *tt_query_get(const struct tt_query *query, const char *name)
{
    for (uint32_t i = query->count; i > 0; i--) {
        if (tt_str_eq_c(query->param[i - 1].name, name)) {
            return &query->param[i - 1].value;
        }
    }
    return NULL;
}

int tt_query_bool(const struct tt_query *query, const char *name, bool *ret_value,
                  struct tt_err *err)
{
    const struct tt_str *value = tt_query_get(query, name);
    if (!value || tt_str_eq_c(*value, "false") || tt_str_eq_c(*value, "0")) {
        *ret_value = false;
        return 0;
    }
    if (value->len == 0 || tt_str_eq_c(*value, "true") || tt_str_eq_c(*value, "1")) {
        *ret_value = true;
        return 0;
    }
    return TT_FAIL(err, TT_EINVAL, "query parameter %s: %.*s is not true or false", name,
                   TT_STR_ARG(*value));
}

int tt_query_u64(const struct tt_query *query, const char *name, uint64_t *ret_value,
                 struct tt_err *err)
{
    const struct tt_str *value = tt_query_get(query, name);
    if (!value || value->len == 0) {
        return 0;
    }
    if (!tt_str_to_u64(*value, ret_value)) {
        return TT_FAIL(err, TT_EINVAL, "query parameter %s: %.*s is not a number", name,
                       TT_STR_ARG(*value));
    }
    return 0;
}

static bool segment_ok(struct tt_str segment)
{
    return segment.len > 0 && !tt_str_eq_c(segment, ".") && !tt_str_eq_c(segment, "..") &&
           tt_str_find(segment, '/') < 0;
}

int tt_uri_path_split(struct tt_str path, struct tt_arena *arena, struct tt_uri_path *ret_path,
                      struct tt_err *err)
{
    ret_path->count = 0;
    ret_path->trailing_slash = false;
    if (path.len == 0 || path.ptr[0] != '/') {
        return TT_FAIL(err, TT_EINVAL, "a path begins with /");
    }
    path = tt_str_skip(path, 1);
    struct tt_str part;
    while (path.len > 0 && tt_str_cut(&path, '/', &part)) {
        if (ret_path->count == TT_PATH_SEGMENTS_MAX) {
            return TT_FAIL(err, TT_ETOOLARGE, "more than %d path segments", TT_PATH_SEGMENTS_MAX);
        }
        struct tt_str *segment = &ret_path->segment[ret_path->count];
        int r = decode_part(part, false, arena, segment, err);
        if (r < 0) {
            return r;
        }
        if (!segment_ok(*segment)) {
            return TT_FAIL(err, TT_EINVAL, "empty, dot or slash path segment");
        }
        ret_path->count++;
        ret_path->trailing_slash = path.ptr != NULL && path.len == 0;
    }
    return 0;
}
