/* Any bytes as a peer's frame: refused, or a message within every limit whose pieces are its
 * attachment, and that survives being encoded and decoded again.
 *
 * The first two bytes of the input say how much of the rest is the head, so that a change of either
 * part keeps the other one whole. */
#include "base/intmath.h"
#include "base/mem.h"
#include "raft/node.h"
#include "raft/peer_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // NOLINT: the name is libFuzzer's

enum { HEAD_AT = 4, TAG_SIZE = 1, CLUSTER_SIZE = 8 };

/* Takes every piece as the node would; returns what is left of the attachment. */
static size_t take_pieces(const Tt__Peer__Message *message, struct peer_attachment attachment)
{
    struct tt_bytes *pieces[PEER_PIECES_MAX];
    size_t count = 0;
    if (message->body_case == TT__PEER__MESSAGE__BODY_APPEND_ENTRIES) {
        for (size_t i = 0; i < message->append_entries->n_entries; i++) {
            pieces[count++] =
                peer_piece_keep(&attachment, message->append_entries->entries[i]->size);
        }
    } else if (message->body_case == TT__PEER__MESSAGE__BODY_FORWARD) {
        for (size_t i = 0; i < message->forward->n_size; i++) {
            pieces[count++] = peer_piece_take(&attachment, message->forward->size[i]);
        }
    } else if (message->body_case == TT__PEER__MESSAGE__BODY_SNAPSHOT_PIECE) {
        pieces[count++] = peer_piece_take(&attachment, message->snapshot_piece->size);
    }
    for (size_t i = 0; i < count; i++) {
        tt_bytes_unref(pieces[i]);
    }
    return attachment.frame->size - attachment.at;
}

static void check_again(uint64_t cluster, Tt__Peer__Message *message,
                        const struct peer_attachment *attachment)
{
    if (tt__peer__message__get_packed_size(message) > PEER_HEAD_SIZE_MAX) {
        return; /* it came in a shorter form than ours */
    }
    struct tt_bytes *parts[] = {peer_encode(cluster, message),
                                tt_bytes_slice(attachment->frame, attachment->at,
                                               attachment->frame->size - attachment->at)};
    struct tt_bytes *frame = tt_bytes_join(parts, 2);
    Tt__Peer__Message *again = NULL;
    struct peer_attachment rest;
    int r = peer_decode(cluster, frame, &again, &rest, NULL);
    /* Unknown fields travel along and may decide otherwise the second time. */
    TT_ASSERT(r != 0 || message->base.n_unknown_fields > 0 ||
              again->body_case == message->body_case);
    if (message->body_case == TT__PEER__MESSAGE__BODY_SNAPSHOT_OFFER) {
        struct tt_node_snapshot snapshot;
        peer_snapshot_from_wire(message->snapshot_offer->snapshot, &snapshot);
        TT_ASSERT(snapshot.config_size <= sizeof snapshot.config);
    }
    peer_message_free(again);
    tt_bytes_unref(frame);
    tt_bytes_unref(parts[0]);
    tt_bytes_unref(parts[1]);
}

/* The frame: a head that begins with our cluster, then the attachment. */
static struct tt_bytes *frame_of(uint64_t cluster, const uint8_t *data, size_t size)
{
    size_t head = size >= 2 ? tt_size_min(data[0] | (size_t)data[1] << 8, size - 2) : 0;
    uint8_t *to;
    size_t prefix = HEAD_AT + TAG_SIZE + CLUSTER_SIZE;
    size_t rest = size >= 2 ? size - 2 : 0;
    struct tt_bytes *frame = tt_bytes_new_uninit(prefix + rest, &to);
    tt_le32_put(to, (uint32_t)(TAG_SIZE + CLUSTER_SIZE + head));
    to[HEAD_AT] = 1 << 3 | 1; /* field 1, fixed64 */
    tt_le64_put(to + HEAD_AT + TAG_SIZE, cluster);
    if (rest > 0) {
        memcpy(to + prefix, data + 2, rest);
    }
    return frame;
}

static void decode(uint64_t cluster, struct tt_bytes *frame)
{
    Tt__Peer__Message *message = NULL;
    struct peer_attachment attachment;
    if (peer_decode(cluster, frame, &message, &attachment, NULL) == 0) {
        TT_ASSERT(message->body_case != TT__PEER__MESSAGE__BODY__NOT_SET);
        TT_ASSERT(take_pieces(message, attachment) == 0);
        check_again(cluster, message, &attachment);
        peer_message_free(message);
    }
    tt_bytes_unref(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) // NOLINT
{
    uint64_t cluster = peer_cluster_hash("fuzz");
    decode(cluster, frame_of(cluster, data, size));
    decode(cluster, tt_bytes_new(data, size));
    struct tt_membership membership;
    if (tt_membership_decode(tt_str((const char *)data, size), &membership, NULL) == 0) {
        struct tt_bytes *bytes = NULL;
        TT_ASSERT(tt_membership_encode(&membership, &bytes, NULL) == 0);
        tt_bytes_unref(bytes);
    }
    return 0;
}
