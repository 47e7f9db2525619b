/* The two doors to the replicated log, declared here so that api/ and reconciler/ never include
 * raft/: tt_proposer (commit a command) and tt_cluster (read index, members, transfer).
 *
 * Both are asynchronous: submit an op, `done` runs once on the thread that drains `reply`, never
 * inside the submitting call. Ownership: the op is the caller's and must stay until done; `command`
 * is taken. Thread: submit from any thread. Errors: the submit calls fail with TT_EBUSY/TT_ECLOSED
 * (then done is not called); all else arrives in op->code: TT_ECONFLICT  a compare failed
 * (failed_compare says which): admit again TT_ENOSPACE   the disk's reserve is reached: deletes
 * still work TT_EUNAVAILABLE no leader in time; nothing was proposed TT_ETIMEOUT   proposed,
 * not settled by the deadline or hidden in a snapshot: may or may not commit later */
#ifndef SERVER_STORE_PROPOSER_H
#define SERVER_STORE_PROPOSER_H

#include "base/queue.h"
#include "server/store/txn.h"

struct tt_propose_op {
    struct tt_msg msg;        /* used by the proposer, then by the reply */
    struct tt_bytes *command; /* encoded Command; taken at submit */
    uint64_t deadline_ms;     /* monotonic; 0 = 10 s from submit */
    struct tt_mailbox *reply; /* kept */
    /* once, on the thread that drains reply; the op is free then */
    void (*done)(struct tt_propose_op *op);
    void *ctx; /* the caller's */
    /* Set before done: */
    int code;                /* 0 or a TT_E… */
    uint64_t revision_first; /* each op of the transaction took one, in order; 0 for no ops */
    uint64_t revision_last; /* the local store has it published when done runs (read your writes) */
    int32_t failed_compare; /* index, -1 otherwise */
    void *door;             /* the proposer's: whom the op was given to */
    void *internal[6];      /* the proposer's */
};
struct tt_proposer {
    /* submits, see the top; any thread */
    int (*propose)(struct tt_proposer *proposer, struct tt_propose_op *op) TT_MUST_USE;
};

/* A linearizable read: after done with code 0 the newest published local version holds everything
 * committed before submit. Unless it is behind `revision`: then a snapshot is being installed since
 * the answer left, and a new read waits for its end. */
struct tt_read_op {
    struct tt_msg msg;        /* used by the proposer, then by the reply */
    uint64_t deadline_ms;     /* monotonic; 0 = 10 s from submit */
    struct tt_mailbox *reply; /* kept */
    /* once, on the thread that drains reply; the op is free then */
    void (*done)(struct tt_read_op *op);
    void *ctx;         /* the caller's */
    int code;          /* set before done: 0 or a TT_E… */
    uint64_t revision; /* with code 0: the version to read has at least this one */
    void *door;        /* the proposer's: whom the op was given to */
    void *internal[6]; /* the proposer's */
};

enum { TT_MEMBERS_MAX = 16, TT_NAME_SIZE = 64, TT_ADDRESS_SIZE = 128 };
enum tt_member_role { TT_ROLE_SPARE, TT_ROLE_STANDBY, TT_ROLE_VOTER };
struct tt_member {
    uint64_t id;                        /* never 0 in a member; never used again */
    char name[TT_NAME_SIZE];            /* as in its certificate */
    char peer_address[TT_ADDRESS_SIZE]; /* host:port */
    char api_address[TT_ADDRESS_SIZE];  /* host:port, as last announced */
    enum tt_member_role role;           /* only voters count for a majority */
    bool reachable;                     /* as seen by the answering server */
    uint64_t last_index;                /* 0 = not known here */
};
enum tt_server_state {
    TT_STATE_STARTING,
    TT_STATE_FOLLOWER,
    TT_STATE_CANDIDATE,
    TT_STATE_LEADER,
    TT_STATE_INSTALLING,
    TT_STATE_FAULTED,
    TT_STATE_REMOVED /* from the cluster: it is no member any more */
};
/* "leader", "follower", …: how people and clients read it; never NULL. Static. */
const char *tt_server_state_name(enum tt_server_state state);
struct tt_cluster_status {
    char cluster_id[40];        /* like a UUID; a restore or recovery makes a new one */
    uint64_t self_id;           /* member id of the answering server */
    enum tt_server_state state; /* of the answering server */
    uint64_t leader_id;         /* 0 = none known */
    uint64_t term;              /* the newest it has seen */
    uint64_t commit_index;      /* known to be committed */
    uint64_t applied_index;     /* in its store, published or about to be */
    uint64_t last_index;        /* of its log in memory, committed or not */
    uint64_t removed_index;     /* of a configuration without it, when removed; else 0 */
    uint64_t revision;          /* newest published here */
    uint64_t state_hash;        /* tt_store_hash; equal at equal applied_index */
    uint32_t feature_level;     /* of commands the cluster may use */
    uint32_t member_count;      /* of members */
    struct tt_member members[TT_MEMBERS_MAX]; /* voters, standbys and spares, this server too */
};
enum tt_change_kind {
    TT_CHANGE_ADD,
    TT_CHANGE_PROMOTE,
    TT_CHANGE_REMOVE,
    TT_CHANGE_TRANSFER,
    TT_CHANGE_SNAPSHOT
};
struct tt_change_op {
    struct tt_msg msg;        /* used by the proposer, then by the reply */
    enum tt_change_kind kind; /* says which of member's fields are read */
    struct tt_member
        member; /* ADD: name, peer_address; others: id (TRANSFER 0 = the leader chooses) */
    uint64_t deadline_ms;     /* monotonic; 0 = 30 s from submit */
    struct tt_mailbox *reply; /* kept */
    /* once, on the thread that drains reply; the op is free then */
    void (*done)(struct tt_change_op *op);
    void *ctx;         /* the caller's */
    int code;          /* set before done: 0 or a TT_E… */
    struct tt_err err; /* says why */
    void *door;        /* the proposer's: whom the op was given to */
    void *internal[6]; /* the proposer's */
};
/* Leadership as reconcilers see it: work of a term is cancelled when `lost` is called. */
struct tt_leadership_listener {
    struct tt_list link; /* the cluster's, from listen on */
    void (*gained)(struct tt_leadership_listener *listener,
                   uint64_t term);                         /* core thread: only post messages */
    void (*lost)(struct tt_leadership_listener *listener); /* core thread: only post messages */
};
struct tt_cluster {
    /* submits, see the top; any thread */
    int (*read_index)(struct tt_cluster *cluster, struct tt_read_op *op) TT_MUST_USE;
    /* submits, see the top; any thread */
    int (*change)(struct tt_cluster *cluster, struct tt_change_op *op) TT_MUST_USE;
    void (*status)(struct tt_cluster *cluster,
                   struct tt_cluster_status *ret_status); /* any thread, a copy */
    void (*listen)(struct tt_cluster *cluster,
                   struct tt_leadership_listener *listener); /* before start; keeps */
};

#endif
