/* tuttictl describe and events: what one object is, and what happened to it.
 *
 * describe shows any kind by its stored fields, values of Secrets by their size only, and the
 * object's events. */
#include <stdio.h>

#include "api/json/json.h"
#include "ctl/events.h"
#include "ctl/output.h"

enum { TEXT_SIZE_MAX = 64 << 20, LABEL_COLUMN = 14 };

/* What the two have in common. */
struct look {
    struct ctl_common common;        /* options of the connection */
    struct ctl_selection selection;  /* -l (describe only) and -A */
    struct ctl_session *session;     /* owned; NULL before look_open */
    struct ctl_resources *resources; /* owned; NULL without words */
    struct ctl_targets targets;      /* what the words name; may be empty */
};

static void look_fini(struct look *look)
{
    ctl_resources_free(look->resources);
    ctl_session_free(look->session);
}

static int look_open(struct look *look, const struct ctl_args *args, struct tt_err *err)
{
    int r = ctl_session_open(&look->common, &look->session, err);
    if (r == TT_OK && args->word_count > 0) {
        r = ctl_resources_load(look->session, &look->resources, err);
    }
    if (r == TT_OK && args->word_count > 0) {
        r = ctl_targets_parse(look->resources, args->words, args->word_count, &look->targets, err);
    }
    return r;
}

/* ---- describe ---- */

static void write_line(struct tt_buf *buf, const char *label, struct tt_str value)
{
    if (value.len > 0) {
        tt_buf_printf(buf, "%-*s %.*s\n", LABEL_COLUMN, label, TT_STR_ARG(value));
    }
}

static void write_map(struct tt_buf *buf, const char *label, yyjson_val *map)
{
    yyjson_obj_iter iter = yyjson_obj_iter_with(map);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        struct tt_str name = tt_json_istr_of(key);
        struct tt_str value = tt_json_istr_of(yyjson_obj_iter_get_val(key));
        if (tt_str_ends(name, TT_STR("last-applied-configuration"))) {
            continue; /* the object itself once more */
        }
        tt_buf_printf(buf, "%-*s %.*s=%.*s\n", LABEL_COLUMN, label, TT_STR_ARG(name),
                      TT_STR_ARG(tt_str_head(value, 200)));
        label = "";
    }
}

static void write_owner(struct tt_buf *buf, yyjson_val *object)
{
    yyjson_val *owner = yyjson_arr_get_first(tt_json_iget(object, "metadata.ownerReferences"));
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 4096);
    if (owner != NULL) {
        tt_buf_printf(&text, "%.*s/%.*s", TT_STR_ARG(tt_json_iget_str(owner, "kind")),
                      TT_STR_ARG(tt_json_iget_str(owner, "name")));
        write_line(buf, "Controlled by:", tt_buf_view(&text));
    }
}

static void write_head(struct tt_buf *buf, const struct ctl_resource *resource, yyjson_val *object)
{
    TT_AUTO_BUF struct tt_buf created;
    struct tt_str time = tt_json_iget_str(object, "metadata.creationTimestamp");
    tt_buf_init(&created, 4096);
    tt_buf_str(&created, time);
    tt_buf_c(&created, " (");
    ctl_age(time, &created);
    tt_buf_c(&created, " ago)");
    write_line(buf, "Name:", tt_json_iget_str(object, "metadata.name"));
    write_line(buf, "Namespace:", tt_json_iget_str(object, "metadata.namespace"));
    write_line(buf, "Kind:", resource->kind);
    write_line(buf, "Created:", tt_buf_view(&created));
    write_line(buf, "Deleting:", tt_json_iget_str(object, "metadata.deletionTimestamp"));
    write_owner(buf, object);
    write_map(buf, "Labels:", tt_json_iget(object, "metadata.labels"));
    write_map(buf, "Annotations:", tt_json_iget(object, "metadata.annotations"));
}

/* Sizes instead of values. */
static void write_secret(struct tt_buf *buf, yyjson_val *data)
{
    yyjson_obj_iter iter = yyjson_obj_iter_with(data);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        size_t size = yyjson_get_len(yyjson_obj_iter_get_val(key)) / 4 * 3;
        tt_buf_printf(buf, "  %.*s: about %zu bytes\n", TT_STR_ARG(tt_json_istr_of(key)), size);
    }
}

