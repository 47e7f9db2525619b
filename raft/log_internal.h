/* The engine's struct, shared by raft/log*.c only.
 *
 * Ownership, thread, errors: log.h. */
#ifndef RAFT_LOG_INTERNAL_H
#define RAFT_LOG_INTERNAL_H

#include "raft/log_model.h"

/* Two, so that the next one is being filled while the log still has a whole one in reserve. */
enum { LOG_SEGMENTS_AHEAD = 2 };

struct tt_wal {
    const struct tt_disk *disk;   /* kept */
    char *dir;                    /* owned */
    uint64_t log_id;              /* random, of the log: seeds the checksums */
    uint64_t sectors_per_segment; /* of LOG_SECTOR bytes; the same for all segments */
    bool dead;                    /* a write or sync failed: nothing is true any more */

    struct log_model model;   /* as staged */
    struct log_state written; /* as of the last written batch: what a new segment begins with */

    struct tt_disk_file *file; /* of the current segment; owned */
    uint64_t segment;          /* its number; 0 before the very first */
    uint64_t position;         /* virtual sector of the next batch */
    uint64_t chain;            /* after the last written batch */
    uint64_t batch;            /* number of the next batch */
    bool unsynced;             /* a batch was written and not synced */

    uint8_t *stage;          /* sectors of the batch being staged; owned */
    size_t stage_capacity;   /* bytes */
    size_t stage_size;       /* bytes of joined payload in use; 0 = nothing is staged */
    size_t stage_size_max;   /* what fits a batch */
    uint32_t stage_records;  /* in it */
    bool stage_has_snapshot; /* one of them */

    uint64_t prepared;              /* the highest segment that exists, zero-filled, on disk */
    bool prepare_out;               /* a job for prepared + 1 is out */
    uint64_t oldest;                /* the lowest segment that may exist */
    uint64_t needed;                /* the lowest that the synced log needs */
    struct tt_disk_file *mark_file; /* owned */
    struct log_watermark mark;      /* as last written */
    struct log_watermark synced;    /* end, chain and batch as of the last sync */
};

uint64_t log_segment_size(const struct tt_wal *wal); /* bytes */
/* A wal in front of its first segment. */
struct tt_wal *log_new(const struct tt_wal_config *config, const struct log_watermark *mark);
/* Makes segment wal->segment + 1 current: prepared when needed, header written and synced. */
int log_roll(struct tt_wal *wal, struct tt_err *err) TT_MUST_USE;
int log_segment_open(struct tt_wal *wal, uint64_t number, struct tt_err *err) TT_MUST_USE;
int log_dead(struct tt_wal *wal, int r, struct tt_err *err, const char *what) TT_MUST_USE;
void log_synced(struct tt_wal *wal); /* what was written is durable */
int log_mark_write(struct tt_wal *wal, struct tt_err *err) TT_MUST_USE;

#endif
