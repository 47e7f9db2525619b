/* Namespace deletion: a terminating namespace is emptied, then its finalizer "kubernetes" goes.
 *
 *   deletionTimestamp set → delete what is in it, kind by kind, as a DELETE would (finalizers and
 *   pods' grace periods count) → nothing left → drop spec.finalizers → the object is removed
 * While something is left that nothing was done about in this pass, the conditions
 * NamespaceContentRemaining and NamespaceFinalizersRemaining say what it is, for whoever waits.
 * Creating in a terminating namespace is refused by admission, which compares the namespace's row,
 * so that nothing can slip in between the last look and the removal. */
#include "reconciler/core/core.h"
#include "reconciler/engine/condition.h"

enum { DELETE_MAX = 100, RECHECK_MS = 1000, FINALIZERS_MAX = 16, TEXT_SIZE_MAX = 4096 };

/* A finalizer and how many objects it holds. */
struct holder {
    struct tt_str name; /* borrowed from the pass's arena */
    size_t count;       /* objects in the namespace that name it */
};
struct plan {
    struct tt_pass *pass;                  /* borrowed */
    struct tt_str name;                    /* of the namespace: the key, borrowed */
    size_t left;                           /* objects that are still there */
    struct tt_buf kinds;                   /* how many of which kind, as text */
    struct holder holders[FINALIZERS_MAX]; /* what is beyond is not told */
    size_t holder_count;                   /* of holders in use */
};

static void count_finalizer(struct plan *plan, struct tt_str name)
{
    for (size_t i = 0; i < plan->holder_count; i++) {
        if (tt_str_eq(plan->holders[i].name, name)) {
            plan->holders[i].count++;
            return;
        }
    }
    if (plan->holder_count < FINALIZERS_MAX) {
        plan->holders[plan->holder_count++] = (struct holder){name, 1};
    }
}

static int delete_one(void *ctx, const struct tt_view *view, struct tt_err *err)
{
    struct plan *plan = ctx;
    size_t index;
    size_t count;
    yyjson_val *finalizer;
    plan->left++;
    yyjson_arr_foreach(tt_json_iget(view->root, "metadata.finalizers"), index, count, finalizer)
    {
        count_finalizer(plan, tt_json_istr_of(finalizer));
    }
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
            size_t before = plan->left;
            r = tt_pass_each(plan->pass, &prefix, delete_one, plan, err);
            if (plan->left > before) {
                tt_buf_printf(&plan->kinds, "%s%.*s.%.*s has %zu resource instances",
                              plan->kinds.len > 0 ? ", " : "", TT_STR_ARG(kind->plural),
                              TT_STR_ARG(kind->group), plan->left - before);
            }
        }
    }
    return r;
}

/* What is waited for, in Kubernetes' words. */
static bool put_conditions(struct plan *plan, struct tt_object *object)
{
    TT_AUTO_BUF struct tt_buf finalizers;
    tt_buf_init(&finalizers, TEXT_SIZE_MAX);
    for (size_t i = 0; i < plan->holder_count; i++) {
        tt_buf_printf(&finalizers, "%s%.*s in %zu resource instances", i > 0 ? ", " : "",
                      TT_STR_ARG(plan->holders[i].name), plan->holders[i].count);
    }
    char *remaining = tt_arena_printf(plan->pass->arena, "Some resources are remaining: %.*s",
                                      TT_STR_ARG(tt_buf_view(&plan->kinds)));
    char *held = tt_arena_printf(plan->pass->arena,
                                 "Some content in the namespace has finalizers remaining: %.*s",
                                 TT_STR_ARG(tt_buf_view(&finalizers)));
    if (remaining == NULL || held == NULL) {
        return false;
    }
    bool any = plan->holder_count > 0;
    const struct tt_condition content = {.type = "NamespaceContentRemaining",
                                         .status = "True",
                                         .reason = "SomeResourcesRemain",
                                         .message = tt_str_c(remaining)};
    const struct tt_condition holders = {
        .type = "NamespaceFinalizersRemaining",
        .status = any ? "True" : "False",
        .reason = any ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
        .message = any ? tt_str_c(held) : TT_STR("All content-preserving finalizers finished")};
    return tt_object_set_condition(object, &content, plan->pass->now_ms, false) &&
           tt_object_set_condition(object, &holders, plan->pass->now_ms, false);
}

static int tell(struct plan *plan, const struct tt_view *ns, struct tt_err *err)
{
    struct tt_object object;
    int r = tt_pass_edit(plan->pass, ns, &object, err);
    if (r != TT_OK) {
        return r;
    }
    if (!put_conditions(plan, &object)) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room for the conditions");
    }
    return tt_pass_update_status(plan->pass, ns, &object, err);
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

static int plan_deletion(struct plan *plan, const struct tt_view *ns, struct tt_err *err)
{
    int r = empty(plan, err);
    if (r != TT_OK) {
        return r;
    }
    if (plan->left > 0) {
        plan->pass->recheck_ms = RECHECK_MS; /* pods stop, finalizers end */
        return plan->pass->write_count == 0 ? tell(plan, ns, err) : TT_OK;
    }
    if (tt_json_iget(ns->root, "spec.finalizers") == NULL) {
        return TT_OK; /* emptied before; metadata.finalizers of others hold it */
    }
    return finish(plan, ns, err);
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
    tt_buf_init(&plan.kinds, TEXT_SIZE_MAX);
    r = plan_deletion(&plan, &ns, err);
    tt_buf_fini(&plan.kinds);
    return r;
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
