/* What context.c and stream.c share and nobody else needs.
 *
 * Ownership, thread, errors: as in context.h. */
#ifndef SERVER_TLS_INTERNAL_H
#define SERVER_TLS_INTERNAL_H

#include "server/tls/context.h"

/* Puts the connection on a non-blocking socket; the descriptor is borrowed. */
int tt_tls_context_attach(struct tt_tls_context *context, SSL *ssl, int fd,
                          struct tt_err *err) TT_MUST_USE;
bool tt_tls_context_is_server(const struct tt_tls_context *context);

#endif
