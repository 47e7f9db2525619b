/* The sync loop with a simulated runtime: every step takes one turn of the loop, nothing is lost
 * when the agent or its picture goes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/pod.h"
#include "agent/sync.h"
#include "base/clock.h"
#include "base/file.h"

#define LABEL "a-host-with-a-name-that-is-long."
#define HOST  LABEL LABEL LABEL LABEL "net"

enum { THINGS_MAX = 32, QUEUE_MAX = 64, WATCHDOG_MS = 20000, POLL_MS = 5 };

struct sim_thing { /* a sandbox or a container */
    char id[24];
    char sandbox[24]; /* "" for a sandbox */
    char uid[40];
    char name[40];
    uint32_t attempt;
    bool is_up;
    int32_t exit_code;
    uint64_t backoff_ms;
    uint64_t finished_ms;
};
struct sim {
    struct rt_driver base;
    struct tt_timer timer; /* answers what was asked */
    struct rt_call *queue[QUEUE_MAX];
    size_t queued;
    struct sim_thing things[THINGS_MAX];
    size_t count;
    unsigned next_id;
    unsigned collisions; /* names that were used twice */
    unsigned starts;
    char env[256]; /* value of the newest container's first variable; "": it has none */
    unsigned execs;
    unsigned execs_at_stop; /* when a container was asked to stop */
    int exec_code;          /* what the next ones end with */
    bool execs_hang;        /* the next ones do not end */
    struct rt_call *hanging[QUEUE_MAX];
    size_t hanging_count;
    unsigned removals; /* that were asked for */
    unsigned refusals; /* of them, still to be refused */
    bool is_gone;      /* lists fail */
};
struct test {
    struct tt_loop *loop;
    struct sim sim;
    struct sync *sync;
    struct tt_timer poll;
    struct tt_timer watchdog;
    char root[64];
    void (*step)(struct test *test); /* looks, acts, moves on */
    int phase;
    bool failed;
    uint64_t began_ms;
    unsigned polls; /* since then */
};

/* ---- the simulated runtime ---- */

static struct sim_thing *sim_find(struct sim *sim, const char *id)
{
    for (size_t i = 0; i < sim->count; i++) {
        if (strcmp(sim->things[i].id, id) == 0) {
            return &sim->things[i];
        }
    }
    return NULL;
}

static struct sim_thing *sim_add(struct sim *sim, const struct pod *pod, const char *sandbox,
                                 const char *name, uint32_t attempt)
{
    assert_true(sim->count < THINGS_MAX);
    for (size_t i = 0; i < sim->count; i++) {
        const struct sim_thing *other = &sim->things[i];
        sim->collisions += strcmp(other->uid, pod->uid) == 0 && strcmp(other->name, name) == 0 &&
                                   (other->sandbox[0] == '\0') == (sandbox[0] == '\0') &&
                                   other->attempt == attempt
                               ? 1
                               : 0;
    }
    struct sim_thing *thing = &sim->things[sim->count++];
    *thing = (struct sim_thing){.attempt = attempt, .is_up = true};
    (void)snprintf(thing->id, sizeof thing->id, "id%u", sim->next_id++);
    (void)snprintf(thing->sandbox, sizeof thing->sandbox, "%s", sandbox);
    (void)snprintf(thing->uid, sizeof thing->uid, "%s", pod->uid);
    (void)snprintf(thing->name, sizeof thing->name, "%s", name);
    return thing;
}

static void sim_remove(struct sim *sim, const char *id)
{
    size_t kept = 0;
    for (size_t i = 0; i < sim->count; i++) {
        if (strcmp(sim->things[i].id, id) != 0 && strcmp(sim->things[i].sandbox, id) != 0) {
            sim->things[kept++] = sim->things[i];
        }
    }
    sim->count = kept;
}

