/* tuttictl get and resources: what is there.
 *
 * Tables are the server's own, so columns are right for every kind. Lists come in pages of 500 and
 * are shown once complete (columns line up); with --watch rows are shown as they come. */
#include <stdio.h>

#include "api/http/uri.h"
#include "api/json/json.h"
#include "ctl/jsonpath.h"
#include "ctl/output.h"
#include "ctl/printer.h"
#include "ctl/watch.h"

enum { PAGE_SIZE = 500, TEMPLATE_SIZE_MAX = 256 << 20 };
#define JSONPATH "jsonpath="

struct get {
    struct ctl_common common;        /* options of the connection */
    struct ctl_selection selection;  /* -l, --field-selector and -A */
    const char *output_text;         /* -o as given; NULL: a table */
    const char *template;            /* of -o jsonpath=…; NULL: none */
    bool watch;                      /* -w; then there is one target */
    bool show_labels;                /* tables: a last column for them */
    bool no_headers;                 /* tables: rows only */
    bool ignore_not_found;           /* what is not there is no failure */
    enum ctl_format format;          /* of output_text; JSON with a template */
    struct ctl_session *session;     /* owned; NULL before it is open */
    struct ctl_resources *resources; /* owned; NULL likewise */
    struct ctl_targets targets;      /* what the words name */
    yyjson_mut_doc *objects;         /* for -o json, yaml: what was found */
    yyjson_mut_val *items;           /* the List's array, in objects */
    bool is_list;                    /* the output is a List even of one */
    struct ctl_printer *printer;     /* of the resource at hand */
    struct tt_buf version;           /* of the last list: where a watch begins */
    size_t found;                    /* objects, and rows of tables that are shown */
};

static bool is_value_format(const struct get *get)
{
    return get->format == CTL_FORMAT_JSON || get->format == CTL_FORMAT_YAML;
}

static bool is_table_format(const struct get *get)
{
    return get->format == CTL_FORMAT_TABLE || get->format == CTL_FORMAT_WIDE;
}

static void print_name(const struct ctl_resource *resource, yyjson_val *object)
{
    TT_AUTO_BUF struct tt_buf label;
    tt_buf_init(&label, CTL_PATH_SIZE_MAX);
    ctl_resource_label(resource, tt_json_iget_str(object, "metadata.name"), &label);
    ctl_print("%.*s\n", TT_STR_ARG(tt_buf_view(&label)));
}

/* Items of a List carry no kind of their own. */
static void keep_object(struct get *get, const struct ctl_resource *resource, yyjson_val *object)
{
    yyjson_mut_doc *doc = get->objects;
    yyjson_mut_val *copy = yyjson_val_mut_copy(doc, object);
    if (yyjson_obj_get(object, "kind") == NULL) {
        TT_AUTO_FREE char *version =
            tt_xasprintf("%.*s%s%.*s", TT_STR_ARG(resource->group),
                         resource->group.len > 0 ? "/" : "", TT_STR_ARG(resource->version));
        yyjson_mut_val *kind = yyjson_mut_strncpy(doc, resource->kind.ptr, resource->kind.len);
        (void)(yyjson_mut_obj_insert(copy, yyjson_mut_str(doc, "kind"), kind, 0) &&
               yyjson_mut_obj_insert(copy, yyjson_mut_str(doc, "apiVersion"),
                                     yyjson_mut_strcpy(doc, version), 0));
    }
    (void)yyjson_mut_arr_append(get->items, copy); /* NULL is refused: memory is out */
}

static void take_object(struct get *get, const struct ctl_resource *resource, yyjson_val *object)
{
    get->found++;
    if (get->format == CTL_FORMAT_NAME) {
        print_name(resource, object);
    } else {
        keep_object(get, resource, object);
    }
}

static void take_page(struct get *get, const struct ctl_resource *resource, yyjson_val *root)
{
    if (is_table_format(get)) {
        ctl_printer_add(get->printer, root);
        return;
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(root, "items"));
    yyjson_val *item;
    while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
        take_object(get, resource, item);
    }
}

