/* Any bytes as the body of a peer's frame: refused, or a message within every limit that survives
 * being encoded and decoded again. */
#include "base/intmath.h"
#include "base/mem.h"
#include "raft/node.h"
#include "raft/peer_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // NOLINT: the name is libFuzzer's

static void check_again(uint64_t cluster, Tt__Peer__Message *message)
{
    struct tt_bytes *frame = peer_encode(cluster, message);
    Tt__Peer__Message *again = NULL;
    int r = peer_decode(cluster, tt_str((const char *)frame->ptr, frame->size), &again, NULL);
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) // NOLINT
{
    enum { TAG_SIZE = 1, CLUSTER_SIZE = 8 };
    uint64_t cluster = peer_cluster_hash("fuzz");
    uint8_t *frame = tt_xmalloc(TAG_SIZE + CLUSTER_SIZE + size);
    frame[0] = 1 << 3 | 1; /* field 1, fixed64 */
    tt_le64_put(frame + TAG_SIZE, cluster);
    if (size > 0) {
        memcpy(frame + TAG_SIZE + CLUSTER_SIZE, data, size);
    }
    Tt__Peer__Message *message = NULL;
    struct tt_str view = tt_str((const char *)frame, TAG_SIZE + CLUSTER_SIZE + size);
    if (peer_decode(cluster, view, &message, NULL) == 0) {
        TT_ASSERT(message->body_case != TT__PEER__MESSAGE__BODY__NOT_SET);
        check_again(cluster, message);
        peer_message_free(message);
    }
    struct tt_membership membership;
    if (tt_membership_decode(tt_str((const char *)data, size), &membership, NULL) == 0) {
        struct tt_bytes *bytes = NULL;
        TT_ASSERT(tt_membership_encode(&membership, &bytes, NULL) == 0);
        tt_bytes_unref(bytes);
    }
    tt_free(frame);
    return 0;
}
