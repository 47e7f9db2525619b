/* The raft node: libraft's step core driven by the rules of docs/raft.md, as a pure object. No
 * thread, no I/O; the clock and the seed are given. Production (replica.c) and the simulator
 * (tests/sim) run this very code.
 *
 * Inputs are the functions below, all called on one thread (core). Outputs are the vtables given at
 * creation: the log queue, struct tt_node_io (network, timer, answers), struct tt_fsm (the state
 * machine) and struct tt_node_snapshots (files and background work). An output function never calls
 * back into the node; what takes time is answered by an input later.
 *
 * Happy path of a write: tt_node_propose → packed with others into one entry → log and peers →
 * committed → tt_fsm.apply, publish → outbox (held behind term and vote) → propose_done.
 *
 * Ownership: the node keeps the vtables' contexts, the queue and the clock; ops are the caller's
 * and stay in place until answered; the payload of an op is taken. Thread: core only. Errors:
 * anything rule 10 calls fatal goes once to tt_node_io.fault; from then on the node ignores every
 * input and only answers what is out. The process must stop and start again from its disk. */
#ifndef RAFT_NODE_H
#define RAFT_NODE_H

#include "base/clock.h"
#include "raft/log_queue.h"
#include "server/store/proposer.h"
#include "server/store/store.h"

enum {
    TT_NODE_BATCH_SIZE_MAX = 1 << 20,           /* bytes of commands packed into one entry */
    TT_NODE_COMMAND_SIZE_MAX = TT_TXN_SIZE_MAX, /* a larger command is an entry by itself */
    TT_NODE_ENTRIES_IN_FLIGHT_MAX = 2,          /* batches appended and not yet committed */
    TT_NODE_OPS_MAX = 16384,                    /* proposals queued or in flight */
    TT_NODE_OPS_BYTES_MAX = 64 << 20,           /* their commands */
    TT_NODE_READS_MAX = 16384,                  /* linearizable reads waiting */
    TT_NODE_SNAPSHOT_PIECE_SIZE = 512 << 10,    /* bytes of a snapshot per message */
};

/* A snapshot and what raft must know of it. Self-contained: copied freely. */
enum { TT_SNAPSHOT_CONFIG_SIZE_MAX = 4096 };
struct tt_node_snapshot {
    uint64_t index;                              /* last entry in it; 0 = there is none */
    uint64_t term;                               /* of that entry */
    uint64_t config_index;                       /* of the entry with config */
    uint32_t config_size;                        /* bytes used of config */
    uint8_t config[TT_SNAPSHOT_CONFIG_SIZE_MAX]; /* encoded by libraft */
    uint64_t file_size;                          /* bytes */
    uint8_t sha256[32];                          /* of the file */
};

struct tt_membership;
/* Network, timer and answers. */
struct tt_node_io {
    /* One frame for a peer (peer_codec.h), in parts: borrows them, each may be referenced. May lose
     * or delay it, even overtake with a later one, but never deliver it twice. `bulk`: a snapshot
     * piece, which must not delay the others. */
    void (*send)(void *ctx, uint64_t peer_id, struct tt_bytes *const *parts, size_t part_count,
                 bool bulk);
    /* Call tt_node_tick at or soon after this monotonic time, replacing the earlier wish. A time in
     * the past means as soon as possible, but after returning to the loop. */
    void (*set_timer)(void *ctx, uint64_t at_ms);
    /* The servers to be connected with have changed (self included, borrowed). */
    void (*peers_changed)(void *ctx, const struct tt_member *members, size_t count);
    /* The newest configuration known to be committed, and its index (borrowed). May be NULL. */
    void (*committed)(void *ctx, uint64_t index, const struct tt_membership *membership);
    /* This server is no member any more: nobody will talk with it. Once. May be NULL. */
    void (*removed)(void *ctx, uint64_t index);
    /* The op is answered and the caller's again. Never from within the submitting call. */
    void (*propose_done)(void *ctx, struct tt_propose_op *op);
    void (*read_done)(void *ctx, struct tt_read_op *op);     /* likewise */
    void (*change_done)(void *ctx, struct tt_change_op *op); /* likewise */
    /* This server leads in `term` with everything before applied; 0: it does not (any more). */
    void (*leading)(void *ctx, uint64_t term);
    void (*fault)(void *ctx, const struct tt_err *err); /* once */
    void *ctx;                                          /* kept; passed to each */
};

