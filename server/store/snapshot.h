/* What the two ends of a snapshot stream share: the frame.
 *
 * A frame is {u32 size of the payload, u32 CRC-32C of the payload, payload}, little-endian; the
 * payload is one SnapshotRecord (proto/snapshot.proto says in which order).
 * Ownership: constants. Thread: any. Errors: those of reader and writer. */
#ifndef SERVER_STORE_SNAPSHOT_H
#define SERVER_STORE_SNAPSHOT_H

#include "proto/snapshot.pb-c.h"
#include "server/store/apply.h"

enum {
    STORE_SNAPSHOT_FORMAT = 1,
    STORE_FRAME_HEAD_SIZE = 8,
    STORE_FRAME_SIZE_MAX = 2 << 20,   /* payload: the largest row and its envelope fit */
    STORE_RECORD_SIZE_AIM = 64 << 10, /* rows are added to a record until it has this many bytes */
    STORE_RECORD_COUNT_MAX = 256      /* or this many rows */
};

#endif
