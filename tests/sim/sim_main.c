/* The simulator's command line.
 *
 *   sim --seed N [--trace] [--bug NAME] [--chaos-ms N]     one seed, in this process
 *   sim --seeds FROM..TO [--jobs N] [--bug NAME]           many, in worker processes
 *       [--days-min N] [--faults-min N]                    fails if they simulated less
 *   sim --find-bugs [--jobs N]                             each planted bug must be found
 *   sim --matrix                                           damaged files on one member of three
 *
 * Exit codes: 0 as expected, 1 a violation (or a bug not found), 2 wrong usage. A worker that dies
 * (an assertion) counts as a violation of the seed it was at. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/sim/sim_matrix.h"
#include "tests/sim/sim_nemesis.h"
#include "tests/sim/sim_run.h"

enum { JOBS_MAX = 16, FAILURES_SHOWN_MAX = 20 };

struct total {
    uint64_t seeds;
    uint64_t failed;
    uint64_t first_failed;
    struct sim_report sum;
};

struct worker {
    pid_t pid;
    int fd;
    uint64_t seed; /* it is at */
};

static void print_report(uint64_t seed, const struct sim_report *report)
{
    printf("seed %" PRIu64 ": %s%s\n", seed, report->failed ? "VIOLATION " : "ok",
           report->failed ? report->text : "");
}

static void add_report(struct total *total, uint64_t seed, const struct sim_report *report)
{
    total->seeds++;
    total->sum.simulated_ms += report->simulated_ms;
    total->sum.event_count += report->event_count;
    total->sum.acked_count += report->acked_count;
    total->sum.unknown_count += report->unknown_count;
    total->sum.read_count += report->read_count;
    total->sum.installed_count += report->installed_count;
    total->sum.refused_count += report->refused_count;
    total->sum.intact_count += report->intact_count;
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        total->sum.faults[i] += report->faults[i];
    }
    if (report->failed) {
        if (total->failed == 0 || seed < total->first_failed) {
            total->first_failed = seed;
        }
        if (total->failed++ < FAILURES_SHOWN_MAX) {
            print_report(seed, report);
            (void)fflush(stdout);
        }
    }
}

/* Those of the nemesis; what it does to single frames is counted apart. */
static uint64_t fault_count(const struct total *total)
{
    uint64_t faults = 0;
    for (size_t i = 0; i < SIM_FRAME_DROPPED; i++) {
        faults += total->sum.faults[i];
    }
    return faults;
}

static double simulated_days(const struct total *total)
{
    return (double)total->sum.simulated_ms / 86400000.0;
}

static void print_total(const struct total *total, uint64_t elapsed_ms)
{
    uint64_t faults = fault_count(total);
    double seconds = (double)elapsed_ms / 1000 + 0.001;
    printf("%" PRIu64 " seeds in %.1f s (%.1f/s), %" PRIu64 " violations; simulated %.2f days "
           "(x%.0f), %" PRIu64 " events, %" PRIu64 " writes, %" PRIu64 " unknown, %" PRIu64
           " reads, %" PRIu64 " snapshots installed, %" PRIu64 " damaged members refused, %" PRIu64
           " intact, %" PRIu64 " faults:\n ",
           total->seeds, seconds, (double)total->seeds / seconds, total->failed,
           simulated_days(total), (double)total->sum.simulated_ms / 1000 / seconds,
           total->sum.event_count, total->sum.acked_count, total->sum.unknown_count,
           total->sum.read_count, total->sum.installed_count, total->sum.refused_count,
           total->sum.intact_count, faults);
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        printf(" %s %" PRIu64, sim_fault_name(i), total->sum.faults[i]);
    }
    printf("\n");
}

/* One seed at a time over the pipe: request and report have fixed sizes. */
_Noreturn static void worker_loop(int fd, struct sim_options options)
{
    uint64_t seed;
    while (read(fd, &seed, sizeof seed) == (ssize_t)sizeof seed && seed != 0) {
        struct sim_report report;
        options.seed = seed;
        sim_seed(&options, &report);
        if (write(fd, &report, sizeof report) != (ssize_t)sizeof report) {
            break;
        }
    }
    _exit(0);
}

