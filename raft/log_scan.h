/* Recovery of the log as a pure function of its sectors: feed them in order, then finish. Internal
 * to raft/log*.c; the fuzzer and the corruption matrix drive it through tt_wal_open.
 *
 * The rules (docs/raft.md, "The log"): a sector that is neither valid nor zero is corruption; an
 * incomplete batch followed by a later one is corruption; an incomplete batch at the very end is a
 * torn write that nobody was told of, and is dropped; a log that ends before its watermark, or had
 * another chain there, has lost data.
 *
 * Ownership: plain struct, owns its buffers. Thread: one. Errors: a verdict, never a crash. */
#ifndef RAFT_LOG_SCAN_H
#define RAFT_LOG_SCAN_H

#include "raft/log_model.h"

struct log_scan {
    struct log_watermark mark;    /* how far the log reached for certain; log id, segment size */
    uint64_t sectors_per_segment; /* of LOG_SECTOR bytes */
    struct log_model model;       /* fini takes it, or the engine moves it out */
    uint64_t segment;             /* of the newest header */
    uint64_t end;                 /* virtual sector behind the last complete batch */
    uint64_t chain;               /* after it */
    uint64_t batch;               /* number expected next; 0 before the first header */
    bool mark_seen;               /* a batch ended at the watermark with its chain */

    uint8_t *payload;        /* joined payloads of the batch being collected */
    size_t payload_capacity; /* bytes */
    uint16_t have;           /* sectors of it collected */
    uint16_t count;          /* sectors it has */
    uint64_t chain_next;     /* chain over what was collected */

    bool gap;           /* zeros since `end` */
    bool torn;          /* parts of an incomplete batch since `end` */
    uint64_t torn_end;  /* virtual sector behind the last part */
    const char *reason; /* static; set = corrupt */
    uint64_t reason_at; /* virtual sector */
};

/* mark: as decoded; recovery begins at the first sector of mark->first_segment. */
void log_scan_init(struct log_scan *scan, const struct log_watermark *mark);
void log_scan_fini(struct log_scan *scan);
/* Consecutive sectors from that place on. False: corrupt, feed no more. */
bool log_scan_feed(struct log_scan *scan, uint64_t position, const uint8_t sector[LOG_SECTOR]);
bool log_scan_finish(struct log_scan *scan);

#endif
