/* Reading: libfyaml builds a document (aliases are not resolved, so none can multiply), then only
 * plain look-ups by key. Choosing: the context named, its cluster and user by name. Material:
 * inline base64 or a file, always kept as PEM text. Failure modes: unreadable or oversized files,
 * YAML errors (told with their line), names that lead nowhere, base64 that is none. */
#include "api/client/kubeconfig.h"

#include <libfyaml.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/file.h"

enum { KUBECONFIG_MAX = 1 << 20, PEM_MAX = 256 << 10, ITEMS_MAX = 1000 };

static struct fy_node *get(struct fy_node *map, const char *key)
{
    if (!map || !fy_node_is_mapping(map)) {
        return NULL;
    }
    return fy_node_mapping_lookup_value_by_simple_key(map, key, strlen(key));
}

static struct tt_str scalar(struct fy_node *node)
{
    size_t size = 0;
    if (!node || !fy_node_is_scalar(node)) {
        return TT_STR_NONE;
    }
    const char *text = fy_node_get_scalar(node, &size);
    return tt_str(text, text ? size : 0);
}

static struct tt_str get_text(struct fy_node *map, const char *key)
{
    return scalar(get(map, key));
}

/* The item of a list of {name: …, <key>: {…}} with that name: its <key>. */
static struct fy_node *named(struct fy_node *list, struct tt_str name, const char *key)
{
    if (!list || !fy_node_is_sequence(list)) {
        return NULL;
    }
    void *cursor = NULL;
    struct fy_node *item;
    for (int i = 0; i < ITEMS_MAX && (item = fy_node_sequence_iterate(list, &cursor)); i++) {
        if (tt_str_eq(get_text(item, "name"), name)) {
            return get(item, key);
        }
    }
    return NULL;
}

/* "host", "host:port", "[v6]" or "[v6]:port" into its parts, without brackets. */
static bool split_authority(struct tt_str text, struct tt_str *ret_host, struct tt_str *ret_port)
{
    size_t close = 0; /* behind the bracket of [v6] */
    if (text.len > 0 && text.ptr[0] == '[') {
        ptrdiff_t bracket = tt_str_find(text, ']');
        if (bracket < 0) {
            return false;
        }
        close = (size_t)bracket + 1;
    }
    ptrdiff_t colon = tt_str_find(tt_str_skip(text, close), ':');
    struct tt_str host = colon < 0 ? text : tt_str_head(text, close + (size_t)colon);
    *ret_port = colon < 0 ? TT_STR("443") : tt_str_skip(text, close + (size_t)colon + 1);
    if (close > 0 && host.len != close) {
        return false;
    }
    *ret_host = close > 0 ? tt_str(host.ptr + 1, close - 2) : host;
    return true;
}

int tt_endpoint_parse(struct tt_str url, struct tt_endpoint *ret_endpoint, struct tt_err *err)
{
    if (!tt_str_starts(url, TT_STR("https://"))) {
        return TT_FAIL(err, TT_EINVAL, "server %.*s: must begin with https://", TT_STR_ARG(url));
    }
    struct tt_str rest = tt_str_skip(url, strlen("https://"));
    ptrdiff_t slash = tt_str_find(rest, '/');
    if (slash >= 0 && (size_t)slash != rest.len - 1) {
        return TT_FAIL(err, TT_EINVAL, "server %.*s: paths are not supported", TT_STR_ARG(url));
    }
    rest = slash >= 0 ? tt_str_head(rest, (size_t)slash) : rest;
    struct tt_str host;
    struct tt_str port;
    uint64_t number;
    struct tt_endpoint endpoint = {.port = 0};
    bool ok = split_authority(rest, &host, &port) && host.len > 0 &&
              host.len < sizeof endpoint.host && !memchr(host.ptr, '\0', host.len);
    if (!ok || !tt_str_to_u64(port, &number) || number == 0 || number > UINT16_MAX) {
        return TT_FAIL(err, TT_EINVAL, "server %.*s: bad host or port", TT_STR_ARG(url));
    }
    memcpy(endpoint.host, host.ptr, host.len);
    endpoint.port = (uint16_t)number;
    *ret_endpoint = endpoint;
    return 0;
}

static int add_endpoint(struct tt_kubeconfig *config, struct tt_str url, struct tt_err *err)
{
    struct tt_endpoint endpoint;
    int r = tt_endpoint_parse(url, &endpoint, err);
    if (r < 0) {
        return r;
    }
    for (uint32_t i = 0; i < config->endpoint_count; i++) {
        if (config->endpoint[i].port == endpoint.port &&
            strcmp(config->endpoint[i].host, endpoint.host) == 0) {
            return 0;
        }
    }
    if (config->endpoint_count == TT_ENDPOINTS_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "more than %d servers", TT_ENDPOINTS_MAX);
    }
    config->endpoint[config->endpoint_count++] = endpoint;
    return 0;
}

