#include <arpa/inet.h>
#include <openssl/bn.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/rng.h"
#include "server/tls/openssl_err.h"
#include "server/tls/pki_internal.h"

/* Building one certificate: serial, times, names, extensions, signature. Every extension is built
 * from structures, never from OpenSSL's configuration strings: a host name cannot smuggle in
 * another SAN.
 *
 * The common name repeats the name for people and tools that show it; tutti never reads it. */

enum { BACKDATE_S = 300, HOST_SIZE_MAX = 253 };

static int set_serial(X509 *cert, struct tt_err *err)
{
    uint8_t bytes[16];
    tt_random_bytes(bytes, sizeof bytes);
    bytes[0] |= 1; /* never zero */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok ? 0 : TT_FAIL_SSL(err, TT_ETLS, "set a serial");
}

/* Backdated a little, so that a machine whose clock is late accepts it. */
static int set_times(X509 *cert, uint64_t wall_ms, uint64_t validity_s, struct tt_err *err)
{
    uint64_t now_s = wall_ms / 1000u;
    uint64_t from_s = now_s > BACKDATE_S ? now_s - BACKDATE_S : 0;
    uint64_t to_s = 0;
    if (__builtin_add_overflow(now_s, validity_s, &to_s) || to_s > (uint64_t)INT64_MAX ||
        ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)from_s) == NULL ||
        ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)to_s) == NULL) {
        return TT_FAIL_SSL(err, TT_EINVALID, "a validity of %llu s cannot be written",
                           (unsigned long long)validity_s);
    }
    return 0;
}

static int add_extension(X509 *cert, int nid, bool critical, void *value, struct tt_err *err)
{
    if (X509_add1_ext_i2d(cert, nid, value, critical, X509V3_ADD_DEFAULT) != 1) {
        return TT_FAIL_SSL(err, TT_ETLS, "add the extension %s", OBJ_nid2sn(nid));
    }
    return 0;
}

static int add_constraints(X509 *cert, bool is_ca, struct tt_err *err)
{
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    bool ok = constraints != NULL;
    if (ok && is_ca) {
        constraints->ca = 0xff; /* what DER calls true; strict readers refuse a 1 */
        constraints->pathlen = ASN1_INTEGER_new();
        ok = constraints->pathlen != NULL && ASN1_INTEGER_set(constraints->pathlen, 0) == 1;
    }
    int r = ok ? add_extension(cert, NID_basic_constraints, true, constraints, err)
               : TT_FAIL_SSL(err, TT_ENOMEM, "build constraints");
    BASIC_CONSTRAINTS_free(constraints);
    return r;
}

/* bits: KU_… of the first octet. */
static int add_usage(X509 *cert, uint8_t bits, struct tt_err *err)
{
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    bool ok = usage != NULL;
    for (int bit = 0; ok && bit < 8; bit++) {
        ok = (bits & (0x80u >> bit)) == 0 || ASN1_BIT_STRING_set_bit(usage, bit, 1) == 1;
    }
    int r = ok ? add_extension(cert, NID_key_usage, true, usage, err)
               : TT_FAIL_SSL(err, TT_ENOMEM, "build a key usage");
    ASN1_BIT_STRING_free(usage);
    return r;
}

static int add_extended_usage(X509 *cert, enum tt_role role, struct tt_err *err)
{
    EXTENDED_KEY_USAGE *usage = sk_ASN1_OBJECT_new_null();
    bool ok = usage != NULL && sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(NID_client_auth)) > 0;
    if (ok && role != TT_IDENTITY_USER) {
        ok = sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(NID_server_auth)) > 0;
    }
    int r = ok ? add_extension(cert, NID_ext_key_usage, false, usage, err)
               : TT_FAIL_SSL(err, TT_ENOMEM, "build an extended key usage");
    sk_ASN1_OBJECT_pop_free(usage, ASN1_OBJECT_free);
    return r;
}

