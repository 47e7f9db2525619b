/* What kubectl shows comes from here: phase, conditions, and a state for each container, where an
 * ended container that will run again is "waiting" with its end in lastState. */
#include "agent/status.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"

struct writer {
    const struct status_input *in; /* borrowed */
    struct tt_json_writer json;    /* into the caller's buffer */
    const char *phase;             /* "Pending", "Running", …; static */
};

static void write_time(struct tt_json_writer *json, const char *key, uint64_t wall_ms)
{
    char text[TT_TIME_TEXT_SIZE];
    if (wall_ms > 0) {
        (void)tt_time_format(wall_ms, text);
        tt_json_c(json, key, text);
    } else {
        tt_json_c(json, key, NULL);
    }
}

static const struct rt_container *instance(const struct writer *w, size_t index, size_t age)
{
    return rt_pod_container(&w->in->seen, tt_str_c(w->in->pod->containers[index].name), age);
}

/* ---- containers ---- */

static void write_terminated(struct tt_json_writer *json, const struct rt_container *container)
{
    char id[RT_ID_SIZE + 16];
    (void)snprintf(id, sizeof id, "containerd://%s", container->id);
    tt_json_object(json, "terminated");
    tt_json_i64(json, "exitCode", container->exit_code);
    tt_json_c(json, "reason",
              container->reason[0] != '\0' ? container->reason
              : container->exit_code == 0  ? "Completed"
                                           : "Error");
    if (container->message[0] != '\0') {
        tt_json_c(json, "message", container->message);
    }
    write_time(json, "startedAt", (uint64_t)container->started_ms);
    write_time(json, "finishedAt", (uint64_t)container->finished_ms);
    tt_json_c(json, "containerID", id);
    tt_json_object_end(json);
}

static void write_waiting(struct tt_json_writer *json, const char *reason, const char *message)
{
    tt_json_object(json, "waiting");
    tt_json_c(json, "reason", reason);
    if (message != NULL && message[0] != '\0') {
        tt_json_c(json, "message", message);
    }
    tt_json_object_end(json);
}

static bool init_done(const struct writer *w)
{
    const struct pod *pod = w->in->pod;
    for (size_t i = pod->init_count; i < pod->container_count; i++) {
        if (instance(w, i, 0) != NULL) {
            return true;
        }
    }
    for (size_t i = 0; i < pod->init_count; i++) {
        const struct rt_container *newest = instance(w, i, 0);
        if (newest == NULL || newest->state != RT_EXITED || newest->exit_code != 0) {
            return false;
        }
    }
    return true;
}

/* An ended container that the plan will start again, but not yet. */
static bool backs_off(const struct writer *w, size_t index, const struct rt_container *ended)
{
    const struct pod *pod = w->in->pod;
    bool again = pod->restart == POD_RESTART_ALWAYS ||
                 (pod->restart == POD_RESTART_ON_FAILURE && ended->exit_code != 0);
    if (pod->containers[index].is_init) {
        again = ended->exit_code != 0 && pod->restart != POD_RESTART_NEVER;
    }
    return again && !pod->is_deleting && plan_restart_delay_ms(ended) > 0;
}

static void write_crash_loop(struct writer *w, size_t index, const struct rt_container *ended)
{
    char text[512];
    (void)snprintf(text, sizeof text, "back-off %us restarting failed container=%s pod=%s_%s(%s)",
                   (unsigned)(plan_restart_delay_ms(ended) / 1000),
                   w->in->pod->containers[index].name, w->in->pod->name, w->in->pod->namespace,
                   w->in->pod->uid);
    write_waiting(&w->json, "CrashLoopBackOff", text);
}

static void write_state(struct writer *w, size_t index, const struct rt_container *newest)
{
    const struct status_container *known = &w->in->containers[index];
    bool init = w->in->pod->containers[index].is_init;
    tt_json_object(&w->json, "state");
    if (newest != NULL && newest->state == RT_RUNNING) {
        tt_json_object(&w->json, "running");
        write_time(&w->json, "startedAt", (uint64_t)newest->started_ms);
        tt_json_object_end(&w->json);
    } else if (known->reason != NULL) {
        write_waiting(&w->json, known->reason, known->message);
    } else if (newest != NULL && newest->state == RT_EXITED) {
        if (backs_off(w, index, newest)) {
            write_crash_loop(w, index, newest);
        } else {
            write_terminated(&w->json, newest);
        }
    } else {
        write_waiting(&w->json, init || init_done(w) ? "ContainerCreating" : "PodInitializing",
                      NULL);
    }
    tt_json_object_end(&w->json);
}

