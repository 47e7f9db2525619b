/* The log engine: staging, writing, syncing, rolling over, watermark and removal.
 *
 * Happy path: records are packed into the sectors of one batch (stage), sealed with CRCs and the
 * chain and written with one call at the end of the current segment (write), then synced. A batch
 * that does not fit goes to the next segment, which was zero-filled ahead; the zeros left behind
 * are legal because the next segment's header names where the log ended.
 *
 * Failure modes: a failed write or sync leaves unknown bytes on the disk, so the log is dead from
 * then on. Running out of space can only happen when a segment is prepared: batches overwrite
 * allocated blocks. A crash leaves at most parts of one batch behind the end (log_scan.c).
 *
 * Order of durability: header of a segment before its batches; watermark after the batch it speaks
 * of; watermark that no longer needs a segment before that segment's removal. */
#include "raft/log.h"

#include <inttypes.h>

#include "base/intmath.h"
#include "base/rng.h"
#include "raft/log_internal.h"

uint64_t log_segment_size(const struct tt_wal *wal)
{
    return wal->sectors_per_segment * LOG_SECTOR;
}

struct tt_wal *log_new(const struct tt_wal_config *config, const struct log_watermark *mark)
{
    struct tt_wal *wal = TT_NEW(struct tt_wal);
    wal->disk = config->disk;
    wal->dir = tt_xstrdup(config->dir);
    wal->log_id = mark->log_id;
    wal->sectors_per_segment = mark->segment_size / LOG_SECTOR;
    wal->mark = *mark;
    wal->synced = *mark;
    wal->batch = 1;
    wal->needed = 1;
    wal->oldest = 1;
    wal->position = wal->sectors_per_segment;
    wal->stage_size_max = tt_size_min((size_t)TT_WAL_BATCH_SIZE_MAX + LOG_BATCH_HEADER,
                                      (size_t)(wal->sectors_per_segment - 1) * LOG_PAYLOAD);
    const struct log_state empty = {.first_index = 1};
    log_model_begin(&wal->model, &empty);
    wal->written = empty;
    return wal;
}

void tt_wal_free(struct tt_wal *wal)
{
    if (!wal) {
        return;
    }
    tt_disk_close(wal->file);
    tt_disk_close(wal->mark_file);
    log_model_fini(&wal->model);
    tt_free(wal->stage);
    tt_free(wal->dir);
    tt_free(wal);
}

int log_dead(struct tt_wal *wal, int r, struct tt_err *err, const char *what)
{
    TT_ASSERT(r != 0);
    wal->dead = true;
    return TT_WRAP(err, r, "log %s", what);
}

/* ---- staging ---- */

/* Aligned, so that batches can go around the page cache. */
static void stage_grow(struct tt_wal *wal, size_t capacity)
{
    uint8_t *grown = tt_xaligned(TT_DISK_DIRECT_ALIGN, capacity);
    if (wal->stage_capacity > 0) {
        memcpy(grown, wal->stage, wal->stage_capacity);
    }
    tt_free(wal->stage);
    wal->stage = grown;
    wal->stage_capacity = capacity;
}

static void stage_bytes(struct tt_wal *wal, const void *bytes, size_t size)
{
    size_t sectors = (wal->stage_size + size + LOG_PAYLOAD - 1) / LOG_PAYLOAD;
    if (sectors * LOG_SECTOR > wal->stage_capacity) {
        stage_grow(wal, tt_size_max(sectors * LOG_SECTOR, wal->stage_capacity * 2));
    }
    const uint8_t *from = bytes;
    while (size > 0) {
        size_t in = wal->stage_size % LOG_PAYLOAD;
        size_t part = tt_size_min(size, LOG_PAYLOAD - in);
        uint8_t *to = wal->stage + wal->stage_size / LOG_PAYLOAD * LOG_SECTOR + LOG_PREFIX + in;
        memcpy(to, from, part);
        wal->stage_size += part;
        from += part;
        size -= part;
    }
}

static uint64_t stage_address(const struct tt_wal *wal, size_t offset)
{
    (void)wal;
    return offset / LOG_PAYLOAD * LOG_SECTOR + LOG_PREFIX + offset % LOG_PAYLOAD;
}

