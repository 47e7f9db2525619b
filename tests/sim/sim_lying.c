/* A disk that says "synced" and is not: every call goes to the real one, but sync does nothing.
 * One of the planted bugs (skip_sync). */
#include "tests/sim/sim.h"

static void *real_ctx(void *ctx)
{
    return tt_disk_memory_disk(((struct sim_server *)ctx)->memory)->ctx;
}

static const struct tt_disk_ops *real_ops(void *ctx)
{
    return tt_disk_memory_disk(((struct sim_server *)ctx)->memory)->ops;
}

static int sync_nothing(struct tt_disk_file *file, struct tt_err *err)
{
    (void)file, (void)err;
    return 0;
}

static int lying_open(void *ctx, const char *path, enum tt_disk_open how, struct tt_disk_file **ret,
                      struct tt_err *err)
{
    struct sim_server *server = ctx;
    int r = real_ops(ctx)->open(real_ctx(ctx), path, how, ret, err);
    if (r == 0) {
        server->lying = *(*ret)->ops;
        server->lying.sync = sync_nothing;
        (*ret)->ops = &server->lying;
    }
    return r;
}

static int lying_rename(void *ctx, const char *from, const char *to, struct tt_err *err)
{
    return real_ops(ctx)->rename(real_ctx(ctx), from, to, err);
}

static int lying_unlink(void *ctx, const char *path, struct tt_err *err)
{
    return real_ops(ctx)->unlink(real_ctx(ctx), path, err);
}

static int lying_mkdir(void *ctx, const char *path, struct tt_err *err)
{
    return real_ops(ctx)->mkdir(real_ctx(ctx), path, err);
}

static int lying_list(void *ctx, const char *path, void (*each)(void *arg, const char *name),
                      void *arg, struct tt_err *err)
{
    return real_ops(ctx)->list(real_ctx(ctx), path, each, arg, err);
}

static int lying_sync_dir(void *ctx, const char *path, struct tt_err *err)
{
    return real_ops(ctx)->sync_dir(real_ctx(ctx), path, err);
}

static int lying_free_space(void *ctx, const char *path, uint64_t *ret_bytes, struct tt_err *err)
{
    return real_ops(ctx)->free_space(real_ctx(ctx), path, ret_bytes, err);
}

static const struct tt_disk_ops LYING = {
    .open = lying_open,
    .rename = lying_rename,
    .unlink = lying_unlink,
    .mkdir = lying_mkdir,
    .list = lying_list,
    .sync_dir = lying_sync_dir,
    .free_space = lying_free_space,
};

void sim_disk_open(struct sim_server *server)
{
    const struct sim_bug *bug = server->sim->options.bug;
    server->disk = *tt_disk_memory_disk(server->memory);
    if (bug && bug->skip_sync) {
        server->disk = (struct tt_disk){.ops = &LYING, .ctx = server};
    }
}