/* The state machine: in production and simulation alike server/store (node_store.h). */
struct tt_fsm {
    /* Leader only, just before appending: the time stamp, into the command's place in the entry,
     * which nobody else reads yet. */
    int (*stamp)(void *ctx, uint8_t *command, size_t size, uint64_t wall_ms, struct tt_err *err);
    /* False for deletes, compaction and leases: they go on below the first disk mark (rule 8). */
    bool (*grows)(void *ctx, struct tt_str command);
    /* In log order, each committed command once; `position` counts within the entry. An error stops
     * the member. */
    int (*apply)(void *ctx, uint64_t index, uint32_t position, struct tt_str command,
                 struct tt_apply_result *ret, struct tt_err *err);
    void (*publish)(void *ctx, uint64_t index); /* after each run of entries */
    uint64_t (*hash)(void *ctx);                /* of all that was applied */
    void *ctx;                                  /* kept; passed to each */
};

/* Snapshot files and the work around them. Every call is answered by the named input. */
struct tt_node_snapshots {
    /* Pin the published state now and write it to a durable file in the background; file_size and
     * sha256 are to be filled → tt_node_snapshot_taken. */
    void (*take)(void *ctx, const struct tt_node_snapshot *meta);
    /* A piece of the file of the snapshot at `index`, for a peer → tt_node_snapshot_piece. */
    void (*read)(void *ctx, uint64_t peer_id, uint64_t index, uint64_t offset);
    /* Append a piece to the staged file (offset 0 begins a new one). The last piece: check size and
     * hash, make it durable → tt_node_snapshot_staged. Takes the reference. */
    void (*stage)(void *ctx, const struct tt_node_snapshot *meta, uint64_t offset,
                  struct tt_bytes *piece);
    /* Drop the state machine's state and restore the staged file into it; the staged file becomes
     * the server's snapshot → tt_node_snapshot_installed. */
    void (*install)(void *ctx, const struct tt_node_snapshot *meta);
    void *ctx; /* kept; passed to each */
};

struct tt_node_config {
    uint64_t id;                        /* > 0 */
    const char *name;                   /* copied */
    const char *api_address;            /* host:port, announced to the members; copied */
    const char *cluster_id;             /* frames of another cluster are dropped; copied */
    uint64_t seed;                      /* another one at each start of each server */
    uint32_t election_timeout_ms;       /* 0 = 500 (rule 11) */
    uint32_t heartbeat_ms;              /* 0 = 50 */
    uint64_t cache_size_max;            /* bytes of log entries in memory; 0 = 16 MiB */
    uint64_t snapshot_log_size_min;     /* bytes of log before a snapshot; 0 = 256 MiB */
    uint32_t snapshot_trailing;         /* entries kept behind a snapshot; 0 = 4096, the most */
    uint64_t snapshot_trailing_size;    /* bytes of them at most; 0 = 64 MiB */
    uint64_t hash_interval_ms;          /* between state hash exchanges; 0 = 60 s */
    uint64_t disk_free_growth_min;      /* bytes: below it growth is refused; 0 = 256 MiB */
    uint64_t disk_free_any_min;         /* bytes: below it everything is; 0 = 64 MiB */
    const struct tt_clock *clock;       /* keeps */
    struct tt_wal_queue log;            /* keeps */
    struct tt_node_io io;               /* keeps */
    struct tt_fsm fsm;                  /* keeps */
    struct tt_node_snapshots snapshots; /* keeps */
};

/* What the disk holds. The state machine must already hold the snapshot's state. */
struct tt_node_disk {
    uint64_t term;                    /* hard state */
    uint64_t voted_for;               /* in that term; 0 = nobody */
    struct tt_node_snapshot snapshot; /* index 0 = none */
    uint64_t first_index; /* of entries; snapshot.index + 1 (or 1) when there are none */
    const struct tt_wal_entry *entries; /* borrowed; payloads may be NULL but for RAFT_CHANGE */
    size_t entry_count;                 /* of entries; without gaps */
};

