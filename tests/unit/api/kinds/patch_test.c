/* Patches: the cases of tests/golden/kinds/patches.json, and bounds. */
#include "tests/unit/api/kinds/fixture.h"

#include "api/json/patch.h"
#include "api/kinds/object.h"
#include "base/file.h"

static struct tt_str text_of(struct fixture *f, yyjson_mut_val *val)
{
    tt_buf_reset(&f->buf);
    tt_json_write(&f->buf, val);
    const char *copy = tt_arena_strndup(f->arena, f->buf.ptr, f->buf.len);
    return tt_str(copy, f->buf.len);
}

static enum tt_patch_type type_of(struct tt_str name)
{
    return tt_str_eq(name, TT_STR("json"))    ? TT_PATCH_JSON
           : tt_str_eq(name, TT_STR("merge")) ? TT_PATCH_MERGE_JSON
                                              : TT_PATCH_STRATEGIC;
}

/* 0 when the case came out as written. */
static int run_case(struct fixture *f, yyjson_mut_val *golden)
{
    struct tt_str api = tt_json_get_str(golden, "apiVersion");
    struct tt_str kind = tt_json_get_str(golden, "kind");
    struct tt_object object = {.kind = tt_kinds_kind(f->kinds, api, kind), .arena = f->arena};
    assert_non_null(object.kind);
    object.doc = tt_json_new(f->arena);
    object.root = tt_json_copy(object.doc, tt_json_get(golden, "original"));
    tt_err_init(&f->err);
    tt_issues_init(&f->issues, f->arena);
    int r = tt_object_patch(&object, type_of(tt_json_get_str(golden, "type")),
                            text_of(f, tt_json_get(golden, "patch")), TT_FIELDS_STRICT, &f->issues,
                            &f->err);
    int64_t code = tt_json_get_i64(golden, "code", 200);
    if (tt_err_http_status(r) != code) {
        print_error("status %d, expected %d: %s\n", tt_err_http_status(r), (int)code,
                    tt_err_cause(&f->err));
        return 1;
    }
    struct tt_str message = tt_json_get_str(golden, "message");
    if (message.len > 0 && !tt_str_eq_c(message, tt_err_cause(&f->err))) {
        print_error("message: %s\n", tt_err_cause(&f->err));
        return 1;
    }
    yyjson_mut_val *expected = tt_json_get(golden, "result");
    if (expected == NULL) {
        return 0;
    }
    assert_true(tt_json_remove(object.root, TT_STR("kind")));
    assert_true(tt_json_remove(object.root, TT_STR("apiVersion")));
    if (!tt_json_equal(object.root, expected)) {
        struct tt_str text = text_of(f, object.root);
        print_error("result: %.*s\n", TT_STR_ARG(text));
        return 1;
    }
    return 0;
}

static void golden_cases_come_out_as_written(void **state)
{
    struct fixture *f = *state;
    struct tt_buf file;

    assert_int_equal(tt_file_read("tests/golden/kinds/patches.json", 1 << 20, &file, &f->err),
                     TT_OK);
    yyjson_mut_doc *doc = NULL;
    int r =
        tt_json_parse(f->arena, tt_buf_view(&file), TT_JSON_DUPLICATES_REFUSE, NULL, &doc, &f->err);
    tt_buf_fini(&file);
    assert_int_equal(r, TT_OK);
    size_t i, n;
    int failed = 0;
    yyjson_mut_val *golden;
    yyjson_mut_arr_foreach(yyjson_mut_doc_get_root(doc), i, n, golden)
    {
        if (run_case(f, golden) != 0) {
            struct tt_str name = tt_json_get_str(golden, "name");
            print_error("case failed: %.*s\n", TT_STR_ARG(name));
            failed++;
        }
    }
    assert_true(n > 20);
    assert_int_equal(failed, 0);
}

