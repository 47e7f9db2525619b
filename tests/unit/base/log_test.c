/* Behaviour of base/log: one JSON line per event, levels, lost lines. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

/* Sends the log to a pipe; returns its read end. */
static int catch_log(int *ret_write_end)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    tt_log_setup(ends[1], TT_LOG_INFO, "s1");
    *ret_write_end = ends[1];
    return ends[0];
}

static size_t end_catch(int read_end, int write_end, char *out, size_t out_size)
{
    tt_log_setup(STDERR_FILENO, TT_LOG_INFO, NULL);
    close(write_end);
    ssize_t len = read(read_end, out, out_size - 1);
    close(read_end);
    assert_true(len >= 0);
    out[len] = '\0';
    return (size_t)len;
}

static void a_line_has_the_fixed_keys_first_and_then_its_fields(void **state)
{
    (void)state; /* no fixture */
    char text[1024];
    struct tt_err err;
    int write_end;
    int read_end = catch_log(&write_end);
    tt_err_init(&err);
    int r = TT_FAIL(&err, TT_EIO, "disk");
    TT_IGNORE(TT_WRAP(&err, r, "append")); /* wanted: its frames */
    TT_LOG(TT_LOG_INFO, "raft", "became leader", TT_F_U64("term", 3), TT_F_I64("delta", -1),
           TT_F_BOOL("ok", false), TT_F_C("name", "a\"b"), TT_F_ERR(&err));
    end_catch(read_end, write_end, text, sizeof text);
    assert_memory_equal(text, "{\"ts\":\"2", 8);
    assert_string_equal(strstr(text, ",\"level\""),
                        ",\"level\":\"info\",\"mod\":\"raft\",\"msg\":\"became leader\","
                        "\"node\":\"s1\",\"term\":3,\"delta\":-1,\"ok\":false,"
                        "\"name\":\"a\\\"b\",\"err\":\"append: disk\"}\n");
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state; /* no fixture */
    char text[1024];
    int write_end;
    int read_end = catch_log(&write_end);
    TT_LOG(TT_LOG_DEBUG, "m", "hidden");
    TT_LOG(TT_LOG_WARN, "m", "shown");
    end_catch(read_end, write_end, text, sizeof text);
    assert_null(strstr(text, "hidden"));
    assert_non_null(strstr(text, "shown"));
}

static void a_long_value_is_cut_and_the_line_stays_whole(void **state)
{
    (void)state; /* no fixture */
    static char text[65536];
    static char value[20000];
    int write_end;
    int read_end = catch_log(&write_end);
    memset(value, 'v', sizeof value);
    TT_LOG(TT_LOG_INFO, "m", "big", TT_F_STR("name", tt_str(value, sizeof value)));
    size_t len = end_catch(read_end, write_end, text, sizeof text);
    assert_in_range(len, 4096, 8192);
    assert_string_equal(text + len - 3, "\"}\n");
}

static void a_line_that_cannot_be_written_is_counted(void **state)
{
    (void)state; /* no fixture */
    uint64_t before = tt_log_dropped_count();
    tt_log_setup(-1, TT_LOG_INFO, NULL);
    TT_LOG(TT_LOG_ERROR, "m", "lost");
    tt_log_setup(STDERR_FILENO, TT_LOG_INFO, NULL);
    assert_int_equal(tt_log_dropped_count(), before + 1);
}

static void level_names_parse(void **state)
{
    (void)state; /* no fixture */
    enum tt_log_level level = TT_LOG_INFO;
    assert_true(tt_log_level_parse(TT_STR("warn"), &level));
    assert_int_equal(level, TT_LOG_WARN);
    assert_false(tt_log_level_parse(TT_STR("loud"), &level));
    assert_int_equal(level, TT_LOG_WARN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_the_fixed_keys_first_and_then_its_fields),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(a_long_value_is_cut_and_the_line_stays_whole),
        cmocka_unit_test(a_line_that_cannot_be_written_is_counted),
        cmocka_unit_test(level_names_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
