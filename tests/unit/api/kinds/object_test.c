/* Objects from body to stored form: decoding, defaults, preparing, validation. */
#include "tests/unit/api/kinds/fixture.h"

#include "api/kinds/object.h"

enum { NOW_MS = 1767323045 };

static const struct tt_kind *kind_of(struct fixture *f, const char *api_version, const char *kind)
{
    const struct tt_kind *found = tt_kinds_kind(f->kinds, tt_str_c(api_version), tt_str_c(kind));
    assert_non_null(found);
    return found;
}

static int decode(struct fixture *f, const struct tt_kind *kind, const char *json,
                  enum tt_field_validation validation, struct tt_object *ret)
{
    tt_err_init(&f->err);
    tt_issues_init(&f->issues, f->arena);
    return tt_object_decode(kind, tt_str_c(json), validation, &f->issues, ret, &f->err);
}

static struct tt_object created(struct fixture *f, const struct tt_kind *kind, const char *json)
{
    struct tt_object object;
    const struct tt_object_create params = {.ns = kind->namespaced ? TT_STR("default") : TT_STR(""),
                                            .now_ms = NOW_MS,
                                            .uid = "00000000-0000-4000-8000-000000000001",
                                            .name_suffix = "abcde"};
    int r = decode(f, kind, json, TT_FIELDS_STRICT, &object);
    if (r == TT_OK) {
        r = tt_object_prepare_create(&object, &params, &f->err);
    }
    if (r < 0) {
        print_error("%s\n", tt_err_cause(&f->err));
    }
    assert_int_equal(r, TT_OK);
    return object;
}

static void assert_valid(struct fixture *f, const struct tt_object *object)
{
    tt_issues_init(&f->issues, f->arena);
    int r = tt_object_validate(object, &f->issues, &f->err);
    for (size_t i = 0; i < f->issues.count; i++) {
        print_error("%.*s: %.*s\n", TT_STR_ARG(f->issues.items[i].field),
                    TT_STR_ARG(f->issues.items[i].message));
    }
    assert_int_equal(r, TT_OK);
}

static const char *encoded(struct fixture *f, const struct tt_object *object, uint32_t *ret_splice)
{
    tt_buf_reset(&f->buf);
    assert_int_equal(tt_object_encode(object, &f->buf, ret_splice, &f->err), TT_OK);
    return f->buf.ptr;
}

/* True when a cause at this field starts with this message. */
static bool has_cause(struct fixture *f, const char *field, const char *message)
{
    for (size_t i = 0; i < f->issues.count; i++) {
        if (tt_str_eq_c(f->issues.items[i].field, field) &&
            tt_str_starts(f->issues.items[i].message, tt_str_c(message))) {
            return true;
        }
    }
    for (size_t i = 0; i < f->issues.count; i++) {
        print_error("found: %.*s: %.*s\n", TT_STR_ARG(f->issues.items[i].field),
                    TT_STR_ARG(f->issues.items[i].message));
    }
    return false;
}

static void config_map_is_stored_without_resource_version(void **state)
{
    struct fixture *f = *state;
    struct tt_object object = created(
        f, kind_of(f, "v1", "ConfigMap"),
        "{\"metadata\":{\"name\":\"a\",\"creationTimestamp\":null},\"data\":{\"k\":\"v\"}}");
    uint32_t splice;
    assert_valid(f, &object);
    assert_string_equal(
        encoded(f, &object, &splice),
        "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\","
        "\"namespace\":\"default\",\"uid\":\"00000000-0000-4000-8000-000000000001\","
        "\"creationTimestamp\":\"1970-01-21T10:55:23Z\"},\"data\":{\"k\":\"v\"}}");
    struct tt_buf out;
    tt_buf_init(&out, 4096);
    tt_object_write_spliced(&out, tt_buf_view(&f->buf), splice, 42);
    assert_non_null(strstr(out.ptr, "\"metadata\":{\"resourceVersion\":\"42\",\"name\":\"a\""));
    tt_buf_fini(&out);
}