/* SHA-1 of the public key names a key (RFC 5280, 4.2.1.2); it protects nothing. */
static int add_key_ids(X509 *cert, X509 *issuer, struct tt_err *err)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
    int r = 0;
    if (id == NULL || X509_pubkey_digest(cert, EVP_sha1(), digest, &size) != 1 ||
        ASN1_OCTET_STRING_set(id, digest, (int)size) != 1) {
        r = TT_FAIL_SSL(err, TT_ETLS, "compute a key id");
    } else {
        r = add_extension(cert, NID_subject_key_identifier, false, id, err);
    }
    ASN1_OCTET_STRING_free(id);
    if (r != 0) {
        return r;
    }
    const ASN1_OCTET_STRING *issuer_id = X509_get0_subject_key_id(issuer);
    if (issuer_id == NULL) {
        return 0; /* a foreign CA without one */
    }
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    if (authority != NULL) {
        authority->keyid = ASN1_OCTET_STRING_dup(issuer_id);
    }
    r = authority != NULL && authority->keyid != NULL
            ? add_extension(cert, NID_authority_key_identifier, false, authority, err)
            : TT_FAIL_SSL(err, TT_ENOMEM, "build an authority key id");
    AUTHORITY_KEYID_free(authority);
    return r;
}

static bool push_text_name(GENERAL_NAMES *names, int type, struct tt_str text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    if (name == NULL || value == NULL || ASN1_STRING_set(value, text.ptr, (int)text.len) != 1) {
        GENERAL_NAME_free(name);
        ASN1_IA5STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        return false;
    }
    return true;
}

static bool push_ip(GENERAL_NAMES *names, const uint8_t *bytes, int size)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    if (name == NULL || value == NULL || ASN1_OCTET_STRING_set(value, bytes, size) != 1) {
        GENERAL_NAME_free(name);
        ASN1_OCTET_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, GEN_IPADD, value);
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        return false;
    }
    return true;
}

static bool host_is_dns(struct tt_str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '-';
        if (!ok) {
            return false; /* no wildcards either */
        }
    }
    return host.ptr[0] != '.' && host.ptr[0] != '-' && host.ptr[host.len - 1] != '-';
}

static int push_host(GENERAL_NAMES *names, struct tt_str host, struct tt_err *err)
{
    char text[HOST_SIZE_MAX + 1];
    uint8_t bytes[sizeof(struct in6_addr)];
    if (host.len == 0 || host.len > HOST_SIZE_MAX) {
        return TT_FAIL(err, TT_EINVALID, "a host name has 1 to 253 characters");
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    bool ok = false;
    if (inet_pton(AF_INET, text, bytes) == 1) {
        ok = push_ip(names, bytes, 4);
    } else if (inet_pton(AF_INET6, text, bytes) == 1) {
        ok = push_ip(names, bytes, 16);
    } else if (host_is_dns(host)) {
        ok = push_text_name(names, GEN_DNS, host);
    } else {
        return TT_FAIL(err, TT_EINVALID, "\"%s\" is neither a DNS name nor an IP address", text);
    }
    return ok ? 0 : TT_FAIL_SSL(err, TT_ENOMEM, "build a subject alternative name");
}

static int add_names(X509 *cert, const char *uri, const char *hosts, struct tt_err *err)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    int r = names != NULL && push_text_name(names, GEN_URI, tt_str_c(uri))
                ? 0
                : TT_FAIL_SSL(err, TT_ENOMEM, "build a subject alternative name");
    struct tt_str rest = hosts != NULL && hosts[0] != '\0' ? tt_str_c(hosts) : TT_STR_NONE;
    struct tt_str host = TT_STR_NONE;
    for (int count = 0; r == 0 && tt_str_cut(&rest, ',', &host); count++) {
        r = count < TT_PKI_HOSTS_MAX
                ? push_host(names, tt_str_trim(host), err)
                : TT_FAIL(err, TT_EINVALID, "more than %d host names", TT_PKI_HOSTS_MAX);
    }
    if (r == 0) {
        r = add_extension(cert, NID_subject_alt_name, false, names, err);
    }
    GENERAL_NAMES_free(names);
    return r;
}

