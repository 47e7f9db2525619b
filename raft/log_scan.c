/* The recovery scanner.
 *
 *             valid, next of the batch               zero
 *   IN ORDER ───────────────────────────▶ IN ORDER  ─────▶ GAP ──▶ (zeros) GAP
 *      │ zero within a batch                                │ header of the next segment that names
 *      ▼                                                    │ this end and chain: IN ORDER again
 *    TORN ──▶ (zeros, or sectors of that same batch) TORN   │ sectors of the batch expected here:
 * TORN
 *
 * Everything else is corrupt. At most one batch is ever unsynced, so a crash leaves parts of
 * exactly one batch, all beginning at `end`, and nothing behind it; that is why a valid sector of
 * any other batch, or anywhere else, proves that something in front of it was lost. Segments are
 * zero-filled before use and never recycled, so leftovers of older data cannot be mistaken for
 * either. */
#include "raft/log_scan.h"

#include "base/intmath.h"

void log_scan_init(struct log_scan *scan, const struct log_watermark *mark)
{
    memset(scan, 0, sizeof *scan);
    scan->mark = *mark;
    scan->sectors_per_segment = mark->segment_size / LOG_SECTOR;
    scan->end = mark->first_segment * scan->sectors_per_segment;
}

void log_scan_fini(struct log_scan *scan)
{
    log_model_fini(&scan->model);
    tt_free(scan->payload);
    scan->payload = NULL;
}

static bool corrupt(struct log_scan *scan, uint64_t position, const char *reason)
{
    TT_ASSERT(reason != NULL);
    if (!scan->reason) {
        scan->reason = reason;
        scan->reason_at = position;
    }
    return false;
}

/* Address of the byte at `offset` of a batch's joined payload, in a batch at `start`. */
static uint64_t address_of(uint64_t start, size_t offset)
{
    return (start + offset / LOG_PAYLOAD) * LOG_SECTOR + LOG_PREFIX + offset % LOG_PAYLOAD;
}

static bool states_equal(const struct log_state *a, const struct log_state *b)
{
    uint8_t x[LOG_BASE_SIZE];
    uint8_t y[LOG_BASE_SIZE];
    log_base_encode(a, x);
    log_base_encode(b, y);
    return memcmp(x, y, sizeof x) == 0;
}

static bool accept_header(struct log_scan *scan, uint64_t start, const struct log_record *record,
                          const uint8_t *bytes)
{
    struct log_state base;
    if (record->kind != LOG_KIND_SEGMENT || record->b != scan->mark.segment_size ||
        !log_base_decode(bytes, record->size, &base)) {
        return corrupt(scan, start, "a segment does not begin with its header");
    }
    bool first = scan->segment == 0;
    if (!first && record->a != scan->end) {
        return corrupt(scan, start, "a segment does not follow on the end of the one before");
    }
    if (first) {
        log_model_begin(&scan->model, &base);
    } else if (!states_equal(&base, &scan->model.state)) {
        return corrupt(scan, start, "a segment's header contradicts the log before it");
    }
    scan->segment = start / scan->sectors_per_segment;
    return true;
}

static bool accept_records(struct log_scan *scan, uint64_t start, size_t size, uint32_t count)
{
    const uint8_t *payload = scan->payload;
    size_t at = LOG_BATCH_HEADER;
    bool snapshot = false;
    bool header = start % scan->sectors_per_segment == 0;
    for (uint32_t i = 0; i < count; i++) {
        struct log_record record;
        if (size - at < LOG_RECORD_HEADER || !log_record_decode(payload + at, &record) ||
            record.size > size - at - LOG_RECORD_HEADER) {
            return corrupt(scan, start, "a record is malformed");
        }
        const uint8_t *bytes = payload + at + LOG_RECORD_HEADER;
        if (header) {
            if (!accept_header(scan, start, &record, bytes)) {
                return false;
            }
        } else {
            const char *why = log_model_apply(&scan->model, &record, bytes, address_of(start, at));
            if (why) {
                return corrupt(scan, start, why);
            }
        }
        snapshot = snapshot || record.kind == LOG_KIND_SNAPSHOT;
        at += LOG_RECORD_HEADER + record.size;
    }
    if (at != size || (header && count != 1)) {
        return corrupt(scan, start, "a batch has bytes that belong to no record");
    }
    if (snapshot) {
        scan->model.state.snapshot_position = start + scan->count;
    }
    return true;
}

