/* tuttictl wait: returns when objects are as wanted.
 *
 * Each object is followed by a watch, so the answer comes when the change does. On a terminal the
 * present state is told every 2 s. */
#include <stdio.h>

#include "api/json/json.h"
#include "api/kinds/quantity.h"
#include "base/clock.h"
#include "ctl/jsonpath.h"
#include "ctl/output.h"
#include "ctl/watch.h"

enum { SLICE_MS = 2000, TIMEOUT_S_DEFAULT = 30, SEEN_SIZE = 128 };
#define NS_PER_MS 1000000

enum goal { GOAL_DELETE, GOAL_CREATE, GOAL_CONDITION, GOAL_JSONPATH };

struct waiting {
    struct ctl_common common;        /* options of the connection */
    struct ctl_selection selection;  /* -l only */
    const char *goal_text;           /* --for as given */
    const char *timeout_text;        /* --timeout as given; NULL: 30 s */
    bool all;                        /* a type alone means all of it */
    enum goal goal;                  /* of goal_text, as the next three */
    struct tt_str subject;           /* condition's type or path */
    struct tt_str value;             /* wanted; a path without one: any */
    bool has_value;                  /* "=VALUE" or "=STATUS" was given */
    struct ctl_session *session;     /* owned; NULL before it is open */
    struct ctl_resources *resources; /* owned; NULL likewise */
    struct ctl_targets targets;      /* what the words name */
    uint64_t deadline_ms;            /* monotonic; one for all objects */
    bool was_there;                  /* the object at hand, at any time */
    bool is_absent;                  /* it was not there when last looked at */
    char seen[SEEN_SIZE];            /* its present state, for people */
};

static void see(struct waiting *waiting, struct tt_str text)
{
    (void)snprintf(waiting->seen, sizeof waiting->seen, "%.*s", TT_STR_ARG(tt_str_head(text, 100)));
}

static bool check_condition(struct waiting *waiting, yyjson_val *object)
{
    yyjson_arr_iter iter = yyjson_arr_iter_with(tt_json_iget(object, "status.conditions"));
    yyjson_val *condition;
    see(waiting, TT_STR("not reported"));
    while ((condition = yyjson_arr_iter_next(&iter)) != NULL) {
        if (!tt_str_eq_nocase(tt_json_iget_str(condition, "type"), waiting->subject)) {
            continue;
        }
        struct tt_str status = tt_json_iget_str(condition, "status");
        int64_t generation = tt_json_iget_i64(object, "metadata.generation", 0);
        int64_t observed = tt_json_iget_i64(condition, "observedGeneration", generation);
        see(waiting, status);
        return observed >= generation && tt_str_eq_nocase(status, waiting->value);
    }
    return false;
}

static bool check_path(struct waiting *waiting, yyjson_val *object)
{
    yyjson_val *val = NULL;
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, 1 << 20);
    /* The path was checked when it was read. */
    TT_IGNORE(ctl_jsonpath(object, waiting->subject, &val, NULL));
    if (yyjson_is_str(val)) {
        tt_buf_str(&text, tt_json_istr_of(val));
    } else if (val != NULL) {
        tt_json_iwrite(&text, val);
    }
    see(waiting, val != NULL ? tt_buf_view(&text) : TT_STR("not set"));
    return val != NULL && (!waiting->has_value || tt_str_eq(tt_buf_view(&text), waiting->value));
}

static bool check(void *ctx, yyjson_val *object)
{
    struct waiting *waiting = ctx;
    waiting->was_there = waiting->was_there || object != NULL;
    waiting->is_absent = object == NULL;
    if (object == NULL) {
        see(waiting, TT_STR("not there"));
        /* An object that vanishes ends the waiting: it will not come to be as wanted. */
        return waiting->goal != GOAL_CREATE;
    }
    switch (waiting->goal) {
    case GOAL_CREATE:
        see(waiting, TT_STR("there"));
        return true;
    case GOAL_CONDITION:
        return check_condition(waiting, object);
    case GOAL_JSONPATH:
        return check_path(waiting, object);
    case GOAL_DELETE:
    default:
        see(waiting, TT_STR("still there"));
        return false;
    }
}

/* ---- one object ---- */

static int give_up(const struct waiting *waiting, const char *label, struct tt_err *err)
{
    tt_err_init(err);
    return TT_FAIL(err, TT_ETIMEOUT, "%s: timed out, %s is %s (next: tuttictl describe %s)", label,
                   waiting->goal_text, waiting->seen, label);
}

