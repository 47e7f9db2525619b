/* What one object is, for people: a page of its fields. Pure: JSON in, a page out.
 *
 * Deployments, ReplicaSets, Pods and Nodes have pages of their own, with the words that users of
 * kubectl know; any other kind shows its stored fields as YAML, values of Secrets by their size
 * only. Ownership: borrows. Thread: one. Errors: none; what is missing is shown as missing. */
#ifndef CTL_DESCRIBE_H
#define CTL_DESCRIBE_H

#include <yyjson.h>

#include "ctl/page.h"

struct ctl_description {
    struct ctl_page *page; /* borrowed; what is written to */
    yyjson_val *object;    /* borrowed; the object itself */
    yyjson_val *related;   /* borrowed; the list ctl_describe_related names; NULL: unknown */
    uint64_t now_ms;       /* wall clock, for ages */
};
/* Appends the path of a list that belongs on the object's page: ReplicaSets of a Deployment, Pods
 * of a ReplicaSet or Node. Nothing for others. */
void ctl_describe_related(yyjson_val *object, struct tt_buf *path);
void ctl_describe(const struct ctl_description *d);

#endif
