/* Hearing from the runtime: whether it answers, and that something happened.
 *
 * Version is asked every few seconds; each answer or silence that differs from the last is told.
 * While it answers, an event stream runs: GetContainerEvents where there is one (containerd 1.7,
 * CRI-O), else containerd's own stream on the same socket. Events are only a reason to look again:
 * the stream may lose some and may be absent. */
#include <stdio.h>

#include "agent/cri_driver_internal.h"

enum { POLL_MS = 3000, FIRST_POLL_MS = 1, VERSION_MS = 5000 };

static void tell(struct cri_driver *driver, bool ready, const char *reason)
{
    if (driver->said_condition && driver->ready == ready) {
        return;
    }
    driver->said_condition = true;
    driver->ready = ready;
    driver->events.condition(driver->events.ctx, ready, reason);
}

/* ---- events ---- */

static void event_message(struct tt_grpc_call *grpc, struct tt_str bytes)
{
    struct cri_driver *driver = grpc->ctx;
    (void)bytes; /* what happened is read from the lists */
    if (!driver->closing) {
        driver->events.changed(driver->events.ctx);
    }
}

static void events_ended(struct tt_grpc_call *grpc, const struct tt_err *err)
{
    struct cri_driver *driver = grpc->ctx;
    (void)err; /* the poll starts it again, and tells when the runtime is gone */
    driver->events_running = false;
    if (grpc->status == TT_GRPC_UNIMPLEMENTED || grpc->status == TT_GRPC_UNKNOWN) {
        driver->events_native = true;
    }
    if (!driver->closing) {
        driver->events.changed(driver->events.ctx); /* what was missed */
    }
}

static void start_events(struct cri_driver *driver)
{
    TT_AUTO_BUF struct tt_buf bytes;
    tt_buf_init(&bytes, 256);
    if (driver->events_native) {
        char filter[] = "namespace==k8s.io";
        char *filters[] = {filter};
        Tutti__Cri__SubscribeRequest request;
        tutti__cri__subscribe_request__init(&request);
        request.filters = filters;
        request.n_filters = 1;
        size_t size = tutti__cri__subscribe_request__get_packed_size(&request);
        char *out = tt_buf_reserve(&bytes, size);
        TT_ASSERT(out != NULL);
        bytes.len = tutti__cri__subscribe_request__pack(&request, (uint8_t *)out);
    }
    driver->event_call.grpc = (struct tt_grpc_call){
        .path = driver->events_native ? "/containerd.services.events.v1.Events/Subscribe"
                                      : CRI_RUNTIME "GetContainerEvents",
        .message = event_message,
        .done = events_ended,
        .ctx = driver};
    struct tt_err err;
    tt_err_init(&err);
    driver->events_running = tt_grpc_start(driver->event_client, &driver->event_call.grpc,
                                           tt_buf_view(&bytes), &err) == TT_OK;
}

/* ---- is it there? ---- */

static void version_done(struct cri_call *cri, const struct tt_err *err)
{
    struct cri_driver *driver = cri->ctx;
    driver->version_running = false;
    if (driver->closing) {
        cri_call_fini(cri);
        return;
    }
    if (err == NULL) {
        const Tutti__Cri__VersionResponse *reply = (const void *)cri->reply;
        (void)snprintf(driver->version, sizeof driver->version, "%s://%s", reply->runtime_name,
                       reply->runtime_version);
        tell(driver, true, "");
        if (!driver->events_running) {
            start_events(driver);
        }
    } else {
        char text[256];
        (void)tt_err_format(err, text, sizeof text); /* cut is fine */
        tell(driver, false, text);
    }
    cri_call_fini(cri);
}

static void poll_fired(struct tt_timer *timer)
{
    struct cri_driver *driver = TT_CONTAINER_OF(timer, struct cri_driver, poll);
    if (driver->version_running) {
        return;
    }
    Tutti__Cri__VersionRequest request;
    tutti__cri__version_request__init(&request);
    request.version = cri_text("v1");
    driver->version_call.reply_type = &tutti__cri__version_response__descriptor;
    driver->version_call.done = version_done;
    driver->version_call.ctx = driver;
    struct tt_err err;
    tt_err_init(&err);
    if (cri_call_start(driver->client, &driver->version_call, CRI_RUNTIME "Version", &request.base,
                       VERSION_MS, &err) == TT_OK) {
        driver->version_running = true;
    } else {
        tell(driver, false, tt_err_cause(&err));
    }
}

void cri_watch(struct rt_driver *base, const struct rt_events *events)
{
    struct cri_driver *driver = TT_CONTAINER_OF(base, struct cri_driver, base);
    TT_ASSERT(!driver->poll_open);
    driver->events = *events;
    driver->poll_open = true;
    tt_timer_init(&driver->poll, driver->loop, poll_fired);
    tt_timer_start(&driver->poll, FIRST_POLL_MS, POLL_MS);
}

static void poll_closed(struct tt_timer *timer)
{
    cri_driver_part_closed(TT_CONTAINER_OF(timer, struct cri_driver, poll));
}

void cri_watch_close(struct cri_driver *driver)
{
    if (driver->poll_open) {
        driver->poll_open = false;
        driver->parts_open++;
        tt_timer_close(&driver->poll, poll_closed);
    }
}
