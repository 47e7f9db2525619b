/* Encoding a pinned version as a stream.
 *
 * The rows are the state at the compaction mark (a scan of that revision), the changes are what
 * came after: replayed on the rows they give the state, the history and the sharing of values
 * between them, and nothing is sent twice. Records are built from message structs kept in the
 * writer that borrow from the version, and packed straight into the caller's buffer.
 *
 *   HEAD → ROWS → CHANGES → ONCES → FOOT → END      (a phase without records is passed over)
 */
#include "base/crc32c.h"
#include "base/intmath.h"
#include "server/store/snapshot.h"

enum phase { PHASE_HEAD, PHASE_ROWS, PHASE_CHANGES, PHASE_ONCES, PHASE_FOOT, PHASE_END };

struct tt_snapshot_writer {
    struct tt_version *version;     /* referenced */
    enum phase phase;               /* of the next record */
    struct tt_scan *rows;           /* at the compaction mark; NULL: there are none */
    const struct tt_item *row;      /* next to send */
    uint64_t revision;              /* of the next change to send */
    struct store_tree_cursor onces; /* in the tree of exactly-once entries, behind once */
    const struct store_item *once;  /* next to send */
    /* Messages of one record. */
    Tt__Value values[STORE_RECORD_COUNT_MAX];
    union {
        Tt__SnapshotRow rows[STORE_RECORD_COUNT_MAX];       /* PHASE_ROWS */
        Tt__SnapshotChange changes[STORE_RECORD_COUNT_MAX]; /* PHASE_CHANGES */
        Tt__SnapshotOnce onces[STORE_RECORD_COUNT_MAX];     /* PHASE_ONCES */
    } messages;                                             /* of the phase under way */
    union {
        /* [i] at messages.rows[i]: as protobuf-c wants it */
        Tt__SnapshotRow *rows[STORE_RECORD_COUNT_MAX];
        Tt__SnapshotChange *changes[STORE_RECORD_COUNT_MAX]; /* likewise */
        Tt__SnapshotOnce *onces[STORE_RECORD_COUNT_MAX];     /* likewise */
    } pointers;                                              /* likewise */
};

struct tt_snapshot_writer *tt_snapshot_writer_new(struct tt_version *version)
{
    struct tt_snapshot_writer *writer = tt_xcalloc(1, sizeof *writer);
    const struct store_state *state = &version->state;
    writer->version = tt_version_ref(version);
    writer->revision = state->history.compacted + 1;
    store_tree_seek(&state->onces, TT_STR_NONE, &writer->onces);
    writer->once = store_tree_next(&writer->onces);
    return writer;
}

void tt_snapshot_writer_free(struct tt_snapshot_writer *writer)
{
    if (writer) {
        tt_scan_free(writer->rows);
        tt_version_unref(writer->version);
        tt_free(writer);
    }
}

static int emit(const Tt__SnapshotRecord *record, struct tt_buf *out, struct tt_err *err)
{
    size_t size = tt__snapshot_record__get_packed_size(record);
    TT_ASSERT(size > 0 && size <= STORE_FRAME_SIZE_MAX);
    uint8_t *at = (uint8_t *)tt_buf_reserve(out, STORE_FRAME_HEAD_SIZE + size);
    if (!at) {
        return TT_FAIL(err, TT_ETOOLARGE, "snapshot frame of %zu bytes does not fit", size);
    }
    size_t packed = tt__snapshot_record__pack(record, at + STORE_FRAME_HEAD_SIZE);
    TT_ASSERT(packed == size);
    tt_le32_put(at, (uint32_t)size);
    tt_le32_put(at + 4, tt_crc32c(0, at + STORE_FRAME_HEAD_SIZE, size));
    out->len += STORE_FRAME_HEAD_SIZE + size;
    return 0;
}

static int emit_head(struct tt_snapshot_writer *writer, struct tt_buf *out, struct tt_err *err)
{
    Tt__SnapshotRecord record;
    tt__snapshot_record__init(&record);
    const struct store_state *state = &writer->version->state;
    Tt__SnapshotHead head;
    tt__snapshot_head__init(&head);
    head.has_format = true;
    head.format = STORE_SNAPSHOT_FORMAT;
    head.has_index = true;
    head.index = state->index;
    head.has_revision = true;
    head.revision = state->history.revision;
    head.has_compacted = true;
    head.compacted = state->history.compacted;
    head.has_time_ms = true;
    head.time_ms = state->time_ms;
    head.has_feature_level = true;
    head.feature_level = state->feature_level;
    head.has_chain_hash = true;
    head.chain_hash = state->chain_hash;
    head.has_once_sequence = true;
    head.once_sequence = state->once_sequence;
    record.head = &head;
    writer->phase = PHASE_ROWS;
    if (state->history.compacted > 0) { /* at revision 0 there was nothing */
        int r = tt_scan_new(writer->version, TT_STR_NONE, TT_STR_NONE, state->history.compacted,
                            &writer->rows, err);
        if (r != 0) {
            return r;
        }
        writer->row = tt_scan_next(writer->rows);
    }
    return emit(&record, out, err);
}

