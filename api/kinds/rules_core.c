/* Rules of the small kinds: ConfigMap, Secret, Namespace, Service, Event, Node. */
#include "api/kinds/rules.h"
#include "base/intmath.h"

enum { CONFIG_SIZE_MAX = 1 << 20, CLIENT_IP_TIMEOUT_S = 10800 };

static bool is_str(yyjson_mut_val *obj, const char *name, const char *value)
{
    return tt_str_eq_c(tt_json_str_of(yyjson_mut_obj_get(obj, name)), value);
}

/* Adds a member unless it is there. */
static bool add(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, yyjson_mut_val *val)
{
    return yyjson_mut_obj_get(obj, name) != NULL || tt_json_put(doc, obj, tt_str_c(name), val);
}

static bool add_str(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *name, const char *value)
{
    return yyjson_mut_obj_get(obj, name) != NULL ||
           tt_json_put_str(doc, obj, tt_str_c(name), tt_str_c(value));
}

static size_t data_size(yyjson_mut_val *map)
{
    size_t i, n, total = 0;
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(map, i, n, key, item)
    {
        total += yyjson_mut_get_len(key) + yyjson_mut_get_len(item);
    }
    return total;
}

static void config_map_check(struct rule_check *ctx, yyjson_mut_val *val,
                             const struct tt_field_path *path)
{
    yyjson_mut_val *data = yyjson_mut_obj_get(val, "data");
    yyjson_mut_val *binary = yyjson_mut_obj_get(val, "binaryData");
    size_t i, n;
    yyjson_mut_val *key, *item;
    yyjson_mut_obj_foreach(binary, i, n, key, item)
    {
        if (tt_json_member(data, tt_json_str_of(key)) != NULL) {
            rule_cause(ctx, TT_ISSUE_INVALID, path, "data",
                       "Invalid value: %s: duplicate of key present in binaryData",
                       rule_show(ctx, key));
        }
    }
    if (data_size(data) + data_size(binary) > CONFIG_SIZE_MAX) {
        rule_cause(ctx, TT_ISSUE_TOO_LONG, path, "data", "Too long: may not be more than %d bytes",
                   (int)CONFIG_SIZE_MAX);
    }
}

/* Once immutable is true, it stays so and nothing of `fields` may change. */
static void check_immutable(struct rule_check *ctx, yyjson_mut_val *val, yyjson_mut_val *old,
                            const char *const *fields, size_t count)
{
    if (!yyjson_mut_get_bool(yyjson_mut_obj_get(old, "immutable"))) {
        return;
    }
    if (!yyjson_mut_get_bool(yyjson_mut_obj_get(val, "immutable"))) {
        rule_cause(ctx, TT_ISSUE_FORBIDDEN, NULL, "immutable",
                   "Forbidden: field is immutable when `immutable` is set");
    }
    for (size_t i = 0; i < count; i++) {
        if (!tt_json_equal(yyjson_mut_obj_get(val, fields[i]),
                           yyjson_mut_obj_get(old, fields[i]))) {
            rule_cause(ctx, TT_ISSUE_FORBIDDEN, NULL, fields[i],
                       "Forbidden: field is immutable when `immutable` is set");
        }
    }
}

static void config_map_update(struct rule_check *ctx, yyjson_mut_val *val, yyjson_mut_val *old)
{
    static const char *const fields[] = {"data", "binaryData"};
    check_immutable(ctx, val, old, fields, 2);
}

/* stringData is a convenience of writers: its entries become data. */
static bool secret_fill(struct rule_default *ctx, yyjson_mut_val *val)
{
    yyjson_mut_val *text = yyjson_mut_obj_get(val, "stringData");
    if (text == NULL) {
        return true;
    }
    yyjson_mut_val *data = yyjson_mut_obj_get(val, "data"), *key, *item;
    if (data == NULL) {
        data = yyjson_mut_obj(ctx->doc);
        if (!tt_json_put(ctx->doc, val, TT_STR("data"), data)) {
            return false;
        }
    }
    size_t i, n;
    yyjson_mut_obj_foreach(text, i, n, key, item)
    {
        struct tt_str plain = tt_json_str_of(item);
        TT_AUTO_FREE char *encoded = tt_xmalloc(tt_base64_encoded_size(plain.len) + 1);
        size_t len = tt_base64_encode(plain.ptr, plain.len, encoded);
        if (!tt_json_put_str(ctx->doc, data, tt_json_str_of(key), tt_str(encoded, len))) {
            return false;
        }
    }
    return tt_json_remove(val, TT_STR("stringData"));
}