static void unknown_fields_are_named_by_path(void **state)
{
    struct fixture *f = *state;
    const char *json = "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                       "\"image\":\"i\",\"imag\":1}],\"foo\":{}},\"spec2\":1,\"kind\":\"Pod\","
                       "\"kind\":\"Pod\"}";
    struct tt_object object;
    const struct tt_kind *pod = kind_of(f, "v1", "Pod");
    assert_int_equal(decode(f, pod, json, TT_FIELDS_STRICT, &object), TT_EINVAL);
    char text[1024];
    (void)tt_err_format(&f->err, text, sizeof text);
    assert_string_equal(text, "Pod in version \"v1\" cannot be handled as a Pod: strict decoding "
                              "error: duplicate field \"kind\", unknown field "
                              "\"spec.containers[0].imag\", unknown field \"spec.foo\", unknown "
                              "field \"spec2\"");
    assert_int_equal(decode(f, pod, json, TT_FIELDS_WARN, &object), TT_OK);
    assert_int_equal(f->issues.count, 4);
    assert_null(tt_json_get(object.root, "spec.foo"));
    assert_int_equal(decode(f, pod, json, TT_FIELDS_IGNORE, &object), TT_OK);
    assert_int_equal(f->issues.count, 0);
}

static void wrong_types_are_refused_with_the_field(void **state)
{
    struct fixture *f = *state;
    struct tt_object object;
    assert_int_equal(
        decode(f, kind_of(f, "v1", "ConfigMap"), "{\"data\":{\"k\":1}}", TT_FIELDS_WARN, &object),
        TT_EINVAL);
    assert_non_null(strstr(tt_err_cause(&f->err), "cannot unmarshal number into field data[k]"));
    assert_int_equal(decode(f, kind_of(f, "apps/v1", "Deployment"),
                            "{\"spec\":{\"replicas\":\"three\"}}", TT_FIELDS_WARN, &object),
                     TT_EINVAL);
    assert_non_null(strstr(tt_err_cause(&f->err), "spec.replicas of type int32"));
    assert_int_equal(
        decode(f, kind_of(f, "v1", "Pod"), "{\"kind\":\"Node\"}", TT_FIELDS_WARN, &object),
        TT_EINVAL);
}

static const char full_deployment[] =
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\",\"labels\":"
    "{\"app\":\"web\"},\"annotations\":{\"a.b/c\":\"d e\"}},\"spec\":{\"replicas\":3,\"strategy\":{"
    "\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":1,\"maxUnavailable\":\"25%\"}},"
    "\"minReadySeconds\":5,\"revisionHistoryLimit\":3,\"selector\":{\"matchLabels\":{\"app\":"
    "\"web\"},\"matchExpressions\":[{\"key\":\"tier\",\"operator\":\"In\",\"values\":[\"front\"]}]}"
    ",\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\",\"tier\":\"front\"}},\"spec\":{"
    "\"serviceAccountName\":\"sa\",\"terminationGracePeriodSeconds\":10,\"nodeSelector\":{\"disk\":"
    "\"ssd\"},\"hostNetwork\":true,\"securityContext\":{\"runAsUser\":1000,\"fsGroup\":2000,"
    "\"seccompProfile\":{\"type\":\"RuntimeDefault\"}},\"imagePullSecrets\":[{\"name\":\"reg\"}],"
    "\"affinity\":{\"podAntiAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{"
    "\"weight\":100,\"podAffinityTerm\":{\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}},"
    "\"topologyKey\":\"kubernetes.io/hostname\"}}]},\"nodeAffinity\":{"
    "\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[{"
    "\"matchExpressions\":[{\"key\":\"arch\",\"operator\":\"In\",\"values\":[\"amd64\"]}]}]}}},"
    "\"tolerations\":[{\"key\":\"k\",\"operator\":\"Equal\",\"value\":\"v\",\"effect\":"
    "\"NoExecute\",\"tolerationSeconds\":60}],\"topologySpreadConstraints\":[{\"maxSkew\":1,"
    "\"topologyKey\":\"zone\",\"whenUnsatisfiable\":\"ScheduleAnyway\",\"labelSelector\":{}}],"
    "\"initContainers\":[{\"name\":\"init\",\"image\":\"busybox:1.36\",\"command\":[\"true\"]}],"
    "\"containers\":[{\"name\":\"web\",\"image\":\"nginx\",\"args\":[\"-g\"],\"ports\":[{\"name\":"
    "\"http\",\"containerPort\":80}],\"env\":[{\"name\":\"A\",\"value\":\"b\"},{\"name\":\"NODE\","
    "\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"spec.nodeName\"}}},{\"name\":\"S\",\"valueFrom\":"
    "{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"k\"}}}],\"envFrom\":[{\"configMapRef\":{\"name\":"
    "\"cm\"}}],\"resources\":{\"requests\":{\"cpu\":\"0.1\",\"memory\":\"64Mi\"},\"limits\":{"
    "\"cpu\":1,\"memory\":\"128Mi\"}},\"livenessProbe\":{\"httpGet\":{\"path\":\"/\",\"port\":"
    "\"http\"},\"initialDelaySeconds\":3},\"readinessProbe\":{\"tcpSocket\":{\"port\":80}},"
    "\"startupProbe\":{\"exec\":{\"command\":[\"true\"]}},\"lifecycle\":{\"preStop\":{\"sleep\":{"
    "\"seconds\":2}}},\"securityContext\":{\"allowPrivilegeEscalation\":false,\"capabilities\":{"
    "\"drop\":[\"ALL\"]}},\"volumeMounts\":[{\"name\":\"cfg\",\"mountPath\":\"/etc/cfg\","
    "\"readOnly\":true},{\"name\":\"tmp\",\"mountPath\":\"/tmp\"}]}],\"volumes\":[{\"name\":"
    "\"cfg\",\"configMap\":{\"name\":\"cm\",\"items\":[{\"key\":\"a\",\"path\":\"b/c\"}]}},{"
    "\"name\":\"sec\",\"secret\":{\"secretName\":\"s\"}},{\"name\":\"tmp\",\"emptyDir\":{\"medium\""
    ":\"Memory\",\"sizeLimit\":\"64Mi\"}},{\"name\":\"host\",\"hostPath\":{\"path\":\"/var\"}},{"
    "\"name\":\"all\",\"projected\":{\"sources\":[{\"downwardAPI\":{\"items\":[{\"path\":\"n\","
    "\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}]}}]}},{\"name\":\"bare\"}]}}}}";

