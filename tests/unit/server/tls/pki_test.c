/* The certificate authority: what it signs, and what it refuses to. */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "tests/unit/server/tls/fixture.h"

enum { HOUR_MS = 3600000 };

static int up(void **state)
{
    struct fixture *fixture = test_calloc(1, sizeof *fixture);
    fixture_up(fixture);
    *state = fixture;
    return 0;
}

static int down(void **state)
{
    fixture_down(*state);
    test_free(*state);
    return 0;
}

static uint64_t now_ms(void)
{
    return tt_clock_wall_ms(tt_clock_real());
}

static X509 *cert_of(const struct tt_buf *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->ptr, (int)pem->len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static X509 *issue(struct fixture *fixture, const struct tt_pki_subject *subject)
{
    struct tt_buf cert = {0};
    struct tt_buf key = {0};
    struct tt_err err;
    tt_err_init(&err);
    fixture_must(tt_pki_issue(fixture->ca, subject, now_ms(), &cert, &key, &err), &err);
    X509 *parsed = cert_of(&cert);
    tt_buf_fini(&cert);
    tt_pki_buf_wipe(&key);
    assert_null(key.ptr);
    return parsed;
}

static void a_server_certificate_passes_host_checks_of_other_tools(void **state)
{
    X509 *cert = issue(*state, &(struct tt_pki_subject){.role = TT_IDENTITY_SERVER,
                                                        .name = "s1",
                                                        .hosts = "localhost, 127.0.0.1,::1,a.b-c"});
    assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(cert, "a.b-c", 0, 0, NULL), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "127.0.0.2", 0), 0);
    assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0), 1);
    assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0), 1);
    X509_free(cert);
}

static void usages_follow_the_role(void **state)
{
    X509 *agent = issue(*state, &(struct tt_pki_subject){.role = TT_IDENTITY_AGENT, .name = "n1"});
    X509 *user = issue(*state, &(struct tt_pki_subject){.role = TT_IDENTITY_USER, .name = "alice"});
    assert_int_equal(X509_get_extended_key_usage(agent), XKU_SSL_CLIENT | XKU_SSL_SERVER);
    assert_int_equal(X509_get_extended_key_usage(user), XKU_SSL_CLIENT);
    assert_int_equal(X509_check_purpose(user, X509_PURPOSE_SSL_SERVER, 0), 0);
    X509_free(agent);
    X509_free(user);
}

static void info_reads_back_what_was_issued(void **state)
{
    struct fixture *fixture = *state;
    TT_AUTO_BUF struct tt_buf pem = {0};
    char path[FIXTURE_PATH_SIZE];
    struct tt_pki_info info;
    struct tt_err err;
    tt_err_init(&err);
    fixture_must(
        tt_file_read(fixture_path(fixture, "server.crt", path), TT_PKI_PEM_SIZE_MAX, &pem, &err),
        &err);
    fixture_must(tt_pki_cert_info(tt_buf_view(&pem), &info, &err), &err);
    assert_string_equal(info.identity.uri, "spiffe://test/server/s1");
    assert_string_equal(info.hosts, "localhost,127.0.0.1,::1");
    assert_true(strlen(info.identity.serial) == 32);
    uint64_t left_ms = info.not_after_ms - now_ms();
    assert_true(left_ms <= 24 * (uint64_t)HOUR_MS && left_ms > 23 * (uint64_t)HOUR_MS);
    uint64_t renew_ms = tt_pki_renew_at_ms(&info.identity);
    assert_int_equal(tt_pki_look_every_ms(&info.identity), 60000);
    assert_int_equal(tt_pki_successor_s(&info.identity), 24 * 3600);
    assert_true(renew_ms > now_ms() + 15 * (uint64_t)HOUR_MS);
    assert_true(renew_ms < now_ms() + 17 * (uint64_t)HOUR_MS);
}

/* Generation after generation: as long as before, looked at often enough, never longer than a day.
 */