static bool worker_start(struct worker *worker, const struct sim_options *options)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) {
        return false;
    }
    (void)fflush(stdout);
    worker->pid = fork();
    if (worker->pid == 0) {
        (void)close(fds[0]);
        worker_loop(fds[1], *options);
    }
    (void)close(fds[1]);
    worker->fd = fds[0];
    return worker->pid > 0;
}

/* Closing its pipe would not do: workers that were forked later hold copies. */
static void worker_end(struct worker *worker)
{
    uint64_t no_seed = 0;
    (void)send(worker->fd, &no_seed, sizeof no_seed, MSG_NOSIGNAL); /* it may be gone already */
    (void)close(worker->fd);
    (void)waitpid(worker->pid, NULL, 0);
}

/* False: the worker died at its seed. */
static bool worker_report(struct worker *worker, struct sim_report *ret)
{
    size_t have = 0;
    while (have < sizeof *ret) {
        ssize_t n = read(worker->fd, (char *)ret + have, sizeof *ret - have);
        if (n <= 0) {
            return false;
        }
        have += (size_t)n;
    }
    return true;
}

/* What a run of many seeds must reach. */
struct floor {
    uint64_t days;   /* of clusters, simulated */
    uint64_t faults; /* of the nemesis */
};

struct span {
    uint64_t next;
    uint64_t last;
    bool stop_at_first;
};

static bool worker_feed(struct worker *worker, struct span *span, const struct total *total)
{
    if (span->next > span->last || (span->stop_at_first && total->failed > 0)) {
        worker->seed = 0;
        return false;
    }
    worker->seed = span->next++;
    return send(worker->fd, &worker->seed, sizeof worker->seed, MSG_NOSIGNAL) ==
           (ssize_t)sizeof worker->seed;
}

/* Takes one report, or notes a death and starts another worker; then hands out the next seed. */
static bool worker_turn(struct worker *worker, const struct sim_options *options, struct span *span,
                        struct total *total)
{
    struct sim_report report;
    if (!worker_report(worker, &report)) {
        memset(&report, 0, sizeof report);
        report.failed = true;
        (void)snprintf(report.text, sizeof report.text, "the process died (an assertion)");
        worker_end(worker);
        if (!worker_start(worker, options)) {
            return false;
        }
    }
    add_report(total, worker->seed, &report);
    return worker_feed(worker, span, total);
}

static void run_span(const struct sim_options *options, struct span span, size_t jobs,
                     struct total *total)
{
    struct worker workers[JOBS_MAX];
    size_t busy = 0;
    for (size_t i = 0; i < jobs; i++) {
        TT_ASSERT(worker_start(&workers[i], options));
        busy += worker_feed(&workers[i], &span, total);
    }
    while (busy > 0) {
        struct pollfd polls[JOBS_MAX];
        for (size_t i = 0; i < jobs; i++) {
            polls[i] =
                (struct pollfd){.fd = workers[i].seed != 0 ? workers[i].fd : -1, .events = POLLIN};
        }
        if (poll(polls, (nfds_t)jobs, -1) <= 0) {
            continue;
        }
        for (size_t i = 0; i < jobs; i++) {
            if (polls[i].revents != 0 && !worker_turn(&workers[i], options, &span, total)) {
                busy--;
            }
        }
    }
    for (size_t i = 0; i < jobs; i++) {
        worker_end(&workers[i]);
    }
}

static int run_one(const struct sim_options *options)
{
    struct sim_report report;
    uint64_t begin_ms = tt_clock_ms(tt_clock_real());
    struct total total = {.seeds = 0};
    sim_seed(options, &report);
    print_report(options->seed, &report);
    printf("trace %016" PRIx64 "\n", report.trace_hash);
    add_report(&total, options->seed, &report);
    print_total(&total, tt_clock_ms(tt_clock_real()) - begin_ms);
    return report.failed ? 1 : 0;
}

