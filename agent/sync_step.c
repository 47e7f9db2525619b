/* Steps: what an action becomes. A step pins its pod's entry and the pod as it was planned; what it
 * needs lives in its own arena.
 *
 *   prepare: volumes → sandbox
 *   start: image → environment, volumes → container → its postStart hook
 *   stop: its preStop hook within the grace period → stop with what is left of it
 * Heavy steps (prepare, the start proper, the removal of a sandbox) are counted and limited. Hooks
 * and stops are not: they mostly wait, as long as the pod's author likes, and must not keep other
 * pods from starting. A pod that is deleted does not wait for a postStart hook either: the step
 * gives its slot back, so that the stop is planned, and ends when its hook does.
 *
 * A failed start leaves reason and message on the slot and a time before which it is not tried
 * again: 10 s doubling to 5 min; objects that are not known yet are waited for without a penalty.
 */
#include <stdio.h>
#include <unistd.h>

#include "agent/cri_config.h"
#include "agent/sync_internal.h"
#include "base/log.h"

enum {
    ARENA_CHUNK = 16 << 10,
    ARENA_MAX = 64 << 20,
    UNKNOWN_RETRY_MS = 1000,
    END_RETRY_MS = 1000,
    POST_START_MS = 120000,
    HOOK_GRACE_S_MIN = 2
};

struct step {
    struct sync_pod *sp;       /* pinned: sp->steps counts this one */
    struct pod *pod;           /* as planned; NULL for one that nobody wants */
    struct plan_action action; /* copied; its id is NULL */
    char id[RT_ID_SIZE];       /* acted on; PLAN_START: the sandbox, then the container */
    char log_directory[VOLUMES_PATH_SIZE]; /* of the pod; "" until it is used */
    struct rt_call call;                   /* the one that runs now, of a chain */
    struct rt_container_config container;  /* PLAN_START: call points to it */
    struct files_job job;                  /* work on files between calls */
    struct volumes *volumes;               /* owned; of the job */
    uint64_t began_ms;                     /* monotonic, of a hook */
    bool is_heavy;                         /* counts in sync->heavy_steps */
    bool is_let_go;         /* its slot is no longer its own: nothing is said of its hook */
    struct tt_arena *arena; /* owned; environment, mounts, words of hooks */
};

static struct sync_slot *slot_of(const struct step *step)
{
    size_t index = step->action.index;
    bool of_container = index != SIZE_MAX && index < step->sp->container_count;
    return of_container ? &step->sp->containers[index] : &step->sp->sandbox;
}

static void log_step(const struct step *step, enum tt_log_level level, const char *text,
                     const struct tt_err *err)
{
    const struct pod *pod = step->pod;
    size_t index = step->action.index;
    const char *container =
        pod != NULL && index < pod->container_count ? pod->containers[index].name : "";
    if (err != NULL) {
        TT_LOG(level, "sync", text, TT_F_C("namespace", pod ? pod->namespace : ""),
               TT_F_C("name", pod ? pod->name : step->sp->uid), TT_F_C("container", container),
               TT_F_C("verb", plan_verb_name(step->action.verb)), TT_F_ERR(err));
    } else {
        TT_LOG(level, "sync", text, TT_F_C("namespace", pod ? pod->namespace : ""),
               TT_F_C("name", pod ? pod->name : step->sp->uid), TT_F_C("container", container),
               TT_F_C("verb", plan_verb_name(step->action.verb)));
    }
}

static void leave_heavy(struct step *step)
{
    if (step->is_heavy) {
        TT_ASSERT(step->sp->sync->heavy_steps > 0);
        step->is_heavy = false;
        step->sp->sync->heavy_steps--;
        sync_pass_in(step->sp->sync, 0); /* another one may begin */
    }
}

/* Free for the next step once a snapshot has shown what this one did. */
static void leave_slot(struct step *step)
{
    struct sync_slot *slot = slot_of(step);
    slot->running = false;
    slot->hook = NULL;
    slot->visible_seq = step->sp->sync->list_seq + 1;
}

