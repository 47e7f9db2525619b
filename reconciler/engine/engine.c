/* The engine's loop.
 *
 *   follower ──gained──▶ leading: resync (list all) ──published──▶ follow (history) ──▶ dispatch
 *      ◀──────lost────────┘            ▲                               │
 *                                      └── history compacted, overflow ┘
 *
 * The store's and the leadership's calls arrive on the core thread and only post messages. A run is
 * one key on its way through plan, commit and done; at most RUNS_MAX of a controller are out at a
 * time. Runs are never cancelled: a commit that is out when leadership is lost either fails its
 * compares or was right. */
#include "reconciler/engine/engine.h"

#include "base/log.h"
#include "base/loop.h"
#include "base/poke.h"
#include "reconciler/engine/observer.h"
#include "reconciler/engine/recorder.h"

enum {
    RUNS_MAX = 16,      /* commits out per controller */
    KEYS_MAX = 1 << 20, /* per controller */
    MAILBOX_MAX = 4096,
    BACKOFF_MS_MIN = 20,
    BACKOFF_MS_MAX = 30000,
    RESYNC_AFTER_OVERFLOW_MS = 1000,
    PASSES_PER_TURN = 64, /* then let the loop breathe */
};

struct lane {
    struct tt_controller *controller; /* borrowed */
    struct tt_key_queue *queue;       /* owned */
};

/* A message that only says "leadership is now …". */
struct lead_msg {
    struct tt_msg msg;        /* in the loop's mailbox; runs on_leadership, which frees it */
    struct tt_engine *engine; /* borrowed */
    uint64_t term;            /* 0 = lost */
};

struct run {
    struct tt_propose_op op;  /* its commit; answered on the loop, once */
    struct tt_engine *engine; /* borrowed */
    struct lane *lane;        /* borrowed */
    char *key;                /* owned */
    size_t key_size;          /* bytes */
    uint64_t recheck_ms;      /* of the pass */
    bool again;               /* the plan was cut short: plan again after the commit */
    struct tt_pass *noted;    /* owned: what to tell when it is committed; NULL: nothing */
};

struct tt_engine {
    struct tt_engine_config config;               /* as given; never changes */
    struct tt_loop *loop;                         /* owned */
    struct lane lanes[TT_ENGINE_CONTROLLERS_MAX]; /* one per controller, in the config's order */
    struct tt_recorder *recorder;                 /* owned */
    struct tt_arena *scratch;                     /* owned, for observe */
    struct tt_timer timer;                        /* next delayed key */
    struct tt_store_listener store_listener;      /* the store's hook; called on the core thread */
    struct tt_leadership_listener leadership; /* the cluster's hook; called on the core thread */
    bool leads;                               /* core thread only: publications concern us */
    struct tt_poke published;                 /* by the store, on the core thread */
    uint64_t term;                            /* 0 = not leading */
    struct tt_history_cursor cursor;          /* what was observed */
    bool resync_due; /* a key found no room in its queue: list everything again */
};

static void dispatch(struct tt_engine *engine);

static uint64_t now_ms(const struct tt_engine *engine)
{
    return tt_clock_ms(engine->config.clock);
}

/* Observing. */

static void observe(struct tt_engine *engine, const struct tt_change *change, uint64_t now)
{
    struct tt_str key = change->item != NULL ? change->item->key : change->prev->key;
    struct tt_object_ref ref;
    if (!tt_key_parse(key, &ref)) {
        return;
    }
    for (size_t i = 0; i < engine->config.controller_count; i++) {
        struct tt_observer observer = {.queue = engine->lanes[i].queue,
                                       .arena = engine->scratch,
                                       .seal = engine->config.seal,
                                       .now_ms = now};
        struct tt_controller *controller = engine->lanes[i].controller;
        controller->observe(controller, change, &ref, &observer);
        if (observer.overflow) {
            engine->resync_due = true;
        }
    }
    tt_arena_reset(engine->scratch); /* what was opened does not stay until the next change */
}

static void restart_controllers(struct tt_engine *engine, uint64_t now)
{
    for (size_t i = 0; i < engine->config.controller_count; i++) {
        struct lane *lane = &engine->lanes[i];
        if (lane->controller->reset != NULL) {
            lane->controller->reset(lane->controller);
        }
        if (lane->controller->always_key != NULL &&
            !tt_key_queue_add(lane->queue, tt_str_c(lane->controller->always_key), now)) {
            engine->resync_due = true;
        }
    }
}

