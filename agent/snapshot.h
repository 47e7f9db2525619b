/* What a runtime has at one moment: sandboxes and containers with their pods' uids, sorted.
 *
 * Ownership: a snapshot owns all its memory; built by one driver, then immutable. Thread: the
 * agent's loop. Errors: TT_ETOOLARGE when the runtime has more than fits. */
#ifndef AGENT_SNAPSHOT_H
#define AGENT_SNAPSHOT_H

#include "base/mem.h"
#include "base/str.h"

enum { RT_ID_SIZE = 128, RT_SNAPSHOT_COUNT_MAX = 16384 };

enum rt_state { RT_CREATED, RT_RUNNING, RT_EXITED, RT_UNKNOWN }; /* as CRI's ContainerState */

struct rt_container {
    const char *id;         /* the runtime's */
    const char *sandbox_id; /* where it was made; that one may be gone */
    const char *pod_uid;    /* from its label; no text here is NULL */
    const char *name;       /* as in the pod's spec */
    uint32_t attempt;       /* 0, 1, … */
    enum rt_state state;    /* when it was listed */
    int64_t started_ms;     /* Unix time; 0: not started, or unknown */
    int64_t finished_ms;    /* Unix time; 0: not ended, or unknown */
    uint64_t backoff_ms;    /* what its restart waits */
    int32_t exit_code;      /* RT_EXITED only; 128 + signal when killed */
    const char *reason;     /* "Completed", "Error", "OOMKilled", …; "" */
    const char *message;    /* "" */
    const char *image_ref;  /* what runs: an image id or digest */
};
struct rt_sandbox {
    const char *id;      /* the runtime's */
    const char *pod_uid; /* from its label; no text here is NULL */
    uint32_t attempt;    /* 0, 1, … */
    bool ready;          /* PodSandboxState is READY */
    uint64_t grace_s;    /* of the pod, for when nobody else knows */
    const char *ip;      /* "" in the host's network */
};
struct rt_snapshot {
    struct tt_arena *arena;          /* owned; of all strings */
    struct rt_sandbox *sandboxes;    /* by uid, newest attempt first */
    size_t sandbox_count;            /* filled; at most RT_SNAPSHOT_COUNT_MAX */
    struct rt_container *containers; /* by uid, then name, newest attempt first */
    size_t container_count;          /* filled; at most RT_SNAPSHOT_COUNT_MAX */
};
/* The part of a snapshot that belongs to one pod. */
struct rt_pod {
    const struct rt_sandbox *sandboxes;    /* newest first */
    size_t sandbox_count;                  /* 0: it has none */
    const struct rt_container *containers; /* by name, newest first; borrowed, as sandboxes */
    size_t container_count;                /* instances, not names; 0: it has none */
};

/* Room for so many; fill the arrays (strings in the arena), then seal. */
struct rt_snapshot *rt_snapshot_new(size_t sandbox_count, size_t container_count,
                                    struct tt_err *err);
void rt_snapshot_seal(struct rt_snapshot *snapshot); /* sorts */
void rt_snapshot_free(struct rt_snapshot *snapshot);
/* snapshot may be NULL: nothing. */
struct rt_pod rt_snapshot_pod(const struct rt_snapshot *snapshot, struct tt_str uid);
/* The newest instance of a container, the one before it; NULL when there is none. */
const struct rt_container *rt_pod_container(const struct rt_pod *pod, struct tt_str name,
                                            size_t age);
TT_DEFINE_AUTO(rt_snapshot)

#endif
