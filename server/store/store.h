/* The store: what is replicated, and how it is applied. Small, pure, deterministic: no clock, no
 * random numbers, no I/O, no JSON.
 *
 * The writer (core thread) applies commands and publishes one version per batch; readers use
 * version.h. Ownership: the store owns its state; versions keep what they need alive. Thread:
 * everything here on the writer's thread, but for tt_store_version. Errors: an unknown or
 * undecodable command is TT_ECORRUPT and must stop the member. */
#ifndef SERVER_STORE_STORE_H
#define SERVER_STORE_STORE_H

#include "base/queue.h"
#include "server/store/txn.h"

struct tt_apply_result {
    int code; /* 0, TT_ECONFLICT (compare failed), TT_EEXISTS never: an exactly-once retry repeats
                 the old result */
    uint64_t revision_first; /* 0 when the command changed nothing */
    uint64_t revision_last;  /* 0 likewise; else the store's newest now */
    int32_t failed_compare;  /* -1 unless TT_ECONFLICT */
};
/* Called on the writer's thread after each publish: must only wake somebody. */
struct tt_store_listener {
    struct tt_list link; /* the store's, while it listens */
    /* revision: the newest that readers can see now */
    void (*published)(struct tt_store_listener *listener, uint64_t revision);
};

struct tt_pace; /* base/pace.h */
/* Takes dead versions that are costly to free off the thread that dropped them: hand_over must see
 * to it that tt_version_reclaim runs once, on any thread (the pool), not necessarily soon. */
struct tt_store_reclaimer {
    /* any thread; takes dead */
    void (*hand_over)(struct tt_store_reclaimer *reclaimer, struct tt_version *dead);
};
/* What a version held for long left behind may be a million items: between thousands of them it
 * rests (NULL: never), for the memory goes back to threads that others wait for. */
void tt_version_reclaim(struct tt_version *dead, struct tt_pace *pace);

struct tt_store *tt_store_new(void);
/* Versions that readers still hold stay valid. */
void tt_store_free(struct tt_store *store);
TT_DEFINE_AUTO(tt_store)
/* Before the first apply; keeps it until the store and all its versions are gone. */
void tt_store_reclaim_with(struct tt_store *store, struct tt_store_reclaimer *reclaimer);
/* Back to the empty store at revision 0, published: before a snapshot is installed. Listeners stay
 * and are not called. */
void tt_store_clear(struct tt_store *store);
/* Applies one encoded Command at a raft index (strictly rising). Not visible to readers before
 * publish. */
int tt_store_apply(struct tt_store *store, uint64_t index, struct tt_str command,
                   struct tt_apply_result *ret, struct tt_err *err) TT_MUST_USE;
void tt_store_publish(struct tt_store *store);
void tt_store_listen(struct tt_store *store, struct tt_store_listener *listener); /* keeps */
void tt_store_unlisten(struct tt_store *store, struct tt_store_listener *listener);
uint64_t tt_store_hash(
    const struct tt_store *store); /* rolling hash of all applied state, equal on equal members */
uint32_t tt_store_feature_level(const struct tt_store *store);
/* Commands other than transactions. */
struct tt_bytes *tt_command_compact(uint64_t revision);
struct tt_bytes *tt_command_feature_level(uint32_t level);
/* The leader stamps a command with its time just before it is appended (monotone at apply). In
 * place, fixed width: in bytes that nobody else reads yet. */
int tt_command_stamp(uint8_t *command, size_t size, uint64_t wall_ms,
                     struct tt_err *err) TT_MUST_USE;
/* What history wants compacted now (64 MiB or 5 minutes of leader time); 0 = nothing. The leader
 * proposes it. */
uint64_t tt_store_compaction_due(const struct tt_store *store);

/* Snapshots, streamed: encode a pinned version on a pool thread, restore incrementally into an
 * empty store. */
struct tt_snapshot_writer;
struct tt_snapshot_writer *tt_snapshot_writer_new(struct tt_version *version); /* refs */
/* Appends at most about max_size bytes of the stream to out (beyond it by less than one frame, 2
 * MiB). *ret_done when it was the last. */
int tt_snapshot_writer_next(struct tt_snapshot_writer *writer, size_t max_size, struct tt_buf *out,
                            bool *ret_done, struct tt_err *err) TT_MUST_USE;
void tt_snapshot_writer_free(struct tt_snapshot_writer *writer);
TT_DEFINE_AUTO(tt_snapshot_writer)
struct tt_snapshot_reader;
struct tt_snapshot_reader *tt_snapshot_reader_new(struct tt_store *empty_store); /* keeps */
int tt_snapshot_reader_feed(struct tt_snapshot_reader *reader, struct tt_str bytes,
                            struct tt_err *err) TT_MUST_USE; /* any cut */
int tt_snapshot_reader_finish(struct tt_snapshot_reader *reader,
                              struct tt_err *err) TT_MUST_USE; /* checks completeness and hash,
                                                                  then publishes */
/* Without a successful finish the store is empty again. */
void tt_snapshot_reader_free(struct tt_snapshot_reader *reader);
TT_DEFINE_AUTO(tt_snapshot_reader)

#endif
