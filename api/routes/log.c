/* pods/NAME/log: the API server asks the agent of the pod's node and passes its stream on.
 *
 * Happy path: pod → node → address and port of its daemon endpoint → a client of that node, kept
 * for a while → GET /containerLogs/NS/POD/CONTAINER with the query → the agent's bytes, as they
 * come. The agent's certificate must be that of the node, so that no other machine can answer.
 * Back-pressure: what the client does not take is held up to HELD_MAX, then the stream is cut.
 * Failure: an agent that cannot be reached is a 502, its refusal keeps its status. */
#include "api/http/client.h"
#include "api/routes/log_path.h"
#include "api/routes/worker.h"

enum {
    AGENTS_MAX = 256,
    AGENT_IDLE_MS = 60000,
    HELD_MAX = 4 << 20,      /* bytes held for a slow client */
    CALL_TIMEOUT_MS = 60000, /* of logs without follow */
    HOST_SIZE = 256,
};

/* The client of one node. */
struct api_agent {
    struct tt_list link;           /* in worker->agents */
    struct tt_api_worker *worker;  /* whose list it is in */
    struct tt_http_client *client; /* owned; this struct is freed once it is closed */
    char host[HOST_SIZE];          /* of the Node's addresses */
    char node[HOST_SIZE];          /* the Node's name: whose certificate it must show */
    uint16_t port;                 /* of its daemon endpoint */
    uint64_t used_ms;              /* monotonic */
    uint32_t calls;                /* running */
};
/* One log stream; outlives a client that goes away until its call is done. */
struct log_call {
    struct tt_http_call call; /* ctx is this struct */
    struct api_agent *agent;  /* kept: outlives the call, which it counts */
    struct api_request *rq;   /* NULL once the client went away */
    struct tt_buf path;       /* call.path lies in it */
    struct tt_buf held;       /* not yet taken by the client, or the agent's refusal */
    bool streaming;           /* the response has begun */
    bool done;                /* the agent's answer is complete */
};

/* ---- clients ---- */

static void agent_closed(void *ctx)
{
    struct api_agent *agent = ctx;
    struct tt_api_worker *worker = agent->worker;
    tt_free(agent);
    api_worker_release(worker);
}

static void agent_close(struct api_agent *agent)
{
    tt_list_remove(&agent->link);
    agent->worker->agent_count--;
    tt_http_client_close(agent->client, agent_closed, agent);
}

void api_agents_close(struct tt_api_worker *worker)
{
    while (!tt_list_empty(&worker->agents)) {
        agent_close(TT_CONTAINER_OF(worker->agents.next, struct api_agent, link));
    }
}

void api_agents_tick(struct tt_api_worker *worker)
{
    uint64_t now_ms = api_now_ms(worker);
    struct tt_list *next;
    for (struct tt_list *node = worker->agents.next; node != &worker->agents; node = next) {
        next = node->next;
        struct api_agent *agent = TT_CONTAINER_OF(node, struct api_agent, link);
        if (agent->calls == 0 && now_ms - agent->used_ms > AGENT_IDLE_MS) {
            agent_close(agent);
        }
    }
}

static struct api_agent *agent_find(struct tt_api_worker *worker, const struct api_agent *wanted)
{
    for (struct tt_list *node = worker->agents.next; node != &worker->agents; node = node->next) {
        struct api_agent *agent = TT_CONTAINER_OF(node, struct api_agent, link);
        if (agent->port == wanted->port && strcmp(agent->node, wanted->node) == 0 &&
            strcmp(agent->host, wanted->host) == 0) {
            return agent;
        }
    }
    return NULL;
}

