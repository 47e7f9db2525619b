/* What `apply --prune` removes: objects that were applied before, match the labels and are in no
 * manifest any more.
 *
 * Looked for in the namespaces of the manifests, among all types that live in namespaces; only what
 * carries the annotation of an apply is taken, so that pods, ReplicaSets and what was made by other
 * means stays, whatever its labels. Namespaces and Nodes are never removed.
 * Ownership: owns what it collects; borrows the session. Thread: one. Errors: those of requests;
 * TT_EINVAL for labels that cannot be read or a manifest that they do not select. */
#ifndef CTL_PRUNE_H
#define CTL_PRUNE_H

#include "ctl/manifest.h"
#include "ctl/resources.h"

struct ctl_prune;
/* labels: a selector that selects something; kept. */
int ctl_prune_new(const char *labels, struct ctl_prune **ret, struct tt_err *err) TT_MUST_USE;
void ctl_prune_free(struct ctl_prune *prune); /* NULL is fine */
/* All objects match the labels: what they do not select would never be found again. */
int ctl_prune_check(const struct ctl_prune *prune, const struct ctl_manifest *manifest,
                    struct tt_err *err) TT_MUST_USE;
/* This one is in a manifest: it stays, and its namespace is looked through. */
int ctl_prune_keep(struct ctl_prune *prune, const struct ctl_resource *resource, struct tt_str ns,
                   struct tt_str name, struct tt_err *err) TT_MUST_USE;

struct ctl_prune_run {
    struct ctl_session *session;           /* borrowed */
    const struct ctl_resources *resources; /* borrowed; types in namespaces are looked through */
    bool look;                             /* nothing is asked to go */
    bool server_only;                      /* the server is asked, and keeps it */
    /* Called for each object that went. */
    void (*gone)(void *ctx, struct tt_str label);
    void *ctx; /* of gone */
};
/* Removes what is left; stops at the first failure. */
int ctl_prune_run(struct ctl_prune *prune, const struct ctl_prune_run *run,
                  struct tt_err *err) TT_MUST_USE;

#endif