static const struct {
    const char *type, *key; /* Secrets of this type need this member of data */
} secret_keys[] = {
    {"kubernetes.io/tls", "tls.crt"},
    {"kubernetes.io/tls", "tls.key"},
    {"kubernetes.io/dockerconfigjson", ".dockerconfigjson"},
    {"kubernetes.io/dockercfg", ".dockercfg"},
    {"kubernetes.io/ssh-auth", "ssh-privatekey"},
};

static void secret_check(struct rule_check *ctx, yyjson_mut_val *val,
                         const struct tt_field_path *path)
{
    yyjson_mut_val *data = yyjson_mut_obj_get(val, "data");
    for (size_t i = 0; i < sizeof secret_keys / sizeof secret_keys[0]; i++) {
        if (is_str(val, "type", secret_keys[i].type) &&
            yyjson_mut_obj_get(data, secret_keys[i].key) == NULL) {
            struct tt_field_path at = {.parent = path, .name = TT_STR("data")};
            struct tt_field_path key = {
                .parent = &at, .name = tt_str_c(secret_keys[i].key), .is_key = true};
            rule_cause(ctx, TT_ISSUE_REQUIRED, &key, "", "Required value");
        }
    }
    if (data_size(data) / 4 * 3 > CONFIG_SIZE_MAX) {
        rule_cause(ctx, TT_ISSUE_TOO_LONG, path, "data", "Too long: may not be more than %d bytes",
                   (int)CONFIG_SIZE_MAX);
    }
}

static void secret_update(struct rule_check *ctx, yyjson_mut_val *val, yyjson_mut_val *old)
{
    static const char *const fields[] = {"data"};
    check_immutable(ctx, val, old, fields, 1);
}

/* Selectors of namespaces by name rest on this label. */
static bool namespace_fill(struct rule_default *ctx, yyjson_mut_val *val)
{
    struct tt_str name = tt_json_get_str(val, "metadata.name");
    yyjson_mut_val *metadata = yyjson_mut_obj_get(val, "metadata");
    if (name.len == 0) {
        return true;
    }
    yyjson_mut_val *labels = yyjson_mut_obj_get(metadata, "labels");
    if (labels == NULL) {
        labels = yyjson_mut_obj(ctx->doc);
        if (!tt_json_put(ctx->doc, metadata, TT_STR("labels"), labels)) {
            return false;
        }
    }
    return tt_json_put_str(ctx->doc, labels, TT_STR("kubernetes.io/metadata.name"), name);
}

static bool service_spec_fill(struct rule_default *ctx, yyjson_mut_val *val)
{
    bool external = is_str(val, "type", "ExternalName");
    if (!external && !add_str(ctx->doc, val, "internalTrafficPolicy", "Cluster")) {
        return false;
    }
    if ((is_str(val, "type", "NodePort") || is_str(val, "type", "LoadBalancer")) &&
        !add_str(ctx->doc, val, "externalTrafficPolicy", "Cluster")) {
        return false;
    }
    return !is_str(val, "sessionAffinity", "ClientIP") ||
           yyjson_mut_obj_get(val, "sessionAffinityConfig") != NULL ||
           tt_json_set(ctx->doc, val, "sessionAffinityConfig.clientIP.timeoutSeconds",
                       yyjson_mut_sint(ctx->doc, CLIENT_IP_TIMEOUT_S));
}

