/* Encoding and checked decoding of peer messages.
 *
 * Happy path: protobuf-c unpacks within a memory budget, the message is checked by a function per
 * type, the node gets it. Failure: anything beyond a limit is TT_EPROTO and the frame is dropped;
 * the sender is an authenticated server, so this means a bug or another version, and raft goes on
 * as if the frame had been lost. */
#include "raft/peer_codec.h"

#include <inttypes.h>

#include "base/intmath.h"
#include "base/mem.h"
#include "raft/node.h"

/* Unpacked messages cost at most this: the frame itself plus the array of entries. */
enum { DECODE_SIZE_MAX = PEER_FRAME_SIZE_MAX + (1 << 20) };

static void *budget_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return tt_try_malloc(size, DECODE_SIZE_MAX);
}

static void budget_free(void *ctx, void *p)
{
    (void)ctx;
    tt_free(p);
}

static ProtobufCAllocator allocator(void)
{
    return (ProtobufCAllocator){.alloc = budget_alloc, .free = budget_free, .allocator_data = NULL};
}

/* FNV-1a, 64 bits: short, stable, and nobody gains anything by a collision. */
uint64_t peer_cluster_hash(const char *cluster_id)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (const char *p = cluster_id; *p; p++) {
        hash = (hash ^ (uint8_t)*p) * UINT64_C(1099511628211);
    }
    return hash;
}

struct tt_bytes *peer_encode(uint64_t cluster, Tt__Peer__Message *message)
{
    TT_ASSERT(message->body_case != TT__PEER__MESSAGE__BODY__NOT_SET);
    message->cluster = cluster;
    size_t size = tt__peer__message__get_packed_size(message);
    TT_ASSERT(size <= PEER_FRAME_SIZE_MAX);
    uint8_t *data;
    struct tt_bytes *frame = tt_bytes_new_uninit(size, &data);
    size_t packed = tt__peer__message__pack(message, data);
    TT_ASSERT(packed == size);
    return frame;
}

void peer_message_free(Tt__Peer__Message *message)
{
    ProtobufCAllocator from = allocator();
    if (message) {
        tt__peer__message__free_unpacked(message, &from);
    }
}

static bool entry_valid(const Tt__Peer__Entry *entry, size_t *size_left)
{
    if (entry->term == 0 || entry->data.len > *size_left ||
        entry->data.len > TT_WAL_ENTRY_SIZE_MAX) {
        return false;
    }
    *size_left -= entry->data.len;
    if (entry->type == RAFT_CHANGE) {
        struct tt_membership membership;
        return tt_membership_decode(tt_str((const char *)entry->data.data, entry->data.len),
                                    &membership, NULL) == 0;
    }
    return entry->type == RAFT_COMMAND || entry->type == RAFT_BARRIER;
}

static bool append_entries_valid(const Tt__Peer__AppendEntries *append)
{
    if (append->term == 0 || append->n_entries > PEER_ENTRIES_MAX ||
        append->prev_log_index > UINT64_MAX - PEER_ENTRIES_MAX ||
        (append->prev_log_index == 0) != (append->prev_log_term == 0)) {
        return false;
    }
    size_t size_left = PEER_FRAME_SIZE_MAX;
    uint64_t term = append->prev_log_term;
    for (size_t i = 0; i < append->n_entries; i++) {
        const Tt__Peer__Entry *entry = append->entries[i];
        if (!entry_valid(entry, &size_left) || entry->term < term || entry->term > append->term) {
            return false;
        }
        term = entry->term;
    }
    return true;
}

static bool code_valid(int32_t code)
{
    return code <= 0 && tt_err_name(code)[4] != '?';
}

static bool text_valid(const char *text)
{
    return strnlen(text, PEER_TEXT_SIZE_MAX) < PEER_TEXT_SIZE_MAX;
}

static bool forward_valid(const Tt__Peer__Forward *forward)
{
    return forward->timeout_ms <= PEER_TIMEOUT_MS_MAX && forward->command.len > 0 &&
           forward->command.len <= TT_NODE_COMMAND_SIZE_MAX && forward->term > 0;
}

static bool change_valid(const Tt__Peer__Change *change)
{
    return change->timeout_ms <= PEER_TIMEOUT_MS_MAX && change->kind <= TT_CHANGE_SNAPSHOT &&
           strnlen(change->name, TT_NAME_SIZE) < TT_NAME_SIZE &&
           strnlen(change->peer_address, TT_ADDRESS_SIZE) < TT_ADDRESS_SIZE;
}

static bool snapshot_valid(const Tt__Peer__Snapshot *snapshot)
{
    struct tt_membership membership;
    return snapshot && snapshot->index > 0 && snapshot->term > 0 && snapshot->config_index > 0 &&
           snapshot->config_index <= snapshot->index && snapshot->sha256.len == 32 &&
           snapshot->config.len <= TT_SNAPSHOT_CONFIG_SIZE_MAX &&
           tt_membership_decode(tt_str((const char *)snapshot->config.data, snapshot->config.len),
                                &membership, NULL) == 0;
}

static bool member_info_valid(const Tt__Peer__MemberInfo *info)
{
    return strnlen(info->name, TT_NAME_SIZE) < TT_NAME_SIZE &&
           strnlen(info->api_address, TT_ADDRESS_SIZE) < TT_ADDRESS_SIZE;
}

