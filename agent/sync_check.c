/* Liveness, readiness and start-up checks of running containers.
 *
 * Each container has three counters, which belong to one instance: another instance starts anew.
 *   start-up  while it has not succeeded the others wait; too many failures: restart
 *   liveness  too many failures in a row: restart (the slot says which instance is unhealthy)
 *   readiness successes and failures in a row move the container in and out of ready
 * A check that is running when its instance ended is ignored. Every pass asks what is due. */
#include <stdio.h>

#include "agent/probe.h"
#include "agent/sync_internal.h"
#include "base/log.h"

enum { REQUEST_MAX = 8 << 10, COMMAND_MAX = 64 };

struct check_run {
    struct tt_list link;       /* in sync->checks */
    struct sync_pod *sp;       /* pinned: sp->steps counts this run */
    struct pod *pod;           /* a reference: as it was when the check began */
    size_t index;              /* of the container, in pod and in sp */
    enum sync_check_kind kind; /* whose counters the result goes to */
    char id[RT_ID_SIZE];       /* instance that is checked: a result for another is dropped */
    bool is_exec;              /* call is used, else probe */
    struct probe probe;        /* of httpGet and tcpSocket */
    struct rt_call call;       /* of exec */
    struct tt_buf request;     /* owned; HTTP text that probe borrows */
    const char *command[COMMAND_MAX]; /* words of exec, borrowed from pod */
};

static const char *const names[SYNC_CHECKS] = {"startupProbe", "livenessProbe", "readinessProbe"};

static yyjson_val *spec_of(const struct pod *pod, size_t index, enum sync_check_kind kind)
{
    return yyjson_obj_get(pod->containers[index].spec, names[kind]);
}

static uint64_t number(yyjson_val *spec, const char *name, int64_t fallback)
{
    int64_t value = tt_json_iget_i64(spec, name, fallback);
    return value < 0 ? 0 : (uint64_t)value;
}

/* ---- results ---- */

static void tell_failure(const struct sync_pod *sp, const struct check_run *run,
                         const char *message)
{
    static const char *const titles[SYNC_CHECKS] = {"Startup", "Liveness", "Readiness"};
    events_pod(sp->sync->config.events, (struct events_about){run->pod, run->index}, EVENTS_WARNING,
               "Unhealthy", "%s probe failed: %s", titles[run->kind], message);
}

static void unhealthy(struct sync_pod *sp, size_t index, const char *why, const char *message)
{
    struct sync_slot *slot = &sp->containers[index];
    (void)snprintf(slot->unhealthy_id, sizeof slot->unhealthy_id, "%s", slot->instance);
    TT_LOG(TT_LOG_WARN, "sync", "a container is unhealthy and is restarted",
           TT_F_C("namespace", sp->pod->namespace), TT_F_C("name", sp->pod->name),
           TT_F_C("container", sp->pod->containers[index].name), TT_F_C("verb", why),
           TT_F_C("err", message));
}

static void count(struct sync_pod *sp, const struct check_run *run, bool ok, const char *message)
{
    struct sync_slot *slot = &sp->containers[run->index];
    struct sync_check *check = &slot->checks[run->kind];
    yyjson_val *spec = spec_of(run->pod, run->index, run->kind);
    check->successes = ok ? check->successes + 1 : 0;
    check->failures = ok ? 0 : check->failures + 1;
    if (!ok) {
        tell_failure(sp, run, message);
    }
    bool up = check->successes >= number(spec, "successThreshold", 1);
    bool down = check->failures >= number(spec, "failureThreshold", 3);
    switch (run->kind) {
    case SYNC_CHECK_STARTUP:
        slot->started = slot->started || up;
        break;
    case SYNC_CHECK_READINESS:
        slot->ready = up || (slot->ready && !down);
        return;
    case SYNC_CHECK_LIVENESS:
        break;
    }
    if (down) {
        unhealthy(sp, run->index, names[run->kind], message);
    }
}

static void finish(struct check_run *run, bool ok, const char *message)
{
    struct sync_pod *sp = run->sp;
    struct sync *sync = sp->sync;
    struct sync_slot *slot = &sp->containers[run->index];
    if (sp->pod != NULL && !sync->closing && strcmp(slot->instance, run->id) == 0) {
        struct sync_check *check = &slot->checks[run->kind];
        check->running = false;
        check->due_ms =
            sync_mono_ms(sync) +
            number(spec_of(run->pod, run->index, run->kind), "periodSeconds", 10) * 1000;
        count(sp, run, ok, message);
    }
    tt_list_remove(&run->link);
    sp->steps--;
    sync->requests--;
    pod_unref(run->pod);
    tt_buf_fini(&run->request);
    tt_free(run);
    if (sync->closing) {
        sync_free_when_done(sync);
    } else {
        sync_pass_in(sync, 0);
    }
}

