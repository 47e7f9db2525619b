/* ReplicaSet: as many active pods as spec.replicas says, made from its template.
 *
 *   pods it controls, and orphans that match its selector (adopted); what it controls and no longer
 *   matches is let go, for whoever relabelled it to look at
 *   too few → create (at most CREATE_MAX a pass)    too many → delete the least useful ones
 *   always → status
 * A pod that is being deleted counts as gone, so that its replacement starts at once. All writes of
 * a pass commit together with the ReplicaSet's own revision. */
#include "reconciler/containers/containers.h"

#include "api/kinds/selector.h"
#include "reconciler/containers/pods.h"

enum { CREATE_MAX = 100, DELETE_MAX = 100, PODS_MAX = 1 << 16 };

/* What one pass knows. */
struct plan {
    struct tt_pass *pass;                     /* borrowed */
    struct tt_view set;                       /* the ReplicaSet */
    const struct tt_label_selector *selector; /* of spec.selector, in the arena */
    struct tt_view *pods;                     /* active and controlled by it; in the arena */
    size_t pod_count;                         /* of pods in use: status.replicas */
    size_t pod_cap;                           /* pods there is room for; at most PODS_MAX */
    int64_t ready;                            /* those of pods with condition Ready */
    int64_t available;                        /* those of pods ready for min_ready_seconds */
    int64_t min_ready_seconds;                /* spec.minReadySeconds; 0: at once */
    bool moved; /* pods were adopted or let go in this pass: scaling waits for the commit */
};

static int remember(struct plan *plan, const struct tt_view *pod, struct tt_err *err)
{
    if (plan->pod_count == plan->pod_cap) {
        size_t cap = plan->pod_cap == 0 ? 32 : 2 * plan->pod_cap;
        struct tt_view *pods =
            cap > PODS_MAX ? NULL : tt_arena_alloc(plan->pass->arena, cap * sizeof *pods);
        if (pods == NULL) {
            return TT_FAIL(err, TT_ETOOLARGE, "more than %zu pods", plan->pod_count);
        }
        if (plan->pod_count > 0) {
            memcpy(pods, plan->pods, plan->pod_count * sizeof *pods);
        }
        plan->pods = pods;
        plan->pod_cap = cap;
    }
    plan->pods[plan->pod_count++] = *pod;
    return TT_OK;
}

static int see_pod(void *ctx, const struct tt_view *pod, struct tt_err *err)
{
    struct plan *plan = ctx;
    struct tt_str kind;
    struct tt_str name;
    struct tt_str uid;
    bool owned = tt_view_controller(pod, &kind, &name, &uid);
    if (owned && !tt_str_eq(uid, tt_view_uid(&plan->set))) {
        return TT_OK;
    }
    if (!pod_is_active(pod)) {
        return TT_OK;
    }
    bool matches =
        tt_label_selector_imatch(plan->selector, tt_json_iget(pod->root, "metadata.labels"));
    if (owned != matches && plan->pass->write_count < TT_PASS_WRITES_MAX) {
        int r = owned ? release_owned(plan->pass, &plan->set, pod, err)
                      : adopt_orphan(plan->pass, &plan->set, pod, err);
        if (r != TT_OK) {
            return r;
        }
        plan->moved = true;
    }
    if (!matches) {
        return TT_OK;
    }
    uint64_t wait_ms;
    plan->ready += view_condition_true(pod, "Ready", NULL) ? 1 : 0;
    plan->available +=
        pod_is_available(pod, plan->min_ready_seconds, plan->pass->now_ms, &wait_ms) ? 1 : 0;
    if (wait_ms > 0 && (plan->pass->recheck_ms == 0 || wait_ms < plan->pass->recheck_ms)) {
        plan->pass->recheck_ms = wait_ms;
    }
    return remember(plan, pod, err);
}

static bool copy_member(struct plan *plan, yyjson_mut_doc *doc, yyjson_mut_val *target,
                        const char *from, const char *name)
{
    yyjson_val *value = tt_json_iget(plan->set.root, from);
    if (value == NULL) {
        return true;
    }
    yyjson_mut_val *copy = yyjson_val_mut_copy(doc, value);
    return copy != NULL && tt_json_put(doc, target, tt_str_c(name), copy);
}

