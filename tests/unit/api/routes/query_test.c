#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/routes/query.h"

static int setup(void **state)
{
    *state = tt_arena_new(4096, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    tt_arena_free(*state);
    return 0;
}

static struct api_query parse(void **state, const char *text)
{
    struct api_query query;
    assert_int_equal(api_query_parse(*state, tt_str_c(text), &query, NULL), TT_OK);
    return query;
}

static int parse_error(void **state, const char *text)
{
    struct api_query query;
    return api_query_parse(*state, tt_str_c(text), &query, NULL);
}

static void parameters_are_decoded(void **state)
{
    struct api_query query =
        parse(state, "labelSelector=app%3Dweb%2Ctier%21%3Ddb&limit=500&resourceVersion=17&watch=1");
    assert_true(tt_str_eq_c(query.label_selector, "app=web,tier!=db"));
    assert_int_equal(query.limit, 500);
    assert_int_equal(query.revision, 17);
    assert_true(query.watch);
}

static void absent_parameters_keep_their_defaults(void **state)
{
    struct api_query query = parse(state, "");
    assert_int_equal(query.resource_version.len, 0);
    assert_false(query.watch || query.bookmarks || query.has_grace_period);
    assert_true(query.tail_lines == UINT64_MAX);
}

static void zero_grace_differs_from_none(void **state)
{
    struct api_query query = parse(state, "gracePeriodSeconds=0");
    assert_true(query.has_grace_period);
    assert_int_equal(query.grace_period_s, 0);
}

static void durations_are_gos(void **state)
{
    assert_int_equal(parse(state, "timeout=32s").timeout_ms, 32000);
    assert_int_equal(parse(state, "timeout=1m30s").timeout_ms, 90000);
    assert_int_equal(parse(state, "timeout=500ms").timeout_ms, 500);
    assert_int_equal(parse_error(state, "timeout=fast"), TT_EINVAL);
}

static void values_that_cannot_be_read_are_refused(void **state)
{
    static const char *const texts[] = {
        "limit=-1",          "limit=ten",         "resourceVersion=abc",
        "watch=maybe",       "labelSelector=%zz", "labelSelector=%00",
        "labelSelector=%ff", "force=maybe",       "fieldManager=%zz"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(parse_error(state, texts[i]), TT_EINVAL);
    }
}

static void unknown_parameters_are_ignored(void **state)
{
    struct api_query query = parse(state, "pretty=true&foo=%zz&limit=3");
    assert_int_equal(query.limit, 3);
}

static void the_first_of_two_counts(void **state)
{
    assert_int_equal(parse(state, "limit=3&limit=4").limit, 3);
}

static void too_many_parameters_are_refused(void **state)
{
    char text[512] = "";
    for (size_t i = 0; i < 100; i++) {
        memcpy(text + 4 * i, "a=b&", 4);
    }
    text[400] = '\0';
    assert_int_equal(parse_error(state, text), TT_EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(parameters_are_decoded),
        TEST(absent_parameters_keep_their_defaults),
        TEST(zero_grace_differs_from_none),
        TEST(durations_are_gos),
        TEST(values_that_cannot_be_read_are_refused),
        TEST(unknown_parameters_are_ignored),
        TEST(the_first_of_two_counts),
        TEST(too_many_parameters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
