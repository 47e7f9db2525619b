/* Encoding and checked decoding of peer messages.
 *
 * Happy path: protobuf-c unpacks the head within a memory budget, the message is checked by a
 * function per type, which takes off the attachment what its sizes name; when nothing is left, the
 * node gets it. Failure: anything beyond a limit is TT_EPROTO and the frame is dropped; the sender
 * is an authenticated server, so this means a bug or another version, and raft goes on as if the
 * frame had been lost. */
#include "raft/peer_codec.h"

#include <inttypes.h>

#include "base/intmath.h"
#include "base/mem.h"
#include "raft/node.h"

enum {
    HEAD_AT = 4,               /* u32 size of the head */
    DECODE_SIZE_MAX = 1 << 20, /* an unpacked head costs at most this */
    /* A piece that is kept is copied when it is a smaller part of its frame than one in so many:
     * one entry of many in a frame could otherwise keep all the others in memory. */
    KEEP_SHARE = 4,
};

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
    TT_ASSERT(size <= PEER_HEAD_SIZE_MAX);
    uint8_t *data;
    struct tt_bytes *head = tt_bytes_new_uninit(HEAD_AT + size, &data);
    tt_le32_put(data, (uint32_t)size);
    size_t packed = tt__peer__message__pack(message, data + HEAD_AT);
    TT_ASSERT(packed == size);
    return head;
}

struct tt_bytes *peer_piece_take(struct peer_attachment *attachment, size_t size)
{
    size_t at = attachment->at;
    attachment->at += size;
    return tt_bytes_slice(attachment->frame, at, size);
}

struct tt_bytes *peer_piece_keep(struct peer_attachment *attachment, size_t size)
{
    const struct tt_bytes *frame = attachment->frame;
    if (size >= frame->size / KEEP_SHARE) {
        return peer_piece_take(attachment, size);
    }
    const uint8_t *from = frame->ptr + attachment->at;
    peer_piece_skip(attachment, size);
    return tt_bytes_new(from, size);
}

void peer_piece_skip(struct peer_attachment *attachment, size_t size)
{
    TT_ASSERT(size <= attachment->frame->size - attachment->at);
    attachment->at += size;
}

void peer_message_free(Tt__Peer__Message *message)
{
    ProtobufCAllocator from = allocator();
    if (message) {
        tt__peer__message__free_unpacked(message, &from);
    }
}

/* Takes a piece off the front of what is left of the attachment. */
static bool piece_valid(size_t size, size_t size_max, struct tt_str *left, struct tt_str *ret_piece)
{
    if (size > size_max || size > left->len) {
        return false;
    }
    *ret_piece = tt_str_head(*left, size);
    *left = tt_str_skip(*left, size);
    return true;
}

static bool entry_valid(const Tt__Peer__Entry *entry, struct tt_str *left)
{
    struct tt_str payload;
    if (entry->term == 0 || !piece_valid(entry->size, TT_WAL_ENTRY_SIZE_MAX, left, &payload)) {
        return false;
    }
    if (entry->type == RAFT_CHANGE) {
        struct tt_membership membership;
        return tt_membership_decode(payload, &membership, NULL) == 0;
    }
    return entry->type == RAFT_COMMAND || entry->type == RAFT_BARRIER;
}

