/* What is printed: YAML that reads back as it was, tables, paths, formats, exit codes. */
#include "ctl/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "ctl/jsonpath.h"
#include "ctl/manifest.h"
#include "ctl/table.h"

static void assert_yaml(const char *json, const char *wanted)
{
    struct tt_buf text;
    tt_buf_init(&text, 1 << 20);
    yyjson_doc *doc = yyjson_read(json, strlen(json), YYJSON_READ_NUMBER_AS_RAW);
    assert_non_null(doc);
    ctl_write_yaml(&text, yyjson_doc_get_root(doc));
    bool same = tt_str_eq_c(tt_buf_view(&text), wanted);
    if (!same) {
        print_message("got\n%s", text.ptr);
    }
    yyjson_doc_free(doc);
    tt_buf_fini(&text);
    assert_true(same);
}

static void yaml_is_written_in_block_style(void **state)
{
    (void)state;
    assert_yaml("{\"a\":[{\"b\":1,\"c\":[\"x\",[2]]},{}],\"d\":{},\"e\":[],\"f\":null}",
                "a:\n- b: 1\n  c:\n  - x\n  - - 2\n- {}\nd: {}\ne: []\nf: null\n");
}

static void what_looks_like_something_else_is_quoted(void **state)
{
    (void)state;
    assert_yaml(
        "[\"yes\",\"1e3\",\"0x1\",\"\",\"- a\",\"a: b\",\"a #b\",\"~\",\"2001-01-01\",\" a\","
        "\"@x\",\"plain text\",\"\\u0007\"]",
        "- \"yes\"\n- \"1e3\"\n- \"0x1\"\n- \"\"\n- \"- a\"\n- \"a: b\"\n- \"a #b\"\n"
        "- \"~\"\n- \"2001-01-01\"\n- \" a\"\n- \"@x\"\n- plain text\n- \"\\u0007\"\n");
}

static void lines_become_a_block(void **state)
{
    (void)state;
    assert_yaml("{\"a\":\"x\\n y\\n\",\"b\":\"x\\ny\",\"c\":\"x\\n\\n\"}",
                "a: |\n  x\n   y\nb: |-\n  x\n  y\nc: |+\n  x\n\n");
}

/* Random objects: written as YAML and read by our own reader they are the same. */
static void yaml_reads_back_as_it_was(void **state)
{
    (void)state;
    uint64_t seed = tt_random_u64();
    struct tt_rng rng;
    tt_rng_seed(&rng, seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    static const char alphabet[] = "ab \n\t:#-'\"[]{}&*!|>%@,.?0123~e+xtrue\\";
    for (int round = 0; round < 2000; round++) {
        char text[24];
        size_t size = (size_t)tt_rng_below(&rng, sizeof text);
        for (size_t i = 0; i < size; i++) {
            text[i] = alphabet[tt_rng_below(&rng, sizeof alphabet - 1)];
        }
        yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
        yyjson_mut_val *root = yyjson_mut_obj(doc);
        yyjson_mut_doc_set_root(doc, root);
        assert_true(yyjson_mut_obj_add_str(doc, root, "apiVersion", "v1"));
        assert_true(yyjson_mut_obj_add_str(doc, root, "kind", "X"));
        assert_true(yyjson_mut_obj_add_strn(doc, root, "value", text, size));
        assert_true(yyjson_mut_obj_add(root, yyjson_mut_strn(doc, text, size),
                                       yyjson_mut_strn(doc, text, size)));
        yyjson_doc *frozen = yyjson_mut_doc_imut_copy(doc, NULL);
        struct tt_buf yaml;
        struct ctl_manifest manifest;
        tt_buf_init(&yaml, 1 << 16);
        ctl_write_yaml(&yaml, yyjson_doc_get_root(frozen));
        ctl_manifest_init(&manifest);
        struct tt_err err;
        tt_err_init(&err);
        int r = ctl_manifest_parse(&manifest, tt_buf_view(&yaml), "x", &err);
        bool same =
            r == TT_OK && manifest.count == 1 && tt_json_equal(manifest.items[0].root, root);
        if (!same) {
            print_message("%s\n%s", tt_err_cause(&err), yaml.ptr);
        }
        ctl_manifest_fini(&manifest);
        tt_buf_fini(&yaml);
        yyjson_doc_free(frozen);
        yyjson_mut_doc_free(doc);
        assert_true(same);
    }
}

static void columns_line_up_and_nothing_steers_the_terminal(void **state)
{
    (void)state;
    struct tt_buf text;
    struct ctl_table *table = ctl_table_new(2);
    tt_buf_init(&text, 4096);
    ctl_table_c(table, "NAME");
    ctl_table_c(table, "AGE");
    ctl_table_c(table, "gr\xc3\xbc\xc3\x9f");
    ctl_table_u64(table, 5);
    ctl_table_c(table, "a\x1b[31m\n\xff");
    ctl_table_c(table, "");
    assert_int_equal(ctl_table_row_count(table), 3);
    ctl_table_write(table, &text);
    assert_string_equal(text.ptr, "NAME       AGE\ngr\xc3\xbc\xc3\x9f       5\na?[31m??   \n");
    tt_buf_fini(&text);
    ctl_table_free(table);
}

/* What the writing of this table says on standard error. */
static void assert_told(struct ctl_table *table, const char *expected)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    struct tt_buf out;
    tt_buf_init(&out, 64 << 20);
    ctl_table_write(table, &out);
    tt_buf_fini(&out);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    char text[256];
    rewind(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    (void)fclose(file);
    assert_string_equal(text, expected);
}

static void rows_that_are_left_out_are_told(void **state)
{
    (void)state;
    struct ctl_table *table = ctl_table_new(1);
    for (size_t i = 0; i < CTL_TABLE_ROWS_MAX; i++) {
        ctl_table_c(table, "x");
    }
    assert_told(table, "");
    for (size_t i = 0; i < CTL_TABLE_ROWS_MAX + 3; i++) {
        ctl_table_c(table, "x");
    }
    assert_told(table, "3 more rows are not shown: select fewer, or use -o json\n");
    assert_told(table, "");
    ctl_table_free(table);
}

static void paths_lead_to_values(void **state)
{
    (void)state;
    const char json[] = "{\"a\":{\"b\":[{\"c.d\":7}]}}";
    yyjson_doc *doc = yyjson_read(json, sizeof json - 1, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *val = NULL;
    assert_int_equal(ctl_jsonpath(root, TT_STR("{.a.b[0]['c.d']}"), &val, NULL), 0);
    assert_int_equal(yyjson_get_int(val), 7);
    assert_int_equal(ctl_jsonpath(root, TT_STR("a.x.y"), &val, NULL), 0);
    assert_null(val);
    const char *const bad[] = {"", "{}", "{.a[*]}", "{.a[?(@.x)]}", "{..a}", "{.a[}", "{.a['x]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(ctl_jsonpath(root, tt_str_c(bad[i]), &val, NULL), TT_EINVAL);
    }
    yyjson_doc_free(doc);
}

static void assert_template(yyjson_val *root, const char *text, int code, const char *wanted)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 4096);
    tt_buf_c(&buf, "");
    int r = ctl_template(root, tt_str_c(text), &buf, NULL);
    if (r != code || (r == TT_OK && !tt_str_eq_c(tt_buf_view(&buf), wanted))) {
        print_error("%s: %d, %.*s\n", text, r, TT_STR_ARG(tt_buf_view(&buf)));
        fail();
    }
}

