/* Commands in the canonical wire form (base/wire.h), without protobuf-c's copies and structs.
 *
 * Every write of the cluster is encoded once and decoded on every server, so this is where the
 * common case is fast: what tt_txn_encode writes is read into views of its bytes, with nothing
 * allocated. The wire format stays that of proto/store.proto: whatever else encodes a command is
 * left to protobuf-c (command.c), whose answer this one is never allowed to differ from.
 * Ownership: views borrow the bytes. Thread: any. Errors: false. */
#ifndef SERVER_STORE_COMMAND_WIRE_H
#define SERVER_STORE_COMMAND_WIRE_H

#include "server/store/txn.h"

enum store_body { STORE_BODY_TXN = 1, STORE_BODY_COMPACT, STORE_BODY_RAISE };

/* A decoded command, and the room its transaction needs. */
struct store_command {
    uint64_t leader_time_ms; /* wall clock of the leader */
    uint32_t feature_level;  /* needed to understand the command */
    enum store_body body;    /* which of the following is set */
    uint32_t raise;          /* STORE_BODY_RAISE: to this feature level */
    uint64_t compact;        /* STORE_BODY_COMPACT: up to this revision */
    struct tt_txn txn;       /* STORE_BODY_TXN; points to the two arrays */
    /* those of the transaction, counted there */
    struct tt_compare compares[TT_TXN_COMPARES_MAX];
    struct tt_txn_op ops[TT_TXN_OPS_MAX]; /* likewise; the value of a delete is zero */
};
/* A whole command. False: not in canonical form, or not valid; *ret_command is unspecified then. */
bool store_command_read(struct tt_str bytes, struct store_command *ret_command) TT_MUST_USE;
/* Bytes of the command of a transaction that keeps the limits of txn.h, not stamped. */
size_t store_command_size(const struct tt_txn *txn);
/* Writes just as many. */
void store_command_write(const struct tt_txn *txn, uint8_t *out, size_t size);

#endif
