/* /healthz, /livez: this thread answers. /readyz: the member is in order and knows a leader.
 * /metrics: the counters of all workers, gathered by one message that visits them in turn.
 *
 * Failure: a gathering whose client went away still runs to its end and frees itself. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "api/routes/worker.h"

static bool is_ready(const struct tt_cluster_status *status)
{
    return (status->state == TT_STATE_LEADER || status->state == TT_STATE_FOLLOWER) &&
           status->leader_id != 0;
}

int api_handle_health(struct api_request *rq, struct tt_err *err)
{
    (void)err;
    if (rq->path.route != API_ROUTE_READYZ) {
        api_respond_typed(rq, 200, "text/plain; charset=utf-8", TT_STR("ok"));
        return TT_OK;
    }
    struct tt_cluster_status *status = tt_arena_alloc(rq->arena, sizeof *status);
    if (!status) {
        return api_no_memory(err);
    }
    struct tt_cluster *cluster = rq->worker->api->config.cluster;
    cluster->status(cluster, status);
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    bool ready = is_ready(status);
    if (status->removed_index != 0) {
        tt_buf_printf(buf, "[-]membership: " API_REMOVED "\n", status->removed_index);
    }
    if (rq->query.verbose || !ready) {
        tt_buf_printf(buf, "[%s]raft: %s, leader %s\n", ready ? "+" : "-",
                      tt_server_state_name(status->state), status->leader_id ? "known" : "unknown");
    }
    tt_buf_c(buf, ready ? "ok" : "not ready\n");
    api_respond_typed(rq, ready ? 200 : 503, "text/plain; charset=utf-8", tt_buf_view(buf));
    return TT_OK;
}

/* ---- metrics ---- */

/* Visits every worker's thread, adding its counters; ends where it began. */
struct gathering {
    struct tt_msg msg;            /* from worker to worker */
    struct tt_api_worker *origin; /* of rq; answers and frees */
    struct api_request *rq;       /* NULL once the client went away */
    struct api_metrics sum;       /* of the workers visited so far */
    uint32_t next; /* index of the worker that is visited; UINT32_MAX: on its way back */
};

static void write_gauge(struct tt_buf *buf, const char *name, const char *help, uint64_t value)
{
    tt_buf_printf(buf, "# HELP %s %s\n# TYPE %s gauge\n%s %" PRIu64 "\n", name, help, name, name,
                  value);
}

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long long pages = 0;
    if (file) {
        if (fscanf(file, "%*u %llu", &pages) != 1) {
            pages = 0;
        }
        (void)fclose(file); /* only read */
    }
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void write_store(struct tt_buf *buf, struct tt_store *store)
{
    struct tt_version *version = tt_store_version(store);
    write_gauge(buf, "tutti_store_revision", "Newest revision published on this server.",
                tt_version_revision(version));
    write_gauge(buf, "tutti_store_compacted_revision", "History below is gone.",
                tt_version_compacted(version));
    write_gauge(buf, "tutti_store_keys", "Live keys.", tt_version_count(version));
    write_gauge(buf, "tutti_store_bytes", "Bytes of live keys and values.",
                tt_version_bytes(version));
    tt_version_unref(version);
}

static void write_raft(struct tt_buf *buf, struct tt_cluster *cluster)
{
    struct tt_cluster_status status;
    cluster->status(cluster, &status);
    write_gauge(buf, "tutti_raft_term", "Current term.", status.term);
    write_gauge(buf, "tutti_raft_is_leader", "1 on the leader.", status.state == TT_STATE_LEADER);
    write_gauge(buf, "tutti_raft_has_leader", "1 when a leader is known.", status.leader_id != 0);
    write_gauge(buf, "tutti_raft_commit_index", "Index committed last.", status.commit_index);
    write_gauge(buf, "tutti_raft_applied_index", "Index applied last.", status.applied_index);
    write_gauge(buf, "tutti_raft_last_index", "Index appended last.", status.last_index);
    write_gauge(buf, "tutti_raft_members", "Members of the cluster.", status.member_count);
}

static void answer(struct gathering *gathering)
{
    struct api_request *rq = gathering->rq;
    const struct tt_api_config *config = &rq->worker->api->config;
    struct tt_buf *buf = &rq->worker->text;
    tt_buf_reset(buf);
    tt_buf_printf(buf,
                  "# HELP tutti_build_info Version of this server.\n"
                  "# TYPE tutti_build_info gauge\ntutti_build_info{version=\"%s\"} 1\n",
                  config->version);
    api_metrics_write(buf, &gathering->sum);
    write_store(buf, config->store);
    write_raft(buf, config->cluster);
    if (config->write_metrics != NULL) {
        config->write_metrics(config->metrics_ctx, buf);
    }
    write_gauge(buf, "process_resident_memory_bytes", "Resident memory.", resident_bytes());
    write_gauge(buf, "process_start_time_seconds", "Start of the API since the Unix epoch.",
                rq->worker->api->started_ms / 1000);
    rq->op = NULL;
    rq->cleanup = NULL;
    api_respond_typed(rq, 200, "text/plain; version=0.0.4; charset=utf-8", tt_buf_view(buf));
}

static void visit(struct tt_msg *msg);

static void forward(struct gathering *gathering)
{
    struct tt_api *api = gathering->origin->api;
    while (gathering->next < api->worker_count) {
        struct tt_api_worker *worker = api->workers[gathering->next];
        gathering->msg = (struct tt_msg){.run = visit};
        if (tt_mailbox_post_answer(tt_loop_mailbox(worker->loop), &gathering->msg) == TT_OK) {
            return;
        }
        gathering->next++; /* that worker has stopped */
    }
    gathering->next = UINT32_MAX;
    gathering->msg = (struct tt_msg){.run = visit};
    if (tt_mailbox_post_answer(tt_loop_mailbox(gathering->origin->loop), &gathering->msg)) {
        tt_free(gathering); /* the origin has stopped: nobody waits */
    }
}

static void visit(struct tt_msg *msg)
{
    struct gathering *gathering = TT_CONTAINER_OF(msg, struct gathering, msg);
    struct tt_api *api = gathering->origin->api;
    if (gathering->next == UINT32_MAX) {
        gathering->origin->ops_out--;
        if (gathering->rq) {
            answer(gathering);
        }
        tt_free(gathering);
        return;
    }
    struct tt_api_worker *worker = api->workers[gathering->next];
    worker->metrics.events = tt_watch_hub_events(worker->hub);
    api_metrics_add(&gathering->sum, &worker->metrics);
    gathering->next++;
    forward(gathering);
}

static void metrics_cleanup(struct api_request *rq)
{
    struct gathering *gathering = rq->op;
    if (gathering) {
        gathering->rq = NULL;
    }
}

int api_handle_metrics(struct api_request *rq, struct tt_err *err)
{
    (void)err;
    struct gathering *gathering = TT_NEW(struct gathering);
    gathering->origin = rq->worker;
    gathering->rq = rq;
    rq->op = gathering;
    rq->cleanup = metrics_cleanup;
    rq->worker->ops_out++;
    forward(gathering);
    return TT_OK;
}
