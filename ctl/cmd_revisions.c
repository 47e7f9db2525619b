/* tuttictl rollout history, rollout undo: the revisions of a Deployment and the way back to one.
 *
 * A revision is the template of a ReplicaSet that the Deployment controls. Going back puts that
 * template, and the annotations it was rolled out with, into the Deployment, on the condition that
 * nobody changed it meanwhile; a change of its status alone is no reason to give up: it is done
 * again, at most TRIES_MAX times. */
#include <stdio.h>

#include "api/http/uri.h"
#include "api/json/json.h"
#include "ctl/table.h"
#include "ctl/workload.h"

enum {
    TRIES_MAX = 5,
    REVISIONS_MAX = 256,
    ARENA_CHUNK = 64 << 10,
    ARENA_MAX = 64 << 20,
    BODY_SIZE_MAX = 4 << 20,
    OUTPUT_SIZE_MAX = 1 << 20,
};
#define REVISION     "deployment.kubernetes.io/revision"
#define CHANGE_CAUSE "kubernetes.io/change-cause"

/* Annotations that are the Deployment's own and stay when it goes back. */
static const char *const own_annotations[] = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
};

struct revision {
    int64_t number;  /* of the set's annotation */
    yyjson_val *set; /* borrowed from the answer */
};
/* A Deployment and its revisions, oldest first. */
struct history {
    struct ctl_answer deployment;         /* owned; the object itself */
    struct ctl_answer sets;               /* owned; ReplicaSets with its labels, others' too */
    struct revision items[REVISIONS_MAX]; /* sets that it owns, by number */
    size_t count;                         /* of items in use */
};
struct revisions {
    struct ctl_workload *workload; /* owned; freed by run */
    uint64_t wanted;               /* 0: the one before the newest */
};

static void history_free(struct history *history)
{
    ctl_answer_fini(&history->deployment);
    ctl_answer_fini(&history->sets);
    tt_free(history);
}

static yyjson_val *annotation(yyjson_val *object, const char *name)
{
    return yyjson_obj_get(tt_json_iget(object, "metadata.annotations"), name);
}

static bool is_owned(yyjson_val *set, struct tt_str uid)
{
    size_t index;
    size_t count;
    yyjson_val *owner;
    yyjson_arr_foreach(tt_json_iget(set, "metadata.ownerReferences"), index, count, owner)
    {
        if (tt_str_eq(tt_json_iget_str(owner, "uid"), uid)) {
            return true;
        }
    }
    return false;
}

static void add_set(struct history *history, yyjson_val *set)
{
    yyjson_val *deployment = yyjson_doc_get_root(history->deployment.doc);
    int64_t number = 0;
    if (!is_owned(set, tt_json_iget_str(deployment, "metadata.uid")) ||
        !tt_str_to_i64(tt_json_istr_of(annotation(set, REVISION)), &number) ||
        history->count == REVISIONS_MAX) { /* a Deployment has no more sets */
        return;
    }
    size_t at = history->count++;
    while (at > 0 && history->items[at - 1].number > number) {
        history->items[at] = history->items[at - 1];
        at--;
    }
    history->items[at] = (struct revision){number, set};
}

static int list_sets(const struct revisions *revisions, struct history *history, struct tt_err *err)
{
    const struct ctl_workload *workload = revisions->workload;
    const struct ctl_resource *resource = NULL;
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    int r = ctl_resources_kind(workload->resources, TT_STR("apps/v1"), TT_STR("ReplicaSet"),
                               &resource, err);
    if (r != TT_OK) {
        return r;
    }
    ctl_resource_path(resource, ctl_session_namespace(workload->session), TT_STR(""), &path);
    tt_buf_c(&path, "?labelSelector=");
    yyjson_val *key;
    yyjson_obj_iter iter = yyjson_obj_iter_with(
        tt_json_iget(yyjson_doc_get_root(history->deployment.doc), "spec.selector.matchLabels"));
    for (const char *comma = ""; (key = yyjson_obj_iter_next(&iter)) != NULL; comma = "%2C") {
        tt_buf_c(&path, comma);
        tt_uri_encode(&path, tt_json_istr_of(key));
        tt_buf_c(&path, "%3D");
        tt_uri_encode(&path, tt_json_istr_of(yyjson_obj_iter_get_val(key)));
    }
    r = ctl_get(workload->session, tt_buf_view(&path), &history->sets, err);
    size_t index;
    size_t count;
    yyjson_val *set;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(history->sets.doc), "items"), index,
                       count, set)
    {
        add_set(history, set);
    }
    return r;
}

