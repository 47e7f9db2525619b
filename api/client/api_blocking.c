/* The blocking wrapper: a loop on a thread of its own, one call at a time. The caller posts the
 * call to the loop and waits on a semaphore; the answer is copied on the loop's thread before it is
 * posted. */
#include "api/client/api_client.h"

enum { MAILBOX_MAX = 16, RESULT_MAX = 256 << 20 };

struct tt_api_blocking {
    struct tt_loop *loop;         /* owned; has the only other thread */
    struct tt_api_client *client; /* on the loop; freed by its own closing */
    uv_sem_t finished;            /* posted once for each call */
    struct tt_msg start_msg;      /* one in flight at most */
    struct tt_api_call *call;     /* the caller's, who waits */
    struct tt_api_result *result; /* the caller's, who waits */
    struct tt_err *err;           /* the caller's, or NULL */
    int code;                     /* of the call: 0 or TT_E…; valid once finished is posted */
};

static void on_done(struct tt_api_call *call, const struct tt_err *err)
{
    struct tt_api_blocking *blocking = call->ctx;
    blocking->result->status = call->status;
    tt_buf_str(&blocking->result->body, call->answer);
    blocking->code = err ? err->code : 0;
    if (err && blocking->err) {
        *blocking->err = *err;
    }
    uv_sem_post(&blocking->finished);
}

static void on_start(struct tt_msg *msg)
{
    struct tt_api_blocking *blocking = TT_CONTAINER_OF(msg, struct tt_api_blocking, start_msg);
    int r = tt_api_call_start(blocking->client, blocking->call, blocking->err);
    if (r < 0) {
        blocking->code = r;
        uv_sem_post(&blocking->finished);
    }
}

static void on_stop(void *ctx)
{
    struct tt_api_blocking *blocking = ctx;
    tt_api_client_close(blocking->client, NULL, NULL);
}

int tt_api_blocking_new(const struct tt_api_client_config *config,
                        struct tt_api_blocking **ret_blocking, struct tt_err *err)
{
    struct tt_api_blocking *blocking = TT_NEW(struct tt_api_blocking);
    struct tt_loop_config loop = {
        .name = "api-client", .mailbox_max = MAILBOX_MAX, .on_stop = on_stop, .ctx = blocking};
    struct tt_err loop_err;
    tt_err_init(&loop_err);
    blocking->loop = tt_loop_new(&loop, &loop_err);
    if (!blocking->loop) {
        tt_free(blocking);
        return TT_FAIL(err, TT_EINTERNAL, "%s", tt_err_cause(&loop_err));
    }
    struct tt_api_client_config own = *config;
    own.loop = blocking->loop;
    int r = tt_api_client_new(&own, &blocking->client, err);
    if (r < 0) {
        tt_loop_free(blocking->loop);
        tt_free(blocking);
        return r;
    }
    r = uv_sem_init(&blocking->finished, 0);
    TT_ASSERT(r == 0);
    r = tt_loop_start(blocking->loop, err);
    if (r < 0) {
        on_stop(blocking); /* the loop never ran: freeing it runs the closings */
        tt_loop_free(blocking->loop);
        uv_sem_destroy(&blocking->finished);
        tt_free(blocking);
        return r;
    }
    *ret_blocking = blocking;
    return 0;
}

void tt_api_blocking_free(struct tt_api_blocking *blocking)
{
    if (!blocking) {
        return;
    }
    tt_loop_free(blocking->loop);
    uv_sem_destroy(&blocking->finished);
    tt_free(blocking);
}

int tt_api_blocking_run(struct tt_api_blocking *blocking, struct tt_api_call *call,
                        struct tt_api_result *ret_result, struct tt_err *err)
{
    tt_buf_init(&ret_result->body, RESULT_MAX);
    ret_result->status = 0;
    call->done = on_done;
    call->ctx = blocking;
    blocking->call = call;
    blocking->result = ret_result;
    blocking->err = err;
    blocking->code = 0;
    blocking->start_msg.run = on_start;
    int r = tt_loop_post(blocking->loop, &blocking->start_msg);
    TT_ASSERT(r == 0); /* one call at a time: the mailbox is never full */
    uv_sem_wait(&blocking->finished);
    return blocking->code;
}

int tt_api_blocking_call(struct tt_api_blocking *blocking, const char *method, struct tt_str path,
                         struct tt_str body, struct tt_api_result *ret_result, struct tt_err *err)
{
    struct tt_api_call call = {.method = method, .path = path, .body = body};
    return tt_api_blocking_run(blocking, &call, ret_result, err);
}
