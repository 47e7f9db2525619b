/* A snapshot on its way between two servers, outside the core (rule 5).
 *
 *   leader                                   follower
 *   offer {snapshot} ────────────────────→   keeps it as `staging`
 *          ←──────────────────────────────   want {offset}
 *   reads the piece, piece {offset, data} →  stages it
 *          ←──────────────────────────────   want {offset + size} … want {done}
 *
 * One stream per peer; what the core asks for again meanwhile is dropped. The follower drives:
 * every frame may be lost, the leader offers again what was not answered for a second and gives up
 * after ten; the core then asks again. A file that cannot be read, here or there, may have rotted
 * on our disk: then a new snapshot is taken in its place. While the follower installs it answers
 * offers with want {size}. */
#include "raft/node_parts.h"

/* Who asks for the beginning more often got something that it cannot read. */
enum { BEGUN_MAX = 3 };

void node_stream_reset(struct node_peer *peer)
{
    tt_free(peer->stream.snapshot);
    memset(&peer->stream, 0, sizeof peer->stream);
}

static void offer(struct tt_node *node, struct node_peer *peer)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__SnapshotOffer wire = TT__PEER__SNAPSHOT_OFFER__INIT;
    Tt__Peer__Snapshot snapshot;
    peer_snapshot_to_wire(peer->stream.snapshot, &snapshot);
    wire.term = node->lead_term;
    wire.snapshot = &snapshot;
    message.body_case = TT__PEER__MESSAGE__BODY_SNAPSHOT_OFFER;
    message.snapshot_offer = &wire;
    node_send(node, peer->id, &message);
    peer->stream.sent_ms = node->now_ms;
}

void node_snapshot_send(struct tt_node *node, uint64_t peer_id)
{
    struct node_peer *peer = node_peer(node, peer_id);
    if (!peer || node->snapshot->index == 0 ||
        (peer->stream.state != STREAM_IDLE && !NODE_FAULT(node, repeats_not_dropped))) {
        return;
    }
    tt_free(peer->stream.snapshot);
    peer->stream.snapshot = tt_xmemdup(node->snapshot, sizeof *node->snapshot);
    peer->stream.state = STREAM_OFFERED;
    peer->stream.active_ms = node->now_ms;
    offer(node, peer);
}

static void read_piece(struct tt_node *node, struct node_peer *peer, uint64_t offset)
{
    const struct tt_node_snapshots *snapshots = &node->config.snapshots;
    if (offset == 0 && ++peer->stream.begun > BEGUN_MAX) {
        node->snapshot_renew = true;
        peer->stream.begun = 0;
    }
    peer->stream.offset = offset;
    peer->stream.state = STREAM_READING;
    peer->stream.sent_ms = node->now_ms;
    snapshots->read(snapshots->ctx, peer->id, peer->stream.snapshot->index, offset);
}

static void receive_want(struct tt_node *node, struct node_peer *peer,
                         const Tt__Peer__SnapshotWant *want)
{
    struct node_stream *stream = &peer->stream;
    if (stream->state == STREAM_IDLE || node->lead_term == 0 ||
        want->index != stream->snapshot->index) {
        return;
    }
    stream->active_ms = node->now_ms;
    if (want->done) {
        node->stats.snapshot_sent_count++;
        node_stream_reset(peer);
    } else if (want->offset >= stream->snapshot->file_size) {
        stream->state = STREAM_DONE; /* all of it is there, it installs */
    } else if (stream->state != STREAM_READING) {
        read_piece(node, peer, want->offset);
    }
}

void tt_node_snapshot_piece(struct tt_node *node, uint64_t peer_id, uint64_t index, uint64_t offset,
                            struct tt_bytes *piece)
{
    (void)node_now(node);
    struct node_peer *peer = node_peer_find(node, peer_id);
    bool expected = node_alive(node) && peer && peer->stream.state == STREAM_READING &&
                    peer->stream.snapshot->index == index && peer->stream.offset == offset;
    if (expected && (!piece || node->lead_term == 0)) {
        node->snapshot_renew = node->snapshot_renew || (!piece && index == node->snapshot->index);
        node_stream_reset(peer); /* gone or unreadable: the core asks again, for a newer one */
    } else if (expected) {
        Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
        Tt__Peer__SnapshotPiece wire = TT__PEER__SNAPSHOT_PIECE__INIT;
        wire.term = node->lead_term;
        wire.index = index;
        wire.offset = offset;
        wire.size = (uint32_t)piece->size;
        message.body_case = TT__PEER__MESSAGE__BODY_SNAPSHOT_PIECE;
        message.snapshot_piece = &wire;
        node_send_with(node, peer_id, &message, &piece, 1);
        peer->stream.state = STREAM_WAITING;
        peer->stream.sent_ms = node->now_ms;
    }
    tt_bytes_unref(piece);
}