static int follow_sliced(struct waiting *waiting, const struct ctl_target *target,
                         const char *label, struct tt_err *err)
{
    struct ctl_follow follow = {
        .ns = ctl_target_namespace(waiting->session, &waiting->selection, target->resource),
        .check = check,
        .ctx = waiting};
    uint64_t began_ms = tt_clock_ms(tt_clock_real());
    for (;;) {
        uint64_t now_ms = tt_clock_ms(tt_clock_real());
        follow.deadline_ms = waiting->deadline_ms;
        if (ctl_is_interactive() && follow.deadline_ms > now_ms + SLICE_MS) {
            follow.deadline_ms = now_ms + SLICE_MS;
        }
        struct tt_err cause;
        tt_err_init(&cause);
        int r = ctl_follow(waiting->session, target, &follow, &cause);
        now_ms = tt_clock_ms(tt_clock_real());
        if (r != TT_ETIMEOUT) {
            *err = cause;
            return r;
        }
        if (now_ms >= waiting->deadline_ms) {
            return give_up(waiting, label, err);
        }
        (void)fprintf(stderr, "%s: %s is %s (%llu s)\n", label, waiting->goal_text, waiting->seen,
                      (unsigned long long)((now_ms - began_ms) / 1000));
    }
}

static int wait_for(struct waiting *waiting, const struct ctl_target *target, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf label;
    tt_buf_init(&label, CTL_PATH_SIZE_MAX);
    ctl_resource_label(target->resource, target->name, &label);
    waiting->was_there = false;
    waiting->is_absent = false;
    waiting->seen[0] = '\0';
    int r = follow_sliced(waiting, target, label.ptr, err);
    if (r != TT_OK) {
        return r;
    }
    if (waiting->is_absent && waiting->goal != GOAL_DELETE) {
        return TT_FAIL(err, TT_ENOTFOUND, "%s %s", label.ptr,
                       waiting->was_there ? "was deleted" : "is not there");
    }
    ctl_print("%s %s\n", label.ptr,
              waiting->goal == GOAL_DELETE   ? "deleted"
              : waiting->goal == GOAL_CREATE ? "created"
                                             : "condition met");
    return TT_OK;
}

/* All that the selection names now. */
static int wait_for_listed(struct waiting *waiting, const struct ctl_target *target,
                           struct tt_err *err)
{
    CTL_AUTO_ANSWER struct ctl_answer answer = {0};
    TT_AUTO_BUF struct tt_buf path;
    tt_buf_init(&path, CTL_PATH_SIZE_MAX);
    ctl_collection_path(waiting->session, &waiting->selection, target, &path);
    int r = ctl_get(waiting->session, tt_buf_view(&path), &answer, err);
    yyjson_val *items =
        r == TT_OK ? yyjson_obj_get(yyjson_doc_get_root(answer.doc), "items") : NULL;
    if (r == TT_OK && yyjson_arr_size(items) == 0 && waiting->goal != GOAL_DELETE) {
        return TT_FAIL(err, TT_ENOTFOUND, "nothing matches");
    }
    yyjson_arr_iter iter = yyjson_arr_iter_with(items);
    yyjson_val *item;
    while (r == TT_OK && (item = yyjson_arr_iter_next(&iter)) != NULL) {
        const struct ctl_target one = {target->resource, tt_json_iget_str(item, "metadata.name")};
        r = wait_for(waiting, &one, err);
    }
    return r;
}

/* ---- the command ---- */

/* condition=TYPE[=STATUS], jsonpath=PATH[=VALUE] */
static int parse_goal(struct waiting *waiting, struct tt_err *err)
{
    struct tt_str rest = tt_str_c(waiting->goal_text);
    struct tt_str word = rest;
    if (tt_str_eq_c(rest, "delete") || tt_str_eq_c(rest, "create")) {
        waiting->goal = rest.ptr[0] == 'd' ? GOAL_DELETE : GOAL_CREATE;
        return TT_OK;
    }
    bool has_more = tt_str_find(rest, '=') >= 0 && tt_str_cut(&rest, '=', &word);
    bool is_path = tt_str_eq_c(word, "jsonpath");
    if (!has_more || rest.len == 0 || (!is_path && !tt_str_eq_c(word, "condition"))) {
        return TT_FAIL(err, TT_EINVAL,
                       "--for=%s: give condition=TYPE[=STATUS], jsonpath={.path}[=VALUE], delete "
                       "or create",
                       waiting->goal_text);
    }
    waiting->goal = is_path ? GOAL_JSONPATH : GOAL_CONDITION;
    ptrdiff_t brace = is_path ? tt_str_find(rest, '}') : -1;
    size_t from = brace >= 0 ? (size_t)brace : 0;
    ptrdiff_t equals = tt_str_find(tt_str_skip(rest, from), '=');
    waiting->has_value = equals >= 0;
    waiting->subject = equals >= 0 ? tt_str_head(rest, from + (size_t)equals) : rest;
    waiting->value = equals >= 0 ? tt_str_skip(rest, from + (size_t)equals + 1) : TT_STR("True");
    yyjson_val *unused = NULL;
    return is_path ? ctl_jsonpath(NULL, waiting->subject, &unused, err) : TT_OK;
}

