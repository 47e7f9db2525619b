/* Each planted bug must be found, and by an invariant that is about it: seeds from 1 on until one
 * fails. What another invariant saw first does not count, or a broken one would not be missed. */
#include "tests/sim/sim_find.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "tests/sim/sim_workers.h"

static void print_expected(const struct sim_bug *bug)
{
    const char *separator = "";
    for (unsigned i = 1; i < SIM_INVARIANT_COUNT; i++) {
        if ((bug->by & UINT64_C(1) << i) != 0) {
            printf("%s%s", separator, sim_invariant_text(i));
            separator = "; ";
        }
    }
    printf("\n");
}

/* True: found, and by the right one. */
static bool find(const struct sim_options *options, size_t jobs)
{
    const struct sim_bug *bug = options->bug;
    const struct sim_span span = {
        .next = 1, .last = bug->seeds_max, .stop_at_first = true, .quiet = true};
    struct sim_total total = {.seeds = 0};
    uint64_t begin_ms = tt_clock_ms(tt_clock_real());
    sim_run_span(options, span, jobs, &total);
    double seconds = (double)(tt_clock_ms(tt_clock_real()) - begin_ms) / 1000;
    const struct sim_report *first = &total.first;
    if (total.failed == 0) {
        printf("%-22s NOT FOUND in %" PRIu64 " seeds, %.1f s; expected: ", bug->name, total.seeds,
               seconds);
        print_expected(bug);
        return false;
    }
    printf("%-22s %4" PRIu64 " %5.1f s  %s\n", bug->name, total.first_failed, seconds,
           sim_invariant_text(first->broken));
    if ((bug->by & UINT64_C(1) << first->broken) == 0) {
        printf("  FOUND BY ANOTHER INVARIANT: %s\n  planted: %s; expected: ", first->text,
               bug->what);
        print_expected(bug);
        return false;
    }
    return true;
}

int sim_find_bugs(const struct sim_options *base, const char *only, size_t jobs)
{
    size_t tried = 0;
    size_t found = 0;
    const struct sim_bug *bug;
    uint64_t begin_ms = tt_clock_ms(tt_clock_real());
    printf("%-22s %4s %7s  %s\n", "bug", "seed", "", "found by");
    for (size_t i = 0; (bug = sim_bug_at(i)) != NULL; i++) {
        if (only && strcmp(only, bug->name) != 0) {
            continue;
        }
        struct sim_options options = *base;
        options.bug = bug;
        tried++;
        found += find(&options, jobs);
        (void)fflush(stdout);
    }
    printf("%zu of %zu planted bugs found in %.1f s\n", found, tried,
           (double)(tt_clock_ms(tt_clock_real()) - begin_ms) / 1000);
    return found < tried ? 1 : 0;
}
