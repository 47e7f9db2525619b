/* Making an empty log, and opening one: files around the pure scanner of log_scan.c.
 *
 * Happy path of open: list → watermark → every segment from the oldest needed one, sector by sector
 * → verdict → wipe the torn tail, sync what the page cache may have shown us → engine.
 *
 * Failure modes: any contradiction is CORRUPT with a reason and a place, and nothing on the disk is
 * touched then (the directory goes to quarantine as it was found). A read error is an I/O error,
 * not a verdict. Only after a good verdict are leftovers removed: segments older than needed (their
 * removal was interrupted) and half-made ones (.tmp). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/intmath.h"
#include "base/rng.h"
#include "raft/log_internal.h"
#include "raft/log_scan.h"

enum { RECOVER_CHUNK = 256 << 10, RECOVER_FILES_MAX = 1 << 16 };
_Static_assert(TT_WAL_SEGMENT_SIZE_MIN % 4096 == 0, "whole sectors");

/* ---- bootstrap ---- */

static int mark_create(struct tt_wal *wal, struct tt_err *err)
{
    TT_AUTO_FREE char *path = log_watermark_path(wal->dir);
    int r = tt_disk_open(wal->disk, path, TT_DISK_CREATE, &wal->mark_file, err);
    if (r == 0) {
        r = tt_disk_fill_zero(wal->mark_file, 0, LOG_WATERMARK_SIZE, err);
    }
    if (r == 0) {
        r = log_mark_write(wal, err);
    }
    if (r == 0) {
        r = log_mark_write(wal, err);
    }
    return r;
}

static int bootstrap_entries(struct tt_wal *wal, const struct tt_wal_entry *entries, size_t count,
                             struct tt_err *err)
{
    int r = log_roll(wal, err);
    for (size_t i = 0; r == 0 && i < count;) {
        r = tt_wal_stage_entry(wal, &entries[i], err);
        if (r == 0) {
            i++;
        } else if (r == TT_ETOOLARGE) {
            r = tt_wal_write(wal, err);
            if (r == 0) {
                r = tt_wal_sync(wal, err);
            }
        }
    }
    if (r == 0) {
        r = tt_wal_write(wal, err);
    }
    return r != 0 ? r : tt_wal_sync(wal, err);
}

int tt_wal_bootstrap(const struct tt_wal_config *config, const struct tt_wal_entry *entries,
                     size_t count, struct tt_err *err)
{
    uint64_t size = config->segment_size ? config->segment_size : TT_WAL_SEGMENT_SIZE_DEFAULT;
    if (size < TT_WAL_SEGMENT_SIZE_MIN || size > TT_WAL_SEGMENT_SIZE_MAX || size % 4096 != 0) {
        return TT_FAIL(err, TT_EINVAL, "segment size %" PRIu64 " is out of range", size);
    }
    const struct log_watermark mark = {.log_id = config->log_id ? config->log_id : tt_random_u64(),
                                       .segment_size = size};
    TT_AUTO(tt_wal) wal = log_new(config, &mark);
    int r = bootstrap_entries(wal, entries, count, err);
    if (r == 0) {
        r = mark_create(wal, err);
    }
    if (r == 0) {
        r = tt_disk_sync_dir(wal->disk, wal->dir, err);
    }
    return r != 0 ? TT_WRAP(err, r, "make a log in %s", config->dir) : TT_OK;
}

/* ---- open ---- */

struct listing {
    uint64_t *numbers;     /* of the segments; owned */
    size_t count;          /* of numbers */
    size_t capacity;       /* numbers there is room for */
    char **leftovers;      /* names of half-made files; owned */
    size_t leftover_count; /* of leftovers */
    bool too_many;         /* more than RECOVER_FILES_MAX: the directory is refused */
};

static void listing_fini(struct listing *listing)
{
    for (size_t i = 0; i < listing->leftover_count; i++) {
        tt_free(listing->leftovers[i]);
    }
    tt_free(listing->leftovers);
    tt_free(listing->numbers);
}