static void sim_exit(struct sim_thing *thing, int32_t exit_code)
{
    thing->is_up = false;
    thing->exit_code = exit_code;
    thing->finished_ms = tt_clock_wall_ms(tt_clock_real());
}

static struct rt_snapshot *sim_picture(const struct sim *sim)
{
    struct rt_snapshot *snapshot = rt_snapshot_new(THINGS_MAX, THINGS_MAX, NULL);
    for (size_t i = 0; i < sim->count; i++) {
        const struct sim_thing *thing = &sim->things[i];
        struct tt_arena *arena = snapshot->arena;
        const char *id = tt_arena_printf(arena, "%s", thing->id);
        const char *uid = tt_arena_printf(arena, "%s", thing->uid);
        if (thing->sandbox[0] == '\0') {
            snapshot->sandboxes[snapshot->sandbox_count++] =
                (struct rt_sandbox){.id = id,
                                    .pod_uid = uid,
                                    .attempt = thing->attempt,
                                    .ready = thing->is_up,
                                    .ip = ""};
            continue;
        }
        snapshot->containers[snapshot->container_count++] =
            (struct rt_container){.id = id,
                                  .sandbox_id = tt_arena_printf(arena, "%s", thing->sandbox),
                                  .pod_uid = uid,
                                  .name = tt_arena_printf(arena, "%s", thing->name),
                                  .attempt = thing->attempt,
                                  .state = thing->is_up ? RT_RUNNING : RT_EXITED,
                                  .started_ms = 1,
                                  .finished_ms = (int64_t)thing->finished_ms,
                                  .exit_code = thing->exit_code,
                                  .backoff_ms = thing->backoff_ms,
                                  .reason = "",
                                  .message = "",
                                  .image_ref = ""};
    }
    /* Containers began a moment before they ended: nobody earns a reset of the back-off. */
    for (size_t i = 0; i < snapshot->container_count; i++) {
        snapshot->containers[i].started_ms = snapshot->containers[i].finished_ms;
    }
    rt_snapshot_seal(snapshot);
    return snapshot;
}

static void refuse(struct rt_call *call, const char *why)
{
    struct tt_err err;
    tt_err_init(&err);
    (void)TT_FAIL(&err, TT_EIO, "%s", why);
    call->done(call, &err);
}

static void keep_env(struct sim *sim, const struct rt_container_config *container)
{
    (void)snprintf(sim->env, sizeof sim->env, "%s",
                   container->env_count > 0 ? container->env[0].value : "");
}

static void sim_run(struct sim *sim, struct rt_call *call)
{
    struct sim_thing *thing = call->id != NULL ? sim_find(sim, call->id) : NULL;
    switch (call->verb) {
    case RT_RECOVER:
        if (sim->is_gone) {
            refuse(call, "the client was closed");
            return;
        }
        call->snapshot = sim_picture(sim);
        break;
    case RT_PREPARE:
        (void)sim_add(sim, call->pod, "", "", call->attempt);
        break;
    case RT_START:
        thing = sim_add(sim, call->container->pod, call->container->sandbox_id,
                        call->container->pod->containers[call->container->index].name,
                        call->container->attempt);
        thing->backoff_ms = call->container->backoff_ms;
        keep_env(sim, call->container);
        (void)snprintf(call->new_id, sizeof call->new_id, "%s", thing->id);
        sim->starts++;
        break;
    case RT_STOP:
        sim->execs_at_stop = sim->execs;
        if (thing != NULL) {
            sim_exit(thing, 137);
        }
        break;
    case RT_STOP_SANDBOX:
        if (thing != NULL) {
            sim_exit(thing, 137);
        }
        break;
    case RT_REMOVE_CONTAINER:
    case RT_REMOVE_SANDBOX:
        sim->removals++;
        if (sim->refusals > 0) {
            sim->refusals--;
            refuse(call, "in starting state, can't be removed");
            return;
        }
        sim_remove(sim, call->id);
        break;
    case RT_EXEC:
        assert_non_null(thing);
        assert_true(thing->is_up);
        sim->execs++;
        call->exit_code = sim->exec_code;
        if (sim->execs_hang) {
            assert_true(sim->hanging_count < QUEUE_MAX);
            sim->hanging[sim->hanging_count++] = call;
            return;
        }
        break;
    case RT_IMAGE:
    case RT_REOPEN_LOG:
        break;
    }
    call->done(call, NULL);
}

