/* The mapping follows what Kubernetes' node agent asks of a runtime, so that a manifest means the
 * same: shares and quotas from requests and limits, masked paths unless privileged, namespaces of
 * the host only where the pod says so. */
#include "agent/cri_config.h"

#include <stdio.h>

enum {
    CPU_PERIOD_US = 100000,
    CPU_SHARES_MIN = 2,
    CPU_QUOTA_US_MIN = 1000,
    NS_POD = 0,
    NS_CONTAINER = 1,
    NS_NODE = 2,
    SECCOMP_DEFAULT = 0,
    SECCOMP_UNCONFINED = 1,
    HOSTNAME_MAX = 63,
    GROUPS_MAX = 64,
};

#define NEW(arena, type, init)                                                                     \
    __extension__({                                                                                \
        __typeof__(type) *new_ = take((arena), sizeof(type));                                      \
        init(new_);                                                                                \
        new_;                                                                                      \
    })

static void *take(struct tt_arena *arena, size_t size)
{
    void *p = tt_arena_alloc(arena, size > 0 ? size : 1);
    TT_ASSERT(p != NULL);
    return p;
}

char *cri_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

static char *own(struct tt_arena *arena, struct tt_str text)
{
    char *copy = tt_arena_strndup(arena, text.ptr ? text.ptr : "", text.len);
    TT_ASSERT(copy != NULL);
    return copy;
}

void cri_log_path(const char *container, uint32_t attempt, char out[CRI_LOG_PATH_SIZE])
{
    (void)snprintf(out, CRI_LOG_PATH_SIZE, "%s/%u.log", container, attempt);
}

static Tutti__Cri__StringPair *pair(struct tt_arena *arena, const char *key, const char *value)
{
    Tutti__Cri__StringPair *entry =
        NEW(arena, Tutti__Cri__StringPair, tutti__cri__string_pair__init);
    entry->key = cri_text(key);
    entry->value = cri_text(value);
    return entry;
}

static Tutti__Cri__StringPair *number_pair(struct tt_arena *arena, const char *key, uint64_t value)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return pair(arena, key, own(arena, tt_str(text, (size_t)size)));
}

/* uid, namespace, name, owner; a container adds its own. Room for one more. */
static Tutti__Cri__StringPair **labels(struct tt_arena *arena, const struct pod *pod)
{
    Tutti__Cri__StringPair **list = take(arena, 5 * sizeof(Tutti__Cri__StringPair *));
    list[0] = pair(arena, CRI_LABEL_UID, pod->uid);
    list[1] = pair(arena, CRI_LABEL_NAMESPACE, pod->namespace);
    list[2] = pair(arena, CRI_LABEL_POD, pod->name);
    list[3] = pair(arena, CRI_LABEL_OWNER, "true");
    return list;
}

static bool flag(yyjson_val *object, const char *name)
{
    return yyjson_is_true(yyjson_obj_get(object, name));
}

static Tutti__Cri__NamespaceOption *namespaces(struct tt_arena *arena, const struct pod *pod)
{
    Tutti__Cri__NamespaceOption *option =
        NEW(arena, Tutti__Cri__NamespaceOption, tutti__cri__namespace_option__init);
    option->network = pod->host_network ? NS_NODE : NS_POD;
    option->ipc = flag(pod->spec, "hostIPC") ? NS_NODE : NS_POD;
    option->pid = flag(pod->spec, "hostPID")                 ? NS_NODE
                  : flag(pod->spec, "shareProcessNamespace") ? NS_POD
                                                             : NS_CONTAINER;
    return option;
}

/* The container's profile, else the pod's, else none. */
static Tutti__Cri__SecurityProfile *seccomp(struct tt_arena *arena, const struct pod *pod,
                                            yyjson_val *context)
{
    struct tt_str type = tt_json_iget_str(context, "seccompProfile.type");
    if (type.len == 0) {
        type = tt_json_iget_str(pod->spec, "securityContext.seccompProfile.type");
    }
    Tutti__Cri__SecurityProfile *profile =
        NEW(arena, Tutti__Cri__SecurityProfile, tutti__cri__security_profile__init);
    profile->profile_type =
        tt_str_eq_c(type, "RuntimeDefault") ? SECCOMP_DEFAULT : SECCOMP_UNCONFINED;
    return profile;
}