static void step_free(struct step *step)
{
    struct sync_pod *sp = step->sp;
    struct sync *sync = sp->sync;
    leave_heavy(step);
    if (!step->is_let_go) {
        leave_slot(step);
    }
    sp->steps--;
    sync->steps--;
    pod_unref(step->pod);
    volumes_free(step->volumes);
    tt_arena_free(step->arena);
    tt_free(step);
    if (sync->closing) {
        sync_free_when_done(sync);
    } else {
        sync_want_list(sync);
        sync_pass_in(sync, 0);
    }
}

static uint64_t retry_delay_ms(uint32_t fails)
{
    uint64_t delay_ms = PLAN_BACKOFF_MS_MIN;
    for (uint32_t i = 1; i < fails && delay_ms < PLAN_BACKOFF_MS_MAX; i++) {
        delay_ms *= 2;
    }
    return delay_ms < PLAN_BACKOFF_MS_MAX ? delay_ms : PLAN_BACKOFF_MS_MAX;
}

static void step_failed(struct step *step, const char *reason, const struct tt_err *err)
{
    struct sync_slot *slot = slot_of(step);
    uint64_t delay_ms = UNKNOWN_RETRY_MS;
    if (err->code != TT_ECANCELED) {
        log_step(step, err->code == TT_EBUSY ? TT_LOG_DEBUG : TT_LOG_WARN, "a step failed", err);
    }
    if (err->code != TT_EBUSY && err->code != TT_EEXISTS) {
        slot->fails++;
        delay_ms = retry_delay_ms(slot->fails);
        (void)snprintf(slot->reason, sizeof slot->reason, "%s", reason);
        (void)tt_err_format(err, slot->message, sizeof slot->message); /* cut is fine */
    }
    slot->retry_ms = sync_wall_ms(step->sp->sync) + delay_ms;
    step_free(step);
}

static void step_succeeded(struct step *step)
{
    struct sync_slot *slot = slot_of(step);
    if (step->action.verb == PLAN_START || step->action.verb == PLAN_PREPARE) {
        slot->fails = 0;
        slot->retry_ms = 0;
        slot->reason[0] = '\0';
        slot->message[0] = '\0';
    }
    log_step(step, TT_LOG_INFO, "a step is done", NULL);
    step_free(step);
}

static void start_call(struct step *step, const char *reason)
{
    struct tt_err err;
    tt_err_init(&err);
    if (rt_start(step->sp->sync->config.driver, &step->call, &err) != TT_OK) {
        step_failed(step, reason, &err);
    }
}

/* ---- Events ---- */

static struct events_about about(const struct step *step)
{
    return (struct events_about){step->pod, step->action.index};
}

/* What failed for good (not what is waited for, nor what the end of the agent interrupts). */
static void tell_failure(const struct step *step, const char *reason, const char *what,
                         const struct tt_err *err)
{
    char text[512];
    if (err->code != TT_ECANCELED && err->code != TT_EBUSY && err->code != TT_EEXISTS) {
        (void)tt_err_format(err, text, sizeof text); /* cut is fine */
        events_pod(step->sp->sync->config.events, about(step), EVENTS_WARNING, reason, "%s%s", what,
                   text);
    }
}

static const char *container_name(const struct step *step)
{
    return step->pod->containers[step->action.index].name;
}

static void tell_image(const struct step *step, const struct rt_call *call,
                       const struct tt_err *err)
{
    struct events *events = step->sp->sync->config.events;
    if (err == NULL) {
        events_pod(events, about(step), EVENTS_NORMAL, "Pulled",
                   call->pulled ? "Successfully pulled image \"%s\""
                                : "Container image \"%s\" already present on machine",
                   call->image);
    } else if (call->policy == RT_IMAGE_NEVER) {
        tell_failure(step, "ErrImageNeverPull", "", err);
    } else {
        char what[320];
        (void)snprintf(what, sizeof what, "Failed to pull image \"%.256s\": ", call->image);
        tell_failure(step, "Failed", what, err);
    }
}

static void tell_stop(const struct step *step)
{
    struct events *events = step->sp->sync->config.events;
    size_t index = step->action.index;
    if (step->pod == NULL || index >= step->pod->container_count) {
        return; /* nobody's container */
    }
    const struct sync_slot *slot = &step->sp->containers[index];
    bool is_unhealthy = !step->pod->is_deleting && strcmp(slot->unhealthy_id, step->id) == 0;
    events_pod(events, about(step), EVENTS_NORMAL, "Killing",
               is_unhealthy ? "Container %s failed its probe, will be restarted"
                            : "Stopping container %s",
               container_name(step));
}

