/* The planted bugs. Each is found by an invariant that its comment names; seeds_max is a generous
 * multiple of what it took. */
#include "tests/sim/sim_bugs.h"

#include <string.h>

static const struct sim_bug BUGS[] = {
    {.name = "split_not_at_change",
     .what = "rule 1: a configuration behind commands in one message to the core",
     .node = {.split_not_at_change = true},
     .seeds_max = 300},
    {.name = "report_stale_writes",
     .what = "rule 2: a completed write is reported though its entries were replaced",
     .node = {.report_stale_writes = true},
     .seeds_max = 1500},
    {.name = "sole_voter_same_term",
     .what = "rule 3: a sole voter leads again in the same term",
     .node = {.sole_voter_same_term = true},
     .seeds_max = 300},
    {.name = "no_own_barrier",
     .what = "rule 4: reads are served before a barrier of the own term is committed",
     .node = {.no_own_barrier = true},
     .seeds_max = 300},
    {.name = "apply_while_installing",
     .what = "rule 5: entries are applied while a snapshot is being installed",
     .node = {.apply_while_installing = true},
     .seeds_max = 300},
    {.name = "outbox_not_held",
     .what = "rule 6: messages leave before the vote they rely on is durable",
     .node = {.outbox_not_held = true},
     .seeds_max = 300},
    {.name = "snapshot_unstored",
     .what = "rule 7: a snapshot beyond what is durable in the log",
     .node = {.snapshot_unstored = true},
     .seeds_max = 300},
    {.name = "space_by_core",
     .what = "rule 8: the core's capacity threshold instead of a reserve at the proposer",
     .node = {.space_by_core = true},
     .seeds_max = 100},
    {.name = "write_error_ignored",
     .what = "rule 10: a failed write is taken for done",
     .node = {.write_error_ignored = true},
     .seeds_max = 50},
    {.name = "ack_before_commit",
     .what = "a write is confirmed when it is appended",
     .node = {.ack_before_commit = true},
     .seeds_max = 50},
    {.name = "read_without_probe",
     .what = "a leader serves reads without asking a majority",
     .node = {.read_without_probe = true},
     .seeds_max = 300},
    {.name = "probe_ignores_term",
     .what = "a read probe is answered whatever the term",
     .node = {.probe_ignores_term = true},
     .seeds_max = 300},
    {.name = "config_not_fed",
     .what = "rule 9: the core is not told that a configuration is committed",
     .node = {.config_not_fed = true},
     .seeds_max = 100},
    {.name = "ack_other_term",
     .what = "a write is confirmed by another leader's entry at its index",
     .node = {.ack_other_term = true},
     .seeds_max = 300},
    {.name = "read_before_applied",
     .what = "a read is answered before its index is applied",
     .node = {.read_before_applied = true},
     .seeds_max = 50},
    {.name = "proposals_dropped",
     .what = "what has queued is forgotten when leadership is lost",
     .node = {.proposals_dropped = true},
     .seeds_max = 300},
    {.name = "pin_late",
     .what = "a snapshot is made of the state at the time of writing",
     .replica = {.pin_late = true},
     .seeds_max = 50},
    {.name = "staged_begin",
     .what = "a staged piece of a snapshot is reported by its beginning: none ever arrives",
     .replica = {.staged_begin = true},
     .seeds_max = 100},
    {.name = "lost_untold",
     .what = "reconcilers are not told of the end of a leadership",
     .replica = {.lost_untold = true},
     .seeds_max = 50},
    {.name = "rejoin_empty",
     .what = "a member whose disk is damaged starts empty under its old id",
     .rejoin_empty = true,
     .seeds_max = 50},
    {.name = "skip_sync",
     .what = "the disk says synced and is not",
     .skip_sync = true,
     .seeds_max = 50},
    {.name = "lose_vote",
     .what = "term and vote are confirmed, not written",
     .lose_vote = true,
     .seeds_max = 50},
    {.name = "drop_watch_event",
     .what = "a watch misses a change now and then",
     .drop_watch_event = true,
     .seeds_max = 50},
};

const struct sim_bug *sim_bug_find(const char *name)
{
    for (size_t i = 0; i < sizeof BUGS / sizeof BUGS[0]; i++) {
        if (strcmp(BUGS[i].name, name) == 0) {
            return &BUGS[i];
        }
    }
    return NULL;
}

const struct sim_bug *sim_bug_at(size_t i)
{
    return i < sizeof BUGS / sizeof BUGS[0] ? &BUGS[i] : NULL;
}
