/* Renderings that are more than one field: pod status, restarts, ports …
 *
 * Ownership: appends text to the buffer. Thread: one. Errors: none; what is absent renders as
 * kubectl users know it ("<none>", "<unknown>"). */
#ifndef API_KINDS_TABLE_CELLS_H
#define API_KINDS_TABLE_CELLS_H

#include "api/json/json.h"

struct cell {
    struct tt_buf *buf; /* receives the text */
    yyjson_val *root;   /* the object */
    uint64_t now_ms;    /* wall clock, for ages */
};
/* False when there is no rendering of that name. */
bool table_cell_render(struct cell *cell, struct tt_str name);
/* "5m" since an RFC 3339 time, "<unknown>" without one. */
void table_cell_age(struct cell *cell, struct tt_str time);

#endif
