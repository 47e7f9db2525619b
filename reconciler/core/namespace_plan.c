/* Namespace deletion: a terminating namespace is emptied, then its finalizer "kubernetes" goes.
 *
 *   deletionTimestamp set → delete what is in it, kind by kind, as a DELETE would (finalizers and
 *   pods' grace periods count) → nothing left → drop spec.finalizers → the object is removed
 * Creating in a terminating namespace is refused by admission, which compares the namespace's row,
 * so that nothing can slip in between the last look and the removal. */
#include "reconciler/core/core.h"

enum { DELETE_MAX = 100, RECHECK_MS = 1000 };

struct plan {
    struct tt_pass *pass;
    struct tt_str name;
    size_t left; /* objects that are still there */
};

static int delete_one(void *ctx, const struct tt_view *view, struct tt_err *err)
{
    struct plan *plan = ctx;
    plan->left++;
    if (plan->pass->write_count >= DELETE_MAX) {
        return TT_FAIL(err, TT_EBUSY, "more objects follow in the next pass");
    }
    return tt_pass_delete(plan->pass, view, -1, err);
}

static int empty(struct plan *plan, struct tt_err *err)
{
    int r = TT_OK;
    size_t count = tt_kinds_count(plan->pass->kinds);
    for (size_t i = 0; r == TT_OK && i < count; i++) {
        const struct tt_kind *kind = tt_kinds_at(plan->pass->kinds, i);
        if (kind->namespaced) {
            const struct tt_object_ref prefix = {
                .group = kind->group, .resource = kind->plural, .ns = plan->name};
            r = tt_pass_each(plan->pass, &prefix, delete_one, plan, err);
        }
    }
    return r;
}

static int finish(struct plan *plan, const struct tt_view *ns, struct tt_err *err)
{
    struct tt_object object;
    int r = tt_pass_edit(plan->pass, ns, &object, err);
    if (r != TT_OK) {
        return r;
    }
    (void)tt_json_remove_path(object.root, "spec.finalizers"); /* absent: others held it */
    if (tt_object_deletion_complete(&object)) {
        return tt_pass_remove(plan->pass, ns, err);
    }
    return tt_pass_replace(plan->pass, ns, &object, err);
}

static int plan_namespace(struct tt_controller *self, struct tt_pass *pass, struct tt_str key,
                          struct tt_err *err)
{
    (void)self; /* nothing is remembered between passes */
    struct plan plan = {.pass = pass, .name = key};
    const struct tt_object_ref ref = {.resource = TT_STR("namespaces"), .name = key};
    struct tt_view ns;
    int r = tt_pass_get(pass, &ref, &ns, err);
    if (r != TT_OK || ns.item == NULL || !tt_view_is_deleting(&ns)) {
        return r;
    }
    r = empty(&plan, err);
    if (r != TT_OK) {
        return r;
    }
    if (plan.left > 0) {
        pass->recheck_ms = RECHECK_MS; /* pods stop, finalizers end */
        return TT_OK;
    }
    if (tt_json_iget(ns.root, "spec.finalizers") == NULL) {
        return TT_OK; /* emptied before; metadata.finalizers of others hold it */
    }
    return finish(&plan, &ns, err);
}

static void observe_namespace(struct tt_controller *self, const struct tt_change *change,
                              const struct tt_object_ref *ref, struct tt_observer *observer)
{
    (void)self; /* nothing is remembered between passes */
    if (ref->group.len == 0 && tt_str_eq(ref->resource, TT_STR("namespaces")) &&
        change->item != NULL) {
        tt_observe_add(observer, ref->name, 0);
    }
}

struct tt_controller *tt_namespace_controller_new(void)
{
    struct tt_controller *controller = TT_NEW(struct tt_controller);
    controller->name = "namespace";
    controller->observe = observe_namespace;
    controller->plan = plan_namespace;
    return controller;
}