struct tt_node;
struct tt_node *tt_node_new(const struct tt_node_config *config);
/* Frees everything at once, as a crash would. Ops that are out are not answered; log requests that
 * are out must have completed or never complete (the queue is gone). */
void tt_node_free(struct tt_node *node);
TT_DEFINE_AUTO(tt_node)
/* Answers every op that is out (TT_ECLOSED, or TT_ETIMEOUT where the outcome is unknown) and
 * refuses new ones. Then stop the log queue, then free. */
void tt_node_stop(struct tt_node *node);

/* First input. TT_ECORRUPT when log and snapshot cannot belong together. */
int tt_node_start(struct tt_node *node, const struct tt_node_disk *disk,
                  struct tt_err *err) TT_MUST_USE;
void tt_node_tick(struct tt_node *node);
/* A frame from an authenticated peer, immutable: parts of it may be kept as references. What cannot
 * be decoded is dropped and counted. */
void tt_node_receive(struct tt_node *node, uint64_t peer_id, struct tt_bytes *frame);
/* The transport's view: connected, so tell it about us. */
void tt_node_peer_reachable(struct tt_node *node, uint64_t peer_id);
/* Nobody listens at the peer's address any more (its process is gone, as far as its host knows). */
void tt_node_peer_absent(struct tt_node *node, uint64_t peer_id);
/* An authenticated member says that the committed configuration of this index is without this
 * server. Not believed when a newer one with it is known here. */
void tt_node_hear_removed(struct tt_node *node, uint64_t index);
void tt_node_disk_free(struct tt_node *node, uint64_t free_bytes); /* rule 8: every second or so */

/* Ops are answered through tt_node_io, also refused ones (TT_EBUSY, TT_ECLOSED). */
void tt_node_propose(struct tt_node *node, struct tt_propose_op *op);
void tt_node_read(struct tt_node *node, struct tt_read_op *op);
void tt_node_change(struct tt_node *node, struct tt_change_op *op);
/* After a run of inputs (a loop turn): submits what has queued, flushes probes. Cheap when there is
 * nothing to do. */
void tt_node_turn(struct tt_node *node);

/* Completions of struct tt_node_snapshots. code: 0 or a TT_E…. */
void tt_node_snapshot_taken(struct tt_node *node, const struct tt_node_snapshot *meta, int code);
/* Takes the reference; piece NULL when code is not 0. */
void tt_node_snapshot_piece(struct tt_node *node, uint64_t peer_id, uint64_t index, uint64_t offset,
                            struct tt_bytes *piece);
/* offset: of the first byte behind the staged piece. */
void tt_node_snapshot_staged(struct tt_node *node, uint64_t index, uint64_t offset, int code);
void tt_node_snapshot_installed(struct tt_node *node, uint64_t index, int code);

/* What it is doing. */
struct tt_node_view {
    enum tt_server_state state; /* TT_STATE_STARTING until the core runs */
    uint64_t term;              /* newest submitted to the log, maybe not durable yet */
    uint64_t leader_id;         /* 0 = not known */
    uint64_t commit_index;      /* highest seen */
    uint64_t applied_index;     /* in the state machine */
    uint64_t last_index;        /* of the log in memory, durable or not */
    uint64_t stored_index;      /* durable here */
    bool ready;                 /* leader whose own barrier is applied */
    uint64_t snapshot_index;    /* that the log durably names: its file must stay */
    uint64_t log_size;          /* bytes since that snapshot */
    uint64_t snapshot_due_size; /* bytes of log that make the next one due */
};
void tt_node_view(const struct tt_node *node, struct tt_node_view *ret);
void tt_node_status(const struct tt_node *node, struct tt_cluster_status *ret);

struct tt_node_stats {
    uint64_t step_count;               /* events given to libraft's core */
    uint64_t entry_count;              /* appended here as leader */
    uint64_t command_count;            /* in them */
    uint64_t frame_dropped_count;      /* undecodable, foreign or unexpected */
    uint64_t read_round_count;         /* probes sent */
    uint64_t read_count;               /* reads answered by them */
    uint64_t snapshot_sent_count;      /* that a peer was done with */
    uint64_t snapshot_installed_count; /* received from a leader and installed here */
};
void tt_node_stats(const struct tt_node *node, struct tt_node_stats *ret);

#endif
