#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/admission/object.h"
#include "api/admission/seal.h"
#include "tests/support/store_fixture.h"

struct bench {
    struct store_fixture fixture;
    struct tt_registry *registry;
    struct tt_kinds *kinds;
    struct tt_arena *arena;
    struct tt_subject subject;
    struct tt_admission admission;
};

static int setup(void **state)
{
    struct bench *b = TT_NEW(struct bench);
    store_fixture_init(&b->fixture);
    (void)store_fixture_put(&b->fixture, "o/core/namespaces//live",
                            "{\"kind\":\"Namespace\",\"metadata\":{\"name\":\"live\"}}");
    (void)store_fixture_put(&b->fixture, "o/core/namespaces//dying",
                            "{\"kind\":\"Namespace\",\"metadata\":{\"name\":\"dying\","
                            "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"}}");
    (void)store_fixture_put(&b->fixture, "o/core/namespaces//noted",
                            "{\"kind\":\"Namespace\",\"metadata\":{\"name\":\"noted\","
                            "\"annotations\":{\"deletionTimestamp\":\"never\"}}}");
    (void)store_fixture_put(&b->fixture, "o/core/pods/live/mine",
                            "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"mine\"},\"spec\":{"
                            "\"nodeName\":\"n1\"}}");
    assert_int_equal(tt_registry_new(&b->registry, NULL), TT_OK);
    b->kinds = tt_registry_get(b->registry);
    b->arena = tt_arena_new(1 << 16, 1 << 24);
    b->subject = (struct tt_subject){.kind = TT_SUBJECT_ADMIN};
    b->admission = (struct tt_admission){.version = tt_store_version(b->fixture.store),
                                         .arena = b->arena,
                                         .subject = &b->subject,
                                         .now_ms = 1000000};
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    tt_version_unref(b->admission.version);
    tt_arena_free(b->arena);
    tt_kinds_unref(b->kinds);
    tt_registry_free(b->registry);
    store_fixture_fini(&b->fixture);
    tt_free(b);
    return 0;
}

static struct tt_object object(struct bench *b, const char *plural, const char *json)
{
    struct tt_object result;
    const struct tt_kind *kind =
        tt_kinds_resource(b->kinds, TT_STR(""), TT_STR("v1"), tt_str_c(plural));
    assert_int_equal(tt_object_stored(kind, b->arena, tt_str_c(json), 0, &result, NULL), TT_OK);
    return result;
}

static void a_live_namespace_becomes_a_compare(void **state)
{
    struct bench *b = *state;
    struct tt_object cm = object(b, "configmaps", "{\"metadata\":{\"name\":\"x\"}}");
    assert_int_equal(tt_admit_namespace(&b->admission, &cm, TT_STR("live"), NULL), TT_OK);
    assert_int_equal(b->admission.compare_count, 1);
    assert_true(tt_str_eq_c(b->admission.compares[0].key, "o/core/namespaces//live"));
    assert_int_equal(b->admission.compares[0].mod_revision, 1);
}

static void only_the_mark_itself_makes_a_namespace_dying(void **state)
{
    struct bench *b = *state;
    struct tt_object cm = object(b, "configmaps", "{\"metadata\":{\"name\":\"x\"}}");
    assert_int_equal(tt_admit_namespace(&b->admission, &cm, TT_STR("noted"), NULL), TT_OK);
}

static void absent_and_dying_namespaces_take_nothing(void **state)
{
    struct bench *b = *state;
    struct tt_object cm = object(b, "configmaps", "{\"metadata\":{\"name\":\"x\"}}");
    assert_int_equal(tt_admit_namespace(&b->admission, &cm, TT_STR("none"), NULL), TT_ENOTFOUND);
    assert_int_equal(tt_admit_namespace(&b->admission, &cm, TT_STR("dying"), NULL), TT_EFORBIDDEN);
    assert_int_equal(b->admission.compare_count, 0);
}

static void a_granted_name_binds(void **state)
{
    struct bench *b = *state;
    struct tt_object node = object(b, "nodes", "{\"metadata\":{\"name\":\"n2\"}}");
    b->admission.grant.only_name = TT_STR("n1");
    assert_int_equal(tt_admit_grant(&b->admission, &node, NULL), TT_EFORBIDDEN);
    b->admission.grant.only_name = TT_STR("n2");
    assert_int_equal(tt_admit_grant(&b->admission, &node, NULL), TT_OK);
}

