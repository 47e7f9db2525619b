/* Passes and pictures. A pass is cheap (no I/O but the steps it starts), so every pass looks at
 * every pod: there is no list of what changed that could be wrong.
 *
 * A pod that is wanted no more keeps its entry until the runtime has nothing of it and its files
 * are gone; a sandbox or directory that nobody knows gets an entry without a pod, and goes the same
 * way, but only once the servers have told all wanted pods. */
#include "agent/pod_cache.h"
#include "agent/sync_internal.h"

#include <dirent.h>
#include <stdio.h>

#include "base/log.h"

enum {
    PODS_MAX = 4096,
    RESYNC_MS = 5000,
    LIST_RETRY_MS = 1000,
};

uint64_t sync_wall_ms(const struct sync *sync)
{
    return tt_clock_wall_ms(sync->config.clock);
}

uint64_t sync_mono_ms(const struct sync *sync)
{
    return tt_clock_ms(sync->config.clock);
}

void sync_pass_in(struct sync *sync, uint64_t delay_ms)
{
    uint64_t due_ms = sync_mono_ms(sync) + delay_ms;
    if (sync->closing || (sync->pass_due_ms != 0 && sync->pass_due_ms <= due_ms)) {
        return;
    }
    sync->pass_due_ms = due_ms;
    tt_timer_start(&sync->pass, delay_ms, 0);
}

struct rt_pod sync_seen(const struct sync *sync, const struct sync_pod *sp)
{
    return rt_snapshot_pod(sync->snapshot, tt_str_c(sp->uid));
}

bool sync_slot_busy(const struct sync *sync, const struct sync_slot *slot)
{
    return slot->running || slot->visible_seq > sync->snapshot_seq;
}

struct env_context sync_env_context(const struct sync_pod *sp)
{
    struct rt_pod seen = sync_seen(sp->sync, sp);
    return (struct env_context){
        .pod = sp->pod,
        .refs = sp->sync->config.refs != NULL ? refs_source(sp->sync->config.refs)
                                              : sp->sync->config.source,
        .node_name = sp->sync->node_name,
        .host_ip = sp->sync->host_ip,
        .pod_ip = seen.sandbox_count > 0 ? seen.sandboxes[0].ip : "",
    };
}

/* ---- entries ---- */

static void pod_free(void *value)
{
    struct sync_pod *sp = value;
    TT_ASSERT(sp->steps == 0);
    pod_unref(sp->pod);
    tt_free(sp->containers);
    tt_buf_fini(&sp->sent);
    tt_arena_free(sp->arena);
    tt_free(sp);
}

static struct sync_pod *entry_of(struct sync *sync, struct tt_str uid)
{
    struct sync_pod *sp = tt_map_get(sync->pods, uid);
    if (sp != NULL) {
        return sp;
    }
    sp = TT_NEW(struct sync_pod);
    if (uid.len == 0 || uid.len >= sizeof sp->uid ||
        tt_map_set(sync->pods, uid, sp, NULL) != TT_OK) {
        TT_LOG(TT_LOG_ERROR, "sync", "a pod cannot be taken: bad uid or too many pods",
               TT_F_STR("name", uid));
        tt_free(sp);
        return NULL;
    }
    sp->sync = sync;
    memcpy(sp->uid, uid.ptr, uid.len);
    tt_buf_init(&sp->sent, 1 << 20);
    sp->start_ms = sync_wall_ms(sync);
    return sp;
}

static void set_pod(struct sync_pod *sp, struct pod *pod)
{
    if (pod != NULL && sp->container_count < pod->container_count) {
        size_t size = sizeof *sp->containers;
        sp->containers = tt_xrealloc(sp->containers, pod->container_count * size);
        memset(sp->containers + sp->container_count, 0,
               (pod->container_count - sp->container_count) * size);
        sp->container_count = pod->container_count;
    }
    pod_unref(sp->pod);
    sp->pod = pod;
    sp->sync->refs_stale = true;
}

static void take_pod(struct sync *sync, struct tt_str json, bool is_cached)
{
    struct pod *pod;
    struct tt_err err;
    tt_err_init(&err);
    if (sync->closing) {
        return;
    }
    if (pod_new(json, &pod, &err) != TT_OK) {
        TT_LOG(TT_LOG_ERROR, "sync", "a pod cannot be read", TT_F_ERR(&err));
        return;
    }
    struct sync_pod *sp = entry_of(sync, tt_str_c(pod->uid));
    if (sp == NULL) {
        pod_unref(pod);
        return;
    }
    set_pod(sp, pod);
    sp->is_cached = is_cached;
    sync_pass_in(sync, 0);
}

