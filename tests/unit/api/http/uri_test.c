/* Percent-encoding, queries and paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/http/uri.h"

static int arena_up(void **state)
{
    *state = tt_arena_new(1024, 1 << 20);
    return 0;
}

static int arena_down(void **state)
{
    tt_arena_free(*state);
    return 0;
}

static void query_is_decoded(void **state)
{
    struct tt_query query;
    assert_int_equal(tt_query_parse(TT_STR("limit=5&fieldSelector=a%3Db%2Cc&q=x+y&watch&&e="),
                                    *state, &query, NULL),
                     0);
    assert_int_equal(query.count, 5);
    assert_true(tt_str_eq_c(*tt_query_get(&query, "fieldSelector"), "a=b,c"));
    assert_true(tt_str_eq_c(*tt_query_get(&query, "q"), "x y"));
    assert_int_equal(tt_query_get(&query, "e")->len, 0);
    assert_null(tt_query_get(&query, "absent"));
    bool watch = false;
    assert_int_equal(tt_query_bool(&query, "watch", &watch, NULL), 0);
    assert_true(watch);
    assert_int_equal(tt_query_bool(&query, "absent", &watch, NULL), 0);
    assert_false(watch);
    assert_int_equal(tt_query_bool(&query, "limit", &watch, NULL), TT_EINVAL);
    uint64_t limit = 0;
    assert_int_equal(tt_query_u64(&query, "limit", &limit, NULL), 0);
    assert_int_equal(limit, 5);
    assert_int_equal(tt_query_u64(&query, "q", &limit, NULL), TT_EINVAL);
}

static void bad_queries_are_refused(void **state)
{
    struct tt_query query;
    assert_int_equal(tt_query_parse(TT_STR("a=%"), *state, &query, NULL), TT_EINVAL);
    assert_int_equal(tt_query_parse(TT_STR("a=%4"), *state, &query, NULL), TT_EINVAL);
    assert_int_equal(tt_query_parse(TT_STR("a=%gg"), *state, &query, NULL), TT_EINVAL);
    assert_int_equal(tt_query_parse(TT_STR("a=%00"), *state, &query, NULL), TT_EINVAL);
    struct tt_buf many;
    tt_buf_init(&many, 1024);
    for (int i = 0; i <= TT_QUERY_PARAMS_MAX; i++) {
        tt_buf_c(&many, "a&");
    }
    assert_int_equal(tt_query_parse(tt_buf_view(&many), *state, &query, NULL), TT_ETOOLARGE);
    tt_buf_fini(&many);
}

static void path_is_split(void **state)
{
    struct tt_uri_path path;
    assert_int_equal(tt_uri_path_split(TT_STR("/api/v1/pods/a%2Db"), *state, &path, NULL), 0);
    assert_int_equal(path.count, 4);
    assert_true(tt_str_eq_c(path.segment[3], "a-b"));
    assert_false(path.trailing_slash);
    assert_int_equal(tt_uri_path_split(TT_STR("/api/"), *state, &path, NULL), 0);
    assert_int_equal(path.count, 1);
    assert_true(path.trailing_slash);
    assert_int_equal(tt_uri_path_split(TT_STR("/"), *state, &path, NULL), 0);
    assert_int_equal(path.count, 0);
}

static void ambiguous_paths_are_refused(void **state)
{
    static const char *const bad[] = {"",     "api",    "//a",     "/a//b", "/a/../b",
                                      "/a/.", "/a%2fb", "/%2e%2e", "/a%00", "/a%4"};
    struct tt_uri_path path;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tt_uri_path_split(tt_str_c(bad[i]), *state, &path, NULL), TT_EINVAL);
    }
}

static void encoding_is_undone_by_decoding(void **state)
{
    (void)state;
    char all[255];
    char back[255];
    for (int i = 0; i < 255; i++) {
        all[i] = (char)(i + 1);
    }
    struct tt_buf text;
    tt_buf_init(&text, 1024);
    tt_uri_encode(&text, tt_str(all, sizeof all));
    assert_int_equal(tt_uri_decode(tt_buf_view(&text), true, back, sizeof back), sizeof all);
    assert_memory_equal(all, back, sizeof all);
    assert_int_equal(tt_uri_decode(tt_buf_view(&text), true, back, sizeof back - 1), -1);
    tt_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(query_is_decoded),
        cmocka_unit_test(bad_queries_are_refused),
        cmocka_unit_test(path_is_split),
        cmocka_unit_test(ambiguous_paths_are_refused),
        cmocka_unit_test(encoding_is_undone_by_decoding),
    };
    return cmocka_run_group_tests(tests, arena_up, arena_down);
}
