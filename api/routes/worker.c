/* The worker's queues: what requests wait for, and what wakes them.
 *
 * Reads: requests that want a linearizable version gather in `barrier`; once per loop turn, before
 * the loop blocks, they share one read index, and when it is done one version serves them all.
 * Revisions: requests that want a revision above the local one sit in `waiting` until the store
 * publishes it, or 3 s. Writes: a proposal lives in a pool, since it must outlive a client that
 * goes away; those of a loop turn are submitted together, before the loop blocks.
 * Failure: submit refused → every request concerned is answered with that code. */
#include "api/routes/worker.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/rng.h"

/* Bytes queued on one stream: a slow watch or list is read again from the store, not queued for, so
 * that a thousand of them cost 256 MiB at the very worst. */
enum { BACKLOG_MAX = 256 << 10 };

uint64_t api_now_ms(const struct tt_api_worker *worker)
{
    return tt_clock_ms(worker->api->config.clock);
}

void api_worker_random(struct tt_api_worker *worker, void *out, size_t size)
{
    TT_ASSERT(size <= API_RANDOM_SIZE);
    if (worker->random_left < size) {
        tt_random_bytes(worker->random, API_RANDOM_SIZE);
        worker->random_left = API_RANDOM_SIZE;
    }
    uint8_t *from = worker->random + API_RANDOM_SIZE - worker->random_left;
    memcpy(out, from, size);
    memset(from, 0, size);
    worker->random_left -= size;
}

struct api_kinds *api_kinds_get(struct tt_api_worker *worker)
{
    struct tt_registry *registry = worker->api->config.registry;
    struct api_kinds *kinds = worker->kinds;
    if (!kinds || tt_kinds_generation(kinds->kinds) != tt_registry_generation(registry)) {
        api_kinds_put(kinds);
        kinds = TT_NEW(struct api_kinds);
        kinds->kinds = tt_registry_get(registry);
        kinds->users = 1;
        worker->kinds = kinds;
    }
    kinds->users++;
    return kinds;
}

void api_kinds_put(struct api_kinds *kinds)
{
    if (kinds && --kinds->users == 0) {
        tt_kinds_unref(kinds->kinds);
        tt_free(kinds);
    }
}

static void park(struct api_request *rq, struct tt_list *list, uint32_t state,
                 int (*resume)(struct api_request *rq, struct tt_version *version,
                               struct tt_err *err))
{
    rq->resume = resume;
    tt_list_push_back(list, &rq->link);
    tt_sm_move(&rq->sm, state);
}

/* Why no read could be confirmed. */
static int refuse_read(const struct tt_api_worker *worker, int code, struct tt_err *err)
{
    struct tt_cluster_status status;
    worker->api->config.cluster->status(worker->api->config.cluster, &status);
    if (status.removed_index != 0) {
        return TT_FAIL(err, code, API_REMOVED, status.removed_index);
    }
    return TT_FAIL(err, code, "%s",
                   worker->caught_up
                       ? "the server cannot confirm that it is up to date: no leader"
                       : "the server has just started and reaches no majority: it does not know "
                         "yet what was committed, nor who is revoked (/readyz says more)");
}

void api_resume(struct api_request *rq, struct tt_version *version, int code)
{
    tt_list_remove(&rq->link);
    tt_sm_move(&rq->sm, API_RUNNING);
    struct tt_err err;
    tt_err_init(&err);
    int r = code;
    if (code == TT_ETIMEOUT) {
        r = TT_FAIL(&err, code, "Timeout: request did not complete within the allotted timeout");
    } else if (code) {
        r = refuse_read(rq->worker, code, &err);
    } else {
        r = rq->resume(rq, version, &err);
    }
    api_settle(rq, r, &err);
}

static void move_all(struct tt_list *to, struct tt_list *from)
{
    struct tt_list *node;
    while ((node = tt_list_pop_front(from))) {
        tt_list_push_back(to, node);
    }
}

/* version: NULL when code is not 0. */
static void resume_all(struct tt_list *requests, struct tt_version *version, int code)
{
    while (!tt_list_empty(requests)) {
        api_resume(TT_CONTAINER_OF(requests->next, struct api_request, link), version, code);
    }
}

/* ---- linearizable reads ---- */

