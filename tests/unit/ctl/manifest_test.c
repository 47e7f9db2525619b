/* Manifests: splitting, lines, scalars, and input that means harm. */
#include "ctl/manifest.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OBJECT "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

struct fixture {
    struct ctl_manifest manifest;
    struct tt_err err;
};

static int setup(void **state)
{
    struct fixture *fixture = TT_NEW(struct fixture);
    ctl_manifest_init(&fixture->manifest);
    tt_err_init(&fixture->err);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    ctl_manifest_fini(&fixture->manifest);
    tt_free(fixture);
    return 0;
}

static int parse(struct fixture *fixture, const char *text)
{
    return ctl_manifest_parse(&fixture->manifest, tt_str_c(text), "f.yaml", &fixture->err);
}

/* The manifest's only object as compact JSON equals `json`. */
static void assert_object(struct fixture *fixture, const char *json)
{
    struct tt_buf text;
    tt_buf_init(&text, 1 << 20);
    assert_int_equal(fixture->manifest.count, 1);
    tt_json_write(&text, fixture->manifest.items[0].root);
    bool same = tt_str_eq_c(tt_buf_view(&text), json);
    if (!same) {
        print_message("got %s\n", text.ptr);
    }
    tt_buf_fini(&text);
    assert_true(same);
}

static void assert_refused(struct fixture *fixture, const char *text, const char *why)
{
    assert_int_not_equal(parse(fixture, text), TT_OK);
    if (strstr(tt_err_cause(&fixture->err), why) == NULL) {
        print_message("got %s\n", tt_err_cause(&fixture->err));
    }
    assert_non_null(strstr(tt_err_cause(&fixture->err), why));
}

static void documents_are_split_and_know_their_lines(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(parse(fixture, "# comment\n" OBJECT "---\n---\n" OBJECT "data:\n  k: v\n"), 0);
    assert_int_equal(fixture->manifest.count, 2);
    assert_int_equal(fixture->manifest.items[0].line, 2);
    assert_int_equal(fixture->manifest.items[1].line, 7);
    assert_int_equal(ctl_object_line(&fixture->manifest.items[1], TT_STR("data.k")), 11);
}

static void a_field_that_is_missing_has_the_line_of_its_nearest_parent(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(parse(fixture, "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n"
                                    "  - name: a\n  - name: b\n    image: x\n"),
                     0);
    const struct ctl_object *object = &fixture->manifest.items[0];
    assert_int_equal(ctl_object_line(object, TT_STR("spec.containers[1].image")), 7);
    assert_int_equal(ctl_object_line(object, TT_STR("spec.containers[1].nope")), 6);
    assert_int_equal(ctl_object_line(object, TT_STR("spec.containers[9]")), 4);
    assert_int_equal(ctl_object_line(object, TT_STR("")), 1);
}

static void plain_scalars_become_what_kubernetes_makes_of_them(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(parse(fixture, "apiVersion: v1\nkind: X\na: 0644\nb: 0x1F\nc: 1.50\nd: ~\n"
                                    "e: TRUE\nf: '5'\ng: !!str 5\nh: 9007199254740993\ni: +1\n"
                                    "j: 1.2.3\nk: 2001-12-14\nl:\nm: 0o17\nn: y\n"),
                     0);
    assert_object(fixture, "{\"apiVersion\":\"v1\",\"kind\":\"X\",\"a\":420,\"b\":31,\"c\":1.50,"
                           "\"d\":null,\"e\":true,\"f\":\"5\",\"g\":\"5\",\"h\":9007199254740993,"
                           "\"i\":1,\"j\":\"1.2.3\",\"k\":\"2001-12-14\",\"l\":null,\"m\":15,"
                           "\"n\":\"y\"}");
}

static void lists_are_taken_apart_and_namespaces_are_not_lost(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(parse(fixture, "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":["
                                    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"},"
                                    "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\"}]}\n"
                                    "{\"apiVersion\":\"v1\",\n\"kind\":\"Secret\"}"),
                     0);
    assert_int_equal(fixture->manifest.count, 3);
    assert_int_equal(fixture->manifest.items[2].line, 2);
}

static void aliases_stand_for_their_anchor(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(parse(fixture, "apiVersion: v1\nkind: X\na: &x {b: 1}\nc: *x\n"), 0);
    assert_object(fixture,
                  "{\"apiVersion\":\"v1\",\"kind\":\"X\",\"a\":{\"b\":1},\"c\":{\"b\":1}}");
}

static void what_readers_understand_differently_is_refused(void **state)
{
    struct fixture *fixture = *state;
    assert_refused(fixture, OBJECT "a: yes\n", "f.yaml:4: yes is a boolean to some");
    tt_err_init(&fixture->err);
    assert_refused(fixture, OBJECT "a: &x {b: 1}\nc:\n  <<: *x\n", "f.yaml:6: merge keys");
    tt_err_init(&fixture->err);
    assert_refused(fixture, OBJECT "a: .inf\n", "f.yaml:4: JSON has no infinity");
    tt_err_init(&fixture->err);
    assert_refused(fixture, OBJECT "a: !ruby/object 1\n", "f.yaml:4: the tag");
    assert_int_equal(fixture->manifest.count, 0);
}

static void mistakes_are_told_with_their_line(void **state)
{
    struct fixture *fixture = *state;
    assert_refused(fixture, OBJECT "a: [1\n", "f.yaml:");
    tt_err_init(&fixture->err);
    assert_refused(fixture, OBJECT "a: 1\na: 2\n", "f.yaml:5:");
    tt_err_init(&fixture->err);
    assert_refused(fixture, "---\nkind: X\n", "f.yaml:2: apiVersion is missing");
    tt_err_init(&fixture->err);
    assert_refused(fixture, "just text\n", "f.yaml:1: not an object");
    tt_err_init(&fixture->err);
    assert_refused(fixture, "{\"a\":1,\n\"b\":}", "f.yaml:2: not JSON");
    tt_err_init(&fixture->err);
    assert_refused(fixture, "a: \xff\n", "not UTF-8");
}

static void an_alias_bomb_ends_at_the_budget(void **state)
{
    struct fixture *fixture = *state;
    assert_refused(fixture,
                   OBJECT "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                          "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
                          "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                          "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
                          "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
                          "g: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n",
                   "more than 200,000 values");
}

static void a_cycle_and_deep_nesting_end_at_the_depth(void **state)
{
    struct fixture *fixture = *state;
    char deep[2048] = OBJECT "a: ";
    size_t at = strlen(deep);
    memset(deep + at, '[', 70);
    memset(deep + at + 70, ']', 70);
    assert_int_not_equal(parse(fixture, deep), TT_OK);
    tt_err_init(&fixture->err);
    assert_int_not_equal(parse(fixture, OBJECT "a: &a [*a]\n"), TT_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(documents_are_split_and_know_their_lines),
        TEST(a_field_that_is_missing_has_the_line_of_its_nearest_parent),
        TEST(plain_scalars_become_what_kubernetes_makes_of_them),
        TEST(lists_are_taken_apart_and_namespaces_are_not_lost),
        TEST(aliases_stand_for_their_anchor),
        TEST(what_readers_understand_differently_is_refused),
        TEST(mistakes_are_told_with_their_line),
        TEST(an_alias_bomb_ends_at_the_budget),
        TEST(a_cycle_and_deep_nesting_end_at_the_depth),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
