/* Entries back from the disk: where they are (plan, on the log's thread) and their bytes (read,
 * anywhere).
 *
 * Happy path: the plan copies the addresses of synced entries out of the engine; read opens the
 * segments one after another and takes each record out of the sectors, checking every sector again.
 * The log only grows, so what a plan names stays as it is until its segment is removed.
 *
 * Failure modes: a removed segment is TT_ENOTFOUND (the follower needs a snapshot now); a sector or
 * record that is not what was written is TT_ECORRUPT. */
#include <inttypes.h>

#include "base/intmath.h"
#include "raft/log_internal.h"

enum { READ_WINDOW = 128 }; /* sectors read at once */

struct reader {
    const struct tt_wal_plan *plan; /* borrowed */
    struct tt_disk_file *file;      /* of `segment`; owned */
    uint64_t segment;               /* number of the open one; valid when file is */
    uint64_t window;                /* virtual sector of its first sector */
    size_t window_count;            /* sectors in it */
    uint8_t *bytes;                 /* READ_WINDOW sectors; owned */
    uint64_t position;              /* byte address of the next payload byte */
    struct tt_err *err;             /* the caller's; may be NULL */
};

int tt_wal_plan(struct tt_wal *wal, uint64_t first_index, uint64_t size_max,
                struct tt_wal_plan *ret_plan, struct tt_err *err)
{
    if (wal->dead) {
        return TT_FAIL(err, TT_EIO, "the log failed earlier");
    }
    size_t count = 0;
    uint64_t size = 0;
    while (count < TT_WAL_READ_COUNT_MAX) {
        const struct log_place *place = log_model_place(&wal->model, first_index + count);
        if (!place || (place->position & LOG_PLACE_STAGED) ||
            place->position / LOG_SECTOR >= wal->synced.end ||
            (count > 0 && size + place->size > size_max)) {
            break;
        }
        ret_plan->position[count++] = place->position;
        size += place->size;
    }
    if (count == 0) {
        return TT_FAIL(err, TT_ENOTFOUND, "entry %" PRIu64 " is not in the log", first_index);
    }
    ret_plan->disk = wal->disk;
    ret_plan->dir = tt_xstrdup(wal->dir);
    ret_plan->log_id = wal->log_id;
    ret_plan->segment_size = log_segment_size(wal);
    ret_plan->first_index = first_index;
    ret_plan->count = count;
    return TT_OK;
}

void tt_wal_plan_fini(struct tt_wal_plan *plan)
{
    tt_free(plan->dir);
    plan->dir = NULL;
}

/* The window begins at virtual sector `at`. */
static int load_window(struct reader *reader, uint64_t at)
{
    uint64_t per = reader->plan->segment_size / LOG_SECTOR;
    uint64_t segment = at / per;
    if (!reader->file || segment != reader->segment) {
        tt_disk_close(reader->file);
        reader->file = NULL;
        TT_AUTO_FREE char *path = log_segment_path(reader->plan->dir, segment);
        int r = tt_disk_open(reader->plan->disk, path, TT_DISK_READ, &reader->file, reader->err);
        if (r != 0) {
            return r;
        }
        reader->segment = segment;
    }
    size_t count = (size_t)tt_u64_min(READ_WINDOW, per - at % per);
    size_t got = 0;
    int r = tt_disk_read(reader->file, at % per * LOG_SECTOR, reader->bytes, count * LOG_SECTOR,
                         &got, reader->err);
    if (r != 0) {
        return r;
    }
    if (got != count * LOG_SECTOR) {
        return TT_FAIL(reader->err, TT_ECORRUPT, "segment %" PRIu64 " ends early", segment);
    }
    reader->window = at;
    reader->window_count = count;
    return TT_OK;
}

static int reader_take(struct reader *reader, uint8_t *out, size_t size)
{
    while (size > 0) {
        uint64_t at = reader->position / LOG_SECTOR;
        size_t in = (size_t)(reader->position % LOG_SECTOR);
        if (at < reader->window || at >= reader->window + reader->window_count) {
            int r = load_window(reader, at);
            if (r != 0) {
                return r;
            }
        }
        const uint8_t *sector = reader->bytes + (at - reader->window) * LOG_SECTOR;
        struct log_sector info;
        if (log_sector_check(reader->plan->log_id, at, sector, &info) != LOG_SECTOR_VALID) {
            return TT_FAIL(reader->err, TT_ECORRUPT,
                           "sector %" PRIu64 " of the log is no longer what was written", at);
        }
        size_t part = tt_size_min(size, LOG_SECTOR - in);
        memcpy(out, sector + in, part);
        out += part;
        size -= part;
        reader->position += part;
        if (reader->position % LOG_SECTOR == 0) {
            reader->position += LOG_PREFIX;
        }
    }
    return TT_OK;
}

static int read_entry(struct reader *reader, size_t i, struct tt_wal_entry *entry)
{
    uint8_t header[LOG_RECORD_HEADER];
    struct log_record record;
    uint64_t index = reader->plan->first_index + i;
    reader->position = reader->plan->position[i];
    int r = reader_take(reader, header, sizeof header);
    if (r != 0) {
        return r;
    }
    if (!log_record_decode(header, &record) || record.kind != LOG_KIND_ENTRY || record.a != index) {
        return TT_FAIL(reader->err, TT_ECORRUPT,
                       "entry %" PRIu64 " of the log is no longer what was written", index);
    }
    uint8_t *payload = NULL;
    struct tt_bytes *bytes = record.size > 0 ? tt_bytes_new_uninit(record.size, &payload) : NULL;
    r = reader_take(reader, payload, record.size);
    if (r != 0) {
        tt_bytes_unref(bytes);
        return r;
    }
    *entry = (struct tt_wal_entry){
        .index = index, .term = record.b, .type = record.type, .payload = bytes};
    return TT_OK;
}

int tt_wal_read(const struct tt_wal_plan *plan, struct tt_wal_entry *entries, struct tt_err *err)
{
    struct reader reader = {.plan = plan, .err = err};
    TT_AUTO_FREE uint8_t *bytes = tt_xmalloc((size_t)READ_WINDOW * LOG_SECTOR);
    reader.bytes = bytes;
    int r = TT_OK;
    size_t done = 0;
    while (done < plan->count) {
        r = read_entry(&reader, done, &entries[done]);
        if (r != 0) {
            break;
        }
        done++;
    }
    tt_disk_close(reader.file);
    if (r != 0) {
        for (size_t i = 0; i < done; i++) {
            tt_bytes_unref(entries[i].payload);
            entries[i].payload = NULL;
        }
        return TT_WRAP(err, r, "read entry %" PRIu64, plan->first_index + done);
    }
    return TT_OK;
}