/* The programs that hang are killed. */
static void sim_end_hanging(struct sim *sim)
{
    sim->execs_hang = false;
    while (sim->hanging_count > 0) {
        refuse(sim->hanging[--sim->hanging_count], "killed");
    }
}

static void sim_fired(struct tt_timer *timer)
{
    struct sim *sim = TT_CONTAINER_OF(timer, struct sim, timer);
    struct rt_call *calls[QUEUE_MAX];
    size_t count = sim->queued;
    memcpy(calls, sim->queue, count * sizeof *calls);
    sim->queued = 0;
    for (size_t i = 0; i < count; i++) {
        sim_run(sim, calls[i]);
    }
}

static int sim_start(struct rt_driver *driver, struct rt_call *call, struct tt_err *err)
{
    struct sim *sim = TT_CONTAINER_OF(driver, struct sim, base);
    (void)err;
    assert_true(sim->queued < QUEUE_MAX);
    sim->queue[sim->queued++] = call;
    tt_timer_start(&sim->timer, 1, 0);
    return TT_OK;
}

static const struct rt_driver_ops sim_ops = {.start = sim_start};

/* ---- the frame ---- */

static enum ref_state no_refs(void *ctx, bool is_secret, struct tt_str ns, struct tt_str name,
                              yyjson_val **ret_object)
{
    (void)ctx;
    (void)is_secret;
    (void)ns;
    (void)name;
    (void)ret_object;
    return REF_ABSENT;
}

static struct sync *new_sync(struct test *test)
{
    const struct sync_config config = {.loop = test->loop,
                                       .driver = &test->sim.base,
                                       .source = {.get = no_refs},
                                       .clock = tt_clock_real(),
                                       .root = test->root,
                                       .node_name = "n1",
                                       .host_ip = HOST,
                                       .limits = {4000, INT64_C(1) << 30, 16}};
    return sync_new(&config);
}

static void ignore(void *ctx)
{
    (void)ctx;
}

static void end(struct test *test)
{
    tt_loop_stop(test->loop);
}

static void poll_fired(struct tt_timer *timer)
{
    struct test *test = TT_CONTAINER_OF(timer, struct test, poll);
    test->step(test);
}

static void watchdog_fired(struct tt_timer *timer)
{
    struct test *test = TT_CONTAINER_OF(timer, struct test, watchdog);
    test->failed = true;
    end(test);
}

static void on_start(void *ctx)
{
    struct test *test = ctx;
    test->sim.base.ops = &sim_ops;
    tt_timer_init(&test->sim.timer, test->loop, sim_fired);
    tt_timer_init(&test->poll, test->loop, poll_fired);
    tt_timer_init(&test->watchdog, test->loop, watchdog_fired);
    tt_timer_start(&test->poll, POLL_MS, POLL_MS);
    tt_timer_start(&test->watchdog, WATCHDOG_MS, 0);
    test->sync = new_sync(test);
}

static void sim_closed(void *ctx)
{
    struct test *test = ctx;
    tt_timer_close(&test->sim.timer, NULL);
}

static void on_stop(void *ctx)
{
    struct test *test = ctx;
    tt_timer_close(&test->poll, NULL);
    tt_timer_close(&test->watchdog, NULL);
    sim_end_hanging(&test->sim);
    sync_close(test->sync, sim_closed, test); /* what runs is still answered */
}

