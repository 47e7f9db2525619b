/* Group commit on a thread of its own.
 *
 * Happy path of a turn: drain the inbox into the pending list → stage requests until the batch is
 * full or the list empty → one write, one sync → completions as one chain → watermark when 50 ms
 * have passed → sleep until the next post. While the sync runs, requests queue up and form the next
 * batch: the batch size adapts to the disk without any timer. Segments are filled ahead and removed
 * behind on the pool: both wait for the disk longer than a write may.
 *
 *   inbox ─▶ pending ─▶ staged ─▶ (write, sync) ─▶ finished ─▶ reply mailbox
 *               └ READ ─▶ plan here, bytes on the pool ─▶ inbox ─▶ reply mailbox
 *
 * Failure modes: the first failed write or sync makes the log dead; staged and all later requests
 * are answered with the error and `fatal` is called once. A failed zero-fill is not fatal by itself
 * (the current segment may last until space is freed); the roll-over that then fails is.
 *
 * Measured on the development machine (ext4, 64 MiB zero-filled segment, synced writes per second,
 * three rounds): 1.5 KiB pwrite+fdatasync 6.3-8.7k, O_DSYNC 7.0-9.0k, RWF_DSYNC 6.1-8.6k; 64 KiB
 * 7.1-8.2k, 6.1-8.0k, 5.8-7.4k, O_DIRECT|O_DSYNC 7.7-8.5k. No difference beyond the noise, so the
 * plain pair stays: it needs no aligned memory and a crash model everybody knows. */
#include "raft/log_thread.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    THREAD_INBOX_MAX = 65536,       /* not reached: requests are posted as answers */
    THREAD_WATERMARK_MS = 50,       /* between two: at most 100 ms behind, with a sync in between */
    THREAD_PREPARE_RETRY_MS = 1000, /* after a failed zero-fill */
    /* Between two removals: blocks of a segment keep the device busy for some 8 ms, and five in a
     * second are more than a disk that syncs each batch can fill. */
    THREAD_REMOVE_MS = 200,
};

struct tt_wal_thread {
    struct tt_wal_thread_config config; /* copied; its log is ours, the rest kept */
    struct tt_mailbox *inbox;           /* owned */
    sem_t wake;                         /* posted by the inbox */
    pthread_t thread;                   /* joined by free */

    struct tt_msg *pending_first; /* requests not staged yet, oldest first */
    struct tt_msg *pending_last;  /* meaningless when pending_first is NULL */
    struct tt_msg *staged_first;  /* requests in the batch, answered after the sync */
    struct tt_msg *staged_last;   /* meaningless when staged_first is NULL */
    struct tt_msg end;            /* asks the thread to end */
    bool ending;                  /* `end` came: no new zero-fill */

    struct tt_work prepare_work;       /* zero-fill on the pool */
    struct tt_wal_prepare prepare_job; /* while prepare_out */
    struct tt_err prepare_err;         /* of a zero-fill that failed */
    int prepare_result;                /* of the last zero-fill: 0 or TT_E… */
    bool prepare_out;                  /* prepare_work is on the pool */
    uint64_t prepare_after_ms;         /* not before, after a failure */

    struct tt_work remove_work;       /* a segment that is superfluous, removed on the pool */
    struct tt_wal_removal remove_job; /* while remove_out */
    struct tt_err remove_err;         /* of a removal that failed */
    int remove_result;                /* of the last removal: 0 or TT_E… */
    bool remove_out;                  /* remove_work is on the pool */
    uint64_t remove_after_ms;         /* not before, after the one before */

    size_t reads_out;    /* READ requests on the pool */
    uint64_t marked_ms;  /* monotonic time of the last watermark */
    uint64_t sync_count; /* batches */
    uint64_t sync_ns;    /* of the newest */
    int failed;          /* 0, or the code all requests get; `fatal` was told */
};

/* A READ on its way through the pool. */
struct read_job {
    struct tt_work work;          /* on the pool: reads what the plan names */
    struct tt_wal_thread *thread; /* kept; counts us in reads_out */
    struct tt_wal_req *req;       /* the submitter's, answered when the bytes are there */
    struct tt_wal_plan plan;      /* its dir is ours */
};

static uint64_t now_ms(void)
{
    return tt_clock_ms(tt_clock_real());
}

static struct tt_wal_req *req_of(struct tt_msg *msg)
{
    return TT_CONTAINER_OF(msg, struct tt_wal_req, msg);
}