/* ---- files ---- */

static int apply_volumes(struct files_job *job, struct tt_err *err)
{
    const struct step *step = job->ctx;
    return volumes_apply(step->volumes, err);
}

/* Goes on with the runtime call that was filled in, unless the agent stops meanwhile. */
static void run_job(struct step *step, int (*work)(struct files_job *job, struct tt_err *err),
                    void (*done)(struct files_job *job, const struct tt_err *err))
{
    step->job = (struct files_job){.work = work, .done = done, .ctx = step};
    (void)snprintf(step->job.pod, sizeof step->job.pod, "%s", step->sp->uid);
    files_run(&step->sp->sync->files, &step->job);
}

/* ---- hooks ---- */

/* The command of lifecycle.<hook>.exec into the call; false: the container has none. */
static bool fill_hook(struct step *step, const char *hook)
{
    const struct pod *pod = step->pod;
    if (pod == NULL || step->action.index >= pod->container_count) {
        return false;
    }
    yyjson_val *lifecycle = yyjson_obj_get(pod->containers[step->action.index].spec, "lifecycle");
    yyjson_val *list = tt_json_iget(yyjson_obj_get(lifecycle, hook), "exec.command");
    size_t count = yyjson_arr_size(list);
    const char **words = count > 0 ? tt_arena_alloc(step->arena, count * sizeof *words) : NULL;
    size_t index;
    yyjson_val *word;
    if (words == NULL) {
        return false;
    }
    yyjson_arr_foreach(list, index, count, word)
    {
        words[index] = yyjson_get_str(word); /* the pod lives as long as the step */
    }
    step->call = (struct rt_call){
        .verb = RT_EXEC, .id = step->id, .command = words, .command_count = count, .ctx = step};
    return true;
}

/* A hook that cannot be run, or ends with another code than 0, failed. */
static bool hook_failed(const struct step *step, const char *reason, const struct tt_err *err)
{
    const struct rt_call *call = &step->call;
    if (err != NULL) {
        tell_failure(step, reason, "", err);
    } else if (call->exit_code != 0) {
        events_pod(step->sp->sync->config.events, about(step), EVENTS_WARNING, reason,
                   "the hook ended with code %d: %s", call->exit_code, call->output);
    }
    return err != NULL || call->exit_code != 0;
}

static void hook_less_stopped(struct rt_call *call, const struct tt_err *err)
{
    struct step *step = call->ctx;
    struct tt_err own;
    tt_err_init(&own);
    (void)err; /* it ended by itself, or the plan stops it */
    (void)TT_FAIL(&own, TT_EINVAL, "the hook postStart failed");
    step_failed(step, "PostStartHookError", &own);
}

/* As Kubernetes: a container whose postStart failed is stopped; it is restarted like any other. */
static void post_start_done(struct rt_call *call, const struct tt_err *err)
{
    struct step *step = call->ctx;
    if (step->is_let_go) {
        step_free(step); /* the container is stopped, or is being stopped, as it is */
        return;
    }
    slot_of(step)->hook = NULL;
    if (!hook_failed(step, "FailedPostStartHook", err)) {
        step_succeeded(step);
        return;
    }
    step->call = (struct rt_call){.verb = RT_STOP,
                                  .id = step->id,
                                  .grace_s = step->pod->grace_s,
                                  .done = hook_less_stopped,
                                  .ctx = step};
    start_call(step, "PostStartHookError");
}

static void simple_done(struct rt_call *call, const struct tt_err *err);

/* What is left of the grace period, but never less than a moment, is the container's own. */
static void pre_stop_done(struct rt_call *call, const struct tt_err *err)
{
    struct step *step = call->ctx;
    uint64_t took_s = (sync_mono_ms(step->sp->sync) - step->began_ms) / 1000;
    uint64_t left_s = step->action.grace_s > took_s ? step->action.grace_s - took_s : 0;
    (void)hook_failed(step, "FailedPreStopHook", err); /* told; the container is stopped anyway */
    step->call = (struct rt_call){.verb = RT_STOP,
                                  .id = step->id,
                                  .grace_s = left_s > HOOK_GRACE_S_MIN ? left_s : HOOK_GRACE_S_MIN,
                                  .done = simple_done,
                                  .ctx = step};
    start_call(step, "RuntimeError");
}

