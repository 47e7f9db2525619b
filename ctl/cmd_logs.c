/* tuttictl logs: what containers write, of one pod, of a workload's, or of all with a label.
 *
 * Followed logs run side by side, others come one after the other. Errors of one do not end the
 * others. */
#include <stdio.h>

#include "api/http/uri.h"
#include "api/kinds/quantity.h"
#include "ctl/log_stream.h"

enum { FOLLOWED_MAX = 20, TAIL_SELECTED = 10, QUERY_SIZE_MAX = 4096 };
#define NS_PER_S 1000000000

struct logs {
    struct ctl_common common;                  /* options of the connection */
    struct ctl_log_wish wish;                  /* whose logs; its query is made of the rest */
    const char *since, *since_time;            /* "5m", RFC 3339; one at most; NULL: not given */
    uint64_t tail;                             /* lines; UINT64_MAX: all */
    uint64_t followed_max;                     /* streams at once */
    bool follow, previous, timestamps, prefix; /* flags; all but prefix go into the query */
};

static int write_since(const struct logs *logs, struct tt_buf *query, struct tt_err *err)
{
    int64_t since_ns = 0;
    if (logs->since != NULL && logs->since_time != NULL) {
        return TT_FAIL(err, TT_EINVAL, "give --since or --since-time");
    }
    if (logs->since != NULL) {
        if (!tt_duration_parse(tt_str_c(logs->since), &since_ns) || since_ns <= 0) {
            return TT_FAIL(err, TT_EINVAL, "--since=%s: give 30s, 5m or 2h", logs->since);
        }
        tt_buf_printf(query, "&sinceSeconds=%lld",
                      (long long)((since_ns + NS_PER_S - 1) / NS_PER_S));
    }
    if (logs->since_time != NULL) {
        tt_buf_c(query, "&sinceTime=");
        tt_uri_encode(query, tt_str_c(logs->since_time));
    }
    return TT_OK;
}

static int write_query(struct logs *logs, struct tt_buf *query, struct tt_err *err)
{
    if (logs->tail == UINT64_MAX && logs->wish.labels != NULL) {
        logs->tail = TAIL_SELECTED; /* of many: the ends only */
    }
    tt_buf_printf(query, "follow=%s&previous=%s&timestamps=%s", logs->follow ? "true" : "false",
                  logs->previous ? "true" : "false", logs->timestamps ? "true" : "false");
    if (logs->tail != UINT64_MAX) {
        tt_buf_printf(query, "&tailLines=%llu", (unsigned long long)logs->tail);
    }
    int r = write_since(logs, query, err);
    logs->wish.query = tt_buf_view(query);
    return r;
}

