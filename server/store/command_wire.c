/* The messages of proto/store.proto by hand, innermost first. A reader takes the fields in the
 * order of their numbers, each at most once, and refuses what is left: an unknown field, one that
 * comes twice or out of order, a number in too many bytes. Limits are those of command.c.
 */
#include "server/store/command_wire.h"

#include "base/intmath.h"
#include "base/wire.h"
#include "server/store/command.h"

/* Tags, as proto/store.proto numbers the fields. */
enum {
    VALUE_CODEC = TT_WIRE_TAG(1, TT_WIRE_VARINT),
    VALUE_SPLICE = TT_WIRE_TAG(2, TT_WIRE_VARINT),
    VALUE_KEY_ID = TT_WIRE_TAG(3, TT_WIRE_BYTES),
    VALUE_DATA = TT_WIRE_TAG(4, TT_WIRE_BYTES),
    COMPARE_KEY = TT_WIRE_TAG(1, TT_WIRE_BYTES),
    COMPARE_MOD_REVISION = TT_WIRE_TAG(2, TT_WIRE_VARINT),
    OP_KIND = TT_WIRE_TAG(1, TT_WIRE_VARINT),
    OP_KEY = TT_WIRE_TAG(2, TT_WIRE_BYTES),
    OP_VALUE = TT_WIRE_TAG(3, TT_WIRE_BYTES),
    TXN_COMPARES = TT_WIRE_TAG(1, TT_WIRE_BYTES),
    TXN_OPS = TT_WIRE_TAG(2, TT_WIRE_BYTES),
    TXN_ACTOR = TT_WIRE_TAG(3, TT_WIRE_BYTES),
    TXN_IMPERSONATOR = TT_WIRE_TAG(4, TT_WIRE_BYTES),
    TXN_VERB = TT_WIRE_TAG(5, TT_WIRE_BYTES),
    TXN_REQUEST_ID = TT_WIRE_TAG(6, TT_WIRE_BYTES),
    COMPACT_REVISION = TT_WIRE_TAG(1, TT_WIRE_VARINT),
    RAISE_LEVEL = TT_WIRE_TAG(1, TT_WIRE_VARINT),
    COMMAND_TIME = TT_WIRE_TAG(1, TT_WIRE_FIXED64),
    COMMAND_FEATURE_LEVEL = TT_WIRE_TAG(2, TT_WIRE_VARINT),
    COMMAND_TXN = TT_WIRE_TAG(3, TT_WIRE_BYTES),
    COMMAND_COMPACT = TT_WIRE_TAG(4, TT_WIRE_BYTES),
    COMMAND_RAISE = TT_WIRE_TAG(5, TT_WIRE_BYTES),
    STAMP_SIZE = 9 /* of the tag and eight bytes of time */
};

static bool read_value(struct tt_str bytes, struct tt_value *ret)
{
    struct tt_wire in = tt_wire_of(bytes);
    uint64_t codec = 0;
    uint64_t splice = 0;
    struct tt_value value = {0};
    bool good = tt_wire_maybe_varint(&in, VALUE_CODEC, TT_CODEC_RECORD, &codec) &&
                tt_wire_maybe_varint(&in, VALUE_SPLICE, TT_VALUE_SIZE_MAX, &splice) &&
                tt_wire_maybe_bytes(&in, VALUE_KEY_ID, TT_KEY_SIZE_MAX, &value.key_id) &&
                tt_wire_maybe_bytes(&in, VALUE_DATA, TT_VALUE_SIZE_MAX, &value.bytes) &&
                tt_wire_done(&in) && codec >= TT_CODEC_JSON && splice <= value.bytes.len;
    if (good) {
        value.codec = (enum tt_codec)codec;
        value.splice = (uint32_t)splice;
        *ret = value;
    }
    return good;
}

static bool read_compare(struct tt_str bytes, struct tt_compare *ret)
{
    struct tt_wire in = tt_wire_of(bytes);
    *ret = (struct tt_compare){0};
    return tt_wire_maybe_bytes(&in, COMPARE_KEY, TT_KEY_SIZE_MAX, &ret->key) && ret->key.len > 0 &&
           tt_wire_maybe_varint(&in, COMPARE_MOD_REVISION, UINT64_MAX, &ret->mod_revision) &&
           tt_wire_done(&in);
}

