/* Renews this server's own certificate before it ends, where the authority's key lies here.
 *
 * Ownership: embedded in the server; keeps options, pool and mailbox. Thread: the main loop; the
 * work itself on the pool. Errors: logged; the present certificate stays, and it is tried again. */
#ifndef SERVER_MAIN_RENEW_H
#define SERVER_MAIN_RENEW_H

#include "base/work.h"
#include "server/main/server_options.h"

struct server_renewal {
    struct tt_work work;
    const struct server_options *options; /* keeps */
    struct tt_pool *pool;                 /* keeps */
    uint64_t due_ms;                      /* monotonic: when to look next */
    bool out;                             /* the work is on the pool */
};
void server_renewal_init(struct server_renewal *renewal, const struct server_options *options,
                         struct tt_pool *pool, struct tt_mailbox *reply);
/* About every second; looks at the certificate once a minute. */
void server_renewal_tick(struct server_renewal *renewal, uint64_t now_ms);

/* One look, blocking. *ret_renewed: the file was replaced. Without --ca-key a certificate that is
 * due gives TT_EUNAVAILABLE. */
int server_renew_if_due(const struct server_options *options, uint64_t wall_ms, bool *ret_renewed,
                        struct tt_err *err) TT_MUST_USE;

#endif
