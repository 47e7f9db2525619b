/* Computed cells. Each function renders one; they read the object defensively, because status is
 * written by agents and reconcilers at their own pace. */
#include "api/kinds/table_cells.h"

#include "api/kinds/quantity.h"
#include "base/clock.h"

static void text(struct cell *cell, struct tt_str value, const char *fallback)
{
    if (value.len > 0) {
        tt_buf_str(cell->buf, value);
    } else {
        tt_buf_c(cell->buf, fallback);
    }
}

static struct tt_str str_of(yyjson_val *obj, const char *name)
{
    return tt_json_istr_of(yyjson_obj_get(obj, name));
}

static int64_t int_of(yyjson_val *obj, const char *name)
{
    int64_t value = 0;
    (void)tt_json_ito_i64(yyjson_obj_get(obj, name), &value); /* absent counts as zero */
    return value;
}

void table_cell_age(struct cell *cell, struct tt_str time)
{
    uint64_t then_ms;
    char age[TT_DURATION_TEXT_SIZE];
    if (!tt_time_parse(time, &then_ms)) {
        tt_buf_c(cell->buf, "<unknown>");
        return;
    }
    int64_t seconds = ((int64_t)cell->now_ms - (int64_t)then_ms) / 1000;
    tt_buf_append(cell->buf, age, tt_duration_human(seconds, age));
}

static void age(struct cell *cell)
{
    table_cell_age(cell, tt_json_iget_str(cell->root, "metadata.creationTimestamp"));
}

static void data_count(struct cell *cell)
{
    tt_buf_u64(cell->buf, yyjson_obj_size(yyjson_obj_get(cell->root, "data")) +
                              yyjson_obj_size(yyjson_obj_get(cell->root, "binaryData")));
}

static void secrets_count(struct cell *cell)
{
    tt_buf_u64(cell->buf, yyjson_arr_size(yyjson_obj_get(cell->root, "secrets")));
}

static void pod_ready(struct cell *cell)
{
    yyjson_val *statuses = tt_json_iget(cell->root, "status.containerStatuses"), *status;
    size_t i, n, ready = 0;
    yyjson_arr_foreach(statuses, i, n, status)
    {
        ready += yyjson_get_bool(yyjson_obj_get(status, "ready"));
    }
    tt_buf_printf(cell->buf, "%zu/%zu", ready,
                  yyjson_arr_size(tt_json_iget(cell->root, "spec.containers")));
}

/* How a terminated container is told: its reason, else the signal, else the exit code. */
static void terminated_text(struct tt_buf *buf, yyjson_val *state)
{
    struct tt_str reason = str_of(state, "reason");
    tt_buf_reset(buf);
    if (reason.len > 0) {
        tt_buf_str(buf, reason);
    } else if (int_of(state, "signal") != 0) {
        tt_buf_printf(buf, "Signal:%lld", (long long)int_of(state, "signal"));
    } else {
        tt_buf_printf(buf, "ExitCode:%lld", (long long)int_of(state, "exitCode"));
    }
}

/* The first init container that is not done; false when all are. */
static bool init_reason(struct cell *cell, struct tt_buf *reason)
{
    yyjson_val *list = tt_json_iget(cell->root, "status.initContainerStatuses"), *status;
    size_t total = yyjson_arr_size(tt_json_iget(cell->root, "spec.initContainers")), i, n;
    yyjson_arr_foreach(list, i, n, status)
    {
        yyjson_val *ended = tt_json_iget(status, "state.terminated");
        struct tt_str waiting = tt_json_iget_str(status, "state.waiting.reason");
        if (ended != NULL && int_of(ended, "exitCode") == 0) {
            continue;
        }
        if (ended != NULL) {
            TT_AUTO_BUF struct tt_buf why;
            tt_buf_init(&why, 1024);
            terminated_text(&why, ended);
            tt_buf_reset(reason);
            tt_buf_printf(reason, "Init:%.*s", TT_STR_ARG(tt_buf_view(&why)));
        } else if (waiting.len > 0 && !tt_str_eq(waiting, TT_STR("PodInitializing"))) {
            tt_buf_reset(reason);
            tt_buf_printf(reason, "Init:%.*s", TT_STR_ARG(waiting));
        } else {
            tt_buf_reset(reason);
            tt_buf_printf(reason, "Init:%zu/%zu", i, total);
        }
        return true;
    }
    return false;
}

static bool condition_true(yyjson_val *root, const char *type)
{
    yyjson_val *conditions = tt_json_iget(root, "status.conditions"), *condition;
    size_t i, n;
    yyjson_arr_foreach(conditions, i, n, condition)
    {
        if (tt_str_eq_c(str_of(condition, "type"), type)) {
            return tt_str_eq(str_of(condition, "status"), TT_STR("True"));
        }
    }
    return false;
}

