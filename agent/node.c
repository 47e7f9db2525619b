/* States of the object: UNKNOWN → (POST: made or already there) → PRESENT → (deleted) UNKNOWN.
 * The status text is compared without its heartbeat times: only what means something is a change.
 * The lease is a merge patch without a resourceVersion: one writer, and a stale one harms nobody.
 */
#include "agent/node.h"

#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/request.h"
#include "api/client/informer.h"
#include "api/json/json.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

enum {
    LEASE_SECONDS = 10,
    RENEW_MS = 3000,
    RENEW_TIMEOUT_MS = 5000,
    STATUS_EVERY_MS = 300000,
    TICK_MS = 1000,
    PODS_PER_NODE = 110,
    TEXT_MAX = 64 << 10,
};
#define LEASE_NAMESPACE "kube-node-lease"
#define AGENT_VERSION   "v0.1.0"

struct node {
    struct node_config config; /* copied; what it points to is kept */
    struct utsname machine;    /* uname: kernel release, architecture */
    char os_image[128];        /* PRETTY_NAME of os-release; "" unknown */
    char machine_id[64];       /* of /etc/machine-id; "" unknown */
    char boot_id[64];          /* of the running kernel; "" unknown */
    char uid[64];              /* of the object; "" while unknown */
    char runtime_version[96];  /* "containerd://1.6.20"; "" while unknown */
    char runtime_reason[256];  /* why it is not ready; "" when it is */
    bool runtime_ready;        /* what the condition Ready says; false at first */
    bool is_present;           /* the object is there */
    bool is_creating;          /* POST runs */
    bool is_writing;           /* status PATCH runs */
    bool is_renewing;          /* lease call runs */
    bool is_stale;             /* the stored status is not what it should be */
    bool is_closing;           /* frees itself when nothing runs any more */
    uint64_t ready_since_ms;   /* wall time of the last change of Ready */
    uint64_t written_ms;       /* monotonic, of the last status written */
    uint64_t renewed_ms;       /* monotonic, of the last try */
    struct tt_informer *watch; /* owned; of the own object; NULL: it failed */
    struct tt_timer tick;      /* every TICK_MS: does what is due */
    int open;                  /* timer and watch that are still closing */
    void (*closed)(void *ctx); /* of close; called when nothing runs any more */
    void *closed_ctx;          /* passed to closed */
};

void node_read_limits(struct sync_limits *ret_limits)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct sysinfo info;
    ret_limits->cpu_milli = (cores > 0 ? cores : 1) * INT64_C(1000);
    ret_limits->memory =
        sysinfo(&info) == 0 ? (int64_t)((uint64_t)info.totalram * info.mem_unit) : 0;
    ret_limits->pods = PODS_PER_NODE;
}

static uint64_t now_ms(const struct node *node)
{
    return tt_clock_ms(node->config.clock);
}

static uint64_t wall_ms(const struct node *node)
{
    return tt_clock_wall_ms(node->config.clock);
}

/* The first line of a small file, or after a prefix; "" when there is none. */
static void read_line(const char *path, const char *prefix, char *out, size_t out_size)
{
    struct tt_buf text;
    out[0] = '\0';
    if (tt_file_read(path, TEXT_MAX, &text, NULL) != TT_OK) {
        return;
    }
    struct tt_str rest = tt_buf_view(&text);
    struct tt_str line;
    while (rest.ptr != NULL && tt_str_cut(&rest, '\n', &line)) {
        if (tt_str_starts(line, tt_str_c(prefix))) {
            line = tt_str_skip(line, strlen(prefix));
            (void)snprintf(out, out_size, "%.*s", TT_STR_ARG(line));
            break;
        }
    }
    tt_buf_fini(&text);
}

static const char *architecture(const struct node *node)
{
    return strcmp(node->machine.machine, "x86_64") == 0    ? "amd64"
           : strcmp(node->machine.machine, "aarch64") == 0 ? "arm64"
                                                           : node->machine.machine;
}

/* ---- texts ---- */

