/* Configurations as bytes and the legal steps between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/rng.h"
#include "raft/membership.h"

static struct tt_membership voters(size_t count)
{
    struct tt_membership membership = {.count = count};
    for (size_t i = 0; i < count; i++) {
        struct tt_member *member = &membership.members[i];
        member->id = i + 1;
        member->role = TT_ROLE_VOTER;
        (void)snprintf(member->name, sizeof member->name, "s%zu", i + 1);
        (void)snprintf(member->peer_address, sizeof member->peer_address, "10.0.0.%zu:7000", i + 1);
    }
    return membership;
}

static struct tt_member newcomer(void)
{
    struct tt_member member = {.id = 99};
    (void)snprintf(member.name, sizeof member.name, "new");
    (void)snprintf(member.peer_address, sizeof member.peer_address, "10.0.0.99:7000");
    return member;
}

static void survives_encoding_with_every_role(void **state)
{
    (void)state;
    struct tt_membership before = voters(TT_MEMBERS_MAX);
    before.members[1].role = TT_ROLE_STANDBY;
    before.members[2].role = TT_ROLE_SPARE;
    struct tt_bytes *bytes = NULL;
    assert_int_equal(tt_membership_encode(&before, &bytes, NULL), 0);
    struct tt_membership after;
    struct tt_str view = tt_str((const char *)bytes->ptr, bytes->size);
    assert_int_equal(tt_membership_decode(view, &after, NULL), 0);
    assert_int_equal(after.count, before.count);
    for (size_t i = 0; i < after.count; i++) {
        assert_int_equal(after.members[i].id, before.members[i].id);
        assert_int_equal(after.members[i].role, before.members[i].role);
        assert_string_equal(after.members[i].name, before.members[i].name);
        assert_string_equal(after.members[i].peer_address, before.members[i].peer_address);
    }
    struct raft_configuration raft;
    assert_int_equal(tt_membership_to_raft(view, &raft, NULL), 0);
    assert_int_equal(raft.n, after.count);
    raft_configuration_close(&raft);
    tt_bytes_unref(bytes);
}

static void refuses_every_truncation_and_random_damage_without_reading_beyond(void **state)
{
    (void)state;
    struct tt_membership before = voters(3);
    struct tt_bytes *bytes = NULL;
    assert_int_equal(tt_membership_encode(&before, &bytes, NULL), 0);
    struct tt_membership after;
    for (size_t size = 0; size + 8 <= bytes->size; size++) {
        char *copy = tt_xmemdup(bytes->ptr, size + (size == 0)); /* asan sees a byte too many */
        assert_int_not_equal(tt_membership_decode(tt_str(copy, size), &after, NULL), 0);
        tt_free(copy);
    }
    struct tt_rng rng;
    tt_rng_seed(&rng, 1);
    for (int round = 0; round < 20000; round++) {
        char *copy = tt_xmemdup(bytes->ptr, bytes->size);
        copy[tt_rng_below(&rng, bytes->size)] = (char)tt_rng_u64(&rng);
        if (tt_membership_decode(tt_str(copy, bytes->size), &after, NULL) == 0) {
            assert_in_range(after.count, 1, TT_MEMBERS_MAX);
        }
        tt_free(copy);
    }
    tt_bytes_unref(bytes);
}

static void a_server_goes_from_spare_to_standby_to_voter_and_never_back(void **state)
{
    (void)state;
    struct tt_membership membership = voters(3);
    struct tt_member spare = newcomer();
    assert_int_equal(tt_membership_add(&membership, &spare, NULL), 0);
    assert_int_equal(tt_membership_get(&membership, 99)->role, TT_ROLE_SPARE);
    assert_int_equal(tt_membership_promote(&membership, 99, TT_ROLE_VOTER, NULL), TT_ECONFLICT);
    assert_int_equal(tt_membership_promote(&membership, 99, TT_ROLE_STANDBY, NULL), 0);
    assert_int_equal(tt_membership_promote(&membership, 99, TT_ROLE_SPARE, NULL), TT_ECONFLICT);
    assert_int_equal(tt_membership_promote(&membership, 99, TT_ROLE_VOTER, NULL), 0);
    assert_int_equal(tt_membership_promote(&membership, 99, TT_ROLE_STANDBY, NULL), TT_ECONFLICT);
    assert_int_equal(tt_membership_voter_count(&membership), 4);
}

