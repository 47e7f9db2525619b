/* Contexts over time: reload, rotation of the CA under load, revocation, joining by a pinned CA. */
#include "tests/unit/server/tls/world.h"

static void reload(struct tt_tls_context *context, bool expected)
{
    struct tt_err err;
    bool changed = !expected;
    tt_err_init(&err);
    fixture_must(tt_tls_context_reload(context, &changed, &err), &err);
    assert_int_equal(changed, expected);
}

static void issue_server(struct world *world, const struct tt_pki_ca *ca)
{
    fixture_issue(
        &world->fixture, ca,
        &(struct tt_pki_subject){.role = TT_IDENTITY_SERVER, .name = "s1", .hosts = "127.0.0.1"},
        "server");
}

static void issue_user(struct world *world, const struct tt_pki_ca *ca)
{
    fixture_issue(&world->fixture, ca,
                  &(struct tt_pki_subject){.role = TT_IDENTITY_USER, .name = "alice"}, "user");
}

static bool pair_has_echo(void *ctx)
{
    return ((struct pair *)ctx)->client.received_size > 0;
}

/* One connection, one echo, both ends clean. */
static void talk(struct world *world, char ret_server_serial[64])
{
    struct pair pair;
    pair_connect(&pair, &world->door, world->client_tls, "spiffe://test/server/s1");
    pair.server.echo = true;
    assert_int_equal(tt_tls_stream_write(pair.client.stream, TT_STR("ping")), 0);
    if (!fixture_turn_until(&world->fixture, pair_has_echo, &pair)) {
        fail_msg("no echo: client %s, server %s", pair.client.error, pair.server.error);
    }
    memcpy(ret_server_serial, pair.client.peer.serial, 64);
    pair_close(&pair);
    assert_false(pair.client.failed || pair.server.failed);
}

static void reload_without_change_does_nothing(void **state)
{
    struct world *world = *state;
    reload(world->server_tls, false);
}

static void new_connections_get_the_newest_certificate_and_old_ones_stay(void **state)
{
    struct world *world = *state;
    struct pair old;
    char before[64];
    char after[64];
    talk(world, before);
    pair_connect(&old, &world->door, world->client_tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &old));
    issue_server(world, world->fixture.ca);
    reload(world->server_tls, true);
    talk(world, after);
    assert_string_not_equal(before, after);
    old.server.echo = true;
    assert_int_equal(tt_tls_stream_write(old.client.stream, TT_STR("still here")), 0);
    tt_tls_stream_flush(old.client.stream);
    assert_true(fixture_turn_until(&world->fixture, pair_has_echo, &old));
    pair_close(&old);
}

static void bad_files_keep_the_old_material(void **state)
{
    struct world *world = *state;
    char path[FIXTURE_PATH_SIZE];
    char before[64];
    char after[64];
    bool changed = false;
    talk(world, before);
    (void)fixture_path(&world->fixture, "server.key", path);
    TT_AUTO_BUF struct tt_buf key = {0};
    assert_int_equal(tt_file_read(path, 4096, &key, NULL), 0);
    assert_int_equal(tt_file_write_atomic(path, TT_STR("not a key"), 0600, NULL), 0);
    assert_int_equal(tt_tls_context_reload(world->server_tls, &changed, NULL), TT_ETLS);
    talk(world, after);
    assert_string_equal(before, after);
    issue_user(world, world->fixture.ca); /* a key that does not fit the certificate */
    TT_AUTO_BUF struct tt_buf other = {0};
    char user[FIXTURE_PATH_SIZE];
    assert_int_equal(
        tt_file_read(fixture_path(&world->fixture, "user.key", user), 4096, &other, NULL), 0);
    assert_int_equal(tt_file_write_atomic(path, tt_buf_view(&other), 0600, NULL), 0);
    assert_int_equal(tt_tls_context_reload(world->server_tls, &changed, NULL), TT_ETLS);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(tt_tls_context_reload(world->server_tls, &changed, NULL), TT_ENOTFOUND);
    talk(world, after);
    assert_string_equal(before, after);
    assert_int_equal(tt_file_write_atomic(path, tt_buf_view(&key), 0600, NULL), 0);
    reload(world->server_tls, true);
    talk(world, after);
}

