#include "base/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_number_is_read_as_it_was_written_in_the_size_foretold(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        const uint64_t around[] = {(UINT64_C(1) << bit) - 1, UINT64_C(1) << bit,
                                   ~(UINT64_C(0)) >> bit};
        for (size_t i = 0; i < 3; i++) {
            uint8_t bytes[10];
            uint64_t value = 0;
            size_t size = (size_t)(tt_wire_put_varint(bytes, around[i]) - bytes);
            struct tt_wire wire = tt_wire_of(tt_str((const char *)bytes, size));
            assert_int_equal(tt_wire_varint_size(around[i]), size);
            assert_true(tt_wire_varint(&wire, &value));
            assert_true(value == around[i]);
            assert_true(tt_wire_done(&wire));
        }
    }
}

static bool reads_number(const char *bytes, size_t size)
{
    struct tt_wire wire = tt_wire_of(tt_str(bytes, size));
    uint64_t value = 7;
    bool good = tt_wire_varint(&wire, &value);
    assert_true(good || value == 7);
    return good;
}

static void numbers_of_too_many_bytes_or_bits_are_refused(void **state)
{
    (void)state;
    assert_false(reads_number("", 0));
    assert_false(reads_number("\x80", 1));
    assert_false(reads_number("\x80\x00", 2));
    assert_false(reads_number("\xff\x80\x00", 3));
    assert_true(reads_number("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10));
    assert_false(reads_number("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
    assert_false(reads_number("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11));
}

static void bytes_that_go_on_behind_the_end_are_refused(void **state)
{
    (void)state;
    struct tt_str value = TT_STR("before");
    struct tt_wire wire = tt_wire_of(TT_STR("\x03"
                                            "abc"));
    assert_true(tt_wire_bytes(&wire, &value));
    assert_true(tt_str_eq(value, TT_STR("abc")) && tt_wire_done(&wire));
    wire = tt_wire_of(TT_STR("\x04"
                             "abc"));
    assert_false(tt_wire_bytes(&wire, &value));
    wire = tt_wire_of(TT_STR("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_false(tt_wire_bytes(&wire, &value));
    assert_true(tt_str_eq(value, TT_STR("abc")));
}

static void an_optional_field_is_left_when_another_follows(void **state)
{
    (void)state;
    uint64_t number = 5;
    struct tt_str text = TT_STR_NONE;
    struct tt_wire wire = tt_wire_of(TT_STR("\x10\x09\x1a\x01x"));
    assert_true(tt_wire_maybe_varint(&wire, TT_WIRE_TAG(1, TT_WIRE_VARINT), 100, &number));
    assert_int_equal(number, 5);
    assert_true(tt_wire_maybe_varint(&wire, TT_WIRE_TAG(2, TT_WIRE_VARINT), 9, &number));
    assert_int_equal(number, 9);
    assert_true(tt_wire_maybe_bytes(&wire, TT_WIRE_TAG(3, TT_WIRE_BYTES), 1, &text));
    assert_true(tt_str_eq(text, TT_STR("x")) && tt_wire_done(&wire));
}

static void an_optional_field_over_its_limit_is_refused(void **state)
{
    (void)state;
    uint64_t number = 5;
    struct tt_str text = TT_STR_NONE;
    struct tt_wire wire = tt_wire_of(TT_STR("\x10\x09"));
    assert_false(tt_wire_maybe_varint(&wire, TT_WIRE_TAG(2, TT_WIRE_VARINT), 8, &number));
    wire = tt_wire_of(TT_STR("\x1a\x02xy"));
    assert_false(tt_wire_maybe_bytes(&wire, TT_WIRE_TAG(3, TT_WIRE_BYTES), 1, &text));
    assert_true(number == 5 && text.len == 0);
}

static void a_field_is_as_long_as_foretold(void **state)
{
    (void)state;
    static char data[300];
    for (size_t size = 0; size < sizeof data; size++) {
        uint8_t out[sizeof data + 8];
        const uint8_t *end = tt_wire_put_bytes(out, 0x0a, tt_str(data, size));
        assert_int_equal((size_t)(end - out), tt_wire_field_size(size));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_read_as_it_was_written_in_the_size_foretold),
        cmocka_unit_test(numbers_of_too_many_bytes_or_bits_are_refused),
        cmocka_unit_test(bytes_that_go_on_behind_the_end_are_refused),
        cmocka_unit_test(an_optional_field_is_left_when_another_follows),
        cmocka_unit_test(an_optional_field_over_its_limit_is_refused),
        cmocka_unit_test(a_field_is_as_long_as_foretold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