/* "30s", "5m", or plain seconds. */
static int parse_timeout(struct waiting *waiting, struct tt_err *err)
{
    uint64_t seconds = TIMEOUT_S_DEFAULT;
    int64_t ns = 0;
    struct tt_str text = tt_str_c(waiting->timeout_text);
    uint64_t ms = seconds * 1000;
    if (text.len > 0 && tt_str_to_u64(text, &seconds) && seconds < UINT32_MAX) {
        ms = seconds * 1000;
    } else if (text.len > 0 && tt_duration_parse(text, &ns) && ns >= 0) {
        ms = (uint64_t)ns / NS_PER_MS;
    } else if (text.len > 0) {
        return TT_FAIL(err, TT_EINVAL, "--timeout=%s: give 30s, 5m or 1h", waiting->timeout_text);
    }
    waiting->deadline_ms = tt_clock_ms(tt_clock_real()) + ms;
    return TT_OK;
}

static int parse_args(struct waiting *waiting, struct ctl_args *args, struct tt_err *err)
{
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&waiting->common),
        {"for", 0, TT_OPTION_STRING, &waiting->goal_text, "GOAL",
         "condition=TYPE[=STATUS], jsonpath={.path}[=VALUE], delete or create"},
        {"timeout", 0, TT_OPTION_STRING, &waiting->timeout_text, "TIME", "30s, 5m [30s]"},
        {"selector", 'l', TT_OPTION_STRING, &waiting->selection.labels, "LABELS",
         "all with these labels"},
        {"all", 0, TT_OPTION_FLAG, &waiting->all, NULL, "all of the type in the namespace"},
    };
    args->options = options;
    args->option_count = CTL_COMMON_OPTION_COUNT + 4;
    int r = ctl_parse(args, err);
    args->options = NULL;
    if (r != TT_OK || args->help) {
        return r;
    }
    if (waiting->goal_text == NULL) {
        return TT_FAIL(err, TT_EINVAL, "--for is needed: what to wait for");
    }
    r = parse_goal(waiting, err);
    return r == TT_OK ? parse_timeout(waiting, err) : r;
}

static int wait_for_all(struct waiting *waiting, const struct ctl_args *args, struct tt_err *err)
{
    int r = ctl_session_open(&waiting->common, &waiting->session, err);
    if (r == TT_OK) {
        r = ctl_resources_load(waiting->session, &waiting->resources, err);
    }
    if (r == TT_OK) {
        r = ctl_targets_parse(waiting->resources, args->words, args->word_count, &waiting->targets,
                              err);
    }
    for (size_t i = 0; r == TT_OK && i < waiting->targets.count; i++) {
        const struct ctl_target *target = &waiting->targets.items[i];
        bool selects = waiting->all || waiting->selection.labels != NULL;
        if (target->name.len > 0) {
            r = wait_for(waiting, target, err);
        } else if (selects) {
            r = wait_for_listed(waiting, target, err);
        } else {
            r = TT_FAIL(err, TT_EINVAL, "name them, or give -l LABELS or --all");
        }
    }
    return r;
}

static int run_wait(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct ctl_args args = {.command = self, .argc = argc, .argv = argv};
    struct waiting *waiting = TT_NEW(struct waiting);
    int r = parse_args(waiting, &args, err);
    if (r == TT_OK && !args.help) {
        r = wait_for_all(waiting, &args, err);
    }
    ctl_resources_free(waiting->resources);
    ctl_session_free(waiting->session);
    tt_free(waiting);
    return r;
}

const struct ctl_command ctl_wait_commands[] = {
    {"wait", "TYPE/NAME… --for=GOAL [OPTIONS]", "Returns when objects are as wanted.",
     "Exit code 7: not in time.\n\n"
     "Examples:\n"
     "  tuttictl wait deploy/web --for=condition=Available --timeout=2m\n"
     "  tuttictl wait pod/web-1 --for=jsonpath='{.status.phase}'=Running\n"
     "  tuttictl wait pods -l app=web --for=delete",
     run_wait},
    {NULL, NULL, NULL, NULL, NULL},
};
