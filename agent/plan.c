/* Names of instances: sandbox and container attempts only grow; the next one is one above the
 * newest seen, so that a name is never used twice while the runtime remembers it. A container keeps
 * its newest ended instance and the one before it (state and lastState, logs --previous). */
#include "agent/plan.h"

enum { KEEP_INSTANCES = 2, KEEP_SANDBOXES = 2 };

const char *plan_verb_name(enum plan_verb verb)
{
    static const char *const names[] = {
        "prepare",      "start",          "stop",  "remove-container",
        "stop-sandbox", "remove-sandbox", "clean", "delete"};
    return names[verb];
}

static void add(struct plan *plan, struct plan_action action)
{
    if (plan->count < PLAN_ACTIONS_MAX) {
        plan->actions[plan->count++] = action; /* what does not fit is planned next time */
    }
}

static void wake_at(struct plan *plan, uint64_t wall_ms)
{
    if (plan->wake_ms == 0 || wall_ms < plan->wake_ms) {
        plan->wake_ms = wall_ms;
    }
}

static size_t index_of(const struct plan_input *input, const struct rt_container *container)
{
    size_t index = input->pod ? pod_find(input->pod, tt_str_c(container->name)) : 0;
    return input->pod != NULL && index < input->pod->container_count ? index : SIZE_MAX;
}

static bool is_busy(const struct plan_input *input, size_t index)
{
    return index != SIZE_MAX && input->records[index].busy;
}

static bool is_alive(const struct rt_container *container)
{
    return container->state == RT_RUNNING || container->state == RT_UNKNOWN;
}

/* ---- the end ---- */

static uint64_t grace_left_s(const struct plan_input *input)
{
    const struct pod *pod = input->pod;
    if (input->refused) {
        return 0;
    }
    if (pod == NULL) {
        return input->seen.sandbox_count > 0 ? input->seen.sandboxes[0].grace_s : 0;
    }
    if (!pod->is_deleting) {
        return pod->grace_s;
    }
    uint64_t left_ms = pod->deletion_ms > input->now_ms ? pod->deletion_ms - input->now_ms : 0;
    uint64_t left_s = (left_ms + 999) / 1000;
    return left_s < pod->deletion_grace_s ? left_s : pod->deletion_grace_s;
}

/* True while a container runs. */
static bool stop_all(const struct plan_input *input, struct plan *plan)
{
    bool any = false;
    uint64_t grace_s = grace_left_s(input);
    for (size_t i = 0; i < input->seen.container_count; i++) {
        const struct rt_container *container = &input->seen.containers[i];
        size_t index = index_of(input, container);
        if (!is_alive(container)) {
            continue;
        }
        any = true;
        if (!is_busy(input, index)) {
            add(plan,
                (struct plan_action){
                    .verb = PLAN_STOP, .id = container->id, .index = index, .grace_s = grace_s});
        }
    }
    return any;
}

static bool any_busy(const struct plan_input *input)
{
    for (size_t i = 0; input->pod != NULL && i < input->pod->container_count; i++) {
        if (input->records[i].busy) {
            return true;
        }
    }
    return false;
}

static void plan_removal(const struct plan_input *input, struct plan *plan)
{
    if (stop_all(input, plan) || any_busy(input)) {
        return; /* a container that is just being started is stopped when it is visible */
    }
    for (size_t i = 0; i < input->seen.sandbox_count; i++) {
        add(plan, (struct plan_action){.verb = PLAN_REMOVE_SANDBOX,
                                       .id = input->seen.sandboxes[i].id,
                                       .index = SIZE_MAX});
    }
    if (input->seen.sandbox_count > 0) {
        return;
    }
    for (size_t i = 0; i < input->seen.container_count; i++) {
        add(plan, (struct plan_action){.verb = PLAN_REMOVE_CONTAINER,
                                       .id = input->seen.containers[i].id,
                                       .index = SIZE_MAX,
                                       .attempt = input->seen.containers[i].attempt});
    }
    if (input->seen.container_count > 0) {
        return;
    }
    if (input->has_files) {
        add(plan, (struct plan_action){.verb = PLAN_CLEAN, .index = SIZE_MAX});
    } else if (input->pod != NULL && input->pod->is_deleting) {
        add(plan, (struct plan_action){.verb = PLAN_DELETE, .index = SIZE_MAX});
    }
}

/* ---- restarts ---- */