static void a_short_life_is_kept(void **state)
{
    (void)state;
    uint64_t now = UINT64_C(1700000000900);
    struct tt_peer_identity identity = {.issued_ms = now, .not_after_ms = now + 9100};
    assert_int_equal(tt_pki_successor_s(&identity), 10);
    assert_int_equal(tt_pki_look_every_ms(&identity), 1000);
    assert_true(tt_pki_renew_at_ms(&identity) > now + 6000);
    assert_true(tt_pki_renew_at_ms(&identity) < now + 6100);
    identity.not_after_ms = now + 300 * (uint64_t)1000;
    assert_int_equal(tt_pki_look_every_ms(&identity), 10000);
    identity.not_after_ms = now + 365 * 24 * (uint64_t)HOUR_MS;
    assert_int_equal(tt_pki_successor_s(&identity), 24 * 3600);
    identity.not_after_ms = now - 1; /* ended: the shortest, not an overflow */
    assert_int_equal(tt_pki_successor_s(&identity), 1);
}

static void a_certificate_never_outlives_its_ca(void **state)
{
    (void)state;
    struct tt_pki_ca *ca = NULL;
    struct tt_buf cert = {0};
    struct tt_buf key = {0};
    struct tt_pki_info info;
    assert_int_equal(tt_pki_ca_new("short", now_ms(), 3600, &ca, NULL), 0);
    assert_int_equal(tt_pki_issue(ca,
                                  &(struct tt_pki_subject){.role = TT_IDENTITY_AGENT, .name = "n1"},
                                  now_ms(), &cert, &key, NULL),
                     0);
    assert_int_equal(tt_pki_cert_info(tt_buf_view(&cert), &info, NULL), 0);
    assert_true(info.not_after_ms <= now_ms() + HOUR_MS);
    tt_buf_fini(&cert);
    tt_pki_buf_wipe(&key);
    tt_pki_ca_free(ca);
}

/* One authority ends, another follows: the life that the first one's end cut is not for ever. */
static void a_life_that_was_cut_comes_back(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        uint64_t validity_s; /* asked for, under an authority with an hour left */
        uint64_t successor_s;
    } cases[] = {{0, 24 * 3600}, {7200, 7200}, {365 * 24 * 3600, 24 * 3600}, {10, 10}};
    struct tt_pki_ca *ending = NULL;
    assert_int_equal(tt_pki_ca_new("test", now_ms(), 3600, &ending, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        TT_AUTO_BUF struct tt_buf cut = {0};
        TT_AUTO_BUF struct tt_buf again = {0};
        struct tt_buf key = {0};
        struct tt_pki_info info;
        struct tt_err err;
        tt_err_init(&err);
        struct tt_pki_subject subject = {.role = TT_IDENTITY_SERVER,
                                         .name = "s1",
                                         .validity_s = cases[i].validity_s,
                                         .cluster_id = "c1",
                                         .revision = 12};
        fixture_must(tt_pki_issue(ending, &subject, now_ms(), &cut, &key, &err), &err);
        tt_pki_buf_wipe(&key);
        fixture_must(tt_pki_cert_info(tt_buf_view(&cut), &info, &err), &err);
        assert_true(info.not_after_ms <= now_ms() + HOUR_MS);
        assert_int_equal(info.identity.issued_revision, 12);
        assert_string_equal(info.identity.issued_cluster_id, "c1");
        subject.validity_s = tt_pki_successor_s(&info.identity);
        assert_int_equal(subject.validity_s, cases[i].successor_s);
        fixture_must(
            tt_pki_reissue(fixture->ca, tt_buf_view(&cut), &subject, now_ms(), &again, &err), &err);
        fixture_must(tt_pki_cert_info(tt_buf_view(&again), &info, &err), &err);
        assert_int_equal(info.identity.meant_s, 0); /* it has what it was to have */
        assert_int_equal(tt_pki_successor_s(&info.identity), cases[i].successor_s);
    }
    tt_pki_ca_free(ending);
}