static void a_full_deployment_passes_strict_validation_and_gets_defaults(void **state)
{
    struct fixture *f = *state;
    struct tt_object object = created(f, kind_of(f, "apps/v1", "Deployment"), full_deployment);
    assert_valid(f, &object);
    uint32_t splice;
    const char *text = encoded(f, &object, &splice);
    static const char *const expected[] = {
        "\"generation\":1",
        "\"progressDeadlineSeconds\":600",
        "\"restartPolicy\":\"Always\"",
        "\"dnsPolicy\":\"ClusterFirst\"",
        "\"imagePullPolicy\":\"Always\"",
        "\"imagePullPolicy\":\"IfNotPresent\"",
        "\"containerPort\":80,\"protocol\":\"TCP\"",
        "\"serviceAccount\":\"sa\"",
        "\"requests\":{\"cpu\":\"100m\",\"memory\":\"64Mi\"}",
        "\"limits\":{\"cpu\":\"1\",\"memory\":\"128Mi\"}",
        "\"defaultMode\":420",
        "{\"name\":\"bare\",\"emptyDir\":{}}",
        "\"fieldRef\":{\"fieldPath\":\"spec.nodeName\",\"apiVersion\":\"v1\"}",
        "\"scheme\":\"HTTP\"",
        "\"terminationGracePeriodSeconds\":10",
        "\"status\":{}",
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        if (strstr(text, expected[i]) == NULL) {
            print_error("missing %s in %s\n", expected[i], text);
        }
        assert_non_null(strstr(text, expected[i]));
    }
}

