/* Encoding of commands. The time stamp is the first field, required and of fixed width, so an
 * encoded command always begins with the byte 0x09 and eight bytes of time: the leader writes it
 * in place just before it appends the command. */
#include "server/store/txn.h"

#include <inttypes.h>

#include "base/intmath.h"
#include "server/store/command.h"

enum { STAMP_TAG = 0x09, STAMP_SIZE = 9 };

static int check_sizes(const struct tt_txn *txn, struct tt_err *err)
{
    if (txn->op_count > TT_TXN_OPS_MAX || txn->compare_count > TT_TXN_COMPARES_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE,
                       "transaction of %zu operations (at most %d) and %zu compares (at most %d)",
                       txn->op_count, TT_TXN_OPS_MAX, txn->compare_count, TT_TXN_COMPARES_MAX);
    }
    if (txn->actor.len > STORE_IDENTITY_SIZE_MAX ||
        txn->impersonator.len > STORE_IDENTITY_SIZE_MAX || txn->verb.len > STORE_VERB_SIZE_MAX ||
        txn->request_id.len > STORE_REQUEST_ID_SIZE_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "identity, verb or request id too long");
    }
    return 0;
}

static int check_key(struct tt_str key, struct tt_err *err)
{
    if (key.len == 0) {
        return TT_FAIL(err, TT_EINVAL, "empty key");
    }
    if (key.len > TT_KEY_SIZE_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "key of %zu bytes (at most %d)", key.len,
                       TT_KEY_SIZE_MAX);
    }
    return 0;
}

static int check_op(const struct tt_txn_op *op, struct tt_err *err)
{
    if (op->kind != TT_OP_PUT && op->kind != TT_OP_DELETE) {
        return TT_FAIL(err, TT_EINVAL, "operation of kind %d", (int)op->kind);
    }
    if (op->kind == TT_OP_PUT &&
        (op->value.codec < TT_CODEC_JSON || op->value.codec > TT_CODEC_RECORD ||
         op->value.splice > op->value.bytes.len)) {
        return TT_FAIL(err, TT_EINVAL, "value with codec %d and splice %" PRIu32,
                       (int)op->value.codec, op->value.splice);
    }
    if (op->value.bytes.len > TT_VALUE_SIZE_MAX || op->value.key_id.len > TT_KEY_SIZE_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "value of %zu bytes (at most %d)", op->value.bytes.len,
                       TT_VALUE_SIZE_MAX);
    }
    return check_key(op->key, err);
}

static int pack(const Tt__Command *command, struct tt_bytes **ret_command, struct tt_err *err)
{
    size_t size = tt__command__get_packed_size(command);
    if (size > TT_TXN_SIZE_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "command of %zu bytes (at most %d)", size,
                       TT_TXN_SIZE_MAX);
    }
    uint8_t *data;
    struct tt_bytes *bytes = tt_bytes_new_uninit(size, &data);
    size_t packed = tt__command__pack(command, data);
    TT_ASSERT(packed == size && data[0] == STAMP_TAG);
    *ret_command = bytes;
    return 0;
}

/* Message structs of one transaction, in one allocation. */
struct txn_messages {
    Tt__Command command;                       /* points to txn */
    Tt__Txn txn;                               /* points to the two pointer arrays */
    Tt__Compare compares[TT_TXN_COMPARES_MAX]; /* the encoded form of those of the tt_txn */
    /* [i] at compares[i]: as protobuf-c wants it */
    Tt__Compare *compare_pointers[TT_TXN_COMPARES_MAX];
    Tt__Op ops[TT_TXN_OPS_MAX];          /* the encoded form of those of the tt_txn */
    Tt__Value values[TT_TXN_OPS_MAX];    /* [i] of ops[i]; unused for deletes */
    Tt__Op *op_pointers[TT_TXN_OPS_MAX]; /* [i] at ops[i]: as protobuf-c wants it */
};

