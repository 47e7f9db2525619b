#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/auth/auth.h"
#include "tests/support/store_fixture.h"

static struct tt_peer_identity peer(enum tt_role role, const char *name, const char *group)
{
    struct tt_peer_identity identity = {.role = role};
    memcpy(identity.name, name, strlen(name) + 1);
    memcpy(identity.uri, "spiffe://c/x/y", sizeof "spiffe://c/x/y");
    if (group) {
        identity.group_count = 1;
        memcpy(identity.groups[0], group, strlen(group) + 1);
    }
    return identity;
}

static int ask(const struct tt_peer_identity *identity, struct tt_auth_request request,
               struct tt_version *version, struct tt_err *err)
{
    struct tt_subject subject;
    struct tt_auth_grant grant;
    tt_subject_from_peer(identity, &subject);
    return tt_authorise(&subject, &request, version, &grant, err);
}

static struct tt_auth_request on(enum tt_verb verb, const char *resource, const char *ns,
                                 const char *name)
{
    return (struct tt_auth_request){.verb = verb,
                                    .group = TT_STR(""),
                                    .resource = tt_str_c(resource),
                                    .subresource = TT_STR(""),
                                    .ns = tt_str_c(ns),
                                    .name = tt_str_c(name),
                                    .selector_name = TT_STR(""),
                                    .selector_node = TT_STR("")};
}

static void nobody_may_do_anything_by_default(void **state)
{
    (void)state;
    struct tt_peer_identity user = peer(TT_IDENTITY_USER, "u", NULL);
    for (unsigned verb = 0; verb < TT_VERB_COUNT; verb++) {
        assert_int_equal(ask(&user, on((enum tt_verb)verb, "pods", "a", "b"), NULL, NULL),
                         TT_EFORBIDDEN);
        assert_int_equal(ask(NULL, on((enum tt_verb)verb, "pods", "a", "b"), NULL, NULL),
                         TT_EUNAUTHORIZED);
    }
}

static void a_group_counts_only_for_users(void **state)
{
    (void)state;
    struct tt_peer_identity agent = peer(TT_IDENTITY_AGENT, "n1", "tutti:admins");
    assert_int_equal(ask(&agent, on(TT_VERB_DELETE, "pods", "a", "b"), NULL, NULL), TT_EFORBIDDEN);
    struct tt_peer_identity near = peer(TT_IDENTITY_USER, "u", "tutti:admins2");
    assert_int_equal(ask(&near, on(TT_VERB_GET, "pods", "a", "b"), NULL, NULL), TT_EFORBIDDEN);
}

static void a_reader_reads_all_but_secrets(void **state)
{
    (void)state;
    struct tt_peer_identity reader = peer(TT_IDENTITY_USER, "r", TT_GROUP_READERS);
    assert_int_equal(ask(&reader, on(TT_VERB_LIST, "pods", "", ""), NULL, NULL), TT_OK);
    assert_int_equal(ask(&reader, on(TT_VERB_GET, "secrets", "a", "b"), NULL, NULL), TT_EFORBIDDEN);
    assert_int_equal(ask(&reader, on(TT_VERB_WATCH, "secrets", "", ""), NULL, NULL), TT_EFORBIDDEN);
    assert_int_equal(ask(&reader, on(TT_VERB_CREATE, "pods", "a", ""), NULL, NULL), TT_EFORBIDDEN);
}

static void the_refusal_reads_as_clients_expect(void **state)
{
    (void)state;
    struct tt_peer_identity user = peer(TT_IDENTITY_USER, "joe", NULL);
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(ask(&user, on(TT_VERB_GET, "pods", "a", "b"), NULL, &err), TT_EFORBIDDEN);
    assert_string_equal(tt_err_cause(&err),
                        "pods \"b\" is forbidden: User \"joe\" cannot get resource \"pods\" in "
                        "API group \"\" in the namespace \"a\"");
}

/* ---- agents ---- */

#define POD(name, node, rest)                                                                      \
    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"" name                       \
    "\",\"namespace\":\"a\"},\"spec\":{\"nodeName\":\"" node "\"" rest "}}"

static int setup_pods(void **state)
{
    struct store_fixture *fixture = TT_NEW(struct store_fixture);
    store_fixture_init(fixture);
    (void)store_fixture_put(fixture, "o/core/pods/a/mine",
                            POD("mine", "n1",
                                ",\"volumes\":[{\"secret\":{\"secretName\":\"s-vol\"}},"
                                "{\"projected\":{\"sources\":[{\"configMap\":{\"name\":\"c-"
                                "proj\"}}]}}],\"containers\":[{\"env\":[{\"valueFrom\":{"
                                "\"secretKeyRef\":{\"name\":\"s-env\"}}}],\"envFrom\":[{"
                                "\"configMapRef\":{\"name\":\"c-env\"}}]}]"));
    (void)store_fixture_put(fixture, "o/core/events/a/told",
                            "{\"metadata\":{\"name\":\"told\"},\"source\":{\"host\":\"n1\"}}");
    (void)store_fixture_put(fixture, "o/core/events/a/foreign",
                            "{\"metadata\":{\"name\":\"foreign\"},\"source\":{\"host\":\"n2\"}}");
    (void)store_fixture_put(fixture, "o/core/pods/a/other",
                            POD("other", "n2",
                                ",\"volumes\":[{\"secret\":{\"secretName\":\"s-n2\"}}],"
                                "\"hostname\":\"n1\""));
    *state = fixture;
    return 0;
}

