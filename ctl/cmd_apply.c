/* tuttictl apply: makes the cluster's objects what the manifests say.
 *
 * Per object: read what is there → absent: create; present: three-way merge (merge.h) → nothing to
 * change: "unchanged"; else update with the version that was read, so that a concurrent change is a
 * conflict and the whole is done again, at most 5 times. All manifests are read before the first
 * request. One object's failure does not keep the others from being applied; the exit code is that
 * of the first. */
#include <stdio.h>

#include "api/kinds/registry.h"
#include "ctl/merge.h"
#include "ctl/output.h"
#include "ctl/prune.h"
#include "ctl/status_error.h"

enum {
    TRIES_MAX = 5,
    ARENA_CHUNK = 256 << 10,
    ARENA_MAX = 256 << 20,
    BODY_SIZE_MAX = 8 << 20,
    PATH_SIZE_MAX = 8192,
    REPORT_SIZE_MAX = 1 << 20,
};

enum dry_run { DRY_NONE, DRY_CLIENT, DRY_SERVER };

struct apply {
    struct ctl_common common;        /* options of the connection */
    struct tt_option_values files;   /* -f: paths and "-"; at least one */
    const char *dry_text;            /* --dry-run as given; NULL: none */
    const char *validate_text;       /* --validate as given; NULL: strict */
    const char *output_text;         /* -o as given; NULL: lines */
    const char *labels;              /* of what may be pruned */
    bool wants_prune;                /* --prune; goes with labels only */
    bool recursive;                  /* -R: directories below too */
    enum dry_run dry;                /* of dry_text */
    const char *validation;          /* Strict, Warn or Ignore */
    enum ctl_format format;          /* of output_text */
    struct ctl_session *session;     /* owned; NULL until the manifests are read */
    struct ctl_resources *resources; /* owned; NULL likewise */
    struct ctl_prune *prune;         /* NULL: nothing is pruned */
    struct tt_kinds *kinds;          /* referenced; tells how lists are merged */
    struct tt_arena *arena;          /* of the object at hand */
    struct ctl_answer answer;        /* the last one */
    yyjson_mut_doc *results;         /* for -o json and yaml: a List */
    yyjson_mut_val *items;           /* the List's array, in results */
};

/* One object on its way. */
struct subject {
    const struct ctl_object *object;     /* borrowed from the manifest */
    const struct ctl_resource *resource; /* its type; NULL before prepare */
    struct tt_str ns, name;              /* borrowed; ns is "" for what has none */
    struct tt_buf label;                 /* "deployment.apps/hello" */
    yyjson_mut_doc *next_doc;            /* copy of the object, with the annotation */
    yyjson_mut_val *next;                /* root of next_doc; NULL before prepare */
    const char *verdict;                 /* "created", "configured", "unchanged" */
};

/* ---- requests ---- */

static void object_path(const struct subject *subject, struct tt_buf *path)
{
    tt_buf_init(path, PATH_SIZE_MAX);
    ctl_resource_path(subject->resource, subject->ns, subject->name, path);
}

static int send_object(struct apply *apply, const struct subject *subject, bool create,
                       yyjson_mut_val *body, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf path;
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&path, PATH_SIZE_MAX);
    tt_buf_init(&text, BODY_SIZE_MAX);
    ctl_resource_path(subject->resource, subject->ns, create ? TT_STR("") : subject->name, &path);
    tt_buf_printf(&path, "?fieldManager=tuttictl&fieldValidation=%s%s", apply->validation,
                  apply->dry == DRY_SERVER ? "&dryRun=All" : "");
    tt_json_write(&text, body);
    if (!tt_buf_ok(&text) || !tt_buf_ok(&path)) {
        return TT_FAIL(err, TT_ETOOLARGE, "the object is too large");
    }
    const struct ctl_request request = {
        .method = create ? "POST" : "PUT", .path = tt_buf_view(&path), .body = tt_buf_view(&text)};
    return ctl_ask(apply->session, &request, &apply->answer, err);
}

/* A failed write whose outcome is not known is looked at again by the next try: creating what is
 * there becomes a merge without changes. */
