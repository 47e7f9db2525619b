/* Bugs planted on purpose: each rule of docs/raft.md broken, and the classics. The simulator must
 * find every one of them; the switches exist in its own copy of the node only (TT_SIM).
 *
 * Ownership: static tables. Thread: any. */
#ifndef TESTS_SIM_SIM_BUGS_H
#define TESTS_SIM_SIM_BUGS_H

#include <stddef.h>
#include <stdint.h>

#include "raft/node_faults.h"
#include "raft/replica_faults.h"
#include "tests/sim/sim_invariants.h"

struct sim_bug {
    const char *name;
    const char *what;
    struct tt_node_faults node;
    struct replica_faults replica;
    bool rejoin_empty;     /* a member whose disk is damaged starts empty under its old id */
    bool skip_sync;        /* the disk says synced and is not */
    bool lose_vote;        /* hard states are acknowledged, not written */
    bool forget_vote;      /* the term is written, the vote is not */
    bool early_ack;        /* entries are acknowledged when written, not when synced */
    bool drop_watch_event; /* a server's history lacks a change */
    bool lives_long;       /* shows late: clusters live as long as without a bug */
    uint64_t by;        /* SIM_BY(…) | …: the invariants that are about it, one must find it */
    uint64_t unseen;    /* likewise: nobody looks at these, so that another one is put to test */
    uint64_t seeds_max; /* found within so many seeds */
};

const struct sim_bug *sim_bug_find(const char *name); /* NULL: unknown */
const struct sim_bug *sim_bug_at(size_t i);           /* NULL behind the last */

#endif
