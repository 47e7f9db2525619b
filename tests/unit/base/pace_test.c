/* Behaviour of base/pace: how long it rests, and that nobody waits for it. */
#include "base/pace.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MS = 1000000 };

static void the_rest_follows_from_the_work_and_the_share(void **state)
{
    (void)state; /* no fixture */
    assert_int_equal(tt_pace_pause_ns(10 * MS, 100), 0);
    assert_int_equal(tt_pace_pause_ns(10 * MS, 50), 10 * MS);
    assert_int_equal(tt_pace_pause_ns(10 * MS, 20), 40 * MS);
    assert_int_equal(tt_pace_pause_ns(0, 20), 0);
    /* After a stall of the whole process the work does not stand still for as long again. */
    assert_int_equal(tt_pace_pause_ns(UINT64_MAX, 1), (uint64_t)TT_PACE_PAUSE_MS_MAX * MS);
}

static void a_rest_takes_its_time(void **state)
{
    (void)state;
    struct tt_pace *pace = tt_pace_new(10);
    const struct tt_clock *clock = tt_clock_real();
    uint64_t begin_ns = tt_clock_ns(clock);
    assert_true(tt_pace_rest(pace, MS));
    assert_true(tt_clock_ns(clock) - begin_ns >= 9 * (uint64_t)MS);
    tt_pace_free(pace);
}

static void *rest_until_cancelled(void *arg)
{
    struct tt_pace *pace = arg;
    const struct tt_clock *clock = tt_clock_real();
    uint64_t end_ns = tt_clock_ns(clock) + 60000 * (uint64_t)MS; /* only so that it can fail */
    while (tt_clock_ns(clock) < end_ns) {
        if (!tt_pace_rest(pace, MS)) {
            return pace;
        }
    }
    return NULL;
}

static void a_cancelled_worker_is_told_to_give_up(void **state)
{
    (void)state;
    struct tt_pace *pace = tt_pace_new(1);
    pthread_t worker;
    assert_int_equal(pthread_create(&worker, NULL, rest_until_cancelled, pace), 0);
    tt_pace_set_share(pace, 50);
    tt_pace_cancel(pace);
    void *result = NULL;
    assert_int_equal(pthread_join(worker, &result), 0);
    assert_ptr_equal(result, pace);
    assert_false(tt_pace_rest(pace, MS)); /* for good */
    tt_pace_free(pace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rest_follows_from_the_work_and_the_share),
        cmocka_unit_test(a_rest_takes_its_time),
        cmocka_unit_test(a_cancelled_worker_is_told_to_give_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
