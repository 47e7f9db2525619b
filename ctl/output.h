/* What commands print: formats, JSON and YAML, standard output that is checked.
 *
 * JSON output is stable: fields are only ever added. Ownership: borrows. Thread: one.
 * Errors: TT_EINVAL for an unknown format. */
#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include <yyjson.h>

#include "base/buf.h"

enum ctl_format {
    CTL_FORMAT_TABLE,
    CTL_FORMAT_WIDE,
    CTL_FORMAT_JSON,
    CTL_FORMAT_YAML,
    CTL_FORMAT_NAME,
};
/* text NULL: the table. */
int ctl_format_parse(const char *text, enum ctl_format *ret, struct tt_err *err) TT_MUST_USE;
/* Indented by two; ends with a newline. */
void ctl_write_json(struct tt_buf *buf, const yyjson_val *val);
/* Block style, as kubectl prints it; ends with a newline. Reading it gives the same values. */
void ctl_write_yaml(struct tt_buf *buf, yyjson_val *val);
/* Control characters and what is no UTF-8 as '?'. Returns how many code points that is. */
size_t ctl_write_printable(struct tt_buf *buf, struct tt_str text);
/* Either of the two. */
void ctl_print_value(enum ctl_format format, yyjson_val *val);
void ctl_print_buf(const struct tt_buf *buf);
/* Standard output took everything? Called once at the end. */
int ctl_output_end(struct tt_err *err) TT_MUST_USE;
/* Standard error is a terminal: progress may be shown there. */
bool ctl_is_interactive(void);

#endif