static void supplemental_groups(struct tt_arena *arena, const struct pod *pod, size_t *ret_count,
                                int64_t **ret_groups)
{
    yyjson_val *context = yyjson_obj_get(pod->spec, "securityContext");
    yyjson_val *list = yyjson_obj_get(context, "supplementalGroups");
    int64_t *groups = take(arena, (GROUPS_MAX + 1) * sizeof *groups);
    size_t n = 0;
    size_t index;
    size_t count;
    yyjson_val *group;
    yyjson_arr_foreach(list, index, count, group)
    {
        if (n < GROUPS_MAX && tt_json_ito_i64(group, &groups[n])) {
            n++;
        }
    }
    if (tt_json_ito_i64(yyjson_obj_get(context, "fsGroup"), &groups[n])) {
        n++;
    }
    *ret_count = n;
    *ret_groups = groups;
}

static bool any_privileged(const struct pod *pod)
{
    for (size_t i = 0; i < pod->container_count; i++) {
        if (flag(yyjson_obj_get(pod->containers[i].spec, "securityContext"), "privileged")) {
            return true;
        }
    }
    return false;
}

static Tutti__Cri__LinuxPodSandboxConfig *linux_sandbox(struct tt_arena *arena,
                                                        const struct pod *pod)
{
    Tutti__Cri__LinuxPodSandboxConfig *config =
        NEW(arena, Tutti__Cri__LinuxPodSandboxConfig, tutti__cri__linux_pod_sandbox_config__init);
    Tutti__Cri__LinuxSandboxSecurityContext *context =
        NEW(arena, Tutti__Cri__LinuxSandboxSecurityContext,
            tutti__cri__linux_sandbox_security_context__init);
    context->namespace_options = namespaces(arena, pod);
    context->seccomp = seccomp(arena, pod, NULL);
    context->privileged = any_privileged(pod);
    supplemental_groups(arena, pod, &context->n_supplemental_groups, &context->supplemental_groups);
    config->security_context = context;
    return config;
}

static void host_ports(struct tt_arena *arena, const struct pod *pod,
                       Tutti__Cri__PodSandboxConfig *config)
{
    enum { PORTS_MAX = 256 };
    config->port_mappings = take(arena, PORTS_MAX * sizeof(Tutti__Cri__PortMapping *));
    for (size_t i = 0; i < pod->container_count; i++) {
        size_t index;
        size_t count;
        yyjson_val *port;
        yyjson_arr_foreach(yyjson_obj_get(pod->containers[i].spec, "ports"), index, count, port)
        {
            int64_t host_port = tt_json_iget_i64(port, "hostPort", 0);
            if (host_port == 0 || config->n_port_mappings == PORTS_MAX) {
                continue;
            }
            struct tt_str protocol = tt_json_iget_str(port, "protocol");
            Tutti__Cri__PortMapping *mapping =
                NEW(arena, Tutti__Cri__PortMapping, tutti__cri__port_mapping__init);
            mapping->protocol = tt_str_eq_c(protocol, "UDP")    ? 1
                                : tt_str_eq_c(protocol, "SCTP") ? 2
                                                                : 0;
            mapping->host_port = (int32_t)host_port;
            mapping->container_port = (int32_t)tt_json_iget_i64(port, "containerPort", 0);
            mapping->host_ip = own(arena, tt_json_iget_str(port, "hostIP"));
            config->port_mappings[config->n_port_mappings++] = mapping;
        }
    }
}

Tutti__Cri__PodSandboxConfig *cri_sandbox_config(struct tt_arena *arena, const struct pod *pod,
                                                 uint32_t attempt, const char *log_directory)
{
    Tutti__Cri__PodSandboxConfig *config =
        NEW(arena, Tutti__Cri__PodSandboxConfig, tutti__cri__pod_sandbox_config__init);
    Tutti__Cri__PodSandboxMetadata *metadata =
        NEW(arena, Tutti__Cri__PodSandboxMetadata, tutti__cri__pod_sandbox_metadata__init);
    metadata->name = cri_text(pod->name);
    metadata->namespace_ = cri_text(pod->namespace);
    metadata->uid = cri_text(pod->uid);
    metadata->attempt = attempt;
    config->metadata = metadata;
    if (!pod->host_network) {
        struct tt_str hostname = tt_json_iget_str(pod->spec, "hostname");
        hostname = hostname.len > 0 ? hostname : tt_str_c(pod->name);
        config->hostname = own(arena, tt_str_head(hostname, HOSTNAME_MAX));
        host_ports(arena, pod, config);
    }
    config->log_directory = cri_text(log_directory);
    config->labels = labels(arena, pod);
    config->n_labels = 4;
    config->annotations = take(arena, sizeof(Tutti__Cri__StringPair *));
    config->annotations[0] = number_pair(arena, CRI_NOTE_GRACE, pod->grace_s);
    config->n_annotations = 1;
    config->linux_ = linux_sandbox(arena, pod);
    return config;
}

