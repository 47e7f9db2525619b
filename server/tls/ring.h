/* The write queue of a stream: bytes in a ring that grows by doubling up to a maximum and gives its
 * memory back when it was large and ran empty.
 *
 * Ownership: owns its bytes. Thread: that of the stream. Errors: put refuses what does not fit. */
#ifndef SERVER_TLS_RING_H
#define SERVER_TLS_RING_H

#include "base/str.h"

struct tt_ring {
    char *bytes;     /* NULL until the first put */
    size_t cap;      /* bytes allocated: a power of two, or 0 */
    size_t head;     /* index of the oldest byte, < cap */
    size_t size;     /* bytes queued */
    size_t size_max; /* size never exceeds it */
};
void tt_ring_init(struct tt_ring *ring, size_t size_max);
void tt_ring_fini(struct tt_ring *ring);
bool tt_ring_put(struct tt_ring *ring, struct tt_str bytes); /* all or nothing */
struct tt_str tt_ring_front(const struct tt_ring *ring);     /* the oldest contiguous run */
void tt_ring_drop(struct tt_ring *ring, size_t size);        /* at most size queued */

#endif
