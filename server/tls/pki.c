#include "server/tls/pki.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#include "base/file.h"
#include "base/intmath.h"
#include "server/tls/openssl_err.h"
#include "server/tls/pki_internal.h"

/* Happy path: a CA is made once (or loaded) → it issues for a subject the caller vouches for, on a
 * fresh key or on the key of a request → PEM out. Files are written key first: a reloader that
 * looks between the two writes finds a pair that does not fit, keeps the old one and looks again.
 *
 * Failure modes: a subject that could not be read back as an identity is refused before anything is
 * written; a request with a bad self-signature proves no possession of its key and is refused. */

enum { LOOK_MS_MIN = 1000, LOOK_MS_MAX = 60000, LOOKS_PER_LIFE = 30 };

static EVP_PKEY *key_new(void)
{
    return EVP_EC_gen("P-256");
}

int tt_pki_ca_new(const char *cluster, uint64_t wall_ms, uint64_t validity_s,
                  struct tt_pki_ca **ret_ca, struct tt_err *err)
{
    TT_PKI_AUTO_KEY key = key_new();
    X509 *cert = NULL;
    if (key == NULL) {
        return TT_FAIL_SSL(err, TT_ETLS, "make a key");
    }
    int r = tt_pki_build_ca(cluster, key, wall_ms, validity_s, &cert, err);
    if (r != 0) {
        return r;
    }
    struct tt_pki_ca *ca = TT_NEW(struct tt_pki_ca);
    ca->key = TT_TAKE(key);
    ca->cert = cert;
    (void)snprintf(ca->cluster, sizeof ca->cluster, "%s", cluster); /* checked by build_ca */
    *ret_ca = ca;
    return 0;
}

/* The trust domain of a CA is its URI SAN without a path (SPIFFE X.509-SVID, 3.1). */
static int cluster_of(X509 *cert, char *out, size_t out_size, struct tt_err *err)
{
    struct tt_str scheme = TT_STR("spiffe://");
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) {
            continue;
        }
        const ASN1_IA5STRING *uri = name->d.uniformResourceIdentifier;
        struct tt_str text =
            tt_str((const char *)ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri));
        struct tt_str domain = tt_str_skip(text, scheme.len);
        if (tt_str_starts(text, scheme) && domain.len > 0 && domain.len < out_size) {
            memcpy(out, domain.ptr, domain.len);
            out[domain.len] = '\0';
            found = true;
        }
    }
    GENERAL_NAMES_free(names);
    char uri[sizeof((struct tt_peer_identity *)NULL)->uri];
    if (!found ||
        tt_identity_format(out, TT_IDENTITY_SERVER, TT_STR("x"), uri, sizeof uri, NULL) != 0) {
        return TT_FAIL(err, TT_EINVALID,
                       "the CA names no trust domain (URI SAN spiffe://<cluster>)");
    }
    return 0;
}

int tt_pki_ca_from_pem(struct tt_str cert_pem, struct tt_str key_pem, struct tt_pki_ca **ret_ca,
                       struct tt_err *err)
{
    TT_AUTO(tt_pki_ca) ca = TT_NEW(struct tt_pki_ca);
    int r = tt_pki_cert_from_pem(cert_pem, &ca->cert, err);
    if (r == 0) {
        r = tt_pki_key_from_pem(key_pem, &ca->key, err);
    }
    if (r == 0 && X509_check_ca(ca->cert) != 1) {
        r = TT_FAIL(err, TT_EINVALID, "the certificate is not a CA");
    }
    if (r == 0 && X509_check_private_key(ca->cert, ca->key) != 1) {
        r = TT_FAIL_SSL(err, TT_EINVALID, "the key is not that of the CA");
    }
    if (r == 0) {
        r = cluster_of(ca->cert, ca->cluster, sizeof ca->cluster, err);
    }
    if (r == 0) {
        *ret_ca = TT_TAKE(ca);
    }
    return r;
}

void tt_pki_ca_free(struct tt_pki_ca *ca)
{
    if (ca == NULL) {
        return;
    }
    EVP_PKEY_free(ca->key);
    X509_free(ca->cert);
    tt_free(ca);
}

const char *tt_pki_ca_cluster(const struct tt_pki_ca *ca)
{
    return ca->cluster;
}