uint64_t plan_restart_delay_ms(const struct rt_container *ended)
{
    bool ran_long =
        ended->started_ms > 0 && ended->finished_ms - ended->started_ms >= PLAN_BACKOFF_RESET_MS;
    return ran_long ? 0 : ended->backoff_ms;
}

static uint64_t next_backoff_ms(uint64_t delay_ms)
{
    uint64_t doubled = delay_ms == 0 ? PLAN_BACKOFF_MS_MIN : delay_ms * 2;
    return doubled > PLAN_BACKOFF_MS_MAX ? PLAN_BACKOFF_MS_MAX : doubled;
}

static bool restarts(const struct pod *pod, const struct pod_container *container,
                     const struct rt_container *ended)
{
    if (container->is_init) {
        return ended->exit_code != 0 && pod->restart != POD_RESTART_NEVER;
    }
    return pod->restart == POD_RESTART_ALWAYS ||
           (pod->restart == POD_RESTART_ON_FAILURE && ended->exit_code != 0);
}

enum plan_end plan_end_of(const struct pod *pod, const struct rt_pod *seen)
{
    bool failed = false;
    for (size_t i = 0; i < pod->container_count; i++) {
        const struct pod_container *container = &pod->containers[i];
        const struct rt_container *newest = rt_pod_container(seen, tt_str_c(container->name), 0);
        bool ended = newest != NULL && newest->state == RT_EXITED;
        if (container->is_init) {
            if (ended && newest->exit_code != 0 && pod->restart == POD_RESTART_NEVER) {
                return PLAN_FAILED;
            }
            continue;
        }
        if (!ended || restarts(pod, container, newest)) {
            return PLAN_GOES_ON;
        }
        failed = failed || newest->exit_code != 0;
    }
    return failed ? PLAN_FAILED : PLAN_SUCCEEDED;
}

struct step {
    const struct plan_input *input;   /* borrowed; of this pod */
    struct plan *plan;                /* where actions go */
    const struct rt_sandbox *sandbox; /* the ready one */
    size_t index;                     /* of the container that is planned */
};

static void start(const struct step *step, const struct rt_container *newest)
{
    const struct plan_record *record = &step->input->records[step->index];
    uint64_t now_ms = step->input->now_ms;
    uint64_t delay_ms = newest != NULL ? plan_restart_delay_ms(newest) : 0;
    uint64_t due_ms = newest != NULL ? (uint64_t)newest->finished_ms + delay_ms : 0;
    /* A clock that was set back must not turn a delay into a longer one. */
    due_ms = due_ms > now_ms + delay_ms ? now_ms + delay_ms : due_ms;
    due_ms = record->retry_ms > due_ms ? record->retry_ms : due_ms;
    if (due_ms > now_ms) {
        wake_at(step->plan, due_ms);
        return;
    }
    add(step->plan,
        (struct plan_action){.verb = PLAN_START,
                             .id = step->sandbox->id,
                             .index = step->index,
                             .attempt = newest != NULL ? newest->attempt + 1 : 0,
                             .backoff_ms = newest != NULL ? next_backoff_ms(delay_ms) : 0});
}

static void plan_unhealthy(const struct step *step, const struct rt_container *container)
{
    const struct plan_record *record = &step->input->records[step->index];
    if (record->unhealthy != NULL && strcmp(record->unhealthy, container->id) == 0) {
        add(step->plan, (struct plan_action){.verb = PLAN_STOP,
                                             .id = container->id,
                                             .index = step->index,
                                             .grace_s = record->unhealthy_grace_s});
    }
}

/* One container of a pod with a ready sandbox. */
static void plan_container(const struct step *step)
{
    const struct plan_input *input = step->input;
    const struct pod_container *container = &input->pod->containers[step->index];
    const struct rt_container *newest =
        rt_pod_container(&input->seen, tt_str_c(container->name), 0);
    if (input->records[step->index].busy) {
        return;
    }
    if (newest == NULL) {
        start(step, NULL);
        return;
    }
    bool current = strcmp(newest->sandbox_id, step->sandbox->id) == 0;
    switch (newest->state) {
    case RT_RUNNING:
        if (current) {
            plan_unhealthy(step, newest);
            return;
        }
        break;
    case RT_EXITED:
        /* A new sandbox is initialised again. */
        if ((!current && container->is_init) || restarts(input->pod, container, newest)) {
            start(step, newest);
        }
        return;
    case RT_CREATED: /* whoever created it did not come to start it */
        add(step->plan, (struct plan_action){.verb = PLAN_REMOVE_CONTAINER,
                                             .id = newest->id,
                                             .index = step->index,
                                             .attempt = newest->attempt});
        return;
    case RT_UNKNOWN:
        break;
    }
    add(step->plan, (struct plan_action){
                        .verb = PLAN_STOP, .id = newest->id, .index = step->index, .grace_s = 0});
    return;
}