static void note_creation(struct plan *plan, int r, const struct tt_err *err)
{
    if (r == TT_OK) {
        tt_pass_note(plan->pass, &plan->set, TT_NOTE_NORMAL, "SuccessfulCreate",
                     "Created pod: %.*s", TT_STR_ARG(tt_pass_written_name(plan->pass)));
    } else if (r != TT_EBUSY) {
        tt_pass_note(plan->pass, &plan->set, TT_NOTE_WARNING, "FailedCreate", "Error creating: %s",
                     tt_err_cause(err));
    }
}

static int create_pod(struct plan *plan, struct tt_err *err)
{
    yyjson_mut_doc *doc = tt_json_new(plan->pass->arena);
    yyjson_mut_val *root = doc != NULL ? yyjson_mut_obj(doc) : NULL;
    yyjson_mut_val *metadata = root != NULL ? yyjson_mut_obj(doc) : NULL;
    yyjson_mut_val *owners = metadata != NULL ? yyjson_mut_arr(doc) : NULL;
    char *prefix = tt_arena_printf(plan->pass->arena, "%.*s-", TT_STR_ARG(plan->set.ref.name));
    if (owners == NULL || prefix == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room for a new pod");
    }
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *reference =
        owner_reference(doc, &plan->set, tt_pass_kind(plan->pass, &plan->set.ref));
    if (reference == NULL || !yyjson_mut_arr_append(owners, reference) ||
        !tt_json_put(doc, root, TT_STR("metadata"), metadata) ||
        !tt_json_put_str(doc, metadata, TT_STR("generateName"), tt_str_c(prefix)) ||
        !copy_member(plan, doc, metadata, "spec.template.metadata.labels", "labels") ||
        !copy_member(plan, doc, metadata, "spec.template.metadata.annotations", "annotations") ||
        !copy_member(plan, doc, metadata, "spec.template.metadata.finalizers", "finalizers") ||
        !tt_json_put(doc, metadata, TT_STR("ownerReferences"), owners) ||
        !copy_member(plan, doc, root, "spec.template.spec", "spec")) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room for a new pod");
    }
    const struct tt_kind *pod_kind = tt_kinds_kind(plan->pass->kinds, TT_STR("v1"), TT_STR("Pod"));
    TT_ASSERT(pod_kind != NULL);
    int r = tt_pass_create(plan->pass, pod_kind, plan->set.ref.ns, doc, err);
    note_creation(plan, r, err);
    return r;
}

static int delete_pod(struct plan *plan, const struct tt_view *pod, struct tt_err *err)
{
    int r = tt_pass_delete(plan->pass, pod, -1, err);
    if (r == TT_OK) {
        tt_pass_note(plan->pass, &plan->set, TT_NOTE_NORMAL, "SuccessfulDelete",
                     "Deleted pod: %.*s", TT_STR_ARG(pod->ref.name));
    }
    return r;
}

/* Lower is deleted first: unassigned, not running, not ready; then the youngest. */
static int usefulness(const struct tt_view *pod)
{
    if (tt_view_str(pod, "spec.nodeName").len == 0) {
        return 0;
    }
    if (!tt_str_eq(tt_view_str(pod, "status.phase"), TT_STR("Running"))) {
        return 1;
    }
    return view_condition_true(pod, "Ready", NULL) ? 3 : 2;
}

static int by_usefulness(const void *left, const void *right)
{
    const struct tt_view *a = left;
    const struct tt_view *b = right;
    int rank = usefulness(a) - usefulness(b);
    if (rank != 0) {
        return rank;
    }
    if (a->item->create_revision != b->item->create_revision) {
        return a->item->create_revision > b->item->create_revision ? -1 : 1;
    }
    return 0;
}

static int scale(struct plan *plan, struct tt_err *err)
{
    int64_t wanted = tt_view_i64(&plan->set, "spec.replicas", 1);
    int64_t missing = wanted - (int64_t)plan->pod_count;
    int r = TT_OK;
    for (int64_t i = 0; r == TT_OK && i < missing; i++) {
        if (i == CREATE_MAX) {
            return TT_FAIL(err, TT_EBUSY, "more pods follow in the next pass");
        }
        r = create_pod(plan, err);
    }
    if (missing < 0) {
        qsort(plan->pods, plan->pod_count, sizeof *plan->pods, by_usefulness);
    }
    for (int64_t i = 0; r == TT_OK && i < -missing; i++) {
        if (i == DELETE_MAX) {
            return TT_FAIL(err, TT_EBUSY, "more deletions follow in the next pass");
        }
        r = delete_pod(plan, &plan->pods[i], err);
    }
    return r;
}