void sync_pod_changed(struct sync *sync, struct tt_str json)
{
    take_pod(sync, json, false);
}

void sync_pod_cached(struct sync *sync, struct tt_str json)
{
    take_pod(sync, json, true);
}

void sync_pod_deleted(struct sync *sync, struct tt_str uid)
{
    struct sync_pod *sp = tt_map_get(sync->pods, uid);
    if (sp != NULL && !sync->closing) {
        set_pod(sp, NULL);
        sync_pass_in(sync, 0);
    }
}

/* Directories of pods that an earlier run of the agent left. */
static void adopt_files(struct sync *sync)
{
    char path[VOLUMES_PATH_SIZE + 8];
    (void)snprintf(path, sizeof path, "%s/pods", sync->root);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] != '.') {
            struct sync_pod *sp = entry_of(sync, tt_str_c(entry->d_name));
            if (sp != NULL) {
                sp->has_files = true;
            }
        }
    }
    (void)closedir(dir);
}

/* Pods that only the cache knew were deleted while the agent was away. */
static void drop_cached(struct sync *sync)
{
    size_t cursor = 0;
    struct tt_str uid;
    void *value;
    while (tt_map_next(sync->pods, &cursor, &uid, &value)) {
        struct sync_pod *sp = value;
        if (sp->is_cached) {
            sp->is_cached = false;
            pod_cache_drop(sync->root, uid);
            set_pod(sp, NULL);
        }
    }
}

void sync_pods_complete(struct sync *sync)
{
    drop_cached(sync);
    if (!sync->is_complete) {
        sync->is_complete = true;
        adopt_files(sync);
    }
    sync_pass_in(sync, 0);
}

void sync_refs_changed(struct sync *sync)
{
    size_t cursor = 0;
    struct tt_str uid;
    void *value;
    while (tt_map_next(sync->pods, &cursor, &uid, &value)) {
        struct sync_pod *sp = value;
        sp->volumes_stale = sp->has_files;
        sp->volumes_retry_ms = 0; /* what failed may have been for the lack of this object */
        /* What was missing may be there; other failures keep their back-off. */
        for (size_t i = 0; i < sp->container_count; i++) {
            if (strcmp(sp->containers[i].reason, SYNC_REASON_CONFIG) == 0) {
                sp->containers[i].retry_ms = 0;
            }
        }
        if (strcmp(sp->sandbox.reason, SYNC_REASON_MOUNT) == 0) {
            sp->sandbox.retry_ms = 0;
        }
    }
    sync_pass_in(sync, 0);
}

/* ---- pictures ---- */

static void adopt_unknown(struct sync *sync)
{
    for (size_t i = 0; i < sync->snapshot->sandbox_count; i++) {
        (void)entry_of(sync, tt_str_c(sync->snapshot->sandboxes[i].pod_uid));
    }
}

static void listed(struct rt_call *call, const struct tt_err *err)
{
    struct sync *sync = call->ctx;
    sync->list_running = false;
    if (err == NULL) {
        rt_snapshot_free(sync->snapshot);
        sync->snapshot = call->snapshot;
        sync->snapshot_seq = sync->list_seq;
        if (!sync->closing) {
            adopt_unknown(sync);
        }
    } else {
        TT_LOG(TT_LOG_DEBUG, "sync", "the runtime cannot be asked what it has", TT_F_ERR(err));
    }
    if (sync->closing) {
        sync_free_when_done(sync);
        return;
    }
    if (err != NULL) {
        tt_timer_start(&sync->resync, LIST_RETRY_MS, RESYNC_MS);
    }
    if (sync->list_wanted && err == NULL) {
        sync_want_list(sync);
    }
    sync_pass_in(sync, 0);
}

void sync_want_list(struct sync *sync)
{
    struct tt_err err;
    tt_err_init(&err);
    sync->list_wanted = true;
    if (sync->list_running || sync->closing) {
        return;
    }
    sync->list = (struct rt_call){.verb = RT_RECOVER, .done = listed, .ctx = sync};
    if (rt_start(sync->config.driver, &sync->list, &err) == TT_OK) {
        sync->list_running = true;
        sync->list_wanted = false;
        sync->list_seq++;
    }
}