static int agent_get(struct tt_api_worker *worker, const struct api_agent *wanted,
                     struct api_agent **ret_agent, struct tt_err *err)
{
    struct api_agent *agent = agent_find(worker, wanted);
    if (agent) {
        *ret_agent = agent;
        return TT_OK;
    }
    if (worker->agent_count >= AGENTS_MAX) {
        return TT_FAIL(err, TT_EBUSY, "too many nodes are being asked for logs");
    }
    char uri[256];
    int r = tt_identity_format(worker->api->config.cluster_name, TT_IDENTITY_AGENT,
                               tt_str_c(wanted->node), uri, sizeof uri, err);
    if (r) {
        return r;
    }
    agent = TT_NEW(struct api_agent);
    *agent = *wanted;
    agent->worker = worker;
    struct tt_http_client_config config = {.loop = worker->loop,
                                           .tls = worker->api->config.client_tls,
                                           .host = agent->host,
                                           .port = agent->port,
                                           .server_name = uri,
                                           .idle_timeout_ms = AGENT_IDLE_MS};
    r = tt_http_client_new(&config, &agent->client, err);
    if (r) {
        tt_free(agent);
        return r;
    }
    tt_list_push_back(&worker->agents, &agent->link);
    worker->agent_count++;
    api_worker_hold(worker);
    *ret_agent = agent;
    return TT_OK;
}

/* ---- the stream ---- */

static void log_free(struct log_call *log)
{
    tt_http_call_fini(&log->call);
    tt_buf_fini(&log->path);
    tt_buf_fini(&log->held);
    tt_free(log);
}

static void log_cleanup(struct api_request *rq)
{
    struct log_call *log = rq->op;
    if (!log) {
        return;
    }
    rq->op = NULL;
    if (log->done) { /* only the client was waited for: no call is left that would free it */
        log_free(log);
        return;
    }
    log->rq = NULL;
    tt_http_call_cancel(&log->call);
}

/* Gives the client what it takes; ends its stream when all is said. */
static void log_flush(struct log_call *log)
{
    struct api_request *rq = log->rq;
    if (!rq || !log->streaming) {
        return;
    }
    if (log->held.len > 0) {
        struct tt_http_part part = {.bytes = tt_buf_view(&log->held)};
        int r = tt_http_stream_write(rq->ex, &part, 1);
        if (r == TT_EBUSY) {
            return;
        }
        tt_buf_reset(&log->held);
    }
    if (log->done) {
        rq->op = NULL;
        api_stream_end(rq);
        log_free(log);
    }
}

static void log_drained(void *ctx, struct tt_http_exchange *ex)
{
    (void)ctx;
    struct api_request *rq = tt_http_user(ex);
    if (tt_sm_state(&rq->sm) == API_STREAMING && rq->op) {
        log_flush(rq->op);
    }
}

static void log_started(struct tt_http_call *call)
{
    struct log_call *log = call->ctx;
    if (log->rq && call->status == 200) {
        log->streaming = true;
        api_stream_begin(log->rq, "text/plain", log_drained);
    }
}

static void log_data(struct tt_http_call *call, struct tt_str bytes)
{
    struct log_call *log = call->ctx;
    if (!log->rq) {
        return;
    }
    tt_buf_str(&log->held, bytes);
    if (!tt_buf_ok(&log->held)) {
        struct api_request *rq = log->rq;
        if (log->streaming) {
            rq->op = NULL;
            log->rq = NULL;
            api_stream_abort(rq); /* the client is too slow: a hole would go unseen */
        }
        tt_http_call_cancel(call);
        return;
    }
    log_flush(log);
}

/* The agent did not say 200: its reason becomes ours. */
static void log_refused(struct log_call *log, const struct tt_err *cause)
{
    struct api_request *rq = log->rq;
    struct tt_err err;
    tt_err_init(&err);
    int status = log->call.status;
    if (cause) {
        char text[512];
        (void)tt_err_format(cause, text, sizeof text); /* cut is fine */
        (void)TT_FAIL(&err, TT_EUNAVAILABLE, "the agent of node %s cannot be reached: %s",
                      log->agent->node, text);
    } else {
        int code = status == 404 ? TT_ENOTFOUND : status == 400 ? TT_EINVAL : TT_EUNAVAILABLE;
        (void)TT_FAIL(&err, code, "%.*s", (int)(log->held.len > 200 ? 200 : log->held.len),
                      log->held.ptr ? log->held.ptr : "");
    }
    rq->op = NULL;
    log->rq = NULL;
    api_fail(rq, &err);
}

