/* The engine of all reconcilers: follows the store on the leader, feeds key queues, runs passes.
 *
 *   store version published → changes since the last one → each controller's observe → key queues →
 *   plan (pure) on the newest version → one transaction → done, retry with back-off, or recheck
 *
 * Only the leader reconciles: gaining leadership lists everything (the truth is level-triggered),
 * losing it drops all queues; commits that are still out are harmless because each compares every
 * row its plan relied upon.
 * Ownership: keeps everything in the config; owns its loop thread. Thread: new/free from the
 * composition root; the rest inside its own loop. Errors: a failing plan is logged with its key
 * and retried with back-off; it never stops the others. */
#ifndef RECONCILER_ENGINE_ENGINE_H
#define RECONCILER_ENGINE_ENGINE_H

#include "base/clock.h"
#include "reconciler/engine/key_queue.h"
#include "reconciler/engine/pass.h"
#include "server/store/store.h"

struct tt_engine;
struct tt_observer;

/* One kind of reconciling. A controller may embed this struct in its own with what it has observed
 * (never what it decided: decisions are read back from the store). */
struct tt_controller {
    const char *name;       /* static, for logs and metrics */
    const char *component;  /* static, how its Events name it; NULL: it has none */
    const char *always_key; /* added whenever everything is listed; NULL = none */
    /* Forgets all observations: everything will be observed anew. NULL when there are none. */
    void (*reset)(struct tt_controller *self);
    /* Which keys of this controller does a change concern? Calls tt_observe_add for each. `ref`
     * are the parts of the changed key; change->item or change->prev may be NULL. */
    void (*observe)(struct tt_controller *self, const struct tt_change *change,
                    const struct tt_object_ref *ref, struct tt_observer *observer);
    /* Plans what one key needs now; pure but for `self`. TT_OK with no writes: all is as it should
     * be. */
    int (*plan)(struct tt_controller *self, struct tt_pass *pass, struct tt_str key,
                struct tt_err *err);
    void (*free)(struct tt_controller *self); /* NULL: one tt_free is enough */
};
void tt_controller_free(struct tt_controller *controller); /* NULL is fine */
/* Where observe puts keys; `delay_ms` > 0 plans later. */
void tt_observe_add(struct tt_observer *observer, struct tt_str key, uint64_t delay_ms);
/* Adds "<namespace>/<name>", the usual key of an object. */
void tt_observe_object(struct tt_observer *observer, struct tt_str ns, struct tt_str name);
/* Does the text of a stored object hold this word? A cheap test before it is parsed; false when
 * item is NULL or does not open. */
bool tt_observe_mentions(struct tt_observer *observer, const struct tt_item *item,
                         const char *word);
/* Which of at most 32 members has a stored object's metadata: bit i for names[i]. Cheaper still:
 * only that part of the text is looked at. 0 when item is NULL or does not open. */
unsigned tt_observe_metadata(struct tt_observer *observer, const struct tt_item *item,
                             const struct tt_str names[], size_t count);
/* Parses a stored object for observing; false when item is NULL, no object or does not open. The
 * view is valid until the next call of any tt_observe_ function that parses. */
bool tt_observe_view(struct tt_observer *observer, const struct tt_item *item,
                     struct tt_view *ret_view);
/* Adds the value of one field of a stored object, when it has it; parses the item. */
void tt_observe_field(struct tt_observer *observer, const struct tt_item *item, const char *dotted);
/* Adds its owner's key, from a stored object's controller owner reference of this kind; parses the
 * item. */
void tt_observe_owner(struct tt_observer *observer, const struct tt_item *item, const char *kind);
/* "<namespace>/<name>" apart again; false when key has no '/'. */
bool tt_object_key_split(struct tt_str key, struct tt_str *ret_ns, struct tt_str *ret_name);

enum { TT_ENGINE_CONTROLLERS_MAX = 16 };
struct tt_engine_config {
    struct tt_store *store;          /* keeps */
    struct tt_proposer *proposer;    /* keeps */
    struct tt_cluster *cluster;      /* keeps; its leadership drives the engine */
    struct tt_registry *registry;    /* keeps */
    const struct tt_clock *clock;    /* keeps */
    struct tt_str actor;             /* SPIFFE identity that commits; keeps the bytes */
    const struct tt_pass_seal *seal; /* keeps; NULL: sealed objects stay opaque */
    struct tt_controller *controllers[TT_ENGINE_CONTROLLERS_MAX]; /* keeps */
    size_t controller_count; /* of controllers in use, 1 to TT_ENGINE_CONTROLLERS_MAX */
};
int tt_engine_new(const struct tt_engine_config *config, struct tt_engine **ret_engine,
                  struct tt_err *err) TT_MUST_USE;
/* Of the Events that reconcilers wrote and dropped; any thread. */
struct tt_event_stats tt_engine_event_stats(const struct tt_engine *engine);
void tt_engine_free(struct tt_engine *engine); /* stops and joins; NULL is fine */

#endif
