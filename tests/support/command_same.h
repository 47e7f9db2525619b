/* Two decoded commands say the same: for the test and the fuzzer that set the reader of canonical
 * commands against protobuf-c.
 *
 * Ownership: borrows. Thread: any. Errors: none. */
#ifndef TESTS_SUPPORT_COMMAND_SAME_H
#define TESTS_SUPPORT_COMMAND_SAME_H

#include "server/store/command.h"

static inline bool same_op(const struct tt_txn_op *a, const struct tt_txn_op *b)
{
    return a->kind == b->kind && tt_str_eq(a->key, b->key) && a->value.codec == b->value.codec &&
           a->value.splice == b->value.splice && tt_str_eq(a->value.key_id, b->value.key_id) &&
           tt_str_eq(a->value.bytes, b->value.bytes);
}

static inline bool same_txn(const struct tt_txn *a, const struct tt_txn *b)
{
    bool same = a->compare_count == b->compare_count && a->op_count == b->op_count &&
                tt_str_eq(a->actor, b->actor) && tt_str_eq(a->impersonator, b->impersonator) &&
                tt_str_eq(a->verb, b->verb) && tt_str_eq(a->request_id, b->request_id);
    for (size_t i = 0; same && i < a->compare_count; i++) {
        same = tt_str_eq(a->compares[i].key, b->compares[i].key) &&
               a->compares[i].mod_revision == b->compares[i].mod_revision;
    }
    for (size_t i = 0; same && i < a->op_count; i++) {
        same = same_op(&a->ops[i], &b->ops[i]);
    }
    return same;
}

static inline bool same_command(const struct store_command *a, const struct store_command *b)
{
    if (a->leader_time_ms != b->leader_time_ms || a->feature_level != b->feature_level ||
        a->body != b->body) {
        return false;
    }
    switch (a->body) {
    case STORE_BODY_TXN:
        return same_txn(&a->txn, &b->txn);
    case STORE_BODY_COMPACT:
        return a->compact == b->compact;
    case STORE_BODY_RAISE:
        return a->raise == b->raise;
    }
    return false;
}

#endif