static void listing_add(void *arg, const char *name)
{
    struct listing *listing = arg;
    if (listing->count + listing->leftover_count >= RECOVER_FILES_MAX) {
        listing->too_many = true;
        return;
    }
    uint64_t number = 0;
    if (log_segment_name_parse(name, &number)) {
        if (listing->count == listing->capacity) {
            listing->capacity = tt_size_max(16, listing->capacity * 2);
            listing->numbers =
                tt_xrealloc(listing->numbers, listing->capacity * sizeof *listing->numbers);
        }
        listing->numbers[listing->count++] = number;
    } else if (tt_str_ends(tt_str_c(name), TT_STR(".tmp"))) {
        listing->leftovers = tt_xrealloc(listing->leftovers, (listing->leftover_count + 1) *
                                                                 sizeof *listing->leftovers);
        listing->leftovers[listing->leftover_count++] = tt_xstrdup(name);
    }
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct recovery {
    const struct tt_wal_config *config; /* borrowed */
    struct tt_wal_recovered *ret;       /* the caller's: verdict, reason and place go there */
    struct listing listing;             /* of the log's directory; numbers sorted */
    struct log_watermark mark;          /* the newer one of the two slots */
    struct log_scan scan;               /* over all segments, from the oldest needed one */
    uint64_t last;                      /* the highest segment there is */
    struct tt_err *err;                 /* the caller's; may be NULL */
};

static int refuse(struct recovery *rec, uint64_t segment, uint64_t offset, const char *reason)
{
    rec->ret->verdict = TT_WAL_CORRUPT;
    (void)snprintf(rec->ret->reason, sizeof rec->ret->reason, "%s", reason); /* cut is fine */
    rec->ret->segment = segment;
    rec->ret->offset = offset;
    return TT_FAIL(rec->err, TT_ECORRUPT, "log %s: segment %" PRIu64 ", offset %" PRIu64 ": %s",
                   rec->config->dir, segment, offset, reason);
}

static int load_mark(struct recovery *rec)
{
    TT_AUTO_FREE char *path = log_watermark_path(rec->config->dir);
    struct tt_buf buf;
    int r = tt_disk_load(rec->config->disk, path, LOG_WATERMARK_SIZE, &buf, rec->err);
    if (r == TT_ENOTFOUND) {
        r = refuse(rec, 0, 0, "the watermark file is missing");
    } else if (r == TT_ETOOLARGE || (r == 0 && buf.len != LOG_WATERMARK_SIZE)) {
        r = refuse(rec, 0, 0, "the watermark file has a wrong size");
    }
    struct log_watermark a;
    struct log_watermark b;
    if (r == 0) {
        const uint8_t *bytes = (const uint8_t *)buf.ptr;
        if (!log_watermark_decode(bytes, &a) || (a.generation & 1) != 0 ||
            !log_watermark_decode(bytes + LOG_WATERMARK_STRIDE, &b) || (b.generation & 1) != 1) {
            r = refuse(rec, 0, 0, "a watermark is damaged");
        } else {
            rec->mark = a.generation > b.generation ? a : b;
        }
    }
    tt_buf_fini(&buf);
    return r;
}

static int check_listing(struct recovery *rec)
{
    struct listing *listing = &rec->listing;
    if (listing->too_many) {
        return refuse(rec, 0, 0, "the directory holds too many files");
    }
    if (listing->count > 0) {
        qsort(listing->numbers, listing->count, sizeof *listing->numbers, compare_u64);
    }
    uint64_t expected = rec->mark.first_segment;
    if (expected == 0 || expected > UINT32_MAX) {
        return refuse(rec, 0, 0, "the watermark is out of range");
    }
    for (size_t i = 0; i < listing->count; i++) {
        if (listing->numbers[i] < rec->mark.first_segment) {
            continue;
        }
        if (listing->numbers[i] != expected) {
            return refuse(rec, expected, 0, "a segment is missing");
        }
        expected++;
    }
    if (expected == rec->mark.first_segment) {
        return refuse(rec, expected, 0, "a segment is missing");
    }
    rec->last = expected - 1;
    return TT_OK;
}

static int scan_chunk(struct recovery *rec, uint64_t number, uint64_t offset, const uint8_t *chunk,
                      size_t size)
{
    uint64_t base = number * rec->scan.sectors_per_segment + offset / LOG_SECTOR;
    for (size_t i = 0; i < size / LOG_SECTOR; i++) {
        if (!log_scan_feed(&rec->scan, base + i, chunk + i * LOG_SECTOR)) {
            return refuse(rec, rec->scan.reason_at / rec->scan.sectors_per_segment,
                          rec->scan.reason_at % rec->scan.sectors_per_segment * LOG_SECTOR,
                          rec->scan.reason);
        }
    }
    return TT_OK;
}

static int scan_segment(struct recovery *rec, uint64_t number, uint8_t *chunk)
{
    TT_AUTO_FREE char *path = log_segment_path(rec->config->dir, number);
    struct tt_disk_file *file = NULL;
    int r = tt_disk_open(rec->config->disk, path, TT_DISK_READ, &file, rec->err);
    if (r != 0) {
        return r;
    }
    uint64_t size = 0;
    r = tt_disk_size(file, &size, rec->err);
    if (r == 0 && size != rec->mark.segment_size) {
        r = refuse(rec, number, size, "a segment has a wrong size");
    }
    for (uint64_t at = 0; r == 0 && at < size; at += RECOVER_CHUNK) {
        size_t want = (size_t)tt_u64_min(RECOVER_CHUNK, size - at);
        size_t got = 0;
        r = tt_disk_read(file, at, chunk, want, &got, rec->err);
        if (r == 0 && got != want) {
            r = refuse(rec, number, at + got, "a segment ends early");
        }
        if (r == 0) {
            r = scan_chunk(rec, number, at, chunk, got);
        }
    }
    tt_disk_close(file);
    return r;
}

static int scan_all(struct recovery *rec)
{
    log_scan_init(&rec->scan, &rec->mark);
    TT_AUTO_FREE uint8_t *chunk = tt_xmalloc(RECOVER_CHUNK);
    int r = TT_OK;
    for (uint64_t n = rec->mark.first_segment; r == 0 && n <= rec->last; n++) {
        r = scan_segment(rec, n, chunk);
    }
    if (r == 0 && !log_scan_finish(&rec->scan)) {
        uint64_t per = rec->scan.sectors_per_segment;
        r = refuse(rec, rec->scan.reason_at / per, rec->scan.reason_at % per * LOG_SECTOR,
                   rec->scan.reason);
    }
    return r;
}

static void report(struct recovery *rec)
{
    const struct log_state *state = &rec->scan.model.state;
    struct tt_wal_recovered *ret = rec->ret;
    ret->verdict = TT_WAL_CLEAN;
    if (rec->scan.torn) {
        ret->verdict = TT_WAL_TORN_TAIL;
        (void)snprintf(ret->reason, sizeof ret->reason,
                       "an incomplete write at the end was dropped"); /* fits */
    }
    uint64_t per = rec->scan.sectors_per_segment;
    ret->segment = rec->scan.segment;
    ret->offset = (rec->scan.end - rec->scan.segment * per) * LOG_SECTOR;
    ret->term = state->term;
    ret->voted_for = state->voted_for;
    ret->snapshot = state->snapshot;
    ret->first_index = state->first_index;
    ret->last_index = state->last_index;
}

/* What recovery read may be in the page cache only: it must not vanish after we acted on it. */
static int settle(struct recovery *rec, struct tt_wal *wal)
{
    int r = TT_OK;
    if (rec->scan.torn) {
        uint64_t offset = (rec->scan.end - wal->segment * wal->sectors_per_segment) * LOG_SECTOR;
        uint64_t size = (rec->scan.torn_end - rec->scan.end) * LOG_SECTOR;
        r = tt_disk_fill_zero(wal->file, offset, size, rec->err);
    }
    if (r == 0) {
        r = tt_disk_sync(wal->file, rec->err);
    }
    if (r == 0) {
        log_synced(wal);
        r = log_mark_write(wal, rec->err);
    }
    for (size_t i = 0; r == 0 && i < rec->listing.leftover_count; i++) {
        TT_AUTO_FREE char *path = tt_xasprintf("%s/%s", wal->dir, rec->listing.leftovers[i]);
        r = tt_disk_unlink(wal->disk, path, rec->err);
    }
    for (size_t i = 0; r == 0 && i < rec->listing.count; i++) {
        if (rec->listing.numbers[i] < rec->mark.first_segment) {
            TT_AUTO_FREE char *path = log_segment_path(wal->dir, rec->listing.numbers[i]);
            r = tt_disk_unlink(wal->disk, path, rec->err);
        }
    }
    return r != 0 ? r : tt_disk_sync_dir(wal->disk, wal->dir, rec->err);
}

static int build(struct recovery *rec, struct tt_wal **ret_wal)
{
    TT_AUTO(tt_wal) wal = log_new(rec->config, &rec->mark);
    log_model_fini(&wal->model);
    wal->model = rec->scan.model;
    memset(&rec->scan.model, 0, sizeof rec->scan.model);
    wal->written = wal->model.state;
    wal->position = rec->scan.end;
    wal->chain = rec->scan.chain;
    wal->batch = rec->scan.batch;
    wal->prepared = rec->last;
    wal->oldest = rec->mark.first_segment;
    wal->needed = rec->mark.first_segment;
    TT_AUTO_FREE char *path = log_watermark_path(wal->dir);
    int r = log_segment_open(wal, rec->scan.segment, rec->err);
    if (r == 0) {
        r = tt_disk_open(wal->disk, path, TT_DISK_WRITE, &wal->mark_file, rec->err);
    }
    if (r == 0) {
        r = settle(rec, wal);
    }
    if (r == 0) {
        *ret_wal = TT_TAKE(wal);
    }
    return r;
}

int tt_wal_open(const struct tt_wal_config *config, struct tt_wal **ret_wal,
                struct tt_wal_recovered *ret, struct tt_err *err)
{
    struct recovery rec = {.config = config, .ret = ret, .err = err};
    struct tt_wal_recovered found = {.verdict = TT_WAL_CLEAN};
    *ret = found;
    int r = tt_disk_list(config->disk, config->dir, listing_add, &rec.listing, err);
    if (r == 0) {
        r = load_mark(&rec);
    }
    if (r == 0) {
        r = check_listing(&rec);
    }
    if (r == 0) {
        r = scan_all(&rec);
    }
    if (r == 0) {
        report(&rec);
        r = build(&rec, ret_wal);
    }
    log_scan_fini(&rec.scan);
    listing_fini(&rec.listing);
    return r;
}
