/* The log thread: takes requests in order, writes all that has queued as one batch, syncs once, and
 * posts the completions as one chain (group commit; no timers: what arrives while a batch is being
 * synced forms the next one).
 *
 * Ownership: owns the log, its thread and its mailbox; requests are the submitter's until done.
 * Thread: new, start, free from the composition root; submit from the core thread; `done` runs
 * where `reply` is drained. Errors: the first failed write or sync fails all requests from then on,
 * calls `fatal` once on the log thread, and nothing is written any more. */
#ifndef RAFT_LOG_THREAD_H
#define RAFT_LOG_THREAD_H

#include "base/work.h"
#include "raft/log_queue.h"

struct tt_wal_thread_config {
    struct tt_wal *log;       /* takes, also on failure */
    struct tt_mailbox *reply; /* keeps: where completions go, drained by the core thread */
    struct tt_pool *pool;     /* keeps: fills and removes segments, reads for lagging followers */
    void (*fatal)(void *ctx, const struct tt_err *err); /* on the log thread; must end the member */
    void *ctx;                                          /* of fatal */
};

struct tt_wal_thread;
int tt_wal_thread_start(const struct tt_wal_thread_config *config, struct tt_wal_thread **ret,
                        struct tt_err *err) TT_MUST_USE;
struct tt_wal_queue tt_wal_thread_queue(struct tt_wal_thread *thread);
/* Finishes what was submitted and what is out on the pool, then ends the thread. A clean stop is a
 * TT_WAL_OP_STOP request before it; without one this leaves the log as a crash would. Call it while
 * `reply` is still drained or after it is closed; the pool must outlive it. */
void tt_wal_thread_free(struct tt_wal_thread *thread);

#endif
