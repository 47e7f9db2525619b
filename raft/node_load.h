/* From an opened log and the newest snapshot to what tt_node_start wants.
 *
 * Only configurations are read from the log; everything else is known to it without I/O.
 * Ownership: *ret owns its entries until tt_node_load_fini. Thread: start-up; blocks on the disk.
 * Errors: the log's. */
#ifndef RAFT_NODE_LOAD_H
#define RAFT_NODE_LOAD_H

#include "raft/node.h"

/* snapshot: index 0 = none; copied. */
int tt_node_load(struct tt_wal *wal, const struct tt_node_snapshot *snapshot,
                 struct tt_node_disk *ret, struct tt_err *err) TT_MUST_USE;
void tt_node_load_fini(struct tt_node_disk *disk); /* zeroed is fine */

#endif
