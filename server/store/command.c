/* Decoding. The size is checked before anything is parsed, the arena bounds what a hostile nesting
 * could make of it, and unknown fields are refused in every message.
 *
 * A command in canonical form, which is how all that tutti encodes arrives, is read straight into
 * views (command_wire.h). Whatever that reader does not take, valid or not, protobuf-c decides: the
 * wire format is protobuf's, and a member whose build reads it by protobuf-c alone must come to the
 * same answer for every sequence of bytes.
 */
#include "server/store/command.h"

#include <inttypes.h>

static void *arena_alloc(void *ctx, size_t size)
{
    return tt_arena_alloc(ctx, size);
}

static void arena_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p; /* goes with the arena */
}

void store_decoder_init(struct store_decoder *decoder, size_t size_max)
{
    decoder->arena = tt_arena_new(64 << 10, size_max);
    decoder->allocator = (ProtobufCAllocator){arena_alloc, arena_free, decoder->arena};
}

void store_decoder_fini(struct store_decoder *decoder)
{
    tt_arena_free(decoder->arena);
}

static bool fields_known(const ProtobufCMessage *message);

/* The submessages of one field of a message. */
static bool field_known(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return true;
    }
    const char *at = (const char *)message + field->offset;
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        const ProtobufCMessage *child;
        memcpy(&child, at, sizeof child);
        return !child || fields_known(child);
    }
    size_t count;
    const ProtobufCMessage *const *children;
    memcpy(&count, (const char *)message + field->quantifier_offset, sizeof count);
    memcpy(&children, at, sizeof children);
    for (size_t i = 0; i < count; i++) {
        if (!fields_known(children[i])) {
            return false;
        }
    }
    return true;
}

/* Recursion is bounded by the nesting of the message types, which is not recursive. */
static bool fields_known(const ProtobufCMessage *message)
{
    if (message->n_unknown_fields > 0) {
        return false;
    }
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        if (!field_known(message, &message->descriptor->fields[i])) {
            return false;
        }
    }
    return true;
}

ProtobufCMessage *store_decode(struct store_decoder *decoder,
                               const ProtobufCMessageDescriptor *type, struct tt_str bytes)
{
    tt_arena_reset(decoder->arena);
    ProtobufCMessage *message =
        protobuf_c_message_unpack(type, &decoder->allocator, bytes.len, (const uint8_t *)bytes.ptr);
    return message && fields_known(message) ? message : NULL;
}

bool store_value_decode(const Tt__Value *message, struct tt_value *ret_value)
{
    if (!message || message->codec < TT_CODEC_JSON || message->codec > TT_CODEC_RECORD) {
        return false;
    }
    struct tt_value value = {
        .codec = (enum tt_codec)message->codec,
        .splice = message->splice,
        .key_id = store_str(message->key_id),
        .bytes = store_str(message->data),
    };
    if (value.bytes.len > TT_VALUE_SIZE_MAX || value.key_id.len > TT_KEY_SIZE_MAX ||
        value.splice > value.bytes.len) {
        return false;
    }
    *ret_value = value;
    return true;
}

void store_value_encode(const struct tt_value *value, Tt__Value *ret_message)
{
    tt__value__init(ret_message);
    ret_message->has_codec = true;
    ret_message->codec = (uint32_t)value->codec;
    ret_message->has_splice = value->splice != 0;
    ret_message->splice = value->splice;
    ret_message->has_key_id = value->key_id.len > 0;
    ret_message->key_id = store_data(value->key_id);
    ret_message->has_data = true;
    ret_message->data = store_data(value->bytes);
}

static bool key_good(ProtobufCBinaryData key)
{
    return key.len > 0 && key.len <= TT_KEY_SIZE_MAX;
}