/* A runtime tells that something happened before its own lists show it: containerd's CRI learns of
 * an ended task by the same event. So the picture is taken at once and a few times after. */
static const uint64_t settle_ms[] = {50, 100, 250, 600, 1500};

void sync_runtime_changed(struct sync *sync)
{
    sync_want_list(sync);
    sync->settle_step = 0;
    if (!sync->closing) {
        tt_timer_start(&sync->settle, settle_ms[0], 0);
    }
}

static void settle_fired(struct tt_timer *timer)
{
    struct sync *sync = TT_CONTAINER_OF(timer, struct sync, settle);
    sync_want_list(sync);
    if (++sync->settle_step < sizeof settle_ms / sizeof settle_ms[0]) {
        tt_timer_start(&sync->settle, settle_ms[sync->settle_step], 0);
    }
}

static void resync_fired(struct tt_timer *timer)
{
    struct sync *sync = TT_CONTAINER_OF(timer, struct sync, resync);
    sync_rotate_logs(sync);
    sync_want_list(sync);
}

/* ---- passes ---- */

static void want_refs(struct sync *sync)
{
    if (sync->config.refs == NULL || !sync->refs_stale) {
        return;
    }
    sync->refs_stale = false;
    refs_begin(sync->config.refs);
    size_t cursor = 0;
    struct tt_str uid;
    void *value;
    while (tt_map_next(sync->pods, &cursor, &uid, &value)) {
        const struct sync_pod *sp = value;
        if (sp->pod != NULL && !sp->pod->is_finished) {
            refs_want(sync->config.refs, sp->pod);
        }
    }
    refs_end(sync->config.refs);
}

static void refuse(struct sync_pod *sp, const char *reason, const char *what, int64_t wanted,
                   int64_t left)
{
    (void)snprintf(sp->refused_reason, sizeof sp->refused_reason, "%s", reason);
    (void)snprintf(sp->refused_message, sizeof sp->refused_message,
                   "Node didn't have enough resource: %s, requested: %lld, free: %lld", what,
                   (long long)wanted, (long long)left);
    TT_LOG(TT_LOG_WARN, "sync", "a pod is refused", TT_F_C("namespace", sp->pod->namespace),
           TT_F_C("name", sp->pod->name), TT_F_C("err", sp->refused_message));
    events_pod(sp->sync->config.events, (struct events_about){sp->pod, SIZE_MAX}, EVENTS_WARNING,
               reason, "%s", sp->refused_message);
}

/* Does it fit beside those that were taken before it? Asked once; what runs already stays. */
static void admit(struct sync_pod *sp)
{
    struct sync *sync = sp->sync;
    struct sync_limits used = {.pods = 0};
    struct pod_resources wanted = pod_requests(sp->pod);
    size_t cursor = 0;
    struct tt_str uid;
    void *value;
    sp->is_admitted = true;
    if (sync_seen(sync, sp).sandbox_count > 0 || sp->pod->is_finished || sp->pod->is_deleting) {
        return;
    }
    while (tt_map_next(sync->pods, &cursor, &uid, &value)) {
        const struct sync_pod *other = value;
        if (other == sp || other->pod == NULL || !other->is_admitted ||
            other->refused_reason[0] != '\0' || other->pod->is_finished) {
            continue;
        }
        struct pod_resources requests = pod_requests(other->pod);
        used.cpu_milli += requests.cpu_milli;
        used.memory += requests.memory;
        used.pods++;
    }
    const struct sync_limits *limits = &sync->config.limits;
    if (used.pods + 1 > limits->pods) {
        refuse(sp, "OutOfpods", "pods", 1, limits->pods - used.pods);
    } else if (used.cpu_milli + wanted.cpu_milli > limits->cpu_milli) {
        refuse(sp, "OutOfcpu", "cpu", wanted.cpu_milli, limits->cpu_milli - used.cpu_milli);
    } else if (used.memory + wanted.memory > limits->memory) {
        refuse(sp, "OutOfmemory", "memory", wanted.memory, limits->memory - used.memory);
    }
}

static bool is_gone(const struct sync *sync, const struct sync_pod *sp)
{
    struct rt_pod seen = sync_seen(sync, sp);
    return sp->pod == NULL && sp->steps == 0 && !sp->has_files && !sp->sending && !sp->deleting &&
           seen.sandbox_count == 0 && seen.container_count == 0 &&
           !sync_slot_busy(sync, &sp->sandbox);
}

