/* What runs pods on this node: the driver interface, and the picture a driver gives of what runs.
 *
 * A driver is asked for whole steps (prepare a sandbox, start a container, stop one, …), not for
 * single messages of a protocol. Everything it creates carries the pod's uid, so that after a
 * restart of the agent or of the runtime the picture alone says whose it is.
 *   recover → snapshot of all;  prepare → sandbox;  start → container (its image must be there);
 *   stop → ended, with grace;  remove → gone, of one container or of a whole sandbox
 * Ownership: a call is the caller's until done, with all it points to; the snapshot of a recover
 * call is taken by the caller. Thread: that of the loop. Errors: each call ends with exactly one
 * done, never inside start or close; TT_ENOTFOUND: the thing is not there (which is what remove
 * wants, so there it is success); TT_EUNAVAILABLE/TT_ECLOSED: the runtime is not there. */
#ifndef AGENT_RUNTIME_H
#define AGENT_RUNTIME_H

#include "agent/snapshot.h"
#include "base/buf.h"

struct pod;

/* One container to create, resolved to the last value. All borrowed until done. */
struct rt_mount {
    const char *host_path;      /* absolute; a directory or file of the node */
    const char *container_path; /* absolute; where the container sees it */
    bool read_only;             /* the container cannot write there */
};
struct rt_env {
    const char *name;  /* unique in its list */
    const char *value; /* expanded; may be "" */
};
struct rt_container_config {
    const struct pod *pod;         /* names, labels, host namespaces, security of the whole pod */
    size_t index;                  /* of the container in pod->containers */
    uint32_t attempt;              /* unique per pod uid and container name */
    uint64_t backoff_ms;           /* what its next restart waits: kept with the container */
    const char *sandbox_id;        /* of a ready sandbox of this pod */
    const char *log_directory;     /* the pod's; absolute */
    const struct rt_mount *mounts; /* array, in the spec's order */
    size_t mount_count;            /* of mounts */
    const struct rt_env *env;      /* array, in the order of the spec */
    size_t env_count;              /* of env */
    const char *const *command;    /* with $(VAR) expanded; NULL: the image's */
    size_t command_count;          /* words; 0: the image's */
    const char *const *args;       /* with $(VAR) expanded */
    size_t arg_count;              /* words; 0: the image's */
};

enum rt_verb {
    RT_RECOVER,          /* → snapshot */
    RT_PREPARE,          /* pod, attempt, log_directory → id of a ready sandbox */
    RT_START,            /* container → id of a started container */
    RT_STOP,             /* id, grace_s: SIGTERM, then SIGKILL */
    RT_REMOVE_CONTAINER, /* id: stopped by force when it still runs */
    RT_STOP_SANDBOX,     /* id: with all containers in it; what ended stays to be looked at */
    RT_REMOVE_SANDBOX,   /* id: with all containers in it */
    RT_EXEC,             /* id, command, timeout_ms → exit_code, output */
    RT_IMAGE,            /* image, policy: is there when done succeeds */
    RT_REOPEN_LOG,       /* id: after its log file was renamed */
};
enum rt_image_policy { RT_IMAGE_NEVER, RT_IMAGE_IF_NOT_PRESENT, RT_IMAGE_ALWAYS };

struct rt_call {
    enum rt_verb verb;                           /* what is asked: says which of the others count */
    const char *id;                              /* of a sandbox or container */
    const struct pod *pod;                       /* RT_PREPARE */
    uint32_t attempt;                            /* RT_PREPARE */
    const char *log_directory;                   /* RT_PREPARE */
    const struct rt_container_config *container; /* RT_START */
    uint64_t grace_s;                            /* RT_STOP */
    const char *const *command;                  /* RT_EXEC */
    size_t command_count;                        /* RT_EXEC: words */
    uint64_t timeout_ms;                         /* RT_EXEC; the others have their own */
    const char *image;                           /* RT_IMAGE */
    enum rt_image_policy policy;                 /* RT_IMAGE: when it is pulled */
    /* Once, as the driver's last touch: it may free the call. err NULL: the answer is there. */
    void (*done)(struct rt_call *call, const struct tt_err *err);
    void *ctx; /* the caller's, for done */
    /* Answer. */
    char new_id[RT_ID_SIZE];      /* RT_PREPARE, RT_START */
    struct rt_snapshot *snapshot; /* RT_RECOVER: taken by the caller */
    bool pulled;                  /* RT_IMAGE: it was fetched for this call */
    int exit_code;                /* RT_EXEC */
    char output[512];             /* RT_EXEC: the end of what it printed, NUL-terminated */
};

struct rt_events {
    void (*changed)(void *ctx); /* something happened: look again */
    /* The runtime answers (reason "") or does not (why). Called on each change. */
    void (*condition)(void *ctx, bool ready, const char *reason);
    void *ctx; /* of both */
};
struct rt_driver;
struct rt_driver_ops {
    /* Failure: done is not called. */
    int (*start)(struct rt_driver *driver, struct rt_call *call, struct tt_err *err) TT_MUST_USE;
    /* Begins to report; at most once. */
    void (*watch)(struct rt_driver *driver, const struct rt_events *events);
    /* "containerd://1.6.20": for the Node; "" while unknown. Borrowed. */
    const char *(*version)(const struct rt_driver *driver);
    /* Ends running calls with TT_ECANCELED, then frees itself after `closed`. */
    void (*close)(struct rt_driver *driver, void (*closed)(void *ctx), void *ctx);
};
struct rt_driver {
    const struct rt_driver_ops *ops; /* static; a driver embeds this struct */
};
static inline int rt_start(struct rt_driver *driver, struct rt_call *call, struct tt_err *err)
{
    return driver->ops->start(driver, call, err);
}

#endif
