/* Deployments, ReplicaSets, the scheduler and lost nodes, together: what users see happen. */
#include "tests/unit/reconciler/world.h"

#include "reconciler/containers/containers.h"

static const char deployment_json[] =
    "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":3,\"selector\":{\"matchLabels\":"
    "{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":"
    "{\"containers\":[{\"name\":\"c\",\"image\":\"i:1\",\"resources\":{\"requests\":{\"cpu\":"
    "\"100m\",\"memory\":\"10Mi\"}}}]}}}}";

static const char node_format[] =
    "{\"metadata\":{\"name\":\"%s\"},\"status\":{\"allocatable\":{\"cpu\":\"%s\",\"memory\":"
    "\"1Gi\",\"pods\":\"110\"},\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}";

static void make_ready(struct tt_object *object)
{
    yyjson_mut_doc *doc;
    const char json[] = "{\"allocatable\":{\"cpu\":\"1\",\"memory\":\"1Gi\",\"pods\":\"110\"},"
                        "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}";
    assert_int_equal(
        tt_json_parse(object->arena, TT_STR(json), TT_JSON_DUPLICATES_REFUSE, NULL, &doc, NULL), 0);
    assert_true(tt_json_put(object->doc, object->root, TT_STR("status"),
                            tt_json_copy(object->doc, yyjson_mut_doc_get_root(doc))));
}

static void add_node(struct world *world, const char *name)
{
    char json[512];
    (void)snprintf(json, sizeof json, node_format, name, "1");
    world_create(world, "v1", "Node", "", json);
    world_edit(world, world_ref("", "nodes", "", name), make_ready); /* create drops status */
}

static void renew(struct tt_object *object)
{
    int64_t count = tt_json_get_i64(object->root, "spec.leaseTransitions", 0);
    assert_true(tt_json_set(object->doc, object->root, "spec.leaseTransitions",
                            yyjson_mut_sint(object->doc, count + 1)));
}

static void add_lease(struct world *world, const char *name)
{
    char json[256];
    (void)snprintf(json, sizeof json,
                   "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"leaseDurationSeconds\":10}}", name);
    world_create(world, "coordination.k8s.io/v1", "Lease", "kube-node-lease", json);
}