static void resync(struct tt_engine *engine)
{
    tt_loop_mark(engine->loop, "reconcile: list everything");
    TT_AUTO(tt_version) version = tt_store_version(engine->config.store);
    struct tt_err err;
    tt_err_init(&err);
    engine->resync_due = false;
    TT_AUTO(tt_scan) scan = NULL;
    int r = tt_scan_new(version, TT_STR("o/"), TT_STR("o0"), 0, &scan, &err);
    TT_ASSERT(r == TT_OK); /* the version's own revision is always there */
    uint64_t now = now_ms(engine);
    restart_controllers(engine, now);
    const struct tt_item *item;
    while ((item = tt_scan_next(scan)) != NULL) {
        const struct tt_change change = {.revision = item->mod_revision, .item = item};
        observe(engine, &change, now);
    }
    r = tt_history_seek(version, tt_version_revision(version), &engine->cursor, &err);
    TT_ASSERT(r == TT_OK); /* nothing lies behind the newest revision */
}

static void follow(struct tt_engine *engine)
{
    if (engine->term == 0) {
        return;
    }
    if (engine->resync_due) {
        resync(engine);
        return;
    }
    tt_loop_mark(engine->loop, "reconcile: follow history");
    TT_AUTO(tt_version) version = tt_store_version(engine->config.store);
    struct tt_history_cursor cursor;
    if (engine->cursor.next_revision <= tt_version_compacted(version) ||
        tt_history_seek(version, engine->cursor.next_revision - 1, &cursor, NULL) != TT_OK) {
        resync(engine);
        return;
    }
    uint64_t now = now_ms(engine);
    struct tt_change change;
    while (tt_history_next(version, &cursor, &change)) {
        observe(engine, &change, now);
    }
    engine->cursor = cursor;
}

/* Running. */

static void run_free(struct run *run)
{
    tt_pass_free(run->noted);
    tt_free(run->key);
    tt_free(run);
}

static void finish(struct tt_engine *engine, struct lane *lane, struct tt_str key,
                   const struct run *run, int code)
{
    uint64_t now = now_ms(engine);
    if (code != TT_OK && code != TT_ECONFLICT) {
        tt_key_queue_done(lane->queue, key, TT_KEY_RETRY, now);
        return;
    }
    bool again = code == TT_ECONFLICT || (run != NULL && run->again);
    if (again && !tt_key_queue_add(lane->queue, key, now)) {
        engine->resync_due = true;
    }
    if (!again && run != NULL && run->recheck_ms > 0 &&
        !tt_key_queue_add_at(lane->queue, key, now + run->recheck_ms)) {
        engine->resync_due = true;
    }
    tt_key_queue_done(lane->queue, key, TT_KEY_DONE, now);
}

static void log_failure(const struct lane *lane, struct tt_str key, const struct tt_err *err)
{
    TT_LOG(TT_LOG_WARN, "reconciler", "a pass failed and will be tried again",
           TT_F_C("controller", lane->controller->name), TT_F_STR("name", key), TT_F_ERR(err));
}

static void committed(struct tt_propose_op *op)
{
    struct run *run = op->ctx;
    struct tt_engine *engine = run->engine;
    if (op->code != TT_OK && op->code != TT_ECONFLICT) {
        struct tt_err err;
        tt_err_init(&err);
        (void)TT_FAIL(&err, op->code, "commit: %s", tt_err_name(op->code));
        log_failure(run->lane, tt_str(run->key, run->key_size), &err);
    }
    if (op->code == TT_OK && run->noted != NULL) {
        tt_recorder_take(engine->recorder, run->noted);
    }
    finish(engine, run->lane, tt_str(run->key, run->key_size), run, op->code);
    run_free(run);
    dispatch(engine);
}

/* Takes the pass over when there is something to tell after the commit. */
static int submit(struct tt_engine *engine, struct lane *lane, struct tt_str key,
                  struct tt_pass **pass_ref, bool again, struct tt_err *err)
{
    const struct tt_pass *pass = *pass_ref;
    struct tt_bytes *command = NULL;
    int r = tt_pass_encode(pass, engine->config.actor, &command, err);
    if (r != TT_OK) {
        return r;
    }
    struct run *run = TT_NEW(struct run);
    run->engine = engine;
    run->lane = lane;
    run->key = tt_str_xdup(key);
    run->key_size = key.len;
    run->recheck_ms = pass->recheck_ms;
    run->again = again;
    run->op.command = command;
    run->op.reply = tt_loop_mailbox(engine->loop);
    run->op.done = committed;
    run->op.ctx = run;
    r = engine->config.proposer->propose(engine->config.proposer, &run->op);
    if (r != TT_OK) {
        run_free(run);
        return TT_FAIL(err, r, "propose: %s", tt_err_name(r));
    }
    run->noted =
        pass->note_count > 0 ? TT_TAKE(*pass_ref) : NULL; /* done runs later, on this loop */
    return TT_OK;
}