static bool is_worth_retrying(int code)
{
    return code == TT_ECONFLICT || code == TT_EEXISTS || code == TT_ECLOSED;
}

static int create(struct apply *apply, struct subject *subject, struct tt_err *err)
{
    subject->verdict = "created";
    return apply->dry == DRY_CLIENT ? TT_OK : send_object(apply, subject, true, subject->next, err);
}

static const struct tt_type *type_of(const struct apply *apply, const struct subject *subject)
{
    const struct ctl_object *object = subject->object;
    const struct tt_kind *kind = tt_kinds_kind(apply->kinds, ctl_object_str(object, "apiVersion"),
                                               ctl_object_str(object, "kind"));
    return kind != NULL && kind->has_strategic ? kind->type : NULL;
}

/* live: what the server has, as a document of the arena. */
static int update(struct apply *apply, struct subject *subject, yyjson_mut_doc *live_doc,
                  struct tt_err *err)
{
    yyjson_mut_val *live = yyjson_mut_doc_get_root(live_doc);
    yyjson_mut_val *last = NULL;
    yyjson_mut_doc *merged_doc = tt_json_new(apply->arena);
    yyjson_mut_val *merged = merged_doc != NULL ? tt_json_copy(merged_doc, live) : NULL;
    if (merged == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "the object is too large");
    }
    ctl_last_applied_get(apply->arena, live, &last);
    int r = ctl_merge(type_of(apply, subject), merged_doc, merged, last, subject->next, err);
    if (r != TT_OK) {
        return r;
    }
    subject->verdict = "unchanged";
    if (tt_json_equal(merged, live)) {
        return TT_OK;
    }
    subject->verdict = "configured";
    if (apply->dry == DRY_CLIENT) {
        return TT_OK;
    }
    struct tt_str before = tt_json_get_str(live, "metadata.resourceVersion");
    r = send_object(apply, subject, false, merged, err);
    if (r == TT_OK) {
        struct tt_str after =
            tt_json_iget_str(yyjson_doc_get_root(apply->answer.doc), "metadata.resourceVersion");
        /* Defaulting and normalising may have made it what it was. */
        subject->verdict =
            apply->dry == DRY_NONE && tt_str_eq(before, after) ? "unchanged" : "configured";
    }
    return r;
}

static int apply_once(struct apply *apply, struct subject *subject, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf path;
    object_path(subject, &path);
    struct tt_err cause;
    tt_err_init(&cause);
    int r = ctl_get(apply->session, tt_buf_view(&path), &apply->answer, &cause);
    if (r == TT_ENOTFOUND) {
        return create(apply, subject, err);
    }
    yyjson_mut_doc *live = NULL;
    if (r != TT_OK) {
        *err = cause;
        return r;
    }
    r = tt_json_parse(apply->arena, tt_buf_view(&apply->answer.body), TT_JSON_DUPLICATES_REFUSE,
                      NULL, &live, err);
    return r != TT_OK ? r : update(apply, subject, live, err);
}

/* ---- one object ---- */

static int find_namespace(const struct apply *apply, struct subject *subject, struct tt_err *err)
{
    struct tt_str own = ctl_object_str(subject->object, "metadata.namespace");
    struct tt_str given = tt_str_c(apply->common.namespace);
    if (!subject->resource->namespaced) {
        subject->ns = TT_STR("");
        return TT_OK;
    }
    if (own.len > 0 && given.len > 0 && !tt_str_eq(own, given)) {
        return TT_FAIL(err, TT_EINVAL,
                       "metadata.namespace is %.*s, but --namespace is %.*s: drop one of them",
                       TT_STR_ARG(own), TT_STR_ARG(given));
    }
    subject->ns = own.len > 0 ? own : ctl_session_namespace(apply->session);
    return TT_OK;
}

