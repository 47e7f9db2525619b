/* Parsing, values, comparing and writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/json/json.h"

struct fixture {
    struct tt_arena *arena;
    struct tt_issues issues;
    struct tt_err err;
};

static int setup(void **state)
{
    struct fixture *f = TT_NEW(struct fixture);
    f->arena = tt_arena_new(4096, 64 << 20);
    tt_issues_init(&f->issues, f->arena);
    tt_err_init(&f->err);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tt_arena_free(f->arena);
    tt_free(f);
    return 0;
}

static yyjson_mut_val *parse(struct fixture *f, const char *text)
{
    yyjson_mut_doc *doc = NULL;
    int r = tt_json_parse(f->arena, tt_str_c(text), TT_JSON_DUPLICATES_REFUSE, NULL, &doc, &f->err);
    if (r < 0) {
        print_error("%s\n", tt_err_cause(&f->err));
    }
    assert_int_equal(r, TT_OK);
    return yyjson_mut_doc_get_root(doc);
}

static void assert_text(struct fixture *f, yyjson_mut_val *val, const char *expected)
{
    struct tt_buf buf;
    tt_buf_init(&buf, 1 << 20);
    tt_json_write(&buf, val);
    char *text = tt_arena_strndup(f->arena, buf.ptr, buf.len);
    tt_buf_fini(&buf);
    assert_string_equal(text, expected);
}

static int refused(struct fixture *f, struct tt_str text)
{
    yyjson_mut_doc *doc = NULL;
    tt_err_init(&f->err);
    return tt_json_parse(f->arena, text, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, &f->err);
}

static void numbers_leave_as_they_came(void **state)
{
    const char *text =
        "{\"a\":9007199254740993,\"b\":1e400,\"c\":-0.10,\"d\":[18446744073709551615]}";
    assert_text(*state, parse(*state, text), text);
}

static void strings_are_escaped_where_needed(void **state)
{
    const char *text = "{\"a\\\"b\":\"x\\\\y\\n\\t\\u0001\xc3\xa9 0123456789abcdef\\\"\"}";
    assert_text(*state, parse(*state, text), text);
}

static void stored_text_is_written_back_unchanged(void **state)
{
    struct fixture *f = *state;
    const char *text = "{\"a\":[1,true,null,\"s\\n\",{}],\"b\":{\"c\":[]}}";
    yyjson_doc *doc = NULL;
    assert_int_equal(tt_json_read(f->arena, tt_str_c(text), &doc, NULL), TT_OK);
    struct tt_buf buf;
    tt_buf_init(&buf, 1 << 20);
    tt_json_iwrite(&buf, yyjson_doc_get_root(doc));
    char *copy = tt_arena_strndup(f->arena, buf.ptr, buf.len);
    tt_buf_fini(&buf);
    assert_string_equal(copy, text);
}

static void bad_text_is_refused(void **state)
{
    static const char *const bad[] = {
        "",          "{",    "{}x", "{\"a\":\"\xff\"}",     "\"\\ud800\"",
        "{\"a\" 1}", "[1,]", "nul", "{\"a\":\"b\\u0000c\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(refused(*state, tt_str_c(bad[i])), TT_EINVAL);
    }
}

static void escaped_backslash_before_u0000_is_fine(void **state)
{
    const char *text = "\"\\\\u0000\"";
    assert_text(*state, parse(*state, text), text);
}

static void depth_bombs_are_refused_without_being_parsed(void **state)
{
    struct fixture *f = *state;
    enum { LEVELS = 1 << 20 };
    char *bomb = tt_xmalloc(LEVELS);
    memset(bomb, '[', LEVELS);
    size_t before = tt_arena_used(f->arena);
    assert_int_equal(refused(f, tt_str(bomb, LEVELS)), TT_EINVAL);
    static const char head[] = {'[', '"', ']', '\\', '"', '"', ','};
    memcpy(bomb, head, sizeof head); /* brackets in strings do not count */
    assert_int_equal(refused(f, tt_str(bomb, LEVELS)), TT_EINVAL);
    assert_true(tt_arena_used(f->arena) - before < 4096);
    tt_free(bomb);
}

static void sixty_four_levels_pass_and_one_more_does_not(void **state)
{
    char text[200];
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    assert_int_equal(refused(*state, tt_str(text, 130)), TT_EINVAL);
    assert_int_equal(refused(*state, tt_str(text + 1, 128)), TT_OK);
}

static void wide_documents_with_brackets_in_strings_pass(void **state)
{
    struct tt_buf buf;
    tt_buf_init(&buf, 1 << 20);
    tt_buf_c(&buf, "[");
    for (int i = 0; i < 200; i++) {
        tt_buf_c(&buf, "{\"k\":\"[[{\\\"\"},");
    }
    tt_buf_c(&buf, "1]");
    assert_int_equal(refused(*state, tt_buf_view(&buf)), TT_OK);
    tt_buf_fini(&buf);
}

static void duplicates_are_refused_with_their_path(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(refused(f, TT_STR("{\"a\":{\"b\":[{\"c\":1,\"d\":2,\"c\":3}]}}")), TT_EINVAL);
    assert_string_equal(tt_err_cause(&f->err), "duplicate field \"a.b[0].c\"");
}

static void an_escape_does_not_hide_a_duplicate(void **state)
{
    assert_int_equal(refused(*state, TT_STR("{\"A\":1,\"\\u0041\":2}")), TT_EINVAL);
}