static void trust(struct world *world, const struct tt_pki_ca *a, const struct tt_pki_ca *b)
{
    TT_AUTO_BUF struct tt_buf pem_a = {0};
    TT_AUTO_BUF struct tt_buf pem_b = {0};
    TT_AUTO_BUF struct tt_buf both = {0};
    char path[FIXTURE_PATH_SIZE];
    assert_int_equal(tt_pki_ca_cert_pem(a, &pem_a, NULL), 0);
    assert_int_equal(tt_pki_ca_cert_pem(b, &pem_b, NULL), 0);
    assert_int_equal(tt_pki_bundle(tt_buf_view(&pem_a), tt_buf_view(&pem_b), &both, NULL), 0);
    assert_int_equal(tt_file_write_atomic(fixture_path(&world->fixture, "ca.crt", path),
                                          tt_buf_view(&both), 0644, NULL),
                     0);
    reload(world->server_tls, true);
    reload(world->client_tls, true);
}

/* Old CA → both trusted → server, then user from the new one → only the new one, with connections
 * made at every step and one that lives through all of it. */
static void a_ca_is_rotated_under_load_without_an_error(void **state)
{
    enum { STEPS = 5, TALKS = 20 };
    struct world *world = *state;
    struct pair long_lived;
    struct tt_pki_ca *fresh = NULL;
    char serial[64];
    assert_int_equal(tt_pki_ca_new("test", tt_clock_wall_ms(tt_clock_real()), 0, &fresh, NULL), 0);
    pair_connect(&long_lived, &world->door, world->client_tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &long_lived));
    long_lived.server.echo = true;
    for (int step = 0; step < STEPS; step++) {
        if (step == 1) {
            trust(world, world->fixture.ca, fresh);
        } else if (step == 2) {
            issue_server(world, fresh);
            reload(world->server_tls, true);
        } else if (step == 3) {
            issue_user(world, fresh);
            reload(world->client_tls, true);
        } else if (step == 4) {
            trust(world, fresh, fresh);
        }
        for (int i = 0; i < TALKS; i++) {
            talk(world, serial);
        }
        long_lived.client.received_size = 0;
        assert_int_equal(tt_tls_stream_write(long_lived.client.stream, TT_STR("on")), 0);
        tt_tls_stream_flush(long_lived.client.stream);
        assert_true(fixture_turn_until(&world->fixture, pair_has_echo, &long_lived));
    }
    pair_close(&long_lived);
    assert_false(long_lived.client.failed);
    tt_pki_ca_free(fresh);
}

static void a_revoked_certificate_cannot_connect_until_it_is_taken_back(void **state)
{
    struct world *world = *state;
    struct pair pair;
    char serial[64];
    pair_connect(&pair, &world->door, world->client_tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &pair));
    struct tt_peer_identity peer = pair.server.peer;
    pair_close(&pair);
    const struct tt_revocation revoked[] = {
        {.id = TT_STR("00ff")}, {.id = tt_str_c(peer.serial)}, {.id = TT_STR("abcd")}};
    tt_tls_context_revoke(world->server_tls, "", revoked, 3);
    assert_true(tt_tls_context_is_revoked(world->server_tls, &peer));
    struct tt_peer_identity other = peer;
    memcpy(other.serial, "00fe", sizeof "00fe");
    assert_false(tt_tls_context_is_revoked(world->server_tls, &other));
    pair_connect(&pair, &world->door, world->client_tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
    assert_false(pair.server.opened);
    tt_tls_context_revoke(world->server_tls, "", NULL, 0);
    talk(world, serial);
}

static void issue_at(struct world *world, uint64_t revision)
{
    fixture_issue(
        &world->fixture, world->fixture.ca,
        &(struct tt_pki_subject){
            .role = TT_IDENTITY_USER, .name = "alice", .cluster_id = "c1", .revision = revision},
        "user");
    reload(world->client_tls, true);
}

