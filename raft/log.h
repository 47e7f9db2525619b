/* The raft log on disk: a segmented, append-only write-ahead log of entries, term and vote,
 * truncations and snapshots. A pure engine: no thread, no clock. The production log thread
 * (log_thread.h) and the simulator run the same calls.
 *
 *   stage_… (encode, no I/O) → write → sync → everything staged is durable
 *
 * The file only grows: truncation and snapshot are records in it. Recovery tells a torn write (a
 * zero tail) from corruption and never drops anything that may have been acknowledged. Format and
 * recovery rules: log_format.h, log_scan.c. Names say wal (write-ahead log); tt_log is the
 * program's own logging.
 *
 * Ownership: the log owns its files and memory; entries passed in are borrowed during the call.
 * Thread: one at a time, except tt_wal_prepare_run, tt_wal_removal_run and tt_wal_read, which touch
 * files only.
 * Errors: after a failed write or sync the log is dead (every call but free fails with TT_EIO): the
 * member must stop (rule 10). TT_ECORRUPT: see tt_wal_open. */
#ifndef RAFT_LOG_H
#define RAFT_LOG_H

#include "base/buf.h"
#include "base/mem.h"
#include "raft/disk.h"

enum {
    TT_WAL_ENTRY_SIZE_MAX = 3 << 20, /* payload of one entry */
    TT_WAL_BATCH_SIZE_MAX = 4 << 20, /* payload and record headers of one write */
    TT_WAL_SEGMENT_SIZE_DEFAULT = 32 << 20,
    TT_WAL_SEGMENT_SIZE_MIN = 64 << 10,
    TT_WAL_SEGMENT_SIZE_MAX = 1 << 30,
    TT_WAL_SNAPSHOT_HANDLE_SIZE_MAX = 128, /* opaque bytes naming a snapshot file */
    TT_WAL_REASON_SIZE = 160,
};

struct tt_wal_entry {
    uint64_t index;           /* from 1, without gaps */
    uint64_t term;            /* never 0, never below the entry before */
    uint8_t type;             /* enum raft_entry_type */
    struct tt_bytes *payload; /* NULL = empty */
};

/* A snapshot that replaces the entries up to `index`. index 0 = none. */
struct tt_wal_snapshot {
    uint64_t index;                                  /* last entry in it; 0 = none */
    uint64_t term;                                   /* of that entry */
    uint32_t handle_size;                            /* bytes used of handle */
    uint8_t handle[TT_WAL_SNAPSHOT_HANDLE_SIZE_MAX]; /* the caller's, e.g. hash and size */
};

struct tt_wal_config {
    const struct tt_disk *disk; /* kept */
    const char *dir;            /* the log's own directory; must exist; copied */
    uint64_t segment_size;      /* bytes, a multiple of 4096; 0 = default. Bootstrap fixes it */
    uint64_t log_id;            /* of a new log; 0 = a random one. Bootstrap fixes it */
};

enum tt_wal_verdict {
    TT_WAL_CLEAN,     /* every written batch is there */
    TT_WAL_TORN_TAIL, /* one batch that was never acknowledged was incomplete and was dropped */
    TT_WAL_CORRUPT,   /* refuse: never vote with this directory again (datadir.h: quarantine) */
};

/* What recovery found. All of it is synced again before tt_wal_open returns. */
struct tt_wal_recovered {
    enum tt_wal_verdict verdict;     /* the rest is valid unless TT_WAL_CORRUPT */
    char reason[TT_WAL_REASON_SIZE]; /* "" when clean */
    uint64_t segment;                /* where the reason was found */
    uint64_t offset;                 /* byte in that segment's file */
    uint64_t term;                   /* of the newest hard state */
    uint64_t voted_for;              /* in that term; 0 = nobody */
    struct tt_wal_snapshot snapshot; /* the newest; index 0 = none */
    uint64_t first_index;            /* of the entries kept; last_index + 1 when there are none */
    uint64_t last_index;             /* snapshot.index when there are none */
};

struct tt_wal;
/* Makes an empty log with these first contents in config->dir (call within the temporary directory
 * of datadir.h: it is not atomic by itself). Synced when it returns. */
int tt_wal_bootstrap(const struct tt_wal_config *config, const struct tt_wal_entry *entries,
                     size_t count, struct tt_err *err) TT_MUST_USE;
/* Reads and checks the whole log. TT_ECORRUPT (with ret->verdict TT_WAL_CORRUPT and the reason) or
 * an I/O error leaves *ret_log untouched; *ret is filled whenever the result is 0 or TT_ECORRUPT.
 */
int tt_wal_open(const struct tt_wal_config *config, struct tt_wal **ret_log,
                struct tt_wal_recovered *ret, struct tt_err *err) TT_MUST_USE;
void tt_wal_free(struct tt_wal *log); /* without sync: as a crash. NULL is fine */
TT_DEFINE_AUTO(tt_wal)
/* Clean stop: watermark to the very end, synced. */
int tt_wal_stop(struct tt_wal *log, struct tt_err *err) TT_MUST_USE;

/* Staging: into one batch, in order. TT_ETOOLARGE when the batch is full: write and sync, then
 * stage again. TT_EINVALID: the record can never be staged here (out of order, larger than a
 * segment). */
int tt_wal_stage_entry(struct tt_wal *log, const struct tt_wal_entry *entry,
                       struct tt_err *err) TT_MUST_USE;