static bool piece_valid(const Tt__Peer__SnapshotPiece *piece)
{
    return piece->term > 0 && piece->index > 0 && piece->data.len <= PEER_PIECE_SIZE_MAX &&
           piece->offset <= UINT64_MAX - PEER_PIECE_SIZE_MAX;
}

static bool raft_body_valid(const Tt__Peer__Message *message)
{
    const Tt__Peer__RequestVote *vote;
    switch ((int)message->body_case) {
    case TT__PEER__MESSAGE__BODY_REQUEST_VOTE:
        vote = message->request_vote;
        return vote->term > 0 && (vote->last_log_index == 0) == (vote->last_log_term == 0);
    case TT__PEER__MESSAGE__BODY_REQUEST_VOTE_RESULT:
        return message->request_vote_result->term > 0;
    case TT__PEER__MESSAGE__BODY_APPEND_ENTRIES:
        return append_entries_valid(message->append_entries);
    case TT__PEER__MESSAGE__BODY_APPEND_ENTRIES_RESULT:
        return message->append_entries_result->term > 0;
    case TT__PEER__MESSAGE__BODY_TIMEOUT_NOW:
        return message->timeout_now->term > 0;
    case TT__PEER__MESSAGE__BODY_SNAPSHOT_OFFER:
        return message->snapshot_offer->term > 0 &&
               snapshot_valid(message->snapshot_offer->snapshot);
    case TT__PEER__MESSAGE__BODY_SNAPSHOT_PIECE:
        return piece_valid(message->snapshot_piece);
    default:
        return false;
    }
}

static bool client_body_valid(const Tt__Peer__Message *message)
{
    switch ((int)message->body_case) {
    case TT__PEER__MESSAGE__BODY_READ_PROBE:
        return message->read_probe->term > 0;
    case TT__PEER__MESSAGE__BODY_READ_PROBE_REPLY:
        return message->read_probe_reply->term > 0;
    case TT__PEER__MESSAGE__BODY_READ_INDEX:
    case TT__PEER__MESSAGE__BODY_STATE_HASH:
    case TT__PEER__MESSAGE__BODY_SNAPSHOT_WANT:
        return true;
    case TT__PEER__MESSAGE__BODY_READ_INDEX_REPLY:
        return code_valid(message->read_index_reply->code);
    case TT__PEER__MESSAGE__BODY_FORWARD:
        return forward_valid(message->forward);
    case TT__PEER__MESSAGE__BODY_FORWARD_REPLY:
        return code_valid(message->forward_reply->code);
    case TT__PEER__MESSAGE__BODY_CHANGE:
        return change_valid(message->change);
    case TT__PEER__MESSAGE__BODY_CHANGE_REPLY:
        return code_valid(message->change_reply->code) && text_valid(message->change_reply->text);
    case TT__PEER__MESSAGE__BODY_MEMBER_INFO:
        return member_info_valid(message->member_info);
    default:
        return false;
    }
}

int peer_decode(uint64_t cluster, struct tt_str frame, Tt__Peer__Message **ret_message,
                struct tt_err *err)
{
    if (frame.len == 0 || frame.len > PEER_FRAME_SIZE_MAX) {
        return TT_FAIL(err, TT_EPROTO, "peer frame of %zu bytes", frame.len);
    }
    ProtobufCAllocator from = allocator();
    Tt__Peer__Message *message =
        tt__peer__message__unpack(&from, frame.len, (const uint8_t *)frame.ptr);
    if (!message) {
        return TT_FAIL(err, TT_EPROTO, "peer frame of %zu bytes cannot be unpacked", frame.len);
    }
    if (message->cluster != cluster) {
        peer_message_free(message);
        return TT_FAIL(err, TT_EPROTO, "peer frame of another cluster");
    }
    if (!raft_body_valid(message) && !client_body_valid(message)) {
        int body = (int)message->body_case;
        peer_message_free(message);
        return TT_FAIL(err, TT_EPROTO, "peer message of type %d breaks a limit", body);
    }
    *ret_message = message;
    return 0;
}

void peer_snapshot_to_wire(const struct tt_node_snapshot *snapshot, Tt__Peer__Snapshot *ret)
{
    tt__peer__snapshot__init(ret);
    ret->index = snapshot->index;
    ret->term = snapshot->term;
    ret->config_index = snapshot->config_index;
    ret->config.data = (uint8_t *)(uintptr_t)snapshot->config;
    ret->config.len = snapshot->config_size;
    ret->file_size = snapshot->file_size;
    ret->sha256.data = (uint8_t *)(uintptr_t)snapshot->sha256;
    ret->sha256.len = sizeof snapshot->sha256;
}

void peer_snapshot_from_wire(const Tt__Peer__Snapshot *wire, struct tt_node_snapshot *ret)
{
    TT_ASSERT(wire->config.len <= sizeof ret->config);
    TT_ASSERT(wire->sha256.len == sizeof ret->sha256);
    memset(ret, 0, sizeof *ret);
    ret->index = wire->index;
    ret->term = wire->term;
    ret->config_index = wire->config_index;
    ret->config_size = (uint32_t)wire->config.len;
    memcpy(ret->config, wire->config.data, wire->config.len);
    ret->file_size = wire->file_size;
    memcpy(ret->sha256, wire->sha256.data, sizeof ret->sha256);
}