static void chain_push(struct tt_msg **first, struct tt_msg **last, struct tt_msg *msg)
{
    msg->next = NULL;
    if (*first) {
        (*last)->next = msg;
    } else {
        *first = msg;
    }
    *last = msg;
}

static struct tt_msg *chain_pop(struct tt_msg **first)
{
    struct tt_msg *msg = *first;
    if (msg) {
        *first = msg->next;
        msg->next = NULL;
    }
    return msg;
}

/* ---- completions, on the core thread ---- */

static void run_done(struct tt_msg *msg)
{
    struct tt_wal_req *req = req_of(msg);
    req->done(req);
}

static void prepare_answer(struct tt_wal_thread *self, struct tt_wal_req *req)
{
    req->bytes_since_snapshot = tt_wal_bytes_since_snapshot(self->config.log);
    req->sync_count = self->sync_count;
    req->sync_ns = self->sync_ns;
    req->msg.run = run_done;
}

static void answer(struct tt_wal_thread *self, struct tt_wal_req *req)
{
    prepare_answer(self, req);
    int r = tt_mailbox_post_answer(self->config.reply, &req->msg);
    (void)r; /* closed: the core thread is gone and its requests with it */
}

static void answer_staged(struct tt_wal_thread *self)
{
    struct tt_msg *first = self->staged_first;
    if (!first) {
        return;
    }
    for (struct tt_msg *msg = first; msg; msg = msg->next) {
        struct tt_wal_req *req = req_of(msg);
        if (self->failed != 0 && req->result == 0) {
            req->result = self->failed;
        }
        prepare_answer(self, req);
    }
    self->staged_first = NULL;
    int r = tt_mailbox_post_answers(self->config.reply, first, self->staged_last);
    (void)r; /* as above */
}

static void fail(struct tt_wal_thread *self, int code, const struct tt_err *err)
{
    TT_ASSERT(self->failed == 0 && code != 0);
    self->failed = code;
    self->config.fatal(self->config.ctx, err);
}

/* ---- segments ahead ---- */

static void prepare_run(struct tt_work *work)
{
    struct tt_wal_thread *self = TT_CONTAINER_OF(work, struct tt_wal_thread, prepare_work);
    tt_err_init(&self->prepare_err);
    self->prepare_result = tt_wal_prepare_run(&self->prepare_job, &self->prepare_err);
}

static void prepare_finish(struct tt_wal_thread *self)
{
    self->prepare_out = false;
    if (self->prepare_result != 0) {
        TT_LOG(TT_LOG_WARN, "raft", "cannot fill a log segment ahead",
               TT_F_ERR(&self->prepare_err));
        self->prepare_after_ms = now_ms() + THREAD_PREPARE_RETRY_MS;
    }
    tt_wal_prepare_done(self->config.log, &self->prepare_job, self->prepare_result);
}

static void prepare_done(struct tt_work *work)
{
    prepare_finish(TT_CONTAINER_OF(work, struct tt_wal_thread, prepare_work));
}

static void prepare_submit(struct tt_wal_thread *self)
{
    if (self->prepare_out || self->failed != 0 || self->ending ||
        now_ms() < self->prepare_after_ms ||
        !tt_wal_prepare_want(self->config.log, &self->prepare_job)) {
        return;
    }
    self->prepare_out = true;
    self->prepare_work =
        (struct tt_work){.work = prepare_run, .done = prepare_done, .reply = self->inbox};
    int r = tt_pool_submit(self->config.pool, &self->prepare_work);
    if (r != 0) {
        self->prepare_result = TT_FAIL(&self->prepare_err, r, "the pool is busy");
        prepare_finish(self);
    }
}

/* ---- segments behind ---- */

static void remove_run(struct tt_work *work)
{
    struct tt_wal_thread *self = TT_CONTAINER_OF(work, struct tt_wal_thread, remove_work);
    tt_err_init(&self->remove_err);
    self->remove_result = tt_wal_removal_run(&self->remove_job, &self->remove_err);
}

static void remove_done(struct tt_work *work)
{
    struct tt_wal_thread *self = TT_CONTAINER_OF(work, struct tt_wal_thread, remove_work);
    self->remove_out = false;
    if (self->remove_result != 0 && self->failed == 0) {
        fail(self, self->remove_result, &self->remove_err);
    }
}