/* The containers' word; the first container's wins, as the walk goes backwards. */
static void container_reason(struct cell *cell, struct tt_buf *reason)
{
    yyjson_val *list = tt_json_iget(cell->root, "status.containerStatuses");
    bool running = false;
    for (size_t i = yyjson_arr_size(list); i-- > 0;) {
        yyjson_val *status = yyjson_arr_get(list, i);
        struct tt_str waiting = tt_json_iget_str(status, "state.waiting.reason");
        yyjson_val *ended = tt_json_iget(status, "state.terminated");
        if (waiting.len > 0) {
            tt_buf_reset(reason);
            tt_buf_str(reason, waiting);
        } else if (ended != NULL) {
            terminated_text(reason, ended);
        } else if (yyjson_get_bool(yyjson_obj_get(status, "ready"))) {
            running = true;
        }
    }
    if (running && tt_str_eq(tt_buf_view(reason), TT_STR("Completed"))) {
        tt_buf_reset(reason);
        tt_buf_c(reason, condition_true(cell->root, "Ready") ? "Running" : "NotReady");
    }
}

static void pod_status(struct cell *cell)
{
    TT_AUTO_BUF struct tt_buf reason;
    tt_buf_init(&reason, 2048);
    struct tt_str word = tt_json_iget_str(cell->root, "status.reason");
    tt_buf_str(&reason, word.len > 0 ? word : tt_json_iget_str(cell->root, "status.phase"));
    if (!init_reason(cell, &reason)) {
        container_reason(cell, &reason);
    }
    if (tt_json_iget(cell->root, "metadata.deletionTimestamp") != NULL) {
        bool lost = tt_str_eq(word, TT_STR("NodeLost"));
        tt_buf_c(cell->buf, lost ? "Unknown" : "Terminating");
        return;
    }
    text(cell, tt_buf_view(&reason), "Unknown");
}

static void pod_restarts(struct cell *cell)
{
    yyjson_val *list = tt_json_iget(cell->root, "status.containerStatuses"), *status;
    int64_t restarts = 0;
    uint64_t last_ms = 0, at_ms;
    size_t i, n;
    yyjson_arr_foreach(list, i, n, status)
    {
        restarts += int_of(status, "restartCount");
        if (tt_time_parse(tt_json_iget_str(status, "lastState.terminated.finishedAt"), &at_ms)) {
            last_ms = at_ms > last_ms ? at_ms : last_ms;
        }
    }
    tt_buf_printf(cell->buf, "%lld", (long long)restarts);
    if (restarts > 0 && last_ms > 0) {
        char since[TT_DURATION_TEXT_SIZE];
        size_t len = tt_duration_human(((int64_t)cell->now_ms - (int64_t)last_ms) / 1000, since);
        tt_buf_printf(cell->buf, " (%.*s ago)", (int)len, since);
    }
}

static void pod_gates(struct cell *cell)
{
    yyjson_val *gates = tt_json_iget(cell->root, "spec.readinessGates"), *gate;
    size_t i, n, met = 0;
    char type[320];
    yyjson_arr_foreach(gates, i, n, gate)
    {
        struct tt_str name = str_of(gate, "conditionType");
        if (name.len > 0 && name.len < sizeof type) {
            memcpy(type, name.ptr, name.len);
            type[name.len] = '\0';
            met += condition_true(cell->root, type);
        }
    }
    if (yyjson_arr_size(gates) == 0) {
        tt_buf_c(cell->buf, "<none>");
    } else {
        tt_buf_printf(cell->buf, "%zu/%zu", met, yyjson_arr_size(gates));
    }
}

static void node_status(struct cell *cell)
{
    yyjson_val *conditions = tt_json_iget(cell->root, "status.conditions"), *condition;
    size_t i, n;
    const char *word = "Unknown";
    yyjson_arr_foreach(conditions, i, n, condition)
    {
        if (tt_str_eq(str_of(condition, "type"), TT_STR("Ready"))) {
            word = tt_str_eq(str_of(condition, "status"), TT_STR("True")) ? "Ready" : "NotReady";
        }
    }
    tt_buf_c(cell->buf, word);
    if (yyjson_get_bool(tt_json_iget(cell->root, "spec.unschedulable"))) {
        tt_buf_c(cell->buf, ",SchedulingDisabled");
    }
}

