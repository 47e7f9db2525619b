#include "server/tls/ring.h"

#include "base/intmath.h"
#include "base/mem.h"

/* An empty ring starts at index 0 again, so that a stream whose writes never block always sends one
 * contiguous run: full records, no wrap. */

enum { CAP_MIN = 4096, CAP_KEPT_MAX = 65536 };

void tt_ring_init(struct tt_ring *ring, size_t size_max)
{
    TT_ASSERT(size_max > 0 && size_max <= SIZE_MAX / 4);
    *ring = (struct tt_ring){.size_max = size_max};
}

void tt_ring_fini(struct tt_ring *ring)
{
    tt_free(ring->bytes);
    *ring = (struct tt_ring){0};
}

static void grow(struct tt_ring *ring, size_t size_needed)
{
    size_t cap = ring->cap > 0 ? ring->cap : CAP_MIN;
    while (cap < size_needed) {
        cap *= 2;
    }
    char *bytes = tt_xmalloc(cap);
    if (ring->size > 0) {
        size_t first = tt_size_min(ring->size, ring->cap - ring->head);
        memcpy(bytes, ring->bytes + ring->head, first);
        memcpy(bytes + first, ring->bytes, ring->size - first);
    }
    tt_free(ring->bytes);
    ring->bytes = bytes;
    ring->cap = cap;
    ring->head = 0;
}

bool tt_ring_put(struct tt_ring *ring, struct tt_str bytes)
{
    if (bytes.len > ring->size_max || ring->size > ring->size_max - bytes.len) {
        return false;
    }
    if (bytes.len == 0) {
        return true;
    }
    if (ring->size + bytes.len > ring->cap) {
        grow(ring, ring->size + bytes.len);
    }
    size_t tail = (ring->head + ring->size) & (ring->cap - 1);
    size_t first = tt_size_min(bytes.len, ring->cap - tail);
    memcpy(ring->bytes + tail, bytes.ptr, first);
    memcpy(ring->bytes, bytes.ptr + first, bytes.len - first);
    ring->size += bytes.len;
    TT_ASSERT(ring->size <= ring->size_max && ring->size <= ring->cap);
    return true;
}

struct tt_str tt_ring_front(const struct tt_ring *ring)
{
    if (ring->size == 0) {
        return TT_STR_NONE;
    }
    return tt_str(ring->bytes + ring->head, tt_size_min(ring->size, ring->cap - ring->head));
}

void tt_ring_drop(struct tt_ring *ring, size_t size)
{
    TT_ASSERT(size <= ring->size);
    ring->size -= size;
    if (ring->size > 0) {
        ring->head = (ring->head + size) & (ring->cap - 1);
        return;
    }
    ring->head = 0;
    if (ring->cap > CAP_KEPT_MAX) {
        tt_free(ring->bytes);
        ring->bytes = NULL;
        ring->cap = 0;
    }
}