static void write_section(struct tt_buf *buf, struct tt_str name, yyjson_val *val, bool is_secret)
{
    if (name.len == 0 || yyjson_get_len(val) == 0) {
        return;
    }
    char first = name.ptr[0];
    tt_buf_printf(buf, "%c%.*s:\n", first >= 'a' && first <= 'z' ? first - 'a' + 'A' : first,
                  TT_STR_ARG(tt_str_skip(name, 1)));
    if (is_secret) {
        write_secret(buf, val);
        return;
    }
    TT_AUTO_BUF struct tt_buf yaml;
    tt_buf_init(&yaml, TEXT_SIZE_MAX);
    ctl_write_yaml(&yaml, val);
    struct tt_str rest = tt_str_trim(tt_buf_view(&yaml));
    struct tt_str line;
    while (tt_str_cut(&rest, '\n', &line)) {
        tt_buf_printf(buf, "  %.*s\n", TT_STR_ARG(line));
    }
}

static void write_sections(struct tt_buf *buf, yyjson_val *object)
{
    bool is_secret = tt_str_eq_c(tt_json_iget_str(object, "kind"), "Secret");
    yyjson_obj_iter iter = yyjson_obj_iter_with(object);
    yyjson_val *key;
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        struct tt_str name = tt_json_istr_of(key);
        yyjson_val *val = yyjson_obj_iter_get_val(key);
        bool is_shown_above = tt_str_eq_c(name, "kind") || tt_str_eq_c(name, "apiVersion") ||
                              tt_str_eq_c(name, "metadata");
        bool is_text = yyjson_is_str(val);
        if (!is_shown_above && is_text) {
            TT_AUTO_FREE char *label = tt_xasprintf("%.*s:", TT_STR_ARG(name));
            write_line(buf, label, tt_json_istr_of(val));
        } else if (!is_shown_above) {
            write_section(buf, name, val, is_secret && tt_str_eq_c(name, "data"));
        }
    }
}

static int write_events(struct look *look, yyjson_val *object, struct tt_buf *buf,
                        struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf fields;
    tt_buf_init(&fields, 4096);
    tt_buf_printf(&fields, "involvedObject.kind=%.*s,involvedObject.name=%.*s",
                  TT_STR_ARG(tt_json_iget_str(object, "kind")),
                  TT_STR_ARG(tt_json_iget_str(object, "metadata.name")));
    const struct ctl_event_query query = {.ns = tt_json_iget_str(object, "metadata.namespace"),
                                          .fields = tt_buf_view(&fields)};
    size_t before = buf->len;
    tt_buf_c(buf, "Events:\n");
    size_t head = buf->len;
    int r = ctl_events_write(look->session, &query, buf, NULL, err);
    if (r == TT_OK && buf->len == head) {
        buf->len = before;
        tt_buf_c(buf, "Events:        none\n");
    }
    return r;
}

static int describe(struct look *look, const struct ctl_resource *resource, yyjson_val *object,
                    struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    write_head(&text, resource, object);
    write_sections(&text, object);
    int r = write_events(look, object, &text, err);
    ctl_print_buf(&text);
    return r;
}

static int describe_named(struct look *look, const struct ctl_resource *resource, struct tt_str ns,
                          struct tt_str name, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    ctl_resource_path(resource, ns, name, &path);
    int r = ctl_get(look->session, tt_buf_view(&path), &answer, err);
    return r == TT_OK ? describe(look, resource, yyjson_doc_get_root(answer.doc), err) : r;
}

static int describe_listed(struct look *look, const struct ctl_target *target, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    ctl_collection_path(look->session, &look->selection, target, &path);
    int r = ctl_get(look->session, tt_buf_view(&path), &answer, err);
    yyjson_val *root = r == TT_OK ? yyjson_doc_get_root(answer.doc) : NULL;
    yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(root, "items"));
    yyjson_val *item;
    for (bool first = true; r == TT_OK && (item = yyjson_arr_iter_next(&iter)) != NULL;
         first = false) {
        ctl_print("%s", first ? "" : "\n");
        r = describe_named(look, target->resource, tt_json_iget_str(item, "metadata.namespace"),
                           tt_json_iget_str(item, "metadata.name"), err);
    }
    return r;
}

static int run_describe(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct look look = {.session = NULL};
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&look.common),
        {"selector", 'l', TT_OPTION_STRING, &look.selection.labels, "LABELS",
         "all with these labels"},
        {"all-namespaces", 'A', TT_OPTION_FLAG, &look.selection.all_namespaces, NULL,
         "of every namespace"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 2, argc, argv, {NULL},
                            0,    false};
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    if (args.word_count == 0) {
        return TT_FAIL(err, TT_EINVAL, "say what: TYPE, TYPE NAME or TYPE/NAME");
    }
    r = look_open(&look, &args, err);
    for (size_t i = 0; r == TT_OK && i < look.targets.count; i++) {
        const struct ctl_target *target = &look.targets.items[i];
        struct tt_str ns = ctl_target_namespace(look.session, &look.selection, target->resource);
        ctl_print("%s", i > 0 ? "\n" : "");
        r = target->name.len > 0 ? describe_named(&look, target->resource, ns, target->name, err)
                                 : describe_listed(&look, target, err);
    }
    look_fini(&look);
    return r;
}