static void run(void (*step)(struct test *test))
{
    struct test *test = TT_NEW(struct test);
    struct tt_err err;
    (void)snprintf(test->root, sizeof test->root, "/tmp/tutti-sync-XXXXXX");
    assert_non_null(mkdtemp(test->root));
    test->step = step;
    const struct tt_loop_config config = {
        .name = "test", .mailbox_max = 8, .on_start = on_start, .on_stop = on_stop, .ctx = test};
    test->loop = tt_loop_new(&config, &err);
    assert_non_null(test->loop);
    tt_loop_run_here(test->loop);
    bool failed = test->failed;
    int phase = test->phase;
    unsigned collisions = test->sim.collisions;
    tt_loop_free(test->loop);
    assert_int_equal(tt_dir_remove_tree(test->root, &err), TT_OK);
    tt_free(test);
    if (failed) {
        fail_msg("still in phase %d after %d ms", phase, WATCHDOG_MS);
    }
    assert_int_equal(collisions, 0);
}

static void want_pod(struct test *test, const char *uid, const char *extra)
{
    char json[512];
    int size = snprintf(json, sizeof json,
                        "{\"metadata\":{\"name\":\"p-%s\",\"namespace\":\"d\",\"uid\":\"%s\"%s},"
                        "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i:1\","
                        "\"resources\":{\"requests\":{\"cpu\":\"1500m\"}}}]}}",
                        uid, uid, extra);
    sync_pod_changed(test->sync, tt_str(json, (size_t)size));
}

static struct sim_thing *running(struct test *test, const char *uid)
{
    for (size_t i = 0; i < test->sim.count; i++) {
        struct sim_thing *thing = &test->sim.things[i];
        if (thing->sandbox[0] != '\0' && thing->is_up && strcmp(thing->uid, uid) == 0) {
            return thing;
        }
    }
    return NULL;
}

#define DELETED ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":1"

#define DELETED_SLOWLY                                                                             \
    ",\"deletionTimestamp\":\"2099-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":30"

/* ---- the tests ---- */

static void lifecycle(struct test *test)
{
    struct sim_thing *container = running(test, "u1");
    if (test->phase == 0) {
        want_pod(test, "u1", "");
        sync_pods_complete(test->sync);
        test->phase = 1;
    } else if (test->phase == 1 && container != NULL) {
        assert_int_equal(container->attempt, 0);
        sim_exit(container, 1);
        sync_runtime_changed(test->sync);
        test->phase = 2;
    } else if (test->phase == 2 && container != NULL) {
        assert_int_equal(container->attempt, 1);
        assert_int_equal(container->backoff_ms, 10000);
        assert_int_equal(test->sim.starts, 2);
        want_pod(test, "u1", DELETED);
        test->phase = 3;
    } else if (test->phase == 3 && test->sim.count == 0) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/pods/u1", test->root);
        if (!tt_path_exists(path)) {
            sync_pod_deleted(test->sync, TT_STR("u1"));
            test->phase = 4;
        }
    } else if (test->phase == 4 && sync_pod_count(test->sync) == 0) {
        end(test);
    }
}

static void a_pod_lives_restarts_and_goes(void **state)
{
    (void)state;
    run(lifecycle);
}

static void adoption(struct test *test)
{
    if (test->phase == 0) {
        want_pod(test, "u1", "");
        want_pod(test, "u2", "");
        test->phase = 1;
    } else if (test->phase == 1 && running(test, "u1") && running(test, "u2")) {
        /* The agent is killed and started: it knows nothing, the runtime goes on. */
        sync_close(test->sync, ignore, NULL);
        test->sync = new_sync(test);
        want_pod(test, "u1", "");
        test->phase = 2;
    } else if (test->phase >= 2 && test->phase < 50) {
        /* Before all wanted pods are known, nobody is an orphan. */
        assert_non_null(running(test, "u2"));
        test->phase++;
    } else if (test->phase == 50) {
        sync_pods_complete(test->sync);
        test->phase = 51;
    } else if (test->phase == 51 && sync_pod_count(test->sync) == 1) {
        assert_non_null(running(test, "u1"));
        assert_null(running(test, "u2"));
        assert_int_equal(test->sim.starts, 2);
        end(test);
    }
}