static int parse(struct logs *logs, const struct ctl_command *self, int argc, char **argv,
                 bool *ret_help, struct tt_err *err)
{
    struct ctl_log_wish *wish = &logs->wish;
    const struct tt_option options[] = {
        CTL_COMMON_OPTIONS(&logs->common),
        {"selector", 'l', TT_OPTION_STRING, &wish->labels, "LABELS",
         "of all pods with these labels"},
        {"container", 'c', TT_OPTION_STRING, &wish->container, "NAME",
         "which one [the pod's default, else the first]"},
        {"all-containers", 0, TT_OPTION_FLAG, &wish->all_containers, NULL, "of each pod"},
        {"all-pods", 0, TT_OPTION_FLAG, &wish->all_pods, NULL, "of the workload [one that runs]"},
        {"follow", 'f', TT_OPTION_FLAG, &logs->follow, NULL, "go on as it is written"},
        {"tail", 0, TT_OPTION_U64, &logs->tail, "LINES", "the last ones only [all; with -l: 10]"},
        {"since", 0, TT_OPTION_STRING, &logs->since, "TIME", "younger than 30s, 5m, 2h"},
        {"since-time", 0, TT_OPTION_STRING, &logs->since_time, "RFC3339", "written after this"},
        {"timestamps", 0, TT_OPTION_FLAG, &logs->timestamps, NULL, "each line with its time"},
        {"previous", 'p', TT_OPTION_FLAG, &logs->previous, NULL,
         "of the container before its last restart"},
        {"prefix", 0, TT_OPTION_FLAG, &logs->prefix, NULL, "each line with its pod and container"},
        {"max-log-requests", 0, TT_OPTION_U64, &logs->followed_max, "COUNT",
         "most logs that are followed at once [20]"},
    };
    struct ctl_args args = {self, options, CTL_COMMON_OPTION_COUNT + 12, argc, argv, {NULL},
                            0,    false};
    int r = ctl_parse(&args, err);
    *ret_help = args.help;
    if (r != TT_OK || args.help) {
        return r;
    }
    if (args.word_count == 2 && wish->container == NULL && strchr(args.words[0], '/') == NULL) {
        wish->container = args.words[--args.word_count]; /* logs POD CONTAINER */
    }
    wish->word = args.word_count > 0 ? args.words[0] : NULL;
    if (args.word_count > 1 || (wish->word != NULL) == (wish->labels != NULL)) {
        return TT_FAIL(err, TT_EINVAL,
                       "say whose: logs POD, logs TYPE/NAME or logs -l LABELS (tuttictl get pods)");
    }
    if (wish->container != NULL && wish->all_containers) {
        return TT_FAIL(err, TT_EINVAL, "give -c or --all-containers");
    }
    return TT_OK;
}

static int show(const struct logs *logs, struct ctl_session *session,
                const struct ctl_log_sources *sources, struct tt_err *err)
{
    if (logs->follow && sources->count > logs->followed_max) {
        return TT_FAIL(err, TT_EINVAL,
                       "%zu logs to follow, but at most %llu at once: choose, or give "
                       "--max-log-requests %zu",
                       sources->count, (unsigned long long)logs->followed_max, sources->count);
    }
    const struct ctl_log_show show = {.kubeconfig = ctl_session_kubeconfig(session),
                                      .sources = sources,
                                      .at_once = logs->follow ? sources->count : 1,
                                      .timeout_ms =
                                          logs->follow ? UINT64_MAX : logs->common.timeout_s * 1000,
                                      .prefix = logs->prefix};
    return ctl_log_show(&show, err);
}

static int run_logs(const struct ctl_command *self, int argc, char **argv, struct tt_err *err)
{
    struct logs logs = {.tail = UINT64_MAX, .followed_max = FOLLOWED_MAX};
    bool help = false;
    int r = parse(&logs, self, argc, argv, &help, err);
    if (r != TT_OK || help) {
        return r;
    }
    TT_AUTO(ctl_session) session = NULL;
    TT_AUTO_BUF struct tt_buf query;
    struct ctl_log_sources sources = {.items = NULL};
    tt_buf_init(&query, QUERY_SIZE_MAX);
    r = write_query(&logs, &query, err);
    if (r == TT_OK) {
        r = ctl_session_open(&logs.common, &session, err);
    }
    if (r == TT_OK) {
        r = ctl_log_sources_find(session, &logs.wish, &sources, err);
    }
    if (r == TT_OK) {
        r = show(&logs, session, &sources, err);
    }
    ctl_log_sources_fini(&sources);
    return r;
}

const struct ctl_command ctl_logs_commands[] = {
    {"logs", "POD | TYPE/NAME | -l LABELS [OPTIONS]", "Shows what containers write.",
     "Of a workload (deploy/web) one running pod is taken, or all with --all-pods.\n\n"
     "Examples:\n"
     "  tuttictl logs web-1 -f --tail 20\n"
     "  tuttictl logs web-1 -c sidecar --since 5m --timestamps\n"
     "  tuttictl logs deploy/web --all-pods --prefix\n"
     "  tuttictl logs -l app=web --all-containers -f",
     run_logs},
    {NULL, NULL, NULL, NULL, NULL},
};
