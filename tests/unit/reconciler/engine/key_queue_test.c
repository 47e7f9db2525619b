/* The key queue's promises: no duplicate work, no lost add, back-off that an add cannot shorten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
#include "reconciler/engine/key_queue.h"

static const struct tt_key_queue_limits limits = {
    .key_count_max = 8, .backoff_ms_min = 10, .backoff_ms_max = 50};

static int setup(void **state)
{
    *state = tt_key_queue_new(&limits);
    return 0;
}

static int teardown(void **state)
{
    tt_key_queue_free(*state);
    return 0;
}

static void a_key_added_twice_is_taken_once(void **state)
{
    struct tt_key_queue *queue = *state;
    struct tt_str key;
    assert_true(tt_key_queue_add(queue, TT_STR("a"), 1));
    assert_true(tt_key_queue_add(queue, TT_STR("a"), 1));
    assert_true(tt_key_queue_take(queue, 1, &key));
    assert_true(tt_str_eq_c(key, "a"));
    assert_false(tt_key_queue_take(queue, 1, &key));
    tt_key_queue_done(queue, TT_STR("a"), TT_KEY_DONE, 1);
    assert_false(tt_key_queue_take(queue, 1, &key));
}

static void a_key_added_while_active_runs_again(void **state)
{
    struct tt_key_queue *queue = *state;
    struct tt_str key;
    assert_true(tt_key_queue_add(queue, TT_STR("a"), 1));
    assert_true(tt_key_queue_take(queue, 1, &key));
    assert_true(tt_key_queue_add(queue, TT_STR("a"), 2));
    assert_false(tt_key_queue_take(queue, 2, &key));
    tt_key_queue_done(queue, TT_STR("a"), TT_KEY_DONE, 3);
    assert_true(tt_key_queue_take(queue, 3, &key));
    tt_key_queue_done(queue, TT_STR("a"), TT_KEY_DONE, 3);
}

static void failures_back_off_and_an_add_does_not_shorten_it(void **state)
{
    struct tt_key_queue *queue = *state;
    struct tt_str key;
    uint64_t now = 100;
    const uint64_t waits[] = {10, 20, 40, 50, 50};
    assert_true(tt_key_queue_add(queue, TT_STR("a"), now));
    for (size_t i = 0; i < 5; i++) {
        assert_true(tt_key_queue_take(queue, now, &key));
        tt_key_queue_done(queue, TT_STR("a"), TT_KEY_RETRY, now);
        assert_true(tt_key_queue_add(queue, TT_STR("a"), now));
        assert_int_equal(tt_key_queue_next_due_ms(queue, now), now + waits[i]);
        assert_false(tt_key_queue_take(queue, now + waits[i] - 1, &key));
        now += waits[i];
    }
}

static void success_forgets_the_failures(void **state)
{
    struct tt_key_queue *queue = *state;
    struct tt_str key;
    assert_true(tt_key_queue_add(queue, TT_STR("a"), 0));
    assert_true(tt_key_queue_take(queue, 0, &key));
    tt_key_queue_done(queue, TT_STR("a"), TT_KEY_RETRY, 0);
    assert_true(tt_key_queue_take(queue, 10, &key));
    tt_key_queue_done(queue, TT_STR("a"), TT_KEY_DONE, 10);
    assert_true(tt_key_queue_add(queue, TT_STR("a"), 10));
    assert_true(tt_key_queue_take(queue, 10, &key));
    tt_key_queue_done(queue, TT_STR("a"), TT_KEY_RETRY, 10);
    assert_int_equal(tt_key_queue_next_due_ms(queue, 10), 20);
}

static void a_full_queue_refuses_new_keys_only(void **state)
{
    struct tt_key_queue *queue = *state;
    char name[2] = "a";
    for (size_t i = 0; i < limits.key_count_max; i++, name[0]++) {
        assert_true(tt_key_queue_add(queue, tt_str_c(name), 0));
    }
    assert_false(tt_key_queue_add(queue, TT_STR("z"), 0));
    assert_true(tt_key_queue_add(queue, TT_STR("a"), 0));
}

/* Against a naive model: a key is handed out exactly when it was added since its last take. */
static void random_operations_lose_no_add(void **state)
{
    struct tt_key_queue *queue = *state;
    struct tt_rng rng;
    uint64_t seed = 20261122;
    print_message("seed %llu\n", (unsigned long long)seed);
    tt_rng_seed(&rng, seed);
    bool pending[4] = {false};
    bool active[4] = {false};
    for (uint64_t now = 0; now < 20000; now++) {
        size_t i = (size_t)tt_rng_below(&rng, 4);
        char name[2] = {(char)('a' + (int)i), 0};
        struct tt_str key;
        if (tt_rng_chance(&rng, 0.4)) {
            assert_true(tt_key_queue_add(queue, tt_str_c(name), now));
            pending[i] = true;
        } else if (active[i]) {
            tt_key_queue_done(queue, tt_str_c(name), TT_KEY_DONE, now);
            active[i] = false;
        } else if (tt_key_queue_take(queue, now, &key)) {
            size_t taken = (size_t)(key.ptr[0] - 'a');
            assert_true(pending[taken]);
            assert_false(active[taken]);
            pending[taken] = false;
            active[taken] = true;
        } else {
            for (size_t k = 0; k < 4; k++) {
                assert_true(!pending[k] || active[k]);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_key_added_twice_is_taken_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_added_while_active_runs_again, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_back_off_and_an_add_does_not_shorten_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(success_forgets_the_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_refuses_new_keys_only, setup, teardown),
        cmocka_unit_test_setup_teardown(random_operations_lose_no_add, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
