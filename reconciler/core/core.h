/* The reconcilers of the object model itself: namespace deletion, the garbage collector, and the
 * end of old Events.
 *
 * Ownership: controllers are the caller's until tt_controller_free. Thread: the engine's loop.
 * Errors: told by the engine, which plans again. */
#ifndef RECONCILER_CORE_CORE_H
#define RECONCILER_CORE_CORE_H

#include "reconciler/engine/engine.h"

struct tt_controller *tt_namespace_controller_new(void);
struct tt_controller *tt_gc_controller_new(void);
struct tt_controller *tt_event_controller_new(void);

#endif
