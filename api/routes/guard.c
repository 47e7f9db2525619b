/* Watches whose right rests on stored objects: those of agents on the Secrets and ConfigMaps that
 * their pods name. The right ends with the last such pod, and so does the stream.
 *
 * Happy path: the changes since the last tick are looked through for pods that were deleted; a
 * watch of the same namespace and node is then authorised again, and ended when that is refused,
 * well within a second. (Which node a pod is bound to and what it names does not change while it
 * lives.) Failure: history was cut (a snapshot was installed): every guarded watch is authorised
 * again. */
#include "api/routes/worker.h"

bool api_guard_needed(const struct api_request *rq)
{
    return rq->subject.kind == TT_SUBJECT_AGENT && rq->path.group.len == 0 &&
           (tt_str_eq_c(rq->path.resource, "secrets") ||
            tt_str_eq_c(rq->path.resource, "configmaps"));
}

void api_guard_add(struct api_request *rq)
{
    struct api_guards *guards = &rq->worker->guards;
    TT_ASSERT(tt_list_empty(&rq->guard));
    tt_list_push_back(&guards->requests, &rq->guard);
    rq->guard_due = true; /* it was authorised on a version that may be older by now */
}

static void mark(struct api_guards *guards, const struct tt_object_ref *pod, struct tt_str bytes)
{
    for (struct tt_list *node = guards->requests.next; node != &guards->requests;
         node = node->next) {
        struct api_request *rq = TT_CONTAINER_OF(node, struct api_request, guard);
        struct tt_str name = rq->subject.name;
        rq->guard_due =
            rq->guard_due || (tt_str_eq(rq->path.ns, pod->ns) && tt_str_find_str(bytes, name) >= 0);
    }
}

static void mark_all(struct api_guards *guards)
{
    for (struct tt_list *node = guards->requests.next; node != &guards->requests;
         node = node->next) {
        TT_CONTAINER_OF(node, struct api_request, guard)->guard_due = true;
    }
}

static void look_through(struct api_guards *guards, struct tt_version *version)
{
    struct tt_history_cursor cursor;
    struct tt_change change;
    if (guards->revision < tt_version_compacted(version) ||
        tt_history_seek(version, guards->revision, &cursor, NULL) != TT_OK) {
        mark_all(guards);
        return;
    }
    while (tt_history_next(version, &cursor, &change)) {
        struct tt_object_ref ref;
        if (change.item == NULL && change.prev != NULL &&
            tt_str_starts(change.prev->key, TT_STR("o/core/pods/")) &&
            tt_key_parse(change.prev->key, &ref)) {
            mark(guards, &ref, change.prev->value.bytes);
        }
    }
}

void api_guards_tick(struct tt_api_worker *worker, struct tt_version *version)
{
    struct api_guards *guards = &worker->guards;
    uint64_t revision = tt_version_revision(version);
    if (revision < guards->revision) {
        return; /* a snapshot is being installed: decided when it is there */
    }
    if (!tt_list_empty(&guards->requests)) {
        look_through(guards, version);
    }
    guards->revision = revision;
    struct tt_list *next;
    for (struct tt_list *node = guards->requests.next; node != &guards->requests; node = next) {
        struct api_request *rq = TT_CONTAINER_OF(node, struct api_request, guard);
        next = node->next;
        struct tt_err err;
        tt_err_init(&err);
        if (!rq->guard_due) {
            continue;
        }
        rq->guard_due = false;
        if (api_authorise(rq, version, &err) != TT_OK) {
            api_watch_end(rq);
        }
    }
}
