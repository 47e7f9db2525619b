/* Conditions in the status of an object that a plan writes.
 *
 * Ownership: borrows; what is written is copied into the object's document. Thread: the plan's.
 * Errors: false when the pass's arena is full. */
#ifndef RECONCILER_ENGINE_CONDITION_H
#define RECONCILER_ENGINE_CONDITION_H

#include "reconciler/engine/pass.h"

/* A condition to write into status.conditions. */
struct tt_condition {
    const char *type;      /* CamelCase; identifies it; borrowed, as the others */
    const char *status;    /* "True", "False", "Unknown" */
    const char *reason;    /* CamelCase, why it has this status */
    struct tt_str message; /* for people; may be empty */
};
/* Replaces or appends it; lastTransitionTime moves only when the status changes. */
bool tt_object_set_condition(struct tt_object *object, const struct tt_condition *condition,
                             uint64_t now_ms, bool with_update_time) TT_MUST_USE;

#endif
