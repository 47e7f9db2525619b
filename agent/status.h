/* A pod's status from what is seen: pure.
 *
 * Ownership: appends JSON text to the buffer. Thread: any. Errors: those of the buffer.
 * Source of the meaning of each field: Kubernetes API, PodStatus. */
#ifndef AGENT_STATUS_H
#define AGENT_STATUS_H

#include "agent/plan.h"

struct status_container {
    bool ready;          /* passes its readiness check (while it runs) */
    bool started;        /* passes its start-up check */
    const char *reason;  /* why it could not be started: "ErrImagePull", …; NULL */
    const char *message; /* goes with reason; NULL or "": none */
};
struct status_input {
    const struct pod *pod;                     /* borrowed; whose status this is */
    struct rt_pod seen;                        /* what the runtime has of it */
    const struct status_container *containers; /* one per container of the pod */
    const char *host_ip;                       /* of this node; borrowed */
    const char *refused_reason;  /* the node does not take it: "OutOfcpu", …; NULL */
    const char *refused_message; /* goes with refused_reason; else no matter */
    yyjson_val *previous; /* the status before: conditions that did not change keep their times */
    uint64_t start_ms;    /* wall time the agent took it up, when previous does not say */
    uint64_t now_ms;      /* wall time: of conditions that change now */
};
void status_write(const struct status_input *input, struct tt_buf *buf);

#endif
