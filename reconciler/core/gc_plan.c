/* The garbage collector: what happens to dependents when owners go.
 *
 *   a dependent none of whose owners exists (by uid) → deleted
 *   some owners gone → those references are dropped
 *   an owner that waits with "foregroundDeletion" → its blocking dependents are deleted first, then
 *   the finalizer goes
 *   an owner that waits with "orphan" → its references are taken off its dependents, then the
 *   finalizer goes
 * Keys are object keys: of dependents, and of owners that wait. Which dependents an owner has comes
 * from an index that observe keeps; what is true is read from the version when planning.
 * An owner is identified by kind, name and uid; a cluster-scoped dependent has cluster-scoped
 * owners only, a namespaced one owners in its namespace or cluster-scoped ones. */
#include "reconciler/core/core.h"

#include "reconciler/core/owners.h"
#include "reconciler/engine/observer.h"

enum { WRITES_MAX = 100, RECHECK_MS = 1000, REFERENCES_MAX = 32 };

struct gc_controller {
    struct tt_controller base; /* what the engine sees; freed with self */
    struct owners *owners;     /* owned */
};

struct plan {
    struct gc_controller *self; /* borrowed: its index */
    struct tt_pass *pass;       /* borrowed */
    struct tt_view object;      /* what the key names; its root is not NULL */
    struct tt_str uid;          /* of object, while it is looked at as an owner */
    size_t left;                /* dependents that still hold it */
    bool orphan;                /* else foreground */
    int result;                 /* of the first failure while walking dependents */
    struct tt_err *err;         /* borrowed: tells of result; set while dependents are walked */
};

/* Does the owner that `reference` names exist, with that uid? `deleting` tells whether it waits for
 * its dependents in the foreground. */
static int owner_state(struct tt_pass *pass, const struct tt_view *dependent, yyjson_val *reference,
                       bool *ret_exists, bool *ret_foreground, struct tt_err *err)
{
    const struct tt_kind *kind =
        tt_kinds_kind(pass->kinds, tt_json_istr_of(yyjson_obj_get(reference, "apiVersion")),
                      tt_json_istr_of(yyjson_obj_get(reference, "kind")));
    *ret_foreground = false;
    if (kind == NULL) {
        *ret_exists = true; /* a kind that is not known here: never delete because of it */
        return TT_OK;
    }
    const struct tt_object_ref ref = {.group = kind->group,
                                      .resource = kind->plural,
                                      .ns = kind->namespaced ? dependent->ref.ns : TT_STR(""),
                                      .name = tt_json_istr_of(yyjson_obj_get(reference, "name"))};
    struct tt_view owner;
    int r = tt_pass_get(pass, &ref, &owner, err);
    if (r != TT_OK) {
        return r;
    }
    *ret_exists =
        owner.item != NULL &&
        (owner.root == NULL /* it does not open: it counts as the one meant */ ||
         tt_str_eq(tt_view_uid(&owner), tt_json_istr_of(yyjson_obj_get(reference, "uid"))));
    if (*ret_exists && owner.root != NULL && tt_view_is_deleting(&owner)) {
        size_t i;
        size_t count;
        yyjson_val *finalizer;
        yyjson_arr_foreach(tt_json_iget(owner.root, "metadata.finalizers"), i, count, finalizer)
        {
            *ret_foreground |= tt_str_eq_c(tt_json_istr_of(finalizer), TT_FINALIZER_FOREGROUND);
        }
    }
    return tt_pass_rely(pass, &owner, err);
}

