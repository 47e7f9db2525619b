/* tuttictl scale, rollout status, rollout restart: the size of workloads and how far they are.
 *
 * Scaling goes through the scale subresource, so that it needs no knowledge of the kind. A roll-out
 * is followed by a watch; each step is told once. */
#include <stdio.h>

#include "api/json/json.h"
#include "api/kinds/quantity.h"
#include "base/clock.h"
#include "base/json.h"
#include "ctl/watch.h"
#include "ctl/workload.h"

enum { TIMEOUT_S_DEFAULT = 600, BODY_SIZE_MAX = 1024, STEP_SIZE = 256 };
#define NS_PER_MS 1000000

/* ---- scale ---- */

struct scaling {
    struct ctl_workload *workload; /* borrowed */
    uint64_t replicas;             /* wanted; UINT64_MAX: not given */
    uint64_t current;              /* must be so now; UINT64_MAX: whatever it is */
};

/* Only types that can be scaled have the subresource: the server's 404 would not say which of the
 * two is missing. */
static int explain(const struct scaling *scaling, const struct ctl_target *target, int code,
                   struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    ctl_workload_path(scaling->workload, target, &path);
    if (code != TT_ENOTFOUND ||
        ctl_get(scaling->workload->session, tt_buf_view(&path), &answer, NULL) != TT_OK) {
        return code;
    }
    tt_err_init(err);
    return TT_FAIL(err, TT_EINVAL, "%s cannot be scaled: its type has no replicas",
                   scaling->workload->label.ptr);
}

/* The Scale's version as a precondition, once it has the wanted number. */
static int check_current(const struct scaling *scaling, struct tt_str path,
                         struct tt_json_writer *w, struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    int r = ctl_get(scaling->workload->session, path, &answer, err);
    if (r != TT_OK) {
        return r;
    }
    yyjson_val *scale = yyjson_doc_get_root(answer.doc);
    int64_t replicas = tt_json_iget_i64(scale, "spec.replicas", 0);
    if (replicas < 0 || (uint64_t)replicas != scaling->current) {
        return TT_FAIL(err, TT_ECONFLICT, "%s has %lld replicas, not %llu",
                       scaling->workload->label.ptr, (long long)replicas,
                       (unsigned long long)scaling->current);
    }
    tt_json_object(w, "metadata");
    tt_json_str(w, "resourceVersion", tt_json_iget_str(scale, "metadata.resourceVersion"));
    tt_json_object_end(w);
    return TT_OK;
}

static int scale_one(void *ctx, const struct ctl_target *target, struct tt_err *err)
{
    struct scaling *scaling = ctx;
    TT_AUTO_BUF struct tt_buf path;
    TT_AUTO_BUF struct tt_buf body;
    struct tt_json_writer w;
    int r = TT_OK;
    ctl_workload_path(scaling->workload, target, &path);
    tt_buf_c(&path, "/scale");
    tt_buf_init(&body, BODY_SIZE_MAX);
    tt_json_begin(&w, &body);
    tt_json_object(&w, NULL);
    if (scaling->current != UINT64_MAX) {
        r = check_current(scaling, tt_buf_view(&path), &w, err);
    }
    tt_json_object(&w, "spec");
    tt_json_u64(&w, "replicas", scaling->replicas);
    tt_json_object_end(&w);
    tt_json_object_end(&w);
    if (r == TT_OK) {
        r = ctl_workload_patch(scaling->workload, tt_buf_view(&path),
                               "application/merge-patch+json", tt_buf_view(&body), err);
    }
    if (r != TT_OK) {
        return explain(scaling, target, r, err);
    }
    ctl_print("%s scaled\n", scaling->workload->label.ptr);
    return TT_OK;
}

static int run_scale(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_workload *workload = ctl_workload_new();
    struct scaling scaling = {workload, UINT64_MAX, UINT64_MAX};
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&workload->common),
        {"replicas", 0, TT_OPTION_U64, &scaling.replicas, "COUNT", "how many there shall be"},
        {"current-replicas", 0, TT_OPTION_U64, &scaling.current, "COUNT",
         "only if there are so many now"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 2, argc, argv, {NULL},
                            0,    false};
    int r = ctl_parse(&args, err);
    if (r == TT_OK && !args.help) {
        r = scaling.replicas == UINT64_MAX ? TT_FAIL(err, TT_EINVAL, "--replicas COUNT is needed")
                                           : ctl_workload_open(workload, &args, err);
        r = r == TT_OK ? ctl_workload_each(workload, &scaling, scale_one, err) : r;
    }
    ctl_workload_free(workload);
    return r;
}

