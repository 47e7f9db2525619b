/* How the commands of one entry lie in its payload.
 *
 *   {size u32, command}                                  proposed at the leader itself
 *   {size u32 | 1 << 31, member u64, request u64, command}   forwarded by that member
 *
 * All numbers are little-endian. Member and request tell a follower which of the commands that it
 * applies it has forwarded itself (raft/forwarded.h).
 * Ownership: views into the payload. Thread: any. Errors: TT_ECORRUPT for a bad packing. */
#ifndef RAFT_PACKING_H
#define RAFT_PACKING_H

#include "base/str.h"

struct packed_command {
    struct tt_str command; /* view into the payload; not empty */
    uint64_t member;       /* that forwarded it; 0 = nobody did */
    uint64_t request;      /* that member's */
};

size_t packing_size(const struct packed_command *packed); /* bytes it takes */
/* Writes it at `to`, where its size must have room. Returns where the command's own bytes begin;
 * they reach to the end. */
uint8_t *packing_put(uint8_t *to, const struct packed_command *packed);
/* Takes one command off the front of *rest: 1; 0 at the end. */
int packing_next(struct tt_str *rest, struct packed_command *ret) TT_MUST_USE;

#endif
