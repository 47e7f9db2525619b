#include "server/tls/identity.h"

#include <openssl/bn.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#include "base/mem.h"
#include "server/tls/openssl_err.h"

/* Happy path: a verified leaf certificate → its single URI SAN → cluster, role and name → the
 * extended key usages agree with the role → serial, expiry, when it was issued and (for users)
 * groups.
 *
 * Everything here is outside input that a CA of ours signed, so a failure means a foreign or broken
 * issuer; it is refused, never repaired. Lengths come from ASN.1, not from NUL bytes: an embedded
 * NUL is one more character outside of the canonical set. Duplicate SAN extensions, a second URI,
 * an empty part, an upper-case scheme are all refused, so one identity has exactly one spelling. */

static const char SCHEME[] = "spiffe://";

static bool char_is_canonical(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* One path part: canonical characters, not empty, not "." or "..", and it fits with its NUL. */
static bool part_is_canonical(struct tt_str part, size_t out_size)
{
    if (part.len == 0 || part.len >= out_size || tt_str_eq_c(part, ".") ||
        tt_str_eq_c(part, "..")) {
        return false;
    }
    for (size_t i = 0; i < part.len; i++) {
        if (!char_is_canonical(part.ptr[i])) {
            return false;
        }
    }
    return true;
}

static void part_copy(struct tt_str part, char *out, size_t out_size)
{
    TT_ASSERT(part.len < out_size);
    memcpy(out, part.ptr, part.len);
    out[part.len] = '\0';
}

static enum tt_role role_of(struct tt_str text)
{
    if (tt_str_eq_c(text, "server")) {
        return TT_IDENTITY_SERVER;
    }
    if (tt_str_eq_c(text, "agent")) {
        return TT_IDENTITY_AGENT;
    }
    return tt_str_eq_c(text, "user") ? TT_IDENTITY_USER : TT_IDENTITY_NONE;
}

const char *tt_role_name(enum tt_role role)
{
    switch (role) {
    case TT_IDENTITY_SERVER:
        return "server";
    case TT_IDENTITY_AGENT:
        return "agent";
    case TT_IDENTITY_USER:
        return "user";
    case TT_IDENTITY_NONE:
        break;
    }
    return "none";
}

/* Splits "spiffe://<cluster>/<role>/<name>". */
static int uri_parse(struct tt_str uri, struct tt_peer_identity *out, struct tt_err *err)
{
    struct tt_str scheme = tt_str_c(SCHEME);
    if (!tt_str_starts(uri, scheme) || uri.len >= sizeof out->uri) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "the certificate's URI is not a SPIFFE id");
    }
    struct tt_str rest = tt_str_skip(uri, scheme.len);
    struct tt_str cluster = TT_STR_NONE;
    struct tt_str role = TT_STR_NONE;
    if (!tt_str_cut(&rest, '/', &cluster) || !tt_str_cut(&rest, '/', &role) ||
        !part_is_canonical(cluster, sizeof out->cluster) ||
        !part_is_canonical(rest, sizeof out->name)) {
        return TT_FAIL(err, TT_EUNAUTHORIZED,
                       "the certificate's SPIFFE id is not spiffe://<cluster>/<role>/<name>");
    }
    out->role = role_of(role);
    if (out->role == TT_IDENTITY_NONE) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "the certificate's SPIFFE id has an unknown role");
    }
    part_copy(cluster, out->cluster, sizeof out->cluster);
    part_copy(rest, out->name, sizeof out->name);
    part_copy(uri, out->uri, sizeof out->uri);
    return 0;
}

/* The one URI among the names; other types (DNS, IP) may stand beside it. */
static int uri_of_names(const GENERAL_NAMES *names, struct tt_peer_identity *out,
                        struct tt_err *err)
{
    const ASN1_IA5STRING *uri = NULL;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) {
            continue;
        }
        if (uri != NULL) {
            return TT_FAIL(err, TT_EUNAUTHORIZED, "the certificate has more than one URI SAN");
        }
        uri = name->d.uniformResourceIdentifier;
    }
    if (uri == NULL) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "the certificate has no URI SAN");
    }
    struct tt_str text =
        tt_str((const char *)ASN1_STRING_get0_data(uri), (size_t)ASN1_STRING_length(uri));
    return uri_parse(text, out, err);
}

