/* The node's state, shared by its source files (through node_parts.h); nobody else includes it.
 *
 *   node.c          lifecycle, inputs, the turn
 *   node_step.c     raft_step and what its update demands (rules 2, 3, 4, 6, 10)
 *   node_start.c    from the disk's contents to a running core (rules 3, 7)
 *   node_log.c      log requests and what their completions are worth (rule 2)
 *   node_config.c   configurations in the log (rule 9)
 *   node_status.c   what others may see
 *   node_send.c     raft messages out, entries for followers, the outbox (rule 6)
 *   node_announce.c telling followers of a commit at once
 *   node_hasten.c   an election at once when the leader's process is gone
 *   node_recv.c     frames in (rule 1)
 *   node_apply.c    committed entries into the state machine, state hashes (rules 5, 7)
 *   node_snapshot.c taking and installing (rules 5, 7, 9)
 *   node_stream.c   a snapshot on its way between two servers (rule 5)
 *   proposals.c, read_index.c, membership_op.c   what clients ask for
 *
 * Ownership, thread, errors: as node.h. */
#ifndef RAFT_NODE_INTERNAL_H
#define RAFT_NODE_INTERNAL_H

#include <raft.h>

#include "base/intmath.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/sm.h"
#include "raft/log_cache.h"
#include "raft/membership.h"
#include "raft/membership_op.h"
#include "raft/node.h"
#include "raft/node_faults.h"
#include "raft/peer_codec.h"
#include "raft/proposals.h"
#include "raft/read_index.h"

enum {
    NODE_PEERS_MAX = 2 * TT_MEMBERS_MAX,
    NODE_CONFIGS_MAX = 8, /* configurations in the log that are not known to be committed */
    NODE_FEED_MAX = PEER_ENTRIES_MAX,
    NODE_HASHES_MAX = 4,
    NODE_TRAILING_MAX = 4096, /* entries kept behind a snapshot; a power of two */
    NODE_TICK_MS = 50,        /* deadlines, retries */
    NODE_INFO_INTERVAL_MS = 2000,
    NODE_READ_SIZE_MAX = 4 << 20,
    NODE_STREAM_RETRY_MS = 1000,
    NODE_STREAM_GIVE_UP_MS = 10000,
};

enum node_state {
    NODE_NEW,        /* before tt_node_start */
    NODE_ELECTING,   /* a sole voter makes its next term and its vote durable (rule 3) */
    NODE_RUNNING,    /* the core is driven */
    NODE_INSTALLING, /* the core is driven, but its log and state are being replaced (rule 5) */
    NODE_FAULTED,    /* rule 10: nothing is done any more */
    NODE_STOPPED,
};

/* A snapshot on its way to a follower. One per peer, the file is pinned by its index. */
enum node_stream_state { STREAM_IDLE, STREAM_OFFERED, STREAM_READING, STREAM_WAITING, STREAM_DONE };
struct node_stream {
    enum node_stream_state state;      /* STREAM_IDLE: the rest means nothing */
    struct tt_node_snapshot *snapshot; /* owned; NULL when idle */
    uint64_t offset;                   /* of the piece being read or acknowledged next */
    uint64_t active_ms;                /* when the peer was last heard about it */
    uint64_t sent_ms;                  /* when the last frame left, for retries */
    uint32_t begun;                    /* how often it was read from the start */
};

struct node_peer {
    uint64_t id;              /* 0: the slot is free */
    bool disk_low;            /* as it says itself */
    uint64_t matched;         /* it holds our log up to here, by its answers in matched_term */
    uint64_t matched_term;    /* of matched and commit_sent: they count in no other term */
    uint64_t commit_sent;     /* the newest commit index it was told in matched_term */
    bool reading;             /* a log read for it is out */
    uint64_t heard_ms;        /* its last frame; 0 = never */
    uint64_t info_ms;         /* its last MemberInfo; 0 = never */
    uint64_t info_last_index; /* last index of the peer's log then */
    char api_address[TT_ADDRESS_SIZE]; /* host:port, as told then; "" = not known */
    struct node_stream stream;         /* our snapshot on its way to it */
    uint64_t hash_index;               /* its newest state hash */
    uint64_t hash;                     /* of its state at hash_index */
};

