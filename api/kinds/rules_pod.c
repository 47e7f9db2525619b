/* Rules of pods and their templates: containers, volumes, probes, resources; and what of a pod may
 * change after it was created. */
#include "api/kinds/format.h"
#include "api/kinds/quantity.h"
#include "api/kinds/rules.h"

enum { NAIVE_MAX = 512 /* elements compared pair by pair; longer lists are refused */ };

static struct tt_str str_of(yyjson_mut_val *obj, const char *name)
{
    return tt_json_str_of(yyjson_mut_obj_get(obj, name));
}

static bool put_default(struct rule_default *ctx, yyjson_mut_val *obj, const char *name,
                        const char *value)
{
    return yyjson_mut_obj_get(obj, name) != NULL ||
           tt_json_put_str(ctx->doc, obj, tt_str_c(name), tt_str_c(value));
}

/* "Always" for :latest and for images without tag or digest. */
static bool container_fill(struct rule_default *ctx, yyjson_mut_val *val)
{
    struct tt_str image = str_of(val, "image"), last = image;
    ptrdiff_t slash;
    while ((slash = tt_str_find(last, '/')) >= 0) {
        last = tt_str_skip(last, (size_t)slash + 1);
    }
    ptrdiff_t tag = tt_str_find(last, ':');
    bool latest = tt_str_find(last, '@') < 0 &&
                  (tag < 0 || tt_str_eq(tt_str_skip(last, (size_t)tag + 1), TT_STR("latest")));
    return put_default(ctx, val, "imagePullPolicy", latest ? "Always" : "IfNotPresent");
}

static void container_check(struct rule_check *ctx, yyjson_mut_val *val,
                            const struct tt_field_path *path)
{
    struct tt_field_path list = {.parent = path, .name = TT_STR("volumeMounts")};
    struct tt_field_path here = {.parent = &list};
    yyjson_mut_val *mounts = yyjson_mut_obj_get(val, "volumeMounts"), *mount, *other;
    size_t n, k, m;
    yyjson_mut_arr_foreach(mounts, here.index, n, mount)
    {
        struct tt_str where = str_of(mount, "mountPath");
        yyjson_mut_arr_foreach(mounts, k, m, other)
        {
            if (k >= here.index || k > NAIVE_MAX) {
                break;
            }
            if (where.len > 0 && tt_str_eq(where, str_of(other, "mountPath"))) {
                rule_cause(ctx, TT_ISSUE_INVALID, &here, "mountPath",
                           "Invalid value: \"%.*s\": must be unique", TT_STR_ARG(where));
            }
        }
    }
}

/* A volume without a source is an emptyDir. */
static bool volume_fill(struct rule_default *ctx, yyjson_mut_val *val)
{
    if (yyjson_mut_obj_size(val) != 1 || str_of(val, "name").len == 0) {
        return true;
    }
    return tt_json_put(ctx->doc, val, TT_STR("emptyDir"), yyjson_mut_obj(ctx->doc));
}

static void volume_check(struct rule_check *ctx, yyjson_mut_val *val,
                         const struct tt_field_path *path)
{
    size_t sources = yyjson_mut_obj_size(val) - (yyjson_mut_obj_get(val, "name") != NULL ? 1 : 0);
    if (sources == 0) {
        rule_cause(ctx, TT_ISSUE_REQUIRED, path, "", "Required value: must specify a volume type");
    } else if (sources > 1) {
        rule_cause(ctx, TT_ISSUE_FORBIDDEN, path, "",
                   "Forbidden: may not specify more than 1 volume type");
    }
}

/* Exactly one of the handlers. */
static void check_handlers(struct rule_check *ctx, yyjson_mut_val *val,
                           const struct tt_field_path *path)
{
    static const char *const handlers[] = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"};
    size_t count = 0;
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
        count += yyjson_mut_obj_get(val, handlers[i]) != NULL;
    }
    if (count == 0) {
        rule_cause(ctx, TT_ISSUE_REQUIRED, path, "", "Required value: must specify a handler type");
    } else if (count > 1) {
        rule_cause(ctx, TT_ISSUE_FORBIDDEN, path, "",
                   "Forbidden: may not specify more than 1 handler type");
    }
}

static void lifecycle_check(struct rule_check *ctx, yyjson_mut_val *val,
                            const struct tt_field_path *path)
{
    static const char *const hooks[] = {"postStart", "preStop"};
    for (size_t i = 0; i < 2; i++) {
        yyjson_mut_val *hook = yyjson_mut_obj_get(val, hooks[i]);
        struct tt_field_path here = {.parent = path, .name = tt_str_c(hooks[i])};
        if (hook != NULL) {
            check_handlers(ctx, hook, &here);
        }
    }
}

