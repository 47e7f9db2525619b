/* The deterministic simulator: the production replica but for its threads (replica core, node, log
 * engine, snapshot files, store) over a simulated disk and network, a virtual clock and one seed.
 * Same seed, same run.
 *
 *   sim_world.c     events in virtual time, servers' timers
 *   sim_server.c    one server: start, crash; sim_env.c what its replica core asks for
 *   sim_disk.c      the log's executor over a disk that crashes; lying disks
 *   sim_net.c       frames: dropped, delayed, duplicated, reordered, cut
 *   sim_client.c    writers and readers; sim_admin.c membership changes
 *   sim_check.c     what must always hold; sim_once.c of each single write, sim_conduct.c among
 *                   servers; sim_invariants.h their names
 *   sim_nemesis.c   faults and the healing at the end
 *   sim_rot.c       disks whose bytes change, and the replacement of their members
 *   sim_bugs.c      bugs that must be found, sim_find.c whether they are
 *
 * Ownership: struct sim owns everything. Thread: one. Errors: the first broken invariant ends the
 * run (sim_fail). */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "base/rng.h"
#include "raft/disk_memory.h"
#include "raft/node_parts.h"
#include "raft/replica_core.h"
#include "tests/sim/sim_bugs.h"
#include "tests/sim/sim_faults.h"
#include "tests/sim/sim_invariants.h"

enum {
    SIM_SERVERS_MAX = 10,
    SIM_CLIENTS_MAX = 12,
    SIM_KEYS = 12,
    SIM_MS = 1000, /* virtual time is counted in microseconds */
    SIM_TEXT_SIZE = 400,
};

struct sim;
struct sim_event {
    uint64_t at_us;
    uint64_t order; /* of scheduling: ties are broken by it */
    void (*run)(struct sim *sim, struct sim_event *event);
    int server;           /* -1: of nobody */
    uint32_t incarnation; /* of the server when it was scheduled; an older one is dropped */
    uint64_t a;
    uint64_t b;
    struct tt_bytes *bytes; /* a reference, or NULL */
};

/* What the disk of a server surely holds, kept apart from the code under test. */
struct sim_shadow {
    uint64_t *terms; /* of entries, by index */
    uint64_t cap;
    uint64_t last_index;
    uint64_t snapshot_index; /* everything up to it is in a snapshot */
    uint64_t term;
    uint64_t vote;
};

struct sim_server {
    struct sim *sim;
    int slot;
    uint64_t id;
    char name[TT_NAME_SIZE];
    bool used;
    bool running;
    bool removed;                      /* from the cluster: never started again */
    uint32_t incarnation;              /* raised by each start */
    const struct tt_membership *first; /* while it is made: the first members */
    struct tt_node *node;              /* core.node */
    struct tt_clock clock;
    uint64_t clock_offset_ms;
    uint64_t timer_us; /* UINT64_MAX: none */
    uint64_t paused_until_us;
    bool dirty; /* had input since its last turn */

    struct tt_disk_memory *memory;
    struct tt_disk disk;           /* the above, possibly lying */
    struct tt_disk_file_ops lying; /* of its files */
    struct tt_wal *wal;
    struct tt_msg *log_first; /* requests not begun, in order */
    struct tt_msg **log_last;
    struct tt_msg *sync_first; /* written, being synced */
    struct tt_msg **sync_last;
    bool log_busy;
    uint64_t sync_us; /* usual duration; slow disks have a higher one */
    struct sim_shadow durable;
    struct sim_shadow memory_log; /* as appended, durable or not */

    struct replica_core core;
    struct tt_mailbox *core_box;        /* of the core thread */
    struct tt_mailbox *api_box;         /* of a thread that asks */
    struct tt_fsm fsm;                  /* the store as production wires it */
    struct tt_node_snapshots snapshots; /* likewise */
    struct tt_leadership_listener leadership;
    uint64_t told_term;     /* of leadership; 0 = none */
    uint64_t installs_seen; /* snapshots installed by this incarnation */

    size_t applied_position; /* in sim.applied */
    uint64_t rolling;        /* hash of all that was applied */
    uint64_t state;          /* hash of its store behind that; 0 = not known */
    uint64_t watched;        /* revision up to which its history was compared */
    uint64_t commit_checked;
    bool fault_expected; /* a disk failure was ordered */
    bool rotten;         /* its disk was damaged, and no start has judged it yet */
    bool refused;        /* it found the damage and will not start again */
};

struct sim_applied {
    uint64_t sequence;
    uint64_t rolling;
    uint64_t state; /* hash of the store behind it */
};
struct sim_change {
    uint64_t revision;
    uint64_t hash; /* of key, value, and whether it is a delete */
};

struct sim_link {
    uint64_t cut_until_us;
};

struct sim_options {
    uint64_t seed;
    const struct sim_bug *bug; /* NULL = none */
    bool trace;
    uint64_t chaos_ms;  /* 0 = chosen by the seed */
    size_t voter_count; /* 0 = chosen by the seed */
};

