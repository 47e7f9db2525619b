/* Tables of fields: of the pod's spec, of each container, probe, mount, volume and projected
 * source. A field counts when it is there and says something: not null, false, "", [] or {}. */
#include "api/kinds/advice.h"

#define NO_EFFECT "not supported yet: it is stored and has no effect"
#define NO_START  "not supported yet: the pod's containers will not start"
#define NO_PASS   "not supported yet: it always fails"

struct advice {
    const char *field; /* dotted */
    const char *value; /* NULL: whatever it says */
    const char *text;  /* what is said behind the path; static */
};
static const struct advice of_pods[] = {
    {"affinity", NULL, NO_EFFECT},
    {"topologySpreadConstraints", NULL, NO_EFFECT},
    {"schedulingGates", NULL, NO_EFFECT},
    {"priorityClassName", NULL, NO_EFFECT},
    {"preemptionPolicy", NULL, NO_EFFECT},
    {"readinessGates", NULL, NO_EFFECT},
    {"activeDeadlineSeconds", NULL, NO_EFFECT},
    {"runtimeClassName", NULL, NO_EFFECT},
    {"ephemeralContainers", NULL, NO_EFFECT},
    {"imagePullSecrets", NULL, NO_EFFECT},
    {"dnsConfig", NULL, NO_EFFECT},
    {"hostAliases", NULL, NO_EFFECT},
    {"subdomain", NULL, NO_EFFECT},
    {"setHostnameAsFQDN", NULL, NO_EFFECT},
    {"overhead", NULL, NO_EFFECT},
    {"resourceClaims", NULL, NO_EFFECT},
    {"resources", NULL, NO_EFFECT},
};
static const struct advice of_containers[] = {
    {"lifecycle.postStart.httpGet", NULL, NO_EFFECT},
    {"lifecycle.postStart.tcpSocket", NULL, NO_EFFECT},
    {"lifecycle.postStart.sleep", NULL, NO_EFFECT},
    {"lifecycle.preStop.httpGet", NULL, NO_EFFECT},
    {"lifecycle.preStop.tcpSocket", NULL, NO_EFFECT},
    {"lifecycle.preStop.sleep", NULL, NO_EFFECT},
    {"restartPolicy", NULL, NO_EFFECT},
    {"resizePolicy", NULL, NO_EFFECT},
    {"volumeDevices", NULL, NO_EFFECT},
    {"terminationMessagePolicy", "FallbackToLogsOnError", NO_EFFECT},
};
static const struct advice of_probes[] = {
    {"grpc", NULL, NO_PASS},
    {"httpGet.scheme", "HTTPS", NO_PASS},
};
static const struct advice of_mounts[] = {
    {"subPath", NULL, NO_START},
    {"subPathExpr", NULL, NO_START},
    {"mountPropagation", "HostToContainer", NO_EFFECT},
    {"mountPropagation", "Bidirectional", NO_EFFECT},
};
static const struct advice of_sources[] = {
    {"serviceAccountToken", NULL, NO_START},
    {"clusterTrustBundle", NULL, NO_START},
};
#define COUNT(table) (sizeof(table) / sizeof(table)[0])

struct advising {
    struct tt_issues *issues; /* borrowed; receives the findings */
    struct tt_arena *arena;   /* the object's; paths are written in it */
};

static bool says_something(yyjson_mut_val *val, const char *value)
{
    if (value != NULL) {
        return tt_str_eq_c(tt_json_str_of(val), value);
    }
    if (val == NULL || yyjson_mut_is_null(val) || yyjson_mut_is_false(val)) {
        return false;
    }
    if (yyjson_mut_is_str(val)) {
        return yyjson_mut_get_len(val) > 0;
    }
    /* A handler without members ({"sleep": {}}) is nothing; numbers and true are something. */
    return !yyjson_mut_is_ctn(val) || yyjson_mut_get_len(val) > 0;
}

static void say(struct advising *ctx, const struct tt_field_path *path, const char *text)
{
    struct tt_str field = tt_field_path_format(path, ctx->arena);
    tt_issues_add(ctx->issues, TT_ISSUE_NOT_SUPPORTED, field, "%.*s: %s", TT_STR_ARG(field), text);
}

