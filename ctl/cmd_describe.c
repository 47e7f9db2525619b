/* tuttictl describe and events: what one object is, and what happened to it.
 *
 * describe reads an object, what belongs on its page (ctl/describe.h), and its events. */
#include <stdio.h>

#include "api/json/json.h"
#include "base/clock.h"
#include "ctl/describe.h"
#include "ctl/events.h"
#include "ctl/output.h"

enum { TEXT_SIZE_MAX = 64 << 20 };

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

static int add_events(struct look *look, const struct ctl_description *d, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf fields;
    TT_AUTO_BUF struct tt_buf rows;
    tt_buf_init(&fields, 4096);
    tt_buf_init(&rows, TEXT_SIZE_MAX);
    tt_buf_printf(&fields, "involvedObject.kind=%.*s,involvedObject.name=%.*s",
                  TT_STR_ARG(tt_json_iget_str(d->object, "kind")),
                  TT_STR_ARG(tt_json_iget_str(d->object, "metadata.name")));
    const struct ctl_event_query query = {.ns = tt_json_iget_str(d->object, "metadata.namespace"),
                                          .fields = tt_buf_view(&fields)};
    int r = ctl_events_write(look->session, &query, &rows, NULL, err);
    if (r != TT_OK) {
        return TT_WRAP(err, r, "events");
    }
    if (rows.len == 0) {
        ctl_page_field(d->page, "Events", TT_STR(""));
        return TT_OK;
    }
    ctl_page_open(d->page, TT_STR("Events"), TT_STR(""));
    ctl_page_lines(d->page, tt_buf_view(&rows));
    ctl_page_close(d->page);
    return TT_OK;
}

/* The list that belongs on the page; without it the page says what is unknown. */
static int read_related(struct look *look, yyjson_val *object, struct ctl_answer *ret,
                        struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, 2 * CTL_PATH_SIZE_MAX);
    ctl_describe_related(object, &path);
    return path.len > 0 ? ctl_get(look->session, tt_buf_view(&path), ret, err) : TT_OK;
}

/* What could be read is shown in any case; the first thing that could not be is the error. */
static int describe(struct look *look, yyjson_val *object, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer related = {0};
    TT_AUTO(ctl_page) page = ctl_page_new();
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_SIZE_MAX);
    int r = read_related(look, object, &related, err);
    const struct ctl_description d = {.page = page,
                                      .object = object,
                                      .related =
                                          yyjson_obj_get(yyjson_doc_get_root(related.doc), "items"),
                                      .now_ms = tt_clock_wall_ms(tt_clock_real())};
    ctl_describe(&d);
    if (r == TT_OK) {
        r = add_events(look, &d, err);
    }
    ctl_page_write(page, &text);
    ctl_print_buf(&text);
    if (r == TT_OK && !tt_buf_ok(&text)) {
        r = TT_FAIL(err, TT_ETOOLARGE, "the description is larger than %d MiB",
                    TEXT_SIZE_MAX >> 20);
    }
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
    return r == TT_OK ? describe(look, yyjson_doc_get_root(answer.doc), err) : r;
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
