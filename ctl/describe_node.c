/* Nodes: what they are and have, and what the Pods on them take of it.
 *
 * A Pod takes the sum of its containers' requests or the most that one of its init containers takes
 * alone, whichever is more; init containers that stay count as containers. */
#include "ctl/describe_parts.h"

#include "api/kinds/quantity.h"
#include "ctl/events.h"

enum { TEXT_SIZE_MAX = 64 << 10, SHOWN_RESOURCES = 2, USES = 2 };
#define ROLE_PREFIX "node-role.kubernetes.io/"

static const char *const resources[SHOWN_RESOURCES] = {"cpu", "memory"};
static const char *const uses[USES] = {"requests", "limits"};

/* ---- plain fields ---- */

static void show_roles(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_obj_iter iter = yyjson_obj_iter_with(val);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        struct tt_str name = tt_json_istr_of(key);
        if (tt_str_starts(name, TT_STR(ROLE_PREFIX))) {
            tt_buf_c(&text, text.len > 0 ? "," : "");
            tt_buf_str(&text, tt_str_skip(name, strlen(ROLE_PREFIX)));
        }
    }
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

static void show_taints(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *taint;
    while ((taint = yyjson_arr_iter_next(&iter)) != NULL) {
        struct tt_str value = tt_json_iget_str(taint, "value");
        tt_buf_printf(&text, "%.*s%s%.*s:%.*s\n", TT_STR_ARG(tt_json_iget_str(taint, "key")),
                      value.len > 0 ? "=" : "", TT_STR_ARG(value),
                      TT_STR_ARG(tt_json_iget_str(taint, "effect")));
    }
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

static void show_cordon(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    ctl_page_field(d->page, label, yyjson_get_bool(val) ? TT_STR("true") : TT_STR("false"));
}

static void show_addresses(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *address;
    ctl_page_open(d->page, tt_str_c(label), TT_STR(""));
    while ((address = yyjson_arr_iter_next(&iter)) != NULL) {
        ctl_page_entry(d->page, tt_json_iget_str(address, "type"),
                       tt_json_iget_str(address, "address"));
    }
    ctl_page_close(d->page);
}

static void show_system(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    static const struct describe_field fields[] = {
        {"Machine ID", "machineID", describe_text},
        {"System UUID", "systemUUID", describe_text},
        {"Boot ID", "bootID", describe_text},
        {"Kernel Version", "kernelVersion", describe_text},
        {"OS Image", "osImage", describe_text},
        {"Operating System", "operatingSystem", describe_text},
        {"Architecture", "architecture", describe_text},
        {"Container Runtime Version", "containerRuntimeVersion", describe_text},
        {"Agent Version", "kubeletVersion", describe_text},
    };
    ctl_page_open(d->page, tt_str_c(label), TT_STR(""));
    describe_fields(d, val, fields, DESCRIBE_COUNT(fields));
    ctl_page_close(d->page);
}

/* ---- what Pods take ---- */

/* What is unreadable or too much to add counts as nothing: this is for reading only. */
static void add(struct tt_quantity *sum, yyjson_val *amounts, const char *resource)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 256);
    struct tt_quantity amount;
    describe_scalar(&text, yyjson_obj_get(amounts, resource));
    if (tt_quantity_parse(tt_buf_view(&text), &amount)) {
        if (sum->nano == 0) {
            sum->format = amount.format;
        }
        (void)tt_quantity_add(sum, &amount);
    }
}

static struct tt_quantity taken_by(yyjson_val *pod, const char *use, const char *resource)
{
    struct tt_quantity sum = {.nano = 0};
    struct tt_quantity most = {.nano = 0};
    yyjson_val *container;
    yyjson_arr_iter iter = yyjson_arr_iter_with(tt_json_iget(pod, "spec.containers"));
    while ((container = yyjson_arr_iter_next(&iter)) != NULL) {
        add(&sum, yyjson_obj_get(yyjson_obj_get(container, "resources"), use), resource);
    }
    iter = yyjson_arr_iter_with(tt_json_iget(pod, "spec.initContainers"));
    while ((container = yyjson_arr_iter_next(&iter)) != NULL) {
        yyjson_val *amounts = yyjson_obj_get(yyjson_obj_get(container, "resources"), use);
        struct tt_quantity alone = {.nano = 0};
        bool stays = tt_str_eq_c(tt_json_iget_str(container, "restartPolicy"), "Always");
        add(stays ? &sum : &alone, amounts, resource);
        if (tt_quantity_cmp(&alone, &most) > 0) {
            most = alone;
        }
    }
    struct tt_quantity taken = tt_quantity_cmp(&most, &sum) > 0 ? most : sum;
    if (taken.nano > 0) {
        add(&taken, tt_json_iget(pod, "spec.overhead"), resource);
    }
    return taken;
}