static void service_spec_check(struct rule_check *ctx, yyjson_mut_val *val,
                               const struct tt_field_path *path)
{
    bool external = is_str(val, "type", "ExternalName");
    bool headless = is_str(val, "clusterIP", "None");
    yyjson_mut_val *ports = yyjson_mut_obj_get(val, "ports"), *port;
    if (external && tt_json_get_str(val, "externalName").len == 0) {
        rule_cause(ctx, TT_ISSUE_REQUIRED, path, "externalName", "Required value");
    }
    if (!external && !headless && yyjson_mut_arr_size(ports) == 0) {
        rule_cause(ctx, TT_ISSUE_REQUIRED, path, "ports", "Required value");
    }
    struct tt_field_path list = {.parent = path, .name = TT_STR("ports")};
    struct tt_field_path here = {.parent = &list};
    size_t n;
    yyjson_mut_arr_foreach(ports, here.index, n, port)
    {
        struct tt_str name = tt_json_str_of(yyjson_mut_obj_get(port, "name"));
        if (n > 1 && name.len == 0) {
            rule_cause(ctx, TT_ISSUE_REQUIRED, &here, "name", "Required value");
        }
        size_t k, m;
        yyjson_mut_val *other;
        yyjson_mut_arr_foreach(ports, k, m, other)
        {
            if (k >= here.index || k > 200) {
                break;
            }
            if (name.len > 0 &&
                tt_str_eq(name, tt_json_str_of(yyjson_mut_obj_get(other, "name")))) {
                rule_cause(ctx, TT_ISSUE_DUPLICATE, &here, "name", "Duplicate value: \"%.*s\"",
                           TT_STR_ARG(name));
            }
        }
    }
}

static void service_update(struct rule_check *ctx, yyjson_mut_val *val, yyjson_mut_val *old)
{
    struct tt_str was = tt_json_get_str(old, "spec.clusterIP");
    struct tt_str is = tt_json_get_str(val, "spec.clusterIP");
    bool external = tt_str_eq(tt_json_get_str(val, "spec.type"), TT_STR("ExternalName"));
    if (was.len > 0 && !external && !tt_str_eq(was, is)) {
        struct tt_field_path spec = {.name = TT_STR("spec")};
        rule_cause(ctx, TT_ISSUE_INVALID, &spec, "clusterIP",
                   "Invalid value: \"%.*s\": field is immutable", TT_STR_ARG(is));
    }
}

static bool service_port_fill(struct rule_default *ctx, yyjson_mut_val *val)
{
    yyjson_mut_val *port = yyjson_mut_obj_get(val, "port");
    return port == NULL || yyjson_mut_obj_get(val, "targetPort") != NULL ||
           add(ctx->doc, val, "targetPort", tt_json_copy(ctx->doc, port));
}

static void event_check(struct rule_check *ctx, yyjson_mut_val *val,
                        const struct tt_field_path *path)
{
    struct tt_str about = tt_json_get_str(val, "involvedObject.namespace");
    struct tt_str ns = tt_json_get_str(val, "metadata.namespace");
    if (about.len > 0 && !tt_str_eq(about, ns)) {
        struct tt_field_path here = {.parent = path, .name = TT_STR("involvedObject")};
        rule_cause(ctx, TT_ISSUE_INVALID, &here, "namespace",
                   "Invalid value: \"%.*s\": does not match event.namespace", TT_STR_ARG(about));
    }
}

static void node_update(struct rule_check *ctx, yyjson_mut_val *val, yyjson_mut_val *old)
{
    struct tt_str was = tt_json_get_str(old, "spec.providerID");
    struct tt_str is = tt_json_get_str(val, "spec.providerID");
    if (was.len > 0 && !tt_str_eq(was, is)) {
        struct tt_field_path spec = {.name = TT_STR("spec")};
        rule_cause(ctx, TT_ISSUE_FORBIDDEN, &spec, "providerID",
                   "Forbidden: node updates may not change providerID except from \"\" to valid");
    }
}

const struct tt_rule kinds_rules_core[] = {
    {"configMap", NULL, config_map_check, config_map_update},
    {"secret", secret_fill, secret_check, secret_update},
    {"namespace", namespace_fill, NULL, NULL},
    {"service", NULL, NULL, service_update},
    {"serviceSpec", service_spec_fill, service_spec_check, NULL},
    {"servicePort", service_port_fill, NULL, NULL},
    {"event", NULL, event_check, NULL},
    {"node", NULL, NULL, node_update},
};
const size_t kinds_rules_core_count = sizeof kinds_rules_core / sizeof kinds_rules_core[0];
