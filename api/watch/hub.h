/* The watches of one API thread.
 *
 * Every published version is scanned once, from the last revision seen; each change is handed to
 * the watches of its kind, its namespace or its very name (three look-ups, however many watches
 * there are), encoded once per form and shared. A watch goes through listing  → synthetic ADDED
 * events of what is there (optional) catching → its own walk through history up to the hub's
 * revision live     → fed by the hub and falls back from live to catching when its client's backlog
 * is full: events are never queued here, they are read again from history. A client that takes
 * nothing for 5 s is ended with a BOOKMARK of the revision up to which it has everything.
 * Ownership: a watch belongs to the hub from start until `ended` was called; the sink's context is
 * the caller's. Thread: that of the loop. Errors: a revision that history no longer has ends a
 * watch with an ERROR event (410 Expired). */
#ifndef API_WATCH_HUB_H
#define API_WATCH_HUB_H

#include "api/admission/seal.h"
#include "api/http/server.h"
#include "api/kinds/registry.h"
#include "api/kinds/selector.h"
#include "api/kinds/table.h"
#include "base/clock.h"

struct tt_watch_hub;
struct tt_watch;

/* Where events go. */
struct tt_watch_sink {
    /* One event, a whole line, shared. TT_EBUSY: nothing was taken, call tt_watch_drained when
     * there is room again. last: a final word to a stalled client, into room kept for it. Other
     * errors: the client is gone. */
    int (*write)(void *ctx, const struct tt_http_part *part, bool last);
    /* The watch is over and freed after this returns; not called after tt_watch_cancel. */
    void (*ended)(void *ctx);
    void *ctx; /* the caller's: first argument of both */
};
enum tt_watch_form { TT_WATCH_JSON, TT_WATCH_METADATA, TT_WATCH_TABLE, TT_WATCH_FORM_COUNT };
enum tt_watch_start {
    TT_WATCH_RESUME,     /* changes behind `revision` */
    TT_WATCH_LIST_FIRST, /* everything in `version` as ADDED, then changes behind it */
};
struct tt_watch_config {
    struct tt_kinds *kinds;        /* refs */
    const struct tt_kind *kind;    /* of kinds */
    struct tt_str ns;              /* "": all (or a cluster-scoped kind) */
    struct tt_str label_selector;  /* texts, checked by the caller; copied and parsed again */
    struct tt_str field_selector;  /* the same; "" in either: everything */
    enum tt_watch_form form;       /* what stands for the object in an event */
    enum tt_table_include include; /* tables */
    enum tt_watch_start start;     /* which of the next two counts */
    uint64_t revision;             /* RESUME */
    struct tt_version *version;    /* LIST_FIRST: refs */
    bool bookmarks;                /* one each second */
    bool initial_end_bookmark;     /* LIST_FIRST: a bookmark annotated k8s.io/initial-events-end */
    uint64_t deadline_ms;          /* monotonic; the watch ends cleanly then */
    struct tt_str client;          /* identity, for the limit of watches */
    struct tt_watch_sink sink;     /* copied; its ctx lives until the end of the watch */
};

/* watches_per_client_max 0 = 1,000. sealer may be NULL. Keeps all. */
struct tt_watch_hub *tt_watch_hub_new(struct tt_store *store, const struct tt_sealer *sealer,
                                      const struct tt_clock *clock,
                                      uint32_t watches_per_client_max);
void tt_watch_hub_free(struct tt_watch_hub *hub); /* after close */
/* Starts; events flow from the next tt_watch_run on (call it once the stream has begun). TT_EBUSY:
 * too many watches of this client. TT_EEXPIRED: the revision is compacted. TT_EINVAL: a selector.
 */
int tt_watch_start(struct tt_watch_hub *hub, const struct tt_watch_config *config,
                   struct tt_watch **ret_watch, struct tt_err *err) TT_MUST_USE;
void tt_watch_run(struct tt_watch *watch);
void tt_watch_drained(struct tt_watch *watch); /* the sink has room again */
void tt_watch_cancel(struct tt_watch *watch); /* the client is gone: freed, `ended` is not called */

/* Goes on with watches that list or catch up, a bounded step each. True: there is more, call again
 * soon (the loop's idle phase). */
bool tt_watch_hub_work(struct tt_watch_hub *hub);
bool tt_watch_hub_has_work(const struct tt_watch_hub *hub);
void tt_watch_hub_publish(struct tt_watch_hub *hub, struct tt_version *version);
void tt_watch_hub_tick(struct tt_watch_hub *hub, uint64_t now_ms);
/* Ends every watch (server shutdown): clients resume elsewhere. */
void tt_watch_hub_close(struct tt_watch_hub *hub);
size_t tt_watch_hub_count(const struct tt_watch_hub *hub);
uint64_t tt_watch_hub_events(const struct tt_watch_hub *hub); /* sent, for metrics */

#endif