static void log_done(struct tt_http_call *call, const struct tt_err *err)
{
    struct log_call *log = call->ctx;
    log->agent->calls--;
    log->agent->used_ms = api_now_ms(log->agent->worker);
    if (log->rq && !log->streaming) {
        log_refused(log, err);
    } else if (log->rq && err) {
        struct api_request *rq = log->rq;
        rq->op = NULL;
        log->rq = NULL;
        api_stream_abort(rq);
    }
    log->done = true;
    if (log->rq) {
        log_flush(log); /* frees it, or the drained client will */
    } else {
        log_free(log);
    }
}

/* ---- start ---- */

static int start_call(struct api_request *rq, struct api_agent *agent, struct tt_str container,
                      struct tt_err *err)
{
    struct log_call *log = TT_NEW(struct log_call);
    log->agent = agent;
    log->rq = rq;
    tt_buf_init(&log->path, 8192);
    tt_buf_init(&log->held, HELD_MAX);
    api_log_path(&rq->query, rq->path.ns, rq->path.name, container, &log->path);
    log->call.method = "GET";
    log->call.path = tt_buf_view(&log->path);
    log->call.timeout_ms = rq->query.follow ? 0 : CALL_TIMEOUT_MS;
    log->call.started = log_started;
    log->call.data = log_data;
    log->call.done = log_done;
    log->call.ctx = log;
    int r = tt_buf_ok(&log->path) ? tt_http_call_start(agent->client, &log->call, err)
                                  : api_no_memory(err);
    if (r) {
        log_free(log);
        return r;
    }
    agent->calls++;
    agent->used_ms = api_now_ms(rq->worker);
    rq->op = log;
    rq->cleanup = log_cleanup;
    return TT_OK;
}

static bool has_container(yyjson_val *pod, const char *list, struct tt_str name)
{
    yyjson_val *container;
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(tt_json_iget(pod, list), &iter);
    while ((container = yyjson_arr_iter_next(&iter))) {
        if (tt_str_eq(tt_json_iget_str(container, "name"), name)) {
            return true;
        }
    }
    return false;
}

static int choose_container(struct api_request *rq, yyjson_val *pod, struct tt_str *ret_name,
                            struct tt_err *err)
{
    struct tt_str wanted = rq->query.container;
    yyjson_val *containers = tt_json_iget(pod, "spec.containers");
    if (wanted.len == 0 && yyjson_arr_size(containers) == 1) {
        *ret_name = tt_json_iget_str(yyjson_arr_get_first(containers), "name");
        return TT_OK;
    }
    if (wanted.len > 0 && (has_container(pod, "spec.containers", wanted) ||
                           has_container(pod, "spec.initContainers", wanted))) {
        *ret_name = wanted;
        return TT_OK;
    }
    if (wanted.len > 0) {
        return TT_FAIL(err, TT_EINVAL, "container %.*s is not valid for pod %.*s",
                       TT_STR_ARG(wanted), TT_STR_ARG(rq->path.name));
    }
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    yyjson_val *container;
    yyjson_arr_iter iter;
    yyjson_arr_iter_init(containers, &iter);
    while ((container = yyjson_arr_iter_next(&iter))) {
        tt_buf_printf(buf, "%s%.*s", buf->len > 0 ? " " : "",
                      TT_STR_ARG(tt_json_iget_str(container, "name")));
    }
    return TT_FAIL(err, TT_EINVAL,
                   "a container name must be specified for pod %.*s, choose one of: [%.*s]",
                   TT_STR_ARG(rq->path.name), (int)buf->len, buf->ptr ? buf->ptr : "");
}