static int fingerprint(X509 *cert, char out[TT_PKI_FINGERPRINT_SIZE], struct tt_err *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (X509_digest(cert, EVP_sha256(), digest, &size) != 1) {
        return TT_FAIL_SSL(err, TT_ETLS, "compute a fingerprint");
    }
    TT_ASSERT(2 * size + 1 == TT_PKI_FINGERPRINT_SIZE);
    (void)tt_hex_encode(digest, size, out);
    return 0;
}

int tt_pki_ca_fingerprint(const struct tt_pki_ca *ca, char out[TT_PKI_FINGERPRINT_SIZE],
                          struct tt_err *err)
{
    return fingerprint(ca->cert, out, err);
}

int tt_pki_fingerprint(struct tt_str cert_pem, char out[TT_PKI_FINGERPRINT_SIZE],
                       struct tt_err *err)
{
    TT_PKI_AUTO_CERT cert = NULL;
    int r = tt_pki_cert_from_pem(cert_pem, &cert, err);
    return r == 0 ? fingerprint(cert, out, err) : r;
}

int tt_pki_ca_cert_pem(const struct tt_pki_ca *ca, struct tt_buf *ret_pem, struct tt_err *err)
{
    return tt_pki_cert_to_pem(ca->cert, ret_pem, err);
}

int tt_pki_ca_key_pem(const struct tt_pki_ca *ca, struct tt_buf *ret_pem, struct tt_err *err)
{
    return tt_pki_key_to_pem(ca->key, ret_pem, err);
}

static int write_pair(const struct tt_buf *cert, const struct tt_buf *key, const char *cert_path,
                      const char *key_path, struct tt_err *err)
{
    int r = tt_file_write_atomic(key_path, tt_buf_view(key), 0600, err);
    return r == 0 ? tt_file_write_atomic(cert_path, tt_buf_view(cert), 0644, err) : r;
}

int tt_pki_ca_save(const struct tt_pki_ca *ca, const char *cert_path, const char *key_path,
                   struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf cert = {0};
    TT_PKI_AUTO_WIPE key = {0};
    int r = tt_pki_ca_cert_pem(ca, &cert, err);
    if (r == 0) {
        r = tt_pki_ca_key_pem(ca, &key, err);
    }
    return r == 0 ? write_pair(&cert, &key, cert_path, key_path, err) : r;
}

int tt_pki_ca_load(const char *cert_path, const char *key_path, struct tt_pki_ca **ret_ca,
                   struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf cert = {0};
    TT_PKI_AUTO_WIPE key = {0};
    int r = tt_file_read(cert_path, TT_PKI_PEM_SIZE_MAX, &cert, err);
    if (r == 0) {
        r = tt_file_read(key_path, TT_PKI_PEM_SIZE_MAX, &key, err);
    }
    if (r == 0) {
        r = tt_pki_ca_from_pem(tt_buf_view(&cert), tt_buf_view(&key), ret_ca, err);
    }
    return r == 0 ? 0 : TT_WRAP(err, r, "load the CA %s", cert_path);
}

static int issue_on_key(const struct tt_pki_ca *ca, EVP_PKEY *key,
                        const struct tt_pki_subject *subject, uint64_t wall_ms,
                        struct tt_buf *ret_cert_pem, struct tt_err *err)
{
    TT_PKI_AUTO_CERT cert = NULL;
    int r = tt_pki_build_leaf(ca, key, subject, wall_ms, &cert, err);
    return r == 0 ? tt_pki_cert_to_pem(cert, ret_cert_pem, err) : r;
}

int tt_pki_issue(const struct tt_pki_ca *ca, const struct tt_pki_subject *subject, uint64_t wall_ms,
                 struct tt_buf *ret_cert_pem, struct tt_buf *ret_key_pem, struct tt_err *err)
{
    TT_PKI_AUTO_KEY key = key_new();
    tt_buf_init(ret_cert_pem, TT_PKI_PEM_SIZE_MAX);
    tt_buf_init(ret_key_pem, TT_PKI_PEM_SIZE_MAX);
    if (key == NULL) {
        return TT_FAIL_SSL(err, TT_ETLS, "make a key");
    }
    int r = issue_on_key(ca, key, subject, wall_ms, ret_cert_pem, err);
    return r == 0 ? tt_pki_key_to_pem(key, ret_key_pem, err) : r;
}