static int add_subject_part(X509 *cert, const char *field, struct tt_str text, struct tt_err *err)
{
    X509_NAME *name = X509_get_subject_name(cert);
    if (X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)text.ptr,
                                   (int)text.len, -1, 0) != 1) {
        return TT_FAIL_SSL(err, TT_EINVALID, "write %s=%.*s", field, TT_STR_ARG(text));
    }
    return 0;
}

static int add_groups(X509 *cert, const char *groups, struct tt_err *err)
{
    struct tt_str rest = groups != NULL && groups[0] != '\0' ? tt_str_c(groups) : TT_STR_NONE;
    struct tt_str group = TT_STR_NONE;
    int r = 0;
    for (int count = 0; r == 0 && tt_str_cut(&rest, ',', &group); count++) {
        r = count < TT_GROUPS_MAX ? add_subject_part(cert, "O", tt_str_trim(group), err)
                                  : TT_FAIL(err, TT_EINVALID, "more than %d groups", TT_GROUPS_MAX);
    }
    return r;
}

/* Version, serial, key: what every certificate begins with. */
static int begin(X509 *cert, EVP_PKEY *key, struct tt_err *err)
{
    if (cert == NULL || X509_set_version(cert, X509_VERSION_3) != 1 ||
        X509_set_pubkey(cert, key) != 1) {
        return TT_FAIL_SSL(err, TT_ENOMEM, "begin a certificate");
    }
    return set_serial(cert, err);
}

static int fill_ca(X509 *cert, const char *cluster, EVP_PKEY *key, struct tt_err *err)
{
    char uri[128];
    char name[128];
    uint8_t random[4];
    char suffix[2 * sizeof random + 1];
    tt_random_bytes(random, sizeof random); /* two CAs of a rotation must not share a subject */
    (void)tt_hex_encode(random, sizeof random, suffix);
    (void)snprintf(uri, sizeof uri, "spiffe://%s", cluster); /* both fit: cluster has at most 63 */
    (void)snprintf(name, sizeof name, "tutti CA %.40s %s", cluster, suffix);
    int r = add_subject_part(cert, "CN", tt_str_c(name), err);
    if (r == 0) {
        r = X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1
                ? 0
                : TT_FAIL_SSL(err, TT_ENOMEM, "name the issuer");
    }
    if (r == 0) {
        r = add_constraints(cert, true, err);
    }
    if (r == 0) {
        r = add_usage(cert, KU_KEY_CERT_SIGN | KU_CRL_SIGN, err);
    }
    if (r == 0) {
        r = add_names(cert, uri, NULL, err);
    }
    if (r == 0) {
        r = add_key_ids(cert, cert, err);
    }
    if (r == 0 && X509_sign(cert, key, EVP_sha256()) <= 0) {
        r = TT_FAIL_SSL(err, TT_ETLS, "sign the CA");
    }
    return r;
}

int tt_pki_build_ca(const char *cluster, EVP_PKEY *key, uint64_t wall_ms, uint64_t validity_s,
                    X509 **ret_cert, struct tt_err *err)
{
    char uri[sizeof((struct tt_peer_identity *)NULL)->uri];
    int r = tt_identity_format(cluster, TT_IDENTITY_SERVER, TT_STR("x"), uri, sizeof uri, err);
    if (r != 0) {
        return TT_WRAP(err, r, "trust domain \"%s\"", cluster);
    }
    TT_PKI_AUTO_CERT cert = X509_new();
    r = begin(cert, key, err);
    if (r == 0) {
        r = set_times(cert, wall_ms, validity_s > 0 ? validity_s : TT_PKI_CA_VALIDITY_S_DEFAULT,
                      err);
    }
    if (r == 0) {
        r = fill_ca(cert, cluster, key, err);
    }
    if (r == 0) {
        *ret_cert = TT_TAKE(cert);
    }
    return r;
}

static int check_subject(const struct tt_pki_subject *subject, struct tt_err *err)
{
    bool hosts = subject->hosts != NULL && subject->hosts[0] != '\0';
    bool groups = subject->groups != NULL && subject->groups[0] != '\0';
    if (subject->role == TT_IDENTITY_USER ? hosts : groups) {
        return TT_FAIL(err, TT_EINVALID,
                       "users have groups and no host names, servers and agents the reverse");
    }
    return 0;
}

