/* Filling a secret in place, for unsealing only.
 *
 * Ownership, thread, errors: as in seal.h. */
#ifndef SERVER_TLS_SECRET_INTERNAL_H
#define SERVER_TLS_SECRET_INTERNAL_H

#include "server/tls/seal.h"

struct tt_secret *tt_secret_new_uninit(size_t size, uint8_t **ret_bytes);

#endif
