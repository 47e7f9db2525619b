/* The three-way merge: who wins, what goes, what stays, per kind of list. */
#include "ctl/merge.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/kinds/registry.h"

struct fixture {
    struct tt_registry *registry;
    struct tt_kinds *kinds;
    struct tt_arena *arena;
};

static int setup(void **state)
{
    struct fixture *fixture = TT_NEW(struct fixture);
    assert_int_equal(tt_registry_new(&fixture->registry, NULL), 0);
    fixture->kinds = tt_registry_get(fixture->registry);
    fixture->arena = tt_arena_new(64 << 10, 64 << 20);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    tt_kinds_unref(fixture->kinds);
    tt_registry_free(fixture->registry);
    tt_arena_free(fixture->arena);
    tt_free(fixture);
    return 0;
}

static yyjson_mut_doc *read(struct fixture *fixture, const char *text)
{
    yyjson_mut_doc *doc = NULL;
    assert_int_equal(
        tt_json_parse(fixture->arena, tt_str_c(text), TT_JSON_DUPLICATES_REFUSE, NULL, &doc, NULL),
        0);
    return doc;
}

/* Deployment `spec.template.spec` and friends: live + last + next gives wanted. */
static void assert_merge(struct fixture *fixture, const char *const in[3], const char *wanted)
{
    const struct tt_kind *kind =
        tt_kinds_kind(fixture->kinds, TT_STR("apps/v1"), TT_STR("Deployment"));
    yyjson_mut_doc *live = read(fixture, in[0]);
    yyjson_mut_val *last = in[1] ? yyjson_mut_doc_get_root(read(fixture, in[1])) : NULL;
    yyjson_mut_val *next = yyjson_mut_doc_get_root(read(fixture, in[2]));
    yyjson_mut_val *root = yyjson_mut_doc_get_root(live);
    assert_non_null(kind);
    assert_int_equal(ctl_merge(kind->type, live, root, last, next, NULL), 0);
    struct tt_buf text;
    tt_buf_init(&text, 1 << 20);
    tt_json_write(&text, root);
    bool same = tt_json_equal(root, yyjson_mut_doc_get_root(read(fixture, wanted)));
    if (!same) {
        print_message("got    %s\nwanted %s\n", text.ptr, wanted);
    }
    tt_buf_fini(&text);
    assert_true(same);
}

#define POD(containers) "{\"spec\":{\"template\":{\"spec\":{\"containers\":[" containers "]}}}}"

static void the_manifest_wins_and_others_fields_stay(void **state)
{
    const char *const in[3] = {"{\"spec\":{\"replicas\":5,\"paused\":true}}", NULL,
                               "{\"spec\":{\"replicas\":2}}"};
    assert_merge(*state, in, "{\"spec\":{\"replicas\":2,\"paused\":true}}");
}

static void a_field_given_up_goes_and_one_never_had_stays(void **state)
{
    const char *const in[3] = {"{\"metadata\":{\"labels\":{\"mine\":\"1\",\"theirs\":\"2\"}}}",
                               "{\"metadata\":{\"labels\":{\"mine\":\"1\"}}}",
                               "{\"metadata\":{\"labels\":{}}}"};
    assert_merge(*state, in, "{\"metadata\":{\"labels\":{\"theirs\":\"2\"}}}");
}

static void containers_merge_by_name_and_keep_defaults(void **state)
{
    const char *const in[3] = {
        POD("{\"name\":\"a\",\"image\":\"1\",\"resources\":{}},{\"name\":\"side\",\"image\":"
            "\"s\"}"),
        POD("{\"name\":\"a\",\"image\":\"1\"}"),
        POD("{\"name\":\"b\",\"image\":\"9\"},{\"name\":\"a\",\"image\":\"2\"}")};
    assert_merge(*state, in,
                 POD("{\"name\":\"b\",\"image\":\"9\"},"
                     "{\"name\":\"a\",\"image\":\"2\",\"resources\":{}},"
                     "{\"name\":\"side\",\"image\":\"s\"}"));
}

