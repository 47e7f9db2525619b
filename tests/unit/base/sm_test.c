/* Behaviour of base/sm: legal moves, and that illegal ones abort. */
#include "base/sm.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { IDLE, BUSY, DONE };

struct op {
    struct tt_sm sm;
    bool has_request; /* must agree with the state */
};

static bool op_invariant(const struct tt_sm *sm, uint32_t state)
{
    const struct op *op = (const struct op *)(const void *)sm;
    return op->has_request == (state == BUSY);
}

static const struct tt_sm_state op_states[] = {
    [IDLE] = {"idle", TT_SM_BIT(BUSY), true},
    [BUSY] = {"busy", TT_SM_BIT(IDLE) | TT_SM_BIT(DONE), false},
    [DONE] = {"done", 0, true},
};
static const struct tt_sm_def op_def = {"op", op_states, 3, op_invariant};

static void op_start(struct op *op)
{
    op->has_request = false;
    tt_sm_init(&op->sm, &op_def, IDLE);
}

/* True when fn aborts, in a child so that this process lives on. */
static bool aborts(void (*fn)(void))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        close(STDERR_FILENO);
        fn();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void legal_moves_pass(void **state)
{
    (void)state; /* no fixture */
    struct op op;
    op_start(&op);
    op.has_request = true;
    tt_sm_move(&op.sm, BUSY);
    assert_string_equal(tt_sm_name(&op.sm), "busy");
    op.has_request = false;
    tt_sm_move(&op.sm, DONE);
    assert_int_equal(tt_sm_state(&op.sm), DONE);
    tt_sm_fini(&op.sm);
}

static void skip_a_state(void)
{
    struct op op;
    op_start(&op);
    tt_sm_move(&op.sm, DONE);
}

static void break_the_invariant(void)
{
    struct op op;
    op_start(&op);
    tt_sm_move(&op.sm, BUSY); /* without a request */
}

static void end_while_busy(void)
{
    struct op op;
    op_start(&op);
    op.has_request = true;
    tt_sm_move(&op.sm, BUSY);
    tt_sm_fini(&op.sm);
}

static void illegal_moves_broken_invariants_and_early_ends_abort(void **state)
{
    (void)state; /* no fixture */
    assert_true(aborts(skip_a_state));
    assert_true(aborts(break_the_invariant));
    assert_true(aborts(end_while_busy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legal_moves_pass),
        cmocka_unit_test(illegal_moves_broken_invariants_and_early_ends_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
