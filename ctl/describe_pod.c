/* Pods: where they run, what runs in them, how that goes. */
#include "ctl/describe_parts.h"

enum { TEXT_SIZE_MAX = 64 << 10 };

static void show_node(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    struct tt_str node = tt_json_iget_str(val, "spec.nodeName");
    struct tt_str address = tt_json_iget_str(val, "status.hostIP");
    describe_printf(d, label, "%.*s%s%.*s", TT_STR_ARG(node), address.len > 0 ? "/" : "",
                    TT_STR_ARG(address));
}

/* The phase, unless it is on its way out. */
static void show_status(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    bool is_leaving = tt_json_iget(val, "metadata.deletionTimestamp") != NULL;
    ctl_page_field(d->page, label,
                   is_leaving ? TT_STR("Terminating") : tt_json_iget_str(val, "status.phase"));
}

static void show_addresses(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *address;
    while ((address = yyjson_arr_iter_next(&iter)) != NULL) {
        tt_buf_str(&text, tt_json_iget_str(address, "ip"));
        tt_buf_char(&text, '\n');
    }
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

/* "key=value:NoExecute for 30s", one to a line. */
void describe_tolerations(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *toleration;
    while ((toleration = yyjson_arr_iter_next(&iter)) != NULL) {
        struct tt_str value = tt_json_iget_str(toleration, "value");
        struct tt_str effect = tt_json_iget_str(toleration, "effect");
        int64_t seconds = tt_json_iget_i64(toleration, "tolerationSeconds", -1);
        bool is_any = tt_str_eq_c(tt_json_iget_str(toleration, "operator"), "Exists");
        tt_buf_printf(&text, "%.*s%s%.*s%s%.*s%s", TT_STR_ARG(tt_json_iget_str(toleration, "key")),
                      value.len > 0 ? "=" : "", TT_STR_ARG(value), effect.len > 0 ? ":" : "",
                      TT_STR_ARG(effect), is_any ? " op=Exists" : "");
        if (seconds >= 0) {
            tt_buf_printf(&text, " for %llds", (long long)seconds);
        }
        tt_buf_char(&text, '\n');
    }
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

void describe_pod(const struct ctl_description *d)
{
    static const struct describe_field fields[] = {
        {"Name", "metadata.name", describe_text},
        {"Namespace", "metadata.namespace", describe_text},
        {"CreationTimestamp", "metadata.creationTimestamp", describe_time},
        {"DeletionTimestamp", "metadata.deletionTimestamp", describe_time},
        {"Priority", "spec.priority", describe_if_any},
        {"Priority Class Name", "spec.priorityClassName", describe_if_any},
        {"Runtime Class Name", "spec.runtimeClassName", describe_if_any},
        {"Service Account", "spec.serviceAccountName", describe_if_any},
        {"Node", "", show_node},
        {"Start Time", "status.startTime", describe_time},
        {"Labels", "metadata.labels", describe_pairs},
        {"Annotations", "metadata.annotations", describe_notes},
        {"Status", "", show_status},
        {"Reason", "status.reason", describe_if_any},
        {"Message", "status.message", describe_if_any},
        {"IP", "status.podIP", describe_text},
        {"IPs", "status.podIPs", show_addresses},
        {"Controlled By", "metadata.ownerReferences", describe_owner},
        {"Init Containers", "spec.initContainers", describe_containers},
        {"Containers", "spec.containers", describe_containers},
        {"Ephemeral Containers", "spec.ephemeralContainers", describe_containers},
        {"Conditions", "status.conditions", describe_conditions},
        {"Volumes", "spec.volumes", describe_volumes},
        {"QoS Class", "status.qosClass", describe_if_any},
        {"Node-Selectors", "spec.nodeSelector", describe_pairs},
        {"Tolerations", "spec.tolerations", describe_tolerations},
    };
    describe_fields(d, d->object, fields, DESCRIBE_COUNT(fields));
}
