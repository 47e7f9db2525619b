/* What the files of the certificate authority share.
 *
 * Ownership, thread, errors: as in pki.h. */
#ifndef SERVER_TLS_PKI_INTERNAL_H
#define SERVER_TLS_PKI_INTERNAL_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "server/tls/pki.h"

struct tt_pki_ca {
    EVP_PKEY *key;    /* owned */
    X509 *cert;       /* owned, self-signed */
    char cluster[64]; /* trust domain */
};

/* Fresh certificates, signed; the caller frees them. */
int tt_pki_build_ca(const char *cluster, EVP_PKEY *key, uint64_t wall_ms, uint64_t validity_s,
                    X509 **ret_cert, struct tt_err *err) TT_MUST_USE;
int tt_pki_build_leaf(const struct tt_pki_ca *ca, EVP_PKEY *key,
                      const struct tt_pki_subject *subject, uint64_t wall_ms, X509 **ret_cert,
                      struct tt_err *err) TT_MUST_USE;

/* PEM text ↔ objects. Buffers are initialised here. */
int tt_pki_cert_to_pem(X509 *cert, struct tt_buf *ret_pem, struct tt_err *err) TT_MUST_USE;
int tt_pki_key_to_pem(EVP_PKEY *key, struct tt_buf *ret_pem, struct tt_err *err) TT_MUST_USE;
int tt_pki_csr_to_pem(X509_REQ *csr, struct tt_buf *ret_pem, struct tt_err *err) TT_MUST_USE;
int tt_pki_cert_from_pem(struct tt_str pem, X509 **ret_cert, struct tt_err *err) TT_MUST_USE;
int tt_pki_key_from_pem(struct tt_str pem, EVP_PKEY **ret_key, struct tt_err *err) TT_MUST_USE;
int tt_pki_csr_from_pem(struct tt_str pem, X509_REQ **ret_csr, struct tt_err *err) TT_MUST_USE;

static inline void tt_pki_x509_auto(X509 **cert)
{
    X509_free(*cert);
}
static inline void tt_pki_key_auto(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}
static inline void tt_pki_csr_auto(X509_REQ **csr)
{
    X509_REQ_free(*csr);
}
static inline void tt_pki_wipe_auto(struct tt_buf *buf)
{
    tt_pki_buf_wipe(buf);
}
#define TT_PKI_AUTO_CERT __attribute__((cleanup(tt_pki_x509_auto))) X509 *
#define TT_PKI_AUTO_KEY  __attribute__((cleanup(tt_pki_key_auto))) EVP_PKEY *
#define TT_PKI_AUTO_CSR  __attribute__((cleanup(tt_pki_csr_auto))) X509_REQ *
#define TT_PKI_AUTO_WIPE __attribute__((cleanup(tt_pki_wipe_auto))) struct tt_buf

#endif