static void look(struct advising *ctx, yyjson_mut_val *obj, const struct tt_field_path *path,
                 const struct advice *table, size_t count)
{
    for (size_t i = 0; obj != NULL && i < count; i++) {
        if (says_something(tt_json_get(obj, table[i].field), table[i].value)) {
            const struct tt_field_path here = {.parent = path, .name = tt_str_c(table[i].field)};
            say(ctx, &here, table[i].text);
        }
    }
}

static void look_at_probes(struct advising *ctx, yyjson_mut_val *container,
                           const struct tt_field_path *path)
{
    static const char *const probes[] = {"startupProbe", "livenessProbe", "readinessProbe"};
    for (size_t i = 0; i < COUNT(probes); i++) {
        const struct tt_field_path here = {.parent = path, .name = tt_str_c(probes[i])};
        look(ctx, yyjson_mut_obj_get(container, probes[i]), &here, of_probes, COUNT(of_probes));
    }
}

static void look_at_containers(struct advising *ctx, yyjson_mut_val *spec, const char *list,
                               const struct tt_field_path *path)
{
    const struct tt_field_path list_at = {.parent = path, .name = tt_str_c(list)};
    struct tt_field_path here = {.parent = &list_at};
    yyjson_mut_val *container;
    yyjson_mut_val *mount;
    size_t n;
    size_t m;
    yyjson_mut_arr_foreach(yyjson_mut_obj_get(spec, list), here.index, n, container)
    {
        const struct tt_field_path mounts_at = {.parent = &here, .name = TT_STR("volumeMounts")};
        struct tt_field_path mount_at = {.parent = &mounts_at};
        look(ctx, container, &here, of_containers, COUNT(of_containers));
        look_at_probes(ctx, container, &here);
        yyjson_mut_arr_foreach(yyjson_mut_obj_get(container, "volumeMounts"), mount_at.index, m,
                               mount)
        {
            look(ctx, mount, &mount_at, of_mounts, COUNT(of_mounts));
        }
    }
}

/* A volume has a name and one source. */
static void look_at_volume(struct advising *ctx, yyjson_mut_val *volume,
                           const struct tt_field_path *path)
{
    static const char *const known[] = {"name",        "configMap", "secret",  "projected",
                                        "downwardAPI", "emptyDir",  "hostPath"};
    const struct tt_field_path projected = {.parent = path, .name = TT_STR("projected")};
    const struct tt_field_path sources = {.parent = &projected, .name = TT_STR("sources")};
    struct tt_field_path here = {.parent = &sources};
    yyjson_mut_val *key;
    yyjson_mut_val *val;
    size_t i;
    size_t n;
    yyjson_mut_obj_foreach(volume, i, n, key, val)
    {
        bool is_known = false;
        for (size_t k = 0; k < COUNT(known); k++) {
            is_known = is_known || tt_str_eq_c(tt_json_str_of(key), known[k]);
        }
        if (!is_known && says_something(val, NULL)) {
            const struct tt_field_path at = {.parent = path, .name = tt_json_str_of(key)};
            say(ctx, &at, NO_START);
        }
    }
    yyjson_mut_arr_foreach(tt_json_get(volume, "projected.sources"), here.index, n, val)
    {
        look(ctx, val, &here, of_sources, COUNT(of_sources));
    }
}

static void look_at_spec(struct advising *ctx, yyjson_mut_val *spec, const char *where)
{
    const struct tt_field_path path = {.name = tt_str_c(where)};
    const struct tt_field_path list = {.parent = &path, .name = TT_STR("volumes")};
    struct tt_field_path here = {.parent = &list};
    yyjson_mut_val *volume;
    size_t n;
    look(ctx, spec, &path, of_pods, COUNT(of_pods));
    look_at_containers(ctx, spec, "initContainers", &path);
    look_at_containers(ctx, spec, "containers", &path);
    yyjson_mut_arr_foreach(yyjson_mut_obj_get(spec, "volumes"), here.index, n, volume)
    {
        look_at_volume(ctx, volume, &here);
    }
}

void tt_object_advise(const struct tt_object *object, struct tt_issues *ret_issues)
{
    struct advising ctx = {.issues = ret_issues, .arena = object->arena};
    const struct tt_kind *kind = object->kind;
    if (kind->group.len == 0 && tt_str_eq_c(kind->kind, "Pod")) {
        look_at_spec(&ctx, tt_json_get(object->root, "spec"), "spec");
    } else if (tt_str_eq_c(kind->group, "apps")) {
        look_at_spec(&ctx, tt_json_get(object->root, "spec.template.spec"), "spec.template.spec");
    }
}