static int stage_record(struct tt_wal *wal, const struct log_record *record, const uint8_t *bytes,
                        struct tt_err *err)
{
    if (wal->dead) {
        return TT_FAIL(err, TT_EIO, "the log failed earlier");
    }
    if (record->a >= LOG_INDEX_LIMIT ||
        (record->b >= LOG_INDEX_LIMIT && record->kind != LOG_KIND_HARD_STATE)) {
        return TT_FAIL(err, TT_EINVAL, "an index or term is out of range");
    }
    size_t need = LOG_RECORD_HEADER + (size_t)record->size;
    if (record->size > TT_WAL_ENTRY_SIZE_MAX || LOG_BATCH_HEADER + need > wal->stage_size_max) {
        return TT_FAIL(err, TT_EINVAL, "a record of %" PRIu32 " bytes is too large", record->size);
    }
    size_t at = wal->stage_size == 0 ? LOG_BATCH_HEADER : wal->stage_size;
    if (at + need > wal->stage_size_max) {
        return TT_FAIL(err, TT_ETOOLARGE, "the batch is full");
    }
    const char *why =
        log_model_apply(&wal->model, record, bytes, LOG_PLACE_STAGED | stage_address(wal, at));
    if (why) {
        return TT_FAIL(err, TT_EINVAL, "%s", why);
    }
    if (wal->stage_size == 0) {
        static const uint8_t header[LOG_BATCH_HEADER];
        stage_bytes(wal, header, sizeof header);
    }
    uint8_t encoded[LOG_RECORD_HEADER];
    log_record_encode(record, encoded);
    stage_bytes(wal, encoded, sizeof encoded);
    stage_bytes(wal, bytes, record->size);
    wal->stage_records++;
    wal->stage_has_snapshot = wal->stage_has_snapshot || record->kind == LOG_KIND_SNAPSHOT;
    return TT_OK;
}

int tt_wal_stage_entry(struct tt_wal *wal, const struct tt_wal_entry *entry, struct tt_err *err)
{
    size_t size = entry->payload ? entry->payload->size : 0;
    if (size > TT_WAL_ENTRY_SIZE_MAX) {
        return TT_FAIL(err, TT_EINVAL, "an entry of %zu bytes is too large", size);
    }
    const struct log_record record = {.kind = LOG_KIND_ENTRY,
                                      .type = entry->type,
                                      .size = (uint32_t)size,
                                      .a = entry->index,
                                      .b = entry->term};
    return stage_record(wal, &record, size > 0 ? entry->payload->ptr : NULL, err);
}

int tt_wal_stage_hard_state(struct tt_wal *wal, uint64_t term, uint64_t voted_for,
                            struct tt_err *err)
{
    const struct log_record record = {.kind = LOG_KIND_HARD_STATE, .a = term, .b = voted_for};
    return stage_record(wal, &record, NULL, err);
}

int tt_wal_stage_truncate(struct tt_wal *wal, uint64_t from_index, struct tt_err *err)
{
    const struct log_record record = {.kind = LOG_KIND_TRUNCATE, .a = from_index};
    return stage_record(wal, &record, NULL, err);
}

static int stage_snapshot(struct tt_wal *wal, const struct tt_wal_snapshot *snapshot,
                          uint64_t keep_from, uint8_t type, struct tt_err *err)
{
    uint8_t bytes[8 + TT_WAL_SNAPSHOT_HANDLE_SIZE_MAX];
    if (snapshot->handle_size > TT_WAL_SNAPSHOT_HANDLE_SIZE_MAX) {
        return TT_FAIL(err, TT_EINVAL, "the snapshot handle is too large");
    }
    tt_le64_put(bytes, keep_from);
    memcpy(bytes + 8, snapshot->handle, snapshot->handle_size);
    const struct log_record record = {.kind = LOG_KIND_SNAPSHOT,
                                      .type = type,
                                      .size = 8 + snapshot->handle_size,
                                      .a = snapshot->index,
                                      .b = snapshot->term};
    return stage_record(wal, &record, bytes, err);
}

int tt_wal_stage_snapshot(struct tt_wal *wal, const struct tt_wal_snapshot *snapshot,
                          uint64_t keep_from, struct tt_err *err)
{
    return stage_snapshot(wal, snapshot, keep_from, 0, err);
}

int tt_wal_stage_install(struct tt_wal *wal, const struct tt_wal_snapshot *snapshot,
                         struct tt_err *err)
{
    return stage_snapshot(wal, snapshot, snapshot->index + 1, 1, err);
}

/* ---- writing ---- */

int log_segment_open(struct tt_wal *wal, uint64_t number, struct tt_err *err)
{
    TT_AUTO_FREE char *path = log_segment_path(wal->dir, number);
    struct tt_disk_file *file = NULL;
    int r = tt_disk_open(wal->disk, path, TT_DISK_WRITE, &file, err);
    if (r != 0) {
        return r;
    }
    tt_disk_direct(file);
    tt_disk_close(wal->file);
    wal->file = file;
    wal->segment = number;
    return TT_OK;
}

