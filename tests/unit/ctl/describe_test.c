/* Pages of single objects: each NAME.json of tests/golden/ctl, {"object", "related"}, comes out as
 * NAME.txt. Which list is read beside an object is told by a path. */
#include "ctl/describe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/json/json.h"
#include "base/clock.h"
#include "base/file.h"

enum { TEXT_SIZE_MAX = 1 << 20 };

static yyjson_doc *parse(struct tt_str text)
{
    char *copy = tt_str_xdup(text);
    yyjson_doc *doc = yyjson_read(copy, text.len, YYJSON_READ_NUMBER_AS_RAW);
    tt_free(copy);
    assert_non_null(doc);
    return doc;
}

/* Shows the first line that differs. */
static void assert_same_lines(struct tt_str got, struct tt_str wanted)
{
    struct tt_str got_line = TT_STR_NONE;
    struct tt_str wanted_line = TT_STR_NONE;
    for (int number = 1; !tt_str_eq(got, wanted); number++) {
        bool has_got = tt_str_cut(&got, '\n', &got_line);
        bool has_wanted = tt_str_cut(&wanted, '\n', &wanted_line);
        if (has_got != has_wanted || !tt_str_eq(got_line, wanted_line)) {
            fail_msg("line %d is\n%.*s\ninstead of\n%.*s", number, TT_STR_ARG(got_line),
                     TT_STR_ARG(wanted_line));
        }
    }
}

static void write_page(yyjson_val *root, struct tt_buf *text)
{
    struct ctl_page *page = ctl_page_new();
    struct ctl_description d = {.page = page,
                                .object = yyjson_obj_get(root, "object"),
                                .related = yyjson_obj_get(root, "related")};
    assert_true(tt_time_parse(TT_STR("2026-11-23T12:00:00Z"), &d.now_ms));
    ctl_describe(&d);
    ctl_page_write(page, text);
    ctl_page_free(page);
    assert_true(tt_buf_ok(text));
}

static void assert_golden(const char *name)
{
    struct tt_buf json;
    struct tt_buf wanted;
    struct tt_buf got;
    char path[128];
    tt_buf_init(&got, TEXT_SIZE_MAX);
    (void)snprintf(path, sizeof path, "tests/golden/ctl/%s.json", name);
    assert_int_equal(tt_file_read(path, TEXT_SIZE_MAX, &json, NULL), TT_OK);
    (void)snprintf(path, sizeof path, "tests/golden/ctl/%s.txt", name);
    assert_int_equal(tt_file_read(path, TEXT_SIZE_MAX, &wanted, NULL), TT_OK);
    yyjson_doc *doc = parse(tt_buf_view(&json));
    write_page(yyjson_doc_get_root(doc), &got);
    yyjson_doc_free(doc);
    assert_same_lines(tt_buf_view(&got), tt_buf_view(&wanted));
    tt_buf_fini(&json);
    tt_buf_fini(&wanted);
    tt_buf_fini(&got);
}

static void a_deployment_shows_its_template_and_its_sets(void **state)
{
    (void)state;
    assert_golden("deployment");
}

static void sets_that_could_not_be_read_are_unknown(void **state)
{
    (void)state;
    assert_golden("deployment_alone");
}

static void a_replicaset_counts_its_own_pods(void **state)
{
    (void)state;
    assert_golden("replicaset");
}

static void a_pod_shows_what_became_of_its_containers(void **state)
{
    (void)state;
    assert_golden("pod");
}

static void a_pod_on_its_way_out_is_terminating(void **state)
{
    (void)state;
    assert_golden("pod_leaving");
}

static void a_node_shows_what_its_pods_take(void **state)
{
    (void)state;
    assert_golden("node");
}

static void secrets_are_shown_by_size(void **state)
{
    (void)state;
    assert_golden("secret");
}

static void assert_related(const char *json, const char *wanted)
{
    struct tt_buf path;
    tt_buf_init(&path, 4096);
    tt_buf_c(&path, "");
    yyjson_doc *doc = parse(tt_str_c(json));
    ctl_describe_related(yyjson_doc_get_root(doc), &path);
    yyjson_doc_free(doc);
    assert_string_equal(path.ptr != NULL ? path.ptr : "", wanted);
    tt_buf_fini(&path);
}

static void what_is_read_beside_an_object_goes_by_its_kind(void **state)
{
    (void)state;
    assert_related("{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{"
                   "\"namespace\":\"shop\"},\"spec\":{\"selector\":{\"matchLabels\":"
                   "{\"a\":\"b\",\"c\":\"d\"}}}}",
                   "/apis/apps/v1/namespaces/shop/replicasets?labelSelector=a%3Db%2Cc%3Dd");
    assert_related("{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"metadata\":{"
                   "\"namespace\":\"shop\"},\"spec\":{\"selector\":{\"matchExpressions\":["
                   "{\"key\":\"a\",\"operator\":\"Exists\"}]}}}",
                   "/api/v1/namespaces/shop/pods?labelSelector=a");
    assert_related("{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\"}}",
                   "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1%2Cstatus.phase%21%3DSucceeded"
                   "%2Cstatus.phase%21%3DFailed");
    assert_related("{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}", "");
    assert_related("{\"apiVersion\":\"other/v1\",\"kind\":\"Node\"}", "");
}

static void values_of_a_section_stand_in_one_column(void **state)
{
    (void)state;
    struct ctl_page *page = ctl_page_new();
    struct tt_buf text;
    tt_buf_init(&text, 4096);
    ctl_page_field(page, "A", TT_STR("1\n2"));
    ctl_page_open(page, TT_STR("Longer than all others"), TT_STR(""));
    ctl_page_field(page, "Bcd", TT_STR(""));
    ctl_page_lines(page, TT_STR("  as it is\nx\x1b"));
    ctl_page_close(page);
    ctl_page_open(page, TT_STR("State"), TT_STR("on"));
    ctl_page_close(page);
    ctl_page_write(page, &text);
    assert_string_equal(text.ptr, "A:      1\n"
                                  "        2\n"
                                  "Longer than all others:\n"
                                  "  Bcd:  <none>\n"
                                  "    as it is\n"
                                  "  x?\n"
                                  "State:  on\n");
    ctl_page_free(page);
    tt_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deployment_shows_its_template_and_its_sets),
        cmocka_unit_test(sets_that_could_not_be_read_are_unknown),
        cmocka_unit_test(a_replicaset_counts_its_own_pods),
        cmocka_unit_test(a_pod_shows_what_became_of_its_containers),
        cmocka_unit_test(a_pod_on_its_way_out_is_terminating),
        cmocka_unit_test(a_node_shows_what_its_pods_take),
        cmocka_unit_test(secrets_are_shown_by_size),
        cmocka_unit_test(what_is_read_beside_an_object_goes_by_its_kind),
        cmocka_unit_test(values_of_a_section_stand_in_one_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