/* Plans one key. */
static void run_key(struct tt_engine *engine, struct lane *lane, struct tt_str key)
{
    struct tt_err err;
    tt_err_init(&err);
    tt_loop_mark(engine->loop, lane->controller->name);
    TT_AUTO(tt_version) version = tt_store_version(engine->config.store);
    TT_AUTO(tt_kinds) kinds = tt_registry_get(engine->config.registry);
    TT_AUTO(tt_pass)
    pass = tt_pass_new(version, kinds, engine->config.clock, tt_random_u64());
    pass->component = lane->controller->component;
    pass->seal = engine->config.seal;
    int r = lane->controller->plan(lane->controller, pass, key, &err);
    bool cut_short = r == TT_EBUSY && pass->write_count > 0;
    if (r != TT_OK && !cut_short) {
        log_failure(lane, key, &err);
        tt_recorder_take(engine->recorder, pass);
        finish(engine, lane, key, NULL, r);
        return;
    }
    if (pass->write_count == 0) {
        tt_recorder_take(engine->recorder, pass);
        const struct run idle = {.recheck_ms = pass->recheck_ms};
        finish(engine, lane, key, &idle, TT_OK);
        return;
    }
    tt_err_init(&err);
    r = submit(engine, lane, key, &pass, cut_short, &err);
    if (r != TT_OK) {
        log_failure(lane, key, &err);
        finish(engine, lane, key, NULL, r);
    }
}

static void arm_timer(struct tt_engine *engine)
{
    uint64_t now = now_ms(engine);
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < engine->config.controller_count; i++) {
        struct lane *lane = &engine->lanes[i];
        if (tt_key_queue_active_count(lane->queue) < RUNS_MAX) {
            uint64_t lane_due = tt_key_queue_next_due_ms(lane->queue, now);
            due = lane_due < due ? lane_due : due;
        }
    }
    if (engine->resync_due && due > now + RESYNC_AFTER_OVERFLOW_MS) {
        due = now + RESYNC_AFTER_OVERFLOW_MS;
    }
    if (engine->term == 0 || due == UINT64_MAX) {
        tt_timer_stop(&engine->timer);
        return;
    }
    tt_timer_start(&engine->timer, due - now, 0);
}

static void dispatch(struct tt_engine *engine)
{
    size_t passes = 0;
    for (size_t i = 0; engine->term != 0 && i < engine->config.controller_count; i++) {
        struct lane *lane = &engine->lanes[i];
        struct tt_str key;
        while (passes < PASSES_PER_TURN && tt_key_queue_active_count(lane->queue) < RUNS_MAX &&
               tt_key_queue_take(lane->queue, now_ms(engine), &key)) {
            run_key(engine, lane, key);
            passes++;
        }
    }
    arm_timer(engine);
}

static void timer_fired(struct tt_timer *timer)
{
    struct tt_engine *engine = TT_CONTAINER_OF(timer, struct tt_engine, timer);
    if (engine->resync_due && engine->term != 0) {
        resync(engine);
    }
    dispatch(engine);
}

/* Messages from the core thread. */

static void on_published(struct tt_poke *poke)
{
    struct tt_engine *engine = TT_CONTAINER_OF(poke, struct tt_engine, published);
    follow(engine);
    dispatch(engine);
}

static void store_published(struct tt_store_listener *listener, uint64_t revision)
{
    struct tt_engine *engine = TT_CONTAINER_OF(listener, struct tt_engine, store_listener);
    (void)revision;      /* the newest version is read when the poke runs */
    if (engine->leads) { /* whoever begins to lead lists everything first */
        tt_poke_fire(&engine->published);
    }
}

static void on_leadership(struct tt_msg *msg)
{
    struct lead_msg *lead = TT_CONTAINER_OF(msg, struct lead_msg, msg);
    struct tt_engine *engine = lead->engine;
    engine->term = lead->term;
    tt_free(lead);
    for (size_t i = 0; i < engine->config.controller_count; i++) {
        tt_key_queue_clear(engine->lanes[i].queue);
    }
    if (engine->term != 0) {
        TT_LOG(TT_LOG_INFO, "reconciler", "reconciling as leader", TT_F_U64("term", engine->term));
        resync(engine);
    }
    dispatch(engine);
}

