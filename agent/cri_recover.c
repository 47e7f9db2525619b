/* The whole picture of a CRI runtime: lists first, then what lists do not tell.
 *
 *   ListPodSandbox → ListContainers → for each whose state is new: ContainerStatus (exit code,
 *   times, reason) or PodSandboxStatus (address), a few at a time → snapshot
 *
 * What an id's status said is kept as long as its state does not change, so that a usual round is
 * two calls. Failure: any call that fails ends the round with its error, but a thing that vanished
 * between list and status is left out. Sandboxes without the owner's label are somebody else's. */
#include <stdio.h>

#include "agent/cri_driver_internal.h"

enum {
    CALL_MS = 10000,
    PARALLEL_MAX = 8,
    NS_PER_MS = 1000000,
    TEXT_MAX = 1024, /* of a reason or message that is kept */
    STATE_READY = 0, /* PodSandboxState */
};

struct detail {
    int32_t state;       /* the status was asked in */
    uint64_t round;      /* of the recover that saw it last */
    bool valid;          /* the fields below were told */
    int64_t started_ms;  /* Unix time; 0: not started, or a sandbox */
    int64_t finished_ms; /* Unix time; 0: not ended, or a sandbox */
    int32_t exit_code;   /* of an ended container */
    char *reason;        /* owned, at most TEXT_MAX; NULL of a sandbox */
    char *message;       /* owned, at most TEXT_MAX; NULL of a sandbox */
    char *ip;            /* owned; NULL of a container or without a network */
};
struct recover;
struct status_call {
    struct cri_call cri;     /* ContainerStatus or PodSandboxStatus */
    struct recover *recover; /* whose slot this is */
    const char *id;          /* borrowed from the lists' replies */
    struct detail *detail;   /* where the answer goes; of driver->details */
};
struct recover {
    struct cri_driver *driver;               /* borrowed; keeps the details between rounds */
    struct rt_call *call;                    /* the caller's; RT_RECOVER */
    struct cri_call sandboxes;               /* ListPodSandbox; its reply lives until the end */
    struct cri_call containers;              /* ListContainers; likewise */
    struct status_call status[PARALLEL_MAX]; /* slots: the calls for details */
    bool busy[PARALLEL_MAX];                 /* whether the call in that slot runs */
    size_t next_sandbox;                     /* not yet looked at */
    size_t next_container;                   /* likewise; after all sandboxes */
    uint64_t round;                          /* number of this run: marks the details it saw */
    struct tt_err err;                       /* the first failure */
};

static void fill(struct recover *recover);

static void detail_clear(struct detail *detail)
{
    tt_free(detail->reason);
    tt_free(detail->message);
    tt_free(detail->ip);
    *detail = (struct detail){.round = detail->round};
}

void cri_details_free(void *value)
{
    detail_clear(value);
    tt_free(value);
}

static struct detail *detail_of(struct cri_driver *driver, const char *id)
{
    struct detail *detail = tt_map_get(driver->details, tt_str_c(id));
    if (detail == NULL) {
        detail = TT_NEW(struct detail);
        detail->state = -1;
        if (tt_map_set(driver->details, tt_str_c(id), detail, NULL) != TT_OK) {
            tt_free(detail);
            return NULL;
        }
    }
    return detail;
}

static const char *lookup(Tutti__Cri__StringPair **pairs, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(pairs[i]->key, key) == 0) {
            return pairs[i]->value;
        }
    }
    return NULL;
}

static const Tutti__Cri__ListPodSandboxResponse *sandbox_list(const struct recover *recover)
{
    return (const void *)recover->sandboxes.reply;
}

static const Tutti__Cri__ListContainersResponse *container_list(const struct recover *recover)
{
    return (const void *)recover->containers.reply;
}

/* ---- the end of a round ---- */

static void forget_old(struct recover *recover)
{
    size_t cursor = 0;
    struct tt_str id;
    void *value;
    while (tt_map_next(recover->driver->details, &cursor, &id, &value)) {
        if (((struct detail *)value)->round != recover->round) {
            (void)tt_map_remove(recover->driver->details, id);
        }
    }
}

static const char *keep(struct rt_snapshot *snapshot, const char *text)
{
    const char *copy = text ? tt_arena_strndup(snapshot->arena, text, strlen(text)) : "";
    return copy != NULL ? copy : "";
}

static uint64_t number(const char *text, uint64_t fallback)
{
    uint64_t value;
    return text != NULL && tt_str_to_u64(tt_str_c(text), &value) ? value : fallback;
}

static bool is_ours(const Tutti__Cri__PodSandbox *item)
{
    return lookup(item->labels, item->n_labels, CRI_LABEL_OWNER) != NULL &&
           lookup(item->labels, item->n_labels, CRI_LABEL_UID) != NULL && item->metadata != NULL;
}