static void reported_duplicates_keep_the_last(void **state)
{
    struct fixture *f = *state;
    yyjson_mut_doc *doc = NULL;
    assert_int_equal(tt_json_parse(f->arena, TT_STR("{\"a\":1,\"b\":2,\"a\":3,\"a\":4}"),
                                   TT_JSON_DUPLICATES_REPORT, &f->issues, &doc, &f->err),
                     TT_OK);
    assert_text(f, yyjson_mut_doc_get_root(doc), "{\"b\":2,\"a\":4}");
    assert_int_equal(f->issues.count, 2);
}

static void large_objects_keep_the_last_duplicate_too(void **state)
{
    struct fixture *f = *state;
    struct tt_buf buf;
    tt_buf_init(&buf, 1 << 20);
    tt_buf_c(&buf, "{\"k7\":0");
    for (int i = 0; i < 100; i++) {
        tt_buf_printf(&buf, ",\"k%d\":%d", i, i);
    }
    tt_buf_c(&buf, "}");
    yyjson_mut_doc *doc = NULL;
    int r = tt_json_parse(f->arena, tt_buf_view(&buf), TT_JSON_DUPLICATES_REPORT, &f->issues, &doc,
                          &f->err);
    tt_buf_fini(&buf);
    assert_int_equal(r, TT_OK);
    assert_int_equal(yyjson_mut_obj_size(yyjson_mut_doc_get_root(doc)), 100);
    assert_int_equal(tt_json_get_i64(yyjson_mut_doc_get_root(doc), "k7", -1), 7);
    assert_int_equal(f->issues.count, 1);
}

static void a_full_arena_is_an_error_not_a_crash(void **state)
{
    struct fixture *f = *state;
    struct tt_arena *small = tt_arena_new(512, 2048);
    struct tt_buf buf;
    tt_buf_init(&buf, 1 << 20);
    tt_buf_c(&buf, "[0");
    for (int i = 0; i < 500; i++) {
        tt_buf_c(&buf, ",{\"a\":1}");
    }
    tt_buf_c(&buf, "]");
    yyjson_mut_doc *doc = NULL;
    int r = tt_json_parse(small, tt_buf_view(&buf), TT_JSON_DUPLICATES_REFUSE, NULL, &doc, &f->err);
    tt_buf_fini(&buf);
    tt_arena_free(small);
    assert_int_equal(r, TT_ETOOLARGE);
}

static void paths_are_read_set_and_removed(void **state)
{
    struct fixture *f = *state;
    yyjson_mut_doc *doc = tt_json_new(f->arena);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    assert_true(tt_json_set_str(doc, root, "metadata.labels.app", TT_STR("web")));
    assert_true(tt_json_set(doc, root, "spec.replicas", yyjson_mut_sint(doc, 3)));
    assert_true(tt_json_set(doc, root, "spec.replicas", yyjson_mut_sint(doc, 4)));
    assert_text(f, root, "{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"replicas\":4}}");
    assert_int_equal(tt_json_get_i64(root, "spec.replicas", 0), 4);
    assert_true(tt_json_remove_path(root, "metadata.labels"));
    assert_false(tt_json_remove_path(root, "metadata.labels"));
    assert_text(f, root, "{\"metadata\":{},\"spec\":{\"replicas\":4}}");
    assert_false(tt_json_set_str(doc, root, "spec.replicas.x", TT_STR("y")));
}

static void whole_numbers_compare_by_value_and_order_does_not_matter(void **state)
{
    struct fixture *f = *state;
    assert_true(tt_json_equal(parse(f, "{\"a\":1,\"b\":[1.0]}"), parse(f, "{\"b\":[1],\"a\":1}")));
    assert_false(tt_json_equal(parse(f, "{\"a\":1}"), parse(f, "{\"a\":\"1\"}")));
    assert_false(tt_json_equal(parse(f, "[1,2]"), parse(f, "[2,1]")));
    assert_false(tt_json_equal(parse(f, "{\"a\":true}"), parse(f, "{\"a\":false}")));
    assert_false(tt_json_equal(parse(f, "{\"a\":1}"), parse(f, "{\"b\":1}")));
}

static void copies_are_independent(void **state)
{
    struct fixture *f = *state;
    yyjson_mut_val *a = parse(f, "{\"a\":[{\"b\":12,\"c\":\"x\"}]}");
    yyjson_mut_doc *doc = tt_json_new(f->arena);
    yyjson_mut_val *b = tt_json_copy(doc, a);
    assert_true(tt_json_equal(a, b));
    assert_true(tt_json_remove_path(a, "a"));
    assert_text(f, b, "{\"a\":[{\"b\":12,\"c\":\"x\"}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_leave_as_they_came, setup, teardown),
        cmocka_unit_test_setup_teardown(strings_are_escaped_where_needed, setup, teardown),
        cmocka_unit_test_setup_teardown(stored_text_is_written_back_unchanged, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_text_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(escaped_backslash_before_u0000_is_fine, setup, teardown),
        cmocka_unit_test_setup_teardown(depth_bombs_are_refused_without_being_parsed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sixty_four_levels_pass_and_one_more_does_not, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(wide_documents_with_brackets_in_strings_pass, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(duplicates_are_refused_with_their_path, setup, teardown),
        cmocka_unit_test_setup_teardown(an_escape_does_not_hide_a_duplicate, setup, teardown),
        cmocka_unit_test_setup_teardown(reported_duplicates_keep_the_last, setup, teardown),
        cmocka_unit_test_setup_teardown(large_objects_keep_the_last_duplicate_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_arena_is_an_error_not_a_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(paths_are_read_set_and_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(whole_numbers_compare_by_value_and_order_does_not_matter,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(copies_are_independent, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
