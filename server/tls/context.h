/* A TLS context that can be reloaded while connections live: certificate, key, trusted CAs (several
 * during rotation), revocations.
 *
 * TLS 1.3 only, mutual, no tickets, no resumption, ALPN given by the user. New handshakes use the
 * newest files; old connections stay. Ownership: reference-counted. Thread: reload on any one
 * thread, use from any. Errors: a bad file keeps the old material. */
#ifndef SERVER_TLS_CONTEXT_H
#define SERVER_TLS_CONTEXT_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/mem.h"
#include "server/tls/revocation.h"

struct tt_tls_context;
enum tt_tls_client_auth {
    TT_TLS_CLIENT_REQUIRED,
    TT_TLS_CLIENT_OPTIONAL /* API: joining has no certificate; routes decide */
};
struct tt_tls_config {
    const char *cert_path; /* PEM chain; all paths copied */
    const char *key_path;  /* PEM of cert_path's private key */
    const char *ca_path;   /* PEM, one or more CAs; NULL only with pinned_ca_sha256 */
    const char *alpn; /* comma list in order of preference, e.g. "h2,http/1.1" or "tutti-raft/1" */
    enum tt_tls_client_auth client_auth; /* servers: whether a client must have a certificate */
    bool server;                         /* else a client context */
    /* Client contexts for joining: no certificate of its own (cert_path and key_path NULL); the CA,
     * which servers send in their chain, is pinned by SHA-256 of its DER (hex), or NULL. */
    const char *pinned_ca_sha256;
};
int tt_tls_context_new(const struct tt_tls_config *config, struct tt_tls_context **ret_context,
                       struct tt_err *err) TT_MUST_USE;
struct tt_tls_context *tt_tls_context_ref(struct tt_tls_context *context);
void tt_tls_context_unref(struct tt_tls_context *context);
/* Re-reads the files if they changed (mtime, size, inode). *ret_changed tells. */
int tt_tls_context_reload(struct tt_tls_context *context, bool *ret_changed,
                          struct tt_err *err) TT_MUST_USE;
/* Replaces the set of revocations; handshakes with a certificate that one of them covers fail from
 * now on. cluster_id: whose revisions they count in. Copied. */
void tt_tls_context_revoke(struct tt_tls_context *context, const char *cluster_id,
                           const struct tt_revocation *revocations, size_t count);
bool tt_tls_context_is_revoked(struct tt_tls_context *context,
                               const struct tt_peer_identity *identity);
/* A new SSL of the newest material; SSL_free. The caller keeps a reference on the context at least
 * as long (verification asks it about revocations). NULL on failure. */
SSL *tt_tls_context_ssl(struct tt_tls_context *context, struct tt_err *err);

#endif