static int get_list(struct get *get, const struct ctl_target *target, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf base;
    TT_AUTO_BUF struct tt_buf path;
    TT_AUTO_BUF struct tt_buf token;
    tt_buf_init(&base, CTL_PATH_SIZE_MAX);
    tt_buf_init(&path, 2 * CTL_PATH_SIZE_MAX);
    tt_buf_init(&token, CTL_PATH_SIZE_MAX);
    ctl_collection_path(get->session, &get->selection, target, &base);
    do {
        CTL_AUTO_ANSWER struct ctl_answer answer = {0};
        tt_buf_reset(&path);
        tt_buf_str(&path, tt_buf_view(&base));
        tt_buf_printf(&path, "limit=%d", PAGE_SIZE);
        if (token.len > 0) {
            tt_buf_c(&path, "&continue=");
            tt_uri_encode(&path, tt_buf_view(&token));
        }
        const struct ctl_request request = {.method = "GET",
                                            .path = tt_buf_view(&path),
                                            .accept =
                                                is_table_format(get) ? CTL_ACCEPT_TABLE : NULL};
        int r = ctl_ask(get->session, &request, &answer, err);
        if (r != TT_OK) {
            return r;
        }
        yyjson_val *root = yyjson_doc_get_root(answer.doc);
        take_page(get, target->resource, root);
        tt_buf_reset(&token);
        tt_buf_reset(&get->version);
        tt_buf_str(&token, tt_json_iget_str(root, "metadata.continue"));
        tt_buf_str(&get->version, tt_json_iget_str(root, "metadata.resourceVersion"));
    } while (token.len > 0);
    return TT_OK;
}

static int get_named(struct get *get, const struct ctl_target *target, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    if (get->selection.all_namespaces && target->resource->namespaced) {
        return TT_FAIL(err, TT_EINVAL, "a name needs a namespace: drop --all-namespaces");
    }
    ctl_resource_path(target->resource,
                      ctl_target_namespace(get->session, &get->selection, target->resource),
                      target->name, &path);
    const struct ctl_request request = {.method = "GET",
                                        .path = tt_buf_view(&path),
                                        .accept = is_table_format(get) ? CTL_ACCEPT_TABLE : NULL};
    int r = ctl_ask(get->session, &request, &answer, err);
    if (r == TT_ENOTFOUND && get->ignore_not_found) {
        tt_err_init(err);
        return TT_OK;
    }
    if (r != TT_OK) {
        return r;
    }
    yyjson_val *root = yyjson_doc_get_root(answer.doc);
    if (is_table_format(get)) {
        ctl_printer_add(get->printer, root);
        tt_buf_reset(&get->version);
        tt_buf_str(&get->version, tt_json_iget_str(root, "metadata.resourceVersion"));
    } else {
        take_object(get, target->resource, root);
    }
    return TT_OK;
}

static void print_value(struct get *get, yyjson_val *val)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEMPLATE_SIZE_MAX);
    if (get->template == NULL) {
        ctl_print_value(get->format, val);
        return;
    }
    if (ctl_template(val, tt_str_c(get->template), &text, NULL) == TT_OK) { /* was tried before */
        ctl_print_buf(&text);
    }
}

/* ---- watching ---- */

static bool show_event(void *ctx, const struct ctl_event *event)
{
    struct get *get = ctx;
    if (tt_str_eq_c(event->type, "BOOKMARK")) {
        return true;
    }
    if (is_table_format(get)) {
        ctl_printer_add(get->printer, event->object);
        ctl_printer_flush(get->printer);
    } else if (get->format == CTL_FORMAT_NAME) {
        print_name(get->targets.items[0].resource, event->object);
    } else {
        if (get->format == CTL_FORMAT_YAML) {
            ctl_print("---\n");
        }
        print_value(get, event->object);
    }
    return fflush(stdout) == 0; /* a reader that went away ends the watch */
}

static int watch(struct get *get, struct tt_err *err)
{
    const struct ctl_target *target = &get->targets.items[0];
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    ctl_collection_path(get->session, &get->selection, target, &path);
    const struct ctl_watch watch = {.path = tt_buf_view(&path),
                                    .resource_version = tt_buf_view(&get->version),
                                    .accept = is_table_format(get) ? CTL_ACCEPT_TABLE : NULL,
                                    .each = show_event,
                                    .ctx = get};
    return ctl_watch(get->session, &watch, err);
}

/* ---- all targets ---- */

static struct ctl_printer *printer_for(const struct get *get, const struct ctl_resource *resource,
                                       bool several)
{
    const struct ctl_printer_config config = {
        .wide = get->format == CTL_FORMAT_WIDE,
        .with_namespace = get->selection.all_namespaces && resource->namespaced,
        .with_labels = get->show_labels,
        .no_headers = get->no_headers,
        .prefix = several ? resource : NULL,
    };
    return ctl_printer_new(&config);
}

static bool are_several(const struct ctl_targets *targets)
{
    for (size_t i = 1; i < targets->count; i++) {
        if (targets->items[i].resource != targets->items[0].resource) {
            return true;
        }
    }
    return false;
}