/* "500m (12%)" of what the node can give. */
static void add_share(const struct ctl_description *d, struct ctl_table *table,
                      const struct tt_quantity *taken, const char *resource)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 256);
    char digits[TT_QUANTITY_TEXT_SIZE];
    struct tt_quantity whole = {.nano = 0};
    add(&whole, tt_json_iget(d->object, "status.allocatable"), resource);
    tt_buf_append(&text, digits, tt_quantity_format(taken, digits));
    if (whole.nano > 0 && whole.nano <= INT64_MAX * (tt_i128)1000000000) {
        tt_buf_printf(&text, " (%lld%%)", (long long)(taken->nano / (whole.nano / 100 + 1)));
    }
    ctl_table_cell(table, tt_buf_view(&text));
}

static void add_pod(const struct ctl_description *d, struct ctl_table *table, yyjson_val *pod,
                    struct tt_quantity sums[SHOWN_RESOURCES][USES])
{
    TT_AUTO_BUF struct tt_buf age;
    tt_buf_init(&age, 256);
    ctl_table_cell(table, tt_json_iget_str(pod, "metadata.namespace"));
    ctl_table_cell(table, tt_json_iget_str(pod, "metadata.name"));
    for (size_t i = 0; i < SHOWN_RESOURCES; i++) {
        for (size_t use = 0; use < USES; use++) {
            struct tt_quantity taken = taken_by(pod, uses[use], resources[i]);
            add_share(d, table, &taken, resources[i]);
            if (sums[i][use].nano == 0) {
                sums[i][use].format = taken.format;
            }
            (void)tt_quantity_add(&sums[i][use], &taken); /* too much: shown as it was */
        }
    }
    ctl_age(tt_json_iget_str(pod, "metadata.creationTimestamp"), d->now_ms, &age);
    ctl_table_cell(table, tt_buf_view(&age));
}

static void show_sums(const struct ctl_description *d,
                      struct tt_quantity sums[SHOWN_RESOURCES][USES])
{
    struct ctl_table *table = ctl_table_new(1 + USES);
    ctl_table_c(table, "Resource");
    ctl_table_c(table, "Requests");
    ctl_table_c(table, "Limits");
    for (size_t i = 0; i < SHOWN_RESOURCES; i++) {
        ctl_table_c(table, resources[i]);
        for (size_t use = 0; use < USES; use++) {
            add_share(d, table, &sums[i][use], resources[i]);
        }
    }
    describe_rows(d, TT_STR("Allocated resources"), table);
}

static void show_pods(const struct ctl_description *d)
{
    static const char *const head[] = {
        "Namespace",       "Name",          "CPU Requests", "CPU Limits",
        "Memory Requests", "Memory Limits", "Age"};
    struct tt_quantity sums[SHOWN_RESOURCES][USES] = {{{.nano = 0}}};
    if (d->related == NULL) {
        ctl_page_field(d->page, "Non-terminated Pods", TT_STR("<unknown>"));
        return;
    }
    struct ctl_table *table = ctl_table_new(sizeof head / sizeof head[0]);
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++) {
        ctl_table_c(table, head[i]);
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(d->related);
    yyjson_val *pod;
    while ((pod = yyjson_arr_iter_next(&iter)) != NULL) {
        add_pod(d, table, pod, sums);
    }
    TT_AUTO_FREE char *label =
        tt_xasprintf("Non-terminated Pods (%zu)", yyjson_arr_size(d->related));
    describe_rows(d, tt_str_c(label), table);
    show_sums(d, sums);
}

void describe_node(const struct ctl_description *d)
{
    static const struct describe_field fields[] = {
        {"Name", "metadata.name", describe_text},
        {"Roles", "metadata.labels", show_roles},
        {"Labels", "metadata.labels", describe_pairs},
        {"Annotations", "metadata.annotations", describe_notes},
        {"CreationTimestamp", "metadata.creationTimestamp", describe_time},
        {"DeletionTimestamp", "metadata.deletionTimestamp", describe_time},
        {"Taints", "spec.taints", show_taints},
        {"Unschedulable", "spec.unschedulable", show_cordon},
        {"Conditions", "status.conditions", describe_conditions},
        {"Addresses", "status.addresses", show_addresses},
        {"Capacity", "status.capacity", describe_amounts},
        {"Allocatable", "status.allocatable", describe_amounts},
        {"System Info", "status.nodeInfo", show_system},
        {"PodCIDR", "spec.podCIDR", describe_if_any},
    };
    describe_fields(d, d->object, fields, DESCRIBE_COUNT(fields));
    show_pods(d);
}
