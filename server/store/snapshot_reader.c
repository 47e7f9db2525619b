/* Restoring a store from a stream, frame by frame.
 *
 * Each frame is checked (size, checksum, known fields), each record against the head and its
 * predecessors (order of keys, consecutive revisions), and the whole against the foot (counts,
 * content hash). Rows are put into the tree in key order, which packs it; changes are replayed
 * through the code that applied them first. Nothing is published before finish. A stream that ends
 * early or is wrong in any way is TT_ECORRUPT, sticky; the store is empty again then.
 *
 *   HEAD → ROWS* → CHANGES* → ONCES* → FOOT → END
 */
#include <inttypes.h>

#include "base/crc32c.h"
#include "base/intmath.h"
#include "server/store/snapshot.h"

enum phase { PHASE_HEAD, PHASE_ROWS, PHASE_CHANGES, PHASE_ONCES, PHASE_END, PHASE_FAILED };
enum { DECODER_SIZE_MAX = 8 << 20 };

struct tt_snapshot_reader {
    struct tt_store *store;            /* kept; its working copy is being filled */
    enum phase phase;                  /* of the newest record */
    bool finished;                     /* published: the store is the caller's again */
    struct tt_buf partial;             /* the beginning of a frame that is not complete */
    struct store_decoder decoder;      /* of one record at a time */
    const struct store_item *last_row; /* in the tree */
    uint64_t once_sequence;            /* of the newest entry */
    /* From the head, set in the state at the end: */
    uint64_t index;
    uint64_t revision;           /* of the store: the newest change's */
    uint64_t time_ms;            /* latest leader time */
    uint64_t chain_hash;         /* over all changes; the foot has the content hash */
    uint64_t once_sequence_last; /* the last one given, maybe expired since */
    uint32_t feature_level;      /* one this program knows */
};

struct tt_snapshot_reader *tt_snapshot_reader_new(struct tt_store *empty_store)
{
    TT_ASSERT(empty_store->state.index == 0 && empty_store->state.rows.count == 0);
    TT_ASSERT(empty_store->state.history.revision == 0);
    struct tt_snapshot_reader *reader = TT_NEW(struct tt_snapshot_reader);
    reader->store = empty_store;
    reader->phase = PHASE_HEAD;
    tt_buf_init(&reader->partial, STORE_FRAME_HEAD_SIZE + STORE_FRAME_SIZE_MAX);
    store_decoder_init(&reader->decoder, DECODER_SIZE_MAX);
    return reader;
}

void tt_snapshot_reader_free(struct tt_snapshot_reader *reader)
{
    if (!reader) {
        return;
    }
    if (!reader->finished && reader->phase != PHASE_FAILED) {
        store_discard(reader->store);
    }
    tt_buf_fini(&reader->partial);
    store_decoder_fini(&reader->decoder);
    tt_free(reader);
}

static int take_head(struct tt_snapshot_reader *reader, const Tt__SnapshotHead *head,
                     struct tt_err *err)
{
    if (head->format != STORE_SNAPSHOT_FORMAT) {
        return TT_FAIL(err, TT_ECORRUPT, "format %" PRIu32 ", this build reads %d", head->format,
                       STORE_SNAPSHOT_FORMAT);
    }
    if (head->feature_level > STORE_FEATURE_LEVEL_MAX ||
        head->feature_level < STORE_FEATURE_LEVEL_FIRST) {
        return TT_FAIL(err, TT_ECORRUPT, "feature level %" PRIu32 ", this build knows %d",
                       head->feature_level, STORE_FEATURE_LEVEL_MAX);
    }
    if (head->compacted > head->revision || head->revision > INT64_MAX) {
        return TT_FAIL(err, TT_ECORRUPT, "compacted %" PRIu64 " of revision %" PRIu64,
                       head->compacted, head->revision);
    }
    reader->index = head->index;
    reader->revision = head->revision;
    reader->time_ms = head->time_ms;
    reader->chain_hash = head->chain_hash;
    reader->once_sequence_last = head->once_sequence;
    reader->feature_level = head->feature_level;
    reader->store->state.history.compacted = head->compacted;
    reader->store->state.history.revision = head->compacted;
    reader->phase = PHASE_ROWS;
    return 0;
}

static int take_row(struct tt_snapshot_reader *reader, const Tt__SnapshotRow *row,
                    struct tt_err *err)
{
    struct tt_store *store = reader->store;
    struct tt_str key = store_str(row->key);
    struct tt_value value;
    if (key.len == 0 || key.len > TT_KEY_SIZE_MAX || !store_value_decode(row->value, &value)) {
        return TT_FAIL(err, TT_ECORRUPT, "row with a bad key or value");
    }
    if (reader->last_row && store_key_cmp(reader->last_row->item.key, key) >= 0) {
        return TT_FAIL(err, TT_ECORRUPT, "rows are not in order");
    }
    if (row->create_revision == 0 || row->create_revision > row->mod_revision ||
        row->mod_revision > store->state.history.compacted) {
        return TT_FAIL(err, TT_ECORRUPT, "row with revisions %" PRIu64 " and %" PRIu64,
                       row->create_revision, row->mod_revision);
    }
    struct store_item *item = store_item_new(key, &value, store->writer.batch);
    store_item_seal(item, row->create_revision, row->mod_revision);
    store_apply_row(store, item);
    reader->last_row = item;
    return 0;
}