static void node_roles(struct cell *cell)
{
    static const struct tt_str prefix = {"node-role.kubernetes.io/", 24};
    yyjson_val *labels = tt_json_iget(cell->root, "metadata.labels"), *key, *item;
    size_t start = cell->buf->len, i, n;
    yyjson_obj_foreach(labels, i, n, key, item)
    {
        struct tt_str name = tt_json_istr_of(key);
        struct tt_str role = tt_str_eq(name, TT_STR("kubernetes.io/role")) ? tt_json_istr_of(item)
                             : tt_str_starts(name, prefix) ? tt_str_skip(name, prefix.len)
                                                           : TT_STR("");
        if (role.len > 0) {
            tt_buf_c(cell->buf, cell->buf->len > start ? "," : "");
            tt_buf_str(cell->buf, role);
        }
    }
    tt_buf_c(cell->buf, cell->buf->len == start ? "<none>" : "");
}

static void node_address(struct cell *cell, const char *type)
{
    yyjson_val *addresses = tt_json_iget(cell->root, "status.addresses"), *address;
    size_t i, n;
    yyjson_arr_foreach(addresses, i, n, address)
    {
        if (tt_str_eq_c(str_of(address, "type"), type)) {
            text(cell, str_of(address, "address"), "<none>");
            return;
        }
    }
    tt_buf_c(cell->buf, "<none>");
}

static void node_internal_ip(struct cell *cell)
{
    node_address(cell, "InternalIP");
}

static void node_external_ip(struct cell *cell)
{
    node_address(cell, "ExternalIP");
}

static void service_external_ip(struct cell *cell)
{
    struct tt_str type = tt_json_iget_str(cell->root, "spec.type");
    yyjson_val *list = tt_json_iget(cell->root, "status.loadBalancer.ingress"), *item;
    size_t start = cell->buf->len, i, n;
    bool balancer = tt_str_eq(type, TT_STR("LoadBalancer"));
    if (tt_str_eq(type, TT_STR("ExternalName"))) {
        text(cell, tt_json_iget_str(cell->root, "spec.externalName"), "<none>");
        return;
    }
    yyjson_arr_foreach(balancer ? list : NULL, i, n, item)
    {
        struct tt_str ip = str_of(item, "ip");
        tt_buf_c(cell->buf, cell->buf->len > start ? "," : "");
        tt_buf_str(cell->buf, ip.len > 0 ? ip : str_of(item, "hostname"));
    }
    yyjson_arr_foreach(tt_json_iget(cell->root, "spec.externalIPs"), i, n, item)
    {
        tt_buf_c(cell->buf, cell->buf->len > start ? "," : "");
        tt_buf_str(cell->buf, tt_json_istr_of(item));
    }
    if (cell->buf->len == start) {
        tt_buf_c(cell->buf, balancer ? "<pending>" : "<none>");
    }
}

static void service_ports(struct cell *cell)
{
    yyjson_val *ports = tt_json_iget(cell->root, "spec.ports"), *port;
    size_t i, n;
    yyjson_arr_foreach(ports, i, n, port)
    {
        struct tt_str protocol = str_of(port, "protocol");
        tt_buf_printf(cell->buf, "%s%lld", i > 0 ? "," : "", (long long)int_of(port, "port"));
        if (int_of(port, "nodePort") > 0) {
            tt_buf_printf(cell->buf, ":%lld", (long long)int_of(port, "nodePort"));
        }
        tt_buf_printf(cell->buf, "/%.*s", TT_STR_ARG(protocol.len > 0 ? protocol : TT_STR("TCP")));
    }
    tt_buf_c(cell->buf, yyjson_arr_size(ports) == 0 ? "<none>" : "");
}

static bool pairs(struct cell *cell, yyjson_val *labels, bool first)
{
    size_t i, n;
    yyjson_val *key, *item;
    yyjson_obj_foreach(labels, i, n, key, item)
    {
        tt_buf_c(cell->buf, first ? "" : ",");
        tt_buf_str(cell->buf, tt_json_istr_of(key));
        tt_buf_char(cell->buf, '=');
        tt_buf_str(cell->buf, tt_json_istr_of(item));
        first = false;
    }
    return first;
}

static void service_selector(struct cell *cell)
{
    if (pairs(cell, tt_json_iget(cell->root, "spec.selector"), true)) {
        tt_buf_c(cell->buf, "<none>");
    }
}

static void expression(struct cell *cell, yyjson_val *item)
{
    struct tt_str op = str_of(item, "operator"), key = str_of(item, "key");
    bool in = tt_str_eq(op, TT_STR("In"));
    size_t i, n;
    yyjson_val *value;
    if (!in && !tt_str_eq(op, TT_STR("NotIn"))) {
        tt_buf_c(cell->buf, tt_str_eq(op, TT_STR("Exists")) ? "" : "!");
        tt_buf_str(cell->buf, key);
        return;
    }
    tt_buf_printf(cell->buf, "%.*s %s (", TT_STR_ARG(key), in ? "in" : "notin");
    yyjson_arr_foreach(yyjson_obj_get(item, "values"), i, n, value)
    {
        tt_buf_c(cell->buf, i > 0 ? "," : "");
        tt_buf_str(cell->buf, tt_json_istr_of(value));
    }
    tt_buf_char(cell->buf, ')');
}

