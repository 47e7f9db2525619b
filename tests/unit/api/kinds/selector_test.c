/* Label and field selectors: what parses, what matches. */
#include "tests/unit/api/kinds/fixture.h"

#include "api/kinds/registry.h"
#include "api/kinds/selector.h"

static yyjson_val *read_json(struct fixture *f, const char *text)
{
    yyjson_doc *doc = NULL;
    assert_int_equal(tt_json_read(f->arena, tt_str_c(text), &doc, &f->err), TT_OK);
    return yyjson_doc_get_root(doc);
}

static bool labels_match(struct fixture *f, const char *selector, const char *labels)
{
    const struct tt_label_selector *parsed = NULL;
    int r = tt_label_selector_parse(f->arena, tt_str_c(selector), &parsed, &f->err);
    if (r < 0) {
        print_error("%s: %s\n", selector, tt_err_cause(&f->err));
    }
    assert_int_equal(r, TT_OK);
    yyjson_val *val = read_json(f, labels);
    yyjson_mut_doc *doc = NULL;
    assert_int_equal(tt_json_mutable(f->arena, val, &doc, &f->err), TT_OK);
    bool match = tt_label_selector_imatch(parsed, val);
    assert_int_equal(match, tt_label_selector_match(parsed, yyjson_mut_doc_get_root(doc)));
    return match;
}

static void label_selectors_match(void **state)
{
    struct fixture *f = *state;
    const char *labels = "{\"app\":\"web\",\"tier\":\"front\",\"a.b/c\":\"\"}";
    assert_true(labels_match(f, "", labels));
    assert_true(labels_match(f, "app=web", labels));
    assert_true(labels_match(f, "app==web , tier in (back,front)", labels));
    assert_false(labels_match(f, "app=web,tier!=front", labels));
    assert_true(labels_match(f, "tier notin (back, side),!gone", labels));
    assert_true(labels_match(f, "gone!=x", labels));
    assert_true(labels_match(f, "gone notin (x)", labels));
    assert_false(labels_match(f, "gone in (x)", labels));
    assert_true(labels_match(f, "a.b/c", labels));
    assert_true(labels_match(f, "a.b/c=", labels));
    assert_false(labels_match(f, "!app", labels));
    assert_false(labels_match(f, "app", "{}"));
}

static void bad_label_selectors_are_refused(void **state)
{
    static const char *const bad[] = {"=",          "a=b,",    "a in b", "a in (b", "a b",
                                      "a in (b) c", "a b/c=d", "-a=b",   "a=-b",    "a>1",
                                      "!",          "a/b/c=d", ",",      "a=b c"};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct tt_label_selector *parsed = NULL;
        int r = tt_label_selector_parse(f->arena, tt_str_c(bad[i]), &parsed, &f->err);
        if (r != TT_EINVAL) {
            print_error("%s gives %d\n", bad[i], r);
        }
        assert_int_equal(r, TT_EINVAL);
    }
}

static void selectors_of_objects_match(void **state)
{
    struct fixture *f = *state;
    const struct tt_label_selector *parsed = NULL;
    yyjson_val *value =
        read_json(f, "{\"matchLabels\":{\"app\":\"web\"},\"matchExpressions\":[{\"key\":\"tier\","
                     "\"operator\":\"NotIn\",\"values\":[\"back\"]},{\"key\":\"x\",\"operator\":"
                     "\"DoesNotExist\"}]}");
    assert_int_equal(tt_label_selector_ifrom(f->arena, value, &parsed, &f->err), TT_OK);
    assert_false(tt_label_selector_empty(parsed));
    assert_true(tt_label_selector_imatch(parsed, read_json(f, "{\"app\":\"web\"}")));
    assert_false(
        tt_label_selector_imatch(parsed, read_json(f, "{\"app\":\"web\",\"tier\":\"back\"}")));
    assert_false(tt_label_selector_imatch(parsed, read_json(f, "{\"app\":\"web\",\"x\":\"\"}")));
    assert_int_equal(tt_label_selector_ifrom(f->arena, NULL, &parsed, &f->err), TT_OK);
    assert_false(tt_label_selector_imatch(parsed, read_json(f, "{}")));
    assert_int_equal(tt_label_selector_ifrom(f->arena, read_json(f, "{}"), &parsed, &f->err),
                     TT_OK);
    assert_true(tt_label_selector_empty(parsed));
}

static bool fields_match(struct fixture *f, const char *selector, const char *object)
{
    const struct tt_kind *pod = tt_kinds_kind(f->kinds, TT_STR("v1"), TT_STR("Pod"));
    const struct tt_field_selector *parsed = NULL;
    assert_int_equal(tt_field_selector_parse(f->arena, pod, tt_str_c(selector), &parsed, &f->err),
                     TT_OK);
    return tt_field_selector_match(parsed, read_json(f, object));
}

static void field_selectors_match(void **state)
{
    struct fixture *f = *state;
    const char *pod = "{\"metadata\":{\"name\":\"a,b\"},\"spec\":{\"nodeName\":\"n1\"},"
                      "\"status\":{\"phase\":\"Running\"}}";
    assert_true(fields_match(f, "spec.nodeName=n1,status.phase!=Pending", pod));
    assert_true(fields_match(f, "metadata.name==a\\,b", pod));
    assert_false(fields_match(f, "spec.nodeName=", pod));
    assert_true(fields_match(f, "spec.nodeName=", "{}"));
    assert_true(fields_match(f, "spec.hostNetwork=false", "{}"));
    assert_false(fields_match(f, "spec.hostNetwork=true", "{}"));
}

static void a_single_name_is_recognised(void **state)
{
    struct fixture *f = *state;
    const struct tt_kind *pod = tt_kinds_kind(f->kinds, TT_STR("v1"), TT_STR("Pod"));
    const struct tt_field_selector *parsed = NULL;
    struct tt_str name;
    assert_int_equal(
        tt_field_selector_parse(f->arena, pod, TT_STR("metadata.name=x"), &parsed, &f->err), TT_OK);
    assert_true(tt_field_selector_exact(parsed, "metadata.name", &name));
    assert_true(tt_str_eq_c(name, "x"));
    assert_int_equal(
        tt_field_selector_parse(f->arena, pod, TT_STR("metadata.name!=x"), &parsed, &f->err),
        TT_OK);
    assert_false(tt_field_selector_exact(parsed, "metadata.name", &name));
}

static void unknown_fields_and_bad_syntax_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct tt_kind *pod = tt_kinds_kind(f->kinds, TT_STR("v1"), TT_STR("Pod"));
    static const char *const bad[] = {"spec.foo=x", "spec.nodeName", "metadata.name=a=b",
                                      "metadata.name=a\\x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct tt_field_selector *parsed = NULL;
        assert_int_equal(tt_field_selector_parse(f->arena, pod, tt_str_c(bad[i]), &parsed, &f->err),
                         TT_EINVAL);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(label_selectors_match),       T(bad_label_selectors_are_refused),
        T(selectors_of_objects_match),  T(field_selectors_match),
        T(a_single_name_is_recognised), T(unknown_fields_and_bad_syntax_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
