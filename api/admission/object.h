/* Admission: what becomes of an object between its decoding and the transaction, decided against
 * one store version, with every row it relied on as a compare.
 *
 * Pure: a version and a decoded object in, a verdict with compares out; nothing is proposed here.
 * Ownership: everything lives in the arena of the object. Thread: any. Errors: worded for the
 * client. */
#ifndef API_ADMISSION_OBJECT_H
#define API_ADMISSION_OBJECT_H

#include "api/auth/auth.h"
#include "api/kinds/deletion.h"
#include "api/kinds/keys.h"
#include "server/store/txn.h"

enum { TT_ADMISSION_COMPARES_MAX = 8 };
struct tt_admission {
    struct tt_version *version;       /* borrowed */
    struct tt_arena *arena;           /* borrowed */
    const struct tt_subject *subject; /* borrowed */
    struct tt_auth_grant grant;       /* what the body must hold; from tt_authorise */
    uint64_t now_ms;                  /* wall clock: deletion time stamps */
    struct tt_compare compares[TT_ADMISSION_COMPARES_MAX]; /* rows it relied on; keys borrowed */
    size_t compare_count;                                  /* in compares */
};

/* The Namespace of a new object exists and is not being deleted; its row becomes a compare. */
int tt_admit_namespace(struct tt_admission *admission, const struct tt_object *object,
                       struct tt_str ns, struct tt_err *err) TT_MUST_USE;
/* What a grant demands of an object's body (agents: own name, events about own things). */
int tt_admit_grant(const struct tt_admission *admission, const struct tt_object *object,
                   struct tt_err *err) TT_MUST_USE;
/* Kind-specific parts of a create: Namespaces get their finalizer, phase and name label, an agent's
 * Node has labels that are its own. */
int tt_admit_create(struct tt_admission *admission, struct tt_object *object,
                    struct tt_err *err) TT_MUST_USE;
/* Of an update, main part: the name label stays, no finalizer is added while deleting, an agent
 * leaves of its Node and its Events what is not its own. */
int tt_admit_update(struct tt_admission *admission, struct tt_object *object,
                    const struct tt_object *old, struct tt_err *err) TT_MUST_USE;
/* What a node agent may write on its own Node (node.c); others and other kinds pass.
 * tt_admit_create and tt_admit_update call them. */
int tt_admit_own_node_create(const struct tt_admission *admission, const struct tt_object *object,
                             struct tt_err *err) TT_MUST_USE;
int tt_admit_own_node_update(const struct tt_admission *admission, const struct tt_object *object,
                             const struct tt_object *old, struct tt_err *err) TT_MUST_USE;
/* What a node agent may write as an Event (event.c): about its own Node in "default" or its own pod
 * in the pod's namespace, without finalizers and owners; nothing where an Event that is there has
 * them. tt_admit_grant and tt_admit_update call them. */
int tt_admit_own_event(const struct tt_admission *admission, const struct tt_object *event,
                       struct tt_err *err) TT_MUST_USE;
int tt_admit_own_event_update(const struct tt_admission *admission, const struct tt_object *old,
                              struct tt_err *err) TT_MUST_USE;
struct tt_delete_options {
    struct tt_str uid;       /* precondition; "" none */
    uint64_t revision;       /* precondition; 0 none */
    bool has_revision;       /* a revision was given */
    bool has_grace;          /* a grace period was given */
    uint64_t grace_s;        /* valid when has_grace; < 0 was read as 1 */
    bool orphan, foreground; /* propagation; neither: background */
    bool dry_run;            /* decided, not proposed */
};
/* From a decoded DeleteOptions (root may be NULL: none). */
int tt_delete_options_read(yyjson_mut_val *root, struct tt_delete_options *ret_options,
                           struct tt_err *err) TT_MUST_USE;
/* Preconditions, protected Namespaces, then tt_object_prepare_delete. object: a copy of the stored
 * one, changed in place when it is marked. */
int tt_admit_delete(const struct tt_admission *admission, struct tt_object *object,
                    uint64_t mod_revision, const struct tt_delete_options *options,
                    enum tt_deletion *ret_outcome, struct tt_err *err) TT_MUST_USE;

void tt_admission_compare(struct tt_admission *admission, struct tt_str key, uint64_t mod_revision);

#endif