/* A default must not take the place of a zero that somebody wrote. */
static void a_zero_that_means_something_stays(void **state)
{
    struct fixture *f = *state;
    struct tt_object object = created(
        f, kind_of(f, "apps/v1", "Deployment"),
        "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"replicas\":0,\"revisionHistoryLimit\":0,"
        "\"strategy\":{\"rollingUpdate\":{\"maxSurge\":1,\"maxUnavailable\":0}},\"selector\":{"
        "\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},"
        "\"spec\":{\"terminationGracePeriodSeconds\":0,\"enableServiceLinks\":false,"
        "\"securityContext\":{\"runAsUser\":0},\"tolerations\":[{\"operator\":\"Exists\","
        "\"effect\":\"NoExecute\",\"tolerationSeconds\":0}],\"containers\":[{\"name\":\"c\","
        "\"image\":\"i\"}],\"volumes\":[{\"name\":\"v\",\"secret\":{\"secretName\":\"s\","
        "\"defaultMode\":0}}]}}}}");
    assert_valid(f, &object);
    uint32_t splice;
    const char *text = encoded(f, &object, &splice);
    static const char *const expected[] = {
        "\"replicas\":0",
        "\"revisionHistoryLimit\":0",
        "\"maxUnavailable\":0",
        "\"terminationGracePeriodSeconds\":0",
        "\"enableServiceLinks\":false",
        "\"runAsUser\":0",
        "\"tolerationSeconds\":0",
        "\"defaultMode\":0",
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        if (strstr(text, expected[i]) == NULL) {
            print_error("missing %s in %s\n", expected[i], text);
        }
        assert_non_null(strstr(text, expected[i]));
    }
    object = created(
        f, kind_of(f, "apps/v1", "Deployment"),
        "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"strategy\":{\"rollingUpdate\":{\"maxSurge\":0,"
        "\"maxUnavailable\":0}},\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{"
        "\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\","
        "\"image\":\"i\"}]}}}}");
    tt_issues_init(&f->issues, f->arena);
    assert_int_equal(tt_object_validate(&object, &f->issues, &f->err), TT_EINVALID);
    assert_true(has_cause(f, "spec.strategy.rollingUpdate.maxUnavailable",
                          "Invalid value: 0: may not be 0 when `maxSurge` is 0"));
}

static void causes_name_the_fields(void **state)
{
    struct fixture *f = *state;
    struct tt_object object = created(
        f, kind_of(f, "apps/v1", "Deployment"),
        "{\"metadata\":{\"name\":\"We_b\",\"labels\":{\"a b\":\"c\"}},\"spec\":{\"replicas\":-1,"
        "\"selector\":{\"matchLabels\":{\"app\":\"x\"}},\"template\":{\"metadata\":{\"labels\":{"
        "\"app\":\"y\"}},\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"a\","
        "\"image\":\"i\",\"ports\":[{\"containerPort\":70000}],\"livenessProbe\":{},"
        "\"volumeMounts\":[{\"name\":\"no\",\"mountPath\":\"/x\"}],\"imagePullPolicy\":\"Maybe\","
        "\"resources\":{\"limits\":{\"cpu\":1},\"requests\":{\"cpu\":2}}},{\"name\":\"a\"}]}}}}");
    tt_issues_init(&f->issues, f->arena);
    assert_int_equal(tt_object_validate(&object, &f->issues, &f->err), TT_EINVALID);
    assert_true(has_cause(f, "metadata.name", "Invalid value: \"We_b\": a lowercase RFC 1123"));
    assert_true(has_cause(f, "metadata.labels", "Invalid value: \"a b\": name part must"));
    assert_true(
        has_cause(f, "spec.replicas", "Invalid value: -1: must be greater than or equal to 0"));
    assert_true(has_cause(f, "spec.template.metadata.labels",
                          "Invalid value: {\"app\":\"y\"}: `selector` does not match"));
    assert_true(has_cause(f, "spec.template.spec.restartPolicy", "Unsupported value: \"Never\""));
    assert_true(has_cause(f, "spec.template.spec.containers[0].ports[0].containerPort",
                          "Invalid value: 70000: must be between 1 and 65535, inclusive"));
    assert_true(has_cause(f, "spec.template.spec.containers[0].livenessProbe",
                          "Required value: must specify a handler type"));
    assert_true(
        has_cause(f, "spec.template.spec.containers[0].volumeMounts[0].name", "Not found: \"no\""));
    assert_true(has_cause(f, "spec.template.spec.containers[0].imagePullPolicy",
                          "Unsupported value: \"Maybe\": supported values: \"Always\""));
    assert_true(has_cause(f, "spec.template.spec.containers[0].resources.requests",
                          "Invalid value: \"2\": must be less than or equal to cpu limit of 1"));
    assert_true(has_cause(f, "spec.template.spec.containers[1].name", "Duplicate value: \"a\""));
    assert_true(has_cause(f, "spec.template.spec.containers[1].image", "Required value"));
    assert_non_null(strstr(tt_err_cause(&f->err), "Deployment.apps \"We_b\" is invalid: ["));
}

