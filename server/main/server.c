/* The composition root of a server.
 *
 * Start: nothing listens before the store holds what the disk has; raft starts last, when whoever
 * wants to hear of leadership has said so. The main loop handles signals, looks for new certificate
 * files every second, and proposes the objects every cluster has until they are there.
 *
 * Stop (SIGTERM): API workers drain, then the replica answers what is out and stops its log
 * cleanly, then the other loops end; memory is freed when no thread is left. */
#include "server/main/server.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#include "api/routes/api.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/work.h"
#include "raft/replica.h"
#include "reconciler/containers/containers.h"
#include "reconciler/core/core.h"
#include "server/main/join.h"
#include "server/main/keys.h"
#include "server/main/reclaim.h"
#include "server/main/renew.h"
#include "server/tls/stream.h"

enum {
    MAIN_MAILBOX_MAX = 1024,
    API_MAILBOX_MAX = 1 << 15,
    POOL_THREADS = 2,
    POOL_QUEUE_MAX = 4096,
    SLOW_POOL_NICE = 19,
    TICK_MS = 1000,
    TICK_FIRST_MS = 50, /* until the objects every cluster has are there */
    DRAIN_MS = 2000,
    CONTROLLERS = 7,
    EXIT_FATAL = 70, /* EX_SOFTWARE: restart me */
};

struct api_thread {
    struct tt_loop *loop;         /* owned */
    struct tt_api_worker *worker; /* owned; freed when its loop has ended */
    struct server *server;        /* contains us */
    struct tt_msg stop_msg;       /* to the loop: drain and close */
    struct tt_msg closed_msg;     /* to the main loop: the worker is closed */
};

struct server {
    struct server_options options; /* strings in argv */
    struct server_keys *keys;      /* owned */
    /* owned; one per use, as ALPN and rules differ */
    struct tt_tls_context *api_tls, *peer_server_tls, *client_tls, *agent_tls;
    struct tt_pool *pool, *slow_pool;  /* owned; slow_pool: one niced thread for snapshots */
    struct server_reclaimer reclaimer; /* the store's; over pool */
    struct server_renewal renewal;     /* of our own certificate; the main loop's */
    struct tt_registry *registry;      /* owned; the kinds, immutable */
    struct tt_replica *replica;        /* owned; with log, store and transport */
    struct tt_api *api;                /* owned; shared by the workers */
    struct api_thread threads[TT_API_WORKERS_MAX]; /* [0, thread_count) */
    size_t thread_count;                           /* opened, the last one maybe in part */
    size_t threads_closed;    /* main loop's; the main loop ends at thread_count */
    struct tt_engine *engine; /* owned; runs the controllers */
    struct tt_controller *controllers[CONTROLLERS]; /* owned; freed after the engine */
    size_t controller_count;                        /* 0 before the engine is made */
    char actor[256];        /* our SPIFFE URI: who writes what the server itself writes */
    char cluster[64];       /* SPIFFE trust domain, from our certificate */
    char cluster_id[40];    /* derived from the authority; that of a first start */
    struct tt_loop *loop;   /* main */
    uv_signal_t signals[3]; /* SIGTERM, SIGINT, SIGHUP; main loop */
    struct tt_timer tick;   /* main loop: certificates, seed, keys; every second, faster at first */
    struct tt_propose_op seed; /* the objects every cluster has */
    bool seed_out;             /* seed is proposed and not answered */
    bool keys_checked;         /* against what the store holds */
};

static void fatal(void *ctx, const struct tt_err *err)
{
    (void)ctx; /* no clean-up: what is durable is durable, and nothing else may run */
    TT_LOG(TT_LOG_ERROR, "server", "stopping at once: the member cannot go on", TT_F_ERR(err));
    _exit(err->code == TT_ECONFLICT ? tt_err_exit_code(err->code) : EXIT_FATAL);
}

/* TLS. */

