/* The scheduler: gives every pod without a node one that fits.
 *
 *   nodes that are ready, schedulable, tolerated, selected, with room and free host ports
 *   → the one with the most room left and the fewest pods, of any owner
 * One key for all: a pass reads every node and pod once and binds as many pods as one transaction
 * holds, so that two pods can never be promised the same room. The commit relies on each bound
 * pod's own revision; nodes are only hints (the agent refuses what does not fit).
 * A pod that fits nowhere gets the condition PodScheduled=False with the count of each reason. */
#include "reconciler/containers/containers.h"

#include "api/kinds/quantity.h"
#include "reconciler/containers/pods.h"

enum {
    NODES_MAX = 8192,
    PODS_PER_NODE_DEFAULT = 110,
    HOST_PORTS_MAX = 64,
    BIND_MAX = 100,
    RECHECK_MS = 2000
};

enum refusal {
    FITS,
    NOT_READY,
    UNSCHEDULABLE,
    TAINTED,
    NOT_SELECTED,
    NO_CPU,
    NO_MEMORY,
    NO_POD_SLOT,
    PORT_TAKEN,
    REFUSALS
};
static const char *const refusal_texts[REFUSALS] = {
    "fit",
    "not ready",
    "unschedulable",
    "had taints that the pod does not tolerate",
    "did not match the pod's node selector",
    "had too little free cpu",
    "had too little free memory",
    "had too many pods",
    "had no free host ports",
};

struct amounts {
    int64_t cpu_milli; /* thousandths of a core */
    int64_t memory;    /* bytes */
    int64_t pods;      /* a count; 1 for a pod's own request */
};
struct node {
    struct tt_view view;            /* as the version has it */
    struct amounts allocatable;     /* of status.allocatable; pods has a default */
    struct amounts used;            /* by its pods, with those bound in this pass */
    bool ready;                     /* condition Ready is True and it is not being deleted */
    uint16_t ports[HOST_PORTS_MAX]; /* host ports taken */
    size_t port_count;              /* of ports in use */
};
struct plan {
    struct tt_pass *pass;    /* borrowed */
    struct node *nodes;      /* in the arena */
    size_t node_count;       /* of nodes in use; sorted by name; at most NODES_MAX */
    size_t node_cap;         /* nodes there is room for */
    struct tt_view *pending; /* pods to place, in the arena */
    size_t pending_count;    /* of pending in use */
    size_t pending_cap;      /* pods there is room for */
};

static void *grow(struct tt_arena *arena, void *items, size_t count, size_t *cap, size_t size)
{
    if (count < *cap) {
        return items;
    }
    size_t wanted = *cap == 0 ? 64 : 2 * *cap;
    void *bigger = tt_arena_alloc(arena, wanted * size);
    if (bigger != NULL && count > 0) {
        memcpy(bigger, items, count * size);
    }
    *cap = bigger != NULL ? wanted : *cap;
    return bigger;
}

/* Never negative (that counts as nothing); INT64_MAX when it does not fit. */
static int64_t quantity_at(yyjson_val *resources, const char *name, bool milli)
{
    struct tt_quantity quantity;
    struct tt_str text = tt_json_istr_of(yyjson_obj_get(resources, name));
    if (!tt_quantity_parse(text, &quantity) || quantity.nano <= 0) {
        return 0;
    }
    int64_t value;
    bool fits = milli ? tt_quantity_milli(&quantity, &value) : tt_quantity_value(&quantity, &value);
    return fits ? value : INT64_MAX;
}

