/* Hostile certificates and clients: each forged certificate has one flaw, and a control without any
 * is accepted, so that a refusal can only be due to the flaw. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tests/unit/server/tls/world.h"

/* ---- forging ------------------------------------------------------------------------------- */

struct forgery {
    const char *label;
    const char *san; /* OpenSSL's notation; NULL: none */
    const char *eku; /* likewise */
    const char *common_name;
    long from_s; /* validity, relative to now */
    long to_s;
    bool foreign_ca; /* signed by another CA of the same subject */
    bool nul_in_uri; /* replaces the SAN: "spiffe://test/user/alice\0.evil" */
    bool is_ca;
    bool twice; /* the SAN extension stands there twice */
};

static void add_conf(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void add_uri_with_nul(X509 *cert)
{
    static const char uri[] = "spiffe://test/user/alice\0.evil";
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    assert_int_equal(ASN1_STRING_set(value, uri, sizeof uri - 1), 1);
    GENERAL_NAME_set0_value(name, GEN_URI, value);
    sk_GENERAL_NAME_push(names, name);
    assert_int_equal(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT),
                     1);
    GENERAL_NAMES_free(names);
}

static void write_pem(const struct fixture *fixture, const char *name, X509 *cert, EVP_PKEY *key)
{
    char path[FIXTURE_PATH_SIZE];
    FILE *file = fopen(fixture_path(fixture, name, path), "w");
    assert_non_null(file);
    assert_int_equal(cert != NULL ? PEM_write_X509(file, cert)
                                  : PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL),
                     1);
    assert_int_equal(fclose(file), 0);
}

static X509 *read_ca(const struct fixture *fixture, EVP_PKEY **ret_key)
{
    char path[FIXTURE_PATH_SIZE];
    FILE *file = fopen(fixture_path(fixture, "ca.crt", path), "r");
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    assert_int_equal(fclose(file), 0);
    file = fopen(fixture_path(fixture, "ca.key", path), "r");
    *ret_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    assert_int_equal(fclose(file), 0);
    assert_true(cert != NULL && *ret_key != NULL);
    return cert;
}

/* Writes forged.crt and forged.key. */
static void forge(const struct fixture *fixture, const struct forgery *forgery)
{
    EVP_PKEY *ca_key = NULL;
    X509 *ca = read_ca(fixture, &ca_key);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY *foreign = forgery->foreign_ca ? EVP_EC_gen("P-256") : NULL;
    X509 *cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 4711);
    X509_gmtime_adj(X509_getm_notBefore(cert), forgery->from_s);
    X509_gmtime_adj(X509_getm_notAfter(cert), forgery->to_s);
    X509_set_pubkey(cert, key);
    X509_set_issuer_name(cert, X509_get_subject_name(ca));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)forgery->common_name, -1, -1, 0);
    add_conf(cert, NID_basic_constraints, forgery->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    if (forgery->eku != NULL) {
        add_conf(cert, NID_ext_key_usage, forgery->eku);
    }
    if (forgery->nul_in_uri) {
        add_uri_with_nul(cert);
    }
    for (int i = 0; forgery->san != NULL && i < (forgery->twice ? 2 : 1); i++) {
        add_conf(cert, NID_subject_alt_name, forgery->san);
    }
    assert_true(X509_sign(cert, foreign != NULL ? foreign : ca_key, EVP_sha256()) > 0);
    write_pem(fixture, "forged.crt", cert, NULL);
    write_pem(fixture, "forged.key", NULL, key);
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(foreign);
    EVP_PKEY_free(ca_key);
}

#define ALICE    "URI:spiffe://test/user/alice"
#define CLIENT   "clientAuth"
#define VALID    .from_s = -60, .to_s = 3600
#define UNFLAWED .san = ALICE, .eku = CLIENT, .common_name = "alice", VALID

static const struct forgery CONTROL = {.label = "control", UNFLAWED};

