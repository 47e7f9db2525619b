/* Container logs are rotated by size: the file gets the name ATTEMPT.log.1 (the one that had it
 * goes), then the runtime opens a new one. Followers find that out by themselves. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/cri_config.h"
#include "agent/sync_internal.h"
#include "base/log.h"

enum { LOG_SIZE_MAX = 10 << 20, PATH_SIZE = VOLUMES_PATH_SIZE + CRI_LOG_PATH_SIZE + 8 };

struct reopen {
    struct rt_call call;
    struct sync *sync;
    char id[RT_ID_SIZE];
};

static void reopened(struct rt_call *call, const struct tt_err *err)
{
    struct reopen *reopen = call->ctx;
    struct sync *sync = reopen->sync;
    if (err != NULL) {
        TT_LOG(TT_LOG_WARN, "sync", "a log cannot be opened anew", TT_F_ERR(err));
    }
    tt_free(reopen);
    sync->requests--;
    if (sync->closing) {
        sync_free_when_done(sync);
    }
}

static void reopen(struct sync *sync, const char *id)
{
    struct tt_err err;
    tt_err_init(&err);
    struct reopen *reopen = TT_NEW(struct reopen);
    reopen->sync = sync;
    (void)snprintf(reopen->id, sizeof reopen->id, "%s", id);
    reopen->call =
        (struct rt_call){.verb = RT_REOPEN_LOG, .id = reopen->id, .done = reopened, .ctx = reopen};
    if (rt_start(sync->config.driver, &reopen->call, &err) == TT_OK) {
        sync->requests++;
    } else {
        tt_free(reopen);
    }
}

static void rotate(struct sync *sync, const struct sync_pod *sp,
                   const struct rt_container *container)
{
    char directory[VOLUMES_PATH_SIZE];
    char log[CRI_LOG_PATH_SIZE];
    char path[PATH_SIZE];
    char old[PATH_SIZE + 2];
    struct stat st;
    if (volumes_log_path(sync->root, sp->pod->namespace, sp->pod->name, sp->pod->uid, directory,
                         NULL) != TT_OK) {
        return;
    }
    cri_log_path(container->name, container->attempt, log);
    (void)snprintf(path, sizeof path, "%s/%s", directory, log);
    (void)snprintf(old, sizeof old, "%s.1", path);
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < LOG_SIZE_MAX) {
        return;
    }
    if (rename(path, old) == 0) {
        reopen(sync, container->id);
    } else {
        TT_LOG(TT_LOG_WARN, "sync", "a log cannot be rotated", TT_F_C("err", strerror(errno)));
    }
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