static int uri_of_cert(X509 *cert, struct tt_peer_identity *out, struct tt_err *err)
{
    int critical = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &critical, NULL);
    if (names == NULL) {
        return TT_FAIL_SSL(err, TT_EUNAUTHORIZED, "the certificate has %s subject alternative name",
                           critical == -1 ? "no" : "an unusable");
    }
    int r = uri_of_names(names, out, err);
    GENERAL_NAMES_free(names);
    return r;
}

static int usage_check(X509 *cert, enum tt_role role, struct tt_err *err)
{
    if (X509_check_ca(cert) != 0) { /* also fills the cached extension flags */
        return TT_FAIL(err, TT_EUNAUTHORIZED, "a CA certificate is no identity");
    }
    uint32_t usage = X509_get_extended_key_usage(cert);
    if (usage == UINT32_MAX) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "the certificate has no extended key usage");
    }
    bool client = (usage & XKU_SSL_CLIENT) != 0;
    bool server = (usage & XKU_SSL_SERVER) != 0;
    bool fits = client && (role == TT_IDENTITY_AGENT || (role == TT_IDENTITY_SERVER && server) ||
                           (role == TT_IDENTITY_USER && !server));
    if (!fits || (usage & ~(uint32_t)(XKU_SSL_CLIENT | XKU_SSL_SERVER)) != 0) {
        return TT_FAIL(err, TT_EUNAUTHORIZED,
                       "the certificate's extended key usage does not fit the role %s",
                       tt_role_name(role));
    }
    return 0;
}

static int serial_of_cert(X509 *cert, struct tt_peer_identity *out, struct tt_err *err)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    uint8_t bytes[20]; /* RFC 5280 4.1.2.2: at most 20 octets */
    int size = ASN1_STRING_length(serial);
    if (size < 1 || (size_t)size > sizeof bytes || ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "the certificate's serial is out of range");
    }
    memcpy(bytes, ASN1_STRING_get0_data(serial), (size_t)size);
    (void)tt_hex_encode(bytes, (size_t)size, out->serial); /* 40 characters fit in 64 */
    return 0;
}

static int expiry_of_cert(X509 *cert, struct tt_peer_identity *out, struct tt_err *err)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1) {
        return TT_FAIL_SSL(err, TT_EUNAUTHORIZED, "the certificate's expiry is unreadable");
    }
    time_t seconds = timegm(&tm);
    if (seconds < 0) {
        return TT_FAIL(err, TT_EUNAUTHORIZED, "the certificate's expiry is before 1970");
    }
    out->not_after_ms = (uint64_t)seconds * 1000u;
    return 0;
}

/* "1/<cluster id>/<revision>/<ms>[/<s>]", as tt_identity_issued_format writes it; anything else is
 * another issuer's and says nothing to us. */
static bool issued_parse(struct tt_str text, struct tt_peer_identity *out)
{
    struct tt_str version = TT_STR_NONE;
    struct tt_str cluster_id = TT_STR_NONE;
    struct tt_str revision = TT_STR_NONE;
    struct tt_str wall = TT_STR_NONE;
    uint64_t revision_number = 0;
    uint64_t wall_ms = 0;
    uint64_t meant_s = 0;
    if (!tt_str_cut(&text, '/', &version) || !tt_str_eq_c(version, "1") ||
        !tt_str_cut(&text, '/', &cluster_id) || !tt_str_cut(&text, '/', &revision) ||
        !tt_str_cut(&text, '/', &wall) || !tt_str_to_u64(revision, &revision_number) ||
        !tt_str_to_u64(wall, &wall_ms) || (text.ptr != NULL && !tt_str_to_u64(text, &meant_s)) ||
        !part_is_canonical(cluster_id, sizeof out->issued_cluster_id)) {
        return false;
    }
    out->issued_ms = wall_ms;
    out->meant_s = meant_s;
    if (revision_number > 0) {
        out->issued_revision = revision_number;
        part_copy(cluster_id, out->issued_cluster_id, sizeof out->issued_cluster_id);
    }
    return true;
}