static int read_endpoints(struct tt_kubeconfig *config, struct fy_node *cluster, struct tt_err *err)
{
    int r = add_endpoint(config, get_text(cluster, "server"), err);
    if (r < 0) {
        return r;
    }
    struct fy_node *extension = named(get(cluster, "extensions"), TT_STR("tutti"), "extension");
    struct fy_node *servers = get(extension, "servers");
    if (!servers || !fy_node_is_sequence(servers)) {
        return 0;
    }
    void *cursor = NULL;
    struct fy_node *item;
    while ((item = fy_node_sequence_iterate(servers, &cursor))) {
        r = add_endpoint(config, scalar(item), err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static void wipe(char *text)
{
    if (text) {
        OPENSSL_cleanse(text, strlen(text));
        tt_free(text);
    }
}

static int read_inline(struct tt_str base64, const char *key, char **ret_pem, struct tt_err *err)
{
    if (base64.len > PEM_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "%s-data is too large", key);
    }
    char *pem = tt_xcalloc(1, base64.len + 1);
    ptrdiff_t size = tt_base64_decode(base64, pem, base64.len);
    if (size <= 0 || memchr(pem, '\0', (size_t)size)) {
        wipe(pem);
        return TT_FAIL(err, TT_EINVAL, "%s-data is not base64 of a PEM text", key);
    }
    pem[size] = '\0';
    *ret_pem = pem;
    return 0;
}

static int read_pem_file(struct tt_str path, const char *base_dir, char **ret_pem,
                         struct tt_err *err)
{
    bool is_relative = path.ptr[0] != '/' && base_dir;
    TT_AUTO_FREE char *full =
        is_relative ? tt_xasprintf("%s/%.*s", base_dir, TT_STR_ARG(path)) : tt_str_xdup(path);
    struct tt_buf pem;
    int r = tt_file_read(full, PEM_MAX, &pem, err);
    if (r < 0) {
        return r;
    }
    *ret_pem = tt_xstrndup(pem.ptr ? pem.ptr : "", pem.len);
    if (pem.ptr) {
        OPENSSL_cleanse(pem.ptr, pem.len);
    }
    tt_buf_fini(&pem);
    return 0;
}

/* `<key>-data` (base64) or the file `<key>`; neither leaves NULL. */
static int read_material(struct fy_node *map, const char *key, const char *base_dir, char **ret_pem,
                         struct tt_err *err)
{
    TT_AUTO_FREE char *data_key = tt_xasprintf("%s-data", key);
    struct tt_str data = get_text(map, data_key);
    struct tt_str path = get_text(map, key);
    if (data.len > 0) {
        return read_inline(data, key, ret_pem, err);
    }
    if (path.len > 0) {
        int r = read_pem_file(path, base_dir, ret_pem, err);
        return r < 0 ? TT_WRAP(err, r, "%s", key) : 0;
    }
    return 0;
}

static int read_chosen(struct fy_node *root, const char *base_dir, struct tt_str context_name,
                       struct tt_kubeconfig *config, struct tt_err *err)
{
    struct fy_node *context = named(get(root, "contexts"), context_name, "context");
    if (!context) {
        return TT_FAIL(err, TT_ENOTFOUND, "context \"%.*s\"", TT_STR_ARG(context_name));
    }
    struct tt_str cluster_name = get_text(context, "cluster");
    struct tt_str user_name = get_text(context, "user");
    struct tt_str namespace = get_text(context, "namespace");
    struct fy_node *cluster = named(get(root, "clusters"), cluster_name, "cluster");
    struct fy_node *user = named(get(root, "users"), user_name, "user");
    if (!cluster) {
        return TT_FAIL(err, TT_ENOTFOUND, "cluster \"%.*s\"", TT_STR_ARG(cluster_name));
    }
    config->context = tt_str_xdup(context_name);
    config->cluster = tt_str_xdup(cluster_name);
    config->user = tt_str_xdup(user_name);
    config->namespace = tt_str_xdup(namespace.len > 0 ? namespace : TT_STR("default"));
    struct tt_str server_name = get_text(cluster, "tls-server-name");
    config->server_name = server_name.len > 0 ? tt_str_xdup(server_name) : NULL;
    int r = read_endpoints(config, cluster, err);
    if (r == 0) {
        r = read_material(cluster, "certificate-authority", base_dir, &config->ca_pem, err);
    }
    if (r == 0) {
        r = read_material(user, "client-certificate", base_dir, &config->cert_pem, err);
    }
    if (r == 0) {
        r = read_material(user, "client-key", base_dir, &config->key_pem, err);
    }
    return r;
}

/* The first message that libfyaml collected. */
static int fail_yaml(struct fy_diag *diag, struct tt_err *err)
{
    void *cursor = NULL;
    const struct fy_diag_error *first = fy_diag_errors_iterate(diag, &cursor);
    if (!first) {
        return TT_FAIL(err, TT_EINVAL, "not a YAML document");
    }
    return TT_FAIL(err, TT_EINVAL, "line %d: %s", first->line, first->msg);
}

static int parse_document(struct tt_str text, struct fy_document **ret_document, struct tt_err *err)
{
    struct fy_diag_cfg diag_config;
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&diag_config);
    TT_ASSERT(diag);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};
    struct fy_document *document = fy_document_build_from_string(&config, text.ptr, text.len);
    int r = document && fy_document_root(document) ? 0 : fail_yaml(diag, err);
    if (r < 0) {
        fy_document_destroy(document);
    } else {
        *ret_document = document;
    }
    fy_diag_destroy(diag);
    return r;
}

