/* The heart of the agent: pods that are wanted × what the runtime has → plans → steps, for ever.
 *
 *   pod changed, snapshot arrived, step ended, object changed, timer → one pass over all pods:
 *   plan_pod for each → start the steps whose slot is free → write the status that changed
 * A slot (the sandbox, one container) has at most one step at a time and is free again only when a
 * snapshot that was begun after the step has come: plans never see the world before their own work.
 * Ownership: owns its pods; keeps driver, client and refs. Thread: that of the loop.
 * Errors: a failed step is remembered on its slot (status, back-off) and tried again. */
#ifndef AGENT_SYNC_H
#define AGENT_SYNC_H

#include "agent/events.h"
#include "agent/refs.h"
#include "agent/runtime.h"
#include "base/loop.h"

struct sync;
struct sync_limits {   /* what pods may use of this node */
    int64_t cpu_milli; /* thousandths of a core */
    int64_t memory;    /* bytes */
    int64_t pods;      /* how many at a time */
};
struct sync_config {
    struct tt_loop *loop;         /* keeps */
    struct rt_driver *driver;     /* keeps */
    struct tt_api_client *client; /* keeps; NULL: nothing is reported (tests) */
    struct events *events;        /* keeps; NULL: nobody is told (tests) */
    struct refs *refs;            /* keeps; NULL: source is used (tests) */
    struct ref_source source;     /* used when refs is NULL */
    const struct tt_clock *clock; /* keeps */
    const char *root;             /* the data directory; copied, as the others */
    const char *node_name;        /* spec.nodeName of its pods */
    const char *host_ip;          /* address of this node, as others reach it */
    struct sync_limits limits;    /* beyond them a new pod is refused */
};
struct sync *sync_new(const struct sync_config *config);
/* No step is begun any more; frees itself when the running ones have ended (the driver's close ends
 * them). */
void sync_close(struct sync *sync, void (*closed)(void *ctx), void *ctx);

/* What the servers want. json is borrowed. */
void sync_pod_changed(struct sync *sync, struct tt_str json);
/* What they wanted before the agent was restarted: counts until the list is complete. */
void sync_pod_cached(struct sync *sync, struct tt_str json);
void sync_pod_deleted(struct sync *sync, struct tt_str uid);
/* The list of wanted pods is complete: what else runs is nobody's. */
void sync_pods_complete(struct sync *sync);
/* The runtime changed: take a new picture. */
void sync_runtime_changed(struct sync *sync);
/* An object that pods refer to changed. */
void sync_refs_changed(struct sync *sync);

/* Where a container's log lies: "ROOT/logs/NS_POD_UID" and the newest attempt (or the one before
 * it). TT_ENOTFOUND, TT_EINVAL (not started yet). */
struct sync_log {
    char directory[512]; /* ROOT/logs/NS_POD_UID, absolute */
    uint32_t attempt;    /* names the file: CONTAINER/ATTEMPT.log */
    bool is_running;     /* more may come */
};
struct sync_log_query {
    struct tt_str namespace; /* of the pod; borrowed, as the next two */
    struct tt_str pod;       /* its name, not its uid */
    struct tt_str container; /* its name; init containers too */
    bool previous;           /* the instance before the newest */
};
int sync_find_log(const struct sync *sync, const struct sync_log_query *query,
                  struct sync_log *ret_log, struct tt_err *err) TT_MUST_USE;
size_t sync_pod_count(const struct sync *sync);

#endif