static int setup(void **state)
{
    struct world *world = world_new();
    world_add(world, tt_deployment_controller_new());
    world_add(world, tt_replicaset_controller_new());
    world_add(world, tt_scheduler_controller_new());
    world_add(world, tt_node_controller_new());
    const char *nodes[] = {"n1", "n2"};
    for (size_t i = 0; i < 2; i++) {
        add_node(world, nodes[i]);
        add_lease(world, nodes[i]);
    }
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

/* Counts of pods by what they are. */
struct census {
    const char *node;  /* only of this node; NULL: all */
    const char *image; /* only with this image; NULL: all */
    size_t total;
    size_t bound;
    size_t deleting;
    size_t ready;
};

static int count_pod(void *ctx, const struct tt_view *pod, struct tt_err *err)
{
    (void)err; /* nothing fails */
    struct census *census = ctx;
    struct tt_str node = tt_view_str(pod, "spec.nodeName");
    yyjson_val *container = yyjson_arr_get(tt_json_iget(pod->root, "spec.containers"), 0);
    struct tt_str image = tt_json_istr_of(yyjson_obj_get(container, "image"));
    if ((census->node != NULL && !tt_str_eq_c(node, census->node)) ||
        (census->image != NULL && !tt_str_eq_c(image, census->image))) {
        return 0;
    }
    census->deleting += tt_view_is_deleting(pod);
    if (!tt_view_is_deleting(pod)) {
        census->total++;
        census->bound += node.len > 0;
        census->ready += tt_str_eq(tt_view_str(pod, "status.phase"), TT_STR("Running"));
    }
    return 0;
}

static struct census census(struct world *world, const char *node, const char *image)
{
    struct census result = {.node = node, .image = image};
    struct tt_pass *pass = world_pass(world);
    const struct tt_object_ref pods = {.resource = TT_STR("pods")};
    assert_int_equal(tt_pass_each(pass, &pods, count_pod, &result, NULL), 0);
    tt_pass_free(pass);
    return result;
}

/* The agents: bound pods run and are ready, deleted ones go. */
static int run_pod(void *ctx, const struct tt_view *pod, struct tt_err *err)
{
    (void)err; /* nothing fails */
    struct tt_pass *pass = ctx;
    if (tt_view_is_deleting(pod)) {
        return tt_pass_remove(pass, pod, NULL);
    }
    if (tt_view_str(pod, "spec.nodeName").len == 0 ||
        tt_str_eq(tt_view_str(pod, "status.phase"), TT_STR("Running"))) {
        return 0;
    }
    struct tt_object object;
    assert_int_equal(tt_pass_edit(pass, pod, &object, NULL), 0);
    yyjson_mut_doc *doc;
    const char json[] = "[{\"type\":\"Ready\",\"status\":\"True\",\"lastTransitionTime\":"
                        "\"2023-11-14T22:13:20Z\"}]";
    assert_int_equal(
        tt_json_parse(pass->arena, TT_STR(json), TT_JSON_DUPLICATES_REFUSE, NULL, &doc, NULL), 0);
    assert_true(tt_json_set(object.doc, object.root, "status.conditions",
                            tt_json_copy(object.doc, yyjson_mut_doc_get_root(doc))));
    assert_true(tt_json_set_str(object.doc, object.root, "status.phase", TT_STR("Running")));
    return tt_pass_replace(pass, pod, &object, NULL);
}

static void run_agents(struct world *world)
{
    struct tt_pass *pass = world_pass(world);
    const struct tt_object_ref pods = {.resource = TT_STR("pods")};
    assert_int_equal(tt_pass_each(pass, &pods, run_pod, pass, NULL), 0);
    world_commit(world, pass);
    world_settle(world);
}

static int64_t deployment_number(struct world *world, const char *path)
{
    struct tt_pass *pass = world_pass(world);
    struct tt_object_ref ref = world_ref("apps", "deployments", "default", "web");
    struct tt_view view;
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    int64_t number = tt_view_i64(&view, path, 0);
    tt_pass_free(pass);
    return number;
}

static void a_deployment_gets_its_pods_placed_evenly(void **state)
{
    struct world *world = *state;
    world_create(world, "apps/v1", "Deployment", "default", deployment_json);
    world_settle(world);
    assert_int_equal(census(world, NULL, NULL).bound, 3);
    assert_true(census(world, "n1", NULL).total >= 1);
    assert_true(census(world, "n2", NULL).total >= 1);
    run_agents(world);
    assert_int_equal(deployment_number(world, "status.availableReplicas"), 3);
    assert_int_equal(deployment_number(world, "status.observedGeneration"), 1);
    assert_true(
        world_noted(world, "Deployment/web Normal ScalingReplicaSet Scaled up replica set web-"));
    assert_true(world_noted(world, " from 0 to 3\n"));
    assert_true(world_noted(world, " Normal SuccessfulCreate Created pod: web-"));
    assert_true(world_noted(world, " Normal Scheduled Successfully assigned default/web-"));
}

static void a_deleted_pod_is_replaced(void **state)
{
    struct world *world = *state;
    world_create(world, "apps/v1", "Deployment", "default", deployment_json);
    world_settle(world);
    run_agents(world);
    struct tt_pass *pass = world_pass(world);
    TT_AUTO(tt_scan) scan = NULL;
    assert_int_equal(
        tt_scan_new(pass->version, TT_STR("o/core/pods/"), TT_STR("o/core/pods0"), 0, &scan, NULL),
        0);
    struct tt_object_ref ref;
    assert_true(tt_key_parse(tt_scan_next(scan)->key, &ref));
    world_delete(world, ref);
    tt_pass_free(pass);
    world_settle(world);
    assert_int_equal(census(world, NULL, NULL).total, 3); /* before the old one has stopped */
    assert_int_equal(census(world, NULL, NULL).deleting, 1);
    run_agents(world);
    assert_int_equal(census(world, NULL, NULL).ready, 3);
}

static void set_image(struct tt_object *object)
{
    yyjson_mut_val *container =
        yyjson_mut_arr_get(tt_json_get(object->root, "spec.template.spec.containers"), 0);
    assert_true(tt_json_put_str(object->doc, container, TT_STR("image"), TT_STR("i:2")));
}

static void a_new_template_rolls_out_without_losing_availability(void **state)
{
    struct world *world = *state;
    world_create(world, "apps/v1", "Deployment", "default", deployment_json);
    world_settle(world);
    run_agents(world);
    world_edit(world, world_ref("apps", "deployments", "default", "web"), set_image);
    for (int i = 0; i < 20 && census(world, NULL, "i:2").ready < 3; i++) {
        world_settle(world);
        assert_true(census(world, NULL, NULL).ready >= 3); /* 25 % of 3 rounds down to 0 */
        assert_true(census(world, NULL, NULL).total <= 4);
        run_agents(world);
    }
    run_agents(world);
    assert_int_equal(census(world, NULL, "i:2").ready, 3);
    assert_int_equal(census(world, NULL, "i:1").total, 0);
    assert_true(world_noted(world, " Normal SuccessfulDelete Deleted pod: web-"));
    assert_true(world_noted(world, "Normal ScalingReplicaSet Scaled down replica set web-"));
    assert_int_equal(deployment_number(world, "status.updatedReplicas"), 3);
}

enum { KEY_SIZE = 256 };

/* The only object of a collection, or the first one; its parts lie in key. */
static struct tt_object_ref first_of(struct world *world, const char *resource, char key[KEY_SIZE])
{
    struct tt_pass *pass = world_pass(world);
    TT_AUTO(tt_scan) scan = NULL;
    struct tt_str from = tt_str_c(tt_arena_printf(pass->arena, "o/%s/", resource));
    struct tt_str to = tt_str_c(tt_arena_printf(pass->arena, "o/%s0", resource));
    assert_int_equal(tt_scan_new(pass->version, from, to, 0, &scan, NULL), 0);
    const struct tt_item *item = tt_scan_next(scan);
    assert_non_null(item);
    (void)snprintf(key, KEY_SIZE, "%.*s", TT_STR_ARG(item->key)); /* short in these tests */
    struct tt_object_ref ref;
    assert_true(tt_key_parse(tt_str_c(key), &ref));
    tt_pass_free(pass);
    return ref;
}

static size_t count_of(struct world *world, const char *resource)
{
    struct tt_pass *pass = world_pass(world);
    TT_AUTO(tt_scan) scan = NULL;
    struct tt_str from = tt_str_c(tt_arena_printf(pass->arena, "o/%s/", resource));
    struct tt_str to = tt_str_c(tt_arena_printf(pass->arena, "o/%s0", resource));
    assert_int_equal(tt_scan_new(pass->version, from, to, 0, &scan, NULL), 0);
    size_t count = 0;
    while (tt_scan_next(scan) != NULL) {
        count++;
    }
    tt_pass_free(pass);
    return count;
}

static void forget_owners(struct tt_object *object)
{
    assert_true(tt_json_remove_path(object->root, "metadata.ownerReferences"));
}

static void a_set_left_behind_is_adopted(void **state)
{
    struct world *world = *state;
    world_create(world, "apps/v1", "Deployment", "default", deployment_json);
    world_settle(world);
    run_agents(world);
    char key[KEY_SIZE];
    struct tt_object_ref set = first_of(world, "apps/replicasets", key);
    world_edit(world, set, forget_owners); /* as the collector does when dependents are orphaned */
    world_delete(world, world_ref("apps", "deployments", "default", "web"));
    world_settle(world);
    assert_int_equal(census(world, NULL, NULL).ready, 3);
    world_create(world, "apps/v1", "Deployment", "default", deployment_json);
    world_settle(world);
    assert_int_equal(census(world, NULL, NULL).total, 3);
    assert_int_equal(count_of(world, "apps/replicasets"), 1);
    assert_int_equal(deployment_number(world, "status.readyReplicas"), 3);
    assert_int_equal(deployment_number(world, "status.collisionCount"), 0);
}

static void relabel(struct tt_object *object)
{
    assert_true(tt_json_set_str(object->doc, object->root, "metadata.labels.app", TT_STR("odd")));
}

static void a_relabelled_pod_is_let_go(void **state)
{
    struct world *world = *state;
    world_create(world, "apps/v1", "Deployment", "default", deployment_json);
    world_settle(world);
    run_agents(world);
    char key[KEY_SIZE];
    struct tt_object_ref odd = first_of(world, "core/pods", key);
    world_edit(world, odd, relabel);
    world_settle(world);
    assert_int_equal(census(world, NULL, NULL).total, 4); /* the odd one and its replacement */
    struct tt_pass *pass = world_pass(world);
    struct tt_view view;
    assert_int_equal(tt_pass_get(pass, &odd, &view, NULL), 0);
    assert_null(tt_json_iget(view.root, "metadata.ownerReferences"));
    tt_pass_free(pass);
    assert_int_equal(deployment_number(world, "status.replicas"), 3);
}

static void say_why(struct tt_object *object)
{
    assert_true(
        tt_json_set_str(object->doc, object->root, "metadata.annotations.why", TT_STR("because")));
    assert_true(tt_json_set(object->doc, object->root, "spec.minReadySeconds",
                            yyjson_mut_sint(object->doc, 7)));
}

static void assert_text(const struct tt_view *view, const char *annotation, const char *expected)
{
    yyjson_val *annotations = tt_json_iget(view->root, "metadata.annotations");
    struct tt_str found = tt_json_istr_of(yyjson_obj_get(annotations, annotation));
    assert_true(tt_str_eq_c(found, expected));
}

static void what_is_not_the_template_follows_too(void **state)
{
    struct world *world = *state;
    world_create(world, "apps/v1", "Deployment", "default", deployment_json);
    world_settle(world);
    run_agents(world);
    world_edit(world, world_ref("apps", "deployments", "default", "web"), say_why);
    world_settle(world);
    char key[KEY_SIZE];
    struct tt_object_ref refs[] = {first_of(world, "apps/replicasets", key),
                                   world_ref("apps", "deployments", "default", "web")};
    struct tt_pass *pass = world_pass(world);
    for (size_t i = 0; i < 2; i++) {
        struct tt_view view;
        assert_int_equal(tt_pass_get(pass, &refs[i], &view, NULL), 0);
        assert_text(&view, "why", "because");
        assert_text(&view, "deployment.kubernetes.io/revision", "1");
        assert_int_equal(tt_view_i64(&view, "spec.minReadySeconds", 0), 7);
    }
    tt_pass_free(pass);
    assert_int_equal(count_of(world, "apps/replicasets"), 1); /* it is the same roll-out */
}

static void pods_of_a_lost_node_run_elsewhere(void **state)
{
    struct world *world = *state;
    world_create(world, "apps/v1", "Deployment", "default", deployment_json);
    world_settle(world);
    run_agents(world);
    size_t on_n1 = census(world, "n1", NULL).total;
    assert_true(on_n1 > 0);
    for (int i = 0; i < 4; i++) {
        world->now_ms += 3000;
        world_edit(world, world_ref("coordination.k8s.io", "leases", "kube-node-lease", "n2"),
                   renew);
        world_settle(world);
    }
    assert_int_equal(census(world, "n1", NULL).total, 0);
    assert_int_equal(census(world, "n2", NULL).total, 3);
    assert_int_equal(census(world, "n1", NULL).deleting, on_n1);
    assert_true(world_noted(world, "Node/n1 Warning NodeNotReady "));
    assert_true(
        world_noted(world, " Normal TaintManagerEviction Marking for deletion Pod default/"));
    world_edit(world, world_ref("coordination.k8s.io", "leases", "kube-node-lease", "n1"), renew);
    world_settle(world);
    assert_true(world_noted(world, "Node/n1 Normal NodeReady "));
}

static void add_tolerating_pod(struct world *world, const char *name, const char *seconds)
{
    char json[512];
    (void)snprintf(json, sizeof json,
                   "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"nodeName\":\"n1\",\"containers\":[{"
                   "\"name\":\"c\",\"image\":\"i\"}],\"tolerations\":[{\"operator\":\"Exists\","
                   "\"effect\":\"NoExecute\",\"tolerationSeconds\":%s}]}}",
                   name, seconds);
    world_create(world, "v1", "Pod", "default", json);
}

/* Steps of 3 s in which n1 is not heard of; it is lost after the fourth. */
static void lose_n1(struct world *world, int steps)
{
    for (int i = 0; i < steps; i++) {
        world->now_ms += 3000;
        world_edit(world, world_ref("coordination.k8s.io", "leases", "kube-node-lease", "n2"),
                   renew);
        world_settle(world);
    }
}

static void a_negative_toleration_ends_at_once(void **state)
{
    struct world *world = *state;
    add_tolerating_pod(world, "none", "-5");
    world_settle(world);
    lose_n1(world, 4);
    assert_int_equal(census(world, "n1", NULL).deleting, 1);
}

static void a_vast_toleration_does_not_end(void **state)
{
    struct world *world = *state;
    add_tolerating_pod(world, "vast", "18446744073709552"); /* times 1000 it is 384 in 64 bits */
    add_tolerating_pod(world, "short", "20");
    world_settle(world);
    lose_n1(world, 5);
    assert_int_equal(census(world, "n1", NULL).deleting, 0);
    lose_n1(world, 8);
    assert_int_equal(census(world, "n1", NULL).deleting, 1);
    assert_int_equal(census(world, "n1", NULL).total, 1);
}

static void pods_of_a_deleted_node_are_looked_for_once(void **state)
{
    struct world *world = *state;
    world_create(world, "apps/v1", "Deployment", "default", deployment_json);
    world_settle(world);
    run_agents(world);
    world_delete(world, world_ref("coordination.k8s.io", "leases", "kube-node-lease", "n1"));
    world_delete(world, world_ref("", "nodes", "", "n1"));
    world_settle(world);
    assert_int_equal(census(world, "n1", NULL).total, 0);
    assert_int_equal(census(world, "n1", NULL).deleting, 0); /* nobody is left to stop them */
    for (int i = 0; i < 5; i++) {
        world->now_ms += 5000;
        world_edit(world, world_ref("coordination.k8s.io", "leases", "kube-node-lease", "n2"),
                   renew);
        world_settle(world);
        assert_true(world->passes <= 1); /* the lease that was renewed, and no more */
    }
    /* What is bound to it later is removed at once all the same. */
    world_create(world, "v1", "Pod", "default",
                 "{\"metadata\":{\"name\":\"late\"},\"spec\":{\"nodeName\":\"n1\",\"containers\":[{"
                 "\"name\":\"c\",\"image\":\"i\"}]}}");
    world_settle(world);
    assert_int_equal(census(world, "n1", NULL).total, 0);
}

static void bind_to_n1(struct tt_object *object)
{
    assert_true(tt_json_set_str(object->doc, object->root, "spec.nodeName", TT_STR("n1")));
}

static void a_pod_bound_to_a_lost_node_leaves_it(void **state)
{
    struct world *world = *state;
    for (int i = 0; i < 6; i++) {
        world->now_ms += 3000;
        world_edit(world, world_ref("coordination.k8s.io", "leases", "kube-node-lease", "n2"),
                   renew);
        world_settle(world);
    }
    world_create(
        world, "v1", "Pod", "default",
        "{\"metadata\":{\"name\":\"late\"},\"spec\":{\"schedulerName\":\"other\",\"containers\":[{"
        "\"name\":\"c\",\"image\":\"i\"}]}}");
    world_settle(world);
    assert_int_equal(census(world, NULL, NULL).total, 1);
    world_edit(world, world_ref("", "pods", "default", "late"), bind_to_n1);
    world_settle(world);
    assert_int_equal(census(world, "n1", NULL).deleting, 1);
}

static void a_pod_that_fits_nowhere_says_why(void **state)
{
    struct world *world = *state;
    world_create(world, "v1", "Pod", "default",
                 "{\"metadata\":{\"name\":\"big\"},\"spec\":{\"containers\":[{\"name\":\"c\","
                 "\"image\":\"i\",\"resources\":{\"requests\":{\"cpu\":\"8\"}}}]}}");
    world_settle(world);
    struct tt_pass *pass = world_pass(world);
    struct tt_object_ref ref = world_ref("", "pods", "default", "big");
    struct tt_view view;
    assert_int_equal(tt_pass_get(pass, &ref, &view, NULL), 0);
    yyjson_val *condition = yyjson_arr_get(tt_json_iget(view.root, "status.conditions"), 0);
    assert_string_equal(yyjson_get_str(yyjson_obj_get(condition, "message")),
                        "0/2 nodes are available: 2 had too little free cpu");
    tt_pass_free(pass);
    const char line[] =
        "Pod/big Warning FailedScheduling 0/2 nodes are available: 2 had too little";
    assert_true(world_noted(world, line));
    tt_buf_reset(&world->notes);
    add_node(world, "n0"); /* the count of nodes changes, so it is told once more, and only once */
    world_settle(world);
    world_edit(world, world_ref("", "nodes", "", "n2"), make_ready); /* a reason to look again */
    world_settle(world);
    assert_true(world_noted(world, "FailedScheduling 0/3 nodes"));
    ptrdiff_t first = tt_str_find_str(tt_buf_view(&world->notes), TT_STR("FailedScheduling 0/3"));
    struct tt_str rest = tt_str_skip(tt_buf_view(&world->notes), (size_t)first + 1);
    assert_true(tt_str_find_str(rest, TT_STR("FailedScheduling 0/3")) < 0);
}

/* A pod of two containers that ask for this each, on a node (NULL: to be placed). */
static void add_greedy_pod(struct world *world, const char *name, const char *requests,
                           const char *node)
{
    TT_AUTO_BUF struct tt_buf json;
    tt_buf_init(&json, 4096);
    tt_buf_printf(&json, "{\"metadata\":{\"name\":\"%s\"},\"spec\":{", name);
    if (node != NULL) {
        tt_buf_printf(&json, "\"nodeName\":\"%s\",", node);
    }
    tt_buf_c(&json, "\"containers\":[");
    for (int i = 0; i < 2; i++) {
        tt_buf_printf(&json,
                      "%s{\"name\":\"c%d\",\"image\":\"i\",\"resources\":{\"requests\":{%s}}}",
                      i > 0 ? "," : "", i, requests);
    }
    tt_buf_c(&json, "]}}");
    world_create(world, "v1", "Pod", "default", json.ptr);
    world_settle(world);
}

static void absurd_requests_fit_nowhere(void **state)
{
    struct world *world = *state;
    add_greedy_pod(world, "memory", "\"memory\":\"7Ei\"", NULL);
    assert_true(world_noted(world, "0/2 nodes are available: 2 had too little free memory"));
    add_greedy_pod(world, "cpu", "\"cpu\":\"9e15\"", NULL);
    assert_true(world_noted(world, "0/2 nodes are available: 2 had too little free cpu"));
    assert_int_equal(census(world, NULL, NULL).bound, 0);
}

static void a_node_of_absurd_pods_is_full(void **state)
{
    struct world *world = *state;
    add_greedy_pod(world, "a", "\"memory\":\"3500Pi\"", "n1");
    add_greedy_pod(world, "b", "\"memory\":\"3500Pi\"", "n1");
    add_greedy_pod(world, "c", "\"memory\":\"512Mi\"", "n2"); /* full too */
    add_greedy_pod(world, "small", "\"memory\":\"1Mi\"", NULL);
    assert_true(world_noted(world, "0/2 nodes are available: 2 had too little free memory"));
}

static void make_vast(struct tt_object *object)
{
    make_ready(object);
    assert_true(
        tt_json_set_str(object->doc, object->root, "status.allocatable.cpu", TT_STR("9e15")));
}

static void a_vast_node_has_the_most_room(void **state)
{
    struct world *world = *state;
    add_node(world, "n3");
    world_edit(world, world_ref("", "nodes", "", "n3"), make_vast);
    add_greedy_pod(world, "p", "\"cpu\":\"100m\"", NULL);
    assert_int_equal(census(world, "n3", NULL).total, 1);
}

static const char bad_set_json[] = "{\"metadata\":{\"name\":\"bad\"},\"spec\":{\"replicas\":1,"
                                   "\"selector\":{\"matchLabels\":{\"app\":"
                                   "\"bad\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":"
                                   "\"bad\"}},\"spec\":{\"containers\":[{"
                                   "\"name\":\"c\",\"image\":\"i\"}]}}}}";

static void break_template(struct tt_object *object)
{
    assert_true(tt_json_remove_path(object->root, "spec.template.spec.containers"));
}

static void a_pod_that_cannot_be_made_is_told(void **state)
{
    struct world *world = *state;
    world_create(world, "apps/v1", "ReplicaSet", "default", bad_set_json);
    world_edit(world, world_ref("apps", "replicasets", "default", "bad"), break_template);
    struct tt_pass *pass = world_pass(world);
    struct tt_err err;
    tt_err_init(&err);
    struct tt_controller *sets = world->controllers[1];
    assert_int_equal(sets->plan(sets, pass, TT_STR("default/bad"), &err), TT_EINVALID);
    assert_int_equal(pass->note_count, 1);
    assert_string_equal(pass->notes[0].reason, "FailedCreate");
    assert_true(pass->notes[0].warning);
    tt_pass_free(pass);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_deployment_gets_its_pods_placed_evenly, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deleted_pod_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_template_rolls_out_without_losing_availability, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_set_left_behind_is_adopted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_relabelled_pod_is_let_go, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_the_template_follows_too, setup, teardown),
        cmocka_unit_test_setup_teardown(pods_of_a_lost_node_run_elsewhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_negative_toleration_ends_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_vast_toleration_does_not_end, setup, teardown),
        cmocka_unit_test_setup_teardown(pods_of_a_deleted_node_are_looked_for_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_pod_bound_to_a_lost_node_leaves_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pod_that_fits_nowhere_says_why, setup, teardown),
        cmocka_unit_test_setup_teardown(absurd_requests_fit_nowhere, setup, teardown),
        cmocka_unit_test_setup_teardown(a_node_of_absurd_pods_is_full, setup, teardown),
        cmocka_unit_test_setup_teardown(a_vast_node_has_the_most_room, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pod_that_cannot_be_made_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
