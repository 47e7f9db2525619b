/* Node lifecycle: a node whose lease is no longer renewed is marked, its pods make room for others.
 *
 *   lease renewed → Ready as the agent says, no taint
 *   not renewed for its duration → Ready=Unknown, taint unreachable:NoExecute
 *   tainted → every pod on it that does not tolerate the taint (or whose tolerationSeconds ran out)
 *   is deleted: marked, so that its ReplicaSet replaces it at once and the agent, should it come
 *   back, stops it; a pod of a node that no longer exists is removed
 * When a lease was last renewed is judged by this server's own monotonic clock, from when it saw
 * the lease's row change; the clocks of nodes play no part. After a change of leader every lease
 * counts as just renewed. */
#include "base/map.h"
#include "reconciler/containers/containers.h"
#include "reconciler/containers/pods.h"

#define TAINT_KEY "node.kubernetes.io/unreachable"

enum { NODES_MAX = 8192, LEASE_SECONDS_DEFAULT = 10, EVICT_MAX = 100 };

/* When this leader saw a node's lease change. */
struct sighting {
    uint64_t revision; /* of the lease's row */
    uint64_t seen_ms;  /* monotonic */
};
struct node_controller {
    struct tt_controller base; /* what the engine sees; freed with it */
    struct tt_map *sightings;  /* node name → struct sighting, owned */
};

struct plan {
    struct tt_pass *pass; /* borrowed */
    struct tt_view node;  /* item is NULL when the node is gone: all its pods leave */
    struct tt_str name;   /* of the node: the key, borrowed */
    uint64_t tainted_ms;  /* wall time of the taint, from the node */
    yyjson_val *taint;    /* the unreachable taint, NULL when there is none */
    size_t evicted;       /* pods taken off it in this pass; at most EVICT_MAX */
};

static struct sighting *sighting_of(struct node_controller *self, struct tt_str name)
{
    struct sighting *sighting = tt_map_get(self->sightings, name);
    if (sighting == NULL) {
        sighting = TT_NEW(struct sighting);
        if (tt_map_set(self->sightings, name, sighting, NULL) != TT_OK) {
            tt_free(sighting);
            return NULL; /* more nodes than can be watched: none is marked wrongly */
        }
    }
    return sighting;
}

/* Milliseconds the lease has left; 0: expired. */
static uint64_t lease_left_ms(struct node_controller *self, const struct plan *plan,
                              const struct tt_view *lease)
{
    struct sighting *sighting = sighting_of(self, plan->name);
    int64_t seconds = LEASE_SECONDS_DEFAULT;
    uint64_t revision = 0;
    if (lease->item != NULL) {
        seconds = tt_view_i64(lease, "spec.leaseDurationSeconds", LEASE_SECONDS_DEFAULT);
        revision = lease->item->mod_revision;
    }
    uint64_t whole_ms = (uint64_t)(seconds > 0 ? seconds : LEASE_SECONDS_DEFAULT) * 1000u;
    if (sighting == NULL) {
        return whole_ms;
    }
    if (sighting->seen_ms == 0 || sighting->revision != revision) {
        *sighting = (struct sighting){.revision = revision, .seen_ms = plan->pass->monotonic_ms};
    }
    uint64_t age_ms = plan->pass->monotonic_ms - sighting->seen_ms;
    return age_ms < whole_ms ? whole_ms - age_ms : 0;
}

static yyjson_val *find_taint(const struct tt_view *node)
{
    size_t index;
    size_t count;
    yyjson_val *taint;
    yyjson_arr_foreach(tt_json_iget(node->root, "spec.taints"), index, count, taint)
    {
        if (tt_str_eq_c(tt_json_istr_of(yyjson_obj_get(taint, "key")), TAINT_KEY)) {
            return taint;
        }
    }
    return NULL;
}

static bool add_taint(struct tt_object *object, uint64_t now_ms)
{
    char text[TT_TIME_TEXT_SIZE];
    struct tt_str now = tt_str(text, tt_time_format(now_ms, text));
    yyjson_mut_val *taints = tt_json_get(object->root, "spec.taints");
    if (taints == NULL || !yyjson_mut_is_arr(taints)) {
        taints = yyjson_mut_arr(object->doc);
        if (taints == NULL || !tt_json_set(object->doc, object->root, "spec.taints", taints)) {
            return false;
        }
    }
    yyjson_mut_val *taint = yyjson_mut_obj(object->doc);
    return taint != NULL && tt_json_put_str(object->doc, taint, TT_STR("key"), TT_STR(TAINT_KEY)) &&
           tt_json_put_str(object->doc, taint, TT_STR("effect"), TT_STR("NoExecute")) &&
           tt_json_put_str(object->doc, taint, TT_STR("timeAdded"), now) &&
           yyjson_mut_arr_append(taints, taint);
}

