/* Messages between servers: proto/peer.proto, with every size and number checked on the way in.
 *
 * A frame is its head, which is a message, and behind it the attachment: the payloads of entries,
 * commands and snapshot pieces, which the message names only by their sizes. They are sent from
 * where they lie and used where they arrived.
 *
 * After a successful decode the node may rely on: a body is set; strings and bytes are within the
 * limits below; enumerations are known; the sizes add up to the attachment; entries have a term,
 * and a RAFT_CHANGE decodes into a legal configuration.
 * Ownership: a decoded message is freed with peer_message_free; encode borrows and returns one
 * reference; pieces are references of their own. Thread: any. Errors: TT_EPROTO for anything
 * malformed or beyond a limit. */
#ifndef RAFT_PEER_CODEC_H
#define RAFT_PEER_CODEC_H

#include "base/buf.h"
#include "proto/peer.pb-c.h"
#include "raft/membership.h"

enum {
    PEER_FRAME_SIZE_MAX = 8 << 20,
    PEER_HEAD_SIZE_MAX = 16 << 10,         /* of the message in it */
    PEER_PIECES_MAX = 255,                 /* of an attachment */
    PEER_ENTRIES_MAX = 64,                 /* in one AppendEntries */
    PEER_COMMANDS_MAX = 255,               /* in one Forward */
    PEER_ATTACHMENT_SIZE_TARGET = 1 << 20, /* a sender starts a new frame beyond it */
    PEER_TEXT_SIZE_MAX = 256,
    PEER_PIECE_SIZE_MAX = 1 << 20,
    PEER_TIMEOUT_MS_MAX = 3600 * 1000,
};

uint64_t peer_cluster_hash(const char *cluster_id); /* stable: it is on the wire */
/* The frame up to its attachment. message->cluster is filled in. */
struct tt_bytes *peer_encode(uint64_t cluster, Tt__Peer__Message *message);
/* What is left of a received frame's attachment. */
struct peer_attachment {
    struct tt_bytes *frame; /* borrowed: valid as long as the message */
    size_t at;              /* of the next piece, in the frame */
};
int peer_decode(uint64_t cluster, struct tt_bytes *frame, Tt__Peer__Message **ret_message,
                struct peer_attachment *ret_attachment, struct tt_err *err) TT_MUST_USE;
void peer_message_free(Tt__Peer__Message *message); /* NULL is fine */
/* The next piece, for what is used soon: the whole frame stays in memory as long as it. */
struct tt_bytes *peer_piece_take(struct peer_attachment *attachment, size_t size);
/* The next piece, for what may be kept for long: it costs at most a few times its own size. */
struct tt_bytes *peer_piece_keep(struct peer_attachment *attachment, size_t size);
void peer_piece_skip(struct peer_attachment *attachment, size_t size);

/* Snapshots as messages. to_wire borrows `snapshot` for the life of *ret. */
struct tt_node_snapshot;
void peer_snapshot_to_wire(const struct tt_node_snapshot *snapshot, Tt__Peer__Snapshot *ret);
void peer_snapshot_from_wire(const Tt__Peer__Snapshot *wire, struct tt_node_snapshot *ret);

#endif
