/* What several container plans ask of a pod. Pure. Ownership: views borrow. Thread: the plan's.
 * Errors: none. */
#ifndef RECONCILER_CONTAINERS_PODS_H
#define RECONCILER_CONTAINERS_PODS_H

#include "reconciler/engine/condition.h"

/* Runs or may run: not being deleted and not finished. */
bool pod_is_active(const struct tt_view *pod);
/* The entry of status.conditions with this type, NULL when there is none. */
yyjson_val *view_condition(const struct tt_view *view, const char *type);
/* status.conditions[type].status == "True"; ret_since_ms (may be NULL) gets lastTransitionTime. */
bool view_condition_true(const struct tt_view *view, const char *type, uint64_t *ret_since_ms);
/* Ready for at least min_ready_seconds; *ret_wait_ms says when to look again (0: no need). */
bool pod_is_available(const struct tt_view *pod, int64_t min_ready_seconds, uint64_t now_ms,
                      uint64_t *ret_wait_ms);
#define POD_TOLERATES_FOREVER UINT64_MAX
/* A toleration of the pod covers the taint, for *ret_ms: its tolerationSeconds, of which a negative
 * number counts as 0; POD_TOLERATES_FOREVER without them or beyond all clocks. */
bool pod_tolerates(const struct tt_view *pod, yyjson_val *taint, uint64_t *ret_ms);
/* Makes `owner` the controller of an object that has none, or takes what `owner` holds of an object
 * away: one write of that object. The caller relies on the owner. */
int adopt_orphan(struct tt_pass *pass, const struct tt_view *owner, const struct tt_view *orphan,
                 struct tt_err *err) TT_MUST_USE;
int release_owned(struct tt_pass *pass, const struct tt_view *owner, const struct tt_view *owned,
                  struct tt_err *err) TT_MUST_USE;
/* An owner reference with controller and blockOwnerDeletion set, on a new document. */
yyjson_mut_val *owner_reference(yyjson_mut_doc *doc, const struct tt_view *owner,
                                const struct tt_kind *kind);

#endif