/* Later initialisers override UNFLAWED's, which gcc and clang would warn about: so written out. */
static const struct forgery FLAWED[] = {
    {.label = "expired",
     .san = ALICE,
     .eku = CLIENT,
     .common_name = "x",
     .from_s = -99,
     .to_s = -9},
    {.label = "not yet valid",
     .san = ALICE,
     .eku = CLIENT,
     .common_name = "x",
     .from_s = 900,
     .to_s = 3600},
    {.label = "wrong CA", UNFLAWED, .foreign_ca = true},
    {.label = "common name only", .eku = CLIENT, .common_name = "spiffe://test/user/alice", VALID},
    {.label = "DNS name only", .san = "DNS:alice", .eku = CLIENT, .common_name = "alice", VALID},
    {.label = "server usage only", .san = ALICE, .eku = "serverAuth", .common_name = "x", VALID},
    {.label = "no usage", .san = ALICE, .common_name = "x", VALID},
    {.label = "user with server usage",
     .san = ALICE,
     .eku = "clientAuth,serverAuth",
     .common_name = "x",
     VALID},
    {.label = "any usage",
     .san = ALICE,
     .eku = "anyExtendedKeyUsage,clientAuth",
     .common_name = "x",
     VALID},
    {.label = "server with client usage only",
     .san = "URI:spiffe://test/server/s1",
     .eku = CLIENT,
     .common_name = "x",
     VALID},
    {.label = "NUL in the URI", .eku = CLIENT, .common_name = "x", VALID, .nul_in_uri = true},
    {.label = "two URIs",
     .san = ALICE ",URI:spiffe://test/user/root",
     .eku = CLIENT,
     .common_name = "x",
     VALID},
    {.label = "a CA", UNFLAWED, .is_ca = true},
    {.label = "unknown role",
     .san = "URI:spiffe://test/admin/alice",
     .eku = CLIENT,
     .common_name = "x",
     VALID},
    {.label = "extra path",
     .san = "URI:spiffe://test/user/alice/x",
     .eku = CLIENT,
     .common_name = "x",
     VALID},
    {.label = "no name",
     .san = "URI:spiffe://test/user/",
     .eku = CLIENT,
     .common_name = "x",
     VALID},
    {.label = "no cluster",
     .san = "URI:spiffe:///user/alice",
     .eku = CLIENT,
     .common_name = "x",
     VALID},
    {.label = "percent",
     .san = "URI:spiffe://test/user/al%69ce",
     .eku = CLIENT,
     .common_name = "x",
     VALID},
    {.label = "dots", .san = "URI:spiffe://test/user/..", .eku = CLIENT, .common_name = "x", VALID},
    {.label = "upper-case scheme",
     .san = "URI:SPIFFE://test/user/alice",
     .eku = CLIENT,
     .common_name = "x",
     VALID},
    {.label = "another scheme",
     .san = "URI:https://test/user/alice",
     .eku = CLIENT,
     .common_name = "x",
     VALID},
};

/* ---- clients ------------------------------------------------------------------------------- */

static bool server_decided(void *ctx)
{
    struct pair *pair = ctx;
    return pair->server.opened || pair->server.closed;
}

static void the_control_certificate_is_accepted(void **state)
{
    struct world *world = *state;
    struct pair pair;
    forge(&world->fixture, &CONTROL);
    struct tt_tls_context *tls = fixture_context(&world->fixture, false, "forged");
    pair_connect(&pair, &world->door, tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_open, &pair));
    assert_string_equal(pair.server.peer.name, "alice");
    pair_close(&pair);
    tt_tls_context_unref(tls);
}

static void flawed_client_certificates_are_refused(void **state)
{
    struct world *world = *state;
    for (size_t i = 0; i < sizeof FLAWED / sizeof FLAWED[0]; i++) {
        struct pair pair;
        forge(&world->fixture, &FLAWED[i]);
        struct tt_tls_context *tls = fixture_context(&world->fixture, false, "forged");
        pair_connect(&pair, &world->door, tls, NULL);
        assert_true(fixture_turn_until(&world->fixture, server_decided, &pair));
        if (pair.server.opened) {
            fail_msg("accepted: %s", FLAWED[i].label);
        }
        assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
        assert_true(pair.server.failed);
        assert_true(pair.client.failed);
        assert_int_equal(pair.server.code, TT_ETLS);
        tt_tls_context_unref(tls);
    }
}