static void fill_records(const struct sync_pod *sp, struct plan_record *records)
{
    for (size_t i = 0; i < sp->pod->container_count; i++) {
        const struct sync_slot *slot = &sp->containers[i];
        records[i] = (struct plan_record){
            .busy = sync_slot_busy(sp->sync, slot),
            .retry_ms = slot->retry_ms,
            .unhealthy = slot->unhealthy_id[0] != '\0' ? slot->unhealthy_id : NULL,
            .unhealthy_grace_s = sp->pod->grace_s};
    }
}

/* Once for each ended instance whose restart waits. */
static void tell_backoff(struct sync_pod *sp, uint64_t now_ms)
{
    const struct pod *pod = sp->pod;
    const struct rt_pod seen = sync_seen(sp->sync, sp);
    for (size_t i = 0; i < pod->container_count && !pod->is_deleting; i++) {
        const struct rt_container *newest =
            rt_pod_container(&seen, tt_str_c(pod->containers[i].name), 0);
        struct sync_slot *slot = &sp->containers[i];
        if (newest == NULL || newest->state != RT_EXITED ||
            (uint64_t)newest->finished_ms + plan_restart_delay_ms(newest) <= now_ms ||
            pod->restart == POD_RESTART_NEVER || strcmp(slot->backoff_id, newest->id) == 0) {
            continue;
        }
        (void)snprintf(slot->backoff_id, sizeof slot->backoff_id, "%s", newest->id);
        events_pod(sp->sync->config.events, (struct events_about){pod, i}, EVENTS_WARNING,
                   "BackOff", "Back-off restarting failed container %s in pod %s_%s(%s)",
                   pod->containers[i].name, pod->name, pod->namespace, pod->uid);
    }
}

static void plan_one(struct sync *sync, struct sync_pod *sp)
{
    struct plan_record records[POD_CONTAINERS_MAX];
    struct plan *plan = tt_xcalloc(1, sizeof *plan);
    if (sp->pod == NULL || sp->pod->is_deleting) {
        sync_let_hooks_go(sp);
    }
    if (sp->pod != NULL) {
        fill_records(sp, records);
        if (!sp->is_admitted) {
            admit(sp);
        }
        if (sp->volumes_stale && !sp->pod->is_deleting) {
            sync_project_again(sp);
        }
        sync_check_pod(sp);
    }
    const struct plan_input input = {.pod = sp->pod,
                                     .seen = sync_seen(sync, sp),
                                     .records = records,
                                     .sandbox_busy = sync_slot_busy(sync, &sp->sandbox),
                                     .sandbox_retry_ms = sp->sandbox.retry_ms,
                                     .refused = sp->refused_reason[0] != '\0',
                                     .has_files = sp->has_files,
                                     .now_ms = sync_wall_ms(sync)};
    plan_pod(&input, plan);
    for (size_t i = 0; i < plan->count; i++) {
        sync_step(sp, &plan->actions[i]);
    }
    if (plan->wake_ms > 0) {
        sync_pass_in(sync, plan->wake_ms > input.now_ms ? plan->wake_ms - input.now_ms : 1);
    }
    tt_free(plan);
    if (sp->pod != NULL) {
        tell_backoff(sp, input.now_ms);
        sync_report(sp);
    }
}

static void pass_fired(struct tt_timer *timer)
{
    struct sync *sync = TT_CONTAINER_OF(timer, struct sync, pass);
    size_t cursor = 0;
    struct tt_str uid;
    void *value;
    sync->pass_due_ms = 0;
    want_refs(sync);
    if (sync->snapshot == NULL) {
        return; /* nothing is done blind */
    }
    while (tt_map_next(sync->pods, &cursor, &uid, &value)) {
        struct sync_pod *sp = value;
        if (is_gone(sync, sp)) {
            (void)tt_map_remove(sync->pods, uid);
        } else if (sp->pod != NULL || sync->is_complete) {
            plan_one(sync, sp);
        }
    }
}

/* ---- logs ---- */

