/* The ConfigMaps and Secrets that this node's pods name, kept up to date by one watch each.
 *
 * A node may read exactly those objects, each by name; so each has its own small watch, started
 * when a pod names it and ended when none does. While the servers are away, what was known stays.
 * Ownership: owns the objects; what get returns is borrowed until the next turn of the loop.
 * Thread: that of the loop. Errors: TT_EBUSY beyond REFS_MAX objects. */
#ifndef AGENT_REFS_H
#define AGENT_REFS_H

#include "agent/pod.h"
#include "api/client/api_client.h"

enum { REFS_MAX = 512 };
enum ref_state {
    REF_UNKNOWN, /* not heard yet */
    REF_ABSENT,
    REF_PRESENT
};
/* How others look objects up (tests have their own). */
struct ref_source {
    /* ret_object: set for REF_PRESENT only */
    enum ref_state (*get)(void *ctx, bool is_secret, struct tt_str ns, struct tt_str name,
                          yyjson_val **ret_object);
    void *ctx; /* of get */
};

struct refs;
struct refs *refs_new(struct tt_loop *loop, struct tt_api_client *client,
                      void (*changed)(void *ctx), void *ctx);
/* Mark and sweep: begin, one want for each pod, end. */
void refs_begin(struct refs *refs);
void refs_want(struct refs *refs, const struct pod *pod);
void refs_end(struct refs *refs);
struct ref_source refs_source(struct refs *refs);
void refs_close(struct refs *refs, void (*closed)(void *ctx), void *ctx); /* frees itself */

/* Calls `found` for each object the pod names, possibly several times. */
void refs_of_pod(const struct pod *pod,
                 void (*found)(void *ctx, bool is_secret, struct tt_str name), void *ctx);

#endif
