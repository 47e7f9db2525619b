/* note → book → (FLUSH_MS later) one transaction of up to BATCH Events → settled
 *
 * A conflict (a namespace began to go, an Event was removed or changed by somebody) makes all of a
 * batch wait for the next one. An Event that cannot be planned at all is dropped. Only what was
 * committed is noted by the engine, so an Event never speaks of a change that did not happen. */
#include "reconciler/engine/recorder.h"

#include "base/cell.h"
#include "base/log.h"
#include "reconciler/engine/pass.h"

enum { FLUSH_MS = 200, BATCH = 64, TEXT_MAX = 32 << 10 };

struct tt_recorder {
    struct tt_recorder_config config; /* as given; never changes */
    struct tt_event_book *book;       /* owned */
    struct tt_cell *stats;            /* owned; of the book, for others */
    struct tt_timer timer;            /* one shot: FLUSH_MS after something waits */
    struct tt_propose_op op;          /* one at a time */
    /* Events of the commit that is out, borrowed from the book until settled. */
    const struct tt_event *batch[BATCH];
    size_t batch_count; /* > 0: a commit is out */
    bool is_running;    /* between start and stop: the timer may be used */
    bool is_armed;      /* timer is started and has not fired */
};

static void flush(struct tt_recorder *recorder);

static void arm(struct tt_recorder *recorder)
{
    if (recorder->is_running && !recorder->is_armed && recorder->batch_count == 0 &&
        tt_event_book_waits(recorder->book)) {
        recorder->is_armed = true;
        tt_timer_start(&recorder->timer, FLUSH_MS, 0);
    }
}

static void publish_stats(struct tt_recorder *recorder)
{
    struct tt_event_stats stats = tt_event_book_stats(recorder->book);
    tt_cell_write(recorder->stats, &stats);
}

void tt_recorder_take(struct tt_recorder *recorder, const struct tt_pass *pass)
{
    for (size_t i = 0; i < pass->note_count; i++) {
        tt_event_book_note(recorder->book, &pass->notes[i], pass->now_ms);
    }
    publish_stats(recorder);
    arm(recorder);
}

static void settle(struct tt_recorder *recorder, enum tt_event_outcome outcome)
{
    for (size_t i = 0; i < recorder->batch_count; i++) {
        tt_event_book_settle(recorder->book, recorder->batch[i], outcome);
    }
    recorder->batch_count = 0;
    publish_stats(recorder);
    arm(recorder);
}

/* ---- one Event ---- */

static int plan_create(struct tt_pass *pass, const struct tt_event_book *book,
                       const struct tt_event *event, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf text;
    yyjson_mut_doc *doc = NULL;
    tt_buf_init(&text, TEXT_MAX);
    tt_event_write(book, event, &text);
    if (!tt_buf_ok(&text)) {
        return TT_FAIL(err, TT_ETOOLARGE, "the Event is too large");
    }
    const struct tt_kind *kind = tt_kinds_kind(pass->kinds, TT_STR("v1"), TT_STR("Event"));
    TT_ASSERT(kind != NULL);
    int r =
        tt_json_parse(pass->arena, tt_buf_view(&text), TT_JSON_DUPLICATES_REFUSE, NULL, &doc, err);
    return r == TT_OK ? tt_pass_create(pass, kind, event->ns, doc, err) : r;
}

static int plan_update(struct tt_pass *pass, const struct tt_view *there,
                       const struct tt_event *event, struct tt_err *err)
{
    struct tt_object object;
    char text[TT_TIME_TEXT_SIZE];
    int r = tt_pass_edit(pass, there, &object, err);
    if (r != TT_OK) {
        return r;
    }
    struct tt_str last = tt_str(text, tt_time_format(event->last_ms, text));
    if (!tt_json_put_i64(object.doc, object.root, TT_STR("count"), (int64_t)event->count) ||
        !tt_json_put_str(object.doc, object.root, TT_STR("lastTimestamp"), last)) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room for the Event");
    }
    return tt_pass_update(pass, there, &object, TT_PART_MAIN, err);
}

int tt_recorder_plan(struct tt_pass *pass, const struct tt_event_book *book,
                     const struct tt_event *event, bool *ret_is_planned, struct tt_err *err)
{
    const struct tt_object_ref ns_ref = {.resource = TT_STR("namespaces"), .name = event->ns};
    const struct tt_object_ref ref = {
        .resource = TT_STR("events"), .ns = event->ns, .name = tt_str_c(event->name)};
    struct tt_view ns;
    struct tt_view there;
    *ret_is_planned = false;
    int r = tt_pass_get(pass, &ns_ref, &ns, err);
    if (r == TT_OK && (ns.item == NULL || tt_view_is_deleting(&ns))) {
        return TT_OK;
    }
    if (r == TT_OK) {
        r = tt_pass_rely(pass, &ns, err);
    }
    if (r == TT_OK) {
        r = tt_pass_get(pass, &ref, &there, err);
    }
    if (r == TT_OK) {
        r = there.item == NULL ? plan_create(pass, book, event, err)
                               : plan_update(pass, &there, event, err);
    }
    *ret_is_planned = r == TT_OK;
    return r;
}

