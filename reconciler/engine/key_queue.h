/* The key queue of a reconciler: level-triggered, deduplicated, rate-limited, bounded.
 *
 * A key is in one of four places: idle (unknown here), ready, delayed (back-off or a planned
 * re-check), or active (handed out by take). A key added while active runs once more after done: no
 * change is missed and no key is worked on twice at a time. Failures back off exponentially.
 * Ownership: keys are copied. Thread: one (the reconcile loop). Pure: time comes in as now_ms.
 * Errors: a full queue refuses the key; the caller remembers to list everything again. */
#ifndef RECONCILER_ENGINE_KEY_QUEUE_H
#define RECONCILER_ENGINE_KEY_QUEUE_H

#include "base/str.h"

struct tt_key_queue;
struct tt_key_queue_limits {
    size_t key_count_max;    /* known keys of all places */
    uint64_t backoff_ms_min; /* after the first failure; doubles */
    uint64_t backoff_ms_max; /* no wait after a failure is longer; not below backoff_ms_min */
};
enum tt_key_outcome {
    TT_KEY_DONE,  /* forget the failures */
    TT_KEY_RETRY, /* failed: back off */
};

struct tt_key_queue *tt_key_queue_new(const struct tt_key_queue_limits *limits);
void tt_key_queue_free(struct tt_key_queue *queue);
/* Makes the key ready now (a delayed one is brought forward unless it is backing off from a
 * failure, so that a flapping object cannot defeat its back-off). False when the queue is full. */
bool tt_key_queue_add(struct tt_key_queue *queue, struct tt_str key, uint64_t now_ms);
/* Makes the key ready at due_ms, unless it is ready or due earlier already. False when full. */
bool tt_key_queue_add_at(struct tt_key_queue *queue, struct tt_str key, uint64_t due_ms);
/* The next ready key, oldest first, now active; false when none. Borrowed until its done. */
bool tt_key_queue_take(struct tt_key_queue *queue, uint64_t now_ms, struct tt_str *ret_key);
void tt_key_queue_done(struct tt_key_queue *queue, struct tt_str key, enum tt_key_outcome outcome,
                       uint64_t now_ms);
/* When the next delayed key is due; UINT64_MAX when none waits, now_ms when one is ready. */
uint64_t tt_key_queue_next_due_ms(struct tt_key_queue *queue, uint64_t now_ms);
/* Forgets everything but the active keys, whose done is still expected (leadership lost). */
void tt_key_queue_clear(struct tt_key_queue *queue);
size_t tt_key_queue_ready_count(const struct tt_key_queue *queue);
size_t tt_key_queue_active_count(const struct tt_key_queue *queue);

#endif