/* False: there is nothing to run before the stop, or no time for it. */
static bool run_pre_stop(struct step *step)
{
    if (step->action.grace_s == 0 || !fill_hook(step, "preStop")) {
        return false;
    }
    step->began_ms = sync_mono_ms(step->sp->sync);
    step->call.timeout_ms = step->action.grace_s * 1000;
    step->call.done = pre_stop_done;
    start_call(step, "RuntimeError");
    return true;
}

/* ---- start ---- */

static void container_started(struct rt_call *call, const struct tt_err *err)
{
    struct step *step = call->ctx;
    struct events *events = step->sp->sync->config.events;
    bool made = call->new_id[0] != '\0';
    if (made) {
        events_pod(events, about(step), EVENTS_NORMAL, "Created", "Created container: %s",
                   container_name(step));
    }
    if (err != NULL) {
        tell_failure(step, "Failed", "Error: ", err);
        step_failed(step, made ? "RunContainerError" : "CreateContainerError", err);
    } else {
        events_pod(events, about(step), EVENTS_NORMAL, "Started", "Started container %s",
                   container_name(step));
        (void)snprintf(step->id, sizeof step->id, "%s", call->new_id);
        if (!fill_hook(step, "postStart")) {
            step_succeeded(step);
            return;
        }
        step->call.timeout_ms = POST_START_MS;
        step->call.done = post_start_done;
        slot_of(step)->hook = step;
        leave_heavy(step);
        start_call(step, "PostStartHookError");
    }
}

void sync_let_hooks_go(struct sync_pod *sp)
{
    for (size_t i = 0; i < sp->container_count; i++) {
        struct step *step = sp->containers[i].hook;
        if (step != NULL) {
            leave_slot(step);
            step->is_let_go = true;
            sync_want_list(sp->sync);
        }
    }
}

static void config_failed(struct step *step, const struct tt_err *err)
{
    tell_failure(step, "Failed", "Error: ", err);
    step_failed(step, SYNC_REASON_CONFIG, err);
}

static void files_there(struct files_job *job, const struct tt_err *err)
{
    struct step *step = job->ctx;
    if (err != NULL) {
        config_failed(step, err);
        return;
    }
    step->call = (struct rt_call){
        .verb = RT_START, .container = &step->container, .done = container_started, .ctx = step};
    start_call(step, "CreateContainerError");
}

static void start_container(struct step *step)
{
    struct sync *sync = step->sp->sync;
    struct env_context context = sync_env_context(step->sp);
    struct tt_err err;
    tt_err_init(&err);
    context.pod = step->pod;
    step->container = (struct rt_container_config){.pod = step->pod,
                                                   .index = step->action.index,
                                                   .attempt = step->action.attempt,
                                                   .backoff_ms = step->action.backoff_ms,
                                                   .sandbox_id = step->id,
                                                   .log_directory = step->log_directory};
    int r = volumes_plan(sync->root, &context, &step->volumes, &err);
    if (r == TT_OK) {
        r = env_resolve(&context, step->arena, &step->container, &err);
    }
    if (r == TT_OK) {
        r = volumes_mounts(sync->root, &context, step->arena, &step->container, &err);
    }
    if (r == TT_OK) {
        r = volumes_log_path(sync->root, step->pod->namespace, step->pod->name, step->pod->uid,
                             step->log_directory, &err);
    }
    if (r != TT_OK) {
        config_failed(step, &err);
        return;
    }
    run_job(step, apply_volumes, files_there);
}

static void image_there(struct rt_call *call, const struct tt_err *err)
{
    struct step *step = call->ctx;
    tell_image(step, call, err);
    if (err == NULL && !step->sp->sync->closing) {
        start_container(step);
        return;
    }
    struct tt_err canceled;
    tt_err_init(&canceled);
    if (err == NULL) {
        (void)TT_FAIL(&canceled, TT_ECANCELED, "the agent stops");
        err = &canceled;
    }
    bool never = call->policy == RT_IMAGE_NEVER && err->code == TT_ENOTFOUND;
    const char *reason = never                           ? "ErrImageNeverPull"
                         : slot_of(step)->fails % 2 == 0 ? "ErrImagePull"
                                                         : "ImagePullBackOff";
    step_failed(step, reason, err);
}

