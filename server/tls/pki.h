/* The cluster's certificate authority and the certificates it gives: EC P-256, SPIFFE URI in the
 * SAN, 128-bit random serials.
 *
 * A CSR's claims count for nothing but its key: who the certificate is for comes from the caller
 * (join token, role, operator). Roles and extended key usages: server = serverAuth + clientAuth
 * with DNS and IP SANs, agent = the same (it serves logs), user = clientAuth with its groups as O.
 * Rotation: write both CAs' PEM into one trust file (tt_pki_bundle), reload, reissue, drop the old.
 * Ownership: a CA is freed by tt_pki_ca_free; output buffers are initialised here, the caller finis
 * them (tt_pki_buf_wipe for keys). Thread: pure; a CA may be used by one thread at a time. Time is
 * given, never read. Errors: TT_EINVALID for a subject that cannot be, TT_ETLS for OpenSSL. */
#ifndef SERVER_TLS_PKI_H
#define SERVER_TLS_PKI_H

#include "base/buf.h"
#include "base/mem.h"
#include "server/tls/identity.h"

enum {
    TT_PKI_FINGERPRINT_SIZE = 65,             /* SHA-256 in hex and the NUL */
    TT_PKI_PEM_SIZE_MAX = 65536,              /* of one file or request */
    TT_PKI_VALIDITY_S_DEFAULT = 86400,        /* servers and agents: 24 h */
    TT_PKI_CA_VALIDITY_S_DEFAULT = 315360000, /* 10 years */
    TT_PKI_HOSTS_MAX = 32
};

struct tt_pki_ca;
/* A new CA for the trust domain `cluster`. validity_s 0 = 10 years. */
int tt_pki_ca_new(const char *cluster, uint64_t wall_ms, uint64_t validity_s,
                  struct tt_pki_ca **ret_ca, struct tt_err *err) TT_MUST_USE;
/* The first certificate of cert_pem must be a CA with the key; the trust domain is read from it. */
int tt_pki_ca_from_pem(struct tt_str cert_pem, struct tt_str key_pem, struct tt_pki_ca **ret_ca,
                       struct tt_err *err) TT_MUST_USE;
void tt_pki_ca_free(struct tt_pki_ca *ca);
TT_DEFINE_AUTO(tt_pki_ca)
const char *tt_pki_ca_cluster(const struct tt_pki_ca *ca);
/* SHA-256 of the certificate's DER in lower-case hex: what join tokens pin. */
int tt_pki_ca_fingerprint(const struct tt_pki_ca *ca, char out[TT_PKI_FINGERPRINT_SIZE],
                          struct tt_err *err) TT_MUST_USE;
int tt_pki_ca_cert_pem(const struct tt_pki_ca *ca, struct tt_buf *ret_pem,
                       struct tt_err *err) TT_MUST_USE;
int tt_pki_ca_key_pem(const struct tt_pki_ca *ca, struct tt_buf *ret_pem,
                      struct tt_err *err) TT_MUST_USE;
/* Files: written atomically, the key with mode 0600. */
int tt_pki_ca_save(const struct tt_pki_ca *ca, const char *cert_path, const char *key_path,
                   struct tt_err *err) TT_MUST_USE;
int tt_pki_ca_load(const char *cert_path, const char *key_path, struct tt_pki_ca **ret_ca,
                   struct tt_err *err) TT_MUST_USE;

/* Who a certificate is for. All borrowed. */
struct tt_pki_subject {
    enum tt_role role;   /* decides on key usages, hosts and groups */
    const char *name;    /* [A-Za-z0-9._-], at most 127 */
    const char *hosts;   /* comma list of DNS names and IP addresses; NULL or "" = none. Servers and
                            agents only */
    const char *groups;  /* comma list; NULL or "" = none. Users only */
    uint64_t validity_s; /* 0 = 24 h; never beyond the CA's own end */
    /* Where the cluster issues it: its store's revision then, and whose that is (revocation.h).
     * NULL and 0 where the authority's key is used alone. */
    const char *cluster_id;
    uint64_t revision; /* 0: none */
};
/* A fresh key and its certificate. */
int tt_pki_issue(const struct tt_pki_ca *ca, const struct tt_pki_subject *subject, uint64_t wall_ms,
                 struct tt_buf *ret_cert_pem, struct tt_buf *ret_key_pem,
                 struct tt_err *err) TT_MUST_USE;
int tt_pki_issue_files(const struct tt_pki_ca *ca, const struct tt_pki_subject *subject,
                       uint64_t wall_ms, const char *cert_path, const char *key_path,
                       struct tt_err *err) TT_MUST_USE;

/* A new certificate for the key of cert_pem: what a server renews its own with, so that only one
 * file changes. Who it is for comes from the caller. */
int tt_pki_reissue(const struct tt_pki_ca *ca, struct tt_str cert_pem,
                   const struct tt_pki_subject *subject, uint64_t wall_ms,
                   struct tt_buf *ret_cert_pem, struct tt_err *err) TT_MUST_USE;

/* A certificate request: the key never leaves its machine. */
int tt_pki_csr_new(struct tt_buf *ret_csr_pem, struct tt_buf *ret_key_pem,
                   struct tt_err *err) TT_MUST_USE;
/* Checks the request's own signature and its key (EC P-256), ignores all else in it. */
int tt_pki_csr_sign(const struct tt_pki_ca *ca, struct tt_str csr_pem,
                    const struct tt_pki_subject *subject, uint64_t wall_ms,
                    struct tt_buf *ret_cert_pem, struct tt_err *err) TT_MUST_USE;

/* What a certificate says (of the first one in the PEM). Not verified against any CA. */
struct tt_pki_info {
    struct tt_peer_identity identity; /* from its SPIFFE URI; a CA has none and is refused */
    uint64_t not_before_ms;           /* Unix time */
    uint64_t not_after_ms;            /* Unix time, as identity.not_after_ms */
    char hosts[1024]; /* comma list of its DNS and IP SANs: what a renewal asks for again */
};
int tt_pki_cert_info(struct tt_str cert_pem, struct tt_pki_info *ret_info,
                     struct tt_err *err) TT_MUST_USE;
/* When to renew: after two thirds of the time from its issue to its end. */
uint64_t tt_pki_renew_at_ms(const struct tt_peer_identity *identity);
/* How often to look whether it is time: once a minute, oftener for a short life. */
uint64_t tt_pki_look_every_ms(const struct tt_peer_identity *identity);
/* For how long the successor is valid: as long as this one was, or was to be before its authority's
 * end cut that; at most 24 h. */
uint64_t tt_pki_successor_s(const struct tt_peer_identity *identity);

/* Trust bundle of the old and the new CA, without duplicates; each may hold several. */
int tt_pki_bundle(struct tt_str ca_pem_a, struct tt_str ca_pem_b, struct tt_buf *ret_pem,
                  struct tt_err *err) TT_MUST_USE;
/* Fingerprint of the first certificate in a PEM text. */
int tt_pki_fingerprint(struct tt_str cert_pem, char out[TT_PKI_FINGERPRINT_SIZE],
                       struct tt_err *err) TT_MUST_USE;
/* Overwrites and frees a buffer that held a key; a failed or zeroed one is fine. */
void tt_pki_buf_wipe(struct tt_buf *buf);

#endif
