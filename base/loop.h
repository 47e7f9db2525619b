/* A thread with a libuv loop, a mailbox and a stall watchdog. Every long-lived thread of tutti but
 * the log thread is one.
 *
 * Happy path: tt_loop_new → create handles on tt_loop_uv before or from the thread → tt_loop_start
 * → tt_loop_post … → tt_loop_stop (asks `on_stop`, which closes its handles) → the thread ends when
 * no handle is left → tt_loop_free joins. Ownership: the loop owns its thread and mailbox. Thread:
 * new/start/stop/post/free from outside; the rest on the loop. Errors: uv errors are converted; a
 * stalled callback (over 10 ms) is logged with the name given by tt_loop_mark. */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <uv.h>

#include "base/queue.h"

struct tt_loop;
struct tt_loop_config {
    const char *name;            /* thread name, at most 15 bytes; copied */
    size_t mailbox_max;          /* messages */
    void (*on_start)(void *ctx); /* on the loop's thread before it runs; may be NULL */
    void (*on_stop)(
        void *ctx); /* on the loop's thread: close every handle that keeps it alive; may be NULL */
    /* On the loop's thread after each batch of callbacks, before it blocks: the place for coalesced
     * writes; may be NULL. */
    void (*on_turn)(void *ctx);
    void *ctx; /* kept */
};
struct tt_loop *tt_loop_new(const struct tt_loop_config *config, struct tt_err *err) TT_MUST_USE;
int tt_loop_start(struct tt_loop *loop, struct tt_err *err) TT_MUST_USE;
void tt_loop_stop(struct tt_loop *loop); /* any thread, idempotent */
/* Stops and waits for the thread; the mailbox stays (closed) until free. Owner's thread only. */
void tt_loop_join(struct tt_loop *loop);
void tt_loop_free(struct tt_loop *loop);     /* stops and joins; NULL is fine */
void tt_loop_run_here(struct tt_loop *loop); /* instead of start: runs on the calling thread until
                                                stopped (main thread, tests) */
uv_loop_t *tt_loop_uv(struct tt_loop *loop);
struct tt_mailbox *tt_loop_mailbox(struct tt_loop *loop);
int tt_loop_post(struct tt_loop *loop, struct tt_msg *msg) TT_MUST_USE;
bool tt_loop_is_current(const struct tt_loop *loop); /* for assertions */
uint64_t tt_loop_now_ms(struct tt_loop *loop);       /* monotonic, cached per turn */
void tt_loop_mark(struct tt_loop *loop,
                  const char *operation); /* static string: what runs now, for the watchdog */

/* One timer as a value. Init/stop/close on the loop; `fire` runs on the loop. Must be closed before
 * its memory goes: the callback `closed` (may be NULL) says when. */
struct tt_timer {
    uv_timer_t uv;                          /* an open handle from init to the close callback */
    void (*fire)(struct tt_timer *timer);   /* on the loop; may start, stop or close it */
    void (*closed)(struct tt_timer *timer); /* set by close; on the loop, then the memory is free */
};
void tt_timer_init(struct tt_timer *timer, struct tt_loop *loop,
                   void (*fire)(struct tt_timer *timer));
void tt_timer_start(struct tt_timer *timer, uint64_t delay_ms,
                    uint64_t repeat_ms); /* restarts when running */
void tt_timer_stop(struct tt_timer *timer);
void tt_timer_close(struct tt_timer *timer, void (*closed)(struct tt_timer *timer));

/* uv error → tt error, reported at the call site. uv_code is negative. */
int tt_err_uv(struct tt_err *err, const char *file, int line, int uv_code, const char *what);
#define TT_FAIL_UV(err, uv_code, what) tt_err_uv((err), __FILE__, __LINE__, (uv_code), (what))

#endif
