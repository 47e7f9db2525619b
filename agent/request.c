/* A call, its buffers and its callback in one allocation. */
#include "agent/request.h"

enum { PATH_MAX_SIZE = 2048, BODY_MAX = 2 << 20, TIMEOUT_MS = 10000 };

const struct tt_api_resource request_pods = {"", "v1", "pods"};
const struct tt_api_resource request_nodes = {"", "v1", "nodes"};
const struct tt_api_resource request_leases = {"coordination.k8s.io", "v1", "leases"};
const struct tt_api_resource request_events = {"", "v1", "events"};

struct running {
    struct tt_api_call call; /* its path and body are views of the buffers */
    struct tt_buf path;      /* owned; at most PATH_MAX_SIZE */
    struct tt_buf body;      /* owned; at most BODY_MAX */
    /* The caller's; all is freed after it. */
    void (*done)(void *ctx, int status, struct tt_str answer, const struct tt_err *err);
    void *ctx; /* of done */
};

static void running_free(struct running *running)
{
    tt_buf_fini(&running->path);
    tt_buf_fini(&running->body);
    tt_free(running);
}

static void call_done(struct tt_api_call *call, const struct tt_err *err)
{
    struct running *running = call->ctx;
    running->done(running->ctx, call->status, call->answer, err);
    running_free(running);
}

int request_send(struct tt_api_client *client, const struct request *request, struct tt_err *err)
{
    struct running *running = TT_NEW(struct running);
    tt_buf_init(&running->path, PATH_MAX_SIZE);
    tt_buf_init(&running->body, BODY_MAX);
    if (request->resource != NULL) {
        tt_api_path(&running->path, request->resource, request->namespace, request->name,
                    request->subresource, TT_STR_NONE);
    } else {
        tt_buf_str(&running->path, request->path);
    }
    tt_buf_str(&running->body, request->body);
    running->done = request->done;
    running->ctx = request->ctx;
    running->call = (struct tt_api_call){
        .method = request->method,
        .path = tt_buf_view(&running->path),
        .body = tt_buf_view(&running->body),
        .content_type = request->content_type,
        .timeout_ms = request->timeout_ms != 0 ? request->timeout_ms : TIMEOUT_MS,
        .done = call_done,
        .ctx = running};
    int r = tt_buf_ok(&running->path) && tt_buf_ok(&running->body)
                ? tt_api_call_start(client, &running->call, err)
                : TT_FAIL(err, TT_ETOOLARGE, "the request is too large");
    if (r != TT_OK) {
        running_free(running);
    }
    return r;
}
