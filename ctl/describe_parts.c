/* See describe_parts.h: tables of fields, and the ways single values are shown. */
#include "ctl/describe_parts.h"

#include "ctl/events.h"
#include "ctl/selector.h"

enum { VALUE_SIZE_MAX = 4 << 20, FORMATTED_SIZE_MAX = 64 << 10, NOTE_SIZE_MAX = 200 };

void describe_fields(const struct ctl_description *d, yyjson_val *root,
                     const struct describe_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *path = fields[i].path;
        fields[i].show(d, fields[i].label, path[0] == '\0' ? root : tt_json_iget(root, path));
    }
}

void describe_scalar(struct tt_buf *buf, yyjson_val *val)
{
    if (yyjson_is_str(val)) {
        tt_buf_str(buf, tt_json_istr_of(val));
    } else if (val != NULL && !yyjson_is_null(val)) {
        tt_json_iwrite(buf, val);
    }
}

void describe_printf(const struct ctl_description *d, const char *label, const char *fmt, ...)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, FORMATTED_SIZE_MAX);
    va_list args;
    va_start(args, fmt);
    tt_buf_vprintf(&text, fmt, args);
    va_end(args);
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

void describe_rows(const struct ctl_description *d, struct tt_str label, struct ctl_table *table)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, CTL_PAGE_SIZE_MAX);
    ctl_table_write(table, &text);
    ctl_table_free(table);
    ctl_page_open(d->page, label, TT_STR(""));
    ctl_page_lines(d->page, tt_buf_view(&text));
    ctl_page_close(d->page);
}

bool describe_is_owned(yyjson_val *owned, yyjson_val *owner)
{
    struct tt_str uid = tt_json_iget_str(owner, "metadata.uid");
    yyjson_arr_iter iter = yyjson_arr_iter_with(tt_json_iget(owned, "metadata.ownerReferences"));
    yyjson_val *reference;
    while ((reference = yyjson_arr_iter_next(&iter)) != NULL) {
        if (yyjson_get_bool(yyjson_obj_get(reference, "controller")) &&
            tt_str_eq(tt_json_iget_str(reference, "uid"), uid)) {
            return true;
        }
    }
    return false;
}

/* ---- single values ---- */

void describe_text(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, VALUE_SIZE_MAX);
    describe_scalar(&text, val);
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

void describe_if_any(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    bool is_empty = yyjson_is_str(val) && yyjson_get_len(val) == 0;
    if (val != NULL && !yyjson_is_null(val) && !is_empty) {
        describe_text(d, label, val);
    }
}

void describe_time(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf age;
    tt_buf_init(&age, 256);
    struct tt_str time = tt_json_istr_of(val);
    if (time.len > 0) {
        ctl_age(time, d->now_ms, &age);
        describe_printf(d, label, "%.*s (%.*s ago)", TT_STR_ARG(time),
                        TT_STR_ARG(tt_buf_view(&age)));
    }
}

void describe_selector(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, VALUE_SIZE_MAX);
    ctl_selector_write(&text, val);
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

void describe_owner(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *owner;
    while ((owner = yyjson_arr_iter_next(&iter)) != NULL) {
        if (yyjson_get_bool(yyjson_obj_get(owner, "controller"))) {
            describe_printf(d, label, "%.*s/%.*s", TT_STR_ARG(tt_json_iget_str(owner, "kind")),
                            TT_STR_ARG(tt_json_iget_str(owner, "name")));
        }
    }
}

/* ---- several values, one to a line ---- */

static void show_map(const struct ctl_description *d, const char *label, yyjson_val *map,
                     const char *between)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, VALUE_SIZE_MAX);
    yyjson_obj_iter iter = yyjson_obj_iter_with(map);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        tt_buf_str(&text, tt_json_istr_of(key));
        tt_buf_c(&text, between);
        describe_scalar(&text, yyjson_obj_iter_get_val(key));
        tt_buf_char(&text, '\n');
    }
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