static bool read_op(struct tt_str bytes, struct tt_txn_op *ret)
{
    struct tt_wire in = tt_wire_of(bytes);
    struct tt_str value;
    uint64_t kind = 0;
    *ret = (struct tt_txn_op){0};
    if (!tt_wire_maybe_varint(&in, OP_KIND, TT_OP_DELETE, &kind) ||
        !tt_wire_maybe_bytes(&in, OP_KEY, TT_KEY_SIZE_MAX, &ret->key) || ret->key.len == 0) {
        return false;
    }
    ret->kind = (enum tt_txn_op_kind)kind;
    bool put = kind == TT_OP_PUT && tt_wire_tag(&in, OP_VALUE) && tt_wire_bytes(&in, &value) &&
               read_value(value, &ret->value);
    return (put || kind == TT_OP_DELETE) && tt_wire_done(&in);
}

static bool read_compares(struct tt_wire *in, struct store_command *command)
{
    size_t count = 0;
    struct tt_str bytes;
    while (tt_wire_tag(in, TXN_COMPARES)) {
        if (count == TT_TXN_COMPARES_MAX || !tt_wire_bytes(in, &bytes) ||
            !read_compare(bytes, &command->compares[count])) {
            return false;
        }
        count++;
    }
    command->txn.compares = command->compares;
    command->txn.compare_count = count;
    return true;
}

static bool read_ops(struct tt_wire *in, struct store_command *command)
{
    size_t count = 0;
    struct tt_str bytes;
    while (tt_wire_tag(in, TXN_OPS)) {
        if (count == TT_TXN_OPS_MAX || !tt_wire_bytes(in, &bytes) ||
            !read_op(bytes, &command->ops[count])) {
            return false;
        }
        count++;
    }
    command->txn.ops = command->ops;
    command->txn.op_count = count;
    return true;
}

static bool read_txn(struct tt_str bytes, struct store_command *command)
{
    struct tt_wire in = tt_wire_of(bytes);
    struct tt_txn *txn = &command->txn;
    *txn = (struct tt_txn){0};
    return read_compares(&in, command) && read_ops(&in, command) &&
           tt_wire_maybe_bytes(&in, TXN_ACTOR, STORE_IDENTITY_SIZE_MAX, &txn->actor) &&
           tt_wire_maybe_bytes(&in, TXN_IMPERSONATOR, STORE_IDENTITY_SIZE_MAX,
                               &txn->impersonator) &&
           tt_wire_maybe_bytes(&in, TXN_VERB, STORE_VERB_SIZE_MAX, &txn->verb) &&
           tt_wire_maybe_bytes(&in, TXN_REQUEST_ID, STORE_REQUEST_ID_SIZE_MAX, &txn->request_id) &&
           tt_wire_done(&in);
}

/* A message of one number. */
static bool read_number(struct tt_str bytes, uint8_t tag, uint64_t max, uint64_t *ret)
{
    struct tt_wire in = tt_wire_of(bytes);
    *ret = 0;
    return tt_wire_maybe_varint(&in, tag, max, ret) && tt_wire_done(&in);
}

static bool read_body(struct tt_wire *in, struct store_command *command)
{
    struct tt_str bytes;
    uint64_t level;
    if (tt_wire_tag(in, COMMAND_TXN)) {
        command->body = STORE_BODY_TXN;
        return tt_wire_bytes(in, &bytes) && read_txn(bytes, command);
    }
    if (tt_wire_tag(in, COMMAND_COMPACT)) {
        command->body = STORE_BODY_COMPACT;
        return tt_wire_bytes(in, &bytes) &&
               read_number(bytes, COMPACT_REVISION, UINT64_MAX, &command->compact);
    }
    if (!tt_wire_tag(in, COMMAND_RAISE) || !tt_wire_bytes(in, &bytes) ||
        !read_number(bytes, RAISE_LEVEL, UINT32_MAX, &level)) {
        return false;
    }
    command->body = STORE_BODY_RAISE;
    command->raise = (uint32_t)level;
    return true;
}

