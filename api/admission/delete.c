/* What a DELETE asks for and whether it may be: options, preconditions, protected Namespaces. What
 * happens to the object is api/kinds/deletion.h.
 *
 * Failure: a precondition that does not hold is a conflict; Namespaces every cluster has stay. */
#include "api/admission/object.h"

#include "base/intmath.h"

static bool is_core_kind(const struct tt_kind *kind, const char *plural)
{
    return kind->group.len == 0 && tt_str_eq_c(kind->plural, plural);
}

static int read_preconditions(yyjson_mut_val *root, struct tt_delete_options *options,
                              struct tt_err *err)
{
    options->uid = tt_json_get_str(root, "preconditions.uid");
    struct tt_str revision = tt_json_get_str(root, "preconditions.resourceVersion");
    if (revision.len > 0) {
        if (!tt_str_to_u64(revision, &options->revision)) {
            return TT_FAIL(err, TT_EINVAL, "preconditions.resourceVersion is not a number");
        }
        options->has_revision = true;
    }
    return TT_OK;
}

static int read_propagation(struct tt_str policy, struct tt_delete_options *options,
                            struct tt_err *err)
{
    options->orphan = tt_str_eq_c(policy, "Orphan");
    options->foreground = tt_str_eq_c(policy, "Foreground");
    if (policy.len > 0 && !options->orphan && !options->foreground &&
        !tt_str_eq_c(policy, "Background")) {
        return TT_FAIL(err, TT_EINVALID,
                       "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported "
                       "value: \"%.*s\": supported values: \"Foreground\", \"Background\", "
                       "\"Orphan\"",
                       TT_STR_ARG(policy));
    }
    return TT_OK;
}

int tt_delete_options_read(yyjson_mut_val *root, struct tt_delete_options *ret_options,
                           struct tt_err *err)
{
    struct tt_delete_options options = {0};
    int r = read_preconditions(root, &options, err);
    if (r == TT_OK) {
        r = read_propagation(tt_json_get_str(root, "propagationPolicy"), &options, err);
    }
    if (r) {
        return r;
    }
    int64_t grace = 0;
    if (tt_json_to_i64(tt_json_get(root, "gracePeriodSeconds"), &grace)) {
        options.has_grace = true;
        options.grace_s = grace < 0 ? 1 : (uint64_t)grace;
    }
    yyjson_mut_val *orphan = tt_json_get(root, "orphanDependents");
    if (orphan && tt_json_get_str(root, "propagationPolicy").len > 0) {
        return TT_FAIL(err, TT_EINVALID,
                       "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid "
                       "value: orphanDependents and propagationPolicy cannot be both set");
    }
    options.orphan = options.orphan || yyjson_mut_get_bool(orphan);
    yyjson_mut_val *dry_run = tt_json_get(root, "dryRun");
    if (yyjson_mut_arr_size(dry_run) > 0) {
        if (!tt_str_eq_c(tt_json_str_of(yyjson_mut_arr_get_first(dry_run)), "All")) {
            return TT_FAIL(err, TT_EINVAL, "dryRun must be All");
        }
        options.dry_run = true;
    }
    *ret_options = options;
    return TT_OK;
}

static int check_preconditions(const struct tt_object *object, uint64_t mod_revision,
                               const struct tt_delete_options *options, struct tt_err *err)
{
    const struct tt_kind *kind = object->kind;
    const char *dot = kind->group.len > 0 ? "." : "";
    struct tt_str uid = tt_object_uid(object);
    if (options->uid.len > 0 && !tt_str_eq(options->uid, uid)) {
        return TT_FAIL(err, TT_ECONFLICT,
                       "Operation cannot be fulfilled on %.*s%s%.*s \"%.*s\": Precondition failed: "
                       "UID in precondition: %.*s, UID in object meta: %.*s",
                       TT_STR_ARG(kind->plural), dot, TT_STR_ARG(kind->group),
                       TT_STR_ARG(tt_object_name(object)), TT_STR_ARG(options->uid),
                       TT_STR_ARG(uid));
    }
    if (options->has_revision && options->revision != mod_revision) {
        return TT_FAIL(err, TT_ECONFLICT,
                       "Operation cannot be fulfilled on %.*s%s%.*s \"%.*s\": Precondition failed: "
                       "ResourceVersion in precondition: %llu, ResourceVersion in object meta: "
                       "%llu",
                       TT_STR_ARG(kind->plural), dot, TT_STR_ARG(kind->group),
                       TT_STR_ARG(tt_object_name(object)), (unsigned long long)options->revision,
                       (unsigned long long)mod_revision);
    }
    return TT_OK;
}

static int check_protected(const struct tt_object *object, struct tt_err *err)
{
    struct tt_str name = tt_object_name(object);
    if (is_core_kind(object->kind, "namespaces") &&
        (tt_str_eq_c(name, "default") || tt_str_eq_c(name, "kube-system") ||
         tt_str_eq_c(name, "kube-public"))) {
        return TT_FAIL(err, TT_EFORBIDDEN,
                       "namespaces \"%.*s\" is forbidden: this namespace may not be deleted",
                       TT_STR_ARG(name));
    }
    return TT_OK;
}

int tt_admit_delete(const struct tt_admission *admission, struct tt_object *object,
                    uint64_t mod_revision, const struct tt_delete_options *options,
                    enum tt_deletion *ret_outcome, struct tt_err *err)
{
    int r = check_preconditions(object, mod_revision, options, err);
    if (r == TT_OK) {
        r = check_protected(object, err);
    }
    if (r) {
        return r;
    }
    struct tt_deletion_options deletion = {
        .now_ms = admission->now_ms,
        .grace_seconds = options->has_grace ? (int64_t)tt_u64_min(options->grace_s, INT64_MAX) : -1,
        .propagation = options->orphan       ? TT_PROPAGATE_ORPHAN
                       : options->foreground ? TT_PROPAGATE_FOREGROUND
                                             : TT_PROPAGATE_BACKGROUND,
    };
    return tt_object_prepare_delete(object, &deletion, ret_outcome, err);
}