static void a_ca_survives_its_files_and_keeps_its_key_private(void **state)
{
    struct fixture *fixture = *state;
    char cert[FIXTURE_PATH_SIZE];
    char key[FIXTURE_PATH_SIZE];
    char before[TT_PKI_FINGERPRINT_SIZE];
    char after[TT_PKI_FINGERPRINT_SIZE];
    struct tt_pki_ca *ca = NULL;
    struct stat st;
    assert_int_equal(tt_pki_ca_load(fixture_path(fixture, "ca.crt", cert),
                                    fixture_path(fixture, "ca.key", key), &ca, NULL),
                     0);
    assert_string_equal(tt_pki_ca_cluster(ca), "test");
    assert_int_equal(tt_pki_ca_fingerprint(fixture->ca, before, NULL), 0);
    assert_int_equal(tt_pki_ca_fingerprint(ca, after, NULL), 0);
    assert_string_equal(before, after);
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    tt_pki_ca_free(ca);
    ca = NULL; /* a leaf is no CA */
    assert_int_equal(tt_pki_ca_load(fixture_path(fixture, "server.crt", cert),
                                    fixture_path(fixture, "server.key", key), &ca, NULL),
                     TT_EINVALID);
    assert_null(ca);
}

static void subjects_that_cannot_be_are_refused(void **state)
{
    struct fixture *fixture = *state;
    static char long_name[200];
    memset(long_name, 'a', sizeof long_name - 1);
    const struct tt_pki_subject bad[] = {
        {.role = TT_IDENTITY_NONE, .name = "x"},
        {.role = TT_IDENTITY_SERVER, .name = ""},
        {.role = TT_IDENTITY_SERVER, .name = "a/b"},
        {.role = TT_IDENTITY_SERVER, .name = ".."},
        {.role = TT_IDENTITY_SERVER, .name = "a b"},
        {.role = TT_IDENTITY_SERVER, .name = long_name},
        {.role = TT_IDENTITY_SERVER, .name = "s1", .hosts = "*.example.org"},
        {.role = TT_IDENTITY_SERVER, .name = "s1", .hosts = "URI:spiffe://test/user/root"},
        {.role = TT_IDENTITY_SERVER, .name = "s1", .hosts = "a,,b"},
        {.role = TT_IDENTITY_SERVER, .name = "s1", .groups = "system:masters"},
        {.role = TT_IDENTITY_AGENT, .name = "n1", .groups = "system:masters"},
        {.role = TT_IDENTITY_USER, .name = "u", .hosts = "localhost"},
        {.role = TT_IDENTITY_USER, .name = "u", .groups = "1,2,3,4,5,6,7,8,9"},
        {.role = TT_IDENTITY_USER, .name = "u", .groups = "with space"},
        {.role = TT_IDENTITY_USER, .name = "u", .groups = long_name},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        TT_AUTO_BUF struct tt_buf cert = {0};
        TT_AUTO_BUF struct tt_buf key = {0};
        if (tt_pki_issue(fixture->ca, &bad[i], now_ms(), &cert, &key, NULL) != TT_EINVALID) {
            fail_msg("subject %zu was not refused", i);
        }
        assert_int_equal(cert.len, 0);
        assert_int_equal(key.len, 0);
    }
}

/* ---- requests ------------------------------------------------------------------------------ */

static struct tt_str csr_text(X509_REQ *csr, BIO **ret_bio)
{
    char *text = NULL;
    *ret_bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_X509_REQ(*ret_bio, csr), 1);
    long size = BIO_get_mem_data(*ret_bio, &text);
    return tt_str(text, (size_t)size);
}

