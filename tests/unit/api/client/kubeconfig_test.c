/* kubeconfig files as kubectl and tutti write them, and broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/client/kubeconfig.h"
#include "base/file.h"

static const char two_contexts[] =
    "apiVersion: v1\n"
    "kind: Config\n"
    "current-context: prod\n"
    "clusters:\n"
    "- name: c1\n"
    "  cluster:\n"
    "    server: https://127.0.0.1:6443\n"
    "    certificate-authority-data: Q0E=\n"
    "    tls-server-name: api.test\n"
    "    extensions:\n"
    "    - name: other\n"
    "      extension: {servers: [https://10.0.0.9]}\n"
    "    - name: tutti\n"
    "      extension:\n"
    "        servers: [\"https://127.0.0.1:6443\", \"https://[::1]:7443\", \"https://h\"]\n"
    "- {name: c2, cluster: {server: \"https://h2:8443/\"}}\n"
    "users:\n"
    "- name: u1\n"
    "  user:\n"
    "    client-certificate-data: Q0VSVA==\n"
    "    client-key-data: S0VZ\n"
    "- {name: u2, user: {}}\n"
    "contexts:\n"
    "- {name: dev, context: {cluster: c2, user: u2}}\n"
    "- {name: prod, context: {cluster: c1, user: u1, namespace: shop}}\n";

static void current_context_is_chosen(void **state)
{
    (void)state;
    TT_AUTO(tt_kubeconfig) c = NULL;
    assert_int_equal(tt_kubeconfig_parse(tt_str_c(two_contexts), NULL, NULL, &c, NULL), 0);
    assert_string_equal(c->context, "prod");
    assert_string_equal(c->cluster, "c1");
    assert_string_equal(c->user, "u1");
    assert_string_equal(c->namespace, "shop");
    assert_string_equal(c->server_name, "api.test");
    assert_string_equal(c->ca_pem, "CA");
    assert_string_equal(c->cert_pem, "CERT");
    assert_string_equal(c->key_pem, "KEY");
    assert_int_equal(c->endpoint_count, 3); /* the server itself is not repeated */
    assert_string_equal(c->endpoint[0].host, "127.0.0.1");
    assert_int_equal(c->endpoint[0].port, 6443);
    assert_string_equal(c->endpoint[1].host, "::1");
    assert_int_equal(c->endpoint[1].port, 7443);
    assert_string_equal(c->endpoint[2].host, "h");
    assert_int_equal(c->endpoint[2].port, 443);
}

static void named_context_wins(void **state)
{
    (void)state;
    TT_AUTO(tt_kubeconfig) c = NULL;
    assert_int_equal(tt_kubeconfig_parse(tt_str_c(two_contexts), NULL, "dev", &c, NULL), 0);
    assert_string_equal(c->endpoint[0].host, "h2");
    assert_int_equal(c->endpoint[0].port, 8443);
    assert_string_equal(c->namespace, "default");
    assert_null(c->key_pem);
    struct tt_kubeconfig *none = NULL;
    assert_int_equal(tt_kubeconfig_parse(tt_str_c(two_contexts), NULL, "x", &none, NULL),
                     TT_ENOTFOUND);
    assert_null(none);
}

static void json_is_read_too(void **state)
{
    (void)state;
    static const char json[] =
        "{\"current-context\":\"a\",\"contexts\":[{\"name\":\"a\",\"context\":{\"cluster\":\"c\","
        "\"user\":\"u\"}}],\"clusters\":[{\"name\":\"c\",\"cluster\":{\"server\":"
        "\"https://1.2.3.4:5\"}}],\"users\":[]}";
    TT_AUTO(tt_kubeconfig) c = NULL;
    assert_int_equal(tt_kubeconfig_parse(tt_str_c(json), NULL, NULL, &c, NULL), 0);
    assert_string_equal(c->endpoint[0].host, "1.2.3.4");
}

