/* What is served from schemas: tables (tests/golden/kinds/tables.json), discovery, OpenAPI, Status.
 */
#include "tests/unit/api/kinds/fixture.h"

#include "api/kinds/discovery.h"
#include "api/kinds/object.h"
#include "api/kinds/openapi.h"
#include "api/kinds/status.h"
#include "api/kinds/table.h"
#include "base/clock.h"
#include "base/file.h"

/* The buffer's text, which must be one JSON document. */
static yyjson_val *parsed(struct fixture *f)
{
    yyjson_doc *doc = NULL;
    int r = tt_json_read(f->arena, tt_buf_view(&f->buf), &doc, &f->err);
    if (r < 0) {
        print_error("%s in %s\n", tt_err_cause(&f->err), f->buf.ptr);
    }
    assert_int_equal(r, TT_OK);
    return yyjson_doc_get_root(doc);
}

static yyjson_val *at(yyjson_val *root, const char *pointer)
{
    yyjson_val *val = yyjson_ptr_get(root, pointer);
    if (val == NULL) {
        print_error("nothing at %s\n", pointer);
    }
    assert_non_null(val);
    return val;
}

static void assert_str(yyjson_val *root, const char *pointer, const char *expected)
{
    assert_string_equal(yyjson_get_str(at(root, pointer)), expected);
}

static int check_cells(struct fixture *f, yyjson_val *golden, uint64_t now_ms)
{
    const struct tt_kind *kind = tt_kinds_kind(f->kinds, tt_json_iget_str(golden, "apiVersion"),
                                               tt_json_iget_str(golden, "kind"));
    assert_non_null(kind);
    yyjson_val *cells = yyjson_obj_get(golden, "cells");
    struct tt_str found[32];
    const struct tt_column *columns;
    size_t count = tt_table_columns(kind, &columns);
    int wrong = 0;
    assert_true(count <= 32);
    assert_int_equal(count, yyjson_arr_size(cells));
    assert_int_equal(
        tt_table_cells(f->arena, kind, yyjson_obj_get(golden, "object"), now_ms, found, &f->err),
        TT_OK);
    for (size_t i = 0; i < count; i++) {
        struct tt_str expected = tt_json_istr_of(yyjson_arr_get(cells, i));
        if (!tt_str_eq(found[i], expected)) {
            print_error("%s: column %.*s is \"%.*s\", expected \"%.*s\"\n",
                        yyjson_get_str(yyjson_obj_get(golden, "name")), TT_STR_ARG(columns[i].name),
                        TT_STR_ARG(found[i]), TT_STR_ARG(expected));
            wrong++;
        }
    }
    return wrong;
}

static void cells_come_out_as_in_the_golden_file(void **state)
{
    struct fixture *f = *state;
    struct tt_buf file;
    uint64_t now_ms = 0;
    yyjson_doc *doc = NULL;
    assert_true(tt_time_parse(TT_STR("2026-01-01T00:10:00Z"), &now_ms));
    assert_int_equal(tt_file_read("tests/golden/kinds/tables.json", 1 << 20, &file, &f->err),
                     TT_OK);
    int r = tt_json_read(f->arena, tt_buf_view(&file), &doc, &f->err);
    tt_buf_fini(&file);
    assert_int_equal(r, TT_OK);
    size_t i, n;
    int wrong = 0;
    yyjson_val *golden;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, golden)
    {
        wrong += check_cells(f, golden, now_ms);
    }
    assert_true(n >= 15);
    assert_int_equal(wrong, 0);
}