static int check_txn(const Tt__Txn *txn, struct tt_err *err)
{
    if (txn->n_ops > TT_TXN_OPS_MAX || txn->n_compares > TT_TXN_COMPARES_MAX) {
        return TT_FAIL(err, TT_ECORRUPT, "transaction of %zu operations and %zu compares",
                       txn->n_ops, txn->n_compares);
    }
    if (txn->actor.len > STORE_IDENTITY_SIZE_MAX ||
        txn->impersonator.len > STORE_IDENTITY_SIZE_MAX || txn->verb.len > STORE_VERB_SIZE_MAX ||
        txn->request_id.len > STORE_REQUEST_ID_SIZE_MAX) {
        return TT_FAIL(err, TT_ECORRUPT, "transaction with an identity or id that is too long");
    }
    for (size_t i = 0; i < txn->n_compares; i++) {
        if (!key_good(txn->compares[i]->key)) {
            return TT_FAIL(err, TT_ECORRUPT, "compare %zu: key of %zu bytes", i,
                           txn->compares[i]->key.len);
        }
    }
    for (size_t i = 0; i < txn->n_ops; i++) {
        const Tt__Op *op = txn->ops[i];
        struct tt_value value;
        bool put = op->kind == TT_OP_PUT && store_value_decode(op->value, &value);
        bool delete = op->kind == TT_OP_DELETE && !op->value;
        if (!key_good(op->key) || (!put && !delete)) {
            return TT_FAIL(err, TT_ECORRUPT, "operation %zu of kind %" PRIu32 " is not valid", i,
                           op->kind);
        }
    }
    return 0;
}

/* The views of a transaction that was checked. */
static void take_txn(const Tt__Txn *txn, struct store_command *command)
{
    for (size_t i = 0; i < txn->n_compares; i++) {
        command->compares[i] =
            (struct tt_compare){store_str(txn->compares[i]->key), txn->compares[i]->mod_revision};
    }
    for (size_t i = 0; i < txn->n_ops; i++) {
        const Tt__Op *op = txn->ops[i];
        command->ops[i] =
            (struct tt_txn_op){.kind = (enum tt_txn_op_kind)op->kind, .key = store_str(op->key)};
        if (op->kind == TT_OP_PUT) {
            bool good = store_value_decode(op->value, &command->ops[i].value);
            TT_ASSERT(good);
        }
    }
    command->txn = (struct tt_txn){
        .compares = command->compares,
        .compare_count = txn->n_compares,
        .ops = command->ops,
        .op_count = txn->n_ops,
        .actor = store_str(txn->actor),
        .impersonator = store_str(txn->impersonator),
        .verb = store_str(txn->verb),
        .request_id = store_str(txn->request_id),
    };
}

int store_command_decode_any(struct store_decoder *decoder, struct tt_str bytes,
                             struct store_command *ret_command, struct tt_err *err)
{
    const Tt__Command *command =
        (const Tt__Command *)(const void *)store_decode(decoder, &tt__command__descriptor, bytes);
    if (!command) {
        return TT_FAIL(err, TT_ECORRUPT, "command of %zu bytes is not understood", bytes.len);
    }
    if (!!command->txn + !!command->compact + !!command->raise != 1) {
        return TT_FAIL(err, TT_ECORRUPT, "command without exactly one body");
    }
    ret_command->leader_time_ms = command->leader_time_ms;
    ret_command->feature_level = command->feature_level;
    if (command->txn) {
        int r = check_txn(command->txn, err);
        if (r != 0) {
            return r;
        }
        ret_command->body = STORE_BODY_TXN;
        take_txn(command->txn, ret_command);
    } else if (command->compact) {
        ret_command->body = STORE_BODY_COMPACT;
        ret_command->compact = command->compact->revision;
    } else {
        ret_command->body = STORE_BODY_RAISE;
        ret_command->raise = command->raise->level;
    }
    return 0;
}

int store_command_decode(struct store_decoder *decoder, struct tt_str bytes, uint32_t feature_level,
                         struct store_command *ret_command, struct tt_err *err)
{
    if (bytes.len > STORE_COMMAND_SIZE_MAX) {
        return TT_FAIL(err, TT_ECORRUPT, "command of %zu bytes", bytes.len);
    }
    if (!store_command_read(bytes, ret_command)) {
        int r = store_command_decode_any(decoder, bytes, ret_command, err);
        if (r != 0) {
            return r;
        }
    }
    if (ret_command->feature_level > feature_level) {
        return TT_FAIL(err, TT_ECORRUPT, "command needs feature level %" PRIu32 ", have %" PRIu32,
                       ret_command->feature_level, feature_level);
    }
    return 0;
}
