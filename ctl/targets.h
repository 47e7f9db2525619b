/* What a command is about: "pods", "pod a b", "pod/a svc/b", "pods,services", "all", with a
 * namespace and selectors.
 *
 * Ownership: borrows its words from argv, resources from their set. Thread: one.
 * Errors: TT_EINVAL for words that name nothing, TT_ENOTFOUND for unknown resources. */
#ifndef CTL_TARGETS_H
#define CTL_TARGETS_H

#include "ctl/resources.h"

enum { CTL_TARGETS_MAX = 512, CTL_PATH_SIZE_MAX = 16384 };

struct ctl_target {
    const struct ctl_resource *resource; /* its type; borrowed from the set */
    struct tt_str name;                  /* "": all that the selection allows */
};
struct ctl_selection {
    const char *labels;  /* NULL: any */
    const char *fields;  /* NULL: any */
    bool all_namespaces; /* else that of the session */
};
struct ctl_targets {
    struct ctl_target items[CTL_TARGETS_MAX]; /* in the order of the words */
    size_t count;                             /* of items in use */
};
int ctl_targets_parse(const struct ctl_resources *resources, const char *const *words,
                      size_t word_count, struct ctl_targets *ret, struct tt_err *err) TT_MUST_USE;
/* The namespace to ask in: "" with --all-namespaces and for what has none. */
struct tt_str ctl_target_namespace(const struct ctl_session *session,
                                   const struct ctl_selection *selection,
                                   const struct ctl_resource *resource);
/* Appends the collection's path and "?fieldSelector=…&labelSelector=…&" (ready for more). With a
 * name: the collection of that one object. */
void ctl_collection_path(const struct ctl_session *session, const struct ctl_selection *selection,
                         const struct ctl_target *target, struct tt_buf *path);

#endif
