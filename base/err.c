#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* Happy path: the innermost failure writes frame 0, every caller that adds knowledge appends a
 * frame, the one that finally logs or answers joins them outermost first.
 *
 * Failure modes: a message longer than a frame is cut; frames beyond the maximum are dropped (the
 * cause and its nearest callers are worth more than the outermost ones). Nothing here allocates, so
 * an error can be reported when memory is out. */

struct err_code_info {
    int code;           /* TT_OK or negative; never reused */
    const char *name;   /* "TT_E…"; static, as reason */
    int http_status;    /* of the response */
    const char *reason; /* of a Kubernetes Status; "" for TT_OK */
    bool retryable;     /* the same request may succeed later, unchanged */
    int exit_code;      /* of tuttictl */
};

static const struct err_code_info err_codes[] = {{TT_OK, "TT_OK", 200, "", false, 0},
#define ERR_ROW(name, value, http, reason, retryable, exit_code)                                   \
    {(value), #name, (http), (reason), (retryable) != 0, (exit_code)},
                                                 TT_ERR_CODES(ERR_ROW)
#undef ERR_ROW
};

/* What an unknown code (a newer peer's) is taken for. */
static const struct err_code_info err_unknown = {0, "TT_E?", 500, "InternalError", false, 1};

static const struct err_code_info *find_code(int code)
{
    for (size_t i = 0; i < sizeof err_codes / sizeof err_codes[0]; i++) {
        if (err_codes[i].code == code) {
            return &err_codes[i];
        }
    }
    return &err_unknown;
}

TT_PRINTF(4, 0)
static void add_frame(struct tt_err *err, const char *file, int line, const char *fmt, va_list args)
    TT_PRINTF(4, 0);
static void add_frame(struct tt_err *err, const char *file, int line, const char *fmt, va_list args)
{
    if (err->frame_count >= TT_ERR_FRAME_MAX) {
        return;
    }
    struct tt_err_frame *frame = &err->frame[err->frame_count];
    frame->file = file;
    frame->line = line;
    if (vsnprintf(frame->msg, sizeof frame->msg, fmt, args) < 0) {
        frame->msg[0] = '\0';
    }
    err->frame_count++;
}

int tt_err_fail(struct tt_err *err, const char *file, int line, int code, const char *fmt, ...)
{
    TT_ASSERT(code < 0);
    if (!err) {
        return code;
    }
    tt_err_init(err);
    err->code = code;
    va_list args;
    va_start(args, fmt);
    add_frame(err, file, line, fmt, args);
    va_end(args);
    return code;
}

int tt_err_wrap(struct tt_err *err, const char *file, int line, int code, const char *fmt, ...)
{
    TT_ASSERT(code < 0);
    if (!err) {
        return code;
    }
    if (err->code == TT_OK) {
        /* The callee reported through its return value only. */
        tt_err_init(err);
        err->code = code;
    }
    va_list args;
    va_start(args, fmt);
    add_frame(err, file, line, fmt, args);
    va_end(args);
    return code;
}

static int code_of_errno(int errno_value)
{
    switch (errno_value) {
    case EINVAL:
    case ENAMETOOLONG:
        return TT_EINVAL;
    case ENOENT:
    case ENOTDIR:
        return TT_ENOTFOUND;
    case EEXIST:
        return TT_EEXISTS;
    case EACCES:
    case EPERM:
        return TT_EFORBIDDEN;
    case ENOSPC:
    case EDQUOT:
        return TT_ENOSPACE;
    case ENOMEM:
        return TT_ENOMEM;
    case EBUSY:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
        return TT_EBUSY;
    default:
        break;
    }
    switch (errno_value) {
    case ETIMEDOUT:
        return TT_ETIMEOUT;
    case ECANCELED:
        return TT_ECANCELED;
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN:
        return TT_ECLOSED;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
        return TT_EUNAVAILABLE;
    default:
        return TT_EIO;
    }
}

int tt_err_errno(struct tt_err *err, const char *file, int line, int errno_value, const char *fmt,
                 ...)
{
    TT_ASSERT(errno_value > 0);
    int code = code_of_errno(errno_value);
    if (!err) {
        return code;
    }
    char what[TT_ERR_MSG_SIZE];
    va_list args;
    va_start(args, fmt);
    if (vsnprintf(what, sizeof what, fmt, args) < 0) {
        what[0] = '\0';
    }
    va_end(args);
    char text[64];
    const char *reason = strerror_r(errno_value, text, sizeof text);
    return tt_err_fail(err, file, line, code, "%s: %s", what, reason);
}

size_t tt_err_format(const struct tt_err *err, char *out, size_t out_size)
{
    TT_ASSERT(out_size > 0);
    size_t len = 0;
    for (uint32_t i = err->frame_count; i > 0; i--) {
        const char *msg = err->frame[i - 1].msg;
        if (len > 0) {
            for (const char *sep = ": "; *sep && len + 1 < out_size; sep++) {
                out[len++] = *sep;
            }
        }
        for (; *msg && len + 1 < out_size; msg++) {
            out[len++] = *msg;
        }
    }
    out[len] = '\0';
    return len;
}

const char *tt_err_cause(const struct tt_err *err)
{
    return err->frame_count > 0 ? err->frame[0].msg : "";
}

const char *tt_err_name(int code)
{
    return find_code(code)->name;
}

int tt_err_http_status(int code)
{
    return find_code(code)->http_status;
}

const char *tt_err_reason(int code)
{
    return find_code(code)->reason;
}

bool tt_err_retryable(int code)
{
    return find_code(code)->retryable;
}

int tt_err_exit_code(int code)
{
    return find_code(code)->exit_code;
}

/* Copies text for a JSON string; what would need an escape becomes an apostrophe or a space. */
static void copy_plain(char *out, size_t out_size, const char *text)
{
    size_t len = 0;
    for (; *text && len + 1 < out_size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            c = '\'';
        }
        out[len++] = (char)(c < 0x20 ? ' ' : c);
    }
    out[len] = '\0';
}

_Noreturn void tt_assert_failed(const char *file, int line, const char *expr)
{
    /* Not through the log: it may be what failed, and nothing here may allocate. */
    char plain[512];
    char when[TT_TIME_TEXT_SIZE];
    char text[800];
    copy_plain(plain, sizeof plain, expr);
    tt_time_format_ms(tt_clock_wall_ms(tt_clock_real()), when);
    int len = snprintf(text, sizeof text,
                       "{\"ts\":\"%s\",\"level\":\"error\",\"mod\":\"assert\",\"msg\":\"assertion "
                       "failed: %s\",\"file\":\"%.100s\",\"line\":%d}\n",
                       when, plain, file, line);
    if (len > 0) {
        ssize_t written = write(STDERR_FILENO, text, (size_t)len);
        (void)written; /* aborting anyway */
    }
    abort();
}
