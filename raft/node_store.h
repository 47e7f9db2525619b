/* The store (server/store) as the node's state machine.
 *
 * The store wants a strictly rising number per command; an entry holds several. So a command's
 * number is its entry's index and its position in it: tt_node_store_sequence. What tt_version_index
 * returns is such a number.
 * Ownership: keeps the adapter, which borrows the store; swap `store` after an install. Thread: the
 * store's writer, that is core. Errors: the store's. */
#ifndef RAFT_NODE_STORE_H
#define RAFT_NODE_STORE_H

#include "raft/node.h"

enum { TT_NODE_STORE_POSITION_BITS = 12 };

struct tt_node_store {
    struct tt_store *store; /* the one that commands are applied to now */
};
struct tt_fsm tt_node_store_fsm(struct tt_node_store *adapter);

static inline uint64_t tt_node_store_sequence(uint64_t index, uint32_t position)
{
    return index << TT_NODE_STORE_POSITION_BITS | position;
}
static inline uint64_t tt_node_store_index(uint64_t sequence)
{
    return sequence >> TT_NODE_STORE_POSITION_BITS;
}

#endif