/* A log request of ours, until done. */
struct node_write {
    struct tt_wal_req req; /* the log queue's until done */
    struct tt_list link;   /* node.writes */
    struct tt_node *node;  /* NULL: the node is gone, just free it */
    uint64_t first;        /* APPEND: first index */
    uint64_t valid_last;   /* APPEND: last index that is still what this write put there (rule 2) */
    uint64_t peer_id;      /* READ: 0 = to apply */
    uint64_t prev_term;    /* READ for a peer: of the entry before */
    uint64_t want;         /* READ: entries wanted */
    struct tt_wal_snapshot snapshot; /* SNAPSHOT, INSTALL: what req.snapshot points to */
    struct tt_err err;               /* what req.err points to */
    struct tt_wal_entry entries[];   /* APPEND: refs; READ: room */
};

/* What must not leave before the term and vote it relies on are durable (rule 6). */
enum node_out_kind { OUT_FRAME, OUT_PROPOSE, OUT_READ, OUT_CHANGE };
struct node_out {
    struct tt_list link;     /* node.outbox */
    enum node_out_kind kind; /* which of frame and op is set */
    uint64_t hold;           /* leaves when node.hold_done has reached it */
    uint64_t peer_id;        /* OUT_FRAME: to whom */
    bool bulk;               /* OUT_FRAME: a snapshot piece */
    union {
        struct tt_propose_op *propose; /* OUT_PROPOSE: the caller's, code set */
        struct tt_read_op *read;       /* OUT_READ: likewise */
        struct tt_change_op *change;   /* OUT_CHANGE: likewise */
    } op;                              /* whose answer it is */
    size_t part_count;                 /* OUT_FRAME: of parts; else 0 */
    struct tt_bytes *parts[];          /* of the frame: references */
};

/* The election that a refused connection brings forward. */
struct node_hasten {
    uint64_t at_ms;     /* the core's timer is to fire then; 0 = as usual */
    uint64_t leader_id; /* who is gone */
    uint64_t since_ms;  /* when that was seen */
    unsigned tries;     /* left */
};

struct node_config_entry {
    uint64_t index;         /* of the entry; 0: of the start */
    struct tt_bytes *bytes; /* a reference */
};

struct tt_node {
    struct tt_node_config config;      /* strings replaced by the copies below */
    char name[TT_NAME_SIZE];           /* of this server */
    char api_address[TT_ADDRESS_SIZE]; /* host:port that clients reach */
    char cluster_id[40];               /* what `cluster` is the hash of */
    uint64_t cluster;                  /* hash of cluster_id */
    struct tt_sm sm;                   /* enum node_state */
    struct raft raft;                  /* libraft's core; valid when raft_open */
    bool raft_open;                    /* raft is initialised */
    uint64_t now_ms;                   /* of the current input; never backwards */
    uint64_t core_ahead_ms;     /* libraft's time is ahead by this: see node_hasten.c; only grows */
    struct node_hasten hasten;  /* an election before the core's own timer */
    struct tt_rng rng;          /* for jitter and the first request id; seeded by config */
    uint64_t next_request;      /* ids of what is asked of other servers */
    struct tt_node_stats stats; /* since the start */
#ifdef TT_SIM
    struct tt_node_faults faults; /* all false unless the simulator sets one */
#endif

    /* The log. */
    struct tt_wal_cache *cache;
    uint64_t epoch;            /* raised at truncation and install */
    uint64_t last_index;       /* of the log in memory */
    uint64_t first_index;      /* of the log on disk, for reads */
    struct tt_list writes;     /* node_write, in order of submission */
    uint64_t log_bytes;        /* since the last snapshot */
    struct tt_node_disk start; /* while NODE_ELECTING: entries are copied */
    /* owned; what start.entries is while NODE_ELECTING, else NULL */
    struct tt_wal_entry *start_entries;

