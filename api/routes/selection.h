/* Which objects of a collection a request is about: a range of keys and selectors.
 *
 * Ownership: everything lies in the request's arena. Thread: the worker's. Errors: TT_EINVAL for
 * bad selectors. */
#ifndef API_ROUTES_SELECTION_H
#define API_ROUTES_SELECTION_H

#include "api/kinds/selector.h"
#include "api/routes/request.h"

struct api_selection {
    struct tt_str from, to;                 /* of the whole collection; from is its prefix */
    const struct tt_label_selector *labels; /* NULL: everything */
    const struct tt_field_selector *fields; /* NULL: everything */
};
int api_selection_range(struct api_request *rq, struct api_selection *selection,
                        struct tt_err *err) TT_MUST_USE;
int api_selection_parse(struct api_request *rq, struct api_selection *selection,
                        struct tt_err *err) TT_MUST_USE;
bool api_selection_all(const struct api_selection *selection);
bool api_selection_matches(const struct api_selection *selection, yyjson_val *object);

#endif
