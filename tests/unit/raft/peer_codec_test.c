/* Peer messages: what goes out comes in again; what breaks a limit does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "raft/node.h"
#include "raft/peer_codec.h"

enum { CLUSTER = 42 };

static int decode(struct tt_bytes *frame, Tt__Peer__Message **ret)
{
    return peer_decode(CLUSTER, tt_str((const char *)frame->ptr, frame->size), ret, NULL);
}

/* Encodes, decodes, and says what came of it. */
static int through(Tt__Peer__Message *message)
{
    struct tt_bytes *frame = peer_encode(CLUSTER, message);
    Tt__Peer__Message *again = NULL;
    int r = decode(frame, &again);
    assert_true(r != 0 || again->body_case == message->body_case);
    peer_message_free(again);
    tt_bytes_unref(frame);
    return r;
}

static int append_through(uint64_t term, uint32_t type, const char *data)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__AppendEntries append = TT__PEER__APPEND_ENTRIES__INIT;
    Tt__Peer__Entry entry = TT__PEER__ENTRY__INIT;
    Tt__Peer__Entry *entries[] = {&entry};
    append.term = 3;
    append.prev_log_index = 7;
    append.prev_log_term = 2;
    entry.term = term;
    entry.type = type;
    entry.data.data = (uint8_t *)(uintptr_t)data;
    entry.data.len = strlen(data);
    append.n_entries = 1;
    append.entries = entries;
    message.body_case = TT__PEER__MESSAGE__BODY_APPEND_ENTRIES;
    message.append_entries = &append;
    return through(&message);
}

static void entries_need_a_fitting_term_and_a_known_type(void **state)
{
    (void)state;
    assert_int_equal(append_through(2, RAFT_COMMAND, "payload"), 0);
    assert_int_equal(append_through(3, RAFT_BARRIER, ""), 0);
    assert_int_equal(append_through(1, RAFT_COMMAND, "older than the one before"), TT_EPROTO);
    assert_int_equal(append_through(4, RAFT_COMMAND, "newer than the leader"), TT_EPROTO);
    assert_int_equal(append_through(0, RAFT_COMMAND, "none"), TT_EPROTO);
    assert_int_equal(append_through(3, 9, "unknown"), TT_EPROTO);
    assert_int_equal(append_through(3, RAFT_CHANGE, "no configuration"), TT_EPROTO);
}

static void votes_need_a_term(void **state)
{
    (void)state;
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__RequestVote vote = TT__PEER__REQUEST_VOTE__INIT;
    message.body_case = TT__PEER__MESSAGE__BODY_REQUEST_VOTE;
    message.request_vote = &vote;
    assert_int_equal(through(&message), TT_EPROTO);
    vote.term = 1;
    assert_int_equal(through(&message), 0);
    vote.last_log_index = 4; /* an entry without a term */
    assert_int_equal(through(&message), TT_EPROTO);
}

static void codes_of_answers_are_known_ones(void **state)
{
    (void)state;
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__ForwardReply reply = TT__PEER__FORWARD_REPLY__INIT;
    message.body_case = TT__PEER__MESSAGE__BODY_FORWARD_REPLY;
    message.forward_reply = &reply;
    assert_int_equal(through(&message), 0);
    reply.code = TT_ECONFLICT;
    assert_int_equal(through(&message), 0);
    reply.code = 5;
    assert_int_equal(through(&message), TT_EPROTO);
    reply.code = -9999;
    assert_int_equal(through(&message), TT_EPROTO);
}

static void a_frame_of_another_cluster_is_refused(void **state)
{
    (void)state;
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__ReadIndex question = TT__PEER__READ_INDEX__INIT;
    message.body_case = TT__PEER__MESSAGE__BODY_READ_INDEX;
    message.read_index = &question;
    struct tt_bytes *frame = peer_encode(CLUSTER + 1, &message);
    Tt__Peer__Message *again = NULL;
    assert_int_equal(decode(frame, &again), TT_EPROTO);
    tt_bytes_unref(frame);
    assert_int_not_equal(peer_cluster_hash("a"), peer_cluster_hash("b"));
    assert_int_equal(peer_cluster_hash("a"), UINT64_C(0xaf63dc4c8601ec8c)); /* on the wire */
}