static void write_labels(const struct node *node, struct tt_json_writer *json)
{
    struct tt_str rest = tt_str_c(node->config.labels);
    struct tt_str item;
    tt_json_object(json, "labels");
    tt_json_c(json, "kubernetes.io/hostname", node->config.name);
    tt_json_c(json, "kubernetes.io/os", "linux");
    tt_json_c(json, "kubernetes.io/arch", architecture(node));
    while (rest.len > 0 && tt_str_cut(&rest, ',', &item)) {
        struct tt_str key;
        if (tt_str_cut(&item, '=', &key) && key.len > 0) {
            TT_AUTO_FREE char *name = tt_str_xdup(key);
            tt_json_str(json, name, item.ptr != NULL ? item : TT_STR(""));
        }
    }
    tt_json_object_end(json);
}

static void write_object(const struct node *node, struct tt_buf *buf)
{
    struct tt_json_writer json;
    tt_json_begin(&json, buf);
    tt_json_object(&json, NULL);
    tt_json_c(&json, "apiVersion", "v1");
    tt_json_c(&json, "kind", "Node");
    tt_json_object(&json, "metadata");
    tt_json_c(&json, "name", node->config.name);
    write_labels(node, &json);
    tt_json_object_end(&json);
    tt_json_object_end(&json);
}

static void write_resources(const struct node *node, struct tt_json_writer *json, const char *key)
{
    const struct sync_limits *limits = &node->config.limits;
    struct statvfs fs;
    char text[64];
    tt_json_object(json, key);
    (void)snprintf(text, sizeof text, "%lldm", (long long)limits->cpu_milli);
    tt_json_c(json, "cpu", text);
    (void)snprintf(text, sizeof text, "%lldKi", (long long)(limits->memory / 1024));
    tt_json_c(json, "memory", text);
    (void)snprintf(text, sizeof text, "%lld", (long long)limits->pods);
    tt_json_c(json, "pods", text);
    if (statvfs(node->config.root, &fs) == 0) {
        (void)snprintf(text, sizeof text, "%lluKi",
                       (unsigned long long)fs.f_blocks * fs.f_frsize / 1024);
        tt_json_c(json, "ephemeral-storage", text);
    }
    tt_json_object_end(json);
}

static void write_condition(const struct node *node, struct tt_json_writer *json, const char *type,
                            bool is_true, const char *reason, const char *message)
{
    char text[TT_TIME_TEXT_SIZE];
    tt_json_object(json, NULL);
    tt_json_c(json, "type", type);
    tt_json_c(json, "status", is_true ? "True" : "False");
    (void)tt_time_format(wall_ms(node), text);
    tt_json_c(json, "lastHeartbeatTime", text);
    (void)tt_time_format(node->ready_since_ms, text);
    tt_json_c(json, "lastTransitionTime", text);
    tt_json_c(json, "reason", reason);
    tt_json_c(json, "message", message);
    tt_json_object_end(json);
}

static void write_conditions(const struct node *node, struct tt_json_writer *json)
{
    tt_json_array(json, "conditions");
    write_condition(node, json, "MemoryPressure", false, "AgentHasSufficientMemory",
                    "The agent has enough memory.");
    write_condition(node, json, "DiskPressure", false, "AgentHasNoDiskPressure",
                    "The agent has enough disk space.");
    write_condition(node, json, "PIDPressure", false, "AgentHasSufficientPID",
                    "The agent has enough process ids.");
    write_condition(node, json, "Ready", node->runtime_ready,
                    node->runtime_ready ? "AgentReady" : "ContainerRuntimeNotReady",
                    node->runtime_ready ? "The agent and its container runtime work."
                                        : node->runtime_reason);
    tt_json_array_end(json);
}