static void env_var_check(struct rule_check *ctx, yyjson_mut_val *val,
                          const struct tt_field_path *path)
{
    yyjson_mut_val *from = yyjson_mut_obj_get(val, "valueFrom");
    if (from == NULL) {
        return;
    }
    size_t sources = yyjson_mut_obj_size(from);
    if (str_of(val, "value").len > 0) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "valueFrom",
                   "Invalid value: \"\": may not be specified when `value` is not empty");
    }
    if (sources != 1) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "valueFrom",
                   "Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, "
                   "`configMapKeyRef` or `secretKeyRef`");
    }
}

/* Requests default to limits. */
static bool resources_fill(struct rule_default *ctx, yyjson_mut_val *val)
{
    yyjson_mut_val *limits = yyjson_mut_obj_get(val, "limits"), *key, *item;
    if (yyjson_mut_obj_size(limits) == 0) {
        return true;
    }
    yyjson_mut_val *requests = yyjson_mut_obj_get(val, "requests");
    if (requests == NULL) {
        requests = yyjson_mut_obj(ctx->doc);
        if (!tt_json_put(ctx->doc, val, TT_STR("requests"), requests)) {
            return false;
        }
    }
    size_t i, n;
    yyjson_mut_obj_foreach(limits, i, n, key, item)
    {
        struct tt_str name = tt_json_str_of(key);
        if (tt_json_member(requests, name) == NULL &&
            !tt_json_put_str(ctx->doc, requests, name, tt_json_str_of(item))) {
            return false;
        }
    }
    return true;
}

static bool check_amount(struct rule_check *ctx, yyjson_mut_val *val,
                         const struct tt_field_path *path, struct tt_quantity *ret)
{
    if (!tt_quantity_parse(tt_json_str_of(val), ret)) {
        return false;
    }
    if (ret->nano < 0) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "",
                   "Invalid value: %s: must be greater than or equal to 0", rule_show(ctx, val));
        return false;
    }
    return true;
}

static void resources_check(struct rule_check *ctx, yyjson_mut_val *val,
                            const struct tt_field_path *path)
{
    yyjson_mut_val *limits = yyjson_mut_obj_get(val, "limits");
    yyjson_mut_val *requests = yyjson_mut_obj_get(val, "requests"), *key, *item;
    struct tt_field_path list = {.parent = path, .name = TT_STR("limits")};
    struct tt_quantity request, limit;
    size_t i, n;
    yyjson_mut_obj_foreach(limits, i, n, key, item)
    {
        struct tt_field_path here = {.parent = &list, .name = tt_json_str_of(key), .is_key = true};
        (void)check_amount(ctx, item, &here, &limit); /* the cause is all that counts */
    }
    list.name = TT_STR("requests");
    yyjson_mut_obj_foreach(requests, i, n, key, item)
    {
        struct tt_str name = tt_json_str_of(key);
        struct tt_field_path here = {.parent = &list, .name = name, .is_key = true};
        yyjson_mut_val *most = tt_json_member(limits, name);
        if (check_amount(ctx, item, &here, &request) && most != NULL &&
            tt_quantity_parse(tt_json_str_of(most), &limit) &&
            tt_quantity_cmp(&request, &limit) > 0) {
            rule_cause(ctx, TT_ISSUE_INVALID, &list, "",
                       "Invalid value: %s: must be less than or equal to %.*s limit of %.*s",
                       rule_show(ctx, item), TT_STR_ARG(name), TT_STR_ARG(tt_json_str_of(most)));
        }
    }
}

static void toleration_check(struct rule_check *ctx, yyjson_mut_val *val,
                             const struct tt_field_path *path)
{
    struct tt_str op = str_of(val, "operator");
    bool exists = tt_str_eq(op, TT_STR("Exists"));
    if (str_of(val, "key").len == 0 && !exists) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "operator",
                   "Invalid value: \"%.*s\": operator must be Exists when `key` is empty, which "
                   "means \"match all values and all keys\"",
                   TT_STR_ARG(op));
    }
    if (exists && str_of(val, "value").len > 0) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "operator",
                   "Invalid value: \"%.*s\": value must be empty when `operator` is 'Exists'",
                   TT_STR_ARG(op));
    }
    if (yyjson_mut_obj_get(val, "tolerationSeconds") != NULL &&
        !tt_str_eq(str_of(val, "effect"), TT_STR("NoExecute"))) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "effect",
                   "Invalid value: \"%.*s\": effect must be 'NoExecute' when `tolerationSeconds` "
                   "is set",
                   TT_STR_ARG(str_of(val, "effect")));
    }
}