void api_barrier(struct api_request *rq,
                 int (*resume)(struct api_request *rq, struct tt_version *version,
                               struct tt_err *err))
{
    park(rq, &rq->worker->barrier, API_BARRIER, resume);
}

/* What the answer promised, or NULL while a snapshot is being installed. */
static struct tt_version *promised_version(struct tt_api_worker *worker,
                                           const struct tt_read_op *op)
{
    struct tt_version *version = tt_store_version(worker->api->config.store);
    if (tt_version_revision(version) < op->revision) {
        tt_version_unref(version);
        return NULL;
    }
    if (!worker->caught_up) { /* all that was committed when this server started is here now */
        worker->revocations.count = UINT64_MAX; /* look, whatever was seen before */
        api_revocations_refresh(worker, version);
        worker->caught_up = true;
    }
    return version;
}

/* The store is being replaced by a snapshot: again in the next turn, as long as clients wait. */
static void ask_again(struct tt_api_worker *worker, struct tt_list *requests)
{
    const uint64_t wait_ns = (uint64_t)API_WRITE_WAIT_MS * 1000000;
    uint64_t now_ns = tt_clock_ns(worker->api->config.clock);
    struct tt_list *node;
    while ((node = tt_list_pop_front(requests))) {
        struct api_request *rq = TT_CONTAINER_OF(node, struct api_request, link);
        if (now_ns - rq->start_ns < wait_ns) {
            tt_list_push_back(&worker->barrier, node);
        } else {
            api_resume(rq, NULL, TT_EUNAVAILABLE);
        }
    }
}

static void batch_done(struct tt_read_op *op)
{
    struct api_batch *batch = op->ctx;
    struct tt_api_worker *worker = batch->worker;
    worker->ops_out--;
    tt_loop_mark(worker->loop, "api reads");
    struct tt_version *version = op->code == TT_OK ? promised_version(worker, op) : NULL;
    if (op->code == TT_OK && version == NULL) {
        ask_again(worker, &batch->requests);
    }
    resume_all(&batch->requests, version, op->code);
    tt_version_unref(version);
    tt_list_push_back(&worker->free_batches, &batch->link);
}

static struct api_batch *batch_get(struct tt_api_worker *worker)
{
    struct tt_list *node = tt_list_pop_front(&worker->free_batches);
    if (node) {
        return TT_CONTAINER_OF(node, struct api_batch, link);
    }
    struct api_batch *batch = TT_NEW(struct api_batch);
    batch->worker = worker;
    tt_list_init(&batch->requests);
    return batch;
}

static void submit_barrier(struct tt_api_worker *worker)
{
    struct tt_cluster *cluster = worker->api->config.cluster;
    struct api_batch *batch = batch_get(worker);
    move_all(&batch->requests, &worker->barrier);
    memset(&batch->op, 0, sizeof batch->op);
    batch->op.deadline_ms =
        api_now_ms(worker) + (worker->caught_up ? API_WRITE_WAIT_MS : API_READ_WAIT_MS);
    batch->op.reply = tt_loop_mailbox(worker->loop);
    batch->op.done = batch_done;
    batch->op.ctx = batch;
    worker->metrics.read_index++;
    int r = cluster->read_index(cluster, &batch->op);
    if (r) {
        resume_all(&batch->requests, NULL, r);
        tt_list_push_back(&worker->free_batches, &batch->link);
        return;
    }
    worker->ops_out++;
}

/* ---- waiting for a revision ---- */

void api_read_version(struct api_request *rq,
                      int (*resume)(struct api_request *rq, struct tt_version *version,
                                    struct tt_err *err))
{
    if (rq->query.resource_version.len == 0) {
        api_barrier(rq, resume);
        return;
    }
    struct tt_version *version = tt_store_version(rq->worker->api->config.store);
    if (rq->query.revision == 0 && tt_version_revision(version) == 0) {
        /* Nothing is here: not an old state, but none (just joined, or a snapshot is being
         * installed). Who believed it would think that everything is gone. */
        tt_version_unref(version);
        api_barrier(rq, resume);
        return;
    }
    if (tt_version_revision(version) >= rq->query.revision) {
        struct tt_err err;
        tt_err_init(&err);
        int r = resume(rq, version, &err);
        tt_version_unref(version);
        api_settle(rq, r, &err);
        return;
    }
    tt_version_unref(version);
    rq->wanted_revision = rq->query.revision;
    rq->deadline_ms = api_now_ms(rq->worker) + API_READ_WAIT_MS;
    park(rq, &rq->worker->waiting, API_WAITING, resume);
}

