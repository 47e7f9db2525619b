/* One request on its way: parsed, authenticated and authorised, then handed from state to state.
 *
 * new → running → (barrier | waiting | writing | streaming) … → done
 *   barrier: wants a linearizable version; all requests of a loop turn share one read index
 *   waiting: wants a version at or above a revision; 3 s at most
 *   writing: a proposal is out; its struct outlives a cancelled request
 *   streaming: the response has begun; on_drain or the watch hub goes on
 * Ownership: lives in the exchange's arena and dies with it; whatever waits for it is unlinked when
 * the client goes. Thread: that of the worker. Errors: handlers return one, and api_fail answers.
 */
#ifndef API_ROUTES_REQUEST_H
#define API_ROUTES_REQUEST_H

#include "api/kinds/keys.h"
#include "api/kinds/object.h"
#include "api/routes/api.h"
#include "api/routes/path.h"
#include "api/routes/query.h"
#include "base/sm.h"

enum api_state {
    API_RUNNING,
    API_BARRIER,
    API_WAITING,
    API_WRITING,
    API_STREAMING,
    API_DONE,
    API_STATE_COUNT
};
/* What the client wants its objects as. */
enum api_format { API_FORMAT_JSON, API_FORMAT_TABLE, API_FORMAT_METADATA };

struct api_request {
    struct tt_sm sm;      /* enum api_state */
    struct tt_list link;  /* in a read batch, the barrier list or the waiters; self otherwise */
    struct tt_list guard; /* in worker->guards while its watch is guarded; self otherwise */
    bool guard_due;       /* its right must be looked at again */
    struct tt_api_worker *worker;       /* whose loop runs it */
    struct tt_http_exchange *ex;        /* NULL once the client went away */
    const struct tt_http_request *http; /* borrowed from ex */
    struct tt_arena *arena;             /* of ex */
    struct api_kinds *kinds_held;       /* put back at the end */
    struct tt_kinds *kinds;             /* of kinds_held */
    const struct tt_kind *kind;         /* of resource routes */
    struct tt_subject subject;          /* of the peer's certificate; borrows from the connection */
    struct tt_auth_grant grant; /* of the first decision; writes decide again on their version */
    struct api_path path;       /* zero until it is parsed */
    struct api_query query;     /* zero until it is parsed */
    enum tt_verb verb;          /* of fixed paths: GET or CREATE */
    enum api_format format;     /* of resource routes; JSON otherwise */
    struct tt_str key;          /* of the object; "" for collections */
    uint64_t start_ns;          /* monotonic; durations and deadlines count from it */
    uint64_t deadline_ms;       /* monotonic; of waiting */
    uint64_t wanted_revision;   /* waiting: resume at or above */
    struct tt_issues warnings;  /* become Warning headers */
    const struct tt_issues *causes; /* of a failure; NULL: none */
    struct tt_str status_name;      /* details.name of a Status when the path has none */
    struct tt_str missing_ns;       /* the Namespace a 404 is about; "": about the object */
    struct tt_str expired_token;    /* a continue token offered with a 410; "" for none */
    /* What goes on after barrier or waiting: version is borrowed, NULL when code is not 0. */
    int (*resume)(struct api_request *rq, struct tt_version *version, struct tt_err *err);
    /* Frees what the handler holds beyond the arena when the request ends; may be NULL. */
    void (*cleanup)(struct api_request *rq);
    void *op;       /* the handler's own struct, in the arena */
    void *proposal; /* writing: struct api_proposal */
};

/* Ways to wait. Each may be called once per running phase; the handler returns 0 after it. */
void api_barrier(struct api_request *rq,
                 int (*resume)(struct api_request *rq, struct tt_version *version,
                               struct tt_err *err));
/* The version a read of this resourceVersion may use: newest local for "0", at least N for N,
 * linearizable when absent. */
void api_read_version(struct api_request *rq,
                      int (*resume)(struct api_request *rq, struct tt_version *version,
                                    struct tt_err *err));
