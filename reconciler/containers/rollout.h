/* The arithmetic of a rolling update, apart from all objects: how many replicas each ReplicaSet of
 * a Deployment should have next. Pure and exhaustively tested.
 *
 * Ownership: plain values. Thread: any. Errors: none; inputs are non-negative. */
#ifndef RECONCILER_CONTAINERS_ROLLOUT_H
#define RECONCILER_CONTAINERS_ROLLOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rollout_set {
    int64_t replicas;  /* spec.replicas now */
    int64_t available; /* of its pods */
    int64_t next;      /* result: spec.replicas wanted */
};
struct rollout_limits {
    int64_t desired;         /* spec.replicas of the Deployment */
    int64_t surge_max;       /* pods beyond desired, absolute */
    int64_t unavailable_max; /* pods below desired that may be missing, absolute */
    bool recreate;           /* strategy Recreate: old pods first, then new ones */
    int64_t old_pods;        /* pods of old sets that still exist (for Recreate) */
    bool paused;             /* only scale, in proportion of what is there */
};
/* sets[0] is the new one, the rest old ones, oldest first. */
void rollout_next(const struct rollout_limits *limits, struct rollout_set *sets, size_t count);
/* "25%" or "2" of desired; surge rounds up, unavailability down. Both zero would never progress:
 * then unavailable_max is 1. False: neither a number nor a percentage. */
bool rollout_resolve(const char *surge, const char *unavailable, struct rollout_limits *limits);

#endif
