/* What must hold, one name each: a violation says which, and a planted bug which may find it.
 *
 * Ownership: plain enum, static names. Thread: any. Errors: sim_fail ends the run. */
#ifndef TESTS_SIM_SIM_INVARIANTS_H
#define TESTS_SIM_SIM_INVARIANTS_H

#include <stdint.h>

#include "base/err.h"

#define SIM_INVARIANTS(X)                                                                          \
    X(ONE_LEADER, "one leader per term")                                                           \
    X(LOG_MATCHING, "log matching")                                                                \
    X(COMMIT_STORED, "a commit is durable on a majority")                                          \
    X(STORED, "what the core takes for stored is durable")                                         \
    X(STORED_KNOWN, "what is durable the core takes for stored")                                   \
    X(CONFIGURATION, "the core's configuration is the log's")                                      \
    X(SAME_ORDER, "everybody applies the same")                                                    \
    X(SAME_STATE, "the same state behind the same commands")                                       \
    X(WATCH, "histories without a gap")                                                            \
    X(SPEAKS_LATE, "nothing leaves before its term and vote are durable")                          \
    X(KEPT, "what was durable is there after a restart")                                           \
    X(OPENS, "a member that only lost power opens")                                                \
    X(SNAPSHOT_STORED, "a snapshot covers what is durable")                                        \
    X(SNAPSHOT_SETTLED, "no snapshot during a change of the members")                              \
    X(ONE_STREAM, "one stream of a snapshot per peer")                                             \
    X(UNDISTURBED, "no term begins against a majority that has a leader")                          \
    X(CONFIRMED, "a confirmed write is in the history, at its revision")                           \
    X(REAL_TIME, "a write comes behind what was confirmed before it")                              \
    X(ONCE, "a write is done once")                                                                \
    X(REFUSED, "a refused write is not done")                                                      \
    X(FRESH, "a read is not stale")                                                                \
    X(ANSWERED, "whoever asks is answered")                                                        \
    X(NO_BUG_TOLD, "no answer speaks of a bug")                                                    \
    X(STAYS_UP, "a server stops itself only when its disk failed")                                 \
    X(END_TOLD, "the end of a leadership is told")                                                 \
    X(STATUS, "the status names the leader")                                                       \
    X(PROGRESS, "progress after the healing")                                                      \
    X(ALIVE, "the process lives")

enum sim_invariant {
    SIM_NOTHING_BROKEN,
#define SIM_INVARIANT_ENUM(name, text) SIM_##name,
    SIM_INVARIANTS(SIM_INVARIANT_ENUM)
#undef SIM_INVARIANT_ENUM
        SIM_INVARIANT_COUNT
};
_Static_assert(SIM_INVARIANT_COUNT <= 64, "sets of them are masks");

#define SIM_BY(name) (UINT64_C(1) << SIM_##name)

struct sim;
const char *sim_invariant_text(enum sim_invariant invariant);
void sim_fail(struct sim *sim, enum sim_invariant broken, const char *fmt, ...) TT_PRINTF(3, 4);

#endif
