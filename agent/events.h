/* The agent's recorder of Events: what happened to its pods and its node, told to the servers.
 *
 * Notes are counted and queued (api/kinds/event_book.h) and written a moment later, a few requests
 * at a time. While the servers are away they wait; what is too much is dropped. Nothing ever waits
 * for an Event.
 * Ownership: keeps the client; notes are copied. Thread: that of the loop. Errors: none. */
#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H

#include "agent/pod.h"
#include "api/client/api_client.h"
#include "base/clock.h"
#include "base/loop.h"

struct events;
struct events_config {
    struct tt_loop *loop;         /* keeps */
    struct tt_api_client *client; /* keeps */
    const struct tt_clock *clock; /* keeps; wall time of the notes */
    const char *node_name;        /* keeps; the Events' source, and object of node Events */
    uint64_t seed;                /* of the Events' names */
};
struct events *events_new(const struct events_config *config);
/* Frees itself when the running requests have ended (the client's close ends them). */
void events_close(struct events *events, void (*closed)(void *ctx), void *ctx);

enum events_type { EVENTS_NORMAL, EVENTS_WARNING };
/* A pod, or one of its containers (index < container_count). */
struct events_about {
    const struct pod *pod; /* borrowed; NULL: nothing is told */
    size_t index;          /* of the container; SIZE_MAX: the pod as a whole */
};
/* events may be NULL: nobody listens (tests). */
void events_pod(struct events *events, struct events_about about, enum events_type type,
                const char *reason, const char *fmt, ...) TT_PRINTF(5, 6);
/* About the own node; uid "" while unknown. */
void events_node(struct events *events, const char *uid, enum events_type type, const char *reason,
                 const char *message);

#endif