static void a_new_agent_adopts_its_pods_and_removes_orphans(void **state)
{
    (void)state;
    run(adoption);
}

static void refusal(struct test *test)
{
    struct sync_log log;
    const struct sync_log_query query = {TT_STR("d"), TT_STR("p-u3"), TT_STR("c"), false};
    if (test->phase == 0) {
        want_pod(test, "u1", "");
        want_pod(test, "u2", "");
        test->phase = 1;
    } else if (test->phase == 1 && running(test, "u1") && running(test, "u2")) {
        want_pod(test, "u3", ""); /* 3 × 1.5 cores on a node of 4 */
        test->phase = 2;
    } else if (test->phase >= 2 && test->phase < 50) {
        assert_null(running(test, "u3"));
        assert_int_equal(sync_find_log(test->sync, &query, &log, NULL), TT_EINVAL);
        test->phase++;
    } else if (test->phase == 50) {
        end(test);
    }
}

static void a_pod_that_does_not_fit_is_not_started(void **state)
{
    (void)state;
    run(refusal);
}

static void reboot(struct test *test)
{
    struct sim_thing *container = running(test, "u1");
    if (test->phase == 0) {
        want_pod(test, "u1", "");
        test->phase = 1;
    } else if (test->phase == 1 && container != NULL) {
        for (size_t i = 0; i < test->sim.count; i++) {
            sim_exit(&test->sim.things[i], 255);
        }
        sync_runtime_changed(test->sync);
        test->phase = 2;
    } else if (test->phase == 2 && container != NULL) {
        assert_int_equal(container->attempt, 1);
        struct sim_thing *sandbox = sim_find(&test->sim, container->sandbox);
        assert_non_null(sandbox);
        assert_int_equal(sandbox->attempt, 1);
        end(test);
    }
}

static void a_lost_sandbox_is_made_again_under_a_new_name(void **state)
{
    (void)state;
    run(reboot);
}

/* The runtime tells that something happened, and shows only later what. How soon that is seen is
 * counted in polls, of which one goes by however long the machine stands still. */
static void late_picture(struct test *test)
{
    struct sim_thing *container = running(test, "u1");
    uint64_t now_ms = tt_clock_ms(tt_clock_real());
    test->polls++;
    if (test->phase == 0) {
        want_pod(test, "u1", "");
        test->phase = 1;
    } else if (test->phase == 1 && container != NULL) {
        sync_runtime_changed(test->sync);
        test->began_ms = now_ms;
        test->polls = 0;
        test->phase = 2;
    } else if (test->phase == 2 && now_ms >= test->began_ms + 300) {
        sim_exit(container, 137);
        test->phase = 3;
    } else if (test->phase == 3 && container != NULL) {
        assert_int_equal(container->attempt, 1);
        assert_true(test->polls < 3000 / POLL_MS); /* not by the slow look every 5 s */
        end(test);
    }
}

static void an_end_that_is_shown_late_is_seen_soon(void **state)
{
    (void)state;
    run(late_picture);
}

static void want_pod_with_hooks(struct test *test, const char *uid, const char *extra)
{
    char json[768];
    int size =
        snprintf(json, sizeof json,
                 "{\"metadata\":{\"name\":\"p-%s\",\"namespace\":\"d\",\"uid\":\"%s\"%s},"
                 "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i:1\",\"lifecycle\":{"
                 "\"postStart\":{\"exec\":{\"command\":[\"a\",\"b\"]}},\"preStop\":{"
                 "\"exec\":{\"command\":[\"c\"]}}}}]}}",
                 uid, uid, extra);
    sync_pod_changed(test->sync, tt_str(json, (size_t)size));
}

