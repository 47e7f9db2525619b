/* Certificates (DER), requests and bundles (PEM), join tokens: whatever is accepted is canonical.
 */
#include <openssl/x509.h>
#include <string.h>

#include "server/tls/join_token.h"
#include "server/tls/pki.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_cert(const uint8_t *data, size_t size)
{
    struct tt_peer_identity identity;
    const unsigned char *at = data;
    X509 *cert = d2i_X509(NULL, &at, (long)size);
    if (cert != NULL && tt_identity_from_cert(cert, &identity, NULL) == 0) {
        char uri[sizeof identity.uri];
        TT_ASSERT(tt_identity_format(identity.cluster, identity.role, tt_str_c(identity.name), uri,
                                     sizeof uri, NULL) == 0);
        TT_ASSERT(strcmp(uri, identity.uri) == 0);
    }
    X509_free(cert);
}

static void try_token(struct tt_str text)
{
    struct tt_join_token token;
    struct tt_join_token_stored stored;
    char token_text[TT_JOIN_TEXT_SIZE];
    char stored_text[TT_JOIN_STORED_SIZE];
    if (tt_join_token_parse(text, &token, NULL) == 0) {
        tt_join_token_format(&token, token_text);
        TT_ASSERT(tt_str_eq_c(tt_str_trim(text), token_text));
    }
    if (tt_join_stored_parse(text, &stored, NULL) == 0) {
        tt_join_stored_format(&stored, stored_text);
        TT_ASSERT(tt_join_stored_parse(tt_str_c(stored_text), &stored, NULL) == 0);
    }
}

static void try_pem(struct tt_str text)
{
    struct tt_pki_info info;
    struct tt_buf bundle = {0};
    if (tt_pki_cert_info(text, &info, NULL) == 0) {
        TT_ASSERT(strlen(info.hosts) < sizeof info.hosts);
    }
    if (tt_pki_bundle(text, text, &bundle, NULL) == 0) {
        TT_ASSERT(bundle.len > 0);
    }
    tt_buf_fini(&bundle);
}

/* A signed request yields exactly the identity the caller named. */
static void try_csr(struct tt_str text)
{
    static struct tt_pki_ca *ca;
    struct tt_buf cert = {0};
    struct tt_pki_info info;
    const struct tt_pki_subject subject = {.role = TT_IDENTITY_AGENT, .name = "n1"};
    if (ca == NULL) {
        TT_ASSERT(tt_pki_ca_new("fuzz", 1800000000000u, 0, &ca, NULL) == 0);
    }
    if (tt_pki_csr_sign(ca, text, &subject, 1800000000000u, &cert, NULL) == 0) {
        TT_ASSERT(tt_pki_cert_info(tt_buf_view(&cert), &info, NULL) == 0);
        TT_ASSERT(strcmp(info.identity.uri, "spiffe://fuzz/agent/n1") == 0);
    }
    tt_buf_fini(&cert);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tt_str text = tt_str((const char *)data, size);
    try_cert(data, size);
    try_token(text);
    try_pem(text);
    try_csr(text);
    return 0;
}
