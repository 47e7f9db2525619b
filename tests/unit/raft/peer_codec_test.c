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
    struct peer_attachment attachment;
    return peer_decode(CLUSTER, frame, ret, &attachment, NULL);
}

static struct tt_bytes *frame_of(uint64_t cluster, Tt__Peer__Message *message, const char *text)
{
    struct tt_bytes *parts[] = {peer_encode(cluster, message), tt_bytes_new(text, strlen(text))};
    struct tt_bytes *frame = tt_bytes_join(parts, 2);
    tt_bytes_unref(parts[0]);
    tt_bytes_unref(parts[1]);
    return frame;
}

/* Encodes, decodes, and says what came of it. */
static int through_with(Tt__Peer__Message *message, const char *attachment)
{
    struct tt_bytes *frame = frame_of(CLUSTER, message, attachment);
    Tt__Peer__Message *again = NULL;
    int r = decode(frame, &again);
    assert_true(r != 0 || again->body_case == message->body_case);
    peer_message_free(again);
    tt_bytes_unref(frame);
    return r;
}

static int through(Tt__Peer__Message *message)
{
    return through_with(message, "");
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
    entry.size = (uint32_t)strlen(data);
    append.n_entries = 1;
    append.entries = entries;
    message.body_case = TT__PEER__MESSAGE__BODY_APPEND_ENTRIES;
    message.append_entries = &append;
    return through_with(&message, data);
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

/* Entries of these sizes, with that attachment behind the head. */
static struct tt_bytes *entries_frame(const uint32_t *sizes, size_t count, const char *attachment)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__AppendEntries append = TT__PEER__APPEND_ENTRIES__INIT;
    Tt__Peer__Entry entries[PEER_ENTRIES_MAX];
    Tt__Peer__Entry *pointers[PEER_ENTRIES_MAX];
    for (size_t i = 0; i < count; i++) {
        tt__peer__entry__init(&entries[i]);
        entries[i].term = 3;
        entries[i].type = RAFT_COMMAND;
        entries[i].size = sizes[i];
        pointers[i] = &entries[i];
    }
    append.term = 3;
    append.n_entries = count;
    append.entries = pointers;
    message.body_case = TT__PEER__MESSAGE__BODY_APPEND_ENTRIES;
    message.append_entries = &append;
    return frame_of(CLUSTER, &message, attachment);
}

static int entries_through(const uint32_t *sizes, size_t count, const char *attachment)
{
    struct tt_bytes *frame = entries_frame(sizes, count, attachment);
    Tt__Peer__Message *message = NULL;
    int r = decode(frame, &message);
    peer_message_free(message);
    tt_bytes_unref(frame);
    return r;
}

static void sizes_have_to_add_up_to_the_attachment(void **state)
{
    (void)state;
    const uint32_t sizes[] = {3, 0, 4};
    const uint32_t overflow[] = {UINT32_MAX, UINT32_MAX, 9};
    assert_int_equal(entries_through(sizes, 3, "1234567"), 0);
    assert_int_equal(entries_through(sizes, 3, "123456"), TT_EPROTO);
    assert_int_equal(entries_through(sizes, 3, "12345678"), TT_EPROTO);
    assert_int_equal(entries_through(sizes, 3, ""), TT_EPROTO);
    assert_int_equal(entries_through(sizes, 0, "1"), TT_EPROTO);
    assert_int_equal(entries_through(overflow, 3, "1234567"), TT_EPROTO);
}

static void an_attachment_may_be_empty(void **state)
{
    (void)state;
    const uint32_t sizes[] = {0, 0};
    assert_int_equal(entries_through(sizes, 2, ""), 0);
    assert_int_equal(entries_through(sizes, 0, ""), 0);
}

static void messages_without_sizes_have_no_attachment(void **state)
{
    (void)state;
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__ReadIndex question = TT__PEER__READ_INDEX__INIT;
    message.body_case = TT__PEER__MESSAGE__BODY_READ_INDEX;
    message.read_index = &question;
    assert_int_equal(through_with(&message, ""), 0);
    assert_int_equal(through_with(&message, "x"), TT_EPROTO);
}

static void pieces_outlive_their_frame(void **state)
{
    (void)state;
    const uint32_t sizes[] = {2, 500, 3};
    char text[506];
    memset(text, 'm', sizeof text);
    memcpy(text, "ab", 2);
    memcpy(text + 502, "xyz", 4);
    struct tt_bytes *frame = entries_frame(sizes, 3, text);
    const uint8_t *end = frame->ptr + frame->size;
    Tt__Peer__Message *message = NULL;
    struct peer_attachment attachment;
    assert_int_equal(peer_decode(CLUSTER, frame, &message, &attachment, NULL), 0);
    struct tt_bytes *small = peer_piece_keep(&attachment, 2);
    struct tt_bytes *large = peer_piece_keep(&attachment, 500);
    struct tt_bytes *last = peer_piece_take(&attachment, 3);
    assert_ptr_equal(large->ptr, end - 503); /* no copy */
    assert_ptr_equal(last->ptr, end - 3);
    assert_true(small->ptr < frame->ptr || small->ptr >= end); /* does not hold the rest */
    peer_message_free(message);
    tt_bytes_unref(frame);
    assert_true(tt_str_eq(tt_bytes_view(small), TT_STR("ab")));
    assert_memory_equal(large->ptr, text + 2, 500);
    assert_true(tt_str_eq(tt_bytes_view(last), TT_STR("xyz")));
    tt_bytes_unref(small);
    tt_bytes_unref(large);
    tt_bytes_unref(last);
}

