/* Status bodies, written directly: they are small and their shape is fixed. */
#include "api/kinds/status.h"

#include "base/json.h"
#include "base/mem.h"

enum { MESSAGE_MAX = 4096 };

static void text(struct tt_json_writer *w, const char *key, struct tt_str value)
{
    if (value.len > 0) {
        tt_json_str(w, key, value);
    }
}

static void write_causes(struct tt_json_writer *w, const struct tt_issues *causes)
{
    tt_json_array(w, "causes");
    for (size_t i = 0; i < causes->count; i++) {
        tt_json_object(w, NULL);
        tt_json_c(w, "reason", tt_issue_reason(causes->items[i].kind));
        tt_json_str(w, "message", causes->items[i].message);
        text(w, "field", causes->items[i].field);
        tt_json_object_end(w);
    }
    tt_json_array_end(w);
}

void tt_status_write(struct tt_buf *buf, const struct tt_status *status)
{
    struct tt_json_writer w;
    bool success = status->http_code < 400;
    bool causes = status->causes != NULL && status->causes->count > 0;
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "kind", "Status");
    tt_json_c(&w, "apiVersion", "v1");
    tt_json_object(&w, "metadata");
    tt_json_object_end(&w);
    tt_json_c(&w, "status", success ? "Success" : "Failure");
    text(&w, "message", status->message);
    text(&w, "reason", status->reason);
    if (status->name.len + status->group.len + status->resource.len + status->uid.len > 0 ||
        causes || status->retry_after_s > 0) {
        tt_json_object(&w, "details");
        text(&w, "name", status->name);
        text(&w, "group", status->group);
        text(&w, "kind", status->resource);
        text(&w, "uid", status->uid);
        if (causes) {
            write_causes(&w, status->causes);
        }
        if (status->retry_after_s > 0) {
            tt_json_u64(&w, "retryAfterSeconds", status->retry_after_s);
        }
        tt_json_object_end(&w);
    }
    if (!success) {
        tt_json_u64(&w, "code", (uint64_t)status->http_code);
    }
    tt_json_object_end(&w);
}

void tt_status_from_err(struct tt_status *ret_status, const struct tt_err *err,
                        struct tt_arena *arena)
{
    char message[MESSAGE_MAX];
    size_t len = tt_err_format(err, message, sizeof message);
    const char *copy = tt_arena_strndup(arena, message, len);
    *ret_status = (struct tt_status){
        .http_code = tt_err_http_status(err->code),
        .reason = tt_str_c(tt_err_reason(err->code)),
        .message = copy != NULL ? tt_str(copy, len) : TT_STR("out of memory for this request"),
    };
}
