/* The composition of an agent. Everything runs on one loop.
 *
 * Start: certificates → contexts → driver and client → refs, sync → informer of the node's pods →
 * node object, log server. Nothing is removed from the runtime before the servers have told all
 * pods once. Stop: informer → node → sync (begins no step) → driver (ends running steps) → events,
 * refs → client. */
#include "agent/agent.h"

#include <stdio.h>

#include "agent/cri_driver.h"
#include "agent/events.h"
#include "agent/identity.h"
#include "agent/log_server.h"
#include "agent/node.h"
#include "agent/pod_cache.h"
#include "agent/refs.h"
#include "agent/request.h"
#include "agent/sync.h"
#include "api/client/informer.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/rng.h"
#include "server/tls/context.h"
#include "server/tls/pki.h"

enum { MAILBOX_MAX = 256, CONNECTIONS_MAX = 4, TICK_MS = 1000, SIGNALS = 3 };

struct agent {
    struct agent_options options;      /* as told; the parts keep its strings */
    struct tt_tls_context *client_tls; /* owned reference; for calls to the servers */
    struct tt_tls_context *server_tls; /* owned reference; for the log server; same files */
    struct tt_loop *loop;              /* owned; run by the main thread */
    struct tt_api_client *client;      /* owned; NULL: not open, as all parts below */
    struct rt_driver *driver;          /* of the CRI runtime; its close ends the steps of sync */
    struct refs *refs;                 /* ConfigMaps, Secrets of pods; closes after the driver */
    struct events *events;             /* recorder; closes after the driver */
    struct sync *sync;                 /* closes after the node, together with the driver */
    struct node *node;                 /* closes after the log server */
    struct log_server *logs;           /* closes after the pods' informer */
    struct tt_informer *pods;          /* informer of the pods bound here; the first to close */
    struct identity identity;          /* as long as the client */
    uv_signal_t signals[SIGNALS];      /* SIGTERM, SIGINT, SIGHUP; open while the loop runs */
    struct tt_timer tick;              /* every TICK_MS: certificates are renewed and reloaded */
    struct tt_err failure;             /* of the start on the loop */
};

/* ---- identity ---- */

static int open_tls(struct agent *agent, struct tt_err *err)
{
    const struct agent_options *o = &agent->options;
    struct tt_tls_config config = {
        .cert_path = o->cert_path, .key_path = o->key_path, .ca_path = o->ca_path, .alpn = "h2"};
    int r = tt_tls_context_new(&config, &agent->client_tls, err);
    if (r == TT_OK) {
        config.server = true;
        config.client_auth = TT_TLS_CLIENT_REQUIRED;
        config.alpn = "h2,http/1.1";
        r = tt_tls_context_new(&config, &agent->server_tls, err);
    }
    return r;
}

/* The certificate must be this node's. */
static int check_identity(const struct agent *agent, struct tt_err *err)
{
    const struct agent_options *o = &agent->options;
    struct tt_buf pem;
    struct tt_pki_info info;
    int r = tt_file_read(o->cert_path, TT_PKI_PEM_SIZE_MAX, &pem, err);
    if (r == TT_OK) {
        r = tt_pki_cert_info(tt_buf_view(&pem), &info, err);
        tt_buf_fini(&pem);
    }
    if (r != TT_OK) {
        return TT_WRAP(err, r, "--cert %s", o->cert_path);
    }
    if (info.identity.role != TT_IDENTITY_AGENT || strcmp(info.identity.name, o->name) != 0) {
        return TT_FAIL(err, TT_EINVAL,
                       "--cert %s is for %s, not for agent %s: issue one with "
                       "`tuttictl pki issue agent %s`",
                       o->cert_path, info.identity.uri, o->name, o->name);
    }
    return TT_OK;
}

/* Returns whether there was something new, and it is used now. */
static bool reload_context(struct tt_tls_context *context)
{
    struct tt_err err;
    bool changed = false;
    tt_err_init(&err);
    if (tt_tls_context_reload(context, &changed, &err) != TT_OK) {
        TT_LOG(TT_LOG_WARN, "agent", "new certificates cannot be used, the old ones stay",
               TT_F_ERR(&err));
        return false;
    }
    return changed;
}

static void reload(struct agent *agent)
{
    if (reload_context(agent->client_tls)) {
        TT_LOG(TT_LOG_INFO, "agent", "certificates were reloaded");
    }
    (void)reload_context(agent->server_tls); /* of the same files: said above */
}

/* ---- events of the parts ---- */

static void runtime_changed(void *ctx)
{
    struct agent *agent = ctx;
    if (agent->sync != NULL) {
        sync_runtime_changed(agent->sync);
    }
}

static void runtime_condition(void *ctx, bool ready, const char *reason)
{
    struct agent *agent = ctx;
    if (ready) {
        TT_LOG(TT_LOG_INFO, "agent", "the container runtime answers",
               TT_F_C("node", agent->driver->ops->version(agent->driver)));
        runtime_changed(agent);
    } else {
        TT_LOG(TT_LOG_WARN, "agent", "the container runtime does not answer",
               TT_F_C("err", reason));
    }
    if (agent->node != NULL) {
        node_runtime_condition(agent->node, ready, reason,
                               agent->driver->ops->version(agent->driver));
    }
}

