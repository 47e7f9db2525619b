/* What a delete does to an object: remove it now, or mark it and let its finalizers and its node
 * finish first. The one rule for the API's delete, the reconcilers and namespace deletion.
 *
 *   - an object with finalizers (or a Namespace with spec.finalizers) is marked: deletionTimestamp
 *   - a Pod that is bound to a node and has not finished is marked with its grace period; its agent
 *     stops it and deletes it with grace 0
 *   - everything else is removed
 * Source: Kubernetes API conventions, "Finalizers" and "Graceful deletion".
 *
 * Ownership: changes the object in its arena. Thread: the arena's. Errors: TT_ETOOLARGE when the
 * arena is full. */
#ifndef API_KINDS_DELETION_H
#define API_KINDS_DELETION_H

#include "api/kinds/object.h"

#define TT_FINALIZER_FOREGROUND "foregroundDeletion"
#define TT_FINALIZER_ORPHAN     "orphan"

enum tt_propagation {
    TT_PROPAGATE_BACKGROUND, /* the default of every kind: dependents go after the owner */
    TT_PROPAGATE_FOREGROUND, /* the owner waits for its blocking dependents */
    TT_PROPAGATE_ORPHAN,     /* dependents lose their owner reference and stay */
};
struct tt_deletion_options {
    uint64_t now_ms;       /* wall clock */
    int64_t grace_seconds; /* < 0: the object's default (a Pod's terminationGracePeriodSeconds) */
    enum tt_propagation propagation; /* which of the finalizers above is set */
};
enum tt_deletion {
    TT_DELETION_REMOVE,    /* take the key out of the store */
    TT_DELETION_MARK,      /* object was changed: write it back */
    TT_DELETION_UNCHANGED, /* marked earlier, nothing new: somebody else finishes it */
};
/* Decides and, for MARK, changes `object` (a copy of the stored one) in place. */
int tt_object_prepare_delete(struct tt_object *object, const struct tt_deletion_options *options,
                             enum tt_deletion *ret_deletion, struct tt_err *err) TT_MUST_USE;
/* True when an object that carries a deletionTimestamp has nothing left to wait for: after an
 * update took the last finalizer away, the write becomes a removal. */
bool tt_object_deletion_complete(const struct tt_object *object);
bool tt_object_is_deleting(const struct tt_object *object); /* has a deletionTimestamp */
bool tt_object_has_finalizer(const struct tt_object *object, struct tt_str finalizer);
/* Removes it when there; *ret_removed tells. */
void tt_object_remove_finalizer(struct tt_object *object, struct tt_str finalizer,
                                bool *ret_removed);

#endif
