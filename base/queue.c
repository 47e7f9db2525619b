#include "base/queue.h"

#include <pthread.h>

#include "base/mem.h"

/* A mutex and an intrusive list: producers hold the lock for a few instructions, the consumer takes
 * the whole list out under one lock and runs it without.
 *
 * Wake: the first post after a drain wakes the consumer, the others know that it is on its way. A
 * consumer that looks again before it sleeps says so, and is woken only while it does sleep: a wake
 * is a system call on both sides, and under load the consumer is hardly ever asleep. The wake
 * is called under the lock, so that after tt_mailbox_close no wake can be under way and the
 * consumer may tear down what wakes it; `wake` must therefore not call into the mailbox.
 *
 * Failure modes: full (requests only: answers are bounded by the requests in flight) and closed;
 * both leave the message with its producer. */

struct tt_mailbox {
    pthread_mutex_t lock;    /* guards all below */
    struct tt_msg *first;    /* oldest, NULL when empty */
    struct tt_msg *last;     /* newest; meaningless when empty */
    size_t counted;          /* waiting messages that count against count_max */
    bool woken;              /* wake was called since the last drain began */
    bool closed;             /* posts are refused */
    size_t count_max;        /* constant */
    void (*wake)(void *ctx); /* constant; may be NULL */
    void *ctx;               /* constant */
};

struct tt_mailbox *tt_mailbox_new(size_t count_max, void (*wake)(void *ctx), void *ctx)
{
    TT_ASSERT(count_max > 0);
    struct tt_mailbox *box = TT_NEW(struct tt_mailbox);
    int r = pthread_mutex_init(&box->lock, NULL);
    TT_ASSERT(r == 0);
    box->count_max = count_max;
    box->wake = wake;
    box->ctx = ctx;
    return box;
}

void tt_mailbox_free(struct tt_mailbox *box)
{
    if (!box) {
        return;
    }
    TT_ASSERT(box->closed && !box->first);
    int r = pthread_mutex_destroy(&box->lock);
    TT_ASSERT(r == 0);
    tt_free(box);
}

static int post_chain(struct tt_mailbox *box, struct tt_msg *first, struct tt_msg *last,
                      size_t counted)
{
    int r = TT_OK;
    last->next = NULL;
    pthread_mutex_lock(&box->lock);
    if (box->closed) {
        r = TT_ECLOSED;
    } else if (counted > 0 && box->counted >= box->count_max) {
        r = TT_EBUSY;
    } else {
        if (box->first) {
            box->last->next = first;
        } else {
            box->first = first;
        }
        box->last = last;
        box->counted += counted;
        if (!box->woken) {
            box->woken = true;
            if (box->wake) {
                box->wake(box->ctx);
            }
        }
    }
    pthread_mutex_unlock(&box->lock);
    return r;
}

int tt_mailbox_post(struct tt_mailbox *box, struct tt_msg *msg)
{
    return post_chain(box, msg, msg, 1);
}

int tt_mailbox_post_answer(struct tt_mailbox *box, struct tt_msg *msg)
{
    return post_chain(box, msg, msg, 0);
}

int tt_mailbox_post_answers(struct tt_mailbox *box, struct tt_msg *first, struct tt_msg *last)
{
    return post_chain(box, first, last, 0);
}

static size_t drain(struct tt_mailbox *box, bool stays_awake)
{
    pthread_mutex_lock(&box->lock);
    struct tt_msg *msg = box->first;
    box->first = NULL;
    box->last = NULL;
    box->counted = 0;
    box->woken = stays_awake;
    pthread_mutex_unlock(&box->lock);

    size_t count = 0;
    while (msg) {
        struct tt_msg *next = msg->next; /* run may free the message */
        msg->next = NULL;
        msg->run(msg);
        msg = next;
        count++;
    }
    return count;
}

size_t tt_mailbox_drain(struct tt_mailbox *box)
{
    return drain(box, false);
}

size_t tt_mailbox_drain_awake(struct tt_mailbox *box)
{
    return drain(box, true);
}

bool tt_mailbox_sleep(struct tt_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->woken = box->first != NULL;
    bool sleeps = !box->woken;
    pthread_mutex_unlock(&box->lock);
    return sleeps;
}

void tt_mailbox_close(struct tt_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->closed = true;
    pthread_mutex_unlock(&box->lock);
}

size_t tt_mailbox_count(struct tt_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    size_t count = box->counted;
    pthread_mutex_unlock(&box->lock);
    return count;
}
