/* The container reconcilers: Deployment → ReplicaSet → Pod, the scheduler, and node lifecycle.
 *
 * Each *_plan.c is a pure function of one store version (reconciler/engine/pass.h); README.md says
 * what each decides and on which goldens it is tested.
 * Ownership: controllers are the caller's until tt_controller_free. Thread: the engine's loop.
 * Errors: told by the engine, which plans again. */
#ifndef RECONCILER_CONTAINERS_CONTAINERS_H
#define RECONCILER_CONTAINERS_CONTAINERS_H

#include "reconciler/engine/engine.h"

struct tt_controller *tt_deployment_controller_new(void);
struct tt_controller *tt_replicaset_controller_new(void);
struct tt_controller *tt_scheduler_controller_new(void);
struct tt_controller *tt_node_controller_new(void);

#endif
