/* Compact text from values. Strings are copied in runs between characters that need an escape; text
 * that came through the parser is valid UTF-8 already. Recursion is bounded by TT_JSON_DEPTH_MAX.
 */
#include "api/json/json.h"

enum { BLOCK = 64 };

/* What follows the backslash; 0: as it is, 'u': \u00XX. */
static char escape_of(unsigned char c)
{
    switch (c) {
    case '"':
        return '"';
    case '\\':
        return '\\';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    default:
        return c < 0x20 ? 'u' : 0;
    }
}

/* Nonzero when one of 8 bytes is a quote, a backslash or a control character. */
static uint64_t needs_escape(const char *p)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t v;
    memcpy(&v, p, sizeof v);
    uint64_t quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((v - ones * 0x20) & ~v)) &
           tops;
}

static bool is_clean_block(const char *p)
{
    uint8_t found = 0;
    for (size_t k = 0; k < BLOCK; k++) { /* constant length: becomes vector code */
        uint8_t c = (uint8_t)p[k];
        found |= (uint8_t)((c == '"') | (c == '\\') | (c < 0x20));
    }
    return found == 0;
}

static size_t clean_run(const char *p, size_t size)
{
    size_t i = 0;
    while (i + BLOCK <= size && is_clean_block(p + i)) {
        i += BLOCK;
    }
    while (i + 8 <= size && needs_escape(p + i) == 0) {
        i += 8;
    }
    while (i < size && escape_of((unsigned char)p[i]) == 0) {
        i++;
    }
    return i;
}

static void write_string(struct tt_buf *buf, const char *p, size_t size)
{
    size_t run = clean_run(p, size);
    char *out = run == size ? tt_buf_reserve(buf, size + 2) : NULL;
    if (out != NULL) { /* nearly always: one copy */
        out[0] = '"';
        memcpy(out + 1, p, size);
        out[size + 1] = '"';
        buf->len += size + 2;
        return;
    }
    tt_buf_char(buf, '"');
    while (size > 0 && tt_buf_ok(buf)) {
        tt_buf_append(buf, p, run);
        p += run;
        size -= run;
        if (size > 0) {
            char escape = escape_of((unsigned char)*p);
            if (escape == 'u') {
                tt_buf_printf(buf, "\\u%04x", (unsigned)(unsigned char)*p);
            } else {
                tt_buf_char(buf, '\\');
                tt_buf_char(buf, escape);
            }
            p++;
            size--;
        }
        run = clean_run(p, size);
    }
    tt_buf_char(buf, '"');
}

static void write_number(struct tt_buf *buf, yyjson_mut_val *val)
{
    if (yyjson_mut_is_uint(val)) {
        tt_buf_u64(buf, yyjson_mut_get_uint(val));
    } else if (yyjson_mut_is_sint(val)) {
        tt_buf_printf(buf, "%lld", (long long)yyjson_mut_get_sint(val));
    } else {
        tt_buf_printf(buf, "%.17g", yyjson_mut_get_real(val));
    }
}

static void write_object(struct tt_buf *buf, yyjson_mut_val *val)
{
    size_t i, count;
    yyjson_mut_val *key, *item;
    tt_buf_char(buf, '{');
    yyjson_mut_obj_foreach(val, i, count, key, item)
    {
        if (i > 0) {
            tt_buf_char(buf, ',');
        }
        write_string(buf, unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key));
        tt_buf_char(buf, ':');
        tt_json_write(buf, item);
    }
    tt_buf_char(buf, '}');
}

static void write_array(struct tt_buf *buf, yyjson_mut_val *val)
{
    size_t i, count;
    yyjson_mut_val *item;
    tt_buf_char(buf, '[');
    yyjson_mut_arr_foreach(val, i, count, item)
    {
        if (i > 0) {
            tt_buf_char(buf, ',');
        }
        tt_json_write(buf, item);
    }
    tt_buf_char(buf, ']');
}

void tt_json_write(struct tt_buf *buf, yyjson_mut_val *val)
{
    switch (yyjson_mut_get_type(val)) {
    case YYJSON_TYPE_STR:
        write_string(buf, yyjson_mut_get_str(val), yyjson_mut_get_len(val));
        break;
    case YYJSON_TYPE_RAW:
        tt_buf_append(buf, yyjson_mut_get_raw(val), yyjson_mut_get_len(val));
        break;
    case YYJSON_TYPE_NUM:
        write_number(buf, val);
        break;
    case YYJSON_TYPE_BOOL:
        tt_buf_c(buf, yyjson_mut_get_bool(val) ? "true" : "false");
        break;
    case YYJSON_TYPE_OBJ:
        write_object(buf, val);
        break;
    case YYJSON_TYPE_ARR:
        write_array(buf, val);
        break;
    default:
        tt_buf_c(buf, "null");
        break;
    }
}

static void iwrite_object(struct tt_buf *buf, yyjson_val *val)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(val);
    bool first = true;
    tt_buf_char(buf, '{');
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it)) != NULL; first = false) {
        if (!first) {
            tt_buf_char(buf, ',');
        }
        write_string(buf, yyjson_get_str(key), yyjson_get_len(key));
        tt_buf_char(buf, ':');
        tt_json_iwrite(buf, yyjson_obj_iter_get_val(key));
    }
    tt_buf_char(buf, '}');
}

static void iwrite_array(struct tt_buf *buf, yyjson_val *val)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(val);
    bool first = true;
    tt_buf_char(buf, '[');
    for (yyjson_val *item; (item = yyjson_arr_iter_next(&it)) != NULL; first = false) {
        if (!first) {
            tt_buf_char(buf, ',');
        }
        tt_json_iwrite(buf, item);
    }
    tt_buf_char(buf, ']');
}

void tt_json_iwrite(struct tt_buf *buf, yyjson_val *val)
{
    switch (yyjson_get_type(val)) {
    case YYJSON_TYPE_STR:
        write_string(buf, yyjson_get_str(val), yyjson_get_len(val));
        break;
    case YYJSON_TYPE_RAW:
        tt_buf_append(buf, yyjson_get_raw(val), yyjson_get_len(val));
        break;
    case YYJSON_TYPE_BOOL:
        tt_buf_c(buf, yyjson_get_bool(val) ? "true" : "false");
        break;
    case YYJSON_TYPE_OBJ:
        iwrite_object(buf, val);
        break;
    case YYJSON_TYPE_ARR:
        iwrite_array(buf, val);
        break;
    default: /* numbers are raw in parsed documents */
        tt_buf_c(buf, "null");
        break;
    }
}