#define POD(ns, name) "{\"kind\":\"Pod\",\"namespace\":" ns ",\"name\":\"" name "\"}"
#define EVENT(bond)                                                                                \
    "{\"metadata\":{\"name\":\"e\",\"namespace\":\"live\"" bond                                    \
    "},\"involvedObject\":" POD("\"live\"", "mine") "}"

static void events_are_about_own_things_only(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *ns;
        const char *about;
        const char *refusal; /* NULL: allowed */
    } cases[] = {
        {"default", "{\"kind\":\"Node\",\"name\":\"n1\"}", NULL},
        {"live", "{\"kind\":\"Node\",\"name\":\"n1\"}", "in the namespace \"default\""},
        {"default", "{\"kind\":\"Node\",\"name\":\"n2\"}", "itself and its pods"},
        {"live", POD("\"live\"", "mine"), NULL},
        {"live", POD("\"live\"", "other"), "itself and its pods"},
        {"noted", POD("\"live\"", "mine"), "in the pod's namespace"},
        {"live", POD("\"\"", "mine"), "itself and its pods"},
        {"live", "{\"kind\":\"Secret\",\"namespace\":\"live\",\"name\":\"mine\"}",
         "itself and its pods"},
    };
    b->admission.grant.event_node = TT_STR("n1");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *json = tt_arena_printf(
            b->arena, "{\"metadata\":{\"name\":\"e\",\"namespace\":\"%s\"},\"involvedObject\":%s}",
            cases[i].ns, cases[i].about);
        assert_non_null(json);
        struct tt_object event = object(b, "events", json);
        struct tt_err err;
        tt_err_init(&err);
        assert_int_equal(tt_admit_grant(&b->admission, &event, &err),
                         cases[i].refusal ? TT_EFORBIDDEN : TT_OK);
        assert_true(!cases[i].refusal || strstr(tt_err_cause(&err), cases[i].refusal));
    }
}

/* Written so, changed to that, and changed from that: all refused. */
static void an_agents_event_holds_and_belongs_to_nothing(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *bond;
        const char *refusal; /* NULL: allowed */
    } cases[] = {
        {"", NULL},
        {",\"finalizers\":[],\"ownerReferences\":[]", NULL},
        {",\"finalizers\":[\"example.com/hold\"]", "modify finalizers"},
        {",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"mine\","
         "\"uid\":\"u\"}]",
         "modify owner references"},
    };
    struct tt_object plain = object(b, "events", EVENT(""));
    b->subject.kind = TT_SUBJECT_AGENT;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *json = tt_arena_printf(b->arena, EVENT("%s"), cases[i].bond);
        assert_non_null(json);
        struct tt_object event = object(b, "events", json);
        struct tt_err err;
        b->admission.grant.event_node = TT_STR("n1");
        tt_err_init(&err);
        assert_int_equal(tt_admit_grant(&b->admission, &event, &err),
                         cases[i].refusal ? TT_EFORBIDDEN : TT_OK);
        assert_true(!cases[i].refusal || strstr(tt_err_cause(&err), cases[i].refusal));
        assert_int_equal(tt_admit_update(&b->admission, &plain, &event, NULL),
                         cases[i].refusal ? TT_EFORBIDDEN : TT_OK);
        b->admission.grant.event_node = TT_STR_NONE; /* not an agent's */
        assert_int_equal(tt_admit_grant(&b->admission, &event, NULL), TT_OK);
        assert_int_equal(tt_admit_update(&b->admission, &plain, &event, NULL), TT_OK);
    }
}

#define NODE(labels, spec)                                                                         \
    "{\"metadata\":{\"name\":\"n1\",\"labels\":{" labels "}},\"spec\":{" spec "}}"