static void a_missing_selector_is_required(void **state)
{
    struct fixture *f = *state;
    struct tt_object object = created(f, kind_of(f, "apps/v1", "Deployment"),
                                      "{\"metadata\":{\"name\":\"x\"},\"spec\":{}}");
    tt_issues_init(&f->issues, f->arena);
    assert_int_equal(tt_object_validate(&object, &f->issues, &f->err), TT_EINVALID);
    assert_true(has_cause(f, "spec.selector", "Required value"));
    assert_true(has_cause(f, "spec.template", "Required value"));
}

static void names_are_generated(void **state)
{
    struct fixture *f = *state;
    struct tt_object object =
        created(f, kind_of(f, "v1", "ConfigMap"), "{\"metadata\":{\"generateName\":\"job-\"}}");
    assert_true(tt_str_eq_c(tt_object_name(&object), "job-abcde"));
    assert_valid(f, &object);
    object = created(f, kind_of(f, "v1", "ConfigMap"), "{}");
    tt_issues_init(&f->issues, f->arena);
    assert_int_equal(tt_object_validate(&object, &f->issues, &f->err), TT_EINVALID);
    assert_true(has_cause(f, "metadata.name", "Required value: name or generateName is required"));
}

static void string_data_of_a_secret_becomes_data(void **state)
{
    struct fixture *f = *state;
    struct tt_object object = created(
        f, kind_of(f, "v1", "Secret"),
        "{\"metadata\":{\"name\":\"s\"},\"data\":{\"a\":\"YQ==\"},\"stringData\":{\"b\":\"bb\"}}");
    uint32_t splice;
    assert_valid(f, &object);
    assert_non_null(strstr(encoded(f, &object, &splice),
                           "\"data\":{\"a\":\"YQ==\",\"b\":\"YmI=\"},\"type\":\"Opaque\"}"));
}

static void a_namespace_is_active_and_labelled(void **state)
{
    struct fixture *f = *state;
    struct tt_object object =
        created(f, kind_of(f, "v1", "Namespace"), "{\"metadata\":{\"name\":\"n\"}}");
    uint32_t splice;
    assert_valid(f, &object);
    const char *text = encoded(f, &object, &splice);
    assert_non_null(strstr(text, "\"labels\":{\"kubernetes.io/metadata.name\":\"n\"}"));
    assert_non_null(strstr(text, "\"spec\":{\"finalizers\":[\"kubernetes\"]}"));
    assert_non_null(strstr(text, "\"status\":{\"phase\":\"Active\"}"));
}

static void the_request_namespace_must_agree(void **state)
{
    struct fixture *f = *state;
    struct tt_object object;
    const struct tt_object_create params = {.ns = TT_STR("a"), .uid = "u", .name_suffix = "abcde"};
    assert_int_equal(decode(f, kind_of(f, "v1", "ConfigMap"),
                            "{\"metadata\":{\"name\":\"x\",\"namespace\":\"b\"}}", TT_FIELDS_WARN,
                            &object),
                     TT_OK);
    assert_int_equal(tt_object_prepare_create(&object, &params, &f->err), TT_EINVAL);
}

static struct tt_object updated(struct fixture *f, const struct tt_object *old, const char *json,
                                enum tt_object_part part)
{
    struct tt_object object;
    assert_int_equal(decode(f, old->kind, json, TT_FIELDS_STRICT, &object), TT_OK);
    int r = tt_object_prepare_update(&object, old, part, &f->err);
    if (r < 0) {
        print_error("%s\n", tt_err_cause(&f->err));
    }
    assert_int_equal(r, TT_OK);
    return object;
}

static struct tt_object stored(struct fixture *f, const struct tt_object *object)
{
    uint32_t splice;
    (void)encoded(f, object, &splice);
    struct tt_object old;
    assert_int_equal(
        tt_object_stored(object->kind, f->arena, tt_buf_view(&f->buf), 0, &old, &f->err), TT_OK);
    return old;
}