/* ---- events ---- */

static bool show_event(void *ctx, const struct ctl_event *event)
{
    const struct ctl_event_query *query = ctx;
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 1 << 20);
    if (tt_str_eq_c(event->type, "ADDED") || tt_str_eq_c(event->type, "MODIFIED")) {
        ctl_event_line(query, event->object, &text);
        ctl_print_buf(&text);
    }
    return fflush(stdout) == 0; /* a reader that went away ends the watch */
}

static int print_events_value(struct look *look, const struct ctl_event_query *query,
                              enum ctl_format format, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    ctl_events_path(query, &path);
    int r = ctl_get(look->session, tt_buf_view(&path), &answer, err);
    if (r == TT_OK) {
        ctl_print_value(format, yyjson_doc_get_root(answer.doc));
    }
    return r;
}

static int print_events(struct look *look, const struct ctl_event_query *query, bool watch,
                        struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf text;
    TT_AUTO_BUF struct tt_buf version;
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    tt_buf_init(&version, 256);
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    int r = ctl_events_write(look->session, query, &text, &version, err);
    if (r == TT_OK && text.len == 0 && !watch) {
        (void)fprintf(stderr, "no events\n");
    }
    ctl_print_buf(&text);
    if (r != TT_OK || !watch || fflush(stdout) != 0) {
        return r;
    }
    ctl_events_path(query, &path);
    struct ctl_event_query copy = *query;
    const struct ctl_watch following = {.path = tt_buf_view(&path),
                                        .resource_version = tt_buf_view(&version),
                                        .each = show_event,
                                        .ctx = &copy};
    return ctl_watch(look->session, &following, err);
}

static int run_events(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct look look = {.session = NULL};
    const char *output = NULL;
    bool watch = false;
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&look.common),
        {"all-namespaces", 'A', TT_OPTION_FLAG, &look.selection.all_namespaces, NULL,
         "of every namespace"},
        {"watch", 'w', TT_OPTION_FLAG, &watch, NULL, "go on showing new ones"},
        {"output", 'o', TT_OPTION_STRING, &output, "FORMAT", "json or yaml"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 3, argc, argv, {NULL},
                            0,    false};
    enum ctl_format format = CTL_FORMAT_TABLE;
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    r = ctl_format_parse(output, &format, err);
    if (r == TT_OK) {
        r = look_open(&look, &args, err);
    }
    if (r == TT_OK && (look.targets.count > 1 ||
                       (look.targets.count == 1 && look.targets.items[0].name.len == 0))) {
        r = TT_FAIL(err, TT_EINVAL, "give one object, TYPE/NAME, or none");
    }
    TT_AUTO_BUF struct tt_buf fields;
    tt_buf_init(&fields, 4096);
    if (r == TT_OK) {
        const struct ctl_target *target = &look.targets.items[0];
        bool is_value = format == CTL_FORMAT_JSON || format == CTL_FORMAT_YAML;
        if (look.targets.count == 1) {
            tt_buf_printf(&fields, "involvedObject.kind=%.*s,involvedObject.name=%.*s",
                          TT_STR_ARG(target->resource->kind), TT_STR_ARG(target->name));
        }
        const struct ctl_event_query query = {
            .ns = look.selection.all_namespaces ? TT_STR("") : ctl_session_namespace(look.session),
            .fields = tt_buf_view(&fields),
            .with_namespace = look.selection.all_namespaces,
            .with_object = true};
        r = is_value ? print_events_value(&look, &query, format, err)
                     : print_events(&look, &query, watch, err);
    }
    look_fini(&look);
    return r;
}

const struct ctl_command ctl_describe_commands[] = {
    {"describe", "TYPE [NAME…] | TYPE/NAME… [OPTIONS]",
     "Shows objects in full, with what happened to them.",
     "Examples:\n"
     "  tuttictl describe deploy/web\n"
     "  tuttictl describe pods -l app=web",
     run_describe},
    {"events", "[TYPE/NAME] [OPTIONS]", "Shows what happened, oldest first.",
     "Examples:\n"
     "  tuttictl events -A --watch\n"
     "  tuttictl events pod/web-1",
     run_events},
    {NULL, NULL, NULL, NULL, NULL},
};
