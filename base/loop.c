#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

/* Happy path:
 *
 *   NEW --start/run_here--> RUNNING --stop--> STOPPING --no handle left--> DONE --free--> gone
 *
 * One iteration of the loop: timers, on_turn (prepare handle), poll with its callbacks, the mailbox
 * among them, watchdog (check handle). on_turn thus runs after every batch of callbacks and before
 * the loop can block, whatever woke it. What has been posted meanwhile is run and gets its on_turn
 * before the next poll, up to ROUNDS_MAX times: nobody need wake a loop that is awake.
 *
 * The mailbox wakes the loop through an event descriptor that the loop polls. (libuv's own async
 * handle lets the woken thread spin until the waking one has returned from its system call; with
 * more threads than cores that one is often the very thread it has just displaced.) Once stop was
 * asked for, the loop's own handles no longer keep it alive: it ends when the owner has closed its
 * own. What is still posted until then is run; then the mailbox closes and is drained a last time.
 *
 * Watchdog: libuv notes the time when poll returns, so the age of that note in the check handle is
 * the time the callbacks took (libuv counts milliseconds: up to one too many). Reports are limited
 * to one a second, with the number of those left out.
 *
 * Failure modes: no descriptors for the loop or no thread (errors of new and start); a callback
 * that never returns is not reported, it stops the whole loop. */

enum { ROUNDS_MAX = 8, STALL_MS_MAX = 10, STALL_REPORT_MS_MIN = 1000, LOOP_NAME_SIZE = 16 };

struct tt_loop {
    uv_loop_t uv;                 /* owned */
    int wake_fd;                  /* owned: an event descriptor, written by the mailbox */
    uv_poll_t waker;              /* polls wake_fd */
    uv_prepare_t prepare;         /* on_turn */
    uv_check_t check;             /* watchdog */
    struct tt_mailbox *box;       /* owned */
    struct tt_loop_config config; /* name points at `name` */
    char name[LOOP_NAME_SIZE];    /* copy of config.name */
    pthread_t thread;             /* valid when `started` */
    bool started;                 /* start succeeded: there is a thread to join */
    bool ran;                     /* the loop ran to its end */
    atomic_bool stop_asked;       /* set from any thread; stop_msg was posted */
    struct tt_msg stop_msg;       /* asks the loop's thread to stop */
    bool joined;                  /* the thread has ended; the owner's thread only */
    bool stopping;                /* on_stop was called; loop's thread only */
    _Atomic uintptr_t running_on; /* pthread_self() of the running thread, 0 when none */
    const char *operation;        /* what tt_loop_mark said last, NULL: nothing this turn */
    uint64_t operation_ns;        /* when it was said */
    const char *slowest;          /* the longest operation of this turn */
    uint64_t slowest_ns;          /* how long it took */
    uint64_t turn_start_ms;       /* uv_now when the last poll returned */
    uint64_t reported_ms;         /* last stall report */
    uint64_t unreported;          /* stalls since then */
};

static void wake(void *ctx)
{
    struct tt_loop *loop = ctx;
    const uint64_t one = 1;
    ssize_t r;
    do {
        r = write(loop->wake_fd, &one, sizeof one);
    } while (r < 0 && errno == EINTR);
    TT_ASSERT(r == sizeof one); /* drained long before its count could be full */
}

/* From here on only the owner's handles keep the loop alive. */
static void begin_stop(struct tt_loop *loop)
{
    if (loop->stopping) {
        return;
    }
    loop->stopping = true;
    uv_unref((uv_handle_t *)&loop->waker);
    if (loop->config.on_stop) {
        loop->config.on_stop(loop->config.ctx);
    }
}

static void run_stop(struct tt_msg *msg)
{
    begin_stop(TT_CONTAINER_OF(msg, struct tt_loop, stop_msg));
}

static void on_wake(uv_poll_t *waker, int status, int events)
{
    struct tt_loop *loop = waker->data;
    uint64_t count;
    TT_ASSERT(status == 0 && events != 0);
    TT_IGNORE(read(loop->wake_fd, &count, sizeof count) < 0); /* nothing there: drain anyway */
    tt_mailbox_drain_awake(loop->box);
}

