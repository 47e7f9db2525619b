/* Tables: head with column definitions, one row per object, end.
 *
 * A row parses its object once (no mutable copy), renders the cells and adds what includeObject
 * asks for: PartialObjectMetadata, the whole object (its stored bytes, spliced) or nothing. Failure
 * modes: stored bytes that do not parse, arena full. */
#include "api/kinds/table.h"

#include "api/kinds/object.h"
#include "api/kinds/table_cells.h"
#include "base/json.h"

enum { CELL_SIZE_MAX = 64 << 10 };

static const struct tt_column plain_columns[] = {
    {.name = {"Name", 4},
     .type = {"string", 6},
     .format = {"name", 4},
     .doc = {"Name of the object, unique within its namespace.", 48},
     .value = {".metadata.name", 14}},
    {.name = {"Age", 3},
     .type = {"string", 6},
     .doc = {"Time since the object was created.", 34},
     .value = {"#age", 4}},
};

bool tt_table_include_parse(struct tt_str text, enum tt_table_include *ret)
{
    if (text.len == 0 || tt_str_eq(text, TT_STR("Metadata"))) {
        *ret = TT_INCLUDE_METADATA;
    } else if (tt_str_eq(text, TT_STR("None"))) {
        *ret = TT_INCLUDE_NONE;
    } else if (tt_str_eq(text, TT_STR("Object"))) {
        *ret = TT_INCLUDE_OBJECT;
    } else {
        return false;
    }
    return true;
}

size_t tt_table_columns(const struct tt_kind *kind, const struct tt_column **ret_columns)
{
    *ret_columns = kind->column_count > 0 ? kind->columns : plain_columns;
    return kind->column_count > 0 ? kind->column_count
                                  : sizeof plain_columns / sizeof plain_columns[0];
}

static void write_columns(struct tt_json_writer *w, const struct tt_kind *kind)
{
    const struct tt_column *columns;
    size_t count = tt_table_columns(kind, &columns);
    tt_json_array(w, NULL);
    for (size_t i = 0; i < count; i++) {
        tt_json_object(w, NULL);
        tt_json_str(w, "name", columns[i].name);
        tt_json_str(w, "type", columns[i].type);
        tt_json_str(w, "format", columns[i].format);
        tt_json_str(w, "description", columns[i].doc);
        tt_json_i64(w, "priority", columns[i].priority);
        tt_json_object_end(w);
    }
    tt_json_array_end(w);
}

