/* What a node agent may report: Events about its Node in the namespace "default", and about its
 * pods in theirs. An Event lives in a namespace that others own: a finalizer would hold that
 * namespace for ever, and an owner would let the agent choose when the Event goes.
 *
 * Happy path: kind, name and namespace of what it is about are compared with the node and the pod's
 * row. Failure: 403, in the words of the other refusals. */
#include "api/admission/object.h"

static int forbid(const struct tt_admission *admission, const struct tt_object *event,
                  const char *what, struct tt_err *err)
{
    return TT_FAIL(err, TT_EFORBIDDEN, "events \"%.*s\" is forbidden: node \"%.*s\" %s",
                   TT_STR_ARG(tt_object_name(event)), TT_STR_ARG(admission->grant.event_node),
                   what);
}

static int check_about(const struct tt_admission *admission, const struct tt_object *event,
                       struct tt_err *err)
{
    yyjson_mut_val *about = tt_json_get(event->root, "involvedObject");
    struct tt_str kind = tt_json_str_of(tt_json_member(about, TT_STR("kind")));
    struct tt_str name = tt_json_str_of(tt_json_member(about, TT_STR("name")));
    struct tt_str ns = tt_json_str_of(tt_json_member(about, TT_STR("namespace")));
    struct tt_str node = admission->grant.event_node;
    if (tt_str_eq_c(kind, "Node") && tt_str_eq(name, node)) {
        return tt_str_eq_c(tt_object_namespace(event), "default")
                   ? TT_OK
                   : forbid(admission, event,
                            "may only report about itself in the namespace \"default\"", err);
    }
    if (!tt_str_eq_c(kind, "Pod") || ns.len == 0 ||
        !tt_auth_pod_on_node(admission->version, ns, name, node)) {
        return forbid(admission, event, "may only report about itself and its pods", err);
    }
    return tt_str_eq(ns, tt_object_namespace(event))
               ? TT_OK
               : forbid(admission, event, "may only report about a pod in the pod's namespace",
                        err);
}

/* Those of an Event that is there count, too: it is not the agent's to take them off. */
static int check_bonds(const struct tt_admission *admission, const struct tt_object *event,
                       struct tt_err *err)
{
    static const struct {
        const char *path; /* dotted; absent or empty */
        const char *what; /* the refusal's words behind the node */
    } bonds[] = {
        {"metadata.finalizers", "is not allowed to modify finalizers"},
        {"metadata.ownerReferences", "is not allowed to modify owner references"},
    };
    for (size_t i = 0; i < sizeof bonds / sizeof bonds[0]; i++) {
        yyjson_mut_val *list = tt_json_get(event->root, bonds[i].path);
        if (list != NULL && (!yyjson_mut_is_arr(list) || yyjson_mut_arr_size(list) > 0)) {
            return forbid(admission, event, bonds[i].what, err);
        }
    }
    return TT_OK;
}

int tt_admit_own_event(const struct tt_admission *admission, const struct tt_object *event,
                       struct tt_err *err)
{
    if (admission->grant.event_node.len == 0) {
        return TT_OK;
    }
    int r = check_about(admission, event, err);
    return r ? r : check_bonds(admission, event, err);
}

int tt_admit_own_event_update(const struct tt_admission *admission, const struct tt_object *old,
                              struct tt_err *err)
{
    return admission->grant.event_node.len > 0 ? check_bonds(admission, old, err) : TT_OK;
}