bool store_command_read(struct tt_str bytes, struct store_command *ret_command)
{
    if (bytes.len < STAMP_SIZE || (uint8_t)bytes.ptr[0] != COMMAND_TIME) {
        return false;
    }
    struct tt_wire in = tt_wire_of(bytes);
    uint64_t feature_level = 0;
    ret_command->leader_time_ms = tt_le64_get(in.at + 1);
    in.at += STAMP_SIZE;
    if (!tt_wire_maybe_varint(&in, COMMAND_FEATURE_LEVEL, UINT32_MAX, &feature_level)) {
        return false;
    }
    ret_command->feature_level = (uint32_t)feature_level;
    return read_body(&in, ret_command) && tt_wire_done(&in);
}

static size_t text_size(struct tt_str text)
{
    return text.len > 0 ? tt_wire_field_size(text.len) : 0;
}

static size_t number_size(uint64_t number)
{
    return number != 0 ? 1 + tt_wire_varint_size(number) : 0;
}

static size_t value_size(const struct tt_value *value)
{
    return number_size(value->codec) + number_size(value->splice) + text_size(value->key_id) +
           tt_wire_field_size(value->bytes.len);
}

static size_t compare_size(const struct tt_compare *compare)
{
    return tt_wire_field_size(compare->key.len) + number_size(compare->mod_revision);
}

static size_t op_size(const struct tt_txn_op *op)
{
    size_t size = number_size(op->kind) + tt_wire_field_size(op->key.len);
    return op->kind == TT_OP_PUT ? size + tt_wire_field_size(value_size(&op->value)) : size;
}

static size_t txn_size(const struct tt_txn *txn)
{
    size_t size = text_size(txn->actor) + text_size(txn->impersonator) + text_size(txn->verb) +
                  text_size(txn->request_id);
    for (size_t i = 0; i < txn->compare_count; i++) {
        size += tt_wire_field_size(compare_size(&txn->compares[i]));
    }
    for (size_t i = 0; i < txn->op_count; i++) {
        size += tt_wire_field_size(op_size(&txn->ops[i]));
    }
    return size;
}

size_t store_command_size(const struct tt_txn *txn)
{
    return STAMP_SIZE + tt_wire_field_size(txn_size(txn));
}

static uint8_t *put_text(uint8_t *out, uint8_t tag, struct tt_str text)
{
    return text.len > 0 ? tt_wire_put_bytes(out, tag, text) : out;
}

static uint8_t *put_number(uint8_t *out, uint8_t tag, uint64_t number)
{
    return number != 0 ? tt_wire_put_number(out, tag, number) : out;
}

static uint8_t *put_op(uint8_t *out, const struct tt_txn_op *op)
{
    out = put_number(out, OP_KIND, op->kind);
    out = tt_wire_put_bytes(out, OP_KEY, op->key);
    if (op->kind == TT_OP_PUT) {
        const struct tt_value *value = &op->value;
        out = tt_wire_put_number(out, OP_VALUE, value_size(value));
        out = put_number(out, VALUE_CODEC, value->codec);
        out = put_number(out, VALUE_SPLICE, value->splice);
        out = put_text(out, VALUE_KEY_ID, value->key_id);
        out = tt_wire_put_bytes(out, VALUE_DATA, value->bytes);
    }
    return out;
}

void store_command_write(const struct tt_txn *txn, uint8_t *out, size_t size)
{
    const uint8_t *end = out + size;
    *out = COMMAND_TIME;
    tt_le64_put(out + 1, 0);
    out = tt_wire_put_number(out + STAMP_SIZE, COMMAND_TXN, txn_size(txn));
    for (size_t i = 0; i < txn->compare_count; i++) {
        const struct tt_compare *compare = &txn->compares[i];
        out = tt_wire_put_number(out, TXN_COMPARES, compare_size(compare));
        out = tt_wire_put_bytes(out, COMPARE_KEY, compare->key);
        out = put_number(out, COMPARE_MOD_REVISION, compare->mod_revision);
    }
    for (size_t i = 0; i < txn->op_count; i++) {
        out = tt_wire_put_number(out, TXN_OPS, op_size(&txn->ops[i]));
        out = put_op(out, &txn->ops[i]);
    }
    out = put_text(out, TXN_ACTOR, txn->actor);
    out = put_text(out, TXN_IMPERSONATOR, txn->impersonator);
    out = put_text(out, TXN_VERB, txn->verb);
    out = put_text(out, TXN_REQUEST_ID, txn->request_id);
    TT_ASSERT(out == end);
}