int tt_pki_issue_files(const struct tt_pki_ca *ca, const struct tt_pki_subject *subject,
                       uint64_t wall_ms, const char *cert_path, const char *key_path,
                       struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf cert = {0};
    TT_PKI_AUTO_WIPE key = {0};
    int r = tt_pki_issue(ca, subject, wall_ms, &cert, &key, err);
    return r == 0 ? write_pair(&cert, &key, cert_path, key_path, err) : r;
}

static bool key_is_p256(EVP_PKEY *key)
{
    char group[32] = "";
    size_t size = 0;
    return EVP_PKEY_is_a(key, "EC") == 1 &&
           EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

int tt_pki_reissue(const struct tt_pki_ca *ca, struct tt_str cert_pem,
                   const struct tt_pki_subject *subject, uint64_t wall_ms,
                   struct tt_buf *ret_cert_pem, struct tt_err *err)
{
    TT_PKI_AUTO_CERT cert = NULL;
    tt_buf_init(ret_cert_pem, TT_PKI_PEM_SIZE_MAX);
    int r = tt_pki_cert_from_pem(cert_pem, &cert, err);
    if (r != 0) {
        return r;
    }
    EVP_PKEY *key = X509_get0_pubkey(cert);
    if (key == NULL || !key_is_p256(key)) {
        return TT_FAIL_SSL(err, TT_EINVALID, "the certificate's key is not EC P-256");
    }
    return issue_on_key(ca, key, subject, wall_ms, ret_cert_pem, err);
}

int tt_pki_csr_new(struct tt_buf *ret_csr_pem, struct tt_buf *ret_key_pem, struct tt_err *err)
{
    TT_PKI_AUTO_KEY key = key_new();
    TT_PKI_AUTO_CSR csr = X509_REQ_new();
    tt_buf_init(ret_csr_pem, TT_PKI_PEM_SIZE_MAX);
    tt_buf_init(ret_key_pem, TT_PKI_PEM_SIZE_MAX);
    if (key == NULL || csr == NULL || X509_REQ_set_version(csr, X509_REQ_VERSION_1) != 1 ||
        X509_REQ_set_pubkey(csr, key) != 1 || X509_REQ_sign(csr, key, EVP_sha256()) <= 0) {
        return TT_FAIL_SSL(err, TT_ETLS, "make a certificate request");
    }
    int r = tt_pki_csr_to_pem(csr, ret_csr_pem, err);
    return r == 0 ? tt_pki_key_to_pem(key, ret_key_pem, err) : r;
}

int tt_pki_csr_sign(const struct tt_pki_ca *ca, struct tt_str csr_pem,
                    const struct tt_pki_subject *subject, uint64_t wall_ms,
                    struct tt_buf *ret_cert_pem, struct tt_err *err)
{
    TT_PKI_AUTO_CSR csr = NULL;
    tt_buf_init(ret_cert_pem, TT_PKI_PEM_SIZE_MAX);
    int r = tt_pki_csr_from_pem(csr_pem, &csr, err);
    if (r != 0) {
        return r;
    }
    EVP_PKEY *key = X509_REQ_get0_pubkey(csr);
    if (key == NULL || !key_is_p256(key)) {
        return TT_FAIL_SSL(err, TT_EINVALID, "the request's key is not EC P-256");
    }
    if (X509_REQ_verify(csr, key) != 1) {
        return TT_FAIL_SSL(err, TT_EINVALID, "the request is not signed by its own key");
    }
    return issue_on_key(ca, key, subject, wall_ms, ret_cert_pem, err);
}

static uint64_t time_ms(const ASN1_TIME *time)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(time, &tm) != 1) {
        return 0;
    }
    time_t seconds = timegm(&tm);
    return seconds > 0 ? (uint64_t)seconds * 1000u : 0;
}

/* Appends one DNS or IP name to the comma list; other types are not hosts. */
static void append_host(struct tt_buf *list, const GENERAL_NAME *name)
{
    char ip[INET6_ADDRSTRLEN];
    const ASN1_STRING *value = NULL;
    if (name->type == GEN_DNS) {
        value = name->d.dNSName;
    } else if (name->type == GEN_IPADD) {
        value = name->d.iPAddress;
        int size = ASN1_STRING_length(value);
        if ((size != 4 && size != 16) ||
            inet_ntop(size == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), ip,
                      sizeof ip) == NULL) {
            return;
        }
    } else {
        return;
    }
    if (list->len > 0) {
        tt_buf_char(list, ',');
    }
    if (name->type == GEN_IPADD) {
        tt_buf_c(list, ip);
    } else {
        tt_buf_append(list, ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    }
}