/* ---- rollout status ---- */

struct rollout {
    struct ctl_workload *workload; /* borrowed */
    uint64_t deadline_ms;          /* monotonic; one for all that are named */
    bool watch;                    /* until it is done; false: one look */
    bool is_failed;                /* it has not progressed in time, says its condition */
    bool is_gone;                  /* the last look found no object */
    char step[STEP_SIZE];          /* what is told, and was told last */
};

static void tell(struct rollout *rollout, const char *step)
{
    if (strcmp(step, rollout->step) != 0) {
        (void)snprintf(rollout->step, sizeof rollout->step, "%s", step);
        ctl_print("%s: %s\n", rollout->workload->label.ptr, step);
        (void)fflush(stdout);
    }
}

static bool has_failed(yyjson_val *object)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(tt_json_iget(object, "status.conditions"));
    yyjson_val *condition;
    while ((condition = yyjson_arr_iter_next(&iter)) != NULL) {
        if (tt_str_eq_c(tt_json_iget_str(condition, "type"), "Progressing") &&
            tt_str_eq_c(tt_json_iget_str(condition, "reason"), "ProgressDeadlineExceeded")) {
            return true;
        }
    }
    return false;
}

/* Writes what is still missing; false: nothing. */
static bool is_missing(yyjson_val *object, char step[STEP_SIZE])
{
    int64_t wanted = tt_json_iget_i64(object, "spec.replicas", 1);
    int64_t updated = tt_json_iget_i64(object, "status.updatedReplicas", 0);
    int64_t present = tt_json_iget_i64(object, "status.replicas", 0);
    int64_t available = tt_json_iget_i64(object, "status.availableReplicas", 0);
    if (tt_json_iget_i64(object, "status.observedGeneration", 0) <
        tt_json_iget_i64(object, "metadata.generation", 0)) {
        (void)snprintf(step, STEP_SIZE, "the change has not been seen yet");
    } else if (updated < wanted) {
        (void)snprintf(step, STEP_SIZE, "%lld of %lld pods are of the new template",
                       (long long)updated, (long long)wanted);
    } else if (present > updated) {
        (void)snprintf(step, STEP_SIZE, "%lld old pods have not ended yet",
                       (long long)(present - updated));
    } else if (available < updated) {
        (void)snprintf(step, STEP_SIZE, "%lld of %lld pods are available", (long long)available,
                       (long long)updated);
    } else {
        return false;
    }
    return true;
}

static bool check_rollout(void *ctx, yyjson_val *object)
{
    struct rollout *rollout = ctx;
    char step[STEP_SIZE];
    rollout->is_gone = object == NULL;
    if (object == NULL) {
        return true;
    }
    rollout->is_failed = has_failed(object);
    if (!is_missing(object, step)) {
        rollout->is_failed = false;
        tell(rollout, "rolled out");
        return true;
    }
    tell(rollout, step);
    return rollout->is_failed || !rollout->watch;
}

static int follow_one(void *ctx, const struct ctl_target *target, struct tt_err *err)
{
    struct rollout *rollout = ctx;
    const char *label = rollout->workload->label.ptr;
    const struct ctl_follow follow = {.ns = ctl_session_namespace(rollout->workload->session),
                                      .deadline_ms = rollout->deadline_ms,
                                      .check = check_rollout,
                                      .ctx = rollout};
    if (!tt_str_eq_c(target->resource->plural, "deployments")) {
        return TT_FAIL(err, TT_EINVAL, "%s: only Deployments roll out", label);
    }
    rollout->step[0] = '\0';
    int r = ctl_follow(rollout->workload->session, target, &follow, err);
    if (r == TT_ETIMEOUT || (r == TT_OK && rollout->is_failed)) {
        tt_err_init(err);
        return TT_FAIL(err, TT_ETIMEOUT, "%s: %s, %s (next: tuttictl describe %s)", label,
                       r == TT_OK ? "its progress deadline has passed" : "timed out", rollout->step,
                       label);
    }
    if (r == TT_OK && rollout->is_gone) {
        return TT_FAIL(err, TT_ENOTFOUND, "%s is not there", label);
    }
    return r;
}

