/* The direct proposer answers like the real one: later, through the mailbox. */
#include "tests/unit/server/store/store_support.h"

#include "server/store/direct.h"

struct fixture {
    struct tt_store *store;
    struct tt_direct *direct;
    struct tt_mailbox *box;
    unsigned done;
};

static void no_wake(void *ctx)
{
    (void)ctx;
}

static int setup(void **state)
{
    struct fixture *f = TT_NEW(struct fixture);
    f->store = tt_store_new();
    f->direct = tt_direct_new(f->store, NULL);
    f->box = tt_mailbox_new(16, no_wake, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tt_mailbox_close(f->box);
    (void)tt_mailbox_drain(f->box);
    tt_mailbox_free(f->box);
    tt_direct_free(f->direct);
    tt_store_free(f->store);
    tt_free(f);
    return 0;
}

static void propose_done(struct tt_propose_op *op)
{
    struct fixture *f = op->ctx;
    f->done++;
}

static void propose_put(struct fixture *f, struct tt_propose_op *op)
{
    struct tt_txn_op put = {TT_OP_PUT, TT_STR("a"), test_value(TT_STR("1"))};
    struct tt_txn txn = {.ops = &put, .op_count = 1};
    *op = (struct tt_propose_op){
        .command = test_encode(&txn), .reply = f->box, .done = propose_done, .ctx = f};
    struct tt_proposer *proposer = tt_direct_proposer(f->direct);
    assert_int_equal(proposer->propose(proposer, op), 0);
    assert_int_equal(f->done, 0);
    assert_int_equal(tt_mailbox_drain(f->box), 1);
    assert_int_equal(f->done, 1);
    f->done = 0;
}

static void proposal_is_published_when_done_runs(void **state)
{
    struct fixture *f = *state;
    struct tt_propose_op op;
    propose_put(f, &op);
    assert_int_equal(op.code, 0);
    assert_int_equal(op.revision_first, 1);
    assert_int_equal(op.failed_compare, -1);
    test_expect(f->store, TT_STR("a"), "1");
}

static void not_leading_answers_unavailable(void **state)
{
    struct fixture *f = *state;
    struct tt_propose_op op;
    tt_direct_lead(f->direct, false);
    propose_put(f, &op);
    assert_int_equal(op.code, TT_EUNAVAILABLE);
    test_expect(f->store, TT_STR("a"), NULL);
}

static void timeout_may_have_been_applied(void **state)
{
    struct fixture *f = *state;
    struct tt_propose_op op;
    tt_direct_fail_next(f->direct, 1, TT_ETIMEOUT);
    propose_put(f, &op);
    assert_int_equal(op.code, TT_ETIMEOUT);
    test_expect(f->store, TT_STR("a"), "1");
    propose_put(f, &op);
    assert_int_equal(op.code, 0);
}

struct hearer {
    struct tt_leadership_listener listener;
    uint64_t term;
    unsigned lost;
};
static void on_gained(struct tt_leadership_listener *listener, uint64_t term)
{
    TT_CONTAINER_OF(listener, struct hearer, listener)->term = term;
}
static void on_lost(struct tt_leadership_listener *listener)
{
    TT_CONTAINER_OF(listener, struct hearer, listener)->lost++;
}

static void leadership_is_told_with_its_term(void **state)
{
    struct fixture *f = *state;
    struct hearer hearer = {.listener = {.gained = on_gained, .lost = on_lost}};
    struct tt_cluster *cluster = tt_direct_cluster(f->direct);
    cluster->listen(cluster, &hearer.listener);
    assert_int_equal(hearer.term, 1);
    tt_direct_lead(f->direct, false);
    assert_int_equal(hearer.lost, 1);
    tt_direct_lead(f->direct, true);
    assert_int_equal(hearer.term, 2);
    struct tt_cluster_status status;
    cluster->status(cluster, &status);
    assert_int_equal(status.leader_id, 1);
    assert_int_equal(status.term, 2);
}

static void read_done(struct tt_read_op *op)
{
    struct fixture *f = op->ctx;
    f->done++;
}

static void read_index_answers_later(void **state)
{
    struct fixture *f = *state;
    struct tt_read_op op = {.reply = f->box, .done = read_done, .ctx = f};
    struct tt_cluster *cluster = tt_direct_cluster(f->direct);
    assert_int_equal(cluster->read_index(cluster, &op), 0);
    assert_int_equal(f->done, 0);
    (void)tt_mailbox_drain(f->box);
    assert_int_equal(f->done, 1);
    assert_int_equal(op.code, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(proposal_is_published_when_done_runs),
        T(not_leading_answers_unavailable),
        T(timeout_may_have_been_applied),
        T(leadership_is_told_with_its_term),
        T(read_index_answers_later),
    };
#undef T
    return cmocka_run_group_tests_name("server/store/direct", tests, NULL, NULL);
}
