/* A cell holds the newest copy of a plain struct for any thread to read: status pages, metrics.
 *
 * Ownership: owns its bytes; both sides copy. Thread: any; a reader never waits longer than one
 * copy. Errors: none. */
#ifndef BASE_CELL_H
#define BASE_CELL_H

#include <stddef.h>

#include "base/mem.h"

struct tt_cell;
struct tt_cell *tt_cell_new(size_t size); /* zeroed; size in bytes */
void tt_cell_free(struct tt_cell *cell);
void tt_cell_write(struct tt_cell *cell, const void *value); /* size bytes */
void tt_cell_read(struct tt_cell *cell, void *ret_value);    /* size bytes */

#endif
