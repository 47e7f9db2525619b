/* Expiry: an Event whose last time lies TT_EVENT_TTL_MS back is removed.
 *
 * Each Event is a key that becomes due when its time is over; one that was seen again meanwhile is
 * due later. So nothing is ever scanned, and the engine's limits of passes and commits bound what
 * is removed at a time, however many are due at once (after a long pause of all servers, say).
 * The Event's own times are the reporter's: those in the future are not believed. The time of its
 * creation is a server's: one in the future means that this server's clock is late, so it counts as
 * now, and the Event stays for its hour. */
#include "reconciler/core/core.h"

#include "base/intmath.h"

static uint64_t latest(const struct tt_view *event, uint64_t now_ms)
{
    static const char *const times[] = {"firstTimestamp", "eventTime", "series.lastObservedTime",
                                        "lastTimestamp"};
    uint64_t last_ms = 0;
    if (tt_time_parse(tt_view_str(event, "metadata.creationTimestamp"), &last_ms)) {
        last_ms = tt_u64_min(last_ms, now_ms);
    }
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        uint64_t time_ms = 0;
        if (tt_time_parse(tt_view_str(event, times[i]), &time_ms) && time_ms > last_ms &&
            time_ms <= now_ms) {
            last_ms = time_ms;
        }
    }
    return last_ms;
}

/* Milliseconds until it may go; 0: now. */
static uint64_t left_ms(const struct tt_view *event, uint64_t now_ms)
{
    uint64_t age_ms = now_ms - latest(event, now_ms);
    return age_ms < TT_EVENT_TTL_MS ? TT_EVENT_TTL_MS - age_ms : 0;
}

static int plan_event(struct tt_controller *self, struct tt_pass *pass, struct tt_str key,
                      struct tt_err *err)
{
    (void)self; /* nothing is remembered between passes */
    struct tt_object_ref ref = {.resource = TT_STR("events")};
    struct tt_view event;
    bool split = tt_object_key_split(key, &ref.ns, &ref.name);
    TT_ASSERT(split);
    int r = tt_pass_get(pass, &ref, &event, err);
    if (r != TT_OK || event.item == NULL) {
        return r;
    }
    pass->recheck_ms = left_ms(&event, pass->now_ms);
    return pass->recheck_ms > 0 ? TT_OK : tt_pass_delete(pass, &event, -1, err);
}

/* Every Event that is not yet known is looked at once: planning finds out when it is due. */
static void observe_event(struct tt_controller *self, const struct tt_change *change,
                          const struct tt_object_ref *ref, struct tt_observer *observer)
{
    (void)self; /* nothing is remembered between passes */
    if (ref->group.len == 0 && tt_str_eq(ref->resource, TT_STR("events")) && change->item != NULL &&
        change->prev == NULL) {
        tt_observe_object(observer, ref->ns, ref->name);
    }
}

struct tt_controller *tt_event_controller_new(void)
{
    struct tt_controller *controller = TT_NEW(struct tt_controller);
    controller->name = "event";
    controller->observe = observe_event;
    controller->plan = plan_event;
    return controller;
}