/* How soon the kernel should end it when memory runs out: as Kubernetes' classes of service. */
static int64_t oom_score(const struct pod *pod, const struct pod_container *container)
{
    const char *qos = pod_qos(pod);
    int64_t memory = 0;
    if (strcmp(qos, "Guaranteed") == 0) {
        return -997;
    }
    if (strcmp(qos, "BestEffort") == 0 || !pod_quantity(container, "requests", "memory", &memory)) {
        return strcmp(qos, "BestEffort") == 0 ? 1000 : 999;
    }
    const int64_t large = INT64_C(8) << 30; /* a request this large is protected most */
    int64_t score = 1000 - (memory > large ? large : memory) * 1000 / large;
    return score < 3 ? 3 : score > 999 ? 999 : score;
}

static Tutti__Cri__LinuxContainerResources *resources(struct tt_arena *arena, const struct pod *pod,
                                                      const struct pod_container *container)
{
    Tutti__Cri__LinuxContainerResources *limits = NEW(arena, Tutti__Cri__LinuxContainerResources,
                                                      tutti__cri__linux_container_resources__init);
    int64_t value;
    limits->cpu_shares = CPU_SHARES_MIN;
    if (pod_quantity(container, "requests", "cpu", &value) && value > 0) {
        int64_t shares = value > INT64_C(262144) ? INT64_C(262144) : value * 1024 / 1000;
        limits->cpu_shares = shares < CPU_SHARES_MIN ? CPU_SHARES_MIN : shares;
    }
    if (pod_quantity(container, "limits", "cpu", &value) && value > 0 && value < 10000000) {
        int64_t quota = value * CPU_PERIOD_US / 1000;
        limits->cpu_period = CPU_PERIOD_US;
        limits->cpu_quota = quota < CPU_QUOTA_US_MIN ? CPU_QUOTA_US_MIN : quota;
    }
    if (pod_quantity(container, "limits", "memory", &value) && value > 0) {
        limits->memory_limit_in_bytes = value;
    }
    limits->oom_score_adj = oom_score(pod, container);
    return limits;
}

static char **texts(struct tt_arena *arena, yyjson_val *list, size_t *ret_count)
{
    char **items = take(arena, (yyjson_arr_size(list) + 1) * sizeof *items);
    size_t index;
    size_t count;
    yyjson_val *item;
    *ret_count = 0;
    yyjson_arr_foreach(list, index, count, item)
    {
        items[(*ret_count)++] = own(arena, tt_json_istr_of(item));
    }
    return items;
}

/* The container's value, else the pod's; NULL when neither says one. */
static Tutti__Cri__Int64Value *identity(struct tt_arena *arena, const struct pod *pod,
                                        yyjson_val *context, const char *name)
{
    int64_t value;
    if (!tt_json_ito_i64(yyjson_obj_get(context, name), &value) &&
        !tt_json_ito_i64(yyjson_obj_get(yyjson_obj_get(pod->spec, "securityContext"), name),
                         &value)) {
        return NULL;
    }
    Tutti__Cri__Int64Value *wrapped =
        NEW(arena, Tutti__Cri__Int64Value, tutti__cri__int64_value__init);
    wrapped->value = value;
    return wrapped;
}

static void mask_paths(Tutti__Cri__LinuxContainerSecurityContext *security, struct tt_arena *arena)
{
    static const char *const masked[] = {
        "/proc/asound",        "/proc/acpi",       "/proc/kcore",       "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/proc/scsi",          "/sys/firmware"};
    static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                           "/proc/sysrq-trigger"};
    security->n_masked_paths = sizeof masked / sizeof masked[0];
    security->masked_paths = take(arena, sizeof masked);
    for (size_t i = 0; i < security->n_masked_paths; i++) {
        security->masked_paths[i] = cri_text(masked[i]);
    }
    security->n_readonly_paths = sizeof readonly / sizeof readonly[0];
    security->readonly_paths = take(arena, sizeof readonly);
    for (size_t i = 0; i < security->n_readonly_paths; i++) {
        security->readonly_paths[i] = cri_text(readonly[i]);
    }
}

