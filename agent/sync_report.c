/* What the servers are told: a pod's status when it differs from what was told last, and that a pod
 * is gone. One request per pod at a time; a failed one is repeated later with what is true then. */
#include <stdio.h>

#include "agent/request.h"
#include "agent/sync_internal.h"
#include "base/json.h"
#include "base/log.h"

enum { STATUS_MAX = 1 << 20, RETRY_MS = 1000, ARENA_CHUNK = 8 << 10, ARENA_MAX = 16 << 20 };

static void report_done(void *ctx, int status, struct tt_str answer, const struct tt_err *err)
{
    struct sync_pod *sp = ctx;
    struct sync *sync = sp->sync;
    (void)answer; /* the watch tells */
    sp->sending = false;
    sync->requests--;
    if (sync->closing) {
        sync_free_when_done(sync);
        return;
    }
    if (err != NULL && status != 404 && status != 409) {
        TT_LOG(TT_LOG_WARN, "sync", "a pod's status cannot be written yet",
               TT_F_C("name", sp->pod ? sp->pod->name : sp->uid), TT_F_ERR(err));
        tt_buf_reset(&sp->sent); /* so that it counts as unsaid */
        sp->status_retry_ms = sync_mono_ms(sync) + RETRY_MS;
        sync_pass_in(sync, RETRY_MS);
        return;
    }
    sync_pass_in(sync, 0);
}

static void remember(struct sync_pod *sp, struct tt_str status)
{
    yyjson_doc *doc = NULL;
    tt_buf_reset(&sp->sent);
    tt_buf_str(&sp->sent, status);
    tt_arena_free(sp->arena);
    sp->arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    sp->previous =
        tt_json_read(sp->arena, status, &doc, NULL) == TT_OK ? yyjson_doc_get_root(doc) : NULL;
}

static void send_status(struct sync_pod *sp, struct tt_str status)
{
    TT_AUTO_BUF struct tt_buf body;
    struct tt_err err;
    tt_err_init(&err);
    tt_buf_init(&body, STATUS_MAX + 1024);
    /* The uid makes the patch fail for a namesake. */
    tt_buf_printf(&body, "{\"metadata\":{\"uid\":\"%s\"},\"status\":%.*s}", sp->uid,
                  TT_STR_ARG(status));
    const struct request request = {.method = "PATCH",
                                    .resource = &request_pods,
                                    .namespace = tt_str_c(sp->pod->namespace),
                                    .name = tt_str_c(sp->pod->name),
                                    .subresource = TT_STR("status"),
                                    .body = tt_buf_view(&body),
                                    .content_type = REQUEST_MERGE_PATCH,
                                    .done = report_done,
                                    .ctx = sp};
    if (request_send(sp->sync->config.client, &request, &err) == TT_OK) {
        sp->sending = true;
        sp->sync->requests++;
        remember(sp, status);
    }
}

static void fill_known(const struct sync_pod *sp, struct status_container *known)
{
    for (size_t i = 0; i < sp->pod->container_count; i++) {
        const struct sync_slot *slot = &sp->containers[i];
        bool of_sandbox = slot->reason[0] == '\0' && sp->sandbox.reason[0] != '\0';
        const struct sync_slot *why = of_sandbox ? &sp->sandbox : slot;
        known[i] = (struct status_container){.ready = slot->ready,
                                             .started = slot->started,
                                             .reason = why->reason[0] ? why->reason : NULL,
                                             .message = why->message};
    }
}

/* There is something to say, and it may be said now. */
static bool may_report(const struct sync_pod *sp, const struct rt_pod *seen)
{
    const struct sync *sync = sp->sync;
    bool nothing = seen->sandbox_count == 0 && seen->container_count == 0;
    bool is_over = sp->pod->is_deleting || sp->pod->is_finished;
    return sync->config.client != NULL && !sp->sending && !sp->deleting &&
           sync_mono_ms(sync) >= sp->status_retry_ms && !(nothing && is_over);
}

void sync_report(struct sync_pod *sp)
{
    struct sync *sync = sp->sync;
    const struct rt_pod seen = sync_seen(sync, sp);
    struct status_container known[POD_CONTAINERS_MAX];
    if (!may_report(sp, &seen)) {
        return;
    }
    fill_known(sp, known);
    TT_AUTO_BUF struct tt_buf status;
    tt_buf_init(&status, STATUS_MAX);
    const struct status_input input = {
        .pod = sp->pod,
        .seen = seen,
        .containers = known,
        .host_ip = sync->host_ip,
        .refused_reason = sp->refused_reason[0] != '\0' ? sp->refused_reason : NULL,
        .refused_message = sp->refused_message,
        .previous = sp->previous != NULL ? sp->previous : sp->pod->status,
        .start_ms = sp->start_ms,
        .now_ms = sync_wall_ms(sync)};
    status_write(&input, &status);
    if (tt_buf_ok(&status) && !tt_str_eq(tt_buf_view(&status), tt_buf_view(&sp->sent))) {
        send_status(sp, tt_buf_view(&status));
    }
}

static void delete_done(void *ctx, int status, struct tt_str answer, const struct tt_err *err)
{
    struct sync_pod *sp = ctx;
    struct sync *sync = sp->sync;
    (void)answer; /* the watch tells that it is gone */
    sp->deleting = false;
    sync->requests--;
    if (sync->closing) {
        sync_free_when_done(sync);
        return;
    }
    bool failed = err != NULL && status != 404 && status != 409;
    if (failed) {
        TT_LOG(TT_LOG_WARN, "sync", "a stopped pod cannot be deleted yet",
               TT_F_C("name", sp->pod ? sp->pod->name : sp->uid), TT_F_ERR(err));
    }
    sp->status_retry_ms = sync_mono_ms(sync) + RETRY_MS;
    sync_pass_in(sync, RETRY_MS);
}

void sync_delete_object(struct sync_pod *sp)
{
    char body[256];
    struct tt_err err;
    tt_err_init(&err);
    if (sp->sync->config.client == NULL || sp->deleting || sp->sending ||
        sync_mono_ms(sp->sync) < sp->status_retry_ms) {
        return;
    }
    int size = snprintf(body, sizeof body,
                        "{\"gracePeriodSeconds\":0,\"preconditions\":{\"uid\":\"%s\"}}", sp->uid);
    const struct request request = {.method = "DELETE",
                                    .resource = &request_pods,
                                    .namespace = tt_str_c(sp->pod->namespace),
                                    .name = tt_str_c(sp->pod->name),
                                    .body = tt_str(body, (size_t)size),
                                    .done = delete_done,
                                    .ctx = sp};
    if (request_send(sp->sync->config.client, &request, &err) == TT_OK) {
        sp->deleting = true;
        sp->sync->requests++;
    }
}