static bool is_our_container(const Tutti__Cri__Container *item)
{
    return lookup(item->labels, item->n_labels, CRI_LABEL_OWNER) != NULL &&
           lookup(item->labels, item->n_labels, CRI_LABEL_UID) != NULL && item->metadata != NULL;
}

static void add_sandbox(struct recover *recover, struct rt_snapshot *snapshot,
                        const Tutti__Cri__PodSandbox *item)
{
    const struct detail *detail = tt_map_get(recover->driver->details, tt_str_c(item->id));
    if (!is_ours(item)) {
        return;
    }
    snapshot->sandboxes[snapshot->sandbox_count++] = (struct rt_sandbox){
        .id = keep(snapshot, item->id),
        .pod_uid = keep(snapshot, lookup(item->labels, item->n_labels, CRI_LABEL_UID)),
        .attempt = item->metadata->attempt,
        .ready = item->state == STATE_READY,
        .grace_s = number(lookup(item->annotations, item->n_annotations, CRI_NOTE_GRACE), 30),
        .ip = keep(snapshot, detail != NULL ? detail->ip : NULL),
    };
}

static void add_container(struct recover *recover, struct rt_snapshot *snapshot,
                          const Tutti__Cri__Container *item)
{
    const struct detail *detail = tt_map_get(recover->driver->details, tt_str_c(item->id));
    if (!is_our_container(item)) {
        return;
    }
    struct rt_container *out = &snapshot->containers[snapshot->container_count++];
    *out = (struct rt_container){
        .id = keep(snapshot, item->id),
        .sandbox_id = keep(snapshot, item->pod_sandbox_id),
        .pod_uid = keep(snapshot, lookup(item->labels, item->n_labels, CRI_LABEL_UID)),
        .name = keep(snapshot, item->metadata->name),
        .attempt = item->metadata->attempt,
        .state = item->state >= RT_CREATED && item->state <= RT_EXITED ? (enum rt_state)item->state
                                                                       : RT_UNKNOWN,
        .backoff_ms = number(lookup(item->annotations, item->n_annotations, CRI_NOTE_BACKOFF), 0),
        .reason = "",
        .message = "",
        .image_ref = keep(snapshot, item->image_ref),
    };
    if (detail != NULL && detail->valid) {
        out->started_ms = detail->started_ms;
        out->finished_ms = detail->finished_ms;
        out->exit_code = detail->exit_code;
        out->reason = keep(snapshot, detail->reason);
        out->message = keep(snapshot, detail->message);
    }
}

static void finish(struct recover *recover)
{
    struct rt_call *call = recover->call;
    struct rt_snapshot *snapshot = NULL;
    struct tt_err err = recover->err;
    if (err.code == TT_OK) {
        const Tutti__Cri__ListPodSandboxResponse *sandboxes = sandbox_list(recover);
        const Tutti__Cri__ListContainersResponse *containers = container_list(recover);
        snapshot = rt_snapshot_new(sandboxes->n_items, containers->n_containers, &err);
        for (size_t i = 0; snapshot != NULL && i < sandboxes->n_items; i++) {
            add_sandbox(recover, snapshot, sandboxes->items[i]);
        }
        for (size_t i = 0; snapshot != NULL && i < containers->n_containers; i++) {
            add_container(recover, snapshot, containers->containers[i]);
        }
        if (snapshot != NULL) {
            rt_snapshot_seal(snapshot);
            forget_old(recover);
        }
    }
    cri_call_fini(&recover->sandboxes);
    cri_call_fini(&recover->containers);
    tt_free(recover);
    call->snapshot = snapshot;
    call->done(call, snapshot != NULL ? NULL : &err);
}

/* ---- details ---- */

static char *short_text(const char *text)
{
    return tt_xstrndup(text, strnlen(text, TEXT_MAX));
}

static void take_container(struct detail *detail, const Tutti__Cri__ContainerStatus *status)
{
    int32_t state = status->state;
    detail_clear(detail);
    detail->state = state;
    detail->valid = true;
    detail->started_ms = status->started_at / NS_PER_MS;
    detail->finished_ms = status->finished_at / NS_PER_MS;
    detail->exit_code = status->exit_code;
    detail->reason = short_text(status->reason);
    detail->message = short_text(status->message);
}

static void take_sandbox(struct detail *detail, const Tutti__Cri__PodSandboxStatus *status)
{
    detail_clear(detail);
    detail->state = status->state;
    detail->valid = true;
    detail->ip = status->network != NULL ? short_text(status->network->ip) : NULL;
}

static void status_done(struct cri_call *cri, const struct tt_err *err)
{
    struct status_call *status = cri->ctx;
    struct recover *recover = status->recover;
    if (err == NULL && cri->reply_type == &tutti__cri__container_status_response__descriptor) {
        const Tutti__Cri__ContainerStatusResponse *reply = (const void *)cri->reply;
        if (reply->status != NULL) {
            take_container(status->detail, reply->status);
        }
    } else if (err == NULL) {
        const Tutti__Cri__PodSandboxStatusResponse *reply = (const void *)cri->reply;
        if (reply->status != NULL) {
            take_sandbox(status->detail, reply->status);
        }
    } else if (cri->grpc.status != TT_GRPC_NOT_FOUND && recover->err.code == TT_OK) {
        recover->err = *err;
    }
    cri_call_fini(cri);
    recover->busy[status - recover->status] = false;
    fill(recover);
}

