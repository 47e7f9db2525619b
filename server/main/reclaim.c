/* One pool item per dead version; it frees itself, nobody waits for it. */
#include "server/main/reclaim.h"

#include "base/mem.h"

enum { SHARE_PERCENT = 15 };

struct reclaim_work {
    struct tt_work work;     /* in the pool; NULL done: it frees itself */
    struct tt_version *dead; /* taken */
    struct tt_pace *pace;    /* the reclaimer's; NULL: the thread has other things to do */
};

static void run(struct tt_work *work)
{
    struct reclaim_work *item = TT_CONTAINER_OF(work, struct reclaim_work, work);
    tt_version_reclaim(item->dead, item->pace);
    tt_free(item);
}

static void hand_over(struct tt_store_reclaimer *base, struct tt_version *dead)
{
    struct server_reclaimer *reclaimer = TT_CONTAINER_OF(base, struct server_reclaimer, base);
    struct reclaim_work *item = TT_NEW(struct reclaim_work);
    item->work.work = run;
    item->dead = dead;
    item->pace = reclaimer->pace;
    if (tt_pool_submit(reclaimer->pool, &item->work) != TT_OK) {
        item->pace = NULL;
        run(&item->work); /* the pool is full: slow, but never more and more memory */
    }
}

void server_reclaimer_init(struct server_reclaimer *reclaimer, struct tt_pool *pool)
{
    reclaimer->base.hand_over = hand_over;
    reclaimer->pool = pool;
    reclaimer->pace = tt_pace_new(SHARE_PERCENT);
}

void server_reclaimer_hurry(struct server_reclaimer *reclaimer)
{
    if (reclaimer->pace != NULL) {
        tt_pace_cancel(reclaimer->pace);
    }
}

void server_reclaimer_fini(struct server_reclaimer *reclaimer)
{
    tt_pace_free(reclaimer->pace);
}