/* As Kubernetes: without a policy, an image named :latest or without a tag is always pulled. */
static enum rt_image_policy image_policy(const struct pod_container *container)
{
    struct tt_str policy = tt_json_iget_str(container->spec, "imagePullPolicy");
    const char *slash = strrchr(container->image, '/');
    const char *tag = strchr(slash ? slash : container->image, ':');
    if (policy.len == 0) {
        bool latest =
            strchr(container->image, '@') == NULL && (tag == NULL || strcmp(tag, ":latest") == 0);
        return latest ? RT_IMAGE_ALWAYS : RT_IMAGE_IF_NOT_PRESENT;
    }
    return tt_str_eq_c(policy, "Never")    ? RT_IMAGE_NEVER
           : tt_str_eq_c(policy, "Always") ? RT_IMAGE_ALWAYS
                                           : RT_IMAGE_IF_NOT_PRESENT;
}

static void begin_start(struct step *step)
{
    const struct pod_container *container = &step->pod->containers[step->action.index];
    step->call = (struct rt_call){.verb = RT_IMAGE,
                                  .image = container->image,
                                  .policy = image_policy(container),
                                  .done = image_there,
                                  .ctx = step};
    start_call(step, "ErrImagePull");
}

/* ---- prepare ---- */

static void prepared(struct rt_call *call, const struct tt_err *err)
{
    struct step *step = call->ctx;
    if (err != NULL) {
        tell_failure(step, "FailedCreatePodSandBox", "Failed to create pod sandbox: ", err);
        step_failed(step, "CreatePodSandboxError", err);
    } else {
        step_succeeded(step);
    }
}

static void mount_failed(struct step *step, const struct tt_err *err)
{
    tell_failure(step, "FailedMount", "MountVolume.SetUp failed for ", err);
    step_failed(step, SYNC_REASON_MOUNT, err);
}

static void volumes_there(struct files_job *job, const struct tt_err *err)
{
    struct step *step = job->ctx;
    if (err != NULL) {
        mount_failed(step, err);
        return;
    }
    step->call = (struct rt_call){.verb = RT_PREPARE,
                                  .pod = step->pod,
                                  .attempt = step->action.attempt,
                                  .log_directory = step->log_directory,
                                  .done = prepared,
                                  .ctx = step};
    start_call(step, "CreatePodSandboxError");
}

static void begin_prepare(struct step *step)
{
    struct sync_pod *sp = step->sp;
    struct env_context context = sync_env_context(sp);
    struct tt_err err;
    tt_err_init(&err);
    sp->has_files = true;
    int r = volumes_plan(sp->sync->root, &context, &step->volumes, &err);
    if (r == TT_OK) {
        r = volumes_log_path(sp->sync->root, step->pod->namespace, step->pod->name, step->pod->uid,
                             step->log_directory, &err);
    }
    if (r != TT_OK) {
        mount_failed(step, &err);
        return;
    }
    run_job(step, apply_volumes, volumes_there);
}

/* ---- the others ---- */

/* A stop or removal that the runtime refuses (a container that it is just starting, say) is tried
 * again soon, whatever the starts of that container wait for. */
static void end_failed(struct step *step, const struct tt_err *err)
{
    struct sync *sync = step->sp->sync;
    if (err->code != TT_ECANCELED) {
        log_step(step, TT_LOG_WARN, "a step failed", err);
    }
    slot_of(step)->end_retry_ms = sync_mono_ms(sync) + END_RETRY_MS;
    step_free(step);
}

static void simple_done(struct rt_call *call, const struct tt_err *err)
{
    struct step *step = call->ctx;
    if (err != NULL) {
        end_failed(step, err);
    } else {
        step_succeeded(step);
    }
}

