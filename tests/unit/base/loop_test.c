/* Behaviour of base/loop: messages, turns, timers, stopping, the stall watchdog. */
#include "base/loop.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"

enum { POSTS = 20000 };

struct fixture {
    struct tt_loop *loop;
    struct tt_timer timer;
    size_t ran;      /* messages run; loop's thread, read after join */
    size_t turns;    /* on_turn calls */
    size_t unturned; /* messages run since the last on_turn */
    bool on_thread;  /* tt_loop_is_current inside a message */
    unsigned fired;  /* timer */
};

struct note {
    struct tt_msg msg;
    struct fixture *f;
};

static void on_turn(void *ctx)
{
    struct fixture *f = ctx;
    f->turns++;
    f->unturned = 0;
}

static void run_note(struct tt_msg *msg)
{
    struct note *note = TT_CONTAINER_OF(msg, struct note, msg);
    note->f->ran++;
    note->f->unturned++;
    note->f->on_thread = tt_loop_is_current(note->f->loop);
    tt_free(note);
}

static struct note *note_new(struct fixture *f, void (*run)(struct tt_msg *))
{
    struct note *note = TT_NEW(struct note);
    note->f = f;
    note->msg.run = run;
    return note;
}

static int set_up(void **state)
{
    struct fixture *f = TT_NEW(struct fixture);
    struct tt_loop_config config = {
        .name = "test", .mailbox_max = POSTS, .on_turn = on_turn, .ctx = f};
    f->loop = tt_loop_new(&config, NULL);
    *state = f;
    return f->loop ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    tt_loop_free(f->loop);
    tt_free(f);
    return 0;
}

static void posted_messages_run_on_the_loops_thread_before_it_ends(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tt_loop_start(f->loop, NULL), TT_OK);
    assert_false(tt_loop_is_current(f->loop));
    for (size_t i = 0; i < POSTS; i++) {
        assert_int_equal(tt_loop_post(f->loop, &note_new(f, run_note)->msg), TT_OK);
    }
    tt_loop_free(f->loop);
    f->loop = NULL;
    assert_int_equal(f->ran, POSTS);
    assert_int_equal(f->unturned, 0);
    assert_true(f->turns > 0);
}

static void a_message_sees_itself_on_the_loops_thread(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tt_loop_post(f->loop, &note_new(f, run_note)->msg), TT_OK);
    tt_loop_stop(f->loop);
    tt_loop_run_here(f->loop);
    assert_true(f->on_thread);
}

static void a_loop_that_never_ran_can_be_freed_with_messages_waiting(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(tt_loop_post(f->loop, &note_new(f, run_note)->msg), TT_OK);
    tt_loop_free(f->loop);
    f->loop = NULL;
    assert_int_equal(f->ran, 1);
}

static void posting_to_an_ended_loop_is_refused(void **state)
{
    struct fixture *f = *state;
    tt_loop_stop(f->loop);
    tt_loop_run_here(f->loop);
    struct note *note = note_new(f, run_note);
    assert_int_equal(tt_loop_post(f->loop, &note->msg), TT_ECLOSED);
    tt_free(note);
}

static void stop_on_third(struct tt_timer *timer)
{
    struct fixture *f = TT_CONTAINER_OF(timer, struct fixture, timer);
    if (++f->fired == 3) {
        tt_timer_close(timer, NULL);
        tt_loop_stop(f->loop);
    }
}

static void a_timer_repeats_until_closed(void **state)
{
    struct fixture *f = *state;
    tt_timer_init(&f->timer, f->loop, stop_on_third);
    tt_timer_start(&f->timer, 1, 1);
    tt_loop_run_here(f->loop);
    assert_int_equal(f->fired, 3);
}

/* A loop that stalls until its log names what stalled it. */
struct stall {
    struct tt_msg msg;
    struct fixture *f;
    int log_end;     /* read end of a pipe that the log goes to; does not block */
    char text[8192]; /* what it said so far */
    size_t size;     /* of the text */
    uint64_t end_ns; /* gives up then */
};

static void read_log(struct stall *stall)
{
    ssize_t r =
        read(stall->log_end, stall->text + stall->size, sizeof stall->text - 1 - stall->size);
    stall->size += r > 0 ? (size_t)r : 0;
}

/* The scheduler may stall a turn as well, and of two reports within a second one is left out. */
static void stall_until_logged(struct tt_msg *msg)
{
    struct stall *stall = TT_CONTAINER_OF(msg, struct stall, msg);
    read_log(stall);
    if (strstr(stall->text, "test.stall") != NULL || uv_hrtime() > stall->end_ns) {
        tt_loop_stop(stall->f->loop);
        return;
    }
    tt_loop_mark(stall->f->loop, "test.stall");
    uint64_t until_ns = uv_hrtime() + 30 * UINT64_C(1000000);
    while (uv_hrtime() < until_ns) {
        /* burns the loop's time: what the watchdog is for */
    }
    assert_int_equal(tt_loop_post(stall->f->loop, msg), TT_OK);
}

static void a_stalled_turn_is_logged_with_its_operation(void **state)
{
    struct fixture *f = *state;
    struct stall stall = {.msg = {.run = stall_until_logged}, .f = f};
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    stall.log_end = ends[0];
    stall.end_ns = uv_hrtime() + 20000 * UINT64_C(1000000);
    tt_log_setup(ends[1], TT_LOG_WARN, NULL);
    assert_int_equal(tt_loop_post(f->loop, &stall.msg), TT_OK);
    tt_loop_run_here(f->loop);
    tt_log_setup(STDERR_FILENO, TT_LOG_INFO, NULL);
    close(ends[1]);
    close(ends[0]);
    const char *line = strstr(stall.text, "\"op\":\"test.stall\"");
    assert_non_null(line);
    while (line > stall.text && line[-1] != '\n') {
        line--;
    }
    assert_non_null(strstr(line, "\"msg\":\"loop stalled\""));
}

static void uv_errors_become_codes_with_their_text(void **state)
{
    (void)state; /* needs no loop */
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(TT_FAIL_UV(&err, UV_EOF, "read"), TT_ECLOSED);
    assert_string_equal(tt_err_cause(&err), "read: end of file");
    assert_int_equal(TT_FAIL_UV(&err, UV_ECONNREFUSED, "connect"), TT_EUNAVAILABLE);
    assert_int_equal(TT_FAIL_UV(&err, UV_EAI_NONAME, "resolve"), TT_ENOTFOUND);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(posted_messages_run_on_the_loops_thread_before_it_ends),
        LOOP_TEST(a_message_sees_itself_on_the_loops_thread),
        LOOP_TEST(a_loop_that_never_ran_can_be_freed_with_messages_waiting),
        LOOP_TEST(posting_to_an_ended_loop_is_refused),
        LOOP_TEST(a_timer_repeats_until_closed),
        LOOP_TEST(a_stalled_turn_is_logged_with_its_operation),
        cmocka_unit_test(uv_errors_become_codes_with_their_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
