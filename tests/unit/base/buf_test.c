/* Behaviour of base/buf: growth, the maximum, taking, shared bytes. */
#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

static void a_buffer_grows_and_stays_terminated(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 100000);
    for (unsigned i = 0; i < 10000; i++) {
        tt_buf_char(&buf, 'x');
    }
    assert_true(tt_buf_ok(&buf));
    assert_int_equal(strlen(buf.ptr), 10000);
}

static void an_append_beyond_the_maximum_fails_and_sticks(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 5);
    tt_buf_c(&buf, "abc");
    tt_buf_c(&buf, "def");
    assert_false(tt_buf_ok(&buf));
    tt_buf_c(&buf, "d");
    assert_true(tt_str_eq_c(tt_buf_view(&buf), "abc"));
    tt_buf_reset(&buf);
    tt_buf_c(&buf, "abcde");
    assert_true(tt_buf_ok(&buf));
}

static void printing_fits_exactly_or_not_at_all(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 8);
    tt_buf_printf(&buf, "%s", "abcd");
    tt_buf_printf(&buf, "%d", 1234);
    assert_true(tt_buf_ok(&buf));
    assert_string_equal(buf.ptr, "abcd1234");
    tt_buf_printf(&buf, "%d", 5);
    assert_false(tt_buf_ok(&buf));
    assert_string_equal(buf.ptr, "abcd1234");
}

static void printing_grows_an_empty_and_a_full_buffer(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 4096);
    tt_buf_printf(&buf, "%0200d", 0);
    tt_buf_printf(&buf, "%0300d", 0);
    assert_int_equal(buf.len, 500);
    assert_int_equal(strlen(buf.ptr), 500);
}

static void numbers_print_in_full(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 64);
    tt_buf_u64(&buf, 0);
    tt_buf_u64(&buf, UINT64_MAX);
    assert_string_equal(buf.ptr, "018446744073709551615");
}

static void consume_drops_the_front_and_take_empties(void **state)
{
    (void)state; /* no fixture */
    struct tt_buf buf;
    size_t size;
    tt_buf_init(&buf, 64);
    tt_buf_c(&buf, "header:body");
    tt_buf_consume(&buf, 7);
    TT_AUTO_FREE char *bytes = tt_buf_take(&buf, &size);
    assert_string_equal(bytes, "body");
    assert_int_equal(size, 4);
    assert_int_equal(buf.len, 0);
    assert_null(buf.ptr);
}

static void reserve_gives_room_for_direct_writes(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 16);
    char *to = tt_buf_reserve(&buf, 16);
    assert_non_null(to);
    memcpy(to, "0123456789abcdef", 16);
    buf.len += 16;
    assert_null(tt_buf_reserve(&buf, 1));
    assert_int_equal(buf.len, 16);
}

static void shared_bytes_live_until_the_last_reference(void **state)
{
    (void)state; /* no fixture */
    struct tt_bytes *bytes = tt_bytes_new("abc", 3);
    assert_ptr_equal(tt_bytes_ref(bytes), bytes);
    tt_bytes_unref(bytes);
    assert_memory_equal(bytes->ptr, "abc", 3);
    assert_int_equal(bytes->size, 3);
    tt_bytes_unref(bytes);
    tt_bytes_unref(NULL);
}

static void a_slice_outlives_the_run_it_is_of(void **state)
{
    (void)state; /* no fixture */
    struct tt_bytes *whole = tt_bytes_new("0123456789", 10);
    struct tt_bytes *slice = tt_bytes_slice(whole, 2, 6);
    struct tt_bytes *inner = tt_bytes_slice(slice, 1, 3);
    assert_ptr_equal(slice->ptr, whole->ptr + 2);
    tt_bytes_unref(whole);
    tt_bytes_unref(slice);
    assert_int_equal(inner->size, 3);
    assert_memory_equal(inner->ptr, "345", 3);
    tt_bytes_unref(inner);
}

static void a_slice_may_be_empty_or_all_of_it(void **state)
{
    (void)state; /* no fixture */
    struct tt_bytes *whole = tt_bytes_new("abc", 3);
    struct tt_bytes *empty = tt_bytes_slice(whole, 3, 0);
    struct tt_bytes *all = tt_bytes_slice(whole, 0, 3);
    tt_bytes_unref(whole);
    assert_int_equal(empty->size, 0);
    assert_memory_equal(all->ptr, "abc", 3);
    tt_bytes_unref(empty);
    tt_bytes_unref(all);
}

static void joined_bytes_are_a_copy_in_order(void **state)
{
    (void)state; /* no fixture */
    struct tt_bytes *parts[3] = {tt_bytes_new("ab", 2), tt_bytes_new("", 0), tt_bytes_new("c", 1)};
    struct tt_bytes *joined = tt_bytes_join(parts, 3);
    for (size_t i = 0; i < 3; i++) {
        tt_bytes_unref(parts[i]);
    }
    assert_int_equal(joined->size, 3);
    assert_memory_equal(joined->ptr, "abc", 3);
    tt_bytes_shorten(joined, 2);
    assert_true(tt_str_eq(tt_bytes_view(joined), TT_STR("ab")));
    tt_bytes_unref(joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_grows_and_stays_terminated),
        cmocka_unit_test(an_append_beyond_the_maximum_fails_and_sticks),
        cmocka_unit_test(printing_fits_exactly_or_not_at_all),
        cmocka_unit_test(printing_grows_an_empty_and_a_full_buffer),
        cmocka_unit_test(numbers_print_in_full),
        cmocka_unit_test(consume_drops_the_front_and_take_empties),
        cmocka_unit_test(reserve_gives_room_for_direct_writes),
        cmocka_unit_test(shared_bytes_live_until_the_last_reference),
        cmocka_unit_test(a_slice_outlives_the_run_it_is_of),
        cmocka_unit_test(a_slice_may_be_empty_or_all_of_it),
        cmocka_unit_test(joined_bytes_are_a_copy_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
