/* Each step of the driver interface is a short chain of CRI calls:
 *
 *   prepare: Status → RunPodSandbox  start: CreateContainer → StartContainer
 *   stop: StopContainer             remove: RemoveContainer | StopPodSandbox → RemovePodSandbox
 *   image: ImageStatus → PullImage  exec: ExecSync          recover: cri_recover.c
 *
 * What is not there any more is what stop and remove want: NOT_FOUND is success for them. A name
 * that is still taken ("reserved") becomes TT_EEXISTS: the next attempt has another name. */
#include "agent/cri_driver_internal.h"

#include <stdio.h>

enum {
    STEP_MS = 120000,      /* of a call that makes or removes something */
    QUICK_MS = 20000,      /* of one that only looks */
    PULL_MS = 900000,      /* of a pull */
    STOP_SLACK_MS = 60000, /* beyond the grace */
    EXEC_SLACK_MS = 5000,
    ARENA_CHUNK = 16 << 10,
    ARENA_MAX = 256 << 20,
    CONNECTIONS = 2,
    KEEPALIVE_MS = 600000, /* a gRPC server cuts clients that ping more often */
};

void cri_op_end(struct cri_op *op, const struct tt_err *err)
{
    struct rt_call *call = op->call;
    cri_call_fini(&op->cri);
    tt_free(op);
    call->done(call, err);
}

static void op_done(struct cri_call *cri, const struct tt_err *err)
{
    struct cri_op *op = cri->ctx;
    op->next(op, err);
}

static int send_first(struct cri_op *op, const char *path, const ProtobufCMessage *request,
                      const ProtobufCMessageDescriptor *reply_type, uint64_t timeout_ms,
                      struct tt_err *err)
{
    cri_call_fini(&op->cri);
    op->cri.reply_type = reply_type;
    op->cri.done = op_done;
    op->cri.ctx = op;
    return cri_call_start(op->driver->client, &op->cri, path, request, timeout_ms, err);
}

void cri_op_send(struct cri_op *op, const char *path, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *reply_type, uint64_t timeout_ms)
{
    struct tt_err err;
    tt_err_init(&err);
    if (send_first(op, path, request, reply_type, timeout_ms, &err) != TT_OK) {
        cri_op_end(op, &err);
    }
}

static bool is_missing(const struct cri_op *op, const struct tt_err *err)
{
    return err != NULL && op->cri.grpc.status == TT_GRPC_NOT_FOUND;
}

static void copy_id(char out[RT_ID_SIZE], const char *id)
{
    (void)snprintf(out, RT_ID_SIZE, "%s", id);
}

/* ---- prepare and start ---- */

static void fail_creation(struct cri_op *op, const struct tt_err *err)
{
    if (strstr(op->cri.grpc.text, "reserved") == NULL) {
        cri_op_end(op, err);
        return;
    }
    struct tt_err taken;
    tt_err_init(&taken);
    (void)TT_FAIL(&taken, TT_EEXISTS, "%s", op->cri.grpc.text);
    cri_op_end(op, &taken);
}

static void prepared(struct cri_op *op, const struct tt_err *err)
{
    if (err != NULL) {
        fail_creation(op, err);
        return;
    }
    const Tutti__Cri__SandboxId *reply = (const void *)op->cri.reply;
    copy_id(op->call->new_id, reply->id);
    cri_op_end(op, NULL);
}

static int run_sandbox(struct cri_op *op, struct tt_err *err)
{
    TT_AUTO(tt_arena) arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    Tutti__Cri__RunPodSandboxRequest request;
    tutti__cri__run_pod_sandbox_request__init(&request);
    request.config =
        cri_sandbox_config(arena, op->call->pod, op->call->attempt, op->call->log_directory);
    op->next = prepared;
    return send_first(op, CRI_RUNTIME "RunPodSandbox", &request.base,
                      &tutti__cri__sandbox_id__descriptor, STEP_MS, err);
}

static const Tutti__Cri__RuntimeCondition *network_trouble(const Tutti__Cri__StatusResponse *reply)
{
    for (size_t i = 0; reply->status != NULL && i < reply->status->n_conditions; i++) {
        const Tutti__Cri__RuntimeCondition *condition = reply->status->conditions[i];
        if (strcmp(condition->type, "NetworkReady") == 0 && !condition->status) {
            return condition;
        }
    }
    return NULL;
}

