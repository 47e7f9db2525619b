/* The replica: one raft member in production. Wires the pure node to its log thread, transport,
 * snapshot files and store, on the core thread, and offers them to the rest of the program as a
 * proposer and a cluster (server/store/proposer.h).
 *
 *   new (blocking: lock, log, newest snapshot into the store) → start → … → stop → free
 *
 * Ownership: owns data directory, log, store, node, transport and the core thread.
 * Thread: new/start/stop/free from the composition root; the doors from any thread.
 * Errors: new: TT_ECORRUPT when the directory was damaged; it is then in quarantine and the server
 * must join anew. Later failures that end the member are reported once through `fatal`. */
#ifndef RAFT_REPLICA_H
#define RAFT_REPLICA_H

#include "base/clock.h"
#include "base/loop.h"
#include "base/work.h"
#include "raft/log_thread.h"
#include "raft/node.h"
#include "raft/transport.h"

struct tt_replica_config {
    const char *data_dir;              /* all strings are copied */
    const char *name;                  /* of this server, as in its certificate */
    const char *cluster;               /* SPIFFE trust domain */
    const char *api_address;           /* host:port that clients reach, announced to the members */
    const char *peer_host;             /* numeric, to listen on */
    uint16_t peer_port;                /* to listen on; 0 = any free one */
    struct tt_tls_context *server_tls; /* refs; ALPN TT_TRANSPORT_ALPN */
    struct tt_tls_context *client_tls; /* refs */
    struct tt_pool *pool;              /* keeps: log reads, segment filling, freeing */
    struct tt_pool *slow_pool;         /* keeps: snapshots (niced) */
    const struct tt_clock *clock;      /* kept */
    struct tt_store_reclaimer *reclaimer; /* keeps while a version lives; NULL: freed in place */
    uint64_t snapshot_log_size_min;       /* bytes; 0 = default */
    uint32_t snapshot_trailing;           /* entries kept behind a snapshot; 0 = default */
    /* Only when the data directory holds no member yet: */
    const char *cluster_id;          /* the same on all members */
    uint64_t member_id;              /* of this server */
    const struct tt_member *initial; /* all first members with this one; borrowed */
    size_t initial_count;            /* 0: joins an existing cluster, knows nothing yet */
    const struct tt_member *known;   /* joining: whom to talk with until the log says; borrowed */
    size_t known_count;              /* of known */
    void (*fatal)(void *ctx, const struct tt_err *err); /* any thread, once: end the process */
    void *ctx;                                          /* of fatal */
};

struct tt_replica;
int tt_replica_new(const struct tt_replica_config *config, struct tt_replica **ret_replica,
                   struct tt_err *err) TT_MUST_USE;
int tt_replica_start(struct tt_replica *replica, struct tt_err *err) TT_MUST_USE;
/* Answers all ops, stops raft cleanly, joins the core thread. */
void tt_replica_stop(struct tt_replica *replica);
void tt_replica_free(struct tt_replica *replica);
TT_DEFINE_AUTO(tt_replica)

struct tt_store *tt_replica_store(struct tt_replica *replica);
struct tt_proposer *tt_replica_proposer(struct tt_replica *replica);
struct tt_cluster *tt_replica_cluster(struct tt_replica *replica);
uint64_t tt_replica_member_id(const struct tt_replica *replica);
/* After the revocation lists of both TLS contexts changed. Any thread. */
void tt_replica_recheck_peers(struct tt_replica *replica);
/* Percent of a core for taking a snapshot, by the bytes of log since the last one and those that
 * make one due. */
unsigned tt_replica_snapshot_share(uint64_t log_size, uint64_t due_size);
/* For metrics; copies of about the last 100 ms. */
struct tt_replica_stats {
    struct tt_node_stats node;           /* all since the start of this process */
    struct tt_transport_stats transport; /* up to a second old */
};
void tt_replica_stats(struct tt_replica *replica, struct tt_replica_stats *ret_stats);

#endif
