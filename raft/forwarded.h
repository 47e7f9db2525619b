/* What a follower has forwarded to leaders and does not know the fate of: pure, so that the one
 * decision that matters can be read and tested by itself.
 *
 * An attempt is bound to a term: the leader of that term may append it while it leads in that term,
 * once; nobody else, and never later. The terms of a log never go down. So who applies the
 * committed entries one by one knows the fate of every attempt of term T as soon as it applies an
 * entry of a higher term: either the attempt came by below, or it never will (docs/adr/0025). No
 * clock is asked. Only a snapshot hides entries: what may be inside stays unknown.
 *
 * Ownership: attempts are embedded in the caller's objects and stay where they are until they are
 * taken. Thread: core. Errors: none. */
#ifndef RAFT_FORWARDED_H
#define RAFT_FORWARDED_H

#include "base/mem.h"
#include "base/queue.h"

enum { FORWARDED_BUCKETS = 4096 }; /* a power of two; attempts are numbered one by one */

struct attempt {
    struct tt_list link;  /* in order of sending, that is of terms */
    struct attempt *next; /* in its bucket */
    uint64_t request;     /* never the same twice, over restarts too */
    uint64_t term;        /* of the leader that it is meant for */
    bool hidden;          /* its entry may be one that a snapshot jumped over */
};

struct forwarded {
    struct tt_list attempts;                    /* in order of sending; terms never go down */
    struct attempt *buckets[FORWARDED_BUCKETS]; /* by request */
};

void forwarded_init(struct forwarded *forwarded);
/* Terms never go down from one call to the next. */
void forwarded_add(struct forwarded *forwarded, struct attempt *attempt, uint64_t request,
                   uint64_t term);
/* The attempt of that request, not among them any more; NULL if there is none. */
struct attempt *forwarded_take(struct forwarded *forwarded, uint64_t request);
/* A committed entry of `term` is about to be applied here: the oldest attempt whose fate that
 * settles, not among them any more. It is lost for certain, unless it is `hidden`: then nobody
 * tells. NULL: no further one. */
struct attempt *forwarded_settled(struct forwarded *forwarded, uint64_t term);
/* A snapshot whose last entry is of `term` has replaced the entries up to it. */
void forwarded_hide(struct forwarded *forwarded, uint64_t term);

#endif
