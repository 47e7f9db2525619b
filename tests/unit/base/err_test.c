/* Behaviour of base/err: codes, frames, conversion of errno. */
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int open_node(struct tt_err *err)
{
    return TT_FAIL(err, TT_ENOTFOUND, "node %s", "x1");
}

static int load_snapshot(struct tt_err *err)
{
    int r = open_node(err);
    return TT_WRAP(err, r, "load snapshot %d", 7);
}

static void frames_print_outermost_first_and_the_roots_code_stays(void **state)
{
    (void)state; /* no fixture */
    struct tt_err err;
    char text[128];
    tt_err_init(&err);
    assert_int_equal(load_snapshot(&err), TT_ENOTFOUND);
    assert_int_equal(tt_err_format(&err, text, sizeof text), strlen("load snapshot 7: node x1"));
    assert_string_equal(text, "load snapshot 7: node x1");
    assert_string_equal(tt_err_cause(&err), "node x1");
    assert_int_equal(err.code, TT_ENOTFOUND);
}

static void a_null_error_still_gives_the_code(void **state)
{
    (void)state; /* no fixture */
    assert_int_equal(load_snapshot(NULL), TT_ENOTFOUND);
    assert_int_equal(TT_FAIL_ERRNO(NULL, ENOSPC, "write"), TT_ENOSPACE);
}

static void a_long_message_is_cut(void **state)
{
    (void)state; /* no fixture */
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(TT_FAIL(&err, TT_EINVAL, "%0500d", 1), TT_EINVAL);
    assert_int_equal(strlen(tt_err_cause(&err)), TT_ERR_MSG_SIZE - 1);
}

static void format_terminates_in_a_short_buffer(void **state)
{
    (void)state; /* no fixture */
    struct tt_err err;
    char text[10];
    tt_err_init(&err);
    TT_IGNORE(load_snapshot(&err)); /* wanted: its frames */
    assert_int_equal(tt_err_format(&err, text, sizeof text), 9);
    assert_string_equal(text, "load snap");
}

static void frames_beyond_the_maximum_are_dropped_the_cause_stays(void **state)
{
    (void)state; /* no fixture */
    struct tt_err err;
    tt_err_init(&err);
    int r = open_node(&err);
    for (int i = 0; i < 2 * TT_ERR_FRAME_MAX; i++) {
        r = TT_WRAP(&err, r, "frame %d", i);
    }
    assert_int_equal(err.frame_count, TT_ERR_FRAME_MAX);
    assert_string_equal(tt_err_cause(&err), "node x1");
}

static void wrapping_a_bare_code_records_it(void **state)
{
    (void)state; /* no fixture */
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(TT_WRAP(&err, TT_EBUSY, "post"), TT_EBUSY);
    assert_int_equal(err.code, TT_EBUSY);
}

static void errno_values_become_codes_with_their_text(void **state)
{
    (void)state; /* no fixture */
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(TT_FAIL_ERRNO(&err, ENOENT, "open %s", "a"), TT_ENOTFOUND);
    assert_string_equal(tt_err_cause(&err), "open a: No such file or directory");
    assert_int_equal(TT_FAIL_ERRNO(&err, EIO, "read"), TT_EIO);
}

static void the_table_answers_for_every_column(void **state)
{
    (void)state; /* no fixture */
    assert_string_equal(tt_err_name(TT_EEXPIRED), "TT_EEXPIRED");
    assert_int_equal(tt_err_http_status(TT_EEXPIRED), 410);
    assert_string_equal(tt_err_reason(TT_EEXPIRED), "Expired");
    assert_false(tt_err_retryable(TT_EEXPIRED));
    assert_true(tt_err_retryable(TT_ENOTLEADER));
    assert_int_equal(tt_err_exit_code(TT_EEXPIRED), 6);
    assert_int_equal(tt_err_http_status(TT_OK), 200);
    assert_int_equal(tt_err_http_status(-9999), 500);
    assert_string_equal(tt_err_name(-9999), "TT_E?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_print_outermost_first_and_the_roots_code_stays),
        cmocka_unit_test(a_null_error_still_gives_the_code),
        cmocka_unit_test(a_long_message_is_cut),
        cmocka_unit_test(format_terminates_in_a_short_buffer),
        cmocka_unit_test(frames_beyond_the_maximum_are_dropped_the_cause_stays),
        cmocka_unit_test(wrapping_a_bare_code_records_it),
        cmocka_unit_test(errno_values_become_codes_with_their_text),
        cmocka_unit_test(the_table_answers_for_every_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
