/* The key layout: prefixes select exactly their objects, and a hostile name cannot leave its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/kinds/keys.h"

static struct tt_object_ref ref(const char *group, const char *resource, const char *ns,
                                const char *name)
{
    return (struct tt_object_ref){tt_str_c(group), tt_str_c(resource), tt_str_c(ns),
                                  tt_str_c(name)};
}

static void object_keys_round_trip(void **state)
{
    (void)state;
    const struct tt_object_ref refs[] = {ref("", "pods", "default", "web-1"),
                                         ref("apps", "deployments", "prod", "api"),
                                         ref("", "nodes", "", "n1")};
    const char *texts[] = {"o/core/pods/default/web-1", "o/apps/deployments/prod/api",
                           "o/core/nodes//n1"};
    for (size_t i = 0; i < 3; i++) {
        TT_AUTO_BUF struct tt_buf buf;
        tt_buf_init(&buf, 2048);
        assert_int_equal(tt_key_object(&buf, &refs[i], NULL), 0);
        assert_string_equal(buf.ptr, texts[i]);
        struct tt_object_ref back;
        assert_true(tt_key_parse(tt_buf_view(&buf), &back));
        assert_true(tt_str_eq(back.group, refs[i].group));
        assert_true(tt_str_eq(back.ns, refs[i].ns));
        assert_true(tt_str_eq(back.name, refs[i].name));
    }
}

static void list_prefixes_end_with_a_separator(void **state)
{
    (void)state;
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 2048);
    struct tt_object_ref all = ref("", "pods", "", "");
    assert_int_equal(tt_key_list_prefix(&buf, &all, NULL), 0);
    assert_string_equal(buf.ptr, "o/core/pods/");
    tt_buf_reset(&buf);
    struct tt_object_ref one = ref("", "pods", "default", "");
    assert_int_equal(tt_key_list_prefix(&buf, &one, NULL), 0);
    assert_string_equal(buf.ptr, "o/core/pods/default/");
}

static void a_slash_in_a_name_is_refused(void **state)
{
    (void)state;
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 2048);
    struct tt_object_ref bad = ref("", "pods", "default", "a/b");
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(tt_key_object(&buf, &bad, &err), TT_EINVAL);
}

static void foreign_keys_do_not_parse(void **state)
{
    (void)state;
    const char *bad[] = {"",
                         "o",
                         "t/token/x",
                         "o/core/pods/default",
                         "o/core/pods/default/",
                         "o/core/pods/default/a/b",
                         "o//pods/default/a"};
    struct tt_object_ref out;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(tt_key_parse(tt_str_c(bad[i]), &out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(object_keys_round_trip),
        cmocka_unit_test(list_prefixes_end_with_a_separator),
        cmocka_unit_test(a_slash_in_a_name_is_refused),
        cmocka_unit_test(foreign_keys_do_not_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
