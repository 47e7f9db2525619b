/* The node: elections, commits, forwarding, batching, restarts. */
#include "tests/unit/raft/node_cluster.h"

static void three_servers_elect_one_leader_and_commit(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct tt_propose_op op;
    propose(leader, &op, "one");
    assert_int_equal(op.code, 1); /* never from within the submitting call */
    cluster_run(cluster, 100);
    assert_int_equal(op.code, 0);
    assert_int_equal(op.revision_first, 1);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(cluster->servers[i].published_count, 1);
        assert_string_equal(cluster->servers[i].applied[0], "one");
    }
    cluster_free(cluster);
}

static void a_follower_forwards_and_answers_after_it_has_applied(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *follower = &cluster->servers[leader->id % 3];
    struct tt_propose_op op;
    propose(follower, &op, "via follower");
    for (int i = 0; i < 200 && op.code == 1; i++) {
        cluster_run(cluster, 1);
    }
    assert_int_equal(op.code, 0);
    assert_ptr_equal(op.ctx, follower);
    assert_int_equal(follower->published_count, 1);
    cluster_free(cluster);
}

/* Queued, without a turn: the caller keeps a reference on the command. */
static struct tt_bytes *queue(struct server *server, struct tt_propose_op *op, const char *text)
{
    struct tt_bytes *command = tt_bytes_new(text, strlen(text));
    memset(op, 0, sizeof *op);
    op->code = 1;
    op->command = tt_bytes_ref(command);
    tt_node_propose(server->node, op);
    return command;
}

static void what_a_follower_forwards_in_one_turn_shares_frames(void **state)
{
    (void)state;
    enum { COUNT = PEER_COMMANDS_MAX + 45 };
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *follower = &cluster->servers[leader->id % 3];
    static struct tt_propose_op ops[COUNT];
    cluster_run(cluster, 100);
    assert_true(tt_list_empty(&cluster->frames));
    for (size_t i = 0; i < COUNT; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "c%zu", i);
        tt_bytes_unref(queue(follower, &ops[i], text));
    }
    tt_node_turn(follower->node);
    assert_int_equal(cluster_frames(cluster), 2);
    cluster_run(cluster, 100);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(ops[i].code, 0);
        assert_int_equal(ops[i].revision_first, i + 1); /* in order of arrival */
    }
    assert_string_equal(follower->applied[COUNT - 1], "c299");
    cluster_free(cluster);
}

static void large_commands_are_forwarded_in_frames_of_about_a_mebibyte(void **state)
{
    (void)state;
    enum { COUNT = 5, SIZE = 400 << 10 };
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *follower = &cluster->servers[leader->id % 3];
    struct tt_propose_op ops[COUNT];
    char *text = tt_xmalloc(SIZE + 1);
    memset(text, 'x', SIZE);
    text[SIZE] = '\0';
    cluster_run(cluster, 100);
    for (size_t i = 0; i < COUNT; i++) {
        tt_bytes_unref(queue(follower, &ops[i], text));
    }
    tt_node_turn(follower->node);
    assert_int_equal(cluster_frames(cluster), 3);
    cluster_run(cluster, 100);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(ops[i].code, 0);
        assert_string_equal(leader->applied[i], text);
    }
    tt_free(text);
    cluster_free(cluster);
}

static void a_stamp_goes_into_the_entry_and_not_into_the_command(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *follower = &cluster->servers[leader->id % 3];
    struct tt_propose_op at_leader, at_follower;
    struct tt_bytes *local = queue(leader, &at_leader, "@local");
    tt_node_turn(leader->node);
    cluster_run(cluster, 10);
    struct tt_bytes *forwarded = queue(follower, &at_follower, "@forwarded");
    tt_node_turn(follower->node);
    cluster_run(cluster, 100);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(cluster->servers[i].applied[0], "Tlocal");
        assert_string_equal(cluster->servers[i].applied[1], "Tforwarded");
    }
    assert_true(tt_str_eq(tt_bytes_view(local), TT_STR("@local")));
    assert_true(tt_str_eq(tt_bytes_view(forwarded), TT_STR("@forwarded")));
    tt_bytes_unref(local);
    tt_bytes_unref(forwarded);
    cluster_free(cluster);
}

