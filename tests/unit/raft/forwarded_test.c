/* When the fate of what was forwarded is settled, and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "raft/forwarded.h"

enum { COUNT = 3 * FORWARDED_BUCKETS };

static struct attempt attempts[COUNT];
static struct forwarded forwarded;

/* One attempt per term: requests 11, 12, …, of terms 1, 2, … */
static void fill(size_t count)
{
    forwarded_init(&forwarded);
    for (size_t i = 0; i < count; i++) {
        forwarded_add(&forwarded, &attempts[i], 11 + i, 1 + i);
    }
}

static void an_entry_of_the_same_or_an_earlier_term_settles_nothing(void **state)
{
    (void)state;
    forwarded_init(&forwarded);
    forwarded_add(&forwarded, &attempts[0], 1, 5);
    assert_null(forwarded_settled(&forwarded, 4));
    assert_null(forwarded_settled(&forwarded, 5));
    assert_ptr_equal(forwarded_settled(&forwarded, 6), &attempts[0]);
    assert_false(attempts[0].hidden);
    assert_null(forwarded_settled(&forwarded, 6));
}

static void an_entry_of_a_later_term_settles_all_earlier_ones_in_order(void **state)
{
    (void)state;
    fill(4);
    assert_ptr_equal(forwarded_settled(&forwarded, 3), &attempts[0]);
    assert_ptr_equal(forwarded_settled(&forwarded, 3), &attempts[1]);
    assert_null(forwarded_settled(&forwarded, 3));
    assert_ptr_equal(forwarded_take(&forwarded, 13), &attempts[2]); /* still among them */
}

static void what_was_taken_is_not_settled(void **state)
{
    (void)state;
    fill(3);
    assert_ptr_equal(forwarded_take(&forwarded, 12), &attempts[1]);
    assert_null(forwarded_take(&forwarded, 12));
    assert_null(forwarded_take(&forwarded, 99));
    assert_ptr_equal(forwarded_settled(&forwarded, 9), &attempts[0]);
    assert_ptr_equal(forwarded_settled(&forwarded, 9), &attempts[2]);
    assert_null(forwarded_settled(&forwarded, 9));
}

static void a_snapshot_hides_what_was_meant_for_its_term_or_an_earlier_one(void **state)
{
    (void)state;
    fill(3);
    forwarded_hide(&forwarded, 2);
    forwarded_hide(&forwarded, 1); /* hidden once, hidden for good */
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(forwarded_settled(&forwarded, 9), &attempts[i]);
        assert_int_equal(attempts[i].hidden, i < 2);
    }
    forwarded_add(&forwarded, &attempts[0], 20, 9); /* sent again */
    assert_ptr_equal(forwarded_settled(&forwarded, 10), &attempts[0]);
    assert_false(attempts[0].hidden);
}

static void each_of_many_is_found_by_its_request(void **state)
{
    (void)state;
    fill(COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        size_t at = i * 7 % COUNT; /* a permutation: 7 does not divide it */
        assert_ptr_equal(forwarded_take(&forwarded, 11 + at), &attempts[at]);
    }
    assert_null(forwarded_settled(&forwarded, UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_of_the_same_or_an_earlier_term_settles_nothing),
        cmocka_unit_test(an_entry_of_a_later_term_settles_all_earlier_ones_in_order),
        cmocka_unit_test(what_was_taken_is_not_settled),
        cmocka_unit_test(a_snapshot_hides_what_was_meant_for_its_term_or_an_earlier_one),
        cmocka_unit_test(each_of_many_is_found_by_its_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