static void an_agent_registers_with_labels_that_are_its_own(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *labels;
        int expected;
    } cases[] = {
        {"\"kubernetes.io/hostname\":\"n1\",\"rack\":\"7\"", TT_OK},
        {"\"example.com/team\":\"a\",\"notkubernetes.io/x\":\"a\"", TT_OK},
        {"\"kubelet.kubernetes.io/x\":\"a\",\"topology.kubernetes.io/zone\":\"a\"", TT_OK},
        {"\"node-restriction.kubernetes.io/fips\":\"a\"", TT_EFORBIDDEN},
        {"\"x.node-restriction.kubernetes.io/fips\":\"a\"", TT_EFORBIDDEN},
        {"\"node-role.kubernetes.io/control-plane\":\"\"", TT_EFORBIDDEN},
        {"\"kubernetes.io/other\":\"a\"", TT_EFORBIDDEN},
        {"\"a.k8s.io/other\":\"a\"", TT_EFORBIDDEN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *json = tt_arena_printf(b->arena,
                                     "{\"metadata\":{\"name\":\"n1\",\"labels\":{%s}},"
                                     "\"spec\":{\"taints\":[{\"key\":\"a\"}]}}",
                                     cases[i].labels);
        struct tt_object node = object(b, "nodes", json);
        b->subject.kind = TT_SUBJECT_AGENT;
        b->admission.grant.only_name = TT_STR("n1");
        assert_int_equal(tt_admit_create(&b->admission, &node, NULL), cases[i].expected);
        /* What an operator has added since then does not keep the agent from reporting. */
        assert_int_equal(tt_admit_grant(&b->admission, &node, NULL), TT_OK);
        b->subject.kind = TT_SUBJECT_ADMIN;
        assert_int_equal(tt_admit_create(&b->admission, &node, NULL), TT_OK);
    }
}

static void an_agent_changes_of_its_node_what_is_its_own(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *json;
        const char *refusal; /* NULL: allowed */
    } cases[] = {
        {NODE("\"a\":\"1\"", "\"taints\":[{\"key\":\"a\"}]"), NULL},
        {"{\"metadata\":{\"name\":\"n1\",\"labels\":{\"a\":\"1\"},\"finalizers\":[],"
         "\"annotations\":{\"x\":\"y\"}},\"spec\":{\"taints\":[{\"key\":\"a\"}]}}",
         NULL},
        {NODE("\"a\":\"2\"", "\"taints\":[{\"key\":\"a\"}]"), "modify labels"},
        {NODE("", "\"taints\":[{\"key\":\"a\"}]"), "modify labels"},
        {NODE("\"a\":\"1\"", ""), "modify taints"},
        {NODE("\"a\":\"1\"", "\"taints\":[{\"key\":\"b\"}]"), "modify taints"},
        {NODE("\"a\":\"1\"", "\"taints\":[{\"key\":\"a\"}],\"unschedulable\":true"),
         "modify its spec"},
        {"{\"metadata\":{\"name\":\"n1\",\"labels\":{\"a\":\"1\"},\"finalizers\":[\"x/y\"]},"
         "\"spec\":{\"taints\":[{\"key\":\"a\"}]}}",
         "modify finalizers"},
    };
    struct tt_object old = object(b, "nodes", cases[0].json);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tt_object node = object(b, "nodes", cases[i].json);
        struct tt_err err;
        tt_err_init(&err);
        b->subject.kind = TT_SUBJECT_AGENT;
        assert_int_equal(tt_admit_update(&b->admission, &node, &old, &err),
                         cases[i].refusal ? TT_EFORBIDDEN : TT_OK);
        assert_true(!cases[i].refusal || strstr(tt_err_cause(&err), cases[i].refusal));
        b->subject.kind = TT_SUBJECT_ADMIN;
        assert_int_equal(tt_admit_update(&b->admission, &node, &old, NULL), TT_OK);
    }
}

static int read_options(struct bench *b, const char *json, struct tt_delete_options *ret)
{
    yyjson_mut_doc *doc = NULL;
    assert_int_equal(
        tt_json_parse(b->arena, tt_str_c(json), TT_JSON_DUPLICATES_REFUSE, NULL, &doc, NULL),
        TT_OK);
    return tt_delete_options_read(yyjson_mut_doc_get_root(doc), ret, NULL);
}

static void delete_options_are_read_or_refused(void **state)
{
    struct bench *b = *state;
    struct tt_delete_options options;
    assert_int_equal(read_options(b,
                                  "{\"propagationPolicy\":\"Foreground\",\"gracePeriodSeconds\":5,"
                                  "\"dryRun\":[\"All\"],\"preconditions\":{\"uid\":\"u\","
                                  "\"resourceVersion\":\"7\"}}",
                                  &options),
                     TT_OK);
    assert_true(options.foreground && !options.orphan && options.dry_run && options.has_grace);
    assert_int_equal(options.grace_s, 5);
    assert_true(options.has_revision && options.revision == 7);
    assert_true(tt_str_eq_c(options.uid, "u"));
    assert_int_equal(read_options(b, "{\"propagationPolicy\":\"Up\"}", &options), TT_EINVALID);
    assert_int_equal(read_options(b, "{\"dryRun\":[\"Some\"]}", &options), TT_EINVAL);
    assert_int_equal(read_options(b, "{\"preconditions\":{\"resourceVersion\":\"x\"}}", &options),
                     TT_EINVAL);
}