static void probe_done(struct probe *probe, bool ok, const char *message)
{
    finish(probe->ctx, ok, message);
}

static void exec_done(struct rt_call *call, const struct tt_err *err)
{
    char text[256] = "";
    if (err != NULL) {
        (void)tt_err_format(err, text, sizeof text); /* cut is fine */
    } else {
        (void)snprintf(text, sizeof text, "%.200s", call->output);
    }
    finish(call->ctx, err == NULL && call->exit_code == 0, text);
}

/* ---- starts ---- */

static uint16_t port_of(const struct pod *pod, size_t index, yyjson_val *port)
{
    int64_t number_of = 0;
    size_t i;
    size_t n;
    yyjson_val *named;
    if (tt_json_ito_i64(port, &number_of)) {
        return number_of > 0 && number_of <= UINT16_MAX ? (uint16_t)number_of : 0;
    }
    yyjson_arr_foreach(yyjson_obj_get(pod->containers[index].spec, "ports"), i, n, named)
    {
        if (tt_str_eq(tt_json_iget_str(named, "name"), tt_json_istr_of(port))) {
            number_of = tt_json_iget_i64(named, "containerPort", 0);
        }
    }
    return number_of > 0 && number_of <= UINT16_MAX ? (uint16_t)number_of : 0;
}

/* Header texts come from the API: a line break would be another header. */
static bool is_clean(struct tt_str text)
{
    return tt_str_find(text, '\r') < 0 && tt_str_find(text, '\n') < 0;
}

static void write_request(struct check_run *run, yyjson_val *get)
{
    struct tt_str path = tt_json_iget_str(get, "path");
    size_t i;
    size_t n;
    yyjson_val *header;
    bool has_host = false;
    tt_buf_init(&run->request, REQUEST_MAX);
    tt_buf_printf(&run->request, "GET %s%.*s HTTP/1.1\r\n",
                  path.len > 0 && path.ptr[0] == '/' ? "" : "/", TT_STR_ARG(path));
    yyjson_arr_foreach(yyjson_obj_get(get, "httpHeaders"), i, n, header)
    {
        struct tt_str name = tt_json_iget_str(header, "name");
        struct tt_str value = tt_json_iget_str(header, "value");
        if (is_clean(name) && is_clean(value)) {
            has_host = has_host || tt_str_eq_nocase(name, TT_STR("host"));
            tt_buf_printf(&run->request, "%.*s: %.*s\r\n", TT_STR_ARG(name), TT_STR_ARG(value));
        }
    }
    if (!has_host) {
        tt_buf_printf(&run->request, "Host: %s:%u\r\n", run->probe.host, run->probe.port);
    }
    tt_buf_c(&run->request, "User-Agent: tutti-probe\r\nConnection: close\r\n\r\n");
    run->probe.request = run->request.ptr;
    run->probe.request_size = run->request.len;
}

static void start_network(struct check_run *run, yyjson_val *spec, yyjson_val *target, bool http)
{
    struct env_context context = sync_env_context(run->sp);
    struct tt_str host = tt_json_iget_str(target, "host");
    const char *own = run->pod->host_network ? context.host_ip : context.pod_ip;
    run->probe.port = port_of(run->pod, run->index, yyjson_obj_get(target, "port"));
    run->probe.timeout_ms = number(spec, "timeoutSeconds", 1) * 1000;
    run->probe.done = probe_done;
    run->probe.ctx = run;
    if (host.len > 0) {
        (void)snprintf(run->probe.host, sizeof run->probe.host, "%.*s", TT_STR_ARG(host));
    } else {
        (void)snprintf(run->probe.host, sizeof run->probe.host, "%s", own);
    }
    if (http) {
        write_request(run, target);
    }
    probe_start(&run->probe, run->sp->sync->config.loop);
    if (http && tt_str_eq_c(tt_json_iget_str(target, "scheme"), "HTTPS")) {
        probe_cancel(&run->probe); /* not supported: says so instead of passing */
    }
}

