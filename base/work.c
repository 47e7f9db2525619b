#include "base/work.h"

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

/* Happy path: submit → first in, first out → a pool thread runs `work` → `done` is posted to the
 * reply mailbox as an answer.
 *
 * Failure modes: the queue is full or the pool is stopping (the submitter keeps the item); the
 * reply mailbox has closed before its answer came (a bug of the submitter's shutdown order:
 * logged). */

struct tt_pool {
    pthread_mutex_t lock;  /* guards first, last, count, stopping */
    pthread_cond_t filled; /* an item came, or stopping */
    struct tt_msg *first;  /* oldest item's msg, NULL when empty */
    struct tt_msg *last;   /* newest; meaningless when empty */
    size_t count;          /* items queued */
    bool stopping;         /* no more submissions */
    size_t queue_max;      /* constant */
    int nice;              /* constant */
    size_t thread_count;   /* threads started */
    pthread_t threads[];   /* thread_count of them */
};

static void run_done(struct tt_msg *msg)
{
    struct tt_work *work = TT_CONTAINER_OF(msg, struct tt_work, msg);
    work->done(work);
}

static void run_item(struct tt_msg *msg)
{
    struct tt_work *work = TT_CONTAINER_OF(msg, struct tt_work, msg);
    void (*done)(struct tt_work *) = work->done;
    struct tt_mailbox *reply = work->reply;
    msg->run = run_done;
    work->work(work);
    /* Without `done` the item may be gone by now. */
    if (done && tt_mailbox_post_answer(reply, msg) != TT_OK) {
        TT_LOG(TT_LOG_ERROR, "work", "reply mailbox closed before its answer");
    }
}

/* The next item; NULL when the pool is stopping and empty. */
static struct tt_msg *take_item(struct tt_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    while (!pool->first && !pool->stopping) {
        pthread_cond_wait(&pool->filled, &pool->lock);
    }
    struct tt_msg *msg = pool->first;
    if (msg) {
        pool->first = msg->next;
        pool->count--;
    }
    pthread_mutex_unlock(&pool->lock);
    return msg;
}

static void *thread_main(void *arg)
{
    struct tt_pool *pool = arg;
    (void)pthread_setname_np(pthread_self(), "pool"); /* only a name */
    if (pool->nice != 0 && setpriority(PRIO_PROCESS, (id_t)gettid(), pool->nice) != 0) {
        TT_LOG(TT_LOG_WARN, "work", "cannot lower the pool's priority", TT_F_I64("errno", errno));
    }
    struct tt_msg *msg;
    while ((msg = take_item(pool)) != NULL) {
        run_item(msg);
    }
    return NULL;
}

struct tt_pool *tt_pool_new(size_t thread_count, int nice, size_t queue_max)
{
    TT_ASSERT(thread_count > 0 && thread_count <= 1024);
    TT_ASSERT(queue_max > 0);
    struct tt_pool *pool = tt_xcalloc(1, sizeof *pool + thread_count * sizeof pool->threads[0]);
    int r = pthread_mutex_init(&pool->lock, NULL);
    TT_ASSERT(r == 0);
    r = pthread_cond_init(&pool->filled, NULL);
    TT_ASSERT(r == 0);
    pool->nice = nice;
    pool->queue_max = queue_max;
    for (size_t i = 0; i < thread_count; i++) {
        r = pthread_create(&pool->threads[i], NULL, thread_main, pool);
        TT_ASSERT(r == 0); /* a process that cannot have its few threads cannot start */
        pool->thread_count++;
    }
    return pool;
}

void tt_pool_free(struct tt_pool *pool)
{
    if (!pool) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->filled);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->thread_count; i++) {
        int r = pthread_join(pool->threads[i], NULL);
        TT_ASSERT(r == 0);
    }
    TT_ASSERT(!pool->first && pool->count == 0);
    pthread_cond_destroy(&pool->filled);
    pthread_mutex_destroy(&pool->lock);
    tt_free(pool);
}

int tt_pool_submit(struct tt_pool *pool, struct tt_work *work)
{
    TT_ASSERT(work->work != NULL);
    TT_ASSERT(!work->done || work->reply);
    int r = TT_OK;
    work->msg.next = NULL;
    pthread_mutex_lock(&pool->lock);
    if (pool->stopping) {
        r = TT_ECLOSED;
    } else if (pool->count >= pool->queue_max) {
        r = TT_EBUSY;
    } else {
        if (pool->first) {
            pool->last->next = &work->msg;
        } else {
            pool->first = &work->msg;
        }
        pool->last = &work->msg;
        pool->count++;
        pthread_cond_signal(&pool->filled);
    }
    pthread_mutex_unlock(&pool->lock);
    return r;
}
