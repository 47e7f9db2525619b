/* The query of a request, decoded once: the parameters Kubernetes clients send.
 *
 * Ownership: strings live in the arena or borrow from the request. Thread: one.
 * Errors: TT_EINVAL naming the parameter. Parameters not listed here are ignored, as Kubernetes
 * does; of a parameter given twice the first counts. */
#ifndef API_ROUTES_QUERY_H
#define API_ROUTES_QUERY_H

#include "base/mem.h"
#include "base/str.h"

struct api_query {
    struct tt_str label_selector;         /* not parsed yet; "" selects everything */
    struct tt_str field_selector;         /* likewise */
    struct tt_str resource_version;       /* "" when absent */
    struct tt_str resource_version_match; /* "", "Exact" or "NotOlderThan"; lists check it */
    struct tt_str continue_token;         /* not decoded yet; "": the first page */
    struct tt_str dry_run;                /* "" or "All"; others are refused by the routes */
    struct tt_str field_validation;       /* "" is Warn; writes check it */
    struct tt_str propagation_policy;     /* "", "Orphan", "Foreground" or "Background" */
    struct tt_str include_object;         /* of tables; "" is Metadata */
    struct tt_str container;              /* log */
    struct tt_str since_time;             /* log */
    struct tt_str hash;                   /* OpenAPI */
    uint64_t revision;                    /* number of resource_version; 0 when absent */
    uint64_t limit;                       /* 0: none */
    uint64_t timeout_s;                   /* timeoutSeconds of watches; 0: none */
    uint64_t timeout_ms;                  /* `timeout` of writes, Go notation; 0: none */
    uint64_t grace_period_s;              /* valid when has_grace_period */
    uint64_t tail_lines, since_seconds, limit_bytes; /* log; UINT64_MAX: absent */
    bool has_grace_period;                           /* gracePeriodSeconds was given */
    /* Absent is false; bookmarks: of watches; the next three: log; verbose: health. */
    bool watch, bookmarks, follow, timestamps, previous, verbose;
    bool has_send_initial_events, send_initial_events; /* of watches; was given, and its value */
    bool orphan_dependents;                            /* of deletions */
};
int api_query_parse(struct tt_arena *arena, struct tt_str query, struct api_query *ret_query,
                    struct tt_err *err) TT_MUST_USE;

/* %XX and (in queries) '+' decoded into the arena; text without either is borrowed. TT_EINVAL for
 * bad escapes, NUL and invalid UTF-8. */
int api_percent_decode(struct tt_arena *arena, struct tt_str text, bool is_query,
                       struct tt_str *ret_text, struct tt_err *err) TT_MUST_USE;

#endif