static void refs_changed(void *ctx)
{
    struct agent *agent = ctx;
    if (agent->sync != NULL) {
        sync_refs_changed(agent->sync);
    }
}

static void pod_changed(void *ctx, enum tt_informer_change change,
                        const struct tt_informer_object *object)
{
    struct agent *agent = ctx;
    if (change == TT_INFORMER_DELETED) {
        pod_cache_drop(agent->options.root, object->uid);
        sync_pod_deleted(agent->sync, object->uid);
    } else {
        pod_cache_put(agent->options.root, object->uid, object->json);
        sync_pod_changed(agent->sync, object->json);
    }
}

static void pod_cached(void *ctx, struct tt_str uid, struct tt_str json)
{
    struct agent *agent = ctx;
    (void)uid; /* it is in the text */
    sync_pod_cached(agent->sync, json);
}

static void pods_synced(void *ctx)
{
    struct agent *agent = ctx;
    sync_pods_complete(agent->sync);
}

static void pods_trouble(void *ctx, const struct tt_err *err)
{
    (void)ctx; /* the informer goes on by itself */
    TT_LOG(TT_LOG_WARN, "agent", "the pods of this node cannot be watched now", TT_F_ERR(err));
}

static void tick_fired(struct tt_timer *timer)
{
    struct agent *agent = TT_CONTAINER_OF(timer, struct agent, tick);
    const struct tt_clock *clock = tt_clock_real();
    if (agent->client != NULL) {
        identity_tick(&agent->identity, tt_clock_wall_ms(clock), tt_clock_ms(clock));
    }
    reload(agent);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct agent *agent = handle->data;
    if (signum == SIGHUP) {
        reload(agent);
        return;
    }
    TT_LOG(TT_LOG_INFO, "agent", "stopping", TT_F_I64("signal", signum));
    tt_loop_stop(agent->loop);
}

/* ---- start ---- */

static int open_client(struct agent *agent, struct tt_err *err)
{
    struct tt_kubeconfig servers = {.endpoint_count = agent->options.endpoint_count};
    memcpy(servers.endpoint, agent->options.endpoint, sizeof servers.endpoint);
    const struct tt_api_client_config config = {.loop = agent->loop,
                                                .kubeconfig = &servers,
                                                .tls = agent->client_tls,
                                                .user_agent = "tuttid-agent",
                                                .connections_max = CONNECTIONS_MAX};
    return tt_api_client_new(&config, &agent->client, err);
}

static int open_pods(struct agent *agent, struct tt_err *err)
{
    char selector[320];
    int size = snprintf(selector, sizeof selector, "spec.nodeName=%s", agent->options.name);
    const struct tt_informer_config config = {.loop = agent->loop,
                                              .client = agent->client,
                                              .resource = request_pods,
                                              .field_selector = tt_str(selector, (size_t)size),
                                              .changed = pod_changed,
                                              .synced = pods_synced,
                                              .trouble = pods_trouble,
                                              .ctx = agent};
    return tt_informer_new(&config, &agent->pods, err);
}

static int open_parts(struct agent *agent, struct tt_err *err)
{
    const struct agent_options *o = &agent->options;
    struct sync_limits limits;
    int r = open_client(agent, err);
    if (r == TT_OK) {
        r = cri_driver_new(agent->loop, o->runtime_endpoint, &agent->driver, err);
    }
    if (r != TT_OK) {
        return r;
    }
    identity_init(&agent->identity, o, agent->client);
    node_read_limits(&limits);
    agent->refs = refs_new(agent->loop, agent->client, refs_changed, agent);
    const struct events_config recorder = {.loop = agent->loop,
                                           .client = agent->client,
                                           .clock = tt_clock_real(),
                                           .node_name = o->name,
                                           .seed = tt_random_u64()};
    agent->events = events_new(&recorder);
    const struct sync_config sync = {.loop = agent->loop,
                                     .driver = agent->driver,
                                     .client = agent->client,
                                     .events = agent->events,
                                     .refs = agent->refs,
                                     .clock = tt_clock_real(),
                                     .root = o->root,
                                     .node_name = o->name,
                                     .host_ip = o->address,
                                     .limits = limits};
    agent->sync = sync_new(&sync);
    const struct log_server_config logs = {.loop = agent->loop,
                                           .tls = agent->server_tls,
                                           .sync = agent->sync,
                                           .clock = tt_clock_real(),
                                           .root = o->root,
                                           .host = o->listen_host,
                                           .port = o->listen_port};
    r = log_server_new(&logs, &agent->logs, err);
    if (r != TT_OK) {
        return r;
    }
    const struct node_config node = {.loop = agent->loop,
                                     .client = agent->client,
                                     .events = agent->events,
                                     .clock = tt_clock_real(),
                                     .name = o->name,
                                     .address = o->address,
                                     .port = o->listen_port,
                                     .labels = o->node_labels,
                                     .root = o->root,
                                     .limits = limits};
    agent->node = node_new(&node);
    const struct rt_events events = {
        .changed = runtime_changed, .condition = runtime_condition, .ctx = agent};
    agent->driver->ops->watch(agent->driver, &events);
    pod_cache_load(o->root, pod_cached, agent);
    return open_pods(agent, err);
}