/* What no node has stays what no node has, however much more is asked for. */
static int64_t add_saturated(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* Requests of a pod: the sum over its containers, or the largest init container if that is more. */
static struct amounts pod_requests(const struct tt_view *pod)
{
    struct amounts sum = {.pods = 1};
    size_t index;
    size_t count;
    yyjson_val *container;
    yyjson_arr_foreach(tt_json_iget(pod->root, "spec.containers"), index, count, container)
    {
        yyjson_val *requests = tt_json_iget(container, "resources.requests");
        sum.cpu_milli = add_saturated(sum.cpu_milli, quantity_at(requests, "cpu", true));
        sum.memory = add_saturated(sum.memory, quantity_at(requests, "memory", false));
    }
    yyjson_arr_foreach(tt_json_iget(pod->root, "spec.initContainers"), index, count, container)
    {
        yyjson_val *requests = tt_json_iget(container, "resources.requests");
        int64_t cpu = quantity_at(requests, "cpu", true);
        int64_t memory = quantity_at(requests, "memory", false);
        sum.cpu_milli = cpu > sum.cpu_milli ? cpu : sum.cpu_milli;
        sum.memory = memory > sum.memory ? memory : sum.memory;
    }
    return sum;
}

/* Host ports a pod takes into ports; returns how many (at most HOST_PORTS_MAX). */
static size_t pod_ports(const struct tt_view *pod, uint16_t ports[HOST_PORTS_MAX])
{
    size_t found = 0;
    size_t i;
    size_t count;
    yyjson_val *container;
    yyjson_arr_foreach(tt_json_iget(pod->root, "spec.containers"), i, count, container)
    {
        size_t j;
        size_t port_count;
        yyjson_val *port;
        yyjson_arr_foreach(yyjson_obj_get(container, "ports"), j, port_count, port)
        {
            int64_t number = tt_json_iget_i64(port, "hostPort", 0);
            if (number > 0 && number <= UINT16_MAX && found < HOST_PORTS_MAX) {
                ports[found++] = (uint16_t)number;
            }
        }
    }
    return found;
}

static int see_node(void *ctx, const struct tt_view *view, struct tt_err *err)
{
    struct plan *plan = ctx;
    plan->nodes = grow(plan->pass->arena, plan->nodes, plan->node_count, &plan->node_cap,
                       sizeof *plan->nodes);
    if (plan->nodes == NULL || plan->node_count == NODES_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "more than %zu nodes", plan->node_count);
    }
    yyjson_val *room = tt_json_iget(view->root, "status.allocatable");
    struct node *node = &plan->nodes[plan->node_count++];
    memset(node, 0, sizeof *node);
    node->view = *view;
    node->ready = view_condition_true(view, "Ready", NULL) && !tt_view_is_deleting(view);
    node->allocatable.cpu_milli = quantity_at(room, "cpu", true);
    node->allocatable.memory = quantity_at(room, "memory", false);
    node->allocatable.pods = quantity_at(room, "pods", false);
    if (node->allocatable.pods == 0) {
        node->allocatable.pods = PODS_PER_NODE_DEFAULT;
    }
    return TT_OK;
}

static void charge(struct node *node, const struct tt_view *pod)
{
    struct amounts requests = pod_requests(pod);
    node->used.cpu_milli = add_saturated(node->used.cpu_milli, requests.cpu_milli);
    node->used.memory = add_saturated(node->used.memory, requests.memory);
    node->used.pods += requests.pods;
    uint16_t ports[HOST_PORTS_MAX];
    size_t count = pod_ports(pod, ports);
    for (size_t i = 0; i < count && node->port_count < HOST_PORTS_MAX; i++) {
        node->ports[node->port_count++] = ports[i];
    }
}

/* Nodes are few against pods, but not few enough for a search per pod: they come in name order. */
static struct node *find_node(struct plan *plan, struct tt_str name)
{
    size_t low = 0;
    size_t high = plan->node_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = tt_str_cmp(plan->nodes[middle].view.ref.name, name);
        if (order == 0) {
            return &plan->nodes[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static int see_pod(void *ctx, const struct tt_view *pod, struct tt_err *err)
{
    struct plan *plan = ctx;
    struct tt_str phase = tt_view_str(pod, "status.phase");
    if (tt_str_eq(phase, TT_STR("Succeeded")) || tt_str_eq(phase, TT_STR("Failed"))) {
        return TT_OK;
    }
    struct tt_str node_name = tt_view_str(pod, "spec.nodeName");
    if (node_name.len > 0) {
        struct node *node = find_node(plan, node_name);
        if (node != NULL) {
            charge(node, pod);
        }
        return TT_OK;
    }
    struct tt_str scheduler = tt_view_str(pod, "spec.schedulerName");
    if (tt_view_is_deleting(pod) ||
        (scheduler.len > 0 && !tt_str_eq(scheduler, TT_STR("default-scheduler")))) {
        return TT_OK;
    }
    plan->pending = grow(plan->pass->arena, plan->pending, plan->pending_count, &plan->pending_cap,
                         sizeof *plan->pending);
    if (plan->pending == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "too many pods wait for a node");
    }
    plan->pending[plan->pending_count++] = *pod;
    return TT_OK;
}

static bool taints_allow(const struct node *node, const struct tt_view *pod)
{
    size_t index;
    size_t count;
    yyjson_val *taint;
    uint64_t tolerated_ms; /* of running pods only */
    yyjson_arr_foreach(tt_json_iget(node->view.root, "spec.taints"), index, count, taint)
    {
        bool soft =
            tt_str_eq(tt_json_istr_of(yyjson_obj_get(taint, "effect")), TT_STR("PreferNoSchedule"));
        if (!soft && !pod_tolerates(pod, taint, &tolerated_ms)) {
            return false;
        }
    }
    return true;
}

static bool selector_allows(const struct node *node, const struct tt_view *pod)
{
    yyjson_val *labels = tt_json_iget(node->view.root, "metadata.labels");
    yyjson_val *wanted = tt_json_iget(pod->root, "spec.nodeSelector");
    size_t index;
    size_t count;
    yyjson_val *key;
    yyjson_val *value;
    yyjson_obj_foreach(wanted, index, count, key, value)
    {
        struct tt_str has =
            tt_json_istr_of(yyjson_obj_getn(labels, yyjson_get_str(key), yyjson_get_len(key)));
        if (!tt_str_eq(has, tt_json_istr_of(value))) {
            return false;
        }
    }
    return true;
}

static bool ports_free(const struct node *node, const uint16_t *ports, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < node->port_count; j++) {
            if (node->ports[j] == ports[i]) {
                return false;
            }
        }
    }
    return true;
}