static void an_identity_is_out_until_it_has_a_certificate_issued_since(void **state)
{
    struct world *world = *state;
    struct pair pair;
    char serial[64];
    const struct tt_revocation revoked = {
        .id = TT_STR("user.alice"), .revision = 7, .wall_ms = tt_clock_wall_ms(tt_clock_real())};
    issue_at(world, 5);
    talk(world, serial);
    tt_tls_context_revoke(world->server_tls, "c1", &revoked, 1);
    issue_at(world, 6); /* renewed, but before the revocation */
    pair_connect(&pair, &world->door, world->client_tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
    assert_false(pair.server.opened);
    issue_at(world, 7);
    talk(world, serial);
    tt_tls_context_revoke(world->server_tls, "", NULL, 0);
}

/* ---- joining ------------------------------------------------------------------------------- */

static struct tt_tls_context *pinned_context(const char *sha256)
{
    struct tt_tls_context *context = NULL;
    struct tt_tls_config config = {.alpn = "test/1", .pinned_ca_sha256 = sha256};
    assert_int_equal(tt_tls_context_new(&config, &context, NULL), 0);
    return context;
}

static void a_joining_client_trusts_the_pinned_ca_only(void **state)
{
    struct world *world = *state;
    struct pair pair;
    struct door door;
    char pin[TT_PKI_FINGERPRINT_SIZE];
    char paths[3][FIXTURE_PATH_SIZE];
    struct tt_tls_config config = fixture_config(true, paths, &world->fixture, "server");
    struct tt_tls_context *open_tls = NULL;
    config.client_auth = TT_TLS_CLIENT_OPTIONAL;
    assert_int_equal(tt_tls_context_new(&config, &open_tls, NULL), 0);
    door_open(&door, &world->fixture, open_tls);

    assert_int_equal(tt_pki_ca_fingerprint(world->fixture.ca, pin, NULL), 0);
    struct tt_tls_context *right = pinned_context(pin);
    pair_connect(&pair, &door, right, "127.0.0.1");
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &pair));
    assert_int_equal(pair.server.peer.role, TT_IDENTITY_NONE); /* no certificate */
    assert_int_equal(pair.client.peer.role, TT_IDENTITY_SERVER);
    pair_close(&pair);

    pin[0] = pin[0] == '0' ? '1' : '0';
    struct tt_tls_context *wrong = pinned_context(pin);
    pair_connect(&pair, &door, wrong, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
    assert_false(pair.client.opened);

    pair_connect(&pair, &door, world->client_tls, NULL); /* with a certificate: known */
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &pair));
    assert_int_equal(pair.server.peer.role, TT_IDENTITY_USER);
    pair_close(&pair);
    door_close(&door);
    tt_tls_context_unref(right);
    tt_tls_context_unref(wrong);
    tt_tls_context_unref(open_tls);
}

static void incomplete_configurations_are_refused(void **state)
{
    struct world *world = *state;
    char paths[3][FIXTURE_PATH_SIZE];
    struct tt_tls_context *context = NULL;
    for (int i = 0; i < 6; i++) {
        struct tt_tls_config config = fixture_config(true, paths, &world->fixture, "server");
        config.cert_path = i == 0 ? NULL : config.cert_path;
        config.key_path = i == 1 ? NULL : config.key_path;
        config.ca_path = i == 2 ? NULL : config.ca_path;
        config.alpn = i == 3 ? "a,,b" : config.alpn;
        config.pinned_ca_sha256 = i == 4 ? "00" : NULL;
        if (i == 5) {
            config.server = false;
            config.ca_path = NULL;
            config.pinned_ca_sha256 = "not hex";
        }
        assert_int_equal(tt_tls_context_new(&config, &context, NULL), TT_EINVAL);
    }
    assert_null(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reload_without_change_does_nothing),
        cmocka_unit_test(new_connections_get_the_newest_certificate_and_old_ones_stay),
        cmocka_unit_test(bad_files_keep_the_old_material),
        cmocka_unit_test(a_revoked_certificate_cannot_connect_until_it_is_taken_back),
        cmocka_unit_test(an_identity_is_out_until_it_has_a_certificate_issued_since),
        cmocka_unit_test(a_joining_client_trusts_the_pinned_ca_only),
        cmocka_unit_test(incomplete_configurations_are_refused),
        cmocka_unit_test(a_ca_is_rotated_under_load_without_an_error), /* last: it changes the CA */
    };
    return cmocka_run_group_tests(tests, world_up, world_down);
}