static void hooks(struct test *test)
{
    if (test->phase == 0) {
        want_pod_with_hooks(test, "u1", "");
        test->phase = 1;
    } else if (test->phase == 1 && test->sim.execs == 1) {
        assert_non_null(running(test, "u1"));
        want_pod_with_hooks(test, "u1", DELETED_SLOWLY);
        test->phase = 2;
    } else if (test->phase == 2 && test->sim.count == 0) {
        assert_int_equal(test->sim.execs, 2);
        assert_int_equal(test->sim.execs_at_stop, 2); /* before the stop */
        end(test);
    }
}

static void hooks_run_after_the_start_and_before_the_stop(void **state)
{
    (void)state;
    run(hooks);
}

static void failing_hook(struct test *test)
{
    const struct sim_thing *container = running(test, "u1");
    if (test->phase == 0) {
        test->sim.exec_code = 1;
        want_pod_with_hooks(test, "u1", "");
        test->phase = 1;
    } else if (test->phase == 1 && test->sim.execs == 1 && container == NULL) {
        assert_int_equal(test->sim.starts, 1); /* stopped, and not at once begun again */
        end(test);
    }
}

static void a_container_whose_start_hook_fails_is_stopped(void **state)
{
    (void)state;
    run(failing_hook);
}

enum { HOOKED_PODS = 6 }; /* as many as heavy steps may run at a time */

static void want_hooked_pods(struct test *test, const char *extra)
{
    for (unsigned i = 0; i < HOOKED_PODS; i++) {
        char uid[16];
        (void)snprintf(uid, sizeof uid, "h%u", i);
        want_pod_with_hooks(test, uid, extra);
    }
}

static void slow_stops(struct test *test)
{
    if (test->phase == 0) {
        want_hooked_pods(test, "");
        test->phase = 1;
    } else if (test->phase == 1 && test->sim.execs == HOOKED_PODS) {
        test->sim.execs_hang = true;
        want_hooked_pods(test, DELETED_SLOWLY);
        test->phase = 2;
    } else if (test->phase == 2 && test->sim.hanging_count == HOOKED_PODS) {
        want_pod(test, "u1", "");
        test->phase = 3;
    } else if (test->phase == 3 && running(test, "u1") != NULL) {
        assert_int_equal(test->sim.hanging_count, HOOKED_PODS);
        sim_end_hanging(&test->sim);
        test->phase = 4;
    } else if (test->phase == 4 && test->sim.count == 2) { /* sandbox and container of u1 */
        assert_non_null(running(test, "u1"));
        end(test);
    }
}

static void stops_that_take_long_do_not_keep_other_pods_from_starting(void **state)
{
    (void)state;
    run(slow_stops);
}

static void slow_starts(struct test *test)
{
    if (test->phase == 0) {
        test->sim.execs_hang = true;
        want_hooked_pods(test, "");
        test->phase = 1;
    } else if (test->phase == 1 && test->sim.hanging_count == HOOKED_PODS) {
        want_pod(test, "u1", "");
        test->phase = 2;
    } else if (test->phase == 2 && running(test, "u1") != NULL) {
        assert_int_equal(test->sim.hanging_count, HOOKED_PODS);
        end(test);
    }
}

static void start_hooks_that_hang_do_not_keep_other_pods_from_starting(void **state)
{
    (void)state;
    run(slow_starts);
}