static int write_status(struct plan *plan, struct tt_err *err)
{
    struct tt_object object;
    int r = tt_pass_edit(plan->pass, &plan->set, &object, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_mut_val *status = yyjson_mut_obj(object.doc);
    int64_t count = (int64_t)plan->pod_count;
    bool ok = status != NULL && tt_json_put_i64(object.doc, status, TT_STR("replicas"), count);
    if (ok && count > 0) {
        ok = tt_json_put_i64(object.doc, status, TT_STR("fullyLabeledReplicas"), count);
    }
    if (ok && plan->ready > 0) {
        ok = tt_json_put_i64(object.doc, status, TT_STR("readyReplicas"), plan->ready);
    }
    if (ok && plan->available > 0) {
        ok = tt_json_put_i64(object.doc, status, TT_STR("availableReplicas"), plan->available);
    }
    ok = ok && tt_json_put_i64(object.doc, status, TT_STR("observedGeneration"),
                               tt_view_i64(&plan->set, "metadata.generation", 0));
    if (!ok || !tt_json_put(object.doc, object.root, TT_STR("status"), status)) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room for the status");
    }
    return tt_pass_update_status(plan->pass, &plan->set, &object, err);
}

static int plan_set(struct tt_controller *self, struct tt_pass *pass, struct tt_str key,
                    struct tt_err *err)
{
    (void)self; /* nothing is remembered between passes */
    struct plan plan = {.pass = pass};
    struct tt_object_ref ref = {.group = TT_STR("apps"), .resource = TT_STR("replicasets")};
    bool split = tt_object_key_split(key, &ref.ns, &ref.name);
    TT_ASSERT(split);
    int r = tt_pass_get(pass, &ref, &plan.set, err);
    if (r != TT_OK || plan.set.item == NULL || tt_view_is_deleting(&plan.set)) {
        return r; /* gone or going: the garbage collector takes its pods */
    }
    plan.min_ready_seconds = tt_view_i64(&plan.set, "spec.minReadySeconds", 0);
    r = tt_label_selector_ifrom(pass->arena, tt_json_iget(plan.set.root, "spec.selector"),
                                &plan.selector, err);
    if (r == TT_OK) {
        const struct tt_object_ref pods = {.resource = TT_STR("pods"), .ns = ref.ns};
        r = tt_pass_each(pass, &pods, see_pod, &plan, err);
    }
    if (r == TT_OK && plan.moved) { /* one write a key a pass */
        r = tt_pass_rely(pass, &plan.set, err);
        return r != TT_OK ? r : TT_FAIL(err, TT_EBUSY, "scaling follows the adoption");
    }
    if (r == TT_OK) {
        r = scale(&plan, err);
    }
    if (r != TT_OK && r != TT_EBUSY) {
        return r;
    }
    int status = pass->write_count < TT_PASS_WRITES_MAX ? write_status(&plan, err) : TT_OK;
    return status != TT_OK ? status : r;
}

static void observe_set(struct tt_controller *self, const struct tt_change *change,
                        const struct tt_object_ref *ref, struct tt_observer *observer)
{
    (void)self; /* nothing is remembered between passes */
    if (tt_str_eq(ref->resource, TT_STR("replicasets")) && tt_str_eq(ref->group, TT_STR("apps"))) {
        tt_observe_object(observer, ref->ns, ref->name);
    } else if (tt_str_eq(ref->resource, TT_STR("pods")) && ref->group.len == 0) {
        tt_observe_owner(observer, change->item, "ReplicaSet");
        tt_observe_owner(observer, change->prev, "ReplicaSet");
    }
}

struct tt_controller *tt_replicaset_controller_new(void)
{
    struct tt_controller *controller = TT_NEW(struct tt_controller);
    controller->name = "replicaset";
    controller->component = "replicaset-controller";
    controller->observe = observe_set;
    controller->plan = plan_set;
    return controller;
}
