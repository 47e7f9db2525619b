/* Work on files that belongs to no step: content that changed, the end of a pod. */
#include "agent/sync_internal.h"

#include <stdio.h>

#include "base/log.h"

enum { CLEAN_RETRY_MS = 10000, PROJECT_RETRY_MS = 10000 };

struct work {
    struct files_job job;    /* applies the volumes, or removes all files */
    struct sync_pod *sp;     /* pinned: sp->steps counts this work */
    struct volumes *volumes; /* owned; NULL for removal */
};

static struct work *work_new(struct sync_pod *sp)
{
    struct work *work = TT_NEW(struct work);
    work->sp = sp;
    work->job.ctx = work;
    (void)snprintf(work->job.pod, sizeof work->job.pod, "%s", sp->uid);
    sp->steps++;
    sp->sync->requests++;
    return work;
}

static void work_free(struct work *work)
{
    struct sync *sync = work->sp->sync;
    work->sp->steps--;
    sync->requests--;
    volumes_free(work->volumes);
    tt_free(work);
    if (sync->closing) {
        sync_free_when_done(sync);
    } else {
        sync_pass_in(sync, 0);
    }
}

/* ---- ConfigMaps and Secrets that changed reach the containers that run ---- */

static int apply(struct files_job *job, struct tt_err *err)
{
    struct work *work = job->ctx;
    return volumes_apply(work->volumes, err);
}

static void say_stale(const struct sync_pod *sp, const struct tt_err *err)
{
    if (err->code != TT_EBUSY && err->code != TT_ENOTFOUND) {
        TT_LOG(TT_LOG_WARN, "sync", "volumes cannot be brought up to date",
               TT_F_C("namespace", sp->pod ? sp->pod->namespace : ""),
               TT_F_C("name", sp->pod ? sp->pod->name : sp->uid), TT_F_ERR(err));
    }
}

static void applied(struct files_job *job, const struct tt_err *err)
{
    struct work *work = job->ctx;
    struct sync_pod *sp = work->sp;
    if (err != NULL) { /* a full disk, say: no object need change for it to work later */
        say_stale(sp, err);
        sp->volumes_stale = true;
        sp->volumes_retry_ms = sync_mono_ms(sp->sync) + PROJECT_RETRY_MS;
    }
    work_free(work);
}

void sync_project_again(struct sync_pod *sp)
{
    struct tt_err err;
    struct volumes *volumes = NULL;
    struct env_context context = sync_env_context(sp);
    uint64_t now_ms = sync_mono_ms(sp->sync);
    tt_err_init(&err);
    if (now_ms < sp->volumes_retry_ms) {
        sync_pass_in(sp->sync, sp->volumes_retry_ms - now_ms);
        return;
    }
    /* A plan that fails is no reason to try again: it depends on the pod and its objects alone. */
    sp->volumes_stale = false;
    if (volumes_plan(sp->sync->root, &context, &volumes, &err) != TT_OK) {
        say_stale(sp, &err);
        return;
    }
    struct work *work = work_new(sp);
    work->volumes = volumes;
    work->job.work = apply;
    work->job.done = applied;
    files_run(&sp->sync->files, &work->job);
}

/* ---- the end ---- */

static int remove_files(struct files_job *job, struct tt_err *err)
{
    struct work *work = job->ctx;
    return volumes_remove(work->sp->sync->root, job->pod, err); /* a text that never changes */
}

static void removed(struct files_job *job, const struct tt_err *err)
{
    struct work *work = job->ctx;
    struct sync_pod *sp = work->sp;
    sp->is_cleaning = false;
    if (err != NULL) {
        TT_LOG(TT_LOG_WARN, "sync", "files of a pod cannot be removed yet", TT_F_C("name", sp->uid),
               TT_F_ERR(err));
        sp->clean_retry_ms = sync_mono_ms(sp->sync) + CLEAN_RETRY_MS;
    } else {
        sp->has_files = false;
    }
    work_free(work);
}

void sync_clean(struct sync_pod *sp)
{
    uint64_t now_ms = sync_mono_ms(sp->sync);
    if (sp->is_cleaning || sp->sync->closing) {
        return;
    }
    if (now_ms < sp->clean_retry_ms) {
        sync_pass_in(sp->sync, sp->clean_retry_ms - now_ms);
        return;
    }
    struct work *work = work_new(sp);
    sp->is_cleaning = true;
    work->job.work = remove_files;
    work->job.done = removed;
    files_run(&sp->sync->files, &work->job);
}