static int new_context(const struct server_options *o, const char *alpn, bool is_server,
                       enum tt_tls_client_auth auth, struct tt_tls_context **ret,
                       struct tt_err *err)
{
    const struct tt_tls_config config = {.cert_path = o->cert,
                                         .key_path = o->key,
                                         .ca_path = o->ca,
                                         .alpn = alpn,
                                         .client_auth = auth,
                                         .server = is_server};
    return tt_tls_context_new(&config, ret, err);
}

static int open_tls(struct server *server, struct tt_err *err)
{
    const struct server_options *o = &server->options;
    int r = new_context(o, "h2,http/1.1", true, TT_TLS_CLIENT_OPTIONAL, &server->api_tls, err);
    if (r == TT_OK) {
        r = new_context(o, TT_TRANSPORT_ALPN, true, TT_TLS_CLIENT_REQUIRED,
                        &server->peer_server_tls, err);
    }
    if (r == TT_OK) {
        r = new_context(o, TT_TRANSPORT_ALPN, false, TT_TLS_CLIENT_REQUIRED, &server->client_tls,
                        err);
    }
    if (r == TT_OK) {
        r = new_context(o, "h2", false, TT_TLS_CLIENT_REQUIRED, &server->agent_tls, err);
    }
    return r;
}

/* Who this server is, from its own certificate: the name must be the one it is started with. */
static int read_identity(struct server *server, struct tt_err *err)
{
    struct tt_buf pem;
    struct tt_pki_info info;
    int r = tt_file_read(server->options.cert, TT_PKI_PEM_SIZE_MAX, &pem, err);
    if (r == TT_OK) {
        r = tt_pki_cert_info(tt_buf_view(&pem), &info, err);
        tt_buf_fini(&pem);
    }
    if (r != TT_OK) {
        return TT_WRAP(err, r, "--cert %s", server->options.cert);
    }
    if (info.identity.role != TT_IDENTITY_SERVER ||
        strcmp(info.identity.name, server->options.name) != 0) {
        return TT_FAIL(err, TT_EINVAL,
                       "--cert %s is for %s, not for server %s: issue one with "
                       "`tuttictl pki issue server %s`",
                       server->options.cert, info.identity.uri, server->options.name,
                       server->options.name);
    }
    (void)snprintf(server->cluster, sizeof server->cluster, "%s", info.identity.cluster);
    (void)snprintf(server->actor, sizeof server->actor, "%s", info.identity.uri);
    return TT_OK;
}

/* All first members must agree on the cluster's id without talking: it follows from the authority
 * and the list. Formed like a UUID. */
static int derive_cluster_id(struct server *server, struct tt_err *err)
{
    struct tt_buf pem;
    char fingerprint[TT_PKI_FINGERPRINT_SIZE];
    int r = tt_file_read(server->options.ca, TT_PKI_PEM_SIZE_MAX, &pem, err);
    if (r == TT_OK) {
        r = tt_pki_fingerprint(tt_buf_view(&pem), fingerprint, err);
        tt_buf_fini(&pem);
    }
    if (r != TT_OK) {
        return TT_WRAP(err, r, "--ca %s", server->options.ca);
    }
    (void)snprintf(server->cluster_id, sizeof server->cluster_id, "%.8s-%.4s-%.4s-%.4s-%.12s",
                   fingerprint, fingerprint + 8, fingerprint + 12, fingerprint + 16,
                   fingerprint + 20);
    return TT_OK;
}

/* Parts. */

/* A data directory that holds a member needs nobody to tell it who it is. */
static bool is_new_joiner(const struct server_options *o)
{
    char member[4096];
    int size = snprintf(member, sizeof member, "%s/member", o->data_dir);
    return o->join != NULL && size > 0 && (size_t)size < sizeof member && !tt_path_exists(member);
}

