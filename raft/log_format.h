/* The log's bytes on disk: sectors, batches, records, the watermark. Internal to raft/log*.c.
 *
 * A segment is a file of fixed size, zero-filled ahead, made of 512-byte sectors. The segments form
 * one line of virtual sectors: sector n of segment s is s * (segment_size / 512) + n.
 *
 *   sector   0 crc32c  4 index-in-batch  6 sectors-of-batch  8 batch-number  16 payload (496)
 *            The CRC covers the rest of the sector and is seeded with the log's random id and the
 *            virtual sector number: a sector in the wrong place, of another log or of another time
 *            (batch number) is recognised.
 *   batch    payloads of consecutive sectors joined: previous-chain (8), size (4), records (4),
 * then the records, packed; the rest is zero. One write, one sync. Batches have consecutive
 *            numbers, never cross a segment, and chain: chain = mix(chain, number, sector CRCs).
 *   record   kind (1) type (1) zero (2) size (4) a (8) b (8) bytes (size)
 *   segment  begins with a batch of one SEGMENT record, synced by itself: where the segment before
 *            ended, and all state a recovery that begins here needs. Its rest follows.
 *   watermark a file of two slots (own 4 KiB block each), written in turn: the log's id, its
 * segment size, the oldest segment needed, and how far the log certainly reaches.
 *
 * Ownership: everything is borrowed. Thread: any (pure). Errors: false or NULL for bytes that are
 * not what they should be. */
#ifndef RAFT_LOG_FORMAT_H
#define RAFT_LOG_FORMAT_H

#include "raft/log.h"

enum {
    LOG_SECTOR = TT_DISK_SECTOR_SIZE,
    LOG_PREFIX = 16,                       /* bytes of a sector before its payload */
    LOG_PAYLOAD = LOG_SECTOR - LOG_PREFIX, /* 496 */
    LOG_BATCH_HEADER = 16,                 /* bytes of joined payload before the records */
    LOG_RECORD_HEADER = 24,                /* bytes of a record before its bytes */
    LOG_BATCH_SECTORS_MAX = 8500,          /* TT_WAL_BATCH_SIZE_MAX and the headers */
    LOG_WATERMARK_STRIDE = 4096,           /* between the two slots */
    LOG_WATERMARK_SIZE = 2 * LOG_WATERMARK_STRIDE,
    LOG_BASE_SIZE = 64 + 4 + TT_WAL_SNAPSHOT_HANDLE_SIZE_MAX, /* bytes of a SEGMENT record */
    LOG_VERSION = 1,
};
_Static_assert((LOG_BATCH_SECTORS_MAX - 1) * LOG_PAYLOAD >= TT_WAL_BATCH_SIZE_MAX, "batch fits");
_Static_assert(LOG_BATCH_HEADER + LOG_RECORD_HEADER + LOG_BASE_SIZE <= LOG_PAYLOAD, "one sector");

/* No index or term reaches it: sums of a few cannot overflow. */
#define LOG_INDEX_LIMIT (UINT64_C(1) << 62)

enum log_kind {
    LOG_KIND_ENTRY = 1,      /* type; a = index, b = term, bytes = payload */
    LOG_KIND_HARD_STATE = 2, /* a = term, b = voted for */
    LOG_KIND_TRUNCATE = 3,   /* a = first index dropped */
    LOG_KIND_SNAPSHOT = 4,   /* type: 0 own, 1 installed; a = index, b = term, bytes: keep_from (8),
                                handle */
    LOG_KIND_SEGMENT = 5,    /* a = where the segment before ended, b = segment_size, bytes: base */
};

enum log_sector_class {
    LOG_SECTOR_ZERO,  /* never written */
    LOG_SECTOR_VALID, /* as written, in its place */
    LOG_SECTOR_BAD,   /* neither */
};

struct log_sector {
    uint16_t index; /* within its batch */
    uint16_t count; /* sectors of the batch, at least 1 */
    uint32_t crc;   /* stored */
    uint64_t batch; /* number, from 1 */
};

/* What is known after a record: recovery and the engine share it, and a segment begins with it. */
struct log_state {
    uint64_t term;                   /* of the newest hard state */
    uint64_t voted_for;              /* in that term; 0 = nobody */
    uint64_t first_index;            /* of the entries kept */
    uint64_t last_index;             /* of the entries kept; first_index - 1 when there are none */
    uint64_t snapshot_position;      /* virtual sector behind the newest snapshot record */
    struct tt_wal_snapshot snapshot; /* the newest; index 0 = none */
};

struct log_record {
    uint8_t kind;  /* enum log_kind */
    uint8_t type;  /* ENTRY, SNAPSHOT: see enum log_kind; else 0 */
    uint32_t size; /* of bytes */
    uint64_t a;    /* by kind: see enum log_kind */
    uint64_t b;    /* by kind: see enum log_kind */
};

struct log_watermark {
    uint64_t log_id;        /* random, of the log: seeds the checksums */
    uint64_t segment_size;  /* bytes */
    uint64_t generation;    /* the higher slot counts */
    uint64_t first_segment; /* the oldest that is needed */
    uint64_t end;           /* virtual sector behind the last synced batch */
    uint64_t chain;         /* after it */
    uint64_t batch;         /* number of the next one */
};

/* Seals `count` sectors at virtual sector `position`, payloads already in place, and returns the
 * chain after them. */
struct log_seal {
    uint64_t log_id;   /* random, of the log: seeds the checksums */
    uint64_t position; /* virtual sector of the first */
    uint64_t batch;    /* its number */
    uint64_t chain;    /* before */
};
uint64_t log_batch_seal(const struct log_seal *seal, uint8_t *sectors, uint16_t count);
enum log_sector_class log_sector_check(uint64_t log_id, uint64_t position, const uint8_t *sector,
                                       struct log_sector *ret);
uint64_t log_chain_begin(uint64_t chain, uint64_t batch);
uint64_t log_chain_add(uint64_t chain, uint32_t sector_crc);

void log_record_encode(const struct log_record *record, uint8_t out[LOG_RECORD_HEADER]);
/* False when it is no record of this version. */
bool log_record_decode(const uint8_t in[LOG_RECORD_HEADER], struct log_record *ret);
void log_base_encode(const struct log_state *state, uint8_t out[LOG_BASE_SIZE]);
bool log_base_decode(const uint8_t *in, size_t size, struct log_state *ret);

void log_watermark_encode(const struct log_watermark *mark, uint8_t out[LOG_SECTOR]);
bool log_watermark_decode(const uint8_t in[LOG_SECTOR], struct log_watermark *ret);

/* Paths; free with tt_free. */
char *log_segment_path(const char *dir, uint64_t number);
char *log_watermark_path(const char *dir);
/* True for the name of a segment. */
bool log_segment_name_parse(const char *name, uint64_t *ret_number);

#endif