/* ---- the pod ---- */

static void drop_old(const struct plan_input *input, struct plan *plan)
{
    for (size_t i = 0; i < input->pod->container_count; i++) {
        const struct rt_container *old = rt_pod_container(
            &input->seen, tt_str_c(input->pod->containers[i].name), KEEP_INSTANCES);
        if (old != NULL && !input->records[i].busy) {
            add(plan, (struct plan_action){.verb = PLAN_REMOVE_CONTAINER,
                                           .id = old->id,
                                           .index = i,
                                           .attempt = old->attempt});
        }
    }
    if (input->seen.sandbox_count > KEEP_SANDBOXES) {
        add(plan, (struct plan_action){.verb = PLAN_REMOVE_SANDBOX,
                                       .id = input->seen.sandboxes[KEEP_SANDBOXES].id,
                                       .index = SIZE_MAX});
    }
}

/* Init containers are over when any other container was ever made in this sandbox: they may have
 * been removed since. */
static bool is_initialised(const struct step *step)
{
    const struct plan_input *input = step->input;
    for (size_t i = 0; i < input->seen.container_count; i++) {
        size_t index = index_of(input, &input->seen.containers[i]);
        if (index != SIZE_MAX && !input->pod->containers[index].is_init &&
            strcmp(input->seen.containers[i].sandbox_id, step->sandbox->id) == 0) {
            return true;
        }
    }
    return false;
}

static void plan_running(struct step *step)
{
    const struct pod *pod = step->input->pod;
    if (!is_initialised(step)) {
        for (step->index = 0; step->index < pod->init_count; step->index++) {
            const struct rt_container *newest = rt_pod_container(
                &step->input->seen, tt_str_c(pod->containers[step->index].name), 0);
            bool succeeded = newest != NULL && newest->state == RT_EXITED &&
                             newest->exit_code == 0 &&
                             strcmp(newest->sandbox_id, step->sandbox->id) == 0;
            if (!succeeded) {
                plan_container(step); /* the next one only after this one */
                return;
            }
        }
    }
    for (step->index = pod->init_count; step->index < pod->container_count; step->index++) {
        plan_container(step);
    }
}

static void plan_sandbox(const struct plan_input *input, struct plan *plan)
{
    uint32_t attempt = 0;
    if (input->seen.sandbox_count > 0) {
        attempt = input->seen.sandboxes[0].attempt + 1;
        if (stop_all(input, plan)) {
            return; /* they lost their sandbox */
        }
    }
    if (input->sandbox_retry_ms > input->now_ms) {
        wake_at(plan, input->sandbox_retry_ms);
        return;
    }
    add(plan, (struct plan_action){.verb = PLAN_PREPARE, .index = SIZE_MAX, .attempt = attempt});
}

static void plan_finished(const struct plan_input *input, struct plan *plan)
{
    if (stop_all(input, plan)) {
        return;
    }
    for (size_t i = 0; i < input->seen.sandbox_count; i++) {
        if (input->seen.sandboxes[i].ready) {
            add(plan, (struct plan_action){.verb = PLAN_STOP_SANDBOX,
                                           .id = input->seen.sandboxes[i].id,
                                           .index = SIZE_MAX});
        }
    }
}

void plan_pod(const struct plan_input *input, struct plan *ret_plan)
{
    ret_plan->count = 0;
    ret_plan->wake_ms = 0;
    if (input->sandbox_busy) {
        return;
    }
    if (input->pod == NULL || input->pod->is_deleting) {
        plan_removal(input, ret_plan);
        return;
    }
    if (input->refused || input->pod->is_finished ||
        plan_end_of(input->pod, &input->seen) != PLAN_GOES_ON) {
        plan_finished(input, ret_plan);
        return;
    }
    struct step step = {.input = input, .plan = ret_plan};
    if (input->seen.sandbox_count > 0 && input->seen.sandboxes[0].ready) {
        step.sandbox = &input->seen.sandboxes[0];
        plan_running(&step);
        drop_old(input, ret_plan);
    } else {
        plan_sandbox(input, ret_plan);
    }
}
