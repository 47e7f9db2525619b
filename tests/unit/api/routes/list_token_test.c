#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/routes/list_token.h"

#define PREFIX TT_STR("o/core/pods/shop/")

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

static void a_token_leads_back_to_its_key_and_revision(void **state)
{
    struct api_list_token token = {4711, TT_STR("o/core/pods/shop/web-1")};
    struct api_list_token back;
    struct tt_str text;
    assert_int_equal(api_list_token_encode(*state, &token, PREFIX, &text, NULL), TT_OK);
    assert_true(memchr(text.ptr, '=', text.len) == NULL && memchr(text.ptr, '/', text.len) == NULL);
    assert_int_equal(api_list_token_decode(*state, text, PREFIX, &back, NULL), TT_OK);
    assert_true(back.revision == 4711 && tt_str_eq(back.key, token.key));
}

static void a_foreign_token_stays_inside_the_list_it_is_used_on(void **state)
{
    struct api_list_token token = {1, TT_STR("o/core/pods/shop/web-1")};
    struct api_list_token back;
    struct tt_str text;
    struct tt_str other = TT_STR("o/core/secrets/other/");
    assert_int_equal(api_list_token_encode(*state, &token, PREFIX, &text, NULL), TT_OK);
    assert_int_equal(api_list_token_decode(*state, text, other, &back, NULL), TT_OK);
    assert_true(tt_str_starts(back.key, other));
}

static void nonsense_is_refused(void **state)
{
    static const char *const texts[] = {"", "!", "MQ", "YWJj", "MSB4IGE", "MSAxIA"};
    struct api_list_token back;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(api_list_token_decode(*state, tt_str_c(texts[i]), PREFIX, &back, NULL),
                         TT_EINVAL);
    }
    char large[4096];
    memset(large, 'A', sizeof large);
    assert_int_equal(
        api_list_token_decode(*state, tt_str(large, sizeof large), PREFIX, &back, NULL), TT_EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_leads_back_to_its_key_and_revision),
        TEST(a_foreign_token_stays_inside_the_list_it_is_used_on),
        TEST(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
