/* Worker processes get one seed at a time over a pipe and answer with a report of fixed size.
 *
 * Stopping at the first failure: every seed below it was begun before and is waited for, so which
 * one is the lowest that fails does not depend on who is faster. */
#include "tests/sim/sim_workers.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/sim_nemesis.h"

enum { FAILURES_SHOWN_MAX = 20 };

struct worker {
    pid_t pid;
    int fd;
    uint64_t seed; /* it is at */
};

void sim_print_report(uint64_t seed, const struct sim_report *report)
{
    if (report->failed) {
        printf("seed %" PRIu64 ": VIOLATION (%s) %s\n", seed, sim_invariant_text(report->broken),
               report->text);
    } else {
        printf("seed %" PRIu64 ": ok\n", seed);
    }
}

void sim_add_report(struct sim_total *total, uint64_t seed, const struct sim_report *report)
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
        if (total->failed++ == 0 || seed < total->first_failed) {
            total->first_failed = seed;
            total->first = *report;
        }
    }
}

/* Those of the nemesis; what it does to single frames is counted apart. */
uint64_t sim_fault_count(const struct sim_total *total)
{
    uint64_t faults = 0;
    for (size_t i = 0; i < SIM_FRAME_DROPPED; i++) {
        faults += total->sum.faults[i];
    }
    return faults;
}

double sim_simulated_days(const struct sim_total *total)
{
    return (double)total->sum.simulated_ms / 86400000.0;
}

void sim_print_total(const struct sim_total *total, uint64_t elapsed_ms)
{
    uint64_t faults = sim_fault_count(total);
    double seconds = (double)elapsed_ms / 1000 + 0.001;
    printf("%" PRIu64 " seeds in %.1f s (%.1f/s), %" PRIu64 " violations; simulated %.2f days "
           "(x%.0f), %" PRIu64 " events, %" PRIu64 " writes, %" PRIu64 " unknown, %" PRIu64
           " reads, %" PRIu64 " snapshots installed, %" PRIu64 " damaged members refused, %" PRIu64
           " intact, %" PRIu64 " faults:\n ",
           total->seeds, seconds, (double)total->seeds / seconds, total->failed,
           sim_simulated_days(total), (double)total->sum.simulated_ms / 1000 / seconds,
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

static bool worker_feed(struct worker *worker, struct sim_span *span, const struct sim_total *total)
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
static bool worker_turn(struct worker *worker, const struct sim_options *options,
                        struct sim_span *span, struct sim_total *total)
{
    struct sim_report report;
    if (!worker_report(worker, &report)) {
        memset(&report, 0, sizeof report);
        report.failed = true;
        report.broken = SIM_ALIVE;
        (void)snprintf(report.text, sizeof report.text, "the process died (an assertion)");
        worker_end(worker);
        if (!worker_start(worker, options)) {
            return false;
        }
    }
    sim_add_report(total, worker->seed, &report);
    if (report.failed && !span->quiet && total->failed <= FAILURES_SHOWN_MAX) {
        sim_print_report(worker->seed, &report);
        (void)fflush(stdout);
    }
    return worker_feed(worker, span, total);
}

void sim_run_span(const struct sim_options *options, struct sim_span span, size_t jobs,
                  struct sim_total *total)
{
    struct worker workers[SIM_JOBS_MAX];
    size_t busy = 0;
    for (size_t i = 0; i < jobs; i++) {
        TT_ASSERT(worker_start(&workers[i], options));
        busy += worker_feed(&workers[i], &span, total);
    }
    while (busy > 0) {
        struct pollfd polls[SIM_JOBS_MAX];
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