static enum refusal judge(const struct node *node, const struct tt_view *pod,
                          const struct amounts *requests)
{
    if (!node->ready) {
        return NOT_READY;
    }
    if (yyjson_is_true(tt_json_iget(node->view.root, "spec.unschedulable"))) {
        return UNSCHEDULABLE;
    }
    if (!taints_allow(node, pod)) {
        return TAINTED;
    }
    if (!selector_allows(node, pod)) {
        return NOT_SELECTED;
    }
    /* No amount is negative, so a difference of two always fits. */
    if (requests->cpu_milli > node->allocatable.cpu_milli - node->used.cpu_milli) {
        return NO_CPU;
    }
    if (requests->memory > node->allocatable.memory - node->used.memory) {
        return NO_MEMORY;
    }
    if (requests->pods > node->allocatable.pods - node->used.pods) {
        return NO_POD_SLOT;
    }
    uint16_t ports[HOST_PORTS_MAX];
    size_t port_count = pod_ports(pod, ports);
    return ports_free(node, ports, port_count) ? FITS : PORT_TAKEN;
}

/* Part of the whole in thousandths; a node may report amounts that times 1000 fit no int64_t. */
static int64_t share(int64_t part, int64_t whole)
{
    return whole > 0 ? (int64_t)((tt_i128)part * 1000 / whole) : 0;
}

/* Room left after the pod, which fits, in thousandths, the scarcer resource counting, less a toll
 * for each pod that is there. */
static int64_t score(const struct node *node, const struct amounts *requests)
{
    int64_t cpu = node->allocatable.cpu_milli - node->used.cpu_milli - requests->cpu_milli;
    int64_t memory = node->allocatable.memory - node->used.memory - requests->memory;
    int64_t cpu_share = share(cpu, node->allocatable.cpu_milli);
    int64_t memory_share = share(memory, node->allocatable.memory);
    int64_t room = cpu_share < memory_share ? cpu_share : memory_share;
    return room - 20 * node->used.pods;
}

static int refuse(struct plan *plan, const struct tt_view *pod, const size_t counts[REFUSALS],
                  struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 1024);
    tt_buf_printf(&text, "0/%zu nodes are available:", plan->node_count);
    for (size_t i = FITS + 1; i < REFUSALS; i++) {
        if (counts[i] > 0) {
            tt_buf_printf(&text, " %zu %s,", counts[i], refusal_texts[i]);
        }
    }
    struct tt_str message = tt_buf_view(&text);
    message.len--; /* the last comma, or the colon when there are no nodes */
    struct tt_object object;
    int r = tt_pass_edit(plan->pass, pod, &object, err);
    const struct tt_condition condition = {
        .type = "PodScheduled", .status = "False", .reason = "Unschedulable", .message = message};
    if (r == TT_OK && !tt_object_set_condition(&object, &condition, plan->pass->now_ms, false)) {
        r = TT_FAIL(err, TT_ETOOLARGE, "no room for the condition");
    }
    size_t before = plan->pass->write_count;
    if (r == TT_OK) {
        r = tt_pass_update(plan->pass, pod, &object, TT_PART_STATUS, err);
    }
    if (r == TT_OK && plan->pass->write_count > before) { /* told once, not at every look */
        tt_pass_note(plan->pass, pod, TT_NOTE_WARNING, "FailedScheduling", "%.*s",
                     TT_STR_ARG(message));
    }
    return r;
}

