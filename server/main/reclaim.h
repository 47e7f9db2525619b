/* Frees dead versions of the store on the pool, so that neither the core nor an API thread pays for
 * what a large batch left behind.
 *
 * Ownership: embedded in the server; must outlive the store and its versions, and the pool must
 * outlive them too. Thread: handed to from any. Errors: a full pool makes the caller free. */
#ifndef SERVER_MAIN_RECLAIM_H
#define SERVER_MAIN_RECLAIM_H

#include "base/pace.h"
#include "base/work.h"
#include "server/store/store.h"

struct server_reclaimer {
    struct tt_store_reclaimer base; /* what the store holds */
    struct tt_pool *pool;           /* keeps */
    struct tt_pace *pace; /* owned: the pool's threads rest between pieces of a large one */
};
void server_reclaimer_init(struct server_reclaimer *reclaimer, struct tt_pool *pool);
/* The server stops: no more rests. Fine before init too, as fini is: all zeros. */
void server_reclaimer_hurry(struct server_reclaimer *reclaimer);
/* When the pool is gone. */
void server_reclaimer_fini(struct server_reclaimer *reclaimer);

#endif