static yyjson_mut_val *parse(struct fixture *f, struct tt_str text)
{
    yyjson_mut_doc *doc = NULL;
    assert_int_equal(tt_json_parse(f->arena, text, TT_JSON_DUPLICATES_REFUSE, NULL, &doc, &f->err),
                     TT_OK);
    return yyjson_mut_doc_get_root(doc);
}

static int json_patch(struct fixture *f, const char *target, struct tt_str patch)
{
    yyjson_mut_doc *doc = tt_json_new(f->arena);
    yyjson_mut_val *root = tt_json_copy(doc, parse(f, tt_str_c(target)));
    tt_err_init(&f->err);
    return tt_json_patch(doc, root, parse(f, patch), &root, &f->err);
}

static void copies_cannot_explode(void **state)
{
    struct fixture *f = *state;
    struct tt_buf ops;
    tt_buf_init(&ops, 1 << 20);
    tt_buf_c(&ops, "[");
    for (int i = 0; i < 40; i++) { /* each doubles the document */
        tt_buf_printf(&ops, "%s{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/b%d\"}",
                      i > 0 ? "," : "", i);
    }
    tt_buf_c(&ops, "]");
    int r = json_patch(f, "{\"a\":{\"x\":1}}", tt_buf_view(&ops));
    tt_buf_fini(&ops);
    assert_int_equal(r, TT_ETOOLARGE);
}

static void operations_cannot_build_a_tree_too_deep(void **state)
{
    struct fixture *f = *state;
    struct tt_buf ops;
    tt_buf_init(&ops, 1 << 20);
    tt_buf_c(&ops, "[{\"op\":\"add\",\"path\":\"/a\",\"value\":{}}");
    for (int i = 0; i < 80; i++) {
        tt_buf_c(&ops, ",{\"op\":\"add\",\"path\":\"");
        for (int k = 0; k < i + 2; k++) {
            tt_buf_c(&ops, "/a");
        }
        tt_buf_c(&ops, "\",\"value\":{}}");
    }
    tt_buf_c(&ops, "]");
    int r = json_patch(f, "{}", tt_buf_view(&ops));
    tt_buf_fini(&ops);
    assert_int_equal(r, TT_EINVALID);
}

static void lists_too_long_to_merge_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct tt_kind *pod = tt_kinds_kind(f->kinds, TT_STR("v1"), TT_STR("Pod"));
    struct tt_buf patch;
    tt_buf_init(&patch, 4 << 20);
    tt_buf_c(&patch, "{\"spec\":{\"containers\":[");
    for (int i = 0; i < 20000; i++) {
        tt_buf_printf(&patch, "%s{\"name\":\"c%d\"}", i > 0 ? "," : "", i);
    }
    tt_buf_c(&patch, "]}}");
    struct tt_object object = {.kind = pod, .arena = f->arena, .doc = tt_json_new(f->arena)};
    object.root = yyjson_mut_obj(object.doc);
    tt_issues_init(&f->issues, f->arena);
    int r = tt_object_patch(&object, TT_PATCH_STRATEGIC, tt_buf_view(&patch), TT_FIELDS_WARN,
                            &f->issues, &f->err);
    tt_buf_fini(&patch);
    assert_int_equal(r, TT_ETOOLARGE);
}

static void content_types_name_the_patch(void **state)
{
    struct fixture *f = *state;
    const struct tt_kind *pod = tt_kinds_kind(f->kinds, TT_STR("v1"), TT_STR("Pod"));
    enum tt_patch_type type;
    assert_int_equal(tt_patch_type_parse(pod, TT_STR("application/merge-patch+json; charset=utf-8"),
                                         &type, &f->err),
                     TT_OK);
    assert_int_equal(type, TT_PATCH_MERGE_JSON);
    assert_int_equal(
        tt_patch_type_parse(pod, TT_STR("application/apply-patch+yaml"), &type, &f->err),
        TT_EMEDIATYPE);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(golden_cases_come_out_as_written),
        T(copies_cannot_explode),
        T(operations_cannot_build_a_tree_too_deep),
        T(lists_too_long_to_merge_are_refused),
        T(content_types_name_the_patch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