static bool copy_text(struct tt_str text, char out[HOST_SIZE])
{
    if (text.len == 0 || text.len >= HOST_SIZE) {
        return false;
    }
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
    return true;
}

static bool node_address(yyjson_val *node, char out[HOST_SIZE])
{
    static const char *const wanted[] = {"InternalIP", "ExternalIP", "Hostname"};
    for (unsigned i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        yyjson_val *address;
        yyjson_arr_iter iter;
        yyjson_arr_iter_init(tt_json_iget(node, "status.addresses"), &iter);
        while ((address = yyjson_arr_iter_next(&iter))) {
            if (tt_str_eq_c(tt_json_iget_str(address, "type"), wanted[i]) &&
                copy_text(tt_json_iget_str(address, "address"), out)) {
                return true;
            }
        }
    }
    return false;
}

static int find_agent(struct api_request *rq, struct tt_version *version, struct tt_str node_name,
                      struct api_agent *wanted, struct tt_err *err)
{
    struct tt_buf *buf = &rq->worker->key;
    tt_buf_reset(buf);
    struct tt_object_ref ref = {TT_STR(""), TT_STR("nodes"), TT_STR(""), node_name};
    int r = tt_key_object(buf, &ref, err);
    const struct tt_item *item = r ? NULL : tt_version_get(version, tt_buf_view(buf));
    yyjson_doc *doc = NULL;
    if (!item || tt_json_read(rq->arena, item->value.bytes, &doc, NULL)) {
        return TT_FAIL(err, TT_ENOTFOUND, "nodes \"%.*s\" not found", TT_STR_ARG(node_name));
    }
    yyjson_val *node = yyjson_doc_get_root(doc);
    int64_t port = tt_json_iget_i64(node, "status.daemonEndpoints.kubeletEndpoint.Port", 0);
    if (port <= 0 || port > UINT16_MAX || !copy_text(node_name, wanted->node) ||
        !node_address(node, wanted->host)) {
        return TT_FAIL(err, TT_EUNAVAILABLE, "node %.*s does not say where its agent listens",
                       TT_STR_ARG(node_name));
    }
    wanted->port = (uint16_t)port;
    return TT_OK;
}

static int log_from(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    const struct tt_item *item = tt_version_get(version, rq->key);
    if (!item) {
        return api_not_found(rq, rq->path.name, err);
    }
    yyjson_doc *doc = NULL;
    struct tt_str container = TT_STR_NONE;
    int r = tt_json_read(rq->arena, item->value.bytes, &doc, err);
    yyjson_val *pod = r ? NULL : yyjson_doc_get_root(doc);
    if (r == TT_OK) {
        r = choose_container(rq, pod, &container, err);
    }
    if (r) {
        return r;
    }
    struct tt_str node_name = tt_json_iget_str(pod, "spec.nodeName");
    if (node_name.len == 0) {
        return TT_FAIL(err, TT_EINVAL, "pod %.*s does not have a host assigned",
                       TT_STR_ARG(rq->path.name));
    }
    struct api_agent wanted = {0};
    struct api_agent *agent = NULL;
    r = find_agent(rq, version, node_name, &wanted, err);
    if (r == TT_OK) {
        r = agent_get(rq->worker, &wanted, &agent, err);
    }
    return r ? r : start_call(rq, agent, container, err);
}

int api_handle_log(struct api_request *rq, struct tt_err *err)
{
    if (!rq->worker->api->config.client_tls) {
        return TT_FAIL(err, TT_EUNAVAILABLE, "this server has no identity to ask agents with");
    }
    if (tt_str_eq_c(rq->path.resource, "pods")) {
        api_barrier(rq, log_from);
        return TT_OK;
    }
    return TT_FAIL(err, TT_ENOTFOUND, "the server could not find the requested resource");
}