static void a_command_without_a_place_for_a_stamp_is_left_out_of_its_entry(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct tt_propose_op ops[5];
    static const char *const texts[5] = {"!first", "one", "!middle", "two", "!last"};
    for (size_t i = 0; i < 5; i++) {
        tt_bytes_unref(queue(leader, &ops[i], texts[i]));
    }
    tt_node_turn(leader->node);
    cluster_run(cluster, 100);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(ops[i].code, texts[i][0] == '!' ? TT_ECORRUPT : 0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(cluster->servers[i].applied_count, 2);
        assert_string_equal(cluster->servers[i].applied[0], "one");
        assert_string_equal(cluster->servers[i].applied[1], "two");
    }
    cluster_free(cluster);
}

static void commands_that_queue_behind_two_entries_share_the_next(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct tt_node_stats before, after;
    tt_node_stats(leader->node, &before);
    static struct tt_propose_op ops[100];
    for (size_t i = 0; i < 100; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "c%zu", i);
        propose(leader, &ops[i], text);
    }
    cluster_run(cluster, 100);
    tt_node_stats(leader->node, &after);
    assert_int_equal(after.command_count - before.command_count, 100);
    assert_in_range(after.entry_count - before.entry_count, 2, 4);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(ops[i].code, 0);
        assert_int_equal(ops[i].revision_first, i + 1); /* in order of arrival */
    }
    cluster_free(cluster);
}

static void the_others_go_on_when_the_leader_dies_and_it_catches_up_later(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *old = cluster_elect(cluster);
    struct tt_propose_op op;
    propose(old, &op, "one");
    cluster_run(cluster, 100);
    server_crash(old);
    struct server *leader = cluster_elect(cluster);
    assert_ptr_not_equal(leader, old);
    propose(leader, &op, "two");
    cluster_run(cluster, 100);
    assert_int_equal(op.code, 0);
    server_start(old);
    cluster_run(cluster, 2000);
    assert_int_equal(old->published_count, 2);
    assert_string_equal(old->applied[1], "two");
    assert_int_equal(old->fault, 0);
    cluster_free(cluster);
}

static void everybody_misses(struct cluster *cluster, uint64_t id)
{
    for (size_t i = 0; i < cluster->count; i++) {
        struct server *server = &cluster->servers[i];
        if (server->node != NULL && server->id != id) {
            tt_node_peer_absent(server->node, id);
            tt_node_turn(server->node);
        }
    }
}

/* The election timeout is half a second at least; each of three may be the one that is killed. */
static void a_leader_whose_process_is_gone_is_replaced_without_the_election_timeout(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    for (int round = 0; round < 10; round++) {
        struct server *old = cluster_elect(cluster);
        cluster_run(cluster, 100);
        server_crash(old);
        everybody_misses(cluster, old->id);
        cluster_run(cluster, 210);
        assert_non_null(cluster_leader(cluster));
        assert_ptr_not_equal(cluster_leader(cluster), old);
        server_start(old);
        cluster_run(cluster, 1000);
    }
    cluster_free(cluster);
}

/* Rule 11: 500 ms twice at most (a follower refuses pre-votes until its own timer fires), and what
 * the votes take. */
static void a_silent_leader_is_replaced_after_its_timeouts(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    for (int round = 0; round < 10; round++) {
        struct server *old = cluster_elect(cluster);
        cluster_run(cluster, 100);
        server_crash(old);
        cluster_run(cluster, 300);
        assert_null(cluster_leader(cluster));
        cluster_run(cluster, 1200);
        assert_non_null(cluster_leader(cluster));
        server_start(old);
        cluster_run(cluster, 1000);
    }
    cluster_free(cluster);
}