static void status_seen(struct cri_op *op, const struct tt_err *err)
{
    struct tt_err own;
    tt_err_init(&own);
    if (err != NULL) {
        cri_op_end(op, err);
        return;
    }
    const Tutti__Cri__RuntimeCondition *trouble = network_trouble((const void *)op->cri.reply);
    if (trouble != NULL) {
        (void)TT_FAIL(&own, TT_EUNAVAILABLE,
                      "network is not ready: %s: %s (a pod with hostNetwork needs none)",
                      trouble->reason, trouble->message);
        cri_op_end(op, &own);
    } else if (run_sandbox(op, &own) != TT_OK) {
        cri_op_end(op, &own);
    }
}

/* What is begun without a network leaves a sandbox that cannot be removed until there is one, and
 * with it the pod: containerd must be able to take down what it could not put up. */
static int start_prepare(struct cri_op *op, struct tt_err *err)
{
    if (op->call->pod->host_network) {
        return run_sandbox(op, err);
    }
    Tutti__Cri__StatusRequest request;
    tutti__cri__status_request__init(&request);
    op->next = status_seen;
    return send_first(op, CRI_RUNTIME "Status", &request.base,
                      &tutti__cri__status_response__descriptor, QUICK_MS, err);
}

static void started(struct cri_op *op, const struct tt_err *err)
{
    cri_op_end(op, err);
}

static void created(struct cri_op *op, const struct tt_err *err)
{
    if (err != NULL) {
        fail_creation(op, err);
        return;
    }
    const Tutti__Cri__ContainerId *reply = (const void *)op->cri.reply;
    copy_id(op->call->new_id, reply->id);
    Tutti__Cri__ContainerId request;
    tutti__cri__container_id__init(&request);
    request.id = op->call->new_id;
    op->next = started;
    cri_op_send(op, CRI_RUNTIME "StartContainer", &request.base, &tutti__cri__empty__descriptor,
                STEP_MS);
}

static int start_container(struct cri_op *op, struct tt_err *err)
{
    TT_AUTO(tt_arena) arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    const struct rt_container_config *config = op->call->container;
    Tutti__Cri__CreateContainerRequest request;
    tutti__cri__create_container_request__init(&request);
    request.pod_sandbox_id = cri_text(config->sandbox_id);
    request.config = cri_container_config(arena, config);
    request.sandbox_config = cri_sandbox_config(arena, config->pod, 0, config->log_directory);
    op->next = created;
    return send_first(op, CRI_RUNTIME "CreateContainer", &request.base,
                      &tutti__cri__container_id__descriptor, STEP_MS, err);
}

/* ---- stop and remove ---- */

static void ended_or_missing(struct cri_op *op, const struct tt_err *err)
{
    cri_op_end(op, is_missing(op, err) ? NULL : err);
}

static int start_stop(struct cri_op *op, struct tt_err *err)
{
    Tutti__Cri__StopContainerRequest request;
    tutti__cri__stop_container_request__init(&request);
    request.container_id = op->id;
    request.timeout = (int64_t)op->call->grace_s;
    op->next = ended_or_missing;
    return send_first(op, CRI_RUNTIME "StopContainer", &request.base,
                      &tutti__cri__empty__descriptor, op->call->grace_s * 1000u + STOP_SLACK_MS,
                      err);
}

static int start_by_id(struct cri_op *op, const char *path, struct tt_err *err)
{
    Tutti__Cri__ContainerId request;
    tutti__cri__container_id__init(&request);
    request.id = op->id;
    op->next = ended_or_missing;
    return send_first(op, path, &request.base, &tutti__cri__empty__descriptor, STEP_MS, err);
}

static void sandbox_stopped(struct cri_op *op, const struct tt_err *err)
{
    if (err != NULL && !is_missing(op, err)) {
        cri_op_end(op, err);
        return;
    }
    Tutti__Cri__SandboxId request;
    tutti__cri__sandbox_id__init(&request);
    request.id = op->id;
    op->next = ended_or_missing;
    cri_op_send(op, CRI_RUNTIME "RemovePodSandbox", &request.base, &tutti__cri__empty__descriptor,
                STEP_MS);
}