int tt_wal_stage_hard_state(struct tt_wal *log, uint64_t term, uint64_t voted_for,
                            struct tt_err *err) TT_MUST_USE;
/* Drops the entries from `from_index` on. */
int tt_wal_stage_truncate(struct tt_wal *log, uint64_t from_index, struct tt_err *err) TT_MUST_USE;
/* Our own snapshot, already durable: entries below keep_from (≤ snapshot->index + 1) may go. */
int tt_wal_stage_snapshot(struct tt_wal *log, const struct tt_wal_snapshot *snapshot,
                          uint64_t keep_from, struct tt_err *err) TT_MUST_USE;
/* A leader's snapshot, already durable: all entries go, the log goes on at snapshot->index + 1. */
int tt_wal_stage_install(struct tt_wal *log, const struct tt_wal_snapshot *snapshot,
                         struct tt_err *err) TT_MUST_USE;
/* One write of all that is staged (nothing staged: no-op). Rolls over when the segment is full. */
int tt_wal_write(struct tt_wal *log, struct tt_err *err) TT_MUST_USE;
/* Makes what was written durable and drops its staging. */
int tt_wal_sync(struct tt_wal *log, struct tt_err *err) TT_MUST_USE;

/* The end of the log as recovery must find it at least. Off the acknowledgement path: at most 100
 * ms after a sync. Also removes a segment that a durable snapshot made superfluous: one with each
 * call. */
bool tt_wal_watermark_due(const struct tt_wal *log); /* something to write or remove */
int tt_wal_watermark(struct tt_wal *log, struct tt_err *err) TT_MUST_USE;

/* The two halves of it, for who must not wait for a removal: giving the blocks of a file back takes
 * as long as the device does, where the file system discards them at once. When `want` says so, run
 * the job on any thread. A failure is the caller's to make fatal. */
struct tt_wal_removal {
    const struct tt_disk *disk; /* the log's, kept */
    char *path;                 /* owned: tt_wal_removal_run frees it */
};
int tt_wal_mark(struct tt_wal *log, struct tt_err *err) TT_MUST_USE;
bool tt_wal_removal_want(struct tt_wal *log, struct tt_wal_removal *ret_job); /* once per segment */
int tt_wal_removal_run(struct tt_wal_removal *job, struct tt_err *err) TT_MUST_USE;

/* Segments are zero-filled ahead, so that a roll-over does not stall: when `want` says so, run the
 * job on any thread, then hand it back. Without it, write makes the segment itself. */
struct tt_wal_prepare {
    const struct tt_disk *disk; /* the log's, kept */
    char *dir;                  /* owned: tt_wal_prepare_done frees it */
    uint64_t number;            /* of the segment */
    uint64_t size;              /* bytes */
};
bool tt_wal_prepare_want(struct tt_wal *log, struct tt_wal_prepare *ret_job); /* once per segment */
int tt_wal_prepare_run(const struct tt_wal_prepare *job, struct tt_err *err) TT_MUST_USE;
void tt_wal_prepare_done(struct tt_wal *log, struct tt_wal_prepare *job, int result);
/* True when the next write needs a segment whose job is still out: wait for it first. */
bool tt_wal_prepare_needed(const struct tt_wal *log);

/* Reading entries back, for applying after a restart and for followers that lag. `plan` is cheap
 * and runs on the log's thread; `read` does the I/O anywhere and yields entries with payloads. */
enum { TT_WAL_READ_COUNT_MAX = 256 };
struct tt_wal_plan {
    const struct tt_disk *disk;               /* the log's, kept */
    char *dir;                                /* owned */
    uint64_t log_id;                          /* random, of the log: seeds the checksums */
    uint64_t segment_size;                    /* bytes */
    uint64_t first_index;                     /* of position[0]; the others follow */
    size_t count;                             /* entries, at most TT_WAL_READ_COUNT_MAX */
    uint64_t position[TT_WAL_READ_COUNT_MAX]; /* of each entry's record */
};
/* From first_index on as many synced entries as fit size_max payload bytes (at least one).
 * TT_ENOTFOUND: first_index is not in the log (a snapshot is needed, or it is not written yet). */
int tt_wal_plan(struct tt_wal *log, uint64_t first_index, uint64_t size_max,
                struct tt_wal_plan *ret_plan, struct tt_err *err) TT_MUST_USE;
void tt_wal_plan_fini(struct tt_wal_plan *plan);
/* entries[plan->count] get index, term, type and a new payload reference each. TT_ENOTFOUND: the
 * segment was removed meanwhile; TT_ECORRUPT: the disk no longer gives what was written. */
int tt_wal_read(const struct tt_wal_plan *plan, struct tt_wal_entry *entries,
                struct tt_err *err) TT_MUST_USE;

/* State as of the last staged record (the log's thread). */
uint64_t tt_wal_term(const struct tt_wal *log);
uint64_t tt_wal_voted_for(const struct tt_wal *log);
uint64_t tt_wal_first_index(const struct tt_wal *log);
uint64_t tt_wal_last_index(const struct tt_wal *log);
/* Term and type of a kept entry; false when index is not in [first, last]. */
bool tt_wal_entry_info(const struct tt_wal *log, uint64_t index, uint64_t *ret_term,
                       uint8_t *ret_type);
uint64_t tt_wal_bytes_since_snapshot(const struct tt_wal *log); /* the snapshot trigger */
uint64_t tt_wal_disk_bytes(const struct tt_wal *log);           /* of all segments */

#endif