/* The end before the current state: of this instance while it waits, else of the one before. */
static const struct rt_container *last_end(const struct writer *w, size_t index,
                                           const struct rt_container *newest)
{
    bool waits = newest != NULL && newest->state == RT_EXITED &&
                 (w->in->containers[index].reason != NULL || backs_off(w, index, newest));
    const struct rt_container *end = waits ? newest : instance(w, index, 1);
    return end != NULL && end->state == RT_EXITED ? end : NULL;
}

static bool is_ready(const struct writer *w, size_t index)
{
    const struct rt_container *newest = instance(w, index, 0);
    const struct status_container *known = &w->in->containers[index];
    if (w->in->pod->containers[index].is_init) {
        return newest != NULL && newest->state == RT_EXITED && newest->exit_code == 0;
    }
    return newest != NULL && newest->state == RT_RUNNING && known->ready && known->started;
}

static void write_container(struct writer *w, size_t index)
{
    const struct pod_container *container = &w->in->pod->containers[index];
    const struct rt_container *newest = instance(w, index, 0);
    const struct rt_container *end = last_end(w, index, newest);
    char id[RT_ID_SIZE + 16] = "";
    if (newest != NULL) {
        (void)snprintf(id, sizeof id, "containerd://%s", newest->id);
    }
    tt_json_object(&w->json, NULL);
    tt_json_c(&w->json, "name", container->name);
    write_state(w, index, newest);
    tt_json_object(&w->json, "lastState");
    if (end != NULL) {
        write_terminated(&w->json, end);
    }
    tt_json_object_end(&w->json);
    tt_json_bool(&w->json, "ready", is_ready(w, index));
    tt_json_u64(&w->json, "restartCount", newest != NULL ? newest->attempt : 0);
    tt_json_c(&w->json, "image", container->image);
    tt_json_c(&w->json, "imageID", newest != NULL ? newest->image_ref : "");
    tt_json_c(&w->json, "containerID", id);
    tt_json_bool(&w->json, "started",
                 newest != NULL && newest->state == RT_RUNNING && w->in->containers[index].started);
    tt_json_object_end(&w->json);
}

static void write_containers(struct writer *w, const char *key, size_t first, size_t end)
{
    if (first == end || w->in->refused_reason != NULL) {
        return; /* what was refused never had containers */
    }
    tt_json_array(&w->json, key);
    for (size_t i = first; i < end; i++) {
        write_container(w, i);
    }
    tt_json_array_end(&w->json);
}

/* ---- phase and conditions ---- */

static const char *phase_of(const struct writer *w)
{
    const struct pod *pod = w->in->pod;
    if (w->in->refused_reason != NULL) {
        return "Failed";
    }
    if (pod->is_finished) {
        return tt_str_eq_c(tt_json_iget_str(pod->status, "phase"), "Succeeded") ? "Succeeded"
                                                                                : "Failed";
    }
    switch (plan_end_of(pod, &w->in->seen)) {
    case PLAN_SUCCEEDED:
        return "Succeeded";
    case PLAN_FAILED:
        return "Failed";
    case PLAN_GOES_ON:
        break;
    }
    for (size_t i = pod->init_count; i < pod->container_count; i++) {
        const struct rt_container *newest = instance(w, i, 0);
        if (newest != NULL && newest->state != RT_CREATED) {
            return "Running";
        }
    }
    return "Pending";
}

static yyjson_val *previous_condition(const struct writer *w, const char *type)
{
    size_t index;
    size_t count;
    yyjson_val *condition;
    yyjson_arr_foreach(yyjson_obj_get(w->in->previous, "conditions"), index, count, condition)
    {
        if (tt_str_eq_c(tt_json_iget_str(condition, "type"), type)) {
            return condition;
        }
    }
    return NULL;
}

static void write_condition(struct writer *w, const char *type, bool is_true, const char *reason,
                            const char *message)
{
    yyjson_val *previous = previous_condition(w, type);
    const char *status = is_true ? "True" : "False";
    struct tt_str since = tt_json_iget_str(previous, "lastTransitionTime");
    tt_json_object(&w->json, NULL);
    tt_json_c(&w->json, "type", type);
    tt_json_c(&w->json, "status", status);
    tt_json_c(&w->json, "lastProbeTime", NULL);
    if (since.len > 0 && tt_str_eq_c(tt_json_iget_str(previous, "status"), status)) {
        tt_json_str(&w->json, "lastTransitionTime", since);
    } else {
        write_time(&w->json, "lastTransitionTime", w->in->now_ms);
    }
    if (reason != NULL) {
        tt_json_c(&w->json, "reason", reason);
    }
    if (message != NULL && message[0] != '\0') {
        tt_json_c(&w->json, "message", message);
    }
    tt_json_object_end(&w->json);
}