void tt_table_begin(struct tt_buf *buf, const struct tt_kind *kind,
                    const struct tt_table_list_meta *meta, bool with_columns)
{
    struct tt_json_writer w;
    tt_buf_c(buf, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{");
    tt_buf_printf(buf, "\"resourceVersion\":\"%llu\"", (unsigned long long)meta->revision);
    if (meta->continue_token.len > 0) {
        tt_buf_c(buf, ",\"continue\":");
        tt_json_quote(buf, meta->continue_token);
    }
    if (meta->remaining > 0) {
        tt_buf_printf(buf, ",\"remainingItemCount\":%llu", (unsigned long long)meta->remaining);
    }
    tt_buf_c(buf, "},");
    tt_buf_c(buf, "\"columnDefinitions\":");
    if (with_columns) {
        tt_json_begin(&w, buf);
        write_columns(&w, kind);
    } else {
        tt_buf_c(buf, "[]");
    }
    tt_buf_c(buf, ",\"rows\":[");
}

static void render(struct cell *cell, const struct tt_column *column)
{
    if (column->value.len > 0 && column->value.ptr[0] == '#') {
        (void)table_cell_render(cell, column->value); /* an unknown name leaves the cell empty */
        return;
    }
    /* Schemas keep their strings NUL-terminated. */
    yyjson_val *val =
        column->value.len > 1 ? tt_json_iget(cell->root, column->value.ptr + 1) : NULL;
    if (tt_str_eq(column->type, TT_STR("date"))) {
        table_cell_age(cell, tt_json_istr_of(val));
    } else if (yyjson_is_str(val)) {
        tt_buf_str(cell->buf, tt_json_istr_of(val));
    } else if (val != NULL) {
        tt_json_iwrite(cell->buf, val);
    }
}

int tt_table_cells(struct tt_arena *arena, const struct tt_kind *kind, yyjson_val *root,
                   uint64_t now_ms, struct tt_str *ret_cells, struct tt_err *err)
{
    const struct tt_column *columns;
    size_t count = tt_table_columns(kind, &columns);
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, CELL_SIZE_MAX);
    struct cell cell = {.buf = &buf, .root = root, .now_ms = now_ms};
    for (size_t i = 0; i < count; i++) {
        bool number = tt_str_eq(columns[i].type, TT_STR("integer"));
        tt_buf_reset(&buf);
        render(&cell, &columns[i]);
        if (buf.len == 0) {
            tt_buf_c(&buf, number ? "0" : "<none>");
        }
        const char *copy = tt_arena_strndup(arena, buf.ptr, buf.len);
        if (copy == NULL) {
            return TT_FAIL(err, TT_ETOOLARGE, "the table needs more memory than allowed");
        }
        ret_cells[i] = tt_str(copy, buf.len);
    }
    return TT_OK;
}

static void write_cells(struct tt_buf *buf, const struct tt_kind *kind, const struct tt_str *cells)
{
    const struct tt_column *columns;
    size_t count = tt_table_columns(kind, &columns);
    int64_t number;
    tt_buf_c(buf, "{\"cells\":[");
    for (size_t i = 0; i < count; i++) {
        tt_buf_c(buf, i > 0 ? "," : "");
        if (tt_str_eq(columns[i].type, TT_STR("integer")) && tt_str_to_i64(cells[i], &number)) {
            tt_buf_str(buf, cells[i]);
        } else {
            tt_json_quote(buf, cells[i]);
        }
    }
    tt_buf_char(buf, ']');
}

static void write_partial(struct tt_buf *buf, yyjson_val *root, uint64_t revision)
{
    yyjson_val *metadata = yyjson_obj_get(root, "metadata");
    char splice[TT_SPLICE_SIZE];
    size_t size = tt_object_splice(revision, splice);
    tt_buf_c(buf, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\","
                  "\"metadata\":{");
    tt_buf_append(buf, splice, yyjson_obj_size(metadata) > 0 ? size : size - 1);
    yyjson_obj_iter it = yyjson_obj_iter_with(metadata);
    bool first = true;
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it)) != NULL; first = false) {
        tt_buf_c(buf, first ? "" : ",");
        tt_json_iwrite(buf, key);
        tt_buf_char(buf, ':');
        tt_json_iwrite(buf, yyjson_obj_iter_get_val(key));
    }
    tt_buf_c(buf, "}}");
}

static int read_row(struct tt_arena *arena, const struct tt_table_row *row, yyjson_doc **ret_doc,
                    struct tt_err *err)
{
    int r = tt_json_read(arena, row->stored, ret_doc, err);
    return r < 0 ? TT_WRAP(err, r, "read a stored object") : TT_OK;
}

int tt_object_write_metadata(struct tt_buf *buf, struct tt_arena *arena,
                             const struct tt_table_row *row, struct tt_err *err)
{
    yyjson_doc *doc = NULL;
    int r = read_row(arena, row, &doc, err);
    if (r == TT_OK) {
        write_partial(buf, yyjson_doc_get_root(doc), row->revision);
    }
    return r;
}

int tt_table_row(struct tt_buf *buf, struct tt_arena *arena, const struct tt_table_style *style,
                 const struct tt_table_row *row, struct tt_err *err)
{
    const struct tt_kind *kind = style->kind;
    const struct tt_column *columns;
    size_t count = tt_table_columns(kind, &columns);
    yyjson_doc *doc = NULL;
    int r = read_row(arena, row, &doc, err);
    if (r < 0) {
        return r;
    }
    struct tt_str *cells = tt_arena_alloc(arena, count * sizeof *cells);
    if (cells == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "the table needs more memory than allowed");
    }
    r = tt_table_cells(arena, kind, yyjson_doc_get_root(doc), style->now_ms, cells, err);
    if (r < 0) {
        return r;
    }
    tt_buf_c(buf, row->first ? "" : ",");
    write_cells(buf, kind, cells);
    if (style->include == TT_INCLUDE_OBJECT) {
        tt_buf_c(buf, ",\"object\":");
        tt_object_write_spliced(buf, row->stored, row->splice, row->revision);
    } else if (style->include == TT_INCLUDE_METADATA) {
        tt_buf_c(buf, ",\"object\":");
        write_partial(buf, yyjson_doc_get_root(doc), row->revision);
    } else {
        tt_buf_c(buf, ",\"object\":null");
    }
    tt_buf_char(buf, '}');
    return TT_OK;
}

void tt_table_end(struct tt_buf *buf)
{
    tt_buf_c(buf, "]}");
}