static void remove_taint(struct tt_object *object)
{
    yyjson_mut_val *taints = tt_json_get(object->root, "spec.taints");
    size_t index;
    size_t count;
    yyjson_mut_val *taint;
    yyjson_mut_arr_foreach(taints, index, count, taint)
    {
        if (tt_str_eq_c(tt_json_get_str(taint, "key"), TAINT_KEY)) {
            (void)yyjson_mut_arr_remove(taints, index);
            break;
        }
    }
    if (yyjson_mut_arr_size(taints) == 0) {
        (void)tt_json_remove_path(object->root, "spec.taints");
    }
}

static int mark_lost(struct plan *plan, struct tt_err *err)
{
    struct tt_object object;
    int r = tt_pass_edit(plan->pass, &plan->node, &object, err);
    if (r != TT_OK) {
        return r;
    }
    const struct tt_condition condition = {
        .type = "Ready",
        .status = "Unknown",
        .reason = "NodeStatusUnknown",
        .message = TT_STR("The node's agent stopped renewing its lease.")};
    if (!add_taint(&object, plan->pass->now_ms) ||
        !tt_object_set_condition(&object, &condition, plan->pass->now_ms, false)) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room to mark the node");
    }
    tt_pass_note(plan->pass, &plan->node, TT_NOTE_WARNING, "NodeNotReady",
                 "Node %.*s status is now: NodeNotReady, its agent stopped renewing its lease",
                 TT_STR_ARG(plan->name));
    return tt_pass_replace(plan->pass, &plan->node, &object, err);
}

static int mark_back(struct plan *plan, struct tt_err *err)
{
    struct tt_object object;
    int r = tt_pass_edit(plan->pass, &plan->node, &object, err);
    if (r == TT_OK) {
        remove_taint(&object); /* Ready is the agent's to say */
        tt_pass_note(plan->pass, &plan->node, TT_NOTE_NORMAL, "NodeReady",
                     "Node %.*s is heard of again", TT_STR_ARG(plan->name));
        r = tt_pass_replace(plan->pass, &plan->node, &object, err);
    }
    return r;
}

static void recheck_in(struct tt_pass *pass, uint64_t wait_ms)
{
    if (pass->recheck_ms == 0 || wait_ms < pass->recheck_ms) {
        pass->recheck_ms = wait_ms;
    }
}

static bool may_stay(struct plan *plan, const struct tt_view *pod)
{
    uint64_t tolerated_ms;
    if (!pod_tolerates(pod, plan->taint, &tolerated_ms)) {
        return false;
    }
    if (tolerated_ms == POD_TOLERATES_FOREVER) {
        return true;
    }
    uint64_t due_ms = plan->tainted_ms + tolerated_ms;
    if (due_ms <= plan->pass->now_ms) {
        return false;
    }
    recheck_in(plan->pass, due_ms - plan->pass->now_ms);
    return true;
}

static int evict(void *ctx, const struct tt_view *pod, struct tt_err *err)
{
    struct plan *plan = ctx;
    if (!tt_str_eq(tt_view_str(pod, "spec.nodeName"), plan->name)) {
        return TT_OK;
    }
    if (plan->evicted == EVICT_MAX) {
        return TT_FAIL(err, TT_EBUSY, "more pods leave the node in the next pass");
    }
    if (plan->node.item == NULL) {
        plan->evicted++;
        return tt_pass_delete(plan->pass, pod, 0, err); /* nobody is left to stop it */
    }
    if (tt_view_is_deleting(pod) || may_stay(plan, pod)) {
        return TT_OK;
    }
    plan->evicted++;
    tt_pass_note(plan->pass, pod, TT_NOTE_NORMAL, "TaintManagerEviction",
                 "Marking for deletion Pod %.*s/%.*s", TT_STR_ARG(pod->ref.ns),
                 TT_STR_ARG(pod->ref.name));
    return tt_pass_delete(plan->pass, pod, -1, err);
}