static void fail_too_new(struct api_request *rq, uint64_t present)
{
    tt_list_remove(&rq->link);
    tt_sm_move(&rq->sm, API_RUNNING);
    struct tt_err err;
    tt_err_init(&err);
    struct tt_issues *causes = api_request_causes(rq);
    if (causes) { /* by it informers know that they must list anew */
        tt_issues_add(causes, TT_ISSUE_TOO_NEW, TT_STR(""), "Too large resource version");
    }
    (void)TT_FAIL(&err, TT_ETIMEOUT, "Timeout: Too large resource version: %llu, current: %llu",
                  (unsigned long long)rq->wanted_revision, (unsigned long long)present);
    api_fail(rq, &err);
}

static void check_waiting(struct tt_api_worker *worker, struct tt_version *version, bool tick)
{
    uint64_t present = tt_version_revision(version);
    uint64_t now_ms = api_now_ms(worker);
    struct tt_list ready;
    struct tt_list late;
    tt_list_init(&ready);
    tt_list_init(&late);
    struct tt_list *next;
    for (struct tt_list *node = worker->waiting.next; node != &worker->waiting; node = next) {
        next = node->next;
        struct api_request *rq = TT_CONTAINER_OF(node, struct api_request, link);
        bool is_late = tick && now_ms >= rq->deadline_ms;
        if (rq->wanted_revision <= present || is_late) {
            tt_list_remove(node);
            tt_list_push_back(rq->wanted_revision <= present ? &ready : &late, node);
        }
    }
    while (!tt_list_empty(&ready)) {
        api_resume(TT_CONTAINER_OF(ready.next, struct api_request, link), version, TT_OK);
    }
    while (!tt_list_empty(&late)) {
        fail_too_new(TT_CONTAINER_OF(late.next, struct api_request, link), present);
    }
}

/* ---- writes ---- */

static void proposal_done(struct tt_propose_op *op)
{
    struct api_proposal *proposal = op->ctx;
    struct tt_api_worker *worker = proposal->worker;
    struct api_request *rq = proposal->rq;
    struct api_outcome outcome = {op->code, op->revision_first};
    worker->ops_out--;
    tt_loop_mark(worker->loop, "api writes");
    proposal->rq = NULL;
    tt_list_push_back(&worker->free_proposals, &proposal->link);
    if (!rq) {
        return; /* the client went away; the write stands as it is */
    }
    rq->proposal = NULL;
    tt_sm_move(&rq->sm, API_RUNNING);
    struct tt_err err;
    tt_err_init(&err);
    api_settle(rq, proposal->result(rq, &outcome, &err), &err);
}

static struct api_proposal *proposal_get(struct tt_api_worker *worker)
{
    struct tt_list *node = tt_list_pop_front(&worker->free_proposals);
    if (node) {
        return TT_CONTAINER_OF(node, struct api_proposal, link);
    }
    struct api_proposal *proposal = TT_NEW(struct api_proposal);
    proposal->worker = worker;
    return proposal;
}

static void on_uncork(uv_idle_t *idle)
{
    (void)idle; /* its being active keeps the loop from blocking before the turn's end */
}

void api_propose(struct api_request *rq, struct tt_bytes *command,
                 int (*result)(struct api_request *rq, const struct api_outcome *outcome,
                               struct tt_err *err))
{
    struct tt_api_worker *worker = rq->worker;
    struct api_proposal *proposal = proposal_get(worker);
    uint64_t wait_ms = rq->query.timeout_ms > 0 && rq->query.timeout_ms < API_WRITE_WAIT_MS
                           ? rq->query.timeout_ms
                           : API_WRITE_WAIT_MS;
    memset(&proposal->op, 0, sizeof proposal->op);
    proposal->op.command = command;
    proposal->op.deadline_ms = rq->start_ns / 1000000 + wait_ms;
    proposal->op.reply = tt_loop_mailbox(worker->loop);
    proposal->op.done = proposal_done;
    proposal->op.ctx = proposal;
    proposal->rq = rq;
    proposal->result = result;
    if (tt_list_empty(&worker->corked)) {
        (void)uv_idle_start(&worker->uncork, on_uncork); /* fails only without a callback */
    }
    tt_list_push_back(&worker->corked, &proposal->link);
    worker->ops_out++;
    rq->proposal = proposal;
    tt_sm_move(&rq->sm, API_WRITING);
}

