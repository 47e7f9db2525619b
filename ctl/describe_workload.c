/* Deployments, ReplicaSets, and the Pod template both have.
 *
 * Which ReplicaSet is the new one is told by the revision: the controller writes that of the
 * template it rolls out on the set and on the Deployment. */
#include "ctl/describe_parts.h"

#define REVISION "deployment.kubernetes.io/revision"

enum { TEXT_SIZE_MAX = 64 << 10 };

void describe_template(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    static const struct describe_field fields[] = {
        {"Labels", "metadata.labels", describe_pairs},
        {"Annotations", "metadata.annotations", describe_notes_if_any},
        {"Service Account", "spec.serviceAccountName", describe_if_any},
        {"Init Containers", "spec.initContainers", describe_containers},
        {"Containers", "spec.containers", describe_containers},
        {"Volumes", "spec.volumes", describe_volumes},
        {"Priority Class Name", "spec.priorityClassName", describe_if_any},
        {"Node-Selectors", "spec.nodeSelector", describe_pairs},
        {"Tolerations", "spec.tolerations", describe_tolerations},
    };
    ctl_page_open(d->page, tt_str_c(label), TT_STR(""));
    describe_fields(d, val, fields, DESCRIBE_COUNT(fields));
    ctl_page_close(d->page);
}

/* ---- Deployment ---- */

static void show_replicas(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    describe_printf(d, label,
                    "%lld desired | %lld updated | %lld total | %lld available | %lld unavailable",
                    (long long)tt_json_iget_i64(val, "spec.replicas", 1),
                    (long long)tt_json_iget_i64(val, "status.updatedReplicas", 0),
                    (long long)tt_json_iget_i64(val, "status.replicas", 0),
                    (long long)tt_json_iget_i64(val, "status.availableReplicas", 0),
                    (long long)tt_json_iget_i64(val, "status.unavailableReplicas", 0));
}

static void show_rolling(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    if (val != NULL) {
        describe_scalar(&text, yyjson_obj_get(val, "maxUnavailable"));
        tt_buf_c(&text, " max unavailable, ");
        describe_scalar(&text, yyjson_obj_get(val, "maxSurge"));
        tt_buf_c(&text, " max surge");
        ctl_page_field(d->page, label, tt_buf_view(&text));
    }
}

static void show_min_ready(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    int64_t seconds = 0;
    if (tt_json_ito_i64(val, &seconds) && seconds > 0) {
        describe_printf(d, label, "%lld", (long long)seconds);
    }
}

static bool is_revision_of(yyjson_val *set, yyjson_val *deployment)
{
    static const char path[] = "metadata.annotations";
    struct tt_str wanted =
        tt_json_istr_of(yyjson_obj_get(tt_json_iget(deployment, path), REVISION));
    return wanted.len > 0 &&
           tt_str_eq(wanted, tt_json_istr_of(yyjson_obj_get(tt_json_iget(set, path), REVISION)));
}

/* "web-5d8 (2/3 replicas created)" of each that is the new set, or is not. */
static void show_sets(const struct ctl_description *d, const char *label, bool is_new)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(d->related);
    yyjson_val *set;
    while ((set = yyjson_arr_iter_next(&iter)) != NULL) {
        if (describe_is_owned(set, d->object) && is_revision_of(set, d->object) == is_new) {
            tt_buf_printf(&text, "%.*s (%lld/%lld replicas created)\n",
                          TT_STR_ARG(tt_json_iget_str(set, "metadata.name")),
                          (long long)tt_json_iget_i64(set, "status.replicas", 0),
                          (long long)tt_json_iget_i64(set, "spec.replicas", 1));
        }
    }
    ctl_page_field(d->page, label, d->related != NULL ? tt_buf_view(&text) : TT_STR("<unknown>"));
}

void describe_deployment(const struct ctl_description *d)
{
    static const struct describe_field fields[] = {
        {"Name", "metadata.name", describe_text},
        {"Namespace", "metadata.namespace", describe_text},
        {"CreationTimestamp", "metadata.creationTimestamp", describe_time},
        {"DeletionTimestamp", "metadata.deletionTimestamp", describe_time},
        {"Labels", "metadata.labels", describe_pairs},
        {"Annotations", "metadata.annotations", describe_notes},
        {"Selector", "spec.selector", describe_selector},
        {"Replicas", "", show_replicas},
        {"StrategyType", "spec.strategy.type", describe_text},
        {"MinReadySeconds", "spec.minReadySeconds", show_min_ready},
        {"RollingUpdateStrategy", "spec.strategy.rollingUpdate", show_rolling},
        {"Paused", "spec.paused", describe_if_any},
        {"Pod Template", "spec.template", describe_template},
        {"Conditions", "status.conditions", describe_conditions},
    };
    describe_fields(d, d->object, fields, DESCRIBE_COUNT(fields));
    show_sets(d, "OldReplicaSets", false);
    show_sets(d, "NewReplicaSet", true);
}

/* ---- ReplicaSet ---- */

static void show_current(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    describe_printf(d, label, "%lld current / %lld desired",
                    (long long)tt_json_iget_i64(val, "status.replicas", 0),
                    (long long)tt_json_iget_i64(val, "spec.replicas", 1));
}

static void show_phases(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    static const char *const phases[] = {"Running", "Pending", "Succeeded", "Failed"};
    size_t count[4] = {0};
    yyjson_arr_iter iter = yyjson_arr_iter_with(d->related);
    yyjson_val *pod;
    while ((pod = yyjson_arr_iter_next(&iter)) != NULL) {
        for (size_t i = 0; describe_is_owned(pod, val) && i < 4; i++) {
            count[i] += tt_str_eq_c(tt_json_iget_str(pod, "status.phase"), phases[i]);
        }
    }
    if (d->related == NULL) {
        ctl_page_field(d->page, label, TT_STR("<unknown>"));
        return;
    }
    describe_printf(d, label, "%zu Running / %zu Waiting / %zu Succeeded / %zu Failed", count[0],
                    count[1], count[2], count[3]);
}

static void show_conditions_if_any(const struct ctl_description *d, const char *label,
                                   yyjson_val *val)
{
    if (yyjson_arr_size(val) > 0) {
        describe_conditions(d, label, val);
    }
}

void describe_replicaset(const struct ctl_description *d)
{
    static const struct describe_field fields[] = {
        {"Name", "metadata.name", describe_text},
        {"Namespace", "metadata.namespace", describe_text},
        {"CreationTimestamp", "metadata.creationTimestamp", describe_time},
        {"DeletionTimestamp", "metadata.deletionTimestamp", describe_time},
        {"Selector", "spec.selector", describe_selector},
        {"Labels", "metadata.labels", describe_pairs},
        {"Annotations", "metadata.annotations", describe_notes},
        {"Controlled By", "metadata.ownerReferences", describe_owner},
        {"Replicas", "", show_current},
        {"Pods Status", "", show_phases},
        {"MinReadySeconds", "spec.minReadySeconds", show_min_ready},
        {"Pod Template", "spec.template", describe_template},
        {"Conditions", "status.conditions", show_conditions_if_any},
    };
    describe_fields(d, d->object, fields, DESCRIBE_COUNT(fields));
}