void describe_pairs(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    show_map(d, label, val, "=");
}

void describe_notes(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, VALUE_SIZE_MAX);
    yyjson_obj_iter iter = yyjson_obj_iter_with(val);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        struct tt_str name = tt_json_istr_of(key);
        struct tt_str value = tt_json_istr_of(yyjson_obj_iter_get_val(key));
        if (!tt_str_ends(name, TT_STR("last-applied-configuration"))) { /* the object once more */
            tt_buf_printf(&text, "%.*s: %.*s%s\n", TT_STR_ARG(name),
                          TT_STR_ARG(tt_str_head(value, NOTE_SIZE_MAX)),
                          value.len > NOTE_SIZE_MAX ? "…" : "");
        }
    }
    ctl_page_field(d->page, label, tt_buf_view(&text));
}

void describe_notes_if_any(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    if (yyjson_obj_size(val) > 0) {
        describe_notes(d, label, val);
    }
}

void describe_words(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, VALUE_SIZE_MAX);
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *word;
    while ((word = yyjson_arr_iter_next(&iter)) != NULL) {
        describe_scalar(&text, word);
        tt_buf_char(&text, '\n');
    }
    if (text.len > 0) {
        ctl_page_field(d->page, label, tt_buf_view(&text));
    }
}

/* Resources with their quantities, a section of its own. */
void describe_amounts(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, VALUE_SIZE_MAX);
    yyjson_obj_iter iter = yyjson_obj_iter_with(val);
    yyjson_val *key;
    if (yyjson_obj_size(val) == 0) {
        return;
    }
    ctl_page_open(d->page, tt_str_c(label), TT_STR(""));
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        tt_buf_reset(&text);
        describe_scalar(&text, yyjson_obj_iter_get_val(key));
        ctl_page_entry(d->page, tt_json_istr_of(key), tt_buf_view(&text));
    }
    ctl_page_close(d->page);
}

/* ---- conditions ---- */

static void add_condition(const struct ctl_description *d, struct ctl_table *table,
                          yyjson_val *condition, bool has_heartbeat)
{
    static const char *const times[] = {"lastTransitionTime", "lastHeartbeatTime"};
    TT_AUTO_BUF struct tt_buf age;
    tt_buf_init(&age, 256);
    ctl_table_cell(table, tt_json_iget_str(condition, "type"));
    ctl_table_cell(table, tt_json_iget_str(condition, "status"));
    for (size_t i = 0; i < (has_heartbeat ? 2 : 1); i++) {
        tt_buf_reset(&age);
        ctl_age(tt_json_iget_str(condition, times[i]), d->now_ms, &age);
        ctl_table_cell(table, tt_buf_view(&age));
    }
    ctl_table_cell(table, tt_json_iget_str(condition, "reason"));
    ctl_table_cell(table, tt_json_iget_str(condition, "message"));
}

void describe_conditions(const struct ctl_description *d, const char *label, yyjson_val *val)
{
    if (yyjson_arr_size(val) == 0) {
        ctl_page_field(d->page, label, TT_STR(""));
        return;
    }
    bool has_heartbeat = tt_json_iget(yyjson_arr_get_first(val), "lastHeartbeatTime") != NULL;
    struct ctl_table *table = ctl_table_new(has_heartbeat ? 6 : 5);
    ctl_table_c(table, "Type");
    ctl_table_c(table, "Status");
    ctl_table_c(table, "For");
    if (has_heartbeat) {
        ctl_table_c(table, "Heard");
    }
    ctl_table_c(table, "Reason");
    ctl_table_c(table, "Message");
    yyjson_arr_iter iter = yyjson_arr_iter_with(val);
    yyjson_val *condition;
    while ((condition = yyjson_arr_iter_next(&iter)) != NULL) {
        add_condition(d, table, condition, has_heartbeat);
    }
    describe_rows(d, tt_str_c(label), table);
}
