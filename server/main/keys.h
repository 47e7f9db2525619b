/* The root key that seals Secrets, behind the vtable that admission knows.
 *
 * Ownership: owned by struct server_keys. Thread: made at start-up; sealing from any API thread.
 * Errors: a missing file says which option names it. */
#ifndef SERVER_MAIN_KEYS_H
#define SERVER_MAIN_KEYS_H

#include "api/admission/seal.h"
#include "reconciler/engine/pass.h"
#include "server/main/server_options.h"
#include "server/tls/pki.h"
#include "server/tls/seal.h"

struct server_keys;
int server_keys_new(const struct server_options *options, struct server_keys **ret_keys,
                    struct tt_err *err) TT_MUST_USE;
void server_keys_free(struct server_keys *keys);                            /* NULL is fine */
const struct tt_sealer *server_keys_sealer(const struct server_keys *keys); /* NULL: no key */
/* The same for reconcilers. */
const struct tt_pass_seal *server_keys_pass_seal(const struct server_keys *keys);

/* False when a stored Secret needs a root key that is not here: then *ret_missing names it. Only
 * the first Secret is looked at; *ret_any tells whether there is one. */
bool server_keys_fit(const struct server_keys *keys, struct tt_version *version, bool *ret_any,
                     uint64_t *ret_missing);

#endif
