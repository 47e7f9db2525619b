/* See selector.h. Requirements are separated by commas from each other, and from what the buffer
 * holds already only when that is a selector too. */
#include "ctl/selector.h"

#include "api/json/json.h"

static void separate(struct tt_buf *buf, size_t start)
{
    if (buf->len > start) {
        tt_buf_char(buf, ',');
    }
}

static void write_labels(struct tt_buf *buf, size_t start, yyjson_val *labels)
{
    yyjson_obj_iter iter = yyjson_obj_iter_with(labels);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        separate(buf, start);
        tt_buf_printf(buf, "%.*s=%.*s", TT_STR_ARG(tt_json_istr_of(key)),
                      TT_STR_ARG(tt_json_istr_of(yyjson_obj_iter_get_val(key))));
    }
}

static void write_expression(struct tt_buf *buf, size_t start, yyjson_val *expression)
{
    struct tt_str key = tt_json_iget_str(expression, "key");
    struct tt_str relation = tt_json_iget_str(expression, "operator");
    separate(buf, start);
    if (tt_str_eq_c(relation, "Exists") || tt_str_eq_c(relation, "DoesNotExist")) {
        tt_buf_printf(buf, "%s%.*s", relation.len == strlen("Exists") ? "" : "!", TT_STR_ARG(key));
        return;
    }
    tt_buf_printf(buf, "%.*s %s (", TT_STR_ARG(key), tt_str_eq_c(relation, "In") ? "in" : "notin");
    yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(expression, "values"));
    yyjson_val *value;
    for (const char *comma = ""; (value = yyjson_arr_iter_next(&iter)) != NULL; comma = ",") {
        tt_buf_printf(buf, "%s%.*s", comma, TT_STR_ARG(tt_json_istr_of(value)));
    }
    tt_buf_char(buf, ')');
}

void ctl_selector_write(struct tt_buf *buf, yyjson_val *selector)
{
    size_t start = buf->len;
    yyjson_val *labels = yyjson_obj_get(selector, "matchLabels");
    yyjson_val *expressions = yyjson_obj_get(selector, "matchExpressions");
    bool is_plain = labels == NULL && expressions == NULL;
    write_labels(buf, start, is_plain ? selector : labels);
    yyjson_arr_iter iter = yyjson_arr_iter_with(expressions);
    yyjson_val *expression;
    while ((expression = yyjson_arr_iter_next(&iter)) != NULL) {
        write_expression(buf, start, expression);
    }
}
