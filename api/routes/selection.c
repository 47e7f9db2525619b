/* Happy path: the collection's prefix and its end, then the query's selectors; one that selects
 * everything counts as none, so that objects need not be parsed for it. */
#include "api/routes/selection.h"

#include "api/routes/worker.h"

int api_selection_range(struct api_request *rq, struct api_selection *selection, struct tt_err *err)
{
    struct tt_buf *buf = &rq->worker->key;
    struct tt_object_ref ref = api_ref(rq, TT_STR(""));
    tt_buf_reset(buf);
    int r = tt_key_list_prefix(buf, &ref, err);
    if (r) {
        return r;
    }
    char *from = tt_arena_strndup(rq->arena, buf->ptr, buf->len);
    selection->from = tt_str(from, buf->len);
    if (!from) {
        return api_no_memory(err);
    }
    tt_buf_reset(buf);
    tt_key_prefix_end(selection->from, buf);
    char *to = tt_arena_strndup(rq->arena, buf->ptr, buf->len);
    selection->to = tt_str(to, buf->len);
    return to ? TT_OK : api_no_memory(err);
}

int api_selection_parse(struct api_request *rq, struct api_selection *selection, struct tt_err *err)
{
    const struct api_query *query = &rq->query;
    int r = TT_OK;
    if (query->label_selector.len > 0) {
        r = tt_label_selector_parse(rq->arena, query->label_selector, &selection->labels, err);
    }
    if (r == TT_OK && query->field_selector.len > 0) {
        r = tt_field_selector_parse(rq->arena, rq->kind, query->field_selector, &selection->fields,
                                    err);
    }
    if (r) {
        return r;
    }
    if (selection->labels && tt_label_selector_empty(selection->labels)) {
        selection->labels = NULL;
    }
    if (selection->fields && tt_field_selector_empty(selection->fields)) {
        selection->fields = NULL;
    }
    return TT_OK;
}

bool api_selection_all(const struct api_selection *selection)
{
    return !selection->labels && !selection->fields;
}

bool api_selection_matches(const struct api_selection *selection, yyjson_val *object)
{
    if (selection->labels &&
        !tt_label_selector_imatch(selection->labels, tt_json_iget(object, "metadata.labels"))) {
        return false;
    }
    return !selection->fields || tt_field_selector_match(selection->fields, object);
}