/* A copy that says its namespace and carries the annotation. */
static int prepare(struct apply *apply, struct subject *subject, struct tt_err *err)
{
    const struct ctl_object *object = subject->object;
    int r = ctl_resources_kind(apply->resources, ctl_object_str(object, "apiVersion"),
                               ctl_object_str(object, "kind"), &subject->resource, err);
    if (r == TT_OK && subject->name.len == 0) {
        r = TT_FAIL(err, TT_EINVAL, "metadata.name is missing");
    }
    if (r != TT_OK) {
        return r;
    }
    tt_buf_reset(&subject->label);
    ctl_resource_label(subject->resource, subject->name, &subject->label);
    r = find_namespace(apply, subject, err);
    if (r != TT_OK) {
        return r;
    }
    subject->next_doc = tt_json_new(apply->arena);
    subject->next =
        subject->next_doc != NULL ? tt_json_copy(subject->next_doc, object->root) : NULL;
    if (subject->next == NULL ||
        (subject->ns.len > 0 &&
         !tt_json_set_str(subject->next_doc, subject->next, "metadata.namespace", subject->ns))) {
        return TT_FAIL(err, TT_ETOOLARGE, "the object is too large");
    }
    return ctl_last_applied_set(subject->next_doc, subject->next, err);
}

static int apply_object(struct apply *apply, struct subject *subject, struct tt_err *err)
{
    int r = prepare(apply, subject, err);
    bool is_pinned = ctl_object_str(subject->object, "metadata.resourceVersion").len > 0;
    for (int i = 0; r == TT_OK && i < TRIES_MAX; i++) {
        tt_err_init(err);
        r = apply_once(apply, subject, err);
        if (r == TT_OK || is_pinned || !is_worth_retrying(r) || i + 1 == TRIES_MAX) {
            return r;
        }
        r = TT_OK;
    }
    return r;
}

/* ---- reporting ---- */

static void keep_result(struct apply *apply, const struct subject *subject)
{
    yyjson_mut_val *copy = NULL;
    if (apply->dry == DRY_CLIENT) {
        copy = yyjson_mut_val_mut_copy(apply->results, subject->next);
    } else if (apply->answer.doc != NULL) {
        copy = yyjson_val_mut_copy(apply->results, yyjson_doc_get_root(apply->answer.doc));
    }
    (void)yyjson_mut_arr_append(apply->items, copy); /* NULL is refused: memory is out */
}

static const char *dry_suffix(const struct apply *apply)
{
    static const char *const suffix[] = {"", " (client dry run)", " (server dry run)"};
    return suffix[apply->dry];
}

static void report(struct apply *apply, const struct subject *subject)
{
    struct tt_str label = tt_buf_view(&subject->label);
    if (apply->format == CTL_FORMAT_JSON || apply->format == CTL_FORMAT_YAML) {
        keep_result(apply, subject);
    } else if (apply->format == CTL_FORMAT_NAME) {
        ctl_print("%.*s\n", TT_STR_ARG(label));
    } else {
        ctl_print("%.*s %s%s\n", TT_STR_ARG(label), subject->verdict, dry_suffix(apply));
    }
}

/* Documents hold what was applied; what went is told beside them. */
static void report_pruned(void *ctx, struct tt_str label)
{
    const struct apply *apply = ctx;
    bool is_document = apply->format == CTL_FORMAT_JSON || apply->format == CTL_FORMAT_YAML;
    if (apply->format == CTL_FORMAT_NAME) {
        ctl_print("%.*s\n", TT_STR_ARG(label));
    } else {
        (void)fprintf(is_document ? stderr : stdout, "%.*s pruned%s\n", TT_STR_ARG(label),
                      dry_suffix(apply));
    }
}

static int apply_one(struct apply *apply, const struct ctl_object *object)
{
    struct subject subject = {.object = object, .name = ctl_object_str(object, "metadata.name")};
    struct tt_err err;
    tt_err_init(&err);
    tt_arena_reset(apply->arena);
    tt_buf_init(&subject.label, PATH_SIZE_MAX);
    tt_buf_printf(&subject.label, "%.*s/%.*s", TT_STR_ARG(ctl_object_str(object, "kind")),
                  TT_STR_ARG(subject.name));
    ctl_answer_fini(&apply->answer);
    int r = apply_object(apply, &subject, &err);
    if (r == TT_OK && apply->prune != NULL) {
        r = ctl_prune_keep(apply->prune, subject.resource, subject.ns, subject.name, &err);
    }
    if (r == TT_OK) {
        report(apply, &subject);
    } else {
        TT_AUTO_BUF struct tt_buf text;
        tt_buf_init(&text, REPORT_SIZE_MAX);
        bool is_refusal = apply->answer.status >= 400;
        ctl_explain_refusal(&text, object, tt_buf_view(&subject.label),
                            is_refusal ? tt_buf_view(&apply->answer.body) : TT_STR_NONE, &err);
        (void)fprintf(stderr, "%s", text.ptr);
    }
    tt_buf_fini(&subject.label);
    return r;
}

