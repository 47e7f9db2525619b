/* Where a controller's observe puts its keys; internal to the engine and its tests.
 *
 * Ownership: borrows queue and arena. Thread: the engine's. Errors: a full queue sets overflow,
 * upon which the engine lists everything again later. */
#ifndef RECONCILER_ENGINE_OBSERVER_H
#define RECONCILER_ENGINE_OBSERVER_H

#include "base/mem.h"
#include "reconciler/engine/key_queue.h"

struct tt_pass_seal;
struct tt_observer {
    struct tt_key_queue *queue;      /* of the controller that observes */
    struct tt_arena *arena;          /* scratch, reset at each use */
    const struct tt_pass_seal *seal; /* NULL: sealed objects are opaque */
    uint64_t now_ms;                 /* monotonic */
    bool overflow;                   /* a key was refused */
};

#endif