static int start_stop_sandbox(struct cri_op *op, struct tt_err *err)
{
    Tutti__Cri__SandboxId request;
    tutti__cri__sandbox_id__init(&request);
    request.id = op->id;
    op->next = op->call->verb == RT_STOP_SANDBOX ? ended_or_missing : sandbox_stopped;
    return send_first(op, CRI_RUNTIME "StopPodSandbox", &request.base,
                      &tutti__cri__empty__descriptor, STEP_MS, err);
}

/* ---- exec ---- */

static void executed(struct cri_op *op, const struct tt_err *err)
{
    if (err == NULL) {
        const Tutti__Cri__ExecSyncResponse *reply = (const void *)op->cri.reply;
        const ProtobufCBinaryData *text =
            reply->stderr_.len > 0 ? &reply->stderr_ : &reply->stdout_;
        size_t room = sizeof op->call->output - 1;
        size_t skip = text->len > room ? text->len - room : 0;
        op->call->exit_code = reply->exit_code;
        if (text->len > 0) {
            memcpy(op->call->output, text->data + skip, text->len - skip);
        }
        op->call->output[text->len - skip] = '\0';
    }
    cri_op_end(op, err);
}

static int start_exec(struct cri_op *op, struct tt_err *err)
{
    TT_AUTO(tt_arena) arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    const struct rt_call *call = op->call;
    Tutti__Cri__ExecSyncRequest request;
    tutti__cri__exec_sync_request__init(&request);
    request.container_id = op->id;
    request.cmd = tt_arena_alloc(arena, (call->command_count + 1) * sizeof *request.cmd);
    TT_ASSERT(request.cmd != NULL);
    for (size_t i = 0; i < call->command_count; i++) {
        request.cmd[request.n_cmd++] = cri_text(call->command[i]);
    }
    request.timeout = (int64_t)((call->timeout_ms + 999) / 1000);
    op->next = executed;
    return send_first(op, CRI_RUNTIME "ExecSync", &request.base,
                      &tutti__cri__exec_sync_response__descriptor, call->timeout_ms + EXEC_SLACK_MS,
                      err);
}

/* ---- images ---- */

static void pulled(struct cri_op *op, const struct tt_err *err)
{
    op->call->pulled = err == NULL;
    cri_op_end(op, err);
}

static int send_pull(struct cri_op *op, struct tt_err *err)
{
    Tutti__Cri__ImageSpec image;
    tutti__cri__image_spec__init(&image);
    image.image = cri_text(op->call->image);
    Tutti__Cri__PullImageRequest request;
    tutti__cri__pull_image_request__init(&request);
    request.image = &image;
    op->next = pulled;
    return send_first(op, CRI_IMAGES "PullImage", &request.base,
                      &tutti__cri__pull_image_response__descriptor, PULL_MS, err);
}

static void image_seen(struct cri_op *op, const struct tt_err *err)
{
    struct tt_err own;
    tt_err_init(&own);
    const Tutti__Cri__ImageStatusResponse *reply = (const void *)op->cri.reply;
    if (err != NULL || reply->image != NULL) {
        cri_op_end(op, err);
    } else if (op->call->policy == RT_IMAGE_NEVER) {
        (void)TT_FAIL(&own, TT_ENOTFOUND,
                      "Container image \"%s\" is not present with pull policy of Never",
                      op->call->image);
        cri_op_end(op, &own);
    } else if (send_pull(op, &own) != TT_OK) {
        cri_op_end(op, &own);
    }
}

static int start_image(struct cri_op *op, struct tt_err *err)
{
    if (op->call->policy == RT_IMAGE_ALWAYS) {
        return send_pull(op, err);
    }
    Tutti__Cri__ImageSpec image;
    tutti__cri__image_spec__init(&image);
    image.image = cri_text(op->call->image);
    Tutti__Cri__ImageStatusRequest request;
    tutti__cri__image_status_request__init(&request);
    request.image = &image;
    op->next = image_seen;
    return send_first(op, CRI_IMAGES "ImageStatus", &request.base,
                      &tutti__cri__image_status_response__descriptor, QUICK_MS, err);
}

/* ---- the driver ---- */