static int hosts_of(X509 *cert, struct tt_pki_info *info, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf list;
    tt_buf_init(&list, sizeof info->hosts - 1);
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        append_host(&list, sk_GENERAL_NAME_value(names, i));
    }
    GENERAL_NAMES_free(names);
    if (!tt_buf_ok(&list)) {
        return TT_FAIL(err, TT_ETOOLARGE, "the certificate has too many host names");
    }
    memcpy(info->hosts, list.len > 0 ? list.ptr : "", list.len);
    info->hosts[list.len] = '\0';
    return 0;
}

int tt_pki_cert_info(struct tt_str cert_pem, struct tt_pki_info *ret_info, struct tt_err *err)
{
    TT_PKI_AUTO_CERT cert = NULL;
    struct tt_pki_info info;
    memset(&info, 0, sizeof info);
    int r = tt_pki_cert_from_pem(cert_pem, &cert, err);
    if (r == 0) {
        r = tt_identity_from_cert(cert, &info.identity, err);
    }
    if (r == 0) {
        r = hosts_of(cert, &info, err);
    }
    if (r != 0) {
        return r;
    }
    info.not_before_ms = time_ms(X509_get0_notBefore(cert));
    info.not_after_ms = time_ms(X509_get0_notAfter(cert));
    *ret_info = info;
    return 0;
}

static uint64_t life_ms(const struct tt_peer_identity *identity)
{
    return identity->not_after_ms > identity->issued_ms
               ? identity->not_after_ms - identity->issued_ms
               : 0;
}

uint64_t tt_pki_renew_at_ms(const struct tt_peer_identity *identity)
{
    return identity->issued_ms + life_ms(identity) / 3 * 2;
}

uint64_t tt_pki_look_every_ms(const struct tt_peer_identity *identity)
{
    uint64_t life = life_ms(identity); /* 0: not known */
    return life > 0 ? tt_u64_min(LOOK_MS_MAX, tt_u64_max(LOOK_MS_MIN, life / LOOKS_PER_LIFE))
                    : LOOK_MS_MAX;
}

uint64_t tt_pki_successor_s(const struct tt_peer_identity *identity)
{
    /* Rounded up: certificates end at whole seconds, and must not get shorter at each renewal. */
    uint64_t life_s = identity->meant_s > 0 ? identity->meant_s : (life_ms(identity) + 999) / 1000;
    return tt_u64_max(1, tt_u64_min(TT_PKI_VALIDITY_S_DEFAULT, life_s));
}

/* Appends the certificates of `pem` that are not in ret_pem yet. */
static int bundle_add(struct tt_str pem, struct tt_buf *ret_pem, struct tt_err *err)
{
    if (pem.len > TT_PKI_PEM_SIZE_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "PEM text is too long");
    }
    BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
    int r = bio != NULL ? 0 : TT_FAIL_SSL(err, TT_ENOMEM, "read PEM");
    int count = 0;
    while (r == 0) {
        TT_PKI_AUTO_CERT cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        TT_AUTO_BUF struct tt_buf text = {0};
        if (cert == NULL) {
            /* Anything but the end of the text is a broken certificate: never trust half a file. */
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE || count == 0) {
                r = TT_FAIL_SSL(err, TT_EINVALID, "read a trust bundle");
            }
            ERR_clear_error();
            break;
        }
        count++;
        if (X509_check_ca(cert) != 1) {
            r = TT_FAIL(err, TT_EINVALID, "a trust bundle holds CAs only");
        } else if ((r = tt_pki_cert_to_pem(cert, &text, err)) == 0 &&
                   tt_str_find_str(tt_buf_view(ret_pem), tt_buf_view(&text)) < 0) {
            tt_buf_str(ret_pem, tt_buf_view(&text));
        }
    }
    BIO_free(bio);
    return r;
}

int tt_pki_bundle(struct tt_str ca_pem_a, struct tt_str ca_pem_b, struct tt_buf *ret_pem,
                  struct tt_err *err)
{
    tt_buf_init(ret_pem, TT_PKI_PEM_SIZE_MAX);
    int r = bundle_add(ca_pem_a, ret_pem, err);
    if (r == 0) {
        r = bundle_add(ca_pem_b, ret_pem, err);
    }
    if (r == 0 && !tt_buf_ok(ret_pem)) {
        r = TT_FAIL(err, TT_ETOOLARGE, "the trust bundle is too long");
    }
    return r;
}
