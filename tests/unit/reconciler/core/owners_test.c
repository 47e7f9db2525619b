/* The index of owners: finds dependents, and tells once when there are more than it holds. */
#include "reconciler/core/owners.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

static void count_one(void *ctx, struct tt_str dependent_key)
{
    (void)dependent_key; /* only how many */
    ++*(size_t *)ctx;
}

static size_t dependent_count(const struct owners *owners, const char *uid)
{
    size_t count = 0;
    owners_each(owners, tt_str_c(uid), count_one, &count);
    return count;
}

static void dependents_are_found_until_they_go(void **state)
{
    (void)state;
    struct owners *owners = owners_new(2);
    owners_add(owners, TT_STR("u"), TT_STR("a"));
    owners_add(owners, TT_STR("u"), TT_STR("b"));
    owners_add(owners, TT_STR("u"), TT_STR("b"));
    assert_int_equal(dependent_count(owners, "u"), 2);
    owners_remove(owners, TT_STR("u"), TT_STR("a"));
    owners_remove(owners, TT_STR("u"), TT_STR("b"));
    assert_int_equal(dependent_count(owners, "u"), 0);
    owners_free(owners);
}

/* Log lines that the adding of these pairs makes in an index of two owners of two dependents. */
static size_t lines_of(const char *const pairs[][2], size_t count)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    tt_log_setup(ends[1], TT_LOG_INFO, NULL);
    struct owners *owners = owners_new(2);
    for (size_t i = 0; i < count; i++) {
        owners_add(owners, tt_str_c(pairs[i][0]), tt_str_c(pairs[i][1]));
    }
    owners_free(owners);
    tt_log_setup(STDERR_FILENO, TT_LOG_INFO, NULL);
    (void)close(ends[1]);
    char text[4096];
    ssize_t size = read(ends[0], text, sizeof text); /* a few lines lie in the pipe, or the end */
    (void)close(ends[0]);
    assert_true(size >= 0);
    size_t lines = 0;
    for (ssize_t i = 0; i < size; i++) {
        lines += text[i] == '\n';
    }
    return lines;
}

static void more_than_it_holds_is_told_once(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"u", "a"}, {"u", "b"}, {"v", "c"}, {"u", "d"},
                                           {"u", "e"}, {"w", "f"}, {"x", "g"}};
    assert_int_equal(lines_of(pairs, 3), 0);
    assert_int_equal(lines_of(pairs, 4), 1); /* a third dependent */
    assert_int_equal(lines_of(pairs, 7), 1);
    static const char *const owners[][2] = {{"u", "a"}, {"v", "b"}, {"w", "c"}};
    assert_int_equal(lines_of(owners, 3), 1); /* a third owner */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dependents_are_found_until_they_go),
        cmocka_unit_test(more_than_it_holds_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
