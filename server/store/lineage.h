/* Versions of one store and the freeing of what no version reaches any more.
 *
 * Nodes are not reference-counted (copying a leaf would touch 64 items); instead each version keeps
 * the list of what the *next* batch took out. When a version dies, its list is looked through once:
 * what was born after the next older living version can be reached from nowhere and is freed; the
 * rest moves to that older version's list. An item that was replaced is not on a list: the change
 * in history owns it, and when the chunk of that change goes, the same is decided for each of its
 * items. So a version pinned for minutes holds only what it reaches itself. The work is done by the
 * thread that dropped the last reference, or handed over when it is large.
 *
 * Ownership: a lineage lives as long as its store and its versions. Thread: publish by the writer;
 * acquire and unref by any. The lock guards only O(1) list operations; readers take it only when a
 * version dies. Errors: none. */
#ifndef SERVER_STORE_LINEAGE_H
#define SERVER_STORE_LINEAGE_H

#include <pthread.h>

#include "base/queue.h"
#include "server/store/history.h"
#include "server/store/store.h"

struct store_lineage {
    pthread_mutex_t lock;    /* guards versions, closed and what versions say is under it */
    struct tt_list versions; /* oldest first; the dying stay in until they are done */
    bool closed;             /* no more versions will come: free with the last one */
    struct tt_store_reclaimer *reclaimer; /* NULL: everything is freed where it dies */
};

/* What commands change: the writer's working copy, and, immutable, in each version. */
struct store_state {
    struct store_tree rows;       /* the ordered map */
    struct store_tree onces;      /* exactly-once entries by sequence (once.h) */
    struct store_history history; /* up to the newest change; its chunks are shared by versions */
    uint64_t index;               /* raft index applied last */
    uint64_t time_ms;             /* latest leader time */
    uint64_t row_bytes;           /* of live keys and values */
    uint64_t history_bytes;       /* that only history keeps alive */
    uint64_t once_sequence;       /* last one given */
    uint64_t chain_hash;          /* hash.h */
    uint64_t content_hash;        /* hash.h */
    uint32_t feature_level;       /* of commands that are understood; only rises */
};

struct tt_version {
    atomic_int_fast64_t refs;          /* the store's own counts STORE_SLOT_BIAS */
    struct store_lineage *lineage;     /* kept alive by this version, too */
    uint64_t batch;                    /* that it is the end of; rises from version to version */
    struct store_state state;          /* immutable */
    struct tt_list link;               /* lineage->versions; under its lock */
    struct store_garbage_list garbage; /* under the lock: taken out by later batches */
    bool last;                         /* under the lock: its trees and history die with it */
};

/* The published version: pointer and the references given out since, in one word, so that a reader
 * takes one with a single add and the writer swaps with a single exchange. */
struct store_slot {
    _Atomic uint64_t word; /* low 48 bits: struct tt_version *, high 16: references given out */
};
struct tt_version *store_slot_acquire(struct store_slot *slot);

/* A lineage whose first version is `state`; it takes the place of what the slot held (whose lineage
 * has ended, if there was one). */
struct store_lineage *store_lineage_new(struct store_slot *slot, const struct store_state *state,
                                        uint64_t batch, struct tt_store_reclaimer *reclaimer);
/* Makes `state` the published version; `retired` (emptied) is what the batch took out. */
void store_lineage_publish(struct store_lineage *lineage, struct store_slot *slot,
                           const struct store_state *state, uint64_t batch,
                           struct store_garbage_list *retired);
/* The published version is the last one: with it the trees and the history go. */
void store_lineage_end(struct store_lineage *lineage, const struct store_slot *slot);
/* Ends it and empties the slot. The lineage frees itself after its last version. */
void store_lineage_close(struct store_lineage *lineage, struct store_slot *slot);

#endif