void tt_identity_issued_format(const char *cluster_id, uint64_t revision, uint64_t wall_ms,
                               uint64_t meant_s, char out[TT_IDENTITY_ISSUED_SIZE])
{
    bool known = revision > 0 && cluster_id != NULL && cluster_id[0] != '\0';
    char meant[32] = "";
    if (meant_s > 0) {
        (void)snprintf(meant, sizeof meant, "/%llu", (unsigned long long)meant_s); /* 20 digits */
    }
    int size =
        snprintf(out, TT_IDENTITY_ISSUED_SIZE, "1/%s/%llu/%llu%s", known ? cluster_id : "-",
                 (unsigned long long)(known ? revision : 0), (unsigned long long)wall_ms, meant);
    TT_ASSERT(size > 0 && size < TT_IDENTITY_ISSUED_SIZE); /* a cluster id has 36 characters */
}

static int issue_of_cert(X509 *cert, struct tt_peer_identity *out, struct tt_err *err)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_dnQualifier, -1);
    if (at >= 0) {
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
        struct tt_str text =
            tt_str((const char *)ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
        if (issued_parse(text, out)) {
            return 0;
        }
    }
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(X509_get0_notBefore(cert), &tm) != 1) {
        return TT_FAIL_SSL(err, TT_EUNAUTHORIZED, "the certificate's begin is unreadable");
    }
    time_t seconds = timegm(&tm);
    out->issued_ms = seconds > 0 ? (uint64_t)seconds * 1000u : 0;
    return 0;
}

static bool group_is_canonical(struct tt_str group)
{
    if (group.len == 0 || group.len >= TT_GROUP_SIZE) {
        return false;
    }
    for (size_t i = 0; i < group.len; i++) {
        if (!char_is_canonical(group.ptr[i]) && group.ptr[i] != ':') {
            return false;
        }
    }
    return true;
}

static int groups_of_cert(X509 *cert, struct tt_peer_identity *out, struct tt_err *err)
{
    const X509_NAME *subject = X509_get_subject_name(cert);
    int at = -1;
    while ((at = X509_NAME_get_index_by_NID(subject, NID_organizationName, at)) >= 0) {
        const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
        struct tt_str group =
            tt_str((const char *)ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
        if (out->group_count == TT_GROUPS_MAX || !group_is_canonical(group)) {
            return TT_FAIL(err, TT_EUNAUTHORIZED, "the certificate's groups are out of range");
        }
        part_copy(group, out->groups[out->group_count++], TT_GROUP_SIZE);
    }
    return 0;
}

int tt_identity_from_cert(X509 *cert, struct tt_peer_identity *ret_identity, struct tt_err *err)
{
    struct tt_peer_identity identity;
    memset(&identity, 0, sizeof identity);
    int r = uri_of_cert(cert, &identity, err);
    if (r == 0) {
        r = usage_check(cert, identity.role, err);
    }
    if (r == 0) {
        r = serial_of_cert(cert, &identity, err);
    }
    if (r == 0) {
        r = expiry_of_cert(cert, &identity, err);
    }
    if (r == 0) {
        r = issue_of_cert(cert, &identity, err);
    }
    if (r == 0 && identity.role == TT_IDENTITY_USER) {
        r = groups_of_cert(cert, &identity, err);
    }
    if (r != 0) {
        return r;
    }
    TT_ASSERT(identity.role != TT_IDENTITY_NONE && identity.name[0] != '\0');
    *ret_identity = identity;
    return 0;
}

int tt_identity_format(const char *cluster, enum tt_role role, struct tt_str name, char *out,
                       size_t out_size, struct tt_err *err)
{
    struct tt_peer_identity limits;
    if (role == TT_IDENTITY_NONE || !part_is_canonical(tt_str_c(cluster), sizeof limits.cluster) ||
        !part_is_canonical(name, sizeof limits.name)) {
        return TT_FAIL(
            err, TT_EINVALID,
            "an identity needs a role, a cluster of at most 63 and a name of at most 127 "
            "characters of [A-Za-z0-9._-]");
    }
    int size = snprintf(out, out_size, "%s%s/%s/%.*s", SCHEME, cluster, tt_role_name(role),
                        TT_STR_ARG(name));
    if (size < 0 || (size_t)size >= out_size) {
        return TT_FAIL(err, TT_EINVAL, "no room for the identity");
    }
    return 0;
}