static void write_info(const struct node *node, struct tt_json_writer *json)
{
    tt_json_object(json, "nodeInfo");
    tt_json_c(json, "machineID", node->machine_id);
    tt_json_c(json, "systemUUID", node->machine_id);
    tt_json_c(json, "bootID", node->boot_id);
    tt_json_c(json, "kernelVersion", node->machine.release);
    tt_json_c(json, "osImage", node->os_image);
    tt_json_c(json, "containerRuntimeVersion", node->runtime_version);
    tt_json_c(json, "kubeletVersion", AGENT_VERSION);
    tt_json_c(json, "kubeProxyVersion", "");
    tt_json_c(json, "operatingSystem", "linux");
    tt_json_c(json, "architecture", architecture(node));
    tt_json_object_end(json);
}

static void write_address(struct tt_json_writer *json, const char *type, const char *address)
{
    tt_json_object(json, NULL);
    tt_json_c(json, "type", type);
    tt_json_c(json, "address", address);
    tt_json_object_end(json);
}

static void write_status(const struct node *node, struct tt_buf *buf)
{
    struct tt_json_writer json;
    tt_json_begin(&json, buf);
    tt_json_object(&json, NULL);
    tt_json_object(&json, "status");
    write_resources(node, &json, "capacity");
    write_resources(node, &json, "allocatable");
    write_conditions(node, &json);
    tt_json_array(&json, "addresses");
    write_address(&json, "InternalIP", node->config.address);
    write_address(&json, "Hostname", node->config.name);
    tt_json_array_end(&json);
    tt_json_object(&json, "daemonEndpoints");
    tt_json_object(&json, "kubeletEndpoint");
    tt_json_u64(&json, "Port", node->config.port);
    tt_json_object_end(&json);
    tt_json_object_end(&json);
    write_info(node, &json);
    tt_json_object_end(&json);
    tt_json_object_end(&json);
}

static void write_lease(const struct node *node, struct tt_buf *buf, bool whole)
{
    struct tt_json_writer json;
    char text[TT_TIME_TEXT_SIZE];
    (void)tt_time_format_micro(wall_ms(node) * 1000, text);
    tt_json_begin(&json, buf);
    tt_json_object(&json, NULL);
    if (whole) {
        tt_json_c(&json, "apiVersion", "coordination.k8s.io/v1");
        tt_json_c(&json, "kind", "Lease");
        tt_json_object(&json, "metadata");
        tt_json_c(&json, "name", node->config.name);
        tt_json_c(&json, "namespace", LEASE_NAMESPACE);
        tt_json_object_end(&json);
    }
    tt_json_object(&json, "spec");
    tt_json_c(&json, "holderIdentity", node->config.name);
    tt_json_i64(&json, "leaseDurationSeconds", LEASE_SECONDS);
    tt_json_c(&json, "renewTime", text);
    tt_json_object_end(&json);
    tt_json_object_end(&json);
}

/* ---- requests ---- */

static void free_when_done(struct node *node)
{
    if (node->is_closing && node->open == 0 && !node->is_creating && !node->is_writing &&
        !node->is_renewing) {
        void (*closed)(void *) = node->closed;
        void *closed_ctx = node->closed_ctx;
        tt_free(node);
        closed(closed_ctx);
    }
}

static bool send_request(struct node *node, const struct request *request, const char *what)
{
    struct tt_err err;
    tt_err_init(&err);
    if (request_send(node->config.client, request, &err) == TT_OK) {
        return true;
    }
    TT_LOG(TT_LOG_WARN, "node", what, TT_F_ERR(&err));
    return false;
}

static void created(void *ctx, int status, struct tt_str answer, const struct tt_err *err)
{
    struct node *node = ctx;
    (void)answer; /* the watch tells */
    node->is_creating = false;
    if (err == NULL || status == 409) {
        node->is_present = true;
        node->is_stale = true;
        TT_LOG(TT_LOG_INFO, "node", err == NULL ? "the node is registered" : "the node is known",
               TT_F_C("name", node->config.name));
    } else if (!node->is_closing) {
        TT_LOG(TT_LOG_WARN, "node", "the node cannot be registered yet", TT_F_ERR(err));
    }
    free_when_done(node);
}