/* The door has taken the command, but not the proposal. */
static void refuse(struct api_proposal *proposal, int code)
{
    struct tt_api_worker *worker = proposal->worker;
    struct api_request *rq = proposal->rq;
    worker->ops_out--;
    proposal->rq = NULL;
    tt_list_push_back(&worker->free_proposals, &proposal->link);
    if (!rq) {
        return;
    }
    rq->proposal = NULL;
    tt_sm_move(&rq->sm, API_RUNNING);
    struct tt_err err;
    tt_err_init(&err);
    int r = TT_FAIL(&err, code,
                    code == TT_EBUSY ? "Too many requests, please try again later."
                                     : "the server is shutting down");
    api_settle(rq, r, &err);
}

/* All that a turn has admitted in one go: who takes it wakes once and finds a batch, instead of
 * being woken for the first and, with fewer cores than threads, running for each. */
static void submit_corked(struct tt_api_worker *worker)
{
    struct tt_proposer *proposer = worker->api->config.proposer;
    struct tt_list *node;
    while ((node = tt_list_pop_front(&worker->corked))) {
        struct api_proposal *proposal = TT_CONTAINER_OF(node, struct api_proposal, link);
        int r = proposer->propose(proposer, &proposal->op);
        if (r) {
            refuse(proposal, r);
        }
    }
    (void)uv_idle_stop(&worker->uncork); /* always succeeds */
}

/* ---- what drives the worker ---- */

void api_worker_publish(struct tt_api_worker *worker)
{
    tt_loop_mark(worker->loop, "api watches");
    struct tt_version *version = tt_store_version(worker->api->config.store);
    tt_watch_hub_publish(worker->hub, version);
    check_waiting(worker, version, false);
    api_revocations_refresh(worker, version);
    tt_version_unref(version);
}

static void on_work(uv_idle_t *handle)
{
    struct tt_api_worker *worker = handle->data;
    tt_loop_mark(worker->loop, "api watches");
    if (!tt_watch_hub_work(worker->hub)) {
        worker->working = false;
        (void)uv_idle_stop(handle); /* always succeeds */
    }
}

/* Most commits concern nobody here; waking a thread for each would cost more than the commit. So
 * the worker says in one flag whether somebody waits, and the writer fires only then.
 *
 *   worker: A flag false → true   B looks at the newest version (on_published, which A's poke runs)
 *   writer: C publishes a version D reads the flag, fires when it is true
 * No publication may be missed by both: either D finds true, or B finds what C published. A and D
 * are read-modify-writes of the one flag, and those have one order. D behind A finds true, for only
 * this thread ever lowers it. D before A: A reads what D wrote (false over false), so D's release
 * and A's acquire put C before B. Nothing but these two is needed: a flag seen late as true costs
 * one needless poke, and requests that come while it is true look at a version behind A as well. */
static void note_interest(struct tt_api_worker *worker)
{
    bool interested = tt_watch_hub_count(worker->hub) > 0 || !tt_list_empty(&worker->waiting);
    /* Only this thread changes it. */
    if (interested == atomic_load_explicit(&worker->interested, memory_order_relaxed)) {
        return;
    }
    (void)atomic_exchange_explicit(&worker->interested, interested, memory_order_acq_rel);
    if (interested) {
        tt_poke_fire(&worker->published);
    }
}

static void on_turn(uv_prepare_t *handle)
{
    struct tt_api_worker *worker = handle->data;
    if (!worker->working && tt_watch_hub_has_work(worker->hub)) {
        worker->working = true;
        (void)uv_idle_start(&worker->work, on_work); /* fails only without a callback */
    }
    if (!tt_list_empty(&worker->corked)) {
        submit_corked(worker);
    }
    if (!tt_list_empty(&worker->barrier)) {
        submit_barrier(worker);
    }
    note_interest(worker);
}

static void on_published(struct tt_poke *poke)
{
    struct tt_api_worker *worker = TT_CONTAINER_OF(poke, struct tt_api_worker, published);
    if (!worker->http_closed) {
        api_worker_publish(worker);
    }
}