static void the_same_id_name_or_address_is_not_added_twice(void **state)
{
    (void)state;
    struct tt_membership membership = voters(3);
    for (int what = 0; what < 3; what++) {
        struct tt_member twin = newcomer();
        if (what == 0) {
            twin.id = 2;
        } else if (what == 1) {
            (void)snprintf(twin.name, sizeof twin.name, "s2");
        } else {
            (void)snprintf(twin.peer_address, sizeof twin.peer_address, "10.0.0.2:7000");
        }
        assert_int_equal(tt_membership_add(&membership, &twin, NULL), TT_EEXISTS);
    }
    assert_int_equal(membership.count, 3);
}

static void a_voter_is_removed_only_while_a_majority_of_the_rest_is_reachable(void **state)
{
    (void)state;
    struct tt_membership membership = voters(3);
    assert_int_equal(tt_membership_remove(&membership, 3, 1, NULL), TT_ECONFLICT);
    assert_int_equal(tt_membership_remove(&membership, 3, 2, NULL), 0);
    assert_int_equal(tt_membership_remove(&membership, 2, 1, NULL), 0);
    assert_int_equal(tt_membership_remove(&membership, 1, 0, NULL), TT_ECONFLICT); /* the last */
    assert_int_equal(tt_membership_remove(&membership, 7, 1, NULL), TT_ENOTFOUND);
    assert_true(tt_membership_sole_voter(&membership, 1));
}

static void a_committed_configuration_proves_who_was_removed(void **state)
{
    (void)state;
    struct tt_membership committed = voters(3);
    struct tt_membership none = {.count = 0};
    const uint64_t added_at_50 = TT_MEMBER_ID_BASE + 50;
    assert_false(tt_membership_proves_removed(&committed, 1, 4)); /* of another first start */
    assert_true(tt_membership_proves_removed(&committed, 2, 4));
    assert_false(tt_membership_proves_removed(&committed, 2, 3));            /* a member */
    assert_false(tt_membership_proves_removed(&committed, 49, added_at_50)); /* not yet known */
    assert_false(tt_membership_proves_removed(&committed, 50, added_at_50));
    assert_true(tt_membership_proves_removed(&committed, 51, added_at_50));
    assert_false(tt_membership_proves_removed(&none, 51, added_at_50));
    committed.members[2].id = added_at_50;
    assert_false(tt_membership_proves_removed(&committed, 51, added_at_50));
}

static void recovery_makes_a_sole_voter_in_a_new_term(void **state)
{
    (void)state;
    struct tt_membership membership = voters(3);
    struct tt_membership_recovery recovery;
    assert_int_equal(tt_membership_recover(&membership.members[1], 8, 120, &recovery, NULL), 0);
    assert_int_equal(recovery.term, 9);
    assert_int_equal(recovery.index, 121);
    struct tt_membership alone;
    assert_int_equal(
        tt_membership_decode(tt_str((const char *)recovery.config->ptr, recovery.config->size),
                             &alone, NULL),
        0);
    assert_true(tt_membership_sole_voter(&alone, 2));
    tt_bytes_unref(recovery.config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_encoding_with_every_role),
        cmocka_unit_test(refuses_every_truncation_and_random_damage_without_reading_beyond),
        cmocka_unit_test(a_server_goes_from_spare_to_standby_to_voter_and_never_back),
        cmocka_unit_test(the_same_id_name_or_address_is_not_added_twice),
        cmocka_unit_test(a_voter_is_removed_only_while_a_majority_of_the_rest_is_reachable),
        cmocka_unit_test(a_committed_configuration_proves_who_was_removed),
        cmocka_unit_test(recovery_makes_a_sole_voter_in_a_new_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
