/* Renews this server's own certificate before it ends, where the authority's key lies here.
 *
 * Ownership: embedded in the server; keeps options, pool and mailbox. Thread: the main loop; the
 * work itself on the pool. Errors: logged; the present certificate stays, and it is tried again. */
#ifndef SERVER_MAIN_RENEW_H
#define SERVER_MAIN_RENEW_H

#include "base/work.h"
#include "server/main/server_options.h"
#include "server/tls/context.h"

/* What a renewal rests on besides the files. */
struct server_renew_basis {
    struct tt_tls_context *tls; /* keeps: knows who is revoked */
    uint64_t wall_ms;           /* Unix time when the work was submitted */
    uint64_t revision;          /* of the store as of which it is issued; 0: none */
    char cluster_id[40];        /* whose revision that is */
};
struct server_renewal {
    struct tt_work work;                  /* on the pool while `out` */
    const struct server_options *options; /* keeps */
    struct tt_pool *pool;                 /* keeps */
    struct server_renew_basis basis;      /* of the work that is out */
    uint64_t due_ms;                      /* monotonic: when to look next */
    uint64_t looked_ms;                   /* monotonic: when it was looked at last */
    uint64_t look_every_ms;               /* as the certificate's life wants it */
    bool out;                             /* the work is on the pool */
    bool hastened;                        /* meanwhile the certificate was replaced */
};
void server_renewal_init(struct server_renewal *renewal, const struct server_options *options,
                         struct tt_pool *pool, struct tt_mailbox *reply);
/* Is it time to look at the certificate? Once a minute, oftener for one of a short life, never
 * while it is being looked at. */
bool server_renewal_is_due(const struct server_renewal *renewal, uint64_t now_ms);
/* The certificate was replaced: look at it soon. */
void server_renewal_hasten(struct server_renewal *renewal);
void server_renewal_look(struct server_renewal *renewal, const struct server_renew_basis *basis,
                         uint64_t now_ms);

/* One look, blocking. *ret_look_every_ms is set in any case. *ret_renewed: the file was replaced. A
 * certificate that is due gives TT_EUNAVAILABLE without --ca-key, TT_EFORBIDDEN when it is revoked.
 */
int server_renew_if_due(const struct server_options *options,
                        const struct server_renew_basis *basis, bool *ret_renewed,
                        uint64_t *ret_look_every_ms, struct tt_err *err) TT_MUST_USE;

#endif