static int print_results(const struct apply *apply)
{
    if (apply->format != CTL_FORMAT_JSON && apply->format != CTL_FORMAT_YAML) {
        return TT_OK;
    }
    yyjson_mut_val *list = yyjson_mut_doc_get_root(apply->results);
    bool is_single = yyjson_mut_arr_size(apply->items) == 1;
    yyjson_mut_val *root = is_single ? yyjson_mut_arr_get(apply->items, 0) : list;
    yyjson_doc *doc = yyjson_mut_val_imut_copy(root, NULL);
    if (doc != NULL) {
        ctl_print_value(apply->format, yyjson_doc_get_root(doc));
    }
    yyjson_doc_free(doc);
    return TT_OK;
}

static int apply_all(struct apply *apply, const struct ctl_manifest *manifest, struct tt_err *err)
{
    int first = TT_OK;
    size_t failed = 0;
    for (size_t i = 0; i < manifest->count; i++) {
        int r = apply_one(apply, &manifest->items[i]);
        failed += r != TT_OK;
        first = first != TT_OK ? first : r;
    }
    int r = print_results(apply);
    TT_ASSERT(r == TT_OK);
    if (failed > 0) {
        return TT_FAIL(err, first, "%zu of %zu objects not applied%s", failed, manifest->count,
                       apply->prune != NULL ? ", nothing pruned" : "");
    }
    return TT_OK;
}

static int prune(struct apply *apply, struct tt_err *err)
{
    const struct ctl_prune_run run = {.session = apply->session,
                                      .resources = apply->resources,
                                      .look = apply->dry == DRY_CLIENT,
                                      .server_only = apply->dry == DRY_SERVER,
                                      .gone = report_pruned,
                                      .ctx = apply};
    return apply->prune != NULL ? ctl_prune_run(apply->prune, &run, err) : TT_OK;
}

/* ---- the command ---- */

static int parse_choices(struct apply *apply, struct tt_err *err)
{
    const char *dry = apply->dry_text != NULL ? apply->dry_text : "none";
    const char *validate = apply->validate_text != NULL ? apply->validate_text : "strict";
    if (strcmp(dry, "none") != 0 && strcmp(dry, "client") != 0 && strcmp(dry, "server") != 0) {
        return TT_FAIL(err, TT_EINVAL, "--dry-run=%s: give none, client or server", dry);
    }
    apply->dry = dry[0] == 'n' ? DRY_NONE : dry[0] == 'c' ? DRY_CLIENT : DRY_SERVER;
    if (strcmp(validate, "strict") == 0 || strcmp(validate, "true") == 0) {
        apply->validation = "Strict";
    } else if (strcmp(validate, "warn") == 0) {
        apply->validation = "Warn";
    } else if (strcmp(validate, "ignore") == 0 || strcmp(validate, "false") == 0) {
        apply->validation = "Ignore";
    } else {
        return TT_FAIL(err, TT_EINVAL, "--validate=%s: give strict, warn or ignore", validate);
    }
    return ctl_format_parse(apply->output_text, &apply->format, err);
}

