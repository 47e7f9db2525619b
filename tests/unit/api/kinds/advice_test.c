/* What a pod asks for and does not get yet is said; what it gets is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "api/kinds/advice.h"

/* The advice on an object, one a line. */
static void advise(const char *api_version, const char *kind, const char *json, struct tt_buf *text)
{
    struct tt_registry *registry = NULL;
    struct tt_issues issues;
    struct tt_object object;
    TT_AUTO(tt_arena) arena = tt_arena_new(1 << 16, 1 << 24);
    assert_int_equal(tt_registry_new(&registry, NULL), TT_OK);
    TT_AUTO(tt_kinds) kinds = tt_registry_get(registry);
    const struct tt_kind *type = tt_kinds_kind(kinds, tt_str_c(api_version), tt_str_c(kind));
    tt_issues_init(&issues, arena);
    assert_int_equal(
        tt_object_decode(type, tt_str_c(json), TT_FIELDS_STRICT, &issues, &object, NULL), TT_OK);
    tt_object_advise(&object, &issues);
    for (size_t i = 0; i < issues.count; i++) {
        tt_buf_str(text, issues.items[i].message);
        tt_buf_char(text, '\n');
    }
    tt_registry_free(registry);
}

static void a_usual_pod_needs_no_advice(void **state)
{
    (void)state;
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 1 << 16);
    advise("v1", "Pod",
           "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"hostNetwork\":true,\"affinity\":{},"
           "\"setHostnameAsFQDN\":false,\"dnsPolicy\":\"Default\",\"volumes\":[{\"name\":\"a\","
           "\"emptyDir\":{}},{\"name\":\"b\",\"projected\":{\"sources\":[{\"secret\":{\"name\":"
           "\"s\"}}]}}],\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"livenessProbe\":{"
           "\"httpGet\":{\"port\":80,\"scheme\":\"HTTP\"}},\"lifecycle\":{\"preStop\":{\"exec\":{"
           "\"command\":[\"x\"]}}},\"volumeMounts\":[{\"name\":\"a\",\"mountPath\":\"/a\","
           "\"mountPropagation\":\"None\"}]}]}}",
           &text);
    assert_int_equal(text.len, 0);
    advise("v1", "ConfigMap", "{\"metadata\":{\"name\":\"p\"}}", &text);
    assert_int_equal(text.len, 0);
}

static void each_field_without_effect_is_named(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "spec.template.spec.topologySpreadConstraints: not supported yet: it is stored and has no "
        "effect",
        "spec.template.spec.activeDeadlineSeconds: not supported yet: it is stored and has no "
        "effect",
        "spec.template.spec.initContainers[0].restartPolicy: not supported yet: it is stored and "
        "has no effect",
        "spec.template.spec.containers[0].lifecycle.preStop.httpGet: not supported yet: it is "
        "stored and has no effect",
        "spec.template.spec.containers[0].livenessProbe.httpGet.scheme: not supported yet: it "
        "always fails",
        "spec.template.spec.containers[0].volumeMounts[1].subPath: not supported yet: the pod's "
        "containers will not start",
        "spec.template.spec.volumes[1].nfs: not supported yet: the pod's containers will not "
        "start",
        "spec.template.spec.volumes[2].projected.sources[0].serviceAccountToken: not supported "
        "yet: the pod's containers will not start",
    };
    TT_AUTO_BUF struct tt_buf text;
    TT_AUTO_BUF struct tt_buf wanted;
    tt_buf_init(&text, 1 << 16);
    tt_buf_init(&wanted, 1 << 16);
    advise("apps/v1", "Deployment",
           "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
           "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{"
           "\"activeDeadlineSeconds\":5,\"topologySpreadConstraints\":[{\"maxSkew\":1,"
           "\"topologyKey\":\"k\",\"whenUnsatisfiable\":\"DoNotSchedule\"}],\"initContainers\":[{"
           "\"name\":\"i\",\"image\":\"i\",\"restartPolicy\":\"Always\"}],\"containers\":[{"
           "\"name\":\"c\",\"image\":\"i\",\"lifecycle\":{\"preStop\":{\"httpGet\":{\"port\":80}}},"
           "\"livenessProbe\":{\"httpGet\":{\"port\":80,\"scheme\":\"HTTPS\"}},\"volumeMounts\":[{"
           "\"name\":\"a\",\"mountPath\":\"/a\"},{\"name\":\"a\",\"mountPath\":\"/b\",\"subPath\":"
           "\"x\"}]}],\"volumes\":[{\"name\":\"a\",\"emptyDir\":{}},{\"name\":\"n\",\"nfs\":{"
           "\"server\":\"s\",\"path\":\"/\"}},{\"name\":\"t\",\"projected\":{\"sources\":[{"
           "\"serviceAccountToken\":{\"path\":\"t\"}}]}}]}}}}",
           &text);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        tt_buf_printf(&wanted, "%s\n", expected[i]);
    }
    assert_string_equal(text.ptr, wanted.ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_usual_pod_needs_no_advice),
        cmocka_unit_test(each_field_without_effect_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
