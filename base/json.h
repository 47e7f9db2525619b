/* Writing JSON text into a tt_buf: enough for logs and small bodies. Parsing is api/json (yyjson).
 *
 * A writer tracks nesting and commas. Ownership: borrows the buffer. Thread: one. Errors: those of
 * the buffer. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"

/* Appends s as a quoted JSON string: control characters escaped, invalid UTF-8 replaced by U+FFFD.
 */
void tt_json_quote(struct tt_buf *buf, struct tt_str s);

struct tt_json_writer {
    struct tt_buf *buf; /* borrowed; what is appended to */
    uint64_t has_item;  /* bit per depth: a comma is due */
    unsigned depth;     /* at most 63 */
};
void tt_json_begin(struct tt_json_writer *w, struct tt_buf *buf);
/* key is NULL inside arrays and at the top. */
void tt_json_object(struct tt_json_writer *w, const char *key);
void tt_json_object_end(struct tt_json_writer *w);
void tt_json_array(struct tt_json_writer *w, const char *key);
void tt_json_array_end(struct tt_json_writer *w);
void tt_json_str(struct tt_json_writer *w, const char *key, struct tt_str value);
void tt_json_c(struct tt_json_writer *w, const char *key, const char *value); /* NULL writes null */
void tt_json_u64(struct tt_json_writer *w, const char *key, uint64_t value);
void tt_json_i64(struct tt_json_writer *w, const char *key, int64_t value);
void tt_json_double(struct tt_json_writer *w, const char *key, double value);
void tt_json_bool(struct tt_json_writer *w, const char *key, bool value);
void tt_json_raw(struct tt_json_writer *w, const char *key,
                 struct tt_str json); /* trusted JSON, verbatim */

#endif
