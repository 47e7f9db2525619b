/* meta.k8s.io/v1 Tables: what `kubectl get` prints, rendered from stored bytes row by row.
 *
 * begin writes the head with the column definitions (with_columns false: later events of a watch),
 * then one row per object, then end. Rows are independent, so that long lists can be streamed.
 * Ownership: appends to the caller's buffer; scratch memory from the arena (reset it between rows
 * of long lists). Thread: one. Errors: TT_EINVAL for an unknown includeObject. */
#ifndef API_KINDS_TABLE_H
#define API_KINDS_TABLE_H

#include "api/json/json.h"
#include "api/kinds/schema.h"

enum tt_table_include { TT_INCLUDE_METADATA, TT_INCLUDE_NONE, TT_INCLUDE_OBJECT };
bool tt_table_include_parse(struct tt_str text, enum tt_table_include *ret); /* "" = Metadata */

struct tt_table_list_meta {
    uint64_t revision;            /* shown as resourceVersion */
    struct tt_str continue_token; /* empty: none */
    uint64_t remaining;           /* 0: not told */
};
void tt_table_begin(struct tt_buf *buf, const struct tt_kind *kind,
                    const struct tt_table_list_meta *meta, bool with_columns);
/* first: no comma before it. stored/splice/revision: as in the store. now_ms for AGE. */
struct tt_table_row {
    struct tt_str stored; /* JSON without resourceVersion; borrowed */
    uint32_t splice;      /* offset in stored where that goes */
    uint64_t revision;    /* what goes there */
    bool first;           /* of the rows: no comma before it */
};
/* What all rows of one table share. */
struct tt_table_style {
    const struct tt_kind *kind;    /* borrowed; its columns */
    enum tt_table_include include; /* what stands behind the cells */
    uint64_t now_ms;               /* for ages */
};
int tt_table_row(struct tt_buf *buf, struct tt_arena *arena, const struct tt_table_style *style,
                 const struct tt_table_row *row, struct tt_err *err) TT_MUST_USE;
void tt_table_end(struct tt_buf *buf);

/* A PartialObjectMetadata of a stored object (also for metadata-only reads). */
int tt_object_write_metadata(struct tt_buf *buf, struct tt_arena *arena,
                             const struct tt_table_row *row, struct tt_err *err) TT_MUST_USE;

/* AGE cells and friends hold text rendered at now_ms; plain text tables of the ctl use the same
 * cells: returns the cell texts of one object, kind->column_count of them, in the arena. */
int tt_table_cells(struct tt_arena *arena, const struct tt_kind *kind, yyjson_val *root,
                   uint64_t now_ms, struct tt_str *ret_cells, struct tt_err *err) TT_MUST_USE;
/* Columns of a kind (NAME and AGE when the schema names none). */
size_t tt_table_columns(const struct tt_kind *kind, const struct tt_column **ret_columns);

#endif
