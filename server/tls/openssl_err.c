#include "server/tls/openssl_err.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

/* The newest entry says what was attempted, the oldest what went wrong: the oldest is the cause.
 * ERR_error_string is not used: its numbers help nobody. */
int tt_err_ssl(struct tt_err *err, const char *file, int line, int code, const char *fmt, ...)
{
    char what[TT_ERR_MSG_SIZE];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args); /* cut when too long: it is a message */
    va_end(args);
    unsigned long cause = ERR_get_error();
    const char *reason = cause != 0 ? ERR_reason_error_string(cause) : NULL;
    ERR_clear_error();
    if (reason == NULL) {
        return tt_err_fail(err, file, line, code, "%s", what);
    }
    return tt_err_fail(err, file, line, code, "%s: %s", what, reason);
}
