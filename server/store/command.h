/* Decoding commands, and records of outside origin with protobuf-c into a bounded arena.
 *
 * Everything that is wrong with a command is TT_ECORRUPT: it was committed, every member sees the
 * same bytes, so the member that cannot apply it must stop. Ownership: what is
 * decoded lives in the arena until its next use, or in the bytes. Thread: one decoder per thread.
 * Errors: TT_ECORRUPT. */
#ifndef SERVER_STORE_COMMAND_H
#define SERVER_STORE_COMMAND_H

#include "proto/store.pb-c.h"
#include "server/store/command_wire.h"
#include "server/store/store.h"

enum {
    STORE_FEATURE_LEVEL_FIRST = 1,  /* of a fresh store; all of proto/store.proto */
    STORE_FEATURE_LEVEL_MAX = 1,    /* that this build understands */
    STORE_IDENTITY_SIZE_MAX = 2048, /* actor, impersonator (SPIFFE allows 2048) */
    STORE_REQUEST_ID_SIZE_MAX = 256,
    STORE_VERB_SIZE_MAX = 64,
    STORE_COMMAND_SIZE_MAX = TT_TXN_SIZE_MAX
};

/* Message unpacking without malloc: the arena is reset before each. */
struct store_decoder {
    struct tt_arena *arena;       /* owned; bounded, reset before each message */
    ProtobufCAllocator allocator; /* of protobuf-c, out of arena; its free does nothing */
};
void store_decoder_init(struct store_decoder *decoder, size_t size_max);
void store_decoder_fini(struct store_decoder *decoder);
/* NULL when it is not such a message, or has unknown fields anywhere, or is too large. */
ProtobufCMessage *store_decode(struct store_decoder *decoder,
                               const ProtobufCMessageDescriptor *type, struct tt_str bytes);
/* Views of the bytes or of the decoder's arena; all sizes checked. feature_level is what the state
 * has. On failure *ret_command is unspecified. */
int store_command_decode(struct store_decoder *decoder, struct tt_str bytes, uint32_t feature_level,
                         struct store_command *ret_command, struct tt_err *err) TT_MUST_USE;
/* The same by protobuf-c alone, in any encoding of the message and of any feature level: what
 * store_command_decode does when the bytes are not in canonical form. */
int store_command_decode_any(struct store_decoder *decoder, struct tt_str bytes,
                             struct store_command *ret_command, struct tt_err *err) TT_MUST_USE;
static inline struct tt_str store_str(ProtobufCBinaryData data)
{
    return tt_str((const char *)data.data, data.len);
}
/* The value of a message (NULL: empty). False when a field is out of range. */
bool store_value_decode(const Tt__Value *message, struct tt_value *ret_value);
void store_value_encode(const struct tt_value *value, Tt__Value *ret_message); /* borrows */
static inline ProtobufCBinaryData store_data(struct tt_str s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)(uintptr_t)s.ptr}; /* only read by packing */
}

#endif
