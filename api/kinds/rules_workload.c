/* Rules of Deployments and ReplicaSets: the selector fits the template, the strategy fits itself.
 */
#include <stdio.h>

#include "api/kinds/rules.h"
#include "api/kinds/selector.h"

enum { PERCENT_TEXT_MAX = 8 };

static void workload_check(struct rule_check *ctx, yyjson_mut_val *val,
                           const struct tt_field_path *path)
{
    yyjson_mut_val *selector = yyjson_mut_obj_get(val, "selector");
    yyjson_mut_val *labels = tt_json_get(val, "template.metadata.labels");
    const struct tt_label_selector *parsed = NULL;
    struct tt_err err;
    tt_err_init(&err);
    struct tt_field_path template = {.parent = path, .name = TT_STR("template")};
    struct tt_field_path metadata = {.parent = &template, .name = TT_STR("metadata")};
    if (selector == NULL) {
        return; /* required: reported by the schema */
    }
    if (tt_label_selector_from(ctx->arena, selector, &parsed, &err) < 0) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "selector", "Invalid value: %s: %s",
                   rule_show(ctx, selector), tt_err_cause(&err));
    } else if (tt_label_selector_empty(parsed)) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "selector",
                   "Invalid value: {}: empty selector is invalid for deployment");
    } else if (!tt_label_selector_match(parsed, labels)) {
        rule_cause(ctx, TT_ISSUE_INVALID, &metadata, "labels",
                   "Invalid value: %s: `selector` does not match template `labels`",
                   labels != NULL ? rule_show(ctx, labels) : "null");
    }
    struct tt_str restart = tt_json_get_str(val, "template.spec.restartPolicy");
    if (restart.len > 0 && !tt_str_eq(restart, TT_STR("Always"))) {
        struct tt_field_path spec = {.parent = &template, .name = TT_STR("spec")};
        rule_cause(ctx, TT_ISSUE_NOT_SUPPORTED, &spec, "restartPolicy",
                   "Unsupported value: \"%.*s\": supported values: \"Always\"",
                   TT_STR_ARG(restart));
    }
}

static void deployment_check(struct rule_check *ctx, yyjson_mut_val *val,
                             const struct tt_field_path *path)
{
    int64_t deadline = tt_json_get_i64(val, "progressDeadlineSeconds", INT32_MAX);
    int64_t ready = tt_json_get_i64(val, "minReadySeconds", 0);
    if (deadline <= ready) {
        rule_cause(ctx, TT_ISSUE_INVALID, path, "progressDeadlineSeconds",
                   "Invalid value: %lld: must be greater than minReadySeconds",
                   (long long)deadline);
    }
}

static bool is_rolling(yyjson_mut_val *strategy)
{
    return tt_str_eq(tt_json_get_str(strategy, "type"), TT_STR("RollingUpdate"));
}

static bool strategy_fill(struct rule_default *ctx, yyjson_mut_val *val)
{
    return !is_rolling(val) || yyjson_mut_obj_get(val, "rollingUpdate") != NULL ||
           tt_json_put(ctx->doc, val, TT_STR("rollingUpdate"), yyjson_mut_obj(ctx->doc));
}

/* A count or a percentage; -1 when it is neither. */
static int64_t amount(yyjson_mut_val *val)
{
    int64_t value;
    struct tt_str text = tt_json_str_of(val);
    if (text.len > 1 && text.len < PERCENT_TEXT_MAX && text.ptr[text.len - 1] == '%' &&
        tt_str_to_i64(tt_str_head(text, text.len - 1), &value)) {
        return value;
    }
    return tt_json_to_i64(val, &value) ? value : -1;
}

static void strategy_check(struct rule_check *ctx, yyjson_mut_val *val,
                           const struct tt_field_path *path)
{
    static const char *const names[] = {"maxSurge", "maxUnavailable"};
    yyjson_mut_val *rolling = yyjson_mut_obj_get(val, "rollingUpdate");
    struct tt_field_path here = {.parent = path, .name = TT_STR("rollingUpdate")};
    int64_t amounts[2] = {0, 0};
    if (rolling != NULL && !is_rolling(val)) {
        rule_cause(ctx, TT_ISSUE_FORBIDDEN, &here, "",
                   "Forbidden: may not be specified when strategy `type` is 'Recreate'");
        return;
    }
    for (size_t i = 0; rolling != NULL && i < 2; i++) {
        yyjson_mut_val *value = yyjson_mut_obj_get(rolling, names[i]);
        amounts[i] = amount(value);
        if (value != NULL && amounts[i] < 0) {
            rule_cause(ctx, TT_ISSUE_INVALID, &here, names[i],
                       "Invalid value: %s: a valid percent string must be a numeric string "
                       "followed by an ending '%%' (e.g. '1%%',  or '93%%'), and a number must not "
                       "be negative",
                       rule_show(ctx, value));
        }
    }
    if (rolling != NULL && amounts[0] == 0 && amounts[1] == 0) {
        rule_cause(ctx, TT_ISSUE_INVALID, &here, "maxUnavailable",
                   "Invalid value: 0: may not be 0 when `maxSurge` is 0");
    }
    if (amounts[1] > 100 && yyjson_mut_is_str(yyjson_mut_obj_get(rolling, names[1]))) {
        rule_cause(ctx, TT_ISSUE_INVALID, &here, "maxUnavailable",
                   "Invalid value: %s: must not be greater than 100%%",
                   rule_show(ctx, yyjson_mut_obj_get(rolling, names[1])));
    }
}

static void selector_requirement_check(struct rule_check *ctx, yyjson_mut_val *val,
                                       const struct tt_field_path *path)
{
    struct tt_str op = tt_json_get_str(val, "operator");
    size_t count = yyjson_mut_arr_size(yyjson_mut_obj_get(val, "values"));
    bool set = tt_str_eq(op, TT_STR("In")) || tt_str_eq(op, TT_STR("NotIn"));
    if (set && count == 0) {
        rule_cause(ctx, TT_ISSUE_REQUIRED, path, "values",
                   "Required value: must be specified when `operator` is 'In' or 'NotIn'");
    } else if (!set && count > 0) {
        rule_cause(ctx, TT_ISSUE_FORBIDDEN, path, "values",
                   "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    }
}

const struct tt_rule kinds_rules_workload[] = {
    {"workload", NULL, workload_check, NULL},
    {"deployment", NULL, deployment_check, NULL},
    {"strategy", strategy_fill, strategy_check, NULL},
    {"selectorRequirement", NULL, selector_requirement_check, NULL},
};
const size_t kinds_rules_workload_count =
    sizeof kinds_rules_workload / sizeof kinds_rules_workload[0];