static int plan_lost(struct plan *plan, struct tt_err *err)
{
    if (plan->node.item != NULL && plan->taint == NULL) {
        return mark_lost(plan, err); /* the node's change brings us back for its pods */
    }
    if (plan->taint != NULL) {
        struct tt_str added = tt_json_istr_of(yyjson_obj_get(plan->taint, "timeAdded"));
        plan->tainted_ms = plan->pass->now_ms;
        (void)tt_time_parse(added, &plan->tainted_ms); /* absent: counts from now */
    }
    const struct tt_object_ref pods = {.resource = TT_STR("pods")};
    char *needle =
        tt_arena_printf(plan->pass->arena, "\"nodeName\":\"%.*s\"", TT_STR_ARG(plan->name));
    if (needle == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room to look for the node's pods");
    }
    const struct tt_pass_search search = {
        .prefix = &pods, .needle = tt_str_c(needle), .each = evict, .ctx = plan};
    return tt_pass_search(plan->pass, &search, err);
}

static int plan_node(struct tt_controller *base, struct tt_pass *pass, struct tt_str key,
                     struct tt_err *err)
{
    struct node_controller *self = TT_CONTAINER_OF(base, struct node_controller, base);
    struct plan plan = {.pass = pass, .name = key};
    const struct tt_object_ref node = {.resource = TT_STR("nodes"), .name = key};
    const struct tt_object_ref lease_ref = {.group = TT_STR("coordination.k8s.io"),
                                            .resource = TT_STR("leases"),
                                            .ns = TT_STR("kube-node-lease"),
                                            .name = key};
    struct tt_view lease;
    int r = tt_pass_get(pass, &node, &plan.node, err);
    if (r == TT_OK) {
        r = tt_pass_get(pass, &lease_ref, &lease, err);
    }
    if (r != TT_OK) {
        return r;
    }
    if (plan.node.item == NULL) {
        (void)tt_map_remove(self->sightings, key); /* a node of this name starts afresh */
        return plan_lost(&plan, err);
    }
    plan.taint = find_taint(&plan.node);
    uint64_t left_ms = lease_left_ms(self, &plan, &lease);
    if (left_ms == 0) {
        return plan_lost(&plan, err);
    }
    recheck_in(pass, left_ms);
    return plan.taint != NULL ? mark_back(&plan, err) : TT_OK;
}

static bool is_bound(const struct tt_item *item)
{
    return item != NULL && tt_str_find_str(item->value.bytes, TT_STR("\"nodeName\":")) >= 0;
}

/* A pod that is bound now: should its node be gone or lost, the pod must leave. What was there
 * before the node was lost is found then; so nothing has to be looked for time and again. */
static void observe_pod(const struct tt_change *change, struct tt_observer *observer)
{
    if (!is_bound(change->prev) && is_bound(change->item)) {
        tt_observe_field(observer, change->item, "spec.nodeName");
    }
}

static void observe_node(struct tt_controller *base, const struct tt_change *change,
                         const struct tt_object_ref *ref, struct tt_observer *observer)
{
    (void)base; /* sightings are taken when planning */
    if (ref->group.len == 0 && tt_str_eq(ref->resource, TT_STR("nodes"))) {
        tt_observe_add(observer, ref->name, 0);
    } else if (tt_str_eq(ref->resource, TT_STR("leases")) &&
               tt_str_eq(ref->ns, TT_STR("kube-node-lease"))) {
        tt_observe_add(observer, ref->name, 0);
    } else if (ref->group.len == 0 && tt_str_eq(ref->resource, TT_STR("pods"))) {
        observe_pod(change, observer);
    }
}

static void reset_node(struct tt_controller *base)
{
    struct node_controller *self = TT_CONTAINER_OF(base, struct node_controller, base);
    tt_map_free(self->sightings);
    self->sightings = tt_map_new(NODES_MAX, tt_free);
}

static void free_node(struct tt_controller *base)
{
    struct node_controller *self = TT_CONTAINER_OF(base, struct node_controller, base);
    tt_map_free(self->sightings);
    tt_free(self);
}

struct tt_controller *tt_node_controller_new(void)
{
    struct node_controller *self = TT_NEW(struct node_controller);
    self->base.name = "node";
    self->base.component = "node-controller";
    self->base.reset = reset_node;
    self->base.observe = observe_node;
    self->base.plan = plan_node;
    self->base.free = free_node;
    self->sightings = tt_map_new(NODES_MAX, tt_free);
    return &self->base;
}
