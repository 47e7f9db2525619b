/* Renewal of the server's own certificate.
 *
 * Happy path: two thirds of the validity are over → a new certificate for the same identity, hosts
 * and key → the file is replaced → the next tick's reload takes it up; connections stay. The key
 * stays too: one file is replaced atomically, so that no crash can leave a certificate and a key
 * that do not belong together.
 *
 * Failure: no authority here, one that does not fit, or a revoked certificate: a warning each time
 * it is looked at; an operator has the last third of the validity to act. The revision it is issued
 * at is that of this server's own store: one that lags behind a revocation is covered by it. */
#include "server/main/renew.h"

#include "base/clock.h"
#include "base/file.h"
#include "server/tls/pki.h"

enum { CERT_MODE = 0644 };

static int reissue(const struct server_options *options, struct tt_str present,
                   const struct tt_pki_info *info, const struct server_renew_basis *basis,
                   struct tt_err *err)
{
    TT_AUTO(tt_pki_ca) ca = NULL;
    struct tt_buf renewed = {0};
    const struct tt_pki_subject subject = {.role = info->identity.role,
                                           .name = info->identity.name,
                                           .hosts = info->hosts,
                                           .validity_s = tt_pki_successor_s(&info->identity),
                                           .cluster_id = basis->cluster_id,
                                           .revision = basis->revision};
    int r = tt_pki_ca_load(options->ca, options->ca_key, &ca, err);
    if (r == TT_OK) {
        r = tt_pki_reissue(ca, present, &subject, basis->wall_ms, &renewed, err);
    }
    if (r == TT_OK) {
        r = tt_file_write_atomic(options->cert, tt_buf_view(&renewed), CERT_MODE, err);
    }
    tt_buf_fini(&renewed);
    return r;
}

int server_renew_if_due(const struct server_options *options,
                        const struct server_renew_basis *basis, bool *ret_renewed,
                        uint64_t *ret_look_every_ms, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf present = {0};
    struct tt_pki_info info = {.identity.issued_ms = 0};
    int r = tt_file_read(options->cert, TT_PKI_PEM_SIZE_MAX, &present, err);
    if (r == TT_OK) {
        r = tt_pki_cert_info(tt_buf_view(&present), &info, err);
    }
    *ret_look_every_ms = tt_pki_look_every_ms(&info.identity);
    if (r != TT_OK || basis->wall_ms < tt_pki_renew_at_ms(&info.identity)) {
        *ret_renewed = false;
        return r;
    }
    if (tt_tls_context_is_revoked(basis->tls, &info.identity)) {
        return TT_FAIL(err, TT_EFORBIDDEN,
                       "%s (%s) is revoked and is not renewed: join again (docs/ops/joining.md)",
                       options->cert, info.identity.uri);
    }
    if (options->ca_key == NULL) {
        char end[TT_TIME_TEXT_SIZE];
        (void)tt_time_format(info.not_after_ms, end);
        return TT_FAIL(err, TT_EUNAVAILABLE,
                       "%s ends at %s and the authority's key is not here (--ca-key): replace it, "
                       "it is taken up at once",
                       options->cert, end);
    }
    r = reissue(options, tt_buf_view(&present), &info, basis, err);
    *ret_renewed = r == TT_OK;
    return r;
}

static void run(struct tt_work *work)
{
    struct server_renewal *renewal = TT_CONTAINER_OF(work, struct server_renewal, work);
    struct tt_err err;
    bool renewed = false;
    tt_err_init(&err);
    if (server_renew_if_due(renewal->options, &renewal->basis, &renewed, &renewal->look_every_ms,
                            &err) != TT_OK) {
        TT_LOG(TT_LOG_WARN, "server", "the server's certificate was not renewed", TT_F_ERR(&err));
    } else if (renewed) {
        TT_LOG(TT_LOG_INFO, "server", "the server's certificate was renewed");
    }
}

static void done(struct tt_work *work)
{
    struct server_renewal *renewal = TT_CONTAINER_OF(work, struct server_renewal, work);
    renewal->out = false;
    renewal->due_ms = renewal->hastened ? 0 : renewal->looked_ms + renewal->look_every_ms;
    renewal->hastened = false;
}

void server_renewal_init(struct server_renewal *renewal, const struct server_options *options,
                         struct tt_pool *pool, struct tt_mailbox *reply)
{
    *renewal = (struct server_renewal){.options = options, .pool = pool};
    renewal->work = (struct tt_work){.work = run, .done = done, .reply = reply};
}

bool server_renewal_is_due(const struct server_renewal *renewal, uint64_t now_ms)
{
    return !renewal->out && now_ms >= renewal->due_ms;
}

void server_renewal_look(struct server_renewal *renewal, const struct server_renew_basis *basis,
                         uint64_t now_ms)
{
    TT_ASSERT(server_renewal_is_due(renewal, now_ms));
    renewal->basis = *basis;
    renewal->looked_ms = now_ms;
    renewal->out = tt_pool_submit(renewal->pool, &renewal->work) == TT_OK; /* else at once again */
}

void server_renewal_hasten(struct server_renewal *renewal)
{
    renewal->due_ms = 0;
    renewal->hastened = renewal->out;
}
