/* tuttictl delete: removes objects by name, by label or as the manifests name them.
 *
 * What will go is named line by line; with --wait (the default) the command returns once the
 * objects are gone, finalizers and dependents included.
 *
 *   list page by page → at ROUND_MAX objects: remove them, wait, forget them → list on → the rest
 * A failure stops no round, but no later one waits; the first failure is the command's. A round
 * whose waiting outlives the server's history ends the list with its error. */
#include <stdio.h>

#include "api/http/uri.h"
#include "api/json/json.h"
#include "base/clock.h"
#include "base/json.h"
#include "ctl/manifest.h"
#include "ctl/output.h"
#include "ctl/watch.h"

enum { PAGE_SIZE = 500, WAIT_S_DEFAULT = 300, ROUND_MAX = 10000 };

/* One object that was asked to go. */
struct doomed {
    const struct ctl_resource *resource; /* its type; borrowed from resources */
    char *ns;                            /* owned; without meaning for types that have none */
    char *name;                          /* owned */
    char *uid;                           /* NULL until the answer told it */
};
struct removal {
    struct ctl_common common;        /* options of the connection */
    struct ctl_selection selection;  /* -l, --field-selector and -A */
    struct tt_option_values files;   /* -f: paths and "-"; none when words are given */
    const char *cascade;             /* --cascade: background, foreground or orphan */
    const char *dry_text;            /* --dry-run: "server"; NULL: not given */
    const char *output_text;         /* -o as given; NULL: lines */
    uint64_t grace_s;                /* UINT64_MAX: the object's own */
    uint64_t timeout_s;              /* of a round's waiting, for all together */
    bool recursive;                  /* -R: directories below too */
    bool all;                        /* a type alone means all of it in the namespace */
    bool wait;                       /* until they are gone; not with dry */
    bool ignore_not_found;           /* what is not there is no failure */
    bool dry;                        /* the server checks and keeps them */
    bool by_name;                    /* -o name */
    const char *policy;              /* Background, Foreground, Orphan */
    struct ctl_session *session;     /* owned; NULL before it is open */
    struct ctl_resources *resources; /* owned; NULL likewise */
    struct ctl_targets targets;      /* what the words name; empty with files */
    struct doomed *doomed;           /* owned; in the order of removal */
    size_t count;                    /* of doomed */
    size_t total;                    /* of all rounds so far, with doomed */
    int result;                      /* of the first removal that failed */
    struct tt_err failure;           /* tells of result */
};

static void add_doomed(struct removal *removal, const struct ctl_resource *resource,
                       struct tt_str ns, struct tt_str name)
{
    removal->doomed =
        tt_xrealloc(removal->doomed, (removal->count + 1) * sizeof removal->doomed[0]);
    removal->total++;
    removal->doomed[removal->count++] =
        (struct doomed){.resource = resource, .ns = tt_str_xdup(ns), .name = tt_str_xdup(name)};
}

static void forget_doomed(struct removal *removal)
{
    for (size_t i = 0; i < removal->count; i++) {
        tt_free(removal->doomed[i].ns);
        tt_free(removal->doomed[i].name);
        tt_free(removal->doomed[i].uid);
    }
    tt_free(removal->doomed);
    removal->doomed = NULL;
    removal->count = 0;
}

/* ---- removing ---- */

static void write_options(const struct removal *removal, struct tt_buf *buf)
{
    struct tt_json_writer w;
    tt_json_begin(&w, buf);
    tt_json_object(&w, NULL);
    tt_json_c(&w, "kind", "DeleteOptions");
    tt_json_c(&w, "apiVersion", "v1");
    tt_json_c(&w, "propagationPolicy", removal->policy);
    if (removal->grace_s != UINT64_MAX) {
        tt_json_u64(&w, "gracePeriodSeconds", removal->grace_s);
    }
    if (removal->dry) {
        tt_json_array(&w, "dryRun");
        tt_json_c(&w, NULL, "All");
        tt_json_array_end(&w);
    }
    tt_json_object_end(&w);
}

static void label_of(const struct doomed *doomed, struct tt_buf *label)
{
    tt_buf_init(label, CTL_PATH_SIZE_MAX);
    ctl_resource_label(doomed->resource, tt_str_c(doomed->name), label);
}

