/* What of a pod this version stores but does not act upon yet, said where it is written.
 *
 * Such fields are accepted, because manifests written for Kubernetes are full of them and most are
 * harmless to leave out; but never silently: each becomes a Warning header. docs/containers.md is
 * the list for people.
 * Ownership: findings go to the issues' arena. Thread: any. Errors: none. */
#ifndef API_KINDS_ADVICE_H
#define API_KINDS_ADVICE_H

#include "api/kinds/object.h"

/* Looks at pods and at the pod templates of workloads; other kinds have nothing to say. */
void tt_object_advise(const struct tt_object *object, struct tt_issues *ret_issues);

#endif
