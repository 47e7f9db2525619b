/* OpenSSL's error queue → struct tt_err, at the call site.
 *
 * Ownership: none. Thread: the queue is per thread; it is empty afterwards. Errors: returns `code`
 * so that `return TT_FAIL_SSL(…)` reads well. */
#ifndef SERVER_TLS_OPENSSL_ERR_H
#define SERVER_TLS_OPENSSL_ERR_H

#include "base/err.h"

/* Reports "<fmt>: <reason of the queue>", where the reason is left out when the queue is empty. */
int tt_err_ssl(struct tt_err *err, const char *file, int line, int code, const char *fmt, ...)
    TT_PRINTF(5, 6);
#define TT_FAIL_SSL(err, code, ...) tt_err_ssl((err), __FILE__, __LINE__, (code), __VA_ARGS__)

#endif