static Tutti__Cri__LinuxContainerSecurityContext *
security(struct tt_arena *arena, const struct pod *pod, const struct pod_container *container)
{
    yyjson_val *context = yyjson_obj_get(container->spec, "securityContext");
    Tutti__Cri__LinuxContainerSecurityContext *security =
        NEW(arena, Tutti__Cri__LinuxContainerSecurityContext,
            tutti__cri__linux_container_security_context__init);
    yyjson_val *capabilities = yyjson_obj_get(context, "capabilities");
    if (capabilities != NULL) {
        Tutti__Cri__Capability *sets =
            NEW(arena, Tutti__Cri__Capability, tutti__cri__capability__init);
        sets->add_capabilities =
            texts(arena, yyjson_obj_get(capabilities, "add"), &sets->n_add_capabilities);
        sets->drop_capabilities =
            texts(arena, yyjson_obj_get(capabilities, "drop"), &sets->n_drop_capabilities);
        security->capabilities = sets;
    }
    security->privileged = flag(context, "privileged");
    security->readonly_rootfs = flag(context, "readOnlyRootFilesystem");
    security->no_new_privs = yyjson_is_false(yyjson_obj_get(context, "allowPrivilegeEscalation"));
    security->run_as_user = identity(arena, pod, context, "runAsUser");
    security->run_as_group = identity(arena, pod, context, "runAsGroup");
    supplemental_groups(arena, pod, &security->n_supplemental_groups,
                        &security->supplemental_groups);
    security->namespace_options = namespaces(arena, pod);
    security->seccomp = seccomp(arena, pod, context);
    if (!security->privileged) {
        mask_paths(security, arena);
    }
    return security;
}

static void environment(struct tt_arena *arena, const struct rt_container_config *config,
                        Tutti__Cri__ContainerConfig *out)
{
    out->envs = take(arena, (config->env_count + 1) * sizeof(Tutti__Cri__KeyValue *));
    for (size_t i = 0; i < config->env_count; i++) {
        Tutti__Cri__KeyValue *variable =
            NEW(arena, Tutti__Cri__KeyValue, tutti__cri__key_value__init);
        variable->key = cri_text(config->env[i].name);
        variable->value = cri_text(config->env[i].value);
        out->envs[out->n_envs++] = variable;
    }
}

static void mounts(struct tt_arena *arena, const struct rt_container_config *config,
                   Tutti__Cri__ContainerConfig *out)
{
    out->mounts = take(arena, (config->mount_count + 1) * sizeof(Tutti__Cri__Mount *));
    for (size_t i = 0; i < config->mount_count; i++) {
        Tutti__Cri__Mount *mount = NEW(arena, Tutti__Cri__Mount, tutti__cri__mount__init);
        mount->container_path = cri_text(config->mounts[i].container_path);
        mount->host_path = cri_text(config->mounts[i].host_path);
        mount->readonly = config->mounts[i].read_only;
        out->mounts[out->n_mounts++] = mount;
    }
}

static char **words(struct tt_arena *arena, const char *const *list, size_t count)
{
    char **out = take(arena, (count + 1) * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        out[i] = cri_text(list[i]);
    }
    return out;
}

Tutti__Cri__ContainerConfig *cri_container_config(struct tt_arena *arena,
                                                  const struct rt_container_config *config)
{
    const struct pod_container *container = &config->pod->containers[config->index];
    Tutti__Cri__ContainerConfig *out =
        NEW(arena, Tutti__Cri__ContainerConfig, tutti__cri__container_config__init);
    out->metadata = NEW(arena, Tutti__Cri__ContainerMetadata, tutti__cri__container_metadata__init);
    out->metadata->name = cri_text(container->name);
    out->metadata->attempt = config->attempt;
    out->image = NEW(arena, Tutti__Cri__ImageSpec, tutti__cri__image_spec__init);
    out->image->image = cri_text(container->image);
    out->command = words(arena, config->command, config->command_count);
    out->n_command = config->command_count;
    out->args = words(arena, config->args, config->arg_count);
    out->n_args = config->arg_count;
    out->working_dir = own(arena, tt_json_iget_str(container->spec, "workingDir"));
    environment(arena, config, out);
    mounts(arena, config, out);
    out->labels = labels(arena, config->pod);
    out->labels[4] = pair(arena, CRI_LABEL_CONTAINER, container->name);
    out->n_labels = 5;
    out->annotations = take(arena, sizeof(Tutti__Cri__StringPair *));
    out->annotations[0] = number_pair(arena, CRI_NOTE_BACKOFF, config->backoff_ms);
    out->n_annotations = 1;
    char path[CRI_LOG_PATH_SIZE];
    cri_log_path(container->name, config->attempt, path);
    out->log_path = own(arena, tt_str_c(path));
    out->stdin_ = flag(container->spec, "stdin");
    out->stdin_once = flag(container->spec, "stdinOnce");
    out->tty = flag(container->spec, "tty");
    out->linux_ =
        NEW(arena, Tutti__Cri__LinuxContainerConfig, tutti__cri__linux_container_config__init);
    out->linux_->resources = resources(arena, config->pod, container);
    out->linux_->security_context = security(arena, config->pod, container);
    return out;
}