/* Rule 10: without pre-votes its term would have grown, and the leader would have to go. */
static void a_server_that_was_cut_off_deposes_nobody(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *other = &cluster->servers[leader->id % 3];
    uint64_t term = leader->leading;
    other->cut = true;
    cluster_run(cluster, 5000);
    other->cut = false;
    cluster_run(cluster, 3000);
    assert_int_equal(leader->leading, term);
    struct tt_propose_op op;
    propose(other, &op, "back");
    cluster_run(cluster, 200);
    assert_int_equal(op.code, 0);
    assert_int_equal(leader->leading, term);
    cluster_free(cluster);
}

static void servers_that_start_together_do_not_wait_for_the_election_timeout(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    cluster_run(cluster, 350); /* the timeout is 500 ms at least */
    struct server *leader = cluster_leader(cluster);
    assert_non_null(leader);
    uint64_t term = leader->leading;
    for (size_t i = 0; i < 3; i++) { /* one that starts beside a leader changes nothing */
        struct server *server = &cluster->servers[i];
        if (server != leader) {
            server_crash(server);
            server_start(server);
            cluster_run(cluster, 600);
        }
    }
    assert_int_equal(leader->leading, term);
    cluster_free(cluster);
}

static void a_leader_that_is_taken_for_gone_by_mistake_goes_on(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    const struct server *leader = cluster_elect(cluster);
    uint64_t term = leader->leading;
    for (int round = 0; round < 20; round++) {
        everybody_misses(cluster, leader->id);
        cluster_run(cluster, 70);
    }
    assert_int_equal(leader->leading, term);
    cluster_free(cluster);
}

static void an_isolated_leader_does_not_know_the_outcome(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    leader->cut = true;
    struct tt_propose_op op;
    propose(leader, &op, "lost");
    cluster_run(cluster, 9900);
    assert_int_equal(op.code, 1);
    cluster_run(cluster, 200);
    assert_int_equal(op.code, TT_ETIMEOUT); /* its deadline */
    assert_int_equal(leader->leading, 0);
    leader->cut = false;
    cluster_run(cluster, 3000);
    assert_int_equal(leader->published_count, 0); /* it was replaced */
    cluster_free(cluster);
}

static void everybody_has_applied_once(struct cluster *cluster, const char *text)
{
    for (size_t i = 0; i < cluster->count; i++) {
        const struct server *server = &cluster->servers[i];
        assert_true(server->node == NULL || server->applied_count == 1);
        assert_true(server->node == NULL || strcmp(server->applied[0], text) == 0);
    }
}

static void what_an_isolated_leader_had_appended_goes_to_the_next_one(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *old = cluster_elect(cluster);
    old->cut = true;
    struct tt_propose_op op;
    propose(old, &op, "local");
    (void)cluster_elect(cluster);
    assert_int_equal(op.code, 1);
    old->cut = false;
    cluster_run(cluster, 200);
    assert_int_equal(op.code, 0);
    everybody_has_applied_once(cluster, "local");
    cluster_free(cluster);
}

/* The time in which a leader that is gone is replaced. */
static void replace(struct cluster *cluster, struct server *leader)
{
    server_crash(leader);
    everybody_misses(cluster, leader->id);
    cluster_run(cluster, 210);
}

/* One of the two followers will lead, the other one forwards again. */
static void what_never_reached_a_leader_that_died_is_written_by_the_next_one(void **state)
{
    (void)state;
    for (uint64_t which = 0; which < 2; which++) {
        struct cluster *cluster = cluster_new(3, 3);
        struct server *leader = cluster_elect(cluster);
        cluster_run(cluster, 100);
        struct tt_propose_op op;
        propose(&cluster->servers[(leader->id + which) % 3], &op, "x");
        replace(cluster, leader);
        assert_int_equal(op.code, 0);
        everybody_has_applied_once(cluster, "x");
        cluster_run(cluster, 11000); /* nothing follows later */
        everybody_has_applied_once(cluster, "x");
        cluster_free(cluster);
    }
}