static void preconditions_and_protection_come_first(void **state)
{
    struct bench *b = *state;
    struct tt_object cm = object(b, "configmaps", "{\"metadata\":{\"name\":\"x\",\"uid\":\"u1\"}}");
    struct tt_object ns = object(b, "namespaces", "{\"metadata\":{\"name\":\"default\"}}");
    struct tt_delete_options options = {.uid = TT_STR("u2")};
    enum tt_deletion outcome = TT_DELETION_UNCHANGED;
    assert_int_equal(tt_admit_delete(&b->admission, &cm, 9, &options, &outcome, NULL),
                     TT_ECONFLICT);
    options = (struct tt_delete_options){.has_revision = true, .revision = 8};
    assert_int_equal(tt_admit_delete(&b->admission, &cm, 9, &options, &outcome, NULL),
                     TT_ECONFLICT);
    options = (struct tt_delete_options){.uid = TT_STR("u1")};
    assert_int_equal(tt_admit_delete(&b->admission, &cm, 9, &options, &outcome, NULL), TT_OK);
    assert_int_equal(outcome, TT_DELETION_REMOVE);
    options = (struct tt_delete_options){0};
    assert_int_equal(tt_admit_delete(&b->admission, &ns, 9, &options, &outcome, NULL),
                     TT_EFORBIDDEN);
}

static void delete_pod(struct bench *b, const char *spec, const struct tt_delete_options *options,
                       int64_t *ret_grace_s)
{
    TT_AUTO_FREE char *json = tt_xasprintf(
        "{\"metadata\":{\"name\":\"x\",\"uid\":\"u1\"},\"spec\":{\"nodeName\":\"n\"%s}}", spec);
    struct tt_object pod = object(b, "pods", json);
    enum tt_deletion outcome = TT_DELETION_UNCHANGED;
    assert_int_equal(tt_admit_delete(&b->admission, &pod, 9, options, &outcome, NULL), TT_OK);
    assert_int_equal(outcome, TT_DELETION_MARK);
    *ret_grace_s = tt_json_get_i64(pod.root, "metadata.deletionGracePeriodSeconds", -1);
    struct tt_str at = tt_json_get_str(pod.root, "metadata.deletionTimestamp");
    assert_true(at.len > 3 && memcmp(at.ptr, "197", 3) == 0); /* it is 1970 */
}

static void a_grace_period_without_end_has_one(void **state)
{
    struct bench *b = *state;
    struct tt_delete_options options = {.has_grace = true, .grace_s = 7};
    int64_t grace_s = 0;
    delete_pod(b, "", &options, &grace_s);
    assert_int_equal(grace_s, 7);
    options.grace_s = UINT64_MAX;
    delete_pod(b, "", &options, &grace_s);
    assert_int_equal(grace_s, 10 * 365 * 86400);
    options.has_grace = false;
    delete_pod(b, ",\"terminationGracePeriodSeconds\":9223372036854775807", &options, &grace_s);
    assert_int_equal(grace_s, 10 * 365 * 86400);
}

static void secrets_are_never_stored_plain(void **state)
{
    struct bench *b = *state;
    struct tt_value value = {
        .codec = TT_CODEC_JSON, .splice = 13, .bytes = TT_STR("{\"metadata\":{\"name\":\"s\"}}")};
    struct tt_value plain = value;
    assert_int_equal(tt_value_seal(NULL, b->arena, TT_STR("o/core/configmaps/a/s"), &plain, NULL),
                     TT_OK);
    assert_int_equal(plain.codec, TT_CODEC_JSON);
    assert_int_equal(tt_value_seal(NULL, b->arena, TT_STR("o/core/secrets/a/s"), &value, NULL),
                     TT_EUNAVAILABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_live_namespace_becomes_a_compare),
        TEST(only_the_mark_itself_makes_a_namespace_dying),
        TEST(absent_and_dying_namespaces_take_nothing),
        TEST(a_granted_name_binds),
        TEST(events_are_about_own_things_only),
        TEST(an_agents_event_holds_and_belongs_to_nothing),
        TEST(an_agent_registers_with_labels_that_are_its_own),
        TEST(an_agent_changes_of_its_node_what_is_its_own),
        TEST(delete_options_are_read_or_refused),
        TEST(preconditions_and_protection_come_first),
        TEST(a_grace_period_without_end_has_one),
        TEST(secrets_are_never_stored_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