static void selector(struct cell *cell)
{
    yyjson_val *spec = tt_json_iget(cell->root, "spec.selector"), *item;
    bool first = pairs(cell, yyjson_obj_get(spec, "matchLabels"), true);
    size_t i, n;
    yyjson_arr_foreach(yyjson_obj_get(spec, "matchExpressions"), i, n, item)
    {
        tt_buf_c(cell->buf, first ? "" : ",");
        expression(cell, item);
        first = false;
    }
    tt_buf_c(cell->buf, first ? "<none>" : "");
}

static void template_list(struct cell *cell, const char *member)
{
    yyjson_val *list = tt_json_iget(cell->root, "spec.template.spec.containers"), *container;
    size_t i, n;
    yyjson_arr_foreach(list, i, n, container)
    {
        tt_buf_c(cell->buf, i > 0 ? "," : "");
        tt_buf_str(cell->buf, str_of(container, member));
    }
}

static void container_names(struct cell *cell)
{
    template_list(cell, "name");
}

static void container_images(struct cell *cell)
{
    template_list(cell, "image");
}

static void deployment_ready(struct cell *cell)
{
    tt_buf_printf(cell->buf, "%lld/%lld",
                  (long long)tt_json_iget_i64(cell->root, "status.readyReplicas", 0),
                  (long long)tt_json_iget_i64(cell->root, "spec.replicas", 0));
}

static void event_last_seen(struct cell *cell)
{
    static const char *const places[] = {"series.lastObservedTime", "lastTimestamp", "eventTime",
                                         "firstTimestamp"};
    struct tt_str time = TT_STR("");
    for (size_t i = 0; time.len == 0 && i < sizeof places / sizeof places[0]; i++) {
        time = tt_json_iget_str(cell->root, places[i]);
    }
    table_cell_age(cell, time);
}

static void event_first_seen(struct cell *cell)
{
    struct tt_str time = str_of(cell->root, "firstTimestamp");
    table_cell_age(cell, time.len > 0 ? time : str_of(cell->root, "eventTime"));
}

static void event_object(struct cell *cell)
{
    yyjson_val *about = yyjson_obj_get(cell->root, "involvedObject");
    struct tt_str kind = str_of(about, "kind");
    for (size_t i = 0; i < kind.len; i++) {
        char c = kind.ptr[i];
        tt_buf_char(cell->buf, (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c));
    }
    tt_buf_char(cell->buf, '/');
    tt_buf_str(cell->buf, str_of(about, "name"));
}

static void event_source(struct cell *cell)
{
    struct tt_str component = tt_json_iget_str(cell->root, "source.component");
    struct tt_str host = tt_json_iget_str(cell->root, "source.host");
    text(cell, component, "");
    if (component.len == 0) {
        text(cell, str_of(cell->root, "reportingComponent"), "");
    }
    if (host.len > 0) {
        tt_buf_printf(cell->buf, ", %.*s", TT_STR_ARG(host));
    }
}

static void event_count(struct cell *cell)
{
    int64_t count = tt_json_iget_i64(cell->root, "series.count", int_of(cell->root, "count"));
    tt_buf_printf(cell->buf, "%lld", (long long)(count > 0 ? count : 1));
}

static const struct {
    const char *name;                  /* as the `value` of a column says it */
    void (*render)(struct cell *cell); /* appends the text; nothing: an empty cell */
} renderings[] = {
    {"#age", age},
    {"#dataCount", data_count},
    {"#secretsCount", secrets_count},
    {"#podReady", pod_ready},
    {"#podStatus", pod_status},
    {"#podRestarts", pod_restarts},
    {"#podGates", pod_gates},
    {"#nodeStatus", node_status},
    {"#nodeRoles", node_roles},
    {"#nodeInternalIP", node_internal_ip},
    {"#nodeExternalIP", node_external_ip},
    {"#serviceExternalIP", service_external_ip},
    {"#servicePorts", service_ports},
    {"#serviceSelector", service_selector},
    {"#selector", selector},
    {"#containerNames", container_names},
    {"#containerImages", container_images},
    {"#deploymentReady", deployment_ready},
    {"#eventLastSeen", event_last_seen},
    {"#eventFirstSeen", event_first_seen},
    {"#eventObject", event_object},
    {"#eventSource", event_source},
    {"#eventCount", event_count},
};

bool table_cell_render(struct cell *cell, struct tt_str name)
{
    for (size_t i = 0; i < sizeof renderings / sizeof renderings[0]; i++) {
        if (tt_str_eq_c(name, renderings[i].name)) {
            renderings[i].render(cell);
            return true;
        }
    }
    return false;
}
