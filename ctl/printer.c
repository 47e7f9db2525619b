/* Columns are fixed by the first Table that names any; a later Table of a watch may leave them
 * out. */
#include "ctl/printer.h"

#include "api/json/json.h"
#include "ctl/output.h"

enum { TEXT_SIZE_MAX = 1 << 30, SOURCE_COLUMNS_MAX = CTL_TABLE_COLUMNS_MAX - 2 };

struct ctl_printer {
    struct ctl_printer_config config;   /* as given; never changes */
    struct ctl_table *table;            /* NULL before the header */
    size_t columns[SOURCE_COLUMNS_MAX]; /* of the Table, which are shown */
    size_t column_count;                /* of columns in use */
    size_t name_column;                 /* of the Table */
    size_t row_count;                   /* since the start, without the header */
};

struct ctl_printer *ctl_printer_new(const struct ctl_printer_config *config)
{
    struct ctl_printer *printer = TT_NEW(struct ctl_printer);
    printer->config = *config;
    return printer;
}

void ctl_printer_free(struct ctl_printer *printer)
{
    if (printer != NULL) {
        ctl_table_free(printer->table);
        tt_free(printer);
    }
}

static void head_cell(struct ctl_printer *printer, struct tt_str name)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 4096);
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        tt_buf_char(&text, c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c);
    }
    ctl_table_cell(printer->table, tt_buf_view(&text));
}

static void choose_columns(struct ctl_printer *printer, yyjson_val *definitions)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(definitions);
    yyjson_val *column;
    for (size_t i = 0; (column = yyjson_arr_iter_next(&iter)) != NULL; i++) {
        bool is_shown = printer->config.wide || tt_json_iget_i64(column, "priority", 0) == 0;
        if (tt_str_eq_c(tt_json_iget_str(column, "format"), "name")) {
            printer->name_column = i;
        }
        if (is_shown && printer->column_count < SOURCE_COLUMNS_MAX) {
            printer->columns[printer->column_count++] = i;
        }
    }
}

static void add_header(struct ctl_printer *printer, yyjson_val *definitions)
{
    const struct ctl_printer_config *config = &printer->config;
    choose_columns(printer, definitions);
    size_t count = printer->column_count + config->with_namespace + config->with_labels;
    printer->table = ctl_table_new(count);
    if (config->no_headers) {
        return;
    }
    if (config->with_namespace) {
        ctl_table_c(printer->table, "NAMESPACE");
    }
    for (size_t i = 0; i < printer->column_count; i++) {
        yyjson_val *column = yyjson_arr_get(definitions, printer->columns[i]);
        head_cell(printer, tt_json_iget_str(column, "name"));
    }
    if (config->with_labels) {
        ctl_table_c(printer->table, "LABELS");
    }
}

static void add_labels(struct ctl_printer *printer, yyjson_val *object)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 1 << 20);
    yyjson_obj_iter iter = yyjson_obj_iter_with(tt_json_iget(object, "metadata.labels"));
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        struct tt_str value = tt_json_istr_of(yyjson_obj_iter_get_val(key));
        tt_buf_printf(&text, "%s%.*s=%.*s", text.len > 0 ? "," : "",
                      TT_STR_ARG(tt_json_istr_of(key)), TT_STR_ARG(value));
    }
    ctl_table_cell(printer->table, text.len > 0 ? tt_buf_view(&text) : TT_STR("<none>"));
}

static void add_cell(struct ctl_printer *printer, yyjson_val *cell, bool is_name)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 1 << 20);
    if (is_name && printer->config.prefix != NULL) {
        ctl_resource_label(printer->config.prefix, tt_json_istr_of(cell), &text);
    } else if (yyjson_is_str(cell)) {
        tt_buf_str(&text, tt_json_istr_of(cell));
    } else if (cell == NULL || yyjson_is_null(cell)) {
        tt_buf_c(&text, "<none>");
    } else {
        tt_json_iwrite(&text, cell);
    }
    ctl_table_cell(printer->table, tt_buf_view(&text));
}

static void add_row(struct ctl_printer *printer, yyjson_val *row)
{
    yyjson_val *object = yyjson_obj_get(row, "object");
    yyjson_val *cells = yyjson_obj_get(row, "cells");
    if (printer->config.with_namespace) {
        struct tt_str ns = tt_json_iget_str(object, "metadata.namespace");
        ctl_table_cell(printer->table, ns.len > 0 ? ns : TT_STR("<none>"));
    }
    for (size_t i = 0; i < printer->column_count; i++) {
        size_t column = printer->columns[i];
        add_cell(printer, yyjson_arr_get(cells, column), column == printer->name_column);
    }
    if (printer->config.with_labels) {
        add_labels(printer, object);
    }
    printer->row_count++;
}

void ctl_printer_add(struct ctl_printer *printer, yyjson_val *table)
{
    yyjson_val *definitions = yyjson_obj_get(table, "columnDefinitions");
    if (printer->table == NULL && yyjson_arr_size(definitions) > 0) {
        add_header(printer, definitions);
    }
    if (printer->table == NULL || printer->column_count == 0) {
        return;
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(table, "rows"));
    yyjson_val *row;
    while ((row = yyjson_arr_iter_next(&iter)) != NULL) {
        add_row(printer, row);
    }
}

size_t ctl_printer_row_count(const struct ctl_printer *printer)
{
    return printer->row_count;
}

void ctl_printer_flush(struct ctl_printer *printer)
{
    if (printer->table == NULL) {
        return;
    }
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    ctl_table_write(printer->table, &text);
    ctl_print_buf(&text);
}