static int open_replica(struct server *server, struct tt_err *err)
{
    const struct server_options *o = &server->options;
    struct join_answer join = {.member_count = 0};
    if (is_new_joiner(o)) {
        int r = join_ask(o, &join, err);
        if (r != TT_OK) {
            return r;
        }
    }
    bool joins = join.member_count > 0;
    const struct tt_replica_config config = {.data_dir = o->data_dir,
                                             .name = o->name,
                                             .cluster = server->cluster,
                                             .api_address = o->api_advertise,
                                             .peer_host = o->peer_host,
                                             .peer_port = o->peer_port,
                                             .server_tls = server->peer_server_tls,
                                             .client_tls = server->client_tls,
                                             .pool = server->pool,
                                             .slow_pool = server->slow_pool,
                                             .reclaimer = &server->reclaimer.base,
                                             .clock = tt_clock_real(),
                                             .cluster_id =
                                                 joins ? join.cluster_id : server->cluster_id,
                                             .member_id = joins ? join.member_id : o->member_id,
                                             .initial = o->initial,
                                             .initial_count = o->initial_count,
                                             .known = join.members,
                                             .known_count = join.member_count,
                                             .fatal = fatal,
                                             .ctx = server};
    return tt_replica_new(&config, &server->replica, err);
}

static int open_thread(struct server *server, struct api_thread *thread, struct tt_err *err)
{
    char name[16];
    (void)snprintf(name, sizeof name, "api-%u", (unsigned)(server->thread_count % 100));
    const struct tt_loop_config loop = {.name = name, .mailbox_max = API_MAILBOX_MAX};
    thread->server = server;
    thread->loop = tt_loop_new(&loop, err);
    if (thread->loop == NULL) {
        return TT_EINTERNAL;
    }
    const struct tt_api_worker_config worker = {
        .loop = thread->loop, .host = server->options.api_host, .port = server->options.api_port};
    return tt_api_worker_new(server->api, &worker, &thread->worker, err);
}

/* The reconcilers' part of /metrics. */
static void write_metrics(void *ctx, struct tt_buf *buf)
{
    const struct server *server = ctx;
    const struct tt_event_stats stats = tt_engine_event_stats(server->engine);
    const struct {
        const char *name; /* of the counter, between tutti_events_ and _total */
        const char *help; /* one sentence for HELP */
        uint64_t value;   /* since the start of this server */
    } counters[] = {
        {"written", "Writes of Events by this server's reconcilers.", stats.written},
        {"dropped", "Events of this server's reconcilers that were not written.", stats.dropped},
        {"quieted", "Repeated Events that were only counted, by the limit per object.",
         stats.quieted},
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        tt_buf_printf(buf,
                      "# HELP tutti_events_%s_total %s\n# TYPE tutti_events_%s_total counter\n"
                      "tutti_events_%s_total %" PRIu64 "\n",
                      counters[i].name, counters[i].help, counters[i].name, counters[i].name,
                      counters[i].value);
    }
}

static int open_api(struct server *server, struct tt_err *err)
{
    const struct tt_api_config config = {.store = tt_replica_store(server->replica),
                                         .registry = server->registry,
                                         .proposer = tt_replica_proposer(server->replica),
                                         .cluster = tt_replica_cluster(server->replica),
                                         .clock = tt_clock_real(),
                                         .sealer = server_keys_sealer(server->keys),
                                         .server_tls = server->api_tls,
                                         .peer_tls = server->peer_server_tls,
                                         .peer_client_tls = server->client_tls,
                                         .ca_cert_path =
                                             server->options.ca_key ? server->options.ca : NULL,
                                         .ca_key_path = server->options.ca_key,
                                         .client_tls = server->agent_tls,
                                         .version = TT_VERSION_TEXT,
                                         .cluster_name = server->cluster,
                                         .write_metrics = write_metrics,
                                         .metrics_ctx = server};
    int r = tt_tls_port_check(server->options.api_host, server->options.api_port, err);
    if (r != TT_OK) {
        return TT_WRAP(err, r, "--api-listen %s", server->options.api_listen);
    }
    server->api = tt_api_new(&config);
    uint64_t wanted = server->options.api_threads;
    if (wanted == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        wanted = cores > 0 ? (uint64_t)cores : 1;
    }
    while (r == TT_OK && server->thread_count < wanted &&
           server->thread_count < TT_API_WORKERS_MAX) {
        r = open_thread(server, &server->threads[server->thread_count++], err);
    }
    return r;
}

