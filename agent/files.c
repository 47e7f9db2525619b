/* Two lists; whenever a job ends, the first waiting one whose pod is free begins. */
#include "agent/files.h"

#include <string.h>

#include "base/mem.h"

enum { RUNNING_MAX = 3 };

static void start_next(struct files *files);

static void work(uv_work_t *uv)
{
    struct files_job *job = TT_CONTAINER_OF(uv, struct files_job, uv);
    job->result = job->work(job, &job->err);
}

static void after(uv_work_t *uv, int status)
{
    struct files_job *job = TT_CONTAINER_OF(uv, struct files_job, uv);
    struct files *files = job->files;
    TT_ASSERT(status == 0); /* nobody cancels */
    tt_list_remove(&job->link);
    files->running_count--;
    start_next(files); /* done may end the owner of the lists */
    job->done(job, job->result == TT_OK ? NULL : &job->err);
}

static bool pod_is_free(const struct files *files, const struct files_job *job)
{
    for (const struct tt_list *node = files->running.next; node != &files->running;
         node = node->next) {
        if (strcmp(TT_CONTAINER_OF(node, struct files_job, link)->pod, job->pod) == 0) {
            return false;
        }
    }
    /* An earlier one of the same pod that waits goes first. */
    for (const struct tt_list *node = files->waiting.next; node != &job->link; node = node->next) {
        if (strcmp(TT_CONTAINER_OF(node, struct files_job, link)->pod, job->pod) == 0) {
            return false;
        }
    }
    return true;
}

static void start_next(struct files *files)
{
    struct tt_list *next;
    for (struct tt_list *node = files->waiting.next;
         node != &files->waiting && files->running_count < RUNNING_MAX; node = next) {
        struct files_job *job = TT_CONTAINER_OF(node, struct files_job, link);
        next = node->next;
        if (!pod_is_free(files, job)) {
            continue;
        }
        tt_list_remove(&job->link);
        tt_list_push_back(&files->running, &job->link);
        files->running_count++;
        int r = uv_queue_work(tt_loop_uv(files->loop), &job->uv, work, after);
        TT_ASSERT(r == 0); /* it fails without a callback only */
    }
}

void files_init(struct files *files, struct tt_loop *loop)
{
    files->loop = loop;
    files->running_count = 0;
    tt_list_init(&files->waiting);
    tt_list_init(&files->running);
}

void files_run(struct files *files, struct files_job *job)
{
    job->files = files;
    tt_err_init(&job->err);
    tt_list_push_back(&files->waiting, &job->link);
    start_next(files);
}

bool files_idle(const struct files *files)
{
    return files->running_count == 0 && tt_list_empty(&files->waiting);
}