    /* Rule 6. */
    uint64_t hold_seq;     /* of the newest hard state submitted */
    uint64_t hold_done;    /* of the newest hard state durable */
    uint64_t hard_term;    /* as last submitted */
    uint64_t hard_vote;    /* as last submitted; 0 = nobody */
    struct tt_list outbox; /* node_out, oldest first; `hold` never goes down */

    /* Feeding the core: the entries of the step under way, and their payloads. */
    struct raft_entry feed[NODE_FEED_MAX];
    struct tt_bytes *feed_payload[NODE_FEED_MAX]; /* borrowed during the step */
    void *feed_token; /* the "batch" of entries being received: the core's to free or ours */

    /* Commit and apply. */
    uint64_t commit_index;    /* highest seen; libraft's own may step back */
    uint64_t applied_index;   /* in the state machine; at most commit_index */
    uint64_t applied_term;    /* of the entry at applied_index */
    uint64_t published_index; /* visible to readers; at most applied_index */
    bool apply_more;          /* a run was cut short */
    bool apply_reading;       /* a log read for apply is out */
    uint64_t apply_stop;      /* a snapshot waits for applied = this; 0 = none */

    /* Configuration: the newest in the log, and those not known to be committed. */
    struct tt_membership membership;
    uint64_t config_index; /* of `membership` */
    /* the newest known to be committed; bytes NULL: none */
    struct node_config_entry config_committed;
    struct node_config_entry configs[NODE_CONFIGS_MAX]; /* [0, config_count), index rising */
    size_t config_count;                                /* not known to be committed */
    uint64_t removed_index; /* of a committed configuration without this server; 0: a member */

    /* Leadership. */
    bool was_leader;        /* as of the last settle */
    uint64_t lead_term;     /* our term as leader; 0 = not leader */
    uint64_t barrier_index; /* our own barrier of this term; 0 = not appended yet */
    bool ready;             /* barrier applied */
    uint64_t sole_term;     /* term taken by voting for ourselves as the only voter (rule 3) */
    uint64_t led_by;        /* who leads for certain, by its own entries, in led_term */
    uint64_t led_term;      /* 0 = nobody yet */

    struct node_peer peers[NODE_PEERS_MAX]; /* in no order; a slot of no member is used again */
    uint64_t disk_free;                     /* bytes; UINT64_MAX until told */

    struct proposals proposals;  /* writes that are not answered */
    struct read_index reads;     /* linearizable reads that are not answered */
    struct membership_op change; /* the one change of members or leader under way */

    /* Snapshots: our newest, one being taken, one being received and installed. */
    struct tt_node_snapshot *snapshot;        /* owned; index 0 = none */
    uint64_t snapshot_logged;                 /* index of the one the log durably names */
    struct tt_node_snapshot *taking;          /* owned; NULL = none */
    struct tt_node_snapshot *staging;         /* owned; being received */
    uint64_t staging_peer;                    /* who sends it */
    uint64_t staging_term;                    /* newest term that the peer sent it in */
    uint64_t staging_offset;                  /* expected next */
    bool stage_busy;                          /* a stage call is out */
    struct raft_snapshot_metadata installing; /* of the core, while NODE_INSTALLING */
    unsigned install_parts;           /* what the install still waits for: state machine, log */
    bool snapshot_renew;              /* our file seems to be damaged: take another one */
    uint64_t snapshot_retry_ms;       /* none by itself before: one failed or was renewed */
    struct tt_change_op *snapshot_op; /* asked for by hand; NULL = none */
    uint32_t trailing_size[NODE_TRAILING_MAX]; /* bytes of the entry at index modulo that; 0 = not
                                                  known, it was there before the start */

    /* State hashes. */
    uint64_t hash_due_ms;
    uint64_t own_hash_index[NODE_HASHES_MAX]; /* newest first; 0 = none */
    uint64_t own_hash[NODE_HASHES_MAX];       /* [i] is our state hash at own_hash_index[i] */
    uint64_t info_due_ms;                     /* when MemberInfo goes to all members again */
};

#endif