static int emit_rows(struct tt_snapshot_writer *writer, struct tt_buf *out, struct tt_err *err)
{
    Tt__SnapshotRecord record;
    tt__snapshot_record__init(&record);
    Tt__SnapshotRows rows;
    tt__snapshot_rows__init(&rows);
    rows.rows = writer->pointers.rows;
    size_t size = 0;
    while (writer->row && rows.n_rows < STORE_RECORD_COUNT_MAX && size < STORE_RECORD_SIZE_AIM) {
        const struct tt_item *item = writer->row;
        Tt__SnapshotRow *row = &writer->messages.rows[rows.n_rows];
        tt__snapshot_row__init(row);
        row->has_key = true;
        row->key = store_data(item->key);
        row->value = &writer->values[rows.n_rows];
        store_value_encode(&item->value, row->value);
        row->has_create_revision = true;
        row->create_revision = item->create_revision;
        row->has_mod_revision = true;
        row->mod_revision = item->mod_revision;
        rows.rows[rows.n_rows++] = row;
        size += store_item_bytes(item);
        writer->row = tt_scan_next(writer->rows);
    }
    if (rows.n_rows == 0) {
        writer->phase = PHASE_CHANGES;
        return 0;
    }
    record.rows = &rows;
    return emit(&record, out, err);
}

static int emit_changes(struct tt_snapshot_writer *writer, struct tt_buf *out, struct tt_err *err)
{
    Tt__SnapshotRecord record;
    tt__snapshot_record__init(&record);
    const struct store_state *state = &writer->version->state;
    const struct store_history *history = &state->history;
    if (writer->revision > history->revision) {
        writer->phase = PHASE_ONCES;
        return 0;
    }
    Tt__SnapshotChanges changes;
    tt__snapshot_changes__init(&changes);
    changes.changes = writer->pointers.changes;
    changes.has_first_revision = true;
    changes.first_revision = writer->revision;
    const struct store_chunk *chunk = store_history_chunk(history, writer->revision);
    uint64_t chunk_last = (chunk->number + 1) * STORE_CHUNK_CHANGES - 1;
    /* The store's writer still writes to a chunk that is not full. */
    changes.has_time_ms = true;
    changes.time_ms = chunk_last <= history->revision ? chunk->time_ms : state->time_ms;
    uint64_t last = tt_u64_min(chunk_last, history->revision);
    for (size_t size = 0; writer->revision <= last && size < STORE_RECORD_SIZE_AIM;) {
        const struct store_change *from = store_history_get(history, writer->revision++);
        Tt__SnapshotChange *change = &writer->messages.changes[changes.n_changes];
        tt__snapshot_change__init(change);
        const struct tt_item *item = from->item ? from->item : &from->prev->item;
        change->has_key = true;
        change->key = store_data(item->key);
        if (from->item) {
            change->value = &writer->values[changes.n_changes];
            store_value_encode(&item->value, change->value);
            size += store_item_bytes(item);
        }
        changes.changes[changes.n_changes++] = change;
    }
    record.changes = &changes;
    return emit(&record, out, err);
}

static int emit_onces(struct tt_snapshot_writer *writer, struct tt_buf *out, struct tt_err *err)
{
    Tt__SnapshotRecord record;
    tt__snapshot_record__init(&record);
    Tt__SnapshotOnces onces;
    tt__snapshot_onces__init(&onces);
    onces.onces = writer->pointers.onces;
    while (writer->once && onces.n_onces < STORE_RECORD_COUNT_MAX) {
        struct store_once_record entry;
        bool good = store_once_decode(&writer->once->item, &entry);
        TT_ASSERT(good);
        Tt__SnapshotOnce *once = &writer->messages.onces[onces.n_onces];
        tt__snapshot_once__init(once);
        once->has_sequence = true;
        once->sequence = entry.sequence;
        once->has_time_ms = true;
        once->time_ms = entry.time_ms;
        once->has_revision_first = true;
        once->revision_first = entry.revision_first;
        once->has_revision_last = true;
        once->revision_last = entry.revision_last;
        once->has_actor = true;
        once->actor = store_data(entry.actor);
        once->has_request_id = true;
        once->request_id = store_data(entry.request_id);
        onces.onces[onces.n_onces++] = once;
        writer->once = store_tree_next(&writer->onces);
    }
    if (onces.n_onces == 0) {
        writer->phase = PHASE_FOOT;
        return 0;
    }
    record.onces = &onces;
    return emit(&record, out, err);
}

static int emit_foot(struct tt_snapshot_writer *writer, struct tt_buf *out, struct tt_err *err)
{
    Tt__SnapshotRecord record;
    tt__snapshot_record__init(&record);
    const struct store_state *state = &writer->version->state;
    Tt__SnapshotFoot foot;
    tt__snapshot_foot__init(&foot);
    foot.has_row_count = true;
    foot.row_count = state->rows.count;
    foot.has_row_bytes = true;
    foot.row_bytes = state->row_bytes;
    foot.has_content_hash = true;
    foot.content_hash = state->content_hash;
    foot.has_once_count = true;
    foot.once_count = state->onces.count;
    record.foot = &foot;
    writer->phase = PHASE_END;
    return emit(&record, out, err);
}

static int emit_next(struct tt_snapshot_writer *writer, struct tt_buf *out, struct tt_err *err)
{
    switch (writer->phase) {
    case PHASE_HEAD:
        return emit_head(writer, out, err);
    case PHASE_ROWS:
        return emit_rows(writer, out, err);
    case PHASE_CHANGES:
        return emit_changes(writer, out, err);
    case PHASE_ONCES:
        return emit_onces(writer, out, err);
    case PHASE_FOOT:
        return emit_foot(writer, out, err);
    case PHASE_END:
        break;
    }
    return 0;
}

int tt_snapshot_writer_next(struct tt_snapshot_writer *writer, size_t max_size, struct tt_buf *out,
                            bool *ret_done, struct tt_err *err)
{
    size_t before = out->len;
    while (writer->phase != PHASE_END && out->len - before < max_size) {
        int r = emit_next(writer, out, err);
        if (r != 0) {
            return TT_WRAP(err, r, "encode snapshot");
        }
    }
    *ret_done = writer->phase == PHASE_END;
    return 0;
}
