/* Percent-encoding, paths and query strings of request targets.
 *
 * A query is split and decoded into an arena; a path into segments. Nothing is normalised: "." and
 * ".." segments, empty segments, NUL bytes and malformed escapes are refused, so that a path means
 * one thing only. Ownership: results live in the arena or in the input. Thread: any.
 * Errors: TT_EINVAL bad escape or shape, TT_ETOOLARGE too many parts, TT_ENOMEM arena full.
 * Source: RFC 3986 sections 2.1, 3.3, 3.4; '+' as a space in queries: WHATWG URL, section 5.1. */
#ifndef API_HTTP_URI_H
#define API_HTTP_URI_H

#include "base/buf.h"
#include "base/mem.h"

enum { TT_QUERY_PARAMS_MAX = 32, TT_PATH_SEGMENTS_MAX = 24 };

struct tt_query_param {
    struct tt_str name;  /* decoded */
    struct tt_str value; /* decoded; empty for "name" and "name=" */
};
struct tt_query {
    struct tt_query_param param[TT_QUERY_PARAMS_MAX]; /* in the order given, duplicates kept */
    uint32_t count;                                   /* in param; 0 for an empty query */
};
struct tt_uri_path {
    struct tt_str segment[TT_PATH_SEGMENTS_MAX]; /* decoded; never empty, "." or ".." */
    uint32_t count;                              /* 0 for "/" */
    bool trailing_slash;                         /* "/api/" */
};

/* Decodes %XX (and '+' when plus_is_space) into out; returns the size or -1: bad escape, NUL byte
 * or out_size short. out may be the input's own memory. */
ptrdiff_t tt_uri_decode(struct tt_str text, bool plus_is_space, char *out, size_t out_size);
/* Appends text with everything but unreserved characters escaped: right for segments and values. */
void tt_uri_encode(struct tt_buf *buf, struct tt_str text);

int tt_query_parse(struct tt_str query, struct tt_arena *arena, struct tt_query *ret_query,
                   struct tt_err *err) TT_MUST_USE;
/* The last value of that name; NULL when absent. Borrowed from query. */
const struct tt_str *tt_query_get(const struct tt_query *query, const char *name);
/* "true"/"1"/"" (present without a value) are true, "false"/"0" and absence false; else TT_EINVAL.
 */
int tt_query_bool(const struct tt_query *query, const char *name, bool *ret_value,
                  struct tt_err *err) TT_MUST_USE;
/* Absence leaves *ret_value untouched. */
int tt_query_u64(const struct tt_query *query, const char *name, uint64_t *ret_value,
                 struct tt_err *err) TT_MUST_USE;

/* path begins with '/'. Segments without escapes are views of the input. */
int tt_uri_path_split(struct tt_str path, struct tt_arena *arena, struct tt_uri_path *ret_path,
                      struct tt_err *err) TT_MUST_USE;

#endif
