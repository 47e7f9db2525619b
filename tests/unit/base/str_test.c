/* Behaviour of base/str: views, numbers, text codecs. */
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void comparison_is_bytewise_and_a_prefix_comes_first(void **state)
{
    (void)state; /* no fixture */
    assert_int_equal(tt_str_cmp(TT_STR("ab"), TT_STR("abc")), -1);
    assert_int_equal(tt_str_cmp(TT_STR("b"), TT_STR("abc")), 1);
    assert_int_equal(tt_str_cmp(TT_STR("\xff"), TT_STR("a")), 1);
    assert_int_equal(tt_str_cmp(TT_STR_NONE, TT_STR("")), 0);
}

static void cutting_yields_every_part_and_then_stops(void **state)
{
    (void)state; /* no fixture */
    struct tt_str rest = TT_STR("a,,b,");
    struct tt_str part;
    const char *const parts[] = {"a", "", "b", ""};
    for (size_t i = 0; i < 4; i++) {
        assert_true(tt_str_cut(&rest, ',', &part));
        assert_true(tt_str_eq_c(part, parts[i]));
    }
    assert_false(tt_str_cut(&rest, ',', &part));
}

static void searching_and_trimming(void **state)
{
    (void)state; /* no fixture */
    assert_true(tt_str_starts(TT_STR("abc"), TT_STR("ab")));
    assert_false(tt_str_starts(TT_STR("a"), TT_STR("ab")));
    assert_true(tt_str_ends(TT_STR("abc"), TT_STR("bc")));
    assert_false(tt_str_ends(TT_STR("c"), TT_STR("bc")));
    assert_int_equal(tt_str_find(TT_STR("abc"), 'c'), 2);
    assert_int_equal(tt_str_find(TT_STR_NONE, 'c'), -1);
    assert_int_equal(tt_str_find_str(TT_STR("hello"), TT_STR("ll")), 2);
    assert_int_equal(tt_str_find_str(TT_STR("hello"), TT_STR("lx")), -1);
    assert_true(tt_str_eq_c(tt_str_trim(TT_STR(" \t a b\r\n")), "a b"));
    assert_true(tt_str_eq_nocase(TT_STR("Content-Type"), TT_STR("content-tYPE")));
    assert_int_equal(tt_str_skip(TT_STR("abc"), 9).len, 0);
    assert_int_equal(tt_str_head(TT_STR("abc"), 2).len, 2);
}

static void numbers_must_be_whole_and_in_range(void **state)
{
    (void)state; /* no fixture */
    uint64_t u = 7;
    int64_t i = 7;
    assert_true(tt_str_to_u64(TT_STR("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_false(tt_str_to_u64(TT_STR("18446744073709551616"), &u));
    assert_false(tt_str_to_u64(TT_STR(""), &u));
    assert_false(tt_str_to_u64(TT_STR("1x"), &u));
    assert_false(tt_str_to_u64(TT_STR("-1"), &u));
    assert_true(u == UINT64_MAX);
    assert_true(tt_str_to_i64(TT_STR("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_false(tt_str_to_i64(TT_STR("9223372036854775808"), &i));
    assert_true(tt_str_to_i64(TT_STR("-12"), &i));
    assert_int_equal(i, -12);
}

static void hashes_depend_on_every_byte_and_the_length(void **state)
{
    (void)state; /* no fixture */
    char bytes[32] = {0};
    for (size_t len = 0; len < sizeof bytes; len++) {
        uint64_t plain = tt_str_hash(tt_str(bytes, len));
        assert_true(plain != tt_str_hash(tt_str(bytes, len + 1)));
        for (size_t i = 0; i < len; i++) {
            bytes[i] = 1;
            assert_true(plain != tt_str_hash(tt_str(bytes, len)));
            bytes[i] = 0;
        }
    }
}

static void hex_round_trips_and_refuses_junk(void **state)
{
    (void)state; /* no fixture */
    const uint8_t bytes[] = {0x00, 0xab, 0xff};
    char text[7];
    uint8_t back[3];
    assert_int_equal(tt_hex_encode(bytes, 3, text), 6);
    assert_string_equal(text, "00abff");
    assert_int_equal(tt_hex_decode(TT_STR("00ABff"), back, 3), 3);
    assert_memory_equal(back, bytes, 3);
    assert_int_equal(tt_hex_decode(TT_STR("0"), back, 3), -1);
    assert_int_equal(tt_hex_decode(TT_STR("0g"), back, 3), -1);
    assert_int_equal(tt_hex_decode(TT_STR("00112233"), back, 3), -1);
}

/* The vectors of RFC 4648, section 10. */
static void base64_agrees_with_the_rfc_both_ways(void **state)
{
    (void)state; /* no fixture */
    const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    const char *const coded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t i = 0; i < 7; i++) {
        char text[16];
        char back[16];
        assert_int_equal(tt_base64_encode(plain[i], strlen(plain[i]), text), strlen(coded[i]));
        assert_string_equal(text, coded[i]);
        assert_int_equal(tt_base64_encoded_size(strlen(plain[i])), strlen(coded[i]));
        assert_int_equal(tt_base64_decode(tt_str_c(coded[i]), back, sizeof back), strlen(plain[i]));
        assert_memory_equal(back, plain[i], strlen(plain[i]));
    }
}

static void base64_refuses_what_is_not_canonical(void **state)
{
    (void)state; /* no fixture */
    const char *const bad[] = {
        "Zg", "Zg=", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm9-", "Z m8"};
    char out[16];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tt_base64_decode(tt_str_c(bad[i]), out, sizeof out), -1);
    }
    assert_int_equal(tt_base64_decode(TT_STR("Zm9v"), out, 2), -1);
}

static void utf8_refuses_overlong_surrogates_and_cuts(void **state)
{
    (void)state; /* no fixture */
    assert_true(tt_utf8_valid(TT_STR("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")));
    assert_false(tt_utf8_valid(TT_STR("\xc0\x80")));
    assert_false(tt_utf8_valid(TT_STR("\xe0\x80\x80")));
    assert_false(tt_utf8_valid(TT_STR("\xed\xa0\x80")));
    assert_false(tt_utf8_valid(TT_STR("\xf4\x90\x80\x80")));
    assert_false(tt_utf8_valid(TT_STR("\xe2\x82")));
    assert_false(tt_utf8_valid(TT_STR("\x80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparison_is_bytewise_and_a_prefix_comes_first),
        cmocka_unit_test(cutting_yields_every_part_and_then_stops),
        cmocka_unit_test(searching_and_trimming),
        cmocka_unit_test(numbers_must_be_whole_and_in_range),
        cmocka_unit_test(hashes_depend_on_every_byte_and_the_length),
        cmocka_unit_test(hex_round_trips_and_refuses_junk),
        cmocka_unit_test(base64_agrees_with_the_rfc_both_ways),
        cmocka_unit_test(base64_refuses_what_is_not_canonical),
        cmocka_unit_test(utf8_refuses_overlong_surrogates_and_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