/* "containers with unready status: [a b]" into text; false: all are ready. */
static bool unready(const struct writer *w, size_t first, size_t end, struct tt_buf *text)
{
    bool any = false;
    for (size_t i = first; i < end; i++) {
        if (!is_ready(w, i)) {
            tt_buf_printf(text, "%s%s", any ? " " : "containers with unready status: [",
                          w->in->pod->containers[i].name);
            any = true;
        }
    }
    if (any) {
        tt_buf_char(text, ']');
    }
    return any;
}

/* Conditions of others (the scheduler's, readiness gates) stay as they are. */
static void write_foreign(struct writer *w)
{
    static const char *const own[] = {"PodReadyToStartContainers", "Initialized", "ContainersReady",
                                      "Ready"};
    size_t index;
    size_t count;
    yyjson_val *condition;
    yyjson_arr_foreach(tt_json_iget(w->in->pod->status, "conditions"), index, count, condition)
    {
        bool is_own = false;
        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
            is_own = is_own || tt_str_eq_c(tt_json_iget_str(condition, "type"), own[i]);
        }
        if (!is_own) {
            TT_AUTO_BUF struct tt_buf raw;
            tt_buf_init(&raw, 64 << 10);
            tt_json_iwrite(&raw, condition);
            tt_json_raw(&w->json, NULL, tt_buf_view(&raw));
        }
    }
}

static void write_conditions(struct writer *w)
{
    const struct pod *pod = w->in->pod;
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 8 << 10);
    bool completed = strcmp(w->phase, "Succeeded") == 0;
    bool ended = completed || strcmp(w->phase, "Failed") == 0;
    bool sandbox = w->in->seen.sandbox_count > 0 && w->in->seen.sandboxes[0].ready;
    tt_json_array(&w->json, "conditions");
    write_foreign(w);
    write_condition(w, "PodReadyToStartContainers", sandbox, NULL, NULL);
    bool done = init_done(w) || completed;
    write_condition(w, "Initialized", done, done ? NULL : "ContainersNotInitialized", NULL);
    bool missing = unready(w, pod->init_count, pod->container_count, &text);
    bool ready = !ended && !missing;
    const char *reason = ready       ? NULL
                         : completed ? "PodCompleted"
                         : ended     ? "PodFailed"
                                     : "ContainersNotReady";
    const char *message = ready || ended || !tt_buf_ok(&text) ? NULL : text.ptr;
    write_condition(w, "ContainersReady", ready, reason, message);
    write_condition(w, "Ready", ready && !pod->is_deleting,
                    reason == NULL && pod->is_deleting ? "PodIsTerminating" : reason, message);
    tt_json_array_end(&w->json);
}

static void write_addresses(struct writer *w)
{
    const struct pod *pod = w->in->pod;
    const char *ip = "";
    if (w->in->seen.sandbox_count > 0 && w->in->seen.sandboxes[0].ready) {
        ip = pod->host_network ? w->in->host_ip : w->in->seen.sandboxes[0].ip;
    }
    tt_json_c(&w->json, "hostIP", w->in->host_ip);
    tt_json_array(&w->json, "hostIPs");
    tt_json_object(&w->json, NULL);
    tt_json_c(&w->json, "ip", w->in->host_ip);
    tt_json_object_end(&w->json);
    tt_json_array_end(&w->json);
    if (ip[0] != '\0') {
        tt_json_c(&w->json, "podIP", ip);
        tt_json_array(&w->json, "podIPs");
        tt_json_object(&w->json, NULL);
        tt_json_c(&w->json, "ip", ip);
        tt_json_object_end(&w->json);
        tt_json_array_end(&w->json);
    }
}

void status_write(const struct status_input *input, struct tt_buf *buf)
{
    struct writer w = {.in = input};
    struct tt_str since = tt_json_iget_str(input->previous, "startTime");
    if (since.len == 0) {
        since = tt_json_iget_str(input->pod->status, "startTime");
    }
    w.phase = phase_of(&w);
    tt_json_begin(&w.json, buf);
    tt_json_object(&w.json, NULL);
    tt_json_c(&w.json, "phase", w.phase);
    if (input->refused_reason != NULL) {
        tt_json_c(&w.json, "reason", input->refused_reason);
        tt_json_c(&w.json, "message", input->refused_message);
    }
    tt_json_c(&w.json, "qosClass", pod_qos(input->pod));
    if (since.len > 0) {
        tt_json_str(&w.json, "startTime", since);
    } else {
        write_time(&w.json, "startTime", input->start_ms);
    }
    write_addresses(&w);
    write_conditions(&w);
    write_containers(&w, "initContainerStatuses", 0, input->pod->init_count);
    write_containers(&w, "containerStatuses", input->pod->init_count, input->pod->container_count);
    tt_json_object_end(&w.json);
}