/* A request that asks to be a server and a CA, and has a subject of its own. */
static X509_REQ *greedy_csr(EVP_PKEY *key, bool sign)
{
    X509_REQ *csr = X509_REQ_new();
    X509_NAME *name = X509_REQ_get_subject_name(csr);
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
                                                (const unsigned char *)"system:masters", -1, -1, 0),
                     1);
    sk_X509_EXTENSION_push(extensions,
                           X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
                                               "URI:spiffe://test/server/s1,DNS:evil.example"));
    sk_X509_EXTENSION_push(extensions,
                           X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:TRUE"));
    assert_int_equal(X509_REQ_add_extensions(csr, extensions), 1);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    assert_int_equal(X509_REQ_set_pubkey(csr, key), 1);
    EVP_PKEY *signer = sign ? NULL : EVP_EC_gen("P-256");
    assert_true(X509_REQ_sign(csr, sign ? key : signer, EVP_sha256()) > 0);
    EVP_PKEY_free(signer);
    return csr;
}

static const struct tt_pki_subject AGENT = {.role = TT_IDENTITY_AGENT, .name = "n1"};

static void a_request_counts_for_its_key_alone(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *csr = greedy_csr(key, true);
    BIO *bio = NULL;
    TT_AUTO_BUF struct tt_buf pem = {0};
    struct tt_pki_info info;
    struct tt_err err;
    tt_err_init(&err);
    fixture_must(tt_pki_csr_sign(fixture->ca, csr_text(csr, &bio), &AGENT, now_ms(), &pem, &err),
                 &err);
    fixture_must(tt_pki_cert_info(tt_buf_view(&pem), &info, &err), &err);
    assert_string_equal(info.identity.uri, "spiffe://test/agent/n1");
    assert_string_equal(info.hosts, "");
    X509 *cert = cert_of(&pem);
    assert_int_equal(X509_check_ca(cert), 0);
    assert_int_equal(
        X509_NAME_get_index_by_NID(X509_get_subject_name(cert), NID_organizationName, -1), -1);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(cert), key), 1);
    X509_free(cert);
    X509_REQ_free(csr);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