static void create(struct node *node)
{
    TT_AUTO_BUF struct tt_buf body;
    tt_buf_init(&body, TEXT_MAX);
    write_object(node, &body);
    const struct request request = {.method = "POST",
                                    .resource = &request_nodes,
                                    .body = tt_buf_view(&body),
                                    .done = created,
                                    .ctx = node};
    node->is_creating = send_request(node, &request, "the node cannot be registered");
}

static void status_written(void *ctx, int status, struct tt_str answer, const struct tt_err *err)
{
    struct node *node = ctx;
    (void)answer; /* the watch tells */
    node->is_writing = false;
    if (err != NULL && !node->is_closing) {
        node->is_stale = true;
        node->is_present = status != 404;
        TT_LOG(TT_LOG_WARN, "node", "the node's status cannot be written yet", TT_F_ERR(err));
    }
    free_when_done(node);
}

static void write_now(struct node *node)
{
    TT_AUTO_BUF struct tt_buf body;
    tt_buf_init(&body, TEXT_MAX);
    write_status(node, &body);
    const struct request request = {.method = "PATCH",
                                    .resource = &request_nodes,
                                    .name = tt_str_c(node->config.name),
                                    .subresource = TT_STR("status"),
                                    .body = tt_buf_view(&body),
                                    .content_type = REQUEST_MERGE_PATCH,
                                    .done = status_written,
                                    .ctx = node};
    node->is_writing = send_request(node, &request, "the node's status cannot be written");
    if (node->is_writing) {
        node->is_stale = false;
        node->written_ms = now_ms(node);
    }
}

static void renewed(void *ctx, int status, struct tt_str answer, const struct tt_err *err);

static void send_lease(struct node *node, bool create_it)
{
    TT_AUTO_BUF struct tt_buf body;
    tt_buf_init(&body, TEXT_MAX);
    write_lease(node, &body, create_it);
    const struct request request = {.method = create_it ? "POST" : "PATCH",
                                    .resource = &request_leases,
                                    .namespace = TT_STR(LEASE_NAMESPACE),
                                    .name = create_it ? TT_STR_NONE : tt_str_c(node->config.name),
                                    .body = tt_buf_view(&body),
                                    .content_type = create_it ? NULL : REQUEST_MERGE_PATCH,
                                    .timeout_ms = RENEW_TIMEOUT_MS,
                                    .done = renewed,
                                    .ctx = node};
    node->is_renewing = send_request(node, &request, "the lease cannot be renewed");
}

static void renewed(void *ctx, int status, struct tt_str answer, const struct tt_err *err)
{
    struct node *node = ctx;
    (void)answer; /* nothing in it is needed */
    node->is_renewing = false;
    if (err != NULL && status == 404 && !node->is_closing) {
        send_lease(node, true);
    } else if (err != NULL && status != 409 && !node->is_closing) {
        TT_LOG(TT_LOG_WARN, "node", "the lease cannot be renewed yet", TT_F_ERR(err));
    }
    free_when_done(node);
}

/* ---- watch and tick ---- */

static bool says_ready(yyjson_val *object, bool wanted)
{
    size_t index;
    size_t count;
    yyjson_val *condition;
    yyjson_arr_foreach(tt_json_iget(object, "status.conditions"), index, count, condition)
    {
        if (tt_str_eq_c(tt_json_iget_str(condition, "type"), "Ready")) {
            return tt_str_eq_c(tt_json_iget_str(condition, "status"), wanted ? "True" : "False");
        }
    }
    return false;
}

static void node_changed(void *ctx, enum tt_informer_change change,
                         const struct tt_informer_object *object)
{
    struct node *node = ctx;
    if (change == TT_INFORMER_DELETED) {
        node->is_present = false;
        return;
    }
    node->is_present = true;
    if (node->uid[0] == '\0') {
        (void)snprintf(node->uid, sizeof node->uid, "%.*s", TT_STR_ARG(object->uid));
        events_node(node->config.events, node->uid, EVENTS_NORMAL, "Starting",
                    "Starting the agent.");
    }
    TT_AUTO(tt_arena) arena = tt_arena_new(8 << 10, 8 << 20);
    yyjson_doc *doc = NULL;
    if (tt_json_read(arena, object->json, &doc, NULL) == TT_OK &&
        !says_ready(yyjson_doc_get_root(doc), node->runtime_ready)) {
        node->is_stale = true;
    }
}