static int open_engine(struct server *server, struct tt_err *err)
{
    struct tt_controller *controllers[CONTROLLERS] = {
        tt_deployment_controller_new(), tt_replicaset_controller_new(),
        tt_scheduler_controller_new(),  tt_node_controller_new(),
        tt_namespace_controller_new(),  tt_gc_controller_new(),
        tt_event_controller_new()};
    memcpy(server->controllers, controllers, sizeof controllers);
    server->controller_count = CONTROLLERS;
    struct tt_engine_config config = {.store = tt_replica_store(server->replica),
                                      .proposer = tt_replica_proposer(server->replica),
                                      .cluster = tt_replica_cluster(server->replica),
                                      .registry = server->registry,
                                      .clock = tt_clock_real(),
                                      .actor = tt_str_c(server->actor),
                                      .seal = server_keys_pass_seal(server->keys),
                                      .controller_count = CONTROLLERS};
    memcpy(config.controllers, controllers, sizeof controllers);
    return tt_engine_new(&config, &server->engine, err);
}

/* The main loop. */

static void seed_done(struct tt_propose_op *op)
{
    TT_CONTAINER_OF(op, struct server, seed)->seed_out = false; /* the next tick looks again */
}

static void propose_seed(struct server *server, struct tt_bytes *command)
{
    struct tt_proposer *proposer = tt_replica_proposer(server->replica);
    server->seed = (struct tt_propose_op){
        .command = command, .reply = tt_loop_mailbox(server->loop), .done = seed_done};
    server->seed_out = proposer->propose(proposer, &server->seed) == TT_OK;
}

/* Looks often until the first objects are there, then once a second. Only the leader proposes. */
static void seed_when_missing(struct server *server)
{
    struct tt_err err;
    tt_err_init(&err);
    if (server->seed_out) {
        return;
    }
    struct tt_bytes *command = NULL;
    TT_AUTO(tt_version) version = tt_store_version(tt_replica_store(server->replica));
    int r = tt_api_bootstrap_command(server->api, version, &command, &err);
    if (r != TT_OK) {
        TT_LOG(TT_LOG_WARN, "server", "the first objects cannot be made", TT_F_ERR(&err));
        return;
    }
    if (command == NULL) {
        tt_timer_start(&server->tick, TICK_MS, TICK_MS);
        return;
    }
    struct tt_cluster *cluster = tt_replica_cluster(server->replica);
    struct tt_cluster_status status;
    cluster->status(cluster, &status);
    if (status.state == TT_STATE_LEADER) {
        propose_seed(server, command);
    } else {
        tt_bytes_unref(command);
    }
}

/* Returns whether there was something new, and it is used now. */
static bool reload_context(struct tt_tls_context *context)
{
    struct tt_err err;
    bool changed = false;
    tt_err_init(&err);
    if (tt_tls_context_reload(context, &changed, &err) != TT_OK) {
        TT_LOG(TT_LOG_WARN, "server", "new certificates cannot be used, the old ones stay",
               TT_F_ERR(&err));
        return false;
    }
    return changed;
}

static void reload(struct server *server)
{
    struct tt_tls_context *others[] = {server->peer_server_tls, server->client_tls,
                                       server->agent_tls};
    if (reload_context(server->api_tls)) {
        TT_LOG(TT_LOG_INFO, "server", "certificates were reloaded");
        server_renewal_hasten(&server->renewal);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        (void)reload_context(others[i]); /* of the same files: said above */
    }
}