static int bind(struct plan *plan, const struct tt_view *pod, struct node *node, struct tt_err *err)
{
    struct tt_object object;
    int r = tt_pass_edit(plan->pass, pod, &object, err);
    if (r != TT_OK) {
        return r;
    }
    const struct tt_condition condition = {
        .type = "PodScheduled", .status = "True", .reason = "Bound", .message = TT_STR("")};
    if (!tt_json_set_str(object.doc, object.root, "spec.nodeName", node->view.ref.name) ||
        !tt_object_set_condition(&object, &condition, plan->pass->now_ms, false)) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room to bind %.*s", TT_STR_ARG(pod->ref.name));
    }
    charge(node, pod);
    tt_pass_note(plan->pass, pod, TT_NOTE_NORMAL, "Scheduled",
                 "Successfully assigned %.*s/%.*s to %.*s", TT_STR_ARG(pod->ref.ns),
                 TT_STR_ARG(pod->ref.name), TT_STR_ARG(node->view.ref.name));
    return tt_pass_replace(plan->pass, pod, &object, err);
}

static int place(struct plan *plan, const struct tt_view *pod, struct tt_err *err)
{
    struct amounts requests = pod_requests(pod);
    size_t counts[REFUSALS] = {0};
    struct node *best = NULL;
    int64_t best_score = 0;
    for (size_t i = 0; i < plan->node_count; i++) {
        struct node *node = &plan->nodes[i];
        enum refusal refusal = judge(node, pod, &requests);
        counts[refusal]++;
        int64_t node_score = refusal == FITS ? score(node, &requests) : 0;
        if (refusal == FITS && (best == NULL || node_score > best_score)) {
            best = node;
            best_score = node_score;
        }
    }
    return best != NULL ? bind(plan, pod, best, err) : refuse(plan, pod, counts, err);
}

static int plan_schedule(struct tt_controller *self, struct tt_pass *pass, struct tt_str key,
                         struct tt_err *err)
{
    (void)self; /* nothing is remembered between passes */
    (void)key;  /* there is one */
    struct plan plan = {.pass = pass};
    const struct tt_object_ref nodes = {.resource = TT_STR("nodes")};
    const struct tt_object_ref pods = {.resource = TT_STR("pods")};
    int r = tt_pass_each(pass, &nodes, see_node, &plan, err);
    if (r == TT_OK) {
        r = tt_pass_each(pass, &pods, see_pod, &plan, err);
    }
    for (size_t i = 0; r == TT_OK && i < plan.pending_count; i++) {
        if (pass->write_count >= BIND_MAX) {
            return TT_FAIL(err, TT_EBUSY, "more pods are placed in the next pass");
        }
        r = place(&plan, &plan.pending[i], err);
    }
    return r;
}

/* A bound pod that only reports its status frees no room; what finishes is found by the recheck. */
static bool is_bound(const struct tt_item *item)
{
    return item != NULL && tt_str_find_str(item->value.bytes, TT_STR("\"nodeName\":")) >= 0;
}

static void observe_schedule(struct tt_controller *self, const struct tt_change *change,
                             const struct tt_object_ref *ref, struct tt_observer *observer)
{
    (void)self; /* nothing is remembered between passes */
    bool pod = tt_str_eq(ref->resource, TT_STR("pods")) && !is_bound(change->item);
    if (ref->group.len == 0 && (pod || tt_str_eq(ref->resource, TT_STR("nodes")))) {
        tt_observe_add(observer, TT_STR("all"), 0);
    }
}

struct tt_controller *tt_scheduler_controller_new(void)
{
    struct tt_controller *controller = TT_NEW(struct tt_controller);
    controller->name = "scheduler";
    controller->component = "default-scheduler";
    controller->always_key = "all";
    controller->observe = observe_schedule;
    controller->plan = plan_schedule;
    return controller;
}