static int fill_compares(const struct tt_txn *txn, struct txn_messages *messages,
                         struct tt_err *err)
{
    for (size_t i = 0; i < txn->compare_count; i++) {
        int r = check_key(txn->compares[i].key, err);
        if (r != 0) {
            return TT_WRAP(err, r, "compare %zu", i);
        }
        Tt__Compare *compare = &messages->compares[i];
        tt__compare__init(compare);
        compare->has_key = true;
        compare->key = store_data(txn->compares[i].key);
        compare->has_mod_revision = txn->compares[i].mod_revision != 0;
        compare->mod_revision = txn->compares[i].mod_revision;
        messages->compare_pointers[i] = compare;
    }
    messages->txn.n_compares = txn->compare_count;
    messages->txn.compares = messages->compare_pointers;
    return 0;
}

static int fill_ops(const struct tt_txn *txn, struct txn_messages *messages, struct tt_err *err)
{
    for (size_t i = 0; i < txn->op_count; i++) {
        int r = check_op(&txn->ops[i], err);
        if (r != 0) {
            return TT_WRAP(err, r, "operation %zu", i);
        }
        Tt__Op *op = &messages->ops[i];
        tt__op__init(op);
        op->has_kind = true;
        op->kind = (uint32_t)txn->ops[i].kind;
        op->has_key = true;
        op->key = store_data(txn->ops[i].key);
        if (txn->ops[i].kind == TT_OP_PUT) {
            store_value_encode(&txn->ops[i].value, &messages->values[i]);
            op->value = &messages->values[i];
        }
        messages->op_pointers[i] = op;
    }
    messages->txn.n_ops = txn->op_count;
    messages->txn.ops = messages->op_pointers;
    return 0;
}

static void fill_text(struct tt_str text, protobuf_c_boolean *ret_has, ProtobufCBinaryData *ret)
{
    *ret_has = text.len > 0;
    *ret = store_data(text);
}

int tt_txn_encode(const struct tt_txn *txn, struct tt_bytes **ret_command, struct tt_err *err)
{
    int r = check_sizes(txn, err);
    if (r != 0) {
        return r;
    }
    TT_AUTO_FREE struct txn_messages *messages = tt_xmalloc(sizeof *messages);
    tt__command__init(&messages->command);
    tt__txn__init(&messages->txn);
    messages->command.txn = &messages->txn;
    r = fill_compares(txn, messages, err);
    if (r == 0) {
        r = fill_ops(txn, messages, err);
    }
    if (r != 0) {
        return r;
    }
    Tt__Txn *message = &messages->txn;
    fill_text(txn->actor, &message->has_actor, &message->actor);
    fill_text(txn->impersonator, &message->has_impersonator, &message->impersonator);
    fill_text(txn->verb, &message->has_verb, &message->verb);
    fill_text(txn->request_id, &message->has_request_id, &message->request_id);
    return pack(&messages->command, ret_command, err);
}

struct tt_bytes *tt_command_compact(uint64_t revision)
{
    Tt__Command command;
    Tt__Compact compact;
    tt__command__init(&command);
    tt__compact__init(&compact);
    compact.has_revision = true;
    compact.revision = revision;
    command.compact = &compact;
    struct tt_bytes *bytes = NULL;
    int r = pack(&command, &bytes, NULL);
    TT_ASSERT(r == 0);
    return bytes;
}

struct tt_bytes *tt_command_feature_level(uint32_t level)
{
    Tt__Command command;
    Tt__FeatureLevel raise;
    tt__command__init(&command);
    tt__feature_level__init(&raise);
    raise.has_level = true;
    raise.level = level;
    command.raise = &raise;
    struct tt_bytes *bytes = NULL;
    int r = pack(&command, &bytes, NULL);
    TT_ASSERT(r == 0);
    return bytes;
}

int tt_command_stamp(struct tt_bytes *unshared_command, uint64_t wall_ms, struct tt_err *err)
{
    if (unshared_command->size < STAMP_SIZE || unshared_command->ptr[0] != STAMP_TAG) {
        return TT_FAIL(err, TT_ECORRUPT, "command of %zu bytes has no place for a time stamp",
                       unshared_command->size);
    }
    tt_le64_put((uint8_t *)(uintptr_t)unshared_command->ptr + 1, wall_ms);
    return 0;
}
