/* Recovery of the log from arbitrary bytes. The input is a little program: it lays out batches
 * (sealed with right CRCs, so that the decoder behind them is reached), then damages the image.
 * Whatever comes out must be a verdict; an accepted log must be readable and open again the same
 * way. */
#include "raft/disk_memory.h"
#include "raft/log.h"
#include "raft/log_model.h"

#include "base/intmath.h"

enum { SEGMENTS_MAX = 3, SECTORS = TT_WAL_SEGMENT_SIZE_MIN / LOG_SECTOR, LOG_ID = 7 };

struct input {
    const uint8_t *bytes;
    size_t size;
};

static uint64_t take(struct input *in, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size && in->size > 0; i++) {
        value = value << 8 | *in->bytes++;
        in->size--;
    }
    return value;
}

struct image {
    uint8_t *bytes; /* of all segments */
    uint64_t at;    /* sector of the next batch, from the first segment's first */
    uint64_t batch;
    uint64_t chain;
    struct log_model model; /* after all records that were legal */
};

/* One batch whose joined payload is `payload`; the header in front is filled in. */
static void lay(struct image *image, uint8_t *payload, size_t size, uint32_t records)
{
    uint64_t count = (size + LOG_PAYLOAD - 1) / LOG_PAYLOAD;
    if (image->at % SECTORS + count > SECTORS || image->at + count > SEGMENTS_MAX * SECTORS) {
        return;
    }
    tt_le64_put(payload, image->chain);
    tt_le32_put(payload + 8, (uint32_t)size);
    tt_le32_put(payload + 12, records);
    uint8_t *sectors = image->bytes + image->at * LOG_SECTOR;
    memset(sectors, 0, count * LOG_SECTOR);
    for (size_t at = 0; at < size; at += LOG_PAYLOAD) {
        memcpy(sectors + at / LOG_PAYLOAD * LOG_SECTOR + LOG_PREFIX, payload + at,
               tt_size_min(LOG_PAYLOAD, size - at));
    }
    const struct log_seal seal = {.log_id = LOG_ID,
                                  .position = SECTORS + image->at,
                                  .batch = image->batch++,
                                  .chain = image->chain};
    image->chain = log_batch_seal(&seal, sectors, (uint16_t)count);
    image->at += count;
}

static void lay_header(struct image *image, struct input *in)
{
    uint8_t payload[LOG_PAYLOAD] = {0};
    struct log_state base = image->model.state;
    if (image->batch == 1) {
        base.first_index = 1 + take(in, 1) % 4;
        base.last_index = base.first_index - 1 + take(in, 1) % 2;
        log_model_begin(&image->model, &base);
    }
    base.term += take(in, 1) == 1;
    const struct log_record record = {.kind = LOG_KIND_SEGMENT,
                                      .size = LOG_BASE_SIZE,
                                      .a = SECTORS + image->at,
                                      .b = TT_WAL_SEGMENT_SIZE_MIN};
    image->at = (image->at + SECTORS - 1) / SECTORS * SECTORS;
    log_record_encode(&record, payload + LOG_BATCH_HEADER);
    log_base_encode(&base, payload + LOG_BATCH_HEADER + LOG_RECORD_HEADER);
    lay(image, payload, LOG_BATCH_HEADER + LOG_RECORD_HEADER + LOG_BASE_SIZE, 1);
}

/* A record that can follow, but for the few that the input bends. */
static struct log_record make_record(const struct image *image, struct input *in)
{
    const struct log_state *state = &image->model.state;
    uint64_t what = take(in, 1);
    struct log_record record = {.kind = LOG_KIND_ENTRY,
                                .type = (uint8_t)(what % 3),
                                .size = (uint32_t)take(in, 2) % 1600,
                                .a = state->last_index + 1,
                                .b = state->term + 1};
    if (what >= 128) {
        record.kind = (uint8_t)(LOG_KIND_HARD_STATE + what % 3);
        record.size = record.kind == LOG_KIND_SNAPSHOT ? 8 + record.size % 20 : 0;
        record.a = record.kind == LOG_KIND_HARD_STATE ? state->term + what % 2
                                                      : state->last_index - take(in, 1) % 4;
        record.type = (uint8_t)(take(in, 1) % 2);
    }
    if (what % 16 == 15) {
        record.kind = (uint8_t)(take(in, 1) % 7);
        record.a = take(in, 2);
        record.b = take(in, 1);
    }
    return record;
}

static void lay_records(struct image *image, struct input *in)
{
    static uint8_t payload[16 << 10]; /* scratch of this function */
    size_t size = LOG_BATCH_HEADER;
    uint32_t records = 1 + (uint32_t)take(in, 1) % 8;
    bool snapshot = false;
    memset(payload, 0, sizeof payload);
    for (uint32_t i = 0; i < records; i++) {
        struct log_record record = make_record(image, in);
        log_record_encode(&record, payload + size);
        size += LOG_RECORD_HEADER;
        if (record.kind == LOG_KIND_SNAPSHOT) {
            tt_le64_put(payload + size, record.a + 1 - tt_u64_min(take(in, 1) % 4, record.a));
        }
        if (log_model_apply(&image->model, &record, payload + size, 0) == NULL) {
            snapshot = snapshot || record.kind == LOG_KIND_SNAPSHOT;
        }
        size += record.size;
    }
    uint64_t bend = take(in, 1);
    lay(image, payload, size + (bend == 1), records + (bend == 2));
    if (snapshot) {
        image->model.state.snapshot_position = SECTORS + image->at;
    }
}