/* Adds the span of the current operation to the turn's account. */
static void account(struct tt_loop *loop, uint64_t now_ns)
{
    if (loop->operation && now_ns - loop->operation_ns > loop->slowest_ns) {
        loop->slowest = loop->operation;
        loop->slowest_ns = now_ns - loop->operation_ns;
    }
}

static void report_stall(struct tt_loop *loop, uint64_t stalled_ms, uint64_t now_ms)
{
    if (loop->reported_ms != 0 && now_ms - loop->reported_ms < STALL_REPORT_MS_MIN) {
        loop->unreported++;
        return;
    }
    TT_LOG(TT_LOG_WARN, "loop", "loop stalled", TT_F_C("loop", loop->name),
           TT_F_C("op", loop->slowest ? loop->slowest : "unmarked"), TT_F_U64("dur_ms", stalled_ms),
           TT_F_U64("op_ms", loop->slowest_ns / 1000000u), TT_F_U64("left_out", loop->unreported));
    loop->reported_ms = now_ms;
    loop->unreported = 0;
}

static void watch_stall(struct tt_loop *loop)
{
    uint64_t now_ns = uv_hrtime();
    uint64_t now_ms = now_ns / 1000000u;
    account(loop, now_ns);
    if (now_ms > loop->turn_start_ms + STALL_MS_MAX) {
        report_stall(loop, now_ms - loop->turn_start_ms, now_ms);
    }
    loop->operation = NULL;
    loop->slowest = NULL;
    loop->slowest_ns = 0;
}

/* Callbacks of poll are done: their time runs since libuv's note. */
static void on_check(uv_check_t *check)
{
    struct tt_loop *loop = check->data;
    loop->turn_start_ms = uv_now(&loop->uv);
}

static void turn(struct tt_loop *loop)
{
    if (loop->config.on_turn) {
        loop->config.on_turn(loop->config.ctx);
    }
}

/* Timers and closings of this turn are done too; the next thing would be to block. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct tt_loop *loop = prepare->data;
    turn(loop);
    watch_stall(loop);
    for (int round = 0; !tt_mailbox_sleep(loop->box); round++) {
        if (round == ROUNDS_MAX) {
            wake(loop); /* sockets and timers first */
            return;
        }
        uv_update_time(&loop->uv);
        loop->turn_start_ms = uv_now(&loop->uv);
        tt_mailbox_drain_awake(loop->box);
        turn(loop);
        watch_stall(loop);
    }
}

static int init_handles(struct tt_loop *loop, struct tt_err *err)
{
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "create event descriptor");
    }
    int r = uv_poll_init(&loop->uv, &loop->waker, loop->wake_fd);
    if (r != 0) {
        (void)close(loop->wake_fd); /* nothing was written */
        return TT_FAIL_UV(err, r, "poll the event descriptor");
    }
    r = uv_poll_start(&loop->waker, UV_READABLE, on_wake);
    TT_ASSERT(r == 0);
    (void)uv_prepare_init(&loop->uv, &loop->prepare); /* always 0 */
    (void)uv_check_init(&loop->uv, &loop->check);     /* always 0 */
    (void)uv_prepare_start(&loop->prepare, on_prepare);
    (void)uv_check_start(&loop->check, on_check);
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->check);
    loop->waker.data = loop;
    loop->prepare.data = loop;
    loop->check.data = loop;
    return TT_OK;
}

struct tt_loop *tt_loop_new(const struct tt_loop_config *config, struct tt_err *err)
{
    TT_ASSERT(config->name && strlen(config->name) < LOOP_NAME_SIZE);
    struct tt_loop *loop = TT_NEW(struct tt_loop);
    int r = uv_loop_init(&loop->uv);
    if (r != 0) {
        (void)TT_FAIL_UV(err, r, "create loop"); /* told by NULL */
        tt_free(loop);
        return NULL;
    }
    if (init_handles(loop, err) != TT_OK) {
        (void)uv_loop_close(&loop->uv); /* no handle was made */
        tt_free(loop);
        return NULL;
    }
    loop->config = *config;
    memcpy(loop->name, config->name, strlen(config->name) + 1);
    loop->config.name = loop->name;
    loop->turn_start_ms = uv_now(&loop->uv);
    loop->box = tt_mailbox_new(config->mailbox_max, wake, loop);
    return loop;
}