static void on_tick(uv_timer_t *handle)
{
    struct tt_api_worker *worker = handle->data;
    tt_loop_mark(worker->loop, "api tick");
    tt_watch_hub_tick(worker->hub, api_now_ms(worker));
    struct tt_version *version = tt_store_version(worker->api->config.store);
    tt_watch_hub_publish(worker->hub, version); /* also when nobody watches: stays near the end */
    check_waiting(worker, version, true);
    api_revocations_refresh(worker, version);
    api_guards_tick(worker, version);
    tt_version_unref(version);
    tt_http_server_expire(worker->server, tt_clock_wall_ms(worker->api->config.clock));
    api_agents_tick(worker);
}

/* Writer's thread, behind the publication: only wakes those who care (D of note_interest). A plain
 * load would not do: it could overtake the publication. */
static void wake_workers(struct tt_store_listener *listener, uint64_t revision)
{
    (void)revision;
    struct tt_api *api = TT_CONTAINER_OF(listener, struct tt_api, listener);
    for (uint32_t i = 0; i < api->worker_count; i++) {
        bool found = false; /* false is replaced by false, true is left */
        if (!atomic_compare_exchange_strong_explicit(&api->workers[i]->interested, &found, false,
                                                     memory_order_acq_rel, memory_order_relaxed)) {
            tt_poke_fire(&api->workers[i]->published);
        }
    }
}

struct tt_api *tt_api_new(const struct tt_api_config *config)
{
    TT_ASSERT(config->store && config->registry && config->proposer && config->cluster);
    TT_ASSERT(config->clock && config->version && config->cluster_name);
    struct tt_api *api = TT_NEW(struct tt_api);
    api->config = *config;
    api->started_ms = tt_clock_wall_ms(config->clock);
    api->listener.published = wake_workers;
    tt_store_listen(config->store, &api->listener);
    return api;
}

void tt_api_free(struct tt_api *api)
{
    if (!api) {
        return;
    }
    tt_store_unlisten(api->config.store, &api->listener);
    tt_free(api);
}

static void open_handles(struct tt_api_worker *worker)
{
    uv_loop_t *uv = tt_loop_uv(worker->loop);
    tt_poke_init(&worker->published, tt_loop_mailbox(worker->loop), on_published);
    (void)uv_prepare_init(uv, &worker->turn); /* cannot fail */
    (void)uv_timer_init(uv, &worker->tick);   /* cannot fail */
    (void)uv_idle_init(uv, &worker->work);    /* cannot fail */
    (void)uv_idle_init(uv, &worker->uncork);  /* cannot fail */
    worker->uncork.data = worker;
    worker->work.data = worker;
    worker->turn.data = worker;
    worker->tick.data = worker;
    worker->handles_open = 4;
    (void)uv_prepare_start(&worker->turn, on_turn); /* fails only without a callback */
    (void)uv_timer_start(&worker->tick, on_tick, API_TICK_MS, API_TICK_MS); /* likewise */
}

/* Each worker has its own: a CA is used by one thread at a time. */
static int load_ca(struct tt_api_worker *worker, struct tt_err *err)
{
    const struct tt_api_config *config = &worker->api->config;
    if (!config->ca_cert_path || !config->ca_key_path) {
        return TT_OK;
    }
    return tt_pki_ca_load(config->ca_cert_path, config->ca_key_path, &worker->ca, err);
}

