/* Behaviour of base/clock: RFC 3339 both ways, the real clock. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void known_instants_format_as_known(void **state)
{
    (void)state; /* no fixture */
    char text[TT_TIME_TEXT_SIZE];
    tt_time_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    tt_time_format(UINT64_C(951782400000), text);
    assert_string_equal(text, "2000-02-29T00:00:00Z");
    tt_time_format_ms(UINT64_C(1767323045004), text);
    assert_string_equal(text, "2026-01-02T03:04:05.004Z");
    tt_time_format_micro(UINT64_C(1767323045000006), text);
    assert_string_equal(text, "2026-01-02T03:04:05.000006Z");
}

static void every_day_round_trips_for_centuries(void **state)
{
    (void)state; /* no fixture */
    char text[TT_TIME_TEXT_SIZE];
    for (uint64_t day = 0; day < 366 * 500; day++) {
        uint64_t ms = day * UINT64_C(86400000) + day % 86400 * 1000;
        uint64_t back = 0;
        size_t len = tt_time_format(ms, text);
        assert_true(tt_time_parse(tt_str(text, len), &back));
        assert_true(back == ms);
    }
}

static void offsets_and_fractions_are_understood(void **state)
{
    (void)state; /* no fixture */
    uint64_t ms = 0;
    assert_true(tt_time_parse(TT_STR("2026-01-02T05:04:05.0049+02:00"), &ms));
    assert_true(ms == UINT64_C(1767323045004));
    assert_true(tt_time_parse(TT_STR("2026-01-01T22:34:05-04:30"), &ms));
    assert_true(ms == UINT64_C(1767323045000));
    assert_true(tt_time_parse(TT_STR("2026-01-02t03:04:05.123456789z"), &ms));
    assert_true(ms == UINT64_C(1767323045123));
}

static void junk_is_refused_and_leaves_the_output(void **state)
{
    (void)state; /* no fixture */
    const char *const bad[] = {"",
                               "2026-01-02",
                               "2026-01-02T03:04:05",
                               "2026-01-02 03:04:05Z",
                               "2026-13-02T03:04:05Z",
                               "2026-02-29T03:04:05Z",
                               "2026-04-31T03:04:05Z",
                               "2026-01-02T24:04:05Z",
                               "2026-01-02T03:04:05.Z",
                               "2026-01-02T03:04:05+0200",
                               "2026-01-02T03:04:05Zx",
                               "1969-12-31T23:59:59Z"};
    uint64_t ms = 42;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(tt_time_parse(tt_str_c(bad[i]), &ms));
    }
    assert_true(ms == 42);
}

static void the_monotonic_clock_does_not_go_back(void **state)
{
    (void)state; /* no fixture */
    uint64_t last = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = tt_clock_ns(tt_clock_real());
        assert_true(now >= last);
        last = now;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_instants_format_as_known),
        cmocka_unit_test(every_day_round_trips_for_centuries),
        cmocka_unit_test(offsets_and_fractions_are_understood),
        cmocka_unit_test(junk_is_refused_and_leaves_the_output),
        cmocka_unit_test(the_monotonic_clock_does_not_go_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
