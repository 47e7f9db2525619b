/* Messages between servers: proto/peer.proto, with every size and number checked on the way in.
 *
 * After a successful decode the node may rely on: a body is set; strings and bytes are within the
 * limits below; enumerations are known; entries have a term, and a RAFT_CHANGE decodes into a legal
 * configuration.
 * Ownership: a decoded message is freed with peer_message_free; encode borrows and returns one
 * reference. Thread: any. Errors: TT_EPROTO for anything malformed or beyond a limit. */
#ifndef RAFT_PEER_CODEC_H
#define RAFT_PEER_CODEC_H

#include "base/buf.h"
#include "proto/peer.pb-c.h"
#include "raft/membership.h"

enum {
    PEER_FRAME_SIZE_MAX = 8 << 20,
    PEER_ENTRIES_MAX = 64,              /* in one AppendEntries */
    PEER_ENTRIES_SIZE_TARGET = 1 << 20, /* a sender starts a new frame beyond it */
    PEER_TEXT_SIZE_MAX = 256,
    PEER_PIECE_SIZE_MAX = 1 << 20,
    PEER_TIMEOUT_MS_MAX = 3600 * 1000,
};

uint64_t peer_cluster_hash(const char *cluster_id); /* stable: it is on the wire */
/* message->cluster is filled in. */
struct tt_bytes *peer_encode(uint64_t cluster, Tt__Peer__Message *message);
int peer_decode(uint64_t cluster, struct tt_str frame, Tt__Peer__Message **ret_message,
                struct tt_err *err) TT_MUST_USE;
void peer_message_free(Tt__Peer__Message *message); /* NULL is fine */

/* Snapshots as messages. to_wire borrows `snapshot` for the life of *ret. */
struct tt_node_snapshot;
void peer_snapshot_to_wire(const struct tt_node_snapshot *snapshot, Tt__Peer__Snapshot *ret);
void peer_snapshot_from_wire(const Tt__Peer__Snapshot *wire, struct tt_node_snapshot *ret);

#endif