static void tick_fired(struct tt_timer *timer)
{
    struct node *node = TT_CONTAINER_OF(timer, struct node, tick);
    uint64_t now = now_ms(node);
    if (!node->is_present) {
        if (!node->is_creating) {
            create(node);
        }
    } else if (!node->is_writing && (node->is_stale || now - node->written_ms >= STATUS_EVERY_MS)) {
        write_now(node);
    }
    if (!node->is_renewing && (node->renewed_ms == 0 || now - node->renewed_ms >= RENEW_MS)) {
        node->renewed_ms = now;
        send_lease(node, false);
    }
}

void node_runtime_condition(struct node *node, bool ready, const char *reason, const char *version)
{
    if (ready != node->runtime_ready) {
        node->ready_since_ms = wall_ms(node);
        if (node->uid[0] != '\0') {
            events_node(node->config.events, node->uid, ready ? EVENTS_NORMAL : EVENTS_WARNING,
                        ready ? "NodeReady" : "NodeNotReady",
                        ready ? "The container runtime answers again."
                              : "The container runtime does not answer.");
        }
    }
    node->runtime_ready = ready;
    (void)snprintf(node->runtime_reason, sizeof node->runtime_reason, "%s", reason);
    (void)snprintf(node->runtime_version, sizeof node->runtime_version, "%s", version);
    node->is_stale = true;
    if (node->is_present && !node->is_writing) {
        write_now(node);
    }
}

struct node *node_new(const struct node_config *config)
{
    struct node *node = TT_NEW(struct node);
    char selector[320];
    struct tt_err err;
    tt_err_init(&err);
    node->config = *config;
    (void)uname(&node->machine); /* it cannot fail with a valid pointer */
    read_line("/etc/os-release", "PRETTY_NAME=\"", node->os_image, sizeof node->os_image);
    node->os_image[strcspn(node->os_image, "\"")] = '\0';
    read_line("/etc/machine-id", "", node->machine_id, sizeof node->machine_id);
    read_line("/proc/sys/kernel/random/boot_id", "", node->boot_id, sizeof node->boot_id);
    (void)snprintf(node->runtime_reason, sizeof node->runtime_reason,
                   "The container runtime has not answered yet.");
    node->ready_since_ms = wall_ms(node);
    tt_timer_init(&node->tick, config->loop, tick_fired);
    tt_timer_start(&node->tick, 1, TICK_MS);
    int size = snprintf(selector, sizeof selector, "metadata.name=%s", config->name);
    const struct tt_informer_config watch = {.loop = config->loop,
                                             .client = config->client,
                                             .resource = request_nodes,
                                             .field_selector = tt_str(selector, (size_t)size),
                                             .changed = node_changed,
                                             .ctx = node};
    if (tt_informer_new(&watch, &node->watch, &err) != TT_OK) {
        TT_LOG(TT_LOG_ERROR, "node", "the own node cannot be watched", TT_F_ERR(&err));
    }
    return node;
}

static void tick_closed(struct tt_timer *timer)
{
    struct node *node = TT_CONTAINER_OF(timer, struct node, tick);
    node->open--;
    free_when_done(node);
}

static void watch_closed(void *ctx)
{
    struct node *node = ctx;
    node->open--;
    free_when_done(node);
}

void node_close(struct node *node, void (*closed)(void *ctx), void *ctx)
{
    node->is_closing = true;
    node->closed = closed;
    node->closed_ctx = ctx;
    node->open = 1 + (node->watch != NULL ? 1 : 0);
    tt_timer_close(&node->tick, tick_closed);
    if (node->watch != NULL) {
        tt_informer_close(node->watch, watch_closed, node);
    }
}
