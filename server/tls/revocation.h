/* What is revoked: one certificate by its serial, or an identity: every certificate of it that was
 * issued before the revocation, so that a renewal shortly before does not save its holder.
 *
 * "Before" does not rest on clocks where it need not: a certificate that the cluster issued carries
 * the store's revision it was issued at (tt_peer_identity.issued_revision), and a revocation is a
 * row with its own revision. Certificates issued with the authority's key alone, or by a cluster
 * that was restored from a backup since, carry only a wall clock time; it is compared with that of
 * the revocation. docs/adr/0020.
 * Ownership: plain structs; texts are borrowed. Thread: any. Errors: TT_EINVAL. */
#ifndef SERVER_TLS_REVOCATION_H
#define SERVER_TLS_REVOCATION_H

#include "base/buf.h"
#include "server/tls/identity.h"

enum {
    TT_REVOCATION_ID_SIZE = 144,   /* "server." and a name, or a serial; with the NUL */
    TT_REVOCATION_TEXT_SIZE = 320, /* of a row's value, with the NUL */
};

struct tt_revocation {
    struct tt_str id;  /* a serial in lower-case hex, or "<role>.<name>": a serial has no '.' */
    uint64_t revision; /* of its row; counts for identities */
    uint64_t wall_ms;  /* Unix time at which it was asked for; likewise */
};

/* "<role>.<name>" of an identity. */
void tt_revocation_id(enum tt_role role, const char *name, char out[TT_REVOCATION_ID_SIZE]);
/* From what an operator writes: spiffe://<cluster>/<role>/<name> of this very cluster, or
 * <role>/<name>. */
int tt_revocation_id_parse(struct tt_str text, const char *cluster, char out[TT_REVOCATION_ID_SIZE],
                           struct tt_err *err) TT_MUST_USE;
bool tt_revocation_is_identity(struct tt_str id);
/* Does it hold for this certificate? cluster_id: the raft cluster whose revisions count now. */
bool tt_revocation_covers(const struct tt_revocation *revocation, const char *cluster_id,
                          const struct tt_peer_identity *identity);

/* A row's value: "<wall_ms> <actor>". */
void tt_revocation_format(uint64_t wall_ms, struct tt_str actor, char out[TT_REVOCATION_TEXT_SIZE]);
uint64_t tt_revocation_wall_ms(struct tt_str text); /* 0 when it says none */

#endif