static uint64_t validity_of(const struct tt_pki_subject *subject)
{
    return subject->validity_s > 0 ? subject->validity_s : TT_PKI_VALIDITY_S_DEFAULT;
}

static bool outlives(const X509 *cert, const struct tt_pki_ca *ca)
{
    return ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(ca->cert)) > 0;
}

/* The life that sign_leaf cuts is kept, for a successor that another authority signs. */
static int add_issued(const struct tt_pki_ca *ca, X509 *cert, const struct tt_pki_subject *subject,
                      uint64_t wall_ms, struct tt_err *err)
{
    char issued[TT_IDENTITY_ISSUED_SIZE];
    tt_identity_issued_format(subject->cluster_id, subject->revision, wall_ms,
                              outlives(cert, ca) ? validity_of(subject) : 0, issued);
    return add_subject_part(cert, "dnQualifier", tt_str_c(issued), err);
}

/* Names and extensions of a leaf. */
static int fill_leaf(const struct tt_pki_ca *ca, X509 *cert, const struct tt_pki_subject *subject,
                     uint64_t wall_ms, struct tt_err *err)
{
    char uri[sizeof((struct tt_peer_identity *)NULL)->uri];
    struct tt_str name = tt_str_c(subject->name);
    int r = tt_identity_format(ca->cluster, subject->role, name, uri, sizeof uri, err);
    if (r == 0) {
        r = add_groups(cert, subject->groups, err);
    }
    if (r == 0) { /* X.520 allows 64 characters; longer names live in the SAN alone */
        r = add_subject_part(cert, "CN", tt_str_head(name, 64), err);
    }
    if (r == 0) {
        r = add_issued(ca, cert, subject, wall_ms, err);
    }
    if (r == 0) {
        r = add_constraints(cert, false, err);
    }
    if (r == 0) {
        r = add_usage(cert, KU_DIGITAL_SIGNATURE, err);
    }
    if (r == 0) {
        r = add_extended_usage(cert, subject->role, err);
    }
    if (r == 0) {
        r = add_names(cert, uri, subject->hosts, err);
    }
    if (r == 0) {
        r = add_key_ids(cert, ca->cert, err);
    }
    return r;
}

static int sign_leaf(const struct tt_pki_ca *ca, X509 *cert, struct tt_err *err)
{
    if (X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) != 1) {
        return TT_FAIL_SSL(err, TT_ENOMEM, "name the issuer");
    }
    /* A certificate that outlives its CA would only pretend to. */
    if (outlives(cert, ca) && X509_set1_notAfter(cert, X509_get0_notAfter(ca->cert)) != 1) {
        return TT_FAIL_SSL(err, TT_ETLS, "limit the validity");
    }
    if (X509_sign(cert, ca->key, EVP_sha256()) <= 0) {
        return TT_FAIL_SSL(err, TT_ETLS, "sign a certificate");
    }
    return 0;
}

int tt_pki_build_leaf(const struct tt_pki_ca *ca, EVP_PKEY *key,
                      const struct tt_pki_subject *subject, uint64_t wall_ms, X509 **ret_cert,
                      struct tt_err *err)
{
    int r = check_subject(subject, err);
    if (r != 0) {
        return r;
    }
    TT_PKI_AUTO_CERT cert = X509_new();
    r = begin(cert, key, err);
    if (r == 0) {
        r = set_times(cert, wall_ms, validity_of(subject), err);
    }
    if (r == 0) {
        r = fill_leaf(ca, cert, subject, wall_ms, err);
    }
    if (r == 0) {
        r = sign_leaf(ca, cert, err);
    }
    if (r != 0) {
        return TT_WRAP(err, r, "certificate for %s %s", tt_role_name(subject->role), subject->name);
    }
    struct tt_peer_identity identity;
    r = tt_identity_from_cert(cert, &identity,
                              err); /* also refuses groups we would not read back */
    if (r != 0) {
        return TT_WRAP(err, TT_EINVALID, "certificate for %s", subject->name);
    }
    *ret_cert = TT_TAKE(cert);
    return 0;
}
