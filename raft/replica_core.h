/* The part of a replica that has no threads: it connects the node with its store, its snapshot
 * files, its directory and those who ask. Production (replica.c) puts a loop, a log thread, a
 * transport and pools around it, the simulator (tests/sim) events in virtual time; both run this
 * very code.
 *
 *   replica_core.c       doors, the node's outputs, answers, leadership, housekeeping
 *   replica_disk.c       from a data directory to struct tt_node_disk
 *   replica_snapshots.c  struct tt_node_snapshots: jobs of a pool
 *
 *   init → open → (the owner takes wal, makes the node) → start → … → stop → fini
 *
 * Ownership: owns directory, store, node, and the log until its owner takes it. Thread: core, but
 * the doors and the two cells' readers; a job's `work` runs on a pool. Errors: as replica.h. */
#ifndef RAFT_REPLICA_CORE_H
#define RAFT_REPLICA_CORE_H

#include "base/cell.h"
#include "base/pace.h"
#include "base/work.h"
#include "raft/datadir.h"
#include "raft/membership.h"
#include "raft/node_load.h"
#include "raft/node_store.h"
#include "raft/peer_book.h"
#include "raft/replica.h"
#include "raft/replica_faults.h"
#include "raft/snapshot_file.h"

enum { REPLICA_REPLY_BOXES_MAX = 64 }; /* mailboxes that ops of one turn answer to */

/* What production and simulation do each in their own way. */
struct replica_env {
    const struct tt_disk *disk;   /* kept */
    bool lock;                    /* take the directory's lock: a simulated disk has none */
    uint64_t log_segment_size;    /* of a new log; 0 = default */
    uint64_t log_id;              /* of a new log; 0 = a random one */
    uint32_t snapshot_piece_size; /* bytes read, sent, restored at once; 0 = defaults */
    struct tt_pace *pace;         /* of the worker that takes snapshots; kept; NULL = no brake */
    struct tt_mailbox *box;       /* kept; drained on the core thread */
    /* as struct tt_node_io says, and the next three likewise */
    void (*send)(void *ctx, uint64_t peer_id, struct tt_bytes *const *parts, size_t part_count,
                 bool bulk);
    void (*set_timer)(void *ctx, uint64_t at_ms);                                    /* as there */
    void (*peers_changed)(void *ctx, const struct tt_member *members, size_t count); /* as there */
    /* as there; NULL: not wanted */
    void (*committed)(void *ctx, uint64_t index, const struct tt_membership *membership);
    void (*removed)(void *ctx, uint64_t index); /* likewise */
    /* as there: once, then the process must end */
    void (*fault)(void *ctx, const struct tt_err *err);
    /* work->work off the core thread, then work->done by `box`. `slow`: it may take minutes. */
    int (*run)(void *ctx, struct tt_work *work, bool slow);
    void (*idle)(void *ctx); /* a job came back after stop */
    void *ctx;               /* kept; passed to each */
};

/* Answers of one turn for one mailbox, posted as one chain. */
struct reply_chain {
    struct tt_mailbox *box; /* where they go; kept */
    struct tt_msg *first;   /* oldest answer */
    struct tt_msg *last;    /* where the next one is chained to */
};

/* What the snapshot jobs share; see replica_snapshots.c. */
struct snapshot_stage {
    struct tt_snapshot_file_receiver *receiver; /* pool only while a job is out; owned */
};

/* What the status last said of the leadership. */
struct told_leader {
    uint64_t leader_id;         /* 0 = not known */
    uint64_t term;              /* newest seen */
    enum tt_server_state state; /* of this member */
};

struct replica_core {
    struct tt_replica_config config;     /* strings replaced by owned copies */
    struct replica_env env;              /* copied; what it points to is kept */
    struct tt_proposer proposer;         /* what tt_replica_proposer returns; any thread */
    struct tt_cluster cluster;           /* what tt_replica_cluster returns; any thread */
    struct tt_list leadership_listeners; /* struct tt_leadership_listener */
    struct tt_datadir *datadir;          /* owned */
    struct tt_datadir_identity identity; /* as datadir has it */
    struct tt_peer_book *book;           /* owned; the transport's while it lives */
    struct tt_store *store;              /* owned */
    struct tt_node_store fsm;            /* the store as the node sees it */
    struct tt_wal *wal;                  /* owned until the owner takes it */
    struct tt_node_disk disk;            /* until start */
    struct tt_node *node;                /* owned; made by the owner */
    struct tt_cell *status;              /* struct tt_cluster_status; owned */
    struct told_leader told;             /* in `status`: written anew when it changes */
    struct reply_chain replies[REPLICA_REPLY_BOXES_MAX]; /* [0, reply_count); one per mailbox */
    size_t reply_count;                                  /* 0 at the end of each turn */
    struct snapshot_stage stage;                         /* the snapshot that a leader sends */
    struct tt_list jobs;             /* snapshot jobs whose completion is not back yet */
    struct tt_list parked;           /* snapshot jobs that no pool would take: tried again */
    struct tt_propose_op compaction; /* one at a time, while compaction_out */
    bool compaction_out;             /* `compaction` is proposed and not answered */
    uint64_t leading_term;           /* as told to the listeners; 0 = not leading */
    uint64_t revision_floor; /* highest that was published here, also while an install runs */
    bool stopping;           /* set by stop: jobs that come back are only freed */
#ifdef TT_SIM
    struct replica_faults faults; /* all false unless the simulator sets one */
#endif
};

/* Copies the strings of config; borrows its arrays until open returns. */
void replica_core_init(struct replica_core *core, const struct tt_replica_config *config,
                       const struct replica_env *env);
/* Everything at once, as a crash would: jobs that are out must never come back. */
void replica_core_fini(struct replica_core *core);
/* The node's configuration but for `log` and `seed`, which the owner adds. */
struct tt_node_config replica_core_node_config(struct replica_core *core);
void replica_core_start(struct replica_core *core); /* a failure goes to env.fault */
/* Behind every run of inputs. */
void replica_core_turn(struct replica_core *core);
/* Every 100 ms or so: disk space, a compaction that is due, the status for other threads (a change
 * of leader is told by the turn that sees it). */
void replica_core_housekeeping(struct replica_core *core);
/* Answers what is out and refuses what comes. Jobs may still be out: env.idle tells. */
void replica_core_stop(struct replica_core *core);
bool replica_core_idle(const struct replica_core *core); /* no job is out */

/* replica_disk.c. TT_ECORRUPT: the member is in quarantine. */
int replica_core_open(struct replica_core *core, struct tt_err *err) TT_MUST_USE;
/* replica_snapshots.c */
struct tt_node_snapshots replica_snapshots(struct replica_core *core);
/* With the housekeeping: how fast the one under way may be taken. */
void replica_snapshots_pace(struct replica_core *core);
void replica_snapshots_resume(struct replica_core *core); /* what is parked, now and then */
void replica_snapshots_fini(struct replica_core *core);

#endif
