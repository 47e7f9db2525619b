/* Which certificates a revocation covers, and how operators name them. */
#include "server/tls/revocation.h"

#include "tests/unit/server/tls/fixture.h"

enum { NOW_MS = 2000000000 };

static struct tt_peer_identity holder(uint64_t revision, uint64_t issued_ms)
{
    struct tt_peer_identity identity = {.role = TT_IDENTITY_AGENT,
                                        .name = "n1",
                                        .serial = "0a0b",
                                        .issued_ms = issued_ms,
                                        .issued_revision = revision};
    if (revision > 0) {
        memcpy(identity.issued_cluster_id, "c1", sizeof "c1");
    }
    return identity;
}

static struct tt_revocation of_agent(void)
{
    return (struct tt_revocation){TT_STR("agent.n1"), 50, NOW_MS};
}

static void a_serial_covers_that_certificate_only(void **state)
{
    (void)state;
    const struct tt_revocation serial = {TT_STR("0a0b"), 50, NOW_MS};
    struct tt_peer_identity identity = holder(99, NOW_MS);
    assert_true(tt_revocation_covers(&serial, "c1", &identity));
    memcpy(identity.serial, "0a0c", sizeof "0a0c");
    assert_false(tt_revocation_covers(&serial, "c1", &identity));
}

static void
an_identity_covers_what_was_issued_at_earlier_revisions_whatever_clocks_say(void **state)
{
    (void)state;
    const struct tt_revocation agent = of_agent();
    struct tt_peer_identity before = holder(49, NOW_MS + 5000);
    struct tt_peer_identity since = holder(50, NOW_MS - 5000);
    assert_true(tt_revocation_covers(&agent, "c1", &before));
    assert_false(tt_revocation_covers(&agent, "c1", &since));
    before.name[1] = '2';
    assert_false(tt_revocation_covers(&agent, "c1", &before));
    before = holder(49, NOW_MS);
    before.role = TT_IDENTITY_USER;
    assert_false(tt_revocation_covers(&agent, "c1", &before));
}

static void without_a_comparable_revision_the_wall_clock_decides(void **state)
{
    (void)state;
    const struct tt_revocation agent = of_agent();
    struct tt_peer_identity before = holder(0, NOW_MS);
    struct tt_peer_identity since = holder(0, NOW_MS + 1);
    struct tt_peer_identity elsewhere = holder(99, NOW_MS - 1);
    assert_true(tt_revocation_covers(&agent, "c1", &before));
    assert_false(tt_revocation_covers(&agent, "c1", &since));
    assert_true(tt_revocation_covers(&agent, "c2", &elsewhere));
}

/* A cluster that was made anew under the same authority counts its revisions from the start. */
static void a_large_revision_of_a_former_life_does_not_help(void **state)
{
    (void)state;
    const struct tt_revocation agent = of_agent();
    struct tt_peer_identity former = holder(99, NOW_MS - 3600000);
    assert_true(tt_revocation_covers(&agent, "c1", &former));
}

static void identities_are_named_by_uri_or_by_role_and_name(void **state)
{
    (void)state;
    char id[TT_REVOCATION_ID_SIZE];
    assert_int_equal(tt_revocation_id_parse(TT_STR("user/a.b"), "test", id, NULL), TT_OK);
    assert_string_equal(id, "user.a.b");
    assert_int_equal(tt_revocation_id_parse(TT_STR("spiffe://test/server/s1"), "test", id, NULL),
                     TT_OK);
    assert_string_equal(id, "server.s1");
    assert_true(tt_revocation_is_identity(tt_str_c(id)));
    const char *bad[] = {"",         "user",          "user/",    "root/a",
                         "user/a/b", "spiffe://test", "user/a b", "spiffe://other/user/a",
                         "user.a",   "/user/a",       "0a0b",     "spiffe:///user/a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tt_revocation_id_parse(tt_str_c(bad[i]), "test", id, NULL), TT_EINVAL);
    }
}

static void a_row_tells_its_time_and_one_without_tells_none(void **state)
{
    (void)state;
    char text[TT_REVOCATION_TEXT_SIZE];
    tt_revocation_format(NOW_MS, TT_STR("spiffe://test/user/admin"), text);
    assert_int_equal(tt_revocation_wall_ms(tt_str_c(text)), NOW_MS);
    assert_int_equal(tt_revocation_wall_ms(TT_STR("spiffe://test/user/admin")), 0);
    assert_int_equal(tt_revocation_wall_ms(TT_STR_NONE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_serial_covers_that_certificate_only),
        cmocka_unit_test(
            an_identity_covers_what_was_issued_at_earlier_revisions_whatever_clocks_say),
        cmocka_unit_test(without_a_comparable_revision_the_wall_clock_decides),
        cmocka_unit_test(a_large_revision_of_a_former_life_does_not_help),
        cmocka_unit_test(identities_are_named_by_uri_or_by_role_and_name),
        cmocka_unit_test(a_row_tells_its_time_and_one_without_tells_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
