/* Files of certificates: what may be written over, and what must not be.
 *
 * Ownership: arguments are borrowed. Thread: one. Errors: TT_EEXISTS with what is in the way. */
#ifndef CTL_PKI_FILES_H
#define CTL_PKI_FILES_H

#include "server/tls/pki.h"

/* May dir get NAME.crt and NAME.key of this identity? An older pair of the same one may go; an
 * authority (whose files are called ca.crt and ca.key), another role of that name, or a key that
 * nobody knows the owner of may not. */
int ctl_pki_may_write(const char *dir, enum tt_role role, const char *name,
                      struct tt_err *err) TT_MUST_USE;
/* May dir get the authority with this fingerprint as ca.crt? Not where another one lives, with its
 * key. */
int ctl_pki_may_trust(const char *dir, const char *fingerprint, struct tt_err *err) TT_MUST_USE;

#endif
