/* The authorisation matrix: every fixed route and every resource, subresource and verb of the
 * registry against every kind of subject. A route or resource without a row here fails the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "api/kinds/registry.h"
#include "api/routes/path.h"
#include "tests/support/store_fixture.h"

/* Letters of subjects, in the order of enum tt_subject_kind: anonymous, nobody, reader, admin,
 * server, agent. */
static const char subject_letters[TT_SUBJECT_KIND_COUNT + 1] = "-nrAsa";

/* Who may: the letters of the subjects. */
struct fixed_row {
    const char *path;
    enum tt_http_method method;
    const char *allowed;
};
static const struct fixed_row fixed_rows[] = {
    {"/version", TT_HTTP_GET, "nrAsa"},
    {"/healthz", TT_HTTP_GET, "-nrAsa"},
    {"/livez", TT_HTTP_GET, "-nrAsa"},
    {"/readyz", TT_HTTP_GET, "-nrAsa"},
    {"/metrics", TT_HTTP_GET, "rAs"},
    {"/api", TT_HTTP_GET, "nrAsa"},
    {"/apis", TT_HTTP_GET, "nrAsa"},
    {"/openapi/v2", TT_HTTP_GET, "nrAsa"},
    {"/openapi/v3", TT_HTTP_GET, "nrAsa"},
    {"/openapi/v3/*", TT_HTTP_GET, "nrAsa"},
    {"/tutti/v1/join", TT_HTTP_POST, "-nrAsa"},
    {"/tutti/v1/tokens", TT_HTTP_POST, "A"},
    {"/tutti/v1/certificates/renew", TT_HTTP_POST, "nrAsa"},
    {"/tutti/v1/certificates/revoked", TT_HTTP_GET, "rAs"},
    {"/tutti/v1/certificates/revoked", TT_HTTP_POST, "A"},
    {"/tutti/v1/cluster", TT_HTTP_GET, "rAs"},
    {"/tutti/v1/cluster/members", TT_HTTP_POST, "A"},
    {"/tutti/v1/cluster/promote", TT_HTTP_POST, "A"},
    {"/tutti/v1/cluster/remove", TT_HTTP_POST, "A"},
    {"/tutti/v1/cluster/transfer", TT_HTTP_POST, "A"},
    {"/tutti/v1/cluster/snapshot", TT_HTTP_POST, "A"},
    {"/tutti/v1/cluster/backup", TT_HTTP_GET, "A"},
};

/* Verbs by letter, in the order of enum tt_verb: get list watch create update patch delete
 * deletecollection(x). Agents are asked about what is theirs (name n1, pod `mine`, selector n1),
 * and must have nothing of anybody else's. Administrators have every verb. */
static const char verb_letters[TT_VERB_COUNT + 1] = "glwcupdx";
struct resource_row {
    const char *resource; /* "group/plural" or "group/plural/subresource" */
    const char *nobody, *reader, *server;
    const char *agent_own;
};
static const struct resource_row resource_rows[] = {
    {"/configmaps", "", "glw", "glw", "glw"},
    {"/events", "", "glw", "glw", "c"},
    {"/namespaces", "", "glw", "glw", ""},
    {"/namespaces/finalize", "", "", "", ""},
    {"/namespaces/status", "", "glw", "glw", ""},
    {"/nodes", "", "glw", "glw", "glwcup"},
    {"/nodes/status", "", "glw", "glw", "glwup"},
    {"/pods", "", "glw", "glw", "glwd"},
    {"/pods/binding", "", "", "", ""},
    {"/pods/eviction", "", "", "", ""},
    {"/pods/log", "", "glw", "glw", ""},
    {"/pods/status", "", "glw", "glw", "glwup"},
    {"/secrets", "", "", "", "glw"},
    {"/serviceaccounts", "", "glw", "glw", ""},
    {"/services", "", "glw", "glw", ""},
    {"/services/status", "", "glw", "glw", ""},
    {"apps/deployments", "", "glw", "glw", ""},
    {"apps/deployments/scale", "", "glw", "glw", ""},
    {"apps/deployments/status", "", "glw", "glw", ""},
    {"apps/replicasets", "", "glw", "glw", ""},
    {"apps/replicasets/scale", "", "glw", "glw", ""},
    {"apps/replicasets/status", "", "glw", "glw", ""},
    {"authentication.k8s.io/selfsubjectreviews", "c", "cglw", "cglw", "c"},
    {"authorization.k8s.io/selfsubjectaccessreviews", "c", "cglw", "cglw", "c"},
    {"authorization.k8s.io/selfsubjectrulesreviews", "c", "cglw", "cglw", "c"},
    {"coordination.k8s.io/leases", "", "glw", "glw", "glwcupd"},
};

