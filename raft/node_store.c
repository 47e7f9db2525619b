/* Commands of proto/store.proto into server/store.
 *
 * `grows` is asked only when space is short, so it may decode. What cannot be decoded counts as
 * growing: stamping refuses it anyway. */
#include "raft/node_store.h"

#include "proto/store.pb-c.h"
#include "raft/proposals.h"

/* Renewing a lease replaces a few bytes by as many, and without it nodes would count as lost. */
#define LEASES_PREFIX "o/coordination.k8s.io/leases/"

_Static_assert(PROPOSALS_COMMANDS_PER_ENTRY_MAX <= 1 << TT_NODE_STORE_POSITION_BITS,
               "each command of an entry has its own number");

static int stamp(void *ctx, uint8_t *command, size_t size, uint64_t wall_ms, struct tt_err *err)
{
    (void)ctx;
    return tt_command_stamp(command, size, wall_ms, err);
}

static bool grows(void *ctx, struct tt_str command)
{
    (void)ctx;
    Tt__Command *decoded = tt__command__unpack(NULL, command.len, (const uint8_t *)command.ptr);
    if (!decoded) {
        return true;
    }
    bool puts = false;
    for (size_t i = 0; decoded->txn && i < decoded->txn->n_ops; i++) {
        const Tt__Op *op = decoded->txn->ops[i];
        struct tt_str key = tt_str((const char *)op->key.data, op->key.len);
        puts = puts || (op->kind == TT_OP_PUT && !tt_str_starts(key, TT_STR(LEASES_PREFIX)));
    }
    tt__command__free_unpacked(decoded, NULL);
    return puts;
}

static int apply(void *ctx, uint64_t index, uint32_t position, struct tt_str command,
                 struct tt_apply_result *ret, struct tt_err *err)
{
    struct tt_node_store *adapter = ctx;
    TT_ASSERT(position < 1u << TT_NODE_STORE_POSITION_BITS);
    return tt_store_apply(adapter->store, tt_node_store_sequence(index, position), command, ret,
                          err);
}

static void publish(void *ctx, uint64_t index)
{
    struct tt_node_store *adapter = ctx;
    (void)index;
    tt_store_publish(adapter->store);
}

static uint64_t hash(void *ctx)
{
    struct tt_node_store *adapter = ctx;
    return tt_store_hash(adapter->store);
}

struct tt_fsm tt_node_store_fsm(struct tt_node_store *adapter)
{
    return (struct tt_fsm){.stamp = stamp,
                           .grows = grows,
                           .apply = apply,
                           .publish = publish,
                           .hash = hash,
                           .ctx = adapter};
}