static int parse_timeout(const char *text, struct rollout *rollout, struct tt_err *err)
{
    int64_t ns = (int64_t)TIMEOUT_S_DEFAULT * 1000 * NS_PER_MS;
    if (text != NULL && (!tt_duration_parse(tt_str_c(text), &ns) || ns < 0)) {
        return TT_FAIL(err, TT_EINVAL, "--timeout=%s: give 30s, 5m or 1h", text);
    }
    rollout->deadline_ms = tt_clock_ms(tt_clock_real()) + (uint64_t)ns / NS_PER_MS;
    return TT_OK;
}

static int run_status(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_workload *workload = ctl_workload_new();
    struct rollout rollout = {.workload = workload, .watch = true};
    const char *timeout = NULL;
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&workload->common),
        {"watch", 'w', TT_OPTION_FLAG, &rollout.watch, NULL, "until it is done [true]"},
        {"timeout", 0, TT_OPTION_STRING, &timeout, "TIME", "30s, 5m [10m]"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 2, argc, argv, {NULL},
                            0,    false};
    int r = ctl_parse(&args, err);
    if (r == TT_OK && !args.help) {
        r = parse_timeout(timeout, &rollout, err);
        r = r == TT_OK ? ctl_workload_open(workload, &args, err) : r;
        r = r == TT_OK ? ctl_workload_each(workload, &rollout, follow_one, err) : r;
    }
    ctl_workload_free(workload);
    return r;
}

/* ---- rollout restart ---- */

static int restart_one(void *ctx, const struct ctl_target *target, struct tt_err *err)
{
    struct ctl_workload *workload = ctx;
    char now[TT_TIME_TEXT_SIZE];
    TT_AUTO_BUF struct tt_buf path;
    TT_AUTO_BUF struct tt_buf body;
    if (!tt_str_eq_c(target->resource->plural, "deployments")) {
        return TT_FAIL(err, TT_EINVAL, "%s: only Deployments roll out", workload->label.ptr);
    }
    (void)tt_time_format(tt_clock_wall_ms(tt_clock_real()), now);
    ctl_workload_path(workload, target, &path);
    tt_buf_init(&body, BODY_SIZE_MAX);
    tt_buf_printf(&body,
                  "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{"
                  "\"kubectl.kubernetes.io/restartedAt\":\"%s\"}}}}}",
                  now);
    int r = ctl_workload_patch(workload, tt_buf_view(&path), "application/merge-patch+json",
                               tt_buf_view(&body), err);
    if (r == TT_OK) {
        ctl_print("%s restarted\n", workload->label.ptr);
    }
    return r;
}

static int run_restart(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_workload *workload = ctl_workload_new();
    const struct tt_option options[] = {CTL_COMMON_OPTIONS(&workload->common)};
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT, argc, argv, {NULL}, 0, false};
    int r = ctl_parse(&args, err);
    if (r == TT_OK && !args.help) {
        r = ctl_workload_open(workload, &args, err);
        r = r == TT_OK ? ctl_workload_each(workload, workload, restart_one, err) : r;
    }
    ctl_workload_free(workload);
    return r;
}

const struct ctl_command ctl_rollout_commands[] = {
    {"scale", "TYPE/NAME… --replicas COUNT", "Sets how many pods a workload has.",
     "Examples:\n"
     "  tuttictl scale deploy/web --replicas 5\n"
     "  tuttictl scale deploy/web --replicas 5 --current-replicas 3",
     run_scale},
    {"rollout status", "deploy/NAME… [OPTIONS]", "Follows a roll-out until it is done.",
     "Exit code 7: not in time, or stuck.\n\n"
     "Examples:\n"
     "  tuttictl rollout status deploy/web --timeout 5m\n"
     "  tuttictl rollout status deploy/web --watch=false",
     run_status},
    {"rollout restart", "deploy/NAME…", "Replaces all pods, step by step.",
     "Examples:\n"
     "  tuttictl rollout restart deploy/web",
     run_restart},
    {NULL, NULL, NULL, NULL, NULL},
};
