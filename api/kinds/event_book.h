/* What happened, told once: the core of every recorder of Events.
 *
 * Notes come in; equal ones (object, component, type, reason, message) are one Event with a count
 * and the times of the first and the last. An Event with something new waits in a queue until its
 * recorder takes it, writes it and says what became of that:
 *   note → queued → taken → written (quiet until the next equal note) | later | gone | dropped
 * Bounded everywhere: Events that are remembered, Events that wait, writes per object in a time
 * (what is beyond still counts, and is told with the next write that is allowed). What does not fit
 * is dropped and counted: nobody ever waits for an Event.
 * Ownership: strings are copied; a taken Event is the book's and stays until it was settled.
 * Thread: one. Pure: time comes in, names follow from the seed. Errors: none. */
#ifndef API_KINDS_EVENT_BOOK_H
#define API_KINDS_EVENT_BOOK_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    TT_EVENT_TTL_MS = 3600000, /* after its last time an Event is removed */
    TT_EVENT_MESSAGE_MAX = 1024,
    TT_EVENT_NAME_SIZE = 254,
};

/* One thing that happened now to one object. All borrowed. */
struct tt_event_note {
    struct tt_str api_version; /* of the object: "v1", "apps/v1" */
    struct tt_str kind;        /* of the object: "Pod" */
    struct tt_str ns;          /* "": cluster-scoped; its Events are in "default" */
    struct tt_str name;        /* of the object */
    struct tt_str uid;         /* of the object; "" when not known */
    struct tt_str field_path;  /* "spec.containers{web}"; "" */
    const char *component;     /* who reports */
    bool warning;              /* else Normal */
    const char *reason;        /* CamelCase */
    struct tt_str message;     /* cut at TT_EVENT_MESSAGE_MAX */
};
/* An Event to write: the note's parts, and what was counted. */
struct tt_event {
    struct tt_str api_version;     /* of the object, as the next five */
    struct tt_str kind;            /* "Pod" */
    struct tt_str object_ns;       /* "": cluster-scoped */
    struct tt_str object_name;     /* starts the name of the Event */
    struct tt_str uid;             /* "": left out */
    struct tt_str field_path;      /* "": left out */
    struct tt_str component;       /* who reports */
    struct tt_str type;            /* "Normal" or "Warning" */
    struct tt_str reason;          /* CamelCase */
    struct tt_str message;         /* at most TT_EVENT_MESSAGE_MAX bytes */
    struct tt_str ns;              /* of the Event */
    char name[TT_EVENT_NAME_SIZE]; /* of the Event */
    uint64_t count;                /* notes so far; >= 1 when taken */
    uint64_t first_ms;             /* wall */
    uint64_t last_ms;              /* wall; of the newest note */
    bool exists;                   /* it was written before: count and last time are new */
};
struct tt_event_stats {
    uint64_t written; /* settled as WRITTEN */
    uint64_t dropped; /* notes without an Event, Events that could not be written */
    uint64_t quieted; /* notes that were only counted, because of the limit per object */
};

struct tt_event_book;
/* host: of whoever reports, "" when it does not matter; copied. */
struct tt_event_book *tt_event_book_new(struct tt_str host, uint64_t seed);
void tt_event_book_free(struct tt_event_book *book);
TT_DEFINE_AUTO(tt_event_book)
void tt_event_book_note(struct tt_event_book *book, const struct tt_event_note *note,
                        uint64_t now_ms);
bool tt_event_book_waits(const struct tt_event_book *book); /* take would give one */
/* The one that waits longest, or NULL. Each taken one must be settled. */
const struct tt_event *tt_event_book_take(struct tt_event_book *book);
enum tt_event_outcome {
    TT_EVENT_WRITTEN,
    TT_EVENT_LATER, /* try again; after a few times it is dropped */
    TT_EVENT_GONE,  /* the written one is not there any more: write it anew */
    TT_EVENT_DROPPED,
};
void tt_event_book_settle(struct tt_event_book *book, const struct tt_event *event,
                          enum tt_event_outcome outcome);
struct tt_event_stats tt_event_book_stats(const struct tt_event_book *book);

/* The whole object, and the merge patch that brings a written one up to date, as JSON. */
void tt_event_write(const struct tt_event_book *book, const struct tt_event *event,
                    struct tt_buf *buf);
void tt_event_write_patch(const struct tt_event *event, struct tt_buf *buf);

#endif