static int teardown_pods(void **state)
{
    store_fixture_fini(*state);
    tt_free(*state);
    return 0;
}

static int agent_asks(void **state, struct tt_auth_request request)
{
    struct store_fixture *fixture = *state;
    struct tt_peer_identity agent = peer(TT_IDENTITY_AGENT, "n1", NULL);
    struct tt_version *version = tt_store_version(fixture->store);
    int r = ask(&agent, request, version, NULL);
    tt_version_unref(version);
    return r;
}

static void an_agent_reads_only_what_its_pods_name(void **state)
{
    assert_int_equal(agent_asks(state, on(TT_VERB_GET, "secrets", "a", "s-vol")), TT_OK);
    assert_int_equal(agent_asks(state, on(TT_VERB_GET, "secrets", "a", "s-env")), TT_OK);
    assert_int_equal(agent_asks(state, on(TT_VERB_GET, "configmaps", "a", "c-proj")), TT_OK);
    assert_int_equal(agent_asks(state, on(TT_VERB_GET, "configmaps", "a", "c-env")), TT_OK);
    /* named by a pod of another node, by nobody, in another namespace, of the other kind */
    assert_int_equal(agent_asks(state, on(TT_VERB_GET, "secrets", "a", "s-n2")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_GET, "secrets", "a", "x")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_GET, "secrets", "b", "s-vol")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_GET, "secrets", "a", "c-env")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_LIST, "secrets", "a", "")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_UPDATE, "secrets", "a", "s-vol")), TT_EFORBIDDEN);
}

static void an_agent_touches_only_its_own_pods(void **state)
{
    struct tt_auth_request status = on(TT_VERB_PATCH, "pods", "a", "mine");
    status.subresource = TT_STR("status");
    assert_int_equal(agent_asks(state, status), TT_OK);
    status.name = TT_STR("other");
    assert_int_equal(agent_asks(state, status), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_UPDATE, "pods", "a", "mine")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_DELETE, "pods", "a", "mine")), TT_OK);
    assert_int_equal(agent_asks(state, on(TT_VERB_DELETE, "pods", "a", "other")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_CREATE, "pods", "a", "")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_WATCH, "pods", "", "")), TT_EFORBIDDEN);
    struct tt_auth_request watch = on(TT_VERB_WATCH, "pods", "", "");
    watch.selector_node = TT_STR("n1");
    assert_int_equal(agent_asks(state, watch), TT_OK);
    watch.selector_node = TT_STR("n2");
    assert_int_equal(agent_asks(state, watch), TT_EFORBIDDEN);
}

static void an_agent_writes_only_its_own_node_and_lease(void **state)
{
    assert_int_equal(agent_asks(state, on(TT_VERB_UPDATE, "nodes", "", "n1")), TT_OK);
    assert_int_equal(agent_asks(state, on(TT_VERB_UPDATE, "nodes", "", "n2")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_DELETE, "nodes", "", "n1")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_LIST, "nodes", "", "")), TT_EFORBIDDEN);
    struct tt_auth_request lease = on(TT_VERB_UPDATE, "leases", "kube-node-lease", "n1");
    lease.group = TT_STR("coordination.k8s.io");
    assert_int_equal(agent_asks(state, lease), TT_OK);
    lease.ns = TT_STR("kube-system");
    assert_int_equal(agent_asks(state, lease), TT_EFORBIDDEN);
}

static void an_agent_changes_only_events_that_it_reported(void **state)
{
    assert_int_equal(agent_asks(state, on(TT_VERB_CREATE, "events", "a", "")), TT_OK);
    assert_int_equal(agent_asks(state, on(TT_VERB_PATCH, "events", "a", "told")), TT_OK);
    assert_int_equal(agent_asks(state, on(TT_VERB_PATCH, "events", "a", "foreign")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_PATCH, "events", "a", "gone")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_DELETE, "events", "a", "told")), TT_EFORBIDDEN);
    assert_int_equal(agent_asks(state, on(TT_VERB_LIST, "events", "a", "")), TT_EFORBIDDEN);
}

static void creating_its_node_binds_the_name(void **state)
{
    struct store_fixture *fixture = *state;
    struct tt_peer_identity agent = peer(TT_IDENTITY_AGENT, "n1", NULL);
    struct tt_version *version = tt_store_version(fixture->store);
    struct tt_subject subject;
    struct tt_auth_grant grant;
    struct tt_auth_request request = on(TT_VERB_CREATE, "nodes", "", "");
    tt_subject_from_peer(&agent, &subject);
    assert_int_equal(tt_authorise(&subject, &request, version, &grant, NULL), TT_OK);
    assert_true(tt_str_eq_c(grant.only_name, "n1"));
    tt_version_unref(version);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_pods, teardown_pods)
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_may_do_anything_by_default),
        cmocka_unit_test(a_group_counts_only_for_users),
        cmocka_unit_test(a_reader_reads_all_but_secrets),
        cmocka_unit_test(the_refusal_reads_as_clients_expect),
        TEST(an_agent_reads_only_what_its_pods_name),
        TEST(an_agent_touches_only_its_own_pods),
        TEST(an_agent_writes_only_its_own_node_and_lease),
        TEST(an_agent_changes_only_events_that_it_reported),
        TEST(creating_its_node_binds_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