/* Seals `sectors` at the end of the log and writes them there. */
static int write_batch(struct tt_wal *wal, uint8_t *sectors, uint16_t count, struct tt_err *err)
{
    uint64_t offset = wal->position - wal->segment * wal->sectors_per_segment;
    TT_ASSERT(!wal->unsynced && wal->file);
    TT_ASSERT(offset + count <= wal->sectors_per_segment);
    const struct log_seal seal = {
        .log_id = wal->log_id, .position = wal->position, .batch = wal->batch, .chain = wal->chain};
    uint64_t chain = log_batch_seal(&seal, sectors, count);
    wal->unsynced = true;
    int r = tt_disk_write(wal->file, offset * LOG_SECTOR, sectors, (size_t)count * LOG_SECTOR, err);
    if (r != 0) {
        return log_dead(wal, r, err, "write");
    }
    wal->chain = chain;
    wal->position += count;
    wal->batch++;
    return TT_OK;
}

static void batch_header_put(struct tt_wal *wal, uint8_t *sectors, size_t size, uint32_t records)
{
    tt_le64_put(sectors + LOG_PREFIX, wal->chain);
    tt_le32_put(sectors + LOG_PREFIX + 8, (uint32_t)size);
    tt_le32_put(sectors + LOG_PREFIX + 12, records);
}

static int write_segment_header(struct tt_wal *wal, uint64_t previous_end, struct tt_err *err)
{
    _Alignas(TT_DISK_DIRECT_ALIGN) uint8_t sector[LOG_SECTOR] = {0};
    const struct log_record record = {.kind = LOG_KIND_SEGMENT,
                                      .size = LOG_BASE_SIZE,
                                      .a = previous_end,
                                      .b = log_segment_size(wal)};
    uint8_t *payload = sector + LOG_PREFIX;
    batch_header_put(wal, sector, LOG_BATCH_HEADER + LOG_RECORD_HEADER + LOG_BASE_SIZE, 1);
    log_record_encode(&record, payload + LOG_BATCH_HEADER);
    log_base_encode(&wal->written, payload + LOG_BATCH_HEADER + LOG_RECORD_HEADER);
    int r = write_batch(wal, sector, 1, err);
    return r != 0 ? r : tt_wal_sync(wal, err);
}

int log_roll(struct tt_wal *wal, struct tt_err *err)
{
    uint64_t number = wal->segment + 1;
    if (wal->prepared < number) {
        TT_ASSERT(!wal->prepare_out);
        const struct tt_wal_prepare job = {
            .disk = wal->disk, .dir = wal->dir, .number = number, .size = log_segment_size(wal)};
        int r = tt_wal_prepare_run(&job, err);
        if (r != 0) {
            return log_dead(wal, r, err, "prepare a segment");
        }
        wal->prepared = number;
    }
    int r = log_segment_open(wal, number, err);
    if (r != 0) {
        return log_dead(wal, r, err, "open a segment");
    }
    uint64_t previous_end = wal->position;
    wal->position = number * wal->sectors_per_segment;
    return write_segment_header(wal, previous_end, err);
}

static size_t stage_sectors(const struct tt_wal *wal)
{
    return (wal->stage_size + LOG_PAYLOAD - 1) / LOG_PAYLOAD;
}

static bool batch_fits(const struct tt_wal *wal)
{
    uint64_t segment_end = (wal->segment + 1) * wal->sectors_per_segment;
    return wal->segment != 0 && wal->position + stage_sectors(wal) <= segment_end;
}

/* Staged places are a suffix of the places: give them their final addresses. */
static void settle_places(struct tt_wal *wal, uint64_t start)
{
    for (uint64_t index = wal->model.state.last_index; index > 0; index--) {
        struct log_place *place = log_model_place(&wal->model, index);
        if (!place || !(place->position & LOG_PLACE_STAGED)) {
            break;
        }
        place->position = start * LOG_SECTOR + (place->position & ~LOG_PLACE_STAGED);
    }
}