static const struct sync_pod *find_by_name(const struct sync *sync, struct tt_str ns,
                                           struct tt_str name)
{
    size_t cursor = 0;
    struct tt_str uid;
    void *value;
    while (tt_map_next(sync->pods, &cursor, &uid, &value)) {
        const struct sync_pod *sp = value;
        if (sp->pod != NULL && tt_str_eq_c(ns, sp->pod->namespace) &&
            tt_str_eq_c(name, sp->pod->name)) {
            return sp;
        }
    }
    return NULL;
}

int sync_find_log(const struct sync *sync, const struct sync_log_query *query,
                  struct sync_log *ret_log, struct tt_err *err)
{
    struct tt_str container = query->container;
    const struct sync_pod *found = find_by_name(sync, query->namespace, query->pod);
    if (found == NULL || pod_find(found->pod, container) == found->pod->container_count) {
        return TT_FAIL(err, TT_ENOTFOUND, "pod %.*s/%.*s has no container %.*s on this node",
                       TT_STR_ARG(query->namespace), TT_STR_ARG(query->pod), TT_STR_ARG(container));
    }
    struct rt_pod seen = sync_seen(sync, found);
    const struct rt_container *instance = rt_pod_container(&seen, container, query->previous);
    if (instance == NULL && query->previous) {
        return TT_FAIL(err, TT_EINVAL,
                       "previous terminated container \"%.*s\" in pod \"%.*s\" not found",
                       TT_STR_ARG(container), TT_STR_ARG(query->pod));
    }
    if (instance == NULL) {
        return TT_FAIL(err, TT_EINVAL, "container \"%.*s\" in pod \"%.*s\" is waiting to start",
                       TT_STR_ARG(container), TT_STR_ARG(query->pod));
    }
    ret_log->attempt = instance->attempt;
    ret_log->is_running = instance->state == RT_RUNNING;
    return volumes_log_path(sync->root, found->pod->namespace, found->pod->name, found->uid,
                            ret_log->directory, err);
}

size_t sync_pod_count(const struct sync *sync)
{
    return tt_map_count(sync->pods);
}

/* ---- life ---- */

struct sync *sync_new(const struct sync_config *config)
{
    struct sync *sync = TT_NEW(struct sync);
    sync->config = *config;
    (void)snprintf(sync->root, sizeof sync->root, "%s", config->root);
    (void)snprintf(sync->node_name, sizeof sync->node_name, "%s", config->node_name);
    sync->host_ip = tt_xstrndup(config->host_ip, strlen(config->host_ip));
    files_init(&sync->files, config->loop);
    sync->pods = tt_map_new(PODS_MAX, pod_free);
    tt_list_init(&sync->checks);
    tt_timer_init(&sync->pass, config->loop, pass_fired);
    tt_timer_init(&sync->resync, config->loop, resync_fired);
    tt_timer_init(&sync->settle, config->loop, settle_fired);
    tt_timer_start(&sync->resync, 1, RESYNC_MS);
    sync->timers_open = 3;
    return sync;
}

void sync_free_when_done(struct sync *sync)
{
    if (!sync->closing || sync->timers_open > 0 || sync->steps > 0 || sync->requests > 0 ||
        sync->list_running || !files_idle(&sync->files)) {
        return;
    }
    void (*closed)(void *) = sync->closed;
    void *closed_ctx = sync->closed_ctx;
    tt_map_free(sync->pods);
    rt_snapshot_free(sync->snapshot);
    tt_free(sync->host_ip);
    tt_free(sync);
    closed(closed_ctx);
}

static void pass_closed(struct tt_timer *timer)
{
    struct sync *sync = TT_CONTAINER_OF(timer, struct sync, pass);
    sync->timers_open--;
    sync_free_when_done(sync);
}

static void resync_closed(struct tt_timer *timer)
{
    struct sync *sync = TT_CONTAINER_OF(timer, struct sync, resync);
    sync->timers_open--;
    sync_free_when_done(sync);
}

static void settle_closed(struct tt_timer *timer)
{
    struct sync *sync = TT_CONTAINER_OF(timer, struct sync, settle);
    sync->timers_open--;
    sync_free_when_done(sync);
}

void sync_close(struct sync *sync, void (*closed)(void *ctx), void *ctx)
{
    sync->closing = true;
    sync->closed = closed;
    sync->closed_ctx = ctx;
    sync_checks_cancel(sync);
    tt_timer_close(&sync->pass, pass_closed);
    tt_timer_close(&sync->resync, resync_closed);
    tt_timer_close(&sync->settle, settle_closed);
}
