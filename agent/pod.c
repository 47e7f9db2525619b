/* Parsing is lenient where the API has validated already; only what the agent cannot work without
 * is an error. */
#include "agent/pod.h"

#include <stdio.h>

#include "api/kinds/quantity.h"
#include "base/clock.h"

enum { ARENA_CHUNK = 16 << 10, ARENA_MAX = 32 << 20, PATH_SIZE = 96 };

static const char *copy(struct tt_arena *arena, struct tt_str text)
{
    const char *copied = tt_arena_strndup(arena, text.ptr ? text.ptr : "", text.len);
    return copied != NULL ? copied : "";
}

static uint64_t seconds(yyjson_val *root, const char *path, int64_t fallback)
{
    int64_t value = tt_json_iget_i64(root, path, fallback);
    return value < 0 ? 0 : (uint64_t)value;
}

static void read_metadata(struct pod *pod)
{
    pod->uid = copy(pod->arena, tt_json_iget_str(pod->root, "metadata.uid"));
    pod->namespace = copy(pod->arena, tt_json_iget_str(pod->root, "metadata.namespace"));
    pod->name = copy(pod->arena, tt_json_iget_str(pod->root, "metadata.name"));
    struct tt_str deletion = tt_json_iget_str(pod->root, "metadata.deletionTimestamp");
    pod->is_deleting = deletion.len > 0 && tt_time_parse(deletion, &pod->deletion_ms);
    pod->deletion_grace_s =
        seconds(pod->root, "metadata.deletionGracePeriodSeconds", (int64_t)pod->grace_s);
}

static void read_spec(struct pod *pod)
{
    struct tt_str restart = tt_json_iget_str(pod->spec, "restartPolicy");
    pod->restart = tt_str_eq_c(restart, "Never")       ? POD_RESTART_NEVER
                   : tt_str_eq_c(restart, "OnFailure") ? POD_RESTART_ON_FAILURE
                                                       : POD_RESTART_ALWAYS;
    pod->grace_s = seconds(pod->spec, "terminationGracePeriodSeconds", 30);
    pod->host_network = yyjson_is_true(yyjson_obj_get(pod->spec, "hostNetwork"));
    struct tt_str phase = tt_json_iget_str(pod->root, "status.phase");
    pod->is_finished = tt_str_eq_c(phase, "Succeeded") || tt_str_eq_c(phase, "Failed");
}

static void read_containers(struct pod *pod, const char *list, bool is_init)
{
    size_t index;
    size_t count;
    yyjson_val *spec;
    yyjson_arr_foreach(yyjson_obj_get(pod->spec, list), index, count, spec)
    {
        struct pod_container *container = &pod->containers[pod->container_count++];
        container->name = copy(pod->arena, tt_json_iget_str(spec, "name"));
        container->image = copy(pod->arena, tt_json_iget_str(spec, "image"));
        container->spec = spec;
        container->is_init = is_init;
    }
}

static int read_pod(struct pod *pod, struct tt_err *err)
{
    yyjson_doc *doc = NULL;
    int r = tt_json_read(pod->arena, pod->json, &doc, err);
    if (r != TT_OK) {
        return r;
    }
    pod->root = yyjson_doc_get_root(doc);
    pod->spec = yyjson_obj_get(pod->root, "spec");
    pod->status = yyjson_obj_get(pod->root, "status");
    pod->init_count = yyjson_arr_size(yyjson_obj_get(pod->spec, "initContainers"));
    size_t count = yyjson_arr_size(yyjson_obj_get(pod->spec, "containers"));
    if (count == 0 || count + pod->init_count > POD_CONTAINERS_MAX) {
        return TT_FAIL(err, TT_EINVAL, "a pod has 1 to %d containers, not %zu", POD_CONTAINERS_MAX,
                       count + pod->init_count);
    }
    pod->containers =
        tt_arena_alloc(pod->arena, (count + pod->init_count) * sizeof *pod->containers);
    if (pod->containers == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "the pod is too large");
    }
    read_spec(pod);
    read_metadata(pod);
    read_containers(pod, "initContainers", true);
    read_containers(pod, "containers", false);
    if (pod->uid[0] == '\0' || pod->name[0] == '\0' || pod->namespace[0] == '\0') {
        return TT_FAIL(err, TT_EINVAL, "a pod has a namespace, a name and a uid");
    }
    return TT_OK;
}