static struct tt_subject subject_of(enum tt_subject_kind kind)
{
    return (struct tt_subject){
        .kind = kind, .name = TT_STR("n1"), .uri = TT_STR("spiffe://c/x/n1")};
}

static const struct fixed_row *fixed_row(const struct api_fixed_route *route)
{
    for (size_t i = 0; i < sizeof fixed_rows / sizeof fixed_rows[0]; i++) {
        if (strcmp(fixed_rows[i].path, route->path) == 0 && fixed_rows[i].method == route->method) {
            return &fixed_rows[i];
        }
    }
    return NULL;
}

static void every_fixed_route_is_open_to_whom_the_matrix_says(void **state)
{
    (void)state;
    size_t count = 0;
    const struct api_fixed_route *routes = api_fixed_routes(&count);
    for (size_t i = 0; i < count; i++) {
        const struct fixed_row *row = fixed_row(&routes[i]);
        if (!row) {
            fail_msg("no row for %s", routes[i].path);
        }
        for (unsigned kind = 0; kind < TT_SUBJECT_KIND_COUNT; kind++) {
            struct tt_subject subject = subject_of((enum tt_subject_kind)kind);
            struct tt_auth_request request = {
                .access = routes[i].access, .verb = TT_VERB_GET, .path = tt_str_c(routes[i].path)};
            bool expected = strchr(row->allowed, subject_letters[kind]) != NULL;
            bool allowed = tt_authorise(&subject, &request, NULL, NULL, NULL) == TT_OK;
            if (allowed != expected) {
                fail_msg("%s for %c: %d", row->path, subject_letters[kind], allowed);
            }
        }
    }
    assert_int_equal(count, sizeof fixed_rows / sizeof fixed_rows[0]);
}

/* ---- resources ---- */

struct matrix {
    struct store_fixture fixture;
    struct tt_registry *registry;
    struct tt_kinds *kinds;
    struct tt_version *version;
    size_t rows_used;
};

static int setup(void **state)
{
    struct matrix *matrix = TT_NEW(struct matrix);
    store_fixture_init(&matrix->fixture);
    (void)store_fixture_put(&matrix->fixture, "o/core/pods/kube-node-lease/n1",
                            "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"n1\"},\"spec\":{"
                            "\"nodeName\":\"n1\",\"volumes\":[{\"secret\":{\"secretName\":\"n1\"}},"
                            "{\"configMap\":{\"name\":\"n1\"}}]}}");
    (void)store_fixture_put(&matrix->fixture, "o/core/pods/kube-node-lease/other",
                            "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"other\"},\"spec\":{"
                            "\"nodeName\":\"n2\"}}");
    assert_int_equal(tt_registry_new(&matrix->registry, NULL), TT_OK);
    matrix->kinds = tt_registry_get(matrix->registry);
    matrix->version = tt_store_version(matrix->fixture.store);
    *state = matrix;
    return 0;
}

static int teardown(void **state)
{
    struct matrix *matrix = *state;
    tt_version_unref(matrix->version);
    tt_kinds_unref(matrix->kinds);
    tt_registry_free(matrix->registry);
    store_fixture_fini(&matrix->fixture);
    tt_free(matrix);
    return 0;
}