/* What became of a proposal. */
struct api_outcome {
    int code;                /* 0, TT_ECONFLICT, TT_ETIMEOUT … */
    uint64_t revision_first; /* of its ops, with code 0; 0 for no ops */
};
/* Takes command, submits it at the end of the loop turn. result: called once with the outcome
 * unless the client is gone; a refused submit (TT_EBUSY…) is answered without it. */
void api_propose(struct api_request *rq, struct tt_bytes *command,
                 int (*result)(struct api_request *rq, const struct api_outcome *outcome,
                               struct tt_err *err));
/* Runs a handler's step and answers its error, if any. */
void api_settle(struct api_request *rq, int code, struct tt_err *err);

/* Answers: each ends the request. */
void api_fail(struct api_request *rq, const struct tt_err *err);
void api_respond_json(struct api_request *rq, int http_status, struct tt_str body);
void api_respond_typed(struct api_request *rq, int http_status, const char *content_type,
                       struct tt_str body);
void api_respond_parts(struct api_request *rq, int http_status, const struct tt_http_part *parts,
                       size_t part_count);
/* One object in the format the client wants. */
struct api_view {
    struct tt_str text;          /* its JSON without resourceVersion */
    uint32_t splice;             /* where that goes */
    uint64_t revision;           /* 0: none is shown */
    const struct tt_item *owner; /* the item text lies in; NULL when it lies in the arena */
};
int api_respond_object(struct api_request *rq, int http_status, const struct api_view *view,
                       struct tt_err *err) TT_MUST_USE;
int api_respond_item(struct api_request *rq, const struct tt_item *item,
                     struct tt_err *err) TT_MUST_USE;
/* Status Success with details of the object deleted (200), or bound or evicted (201). */
void api_respond_success(struct api_request *rq, int http_status, struct tt_str name,
                         struct tt_str uid);
/* The start of a stream. content_type as sent. */
void api_stream_begin(struct api_request *rq, const char *content_type,
                      void (*on_drain)(void *ctx, struct tt_http_exchange *ex));
void api_stream_end(struct api_request *rq);   /* ends the request */
void api_stream_abort(struct api_request *rq); /* ends the request */

/* Helpers. */
int api_no_memory(struct tt_err *err); /* the arena's maximum: TT_ETOOLARGE */
/* Where the causes of a failure are listed (rq->causes), emptied; NULL: no memory. */
struct tt_issues *api_request_causes(struct api_request *rq);
int api_object_key(struct api_request *rq, struct tt_str name, struct tt_str *ret_key,
                   struct tt_err *err) TT_MUST_USE; /* in the arena */
struct tt_object_ref api_ref(const struct api_request *rq, struct tt_str name);
/* `configmaps "x"`, `deployments.apps "x"`: how messages name an object; in the arena. */
const char *api_object_title(struct api_request *rq, struct tt_str name);
int api_not_found(struct api_request *rq, struct tt_str name, struct tt_err *err);
bool api_is_dry_run(const struct api_request *rq);
/* The JSON text of the body: converted when it is protobuf. TT_EMEDIATYPE for other types. */
int api_body_json(struct api_request *rq, struct tt_str *ret_json, struct tt_err *err) TT_MUST_USE;
/* A parsed body that is no object of the route's kind: its fields against the shared type of this
 * full name (unknown ones as validation says), and its kind, when it names one. */
int api_check_body(struct api_request *rq, const char *type_name, yyjson_mut_doc *doc,
                   enum tt_field_validation validation, struct tt_err *err) TT_MUST_USE;
/* Authorises against a version; the one place that calls tt_authorise. version may be NULL. */
int api_authorise(struct api_request *rq, struct tt_version *version,
                  struct tt_err *err) TT_MUST_USE;

/* Handlers of routes: 0 = answered or waiting. */
int api_handle_get(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_list(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_watch(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_create(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_update(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_patch(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_delete(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_delete_collection(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_binding(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_scale(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_eviction(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_log(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_review(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_discovery(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_openapi(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_openapi_v2(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_version(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_health(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_metrics(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_join(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_tokens(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_renew(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_revocations(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_cluster(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_change(struct api_request *rq, struct tt_err *err) TT_MUST_USE;
int api_handle_backup(struct api_request *rq, struct tt_err *err) TT_MUST_USE;

#endif
