/* The way of a write: admit against a version, propose with compares, admit again when a compare
 * failed.
 *
 *   admit(local version) ─ok─▶ propose ─applied─▶ answer
 *      │ refused                  └─compare failed─▶ admit again on the newest, at most 64 times
 *      └─▶ (read index) admit once more on a version that is up to date ─▶ refuse
 * So no refusal and no conflict is ever told from a stale version, and the common way costs one
 * proposal. A request with a key that was applied before is answered from history (exactly once).
 * Ownership: in the request's arena. Thread: the worker's. Errors: Status. */
#ifndef API_ROUTES_WRITE_H
#define API_ROUTES_WRITE_H

#include "api/admission/object.h"
#include "api/routes/worker.h"

/* Of a write that names no revision while others write the same object: one of them gets through
 * each time, so this many at once on one object all do. */
enum { API_WRITE_ATTEMPTS = 64 };

enum api_write_action {
    API_WRITE_PUT,
    API_WRITE_DELETE,
    API_WRITE_NOTHING, /* answer with the object as it is */
};
struct api_write {
    /* Decides on op->admission.version: sets action, key, text (unless the whole object is gone and
     * only its uid is answered), splice, old_revision; adds compares. */
    int (*admit)(struct api_request *rq, struct api_write *op, struct tt_err *err);
    struct tt_admission admission; /* version: borrowed; NULL between attempts */
    enum api_write_action action;  /* of the newest attempt */
    struct tt_str key;             /* of the row written; in the arena */
    struct tt_str text;            /* the object's JSON without resourceVersion; in the arena */
    uint32_t splice;               /* offset in text where that goes */
    struct tt_str shown;           /* what is answered instead of text (a Scale); "" otherwise */
    uint32_t shown_splice;         /* likewise, of shown */
    uint64_t old_revision;         /* of the row before; 0: absent */
    struct tt_str name, uid;       /* of a deleted object, for the Status */
    int http_status;               /* of success: 200, 201 */
    bool answers_status;           /* success is a Status (deletion), not the object */
    bool confirmed;                /* the version at hand is known to be up to date */
    uint64_t seen_revision;        /* of the version of the newest attempt */
    unsigned attempts;             /* proposals made */
    struct tt_str body;            /* JSON of the request */
    enum tt_field_validation validation;     /* what becomes of unknown fields */
    struct tt_delete_options delete_options; /* zero unless a deletion or an eviction */
    enum tt_patch_type patch_type;           /* of patches */
    struct tt_err refusal; /* why admission refused, while an earlier result is looked for */
};
/* Allocates the op (rq->op) with the body decoded to JSON text and the query's options read. */
int api_write_new(struct api_request *rq, struct api_write **ret_op,
                  struct tt_err *err) TT_MUST_USE;
/* The same for a body that is an object of its own, with `admit` set. */
int api_write_new_json(struct api_request *rq,
                       int (*admit)(struct api_request *rq, struct api_write *op,
                                    struct tt_err *err),
                       struct api_write **ret_op, struct tt_err *err) TT_MUST_USE;
int api_write_start(struct api_request *rq, struct api_write *op, struct tt_err *err) TT_MUST_USE;

/* Shared by the admit functions. */
/* Objects they decode or load live in the worker's scratch, for this attempt only. */
/* op->body as an object of the route's kind; what is found goes to rq->warnings. */
int api_write_decode(struct api_request *rq, struct api_write *op, struct tt_object *ret_object,
                     struct tt_err *err) TT_MUST_USE;
/* The object of a stored item of the route's kind. */
int api_write_stored(struct api_request *rq, const struct tt_item *item,
                     struct tt_object *ret_object, struct tt_err *err) TT_MUST_USE;
/* A copy that lives as long as the request; "" when there is no memory. */
struct tt_str api_write_keep(struct api_request *rq, struct tt_str text);
/* The stored object, without resourceVersion (op->old_revision), with its row as a compare.
 * TT_ENOTFOUND with the usual message. */
int api_write_load(struct api_request *rq, struct api_write *op, struct tt_object *ret_old,
                   struct tt_err *err) TT_MUST_USE;
/* Encodes object into op->text; old_revision stays. */
int api_write_encode(struct api_request *rq, struct api_write *op, const struct tt_object *object,
                     struct tt_err *err) TT_MUST_USE;
/* The kind of patch the content type names. */
int api_patch_type(struct api_request *rq, enum tt_patch_type *ret_type,
                   struct tt_err *err) TT_MUST_USE;
/* A 409 as Kubernetes words it. */
int api_write_conflict(struct api_request *rq, struct tt_err *err);

#endif