/* libuv ends without a last prepare: the last callbacks get their turn here, and what that starts
 * is run as well. */
static void run_until_idle(struct tt_loop *loop)
{
    do {
        uv_run(&loop->uv, UV_RUN_DEFAULT);
        turn(loop);
    } while (uv_loop_alive(&loop->uv));
}

/* Runs what was posted before the mailbox closed; that may open handles once more. */
static void finish(struct tt_loop *loop)
{
    uv_unref((uv_handle_t *)&loop->waker); /* still counts if the loop never ran */
    tt_mailbox_close(loop->box);
    tt_mailbox_drain(loop->box);
    run_until_idle(loop);
    uv_close((uv_handle_t *)&loop->waker, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int r = uv_loop_close(&loop->uv);
    TT_ASSERT(r == 0);          /* on_stop must have closed every handle */
    (void)close(loop->wake_fd); /* the mailbox is closed: nobody writes any more */
    loop->ran = true;
}

static void run(struct tt_loop *loop)
{
    atomic_store(&loop->running_on, (uintptr_t)pthread_self());
    uv_update_time(&loop->uv);
    loop->turn_start_ms = uv_now(&loop->uv);
    if (loop->config.on_start) {
        loop->config.on_start(loop->config.ctx);
    }
    run_until_idle(loop);
    TT_ASSERT(loop->stopping);
    finish(loop);
    atomic_store(&loop->running_on, 0);
}

static void *thread_main(void *arg)
{
    run(arg);
    return NULL;
}

int tt_loop_start(struct tt_loop *loop, struct tt_err *err)
{
    TT_ASSERT(!loop->started && !loop->ran);
    int r = pthread_create(&loop->thread, NULL, thread_main, loop);
    if (r != 0) {
        return TT_FAIL_ERRNO(err, r, "start thread %s", loop->name);
    }
    loop->started = true;
    (void)pthread_setname_np(loop->thread, loop->name); /* only a name */
    return TT_OK;
}

void tt_loop_run_here(struct tt_loop *loop)
{
    TT_ASSERT(!loop->started && !loop->ran);
    run(loop);
}

/* A message rather than a bare wake: after the mailbox has closed there is nothing to stop, and the
 * mailbox's lock tells so without a race against the end of the async handle. */
void tt_loop_stop(struct tt_loop *loop)
{
    if (!atomic_exchange(&loop->stop_asked, true)) {
        loop->stop_msg.run = run_stop;
        TT_IGNORE(tt_mailbox_post_answer(loop->box, &loop->stop_msg)); /* refused: it has ended */
    }
}

void tt_loop_join(struct tt_loop *loop)
{
    if (!loop->started || loop->joined) {
        return;
    }
    tt_loop_stop(loop);
    int r = pthread_join(loop->thread, NULL);
    TT_ASSERT(r == 0);
    loop->joined = true;
}

void tt_loop_free(struct tt_loop *loop)
{
    if (!loop) {
        return;
    }
    if (loop->started) {
        tt_loop_join(loop);
    } else if (!loop->ran) {
        atomic_store(&loop->running_on, (uintptr_t)pthread_self());
        finish(loop);
    }
    tt_mailbox_free(loop->box);
    tt_free(loop);
}

uv_loop_t *tt_loop_uv(struct tt_loop *loop)
{
    return &loop->uv;
}

struct tt_mailbox *tt_loop_mailbox(struct tt_loop *loop)
{
    return loop->box;
}

int tt_loop_post(struct tt_loop *loop, struct tt_msg *msg)
{
    return tt_mailbox_post(loop->box, msg);
}

bool tt_loop_is_current(const struct tt_loop *loop)
{
    return atomic_load(&loop->running_on) == (uintptr_t)pthread_self();
}

uint64_t tt_loop_now_ms(struct tt_loop *loop)
{
    return uv_now(&loop->uv);
}

void tt_loop_mark(struct tt_loop *loop, const char *operation)
{
    uint64_t now_ns = uv_hrtime();
    account(loop, now_ns);
    loop->operation = operation;
    loop->operation_ns = now_ns;
}
