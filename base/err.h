/* The one error type: a code and the frames that say how the failure travelled.
 *
 * A fallible function returns int (0 or a negative enum tt_err_code) and takes `struct tt_err *err`
 * last (may be NULL). The innermost cause is written by TT_FAIL; each caller that adds knowledge
 * uses TT_WRAP, which keeps the code.
 *
 * Ownership: frames live inline in the struct, nothing is allocated, nothing to free.
 * Thread: a tt_err belongs to one thread at a time. Errors: reporting never fails; text is cut,
 * never overrun. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err_codes.h"

#ifdef __cppcheck__
#define TT_MUST_USE /* it does not know attributes of function pointers */
#else
#define TT_MUST_USE __attribute__((warn_unused_result))
#endif
/* Drops the int of a must-use function on purpose; say why beside it. (A cast alone does not
 * satisfy gcc.)
 */
#define TT_IGNORE(result)             ((void)!(result))
#define TT_PRINTF(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))

enum { TT_ERR_FRAME_MAX = 6, TT_ERR_MSG_SIZE = 232 };

struct tt_err_frame {
    const char *file;          /* static: __FILE__ of the report */
    int line;                  /* in file */
    char msg[TT_ERR_MSG_SIZE]; /* NUL-terminated; cut to fit */
};

struct tt_err {
    int code;             /* enum tt_err_code; 0 while no error was reported */
    uint32_t frame_count; /* innermost first; the newest frames are dropped beyond the maximum */
    struct tt_err_frame frame[TT_ERR_FRAME_MAX]; /* only [0, frame_count) is initialised */
};

/* Start value: cheaper than zeroing the frames. */
static inline void tt_err_init(struct tt_err *err)
{
    err->code = TT_OK;
    err->frame_count = 0;
}

/* Use the macros. Returns `code` so that `return TT_FAIL(…)` reads well. err may be NULL. */
int tt_err_fail(struct tt_err *err, const char *file, int line, int code, const char *fmt, ...)
    TT_PRINTF(5, 6);
int tt_err_wrap(struct tt_err *err, const char *file, int line, int code, const char *fmt, ...)
    TT_PRINTF(5, 6);
#define TT_FAIL(err, code, ...) tt_err_fail((err), __FILE__, __LINE__, (code), __VA_ARGS__)
#define TT_WRAP(err, code, ...) tt_err_wrap((err), __FILE__, __LINE__, (code), __VA_ARGS__)

/* Converts errno_value (positive) to a code and reports "<fmt>: <strerror>". ENOSPC → TT_ENOSPACE,
 * ENOENT → TT_ENOTFOUND … */
int tt_err_errno(struct tt_err *err, const char *file, int line, int errno_value, const char *fmt,
                 ...) TT_PRINTF(5, 6);
#define TT_FAIL_ERRNO(err, errno_value, ...)                                                       \
    tt_err_errno((err), __FILE__, __LINE__, (errno_value), __VA_ARGS__)

/* "outer: inner: cause" into out (always terminated); returns its length in bytes without the NUL.
 */
size_t tt_err_format(const struct tt_err *err, char *out, size_t out_size);
/* Message of the innermost frame, "" when none. Borrowed from err. */
const char *tt_err_cause(const struct tt_err *err);

const char *tt_err_name(int code);   /* "TT_ENOTFOUND"; "TT_OK"; "TT_E?" for an unknown value */
int tt_err_http_status(int code);    /* 200 for TT_OK, 500 for unknown */
const char *tt_err_reason(int code); /* Kubernetes Status reason; "" for TT_OK */
bool tt_err_retryable(int code);
int tt_err_exit_code(int code); /* of tuttictl; 0 for TT_OK */

/* Stays on in release builds. Logs file:line and the expression, then aborts. Never for outside
 * input. */
_Noreturn void tt_assert_failed(const char *file, int line, const char *expr);
#define TT_ASSERT(expr) ((expr) ? (void)0 : tt_assert_failed(__FILE__, __LINE__, #expr))

#endif