static void a_request_not_signed_by_its_key_is_refused(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *csr = greedy_csr(key, false);
    BIO *bio = NULL;
    TT_AUTO_BUF struct tt_buf pem = {0};
    assert_int_equal(
        tt_pki_csr_sign(fixture->ca, csr_text(csr, &bio), &AGENT, now_ms(), &pem, NULL),
        TT_EINVALID);
    X509_REQ_free(csr);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

static void a_request_with_another_kind_of_key_is_refused(void **state)
{
    struct fixture *fixture = *state;
    EVP_PKEY *keys[] = {EVP_RSA_gen(1024), EVP_EC_gen("P-384")};
    for (size_t i = 0; i < 2; i++) {
        X509_REQ *csr = greedy_csr(keys[i], true);
        BIO *bio = NULL;
        TT_AUTO_BUF struct tt_buf pem = {0};
        assert_int_equal(
            tt_pki_csr_sign(fixture->ca, csr_text(csr, &bio), &AGENT, now_ms(), &pem, NULL),
            TT_EINVALID);
        X509_REQ_free(csr);
        BIO_free(bio);
        EVP_PKEY_free(keys[i]);
    }
}

static void our_own_requests_are_signed(void **state)
{
    struct fixture *fixture = *state;
    TT_AUTO_BUF struct tt_buf csr = {0};
    TT_AUTO_BUF struct tt_buf cert = {0};
    struct tt_buf key = {0};
    struct tt_err err;
    tt_err_init(&err);
    fixture_must(tt_pki_csr_new(&csr, &key, &err), &err);
    fixture_must(tt_pki_csr_sign(fixture->ca, tt_buf_view(&csr), &AGENT, now_ms(), &cert, &err),
                 &err);
    assert_non_null(strstr(key.ptr, "PRIVATE KEY"));
    tt_pki_buf_wipe(&key);
    TT_AUTO_BUF struct tt_buf none = {0};
    assert_int_equal(tt_pki_csr_sign(fixture->ca, TT_STR("garbage"), &AGENT, now_ms(), &none, NULL),
                     TT_EINVALID);
}

/* ---- bundles ------------------------------------------------------------------------------- */

static size_t count_of(const struct tt_buf *pem)
{
    struct tt_str rest = tt_buf_view(pem);
    size_t count = 0;
    ptrdiff_t at = 0;
    while ((at = tt_str_find_str(rest, TT_STR("BEGIN CERTIFICATE"))) >= 0) {
        rest = tt_str_skip(rest, (size_t)at + 1);
        count++;
    }
    return count;
}

static void a_bundle_holds_each_ca_once(void **state)
{
    struct fixture *fixture = *state;
    struct tt_pki_ca *other = NULL;
    TT_AUTO_BUF struct tt_buf a = {0};
    TT_AUTO_BUF struct tt_buf b = {0};
    TT_AUTO_BUF struct tt_buf both = {0};
    TT_AUTO_BUF struct tt_buf again = {0};
    assert_int_equal(tt_pki_ca_new("test", now_ms(), 0, &other, NULL), 0);
    assert_int_equal(tt_pki_ca_cert_pem(fixture->ca, &a, NULL), 0);
    assert_int_equal(tt_pki_ca_cert_pem(other, &b, NULL), 0);
    assert_int_equal(tt_pki_bundle(tt_buf_view(&a), tt_buf_view(&b), &both, NULL), 0);
    assert_int_equal(count_of(&both), 2);
    assert_int_equal(tt_pki_bundle(tt_buf_view(&both), tt_buf_view(&a), &again, NULL), 0);
    assert_int_equal(count_of(&again), 2);
    tt_pki_ca_free(other);
}

static void a_broken_or_foreign_bundle_is_refused(void **state)
{
    struct fixture *fixture = *state;
    TT_AUTO_BUF struct tt_buf a = {0};
    TT_AUTO_BUF struct tt_buf leaf = {0};
    char path[FIXTURE_PATH_SIZE];
    assert_int_equal(tt_pki_ca_cert_pem(fixture->ca, &a, NULL), 0);
    assert_int_equal(
        tt_file_read(fixture_path(fixture, "server.crt", path), TT_PKI_PEM_SIZE_MAX, &leaf, NULL),
        0);
    struct tt_buf out = {0};
    assert_int_equal(tt_pki_bundle(tt_buf_view(&a), tt_buf_view(&leaf), &out, NULL), TT_EINVALID);
    tt_buf_fini(&out);
    assert_int_equal(tt_pki_bundle(tt_buf_view(&a), TT_STR(""), &out, NULL), TT_EINVALID);
    tt_buf_fini(&out);
    a.ptr[a.len / 2] = '!';
    assert_int_equal(tt_pki_bundle(tt_buf_view(&a), tt_buf_view(&a), &out, NULL), TT_EINVALID);
    tt_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_certificate_passes_host_checks_of_other_tools),
        cmocka_unit_test(usages_follow_the_role),
        cmocka_unit_test(info_reads_back_what_was_issued),
        cmocka_unit_test(a_short_life_is_kept),
        cmocka_unit_test(a_certificate_never_outlives_its_ca),
        cmocka_unit_test(a_life_that_was_cut_comes_back),
        cmocka_unit_test(a_ca_survives_its_files_and_keeps_its_key_private),
        cmocka_unit_test(subjects_that_cannot_be_are_refused),
        cmocka_unit_test(a_request_counts_for_its_key_alone),
        cmocka_unit_test(a_request_not_signed_by_its_key_is_refused),
        cmocka_unit_test(a_request_with_another_kind_of_key_is_refused),
        cmocka_unit_test(our_own_requests_are_signed),
        cmocka_unit_test(a_bundle_holds_each_ca_once),
        cmocka_unit_test(a_broken_or_foreign_bundle_is_refused),
    };
    return cmocka_run_group_tests(tests, up, down);
}