static void report(const struct removal *removal, const struct doomed *doomed)
{
    TT_AUTO_BUF struct tt_buf label;
    label_of(doomed, &label);
    if (removal->by_name) {
        ctl_print("%s\n", label.ptr);
        return;
    }
    ctl_print("%s deleted%s%s%s\n", label.ptr, doomed->resource->namespaced ? " from " : "",
              doomed->resource->namespaced ? doomed->ns : "", removal->dry ? " (dry run)" : "");
}

static int remove_one(struct removal *removal, struct doomed *doomed, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    TT_AUTO_BUF struct tt_buf body;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    tt_buf_init(&body, 4096);
    ctl_resource_path(doomed->resource, tt_str_c(doomed->ns), tt_str_c(doomed->name), &path);
    write_options(removal, &body);
    const struct ctl_request request = {
        .method = "DELETE", .path = tt_buf_view(&path), .body = tt_buf_view(&body)};
    int r = ctl_ask(removal->session, &request, &answer, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_val *root = yyjson_doc_get_root(answer.doc);
    struct tt_str uid = tt_json_iget_str(root, "details.uid");
    uid = uid.len > 0 ? uid : tt_json_iget_str(root, "metadata.uid");
    doomed->uid = uid.len > 0 ? tt_str_xdup(uid) : NULL;
    report(removal, doomed);
    return TT_OK;
}

static bool is_gone(void *ctx, yyjson_val *object)
{
    const struct doomed *doomed = ctx;
    struct tt_str uid = tt_json_iget_str(object, "metadata.uid");
    return object == NULL || !tt_str_eq_c(uid, doomed->uid);
}

static int wait_gone(struct removal *removal, struct doomed *doomed, uint64_t deadline_ms,
                     struct tt_err *err)
{
    const struct ctl_target target = {doomed->resource, tt_str_c(doomed->name)};
    const struct ctl_follow follow = {
        .ns = tt_str_c(doomed->ns), .deadline_ms = deadline_ms, .check = is_gone, .ctx = doomed};
    int r = ctl_follow(removal->session, &target, &follow, err);
    if (r == TT_ETIMEOUT) {
        TT_AUTO_BUF struct tt_buf label;
        label_of(doomed, &label);
        return TT_WRAP(err, r,
                       "%s is still there (finalizers? tuttictl get %s -o yaml; --wait=false "
                       "returns at once)",
                       label.ptr, label.ptr);
    }
    return r;
}

/* The first failure is the command's own, the others are told here. */
static void note_failure(struct removal *removal, int r, const struct tt_err *cause)
{
    if (r == TT_OK) {
        return;
    }
    if (removal->result == TT_OK) {
        removal->result = r;
        removal->failure = *cause;
    } else {
        (void)fprintf(stderr, "%s\n", tt_err_cause(cause));
    }
}

/* Removes what is doomed so far and forgets it. */
static void remove_round(struct removal *removal)
{
    bool waits = removal->wait && !removal->dry && removal->result == TT_OK;
    for (size_t i = 0; i < removal->count; i++) {
        struct tt_err cause;
        tt_err_init(&cause);
        int r = remove_one(removal, &removal->doomed[i], &cause);
        if (r != TT_ENOTFOUND || !removal->ignore_not_found) {
            note_failure(removal, r, &cause);
        }
    }
    uint64_t deadline_ms = tt_clock_ms(tt_clock_real()) + removal->timeout_s * 1000;
    for (size_t i = 0; waits && i < removal->count; i++) {
        struct tt_err cause;
        tt_err_init(&cause);
        int r = removal->doomed[i].uid != NULL
                    ? wait_gone(removal, &removal->doomed[i], deadline_ms, &cause)
                    : TT_OK;
        if (removal->result == TT_OK) { /* one that stays is enough to tell */
            note_failure(removal, r, &cause);
        }
    }
    forget_doomed(removal);
}

/* ---- which ---- */

static int list_doomed(struct removal *removal, const struct ctl_target *target, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf base;
    TT_AUTO_BUF struct tt_buf token;
    tt_buf_init(&base, CTL_PATH_SIZE_MAX);
    tt_buf_init(&token, CTL_PATH_SIZE_MAX);
    ctl_collection_path(removal->session, &removal->selection, target, &base);
    do {
        CTL_AUTO_ANSWER struct ctl_answer answer = {0};
        TT_AUTO_BUF struct tt_buf path;
        tt_buf_init(&path, 2 * CTL_PATH_SIZE_MAX);
        tt_buf_printf(&path, "%.*slimit=%d&continue=%.*s", TT_STR_ARG(tt_buf_view(&base)),
                      PAGE_SIZE, TT_STR_ARG(tt_buf_view(&token)));
        int r = ctl_get(removal->session, tt_buf_view(&path), &answer, err);
        if (r != TT_OK) {
            return removal->total > removal->count ? TT_WRAP(err, r, "list what else to delete")
                                                   : r;
        }
        yyjson_val *root = yyjson_doc_get_root(answer.doc);
        yyjson_arr_iter iter = yyjson_arr_iter_with(yyjson_obj_get(root, "items"));
        yyjson_val *item;
        while ((item = yyjson_arr_iter_next(&iter)) != NULL) {
            if (removal->count == ROUND_MAX) {
                remove_round(removal);
            }
            add_doomed(removal, target->resource, tt_json_iget_str(item, "metadata.namespace"),
                       tt_json_iget_str(item, "metadata.name"));
        }
        tt_buf_reset(&token);
        tt_uri_encode(&token, tt_json_iget_str(root, "metadata.continue"));
    } while (token.len > 0);
    return TT_OK;
}

static int from_manifests(struct removal *removal, struct tt_err *err)
{
    struct ctl_manifest manifest;
    ctl_manifest_init(&manifest);
    int r = ctl_manifest_read(&manifest, &removal->files, removal->recursive, err);
    /* In reverse: namespaces and what others need go last. */
    for (size_t i = manifest.count; r == TT_OK && i > 0; i--) {
        const struct ctl_object *object = &manifest.items[i - 1];
        const struct ctl_resource *resource = NULL;
        struct tt_str ns = ctl_object_str(object, "metadata.namespace");
        r = ctl_resources_kind(removal->resources, ctl_object_str(object, "apiVersion"),
                               ctl_object_str(object, "kind"), &resource, err);
        if (r == TT_OK) {
            add_doomed(removal, resource, ns.len > 0 ? ns : ctl_session_namespace(removal->session),
                       ctl_object_str(object, "metadata.name"));
        }
    }
    ctl_manifest_fini(&manifest);
    return r;
}

static int from_words(struct removal *removal, const struct ctl_args *args, struct tt_err *err)
{
    int r = ctl_targets_parse(removal->resources, args->words, args->word_count, &removal->targets,
                              err);
    for (size_t i = 0; r == TT_OK && i < removal->targets.count; i++) {
        const struct ctl_target *target = &removal->targets.items[i];
        bool selects =
            removal->all || removal->selection.labels != NULL || removal->selection.fields != NULL;
        if (target->name.len > 0) {
            add_doomed(removal, target->resource, ctl_session_namespace(removal->session),
                       target->name);
        } else if (selects) {
            r = list_doomed(removal, target, err);
        } else {
            r = TT_FAIL(err, TT_EINVAL, "name them, or give -l LABELS or --all");
        }
    }
    return r;
}

/* ---- the command ---- */

static int parse_choices(struct removal *removal, const struct ctl_args *args, struct tt_err *err)
{
    static const char *const names[] = {"background", "foreground", "orphan"};
    static const char *const policies[] = {"Background", "Foreground", "Orphan"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(removal->cascade, names[i]) == 0) {
            removal->policy = policies[i];
        }
    }
    if (removal->policy == NULL) {
        return TT_FAIL(err, TT_EINVAL, "--cascade=%s: give background, foreground or orphan",
                       removal->cascade);
    }
    if (removal->dry_text != NULL && strcmp(removal->dry_text, "server") != 0) {
        return TT_FAIL(err, TT_EINVAL, "--dry-run=%s: give server", removal->dry_text);
    }
    removal->by_name = removal->output_text != NULL;
    if (removal->by_name && strcmp(removal->output_text, "name") != 0) {
        return TT_FAIL(err, TT_EINVAL, "-o \"%s\": give name", removal->output_text);
    }
    removal->dry = removal->dry_text != NULL;
    if ((removal->files.count > 0) == (args->word_count > 0)) {
        return TT_FAIL(err, TT_EINVAL, "give either -f PATH or TYPE NAME");
    }
    return TT_OK;
}