static void deletion_in_hook(struct test *test)
{
    if (test->phase == 0) {
        test->sim.execs_hang = true;
        want_pod_with_hooks(test, "u1", "");
        sync_pods_complete(test->sync); /* what goes while files are left is cleaned all the same */
        test->phase = 1;
    } else if (test->phase == 1 && test->sim.hanging_count == 1) {
        test->sim.execs_hang = false;
        want_pod_with_hooks(test, "u1", DELETED_SLOWLY);
        test->phase = 2;
    } else if (test->phase == 2 && test->sim.count == 0) {
        assert_int_equal(test->sim.hanging_count, 1);
        assert_int_equal(test->sim.execs_at_stop, 2); /* preStop ran, beside the one that hangs */
        sync_pod_deleted(test->sync, TT_STR("u1"));
        sim_end_hanging(&test->sim);
        test->phase = 3;
    } else if (test->phase == 3 && sync_pod_count(test->sync) == 0) {
        assert_int_equal(test->sim.starts, 1);
        end(test);
    }
}

static void a_pod_that_is_deleted_does_not_wait_for_its_start_hook(void **state)
{
    (void)state;
    run(deletion_in_hook);
}

/* A runtime that refuses a removal is asked again soon, but not at once and for ever. */
static void refused_removal(struct test *test)
{
    uint64_t now_ms = tt_clock_ms(tt_clock_real());
    if (test->phase == 0) {
        want_pod(test, "u1", "");
        test->phase = 1;
    } else if (test->phase == 1 && running(test, "u1") != NULL) {
        test->sim.refusals = 2;
        test->began_ms = now_ms;
        want_pod(test, "u1", DELETED);
        test->phase = 2;
    } else if (test->phase == 2 && test->sim.count == 0) {
        assert_int_equal(test->sim.removals, 3);
        assert_true(now_ms >= test->began_ms + 2000);
        end(test);
    }
}

static void a_refused_removal_is_tried_again_after_a_while(void **state)
{
    (void)state;
    run(refused_removal);
}

static void host_of_pod(struct test *test)
{
    static const char json[] =
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"uid\":\"u1\"},\"spec\":{"
        "\"containers\":["
        "{\"name\":\"c\",\"image\":\"i:1\",\"env\":[{\"name\":\"HOST\",\"valueFrom\":{"
        "\"fieldRef\":{\"fieldPath\":\"status.hostIP\"}}}]}]}}";
    if (test->phase == 0) {
        sync_pod_changed(test->sync, tt_str_c(json));
        test->phase = 1;
    } else if (test->phase == 1 && running(test, "u1") != NULL) {
        assert_string_equal(test->sim.env, HOST);
        end(test);
    }
}

static void a_long_name_of_the_host_reaches_containers_whole(void **state)
{
    (void)state;
    run(host_of_pod);
}

/* The agent ends while the runtime does not answer. */
static void end_without_runtime(struct test *test)
{
    if (test->phase == 0) {
        test->sim.is_gone = true;
        sync_runtime_changed(test->sync);
        end(test); /* the list that runs is answered with an error while all is closed */
        test->phase = 1;
    }
}

static void an_agent_ends_while_its_runtime_is_gone(void **state)
{
    (void)state;
    run(end_without_runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_lives_restarts_and_goes),
        cmocka_unit_test(a_new_agent_adopts_its_pods_and_removes_orphans),
        cmocka_unit_test(a_pod_that_does_not_fit_is_not_started),
        cmocka_unit_test(a_lost_sandbox_is_made_again_under_a_new_name),
        cmocka_unit_test(an_end_that_is_shown_late_is_seen_soon),
        cmocka_unit_test(hooks_run_after_the_start_and_before_the_stop),
        cmocka_unit_test(a_container_whose_start_hook_fails_is_stopped),
        cmocka_unit_test(stops_that_take_long_do_not_keep_other_pods_from_starting),
        cmocka_unit_test(start_hooks_that_hang_do_not_keep_other_pods_from_starting),
        cmocka_unit_test(a_pod_that_is_deleted_does_not_wait_for_its_start_hook),
        cmocka_unit_test(a_refused_removal_is_tried_again_after_a_while),
        cmocka_unit_test(a_long_name_of_the_host_reaches_containers_whole),
        cmocka_unit_test(an_agent_ends_while_its_runtime_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