static void remove_submit(struct tt_wal_thread *self)
{
    uint64_t now = tt_clock_ms(tt_clock_real());
    if (self->remove_out || self->ending || now < self->remove_after_ms ||
        !tt_wal_removal_want(self->config.log, &self->remove_job)) {
        return;
    }
    self->remove_out = true;
    self->remove_after_ms = now + THREAD_REMOVE_MS;
    self->remove_work =
        (struct tt_work){.work = remove_run, .done = remove_done, .reply = self->inbox};
    if (tt_pool_submit(self->config.pool, &self->remove_work) != 0) {
        remove_run(&self->remove_work); /* the pool is busy: here, then */
        remove_done(&self->remove_work);
    }
}

/* ---- reads ---- */

static void read_run(struct tt_work *work)
{
    struct read_job *job = TT_CONTAINER_OF(work, struct read_job, work);
    job->req->result = tt_wal_read(&job->plan, job->req->read_entries, job->req->err);
    job->req->read_count = job->req->result == 0 ? job->plan.count : 0;
}

static void read_done(struct tt_work *work)
{
    struct read_job *job = TT_CONTAINER_OF(work, struct read_job, work);
    job->thread->reads_out--;
    answer(job->thread, job->req);
    tt_wal_plan_fini(&job->plan);
    tt_free(job);
}

static void read_submit(struct tt_wal_thread *self, struct tt_wal_req *req)
{
    struct read_job *job = TT_NEW(struct read_job);
    req->read_count = 0;
    req->result =
        tt_wal_plan(self->config.log, req->first_index, req->size_max, &job->plan, req->err);
    if (req->result == 0) {
        job->thread = self;
        job->req = req;
        job->work = (struct tt_work){.work = read_run, .done = read_done, .reply = self->inbox};
        int r = tt_pool_submit(self->config.pool, &job->work);
        if (r == 0) {
            self->reads_out++; /* the request is the pool's now */
            return;
        }
        req->result = r;
        tt_wal_plan_fini(&job->plan);
    }
    tt_free(job);
    answer(self, req);
}

/* ---- the turn ---- */

static void wait_wake(struct tt_wal_thread *self, uint64_t timeout_ms)
{
    uint64_t ns = tt_clock_ns(tt_clock_real()) + timeout_ms * UINT64_C(1000000);
    const struct timespec until = {.tv_sec = (time_t)(ns / 1000000000u),
                                   .tv_nsec = (long)(ns % 1000000000u)};
    int r = timeout_ms == 0 ? sem_wait(&self->wake)
                            : sem_clockwait(&self->wake, CLOCK_MONOTONIC, &until);
    TT_ASSERT(r == 0 || errno == EINTR || errno == ETIMEDOUT);
}

/* The next batch needs a segment that the pool is still filling: nothing else can be done. */
static void wait_prepared(struct tt_wal_thread *self)
{
    while (tt_wal_prepare_needed(self->config.log)) {
        TT_ASSERT(self->prepare_out);
        wait_wake(self, 0);
        (void)tt_mailbox_drain(self->inbox); /* requests only line up in pending */
    }
}

static void flush(struct tt_wal_thread *self)
{
    if (self->failed != 0) {
        answer_staged(self);
        return;
    }
    struct tt_err err;
    tt_err_init(&err);
    wait_prepared(self);
    uint64_t begin = tt_clock_ns(tt_clock_real());
    int r = tt_wal_write(self->config.log, &err);
    if (r == 0) {
        r = tt_wal_sync(self->config.log, &err);
    }
    if (r != 0) {
        fail(self, r, &err);
    } else {
        self->sync_count++;
        self->sync_ns = tt_clock_ns(tt_clock_real()) - begin;
    }
    answer_staged(self);
}

static void mark(struct tt_wal_thread *self)
{
    uint64_t now = now_ms();
    if (self->failed != 0 || now - self->marked_ms < THREAD_WATERMARK_MS ||
        !tt_wal_watermark_due(self->config.log)) {
        return;
    }
    struct tt_err err;
    tt_err_init(&err);
    int r = tt_wal_mark(self->config.log, &err);
    if (r != 0) {
        fail(self, r, &err);
    } else {
        remove_submit(self);
    }
    self->marked_ms = now;
}

static void stop_log(struct tt_wal_thread *self, struct tt_wal_req *req)
{
    struct tt_err err;
    tt_err_init(&err);
    req->result = tt_wal_stop(self->config.log, &err);
    if (req->result != 0) {
        fail(self, req->result, &err);
    }
    answer(self, req);
}

