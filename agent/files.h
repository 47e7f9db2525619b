/* Work on files off the loop: jobs run on libuv's pool, those of one pod one after the other in
 * their order, those of different pods beside each other.
 *
 * Ownership: a job is the submitter's until done. Thread: all but `work` on the loop; `work` runs
 * on a pool thread and touches nothing but what the job owns. Errors: those of work, given to done,
 * which runs exactly once and never inside files_run. */
#ifndef AGENT_FILES_H
#define AGENT_FILES_H

#include <stdbool.h>

#include "base/loop.h"

struct files_job {
    char pod[64];                                                  /* uid: whose files these are */
    int (*work)(struct files_job *job, struct tt_err *err);        /* on a pool thread */
    void (*done)(struct files_job *job, const struct tt_err *err); /* NULL: it worked */
    void *ctx;                                                     /* the submitter's */
    /* While it runs. */
    struct tt_list link;
    struct files *files; /* whose lists it is in */
    uv_work_t uv;        /* request of libuv's pool */
    int result;          /* what work returned; written on the pool thread */
    struct tt_err err;   /* why work failed; written on the pool thread */
};
struct files {
    struct tt_loop *loop;   /* keeps */
    struct tt_list waiting; /* jobs by link, in the order they came */
    struct tt_list running; /* jobs by link, at most one of each pod */
    unsigned running_count; /* of running; at most RUNNING_MAX */
};
void files_init(struct files *files, struct tt_loop *loop);
void files_run(struct files *files, struct files_job *job);
bool files_idle(const struct files *files);

#endif
