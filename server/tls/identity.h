/* Who a peer is: only the SPIFFE URI in the SAN of a verified certificate says so.
 *
 * spiffe://<cluster>/<role>/<name>; exactly one URI SAN, canonical characters only
 * ([A-Za-z0-9._-]); the common name is never read. The extended key usages must be there and fit
 * the role: server = serverAuth + clientAuth, agent = clientAuth (serverAuth allowed: it serves
 * logs), user = clientAuth alone. A CA certificate is nobody. When it was issued stands in the
 * subject's dnQualifier, "1/<cluster id>/<revision>/<ms>" (an extension of our own would need a
 * registered number): revocation asks for it. "/<s>" follows where the authority's end cut the life
 * that was meant. Ownership: plain struct, copied.
 * Thread: any once filled. Errors: TT_EUNAUTHORIZED says what is wrong with the certificate.
 * Source: SPIFFE X.509-SVID, section 2. */
#ifndef SERVER_TLS_IDENTITY_H
#define SERVER_TLS_IDENTITY_H

#include <openssl/x509.h>

#include "base/err.h"
#include "base/str.h"

enum tt_role { TT_IDENTITY_NONE, TT_IDENTITY_SERVER, TT_IDENTITY_AGENT, TT_IDENTITY_USER };
enum { TT_GROUPS_MAX = 8, TT_GROUP_SIZE = 64 };
struct tt_peer_identity {
    enum tt_role role;          /* the URI's first path segment */
    char cluster[64];           /* the URI's trust domain */
    char name[128];             /* the URI's last path segment: of a server, agent or user */
    char uri[256];              /* the whole SAN URI: the actor of audit and RBAC */
    char serial[64];            /* lower-case hex: what revocation names */
    uint64_t not_after_ms;      /* Unix time */
    uint64_t issued_ms;         /* Unix time; notBefore where the certificate says nothing better */
    uint64_t meant_s;           /* the life it was to have, where that was cut; 0: it has it */
    uint64_t issued_revision;   /* of the store, when the cluster issued it; 0: it did not */
    char issued_cluster_id[40]; /* whose revision that is; "" with revision 0 */
    uint32_t group_count; /* users only: the subject's organizations (O), as kubectl users expect;
                             of the canonical characters and ':' */
    char groups[TT_GROUPS_MAX][TT_GROUP_SIZE]; /* [0, group_count), NUL-terminated */
};
int tt_identity_from_cert(X509 *cert, struct tt_peer_identity *ret_identity,
                          struct tt_err *err) TT_MUST_USE;
int tt_identity_format(const char *cluster, enum tt_role role, struct tt_str name, char *out,
                       size_t out_size, struct tt_err *err) TT_MUST_USE;
const char *tt_role_name(enum tt_role role); /* "server", "agent", "user" */
/* The text of the dnQualifier; cluster_id NULL with revision 0, meant_s 0 where nothing was cut. */
enum { TT_IDENTITY_ISSUED_SIZE = 128 };
void tt_identity_issued_format(const char *cluster_id, uint64_t revision, uint64_t wall_ms,
                               uint64_t meant_s, char out[TT_IDENTITY_ISSUED_SIZE]);

#endif
