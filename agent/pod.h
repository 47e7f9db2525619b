/* A pod as the API describes it, parsed once: the desired side of everything the agent does.
 *
 * Ownership: reference-counted; owns its JSON. Immutable once made. Thread: the agent's loop.
 * Errors: TT_EINVAL for an object without uid, name or containers. */
#ifndef AGENT_POD_H
#define AGENT_POD_H

#include "api/json/json.h"

enum { POD_CONTAINERS_MAX = 64 };

enum pod_restart { POD_RESTART_ALWAYS, POD_RESTART_ON_FAILURE, POD_RESTART_NEVER };

struct pod_container {
    const char *name;  /* unique in the pod */
    const char *image; /* as in the spec; "" when absent */
    yyjson_val *spec;  /* the whole entry */
    bool is_init;      /* runs to its end before the others start */
};
struct pod_resources {
    int64_t cpu_milli; /* thousandths of a core */
    int64_t memory;    /* bytes */
};
struct pod {
    uint32_t refs;                    /* freed at 0 */
    struct tt_arena *arena;           /* owned; holds json and all that is parsed */
    struct tt_str json;               /* as received */
    yyjson_val *root;                 /* the whole object; never NULL */
    yyjson_val *spec;                 /* never NULL */
    yyjson_val *status;               /* may be NULL */
    const char *uid;                  /* metadata.uid; never "" */
    const char *namespace;            /* metadata.namespace; never "" */
    const char *name;                 /* metadata.name; never "" */
    enum pod_restart restart;         /* spec.restartPolicy; ALWAYS when absent */
    uint64_t grace_s;                 /* spec.terminationGracePeriodSeconds */
    bool is_deleting;                 /* it has a metadata.deletionTimestamp */
    uint64_t deletion_grace_s;        /* metadata.deletionGracePeriodSeconds */
    uint64_t deletion_ms;             /* metadata.deletionTimestamp: when its grace is over */
    bool host_network;                /* spec.hostNetwork: it has the node's addresses */
    bool is_finished;                 /* status.phase was Succeeded or Failed when it came */
    struct pod_container *containers; /* the init containers first, in their order */
    size_t container_count;           /* with the init ones; 1 to POD_CONTAINERS_MAX */
    size_t init_count;                /* of them, at the front */
};

int pod_new(struct tt_str json, struct pod **ret_pod, struct tt_err *err) TT_MUST_USE;
struct pod *pod_ref(struct pod *pod);
void pod_unref(struct pod *pod); /* NULL is fine */
/* Index into containers, or container_count. */
size_t pod_find(const struct pod *pod, struct tt_str container);
/* Effective request: the larger of the sum of containers and the largest init container. */
struct pod_resources pod_requests(const struct pod *pod);
/* A resource quantity "resources.<kind>.<name>" of a container; false when absent. cpu in milli. */
bool pod_quantity(const struct pod_container *container, const char *kind, const char *name,
                  int64_t *ret_value);
/* "Guaranteed", "Burstable", "BestEffort". */
const char *pod_qos(const struct pod *pod);

#endif
