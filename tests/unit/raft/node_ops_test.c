/* What clients ask of the node besides writes: linearizable reads and membership changes. */
#include "tests/unit/raft/node_cluster.h"

static void read_at(struct server *server, struct tt_read_op *op)
{
    memset(op, 0, sizeof *op);
    op->code = 1;
    tt_node_read(server->node, op);
    tt_node_turn(server->node);
}

static void change(struct server *server, struct tt_change_op *op, enum tt_change_kind kind,
                   uint64_t id)
{
    memset(op, 0, sizeof *op);
    op->code = 1;
    op->kind = kind;
    op->member.id = id;
    (void)snprintf(op->member.name, sizeof op->member.name, "s%d", (int)id);
    (void)snprintf(op->member.peer_address, sizeof op->member.peer_address, "127.0.0.1:%d",
                   (int)id);
    tt_node_change(server->node, op);
    tt_node_turn(server->node);
}

static void a_read_sees_what_was_confirmed_before_on_leader_and_follower(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *follower = &cluster->servers[leader->id % 3];
    struct tt_propose_op write;
    propose(leader, &write, "one");
    cluster_run(cluster, 5);
    assert_int_equal(write.code, 0);
    struct tt_read_op here, there;
    read_at(leader, &here);
    read_at(follower, &there);
    assert_int_equal(here.code, 1);
    cluster_run(cluster, 100);
    assert_int_equal(here.code, 0);
    assert_int_equal(there.code, 0);
    assert_int_equal(follower->published_count, 1);
    cluster_free(cluster);
}

static void reads_that_arrive_during_a_round_share_the_next(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct tt_node_stats before, after;
    tt_node_stats(leader->node, &before);
    static struct tt_read_op ops[50];
    for (size_t i = 0; i < 50; i++) {
        read_at(leader, &ops[i]);
    }
    cluster_run(cluster, 20);
    tt_node_stats(leader->node, &after);
    assert_int_equal(after.read_count - before.read_count, 50);
    assert_int_equal(after.read_round_count - before.read_round_count, 2);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(ops[i].code, 0);
    }
    cluster_free(cluster);
}

static void an_isolated_leader_serves_no_reads(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    leader->cut = true;
    struct tt_read_op op;
    read_at(leader, &op);
    cluster_run(cluster, 300);
    assert_int_equal(op.code, 1);
    cluster_run(cluster, 12000);
    assert_int_equal(op.code, TT_EUNAVAILABLE);
    cluster_free(cluster);
}

static void a_cluster_grows_from_one_to_two_and_back(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(2, 1);
    struct server *leader = cluster_elect(cluster);
    struct tt_change_op op;
    change(leader, &op, TT_CHANGE_ADD, 2);
    cluster_run(cluster, 100);
    assert_int_equal(op.code, 0);
    change(leader, &op, TT_CHANGE_PROMOTE, 2);
    cluster_run(cluster, 2000);
    assert_int_equal(op.code, 0);
    struct tt_cluster_status *status = tt_xcalloc(1, sizeof *status);
    tt_node_status(cluster->servers[1].node, status);
    assert_int_equal(status->member_count, 2);
    assert_int_equal(status->members[1].role, TT_ROLE_VOTER);
    struct tt_propose_op write;
    propose(&cluster->servers[1], &write, "two servers");
    cluster_run(cluster, 100);
    assert_int_equal(write.code, 0);
    change(leader, &op, TT_CHANGE_REMOVE, 2);
    cluster_run(cluster, 200);
    assert_int_equal(op.code, 0);
    tt_node_status(leader->node, status);
    assert_int_equal(status->member_count, 1);
    tt_free(status);
    cluster_free(cluster);
}

static void a_server_that_does_not_answer_is_not_promoted(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(1, 1);
    struct server *leader = cluster_elect(cluster);
    struct tt_change_op op;
    change(leader, &op, TT_CHANGE_ADD, 2);
    cluster_run(cluster, 100);
    assert_int_equal(op.code, 0);
    change(leader, &op, TT_CHANGE_PROMOTE, 2);
    cluster_run(cluster, 31000);
    assert_int_equal(op.code, TT_EUNAVAILABLE); /* and nothing was appended */
    cluster_free(cluster);
}

static void leadership_is_transferred_through_a_follower(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *follower = &cluster->servers[leader->id % 3];
    struct tt_change_op op;
    change(follower, &op, TT_CHANGE_TRANSFER, follower->id);
    cluster_run(cluster, 200);
    assert_int_equal(op.code, 0);
    assert_int_not_equal(follower->leading, 0);
    assert_int_equal(leader->leading, 0);
    cluster_free(cluster);
}

