/* Following objects: a watch as a sequence of events, and waiting until one object satisfies.
 *
 * Ownership: events are borrowed until the callback returns. Thread: callbacks of ctl_watch run on
 * the client's thread while the caller waits; those of ctl_follow on either. Errors: TT_EEXPIRED
 * when the resume point is compacted (list again), TT_ETIMEOUT at the deadline. */
#ifndef CTL_WATCH_H
#define CTL_WATCH_H

#include "ctl/targets.h"

struct ctl_event {
    struct tt_str type; /* ADDED, MODIFIED, DELETED, BOOKMARK */
    yyjson_val *object; /* in the form asked for; DELETED: its last state */
};
/* path: of the collection, with a query that ends in '?' or '&'. Watches after resource_version
 * until `each` returns false or the server ends the watch. timeout_ms 0: none. */
struct ctl_watch {
    struct tt_str path;             /* borrowed, as the texts below */
    struct tt_str resource_version; /* what is newer is told */
    const char *accept;             /* NULL: application/json */
    uint64_t timeout_ms;            /* of the whole watch */
    /* On the client's thread; false: enough. */
    bool (*each)(void *ctx, const struct ctl_event *event);
    void *ctx; /* of each */
};
int ctl_watch(struct ctl_session *session, const struct ctl_watch *watch,
              struct tt_err *err) TT_MUST_USE;

/* Called with the object as it is now, NULL when it is not there. True: satisfied. */
typedef bool (*ctl_check)(void *ctx, yyjson_val *object);
/* Where and how long. */
struct ctl_follow {
    struct tt_str ns;     /* "" for what has none */
    uint64_t deadline_ms; /* monotonic */
    ctl_check check;      /* of the object as found, then of each change */
    void *ctx;            /* of check */
};
/* Follows one named object until check says so or the deadline. */
int ctl_follow(struct ctl_session *session, const struct ctl_target *target,
               const struct ctl_follow *follow, struct tt_err *err) TT_MUST_USE;

#endif