static void stream_turn(struct tt_node *node, struct node_peer *peer)
{
    struct node_stream *stream = &peer->stream;
    if (node->lead_term == 0 || node->now_ms - stream->active_ms > NODE_STREAM_GIVE_UP_MS) {
        node_stream_reset(peer);
        return;
    }
    if (node->now_ms - stream->sent_ms < NODE_STREAM_RETRY_MS) {
        return;
    }
    switch (stream->state) {
    case STREAM_OFFERED:
    case STREAM_WAITING: /* the answer says how far it is: from the start, if it started anew */
    case STREAM_DONE:
        offer(node, peer);
        break;
    case STREAM_IDLE:
    case STREAM_READING:
        break;
    }
}

void node_stream_turn(struct tt_node *node)
{
    for (size_t i = 0; i < NODE_PEERS_MAX; i++) {
        if (node->peers[i].stream.state != STREAM_IDLE) {
            stream_turn(node, &node->peers[i]);
        }
    }
}

void node_stream_want(struct tt_node *node, uint64_t peer_id, uint64_t index, uint64_t offset,
                      bool done)
{
    Tt__Peer__Message message = TT__PEER__MESSAGE__INIT;
    Tt__Peer__SnapshotWant want = TT__PEER__SNAPSHOT_WANT__INIT;
    want.index = index;
    want.offset = offset;
    want.done = done;
    message.body_case = TT__PEER__MESSAGE__BODY_SNAPSHOT_WANT;
    message.snapshot_want = &want;
    node_send(node, peer_id, &message);
}

static bool is_same_snapshot(const struct tt_node_snapshot *a, const struct tt_node_snapshot *b)
{
    return a->index == b->index && a->term == b->term && a->config_index == b->config_index &&
           a->config_size == b->config_size && memcmp(a->config, b->config, a->config_size) == 0 &&
           a->file_size == b->file_size && memcmp(a->sha256, b->sha256, sizeof a->sha256) == 0;
}

static void receive_offer(struct tt_node *node, struct node_peer *peer,
                          const Tt__Peer__SnapshotOffer *wire)
{
    struct tt_node_snapshot offered;
    peer_snapshot_from_wire(wire->snapshot, &offered);
    if (wire->term < raft_current_term(&node->raft) || offered.file_size == 0) {
        return;
    }
    if (tt_sm_state(&node->sm) == NODE_INSTALLING) {
        if (node->staging->index == offered.index) {
            node_stream_want(node, peer->id, offered.index, offered.file_size, false);
        }
        return;
    }
    if (node->applied_index >= offered.index) {
        node_stream_want(node, peer->id, offered.index, offered.file_size, true);
        return;
    }
    if (node->stage_busy) {
        return;
    }
    bool same = node->staging && is_same_snapshot(node->staging, &offered);
    if (!same) {
        tt_free(node->staging);
        node->staging = tt_xmemdup(&offered, sizeof offered);
        node->staging_offset = 0;
    }
    node->staging_peer = peer->id;
    node->staging_term = wire->term;
    if (NODE_FAULT(node, fed_unstaged)) {
        node_snapshot_staged(node);
        return;
    }
    node_stream_want(node, peer->id, offered.index, node->staging_offset, false);
}

static void receive_piece(struct tt_node *node, struct node_peer *peer,
                          const Tt__Peer__SnapshotPiece *wire, struct peer_attachment *attachment)
{
    const struct tt_node_snapshots *snapshots = &node->config.snapshots;
    const struct tt_node_snapshot *staging = node->staging;
    if (tt_sm_state(&node->sm) != NODE_RUNNING || !staging || staging->index != wire->index ||
        peer->id != node->staging_peer || node->stage_busy) {
        return;
    }
    if (wire->offset != node->staging_offset) {
        node_stream_want(node, peer->id, wire->index, node->staging_offset, false);
        return;
    }
    if (wire->size == 0 || wire->size > staging->file_size - wire->offset) {
        tt_free(TT_TAKE(node->staging));
        return; /* not what was offered: from the start with the next offer */
    }
    node->staging_term = tt_u64_max(node->staging_term, wire->term);
    node->stage_busy = true;
    snapshots->stage(snapshots->ctx, staging, wire->offset,
                     peer_piece_take(attachment, wire->size));
}

void node_snapshot_receive(struct tt_node *node, struct node_peer *peer,
                           const Tt__Peer__Message *message, struct peer_attachment *attachment)
{
    switch ((int)message->body_case) {
    case TT__PEER__MESSAGE__BODY_SNAPSHOT_OFFER:
        receive_offer(node, peer, message->snapshot_offer);
        break;
    case TT__PEER__MESSAGE__BODY_SNAPSHOT_WANT:
        receive_want(node, peer, message->snapshot_want);
        break;
    case TT__PEER__MESSAGE__BODY_SNAPSHOT_PIECE:
        receive_piece(node, peer, message->snapshot_piece, attachment);
        break;
    default:
        node->stats.frame_dropped_count++;
        break;
    }
}
