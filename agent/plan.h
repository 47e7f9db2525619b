/* What to do next for one pod: a pure function of what is wanted, what the runtime has and what is
 * remembered about failures. Level-triggered: it never asks what happened, only what is.
 *
 *   wanted     sandbox ready → init containers one by one → containers; ended ones by restartPolicy
 *   not wanted (deleted, refused, unknown) containers stopped → sandboxes removed → files removed
 *              → object deleted
 * Ownership: actions borrow from the pod and the snapshot. Thread: any. Errors: none. */
#ifndef AGENT_PLAN_H
#define AGENT_PLAN_H

#include "agent/pod.h"
#include "agent/snapshot.h"

enum { PLAN_ACTIONS_MAX = 4 * POD_CONTAINERS_MAX };
enum {
    PLAN_BACKOFF_MS_MIN = 10000,    /* the second restart; the first is at once */
    PLAN_BACKOFF_MS_MAX = 300000,   /* it doubles up to this */
    PLAN_BACKOFF_RESET_MS = 600000, /* a container that ran so long starts over */
};

enum plan_verb {
    PLAN_PREPARE,          /* attempt */
    PLAN_START,            /* index, attempt, backoff_ms, id: the sandbox */
    PLAN_STOP,             /* id, index when known, grace_s */
    PLAN_REMOVE_CONTAINER, /* id, index when known, attempt */
    PLAN_STOP_SANDBOX,     /* id */
    PLAN_REMOVE_SANDBOX,   /* id */
    PLAN_CLEAN,            /* files of the pod */
    PLAN_DELETE,           /* the API object: all else is done */
};
const char *plan_verb_name(enum plan_verb verb);

struct plan_action {
    enum plan_verb verb; /* says which of the others count */
    const char *id;      /* borrowed from the snapshot; NULL: none */
    size_t index;        /* of the container; SIZE_MAX: none or not in the spec */
    uint32_t attempt;    /* of what is made or removed */
    uint64_t backoff_ms; /* what the next restart will wait */
    uint64_t grace_s;    /* PLAN_STOP: from SIGTERM to SIGKILL */
};
/* Remembered about one container. */
struct plan_record {
    bool busy;             /* a step of it is running or not yet visible */
    uint64_t retry_ms;     /* wall time: it could not be started, not before this; 0: no matter */
    const char *unhealthy; /* instance whose liveness or start-up check failed; NULL: none */
    uint64_t unhealthy_grace_s; /* to stop it with */
};
struct plan_input {
    const struct pod *pod;             /* NULL: nobody wants it */
    struct rt_pod seen;                /* what the runtime has of it */
    const struct plan_record *records; /* one per container of the pod */
    bool sandbox_busy;                 /* a step of the whole pod is running: nothing else starts */
    uint64_t sandbox_retry_ms;         /* as retry_ms */
    bool refused;                      /* the node has no room for it: it failed */
    bool has_files;                    /* it may have directories: they go at the end */
    uint64_t now_ms;                   /* wall */
};
struct plan {
    struct plan_action actions[PLAN_ACTIONS_MAX]; /* to begin now, if their slots are free */
    size_t count;                                 /* what does not fit is planned next time */
    uint64_t wake_ms; /* wall time to plan again, 0: only when something changes */
};
void plan_pod(const struct plan_input *input, struct plan *ret_plan);

/* What an ended container waits before it is started again. */
uint64_t plan_restart_delay_ms(const struct rt_container *ended);
/* All containers ended for good: what the pod's phase follows from. */
enum plan_end { PLAN_GOES_ON, PLAN_SUCCEEDED, PLAN_FAILED };
enum plan_end plan_end_of(const struct pod *pod, const struct rt_pod *seen);

#endif