static void node_requirement_check(struct rule_check *ctx, yyjson_mut_val *val,
                                   const struct tt_field_path *path)
{
    struct tt_str op = str_of(val, "operator");
    size_t count = yyjson_mut_arr_size(yyjson_mut_obj_get(val, "values"));
    bool set = tt_str_eq(op, TT_STR("In")) || tt_str_eq(op, TT_STR("NotIn"));
    bool order = tt_str_eq(op, TT_STR("Gt")) || tt_str_eq(op, TT_STR("Lt"));
    if (set && count == 0) {
        rule_cause(ctx, TT_ISSUE_REQUIRED, path, "values",
                   "Required value: must be specified when `operator` is 'In' or 'NotIn'");
    } else if (order && count != 1) {
        rule_cause(
            ctx, TT_ISSUE_REQUIRED, path, "values",
            "Required value: must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else if (!set && !order && count > 0) {
        rule_cause(ctx, TT_ISSUE_FORBIDDEN, path, "values",
                   "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    }
}

/* The older name of the same field follows the newer one, as clients of either expect. */
static bool pod_spec_fill(struct rule_default *ctx, yyjson_mut_val *val)
{
    struct tt_str name = str_of(val, "serviceAccountName");
    struct tt_str older = str_of(val, "serviceAccount");
    if (name.len > 0) {
        return tt_json_put_str(ctx->doc, val, TT_STR("serviceAccount"), name);
    }
    return older.len == 0 || tt_json_put_str(ctx->doc, val, TT_STR("serviceAccountName"), older);
}

/* Names must be unique in a list; `before` is a second list that counts too. */
static void check_names(struct rule_check *ctx, yyjson_mut_val *spec, const char *list,
                        yyjson_mut_val *before, const struct tt_field_path *path)
{
    struct tt_field_path at = {.parent = path, .name = tt_str_c(list)};
    struct tt_field_path here = {.parent = &at};
    yyjson_mut_val *items = yyjson_mut_obj_get(spec, list), *item, *other;
    size_t n, k, m;
    if (yyjson_mut_arr_size(items) > NAIVE_MAX) {
        rule_cause(ctx, TT_ISSUE_TOO_MANY, &at, "", "Too many: must have at most %d items",
                   (int)NAIVE_MAX);
        return;
    }
    yyjson_mut_arr_foreach(items, here.index, n, item)
    {
        struct tt_str name = str_of(item, "name");
        bool again = false;
        yyjson_mut_arr_foreach(items, k, m, other)
        {
            again |= k < here.index && tt_str_eq(name, str_of(other, "name"));
        }
        yyjson_mut_arr_foreach(before, k, m, other)
        {
            again |= k <= NAIVE_MAX && tt_str_eq(name, str_of(other, "name"));
        }
        if (again && name.len > 0) {
            rule_cause(ctx, TT_ISSUE_DUPLICATE, &here, "name", "Duplicate value: \"%.*s\"",
                       TT_STR_ARG(name));
        }
    }
}

static bool has_volume(yyjson_mut_val *volumes, struct tt_str name)
{
    size_t k, m;
    yyjson_mut_val *volume;
    yyjson_mut_arr_foreach(volumes, k, m, volume)
    {
        if (tt_str_eq(name, str_of(volume, "name"))) {
            return true;
        }
    }
    return false;
}

static void check_mounts(struct rule_check *ctx, yyjson_mut_val *spec, const char *list,
                         const struct tt_field_path *path)
{
    struct tt_field_path at = {.parent = path, .name = tt_str_c(list)};
    struct tt_field_path container_at = {.parent = &at};
    struct tt_field_path mounts_at = {.parent = &container_at, .name = TT_STR("volumeMounts")};
    struct tt_field_path here = {.parent = &mounts_at};
    yyjson_mut_val *volumes = yyjson_mut_obj_get(spec, "volumes"), *container, *mount;
    size_t n, m;
    if (yyjson_mut_arr_size(volumes) > NAIVE_MAX) {
        return; /* reported by check_names */
    }
    yyjson_mut_arr_foreach(yyjson_mut_obj_get(spec, list), container_at.index, n, container)
    {
        yyjson_mut_arr_foreach(yyjson_mut_obj_get(container, "volumeMounts"), here.index, m, mount)
        {
            struct tt_str name = str_of(mount, "name");
            if (name.len > 0 && !has_volume(volumes, name)) {
                rule_cause(ctx, TT_ISSUE_NOT_FOUND, &here, "name", "Not found: \"%.*s\"",
                           TT_STR_ARG(name));
            }
        }
    }
}

static void pod_spec_check(struct rule_check *ctx, yyjson_mut_val *val,
                           const struct tt_field_path *path)
{
    check_names(ctx, val, "volumes", NULL, path);
    check_names(ctx, val, "containers", NULL, path);
    check_names(ctx, val, "initContainers", yyjson_mut_obj_get(val, "containers"), path);
    check_mounts(ctx, val, "containers", path);
    check_mounts(ctx, val, "initContainers", path);
}

/* Makes the fields of a running pod's spec that may change equal to the old ones, in a copy. */
static bool mask_mutable(yyjson_mut_doc *doc, yyjson_mut_val *spec, yyjson_mut_val *old)
{
    static const char *const fields[] = {"activeDeadlineSeconds", "terminationGracePeriodSeconds",
                                         "tolerations", "schedulingGates"};
    static const char *const lists[] = {"containers", "initContainers"};
    bool ok = true;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        yyjson_mut_val *was = yyjson_mut_obj_get(old, fields[i]);
        (void)tt_json_remove(spec, tt_str_c(fields[i])); /* absent is fine */
        ok = ok &&
             (was == NULL || tt_json_put(doc, spec, tt_str_c(fields[i]), tt_json_copy(doc, was)));
    }
    if (str_of(old, "nodeName").len == 0) { /* binding */
        (void)tt_json_remove(spec, TT_STR("nodeName"));
    }
    for (size_t l = 0; l < 2; l++) {
        size_t k, m;
        yyjson_mut_val *container;
        yyjson_mut_val *was = yyjson_mut_arr_get_first(yyjson_mut_obj_get(old, lists[l]));
        size_t left = yyjson_mut_arr_size(yyjson_mut_obj_get(old, lists[l]));
        yyjson_mut_arr_foreach(yyjson_mut_obj_get(spec, lists[l]), k, m, container)
        {
            if (k < left && ok) {
                ok = tt_json_put_str(doc, container, TT_STR("image"), str_of(was, "image"));
                was = was->next;
            }
        }
    }
    return ok;
}

static void pod_update(struct rule_check *ctx, yyjson_mut_val *val, yyjson_mut_val *old)
{
    yyjson_mut_val *spec = yyjson_mut_obj_get(val, "spec");
    yyjson_mut_val *was = yyjson_mut_obj_get(old, "spec");
    if (tt_json_equal(spec, was)) {
        return;
    }
    yyjson_mut_doc *doc = tt_json_new(ctx->arena);
    yyjson_mut_val *masked = doc != NULL ? tt_json_copy(doc, spec) : NULL;
    if (masked == NULL || !mask_mutable(doc, masked, was) || !tt_json_equal(masked, was)) {
        rule_cause(ctx, TT_ISSUE_FORBIDDEN, NULL, "spec",
                   "Forbidden: pod updates may not change fields other than "
                   "`spec.containers[*].image`,`spec.initContainers[*].image`,"
                   "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
                   "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if "
                   "it was previously negative)");
    }
}

/* Best effort, guaranteed (cpu and memory limits equal requests everywhere) or burstable. */
static bool pod_fill(struct rule_default *ctx, yyjson_mut_val *val)
{
    static const char *const names[] = {"cpu", "memory"};
    yyjson_mut_val *status = yyjson_mut_obj_get(val, "status"), *container;
    size_t i, n, any = 0;
    bool guaranteed = true;
    yyjson_mut_arr_foreach(tt_json_get(val, "spec.containers"), i, n, container)
    {
        yyjson_mut_val *resources = yyjson_mut_obj_get(container, "resources");
        yyjson_mut_val *limits = yyjson_mut_obj_get(resources, "limits");
        yyjson_mut_val *requests = yyjson_mut_obj_get(resources, "requests");
        any += yyjson_mut_obj_size(limits) + yyjson_mut_obj_size(requests);
        for (size_t k = 0; k < 2; k++) {
            yyjson_mut_val *limit = yyjson_mut_obj_get(limits, names[k]);
            yyjson_mut_val *request = yyjson_mut_obj_get(requests, names[k]);
            guaranteed &= limit != NULL && (request == NULL || tt_json_equal(limit, request));
        }
    }
    const char *class = any == 0 ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
    return status == NULL || put_default(ctx, status, "qosClass", class);
}

const struct tt_rule kinds_rules_pod[] = {
    {"container", container_fill, container_check, NULL},
    {"volume", volume_fill, volume_check, NULL},
    {"probe", NULL, check_handlers, NULL},
    {"lifecycle", NULL, lifecycle_check, NULL},
    {"envVar", NULL, env_var_check, NULL},
    {"resources", resources_fill, resources_check, NULL},
    {"toleration", NULL, toleration_check, NULL},
    {"nodeSelectorRequirement", NULL, node_requirement_check, NULL},
    {"podSpec", pod_spec_fill, pod_spec_check, NULL},
    {"pod", pod_fill, NULL, pod_update},
};
const size_t kinds_rules_pod_count = sizeof kinds_rules_pod / sizeof kinds_rules_pod[0];