static void ask_status(struct recover *recover, size_t slot, const char *id, bool sandbox)
{
    struct status_call *status = &recover->status[slot];
    Tutti__Cri__SandboxId request; /* both requests have this shape */
    tutti__cri__sandbox_id__init(&request);
    request.id = cri_text(id);
    *status = (struct status_call){
        .recover = recover, .id = id, .detail = detail_of(recover->driver, id)};
    status->cri.done = status_done;
    status->cri.ctx = status;
    status->cri.reply_type = sandbox ? &tutti__cri__pod_sandbox_status_response__descriptor
                                     : &tutti__cri__container_status_response__descriptor;
    const char *path = sandbox ? CRI_RUNTIME "PodSandboxStatus" : CRI_RUNTIME "ContainerStatus";
    struct tt_err err;
    tt_err_init(&err);
    if (cri_call_start(recover->driver->client, &status->cri, path, &request.base, CALL_MS, &err) ==
        TT_OK) {
        recover->busy[slot] = true;
    } else if (recover->err.code == TT_OK) {
        recover->err = err;
    }
}

/* Marks the id as seen; true when its status has to be asked. */
static bool is_new(struct recover *recover, const char *id, int32_t state)
{
    struct detail *detail = detail_of(recover->driver, id);
    if (detail == NULL) {
        return false; /* more than fit: they go without details */
    }
    detail->round = recover->round;
    return !detail->valid || detail->state != state;
}

/* The next id to ask about; NULL: all is known. */
static const char *next_unknown(struct recover *recover, bool *ret_sandbox)
{
    const Tutti__Cri__ListPodSandboxResponse *sandboxes = sandbox_list(recover);
    const Tutti__Cri__ListContainersResponse *containers = container_list(recover);
    while (recover->next_sandbox < sandboxes->n_items) {
        const Tutti__Cri__PodSandbox *item = sandboxes->items[recover->next_sandbox++];
        if (is_ours(item) && is_new(recover, item->id, item->state)) {
            *ret_sandbox = true;
            return item->id;
        }
    }
    while (recover->next_container < containers->n_containers) {
        const Tutti__Cri__Container *item = containers->containers[recover->next_container++];
        if (is_our_container(item) && is_new(recover, item->id, item->state)) {
            *ret_sandbox = false;
            return item->id;
        }
    }
    return NULL;
}

static void fill(struct recover *recover)
{
    bool any = false;
    for (size_t slot = 0; slot < PARALLEL_MAX; slot++) {
        bool sandbox = false;
        const char *id = recover->busy[slot] || recover->err.code != TT_OK
                             ? NULL
                             : next_unknown(recover, &sandbox);
        if (id != NULL) {
            ask_status(recover, slot, id, sandbox);
        }
        any = any || recover->busy[slot];
    }
    if (!any) {
        finish(recover);
    }
}

/* ---- lists ---- */

static void containers_listed(struct cri_call *cri, const struct tt_err *err)
{
    struct recover *recover = cri->ctx;
    if (err != NULL) {
        recover->err = *err;
        finish(recover);
        return;
    }
    fill(recover);
}

static void sandboxes_listed(struct cri_call *cri, const struct tt_err *err)
{
    struct recover *recover = cri->ctx;
    Tutti__Cri__Empty request;
    tutti__cri__empty__init(&request);
    if (err != NULL) {
        recover->err = *err;
        finish(recover);
        return;
    }
    recover->containers.reply_type = &tutti__cri__list_containers_response__descriptor;
    recover->containers.done = containers_listed;
    recover->containers.ctx = recover;
    if (cri_call_start(recover->driver->client, &recover->containers, CRI_RUNTIME "ListContainers",
                       &request.base, CALL_MS, &recover->err) != TT_OK) {
        finish(recover);
    }
}

int cri_recover_start(struct cri_driver *driver, struct rt_call *call, struct tt_err *err)
{
    struct recover *recover = TT_NEW(struct recover);
    Tutti__Cri__Empty request;
    tutti__cri__empty__init(&request);
    recover->driver = driver;
    recover->call = call;
    recover->round = ++driver->round;
    recover->sandboxes.reply_type = &tutti__cri__list_pod_sandbox_response__descriptor;
    recover->sandboxes.done = sandboxes_listed;
    recover->sandboxes.ctx = recover;
    int r = cri_call_start(driver->client, &recover->sandboxes, CRI_RUNTIME "ListPodSandbox",
                           &request.base, CALL_MS, err);
    if (r != TT_OK) {
        tt_free(recover);
    }
    return r;
}