static int load(const struct revisions *revisions, const struct ctl_target *target,
                struct history *history, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf path;
    ctl_workload_path(revisions->workload, target, &path);
    if (!tt_str_eq_c(target->resource->plural, "deployments")) {
        return TT_FAIL(err, TT_EINVAL, "%s: only Deployments roll out",
                       revisions->workload->label.ptr);
    }
    int r = ctl_get(revisions->workload->session, tt_buf_view(&path), &history->deployment, err);
    return r == TT_OK ? list_sets(revisions, history, err) : r;
}

/* ---- rollout history ---- */

static int show_one(void *ctx, const struct ctl_target *target, struct tt_err *err)
{
    const struct revisions *revisions = ctx;
    struct history *history = TT_NEW(struct history);
    int r = load(revisions, target, history, err);
    if (r == TT_OK) {
        TT_AUTO(ctl_table) table = ctl_table_new(2);
        TT_AUTO_BUF struct tt_buf out;
        tt_buf_init(&out, OUTPUT_SIZE_MAX);
        ctl_table_c(table, "REVISION");
        ctl_table_c(table, "CHANGE-CAUSE");
        for (size_t i = 0; i < history->count; i++) {
            struct tt_str cause = tt_json_istr_of(annotation(history->items[i].set, CHANGE_CAUSE));
            ctl_table_u64(table, (uint64_t)history->items[i].number);
            ctl_table_cell(table, cause.len > 0 ? cause : TT_STR("<none>"));
        }
        ctl_table_write(table, &out);
        ctl_print("%s\n%.*s", revisions->workload->label.ptr, TT_STR_ARG(tt_buf_view(&out)));
    }
    history_free(history);
    return r;
}

/* ---- rollout undo ---- */

static int choose(const struct revisions *revisions, const struct history *history,
                  const struct revision **ret, struct tt_err *err)
{
    const char *label = revisions->workload->label.ptr;
    if (revisions->wanted == 0 && history->count >= 2) {
        *ret = &history->items[history->count - 2];
        return TT_OK;
    }
    for (size_t i = 0; revisions->wanted > 0 && i < history->count; i++) {
        if ((uint64_t)history->items[i].number == revisions->wanted) {
            *ret = &history->items[i];
            return TT_OK;
        }
    }
    if (revisions->wanted == 0) {
        return TT_FAIL(err, TT_ENOTFOUND, "%s has no revision before this one", label);
    }
    return TT_FAIL(err, TT_ENOTFOUND, "%s has no revision %llu (next: tuttictl rollout history %s)",
                   label, (unsigned long long)revisions->wanted, label);
}

static bool is_own(struct tt_str name)
{
    for (size_t i = 0; i < sizeof own_annotations / sizeof own_annotations[0]; i++) {
        if (tt_str_eq_c(name, own_annotations[i])) {
            return true;
        }
    }
    return false;
}

/* Those of `from` that are the Deployment's own, or those that are not. */
static bool copy_annotations(yyjson_mut_doc *doc, yyjson_mut_val *to, yyjson_val *from, bool own)
{
    yyjson_val *key;
    yyjson_obj_iter iter = yyjson_obj_iter_with(tt_json_iget(from, "metadata.annotations"));
    while ((key = yyjson_obj_iter_next(&iter)) != NULL) {
        struct tt_str name = tt_json_istr_of(key);
        if (is_own(name) == own &&
            !tt_json_put_str(doc, to, name, tt_json_istr_of(yyjson_obj_iter_get_val(key)))) {
            return false;
        }
    }
    return true;
}

static bool add_step(yyjson_mut_doc *doc, yyjson_mut_val *steps, const char *path,
                     yyjson_mut_val *value)
{
    yyjson_mut_val *step = yyjson_mut_obj(doc);
    return value != NULL && step != NULL &&
           tt_json_put_str(doc, step, TT_STR("op"), TT_STR("add")) &&
           tt_json_put_str(doc, step, TT_STR("path"), tt_str_c(path)) &&
           tt_json_put(doc, step, TT_STR("value"), value) && yyjson_mut_arr_append(steps, step);
}