static int start_exec(struct check_run *run, yyjson_val *spec, yyjson_val *command,
                      struct tt_err *err)
{
    size_t i;
    size_t n;
    size_t words = 0;
    yyjson_val *word;
    yyjson_arr_foreach(command, i, n, word)
    {
        if (words < COMMAND_MAX) {
            run->command[words++] = yyjson_get_str(word); /* the pod lives as long as the run */
        }
    }
    run->is_exec = true;
    run->call = (struct rt_call){.verb = RT_EXEC,
                                 .id = run->id,
                                 .command = run->command,
                                 .command_count = words,
                                 .timeout_ms = number(spec, "timeoutSeconds", 1) * 1000,
                                 .done = exec_done,
                                 .ctx = run};
    return rt_start(run->sp->sync->config.driver, &run->call, err);
}

static void start(struct sync_pod *sp, size_t index, enum sync_check_kind kind)
{
    struct sync_slot *slot = &sp->containers[index];
    yyjson_val *spec = spec_of(sp->pod, index, kind);
    struct check_run *run = TT_NEW(struct check_run);
    struct tt_err err;
    tt_err_init(&err);
    run->sp = sp;
    run->pod = pod_ref(sp->pod);
    run->index = index;
    run->kind = kind;
    (void)snprintf(run->id, sizeof run->id, "%s", slot->instance);
    tt_list_push_back(&sp->sync->checks, &run->link);
    slot->checks[kind].running = true;
    sp->steps++;
    sp->sync->requests++;
    yyjson_val *exec = yyjson_obj_get(spec, "exec");
    yyjson_val *get = yyjson_obj_get(spec, "httpGet");
    yyjson_val *tcp = yyjson_obj_get(spec, "tcpSocket");
    if (get != NULL || tcp != NULL) {
        start_network(run, spec, get != NULL ? get : tcp, get != NULL);
    } else if (exec == NULL) {
        finish(run, false, "this kind of check is not supported");
    } else if (start_exec(run, spec, yyjson_obj_get(exec, "command"), &err) != TT_OK) {
        finish(run, false, tt_err_cause(&err));
    }
}

/* ---- what is due ---- */

/* A new instance: everything begins anew. */
static void begin_instance(struct sync_pod *sp, size_t index, const struct rt_container *container)
{
    struct sync_slot *slot = &sp->containers[index];
    uint64_t now_ms = sync_mono_ms(sp->sync);
    (void)snprintf(slot->instance, sizeof slot->instance, "%s", container->id);
    slot->unhealthy_id[0] = '\0';
    slot->started = spec_of(sp->pod, index, SYNC_CHECK_STARTUP) == NULL;
    slot->ready = spec_of(sp->pod, index, SYNC_CHECK_READINESS) == NULL;
    for (int kind = 0; kind < SYNC_CHECKS; kind++) {
        yyjson_val *spec = spec_of(sp->pod, index, (enum sync_check_kind)kind);
        slot->checks[kind] =
            (struct sync_check){.due_ms = now_ms + number(spec, "initialDelaySeconds", 0) * 1000};
    }
}

static void check_container(struct sync_pod *sp, size_t index)
{
    struct sync_slot *slot = &sp->containers[index];
    uint64_t now_ms = sync_mono_ms(sp->sync);
    for (int i = 0; i < SYNC_CHECKS; i++) {
        enum sync_check_kind kind = (enum sync_check_kind)i;
        struct sync_check *check = &slot->checks[kind];
        bool waits = kind == SYNC_CHECK_STARTUP ? slot->started : !slot->started;
        if (spec_of(sp->pod, index, kind) == NULL || check->running || waits ||
            slot->unhealthy_id[0] != '\0') {
            continue;
        }
        if (check->due_ms <= now_ms) {
            start(sp, index, kind);
        } else {
            sync_pass_in(sp->sync, check->due_ms - now_ms);
        }
    }
}

void sync_check_pod(struct sync_pod *sp)
{
    struct rt_pod seen = sync_seen(sp->sync, sp);
    for (size_t i = 0; i < sp->pod->container_count; i++) {
        const struct rt_container *newest =
            rt_pod_container(&seen, tt_str_c(sp->pod->containers[i].name), 0);
        if (newest == NULL || newest->state != RT_RUNNING) {
            continue;
        }
        if (strcmp(newest->id, sp->containers[i].instance) != 0) {
            begin_instance(sp, i, newest);
        }
        if (!sp->pod->is_deleting) {
            check_container(sp, i);
        }
    }
}

void sync_checks_cancel(struct sync *sync)
{
    for (struct tt_list *node = sync->checks.next; node != &sync->checks; node = node->next) {
        struct check_run *run = TT_CONTAINER_OF(node, struct check_run, link);
        if (!run->is_exec) {
            probe_cancel(&run->probe); /* done comes later: the list stays as it is */
        }
    }
}