/* The log of an instance that goes for good: absent is fine, what stays goes with the pod. */
static int remove_log(struct files_job *job, struct tt_err *err)
{
    const struct step *step = job->ctx;
    char path[VOLUMES_PATH_SIZE + CRI_LOG_PATH_SIZE + 4];
    char log[CRI_LOG_PATH_SIZE];
    (void)err; /* nothing depends on it */
    cri_log_path(container_name(step), step->action.attempt, log);
    (void)snprintf(path, sizeof path, "%s/%s.1", step->log_directory, log);
    (void)unlink(path); /* the rotated part */
    (void)snprintf(path, sizeof path, "%s/%s", step->log_directory, log);
    (void)unlink(path);
    return TT_OK;
}

static void log_removed(struct files_job *job, const struct tt_err *err)
{
    struct step *step = job->ctx;
    TT_ASSERT(err == NULL);
    start_call(step, "RuntimeError");
}

static void begin_simple(struct step *step, enum rt_verb verb)
{
    const struct pod *pod = step->pod;
    step->call = (struct rt_call){.verb = verb,
                                  .id = step->id,
                                  .grace_s = step->action.grace_s,
                                  .done = simple_done,
                                  .ctx = step};
    if (verb == RT_STOP) {
        tell_stop(step);
        if (run_pre_stop(step)) {
            return;
        }
    }
    if (verb == RT_REMOVE_CONTAINER && pod != NULL && step->action.index < pod->container_count &&
        volumes_log_path(step->sp->sync->root, pod->namespace, pod->name, pod->uid,
                         step->log_directory, NULL) == TT_OK) {
        run_job(step, remove_log, log_removed);
    } else {
        start_call(step, "RuntimeError");
    }
}

static bool is_heavy(enum plan_verb verb)
{
    return verb == PLAN_PREPARE || verb == PLAN_START || verb == PLAN_REMOVE_SANDBOX;
}

static struct step *step_new(struct sync_pod *sp, const struct plan_action *action)
{
    struct step *step = TT_NEW(struct step);
    step->sp = sp;
    step->pod = sp->pod != NULL ? pod_ref(sp->pod) : NULL;
    step->action = *action;
    step->action.id = NULL; /* it borrowed from a snapshot */
    (void)snprintf(step->id, sizeof step->id, "%s", action->id != NULL ? action->id : "");
    step->arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    step->is_heavy = is_heavy(action->verb);
    slot_of(step)->running = true;
    sp->steps++;
    sp->sync->steps++;
    sp->sync->heavy_steps += step->is_heavy ? 1 : 0;
    TT_ASSERT(sp->sync->heavy_steps <= SYNC_HEAVY_MAX);
    return step;
}

static enum rt_verb runtime_verb(enum plan_verb verb)
{
    return verb == PLAN_STOP               ? RT_STOP
           : verb == PLAN_REMOVE_CONTAINER ? RT_REMOVE_CONTAINER
           : verb == PLAN_STOP_SANDBOX     ? RT_STOP_SANDBOX
                                           : RT_REMOVE_SANDBOX;
}

void sync_step(struct sync_pod *sp, const struct plan_action *action)
{
    if (action->verb == PLAN_CLEAN) {
        sync_clean(sp);
        return;
    }
    if (action->verb == PLAN_DELETE) {
        sync_delete_object(sp);
        return;
    }
    size_t index = action->index;
    const struct sync_slot *slot =
        index != SIZE_MAX && index < sp->container_count ? &sp->containers[index] : &sp->sandbox;
    bool full = is_heavy(action->verb) && sp->sync->heavy_steps >= SYNC_HEAVY_MAX;
    bool is_start = action->verb == PLAN_PREPARE || action->verb == PLAN_START;
    uint64_t now_ms = sync_mono_ms(sp->sync);
    if (!is_start && now_ms < slot->end_retry_ms) {
        sync_pass_in(sp->sync, slot->end_retry_ms - now_ms);
        return;
    }
    if (full || sp->sync->closing || slot->running) {
        return; /* the step that ends plans again */
    }
    struct step *step = step_new(sp, action);
    if (action->verb == PLAN_PREPARE) {
        begin_prepare(step);
    } else if (action->verb == PLAN_START) {
        begin_start(step);
    } else {
        begin_simple(step, runtime_verb(action->verb));
    }
}
