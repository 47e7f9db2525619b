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

static int check_txn(const struct tt_txn *txn, struct tt_err *err)
{
    int r = check_sizes(txn, err);
    if (r != 0) {
        return r;
    }
    for (size_t i = 0; i < txn->compare_count; i++) {
        r = check_key(txn->compares[i].key, err);
        if (r != 0) {
            return TT_WRAP(err, r, "compare %zu", i);
        }
    }
    for (size_t i = 0; i < txn->op_count; i++) {
        r = check_op(&txn->ops[i], err);
        if (r != 0) {
            return TT_WRAP(err, r, "operation %zu", i);
        }
    }
    return 0;
}

int tt_txn_encode(const struct tt_txn *txn, struct tt_bytes **ret_command, struct tt_err *err)
{
    int r = check_txn(txn, err);
    if (r != 0) {
        return r;
    }
    size_t size = store_command_size(txn);
    if (size > TT_TXN_SIZE_MAX) {
        return TT_FAIL(err, TT_ETOOLARGE, "command of %zu bytes (at most %d)", size,
                       TT_TXN_SIZE_MAX);
    }
    uint8_t *data;
    struct tt_bytes *bytes = tt_bytes_new_uninit(size, &data);
    store_command_write(txn, data, size);
    TT_ASSERT(data[0] == STAMP_TAG);
    *ret_command = bytes;
    return 0;
}

/* The rare commands, by protobuf-c. */
static struct tt_bytes *pack(const Tt__Command *command)
{
    size_t size = tt__command__get_packed_size(command);
    uint8_t *data;
    struct tt_bytes *bytes = tt_bytes_new_uninit(size, &data);
    size_t packed = tt__command__pack(command, data);
    TT_ASSERT(packed == size && data[0] == STAMP_TAG);
    return bytes;
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
    return pack(&command);
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
    return pack(&command);
}

int tt_command_stamp(uint8_t *command, size_t size, uint64_t wall_ms, struct tt_err *err)
{
    if (size < STAMP_SIZE || command[0] != STAMP_TAG) {
        return TT_FAIL(err, TT_ECORRUPT, "command of %zu bytes has no place for a time stamp",
                       size);
    }
    tt_le64_put(command + 1, wall_ms);
    return 0;
}
