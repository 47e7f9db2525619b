/* An event's time is that of its series, else lastTimestamp, else eventTime, else its creation. */
#include "ctl/events.h"

#include <stdlib.h>

#include "api/http/uri.h"
#include "api/json/json.h"
#include "api/kinds/quantity.h"
#include "base/clock.h"
#include "ctl/table.h"

struct item {
    uint64_t at_ms;    /* wall clock; 0: unknown */
    yyjson_val *event; /* borrowed from the answer */
};

void ctl_age(struct tt_str time, uint64_t now_ms, struct tt_buf *buf)
{
    uint64_t at_ms = 0;
    char text[TT_DURATION_TEXT_SIZE];
    if (!tt_time_parse(time, &at_ms)) {
        tt_buf_c(buf, "<unknown>");
        return;
    }
    size_t size = tt_duration_human(now_ms > at_ms ? (int64_t)((now_ms - at_ms) / 1000) : 0, text);
    tt_buf_append(buf, text, size);
}

static struct tt_str time_of(yyjson_val *event)
{
    static const char *const fields[] = {"series.lastObservedTime", "lastTimestamp", "eventTime",
                                         "metadata.creationTimestamp"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct tt_str text = tt_json_iget_str(event, fields[i]);
        if (text.len > 0) {
            return text;
        }
    }
    return TT_STR_NONE;
}

void ctl_events_path(const struct ctl_event_query *query, struct tt_buf *path)
{
    tt_buf_c(path, "/api/v1");
    if (query->ns.len > 0) {
        tt_buf_c(path, "/namespaces/");
        tt_uri_encode(path, query->ns);
    }
    tt_buf_c(path, "/events?");
    if (query->fields.len > 0) {
        tt_buf_c(path, "fieldSelector=");
        tt_uri_encode(path, query->fields);
        tt_buf_char(path, '&');
    }
}

static void add_row(struct ctl_table *table, const struct ctl_event_query *query, yyjson_val *event)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 4096);
    int64_t count = tt_json_iget_i64(event, "count", 1);
    if (query->with_namespace) {
        ctl_table_cell(table, tt_json_iget_str(event, "metadata.namespace"));
    }
    ctl_age(time_of(event), tt_clock_wall_ms(tt_clock_real()), &text);
    if (count > 1) {
        tt_buf_printf(&text, " (x%lld)", (long long)count);
    }
    ctl_table_cell(table, tt_buf_view(&text));
    ctl_table_cell(table, tt_json_iget_str(event, "type"));
    ctl_table_cell(table, tt_json_iget_str(event, "reason"));
    if (query->with_object) {
        tt_buf_reset(&text);
        tt_buf_printf(&text, "%.*s/%.*s",
                      TT_STR_ARG(tt_json_iget_str(event, "involvedObject.kind")),
                      TT_STR_ARG(tt_json_iget_str(event, "involvedObject.name")));
        ctl_table_cell(table, tt_buf_view(&text));
    }
    ctl_table_cell(table, tt_str_trim(tt_json_iget_str(event, "message")));
}

static struct ctl_table *table_for(const struct ctl_event_query *query, bool with_head)
{
    size_t columns = 4u + query->with_namespace + query->with_object;
    struct ctl_table *table = ctl_table_new(columns);
    if (with_head && query->with_namespace) {
        ctl_table_c(table, "NAMESPACE");
    }
    if (with_head) {
        ctl_table_c(table, "LAST SEEN");
        ctl_table_c(table, "TYPE");
        ctl_table_c(table, "REASON");
    }
    if (with_head && query->with_object) {
        ctl_table_c(table, "OBJECT");
    }
    if (with_head) {
        ctl_table_c(table, "MESSAGE");
    }
    return table;
}

void ctl_event_line(const struct ctl_event_query *query, yyjson_val *event, struct tt_buf *buf)
{
    TT_AUTO(ctl_table) table = table_for(query, false);
    add_row(table, query, event);
    ctl_table_write(table, buf);
}

static int by_time(const void *a, const void *b)
{
    const struct item *first = a;
    const struct item *second = b;
    return first->at_ms < second->at_ms ? -1 : first->at_ms > second->at_ms;
}

static void write_sorted(const struct ctl_event_query *query, yyjson_val *events,
                         struct tt_buf *buf)
{
    size_t count = yyjson_arr_size(events);
    if (count == 0) {
        return;
    }
    struct item *items = tt_xcalloc(count, sizeof *items);
    yyjson_arr_iter iter = yyjson_arr_iter_with(events);
    yyjson_val *event;
    for (size_t i = 0; (event = yyjson_arr_iter_next(&iter)) != NULL; i++) {
        items[i].event = event;
        (void)tt_time_parse(time_of(event), &items[i].at_ms); /* unknown: first */
    }
    qsort(items, count, sizeof *items, by_time);
    TT_AUTO(ctl_table) table = table_for(query, true);
    for (size_t i = 0; i < count; i++) {
        add_row(table, query, items[i].event);
    }
    tt_free(items);
    ctl_table_write(table, buf);
}

int ctl_events_write(struct ctl_session *session, const struct ctl_event_query *query,
                     struct tt_buf *buf, struct tt_buf *ret_version, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    ctl_events_path(query, &path);
    int r = ctl_get(session, tt_buf_view(&path), &answer, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_val *root = yyjson_doc_get_root(answer.doc);
    write_sorted(query, yyjson_obj_get(root, "items"), buf);
    if (ret_version != NULL) {
        tt_buf_str(ret_version, tt_json_iget_str(root, "metadata.resourceVersion"));
    }
    return TT_OK;
}