static int start_op(struct cri_op *op, struct tt_err *err)
{
    switch (op->call->verb) {
    case RT_PREPARE:
        return start_prepare(op, err);
    case RT_START:
        return start_container(op, err);
    case RT_STOP:
        return start_stop(op, err);
    case RT_REMOVE_CONTAINER:
        return start_by_id(op, CRI_RUNTIME "RemoveContainer", err);
    case RT_STOP_SANDBOX:
    case RT_REMOVE_SANDBOX:
        return start_stop_sandbox(op, err);
    case RT_EXEC:
        return start_exec(op, err);
    case RT_IMAGE:
        return start_image(op, err);
    case RT_REOPEN_LOG:
        return start_by_id(op, CRI_RUNTIME "ReopenContainerLog", err);
    case RT_RECOVER:
        break;
    }
    TT_ASSERT(false);
    return TT_EINTERNAL;
}

static int driver_start(struct rt_driver *base, struct rt_call *call, struct tt_err *err)
{
    struct cri_driver *driver = TT_CONTAINER_OF(base, struct cri_driver, base);
    if (driver->closing) {
        return TT_FAIL(err, TT_ECANCELED, "the runtime driver is closing");
    }
    if (call->verb == RT_RECOVER) {
        return cri_recover_start(driver, call, err);
    }
    struct cri_op *op = TT_NEW(struct cri_op);
    op->driver = driver;
    op->call = call;
    if (call->id != NULL) {
        copy_id(op->id, call->id);
    }
    int r = start_op(op, err);
    if (r != TT_OK) {
        tt_free(op);
    }
    return r;
}

static const char *driver_version(const struct rt_driver *base)
{
    return TT_CONTAINER_OF(base, const struct cri_driver, base)->version;
}

static void driver_free(struct cri_driver *driver)
{
    tt_map_free(driver->details);
    tt_free(driver);
}

void cri_driver_part_closed(struct cri_driver *driver)
{
    if (--driver->parts_open == 0) {
        void (*closed)(void *) = driver->closed;
        void *closed_ctx = driver->closed_ctx;
        driver_free(driver);
        closed(closed_ctx);
    }
}

static void client_closed(void *ctx)
{
    cri_driver_part_closed(ctx);
}

static void driver_close(struct rt_driver *base, void (*closed)(void *ctx), void *ctx)
{
    struct cri_driver *driver = TT_CONTAINER_OF(base, struct cri_driver, base);
    driver->closing = true;
    driver->closed = closed;
    driver->closed_ctx = ctx;
    driver->parts_open = 2;
    cri_watch_close(driver);
    tt_http_client_close(driver->event_client, client_closed, driver);
    tt_http_client_close(driver->client, client_closed, driver);
}

static const struct rt_driver_ops ops = {
    .start = driver_start, .watch = cri_watch, .version = driver_version, .close = driver_close};

static void nothing(void *ctx)
{
    (void)ctx;
}

int cri_driver_new(struct tt_loop *loop, const char *endpoint, struct rt_driver **ret_driver,
                   struct tt_err *err)
{
    struct tt_str path = tt_str_c(endpoint);
    if (tt_str_starts(path, TT_STR("unix://"))) {
        path = tt_str_skip(path, 7);
    }
    if (path.len == 0 || path.ptr[0] != '/') {
        return TT_FAIL(err, TT_EINVAL, "--runtime-endpoint %s: give unix:///path/of/the.sock",
                       endpoint);
    }
    struct tt_http_client_config config = {.loop = loop,
                                           .unix_path = path.ptr,
                                           .connections_max = CONNECTIONS,
                                           .keepalive_ms = KEEPALIVE_MS};
    struct cri_driver *driver = TT_NEW(struct cri_driver);
    driver->base.ops = &ops;
    driver->loop = loop;
    int r = tt_http_client_new(&config, &driver->client, err);
    if (r == TT_OK) {
        config.connections_max = 1;
        r = tt_http_client_new(&config, &driver->event_client, err);
        if (r != TT_OK) {
            tt_http_client_close(driver->client, nothing, NULL);
        }
    }
    if (r != TT_OK) {
        tt_free(driver);
        return r;
    }
    driver->details = tt_map_new((size_t)2 * RT_SNAPSHOT_COUNT_MAX, cri_details_free);
    *ret_driver = &driver->base;
    return TT_OK;
}
