/* note → book → (FLUSH_MS later) POST, or PATCH of count and time when it was written before.
 *
 * Answers: done → written; a PATCH of one that is gone (or of a pod that left: the servers refuse
 * both alike) → written anew, once; a refused POST (the pod is gone) → dropped; no answer, or a
 * server's trouble → later. */
#include "agent/events.h"

#include <stdio.h>

#include "agent/request.h"
#include "api/kinds/event_book.h"
#include "base/log.h"

enum { FLUSH_MS = 100, RETRY_MS = 2000, REQUESTS_MAX = 4, TEXT_MAX = 16 << 10 };
#define COMPONENT "tutti-agent"

struct events {
    struct events_config config; /* copied; what it points to is kept */
    struct tt_event_book *book;  /* owned */
    struct tt_timer timer;       /* of the next flush, or of a retry */
    size_t requests;             /* running */
    bool is_armed;               /* the timer is set */
    bool is_closing;             /* nothing is noted or begun any more */
    bool timer_closed;           /* its close callback ran */
    void (*closed)(void *ctx);   /* of close; called when nothing runs any more */
    void *closed_ctx;            /* passed to closed */
};
struct writing {
    struct events *events;        /* kept: freed after its last request */
    const struct tt_event *event; /* taken from the book */
    bool is_patch;                /* it was written before: only count and time go */
};

static void free_when_done(struct events *events)
{
    if (!events->is_closing || events->requests > 0 || !events->timer_closed) {
        return;
    }
    void (*closed)(void *) = events->closed;
    void *closed_ctx = events->closed_ctx;
    tt_event_book_free(events->book);
    tt_free(events);
    closed(closed_ctx);
}

static void arm(struct events *events, uint64_t delay_ms)
{
    if (!events->is_armed && !events->is_closing && tt_event_book_waits(events->book)) {
        events->is_armed = true;
        tt_timer_start(&events->timer, delay_ms, 0);
    }
}

static enum tt_event_outcome outcome_of(const struct writing *writing, int status,
                                        const struct tt_err *err)
{
    if (err == NULL || (status == 409 && !writing->is_patch)) {
        return TT_EVENT_WRITTEN; /* 409: an earlier try arrived after all */
    }
    if (status >= 400 && status < 500 && status != 409 && status != 429) {
        return writing->is_patch ? TT_EVENT_GONE : TT_EVENT_DROPPED;
    }
    return TT_EVENT_LATER;
}

static void written(void *ctx, int status, struct tt_str answer, const struct tt_err *err)
{
    struct writing *writing = ctx;
    struct events *events = writing->events;
    enum tt_event_outcome outcome = outcome_of(writing, status, err);
    (void)answer; /* nothing in it is needed */
    if (outcome == TT_EVENT_DROPPED) {
        TT_LOG(TT_LOG_DEBUG, "events", "an Event is refused", TT_F_C("name", writing->event->name),
               TT_F_ERR(err));
    }
    tt_event_book_settle(events->book, writing->event, outcome);
    tt_free(writing);
    events->requests--;
    arm(events, outcome == TT_EVENT_LATER ? RETRY_MS : 1);
    free_when_done(events);
}

static void write_one(struct events *events, const struct tt_event *event)
{
    TT_AUTO_BUF struct tt_buf body;
    struct tt_err err;
    struct writing *writing = TT_NEW(struct writing);
    tt_err_init(&err);
    tt_buf_init(&body, TEXT_MAX);
    *writing = (struct writing){.events = events, .event = event, .is_patch = event->exists};
    if (event->exists) {
        tt_event_write_patch(event, &body);
    } else {
        tt_event_write(events->book, event, &body);
    }
    const struct request request = {.method = event->exists ? "PATCH" : "POST",
                                    .resource = &request_events,
                                    .namespace = event->ns,
                                    .name = event->exists ? tt_str_c(event->name) : TT_STR_NONE,
                                    .body = tt_buf_view(&body),
                                    .content_type = event->exists ? REQUEST_MERGE_PATCH : NULL,
                                    .done = written,
                                    .ctx = writing};
    if (tt_buf_ok(&body) && request_send(events->config.client, &request, &err) == TT_OK) {
        events->requests++;
        return;
    }
    tt_event_book_settle(events->book, event, tt_buf_ok(&body) ? TT_EVENT_LATER : TT_EVENT_DROPPED);
    tt_free(writing);
}

static void timer_fired(struct tt_timer *timer)
{
    struct events *events = TT_CONTAINER_OF(timer, struct events, timer);
    const struct tt_event *event;
    events->is_armed = false;
    for (size_t i = events->requests;
         i < REQUESTS_MAX && (event = tt_event_book_take(events->book)) != NULL; i++) {
        write_one(events, event);
    }
    if (events->requests == 0) {
        arm(events, RETRY_MS); /* nothing could be sent */
    }
}

static void note(struct events *events, const struct tt_event_note *note)
{
    if (!events->is_closing) {
        tt_event_book_note(events->book, note, tt_clock_wall_ms(events->config.clock));
        arm(events, FLUSH_MS);
    }
}

void events_pod(struct events *events, struct events_about about, enum events_type type,
                const char *reason, const char *fmt, ...)
{
    const struct pod *pod = about.pod;
    char path[320] = "";
    TT_AUTO_BUF struct tt_buf text;
    if (events == NULL || pod == NULL) {
        return;
    }
    if (about.index < pod->container_count) {
        const struct pod_container *container = &pod->containers[about.index];
        (void)snprintf(path, sizeof path, "spec.%s{%s}",
                       container->is_init ? "initContainers" : "containers", container->name);
    }
    tt_buf_init(&text, TEXT_MAX);
    va_list args;
    va_start(args, fmt);
    tt_buf_vprintf(&text, fmt, args);
    va_end(args);
    const struct tt_event_note what = {.api_version = TT_STR("v1"),
                                       .kind = TT_STR("Pod"),
                                       .ns = tt_str_c(pod->namespace),
                                       .name = tt_str_c(pod->name),
                                       .uid = tt_str_c(pod->uid),
                                       .field_path = tt_str_c(path),
                                       .component = COMPONENT,
                                       .warning = type == EVENTS_WARNING,
                                       .reason = reason,
                                       .message = tt_buf_view(&text)};
    note(events, &what);
}

void events_node(struct events *events, const char *uid, enum events_type type, const char *reason,
                 const char *message)
{
    if (events == NULL) {
        return;
    }
    const struct tt_event_note what = {.api_version = TT_STR("v1"),
                                       .kind = TT_STR("Node"),
                                       .name = tt_str_c(events->config.node_name),
                                       .uid = tt_str_c(uid),
                                       .component = COMPONENT,
                                       .warning = type == EVENTS_WARNING,
                                       .reason = reason,
                                       .message = tt_str_c(message)};
    note(events, &what);
}

/* ---- life ---- */

struct events *events_new(const struct events_config *config)
{
    struct events *events = TT_NEW(struct events);
    events->config = *config;
    events->book = tt_event_book_new(tt_str_c(config->node_name), config->seed);
    tt_timer_init(&events->timer, config->loop, timer_fired);
    return events;
}

static void timer_closed(struct tt_timer *timer)
{
    struct events *events = TT_CONTAINER_OF(timer, struct events, timer);
    events->timer_closed = true;
    free_when_done(events);
}

void events_close(struct events *events, void (*closed)(void *ctx), void *ctx)
{
    events->is_closing = true;
    events->closed = closed;
    events->closed_ctx = ctx;
    tt_timer_close(&events->timer, timer_closed);
}
