/* Container logs are rotated by size: the file gets the name ATTEMPT.log.1 (the one that had it
 * goes), then the runtime opens a new one. Followers find that out by themselves. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/cri_config.h"
#include "agent/sync_internal.h"
#include "base/log.h"

enum { LOG_SIZE_MAX = 10 << 20, PATH_SIZE = VOLUMES_PATH_SIZE + CRI_LOG_PATH_SIZE + 8 };

struct rotation {
    struct files_job job; /* renames the file */
    struct rt_call call;  /* then RT_REOPEN_LOG */
    struct sync *sync;    /* kept: its requests count this */
    char id[RT_ID_SIZE];  /* of the container; copied */
    char path[PATH_SIZE]; /* of the log the runtime writes; absolute */
    bool is_renamed;      /* set by the job: path was moved, a reopen is due */
};

static void rotation_free(struct rotation *rotation)
{
    struct sync *sync = rotation->sync;
    tt_free(rotation);
    sync->requests--;
    if (sync->closing) {
        sync_free_when_done(sync);
    }
}

static bool is_large(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= LOG_SIZE_MAX;
}

/* Off the loop: taking the place of an old file frees all its blocks. */
static int rename_log(struct files_job *job, struct tt_err *err)
{
    struct rotation *rotation = job->ctx;
    char old[PATH_SIZE + 2];
    (void)snprintf(old, sizeof old, "%s.1", rotation->path);
    if (!is_large(rotation->path)) {
        return TT_OK; /* an earlier rotation has just done it */
    }
    rotation->is_renamed = rename(rotation->path, old) == 0;
    return rotation->is_renamed ? TT_OK : TT_FAIL_ERRNO(err, errno, "%s", rotation->path);
}

static void reopened(struct rt_call *call, const struct tt_err *err)
{
    if (err != NULL) {
        TT_LOG(TT_LOG_WARN, "sync", "a log cannot be opened anew", TT_F_ERR(err));
    }
    rotation_free(call->ctx);
}

static void renamed(struct files_job *job, const struct tt_err *err)
{
    struct rotation *rotation = job->ctx;
    struct tt_err own;
    tt_err_init(&own);
    if (err != NULL) {
        TT_LOG(TT_LOG_WARN, "sync", "a log cannot be rotated", TT_F_ERR(err));
    }
    rotation->call = (struct rt_call){
        .verb = RT_REOPEN_LOG, .id = rotation->id, .done = reopened, .ctx = rotation};
    if (!rotation->is_renamed ||
        rt_start(rotation->sync->config.driver, &rotation->call, &own) != TT_OK) {
        rotation_free(rotation);
    }
}

static void rotate(struct sync *sync, const struct sync_pod *sp,
                   const struct rt_container *container)
{
    char directory[VOLUMES_PATH_SIZE];
    char log[CRI_LOG_PATH_SIZE];
    char path[PATH_SIZE];
    if (volumes_log_path(sync->root, sp->pod->namespace, sp->pod->name, sp->pod->uid, directory,
                         NULL) != TT_OK) {
        return;
    }
    cri_log_path(container->name, container->attempt, log);
    (void)snprintf(path, sizeof path, "%s/%s", directory, log);
    if (!is_large(path)) {
        return;
    }
    struct rotation *rotation = TT_NEW(struct rotation);
    rotation->sync = sync;
    rotation->job = (struct files_job){.work = rename_log, .done = renamed, .ctx = rotation};
    (void)snprintf(rotation->job.pod, sizeof rotation->job.pod, "%s", sp->uid);
    (void)snprintf(rotation->id, sizeof rotation->id, "%s", container->id);
    (void)snprintf(rotation->path, sizeof rotation->path, "%s", path);
    sync->requests++;
    files_run(&sync->files, &rotation->job);
}

void sync_rotate_logs(struct sync *sync)
{
    for (size_t i = 0; sync->snapshot != NULL && i < sync->snapshot->container_count; i++) {
        const struct rt_container *container = &sync->snapshot->containers[i];
        const struct sync_pod *sp = tt_map_get(sync->pods, tt_str_c(container->pod_uid));
        if (container->state == RT_RUNNING && sp != NULL && sp->pod != NULL) {
            rotate(sync, sp, container);
        }
    }
}