/* Takes the references off whose uid `drop` names. */
static int drop_references(struct tt_pass *pass, const struct tt_view *dependent,
                           const struct tt_str *uids, size_t uid_count, struct tt_err *err)
{
    struct tt_object object;
    int r = tt_pass_edit(pass, dependent, &object, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_mut_val *list = tt_json_get(object.root, "metadata.ownerReferences");
    for (size_t u = 0; u < uid_count; u++) {
        size_t i;
        size_t count;
        yyjson_mut_val *reference;
        yyjson_mut_arr_foreach(list, i, count, reference)
        {
            if (tt_str_eq(tt_json_get_str(reference, "uid"), uids[u])) {
                (void)yyjson_mut_arr_remove(list, i); /* i is in range */
                break;
            }
        }
    }
    if (yyjson_mut_arr_size(list) == 0) {
        (void)tt_json_remove_path(object.root, "metadata.ownerReferences");
    }
    return tt_pass_update(pass, dependent, &object, TT_PART_MAIN, err);
}

static int plan_dependent(struct plan *plan, struct tt_err *err)
{
    yyjson_val *references = tt_json_iget(plan->object.root, "metadata.ownerReferences");
    struct tt_str gone[REFERENCES_MAX];
    size_t gone_count = 0;
    size_t present = 0;
    bool foreground = false;
    size_t i;
    size_t count;
    yyjson_val *reference;
    yyjson_arr_foreach(references, i, count, reference)
    {
        bool exists;
        bool waits;
        int r = owner_state(plan->pass, &plan->object, reference, &exists, &waits, err);
        if (r != TT_OK) {
            return r;
        }
        if (exists) {
            present++;
            foreground |= waits && yyjson_is_true(yyjson_obj_get(reference, "blockOwnerDeletion"));
        } else if (gone_count < REFERENCES_MAX) {
            gone[gone_count++] = tt_json_istr_of(yyjson_obj_get(reference, "uid"));
        }
    }
    if (tt_view_is_deleting(&plan->object)) {
        return TT_OK;
    }
    if ((present == 0 && gone_count > 0) || (foreground && present == 1)) {
        return tt_pass_delete(plan->pass, &plan->object, -1, err);
    }
    return gone_count > 0 && present > 0
               ? drop_references(plan->pass, &plan->object, gone, gone_count, err)
               : TT_OK;
}

/* One dependent of an owner that waits. */
static void visit_dependent(void *ctx, struct tt_str key)
{
    struct plan *plan = ctx;
    const struct tt_item *item = tt_version_get(plan->pass->version, key);
    struct tt_view dependent;
    if (plan->result != TT_OK || item == NULL) {
        return;
    }
    plan->result = tt_pass_view(plan->pass, item, &dependent, plan->err);
    if (plan->result != TT_OK || dependent.root == NULL) {
        return;
    }
    size_t i;
    size_t count;
    yyjson_val *reference;
    yyjson_arr_foreach(tt_json_iget(dependent.root, "metadata.ownerReferences"), i, count,
                       reference)
    {
        if (!tt_str_eq(tt_json_istr_of(yyjson_obj_get(reference, "uid")), plan->uid)) {
            continue;
        }
        bool blocks = yyjson_is_true(yyjson_obj_get(reference, "blockOwnerDeletion"));
        plan->left += plan->orphan || blocks ? 1 : 0;
        if (plan->pass->write_count >= WRITES_MAX) {
            return;
        }
        if (plan->orphan) {
            plan->result = drop_references(plan->pass, &dependent, &plan->uid, 1, plan->err);
        } else if (blocks && !tt_view_is_deleting(&dependent)) {
            plan->result = tt_pass_delete(plan->pass, &dependent, -1, plan->err);
        }
        return;
    }
}

static int plan_owner(struct plan *plan, const char *finalizer, struct tt_err *err)
{
    plan->orphan = strcmp(finalizer, TT_FINALIZER_ORPHAN) == 0;
    plan->uid = tt_view_uid(&plan->object);
    plan->err = err;
    owners_each(plan->self->owners, plan->uid, visit_dependent, plan);
    if (plan->result != TT_OK) {
        return plan->result;
    }
    if (plan->left > 0) {
        plan->pass->recheck_ms = RECHECK_MS; /* their deletion comes back as changes, too */
        return TT_OK;
    }
    struct tt_object object;
    bool removed;
    int r = tt_pass_edit(plan->pass, &plan->object, &object, err);
    if (r != TT_OK) {
        return r;
    }
    tt_object_remove_finalizer(&object, tt_str_c(finalizer), &removed);
    if (!removed) {
        return TT_OK;
    }
    return tt_object_deletion_complete(&object)
               ? tt_pass_remove(plan->pass, &plan->object, err)
               : tt_pass_replace(plan->pass, &plan->object, &object, err);
}

static bool has_finalizer(const struct tt_view *view, const char *name)
{
    size_t i;
    size_t count;
    yyjson_val *finalizer;
    yyjson_arr_foreach(tt_json_iget(view->root, "metadata.finalizers"), i, count, finalizer)
    {
        if (tt_str_eq_c(tt_json_istr_of(finalizer), name)) {
            return true;
        }
    }
    return false;
}

static int plan_gc(struct tt_controller *base, struct tt_pass *pass, struct tt_str key,
                   struct tt_err *err)
{
    struct plan plan = {.self = TT_CONTAINER_OF(base, struct gc_controller, base), .pass = pass};
    const struct tt_item *item = tt_version_get(pass->version, key);
    if (item == NULL) {
        return TT_OK;
    }
    int r = tt_pass_view(pass, item, &plan.object, err);
    if (r != TT_OK || plan.object.root == NULL) {
        return r;
    }
    if (tt_view_is_deleting(&plan.object)) {
        if (has_finalizer(&plan.object, TT_FINALIZER_ORPHAN)) {
            return plan_owner(&plan, TT_FINALIZER_ORPHAN, err);
        }
        if (has_finalizer(&plan.object, TT_FINALIZER_FOREGROUND)) {
            return plan_owner(&plan, TT_FINALIZER_FOREGROUND, err);
        }
        return TT_OK;
    }
    return plan_dependent(&plan, err);
}

/* Observing: the index follows ownerReferences, and whoever may be concerned is looked at. */

static void index_references(struct gc_controller *self, const struct tt_view *view, bool add)
{
    size_t i;
    size_t count;
    yyjson_val *reference;
    yyjson_arr_foreach(tt_json_iget(view->root, "metadata.ownerReferences"), i, count, reference)
    {
        struct tt_str uid = tt_json_istr_of(yyjson_obj_get(reference, "uid"));
        if (uid.len == 0) {
            continue;
        }
        if (add) {
            owners_add(self->owners, uid, view->item->key);
        } else {
            owners_remove(self->owners, uid, view->item->key);
        }
    }
}

static void enqueue_dependent(void *ctx, struct tt_str key)
{
    tt_observe_add(ctx, key, 0);
}

static void observe_gone(struct gc_controller *self, const struct tt_item *prev,
                         struct tt_observer *observer)
{
    struct tt_view view;
    if (tt_observe_view(observer, prev, &view)) {
        owners_each(self->owners, tt_view_uid(&view), enqueue_dependent, observer);
    }
}

static void observe_gc(struct tt_controller *base, const struct tt_change *change,
                       const struct tt_object_ref *ref, struct tt_observer *observer)
{
    (void)ref; /* every kind can own and be owned */
    struct gc_controller *self = TT_CONTAINER_OF(base, struct gc_controller, base);
    struct tt_view view;
    enum { OWNERS = 1, FINALIZERS = 2 };
    static const struct tt_str names[] = {{"ownerReferences", 15}, {"finalizers", 10}};
    /* Cheap tests on the text first: most objects have neither owners nor finalizers, and this sees
     * each change of the cluster. What was before is no longer in the cache. */
    bool had = !owners_empty(self->owners) &&
               (tt_observe_metadata(observer, change->prev, names, 1) & OWNERS) != 0;
    unsigned has = tt_observe_metadata(observer, change->item, names, 2);
    if (had && tt_observe_view(observer, change->prev, &view)) {
        index_references(self, &view, false);
    }
    if ((has & OWNERS) != 0 && tt_observe_view(observer, change->item, &view)) {
        index_references(self, &view, true);
        tt_observe_add(observer, change->item->key, 0);
    }
    if (change->item == NULL) {
        observe_gone(self, change->prev, observer);
    } else if ((has & FINALIZERS) != 0 &&
               (tt_observe_mentions(observer, change->item, "\"" TT_FINALIZER_FOREGROUND "\"") ||
                tt_observe_mentions(observer, change->item, "\"" TT_FINALIZER_ORPHAN "\""))) {
        tt_observe_add(observer, change->item->key, 0);
    }
}

static void reset_gc(struct tt_controller *base)
{
    struct gc_controller *self = TT_CONTAINER_OF(base, struct gc_controller, base);
    owners_free(self->owners);
    self->owners = owners_new(OWNERS_MAX);
}

static void free_gc(struct tt_controller *base)
{
    struct gc_controller *self = TT_CONTAINER_OF(base, struct gc_controller, base);
    owners_free(self->owners);
    tt_free(self);
}

struct tt_controller *tt_gc_controller_new(void)
{
    struct gc_controller *self = TT_NEW(struct gc_controller);
    self->base.name = "gc";
    self->base.reset = reset_gc;
    self->base.observe = observe_gc;
    self->base.plan = plan_gc;
    self->base.free = free_gc;
    self->owners = owners_new(OWNERS_MAX);
    return &self->base;
}