/* The JSON Patch that makes the Deployment what the revision was; *ret_same: it is that already. */
static bool write_patch(struct tt_arena *arena, yyjson_val *deployment, yyjson_val *set,
                        struct tt_buf *body, bool *ret_same)
{
    yyjson_mut_doc *doc = tt_json_new(arena);
    yyjson_mut_val *steps = doc != NULL ? yyjson_mut_arr(doc) : NULL;
    yyjson_mut_val *annotations = doc != NULL ? yyjson_mut_obj(doc) : NULL;
    yyjson_mut_val *now =
        doc != NULL ? yyjson_val_mut_copy(doc, tt_json_iget(deployment, "spec.template")) : NULL;
    yyjson_mut_val *template =
        doc != NULL ? yyjson_val_mut_copy(doc, tt_json_iget(set, "spec.template")) : NULL;
    if (steps == NULL || annotations == NULL || now == NULL || template == NULL) {
        return false;
    }
    (void)tt_json_remove(tt_json_get(template, "metadata.labels"),
                         TT_STR("pod-template-hash")); /* absent in a set made by hand */
    *ret_same = tt_json_equal(now, template);
    struct tt_str version = tt_json_iget_str(deployment, "metadata.resourceVersion");
    bool ok = copy_annotations(doc, annotations, deployment, true) &&
              copy_annotations(doc, annotations, set, false) &&
              add_step(doc, steps, "/metadata/resourceVersion",
                       yyjson_mut_strncpy(doc, version.ptr, version.len)) &&
              add_step(doc, steps, "/metadata/annotations", annotations) &&
              add_step(doc, steps, "/spec/template", template);
    if (ok) {
        tt_json_write(body, steps);
    }
    return ok && tt_buf_ok(body);
}

static int go_back(const struct revisions *revisions, const struct ctl_target *target,
                   struct history *history, struct tt_err *err)
{
    const char *label = revisions->workload->label.ptr;
    const struct revision *revision = NULL;
    int r = load(revisions, target, history, err);
    yyjson_val *deployment = yyjson_doc_get_root(history->deployment.doc);
    if (r == TT_OK && yyjson_is_true(tt_json_iget(deployment, "spec.paused"))) {
        r = TT_FAIL(err, TT_EINVAL, "%s is paused: set spec.paused to false first", label);
    }
    r = r == TT_OK ? choose(revisions, history, &revision, err) : r;
    if (r != TT_OK) {
        return r;
    }
    TT_AUTO(tt_arena) arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
    TT_AUTO_BUF struct tt_buf path;
    TT_AUTO_BUF struct tt_buf body;
    bool same = false;
    ctl_workload_path(revisions->workload, target, &path);
    tt_buf_init(&body, BODY_SIZE_MAX);
    if (!write_patch(arena, deployment, revision->set, &body, &same)) {
        return TT_FAIL(err, TT_ETOOLARGE, "%s is too large", label);
    }
    if (same) {
        ctl_print("%s unchanged: it is at revision %lld\n", label, (long long)revision->number);
        return TT_OK;
    }
    r = ctl_workload_patch(revisions->workload, tt_buf_view(&path), "application/json-patch+json",
                           tt_buf_view(&body), err);
    if (r == TT_OK) {
        ctl_print("%s rolled back to revision %lld\n", label, (long long)revision->number);
    }
    return r;
}

static int undo_one(void *ctx, const struct ctl_target *target, struct tt_err *err)
{
    int r = TT_ECONFLICT;
    for (int i = 0; r == TT_ECONFLICT && i < TRIES_MAX; i++) {
        struct history *history = TT_NEW(struct history);
        tt_err_init(err);
        r = go_back(ctx, target, history, err);
        history_free(history);
    }
    return r;
}

/* ---- the commands ---- */

static int run(struct revisions *revisions, struct ctl_args *args,
               int (*act)(void *ctx, const struct ctl_target *target, struct tt_err *err),
               struct tt_err *err)
{
    int r = ctl_parse(args, err);
    if (r == TT_OK && !args->help) {
        r = ctl_workload_open(revisions->workload, args, err);
        r = r == TT_OK ? ctl_workload_each(revisions->workload, revisions, act, err) : r;
    }
    ctl_workload_free(revisions->workload);
    return r;
}

static int run_history(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct revisions revisions = {.workload = ctl_workload_new()};
    const struct tt_option options[] = {CTL_COMMON_OPTIONS(&revisions.workload->common)};
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT, argc, argv, {NULL}, 0, false};
    return run(&revisions, &args, show_one, err);
}

static int run_undo(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct revisions revisions = {.workload = ctl_workload_new()};
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&revisions.workload->common),
        {"to-revision", 0, TT_OPTION_U64, &revisions.wanted, "NUMBER",
         "which one [the one before the newest]"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 1, argc, argv, {NULL},
                            0,    false};
    return run(&revisions, &args, undo_one, err);
}

const struct ctl_command ctl_revision_commands[] = {
    {"rollout history", "deploy/NAME…", "Lists the revisions one can go back to.",
     "The cause is the annotation kubernetes.io/change-cause at that time.\n\n"
     "Examples:\n"
     "  tuttictl rollout history deploy/web",
     run_history},
    {"rollout undo", "deploy/NAME… [OPTIONS]", "Goes back to an earlier revision.",
     "Examples:\n"
     "  tuttictl rollout undo deploy/web\n"
     "  tuttictl rollout undo deploy/web --to-revision 3",
     run_undo},
    {NULL, NULL, NULL, NULL, NULL},
};
