/* Which resources the cluster serves: from its discovery documents, looked up by any of the names
 * people give them.
 *
 * Ownership: a set owns its strings. Thread: one. Errors: TT_ENOTFOUND for an unknown one, with the
 * nearest name. */
#ifndef CTL_RESOURCES_H
#define CTL_RESOURCES_H

#include "ctl/session.h"

enum { CTL_SHORT_NAMES_MAX = 8 };
struct ctl_resource {
    struct tt_str group, version;                   /* "" and "v1" for the core group */
    struct tt_str plural, singular, kind;           /* "pods", "pod" (may be empty), "Pod" */
    struct tt_str short_names[CTL_SHORT_NAMES_MAX]; /* "po"; further ones are dropped */
    size_t short_name_count;                        /* of short_names in use */
    bool namespaced;                                /* else cluster-scoped */
    bool in_all;                                    /* category "all" */
};

struct ctl_resources;
int ctl_resources_load(struct ctl_session *session, struct ctl_resources **ret,
                       struct tt_err *err) TT_MUST_USE;
void ctl_resources_free(struct ctl_resources *resources); /* NULL is fine */
TT_DEFINE_AUTO(ctl_resources)
size_t ctl_resources_count(const struct ctl_resources *resources);
const struct ctl_resource *ctl_resources_at(const struct ctl_resources *resources, size_t index);
/* "pods", "pod", "po", "Pod", "deployments.apps", "deployments.v1.apps". */
int ctl_resources_find(const struct ctl_resources *resources, struct tt_str name,
                       const struct ctl_resource **ret, struct tt_err *err) TT_MUST_USE;
/* By an object's own words: "apps/v1", "Deployment". */
int ctl_resources_kind(const struct ctl_resources *resources, struct tt_str api_version,
                       struct tt_str kind, const struct ctl_resource **ret,
                       struct tt_err *err) TT_MUST_USE;
/* Appends "/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME"; ns and name may be empty. */
void ctl_resource_path(const struct ctl_resource *resource, struct tt_str ns, struct tt_str name,
                       struct tt_buf *buf);
/* Appends "deployment.apps/NAME", as people and kubectl call an object. */
void ctl_resource_label(const struct ctl_resource *resource, struct tt_str name,
                        struct tt_buf *buf);

#endif