static void open_signals(struct agent *agent)
{
    static const int numbers[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    for (size_t i = 0; i < SIGNALS; i++) {
        int r = uv_signal_init(tt_loop_uv(agent->loop), &agent->signals[i]);
        TT_ASSERT(r == 0);
        agent->signals[i].data = agent;
        r = uv_signal_start(&agent->signals[i], on_signal, numbers[i]);
        TT_ASSERT(r == 0);
    }
    tt_timer_init(&agent->tick, agent->loop, tick_fired);
    tt_timer_start(&agent->tick, TICK_MS, TICK_MS);
}

static void loop_started(void *ctx)
{
    struct agent *agent = ctx;
    open_signals(agent);
    if (open_parts(agent, &agent->failure) != TT_OK) {
        tt_loop_stop(agent->loop);
    } else {
        TT_LOG(TT_LOG_INFO, "agent", "the agent runs", TT_F_C("name", agent->options.name));
    }
}

/* ---- stop: each part when the one before is closed ---- */

static void client_closed(void *ctx)
{
    struct agent *agent = ctx;
    identity_fini(&agent->identity);
    agent->client = NULL;
}

static void refs_closed(void *ctx)
{
    struct agent *agent = ctx;
    agent->refs = NULL;
    if (agent->client != NULL) {
        tt_api_client_close(agent->client, client_closed, agent);
    }
}

static void events_closed(void *ctx)
{
    struct agent *agent = ctx;
    agent->events = NULL;
}

/* No step runs any more that could tell something. */
static void driver_closed(void *ctx)
{
    struct agent *agent = ctx;
    agent->driver = NULL;
    if (agent->events != NULL) {
        events_close(agent->events, events_closed,
                     agent); /* the client's close ends its requests */
    }
    if (agent->refs != NULL) {
        refs_close(agent->refs, refs_closed, agent);
    } else {
        refs_closed(agent);
    }
}

static void sync_closed(void *ctx)
{
    struct agent *agent = ctx;
    agent->sync = NULL;
}

static void node_closed(void *ctx)
{
    struct agent *agent = ctx;
    agent->node = NULL;
    if (agent->sync != NULL) {
        sync_close(agent->sync, sync_closed, agent);
    }
    if (agent->driver != NULL) {
        agent->driver->ops->close(agent->driver, driver_closed, agent);
    } else {
        driver_closed(agent);
    }
}

static void logs_closed(void *ctx)
{
    struct agent *agent = ctx;
    agent->logs = NULL;
    if (agent->node != NULL) {
        node_close(agent->node, node_closed, agent);
    } else {
        node_closed(agent);
    }
}

static void pods_closed(void *ctx)
{
    struct agent *agent = ctx;
    agent->pods = NULL;
    if (agent->logs != NULL) {
        log_server_close(agent->logs, logs_closed, agent);
    } else {
        logs_closed(agent);
    }
}

static void loop_stopping(void *ctx)
{
    struct agent *agent = ctx;
    for (size_t i = 0; i < SIGNALS; i++) {
        uv_close((uv_handle_t *)&agent->signals[i], NULL);
    }
    tt_timer_close(&agent->tick, NULL);
    if (agent->pods != NULL) {
        tt_informer_close(agent->pods, pods_closed, agent);
    } else {
        pods_closed(agent);
    }
}

/* ---- life ---- */

int agent_new(const struct agent_options *options, struct agent **ret_agent, struct tt_err *err)
{
    struct agent *agent = TT_NEW(struct agent);
    agent->options = *options;
    tt_err_init(&agent->failure);
    int r = identity_join(&agent->options, err);
    if (r == TT_OK) {
        r = check_identity(agent, err);
    }
    if (r == TT_OK) {
        r = open_tls(agent, err);
    }
    if (r == TT_OK) {
        const struct tt_loop_config config = {.name = "agent",
                                              .mailbox_max = MAILBOX_MAX,
                                              .on_start = loop_started,
                                              .on_stop = loop_stopping,
                                              .ctx = agent};
        agent->loop = tt_loop_new(&config, err);
        r = agent->loop != NULL ? TT_OK : TT_EINTERNAL;
    }
    if (r != TT_OK) {
        agent_free(agent);
        return r;
    }
    *ret_agent = agent;
    return TT_OK;
}

int agent_run(struct agent *agent, struct tt_err *err)
{
    tt_loop_run_here(agent->loop);
    if (agent->failure.code != TT_OK) {
        if (err != NULL) {
            *err = agent->failure;
        }
        return agent->failure.code;
    }
    return TT_OK;
}

void agent_free(struct agent *agent)
{
    if (agent == NULL) {
        return;
    }
    tt_loop_free(agent->loop);
    tt_tls_context_unref(agent->client_tls);
    tt_tls_context_unref(agent->server_tls);
    tt_free(agent);
}