/* Stages one request; flushes in between when the batch gets full. */
static void take(struct tt_wal_thread *self, struct tt_wal_req *req)
{
    req->result = 0;
    req->progress = 0;
    req->truncated = false;
    while (self->failed == 0 && !tt_wal_req_stage(self->config.log, req)) {
        flush(self);
    }
    if (self->failed != 0) {
        req->result = self->failed;
    }
    chain_push(&self->staged_first, &self->staged_last, &req->msg);
}

static void work_pending(struct tt_wal_thread *self)
{
    struct tt_msg *msg = NULL;
    while ((msg = chain_pop(&self->pending_first)) != NULL) {
        struct tt_wal_req *req = req_of(msg);
        if (req->op == TT_WAL_OP_READ || req->op == TT_WAL_OP_STOP) {
            if (req->op == TT_WAL_OP_STOP && self->staged_first) {
                flush(self);
            }
            if (self->failed != 0) {
                req->result = self->failed;
                answer(self, req);
            } else if (req->op == TT_WAL_OP_READ) {
                read_submit(self, req);
            } else {
                stop_log(self, req);
            }
        } else {
            take(self, req);
        }
    }
    if (self->staged_first) {
        flush(self);
    }
}

static void *thread_main(void *arg)
{
    struct tt_wal_thread *self = arg;
    for (;;) {
        (void)tt_mailbox_drain(self->inbox);
        prepare_submit(self);
        work_pending(self);
        mark(self);
        bool is_out = self->prepare_out || self->remove_out || self->reads_out > 0;
        if (self->ending && !is_out && !self->pending_first) {
            return NULL;
        }
        if (!self->pending_first) {
            bool due = self->failed == 0 && tt_wal_watermark_due(self->config.log);
            wait_wake(self, due ? THREAD_WATERMARK_MS : 0);
        }
    }
}

/* ---- the outside ---- */

static void run_end(struct tt_msg *msg)
{
    TT_CONTAINER_OF(msg, struct tt_wal_thread, end)->ending = true;
}

static void inbox_wake(void *ctx)
{
    struct tt_wal_thread *self = ctx;
    (void)sem_post(&self->wake); /* fails only at SEM_VALUE_MAX, when it is awake anyway */
}

/* On the log thread: requests only line up here, so draining is safe at any time. */
static void run_request(struct tt_msg *msg)
{
    struct tt_wal_req *req = req_of(msg);
    struct tt_wal_thread *self = req->queue;
    chain_push(&self->pending_first, &self->pending_last, msg);
}

static void thread_submit(void *ctx, struct tt_wal_req *req)
{
    struct tt_wal_thread *self = ctx;
    req->queue = self;
    req->msg.run = run_request;
    int r = tt_mailbox_post_answer(self->inbox, &req->msg);
    TT_ASSERT(r == 0); /* nothing may be submitted after free began */
}

struct tt_wal_queue tt_wal_thread_queue(struct tt_wal_thread *self)
{
    return (struct tt_wal_queue){.submit = thread_submit, .ctx = self};
}

int tt_wal_thread_start(const struct tt_wal_thread_config *config, struct tt_wal_thread **ret,
                        struct tt_err *err)
{
    TT_ASSERT(config->log && config->reply && config->pool && config->fatal);
    struct tt_wal_thread *self = TT_NEW(struct tt_wal_thread);
    self->config = *config;
    self->end.run = run_end;
    int r = sem_init(&self->wake, 0, 0);
    TT_ASSERT(r == 0);
    self->inbox = tt_mailbox_new(THREAD_INBOX_MAX, inbox_wake, self);
    r = pthread_create(&self->thread, NULL, thread_main, self);
    if (r != 0) {
        tt_mailbox_close(self->inbox);
        tt_mailbox_free(self->inbox);
        (void)sem_destroy(&self->wake); /* nobody waits */
        tt_wal_free(self->config.log);
        tt_free(self);
        return TT_FAIL_ERRNO(err, r, "start the log thread");
    }
    (void)pthread_setname_np(self->thread, "tt-log"); /* for people only */
    *ret = self;
    return TT_OK;
}

void tt_wal_thread_free(struct tt_wal_thread *self)
{
    if (!self) {
        return;
    }
    int r = tt_mailbox_post_answer(self->inbox, &self->end);
    TT_ASSERT(r == 0);
    r = pthread_join(self->thread, NULL);
    TT_ASSERT(r == 0);
    tt_mailbox_close(self->inbox);
    (void)tt_mailbox_drain(self->inbox);
    tt_mailbox_free(self->inbox);
    (void)sem_destroy(&self->wake); /* nobody waits */
    tt_wal_free(self->config.log);
    tt_free(self);
}
