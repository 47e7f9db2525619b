/* Behaviour of base/work: answers arrive, bounds, stopping. */
#include "base/work.h"

#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

enum { ITEMS = 2000 };

struct job {
    struct tt_work work;
    unsigned input;
    unsigned output;
    bool answered;
};

static void square(struct tt_work *work)
{
    struct job *job = TT_CONTAINER_OF(work, struct job, work);
    job->output = job->input * job->input;
}

static void note_answer(struct tt_work *work)
{
    struct job *job = TT_CONTAINER_OF(work, struct job, work);
    job->answered = true;
}

static void every_item_runs_and_is_answered_on_the_draining_thread(void **state)
{
    (void)state; /* no fixture */
    struct tt_mailbox *reply = tt_mailbox_new(1, NULL, NULL);
    struct tt_pool *pool = tt_pool_new(3, 0, ITEMS);
    struct job *jobs = tt_xcalloc(ITEMS, sizeof *jobs);
    for (unsigned i = 0; i < ITEMS; i++) {
        jobs[i].input = i;
        jobs[i].work = (struct tt_work){.work = square, .done = note_answer, .reply = reply};
        assert_int_equal(tt_pool_submit(pool, &jobs[i].work), TT_OK);
    }
    tt_pool_free(pool);
    tt_mailbox_close(reply);
    assert_int_equal(tt_mailbox_drain(reply), ITEMS);
    for (unsigned i = 0; i < ITEMS; i++) {
        assert_true(jobs[i].answered);
        assert_int_equal(jobs[i].output, i * i);
    }
    tt_mailbox_free(reply);
    tt_free(jobs);
}

static sem_t gate;

static void wait_at_gate(struct tt_work *work)
{
    (void)work; /* only occupies the thread */
    while (sem_wait(&gate) != 0) {
        /* interrupted by a signal */
    }
}

static void a_full_queue_is_busy(void **state)
{
    (void)state; /* no fixture */
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    struct tt_pool *pool = tt_pool_new(1, 0, 1);
    struct tt_work items[3] = {
        {.work = wait_at_gate}, {.work = wait_at_gate}, {.work = wait_at_gate}};
    assert_int_equal(tt_pool_submit(pool, &items[0]), TT_OK);
    while (tt_pool_submit(pool, &items[1]) == TT_EBUSY) {
        sched_yield(); /* until the thread has taken the first */
    }
    assert_int_equal(tt_pool_submit(pool, &items[2]), TT_EBUSY);
    sem_post(&gate);
    sem_post(&gate);
    tt_pool_free(pool);
    sem_destroy(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_runs_and_is_answered_on_the_draining_thread),
        cmocka_unit_test(a_full_queue_is_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
