/* Events as rows, oldest first, as describe and events show them.
 *
 * Ownership: borrows. Thread: one. Errors: those of the request. */
#ifndef CTL_EVENTS_H
#define CTL_EVENTS_H

#include "ctl/watch.h"

struct ctl_event_query {
    struct tt_str ns;     /* "": all namespaces */
    struct tt_str fields; /* a field selector; may be empty */
    bool with_namespace;  /* a first column */
    bool with_object;     /* a column that says what about */
};
/* Appends a table, or nothing when there are none. ret_version (may be NULL): where a watch goes
 * on.
 */
int ctl_events_write(struct ctl_session *session, const struct ctl_event_query *query,
                     struct tt_buf *buf, struct tt_buf *ret_version,
                     struct tt_err *err) TT_MUST_USE;
/* Appends "/api/v1/…/events?fieldSelector=…&". */
void ctl_events_path(const struct ctl_event_query *query, struct tt_buf *path);
/* Appends one event as a line without a header. */
void ctl_event_line(const struct ctl_event_query *query, yyjson_val *event, struct tt_buf *buf);
/* "5m12s" since an RFC 3339 time; "<unknown>" when it is none. now_ms: wall clock. */
void ctl_age(struct tt_str time, uint64_t now_ms, struct tt_buf *buf);

#endif
