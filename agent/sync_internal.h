/* What the files of sync share.
 *
 * Ownership, thread, errors: as in sync.h. */
#ifndef AGENT_SYNC_INTERNAL_H
#define AGENT_SYNC_INTERNAL_H

#include "agent/files.h"
#include "agent/plan.h"
#include "agent/status.h"
#include "agent/sync.h"
#include "agent/volumes.h"
#include "base/clock.h"
#include "base/map.h"

#define SYNC_REASON_CONFIG "CreateContainerConfigError"
#define SYNC_REASON_MOUNT  "FailedMount"
enum { SYNC_HEAVY_MAX = 6 }; /* heavy steps at a time: more only adds latency */

enum sync_check_kind { SYNC_CHECK_STARTUP, SYNC_CHECK_LIVENESS, SYNC_CHECK_READINESS };
enum { SYNC_CHECKS = 3 };
struct step; /* of sync_step.c */
struct sync_check {
    bool running;       /* one of this kind is under way */
    uint64_t due_ms;    /* monotonic */
    uint64_t successes; /* in a row */
    uint64_t failures;  /* in a row */
};
/* The sandbox or one container of a pod. */
struct sync_slot {
    bool running;              /* a step runs */
    struct step *hook;         /* it is in its postStart hook; NULL: none, or it was let go */
    uint64_t visible_seq;      /* free when a snapshot of this number or a later one is there */
    uint32_t fails;            /* failed starts in a row */
    uint64_t retry_ms;         /* wall time of the next start; 0: none waits */
    uint64_t end_retry_ms;     /* monotonic; no stop or removal before this: the last one failed */
    char reason[32];           /* of the last failure; "" */
    char message[256];         /* goes with reason; "" */
    char instance[RT_ID_SIZE]; /* whose checks these are; "": none runs */
    struct sync_check checks[SYNC_CHECKS]; /* of that instance, by sync_check_kind */
    bool ready;                            /* passes its readiness check, or has none */
    bool started;                          /* passed its start-up check, or has none */
    char unhealthy_id[RT_ID_SIZE];         /* instance whose liveness or start-up failed; "" */
    char backoff_id[RT_ID_SIZE];           /* ended instance whose back-off was told; "" */
};
struct sync_pod {
    struct sync *sync;            /* owner of this entry */
    char uid[64];                 /* key in sync->pods; never changes */
    struct pod *pod;              /* NULL: not wanted (any more) */
    struct sync_slot sandbox;     /* of steps on the whole pod */
    struct sync_slot *containers; /* one per container of the pod */
    size_t container_count;       /* never shrinks: at least pod's */
    size_t steps;                 /* running: the pod lives at least as long */
    bool is_cached;               /* the servers have not told it yet */
    bool has_files;               /* it may have directories: they go at the end */
    bool is_cleaning;             /* its files are being removed */
    uint64_t clean_retry_ms;      /* monotonic; not before this */
    bool volumes_stale;           /* an object changed, or its files failed: project again */
    uint64_t volumes_retry_ms;    /* monotonic; not before this */
    bool is_admitted;             /* looked at: it fits or it was refused */
    char refused_reason[32];      /* "OutOfcpu", …; "": it fits */
    char refused_message[160];    /* goes with refused_reason */
    uint64_t start_ms;            /* wall time, when the entry was made */
    /* status */
    struct tt_buf sent;       /* newest status that was written, or is being */
    struct tt_arena *arena;   /* of `previous` */
    yyjson_val *previous;     /* sent, parsed */
    bool sending;             /* a status PATCH is under way */
    bool deleting;            /* a DELETE is under way */
    uint64_t status_retry_ms; /* monotonic */
};
struct sync {
    struct sync_config config;    /* as given; its strings are copied below */
    char root[VOLUMES_PATH_SIZE]; /* the data directory, absolute */
    char node_name[256];          /* copied */
    char *host_ip;                /* owned, a name of any length; also of pods in its network */
    struct files files;           /* jobs of steps, volumes and logs */
    struct tt_map *pods;          /* uid → struct sync_pod */
    struct rt_snapshot *snapshot; /* owned; the newest picture; NULL: none yet */
    uint64_t snapshot_seq;        /* of the snapshot; 0: none yet */
    uint64_t list_seq;            /* of the newest begun */
    struct rt_call list;          /* RT_RECOVER; at most one runs */
    bool list_running;            /* list is under way */
    bool list_wanted;             /* a picture is due, after the running one if any */
    bool is_complete;             /* all wanted pods are known */
    bool refs_stale;              /* pods changed: what they name may have */
    struct tt_timer pass;         /* the next pass */
    struct tt_timer resync;       /* a slow look at the runtime */
    struct tt_timer settle;       /* looks again after something happened */
    size_t settle_step;           /* looks since then */
    uint64_t pass_due_ms;         /* monotonic, of `pass`; 0: not set */
    struct tt_list checks;        /* running */
    size_t steps;                 /* running */
    size_t heavy_steps;           /* of them, that load the runtime: at most SYNC_HEAVY_MAX */
    size_t requests;              /* running: to servers, checks, file work of no step */
    bool closing;                 /* no step begins; frees itself when all has ended */
    int timers_open;              /* timers not yet closed */
    void (*closed)(void *ctx);    /* of close; called when nothing runs any more */
    void *closed_ctx;             /* passed to closed */
};

void sync_pass_in(struct sync *sync, uint64_t delay_ms);
struct rt_pod sync_seen(const struct sync *sync, const struct sync_pod *sp);
bool sync_slot_busy(const struct sync *sync, const struct sync_slot *slot);
void sync_want_list(struct sync *sync);
void sync_free_when_done(struct sync *sync);
uint64_t sync_wall_ms(const struct sync *sync);
uint64_t sync_mono_ms(const struct sync *sync);
struct env_context sync_env_context(const struct sync_pod *sp);

/* sync_step.c: starts the step an action asks for, unless it is heavy and too many of them run. */
void sync_step(struct sync_pod *sp, const struct plan_action *action);
/* Frees the slots whose postStart hook still runs, of a pod that is being deleted. */
void sync_let_hooks_go(struct sync_pod *sp);
/* sync_files.c: work on a pod's files, off the loop. The pod's entry stays until done. */
void sync_project_again(struct sync_pod *sp);
void sync_clean(struct sync_pod *sp);
/* sync_check.c: begins the checks of running containers that are due. */
void sync_check_pod(struct sync_pod *sp);
void sync_checks_cancel(struct sync *sync);
/* sync_rotate.c: container logs that grew too large. */
void sync_rotate_logs(struct sync *sync);
/* sync_report.c: the status if it changed; the deletion of the object. */
void sync_report(struct sync_pod *sp);
void sync_delete_object(struct sync_pod *sp);

#endif
