/* How the raft node talks to its log: requests in FIFO order, completions on the node's thread.
 * Production puts a thread and group commit behind it (log_thread.h), the simulator a virtual disk;
 * both run the requests through tt_wal_req_stage below.
 *
 * Every request carries the epoch its sender was in (rule 2: raised at truncation and install) and
 * gets it back, so that a completion of an older epoch is told apart. Requests complete in the
 * order of submission, except READ, which sees what was durable when its turn came.
 *
 * Ownership: a request and all it points to is the submitter's and stays in place until its `done`.
 * Thread: submit and done on the node's (core) thread. Errors: request->result; a failed write or
 * sync fails that request and all later ones, and the member must stop (rule 10). */
#ifndef RAFT_LOG_QUEUE_H
#define RAFT_LOG_QUEUE_H

#include "base/queue.h"
#include "raft/log.h"

enum tt_wal_op {
    TT_WAL_OP_APPEND, /* entries, count; truncate_from ≠ 0: first drop the entries from there */
    TT_WAL_OP_HARD_STATE, /* term, voted_for */
    TT_WAL_OP_TRUNCATE,   /* truncate_from */
    TT_WAL_OP_SNAPSHOT,   /* snapshot, keep_from: our own snapshot file is durable */
    TT_WAL_OP_INSTALL,    /* snapshot: a leader's snapshot file is durable, drop all entries */
    TT_WAL_OP_READ,       /* first_index, size_max → read_entries, read_count */
    TT_WAL_OP_STOP,       /* clean stop; the last request there is */
};

struct tt_wal_req {
    struct tt_msg msg;                      /* the queue's, while the request is out */
    enum tt_wal_op op;                      /* says which members below are read */
    uint64_t epoch;                         /* returned untouched */
    const struct tt_wal_entry *entries;     /* APPEND: borrowed until done */
    size_t count;                           /* APPEND */
    uint64_t truncate_from;                 /* APPEND (0 = none), TRUNCATE */
    uint64_t term;                          /* HARD_STATE */
    uint64_t voted_for;                     /* HARD_STATE; 0 = nobody */
    const struct tt_wal_snapshot *snapshot; /* SNAPSHOT, INSTALL: borrowed until done */
    uint64_t keep_from;                     /* SNAPSHOT */
    uint64_t first_index;                   /* READ */
    uint64_t size_max;                      /* READ: payload bytes; at least one entry is read */
    struct tt_wal_entry *read_entries;      /* READ: the submitter's room for TT_WAL_READ_COUNT_MAX;
                                               each payload is a reference of the submitter's own */
    size_t read_count;                      /* READ: entries filled */
    size_t progress;                        /* the queue's: entries of an APPEND already staged */
    void *queue;                            /* the queue's: itself */
    bool truncated;                         /* the queue's: the APPEND's truncation is staged */
    int result;                    /* 0 or TT_E…; READ: TT_ENOTFOUND = needs a snapshot */
    uint64_t bytes_since_snapshot; /* result: for the snapshot trigger */
    uint64_t sync_count;           /* result: batches made durable so far (metrics) */
    uint64_t sync_ns;              /* result: duration of the newest write and sync */
    struct tt_err *err;            /* may be NULL: where the failure is described */
    /* once, on the core thread; the request is the submitter's again */
    void (*done)(struct tt_wal_req *req);
    void *owner; /* the submitter's */
};

struct tt_wal_queue {
    /* Takes the request over until req->done; never calls it from within submit. Never refuses: the
     * submitter bounds what it has out. */
    void (*submit)(void *ctx, struct tt_wal_req *req);
    void *ctx; /* passed to submit */
};

/* The shared executor: stages requests in order until the batch is full. Returns true when the
 * request is staged completely: it is done once the batch is written and synced. False with
 * req->result 0: the batch is full, flush and call again with the same request. READ and STOP are
 * not staged (the caller flushes, then runs tt_wal_req_read / tt_wal_stop). */
bool tt_wal_req_stage(struct tt_wal *log, struct tt_wal_req *req);
/* Plan and read in one, for a caller that may block (simulation, pool). */
void tt_wal_req_read(struct tt_wal *log, struct tt_wal_req *req);

#endif