static int take_change(struct tt_snapshot_reader *reader, const Tt__SnapshotChange *change,
                       struct tt_err *err)
{
    struct tt_store *store = reader->store;
    struct tt_str key = store_str(change->key);
    struct tt_value value;
    if (key.len == 0 || key.len > TT_KEY_SIZE_MAX ||
        (change->value && !store_value_decode(change->value, &value))) {
        return TT_FAIL(err, TT_ECORRUPT, "change with a bad key or value");
    }
    if (store->state.history.revision >= reader->revision) {
        return TT_FAIL(err, TT_ECORRUPT, "more changes than the head says");
    }
    if (change->value) {
        store_apply_put(store, key, &value);
    } else if (!store_apply_delete(store, key)) {
        return TT_FAIL(err, TT_ECORRUPT, "delete of a key that is not there");
    }
    return 0;
}

static int take_changes(struct tt_snapshot_reader *reader, const Tt__SnapshotChanges *changes,
                        struct tt_err *err)
{
    struct store_state *state = &reader->store->state;
    if (changes->first_revision != state->history.revision + 1) {
        return TT_FAIL(err, TT_ECORRUPT, "changes from %" PRIu64 " after %" PRIu64,
                       changes->first_revision, state->history.revision);
    }
    state->time_ms = changes->time_ms;
    int r = 0;
    for (size_t i = 0; r == 0 && i < changes->n_changes; i++) {
        r = take_change(reader, changes->changes[i], err);
    }
    return r;
}

static int take_once(struct tt_snapshot_reader *reader, const Tt__SnapshotOnce *once,
                     struct tt_err *err)
{
    struct tt_store *store = reader->store;
    if (once->sequence <= reader->once_sequence || once->sequence > reader->once_sequence_last ||
        once->request_id.len == 0 || once->request_id.len > STORE_REQUEST_ID_SIZE_MAX ||
        once->actor.len > STORE_IDENTITY_SIZE_MAX) {
        return TT_FAIL(err, TT_ECORRUPT, "exactly-once entry %" PRIu64 " is not valid",
                       once->sequence);
    }
    struct store_once_record record = {
        .sequence = once->sequence,
        .time_ms = once->time_ms,
        .revision_first = once->revision_first,
        .revision_last = once->revision_last,
        .actor = store_str(once->actor),
        .request_id = store_str(once->request_id),
    };
    reader->once_sequence = once->sequence;
    store_once_add(store->once, &store->state, &store->writer, &record);
    return 0;
}

static int take_foot(struct tt_snapshot_reader *reader, const Tt__SnapshotFoot *foot,
                     struct tt_err *err)
{
    struct store_state *state = &reader->store->state;
    if (state->history.revision != reader->revision || state->rows.count != foot->row_count ||
        state->row_bytes != foot->row_bytes || state->onces.count != foot->once_count) {
        return TT_FAIL(err, TT_ECORRUPT,
                       "revision %" PRIu64 " of %" PRIu64 ", %" PRIu64 " rows of %" PRIu64
                       ", %" PRIu64 " exactly-once entries of %" PRIu64,
                       state->history.revision, reader->revision, state->rows.count,
                       foot->row_count, state->onces.count, foot->once_count);
    }
    if (state->content_hash != foot->content_hash) {
        return TT_FAIL(err, TT_ECORRUPT, "content hash is %016" PRIx64 ", should be %016" PRIx64,
                       state->content_hash, foot->content_hash);
    }
    state->index = reader->index;
    state->time_ms = reader->time_ms;
    state->chain_hash = reader->chain_hash;
    state->once_sequence = reader->once_sequence_last;
    state->feature_level = reader->feature_level;
    reader->phase = PHASE_END;
    return 0;
}

static int take_rows(struct tt_snapshot_reader *reader, const Tt__SnapshotRows *rows,
                     struct tt_err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < rows->n_rows; i++) {
        r = take_row(reader, rows->rows[i], err);
    }
    return r;
}

static int take_onces(struct tt_snapshot_reader *reader, const Tt__SnapshotOnces *onces,
                      struct tt_err *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < onces->n_onces; i++) {
        r = take_once(reader, onces->onces[i], err);
    }
    return r;
}