int tt_api_worker_new(struct tt_api *api, const struct tt_api_worker_config *config,
                      struct tt_api_worker **ret_worker, struct tt_err *err)
{
    TT_ASSERT(api->worker_count < TT_API_WORKERS_MAX);
    struct tt_api_worker *worker = TT_NEW(struct tt_api_worker);
    worker->api = api;
    worker->loop = config->loop;
    worker->index = api->worker_count;
    tt_list_init(&worker->barrier);
    tt_list_init(&worker->waiting);
    tt_list_init(&worker->free_batches);
    tt_list_init(&worker->free_proposals);
    tt_list_init(&worker->corked);
    tt_list_init(&worker->agents);
    tt_list_init(&worker->guards.requests);
    worker->scratch = tt_arena_new(API_SCRATCH_CHUNK_SIZE, API_SCRATCH_SIZE_MAX);
    tt_buf_init(&worker->key, TT_OBJECT_KEY_SIZE_MAX);
    tt_buf_init(&worker->text, API_SCRATCH_SIZE_MAX);
    worker->hub = tt_watch_hub_new(api->config.store, api->config.sealer, api->config.clock,
                                   config->watches_per_client_max);
    struct tt_http_server_config http = {
        .loop = config->loop,
        .tls = api->config.server_tls,
        .host = config->host,
        .port = config->port,
        .limits = config->limits,
        .handler = {.request = api_on_request, .cancelled = api_on_cancelled, .ctx = worker},
    };
    if (http.limits.response_backlog_max == 0) {
        http.limits.response_backlog_max = BACKLOG_MAX;
    }
    int r = load_ca(worker, err);
    if (r == TT_OK) {
        r = tt_http_server_new(&http, &worker->server, err);
    }
    if (r) {
        return TT_WRAP(err, r, "start an API worker"); /* start-up fails; the process ends */
    }
    open_handles(worker);
    api->workers[api->worker_count++] = worker;
    *ret_worker = worker;
    return TT_OK;
}

uint16_t tt_api_worker_port(const struct tt_api_worker *worker)
{
    return tt_http_server_port(worker->server);
}

static void maybe_closed(struct tt_api_worker *worker)
{
    if (worker->handles_open == 0 && worker->http_closed && worker->closed) {
        void (*closed)(void *ctx) = worker->closed;
        worker->closed = NULL;
        closed(worker->closed_ctx);
    }
}

void api_worker_hold(struct tt_api_worker *worker)
{
    worker->handles_open++;
}

void api_worker_release(struct tt_api_worker *worker)
{
    TT_ASSERT(worker->handles_open > 0);
    worker->handles_open--;
    maybe_closed(worker);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct tt_api_worker *worker = handle->data;
    api_worker_release(worker);
}

static void on_http_closed(void *ctx)
{
    struct tt_api_worker *worker = ctx;
    worker->http_closed = true;
    submit_corked(worker); /* of clients that went away meanwhile */
    uv_close((uv_handle_t *)&worker->turn, on_handle_closed);
    uv_close((uv_handle_t *)&worker->tick, on_handle_closed);
    uv_close((uv_handle_t *)&worker->work, on_handle_closed);
    uv_close((uv_handle_t *)&worker->uncork, on_handle_closed);
    api_agents_close(worker);
}

void tt_api_worker_stop(struct tt_api_worker *worker, uint64_t drain_ms, void (*closed)(void *ctx),
                        void *ctx)
{
    TT_ASSERT(!worker->stopping);
    worker->stopping = true;
    worker->closed = closed;
    worker->closed_ctx = ctx;
    tt_watch_hub_close(worker->hub);
    tt_http_server_stop(worker->server, drain_ms, on_http_closed, worker);
}

static void free_pools(struct tt_api_worker *worker)
{
    struct tt_list *node;
    while ((node = tt_list_pop_front(&worker->free_batches))) {
        tt_free(TT_CONTAINER_OF(node, struct api_batch, link));
    }
    while ((node = tt_list_pop_front(&worker->free_proposals))) {
        tt_free(TT_CONTAINER_OF(node, struct api_proposal, link));
    }
    for (unsigned i = 0; i < sizeof worker->discovery / sizeof worker->discovery[0]; i++) {
        tt_bytes_unref(worker->discovery[i].bytes);
    }
    for (unsigned i = 0; i < API_OPENAPI_CACHE_MAX; i++) {
        tt_bytes_unref(worker->openapi[i].document.bytes);
    }
}

void tt_api_worker_free(struct tt_api_worker *worker)
{
    if (!worker) {
        return;
    }
    TT_ASSERT(worker->handles_open == 0);
    if (worker->ops_out > 0) {
        TT_LOG(TT_LOG_WARN, "api", "operations were still out at the end",
               TT_F_U64("count", worker->ops_out));
    }
    tt_http_server_free(worker->server);
    tt_watch_hub_free(worker->hub);
    api_kinds_put(worker->kinds);
    free_pools(worker);
    tt_pki_ca_free(worker->ca);
    tt_arena_free(worker->scratch);
    tt_buf_fini(&worker->key);
    tt_buf_fini(&worker->text);
    tt_free(worker);
}
