/* Objects as rows: the server's Table documents become aligned text.
 *
 * Ownership: a printer owns its table. Thread: one at a time. Errors: none. */
#ifndef CTL_PRINTER_H
#define CTL_PRINTER_H

#include <yyjson.h>

#include "ctl/resources.h"
#include "ctl/table.h"

#define CTL_ACCEPT_TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

struct ctl_printer_config {
    bool wide;                         /* columns of lower priority too */
    bool with_namespace;               /* a first column */
    bool with_labels;                  /* a last column */
    bool no_headers;                   /* rows only */
    const struct ctl_resource *prefix; /* names as TYPE/NAME; NULL: plain */
};
struct ctl_printer;
struct ctl_printer *ctl_printer_new(const struct ctl_printer_config *config);
void ctl_printer_free(struct ctl_printer *printer);
TT_DEFINE_AUTO(ctl_printer)
/* Adds the rows of a Table; the first one with columns decides on the header. */
void ctl_printer_add(struct ctl_printer *printer, yyjson_val *table);
size_t ctl_printer_row_count(const struct ctl_printer *printer); /* since the start */
/* To standard output; later rows keep the widths. */
void ctl_printer_flush(struct ctl_printer *printer);

#endif
