/* One change as watch events: what type it is for a selector, and its line in each form.
 *
 * A context holds what is worked out about a change once, however many watches look at it: unsealed
 * text, the parsed document, encoded lines. Ownership: lines are shared bytes; the rest lives in
 * the context's arena until the next change. Thread: the hub's. Errors: a value that cannot be read
 * gives no event and is logged. */
#ifndef API_WATCH_EVENT_H
#define API_WATCH_EVENT_H

#include "api/watch/hub.h"

enum watch_event { WATCH_NONE, WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_EVENT_COUNT };

/* One side of a change: the item before or after. */
struct watch_side {
    const struct tt_item *item; /* NULL: absent */
    bool read, parsed;          /* text / root were tried */
    struct tt_str text;         /* "" when unreadable */
    yyjson_val *root;           /* NULL when unreadable */
};
struct watch_context {
    struct tt_arena *arena;         /* reset for each change */
    const struct tt_sealer *sealer; /* kept; NULL: sealed objects cannot be shown */
    const struct tt_clock *clock;   /* kept; wall time: ages in tables */
    uint64_t revision;              /* of the change: what its events carry */
    struct watch_side now, before;  /* its two sides; text and root are made on demand */
    const struct tt_kind *kind; /* the lines' kind; a watch of another snapshot encodes its own */
    /* by event and form; a reference each; NULL: not made */
    struct tt_bytes *lines[WATCH_EVENT_COUNT][TT_WATCH_FORM_COUNT];
};
/* What a watch wants to see of a change. */
struct watch_filter {
    const struct tt_label_selector *labels; /* NULL: everything */
    const struct tt_field_selector *fields; /* NULL: everything */
};

void watch_context_init(struct watch_context *context, const struct tt_sealer *sealer,
                        const struct tt_clock *clock);
void watch_context_fini(struct watch_context *context);
void watch_context_set(struct watch_context *context, const struct tt_change *change);
enum watch_event watch_context_event(struct watch_context *context,
                                     const struct watch_filter *filter);
/* A reference to the line of the event, NULL when it cannot be encoded. Tables: `columns` asks for
 * their definitions (the first event of a stream). */
struct watch_form {
    const struct tt_kind *kind;    /* borrowed: of the watch's own snapshot */
    enum tt_watch_form form;       /* what stands for the object */
    enum tt_table_include include; /* tables: what a row has of its object */
    bool columns;                  /* tables: with definitions of columns; the first event only */
};
struct tt_bytes *watch_context_line(struct watch_context *context, enum watch_event event,
                                    const struct watch_form *form);

/* Lines without a change. */
struct tt_bytes *watch_line_bookmark(const struct tt_kind *kind, enum tt_watch_form form,
                                     uint64_t revision, bool initial_end);
struct tt_bytes *watch_line_expired(uint64_t revision, uint64_t compacted);

#endif