static void a_container_given_up_goes(void **state)
{
    const char *const in[3] = {POD("{\"name\":\"a\"},{\"name\":\"b\"}"),
                               POD("{\"name\":\"a\"},{\"name\":\"b\"}"), POD("{\"name\":\"b\"}")};
    assert_merge(*state, in, POD("{\"name\":\"b\"}"));
}

static void lists_without_a_key_are_replaced(void **state)
{
    const char *const in[3] = {POD("{\"name\":\"a\",\"args\":[\"x\",\"y\"]}"), NULL,
                               POD("{\"name\":\"a\",\"args\":[\"z\"]}")};
    assert_merge(*state, in, POD("{\"name\":\"a\",\"args\":[\"z\"]}"));
}

static void finalizers_are_a_set(void **state)
{
    const char *const in[3] = {"{\"metadata\":{\"finalizers\":[\"mine\",\"theirs\"]}}",
                               "{\"metadata\":{\"finalizers\":[\"mine\"]}}",
                               "{\"metadata\":{\"finalizers\":[\"new\"]}}"};
    assert_merge(*state, in, "{\"metadata\":{\"finalizers\":[\"theirs\",\"new\"]}}");
}

static void another_strategy_drops_the_members_of_the_old_one(void **state)
{
    const char *const in[3] = {
        "{\"spec\":{\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1}}}}",
        NULL, "{\"spec\":{\"strategy\":{\"type\":\"Recreate\"}}}"};
    assert_merge(*state, in, "{\"spec\":{\"strategy\":{\"type\":\"Recreate\"}}}");
}

static void the_same_strategy_keeps_its_defaults(void **state)
{
    const char *const in[3] = {
        "{\"spec\":{\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1}}}}",
        NULL, "{\"spec\":{\"strategy\":{\"type\":\"RollingUpdate\"}}}"};
    assert_merge(*state, in, in[0]);
}

static void null_removes(void **state)
{
    const char *const in[3] = {"{\"spec\":{\"replicas\":1,\"paused\":true}}", NULL,
                               "{\"spec\":{\"paused\":null}}"};
    assert_merge(*state, in, "{\"spec\":{\"replicas\":1}}");
}

/* Bytes as kubectl 1.32 writes them. */
static void the_annotation_has_the_form_of_kubectl(void **state)
{
    struct fixture *fixture = *state;
    yyjson_mut_doc *doc =
        read(fixture, "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"x\"},"
                      "\"data\":{\"b\":\"<&>\\n\",\"a\":\"\\\"\"}}");
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    assert_int_equal(ctl_last_applied_set(doc, root, NULL), 0);
    assert_int_equal(ctl_last_applied_set(doc, root, NULL), 0); /* does not nest */
    struct tt_str text = tt_json_str_of(
        tt_json_member(tt_json_get(root, "metadata.annotations"), TT_STR(CTL_LAST_APPLIED)));
    assert_true(tt_str_eq_c(
        text, "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"\\\"\",\"b\":\"\\u003c\\u0026\\u003e\\n\"},"
              "\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\"name\":\"x\"}}\n"));
    yyjson_mut_val *last = NULL;
    ctl_last_applied_get(fixture->arena, root, &last);
    assert_true(tt_str_eq_c(tt_json_get_str(last, "data.b"), "<&>\n"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_manifest_wins_and_others_fields_stay),
        TEST(a_field_given_up_goes_and_one_never_had_stays),
        TEST(containers_merge_by_name_and_keep_defaults),
        TEST(a_container_given_up_goes),
        TEST(lists_without_a_key_are_replaced),
        TEST(finalizers_are_a_set),
        TEST(another_strategy_drops_the_members_of_the_old_one),
        TEST(the_same_strategy_keeps_its_defaults),
        TEST(null_removes),
        TEST(the_annotation_has_the_form_of_kubectl),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