/* ---- a batch ---- */

static void committed(struct tt_propose_op *op)
{
    struct tt_recorder *recorder = op->ctx;
    settle(recorder, op->code == TT_OK ? TT_EVENT_WRITTEN : TT_EVENT_LATER);
}

/* Into the batch, or dropped when it cannot be planned. */
static void plan_one(struct tt_recorder *recorder, struct tt_pass *pass,
                     const struct tt_event *event)
{
    struct tt_err err;
    bool is_planned;
    tt_err_init(&err);
    if (tt_recorder_plan(pass, recorder->book, event, &is_planned, &err) != TT_OK) {
        TT_LOG(TT_LOG_WARN, "reconciler", "an Event cannot be written", TT_F_C("name", event->name),
               TT_F_ERR(&err));
    }
    if (is_planned) {
        recorder->batch[recorder->batch_count++] = event;
    } else {
        tt_event_book_settle(recorder->book, event, TT_EVENT_DROPPED);
    }
}

static struct tt_pass *plan_batch(struct tt_recorder *recorder)
{
    TT_AUTO(tt_version) version = tt_store_version(recorder->config.store);
    TT_AUTO(tt_kinds) kinds = tt_registry_get(recorder->config.registry);
    struct tt_pass *pass =
        tt_pass_new(version, kinds, recorder->config.clock, recorder->config.seed);
    const struct tt_event *event = NULL;
    while (recorder->batch_count < BATCH && (event = tt_event_book_take(recorder->book)) != NULL) {
        plan_one(recorder, pass, event);
    }
    return pass;
}

static void flush(struct tt_recorder *recorder)
{
    struct tt_err err;
    tt_err_init(&err);
    TT_AUTO(tt_pass) pass = plan_batch(recorder);
    struct tt_bytes *command = NULL;
    if (pass->write_count == 0) {
        settle(recorder, TT_EVENT_WRITTEN); /* nothing differed */
        return;
    }
    if (tt_pass_encode(pass, recorder->config.actor, &command, &err) != TT_OK) {
        TT_LOG(TT_LOG_WARN, "reconciler", "Events cannot be written", TT_F_ERR(&err));
        settle(recorder, TT_EVENT_DROPPED);
        return;
    }
    recorder->op = (struct tt_propose_op){.command = command,
                                          .reply = tt_loop_mailbox(recorder->config.loop),
                                          .done = committed,
                                          .ctx = recorder};
    if (recorder->config.proposer->propose(recorder->config.proposer, &recorder->op) != TT_OK) {
        settle(recorder, TT_EVENT_LATER); /* the next one, a moment later */
    }
}

static void timer_fired(struct tt_timer *timer)
{
    struct tt_recorder *recorder = TT_CONTAINER_OF(timer, struct tt_recorder, timer);
    recorder->is_armed = false;
    if (recorder->batch_count == 0) {
        flush(recorder);
    }
}

/* ---- life ---- */

struct tt_recorder *tt_recorder_new(const struct tt_recorder_config *config)
{
    struct tt_recorder *recorder = TT_NEW(struct tt_recorder);
    recorder->config = *config;
    recorder->book = tt_event_book_new(TT_STR_NONE, config->seed);
    recorder->stats = tt_cell_new(sizeof(struct tt_event_stats));
    return recorder;
}

void tt_recorder_free(struct tt_recorder *recorder)
{
    if (recorder != NULL) {
        tt_event_book_free(recorder->book);
        tt_cell_free(recorder->stats);
        tt_free(recorder);
    }
}

void tt_recorder_start(struct tt_recorder *recorder)
{
    tt_timer_init(&recorder->timer, recorder->config.loop, timer_fired);
    recorder->is_running = true;
}

void tt_recorder_stop(struct tt_recorder *recorder)
{
    recorder->is_running = false;
    tt_timer_close(&recorder->timer, NULL);
}

struct tt_event_stats tt_recorder_stats(const struct tt_recorder *recorder)
{
    struct tt_event_stats stats;
    tt_cell_read(recorder->stats, &stats);
    return stats;
}
