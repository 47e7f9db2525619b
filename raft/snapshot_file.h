/* Snapshot files: an opaque byte stream (the store's) in zstd-compressed chunks with a SHA-256 over
 * all of it, and the metadata raft needs.
 *
 * Written to a temporary name, synced, renamed: a snapshot that can be listed is complete. Its name
 * holds index and term. Readers verify every chunk's CRC and, at the end, the SHA-256, so a damaged
 * file is refused, never half restored unnoticed. The same bytes travel to a peer: the sender reads
 * raw pieces, the receiver writes them to a temporary name and verifies before it installs.
 *
 * Ownership: each struct owns its file. Thread: one at a time; they block on the disk, so from the
 * pool. Errors: TT_ECORRUPT for damaged contents, else the disk's. */
#ifndef RAFT_SNAPSHOT_FILE_H
#define RAFT_SNAPSHOT_FILE_H

#include "base/buf.h"
#include "base/mem.h"
#include "raft/disk.h"

enum {
    TT_SNAPSHOT_HASH_SIZE = 32,
    TT_SNAPSHOT_CONFIGURATION_SIZE_MAX = 64 << 10,
    TT_SNAPSHOT_CHUNK_SIZE = 256 << 10, /* bytes of the stream per chunk, before compression */
    TT_SNAPSHOT_PIECE_SIZE_MAX = 1 << 20,
    TT_SNAPSHOT_HANDLE_SIZE = 56, /* of tt_snapshot_handle_encode */
};

struct tt_snapshot_meta {
    uint64_t index;               /* of the last entry it contains */
    uint64_t term;                /* of that entry */
    uint64_t configuration_index; /* of the configuration below */
    uint64_t revision;            /* of the store */
    uint32_t feature_level;       /* of the store's state */
    struct tt_str configuration;  /* encoded members; borrowed */
};

/* What names a snapshot in the log and between peers: small, passed through raft unread. */
struct tt_snapshot_handle {
    uint64_t index;                      /* of the last entry in it */
    uint64_t term;                       /* of that entry */
    uint64_t size;                       /* bytes of the file */
    uint8_t hash[TT_SNAPSHOT_HASH_SIZE]; /* SHA-256 of the file but for its trailer */
};
void tt_snapshot_handle_encode(const struct tt_snapshot_handle *handle,
                               uint8_t out[TT_SNAPSHOT_HANDLE_SIZE]);
int tt_snapshot_handle_decode(struct tt_str bytes, struct tt_snapshot_handle *ret,
                              struct tt_err *err) TT_MUST_USE;

/* Writing our own. */
struct tt_snapshot_file_writer;
int tt_snapshot_file_create(const struct tt_disk *disk, const char *dir,
                            const struct tt_snapshot_meta *meta,
                            struct tt_snapshot_file_writer **ret, struct tt_err *err) TT_MUST_USE;
int tt_snapshot_file_append(struct tt_snapshot_file_writer *writer, struct tt_str bytes,
                            struct tt_err *err) TT_MUST_USE; /* any cut */
/* Durable under its final name when it returns 0. */
int tt_snapshot_file_commit(struct tt_snapshot_file_writer *writer, struct tt_snapshot_handle *ret,
                            struct tt_err *err) TT_MUST_USE;
/* Without commit the temporary file is removed. */
void tt_snapshot_file_writer_free(struct tt_snapshot_file_writer *writer);
TT_DEFINE_AUTO(tt_snapshot_file_writer)

/* Receiving one from a peer: raw pieces in order, then commit verifies all of it against `handle`
 * before the rename. */
struct tt_snapshot_file_receiver;
int tt_snapshot_file_receive(const struct tt_disk *disk, const char *dir,
                             const struct tt_snapshot_handle *handle,
                             struct tt_snapshot_file_receiver **ret,
                             struct tt_err *err) TT_MUST_USE;
uint64_t tt_snapshot_file_receiver_offset(const struct tt_snapshot_file_receiver *receiver);
int tt_snapshot_file_receiver_append(struct tt_snapshot_file_receiver *receiver,
                                     struct tt_str piece, struct tt_err *err) TT_MUST_USE;
int tt_snapshot_file_receiver_commit(struct tt_snapshot_file_receiver *receiver,
                                     struct tt_err *err) TT_MUST_USE;
void tt_snapshot_file_receiver_free(struct tt_snapshot_file_receiver *receiver);
TT_DEFINE_AUTO(tt_snapshot_file_receiver)

/* Reading. Open checks the header; `next` yields the stream chunk by chunk and has checked each;
 * the end is reported only after the whole file's hash was right: until then what was restored is
 * provisional. */
struct tt_snapshot_file;
int tt_snapshot_file_open(const struct tt_disk *disk, const char *dir, uint64_t index,
                          uint64_t term, struct tt_snapshot_file **ret,
                          struct tt_err *err) TT_MUST_USE;
const struct tt_snapshot_meta *tt_snapshot_file_meta(const struct tt_snapshot_file *file);
struct tt_snapshot_handle tt_snapshot_file_handle(const struct tt_snapshot_file *file);
/* *ret_chunk is borrowed until the next call; empty = the end, everything was verified. */
int tt_snapshot_file_next(struct tt_snapshot_file *file, struct tt_str *ret_chunk,
                          struct tt_err *err) TT_MUST_USE;
/* Raw bytes of the file for a peer; at most TT_SNAPSHOT_PIECE_SIZE_MAX, shorter only at the end. */
int tt_snapshot_file_piece(struct tt_snapshot_file *file, uint64_t offset, size_t size,
                           struct tt_buf *out, struct tt_err *err) TT_MUST_USE;
int tt_snapshot_file_verify(struct tt_snapshot_file *file,
                            struct tt_err *err) TT_MUST_USE; /* reads it all; starts over after */
void tt_snapshot_file_free(struct tt_snapshot_file *file);
TT_DEFINE_AUTO(tt_snapshot_file)

struct tt_pace; /* base/pace.h */

/* The directory. */
enum { TT_SNAPSHOT_LIST_MAX = 64 };
struct tt_snapshot_name {
    uint64_t index; /* of the last entry in it */
    uint64_t term;  /* of that entry */
};
/* Newest (highest index) first; leftovers of interrupted writes are not listed. */
int tt_snapshot_file_list(const struct tt_disk *disk, const char *dir,
                          struct tt_snapshot_name ret[TT_SNAPSHOT_LIST_MAX], size_t *ret_count,
                          struct tt_err *err) TT_MUST_USE;
/* Start-up, before any writer or receiver: removes interrupted writes and complete files the log
 * does not know of (a crash between the file and its record). They would count as the newest ones
 * later and push out the one the log names. recorded: the log's; index 0 = it names none. */
int tt_snapshot_file_settle(const struct tt_disk *disk, const char *dir,
                            const struct tt_snapshot_name *recorded,
                            struct tt_err *err) TT_MUST_USE;
struct tt_snapshot_retention {
    size_t keep;           /* newest that stay; 2 is right */
    uint64_t pinned_index; /* stays too (a peer is being sent it); 0 = none */
    struct tt_pace *pace;  /* kept; rests between the pieces of a large file; NULL: no rests */
};
/* Removes the others. One that is being read ends before its end: its reader gets an error. */
int tt_snapshot_file_retain(const struct tt_disk *disk, const char *dir,
                            const struct tt_snapshot_retention *retention,
                            struct tt_err *err) TT_MUST_USE;

#endif
