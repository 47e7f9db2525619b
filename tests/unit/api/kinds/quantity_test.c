/* Quantities, durations, ages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/kinds/quantity.h"

static void assert_canonical(const char *text, const char *expected)
{
    struct tt_quantity quantity;
    char out[TT_QUANTITY_TEXT_SIZE];
    if (!tt_quantity_parse(tt_str_c(text), &quantity)) {
        print_error("%s does not parse\n", text);
        fail();
    }
    (void)tt_quantity_format(&quantity, out);
    assert_string_equal(out, expected);
}

static void quantities_have_one_canonical_form(void **state)
{
    (void)state;
    assert_canonical("0.1", "100m");
    assert_canonical("1000m", "1");
    assert_canonical("1500m", "1500m");
    assert_canonical("1.5Gi", "1536Mi");
    assert_canonical("1024Mi", "1Gi");
    assert_canonical("1024", "1024");
    assert_canonical("2000", "2k");
    assert_canonical("1e3", "1e3");
    assert_canonical("1E", "1E");
    assert_canonical("0", "0");
    assert_canonical("-0", "0");
    assert_canonical("-500m", "-500m");
    assert_canonical("+1", "1");
    assert_canonical(".5", "500m");
    assert_canonical("1.", "1");
    assert_canonical("100n", "100n");
    assert_canonical("0.0000000001", "1n"); /* rounded up */
    assert_canonical("0.5Ki", "512");
    assert_canonical("8Ei", "8Ei");
}

static void malformed_quantities_are_refused(void **state)
{
    static const char *const bad[] = {"",    "m",    "1 Gi", "1GiB", "1.2.3",    "--1", "1e",
                                      "1ee", "0x10", "1mi",  "NaN",  "1e999999", "9E99"};
    struct tt_quantity quantity;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (tt_quantity_parse(tt_str_c(bad[i]), &quantity)) {
            print_error("%s parses\n", bad[i]);
            fail();
        }
    }
}

static void quantities_add_and_compare(void **state)
{
    struct tt_quantity a, b;
    int64_t milli, value;
    (void)state;
    assert_true(tt_quantity_parse(TT_STR("1500m"), &a) && tt_quantity_parse(TT_STR("0.5"), &b));
    assert_int_equal(tt_quantity_cmp(&a, &b), 1);
    assert_true(tt_quantity_add(&a, &b));
    assert_true(tt_quantity_milli(&a, &milli) && milli == 2000);
    assert_true(tt_quantity_sub(&a, &b) && tt_quantity_sub(&a, &b) && tt_quantity_sub(&a, &b));
    assert_true(tt_quantity_value(&a, &value) && value == 1); /* 0.5 rounds up */
}

static void durations_parse_and_format(void **state)
{
    int64_t ns;
    char out[TT_DURATION_TEXT_SIZE];
    (void)state;
    assert_true(tt_duration_parse(TT_STR("1h30m"), &ns));
    (void)tt_duration_format(ns, out);
    assert_string_equal(out, "1h30m0s");
    assert_true(tt_duration_parse(TT_STR("-1.5s"), &ns) && ns == -1500000000);
    assert_true(tt_duration_parse(TT_STR("250ms"), &ns));
    (void)tt_duration_format(ns, out);
    assert_string_equal(out, "0.25s");
    assert_false(tt_duration_parse(TT_STR("1"), &ns));
    assert_false(tt_duration_parse(TT_STR(""), &ns));
    assert_false(tt_duration_parse(TT_STR("h"), &ns));
    assert_false(tt_duration_parse(TT_STR("999999999999h"), &ns));
}

static void ages_read_as_kubectl_prints_them(void **state)
{
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {{-5, "0s"},       {0, "0s"},          {119, "119s"},    {120, "2m"},
                 {192, "3m12s"},   {600, "10m"},       {10799, "179m"},  {10800, "3h"},
                 {12000, "3h20m"}, {28800, "8h"},      {172800, "2d"},   {180000, "2d2h"},
                 {691200, "8d"},   {34560000, "400d"}, {63072000, "2y"}, {96768000, "3y25d"},
                 {252288000, "8y"}};
    char out[TT_DURATION_TEXT_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)tt_duration_human(cases[i].seconds, out);
        assert_string_equal(out, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantities_have_one_canonical_form),
        cmocka_unit_test(malformed_quantities_are_refused),
        cmocka_unit_test(quantities_add_and_compare),
        cmocka_unit_test(durations_parse_and_format),
        cmocka_unit_test(ages_read_as_kubectl_prints_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