static int forward_through(const uint32_t *sizes, size_t size_count, size_t timeout_count,
                           const char *commands)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__Forward forward = TT__PEER__FORWARD__INIT;
    uint32_t timeouts[4] = {0, 1, PEER_TIMEOUT_MS_MAX, 5};
    forward.term = 2;
    forward.first_request = 7;
    forward.n_size = size_count;
    forward.size = (uint32_t *)(uintptr_t)sizes;
    forward.n_timeout_ms = timeout_count;
    forward.timeout_ms = timeouts;
    message.body_case = TT__PEER__MESSAGE__BODY_FORWARD;
    message.forward = &forward;
    return through_with(&message, commands);
}

static void a_forward_names_each_command_once(void **state)
{
    (void)state;
    const uint32_t sizes[] = {1, 2, 3};
    const uint32_t with_none[] = {3, 0, 3};
    assert_int_equal(forward_through(sizes, 3, 3, "abbccc"), 0);
    assert_int_equal(forward_through(sizes, 3, 2, "abbccc"), TT_EPROTO);
    assert_int_equal(forward_through(sizes, 2, 3, "abb"), TT_EPROTO);
    assert_int_equal(forward_through(sizes, 0, 0, ""), TT_EPROTO);
    assert_int_equal(forward_through(with_none, 3, 3, "abbccc"), TT_EPROTO);
    assert_int_equal(forward_through(sizes, 3, 3, "abbcc"), TT_EPROTO);
}

static void a_head_that_reaches_beyond_the_frame_is_refused(void **state)
{
    (void)state;
    const uint32_t sizes[] = {1};
    struct tt_bytes *frame = entries_frame(sizes, 1, "x");
    const uint8_t head_sizes[] = {0, 1, (uint8_t)(frame->size - 4), (uint8_t)(frame->size - 3),
                                  255};
    for (size_t i = 0; i < sizeof head_sizes; i++) {
        struct tt_bytes *other = tt_bytes_new(frame->ptr, frame->size);
        ((uint8_t *)(uintptr_t)other->ptr)[0] = head_sizes[i];
        Tt__Peer__Message *message = NULL;
        assert_int_equal(decode(other, &message), TT_EPROTO);
        tt_bytes_unref(other);
    }
    for (size_t size = 0; size < frame->size; size++) {
        struct tt_bytes *cut = tt_bytes_new(frame->ptr, size);
        Tt__Peer__Message *message = NULL;
        assert_int_equal(decode(cut, &message), TT_EPROTO);
        tt_bytes_unref(cut);
    }
    tt_bytes_unref(frame);
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
    struct tt_bytes *frame = frame_of(CLUSTER + 1, &message, "");
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
        struct tt_bytes *copy = tt_bytes_new(frame->ptr, frame->size);
        uint8_t *damaged = (uint8_t *)(uintptr_t)copy->ptr + tt_rng_below(&rng, copy->size);
        *damaged = (uint8_t)(*damaged ^ 1u << tt_rng_below(&rng, 8));
        Tt__Peer__Message *again = NULL;
        if (decode(copy, &again) == 0) {
            assert_int_not_equal(again->body_case, TT__PEER__MESSAGE__BODY__NOT_SET);
        }
        peer_message_free(again);
        tt_bytes_unref(copy);
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
        cmocka_unit_test(sizes_have_to_add_up_to_the_attachment),
        cmocka_unit_test(an_attachment_may_be_empty),
        cmocka_unit_test(messages_without_sizes_have_no_attachment),
        cmocka_unit_test(pieces_outlive_their_frame),
        cmocka_unit_test(a_forward_names_each_command_once),
        cmocka_unit_test(a_head_that_reaches_beyond_the_frame_is_refused),
        cmocka_unit_test(votes_need_a_term),
        cmocka_unit_test(codes_of_answers_are_known_ones),
        cmocka_unit_test(a_frame_of_another_cluster_is_refused),
        cmocka_unit_test(a_snapshot_survives_the_wire),
        cmocka_unit_test(damaged_frames_are_refused_or_within_the_limits),
        cmocka_unit_test(a_failed_allocation_drops_the_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
