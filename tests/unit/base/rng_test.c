/* Behaviour of base/rng: replay, ranges, uids. */
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void the_same_seed_gives_the_same_stream(void **state)
{
    (void)state; /* no fixture */
    struct tt_rng a;
    struct tt_rng b;
    struct tt_rng c;
    tt_rng_seed(&a, 1);
    tt_rng_seed(&b, 1);
    tt_rng_seed(&c, 2);
    unsigned equal = 0;
    for (unsigned i = 0; i < 100; i++) {
        uint64_t value = tt_rng_u64(&a);
        assert_true(value == tt_rng_u64(&b));
        equal += value == tt_rng_u64(&c) ? 1 : 0;
    }
    assert_int_equal(equal, 0);
}

static void bytes_are_those_of_the_numbers(void **state)
{
    (void)state; /* no fixture */
    for (size_t size = 0; size <= 40; size++) {
        struct tt_rng a;
        struct tt_rng b;
        tt_rng_seed(&a, size);
        tt_rng_seed(&b, size);
        uint8_t filled[41] = {0};
        tt_rng_fill(&a, filled, size);
        for (size_t at = 0; at < size; at += 8) {
            uint64_t word = tt_rng_u64(&b);
            assert_memory_equal(filled + at, &word, size - at < 8 ? size - at : 8);
        }
        assert_int_equal(filled[size], 0);
        assert_true(tt_rng_u64(&a) == tt_rng_u64(&b)); /* and the stream goes on from there */
    }
}

static void every_value_below_the_bound_comes_about_as_often(void **state)
{
    (void)state; /* no fixture */
    struct tt_rng rng;
    unsigned counts[7] = {0};
    tt_rng_seed(&rng, 42);
    for (unsigned i = 0; i < 70000; i++) {
        counts[tt_rng_below(&rng, 7)]++;
    }
    for (unsigned i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9500, 10500);
    }
}

static void ranges_include_both_ends(void **state)
{
    (void)state; /* no fixture */
    struct tt_rng rng;
    tt_rng_seed(&rng, 7);
    unsigned seen = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t value = tt_rng_range(&rng, 3, 5);
        assert_in_range(value, 3, 5);
        seen |= 1u << value;
    }
    assert_int_equal(seen, 1u << 3 | 1u << 4 | 1u << 5);
    (void)tt_rng_range(&rng, 0, UINT64_MAX); /* must not divide by zero */
}

static void units_and_chances_stay_in_bounds(void **state)
{
    (void)state; /* no fixture */
    struct tt_rng rng;
    unsigned hits = 0;
    tt_rng_seed(&rng, 9);
    for (unsigned i = 0; i < 10000; i++) {
        double unit = tt_rng_unit(&rng);
        assert_true(unit >= 0.0 && unit < 1.0);
        hits += tt_rng_chance(&rng, 0.25) ? 1 : 0;
    }
    assert_in_range(hits, 2200, 2800);
}

static void uids_are_version_4_and_differ(void **state)
{
    (void)state; /* no fixture */
    char a[TT_UUID_TEXT_SIZE];
    char b[TT_UUID_TEXT_SIZE];
    tt_uuid_v4(a);
    tt_uuid_v4(b);
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
    assert_int_equal(a[8], '-');
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_stream),
        cmocka_unit_test(bytes_are_those_of_the_numbers),
        cmocka_unit_test(every_value_below_the_bound_comes_about_as_often),
        cmocka_unit_test(ranges_include_both_ends),
        cmocka_unit_test(units_and_chances_stay_in_bounds),
        cmocka_unit_test(uids_are_version_4_and_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