static void renew_when_due(struct server *server)
{
    uint64_t now_ms = tt_clock_ms(tt_clock_real());
    if (!server_renewal_is_due(&server->renewal, now_ms)) {
        return;
    }
    struct tt_cluster *cluster = tt_replica_cluster(server->replica);
    struct tt_cluster_status status;
    cluster->status(cluster, &status);
    struct server_renew_basis basis = {.tls = server->api_tls,
                                       .wall_ms = tt_clock_wall_ms(tt_clock_real()),
                                       .revision = status.revision};
    memcpy(basis.cluster_id, status.cluster_id, sizeof basis.cluster_id);
    server_renewal_look(&server->renewal, &basis, now_ms);
}

/* Said once, as soon as there is a Secret: reading fails on this server, and what it seals cannot
 * be read elsewhere. */
static void check_keys(struct server *server)
{
    uint64_t missing = 0;
    if (server->keys_checked) {
        return;
    }
    TT_AUTO(tt_version) version = tt_store_version(tt_replica_store(server->replica));
    if (!server_keys_fit(server->keys, version, &server->keys_checked, &missing)) {
        struct tt_err err;
        tt_err_init(&err);
        int r = TT_FAIL(&err, TT_EUNAVAILABLE,
                        "Secrets are sealed with root key %016" PRIx64
                        ", which this server was not given (--seal-key, or --seal-passphrase with "
                        "the cluster's salt)",
                        missing);
        TT_IGNORE(r);
        TT_LOG(TT_LOG_ERROR, "server", "the root key is not that of the cluster", TT_F_ERR(&err));
    }
}

static void tick_fired(struct tt_timer *timer)
{
    struct server *server = TT_CONTAINER_OF(timer, struct server, tick);
    reload(server);
    check_keys(server);
    renew_when_due(server);
    tt_replica_recheck_peers(server->replica); /* the API revokes on the peers' context, too */
    seed_when_missing(server);
}

static void on_signal(uv_signal_t *handle, int signum)
{
    struct server *server = handle->data;
    if (signum == SIGHUP) {
        reload(server);
        return;
    }
    TT_LOG(TT_LOG_INFO, "server", "stopping", TT_F_I64("signal", signum));
    server_stop(server);
}

static void main_started(void *ctx)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    struct server *server = ctx;
    for (size_t i = 0; i < 3; i++) {
        int r = uv_signal_init(tt_loop_uv(server->loop), &server->signals[i]);
        TT_ASSERT(r == 0);
        server->signals[i].data = server;
        r = uv_signal_start(&server->signals[i], on_signal, numbers[i]);
        TT_ASSERT(r == 0);
    }
    server_renewal_init(&server->renewal, &server->options, server->pool,
                        tt_loop_mailbox(server->loop));
    tt_timer_init(&server->tick, server->loop, tick_fired);
    tt_timer_start(&server->tick, TICK_FIRST_MS, TICK_FIRST_MS);
}

static void close_main(struct server *server)
{
    for (size_t i = 0; i < 3; i++) {
        uv_close((uv_handle_t *)&server->signals[i], NULL);
    }
    tt_timer_close(&server->tick, NULL);
}

static void thread_closed_on_main(struct tt_msg *msg)
{
    struct api_thread *thread = TT_CONTAINER_OF(msg, struct api_thread, closed_msg);
    struct server *server = thread->server;
    if (++server->threads_closed == server->thread_count) {
        close_main(server);
    }
}

static void worker_closed(void *ctx)
{
    struct api_thread *thread = ctx;
    thread->closed_msg.run = thread_closed_on_main;
    TT_IGNORE(tt_mailbox_post_answer(tt_loop_mailbox(thread->server->loop), &thread->closed_msg));
}

static void stop_worker(struct tt_msg *msg)
{
    struct api_thread *thread = TT_CONTAINER_OF(msg, struct api_thread, stop_msg);
    tt_api_worker_stop(thread->worker, DRAIN_MS, worker_closed, thread);
}