static void end_table(struct get *get)
{
    size_t rows = get->printer != NULL ? ctl_printer_row_count(get->printer) : 0;
    if (rows > 0) {
        if (get->found > 0) {
            ctl_print("\n"); /* between two tables */
        }
        ctl_printer_flush(get->printer);
    }
    get->found += rows;
    ctl_printer_free(TT_TAKE(get->printer));
}

/* Names of one resource share a table. Failures are told at once; the others still come. */
static int get_all(struct get *get, struct tt_err *err)
{
    bool several = are_several(&get->targets);
    int first = TT_OK;
    for (size_t i = 0; i < get->targets.count; i++) {
        const struct ctl_target *target = &get->targets.items[i];
        bool goes_on = i > 0 && target->resource == target[-1].resource;
        if (!goes_on && i > 0) {
            end_table(get);
        }
        if (get->printer == NULL && is_table_format(get)) {
            get->printer = printer_for(get, target->resource, several);
        }
        struct tt_err cause;
        tt_err_init(&cause);
        bool by_name = target->name.len > 0 && !(get->watch && !is_table_format(get));
        int r = by_name ? get_named(get, target, &cause) : get_list(get, target, &cause);
        if (r != TT_OK && first == TT_OK) {
            first = r;
            *err = cause;
        } else if (r != TT_OK) {
            char text[1024];
            (void)tt_err_format(&cause, text, sizeof text);
            (void)fprintf(stderr, "%s\n", text);
        }
    }
    return first;
}

static void print_objects(struct get *get)
{
    yyjson_mut_val *root =
        get->is_list ? yyjson_mut_doc_get_root(get->objects) : yyjson_mut_arr_get_first(get->items);
    yyjson_doc *doc = yyjson_mut_val_imut_copy(root, NULL);
    if (doc != NULL) {
        print_value(get, yyjson_doc_get_root(doc));
    }
    yyjson_doc_free(doc);
}

static void say_nothing_found(const struct get *get)
{
    if (get->ignore_not_found || get->watch) {
        return;
    }
    const struct ctl_resource *resource = get->targets.items[0].resource;
    struct tt_str ns = ctl_target_namespace(get->session, &get->selection, resource);
    if (ns.len > 0) {
        (void)fprintf(stderr, "nothing found in namespace %.*s (-A looks in all)\n",
                      TT_STR_ARG(ns));
    } else {
        (void)fprintf(stderr, "nothing found\n");
    }
}

static int show(struct get *get, struct tt_err *err)
{
    get->is_list = get->targets.count > 1 || get->targets.items[0].name.len == 0;
    int r = get_all(get, err);
    if (get->watch && r == TT_OK) {
        if (is_table_format(get)) {
            ctl_printer_flush(get->printer);
        } else if (is_value_format(get)) {
            print_objects(get);
        }
        (void)fflush(stdout); /* shown before the first change comes */
        r = watch(get, err);
        ctl_printer_free(TT_TAKE(get->printer));
        return r;
    }
    end_table(get);
    bool has_something = get->is_list || get->found > 0;
    if (is_value_format(get) && (r == TT_OK || get->found > 0) && has_something) {
        print_objects(get);
    } else if (get->found == 0 && r == TT_OK) {
        say_nothing_found(get);
    }
    return r;
}

static int parse_args(struct get *get, struct ctl_args *args, struct tt_err *err)
{
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&get->common),
        {"output", 'o', TT_OPTION_STRING, &get->output_text, "FORMAT",
         "wide, json, yaml, name or jsonpath=TEMPLATE"},
        {"all-namespaces", 'A', TT_OPTION_FLAG, &get->selection.all_namespaces, NULL,
         "of every namespace"},
        {"selector", 'l', TT_OPTION_STRING, &get->selection.labels, "LABELS",
         "only with these labels: a=b,c!=d,e in (f,g)"},
        {"field-selector", 0, TT_OPTION_STRING, &get->selection.fields, "FIELDS",
         "only with these fields: status.phase=Running"},
        {"watch", 'w', TT_OPTION_FLAG, &get->watch, NULL, "go on showing changes"},
        {"show-labels", 0, TT_OPTION_FLAG, &get->show_labels, NULL, "a column with the labels"},
        {"no-headers", 0, TT_OPTION_FLAG, &get->no_headers, NULL, "rows only"},
        {"ignore-not-found", 0, TT_OPTION_FLAG, &get->ignore_not_found, NULL,
         "what is not there is no error"},
    };
    args->options = options;
    args->option_count = CTL_COMMON_OPTION_COUNT + 8;
    int r = ctl_parse(args, err);
    args->options = NULL;
    if (r != TT_OK || args->help) {
        return r;
    }
    if (!tt_str_starts(tt_str_c(get->output_text), TT_STR(JSONPATH))) {
        return ctl_format_parse(get->output_text, &get->format, err);
    }
    TT_AUTO_BUF struct tt_buf nothing;
    tt_buf_init(&nothing, TEMPLATE_SIZE_MAX);
    get->template = get->output_text + strlen(JSONPATH);
    get->format = CTL_FORMAT_JSON;
    return ctl_template(NULL, tt_str_c(get->template), &nothing, err);
}