/* OpenSSL would not even load such a certificate to present it; another library might. */
static void a_certificate_with_its_san_twice_is_nobody(void **state)
{
    struct world *world = *state;
    const struct forgery cases[] = {{.label = "twice", UNFLAWED, .twice = true}, CONTROL};
    for (size_t i = 0; i < 2; i++) {
        char path[FIXTURE_PATH_SIZE];
        struct tt_peer_identity identity;
        forge(&world->fixture, &cases[i]);
        FILE *file = fopen(fixture_path(&world->fixture, "forged.crt", path), "r");
        assert_non_null(file);
        X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(tt_identity_from_cert(cert, &identity, NULL),
                         cases[i].twice ? TT_EUNAUTHORIZED : 0);
        X509_free(cert);
    }
}

static void a_client_without_certificate_is_refused(void **state)
{
    struct world *world = *state;
    struct pair pair;
    char paths[3][FIXTURE_PATH_SIZE];
    struct tt_tls_config config = fixture_config(false, paths, &world->fixture, "user");
    struct tt_tls_context *tls = NULL;
    config.cert_path = NULL;
    config.key_path = NULL;
    assert_int_equal(tt_tls_context_new(&config, &tls, NULL), 0);
    pair_connect(&pair, &world->door, tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
    assert_false(pair.server.opened);
    tt_tls_context_unref(tls);
}

static void a_client_of_another_protocol_is_refused(void **state)
{
    struct world *world = *state;
    struct pair pair;
    char paths[3][FIXTURE_PATH_SIZE];
    struct tt_tls_config config = fixture_config(false, paths, &world->fixture, "user");
    struct tt_tls_context *tls = NULL;
    config.alpn = "other/1";
    assert_int_equal(tt_tls_context_new(&config, &tls, NULL), 0);
    pair_connect(&pair, &world->door, tls, NULL);
    assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
    assert_false(pair.server.opened || pair.client.opened);
    tt_tls_context_unref(tls);
}

/* ---- servers ------------------------------------------------------------------------------- */

static void flawed_server_certificates_are_refused(void **state)
{
    struct world *world = *state;
    static const char both[] = "serverAuth,clientAuth";
    static const char s1[] = "URI:spiffe://test/server/s1";
    const struct forgery cases[] = {
        {.label = "expired", .san = s1, .eku = both, .common_name = "x", .from_s = -99, .to_s = -9},
        {.label = "wrong CA",
         .san = s1,
         .eku = both,
         .common_name = "x",
         VALID,
         .foreign_ca = true},
        {.label = "a user", UNFLAWED},
        {.label = "no URI", .san = "DNS:localhost", .eku = both, .common_name = "x", VALID},
        {.label = "no usage", .san = s1, .common_name = "x", VALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair pair;
        struct door door;
        forge(&world->fixture, &cases[i]);
        struct tt_tls_context *tls = fixture_context(&world->fixture, true, "forged");
        door_open(&door, &world->fixture, tls);
        pair_connect(&pair, &door, world->client_tls, NULL);
        assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
        if (pair.client.opened) {
            fail_msg("accepted: %s", cases[i].label);
        }
        door_close(&door);
        tt_tls_context_unref(tls);
    }
}

/* ---- sessions ------------------------------------------------------------------------------ */

static int session_count;

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    (void)session;
    session_count++;
    return 0;
}

/* A plain OpenSSL client: 1 handshake done and one byte echoed, 0 refused. */
static int raw_try(struct world *world, SSL_CTX *ctx, SSL_SESSION *resume,
                   SSL_SESSION **ret_session)
{
    struct end end = {.fixture = &world->fixture, .echo = true};
    struct sockaddr_in address = {.sin_family = AF_INET};
    uint64_t end_ms = tt_clock_ms(tt_clock_real()) + FIXTURE_TURN_MS_MAX;
    char byte = 'x';
    size_t size = 0;
    int result = -1;
    world->door.next = &end;
    address.sin_port = htons(tt_tls_listener_port(world->door.listener));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    SSL *ssl = SSL_new(ctx);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    if (resume != NULL) {
        (void)SSL_set_session(ssl, resume);
    }
    SSL_set_connect_state(ssl);
    bool written = false;
    while (result < 0 && tt_clock_ms(tt_clock_real()) < end_ms) {
        ERR_clear_error();
        int r = !written ? SSL_write_ex(ssl, &byte, 1, &size) : SSL_read_ex(ssl, &byte, 1, &size);
        int error = SSL_get_error(ssl, r);
        if (r == 1 && written) {
            result = 1;
        } else if (r == 1) {
            written = true;
        } else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            result = 0;
        }
        (void)uv_run(tt_loop_uv(world->fixture.loop), UV_RUN_NOWAIT);
    }
    assert_int_equal(SSL_session_reused(ssl), 0);
    *ret_session = SSL_get1_session(ssl);
    SSL_free(ssl);
    (void)close(fd);
    while (!end.closed) {
        (void)uv_run(tt_loop_uv(world->fixture.loop), UV_RUN_ONCE);
    }
    return result;
}