static void a_table_carries_what_include_object_asks_for(void **state)
{
    struct fixture *f = *state;
    static const char stored[] = "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{"
                                 "\"name\":\"c\",\"namespace\":\"d\"},\"data\":{\"a\":\"1\"}}";
    struct tt_table_row row = {.stored = TT_STR(stored),
                               .splice = (uint32_t)(strstr(stored, "\"name\"") - stored),
                               .revision = 7,
                               .first = true};
    const struct tt_table_list_meta meta = {
        .revision = 9, .continue_token = TT_STR("tok"), .remaining = 3};
    const struct tt_kind *kind = tt_kinds_kind(f->kinds, TT_STR("v1"), TT_STR("ConfigMap"));
    tt_table_begin(&f->buf, kind, &meta, true);
    static const enum tt_table_include includes[] = {TT_INCLUDE_METADATA, TT_INCLUDE_OBJECT,
                                                     TT_INCLUDE_NONE};
    for (size_t i = 0; i < 3; i++) {
        row.first = i == 0;
        const struct tt_table_style style = {kind, includes[i], 0};
        assert_int_equal(tt_table_row(&f->buf, f->arena, &style, &row, &f->err), TT_OK);
    }
    tt_table_end(&f->buf);
    yyjson_val *root = parsed(f);
    assert_str(root, "/kind", "Table");
    assert_str(root, "/metadata/resourceVersion", "9");
    assert_str(root, "/metadata/continue", "tok");
    assert_str(root, "/columnDefinitions/1/name", "Data");
    assert_true(yyjson_is_raw(at(root, "/rows/0/cells/1")));
    assert_str(root, "/rows/0/object/kind", "PartialObjectMetadata");
    assert_str(root, "/rows/0/object/metadata/resourceVersion", "7");
    assert_str(root, "/rows/0/object/metadata/namespace", "d");
    assert_str(root, "/rows/1/object/data/a", "1");
    assert_str(root, "/rows/1/object/metadata/resourceVersion", "7");
    assert_true(yyjson_is_null(at(root, "/rows/2/object")));
}

static void aggregated_discovery_lists_everything_once(void **state)
{
    struct fixture *f = *state;
    tt_discovery_aggregated(&f->buf, f->kinds, true, "v2");
    yyjson_val *root = parsed(f);
    assert_str(root, "/apiVersion", "apidiscovery.k8s.io/v2");
    assert_int_equal(yyjson_arr_size(at(root, "/items")), 1);
    assert_str(root, "/items/0/versions/0/version", "v1");
    assert_true(yyjson_arr_size(at(root, "/items/0/versions/0/resources")) >= 8);
    tt_buf_reset(&f->buf);
    tt_discovery_aggregated(&f->buf, f->kinds, false, "v2beta1");
    root = parsed(f);
    assert_str(root, "/apiVersion", "apidiscovery.k8s.io/v2beta1");
    assert_str(root, "/items/0/metadata/name", "apps");
    assert_str(root, "/items/0/versions/0/resources/0/resource", "deployments");
    assert_str(root, "/items/0/versions/0/resources/0/shortNames/0", "deploy");
    assert_str(root, "/items/0/versions/0/resources/0/categories/0", "all");
    assert_str(root, "/items/0/versions/0/resources/0/subresources/1/responseKind/kind", "Scale");
}

static void legacy_discovery_agrees(void **state)
{
    struct fixture *f = *state;
    tt_discovery_group_list(&f->buf, f->kinds);
    assert_str(parsed(f), "/groups/0/preferredVersion/groupVersion", "apps/v1");
    tt_buf_reset(&f->buf);
    assert_true(tt_discovery_group(&f->buf, f->kinds, TT_STR("apps")));
    assert_str(parsed(f), "/kind", "APIGroup");
    assert_false(tt_discovery_group(&f->buf, f->kinds, TT_STR("nope")));
    tt_buf_reset(&f->buf);
    assert_true(tt_discovery_resource_list(&f->buf, f->kinds, TT_STR("apps"), TT_STR("v1")));
    yyjson_val *root = parsed(f);
    assert_str(root, "/groupVersion", "apps/v1");
    assert_str(root, "/resources/1/name", "deployments/status");
    assert_false(tt_discovery_resource_list(&f->buf, f->kinds, TT_STR("apps"), TT_STR("v9")));
    tt_buf_reset(&f->buf);
    tt_discovery_api_versions(&f->buf, TT_STR("127.0.0.1:6443"));
    assert_str(parsed(f), "/versions/0", "v1");
}