static void generation_follows_spec_and_only_spec(void **state)
{
    struct fixture *f = *state;
    struct tt_object first = created(f, kind_of(f, "apps/v1", "Deployment"), full_deployment);
    struct tt_object old = stored(f, &first);
    struct tt_object same = updated(f, &old, full_deployment, TT_PART_MAIN);
    assert_int_equal(tt_json_get_i64(same.root, "metadata.generation", 0), 1);
    assert_true(tt_object_equal(&same, &old));
    struct tt_object status = updated(
        f, &old,
        "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":9},\"status\":{\"replicas\":3}}",
        TT_PART_STATUS);
    assert_int_equal(tt_json_get_i64(status.root, "metadata.generation", 0), 1);
    assert_int_equal(tt_json_get_i64(status.root, "spec.replicas", 0), 3);
    assert_int_equal(tt_json_get_i64(status.root, "status.replicas", 0), 3);
    assert_false(tt_object_equal(&status, &old));
    struct tt_object scaled;
    assert_int_equal(tt_object_stored(old.kind, f->arena, tt_buf_view(&f->buf), 0, &scaled, NULL),
                     TT_OK);
    assert_true(
        tt_json_set(scaled.doc, scaled.root, "spec.replicas", yyjson_mut_sint(scaled.doc, 5)));
    assert_int_equal(tt_object_prepare_update(&scaled, &old, TT_PART_MAIN, &f->err), TT_OK);
    assert_int_equal(tt_json_get_i64(scaled.root, "metadata.generation", 0), 2);
}

static void server_fields_survive_an_update(void **state)
{
    struct fixture *f = *state;
    struct tt_object first =
        created(f, kind_of(f, "v1", "ConfigMap"), "{\"metadata\":{\"name\":\"a\"}}");
    struct tt_object old = stored(f, &first);
    struct tt_object next = updated(f, &old,
                                    "{\"metadata\":{\"name\":\"a\",\"creationTimestamp\":\"2020-01-"
                                    "01T00:00:00Z\"},\"data\":{}}",
                                    TT_PART_MAIN);
    assert_true(tt_str_eq_c(tt_json_get_str(next.root, "metadata.creationTimestamp"),
                            "1970-01-21T10:55:23Z"));
    struct tt_object object;
    assert_int_equal(decode(f, old.kind, "{\"metadata\":{\"name\":\"a\",\"uid\":\"other\"}}",
                            TT_FIELDS_WARN, &object),
                     TT_OK);
    assert_int_equal(tt_object_prepare_update(&object, &old, TT_PART_MAIN, &f->err), TT_ECONFLICT);
}

static void immutable_fields_stay(void **state)
{
    struct fixture *f = *state;
    struct tt_object first =
        created(f, kind_of(f, "v1", "ConfigMap"),
                "{\"metadata\":{\"name\":\"a\"},\"data\":{\"a\":\"1\"},\"immutable\":true}");
    struct tt_object old = stored(f, &first);
    struct tt_object next = updated(
        f, &old, "{\"metadata\":{\"name\":\"a\"},\"data\":{\"a\":\"2\"},\"immutable\":true}",
        TT_PART_MAIN);
    tt_issues_init(&f->issues, f->arena);
    assert_int_equal(tt_object_validate_update(&next, &old, TT_PART_MAIN, &f->issues, &f->err),
                     TT_EINVALID);
    assert_true(has_cause(f, "data", "Forbidden: field is immutable when `immutable` is set"));
    first = created(f, kind_of(f, "v1", "Secret"), "{\"metadata\":{\"name\":\"a\"}}");
    old = stored(f, &first);
    next = updated(f, &old, "{\"metadata\":{\"name\":\"a\"},\"type\":\"other\"}", TT_PART_MAIN);
    tt_issues_init(&f->issues, f->arena);
    assert_int_equal(tt_object_validate_update(&next, &old, TT_PART_MAIN, &f->issues, &f->err),
                     TT_EINVALID);
    assert_true(has_cause(f, "type", "Invalid value: \"other\": field is immutable"));
}

