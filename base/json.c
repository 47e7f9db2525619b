#include "base/json.h"

#include <inttypes.h>
#include <math.h>

/* Happy path: begin, values and containers in order, every container ended.
 *
 * Failure modes: wrong nesting is a bug and asserts; text that is not UTF-8 is repaired, because a
 * log line with a strange name must still be a JSON line; numbers JSON has no word for become null.
 */

enum { JSON_DEPTH_MAX = 63 };

/* Length of the run at the front that needs no escape (plain ASCII). */
static size_t plain_run(struct tt_str s)
{
    size_t i = 0;
    while (i < s.len) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
            break;
        }
        i++;
    }
    return i;
}

static void escape_char(struct tt_buf *buf, unsigned char c)
{
    switch (c) {
    case '"':
        tt_buf_c(buf, "\\\"");
        break;
    case '\\':
        tt_buf_c(buf, "\\\\");
        break;
    case '\n':
        tt_buf_c(buf, "\\n");
        break;
    case '\r':
        tt_buf_c(buf, "\\r");
        break;
    case '\t':
        tt_buf_c(buf, "\\t");
        break;
    default:
        tt_buf_printf(buf, "\\u%04x", c);
        break;
    }
}

void tt_json_quote(struct tt_buf *buf, struct tt_str s)
{
    tt_buf_char(buf, '"');
    while (s.len > 0) {
        size_t run = plain_run(s);
        if (run > 0) {
            tt_buf_append(buf, s.ptr, run);
            s = tt_str_skip(s, run);
            continue;
        }
        unsigned char c = (unsigned char)s.ptr[0];
        size_t sequence = c < 0x80 ? 1 : tt_utf8_sequence(s);
        if (c < 0x80) {
            escape_char(buf, c);
        } else if (sequence > 0) {
            tt_buf_append(buf, s.ptr, sequence);
        } else {
            tt_buf_c(buf, "\xef\xbf\xbd");
        }
        s = tt_str_skip(s, sequence > 0 ? sequence : 1);
    }
    tt_buf_char(buf, '"');
}

void tt_json_begin(struct tt_json_writer *w, struct tt_buf *buf)
{
    *w = (struct tt_json_writer){.buf = buf};
}

/* Comma and key, whatever is due before the next value. */
static void lead_in(struct tt_json_writer *w, const char *key)
{
    uint64_t bit = UINT64_C(1) << w->depth;
    if (w->has_item & bit) {
        tt_buf_char(w->buf, ',');
    }
    w->has_item |= bit;
    if (key) {
        tt_json_quote(w->buf, tt_str_c(key));
        tt_buf_char(w->buf, ':');
    }
}

static void open_container(struct tt_json_writer *w, const char *key, char c)
{
    TT_ASSERT(w->depth < JSON_DEPTH_MAX);
    lead_in(w, key);
    tt_buf_char(w->buf, c);
    w->depth++;
    w->has_item &= ~(UINT64_C(1) << w->depth);
}

static void close_container(struct tt_json_writer *w, char c)
{
    TT_ASSERT(w->depth > 0);
    w->depth--;
    tt_buf_char(w->buf, c);
}

void tt_json_object(struct tt_json_writer *w, const char *key)
{
    open_container(w, key, '{');
}

void tt_json_object_end(struct tt_json_writer *w)
{
    close_container(w, '}');
}

void tt_json_array(struct tt_json_writer *w, const char *key)
{
    open_container(w, key, '[');
}

void tt_json_array_end(struct tt_json_writer *w)
{
    close_container(w, ']');
}

void tt_json_str(struct tt_json_writer *w, const char *key, struct tt_str value)
{
    lead_in(w, key);
    tt_json_quote(w->buf, value);
}

void tt_json_c(struct tt_json_writer *w, const char *key, const char *value)
{
    if (!value) {
        tt_json_raw(w, key, TT_STR("null"));
        return;
    }
    tt_json_str(w, key, tt_str_c(value));
}

void tt_json_u64(struct tt_json_writer *w, const char *key, uint64_t value)
{
    lead_in(w, key);
    tt_buf_u64(w->buf, value);
}

void tt_json_i64(struct tt_json_writer *w, const char *key, int64_t value)
{
    lead_in(w, key);
    tt_buf_printf(w->buf, "%" PRId64, value);
}

void tt_json_double(struct tt_json_writer *w, const char *key, double value)
{
    lead_in(w, key);
    if (isfinite(value)) {
        tt_buf_printf(w->buf, "%.17g", value);
    } else {
        tt_buf_c(w->buf, "null");
    }
}

void tt_json_bool(struct tt_json_writer *w, const char *key, bool value)
{
    lead_in(w, key);
    tt_buf_c(w->buf, value ? "true" : "false");
}

void tt_json_raw(struct tt_json_writer *w, const char *key, struct tt_str json)
{
    lead_in(w, key);
    tt_buf_str(w->buf, json);
}