static void openapi_has_what_kubectl_looks_for(void **state)
{
    struct fixture *f = *state;
    tt_openapi_index(&f->buf, f->kinds);
    yyjson_val *root = parsed(f);
    const char *url = yyjson_get_str(at(root, "/paths/apis~1apps~1v1/serverRelativeURL"));
    assert_non_null(strstr(url, "/openapi/v3/apis/apps/v1?hash="));
    tt_buf_reset(&f->buf);
    assert_true(tt_openapi_document(&f->buf, f->kinds, TT_STR("apis/apps/v1")));
    root = parsed(f);
#define ITEM "/paths/~1apis~1apps~1v1~1namespaces~1{namespace}~1deployments~1{name}/"
    assert_str(root, ITEM "patch/x-kubernetes-group-version-kind/kind", "Deployment");
    assert_str(root, ITEM "patch/parameters/2/name", "fieldValidation");
    (void)at(root, ITEM "patch/requestBody/content/application~1strategic-merge-patch+json");
    assert_str(root, ITEM "get/x-kubernetes-group-version-kind/group", "apps");
#define SCHEMAS "/components/schemas/io.k8s.api."
    assert_str(root, SCHEMAS "apps.v1.Deployment/x-kubernetes-group-version-kind/0/kind",
               "Deployment");
    assert_str(root, SCHEMAS "apps.v1.DeploymentSpec/properties/template/allOf/0/$ref",
               "#/components/schemas/io.k8s.api.core.v1.PodTemplateSpec");
    assert_str(root, SCHEMAS "core.v1.PodSpec/properties/containers/x-kubernetes-patch-merge-key",
               "name");
    assert_str(root, SCHEMAS "core.v1.Container/properties/ports/x-kubernetes-list-map-keys/1",
               "protocol");
    assert_str(root, SCHEMAS "core.v1.Container/properties/ports/x-kubernetes-patch-merge-key",
               "containerPort");
    assert_true(f->buf.len < 256 << 10);
    tt_buf_reset(&f->buf);
    assert_false(tt_openapi_document(&f->buf, f->kinds, TT_STR("apis/apps/v9")));
    assert_false(tt_openapi_document(&f->buf, f->kinds, TT_STR("apis")));
}

static void every_reference_of_an_openapi_document_resolves(void **state)
{
    static const char *const paths[] = {"api/v1", "apis/apps/v1", "apis/coordination.k8s.io/v1"};
    struct fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        tt_buf_reset(&f->buf);
        assert_true(tt_openapi_document(&f->buf, f->kinds, tt_str_c(paths[i])));
        yyjson_val *schemas = at(parsed(f), "/components/schemas");
        size_t refs = 0;
        static const char mark[] = "\"#/components/schemas/";
        for (const char *p = f->buf.ptr; (p = strstr(p, mark)) != NULL; refs++) {
            p += sizeof mark - 1;
            size_t len = strcspn(p, "\"");
            if (yyjson_obj_getn(schemas, p, len) == NULL) {
                print_error("no schema %.*s\n", (int)len, p);
                fail();
            }
        }
        assert_true(refs > 5);
    }
}

static void the_hash_follows_the_document(void **state)
{
    struct fixture *f = *state;
    char a[TT_OPENAPI_HASH_SIZE], b[TT_OPENAPI_HASH_SIZE];
    assert_true(tt_openapi_hash(f->kinds, TT_STR("api/v1"), a));
    assert_true(tt_openapi_hash(f->kinds, TT_STR("api/v1"), b));
    assert_string_equal(a, b);
    assert_true(tt_openapi_hash(f->kinds, TT_STR("apis/apps/v1"), b));
    assert_string_not_equal(a, b);
}

static void a_failure_status_names_its_causes(void **state)
{
    struct fixture *f = *state;
    struct tt_issues causes;
    tt_issues_init(&causes, f->arena);
    tt_issues_add(&causes, TT_ISSUE_REQUIRED, TT_STR("spec.x"), "Required value");
    (void)TT_FAIL(&f->err, TT_EINVALID, "it is \"invalid\"");
    struct tt_status status;
    tt_status_from_err(&status, &f->err, f->arena);
    status.name = TT_STR("web");
    status.resource = TT_STR("deployments");
    status.group = TT_STR("apps");
    status.causes = &causes;
    tt_status_write(&f->buf, &status);
    assert_string_equal(
        f->buf.ptr,
        "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
        "\"message\":\"it is \\\"invalid\\\"\",\"reason\":\"Invalid\",\"details\":{\"name\":"
        "\"web\",\"group\":\"apps\",\"kind\":\"deployments\",\"causes\":[{\"reason\":"
        "\"FieldValueRequired\",\"message\":\"Required value\",\"field\":\"spec.x\"}]},\"code\":"
        "422}");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(cells_come_out_as_in_the_golden_file),
        T(a_table_carries_what_include_object_asks_for),
        T(aggregated_discovery_lists_everything_once),
        T(legacy_discovery_agrees),
        T(openapi_has_what_kubectl_looks_for),
        T(every_reference_of_an_openapi_document_resolves),
        T(the_hash_follows_the_document),
        T(a_failure_status_names_its_causes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
