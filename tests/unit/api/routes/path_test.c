#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/routes/path.h"

static int setup(void **state)
{
    *state = tt_arena_new(4096, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    tt_arena_free(*state);
    return 0;
}

static struct api_path parse(void **state, const char *text)
{
    struct api_path path;
    assert_int_equal(api_path_parse(*state, TT_HTTP_GET, tt_str_c(text), &path, NULL), TT_OK);
    return path;
}

static int parse_error(void **state, enum tt_http_method method, const char *text)
{
    struct api_path path;
    return api_path_parse(*state, method, tt_str_c(text), &path, NULL);
}

static void namespaced_object_is_recognised(void **state)
{
    struct api_path path = parse(state, "/apis/apps/v1/namespaces/shop/deployments/web/status");
    assert_int_equal(path.route, API_ROUTE_RESOURCE);
    assert_true(tt_str_eq_c(path.group, "apps") && tt_str_eq_c(path.version, "v1"));
    assert_true(tt_str_eq_c(path.ns, "shop") && tt_str_eq_c(path.resource, "deployments"));
    assert_true(tt_str_eq_c(path.name, "web") && tt_str_eq_c(path.subresource, "status"));
}

static void collection_over_all_namespaces_has_none(void **state)
{
    struct api_path path = parse(state, "/api/v1/pods");
    assert_int_equal(path.ns.len + path.name.len + path.group.len, 0);
    assert_true(tt_str_eq_c(path.resource, "pods"));
}

static void a_namespace_is_an_object_and_a_scope(void **state)
{
    struct api_path object = parse(state, "/api/v1/namespaces/shop");
    assert_true(tt_str_eq_c(object.resource, "namespaces") && tt_str_eq_c(object.name, "shop"));
    assert_int_equal(object.ns.len, 0);
    struct api_path finalize = parse(state, "/api/v1/namespaces/shop/finalize");
    assert_true(tt_str_eq_c(finalize.resource, "namespaces"));
    assert_true(tt_str_eq_c(finalize.subresource, "finalize"));
    struct api_path scope = parse(state, "/api/v1/namespaces/shop/pods");
    assert_true(tt_str_eq_c(scope.resource, "pods") && tt_str_eq_c(scope.ns, "shop"));
}

static void discovery_paths_are_told_apart(void **state)
{
    assert_int_equal(parse(state, "/api").route, API_ROUTE_CORE_VERSIONS);
    assert_int_equal(parse(state, "/api/").route, API_ROUTE_CORE_VERSIONS);
    assert_int_equal(parse(state, "/apis").route, API_ROUTE_GROUPS);
    assert_int_equal(parse(state, "/apis/apps").route, API_ROUTE_GROUP);
    assert_int_equal(parse(state, "/apis/apps/v1").route, API_ROUTE_RESOURCES);
    assert_int_equal(parse(state, "/api/v1").route, API_ROUTE_RESOURCES);
    assert_true(tt_str_eq_c(parse(state, "/openapi/v3/apis/apps/v1").rest, "apis/apps/v1"));
}

static void what_leads_nowhere_is_not_found(void **state)
{
    static const char *const paths[] = {"/",
                                        "",
                                        "/nowhere",
                                        "/apis//",
                                        "/api//v1",
                                        "/apis//v1",
                                        "/api/v1//pods",
                                        "/tutti",
                                        "/api/v1/namespaces/a/pods/b/c/d"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(parse_error(state, TT_HTTP_GET, paths[i]), TT_ENOTFOUND);
    }
}

static void an_escaped_slash_cannot_leave_its_segment(void **state)
{
    assert_int_equal(parse_error(state, TT_HTTP_GET, "/api/v1/namespaces/a%2Fb/pods"), TT_EINVAL);
    assert_int_equal(parse_error(state, TT_HTTP_GET, "/api/v1/namespaces/a%00/pods"), TT_EINVAL);
    assert_int_equal(parse_error(state, TT_HTTP_GET, "/api/v1/pods%"), TT_EINVAL);
}

static void a_known_path_under_another_method_says_so(void **state)
{
    assert_int_equal(parse_error(state, TT_HTTP_DELETE, "/version"), TT_EMETHOD);
    assert_int_equal(parse_error(state, TT_HTTP_POST, "/apis/apps/v1"), TT_EMETHOD);
}

static int verb_of(const struct api_path *path, enum tt_http_method method, bool watch)
{
    enum tt_verb verb = TT_VERB_COUNT;
    int r = api_path_verb(path, method, watch, &verb, NULL);
    return r ? r : (int)verb;
}

static void verbs_follow_method_and_shape(void **state)
{
    struct api_path collection = parse(state, "/api/v1/namespaces/a/pods");
    struct api_path object = parse(state, "/api/v1/namespaces/a/pods/b");
    assert_int_equal(verb_of(&collection, TT_HTTP_GET, false), TT_VERB_LIST);
    assert_int_equal(verb_of(&collection, TT_HTTP_GET, true), TT_VERB_WATCH);
    assert_int_equal(verb_of(&object, TT_HTTP_GET, false), TT_VERB_GET);
    assert_int_equal(verb_of(&collection, TT_HTTP_DELETE, false), TT_VERB_DELETECOLLECTION);
    assert_int_equal(verb_of(&object, TT_HTTP_POST, false), TT_EMETHOD);
    assert_int_equal(verb_of(&collection, TT_HTTP_PUT, false), TT_EMETHOD);
    assert_int_equal(verb_of(&object, TT_HTTP_HEAD, false), TT_EMETHOD);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(namespaced_object_is_recognised),
        TEST(collection_over_all_namespaces_has_none),
        TEST(a_namespace_is_an_object_and_a_scope),
        TEST(discovery_paths_are_told_apart),
        TEST(what_leads_nowhere_is_not_found),
        TEST(an_escaped_slash_cannot_leave_its_segment),
        TEST(a_known_path_under_another_method_says_so),
        TEST(verbs_follow_method_and_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