int pod_new(struct tt_str json, struct pod **ret_pod, struct tt_err *err)
{
    struct pod *pod = TT_NEW(struct pod);
    pod->refs = 1;
    pod->arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    const char *text = tt_arena_strndup(pod->arena, json.ptr, json.len);
    pod->json = tt_str(text, json.len);
    int r = text != NULL ? read_pod(pod, err) : TT_FAIL(err, TT_ETOOLARGE, "the pod is too large");
    if (r != TT_OK) {
        pod_unref(pod);
        return r;
    }
    *ret_pod = pod;
    return TT_OK;
}

struct pod *pod_ref(struct pod *pod)
{
    TT_ASSERT(pod->refs > 0);
    pod->refs++;
    return pod;
}

void pod_unref(struct pod *pod)
{
    if (pod == NULL) {
        return;
    }
    TT_ASSERT(pod->refs > 0);
    if (--pod->refs == 0) {
        tt_arena_free(pod->arena);
        tt_free(pod);
    }
}

size_t pod_find(const struct pod *pod, struct tt_str container)
{
    size_t i = 0;
    while (i < pod->container_count && !tt_str_eq_c(container, pod->containers[i].name)) {
        i++;
    }
    return i;
}

bool pod_quantity(const struct pod_container *container, const char *kind, const char *name,
                  int64_t *ret_value)
{
    yyjson_val *resources = yyjson_obj_get(container->spec, "resources");
    yyjson_val *value = yyjson_obj_get(yyjson_obj_get(resources, kind), name);
    struct tt_quantity quantity;
    if (value == NULL || !tt_quantity_parse(tt_json_istr_of(value), &quantity)) {
        return false;
    }
    return strcmp(name, "cpu") == 0 ? tt_quantity_milli(&quantity, ret_value)
                                    : tt_quantity_value(&quantity, ret_value);
}

struct pod_resources pod_requests(const struct pod *pod)
{
    struct pod_resources sum = {0};
    struct pod_resources peak = {0};
    for (size_t i = 0; i < pod->container_count; i++) {
        int64_t cpu = 0;
        int64_t memory = 0;
        (void)pod_quantity(&pod->containers[i], "requests", "cpu", &cpu); /* absent: 0 */
        (void)pod_quantity(&pod->containers[i], "requests", "memory", &memory);
        if (pod->containers[i].is_init) {
            peak.cpu_milli = cpu > peak.cpu_milli ? cpu : peak.cpu_milli;
            peak.memory = memory > peak.memory ? memory : peak.memory;
        } else {
            sum.cpu_milli += cpu;
            sum.memory += memory;
        }
    }
    sum.cpu_milli = peak.cpu_milli > sum.cpu_milli ? peak.cpu_milli : sum.cpu_milli;
    sum.memory = peak.memory > sum.memory ? peak.memory : sum.memory;
    return sum;
}

const char *pod_qos(const struct pod *pod)
{
    static const char *const names[] = {"cpu", "memory"};
    bool any = false;
    bool all = true;
    for (size_t i = 0; i < pod->container_count; i++) {
        for (size_t j = 0; j < 2; j++) {
            int64_t request = 0;
            int64_t limit = 0;
            bool has_request =
                pod_quantity(&pod->containers[i], "requests", names[j], &request) && request > 0;
            bool has_limit =
                pod_quantity(&pod->containers[i], "limits", names[j], &limit) && limit > 0;
            any = any || has_request || has_limit;
            all = all && has_limit && (!has_request || request == limit);
        }
    }
    return !any ? "BestEffort" : all ? "Guaranteed" : "Burstable";
}