static int run_many(const struct sim_options *options, struct span span, size_t jobs,
                    const struct floor *floor)
{
    struct total total = {.seeds = 0};
    uint64_t begin_ms = tt_clock_ms(tt_clock_real());
    run_span(options, span, jobs, &total);
    print_total(&total, tt_clock_ms(tt_clock_real()) - begin_ms);
    bool enough =
        simulated_days(&total) >= (double)floor->days && fault_count(&total) >= floor->faults;
    if (!enough) {
        printf("too little: at least %" PRIu64 " days and %" PRIu64 " faults were asked for\n",
               floor->days, floor->faults);
    }
    return total.failed > 0 || !enough ? 1 : 0;
}

static int find_bugs(const struct sim_options *base, const char *only, size_t jobs)
{
    int result = 0;
    const struct sim_bug *bug;
    for (size_t i = 0; (bug = sim_bug_at(i)) != NULL; i++) {
        if (only && strcmp(only, bug->name) != 0) {
            continue;
        }
        struct sim_options options = *base;
        struct total total = {.seeds = 0};
        options.bug = bug;
        printf("bug %s (%s):\n  ", bug->name, bug->what);
        run_span(&options, (struct span){1, bug->seeds_max, true}, jobs, &total);
        if (total.failed == 0) {
            printf("NOT FOUND in %" PRIu64 " seeds\n", total.seeds);
            result = 1;
        }
        (void)fflush(stdout);
    }
    return result;
}

struct arguments {
    struct sim_options options;
    struct span span;
    struct floor floor;
    const char *bug;
    bool many;
    bool find;
    bool matrix;
    uint64_t jobs;
};

static bool parse_span(const char *text, struct span *ret)
{
    struct tt_str rest = tt_str_c(text);
    ptrdiff_t dots = tt_str_find_str(rest, TT_STR(".."));
    return dots > 0 && tt_str_to_u64(tt_str_head(rest, (size_t)dots), &ret->next) &&
           tt_str_to_u64(tt_str_skip(rest, (size_t)dots + 2), &ret->last);
}

static bool parse_value(struct arguments *args, const char *name, const char *value)
{
    struct tt_str text = tt_str_c(value);
    if (strcmp(name, "--seed") == 0) {
        return tt_str_to_u64(text, &args->options.seed);
    }
    if (strcmp(name, "--seeds") == 0) {
        args->many = true;
        return parse_span(value, &args->span);
    }
    if (strcmp(name, "--bug") == 0) {
        args->bug = value;
        args->options.bug = sim_bug_find(value);
        return args->options.bug != NULL;
    }
    if (strcmp(name, "--jobs") == 0) {
        return tt_str_to_u64(text, &args->jobs) && args->jobs > 0 && args->jobs <= JOBS_MAX;
    }
    if (strcmp(name, "--days-min") == 0) {
        return tt_str_to_u64(text, &args->floor.days);
    }
    if (strcmp(name, "--faults-min") == 0) {
        return tt_str_to_u64(text, &args->floor.faults);
    }
    return strcmp(name, "--chaos-ms") == 0 && tt_str_to_u64(text, &args->options.chaos_ms);
}

static bool parse(int argc, char **argv, struct arguments *args)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0) {
            args->options.trace = true;
        } else if (strcmp(argv[i], "--find-bugs") == 0) {
            args->find = true;
        } else if (strcmp(argv[i], "--matrix") == 0) {
            args->matrix = true;
        } else if (i + 1 == argc || !parse_value(args, argv[i], argv[i + 1])) {
            return false;
        } else {
            i++;
        }
    }
    return args->find || args->matrix || args->many || args->options.seed != 0;
}

int main(int argc, char **argv)
{
    struct arguments args = {.jobs = 2};
    if (!parse(argc, argv, &args)) {
        (void)fprintf(stderr, "usage: sim --seed N | --seeds FROM..TO | --find-bugs | --matrix  "
                              "[--bug NAME] [--jobs N] [--trace] [--chaos-ms N] [--days-min N] "
                              "[--faults-min N]\n");
        return 2;
    }
    tt_log_set_level(args.options.trace ? TT_LOG_INFO : TT_LOG_ERROR);
    if (args.matrix) {
        return sim_matrix();
    }
    if (args.find) {
        return find_bugs(&args.options, args.bug, (size_t)args.jobs);
    }
    return args.many ? run_many(&args.options, args.span, (size_t)args.jobs, &args.floor)
                     : run_one(&args.options);
}