/* Both followers hold the entry, and neither has said so. */
static void what_a_leader_that_died_had_sent_to_the_others_is_written_once(void **state)
{
    (void)state;
    for (uint64_t which = 0; which < 2; which++) {
        struct cluster *cluster = cluster_new(3, 3);
        struct server *leader = cluster_elect(cluster);
        cluster_run(cluster, 100);
        struct server *follower = &cluster->servers[(leader->id + which) % 3];
        struct server *other = &cluster->servers[(leader->id + 1 - which) % 3];
        struct tt_propose_op op;
        follower->log_held = other->log_held = true;
        propose(follower, &op, "sent");
        cluster_run(cluster, 5);
        follower->log_held = other->log_held = false;
        replace(cluster, leader);
        assert_int_equal(op.code, 0);
        assert_int_equal(op.revision_first, 1);
        cluster_run(cluster, 11000);
        everybody_has_applied_once(cluster, "sent");
        cluster_free(cluster);
    }
}

static void deliver_frame(struct server *to, uint64_t from, Tt__Peer__Message *message,
                          const char *attachment)
{
    struct tt_bytes *parts[] = {peer_encode(peer_cluster_hash("test"), message),
                                tt_bytes_new(attachment, strlen(attachment))};
    struct tt_bytes *frame = tt_bytes_join(parts, 2);
    tt_bytes_unref(parts[0]);
    tt_bytes_unref(parts[1]);
    tt_node_receive(to->node, from, frame);
    tt_bytes_unref(frame);
}

static void deliver_forward(struct server *to, uint64_t from, uint64_t term, const char *text)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__Forward forward = TT__PEER__FORWARD__INIT;
    uint32_t timeout_ms = 1000;
    uint32_t size = (uint32_t)strlen(text);
    forward.first_request = 1;
    forward.term = term;
    forward.n_timeout_ms = forward.n_size = 1;
    forward.timeout_ms = &timeout_ms;
    forward.size = &size;
    message.body_case = TT__PEER__MESSAGE__BODY_FORWARD;
    message.forward = &forward;
    deliver_frame(to, from, &message, text);
    tt_node_turn(to->node);
}

static void a_leader_appends_only_what_was_meant_for_its_term(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    uint64_t from = cluster->servers[leader->id % 3].id;
    deliver_forward(leader, from, leader->leading - 1, "late");
    deliver_forward(leader, from, leader->leading + 1, "early");
    cluster_run(cluster, 100);
    assert_int_equal(leader->applied_count, 0);
    deliver_forward(leader, from, leader->leading, "right");
    cluster_run(cluster, 100);
    everybody_has_applied_once(cluster, "right");
    cluster_free(cluster);
}

static void a_follower_that_lags_behind_memory_is_fed_from_the_log(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    struct server *lagging = &cluster->servers[leader->id % 3];
    server_crash(lagging);
    struct tt_propose_op op;
    for (int i = 0; i < 300; i++) {
        propose(leader, &op, "x");
        cluster_run(cluster, 3);
    }
    /* Restarted servers have nothing in memory. */
    server_crash(leader);
    server_start(leader);
    server_start(lagging);
    cluster_run(cluster, 5000);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(cluster->servers[i].published_count, 300);
        assert_int_equal(cluster->servers[i].fault, 0);
    }
    cluster_free(cluster);
}

static void a_frame_of_another_cluster_is_dropped(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    (void)cluster_elect(cluster);
    struct tt_node_stats before, after;
    tt_node_stats(cluster->servers[0].node, &before);
    struct tt_bytes *garbage = tt_bytes_new("\x08\0\0\0\x09garbage", 12);
    struct tt_bytes *empty = tt_bytes_new("", 0);
    tt_node_receive(cluster->servers[0].node, 2, garbage);
    tt_node_receive(cluster->servers[0].node, 2, empty);
    tt_bytes_unref(garbage);
    tt_bytes_unref(empty);
    tt_node_stats(cluster->servers[0].node, &after);
    assert_int_equal(after.frame_dropped_count - before.frame_dropped_count, 2);
    cluster_free(cluster);
}

static void nothing_leaves_before_the_vote_is_durable(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    for (size_t i = 0; i < 3; i++) {
        cluster->servers[i].log_held = true;
    }
    cluster_run(cluster, 5000);
    assert_null(cluster_leader(cluster));
    struct tt_node_view view;
    for (size_t i = 0; i < 3; i++) {
        tt_node_view(cluster->servers[i].node, &view);
        assert_int_not_equal(view.state, TT_STATE_LEADER);
        cluster->servers[i].log_held = false;
    }
    assert_non_null(cluster_elect(cluster));
    cluster_free(cluster);
}