static void a_snapshot_survives_the_wire(void **state)
{
    (void)state;
    struct tt_membership membership = {.count = 1};
    membership.members[0] =
        (struct tt_member){.id = 1, .name = "s1", .peer_address = "h:1", .role = TT_ROLE_VOTER};
    struct tt_bytes *config = NULL;
    assert_int_equal(tt_membership_encode(&membership, &config, NULL), 0);
    struct tt_node_snapshot before = {.index = 9, .term = 4, .config_index = 3, .file_size = 77};
    before.config_size = (uint32_t)config->size;
    memcpy(before.config, config->ptr, config->size);
    memset(before.sha256, 0xab, sizeof before.sha256);
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__SnapshotOffer offer = TT__PEER__SNAPSHOT_OFFER__INIT;
    Tt__Peer__Snapshot wire;
    peer_snapshot_to_wire(&before, &wire);
    offer.term = 4;
    offer.snapshot = &wire;
    message.body_case = TT__PEER__MESSAGE__BODY_SNAPSHOT_OFFER;
    message.snapshot_offer = &offer;
    struct tt_bytes *frame = peer_encode(CLUSTER, &message);
    Tt__Peer__Message *again = NULL;
    assert_int_equal(decode(frame, &again), 0);
    struct tt_node_snapshot after;
    peer_snapshot_from_wire(again->snapshot_offer->snapshot, &after);
    assert_memory_equal(&before, &after, sizeof before);
    peer_message_free(again);
    tt_bytes_unref(frame);
    tt_bytes_unref(config);
}

static void damaged_frames_are_refused_or_within_the_limits(void **state)
{
    (void)state;
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__MemberInfo info = TT__PEER__MEMBER_INFO__INIT;
    char name[] = "s1";
    info.name = name;
    message.body_case = TT__PEER__MESSAGE__BODY_MEMBER_INFO;
    message.member_info = &info;
    struct tt_bytes *frame = peer_encode(CLUSTER, &message);
    struct tt_rng rng;
    tt_rng_seed(&rng, 5);
    for (int round = 0; round < 20000; round++) {
        char *copy = tt_xmemdup(frame->ptr, frame->size);
        copy[tt_rng_below(&rng, frame->size)] ^= (char)(1u << tt_rng_below(&rng, 8));
        Tt__Peer__Message *again = NULL;
        if (peer_decode(CLUSTER, tt_str(copy, frame->size), &again, NULL) == 0) {
            assert_int_not_equal(again->body_case, TT__PEER__MESSAGE__BODY__NOT_SET);
        }
        peer_message_free(again);
        tt_free(copy);
    }
    tt_bytes_unref(frame);
}

static void a_failed_allocation_drops_the_frame(void **state)
{
    (void)state;
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__MemberInfo info = TT__PEER__MEMBER_INFO__INIT;
    char name[] = "s1";
    info.name = name;
    message.body_case = TT__PEER__MESSAGE__BODY_MEMBER_INFO;
    message.member_info = &info;
    struct tt_bytes *frame = peer_encode(CLUSTER, &message);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        Tt__Peer__Message *again = NULL;
        tt_try_malloc_fail_at(nth);
        assert_int_equal(decode(frame, &again), TT_EPROTO);
        tt_try_malloc_fail_at(0);
        assert_null(again);
    }
    tt_bytes_unref(frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_need_a_fitting_term_and_a_known_type),
        cmocka_unit_test(votes_need_a_term),
        cmocka_unit_test(codes_of_answers_are_known_ones),
        cmocka_unit_test(a_frame_of_another_cluster_is_refused),
        cmocka_unit_test(a_snapshot_survives_the_wire),
        cmocka_unit_test(damaged_frames_are_refused_or_within_the_limits),
        cmocka_unit_test(a_failed_allocation_drops_the_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