static int parse_args(struct removal *removal, struct ctl_args *args, struct tt_err *err)
{
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&removal->common),
        {"filename", 'f', TT_OPTION_LIST, &removal->files, "PATH",
         "what these manifests name; may be repeated"},
        {"recursive", 'R', TT_OPTION_FLAG, &removal->recursive, NULL, "directories below too"},
        {"selector", 'l', TT_OPTION_STRING, &removal->selection.labels, "LABELS",
         "all with these labels"},
        {"field-selector", 0, TT_OPTION_STRING, &removal->selection.fields, "FIELDS",
         "all with these fields"},
        {"all", 0, TT_OPTION_FLAG, &removal->all, NULL, "all of the type in the namespace"},
        {"all-namespaces", 'A', TT_OPTION_FLAG, &removal->selection.all_namespaces, NULL,
         "with -l or --all: of every namespace"},
        {"cascade", 0, TT_OPTION_STRING, &removal->cascade, "MODE",
         "dependents: background, foreground or orphan [background]"},
        {"grace-period", 0, TT_OPTION_U64, &removal->grace_s, "SECONDS",
         "time to end; 0: at once [the object's own]"},
        {"wait", 0, TT_OPTION_FLAG, &removal->wait, NULL, "until they are gone [true]"},
        {"timeout", 0, TT_OPTION_U64, &removal->timeout_s, "SECONDS", "of the waiting [300]"},
        {"ignore-not-found", 0, TT_OPTION_FLAG, &removal->ignore_not_found, NULL,
         "what is not there is no error"},
        {"dry-run", 0, TT_OPTION_STRING, &removal->dry_text, "server", "let the server only check"},
        {"output", 'o', TT_OPTION_STRING, &removal->output_text, "FORMAT", "name"},
    };
    args->options = options;
    args->option_count = CTL_COMMON_OPTION_COUNT + 13;
    int r = ctl_parse(args, err);
    args->options = NULL;
    return r != TT_OK || args->help ? r : parse_choices(removal, args, err);
}