/* Rule 7: a server whose log is empty behind a snapshot must begin there, or it never stands for
 * election. */
static void an_empty_log_goes_on_behind_its_snapshot(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct tt_propose_op op;
    propose(cluster_elect(cluster), &op, "before");
    cluster_run(cluster, 1000);
    assert_int_equal(op.code, 0);
    for (size_t i = 0; i < 3; i++) {
        server_crash(&cluster->servers[i]);
        server_compact(&cluster->servers[i]);
    }
    uint64_t base = cluster->servers[0].entry_base;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(cluster->servers[i].entry_base, base);
        server_start(&cluster->servers[i]);
    }
    propose(cluster_elect(cluster), &op, "behind");
    cluster_run(cluster, 1000);
    assert_int_equal(op.code, 0);
    for (size_t i = 0; i < 3; i++) {
        const struct server *server = &cluster->servers[i];
        assert_int_equal(server->fault, 0);
        assert_int_equal(server->published_count, 1);
        assert_int_equal(server->entries[0].index, base + 1);
    }
    cluster_free(cluster);
}

/* Rule 5: the core asks again every two seconds while the file is on its way. */
static void a_snapshot_is_sent_in_one_stream(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *late = &cluster->servers[2];
    struct tt_propose_op op;
    late->cut = true;
    propose(cluster_elect(cluster), &op, "before");
    cluster_run(cluster, 1000);
    for (size_t i = 0; i < 2; i++) {
        server_crash(&cluster->servers[i]);
        server_compact(&cluster->servers[i]);
        server_start(&cluster->servers[i]);
    }
    late->cut = false;
    const struct server *leader = cluster_elect(cluster);
    cluster_run(cluster, 8000);
    assert_int_equal(leader->snapshot_reads, 1);
    cluster_free(cluster);
}

/* Rule 7: as when power failed between an installed file and its record in the log. */
static void a_log_that_contradicts_its_snapshot_is_dropped(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *server = &cluster->servers[1];
    struct tt_propose_op op;
    propose(cluster_elect(cluster), &op, "before");
    cluster_run(cluster, 1000);
    server_crash(server);
    struct tt_bytes *config = tt_bytes_ref(server->entries[0].payload);
    uint64_t last = server->entries[server->entry_count - 1].index;
    server->disk.term++;
    server->disk.voted_for = 0;
    server->disk.snapshot = (struct tt_node_snapshot){.index = last,
                                                      .term = server->disk.term,
                                                      .config_index = 1,
                                                      .config_size = (uint32_t)config->size,
                                                      .file_size = 1};
    memcpy(server->disk.snapshot.config, config->ptr, config->size);
    tt_bytes_unref(config);
    server->cut = true;
    server_start(server);
    cluster_run(cluster, 10);
    assert_int_equal(server->fault, 0);
    assert_int_equal(server->entry_count, 0);
    assert_int_equal(server->entry_base, last);
    cluster_free(cluster);
}

static void a_sole_voter_takes_a_new_term_at_each_start(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(1, 1);
    for (uint64_t term = 2; term < 5; term++) {
        cluster_run(cluster, 10);
        assert_int_equal(cluster->servers[0].leading, term);
        assert_int_equal(cluster->servers[0].disk.term, term);
        assert_int_equal(cluster->servers[0].disk.voted_for, 1);
        server_crash(&cluster->servers[0]);
        server_start(&cluster->servers[0]);
    }
    cluster_free(cluster);
}

