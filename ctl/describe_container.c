/* Containers: what the spec asks for, and in a Pod what became of them.
 *
 * Names are unique among all containers of a Pod, so that a status is found by its name alone;
 * objects that hold a template have no such statuses. */
#include "ctl/describe_parts.h"

enum { TEXT_SIZE_MAX = 4 << 20 };

static yyjson_val *find_status(const struct ctl_description *d, struct tt_str name)
{
    static const char *const lists[] = {"status.containerStatuses", "status.initContainerStatuses",
                                        "status.ephemeralContainerStatuses"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        yyjson_arr_iter iter = yyjson_arr_iter_with(tt_json_iget(d->object, lists[i]));
        yyjson_val *status;
        while ((status = yyjson_arr_iter_next(&iter)) != NULL) {
            if (tt_str_eq(tt_json_iget_str(status, "name"), name)) {
                return status;
            }
        }
    }
    return NULL;
}

/* ---- what is asked for ---- */

/* "8080/TCP (http), 53/UDP"; with host: "80 -> 8080/TCP", of those that have one. */
static void write_ports(struct tt_buf *buf, yyjson_val *ports, bool host)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(ports);
    yyjson_val *port;
    while ((port = yyjson_arr_iter_next(&iter)) != NULL) {
        int64_t on_host = tt_json_iget_i64(port, "hostPort", 0);
        struct tt_str protocol = tt_json_iget_str(port, "protocol");
        struct tt_str name = tt_json_iget_str(port, "name");
        if (host && on_host == 0) {
            continue;
        }
        tt_buf_c(buf, buf->len > 0 ? ", " : "");
        if (host) {
            tt_buf_printf(buf, "%lld -> ", (long long)on_host);
        }
        tt_buf_printf(buf, "%lld/%.*s", (long long)tt_json_iget_i64(port, "containerPort", 0),
                      TT_STR_ARG(protocol.len > 0 ? protocol : TT_STR("TCP")));
        if (!host && name.len > 0) {
            tt_buf_printf(buf, " (%.*s)", TT_STR_ARG(name));
        }
    }
}

