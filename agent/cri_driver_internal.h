/* What the files of the CRI driver share.
 *
 * Ownership, thread, errors: as in cri_driver.h. */
#ifndef AGENT_CRI_DRIVER_INTERNAL_H
#define AGENT_CRI_DRIVER_INTERNAL_H

#include "agent/cri.h"
#include "agent/cri_config.h"
#include "agent/cri_driver.h"
#include "base/map.h"

struct cri_driver {
    struct rt_driver base;               /* what is handed out; this struct is reached from it */
    struct tt_loop *loop;                /* kept; of the poll timer */
    struct tt_http_client *client;       /* owned; for all calls but the event stream */
    struct tt_http_client *event_client; /* its stream never ends: a connection of its own */
    struct tt_map *details;              /* of containers and sandboxes, by id; cri_recover.c */
    uint64_t round;                      /* of recover: what it did not see is forgotten */
    struct rt_events events;             /* all NULL until watch */
    struct cri_call version_call;        /* of the poll; one at a time */
    struct cri_call event_call;          /* the stream; only its grpc part is used */
    struct tt_timer poll;                /* looks whether the runtime answers */
    char version[96];                    /* "NAME://VERSION"; "" until the runtime answered once */
    bool version_running;                /* version_call is under way */
    bool events_running;                 /* the event stream is open */
    bool events_native;        /* GetContainerEvents is not there: containerd's own stream */
    bool ready;                /* as told last; see said_condition */
    bool said_condition;       /* the first word about it was given */
    bool closing;              /* close was called: no call begins any more */
    bool poll_open;            /* the timer lives: watch was called, close was not */
    int parts_open;            /* clients and timer that are still closing */
    void (*closed)(void *ctx); /* of close; called once all parts are closed */
    void *closed_ctx;          /* passed to closed */
};

/* One running rt_call: a chain of CRI calls. */
struct cri_op {
    struct cri_call cri;       /* the call of the chain that runs now */
    struct cri_driver *driver; /* borrowed: its close ends the op */
    struct rt_call *call;      /* the caller's; cri_op_end answers it */
    void (*next)(struct cri_op *op, const struct tt_err *err); /* what the running call leads to */
    char id[RT_ID_SIZE]; /* copy of call->id; "" for a verb without one */
};

/* Sends the next call of the chain. On failure to send the op ends. */
void cri_op_send(struct cri_op *op, const char *path, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *reply_type, uint64_t timeout_ms);
/* Ends the op: done, freed. */
void cri_op_end(struct cri_op *op, const struct tt_err *err);

/* cri_recover.c */
int cri_recover_start(struct cri_driver *driver, struct rt_call *call,
                      struct tt_err *err) TT_MUST_USE;
void cri_details_free(void *detail);
/* cri_watch.c */
void cri_watch(struct rt_driver *base, const struct rt_events *events);
void cri_watch_close(struct cri_driver *driver);
/* One of what keeps the driver alive is closed; the last one frees it. */
void cri_driver_part_closed(struct cri_driver *driver);

#endif