int tt_kubeconfig_parse(struct tt_str text, const char *base_dir, const char *context,
                        struct tt_kubeconfig **ret_config, struct tt_err *err)
{
    if (text.len > KUBECONFIG_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "kubeconfig has %zu bytes", text.len);
    }
    if (text.len == 0 || memchr(text.ptr, '\0', text.len) || !tt_utf8_valid(text)) {
        return TT_FAIL(err, TT_EINVAL, "kubeconfig is empty or not UTF-8 text");
    }
    struct fy_document *document = NULL;
    int r = parse_document(text, &document, err);
    if (r < 0) {
        return TT_WRAP(err, r, "kubeconfig");
    }
    struct fy_node *root = fy_document_root(document);
    struct tt_str name = context ? tt_str_c(context) : get_text(root, "current-context");
    TT_AUTO(tt_kubeconfig) config = TT_NEW(struct tt_kubeconfig);
    if (name.len == 0) {
        r = TT_FAIL(err, TT_ENOTFOUND, "kubeconfig names no current-context");
    } else {
        r = read_chosen(root, base_dir, name, config, err);
    }
    fy_document_destroy(document);
    if (r < 0) {
        return TT_WRAP(err, r, "kubeconfig");
    }
    TT_ASSERT(config->endpoint_count > 0);
    *ret_config = TT_TAKE(config);
    return 0;
}

/* path, else the first entry of $KUBECONFIG, else ~/.kube/config. */
static char *choose_path(const char *path)
{
    if (path) {
        return tt_xstrdup(path);
    }
    struct tt_str entries = tt_str_c(getenv("KUBECONFIG"));
    struct tt_str first;
    if (entries.len > 0 && tt_str_cut(&entries, ':', &first) && first.len > 0) {
        return tt_str_xdup(first);
    }
    const char *home = getenv("HOME");
    return tt_xasprintf("%s/.kube/config", home ? home : "");
}

int tt_kubeconfig_load(const char *path, const char *context, struct tt_kubeconfig **ret_config,
                       struct tt_err *err)
{
    TT_AUTO_FREE char *file = choose_path(path);
    struct tt_buf text;
    int r = tt_file_read(file, KUBECONFIG_MAX, &text, err);
    if (r < 0) {
        return TT_WRAP(err, r, "kubeconfig");
    }
    TT_AUTO_FREE char *dir = tt_xstrdup(file);
    char *slash = strrchr(dir, '/');
    if (slash) {
        *slash = '\0';
    }
    r = tt_kubeconfig_parse(tt_buf_view(&text), slash ? dir : NULL, context, ret_config, err);
    if (text.ptr) {
        OPENSSL_cleanse(text.ptr, text.len);
    }
    tt_buf_fini(&text);
    return r < 0 ? TT_WRAP(err, r, "%s", file) : 0;
}

void tt_kubeconfig_free(struct tt_kubeconfig *config)
{
    if (!config) {
        return;
    }
    tt_free(config->context);
    tt_free(config->cluster);
    tt_free(config->user);
    tt_free(config->namespace);
    tt_free(config->server_name);
    tt_free(config->ca_pem);
    tt_free(config->cert_pem);
    wipe(config->key_pem);
    tt_free(config);
}