static int run_delete(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_args args = {.command = self, .argc = argc, .argv = argv};
    struct removal *removal = TT_NEW(struct removal);
    removal->cascade = "background";
    removal->grace_s = UINT64_MAX;
    removal->timeout_s = WAIT_S_DEFAULT;
    removal->wait = true;
    int r = parse_args(removal, &args, err);
    if (r == TT_OK && !args.help) {
        r = ctl_session_open(&removal->common, &removal->session, err);
        if (r == TT_OK) {
            r = ctl_resources_load(removal->session, &removal->resources, err);
        }
        if (r == TT_OK) {
            r = removal->files.count > 0 ? from_manifests(removal, err)
                                         : from_words(removal, &args, err);
        }
        if (r == TT_OK) {
            remove_round(removal);
        }
        if (r == TT_OK && removal->result != TT_OK) {
            r = removal->result;
            *err = removal->failure;
        } else if (removal->result != TT_OK) {
            (void)fprintf(stderr, "%s\n", tt_err_cause(&removal->failure));
        }
        if (r == TT_OK && removal->total == 0) {
            (void)fprintf(stderr, "nothing to delete\n");
        }
    }
    forget_doomed(removal);
    ctl_resources_free(removal->resources);
    ctl_session_free(removal->session);
    tt_free(removal);
    return r;
}

const struct ctl_command ctl_delete_commands[] = {
    {"delete", "TYPE NAME… | TYPE/NAME… | -f PATH… [OPTIONS]", "Removes objects.",
     "Examples:\n"
     "  tuttictl delete -f app.yaml\n"
     "  tuttictl delete pod web-1 --grace-period 0\n"
     "  tuttictl delete configmaps -l app=web --wait=false",
     run_delete},
    {NULL, NULL, NULL, NULL, NULL},
};