static bool append_entries_valid(const Tt__Peer__AppendEntries *append, struct tt_str *left)
{
    if (append->term == 0 || append->n_entries > PEER_ENTRIES_MAX ||
        append->prev_log_index > UINT64_MAX - PEER_ENTRIES_MAX ||
        (append->prev_log_index == 0) != (append->prev_log_term == 0)) {
        return false;
    }
    uint64_t term = append->prev_log_term;
    for (size_t i = 0; i < append->n_entries; i++) {
        const Tt__Peer__Entry *entry = append->entries[i];
        if (!entry_valid(entry, left) || entry->term < term || entry->term > append->term) {
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

static bool forward_valid(const Tt__Peer__Forward *forward, struct tt_str *left)
{
    if (forward->term == 0 || forward->n_size == 0 || forward->n_size > PEER_COMMANDS_MAX ||
        forward->n_timeout_ms != forward->n_size ||
        forward->first_request > UINT64_MAX - PEER_COMMANDS_MAX) {
        return false;
    }
    for (size_t i = 0; i < forward->n_size; i++) {
        struct tt_str command;
        if (forward->size[i] == 0 || forward->timeout_ms[i] > PEER_TIMEOUT_MS_MAX ||
            !piece_valid(forward->size[i], TT_NODE_COMMAND_SIZE_MAX, left, &command)) {
            return false;
        }
    }
    return true;
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

static bool snapshot_piece_valid(const Tt__Peer__SnapshotPiece *piece, struct tt_str *left)
{
    struct tt_str bytes;
    return piece->term > 0 && piece->index > 0 &&
           piece->offset <= UINT64_MAX - PEER_PIECE_SIZE_MAX &&
           piece_valid(piece->size, PEER_PIECE_SIZE_MAX, left, &bytes);
}

static bool raft_body_valid(const Tt__Peer__Message *message, struct tt_str *left)
{
    const Tt__Peer__RequestVote *vote;
    switch ((int)message->body_case) {
    case TT__PEER__MESSAGE__BODY_REQUEST_VOTE:
        vote = message->request_vote;
        return vote->term > 0 && (vote->last_log_index == 0) == (vote->last_log_term == 0);
    case TT__PEER__MESSAGE__BODY_REQUEST_VOTE_RESULT:
        return message->request_vote_result->term > 0;
    case TT__PEER__MESSAGE__BODY_APPEND_ENTRIES:
        return append_entries_valid(message->append_entries, left);
    case TT__PEER__MESSAGE__BODY_APPEND_ENTRIES_RESULT:
        return message->append_entries_result->term > 0;
    case TT__PEER__MESSAGE__BODY_TIMEOUT_NOW:
        return message->timeout_now->term > 0;
    case TT__PEER__MESSAGE__BODY_SNAPSHOT_OFFER:
        return message->snapshot_offer->term > 0 &&
               snapshot_valid(message->snapshot_offer->snapshot);
    case TT__PEER__MESSAGE__BODY_SNAPSHOT_PIECE:
        return snapshot_piece_valid(message->snapshot_piece, left);
    default:
        return false;
    }
}

static bool client_body_valid(const Tt__Peer__Message *message, struct tt_str *left)
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
        return forward_valid(message->forward, left);
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

int peer_decode(uint64_t cluster, struct tt_bytes *frame, Tt__Peer__Message **ret_message,
                struct peer_attachment *ret_attachment, struct tt_err *err)
{
    if (frame->size < HEAD_AT || frame->size > PEER_FRAME_SIZE_MAX) {
        return TT_FAIL(err, TT_EPROTO, "peer frame of %zu bytes", frame->size);
    }
    size_t size = tt_le32_get(frame->ptr);
    if (size > PEER_HEAD_SIZE_MAX || size > frame->size - HEAD_AT) {
        return TT_FAIL(err, TT_EPROTO, "head of %zu bytes in a peer frame of %zu", size,
                       frame->size);
    }
    ProtobufCAllocator from = allocator();
    Tt__Peer__Message *message = tt__peer__message__unpack(&from, size, frame->ptr + HEAD_AT);
    if (!message) {
        return TT_FAIL(err, TT_EPROTO, "head of %zu bytes cannot be unpacked", size);
    }
    if (message->cluster != cluster) {
        peer_message_free(message);
        return TT_FAIL(err, TT_EPROTO, "peer frame of another cluster");
    }
    struct tt_str left = tt_str_skip(tt_bytes_view(frame), HEAD_AT + size);
    bool valid = raft_body_valid(message, &left) || client_body_valid(message, &left);
    if (!valid || left.len > 0) {
        int body = (int)message->body_case;
        peer_message_free(message);
        return TT_FAIL(err, TT_EPROTO, "peer message of type %d %s", body,
                       valid ? "with bytes that it does not name" : "breaks a limit");
    }
    *ret_message = message;
    *ret_attachment = (struct peer_attachment){.frame = frame, .at = HEAD_AT + size};
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
