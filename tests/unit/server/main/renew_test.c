/* Renewal of a server's own certificate, by files. */
#include "server/main/renew.h"

#include "tests/unit/server/tls/fixture.h"

enum { HOUR_MS = 3600 * 1000 };

struct world {
    struct fixture fixture;
    struct server_options options;
    char paths[4][FIXTURE_PATH_SIZE];
    struct tt_tls_context *tls; /* of the own pair: knows who is revoked */
    uint64_t issued_ms;
};

static int world_up(void **state)
{
    struct world *world = test_calloc(1, sizeof *world);
    struct tt_err err;
    tt_err_init(&err);
    fixture_up(&world->fixture);
    world->options.cert = fixture_path(&world->fixture, "own.crt", world->paths[0]);
    world->options.key = fixture_path(&world->fixture, "own.key", world->paths[1]);
    world->options.ca = fixture_path(&world->fixture, "authority.crt", world->paths[2]);
    world->options.ca_key = fixture_path(&world->fixture, "authority.key", world->paths[3]);
    fixture_must(tt_pki_ca_save(world->fixture.ca, world->options.ca, world->options.ca_key, &err),
                 &err);
    const struct tt_pki_subject subject = {
        .role = TT_IDENTITY_SERVER, .name = "s1", .hosts = "localhost,127.0.0.1"};
    world->issued_ms = tt_clock_wall_ms(tt_clock_real()) - 20ull * HOUR_MS;
    fixture_must(tt_pki_issue_files(world->fixture.ca, &subject, world->issued_ms,
                                    world->options.cert, world->options.key, &err),
                 &err);
    const struct tt_tls_config tls = {.cert_path = world->options.cert,
                                      .key_path = world->options.key,
                                      .ca_path = world->options.ca,
                                      .alpn = "h2",
                                      .server = true};
    fixture_must(tt_tls_context_new(&tls, &world->tls, &err), &err);
    *state = world;
    return 0;
}

static int world_down(void **state)
{
    struct world *world = *state;
    tt_tls_context_unref(world->tls);
    fixture_down(&world->fixture);
    test_free(world);
    return 0;
}

static struct tt_pki_info info_of(const struct world *world)
{
    struct tt_buf pem;
    struct tt_pki_info info;
    struct tt_err err;
    tt_err_init(&err);
    fixture_must(tt_file_read(world->options.cert, TT_PKI_PEM_SIZE_MAX, &pem, &err), &err);
    fixture_must(tt_pki_cert_info(tt_buf_view(&pem), &info, &err), &err);
    tt_buf_fini(&pem);
    return info;
}

static int renew_at(const struct world *world, uint64_t wall_ms, bool *ret_renewed)
{
    struct tt_err err;
    tt_err_init(&err);
    const struct server_renew_basis basis = {
        .tls = world->tls, .wall_ms = wall_ms, .revision = 12, .cluster_id = "c1"};
    uint64_t look_every_ms = 0;
    int r = server_renew_if_due(&world->options, &basis, ret_renewed, &look_every_ms, &err);
    assert_int_equal(look_every_ms, 60000);
    return r;
}

static void a_certificate_in_its_last_third_is_renewed_for_the_same_key(void **state)
{
    struct world *world = *state;
    struct tt_pki_info before = info_of(world);
    bool renewed = false;
    assert_int_equal(renew_at(world, world->issued_ms + 20ull * HOUR_MS, &renewed), TT_OK);
    assert_true(renewed);
    struct tt_pki_info after = info_of(world);
    assert_true(after.not_after_ms >= before.not_after_ms + 19ull * HOUR_MS);
    assert_string_equal(after.identity.uri, before.identity.uri);
    assert_string_equal(after.hosts, before.hosts);
    assert_int_equal(after.identity.issued_revision, 12);
    assert_string_equal(after.identity.issued_cluster_id, "c1");
    assert_string_not_equal(after.identity.serial, before.identity.serial);
    struct tt_tls_context *context = NULL; /* checks that certificate and key belong together */
    const struct tt_tls_config config = {.cert_path = world->options.cert,
                                         .key_path = world->options.key,
                                         .ca_path = world->options.ca,
                                         .alpn = "h2",
                                         .server = true};
    struct tt_err err;
    tt_err_init(&err);
    fixture_must(tt_tls_context_new(&config, &context, &err), &err);
    tt_tls_context_unref(context);
}

static void a_young_certificate_stays(void **state)
{
    struct world *world = *state;
    struct tt_pki_info before = info_of(world);
    bool renewed = true;
    assert_int_equal(renew_at(world, world->issued_ms + 12ull * HOUR_MS, &renewed), TT_OK);
    assert_false(renewed);
    struct tt_pki_info after = info_of(world);
    assert_string_equal(after.identity.serial, before.identity.serial);
}

static void a_revoked_certificate_is_not_renewed(void **state)
{
    struct world *world = *state;
    struct tt_pki_info before = info_of(world);
    bool renewed = false;
    const struct tt_revocation revoked = {
        .id = TT_STR("server.s1"), .revision = 13, .wall_ms = world->issued_ms};
    tt_tls_context_revoke(world->tls, "c1", &revoked, 1);
    assert_int_equal(renew_at(world, world->issued_ms + 20ull * HOUR_MS, &renewed), TT_EFORBIDDEN);
    assert_false(renewed);
    struct tt_pki_info after = info_of(world);
    assert_string_equal(after.identity.serial, before.identity.serial);
}

static void without_the_authority_it_says_so(void **state)
{
    struct world *world = *state;
    bool renewed = false;
    world->options.ca_key = NULL;
    assert_int_equal(renew_at(world, world->issued_ms + 12ull * HOUR_MS, &renewed), TT_OK);
    assert_int_equal(renew_at(world, world->issued_ms + 20ull * HOUR_MS, &renewed),
                     TT_EUNAVAILABLE);
    assert_false(renewed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_certificate_in_its_last_third_is_renewed_for_the_same_key,
                                        world_up, world_down),
        cmocka_unit_test_setup_teardown(a_young_certificate_stays, world_up, world_down),
        cmocka_unit_test_setup_teardown(a_revoked_certificate_is_not_renewed, world_up, world_down),
        cmocka_unit_test_setup_teardown(without_the_authority_it_says_so, world_up, world_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
