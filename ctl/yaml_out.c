/* JSON values as YAML in block style. A string is written plainly only when no reader could take it
 * for something else; text of several lines becomes a literal block; anything odd is quoted the way
 * JSON does, which YAML reads alike. Depth is bounded by what a server stores (64 levels); deeper
 * parts are written in JSON, which is YAML too. */
#include "base/json.h"
#include "base/mem.h"
#include "ctl/output.h"

enum { DEPTH_MAX = 80, PLAIN_SIZE_MAX = 1024, INDENT_MAX = DEPTH_MAX * 2 };

static void write_value(struct tt_buf *buf, yyjson_val *val, unsigned depth, unsigned indent);

static struct tt_str text_of(yyjson_val *val)
{
    return tt_str(yyjson_get_str(val), yyjson_get_len(val));
}

static void write_indent(struct tt_buf *buf, unsigned indent)
{
    for (unsigned i = 0; i < indent; i++) {
        tt_buf_char(buf, ' ');
    }
}

static bool is_word(struct tt_str s)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",   "on",
                                        "off",  "y",    "n",     "~",   ".inf", ".nan"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (tt_str_eq_nocase(s, tt_str_c(words[i]))) {
            return true;
        }
    }
    return false;
}

/* Numbers and dates begin with a digit, a sign or a dot; what does and has no letter but those of
 * numbers is quoted. */
static bool looks_numeric(struct tt_str s)
{
    if (strchr("0123456789+-.", s.ptr[0]) == NULL) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("0123456789+-.:_eExXoOabcdefABCDEFTtZz ", s.ptr[i]) == NULL) {
            return false;
        }
    }
    return true;
}

/* Begins or ends in a way that means something to YAML. */
static bool has_marked_end(struct tt_str s)
{
    return strchr("-?:,[]{}#&*!|>'\"%@` =<", s.ptr[0]) != NULL || s.ptr[s.len - 1] == ' ' ||
           s.ptr[s.len - 1] == ':' || tt_str_starts(s, TT_STR("..."));
}

static bool is_plain(struct tt_str s)
{
    if (s.len == 0 || s.len > PLAIN_SIZE_MAX || is_word(s) || looks_numeric(s) ||
        has_marked_end(s)) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        char next = i + 1 < s.len ? s.ptr[i + 1] : 0;
        if (c < 0x20 || c >= 0x7f || (c == ':' && next == ' ') || (c == ' ' && next == '#')) {
            return false;
        }
    }
    return true;
}

/* Lines of printable text that a literal block gives back unchanged. */
static bool is_block(struct tt_str s)
{
    if (s.len < 2 || tt_str_find(s, '\n') < 0 || strchr(" \n\t", s.ptr[0]) != NULL ||
        !tt_utf8_valid(s)) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || c == 0xc2 || c == 0xe2 ||
            c == 0xef) {
            return false; /* C1 controls, line separators and byte order marks begin so */
        }
    }
    return true;
}

static void write_block(struct tt_buf *buf, struct tt_str s, unsigned indent)
{
    bool ends = s.ptr[s.len - 1] == '\n';
    bool keeps = ends && s.ptr[s.len - 2] == '\n';
    tt_buf_c(buf, keeps ? "|+\n" : ends ? "|\n" : "|-\n");
    struct tt_str rest = ends ? tt_str_head(s, s.len - 1) : s;
    struct tt_str line;
    while (tt_str_cut(&rest, '\n', &line)) {
        if (line.len > 0) {
            write_indent(buf, indent);
            tt_buf_str(buf, line);
        }
        tt_buf_char(buf, '\n');
    }
}

/* Ends its line. */
static void write_string(struct tt_buf *buf, struct tt_str s, unsigned indent)
{
    if (is_block(s)) {
        write_block(buf, s, indent);
        return;
    }
    if (is_plain(s)) {
        tt_buf_str(buf, s);
    } else {
        tt_json_quote(buf, s);
    }
    tt_buf_char(buf, '\n');
}

static void write_json_line(struct tt_buf *buf, yyjson_val *val)
{
    size_t size = 0;
    char *text = yyjson_val_write(val, YYJSON_WRITE_NOFLAG, &size);
    if (text == NULL) {
        buf->failed = true;
        return;
    }
    tt_buf_append(buf, text, size);
    tt_buf_char(buf, '\n');
    tt_free(text);
}

static bool is_container(yyjson_val *val)
{
    return (yyjson_is_obj(val) || yyjson_is_arr(val)) && yyjson_get_len(val) > 0;
}

static void write_scalar(struct tt_buf *buf, yyjson_val *val, unsigned indent)
{
    if (yyjson_is_str(val)) {
        write_string(buf, text_of(val), indent);
    } else {
        write_json_line(buf, val); /* numbers, booleans, null, {} and [] */
    }
}

/* The first member follows "- " or stands at its own indentation; the others are indented. */
static void write_object(struct tt_buf *buf, yyjson_val *obj, unsigned depth, unsigned indent)
{
    yyjson_obj_iter iter = yyjson_obj_iter_with(obj);
    yyjson_val *key;
    bool first = true;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        yyjson_val *val = yyjson_obj_iter_get_val(key);
        struct tt_str name = text_of(key);
        write_indent(buf, first ? 0 : indent);
        first = false;
        if (is_plain(name)) {
            tt_buf_str(buf, name);
        } else {
            tt_json_quote(buf, name);
        }
        tt_buf_char(buf, ':');
        if (!is_container(val) || depth >= DEPTH_MAX) {
            tt_buf_char(buf, ' ');
            if (is_container(val)) {
                write_json_line(buf, val);
            } else {
                write_scalar(buf, val, indent + 2);
            }
            continue;
        }
        unsigned below = yyjson_is_arr(val) ? indent : indent + 2;
        tt_buf_char(buf, '\n');
        write_indent(buf, below);
        write_value(buf, val, depth + 1, below);
    }
}

static void write_array(struct tt_buf *buf, yyjson_val *arr, unsigned depth, unsigned indent)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(arr);
    yyjson_val *item;
    bool first = true;
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        write_indent(buf, first ? 0 : indent);
        first = false;
        tt_buf_c(buf, "- ");
        if (is_container(item) && depth >= DEPTH_MAX) {
            write_json_line(buf, item);
        } else {
            write_value(buf, item, depth + 1, indent + 2);
        }
    }
}

/* The cursor stands where the value begins, at column `indent`. */
static void write_value(struct tt_buf *buf, yyjson_val *val, unsigned depth, unsigned indent)
{
    if (yyjson_is_obj(val) && is_container(val)) {
        write_object(buf, val, depth, indent);
    } else if (yyjson_is_arr(val) && is_container(val)) {
        write_array(buf, val, depth, indent);
    } else {
        write_scalar(buf, val, indent);
    }
}

void ctl_write_yaml(struct tt_buf *buf, yyjson_val *val)
{
    write_value(buf, val, 0, 0);
}