static void damage(struct image *image, struct input *in)
{
    size_t total = (size_t)SEGMENTS_MAX * TT_WAL_SEGMENT_SIZE_MIN;
    size_t at = (size_t)take(in, 3) % total;
    size_t size = tt_size_min(take(in, 2), total - at);
    switch (take(in, 1) % 3) {
    case 0:
        image->bytes[at] ^= (uint8_t)take(in, 1);
        break;
    case 1:
        memset(image->bytes + at / LOG_SECTOR * LOG_SECTOR, 0,
               tt_size_min(LOG_SECTOR, total - at / LOG_SECTOR * LOG_SECTOR));
        break;
    default:
        size = tt_size_min(size, in->size);
        memcpy(image->bytes + at, in->bytes, size);
        break;
    }
}

static void lay_watermark(struct tt_disk_memory *memory, const struct image *image,
                          struct input *in)
{
    uint8_t bytes[LOG_WATERMARK_SIZE] = {0};
    struct log_watermark mark = {.log_id = LOG_ID,
                                 .segment_size = TT_WAL_SEGMENT_SIZE_MIN,
                                 .first_segment = 1,
                                 .end = SECTORS + image->at,
                                 .chain = image->chain,
                                 .batch = image->batch,
                                 .generation = 2};
    uint64_t what = take(in, 1);
    mark.end += what == 1 ? take(in, 1) : 0;
    mark.first_segment += what == 2 ? take(in, 1) % 3 : 0;
    mark.segment_size <<= what == 3;
    log_watermark_encode(&mark, bytes);
    mark.generation--;
    log_watermark_encode(&mark, bytes + LOG_WATERMARK_STRIDE);
    if (what == 4) {
        bytes[take(in, 2) % sizeof bytes] ^= (uint8_t)take(in, 1);
    }
    tt_disk_memory_put(memory, "log/watermark", bytes, sizeof bytes);
}

static void check_accepted(struct tt_wal *wal, const struct tt_wal_recovered *found)
{
    static struct tt_wal_entry entries[TT_WAL_READ_COUNT_MAX]; /* scratch of this function */
    for (uint64_t index = found->first_index; index <= found->last_index;) {
        struct tt_wal_plan plan;
        int r = tt_wal_plan(wal, index, 1 << 20, &plan, NULL);
        TT_ASSERT(r == 0);
        r = tt_wal_read(&plan, entries, NULL);
        TT_ASSERT(r == 0);
        for (size_t i = 0; i < plan.count; i++) {
            TT_ASSERT(entries[i].index == index + i);
            tt_bytes_unref(entries[i].payload);
        }
        index += plan.count;
        tt_wal_plan_fini(&plan);
    }
}

static void recover(struct tt_disk_memory *memory)
{
    const struct tt_wal_config config = {.disk = tt_disk_memory_disk(memory), .dir = "log"};
    struct tt_wal_recovered found;
    struct tt_wal_recovered again;
    struct tt_wal *wal = NULL;
    int r = tt_wal_open(&config, &wal, &found, NULL);
    if (r != 0) {
        TT_ASSERT(r == TT_ECORRUPT && found.verdict == TT_WAL_CORRUPT && found.reason[0] != 0);
        return;
    }
    check_accepted(wal, &found);
    tt_wal_free(wal);
    wal = NULL;
    r = tt_wal_open(&config, &wal, &again, NULL);
    TT_ASSERT(r == 0 && again.verdict == TT_WAL_CLEAN);
    TT_ASSERT(again.last_index == found.last_index && again.first_index == found.first_index);
    TT_ASSERT(again.term == found.term && again.voted_for == found.voted_for);
    tt_wal_free(wal);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input in = {bytes, size};
    struct image image = {.bytes = tt_xcalloc(SEGMENTS_MAX, TT_WAL_SEGMENT_SIZE_MIN), .batch = 1};
    struct tt_disk_memory *memory = tt_disk_memory_new();
    int r = tt_disk_mkdir(tt_disk_memory_disk(memory), "log", NULL);
    TT_ASSERT(r == 0);
    size_t segments = 1 + take(&in, 1) % SEGMENTS_MAX;
    lay_header(&image, &in);
    struct image marked = image; /* the watermark sees the log as it was at some point */
    for (size_t steps = 0; in.size > 8 && steps < 64; steps++) {
        uint64_t what = take(&in, 1) % 16;
        if (what == 0) {
            lay_header(&image, &in);
        } else if (what < 10) {
            lay_records(&image, &in);
        } else if (what < 13) {
            marked = image;
        } else {
            damage(&image, &in);
        }
    }
    lay_watermark(memory, &marked, &in);
    for (uint64_t i = 0; i < segments; i++) {
        char *path = log_segment_path("log", i + 1);
        tt_disk_memory_put(memory, path, image.bytes + i * TT_WAL_SEGMENT_SIZE_MIN,
                           TT_WAL_SEGMENT_SIZE_MIN);
        tt_free(path);
    }
    recover(memory);
    log_model_fini(&image.model);
    tt_disk_memory_free(memory);
    tt_free(image.bytes);
    return 0;
}
