/* Encoding and decoding of the log's bytes. Pure functions; the layout is drawn in the header.
 *
 * Happy path: what was sealed is found VALID at its position and nowhere else. Failure modes: any
 * other bytes are BAD (or ZERO when nothing was ever written), never interpreted. */
#include "raft/log_format.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/crc32c.h"
#include "base/intmath.h"

#define LOG_WATERMARK_MAGIC UINT64_C(0x6b72616d2d747574) /* "tut-mark" */

static void le16_put(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static uint16_t le16_get(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t sector_crc(uint64_t log_id, uint64_t position, const uint8_t *sector)
{
    uint8_t seed[16];
    tt_le64_put(seed, log_id);
    tt_le64_put(seed + 8, position);
    return tt_crc32c(tt_crc32c(0, seed, sizeof seed), sector + 4, LOG_SECTOR - 4);
}

uint64_t log_chain_add(uint64_t chain, uint32_t sector_crc_value)
{
    chain = (chain ^ sector_crc_value) * UINT64_C(0x9e3779b97f4a7c15);
    return chain ^ chain >> 29;
}

uint64_t log_chain_begin(uint64_t chain, uint64_t batch)
{
    chain = (chain ^ batch) * UINT64_C(0xbf58476d1ce4e5b9);
    return chain ^ chain >> 32;
}

uint64_t log_batch_seal(const struct log_seal *seal, uint8_t *sectors, uint16_t count)
{
    TT_ASSERT(count > 0 && seal->batch > 0);
    uint64_t chain = log_chain_begin(seal->chain, seal->batch);
    for (uint16_t i = 0; i < count; i++) {
        uint8_t *sector = sectors + (size_t)i * LOG_SECTOR;
        le16_put(sector + 4, i);
        le16_put(sector + 6, count);
        tt_le64_put(sector + 8, seal->batch);
        uint32_t crc = sector_crc(seal->log_id, seal->position + i, sector);
        tt_le32_put(sector, crc);
        chain = log_chain_add(chain, crc);
    }
    return chain;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

enum log_sector_class log_sector_check(uint64_t log_id, uint64_t position, const uint8_t *sector,
                                       struct log_sector *ret)
{
    if (all_zero(sector, LOG_SECTOR)) {
        return LOG_SECTOR_ZERO;
    }
    ret->crc = tt_le32_get(sector);
    ret->index = le16_get(sector + 4);
    ret->count = le16_get(sector + 6);
    ret->batch = tt_le64_get(sector + 8);
    bool ok = ret->crc == sector_crc(log_id, position, sector) && ret->index < ret->count &&
              ret->count <= LOG_BATCH_SECTORS_MAX && ret->batch > 0;
    return ok ? LOG_SECTOR_VALID : LOG_SECTOR_BAD;
}

void log_record_encode(const struct log_record *record, uint8_t out[LOG_RECORD_HEADER])
{
    out[0] = record->kind;
    out[1] = record->type;
    out[2] = 0;
    out[3] = 0;
    tt_le32_put(out + 4, record->size);
    tt_le64_put(out + 8, record->a);
    tt_le64_put(out + 16, record->b);
}

bool log_record_decode(const uint8_t in[LOG_RECORD_HEADER], struct log_record *ret)
{
    ret->kind = in[0];
    ret->type = in[1];
    ret->size = tt_le32_get(in + 4);
    ret->a = tt_le64_get(in + 8);
    ret->b = tt_le64_get(in + 16);
    uint32_t size_max = TT_WAL_ENTRY_SIZE_MAX;
    if (ret->kind == LOG_KIND_HARD_STATE || ret->kind == LOG_KIND_TRUNCATE) {
        size_max = 0;
    } else if (ret->kind == LOG_KIND_SNAPSHOT) {
        size_max = 8 + TT_WAL_SNAPSHOT_HANDLE_SIZE_MAX;
    } else if (ret->kind == LOG_KIND_SEGMENT) {
        size_max = LOG_BASE_SIZE;
    }
    return ret->kind >= LOG_KIND_ENTRY && ret->kind <= LOG_KIND_SEGMENT && in[2] == 0 &&
           in[3] == 0 && ret->size <= size_max && ret->a < LOG_INDEX_LIMIT &&
           (ret->b < LOG_INDEX_LIMIT || ret->kind == LOG_KIND_HARD_STATE);
}

void log_base_encode(const struct log_state *state, uint8_t out[LOG_BASE_SIZE])
{
    memset(out, 0, LOG_BASE_SIZE);
    tt_le64_put(out, LOG_VERSION);
    tt_le64_put(out + 8, state->term);
    tt_le64_put(out + 16, state->voted_for);
    tt_le64_put(out + 24, state->first_index);
    tt_le64_put(out + 32, state->last_index);
    tt_le64_put(out + 40, state->snapshot_position);
    tt_le64_put(out + 48, state->snapshot.index);
    tt_le64_put(out + 56, state->snapshot.term);
    tt_le32_put(out + 64, state->snapshot.handle_size);
    memcpy(out + 68, state->snapshot.handle, state->snapshot.handle_size);
}

bool log_base_decode(const uint8_t *in, size_t size, struct log_state *ret)
{
    if (size != LOG_BASE_SIZE || tt_le64_get(in) != LOG_VERSION) {
        return false;
    }
    struct log_state state = {
        .term = tt_le64_get(in + 8),
        .voted_for = tt_le64_get(in + 16),
        .first_index = tt_le64_get(in + 24),
        .last_index = tt_le64_get(in + 32),
        .snapshot_position = tt_le64_get(in + 40),
        .snapshot = {.index = tt_le64_get(in + 48), .term = tt_le64_get(in + 56)},
    };
    state.snapshot.handle_size = tt_le32_get(in + 64);
    if (state.snapshot.handle_size > TT_WAL_SNAPSHOT_HANDLE_SIZE_MAX ||
        state.last_index >= LOG_INDEX_LIMIT || state.first_index > state.last_index + 1 ||
        state.first_index == 0) {
        return false;
    }
    memcpy(state.snapshot.handle, in + 68, state.snapshot.handle_size);
    *ret = state;
    return true;
}

void log_watermark_encode(const struct log_watermark *mark, uint8_t out[LOG_SECTOR])
{
    memset(out, 0, LOG_SECTOR);
    tt_le64_put(out + 8, LOG_WATERMARK_MAGIC);
    tt_le64_put(out + 16, LOG_VERSION);
    tt_le64_put(out + 24, mark->log_id);
    tt_le64_put(out + 32, mark->segment_size);
    tt_le64_put(out + 40, mark->generation);
    tt_le64_put(out + 48, mark->first_segment);
    tt_le64_put(out + 56, mark->end);
    tt_le64_put(out + 64, mark->chain);
    tt_le64_put(out + 72, mark->batch);
    tt_le32_put(out, sector_crc(0, mark->generation & 1, out));
}

bool log_watermark_decode(const uint8_t in[LOG_SECTOR], struct log_watermark *ret)
{
    struct log_watermark mark = {
        .log_id = tt_le64_get(in + 24),
        .segment_size = tt_le64_get(in + 32),
        .generation = tt_le64_get(in + 40),
        .first_segment = tt_le64_get(in + 48),
        .end = tt_le64_get(in + 56),
        .chain = tt_le64_get(in + 64),
        .batch = tt_le64_get(in + 72),
    };
    if (tt_le32_get(in) != sector_crc(0, mark.generation & 1, in) ||
        tt_le64_get(in + 8) != LOG_WATERMARK_MAGIC || tt_le64_get(in + 16) != LOG_VERSION ||
        mark.segment_size < TT_WAL_SEGMENT_SIZE_MIN || mark.segment_size % 4096 != 0 ||
        mark.segment_size > TT_WAL_SEGMENT_SIZE_MAX) {
        return false;
    }
    *ret = mark;
    return true;
}

char *log_segment_path(const char *dir, uint64_t number)
{
    return tt_xasprintf("%s/segment-%016" PRIx64, dir, number);
}

char *log_watermark_path(const char *dir)
{
    return tt_xasprintf("%s/watermark", dir);
}

bool log_segment_name_parse(const char *name, uint64_t *ret_number)
{
    struct tt_str s = tt_str_c(name);
    uint8_t bytes[8];
    if (!tt_str_starts(s, TT_STR("segment-")) || s.len != 24 ||
        tt_hex_decode(tt_str_skip(s, 8), bytes, sizeof bytes) != (ptrdiff_t)sizeof bytes) {
        return false;
    }
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        number = number << 8 | bytes[i];
    }
    *ret_number = number;
    return true;
}