struct sim_client;
struct sim_admin;
struct sim_once;
struct sim {
    struct sim_options options;
    struct tt_rng rng;
    uint64_t now_us;
    uint64_t end_us;
    bool healing;
    enum sim_invariant broken; /* 0 = nothing yet */
    bool failed;
    char text[SIM_TEXT_SIZE]; /* what failed */
    struct sim_event *heap;
    size_t heap_count;
    size_t heap_cap;
    uint64_t order;
    uint64_t event_count;
    uint64_t trace_hash; /* of all events: two runs of a seed must agree */
    uint64_t faults[SIM_FAULT_COUNT];

    struct sim_server servers[SIM_SERVERS_MAX];
    size_t voter_count; /* at the beginning */
    bool rots;          /* disks rot, one at a time; members change only to replace those */
    uint64_t refused_count;
    uint64_t intact_count; /* damaged, and started with everything */
    uint64_t next_id;
    struct sim_link links[SIM_SERVERS_MAX][SIM_SERVERS_MAX]; /* from, to */
    double drop;
    double duplicate;
    double delay_chance; /* of a long delay */
    uint64_t delay_us;   /* usual maximum */
    uint64_t nemesis_gap_ms;
    unsigned election_timeout_ms; /* of all servers; heartbeats are a tenth */

    struct sim_client *clients;
    struct sim_admin *admin;
    uint64_t value_count; /* unique values written */

    /* The one history that everybody must agree with. */
    struct sim_applied *applied;
    size_t applied_count;
    size_t applied_cap;
    struct sim_change *changes;
    size_t change_count;
    size_t change_cap;
    uint64_t completed_revision; /* highest that any client has seen confirmed */
    uint64_t acked_count;
    uint64_t unknown_count;   /* writes whose server said that it does not know */
    uint64_t installed_count; /* snapshots, by servers that are gone */
    uint64_t read_count;
    uint64_t *leaders; /* by term: slot + 1 and incarnation */
    uint64_t leader_cap;
    struct sim_entry_map *entries; /* (index, term) → hash of the payload */
    struct sim_once *once;         /* each write: done, refused */
    struct sim_conduct *conduct;   /* who agreed to whose elections */
};

/* sim_world.c */
void sim_trace(struct sim *sim, const char *fmt, ...) TT_PRINTF(2, 3);
void sim_schedule(struct sim *sim, uint64_t delay_us, struct sim_event event);
void sim_run(struct sim *sim, uint64_t until_us);
uint64_t sim_between(struct sim *sim, uint64_t low, uint64_t high);
struct sim_server *sim_pick(struct sim *sim); /* a running one at random, NULL when none */
struct sim_server *sim_by_id(struct sim *sim, uint64_t id);
struct sim_server *sim_leader(struct sim *sim);

/* sim_server.c */
void sim_server_create(struct sim *sim, int slot, uint64_t id, const struct tt_membership *first);
void sim_server_start(struct sim_server *server);
void sim_server_crash(struct sim_server *server, uint64_t restart_after_ms);
void sim_server_stop(struct sim_server *server, uint64_t restart_after_ms);
void sim_server_turn(struct sim_server *server);
void sim_server_retire(struct sim_server *server); /* its slot is free again */
void sim_server_fini(struct sim_server *server);

/* sim_lying.c */
void sim_disk_open(struct sim_server *server); /* server->disk, lying or not */

/* sim_disk.c */
struct tt_wal_queue sim_disk_queue(struct sim_server *server);
bool sim_disk_has_shadow(const struct sim_shadow *shadow, uint64_t index, uint64_t term);
void sim_shadow_load(struct sim_shadow *shadow, const struct tt_node_disk *disk);

/* sim_env.c */
struct replica_env sim_env(struct sim_server *server);
void sim_env_open(struct sim_server *server);  /* mailboxes, before the core */
void sim_env_close(struct sim_server *server); /* behind a crash: nothing is answered */

/* sim_rot.c */
void sim_rot_step(struct sim *sim);  /* damages a disk, or goes on with a replacement */
bool sim_rot_whole(struct sim *sim); /* every member runs and has everything */
void sim_rot_heal(struct sim *sim);
void sim_rot_judged(struct sim_server *server, bool refused);

/* sim_check.c */
void sim_check_append(struct sim_server *server, const struct tt_wal_req *req);
bool sim_check_is_change(const struct sim *sim, uint64_t index, uint64_t term);
void sim_check_apply(struct sim_server *server, uint64_t index, uint32_t position,
                     struct tt_str command);
void sim_check_applied(struct sim_server *server); /* behind it */
void sim_check_published(struct sim_server *server);
void sim_check_installed(struct sim_server *server);
void sim_check_turn(struct sim_server *server);
void sim_check_frame(struct sim_server *from, uint64_t to_id, const struct tt_bytes *frame);
void sim_check_restart(struct sim_server *server, const struct tt_node_disk *disk);
void sim_check_restored(struct sim_server *server, uint64_t index);
void sim_check_fini(struct sim *sim);

/* sim_once.c */
void sim_once_changed(struct sim *sim, const struct tt_change *change);
void sim_once_refused(struct sim *sim, uint64_t value);
void sim_once_confirmed(struct sim *sim, uint64_t value, uint64_t revision);
void sim_once_fini(struct sim *sim);

/* sim_net.c */
void sim_net_send(struct sim_server *from, uint64_t to_id, struct tt_bytes *frame);
/* Each of the others may see soon that nobody listens at this server's address. */
void sim_net_gone(const struct sim_server *server);

#endif
