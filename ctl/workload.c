/* See workload.h: opening, walking and patching, without states of its own. */
#include "ctl/workload.h"

struct ctl_workload *ctl_workload_new(void)
{
    struct ctl_workload *workload = TT_NEW(struct ctl_workload);
    tt_buf_init(&workload->label, CTL_PATH_SIZE_MAX);
    return workload;
}

void ctl_workload_free(struct ctl_workload *workload)
{
    tt_buf_fini(&workload->label);
    ctl_resources_free(workload->resources);
    ctl_session_free(workload->session);
    tt_free(workload);
}

int ctl_workload_open(struct ctl_workload *workload, const struct ctl_args *args,
                      struct tt_err *err)
{
    int r = ctl_session_open(&workload->common, &workload->session, err);
    if (r == TT_OK) {
        r = ctl_resources_load(workload->session, &workload->resources, err);
    }
    if (r == TT_OK) {
        r = ctl_targets_parse(workload->resources, args->words, args->word_count,
                              &workload->targets, err);
    }
    return r;
}

int ctl_workload_each(struct ctl_workload *workload, void *ctx,
                      int (*act)(void *ctx, const struct ctl_target *target, struct tt_err *err),
                      struct tt_err *err)
{
    int r = TT_OK;
    for (size_t i = 0; r == TT_OK && i < workload->targets.count; i++) {
        const struct ctl_target *target = &workload->targets.items[i];
        if (target->name.len == 0) {
            return TT_FAIL(err, TT_EINVAL, "name them: TYPE/NAME");
        }
        tt_buf_reset(&workload->label);
        ctl_resource_label(target->resource, target->name, &workload->label);
        r = act(ctx, target, err);
    }
    return r;
}

void ctl_workload_path(const struct ctl_workload *workload, const struct ctl_target *target,
                       struct tt_buf *path)
{
    tt_buf_init(path, CTL_PATH_SIZE_MAX);
    ctl_resource_path(target->resource, ctl_session_namespace(workload->session), target->name,
                      path);
}

int ctl_workload_patch(struct ctl_workload *workload, struct tt_str path, const char *content_type,
                       struct tt_str body, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    const struct ctl_request request = {
        .method = "PATCH", .path = path, .body = body, .content_type = content_type};
    return ctl_ask(workload->session, &request, &answer, err);
}
