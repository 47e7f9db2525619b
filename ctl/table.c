/* Cells are kept one after the other in one buffer, with their lengths; widths count code points
 * (good enough for names; wide characters are rare in them). */
#include "ctl/table.h"

#include <stdio.h>

#include "ctl/output.h"

enum { TEXT_SIZE_MAX = 1 << 30, GAP = 3 };

struct ctl_table {
    struct tt_buf text;  /* cells without separators */
    struct tt_buf sizes; /* uint32_t each */
    size_t column_count; /* 1 to CTL_TABLE_COLUMNS_MAX */
    size_t cell_count;   /* since the last write */
    size_t dropped;      /* cells beyond the maximum, since the last write */
    /* Code points of the widest cell of each column, of written rows too. */
    size_t width[CTL_TABLE_COLUMNS_MAX];
};

struct ctl_table *ctl_table_new(size_t column_count)
{
    TT_ASSERT(column_count > 0 && column_count <= CTL_TABLE_COLUMNS_MAX);
    struct ctl_table *table = TT_NEW(struct ctl_table);
    tt_buf_init(&table->text, TEXT_SIZE_MAX);
    tt_buf_init(&table->sizes, TEXT_SIZE_MAX);
    table->column_count = column_count;
    return table;
}

void ctl_table_free(struct ctl_table *table)
{
    if (table != NULL) {
        tt_buf_fini(&table->text);
        tt_buf_fini(&table->sizes);
        tt_free(table);
    }
}

void ctl_table_cell(struct ctl_table *table, struct tt_str text)
{
    if (table->cell_count >= table->column_count * CTL_TABLE_ROWS_MAX) {
        table->dropped++;
        return;
    }
    size_t before = table->text.len;
    size_t width = ctl_write_printable(&table->text, text);
    size_t column = table->cell_count % table->column_count;
    if (width > table->width[column]) {
        table->width[column] = width;
    }
    uint32_t size = (uint32_t)(table->text.len - before);
    tt_buf_append(&table->sizes, &size, sizeof size);
    table->cell_count++;
}

void ctl_table_c(struct ctl_table *table, const char *text)
{
    ctl_table_cell(table, tt_str_c(text));
}

void ctl_table_u64(struct ctl_table *table, uint64_t value)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 32);
    tt_buf_u64(&text, value);
    ctl_table_cell(table, tt_buf_view(&text));
}

size_t ctl_table_row_count(const struct ctl_table *table)
{
    return table->cell_count / table->column_count;
}

static size_t width_of(struct tt_str text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.len; i++) {
        width += ((unsigned char)text.ptr[i] & 0xc0) != 0x80; /* not a continuation byte */
    }
    return width;
}

void ctl_table_write(struct ctl_table *table, struct tt_buf *buf)
{
    struct tt_str rest = tt_buf_view(&table->text);
    for (size_t i = 0; i < table->cell_count; i++) {
        uint32_t size;
        memcpy(&size, table->sizes.ptr + i * sizeof size, sizeof size);
        struct tt_str cell = tt_str_head(rest, size);
        rest = tt_str_skip(rest, size);
        tt_buf_str(buf, cell);
        if ((i + 1) % table->column_count == 0) {
            tt_buf_char(buf, '\n');
            continue;
        }
        size_t column = i % table->column_count;
        size_t pad = table->width[column] - width_of(cell) + GAP;
        for (size_t n = 0; n < pad; n++) {
            tt_buf_char(buf, ' ');
        }
    }
    if (table->dropped > 0) {
        (void)fprintf(stderr, "%zu more rows are not shown: select fewer, or use -o json\n",
                      (table->dropped + table->column_count - 1) / table->column_count);
    }
    tt_buf_reset(&table->text);
    tt_buf_reset(&table->sizes);
    table->cell_count = 0;
    table->dropped = 0;
}
