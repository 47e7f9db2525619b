/* One API request that owns its path and body and frees itself after `done`.
 *
 * Ownership: path, body and query are copied. Thread: that of the loop. Errors: as in
 * api/client/api_client.h. */
#ifndef AGENT_REQUEST_H
#define AGENT_REQUEST_H

#include "api/client/api_client.h"

#define REQUEST_MERGE_PATCH     "application/merge-patch+json"
#define REQUEST_STRATEGIC_PATCH "application/strategic-merge-patch+json"

struct request {
    const char *method;                     /* "GET", "POST", …; static */
    const struct tt_api_resource *resource; /* NULL: path is the whole target */
    struct tt_str path;                     /* used when resource is NULL */
    struct tt_str namespace;                /* empty: cluster-wide, or all */
    struct tt_str name;                     /* empty: the collection */
    struct tt_str subresource;              /* "status"; empty: the object itself */
    struct tt_str body;                     /* empty: none */
    const char *content_type;               /* NULL: JSON */
    uint64_t timeout_ms;                    /* over all tries; 0 = 10 s */
    /* status: HTTP's, 0 when there was no answer. */
    void (*done)(void *ctx, int status, struct tt_str answer, const struct tt_err *err);
    void *ctx; /* of done */
};
extern const struct tt_api_resource request_pods, request_nodes, request_leases, request_events;

/* Failure: done is not called. */
int request_send(struct tt_api_client *client, const struct request *request,
                 struct tt_err *err) TT_MUST_USE;

#endif