static void writes_queue_until_the_next_leader_has_stored_everything(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *next = &cluster->servers[leader->id % 3];
    struct tt_propose_op before, during;
    struct tt_change_op op;
    struct tt_node_view view;
    next->log_held = true;
    propose(leader, &before, "before");
    cluster_run(cluster, 5);
    change(leader, &op, TT_CHANGE_TRANSFER, next->id);
    tt_node_view(leader->node, &view);
    uint64_t last_index = view.last_index;
    propose(leader, &during, "during");
    cluster_run(cluster, 200);
    tt_node_view(leader->node, &view);
    assert_int_equal(op.code, 1);
    assert_int_not_equal(leader->leading, 0); /* it was not asked to take over yet */
    assert_int_equal(view.last_index, last_index);
    next->log_held = false;
    cluster_run(cluster, 200);
    assert_int_equal(op.code, 0);
    assert_int_not_equal(next->leading, 0);
    assert_int_equal(before.code, 0);
    assert_int_equal(during.code, 0);
    cluster_free(cluster);
}

static void a_transfer_to_one_that_stores_nothing_lets_writes_go_on(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *next = &cluster->servers[leader->id % 3];
    struct tt_propose_op before, during;
    struct tt_change_op op;
    next->log_held = true;
    propose(leader, &before, "before");
    cluster_run(cluster, 5);
    change(leader, &op, TT_CHANGE_TRANSFER, next->id);
    propose(leader, &during, "during");
    cluster_run(cluster, 1500);
    assert_int_equal(op.code, TT_EUNAVAILABLE);
    assert_int_not_equal(leader->leading, 0);
    assert_int_equal(during.code, 0);
    cluster_free(cluster);
}

static void a_leader_hands_over_before_it_is_removed(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct tt_change_op op;
    change(leader, &op, TT_CHANGE_REMOVE, leader->id);
    cluster_run(cluster, 300);
    assert_int_equal(op.code, TT_ENOTLEADER);
    assert_int_equal(leader->leading, 0);
    struct server *next = cluster_elect(cluster);
    change(next, &op, TT_CHANGE_REMOVE, leader->id);
    cluster_run(cluster, 300);
    assert_int_equal(op.code, 0);
    cluster_free(cluster);
}

static void a_sole_voter_neither_hands_over_nor_goes(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(1, 1);
    struct server *leader = cluster_elect(cluster);
    struct tt_change_op op;
    change(leader, &op, TT_CHANGE_TRANSFER, 0);
    cluster_run(cluster, 300);
    assert_int_equal(op.code, TT_ECONFLICT);
    change(leader, &op, TT_CHANGE_REMOVE, leader->id);
    cluster_run(cluster, 300);
    assert_int_equal(op.code, TT_ECONFLICT);
    assert_int_not_equal(leader->leading, 0);
    cluster_free(cluster);
}

static enum tt_server_state state_of(const struct server *server)
{
    struct tt_node_view view;
    tt_node_view(server->node, &view);
    return view.state;
}

static void a_removal_is_believed_unless_a_newer_configuration_says_otherwise(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *follower = &cluster->servers[leader == &cluster->servers[0]];
    struct tt_change_op op;
    tt_node_hear_removed(follower->node, 1); /* with it, as it knows */
    assert_int_equal(state_of(follower), TT_STATE_FOLLOWER);
    assert_int_equal(follower->removed_index, 0);
    change(leader, &op, TT_CHANGE_REMOVE, follower->id);
    cluster_run(cluster, 300);
    assert_int_equal(op.code, 0);
    assert_int_not_equal(state_of(follower), TT_STATE_REMOVED); /* nobody has told it */
    tt_node_hear_removed(follower->node, 7);
    tt_node_hear_removed(follower->node, 9);
    assert_int_equal(state_of(follower), TT_STATE_REMOVED);
    assert_int_equal(follower->removed_index, 7);
    struct tt_propose_op write;
    propose(follower, &write, "to nobody");
    cluster_run(cluster, 10);
    assert_int_equal(write.code, TT_EUNAVAILABLE);
    assert_int_equal(state_of(leader), TT_STATE_LEADER);
    cluster_free(cluster);
}

static void a_server_does_not_ask_for_its_own_removal(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *follower = &cluster->servers[leader == &cluster->servers[0]];
    struct tt_change_op op;
    change(follower, &op, TT_CHANGE_REMOVE, follower->id);
    cluster_run(cluster, 300);
    assert_int_equal(op.code, TT_ECONFLICT);
    change(leader, &op, TT_CHANGE_REMOVE, follower->id);
    cluster_run(cluster, 300);
    assert_int_equal(op.code, 0);
    cluster_free(cluster);
}

