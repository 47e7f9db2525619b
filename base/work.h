/* The pool: a few threads for work that may block or take long (snapshot encoding, log reads,
 * compression, freeing).
 *
 * Ownership: a work item is the submitter's; `work` runs on a pool thread, then `done` is posted to
 * the reply mailbox (an answer, so it always arrives). Thread: submit from any. Errors: TT_EBUSY
 * when the queue is full, TT_ECLOSED after stop. A reply mailbox must stay open until its answers
 * have come: an answer that finds it closed is logged and lost. */
#ifndef BASE_WORK_H
#define BASE_WORK_H

#include "base/queue.h"

struct tt_pool;
struct tt_work {
    struct tt_msg msg;                  /* used by the pool */
    void (*work)(struct tt_work *work); /* on a pool thread; touches nothing live */
    void (*done)(struct tt_work *work); /* on the thread that drains `reply`; NULL: none is sent */
    struct tt_mailbox *reply;           /* kept; NULL when done is NULL */
};
struct tt_pool *tt_pool_new(size_t thread_count, int nice, size_t queue_max);
void tt_pool_free(struct tt_pool *pool); /* finishes what is queued, joins */
int tt_pool_submit(struct tt_pool *pool, struct tt_work *work) TT_MUST_USE;

#endif