int tt_wal_write(struct tt_wal *wal, struct tt_err *err)
{
    if (wal->dead) {
        return TT_FAIL(err, TT_EIO, "the log failed earlier");
    }
    if (wal->stage_size == 0) {
        return TT_OK;
    }
    int r = batch_fits(wal) ? TT_OK : log_roll(wal, err);
    if (r != 0) {
        return r;
    }
    size_t sectors = stage_sectors(wal);
    size_t used = wal->stage_size % LOG_PAYLOAD;
    if (used > 0) {
        memset(wal->stage + (sectors - 1) * LOG_SECTOR + LOG_PREFIX + used, 0, LOG_PAYLOAD - used);
    }
    batch_header_put(wal, wal->stage, wal->stage_size, wal->stage_records);
    uint64_t start = wal->position;
    r = write_batch(wal, wal->stage, (uint16_t)sectors, err);
    if (r != 0) {
        return r;
    }
    settle_places(wal, start);
    if (wal->stage_has_snapshot) {
        wal->model.state.snapshot_position = wal->position;
    }
    wal->written = wal->model.state;
    wal->stage_size = 0;
    wal->stage_records = 0;
    wal->stage_has_snapshot = false;
    return TT_OK;
}

/* The lowest segment that holds a kept entry, or the current one. Only right when nothing is
 * staged: else the places may be ahead of the disk. */
static uint64_t needed_segment(const struct tt_wal *wal)
{
    const struct log_place *place = log_model_place(&wal->model, wal->model.state.first_index);
    if (!place) {
        return wal->segment;
    }
    TT_ASSERT(!(place->position & LOG_PLACE_STAGED));
    return place->position / LOG_SECTOR / wal->sectors_per_segment;
}

void log_synced(struct tt_wal *wal)
{
    wal->unsynced = false;
    wal->synced.end = wal->position;
    wal->synced.chain = wal->chain;
    wal->synced.batch = wal->batch;
    if (wal->stage_size == 0) {
        wal->needed = needed_segment(wal);
    }
}

int tt_wal_sync(struct tt_wal *wal, struct tt_err *err)
{
    if (wal->dead) {
        return TT_FAIL(err, TT_EIO, "the log failed earlier");
    }
    if (!wal->unsynced) {
        return TT_OK;
    }
    int r = tt_disk_sync(wal->file, err);
    if (r != 0) {
        return log_dead(wal, r, err, "sync");
    }
    log_synced(wal);
    return TT_OK;
}

/* ---- watermark and removal ---- */

bool tt_wal_watermark_due(const struct tt_wal *wal)
{
    return !wal->dead && (wal->mark.end != wal->synced.end || wal->oldest < wal->needed);
}

int log_mark_write(struct tt_wal *wal, struct tt_err *err)
{
    struct log_watermark mark = wal->synced;
    mark.generation = wal->mark.generation + 1;
    mark.first_segment = wal->needed;
    uint8_t sector[LOG_SECTOR];
    log_watermark_encode(&mark, sector);
    uint64_t offset = (mark.generation & 1) * LOG_WATERMARK_STRIDE;
    int r = tt_disk_write(wal->mark_file, offset, sector, sizeof sector, err);
    if (r == 0) {
        r = tt_disk_sync(wal->mark_file, err);
    }
    if (r != 0) {
        return log_dead(wal, r, err, "write the watermark");
    }
    wal->mark = mark;
    return TT_OK;
}

/* One at a time: freeing the blocks of dozens of segments takes longer than a write may wait. One
 * that comes back with a crash is below the watermark, and recovery removes it. */
bool tt_wal_removal_want(struct tt_wal *wal, struct tt_wal_removal *ret_job)
{
    TT_ASSERT(wal->mark.first_segment <= wal->segment);
    if (wal->dead || wal->oldest >= wal->mark.first_segment) {
        return false;
    }
    *ret_job =
        (struct tt_wal_removal){.disk = wal->disk, .path = log_segment_path(wal->dir, wal->oldest)};
    wal->oldest++;
    return true;
}

int tt_wal_removal_run(struct tt_wal_removal *job, struct tt_err *err)
{
    int r = tt_disk_unlink(job->disk, job->path, err);
    tt_free(TT_TAKE(job->path));
    return r == TT_ENOTFOUND ? TT_OK : r;
}

int tt_wal_mark(struct tt_wal *wal, struct tt_err *err)
{
    if (wal->dead) {
        return TT_FAIL(err, TT_EIO, "the log failed earlier");
    }
    if (!tt_wal_watermark_due(wal)) {
        return TT_OK;
    }
    bool moved = wal->mark.end != wal->synced.end || wal->mark.first_segment != wal->needed;
    return moved ? log_mark_write(wal, err) : TT_OK;
}

