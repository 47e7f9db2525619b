/* Shared by the replica's source files; nobody else includes it.
 *   replica.c            life, the core loop, doors, the node's io
 *   replica_disk.c       from data directory to struct tt_node_disk
 *   replica_snapshots.c  struct tt_node_snapshots on the pool
 *
 * Ownership, thread, errors: as replica.h. */
#ifndef RAFT_REPLICA_INTERNAL_H
#define RAFT_REPLICA_INTERNAL_H

#include "base/cell.h"
#include "base/pace.h"
#include "base/poke.h"
#include "raft/datadir.h"
#include "raft/membership.h"
#include "raft/node_load.h"
#include "raft/node_store.h"
#include "raft/replica.h"
#include "raft/snapshot_file.h"

enum {
    REPLICA_REPLY_BOXES_MAX = 64,               /* mailboxes that ops of one turn answer to */
    REPLICA_FRAME_TYPE = TT_TRANSPORT_TYPE_MIN, /* peer_codec frames */
};

/* Answers of one turn for one mailbox, posted as one chain. */
struct reply_chain {
    struct tt_mailbox *box; /* NULL: free */
    struct tt_msg *first;
    struct tt_msg *last;
};

/* What the snapshot jobs share; see replica_snapshots.c. */
struct snapshot_stage {
    struct tt_node_snapshot meta;               /* of the file being received */
    struct tt_snapshot_file_receiver *receiver; /* pool only while a job is out; owned */
};

struct tt_replica {
    struct tt_replica_config config; /* strings replaced by owned copies */
    struct tt_proposer proposer;
    struct tt_cluster cluster;
    struct tt_list leadership_listeners;
    struct tt_datadir *datadir; /* owned */
    struct tt_datadir_identity identity;
    struct tt_peer_book *book;      /* owned; the transport's while it lives */
    struct tt_store *store;         /* owned */
    struct tt_node_store fsm;       /* the store as the node sees it */
    struct tt_wal *wal;             /* owned until the log thread takes it */
    struct tt_wal_thread *log;      /* owned */
    struct tt_transport *transport; /* owned */
    struct tt_node *node;           /* owned */
    struct tt_loop *loop;           /* the core thread; owned */
    struct tt_timer timer;          /* the node's wish */
    struct tt_timer housekeeping;   /* disk space, compaction, status */
    struct tt_cell *status;         /* struct tt_cluster_status */
    struct tt_cell *stats;          /* struct tt_replica_stats */
    struct tt_transport_stats transport_stats;
    struct reply_chain replies[REPLICA_REPLY_BOXES_MAX];
    size_t reply_count;
    struct snapshot_stage stage;
    struct tt_pace *pace; /* of the worker that takes snapshots; owned */
    struct tt_poke recheck;
    struct tt_propose_op compaction; /* one at a time, while compaction_out */
    bool compaction_out;
    uint64_t leading_term; /* as told to the listeners; 0 = not leading */
    uint64_t jobs_out;     /* pool jobs whose completion comes to the core mailbox */
    bool stopping;
    bool log_ended; /* the STOP request is back */
    struct tt_wal_req stop_req;
    struct tt_node_disk disk; /* until start */
};

/* replica.c: ends the loop once the log has stopped and no snapshot job is out. */
void replica_end_when_idle(struct tt_replica *replica);
/* replica_disk.c */
int replica_disk_open(struct tt_replica *replica, struct tt_err *err) TT_MUST_USE;
/* replica_snapshots.c */
struct tt_node_snapshots replica_snapshots(struct tt_replica *replica);
/* Every HOUSEKEEPING_MS: how fast the one under way may be taken. */
void replica_snapshots_pace(struct tt_replica *replica);
void replica_snapshots_fini(struct tt_replica *replica);

#endif