static void templates_are_filled(void **state)
{
    (void)state;
    const char json[] = "{\"a\":[{\"n\":\"x\",\"v\":[1,2]},{\"n\":\"y\",\"v\":[]}],"
                        "\"o\":{\"k\":true,\"l\":null}}";
    yyjson_doc *doc = yyjson_read(json, sizeof json - 1, YYJSON_READ_NUMBER_AS_RAW);
    yyjson_val *root = yyjson_doc_get_root(doc);
    assert_template(root, "{.a[*].n}", TT_OK, "x y");
    assert_template(root, "{.a[0].v}|{$.o.*}|{@.none}", TT_OK, "[1,2]|true null|");
    assert_template(root, "{range .a[*]}{.n}{'\\t'}{range .v[*]}<{@}>{end}{\"}\\n\"}{end}.", TT_OK,
                    "x\t<1><2>}\ny\t}\n.");
    assert_template(root, "plain", TT_OK, "plain");
    static const char *const bad[] = {"{.a", "{range .a[*]}{.n}", "{end}", "{.a[?(@.n)]}", "{..n}",
                                      "{}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_template(root, bad[i], TT_EINVAL, NULL);
        assert_template(NULL, bad[i], TT_EINVAL, NULL);
    }
    assert_template(NULL, "{range .a[*]}{.b[?]}{end}", TT_EINVAL, NULL);
    yyjson_doc_free(doc);
}

/* docs/ctl.md promises them to scripts. */
static void exit_codes_are_as_documented(void **state)
{
    (void)state;
    assert_int_equal(tt_err_exit_code(TT_OK), 0);
    assert_int_equal(tt_err_exit_code(TT_EINTERNAL), 1);
    assert_int_equal(tt_err_exit_code(TT_EINVAL), 2);
    assert_int_equal(tt_err_exit_code(TT_EINVALID), 2);
    assert_int_equal(tt_err_exit_code(TT_EFORBIDDEN), 4);
    assert_int_equal(tt_err_exit_code(TT_ENOTFOUND), 5);
    assert_int_equal(tt_err_exit_code(TT_ECONFLICT), 6);
    assert_int_equal(tt_err_exit_code(TT_ETIMEOUT), 7);
    assert_int_equal(tt_err_exit_code(TT_EIO), 8);
    assert_int_equal(tt_err_exit_code(TT_ECORRUPT), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_is_written_in_block_style),
        cmocka_unit_test(what_looks_like_something_else_is_quoted),
        cmocka_unit_test(lines_become_a_block),
        cmocka_unit_test(yaml_reads_back_as_it_was),
        cmocka_unit_test(columns_line_up_and_nothing_steers_the_terminal),
        cmocka_unit_test(rows_that_are_left_out_are_told),
        cmocka_unit_test(paths_lead_to_values),
        cmocka_unit_test(templates_are_filled),
        cmocka_unit_test(exit_codes_are_as_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