static void relative_files_are_found_beside_the_kubeconfig(void **state)
{
    (void)state;
    static const char text[] =
        "current-context: a\n"
        "contexts: [{name: a, context: {cluster: c, user: u}}]\n"
        "clusters: [{name: c, cluster: {server: \"https://h\", certificate-authority: ca.crt}}]\n"
        "users: [{name: u, user: {client-key: gone.key}}]\n";
    const char *base = getenv("TMPDIR");
    char dir[200];
    char path[256];
    (void)snprintf(dir, sizeof dir, "%s/tutti-kubeconfig-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/ca.crt", dir);
    assert_int_equal(tt_file_write_atomic(path, TT_STR("the CA"), 0600, NULL), 0);
    (void)snprintf(path, sizeof path, "%s/gone.key", dir);
    assert_int_equal(tt_file_write_atomic(path, TT_STR("the key"), 0600, NULL), 0);
    (void)snprintf(path, sizeof path, "%s/config", dir);
    assert_int_equal(tt_file_write_atomic(path, tt_str_c(text), 0600, NULL), 0);
    struct tt_kubeconfig *c = NULL;
    assert_int_equal(tt_kubeconfig_load(path, NULL, &c, NULL), 0);
    assert_string_equal(c->ca_pem, "the CA");
    assert_string_equal(c->key_pem, "the key");
    tt_kubeconfig_free(c);
    char gone[256];
    (void)snprintf(gone, sizeof gone, "%s/gone.key", dir);
    assert_int_equal(unlink(gone), 0);
    struct tt_err err;
    tt_err_init(&err);
    char message[512];
    assert_int_equal(tt_kubeconfig_load(path, NULL, &c, &err), TT_ENOTFOUND);
    (void)tt_err_format(&err, message, sizeof message);
    assert_non_null(strstr(message, "client-key"));
    assert_int_equal(tt_dir_remove_tree(dir, NULL), 0);
}

static void yaml_error_tells_its_line(void **state)
{
    (void)state;
    struct tt_kubeconfig *c = NULL;
    struct tt_err err;
    char message[512];
    tt_err_init(&err);
    assert_int_equal(tt_kubeconfig_parse(TT_STR("a: 1\nb: [1, 2\nc: 3\n"), NULL, NULL, &c, &err),
                     TT_EINVAL);
    (void)tt_err_format(&err, message, sizeof message);
    assert_non_null(strstr(message, "line "));
}

static void broken_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
    } bad[] = {
        {"", TT_EINVAL},
        {"just text", TT_ENOTFOUND},
        {"[]", TT_ENOTFOUND},
        {"current-context: a", TT_ENOTFOUND},
        {"current-context: a\ncontexts: 7", TT_ENOTFOUND},
        {"current-context: a\ncontexts: [{name: a, context: {cluster: c}}]", TT_ENOTFOUND},
        {"current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n"
         "clusters: [{name: c, cluster: {server: \"http://h\"}}]",
         TT_EINVAL},
        {"current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n"
         "clusters: [{name: c, cluster: {server: \"https://h:0\"}}]",
         TT_EINVAL},
        {"current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\n"
         "clusters: [{name: c, cluster: {server: \"https://h\", "
         "certificate-authority-data: \"%%%\"}}]",
         TT_EINVAL},
        {"a: &x [*x, *x]\ncurrent-context: *x", TT_ENOTFOUND},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct tt_kubeconfig *c = NULL;
        int r = tt_kubeconfig_parse(tt_str_c(bad[i].text), NULL, NULL, &c, NULL);
        if (r != bad[i].code) {
            fail_msg("case %zu gave %s", i, tt_err_name(r));
        }
        assert_null(c);
    }
}

static void endpoints_are_parsed_strictly(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "https://",       "https://h:",     "https://h:x", "https://h:65536", "https://[::1",
        "https://[::1]x", "https://h/path", "ftp://h",     "h:443",           "https://:443"};
    struct tt_endpoint endpoint;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(tt_endpoint_parse(tt_str_c(bad[i]), &endpoint, NULL), TT_EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(current_context_is_chosen),
        cmocka_unit_test(named_context_wins),
        cmocka_unit_test(json_is_read_too),
        cmocka_unit_test(relative_files_are_found_beside_the_kubeconfig),
        cmocka_unit_test(yaml_error_tells_its_line),
        cmocka_unit_test(broken_files_are_refused),
        cmocka_unit_test(endpoints_are_parsed_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