static int open_and_show(struct get *get, const struct ctl_args *args, struct tt_err *err)
{
    int r = ctl_session_open(&get->common, &get->session, err);
    if (r == TT_OK) {
        r = ctl_resources_load(get->session, &get->resources, err);
    }
    if (r == TT_OK) {
        r = ctl_targets_parse(get->resources, args->words, args->word_count, &get->targets, err);
    }
    if (r == TT_OK && get->watch && get->targets.count > 1) {
        r = TT_FAIL(err, TT_EINVAL, "--watch follows one type or one object");
    }
    return r == TT_OK ? show(get, err) : r;
}

static int run_get(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_args args = {.command = self, .argc = argc, .argv = argv};
    struct get *get = TT_NEW(struct get);
    int r = parse_args(get, &args, err);
    if (r != TT_OK || args.help) {
        tt_free(get);
        return r;
    }
    tt_buf_init(&get->version, 256);
    get->objects = yyjson_mut_doc_new(NULL);
    get->items = yyjson_mut_arr(get->objects);
    yyjson_mut_val *list = yyjson_mut_obj(get->objects);
    yyjson_mut_doc_set_root(get->objects, list);
    bool ok = yyjson_mut_obj_add_str(get->objects, list, "apiVersion", "v1") &&
              yyjson_mut_obj_add_val(get->objects, list, "items", get->items) &&
              yyjson_mut_obj_add_str(get->objects, list, "kind", "List");
    r = ok ? open_and_show(get, &args, err) : TT_FAIL(err, TT_ENOMEM, "no memory");
    yyjson_mut_doc_free(get->objects);
    tt_buf_fini(&get->version);
    ctl_printer_free(get->printer);
    ctl_resources_free(get->resources);
    ctl_session_free(get->session);
    tt_free(get);
    return r;
}

/* ---- resources ---- */

static void print_resources(const struct ctl_resources *resources)
{
    TT_AUTO(ctl_table) table = ctl_table_new(5);
    static const char *const head[] = {"NAME", "SHORT", "APIVERSION", "NAMESPACED", "KIND"};
    for (size_t i = 0; i < 5; i++) {
        ctl_table_c(table, head[i]);
    }
    for (size_t i = 0; i < ctl_resources_count(resources); i++) {
        const struct ctl_resource *resource = ctl_resources_at(resources, i);
        TT_AUTO_FREE char *version =
            tt_xasprintf("%.*s%s%.*s", TT_STR_ARG(resource->group),
                         resource->group.len > 0 ? "/" : "", TT_STR_ARG(resource->version));
        ctl_table_cell(table, resource->plural);
        ctl_table_cell(table,
                       resource->short_name_count > 0 ? resource->short_names[0] : TT_STR("-"));
        ctl_table_c(table, version);
        ctl_table_c(table, resource->namespaced ? "yes" : "no");
        ctl_table_cell(table, resource->kind);
    }
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 4 << 20);
    ctl_table_write(table, &text);
    ctl_print_buf(&text);
}

static int run_resources(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_common common = {.kubeconfig = NULL};
    const struct tt_option options[] = {CTL_COMMON_OPTIONS(&common)};
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT, argc, argv, {NULL}, 0, false};
    int r = ctl_parse(&args, err);
    if (r != TT_OK || args.help) {
        return r;
    }
    TT_AUTO(ctl_session) session = NULL;
    TT_AUTO(ctl_resources) resources = NULL;
    r = ctl_session_open(&common, &session, err);
    if (r == TT_OK) {
        r = ctl_resources_load(session, &resources, err);
    }
    if (r == TT_OK) {
        print_resources(resources);
    }
    return r;
}

const struct ctl_command ctl_get_commands[] = {
    {"get", "TYPE[,TYPE…] [NAME…] | TYPE/NAME… [OPTIONS]", "Shows objects.",
     "Examples:\n"
     "  tuttictl get pods -A -o wide\n"
     "  tuttictl get deploy/web -o yaml\n"
     "  tuttictl get pods -l app=web --watch",
     run_get},
    {"resources", "", "Lists the types of objects the cluster knows.",
     "Examples:\n"
     "  tuttictl resources",
     run_resources},
    {NULL, NULL, NULL, NULL, NULL},
};