/* The main loop was asked to stop: drain the API first; close_main follows. */
static void main_stopping(void *ctx)
{
    struct server *server = ctx;
    tt_timer_stop(&server->tick);
    for (size_t i = 0; i < server->thread_count; i++) {
        server->threads[i].stop_msg.run = stop_worker;
        int r = tt_mailbox_post_answer(tt_loop_mailbox(server->threads[i].loop),
                                       &server->threads[i].stop_msg);
        TT_ASSERT(r == TT_OK);
    }
}

/* Life. */

int server_new(const struct server_options *options, struct server **ret_server, struct tt_err *err)
{
    struct server *server = TT_NEW(struct server);
    server->options = *options;
    int r = read_identity(server, err);
    if (r == TT_OK) {
        r = derive_cluster_id(server, err);
    }
    if (r == TT_OK) {
        r = open_tls(server, err);
    }
    if (r == TT_OK) {
        r = server_keys_new(options, &server->keys, err);
    }
    if (r == TT_OK) {
        r = tt_registry_new(&server->registry, err);
    }
    if (r == TT_OK) {
        server->pool = tt_pool_new(POOL_THREADS, 0, POOL_QUEUE_MAX);
        server->slow_pool = tt_pool_new(1, SLOW_POOL_NICE, POOL_QUEUE_MAX);
        server_reclaimer_init(&server->reclaimer, server->pool);
        r = open_replica(server, err);
    }
    if (r == TT_OK) {
        const struct tt_loop_config loop = {.name = "main",
                                            .mailbox_max = MAIN_MAILBOX_MAX,
                                            .on_start = main_started,
                                            .on_stop = main_stopping,
                                            .ctx = server};
        server->loop = tt_loop_new(&loop, err);
        r = server->loop != NULL ? open_api(server, err) : TT_EINTERNAL;
    }
    if (r == TT_OK) {
        r = open_engine(server, err);
    }
    if (r != TT_OK) {
        server_free(server);
        return r;
    }
    *ret_server = server;
    return TT_OK;
}

int server_run(struct server *server, struct tt_err *err)
{
    int r = tt_replica_start(server->replica, err);
    for (size_t i = 0; r == TT_OK && i < server->thread_count; i++) {
        r = tt_loop_start(server->threads[i].loop, err);
    }
    if (r != TT_OK) {
        return TT_WRAP(err, r, "start server %s", server->options.name);
    }
    TT_LOG(TT_LOG_INFO, "server", "started", TT_F_C("api", server->options.api_advertise),
           TT_F_U64("member", tt_replica_member_id(server->replica)));
    tt_loop_run_here(server->loop);
    tt_replica_stop(server->replica); /* answers every op into mailboxes that are still there */
    for (size_t i = 0; i < server->thread_count; i++) {
        tt_loop_join(server->threads[i].loop);
    }
    TT_LOG(TT_LOG_INFO, "server", "stopped");
    return TT_OK;
}

void server_stop(struct server *server)
{
    tt_loop_stop(server->loop);
}

void server_free(struct server *server)
{
    if (server == NULL) {
        return;
    }
    tt_engine_free(server->engine);
    for (size_t i = 0; i < server->thread_count; i++) {
        tt_loop_join(server->threads[i].loop);
        tt_api_worker_free(server->threads[i].worker);
        tt_loop_free(server->threads[i].loop);
    }
    tt_api_free(server->api);
    tt_replica_free(server->replica);
    for (size_t i = 0; i < server->controller_count; i++) {
        tt_controller_free(server->controllers[i]);
    }
    tt_loop_free(server->loop);
    server_reclaimer_hurry(&server->reclaimer);
    tt_pool_free(server->pool);
    tt_pool_free(server->slow_pool);
    server_reclaimer_fini(&server->reclaimer);
    tt_registry_free(server->registry);
    server_keys_free(server->keys);
    tt_tls_context_unref(server->api_tls);
    tt_tls_context_unref(server->peer_server_tls);
    tt_tls_context_unref(server->client_tls);
    tt_tls_context_unref(server->agent_tls);
    tt_free(server);
}