/* The one body of a record, when it may come now. */
static int take_body(struct tt_snapshot_reader *reader, const Tt__SnapshotRecord *record,
                     struct tt_err *err)
{
    enum phase phase = record->head      ? PHASE_HEAD
                       : record->rows    ? PHASE_ROWS
                       : record->changes ? PHASE_CHANGES
                                         : PHASE_ONCES;
    bool first = reader->phase == PHASE_HEAD;
    if (reader->phase >= PHASE_END || phase < reader->phase || first != (phase == PHASE_HEAD)) {
        return TT_FAIL(err, TT_ECORRUPT, "record out of order");
    }
    reader->phase = phase;
    switch (phase) {
    case PHASE_HEAD:
        return take_head(reader, record->head, err);
    case PHASE_ROWS:
        return take_rows(reader, record->rows, err);
    case PHASE_CHANGES:
        return take_changes(reader, record->changes, err);
    case PHASE_ONCES:
    case PHASE_END:
    case PHASE_FAILED:
        break;
    }
    return record->foot ? take_foot(reader, record->foot, err)
                        : take_onces(reader, record->onces, err);
}

static int take_frame(struct tt_snapshot_reader *reader, const char *head, size_t size,
                      struct tt_err *err)
{
    struct tt_str payload = tt_str(head + STORE_FRAME_HEAD_SIZE, size);
    uint32_t sum = tt_le32_get((const uint8_t *)(const void *)head + 4);
    if (tt_crc32c(0, payload.ptr, payload.len) != sum) {
        return TT_FAIL(err, TT_ECORRUPT, "frame of %zu bytes with a wrong checksum", size);
    }
    const Tt__SnapshotRecord *record = (const Tt__SnapshotRecord *)(const void *)store_decode(
        &reader->decoder, &tt__snapshot_record__descriptor, payload);
    if (!record) {
        return TT_FAIL(err, TT_ECORRUPT, "record of %zu bytes is not understood", size);
    }
    if (!!record->head + !!record->rows + !!record->changes + !!record->onces + !!record->foot !=
        1) {
        return TT_FAIL(err, TT_ECORRUPT, "record without exactly one body");
    }
    return take_body(reader, record, err);
}

/* Size of the payload whose head is at the front, 0 while the head is not complete. */
static int frame_size(struct tt_str bytes, size_t *ret_size, struct tt_err *err)
{
    *ret_size = 0;
    if (bytes.len < STORE_FRAME_HEAD_SIZE) {
        return 0;
    }
    size_t size = tt_le32_get((const uint8_t *)(const void *)bytes.ptr);
    if (size == 0 || size > STORE_FRAME_SIZE_MAX) {
        return TT_FAIL(err, TT_ECORRUPT, "frame of %zu bytes", size);
    }
    *ret_size = size;
    return 0;
}

/* Adds from *bytes to the partial frame what it still needs, and takes it when it is complete. */
static int feed_partial(struct tt_snapshot_reader *reader, struct tt_str *bytes, struct tt_err *err)
{
    struct tt_buf *partial = &reader->partial;
    size_t size;
    int r = frame_size(tt_buf_view(partial), &size, err);
    if (r != 0) {
        return r;
    }
    size_t need = STORE_FRAME_HEAD_SIZE + size - partial->len;
    size_t part = tt_size_min(need, bytes->len);
    tt_buf_append(partial, bytes->ptr, part);
    *bytes = tt_str_skip(*bytes, part);
    if (part < need || size == 0) {
        return 0; /* the head may be complete now: the next turn knows the size */
    }
    r = take_frame(reader, partial->ptr, size, err);
    tt_buf_reset(partial);
    return r;
}

static int feed(struct tt_snapshot_reader *reader, struct tt_str bytes, struct tt_err *err)
{
    int r = 0;
    while (r == 0 && bytes.len > 0) {
        size_t size = 0;
        if (reader->partial.len == 0) {
            r = frame_size(bytes, &size, err);
        }
        if (r != 0) {
            break;
        }
        if (size > 0 && bytes.len - STORE_FRAME_HEAD_SIZE >= size) {
            r = take_frame(reader, bytes.ptr, size, err);
            bytes = tt_str_skip(bytes, STORE_FRAME_HEAD_SIZE + size);
        } else {
            r = feed_partial(reader, &bytes, err);
        }
    }
    return r;
}

static int fail(struct tt_snapshot_reader *reader)
{
    reader->phase = PHASE_FAILED;
    store_discard(reader->store);
    return TT_ECORRUPT;
}

int tt_snapshot_reader_feed(struct tt_snapshot_reader *reader, struct tt_str bytes,
                            struct tt_err *err)
{
    TT_ASSERT(!reader->finished);
    if (reader->phase == PHASE_FAILED) {
        return TT_FAIL(err, TT_ECORRUPT, "snapshot stream failed before");
    }
    int r = feed(reader, bytes, err);
    return r == 0 ? 0 : TT_WRAP(err, fail(reader), "restore snapshot");
}

int tt_snapshot_reader_finish(struct tt_snapshot_reader *reader, struct tt_err *err)
{
    TT_ASSERT(!reader->finished);
    if (reader->phase == PHASE_FAILED) {
        return TT_FAIL(err, TT_ECORRUPT, "snapshot stream failed before");
    }
    if (reader->phase != PHASE_END || reader->partial.len > 0) {
        (void)fail(reader); /* always the code below */
        return TT_FAIL(err, TT_ECORRUPT, "snapshot stream ends early");
    }
    reader->finished = true;
    reader->store->dirty = true;
    tt_store_publish(reader->store);
    return 0;
}