static void show_ports(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    write_ports(&text, val, false);
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

static void show_host_ports(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    write_ports(&text, val, true);
    if (text.len > 0) {
        ctl_page_field(d->page, label, tt_buf_view(&text));
    }
}

/* How a probe asks: "http-get http://:8080/ok". */
static void write_probe_way(struct tt_buf *buf, yyjson_val *probe)
{
    yyjson_val *http = yyjson_obj_get(probe, "httpGet");
    yyjson_val *words = tt_json_iget(probe, "exec.command");
    yyjson_val *tcp = yyjson_obj_get(probe, "tcpSocket");
    yyjson_val *grpc = yyjson_obj_get(probe, "grpc");
    if (http != NULL) {
        bool is_https = tt_str_eq_c(tt_json_iget_str(http, "scheme"), "HTTPS");
        tt_buf_printf(buf, "http-get %s://%.*s:", is_https ? "https" : "http",
                      TT_STR_ARG(tt_json_iget_str(http, "host")));
        describe_scalar(buf, yyjson_obj_get(http, "port"));
        tt_buf_str(buf, tt_json_iget_str(http, "path"));
    } else if (words != NULL) {
        yyjson_arr_iter iter = yyjson_arr_iter_with(words);
        yyjson_val *word;
        tt_buf_c(buf, "exec [");
        for (const char *gap = ""; (word = yyjson_arr_iter_next(&iter)) != NULL; gap = " ") {
            tt_buf_c(buf, gap);
            describe_scalar(buf, word);
        }
        tt_buf_char(buf, ']');
    } else if (tcp != NULL) {
        tt_buf_printf(buf, "tcp-socket %.*s:", TT_STR_ARG(tt_json_iget_str(tcp, "host")));
        describe_scalar(buf, yyjson_obj_get(tcp, "port"));
    } else if (grpc != NULL) {
        tt_buf_printf(buf, "grpc :%lld %.*s", (long long)tt_json_iget_i64(grpc, "port", 0),
                      TT_STR_ARG(tt_json_iget_str(grpc, "service")));
    }
}

static void show_probe(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    if (val != NULL) {
        write_probe_way(&text, val);
        tt_buf_printf(&text, " delay=%llds timeout=%llds period=%llds #success=%lld #failure=%lld",
                      (long long)tt_json_iget_i64(val, "initialDelaySeconds", 0),
                      (long long)tt_json_iget_i64(val, "timeoutSeconds", 1),
                      (long long)tt_json_iget_i64(val, "periodSeconds", 10),
                      (long long)tt_json_iget_i64(val, "successThreshold", 1),
                      (long long)tt_json_iget_i64(val, "failureThreshold", 3));
        ctl_page_field(d->page, label, tt_buf_view(&text));
    }
}

static const char *optional_of(yyjson_val *reference)
{
    return yyjson_get_bool(yyjson_obj_get(reference, "optional")) ? ", optional" : "";
}

/* "every key of ConfigMap settings, optional, names prefixed with X_" */
static void show_env_from(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *source;
    while ((source = yyjson_arr_iter_next(&iter)) != NULL) {
        yyjson_val *map = yyjson_obj_get(source, "configMapRef");
        yyjson_val *reference = map != NULL ? map : yyjson_obj_get(source, "secretRef");
        struct tt_str prefix = tt_json_iget_str(source, "prefix");
        tt_buf_printf(&text, "every key of %s %.*s%s", map != NULL ? "ConfigMap" : "Secret",
                      TT_STR_ARG(tt_json_iget_str(reference, "name")), optional_of(reference));
        if (prefix.len > 0) {
            tt_buf_printf(&text, ", names prefixed with %.*s", TT_STR_ARG(prefix));
        }
        tt_buf_char(&text, '\n');
    }
    if (text.len > 0) {
        ctl_page_field(d->page, label, tt_buf_view(&text));
    }
}

static void write_env_source(struct tt_buf *buf, yyjson_val *source)
{
    yyjson_val *secret = yyjson_obj_get(source, "secretKeyRef");
    yyjson_val *map = yyjson_obj_get(source, "configMapKeyRef");
    yyjson_val *key = secret != NULL ? secret : map;
    yyjson_val *field = yyjson_obj_get(source, "fieldRef");
    yyjson_val *resource = yyjson_obj_get(source, "resourceFieldRef");
    if (key != NULL) {
        tt_buf_printf(buf, "<key %.*s of %s %.*s%s>", TT_STR_ARG(tt_json_iget_str(key, "key")),
                      secret != NULL ? "Secret" : "ConfigMap",
                      TT_STR_ARG(tt_json_iget_str(key, "name")), optional_of(key));
    } else if (field != NULL) {
        tt_buf_printf(buf, "<field %.*s>", TT_STR_ARG(tt_json_iget_str(field, "fieldPath")));
    } else if (resource != NULL) {
        tt_buf_printf(buf, "<resource %.*s>", TT_STR_ARG(tt_json_iget_str(resource, "resource")));
    } else {
        tt_json_iwrite(buf, source);
    }
}

static void show_env(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *variable;
    if (yyjson_arr_size(val) == 0) {
        ctl_page_field(d->page, label, TT_STR(""));
        return;
    }
    ctl_page_open(d->page, tt_str_c(label), TT_STR(""));
    while ((variable = yyjson_arr_iter_next(&iter)) != NULL) {
        yyjson_val *source = yyjson_obj_get(variable, "valueFrom");
        tt_buf_reset(&text);
        if (source != NULL) {
            write_env_source(&text, source);
        } else {
            tt_buf_str(&text, tt_json_iget_str(variable, "value"));
        }
        ctl_page_entry(d->page, tt_json_iget_str(variable, "name"),
                       text.len > 0 ? tt_buf_view(&text) : TT_STR("\"\""));
    }
    ctl_page_close(d->page);
}

static void show_mounts(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *mount;
    while ((mount = yyjson_arr_iter_next(&iter)) != NULL) {
        bool is_read_only = yyjson_get_bool(yyjson_obj_get(mount, "readOnly"));
        struct tt_str below = tt_json_iget_str(mount, "subPath");
        if (below.len == 0) {
            below = tt_json_iget_str(mount, "subPathExpr");
        }
        tt_buf_printf(&text, "%.*s from %.*s (%s", TT_STR_ARG(tt_json_iget_str(mount, "mountPath")),
                      TT_STR_ARG(tt_json_iget_str(mount, "name")), is_read_only ? "ro" : "rw");
        if (below.len > 0) {
            tt_buf_printf(&text, ",path=\"%.*s\"", TT_STR_ARG(below));
        }
        tt_buf_c(&text, ")\n");
    }
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

/* ---- what became of it ---- */

/* val: {"running": {…}}, or waiting, or terminated. */
static void show_state(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    static const struct describe_field fields[] = {
        {"Reason", "reason", describe_if_any},      {"Message", "message", describe_if_any},
        {"Exit Code", "exitCode", describe_if_any}, {"Signal", "signal", describe_if_any},
        {"Started", "startedAt", describe_time},    {"Finished", "finishedAt", describe_time},
    };
    static const struct {
        const char *member; /* of the state */
        struct tt_str name; /* as it is shown */
    } states[] = {{"running", {"Running", 7}},
                  {"waiting", {"Waiting", 7}},
                  {"terminated", {"Terminated", 10}}};
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        yyjson_val *state = yyjson_obj_get(val, states[i].member);
        if (state != NULL) {
            ctl_page_open(d->page, tt_str_c(label), states[i].name);
            describe_fields(d, state, fields, DESCRIBE_COUNT(fields));
            ctl_page_close(d->page);
        }
    }
}

static void show_truth(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    ctl_page_field(d->page, label, yyjson_get_bool(val) ? TT_STR("True") : TT_STR("False"));
}

static void show_container(const struct ctl_description *d, yyjson_val *container)
{
    static const struct describe_field identity[] = {
        {"Container ID", "containerID", describe_if_any},
        {"Image ID", "imageID", describe_if_any},
    };
    static const struct describe_field wish[] = {
        {"Image", "image", describe_text},        {"Ports", "ports", show_ports},
        {"Host Ports", "ports", show_host_ports}, {"Command", "command", describe_words},
        {"Args", "args", describe_words},
    };
    static const struct describe_field states[] = {
        {"State", "state", show_state},
        {"Last State", "lastState", show_state},
        {"Ready", "ready", show_truth},
        {"Restart Count", "restartCount", describe_text},
    };
    static const struct describe_field rest[] = {
        {"Limits", "resources.limits", describe_amounts},
        {"Requests", "resources.requests", describe_amounts},
        {"Liveness", "livenessProbe", show_probe},
        {"Readiness", "readinessProbe", show_probe},
        {"Startup", "startupProbe", show_probe},
        {"Environment from", "envFrom", show_env_from},
        {"Environment", "env", show_env},
        {"Mounts", "volumeMounts", show_mounts},
    };
    struct tt_str name = tt_json_iget_str(container, "name");
    yyjson_val *status = find_status(d, name);
    ctl_page_open(d->page, name, TT_STR(""));
    if (status != NULL) {
        describe_fields(d, status, identity, DESCRIBE_COUNT(identity));
    }
    describe_fields(d, container, wish, DESCRIBE_COUNT(wish));
    if (status != NULL) {
        describe_fields(d, status, states, DESCRIBE_COUNT(states));
    }
    describe_fields(d, container, rest, DESCRIBE_COUNT(rest));
    ctl_page_close(d->page);
}

void describe_containers(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *container;
    if (yyjson_arr_size(val) == 0) {
        return; /* of init containers; every Pod has others */
    }
    ctl_page_open(d->page, tt_str_c(label), TT_STR(""));
    while ((container = yyjson_arr_iter_next(&iter)) != NULL) {
        show_container(d, container);
    }
    ctl_page_close(d->page);
}
