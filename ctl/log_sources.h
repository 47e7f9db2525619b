/* Whose logs are meant: pods by name, by label, or those of a workload, and which of their
 * containers.
 *
 * Ownership: a list owns its texts. Thread: one. Errors: TT_ENOTFOUND when nothing is there,
 * TT_EINVAL for words that name no pods; what was chosen for the user is told on standard error. */
#ifndef CTL_LOG_SOURCES_H
#define CTL_LOG_SOURCES_H

#include "ctl/targets.h"

enum { CTL_LOG_SOURCES_MAX = 1000 };

/* What the command line asks for. */
struct ctl_log_wish {
    const char *word;      /* POD or TYPE/NAME; NULL with labels */
    const char *labels;    /* a label selector; NULL with word */
    const char *container; /* NULL: the default one, or all */
    bool all_containers;   /* of each pod, init containers too; container is NULL */
    bool all_pods;         /* of a workload; else the first that runs */
    struct tt_str query;   /* "follow=true&…": of every request */
};
/* One container. */
struct ctl_log_source {
    char *path;   /* of the request */
    char *prefix; /* "[pod/web-1/app] " */
    char *label;  /* "pod/web-1, container app": for errors */
};
struct ctl_log_sources {
    struct ctl_log_source *items; /* owned, with their texts */
    size_t count;                 /* of items; at most CTL_LOG_SOURCES_MAX */
};
int ctl_log_sources_find(struct ctl_session *session, const struct ctl_log_wish *wish,
                         struct ctl_log_sources *ret, struct tt_err *err) TT_MUST_USE;
void ctl_log_sources_fini(struct ctl_log_sources *sources);

#endif
