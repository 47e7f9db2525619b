/* Commands in the payload of an entry: written once by the leader, read by everybody who applies.
 *
 * What cannot be read is damage that the log's checksums did not see, or another version: the
 * caller stops the member. */
#include "raft/packing.h"

#include "base/intmath.h"

enum { HEAD_SIZE = 4, ORIGIN_SIZE = 16 };
#define FORWARDED_BIT (UINT32_C(1) << 31)

size_t packing_size(const struct packed_command *packed)
{
    return HEAD_SIZE + (packed->member != 0 ? (size_t)ORIGIN_SIZE : 0) + packed->command.len;
}

uint8_t *packing_put(uint8_t *to, const struct packed_command *packed)
{
    TT_ASSERT(packed->command.len > 0 && packed->command.len < FORWARDED_BIT);
    bool forwarded = packed->member != 0;
    tt_le32_put(to, (uint32_t)packed->command.len | (forwarded ? FORWARDED_BIT : 0));
    to += HEAD_SIZE;
    if (forwarded) {
        tt_le64_put(to, packed->member);
        tt_le64_put(to + 8, packed->request);
        to += ORIGIN_SIZE;
    }
    memcpy(to, packed->command.ptr, packed->command.len);
    return to;
}

int packing_next(struct tt_str *rest, struct packed_command *ret)
{
    if (rest->len == 0) {
        return 0;
    }
    const uint8_t *head = (const uint8_t *)rest->ptr;
    uint32_t first = rest->len >= HEAD_SIZE ? tt_le32_get(head) : 0;
    size_t size = first & ~FORWARDED_BIT;
    bool forwarded = (first & FORWARDED_BIT) != 0;
    size_t head_size = forwarded ? HEAD_SIZE + ORIGIN_SIZE : HEAD_SIZE;
    if (size == 0 || rest->len < head_size || size > rest->len - head_size) {
        return TT_ECORRUPT;
    }
    ret->member = forwarded ? tt_le64_get(head + HEAD_SIZE) : 0;
    ret->request = forwarded ? tt_le64_get(head + HEAD_SIZE + 8) : 0;
    *rest = tt_str_skip(*rest, head_size);
    ret->command = tt_str_head(*rest, size);
    *rest = tt_str_skip(*rest, size);
    return 1;
}
