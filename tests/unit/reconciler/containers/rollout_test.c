/* The rolling update's arithmetic: bounds hold at every step and every rollout ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "reconciler/containers/rollout.h"

static int64_t sum_available(const struct rollout_set *sets, size_t count)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += sets[i].available;
    }
    return sum;
}

/* The world obeys: sizes become what was asked; all old pods stay available, new ones become so
 * one a step. */
static void obey(struct rollout_set *sets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sets[i].replicas = sets[i].next;
        if (sets[i].available > sets[i].replicas) {
            sets[i].available = sets[i].replicas;
        }
    }
    if (sets[0].available < sets[0].replicas) {
        sets[0].available++;
    }
}

static void every_rollout_ends_within_its_bounds(void **state)
{
    (void)state;
    for (int64_t desired = 0; desired <= 6; desired++) {
        for (int64_t surge = 0; surge <= 3; surge++) {
            for (int64_t unavailable = surge == 0 ? 1 : 0; unavailable <= 3; unavailable++) {
                struct rollout_limits limits = {.desired = desired,
                                                .surge_max = surge,
                                                .unavailable_max =
                                                    unavailable < desired ? unavailable : desired};
                struct rollout_set sets[3] = {{0, 0, 0},
                                              {desired / 2, desired / 2, 0},
                                              {desired - desired / 2, desired - desired / 2, 0}};
                int steps = 0;
                while (sets[0].replicas != desired || sets[0].available != desired ||
                       sets[1].replicas + sets[2].replicas != 0) {
                    rollout_next(&limits, sets, 3);
                    assert_true(sets[0].next + sets[1].next + sets[2].next <= desired + surge);
                    obey(sets, 3);
                    assert_true(sum_available(sets, 3) >= desired - limits.unavailable_max);
                    assert_true(++steps < 100);
                }
            }
        }
    }
}

static void broken_old_pods_go_first(void **state)
{
    (void)state;
    const struct rollout_limits limits = {.desired = 4, .surge_max = 1, .unavailable_max = 1};
    struct rollout_set sets[2] = {{0, 0, 0}, {4, 2, 0}};
    rollout_next(&limits, sets, 2);
    assert_int_equal(sets[0].next, 1);
    assert_int_equal(sets[1].next, 3); /* one unavailable pod within the budget */
}

static void a_rollout_whose_new_pods_never_come_up_stops_in_time(void **state)
{
    (void)state;
    const struct rollout_limits limits = {.desired = 10, .surge_max = 2, .unavailable_max = 3};
    struct rollout_set sets[2] = {{0, 0, 0}, {10, 10, 0}};
    for (int i = 0; i < 20; i++) {
        rollout_next(&limits, sets, 2);
        sets[0].replicas = sets[0].next;
        sets[1].replicas = sets[1].next;
        sets[1].available = sets[1].next;
        assert_true(sets[1].available >= 7);
    }
    assert_int_equal(sets[0].replicas, 5);
    assert_int_equal(sets[1].replicas, 7);
}

static void recreate_waits_until_the_old_pods_are_gone(void **state)
{
    (void)state;
    struct rollout_limits limits = {.desired = 3, .recreate = true, .old_pods = 2};
    struct rollout_set sets[2] = {{0, 0, 0}, {2, 2, 0}};
    rollout_next(&limits, sets, 2);
    assert_int_equal(sets[0].next, 0);
    assert_int_equal(sets[1].next, 0);
    limits.old_pods = 0;
    sets[1].replicas = 0;
    rollout_next(&limits, sets, 2);
    assert_int_equal(sets[0].next, 3);
}

static void a_paused_rollout_scales_in_proportion(void **state)
{
    (void)state;
    const struct rollout_limits limits = {.desired = 10, .paused = true};
    struct rollout_set sets[2] = {{1, 1, 0}, {4, 4, 0}};
    rollout_next(&limits, sets, 2);
    assert_int_equal(sets[0].next, 2);
    assert_int_equal(sets[1].next, 8);
}

static void percentages_round_towards_safety(void **state)
{
    (void)state;
    struct rollout_limits limits = {.desired = 3};
    assert_true(rollout_resolve("25%", "25%", &limits));
    assert_int_equal(limits.surge_max, 1);
    assert_int_equal(limits.unavailable_max, 0);
    assert_true(rollout_resolve("0", "0%", &limits));
    assert_int_equal(limits.unavailable_max, 1);
    assert_false(rollout_resolve("-1", "1", &limits));
    assert_false(rollout_resolve("x%", "1", &limits));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rollout_ends_within_its_bounds),
        cmocka_unit_test(broken_old_pods_go_first),
        cmocka_unit_test(a_rollout_whose_new_pods_never_come_up_stops_in_time),
        cmocka_unit_test(recreate_waits_until_the_old_pods_are_gone),
        cmocka_unit_test(a_paused_rollout_scales_in_proportion),
        cmocka_unit_test(percentages_round_towards_safety),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