static SSL_CTX *raw_ctx(const struct world *world, const char *file)
{
    char path[FIXTURE_PATH_SIZE];
    char name[32];
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
    if (file != NULL) {
        (void)snprintf(name, sizeof name, "%s.crt", file);
        assert_int_equal(
            SSL_CTX_use_certificate_chain_file(ctx, fixture_path(&world->fixture, name, path)), 1);
        (void)snprintf(name, sizeof name, "%s.key", file);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, fixture_path(&world->fixture, name, path),
                                                     SSL_FILETYPE_PEM),
                         1);
    }
    return ctx;
}

/* A session of an authenticated client must not open the door for one without certificate. */
static void no_session_can_be_resumed(void **state)
{
    struct world *world = *state;
    SSL_CTX *with = raw_ctx(world, "user");
    SSL_CTX *without = raw_ctx(world, NULL);
    SSL_SESSION *first = NULL;
    SSL_SESSION *second = NULL;
    session_count = 0;
    assert_int_equal(raw_try(world, with, NULL, &first), 1);
    assert_int_equal(session_count, 0); /* no ticket came */
    assert_int_equal(raw_try(world, without, first, &second), 0);
    SSL_SESSION_free(second);
    assert_int_equal(raw_try(world, with, first, &second), 1); /* a full handshake */
    SSL_SESSION_free(second);
    SSL_SESSION_free(first);
    SSL_CTX_free(with);
    SSL_CTX_free(without);
}

static void older_protocols_are_refused(void **state)
{
    struct world *world = *state;
    SSL_CTX *ctx = raw_ctx(world, "user");
    SSL_SESSION *session = NULL;
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1);
    assert_int_equal(raw_try(world, ctx, NULL, &session), 0);
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx);
}

static void noise_instead_of_tls_is_refused(void **state)
{
    struct world *world = *state;
    struct end end = {.fixture = &world->fixture};
    struct pair pair = {.server = end};
    struct sockaddr_in address = {.sin_family = AF_INET};
    world->door.next = &pair.server;
    pair.client.closed = true;
    address.sin_port = htons(tt_tls_listener_port(world->door.listener));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    assert_true(fixture_turn_until(&world->fixture, pair_is_closed, &pair));
    assert_true(pair.server.failed);
    assert_false(pair.server.opened);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_control_certificate_is_accepted),
        cmocka_unit_test(flawed_client_certificates_are_refused),
        cmocka_unit_test(a_certificate_with_its_san_twice_is_nobody),
        cmocka_unit_test(a_client_without_certificate_is_refused),
        cmocka_unit_test(a_client_of_another_protocol_is_refused),
        cmocka_unit_test(flawed_server_certificates_are_refused),
        cmocka_unit_test(no_session_can_be_resumed),
        cmocka_unit_test(older_protocols_are_refused),
        cmocka_unit_test(noise_instead_of_tls_is_refused),
    };
    return cmocka_run_group_tests(tests, world_up, world_down);
}