/* Rule 9: the core has room for one configuration that is not committed, a snapshot for none. */
static void no_snapshot_is_begun_during_a_change(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *followers[] = {&cluster->servers[leader->id % 3],
                                  &cluster->servers[(leader->id + 1) % 3]};
    struct tt_change_op removal;
    struct tt_change_op snapshot;
    struct tt_propose_op op;
    propose(leader, &op, "something");
    cluster_run(cluster, 100);
    followers[0]->cut = followers[1]->cut = true;
    change(leader, &removal, TT_CHANGE_REMOVE, followers[0]->id);
    cluster_run(cluster, 20); /* appended, and nobody to commit it with */
    change(leader, &snapshot, TT_CHANGE_SNAPSHOT, 0);
    cluster_run(cluster, 100);
    assert_int_equal(removal.code, 1);
    assert_int_equal(leader->snapshot_takes, 0);
    followers[0]->cut = followers[1]->cut = false;
    cluster_run(cluster, 200);
    assert_int_equal(removal.code, 0);
    assert_int_equal(leader->snapshot_takes, 1);
    cluster_free(cluster);
}

/* Has the leader take a snapshot; the entries that stay in its log up to there. */
static uint64_t kept_behind_a_snapshot(struct cluster *cluster, struct server *leader)
{
    struct tt_change_op op;
    change(leader, &op, TT_CHANGE_SNAPSHOT, 0);
    cluster_run(cluster, 100);
    assert_non_null(leader->snapshot_taking);
    leader->snapshot_taking->file_size = 1;
    tt_node_snapshot_taken(leader->node, leader->snapshot_taking, 0);
    tt_node_turn(leader->node);
    cluster_run(cluster, 10);
    assert_int_equal(op.code, 0);
    return leader->snapshot_taking->index - leader->log_kept_from + 1;
}

static void write_entries(struct cluster *cluster, struct server *leader, const char *text,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct tt_propose_op op;
        propose(leader, &op, text);
        cluster_run(cluster, 1);
        assert_int_equal(op.code, 0);
    }
}

static void what_stays_behind_a_snapshot_is_bounded_in_entries_and_bytes(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(1, 1);
    struct server *leader = cluster_elect(cluster);
    char large[4096 - 4 + 1]; /* with the size before it: 4096 */
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    cluster_run(cluster, 100);
    write_entries(cluster, leader, "s", 4200);
    assert_int_equal(kept_behind_a_snapshot(cluster, leader), 4096);
    write_entries(cluster, leader, large, 100);
    assert_int_equal(kept_behind_a_snapshot(cluster, leader), TRAILING_SIZE / 4096);
    cluster_free(cluster);
}

static void stopping_answers_everything_that_is_out(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    leader->cut = true;
    struct tt_propose_op write;
    struct tt_read_op read;
    struct tt_change_op op;
    propose(leader, &write, "x");
    read_at(leader, &read);
    change(leader, &op, TT_CHANGE_TRANSFER, 0);
    tt_node_stop(leader->node);
    assert_int_equal(write.code, TT_ETIMEOUT);
    assert_int_equal(read.code, TT_ECLOSED);
    assert_int_equal(op.code, TT_ECLOSED);
    cluster_free(cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_sees_what_was_confirmed_before_on_leader_and_follower),
        cmocka_unit_test(reads_that_arrive_during_a_round_share_the_next),
        cmocka_unit_test(an_isolated_leader_serves_no_reads),
        cmocka_unit_test(a_removal_is_believed_unless_a_newer_configuration_says_otherwise),
        cmocka_unit_test(a_cluster_grows_from_one_to_two_and_back),
        cmocka_unit_test(a_server_that_does_not_answer_is_not_promoted),
        cmocka_unit_test(leadership_is_transferred_through_a_follower),
        cmocka_unit_test(writes_queue_until_the_next_leader_has_stored_everything),
        cmocka_unit_test(a_transfer_to_one_that_stores_nothing_lets_writes_go_on),
        cmocka_unit_test(a_leader_hands_over_before_it_is_removed),
        cmocka_unit_test(a_sole_voter_neither_hands_over_nor_goes),
        cmocka_unit_test(a_server_does_not_ask_for_its_own_removal),
        cmocka_unit_test(no_snapshot_is_begun_during_a_change),
        cmocka_unit_test(what_stays_behind_a_snapshot_is_bounded_in_entries_and_bytes),
        cmocka_unit_test(stopping_answers_everything_that_is_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
