/* The simulator's command line.
 *
 *   sim --seed N [--trace] [--bug NAME] [--chaos-ms N]     one seed, in this process
 *   sim --seeds FROM..TO [--jobs N] [--bug NAME]           many, in worker processes
 *       [--days-min N] [--faults-min N]                    fails if they simulated less
 *   sim --find-bugs [--bug NAME] [--jobs N]                each planted bug must be found by an
 *                                                          invariant that is about it
 *   sim --matrix                                           damaged files on one member of three
 *
 * Exit codes: 0 as expected, 1 a violation (or a bug not found), 2 wrong usage. A worker that dies
 * (an assertion) counts as a violation of the seed it was at. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/sim/sim_find.h"
#include "tests/sim/sim_matrix.h"
#include "tests/sim/sim_workers.h"

/* What a run of many seeds must reach. */
struct floor {
    uint64_t days;   /* of clusters, simulated */
    uint64_t faults; /* of the nemesis */
};

static int run_one(const struct sim_options *options)
{
    struct sim_report report;
    uint64_t begin_ms = tt_clock_ms(tt_clock_real());
    struct sim_total total = {.seeds = 0};
    sim_seed(options, &report);
    sim_print_report(options->seed, &report);
    printf("trace %016" PRIx64 "\n", report.trace_hash);
    sim_add_report(&total, options->seed, &report);
    sim_print_total(&total, tt_clock_ms(tt_clock_real()) - begin_ms);
    return report.failed ? 1 : 0;
}

static int run_many(const struct sim_options *options, struct sim_span span, size_t jobs,
                    const struct floor *floor)
{
    struct sim_total total = {.seeds = 0};
    uint64_t begin_ms = tt_clock_ms(tt_clock_real());
    sim_run_span(options, span, jobs, &total);
    sim_print_total(&total, tt_clock_ms(tt_clock_real()) - begin_ms);
    bool enough = sim_simulated_days(&total) >= (double)floor->days &&
                  sim_fault_count(&total) >= floor->faults;
    if (!enough) {
        printf("too little: at least %" PRIu64 " days and %" PRIu64 " faults were asked for\n",
               floor->days, floor->faults);
    }
    return total.failed > 0 || !enough ? 1 : 0;
}

struct arguments {
    struct sim_options options;
    struct sim_span span;
    struct floor floor;
    const char *bug;
    bool many;
    bool find;
    bool matrix;
    uint64_t jobs;
};

static bool parse_span(const char *text, struct sim_span *ret)
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
        return tt_str_to_u64(text, &args->jobs) && args->jobs > 0 && args->jobs <= SIM_JOBS_MAX;
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
        return sim_find_bugs(&args.options, args.bug, (size_t)args.jobs);
    }
    return args.many ? run_many(&args.options, args.span, (size_t)args.jobs, &args.floor)
                     : run_one(&args.options);
}
