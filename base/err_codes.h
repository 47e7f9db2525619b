/* Every error code of tutti in one table: what clients, the ctl and retry loops make of a failure.
 *
 * Columns: code name, value (negative, never reused: it crosses the peer link), HTTP status,
 * Kubernetes Status reason, 1 if the same request may succeed later without a change, exit code of
 * tuttictl. Source of the reasons: Kubernetes API conventions, "Response Status Kind".
 * Ownership: constants. Thread: any. Errors: these are they. */
#ifndef BASE_ERR_CODES_H
#define BASE_ERR_CODES_H

#define TT_ERR_CODES(X)                                                                            \
    X(TT_EINTERNAL, -1, 500, "InternalError", 0, 1)                                                \
    X(TT_EINVAL, -2, 400, "BadRequest", 0, 2)                                                      \
    X(TT_EINVALID, -3, 422, "Invalid", 0, 2)                                                       \
    X(TT_EUNAUTHORIZED, -4, 401, "Unauthorized", 0, 4)                                             \
    X(TT_EFORBIDDEN, -5, 403, "Forbidden", 0, 4)                                                   \
    X(TT_ENOTFOUND, -6, 404, "NotFound", 0, 5)                                                     \
    X(TT_EMETHOD, -7, 405, "MethodNotAllowed", 0, 2)                                               \
    X(TT_ENOTACCEPTABLE, -8, 406, "NotAcceptable", 0, 2)                                           \
    X(TT_ECONFLICT, -9, 409, "Conflict", 0, 6)                                                     \
    X(TT_EEXISTS, -10, 409, "AlreadyExists", 0, 6)                                                 \
    X(TT_EEXPIRED, -11, 410, "Expired", 0, 6)                                                      \
    X(TT_ETOOLARGE, -12, 413, "RequestEntityTooLarge", 0, 2)                                       \
    X(TT_EMEDIATYPE, -13, 415, "UnsupportedMediaType", 0, 2)                                       \
    X(TT_EBUSY, -14, 429, "TooManyRequests", 1, 7)                                                 \
    X(TT_ETIMEOUT, -15, 504, "Timeout", 1, 7)                                                      \
    X(TT_EUNAVAILABLE, -16, 503, "ServiceUnavailable", 1, 7)                                       \
    X(TT_ENOTLEADER, -17, 503, "ServiceUnavailable", 1, 7)                                         \
    X(TT_ECANCELED, -18, 503, "ServiceUnavailable", 1, 7)                                          \
    X(TT_ENOSPACE, -19, 507, "InsufficientStorage", 1, 8)                                          \
    X(TT_EIO, -20, 500, "InternalError", 0, 8)                                                     \
    X(TT_ECORRUPT, -21, 500, "InternalError", 0, 9)                                                \
    X(TT_ETLS, -22, 502, "BadGateway", 0, 4)                                                       \
    X(TT_ECLOSED, -23, 503, "ServiceUnavailable", 1, 7)                                            \
    X(TT_EPROTO, -24, 400, "BadRequest", 0, 1)                                                     \
    X(TT_ENOMEM, -25, 503, "ServiceUnavailable", 1, 7)

enum tt_err_code {
    TT_OK = 0,
#define TT_ERR_ENUM(name, value, http, reason, retryable, exit_code) name = (value),
    TT_ERR_CODES(TT_ERR_ENUM)
#undef TT_ERR_ENUM
};

#endif
