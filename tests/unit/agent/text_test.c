/* The small pure pieces: log records, tails, variable expansion, volume paths, HTTP status lines,
 * and the answers of a runtime that lies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/cri.h"
#include "agent/env.h"
#include "agent/log_line.h"
#include "agent/probe.h"
#include "agent/project.h"
#include "base/file.h"
#include "proto/cri.pb-c.h"

#define T1 "2026-01-01T00:00:01.000000001Z "
#define T2 "2026-01-01T00:00:02.000000001Z "

static const char log_text[] =
    T1 "stdout F one\n" T1 "stderr P tw\n" T1 "stderr F o\n" T2 "stdout F three\n" T2 "stdout F\n";

static void run_filter(struct log_filter filter, const char *text, const char *wanted)
{
    struct tt_buf out;
    struct tt_str input = tt_str_c(text);
    tt_buf_init(&out, 1 << 16);
    log_filter_run(&filter, &input, 1 << 16, &out);
    assert_true(tt_str_eq_c(tt_buf_view(&out), wanted));
    tt_buf_fini(&out);
}

static void partial_records_are_joined(void **state)
{
    (void)state;
    run_filter((struct log_filter){.bytes_max = UINT64_MAX},
               T1 "stdout F one\n" T1 "stderr P tw\n" T1 "stderr F o\n", "one\ntwo\n");
}

static void timestamps_stand_before_whole_lines_only(void **state)
{
    (void)state;
    run_filter((struct log_filter){.bytes_max = UINT64_MAX, .timestamps = true},
               T1 "stdout P a\n" T2 "stdout F b\n", T1 "ab\n");
}

static void old_lines_are_dropped(void **state)
{
    (void)state;
    run_filter((struct log_filter){.bytes_max = UINT64_MAX, .since_ms = UINT64_C(1767225602000)},
               T1 "stdout P a\n" T1 "stdout F b\n" T2 "stdout F c\n", "c\n");
}

static void a_limit_cuts_in_the_middle(void **state)
{
    (void)state;
    run_filter((struct log_filter){.bytes_max = 5}, T1 "stdout F one\n" T1 "stdout F two\n",
               "one\nt");
}

static void an_unfinished_record_waits(void **state)
{
    (void)state;
    struct log_filter filter = {.bytes_max = UINT64_MAX};
    struct tt_str input = TT_STR(T1 "stdout F one\n" T1 "std");
    struct tt_buf out;
    tt_buf_init(&out, 1 << 16);
    log_filter_run(&filter, &input, 1 << 16, &out);
    assert_true(tt_str_eq_c(input, T1 "std"));
    tt_buf_fini(&out);
}

static void strange_records_are_passed_on(void **state)
{
    (void)state;
    run_filter((struct log_filter){.bytes_max = UINT64_MAX}, "what is this\n\n",
               "what is this\n\n");
}

static const char *tail_of(int fd, uint64_t lines)
{
    int64_t offset = log_tail_offset(fd, lines);
    assert_true(offset >= 0);
    return log_text + offset;
}

static void tails_count_whole_lines(void **state)
{
    (void)state;
    char path[] = "/tmp/tutti-tail-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, log_text, sizeof log_text - 1), sizeof log_text - 1);
    assert_string_equal(tail_of(fd, 0), "");
    assert_string_equal(tail_of(fd, 1), T2 "stdout F\n");
    assert_string_equal(tail_of(fd, 2), T2 "stdout F three\n" T2 "stdout F\n");
    assert_string_equal(tail_of(fd, 3), log_text + strlen(T1 "stdout F one\n"));
    assert_string_equal(tail_of(fd, 4), log_text);
    assert_string_equal(tail_of(fd, 100), log_text);
    (void)close(fd);
    (void)unlink(path);
}

static void variables_are_expanded(void **state)
{
    (void)state;
    static const struct rt_env env[] = {{"A", "1"}, {"B", "2"}, {"A", "3"}};
    static const struct {
        const char *text;
        const char *wanted;
    } cases[] = {{"$(A)-$(B)", "3-2"}, {"$$(A)", "$(A)"},        {"$(C)", "$(C)"}, {"$", "$"},
                 {"$(A", "$(A"},       {"cost: $5", "cost: $5"}, {"$$$(A)", "$3"}, {"", ""}};
    struct tt_arena *arena = tt_arena_new(4096, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(env_expand(tt_str_c(cases[i].text), env, 3, arena), cases[i].wanted);
    }
    tt_arena_free(arena);
}

static void paths_cannot_leave_their_volume(void **state)
{
    (void)state;
    assert_true(project_path_valid("a"));
    assert_true(project_path_valid("a/b.c"));
    static const char *const bad[] = {"", "/a", "../a", "a/../b", "a//b", "./a", "a/", "..data"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(project_path_valid(bad[i]));
    }
}

static void volumes_change_as_a_whole(void **state)
{
    (void)state;
    char directory[] = "/tmp/tutti-volume-XXXXXX";
    char path[128];
    struct tt_buf text;
    assert_non_null(mkdtemp(directory));
    const struct project_file first[] = {{"a", TT_STR("1"), 0644}, {"d/b", TT_STR("2"), 0600}};
    assert_false(project_is_there(directory));
    assert_int_equal(project_commit(directory, first, 2, NULL), TT_OK);
    assert_true(project_is_there(directory));
    assert_int_equal(project_commit(directory, first, 2, NULL), TT_OK);
    (void)snprintf(path, sizeof path, "%s/d/b", directory);
    assert_int_equal(tt_file_read(path, 100, &text, NULL), TT_OK);
    assert_true(tt_str_eq_c(tt_buf_view(&text), "2"));
    tt_buf_fini(&text);
    const struct project_file second[] = {{"a", TT_STR("3"), 0644}};
    assert_int_equal(project_commit(directory, second, 1, NULL), TT_OK);
    assert_false(tt_path_exists(path));
    (void)snprintf(path, sizeof path, "%s/a", directory);
    assert_int_equal(tt_file_read(path, 100, &text, NULL), TT_OK);
    assert_true(tt_str_eq_c(tt_buf_view(&text), "3"));
    tt_buf_fini(&text);
    const struct project_file bad[] = {{"../x", TT_STR("3"), 0644}};
    assert_int_equal(project_commit(directory, bad, 1, NULL), TT_EINVAL);
    assert_int_equal(tt_dir_remove_tree(directory, NULL), TT_OK);
}

static void status_lines_are_read_strictly(void **state)
{
    (void)state;
    assert_int_equal(probe_http_status(TT_STR("HTTP/1.1 204 No Content\r\n")), 204);
    assert_int_equal(probe_http_status(TT_STR("HTTP/1.0 404\n")), 404);
    assert_int_equal(probe_http_status(TT_STR("HTTP/1.1 2x4 \r\n")), 0);
    assert_int_equal(probe_http_status(TT_STR("HTTP/1.1 999 \r\n")), 0);
    assert_int_equal(probe_http_status(TT_STR("SSH-2.0-x")), 0);
    assert_int_equal(probe_http_status(TT_STR("")), 0);
}

static void a_runtime_cannot_make_us_allocate_without_end(void **state)
{
    (void)state;
    /* A list of 4,000 empty sandboxes in 8,000 bytes, into an arena that is too small. */
    static char bytes[8000];
    struct tt_arena *arena = tt_arena_new(4096, 64 << 10);
    for (size_t i = 0; i < sizeof bytes; i += 2) {
        bytes[i] = 0x0a;
        bytes[i + 1] = 0;
    }
    assert_null(cri_decode(&tutti__cri__list_pod_sandbox_response__descriptor,
                           tt_str(bytes, sizeof bytes), arena));
    assert_null(cri_decode(&tutti__cri__list_pod_sandbox_response__descriptor,
                           TT_STR("\x0a\x7f short"), arena));
    tt_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partial_records_are_joined),
        cmocka_unit_test(timestamps_stand_before_whole_lines_only),
        cmocka_unit_test(old_lines_are_dropped),
        cmocka_unit_test(a_limit_cuts_in_the_middle),
        cmocka_unit_test(an_unfinished_record_waits),
        cmocka_unit_test(strange_records_are_passed_on),
        cmocka_unit_test(tails_count_whole_lines),
        cmocka_unit_test(variables_are_expanded),
        cmocka_unit_test(paths_cannot_leave_their_volume),
        cmocka_unit_test(volumes_change_as_a_whole),
        cmocka_unit_test(status_lines_are_read_strictly),
        cmocka_unit_test(a_runtime_cannot_make_us_allocate_without_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
