/* What a node agent may write on its own Node, besides its status: what Kubernetes' NodeRestriction
 * leaves to a kubelet, and less. Labels and taints steer where pods run: an agent that could change
 * them would draw other tenants' pods, and with them their Secrets, onto its machine.
 *
 *   when it registers   labels outside of Kubernetes' own domains and those that say what the
 *                       machine is; taints
 *   afterwards          annotations; nothing of labels, spec, finalizers, owners
 * Failure: 403 in the words of Kubernetes' admission, naming what may not be changed. */
#include <stdio.h>

#include "api/admission/object.h"

enum { KEYS_SHOWN_MAX = 256 };

static bool is_own_node(const struct tt_admission *admission, const struct tt_object *object)
{
    return admission->subject != NULL && admission->subject->kind == TT_SUBJECT_AGENT &&
           object->kind->group.len == 0 && tt_str_eq_c(object->kind->plural, "nodes");
}

static int forbid(const struct tt_object *object, const char *what, struct tt_err *err)
{
    struct tt_str name = tt_object_name(object);
    return TT_FAIL(err, TT_EFORBIDDEN,
                   "nodes \"%.*s\" is forbidden: node \"%.*s\" is not allowed to %s",
                   TT_STR_ARG(name), TT_STR_ARG(name), what);
}

/* "example.com/x" → "example.com"; "" for a key without a domain. */
static struct tt_str domain_of(struct tt_str key)
{
    ptrdiff_t slash = tt_str_find(key, '/');
    return slash < 0 ? TT_STR("") : tt_str_head(key, (size_t)slash);
}

static bool is_below(struct tt_str domain, const char *parent)
{
    struct tt_str top = tt_str_c(parent);
    return tt_str_eq(domain, top) || (domain.len > top.len && tt_str_ends(domain, top) &&
                                      domain.ptr[domain.len - top.len - 1] == '.');
}

/* Labels that say what the machine is, and what an operator keeps for his own use. */
static bool may_label(struct tt_str key)
{
    static const char *const own[] = {"kubernetes.io/hostname",
                                      "kubernetes.io/os",
                                      "kubernetes.io/arch",
                                      "beta.kubernetes.io/os",
                                      "beta.kubernetes.io/arch",
                                      "beta.kubernetes.io/instance-type",
                                      "node.kubernetes.io/instance-type",
                                      "topology.kubernetes.io/region",
                                      "topology.kubernetes.io/zone",
                                      "failure-domain.beta.kubernetes.io/region",
                                      "failure-domain.beta.kubernetes.io/zone"};
    struct tt_str domain = domain_of(key);
    if (!is_below(domain, "kubernetes.io") && !is_below(domain, "k8s.io")) {
        return true;
    }
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (tt_str_eq_c(key, own[i])) {
            return true;
        }
    }
    return is_below(domain, "node.kubernetes.io") || is_below(domain, "kubelet.kubernetes.io");
}

int tt_admit_own_node_create(const struct tt_admission *admission, const struct tt_object *object,
                             struct tt_err *err)
{
    if (!is_own_node(admission, object)) {
        return TT_OK;
    }
    size_t index;
    size_t count;
    yyjson_mut_val *key;
    yyjson_mut_val *value;
    yyjson_mut_obj_foreach(tt_json_get(object->root, "metadata.labels"), index, count, key, value)
    {
        struct tt_str name = tt_json_str_of(key);
        if (!may_label(name)) {
            char what[KEYS_SHOWN_MAX];
            (void)snprintf(what, sizeof what, "set the following labels: %.*s", /* cut is fine */
                           TT_STR_ARG(name));
            return forbid(object, what, err);
        }
    }
    return TT_OK;
}

static bool is_empty(yyjson_mut_val *val)
{
    return val == NULL || (yyjson_mut_is_arr(val) && yyjson_mut_arr_size(val) == 0) ||
           (yyjson_mut_is_obj(val) && yyjson_mut_obj_size(val) == 0);
}

/* An empty list or object is the same as none. */
static bool is_same(const struct tt_object *object, const struct tt_object *old, const char *path)
{
    yyjson_mut_val *a = tt_json_get(object->root, path);
    yyjson_mut_val *b = tt_json_get(old->root, path);
    if (is_empty(a) || is_empty(b)) {
        return is_empty(a) && is_empty(b);
    }
    return tt_json_equal(a, b);
}

int tt_admit_own_node_update(const struct tt_admission *admission, const struct tt_object *object,
                             const struct tt_object *old, struct tt_err *err)
{
    static const struct {
        const char *path; /* dotted; must stay equal */
        const char *what; /* the refusal's words behind "to" */
    } fixed[] = {
        {"metadata.labels", "modify labels"},
        {"spec.taints", "modify taints"},
        {"spec", "modify its spec"},
        {"metadata.finalizers", "modify finalizers"},
        {"metadata.ownerReferences", "modify owner references"},
    };
    if (!is_own_node(admission, object)) {
        return TT_OK;
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        if (!is_same(object, old, fixed[i].path)) {
            return forbid(object, fixed[i].what, err);
        }
    }
    return TT_OK;
}