static const struct resource_row *resource_row(const struct tt_kind *kind, struct tt_str sub)
{
    char title[256];
    (void)snprintf(title, sizeof title, "%.*s/%.*s%s%.*s", TT_STR_ARG(kind->group),
                   TT_STR_ARG(kind->plural), sub.len > 0 ? "/" : "", TT_STR_ARG(sub));
    for (size_t i = 0; i < sizeof resource_rows / sizeof resource_rows[0]; i++) {
        if (strcmp(resource_rows[i].resource, title) == 0) {
            return &resource_rows[i];
        }
    }
    fail_msg("no row for resource %s", title);
    return NULL;
}

static const char *expected_verbs(const struct resource_row *row, enum tt_subject_kind kind,
                                  bool own)
{
    switch (kind) {
    case TT_SUBJECT_ADMIN:
        return verb_letters;
    case TT_SUBJECT_NOBODY:
        return row->nobody;
    case TT_SUBJECT_READER:
        return row->reader;
    case TT_SUBJECT_SERVER:
        return row->server;
    case TT_SUBJECT_AGENT:
        /* Creating is asked without a name: the grant binds it. Reviews are always one's own. */
        return own ? row->agent_own : strchr(row->agent_own, 'c') ? "c" : "";
    case TT_SUBJECT_ANONYMOUS:
    case TT_SUBJECT_KIND_COUNT:
    default:
        return "";
    }
}

static void check_row(struct matrix *matrix, const struct tt_kind *kind, struct tt_str sub,
                      bool own)
{
    const struct resource_row *row = resource_row(kind, sub);
    const char *name = own ? "n1" : "other";
    const char *node = own ? "n1" : "n2";
    for (unsigned verb = 0; verb < TT_VERB_COUNT; verb++) {
        bool collection = verb == TT_VERB_LIST || verb == TT_VERB_WATCH || verb == TT_VERB_CREATE ||
                          verb == TT_VERB_DELETECOLLECTION;
        struct tt_auth_request request = {
            .verb = (enum tt_verb)verb,
            .group = kind->group,
            .resource = kind->plural,
            .subresource = sub,
            .ns = kind->namespaced ? TT_STR("kube-node-lease") : TT_STR(""),
            .name = collection ? TT_STR("") : tt_str_c(name),
            .selector_name = tt_str_c(name),
            .selector_node = tt_str_c(node),
        };
        for (unsigned who = 0; who < TT_SUBJECT_KIND_COUNT; who++) {
            struct tt_subject subject = subject_of((enum tt_subject_kind)who);
            const char *letters = expected_verbs(row, subject.kind, own);
            bool expected = strchr(letters, verb_letters[verb]) != NULL;
            bool allowed = tt_authorise(&subject, &request, matrix->version, NULL, NULL) == TT_OK;
            if (allowed != expected) {
                fail_msg("%s %s (%s) for %c: %d", tt_verb_name((enum tt_verb)verb), row->resource,
                         name, subject_letters[who], allowed);
            }
        }
    }
}

static void every_resource_is_open_to_whom_the_matrix_says(void **state)
{
    struct matrix *matrix = *state;
    size_t checked = 0;
    for (size_t i = 0; i < tt_kinds_count(matrix->kinds); i++) {
        const struct tt_kind *kind = tt_kinds_at(matrix->kinds, i);
        check_row(matrix, kind, TT_STR(""), true);
        check_row(matrix, kind, TT_STR(""), false);
        checked++;
        for (uint16_t s = 0; s < kind->subresource_count; s++) {
            check_row(matrix, kind, kind->subresources[s].name, true);
            check_row(matrix, kind, kind->subresources[s].name, false);
            checked++;
        }
    }
    assert_int_equal(checked, sizeof resource_rows / sizeof resource_rows[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fixed_route_is_open_to_whom_the_matrix_says),
        cmocka_unit_test_setup_teardown(every_resource_is_open_to_whom_the_matrix_says, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
