/* A few nodes in one process for the unit tests: a virtual clock, a log queue in memory whose
 * completions wait until they are let through, frames delivered in order, and a state machine that
 * keeps what was applied. Nothing fails here unless a test makes it; tests/sim is for the rest.
 *
 * Ownership: the caller frees the cluster, and with it all servers and what they keep. Thread: one.
 * Errors: cmocka assertions. */
#ifndef TESTS_UNIT_RAFT_NODE_CLUSTER_H
#define TESTS_UNIT_RAFT_NODE_CLUSTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <raft.h>

#include "base/mem.h"
#include "raft/membership.h"
#include "raft/node.h"
#include "raft/peer_codec.h"

enum { CLUSTER_MAX = 4, APPLIED_MAX = 8192, TRAILING_SIZE = 64 << 10 };

struct frame {
    struct tt_list link;
    uint64_t from;
    uint64_t to;
    struct tt_bytes *bytes;
};

struct server {
    struct cluster *cluster;
    uint64_t id;
    struct tt_node *node; /* NULL: not running */
    struct tt_clock clock;
    uint64_t timer_ms;
    bool cut;                 /* frames from and to it are lost */
    bool log_held;            /* completions wait */
    struct tt_msg *log_first; /* requests out, in order */
    struct tt_msg **log_last;
    uint64_t leading;                         /* as told by the node */
    uint64_t removed_index;                   /* as told by the node */
    int fault;                                /* code of the fault, 0 = none */
    size_t snapshot_takes;                    /* snapshots begun; none ends by itself */
    struct tt_node_snapshot *snapshot_taking; /* the last of them */
    uint64_t log_kept_from;                   /* of the last SNAPSHOT record */
    size_t snapshot_reads;                    /* pieces asked for; none is ever given */
    uint64_t skew;                            /* added to its state hash */
    char *applied[APPLIED_MAX];
    size_t applied_count;
    size_t published_count;
    struct tt_node_disk disk; /* the durable state */
    struct tt_wal_entry *entries;
    size_t entry_count;
    uint64_t entry_base; /* index before the first of them: that of a snapshot, or 0 */
};

struct cluster {
    uint64_t now_ms;
    struct server servers[CLUSTER_MAX];
    size_t count;
    struct tt_list frames;
    size_t answered; /* ops of any kind */
};

/* `voters` of `count` servers form the cluster; the others are fresh. */
struct cluster *cluster_new(size_t count, size_t voters);
void cluster_free(struct cluster *cluster);

/* Lets time pass, and everything happen that can. */
void cluster_run(struct cluster *cluster, uint64_t ms);

/* The server that leads and can be reached; NULL if none. */
struct server *cluster_leader(struct cluster *cluster);

/* Runs until there is a leader, which it returns. */
struct server *cluster_elect(struct cluster *cluster);

/* Starts a server from its durable state, or ends its node as a crash does. */
void server_start(struct server *server);
void server_crash(struct server *server);

/* What is durable becomes a snapshot and an empty log, as right after an install. It is down. */
void server_compact(struct server *server);

/* Proposes `text` through `op`, which must live until its code is no longer 1. */
size_t cluster_frames(const struct cluster *cluster); /* on their way */
void propose(struct server *server, struct tt_propose_op *op, const char *text);

#endif