int tt_wal_watermark(struct tt_wal *wal, struct tt_err *err)
{
    struct tt_wal_removal job;
    int r = tt_wal_mark(wal, err);
    if (r != 0 || !tt_wal_removal_want(wal, &job)) {
        return r;
    }
    r = tt_wal_removal_run(&job, err);
    return r == 0 ? TT_OK : log_dead(wal, r, err, "remove a segment");
}

int tt_wal_stop(struct tt_wal *wal, struct tt_err *err)
{
    int r = tt_wal_write(wal, err);
    if (r == 0) {
        r = tt_wal_sync(wal, err);
    }
    if (r == 0) {
        r = tt_wal_watermark(wal, err);
    }
    return r;
}

/* ---- segments ahead ---- */

bool tt_wal_prepare_want(struct tt_wal *wal, struct tt_wal_prepare *ret_job)
{
    if (wal->dead || wal->prepare_out || wal->segment == 0 ||
        wal->prepared >= wal->segment + LOG_SEGMENTS_AHEAD) {
        return false;
    }
    wal->prepare_out = true;
    *ret_job = (struct tt_wal_prepare){.disk = wal->disk,
                                       .dir = tt_xstrdup(wal->dir),
                                       .number = wal->prepared + 1,
                                       .size = log_segment_size(wal)};
    return true;
}

bool tt_wal_prepare_needed(const struct tt_wal *wal)
{
    return wal->prepare_out && wal->prepared == wal->segment && wal->stage_size > 0 &&
           !batch_fits(wal);
}

void tt_wal_prepare_done(struct tt_wal *wal, struct tt_wal_prepare *job, int result)
{
    TT_ASSERT(wal->prepare_out && job->number == wal->prepared + 1);
    wal->prepare_out = false;
    if (result == 0) {
        wal->prepared = job->number;
    }
    tt_free(job->dir);
    job->dir = NULL;
}

/* Zeros in pieces, each drained, so that the disk's queue stays short for the log's own writes. */
int tt_wal_prepare_run(const struct tt_wal_prepare *job, struct tt_err *err)
{
    enum { PIECE_MAX = 1 << 20 };
    const size_t piece = (size_t)tt_u64_min(PIECE_MAX, job->size);
    TT_AUTO_FREE char *path = log_segment_path(job->dir, job->number);
    TT_AUTO_FREE char *temporary = tt_xasprintf("%s.tmp", path);
    struct tt_disk_file *file = NULL;
    int r = tt_disk_open(job->disk, temporary, TT_DISK_CREATE, &file, err);
    if (r != 0) {
        return r;
    }
    TT_AUTO_FREE uint8_t *zeros = tt_xaligned(TT_DISK_DIRECT_ALIGN, piece);
    memset(zeros, 0, piece);
    tt_disk_direct(file);
    for (uint64_t at = 0; r == 0 && at < job->size; at += piece) {
        uint64_t size = tt_u64_min(piece, job->size - at);
        r = tt_disk_write(file, at, zeros, size, err);
        if (r == 0) {
            r = tt_disk_drain(file, at, size, err);
        }
    }
    if (r == 0) {
        r = tt_disk_sync(file, err);
    }
    tt_disk_close(file);
    if (r == 0) {
        r = tt_disk_rename(job->disk, temporary, path, err);
    }
    if (r == 0) {
        r = tt_disk_sync_dir(job->disk, job->dir, err);
    }
    return r;
}

/* ---- state ---- */

uint64_t tt_wal_term(const struct tt_wal *wal)
{
    return wal->model.state.term;
}

uint64_t tt_wal_voted_for(const struct tt_wal *wal)
{
    return wal->model.state.voted_for;
}

uint64_t tt_wal_first_index(const struct tt_wal *wal)
{
    return wal->model.state.first_index;
}

uint64_t tt_wal_last_index(const struct tt_wal *wal)
{
    return wal->model.state.last_index;
}

bool tt_wal_entry_info(const struct tt_wal *wal, uint64_t index, uint64_t *ret_term,
                       uint8_t *ret_type)
{
    const struct log_place *place = log_model_place(&wal->model, index);
    if (!place) {
        return false;
    }
    *ret_term = place->term;
    *ret_type = place->type;
    return true;
}

uint64_t tt_wal_bytes_since_snapshot(const struct tt_wal *wal)
{
    uint64_t from = tt_u64_max(wal->written.snapshot_position, wal->sectors_per_segment);
    return (wal->position - from) * LOG_SECTOR;
}

uint64_t tt_wal_disk_bytes(const struct tt_wal *wal)
{
    return (wal->prepared + 1 - wal->oldest) * log_segment_size(wal);
}