static void post_leadership(struct tt_engine *engine, uint64_t term)
{
    struct lead_msg *lead = TT_NEW(struct lead_msg);
    lead->msg.run = on_leadership;
    lead->engine = engine;
    lead->term = term;
    if (tt_mailbox_post_answer(tt_loop_mailbox(engine->loop), &lead->msg) != TT_OK) {
        tt_free(lead); /* the engine stops: nothing to reconcile any more */
    }
}

static void leadership_gained(struct tt_leadership_listener *listener, uint64_t term)
{
    struct tt_engine *engine = TT_CONTAINER_OF(listener, struct tt_engine, leadership);
    engine->leads = true;
    post_leadership(engine, term);
}

static void leadership_lost(struct tt_leadership_listener *listener)
{
    struct tt_engine *engine = TT_CONTAINER_OF(listener, struct tt_engine, leadership);
    engine->leads = false;
    post_leadership(engine, 0);
}

/* Life. */

static void loop_started(void *ctx)
{
    struct tt_engine *engine = ctx;
    tt_timer_init(&engine->timer, engine->loop, timer_fired);
    tt_recorder_start(engine->recorder);
}

static void loop_stopping(void *ctx)
{
    struct tt_engine *engine = ctx;
    engine->term = 0;
    tt_timer_close(&engine->timer, NULL);
    tt_recorder_stop(engine->recorder);
}

static void open_recorder(struct tt_engine *engine)
{
    const struct tt_engine_config *config = &engine->config;
    const struct tt_recorder_config recorder = {.loop = engine->loop,
                                                .store = config->store,
                                                .proposer = config->proposer,
                                                .registry = config->registry,
                                                .clock = config->clock,
                                                .actor = config->actor,
                                                .seed = tt_random_u64()};
    engine->recorder = tt_recorder_new(&recorder);
}

struct tt_event_stats tt_engine_event_stats(const struct tt_engine *engine)
{
    return tt_recorder_stats(engine->recorder);
}

int tt_engine_new(const struct tt_engine_config *config, struct tt_engine **ret_engine,
                  struct tt_err *err)
{
    TT_ASSERT(config->controller_count > 0);
    TT_ASSERT(config->controller_count <= TT_ENGINE_CONTROLLERS_MAX);
    struct tt_engine *engine = TT_NEW(struct tt_engine);
    engine->config = *config;
    engine->scratch = tt_arena_new(64 << 10, 16 << 20);
    const struct tt_key_queue_limits limits = {.key_count_max = KEYS_MAX,
                                               .backoff_ms_min = BACKOFF_MS_MIN,
                                               .backoff_ms_max = BACKOFF_MS_MAX};
    for (size_t i = 0; i < config->controller_count; i++) {
        engine->lanes[i].controller = config->controllers[i];
        engine->lanes[i].queue = tt_key_queue_new(&limits);
    }
    const struct tt_loop_config loop_config = {.name = "reconcile",
                                               .mailbox_max = MAILBOX_MAX,
                                               .on_start = loop_started,
                                               .on_stop = loop_stopping,
                                               .ctx = engine};
    engine->loop = tt_loop_new(&loop_config, err);
    if (engine->loop != NULL) {
        open_recorder(engine);
    }
    int r = engine->loop == NULL ? TT_EINTERNAL : tt_loop_start(engine->loop, err);
    if (r != TT_OK) {
        tt_engine_free(engine);
        return TT_WRAP(err, r, "start the reconcilers");
    }
    tt_poke_init(&engine->published, tt_loop_mailbox(engine->loop), on_published);
    engine->store_listener.published = store_published;
    engine->leadership.gained = leadership_gained;
    engine->leadership.lost = leadership_lost;
    tt_store_listen(config->store, &engine->store_listener);
    config->cluster->listen(config->cluster, &engine->leadership);
    *ret_engine = engine;
    return TT_OK;
}

void tt_engine_free(struct tt_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    if (engine->store_listener.published != NULL) {
        tt_loop_join(engine->loop); /* and by now nobody else publishes anything more either */
        tt_store_unlisten(engine->config.store, &engine->store_listener);
    }
    tt_loop_free(engine->loop);
    tt_recorder_free(engine->recorder);
    for (size_t i = 0; i < engine->config.controller_count; i++) {
        tt_key_queue_free(engine->lanes[i].queue);
    }
    tt_arena_free(engine->scratch);
    tt_free(engine);
}