static bool accept_batch(struct log_scan *scan, uint64_t start)
{
    uint64_t chain = tt_le64_get(scan->payload);
    uint32_t size = tt_le32_get(scan->payload + 8);
    uint32_t count = tt_le32_get(scan->payload + 12);
    size_t room = (size_t)scan->count * LOG_PAYLOAD;
    if (size < LOG_BATCH_HEADER || size > room || count == 0) {
        return corrupt(scan, start, "a batch header is malformed");
    }
    if (scan->segment != 0 && chain != scan->chain) {
        return corrupt(scan, start, "a batch does not continue the chain");
    }
    if (!accept_records(scan, start, size, count)) {
        return false;
    }
    scan->end = start + scan->count;
    scan->chain = scan->chain_next;
    scan->batch++;
    scan->have = 0;
    scan->gap = false;
    if (scan->end == scan->mark.end) {
        if (scan->chain != scan->mark.chain || scan->batch != scan->mark.batch) {
            return corrupt(scan, start, "the log is not the one its watermark saw");
        }
        scan->mark_seen = true;
    }
    return true;
}

static bool collect(struct log_scan *scan, uint64_t position, const uint8_t *bytes,
                    const struct log_sector *sector)
{
    if (sector->index == 0) {
        size_t need = (size_t)sector->count * LOG_PAYLOAD;
        if (need > scan->payload_capacity) {
            scan->payload = tt_xrealloc(scan->payload, need);
            scan->payload_capacity = need;
        }
        scan->count = sector->count;
        /* The first header's chain is known only from its own bytes. */
        uint64_t before = scan->segment == 0 ? tt_le64_get(bytes + LOG_PREFIX) : scan->chain;
        if (scan->segment == 0) {
            scan->batch = sector->batch;
        }
        scan->chain_next = log_chain_begin(before, sector->batch);
    }
    memcpy(scan->payload + (size_t)sector->index * LOG_PAYLOAD, bytes + LOG_PREFIX, LOG_PAYLOAD);
    scan->chain_next = log_chain_add(scan->chain_next, sector->crc);
    scan->have++;
    if (scan->have < scan->count) {
        return true;
    }
    return accept_batch(scan, position + 1 - scan->count);
}

static bool feed_zero(struct log_scan *scan, uint64_t position)
{
    if (scan->segment == 0) {
        return corrupt(scan, position, "the oldest segment has no header");
    }
    if (scan->have > 0) {
        scan->torn = true;
        scan->torn_end = position;
        scan->have = 0;
    }
    scan->gap = true;
    return true;
}

/* The next sector of the batch being collected, the first one of the next batch, or the header that
 * a gap may end with. */
static bool continues(const struct log_scan *scan, uint64_t position,
                      const struct log_sector *sector)
{
    if (scan->torn) {
        return false;
    }
    if (scan->have > 0) {
        return sector->index == scan->have && sector->count == scan->count;
    }
    bool header = position % scan->sectors_per_segment == 0 && sector->count == 1;
    bool adjacent = position == scan->end && !scan->gap;
    return sector->index == 0 && (adjacent || header);
}

static bool feed_valid(struct log_scan *scan, uint64_t position, const uint8_t *bytes,
                       const struct log_sector *sector)
{
    uint64_t room = scan->sectors_per_segment - position % scan->sectors_per_segment;
    if (scan->segment == 0 && (sector->index != 0 || sector->count != 1)) {
        return corrupt(scan, position, "the oldest segment has no header");
    }
    if (scan->segment != 0 && sector->batch != scan->batch) {
        return corrupt(scan, position, "a batch is missing before this sector");
    }
    if ((uint64_t)sector->count - sector->index > room) {
        return corrupt(scan, position, "a batch crosses the end of its segment");
    }
    if (continues(scan, position, sector)) {
        return collect(scan, position, bytes, sector);
    }
    if (scan->have > 0 || position - sector->index != scan->end) {
        return corrupt(scan, position, "a sector lies behind the end of the log");
    }
    scan->torn = true;
    scan->torn_end = position + 1;
    return true;
}

bool log_scan_feed(struct log_scan *scan, uint64_t position, const uint8_t bytes[LOG_SECTOR])
{
    struct log_sector sector;
    switch (log_sector_check(scan->mark.log_id, position, bytes, &sector)) {
    case LOG_SECTOR_ZERO:
        return feed_zero(scan, position);
    case LOG_SECTOR_VALID:
        return feed_valid(scan, position, bytes, &sector);
    case LOG_SECTOR_BAD:
        break;
    }
    return corrupt(scan, position, "a sector is neither valid nor zero");
}

bool log_scan_finish(struct log_scan *scan)
{
    if (scan->segment == 0) {
        return corrupt(scan, scan->end, "the log has no segment");
    }
    if (scan->have > 0) {
        scan->torn = true;
        scan->torn_end = scan->end + scan->have;
        scan->have = 0;
    }
    if (scan->end < scan->mark.end) {
        return corrupt(scan, scan->end, "the log ends before its watermark: it has lost data");
    }
    if (!scan->mark_seen) {
        return corrupt(scan, scan->end, "the log is not the one its watermark saw");
    }
    if (!log_model_complete(&scan->model)) {
        return corrupt(scan, scan->end, "entries behind the snapshot are missing");
    }
    return true;
}