static int parse_args(struct apply *apply, const struct ctl_command *self, int argc, char **argv,
                      bool *ret_help, struct tt_err *err)
{
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&apply->common),
        {"filename", 'f', TT_OPTION_LIST, &apply->files, "PATH",
         "file, directory or - (standard input); may be repeated"},
        {"recursive", 'R', TT_OPTION_FLAG, &apply->recursive, NULL, "directories below too"},
        {"dry-run", 0, TT_OPTION_STRING, &apply->dry_text, "MODE",
         "client: only look; server: let it decide but keep nothing [none]"},
        {"validate", 0, TT_OPTION_STRING, &apply->validate_text, "MODE",
         "strict: unknown fields are errors; warn, ignore [strict]"},
        {"output", 'o', TT_OPTION_STRING, &apply->output_text, "FORMAT", "json, yaml or name"},
        {"prune", 0, TT_OPTION_FLAG, &apply->wants_prune, NULL,
         "remove what was applied with these labels and is in no manifest now"},
        {"selector", 'l', TT_OPTION_STRING, &apply->labels, "LABELS", "of what may be pruned"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 7, argc, argv, {NULL},
                            0,    false};
    int r = ctl_parse(&args, err);
    *ret_help = args.help;
    if (r != TT_OK || args.help) {
        return r;
    }
    if (apply->files.count == 0 || args.word_count > 0) {
        return TT_FAIL(err, TT_EINVAL, "say what: -f FILE, -f DIRECTORY or -f -");
    }
    if (apply->wants_prune != (apply->labels != NULL)) {
        return TT_FAIL(err, TT_EINVAL, "--prune and -l LABELS go together");
    }
    return parse_choices(apply, err);
}

static int run(struct apply *apply, struct tt_err *err)
{
    struct ctl_manifest manifest;
    TT_AUTO(tt_registry) registry = NULL;
    ctl_manifest_init(&manifest);
    int r = ctl_manifest_read(&manifest, &apply->files, apply->recursive, err);
    if (r == TT_OK && apply->wants_prune) {
        r = ctl_prune_new(apply->labels, &apply->prune, err);
        r = r == TT_OK ? ctl_prune_check(apply->prune, &manifest, err) : r;
    }
    if (r == TT_OK) {
        r = tt_registry_new(&registry, err);
    }
    if (r == TT_OK) {
        apply->kinds = tt_registry_get(registry);
        r = ctl_session_open(&apply->common, &apply->session, err);
    }
    if (r == TT_OK) {
        r = ctl_resources_load(apply->session, &apply->resources, err);
    }
    if (r == TT_OK) {
        r = apply_all(apply, &manifest, err);
    }
    if (r == TT_OK) {
        r = prune(apply, err);
    }
    ctl_manifest_fini(&manifest);
    return r;
}

static int run_apply(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct apply apply = {.session = NULL};
    bool help = false;
    int r = parse_args(&apply, self, argc, argv, &help, err);
    if (r != TT_OK || help) {
        return r;
    }
    apply.arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    apply.results = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *list = yyjson_mut_obj(apply.results);
    apply.items = yyjson_mut_arr(apply.results);
    yyjson_mut_doc_set_root(apply.results, list);
    if (list == NULL || !yyjson_mut_obj_add_str(apply.results, list, "apiVersion", "v1") ||
        !yyjson_mut_obj_add_str(apply.results, list, "kind", "List") ||
        !yyjson_mut_obj_add_val(apply.results, list, "items", apply.items)) {
        r = TT_FAIL(err, TT_ENOMEM, "no memory");
    }
    if (r == TT_OK) {
        r = run(&apply, err);
    }
    yyjson_mut_doc_free(apply.results);
    ctl_answer_fini(&apply.answer);
    ctl_prune_free(apply.prune);
    ctl_resources_free(apply.resources);
    ctl_session_free(apply.session);
    tt_kinds_unref(apply.kinds);
    tt_arena_free(apply.arena);
    return r;
}

const struct ctl_command ctl_apply_commands[] = {
    {"apply", "-f PATH… [OPTIONS]", "Makes the cluster's objects what the manifests say.",
     "Fields of the manifest win, fields it had last time and no longer has are removed, all "
     "other\n"
     "fields stay as they are. kubectl apply can take turns with it on the same objects.\n"
     "With --prune, what was applied before with the labels and is in no manifest any more is\n"
     "removed, in the namespaces of the manifests.\n\n"
     "Examples:\n"
     "  tuttictl apply -f docs/examples/hello/\n"
     "  tuttictl apply -f app.yaml --dry-run=server\n"
     "  tuttictl apply -f app/ --prune -l app=shop\n"
     "  cat app.yaml | tuttictl apply -n shop -f -",
     run_apply},
    {NULL, NULL, NULL, NULL, NULL},
};