static void of_a_pod_only_a_few_fields_may_change(void **state)
{
    struct fixture *f = *state;
    const struct tt_kind *pod = kind_of(f, "v1", "Pod");
    struct tt_object first = created(f, pod,
                                     "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"containers\":[{"
                                     "\"name\":\"c\",\"image\":\"i:1\"}]}}");
    struct tt_object old = stored(f, &first);
    assert_true(tt_str_eq_c(tt_json_get_str(old.root, "status.phase"), "Pending"));
    assert_true(tt_str_eq_c(tt_json_get_str(old.root, "status.qosClass"), "BestEffort"));
    struct tt_object next;
    assert_int_equal(tt_object_stored(pod, f->arena, tt_buf_view(&f->buf), 0, &next, NULL), TT_OK);
    yyjson_mut_val *container = yyjson_mut_arr_get_first(tt_json_get(next.root, "spec.containers"));
    assert_true(tt_json_put_str(next.doc, container, TT_STR("image"), TT_STR("i:2")));
    assert_true(tt_json_set_str(next.doc, next.root, "spec.nodeName", TT_STR("n1")));
    tt_issues_init(&f->issues, f->arena);
    assert_int_equal(tt_object_validate_update(&next, &old, TT_PART_MAIN, &f->issues, &f->err),
                     TT_OK);
    assert_true(tt_json_put_str(next.doc, container, TT_STR("name"), TT_STR("d")));
    assert_int_equal(tt_object_validate_update(&next, &old, TT_PART_MAIN, &f->issues, &f->err),
                     TT_EINVALID);
    assert_true(has_cause(f, "spec", "Forbidden: pod updates may not change fields"));
}

static void a_schema_added_at_run_time_works_like_a_built_in_one(void **state)
{
    struct fixture *f = *state;
    const char *schema =
        "{\"group\":\"example.com\",\"version\":\"v1\",\"kind\":\"Thing\",\"plural\":\"things\","
        "\"singular\":\"thing\",\"namespaced\":true,\"custom\":true,\"verbs\":\"get,list\","
        "\"types\":{\"com.example.v1.Thing\":{\"fields\":{\"kind\":{\"type\":\"string\"},"
        "\"apiVersion\":{\"type\":\"string\"},\"metadata\":{\"type\":\"meta.ObjectMeta\"},"
        "\"spec\":{\"type\":\"object\",\"fields\":{\"size\":{\"type\":\"int32\",\"default\":3},"
        "\"pod\":{\"type\":\"core.PodTemplateSpec\"}}}}}}}";
    int r = tt_registry_add(f->registry, tt_str_c(schema), &f->err);
    if (r < 0) {
        print_error("%s\n", tt_err_cause(&f->err));
    }
    assert_int_equal(r, TT_OK);
    assert_null(tt_kinds_kind(f->kinds, TT_STR("example.com/v1"), TT_STR("Thing")));
    tt_kinds_unref(f->kinds);
    f->kinds = tt_registry_get(f->registry);
    struct tt_object object = created(f, kind_of(f, "example.com/v1", "Thing"),
                                      "{\"metadata\":{\"name\":\"t\"},\"spec\":{}}");
    assert_int_equal(tt_json_get_i64(object.root, "spec.size", 0), 3);
    assert_int_equal(tt_registry_remove(f->registry, TT_STR("example.com"), TT_STR("v1"),
                                        TT_STR("things"), &f->err),
                     TT_OK);
    assert_int_equal(tt_registry_remove(f->registry, TT_STR("example.com"), TT_STR("v1"),
                                        TT_STR("things"), &f->err),
                     TT_ENOTFOUND);
    assert_int_equal(tt_registry_add(f->registry,
                                     TT_STR("{\"types\":{\"x\":{\"fields\":{\"a\":{\"type\":"
                                            "\"nope\"}}}}}"),
                                     &f->err),
                     TT_EINVALID);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(config_map_is_stored_without_resource_version),
        T(unknown_fields_are_named_by_path),
        T(wrong_types_are_refused_with_the_field),
        T(a_full_deployment_passes_strict_validation_and_gets_defaults),
        T(a_zero_that_means_something_stays),
        T(causes_name_the_fields),
        T(a_missing_selector_is_required),
        T(names_are_generated),
        T(string_data_of_a_secret_becomes_data),
        T(a_namespace_is_active_and_labelled),
        T(the_request_namespace_must_agree),
        T(generation_follows_spec_and_only_spec),
        T(server_fields_survive_an_update),
        T(immutable_fields_stay),
        T(of_a_pod_only_a_few_fields_may_change),
        T(a_schema_added_at_run_time_works_like_a_built_in_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
