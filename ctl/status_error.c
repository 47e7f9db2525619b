/* A Status names fields in details.causes (validation), or in its message (strict decoding: unknown
 * field "spec.x"). */
#include "ctl/status_error.h"

enum { ARENA_MAX = 16 << 20, CAUSES_MAX = 100, FORMAT_SIZE = 2048 };

static void begin_line(struct tt_buf *buf, const struct ctl_object *object, unsigned line,
                       struct tt_str label)
{
    tt_buf_printf(buf, "%s:%u: %.*s: ", object->source, line, TT_STR_ARG(label));
}

static size_t add_causes(struct tt_buf *buf, const struct ctl_object *object, struct tt_str label,
                         yyjson_val *root)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(tt_json_iget(root, "details.causes"));
    yyjson_val *cause;
    size_t count = 0;
    while (count < CAUSES_MAX && (cause = yyjson_arr_iter_next(&iter)) != NULL) {
        struct tt_str field = tt_json_iget_str(cause, "field");
        begin_line(buf, object, ctl_object_line(object, field), label);
        if (field.len > 0) {
            tt_buf_printf(buf, "%.*s: ", TT_STR_ARG(field));
        }
        tt_buf_printf(buf, "%.*s\n", TT_STR_ARG(tt_json_iget_str(cause, "message")));
        count++;
    }
    return count;
}

/* unknown field "A", duplicate field "B" … */
static size_t add_fields(struct tt_buf *buf, const struct ctl_object *object, struct tt_str label,
                         struct tt_str message)
{
    const struct tt_str marker = TT_STR(" field \"");
    size_t count = 0;
    ptrdiff_t at;
    while (count < CAUSES_MAX && (at = tt_str_find_str(message, marker)) >= 0) {
        bool is_unknown = tt_str_ends(tt_str_head(message, (size_t)at), TT_STR("unknown"));
        message = tt_str_skip(message, (size_t)at + marker.len);
        ptrdiff_t end = tt_str_find(message, '"');
        struct tt_str field = tt_str_head(message, end >= 0 ? (size_t)end : message.len);
        begin_line(buf, object, ctl_object_line(object, field), label);
        tt_buf_printf(buf, "%s field \"%.*s\"\n", is_unknown ? "unknown" : "duplicate",
                      TT_STR_ARG(field));
        count++;
    }
    return count;
}

static const char *next_step(int code, bool has_fields)
{
    if (has_fields) {
        return "correct it and apply again (tuttictl apply --validate=ignore drops unknown fields)";
    }
    switch (code) {
    case TT_EFORBIDDEN:
        return "ask an administrator, or use other credentials (--kubeconfig)";
    case TT_ECONFLICT:
        return "someone else changes it: look (tuttictl get … -o yaml) and apply again";
    case TT_ENOTFOUND:
        return "is its namespace there? tuttictl get namespaces";
    case TT_EINVALID:
        return "correct the manifest and apply again";
    case TT_EUNAVAILABLE:
    case TT_ETIMEOUT:
    case TT_ECLOSED:
    case TT_EBUSY:
        return "tuttictl cluster status; then apply again (applying twice does no harm)";
    default:
        return NULL;
    }
}

void ctl_explain_refusal(struct tt_buf *buf, const struct ctl_object *object, struct tt_str label,
                         struct tt_str status, const struct tt_err *err)
{
    TT_AUTO(tt_arena) arena = tt_arena_new(16 << 10, ARENA_MAX);
    yyjson_doc *doc = NULL;
    size_t count = 0;
    size_t fields = 0;
    if (status.len > 0 && tt_json_read(arena, status, &doc, NULL) == TT_OK) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        struct tt_str message = tt_json_iget_str(root, "message");
        fields = add_fields(buf, object, label, message);
        count = fields > 0 ? fields : add_causes(buf, object, label, root);
        if (count == 0 && message.len > 0) {
            begin_line(buf, object, object->line, label);
            tt_buf_printf(buf, "%.*s\n", TT_STR_ARG(message));
            count = 1;
        }
    }
    if (count == 0) {
        char text[FORMAT_SIZE];
        (void)tt_err_format(err, text, sizeof text);
        begin_line(buf, object, object->line, label);
        tt_buf_printf(buf, "%s\n", text);
    }
    const char *next = next_step(err->code, fields > 0);
    if (next != NULL) {
        tt_buf_printf(buf, "  next: %s\n", next);
    }
}
