#include "server/tls/revocation.h"

#include <stdio.h>

#include "base/mem.h"

/* Happy path: a certificate's serial or "<role>.<name>" equals the id of a revocation; for an
 * identity the order of issuing and revoking decides, by revisions of one cluster if both are
 * known, else by wall clocks. Failure: whatever is unclear counts as revoked: a certificate without
 * a time was issued at 0. */

/* Revisions begin again in a cluster that was made anew or restored under the same authority, and a
 * certificate of its former life may claim a large one: a time long before the revocation
 * contradicts it. Servers' clocks are not further apart, or a rejoined holder waits that long. */
enum { CLOCKS_APART_MS = 600000 };

void tt_revocation_id(enum tt_role role, const char *name, char out[TT_REVOCATION_ID_SIZE])
{
    int size = snprintf(out, TT_REVOCATION_ID_SIZE, "%s.%s", tt_role_name(role), name);
    TT_ASSERT(size > 0 && size < TT_REVOCATION_ID_SIZE); /* names have at most 127 characters */
}

bool tt_revocation_is_identity(struct tt_str id)
{
    return tt_str_find(id, '.') >= 0;
}

static enum tt_role role_parse(struct tt_str text)
{
    for (enum tt_role role = TT_IDENTITY_SERVER; role <= TT_IDENTITY_USER; role++) {
        if (tt_str_eq_c(text, tt_role_name(role))) {
            return role;
        }
    }
    return TT_IDENTITY_NONE;
}

int tt_revocation_id_parse(struct tt_str text, const char *cluster, char out[TT_REVOCATION_ID_SIZE],
                           struct tt_err *err)
{
    static const char scheme[] = "spiffe://";
    char uri[sizeof((struct tt_peer_identity *)NULL)->uri];
    struct tt_str rest = text;
    struct tt_str part = TT_STR_NONE;
    if (tt_str_starts(rest, tt_str_c(scheme))) {
        rest = tt_str_skip(rest, sizeof scheme - 1);
        if (!tt_str_cut(&rest, '/', &part) || !tt_str_eq_c(part, cluster)) {
            return TT_FAIL(err, TT_EINVAL, "\"%.*s\" is no identity of the cluster %s",
                           TT_STR_ARG(text), cluster);
        }
    }
    enum tt_role role = tt_str_cut(&rest, '/', &part) ? role_parse(part) : TT_IDENTITY_NONE;
    if (role == TT_IDENTITY_NONE ||
        tt_identity_format(cluster, role, rest, uri, sizeof uri, err) != TT_OK) {
        if (err != NULL) {
            tt_err_init(err);
        }
        return TT_FAIL(err, TT_EINVAL,
                       "\"%.*s\" is no identity: give user/NAME, agent/NAME, server/NAME or the "
                       "whole spiffe:// URI",
                       TT_STR_ARG(text));
    }
    int size =
        snprintf(out, TT_REVOCATION_ID_SIZE, "%s.%.*s", tt_role_name(role), TT_STR_ARG(rest));
    TT_ASSERT(size > 0 && size < TT_REVOCATION_ID_SIZE);
    return TT_OK;
}

bool tt_revocation_covers(const struct tt_revocation *revocation, const char *cluster_id,
                          const struct tt_peer_identity *identity)
{
    if (!tt_revocation_is_identity(revocation->id)) {
        return tt_str_eq_c(revocation->id, identity->serial);
    }
    char id[TT_REVOCATION_ID_SIZE];
    tt_revocation_id(identity->role, identity->name, id);
    if (!tt_str_eq_c(revocation->id, id)) {
        return false;
    }
    bool comparable = identity->issued_revision > 0 && cluster_id[0] != '\0' &&
                      strcmp(identity->issued_cluster_id, cluster_id) == 0;
    if (!comparable) {
        return identity->issued_ms <= revocation->wall_ms;
    }
    return identity->issued_revision < revocation->revision ||
           identity->issued_ms + CLOCKS_APART_MS < revocation->wall_ms;
}

void tt_revocation_format(uint64_t wall_ms, struct tt_str actor, char out[TT_REVOCATION_TEXT_SIZE])
{
    int size = snprintf(out, TT_REVOCATION_TEXT_SIZE, "%llu %.*s", (unsigned long long)wall_ms,
                        TT_STR_ARG(actor));
    TT_ASSERT(size > 0 && size < TT_REVOCATION_TEXT_SIZE); /* a URI has at most 255 characters */
}

uint64_t tt_revocation_wall_ms(struct tt_str text)
{
    struct tt_str number = TT_STR_NONE;
    uint64_t wall_ms = 0;
    return tt_str_cut(&text, ' ', &number) && tt_str_to_u64(number, &wall_ms) ? wall_ms : 0;
}
