/* Text in columns, as wide as their widest cell. Control characters in cells are shown as '?', so
 * that no stored text can steer a terminal.
 *
 * Ownership: copies its cells. Thread: one. Errors: none; rows beyond CTL_TABLE_ROWS_MAX
 * are left out, which is told on standard error. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include "base/buf.h"
#include "base/mem.h"

enum { CTL_TABLE_COLUMNS_MAX = 32, CTL_TABLE_ROWS_MAX = 2000000 };

struct ctl_table;
struct ctl_table *ctl_table_new(size_t column_count);
void ctl_table_free(struct ctl_table *table);
TT_DEFINE_AUTO(ctl_table)
/* Cells come row by row, the header first; a row ends by itself after column_count cells. */
void ctl_table_cell(struct ctl_table *table, struct tt_str text);
void ctl_table_c(struct ctl_table *table, const char *text);
void ctl_table_u64(struct ctl_table *table, uint64_t value);
size_t ctl_table_row_count(const struct ctl_table *table); /* complete ones, with the header */
/* Appends all rows, says how many were left out, and forgets them; the widths stay, so that later
 * rows line up. */
void ctl_table_write(struct ctl_table *table, struct tt_buf *buf);

#endif
