/* GET of one object: one look-up in the version the client's resourceVersion allows. */
#include "api/routes/worker.h"

static int get_from(struct api_request *rq, struct tt_version *version, struct tt_err *err)
{
    const struct tt_item *item = tt_version_get(version, rq->key);
    if (!item) {
        return api_not_found(rq, rq->path.name, err);
    }
    return api_respond_item(rq, item, err);
}

int api_handle_get(struct api_request *rq, struct tt_err *err)
{
    (void)err;
    api_read_version(rq, get_from);
    return TT_OK;
}