static void growth_is_refused_below_the_first_mark_and_all_below_the_second(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(1, 1);
    struct server *leader = cluster_elect(cluster);
    struct tt_propose_op grows, shrinks;
    tt_node_disk_free(leader->node, 100 << 20);
    propose(leader, &grows, "put");
    propose(leader, &shrinks, "-delete");
    cluster_run(cluster, 10);
    assert_int_equal(grows.code, TT_ENOSPACE);
    assert_int_equal(shrinks.code, 0);
    tt_node_disk_free(leader->node, 10 << 20);
    propose(leader, &shrinks, "-delete");
    cluster_run(cluster, 10);
    assert_int_equal(shrinks.code, TT_ENOSPACE);
    cluster_free(cluster);
}

static void deliver_hash(struct server *to, uint64_t from, uint64_t index, uint64_t hash)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__StateHash body = TT__PEER__STATE_HASH__INIT;
    body.index = index;
    body.hash = hash;
    message.body_case = TT__PEER__MESSAGE__BODY_STATE_HASH;
    message.state_hash = &body;
    deliver_frame(to, from, &message, "");
}

/* The leader's hash arrives before the follower knows of the commit, the third member's before
 * that: nothing comes after its own. */
static void a_member_that_is_late_and_differs_from_the_majority_stops(void **state)
{
    (void)state;
    struct cluster *cluster = cluster_new(3, 3);
    struct server *leader = cluster_elect(cluster);
    cluster_run(cluster, 1000);
    struct server *late = &cluster->servers[leader->id % 3];
    struct server *third = &cluster->servers[late->id % 3];
    struct tt_node_view view;
    tt_node_view(late->node, &view);
    deliver_hash(late, third->id, view.last_index + 1, late->applied_count);
    third->cut = true;
    late->skew = 1;
    cluster_run(cluster, 61000);
    assert_int_equal(late->fault, TT_ECORRUPT);
    assert_int_equal(leader->fault, 0);
    cluster_free(cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_servers_elect_one_leader_and_commit),
        cmocka_unit_test(a_follower_forwards_and_answers_after_it_has_applied),
        cmocka_unit_test(commands_that_queue_behind_two_entries_share_the_next),
        cmocka_unit_test(what_a_follower_forwards_in_one_turn_shares_frames),
        cmocka_unit_test(large_commands_are_forwarded_in_frames_of_about_a_mebibyte),
        cmocka_unit_test(a_stamp_goes_into_the_entry_and_not_into_the_command),
        cmocka_unit_test(a_command_without_a_place_for_a_stamp_is_left_out_of_its_entry),
        cmocka_unit_test(the_others_go_on_when_the_leader_dies_and_it_catches_up_later),
        cmocka_unit_test(a_leader_whose_process_is_gone_is_replaced_without_the_election_timeout),
        cmocka_unit_test(a_silent_leader_is_replaced_after_its_timeouts),
        cmocka_unit_test(a_server_that_was_cut_off_deposes_nobody),
        cmocka_unit_test(servers_that_start_together_do_not_wait_for_the_election_timeout),
        cmocka_unit_test(a_leader_that_is_taken_for_gone_by_mistake_goes_on),
        cmocka_unit_test(an_isolated_leader_does_not_know_the_outcome),
        cmocka_unit_test(what_an_isolated_leader_had_appended_goes_to_the_next_one),
        cmocka_unit_test(what_never_reached_a_leader_that_died_is_written_by_the_next_one),
        cmocka_unit_test(what_a_leader_that_died_had_sent_to_the_others_is_written_once),
        cmocka_unit_test(a_leader_appends_only_what_was_meant_for_its_term),
        cmocka_unit_test(a_follower_that_lags_behind_memory_is_fed_from_the_log),
        cmocka_unit_test(a_frame_of_another_cluster_is_dropped),
        cmocka_unit_test(nothing_leaves_before_the_vote_is_durable),
        cmocka_unit_test(an_empty_log_goes_on_behind_its_snapshot),
        cmocka_unit_test(a_snapshot_is_sent_in_one_stream),
        cmocka_unit_test(a_log_that_contradicts_its_snapshot_is_dropped),
        cmocka_unit_test(a_sole_voter_takes_a_new_term_at_each_start),
        cmocka_unit_test(a_member_that_is_late_and_differs_from_the_majority_stops),
        cmocka_unit_test(growth_is_refused_below_the_first_mark_and_all_below_the_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
