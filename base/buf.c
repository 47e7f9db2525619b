#include "base/buf.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/intmath.h"
#include "base/mem.h"

/* Happy path: appends double the capacity until size_max, a NUL always follows the bytes.
 *
 * Failure modes: an append that does not fit changes nothing but `failed`, and stays failed until
 * the buffer is reset, so that a caller checks once at the end and never sees a text with a hole.
 */

enum { BUF_FIRST_CAP = 128 };

void tt_buf_init(struct tt_buf *buf, size_t size_max)
{
    *buf = (struct tt_buf){.size_max = size_max};
}

void tt_buf_fini(struct tt_buf *buf)
{
    if (!buf) {
        return;
    }
    tt_free(buf->ptr);
    *buf = (struct tt_buf){.size_max = buf->size_max};
}

void tt_buf_reset(struct tt_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->ptr) {
        buf->ptr[0] = '\0';
    }
}

char *tt_buf_reserve(struct tt_buf *buf, size_t size)
{
    size_t need;
    if (buf->failed || !tt_size_add(buf->len, size, &need) || need > buf->size_max ||
        need == SIZE_MAX) {
        buf->failed = true;
        return NULL;
    }
    if (need > buf->cap || !buf->ptr) {
        size_t cap = tt_size_max(need, buf->cap > SIZE_MAX / 4 ? need : 2 * buf->cap);
        cap =
            tt_size_min(tt_size_max(cap, BUF_FIRST_CAP), tt_size_min(buf->size_max, SIZE_MAX - 1));
        buf->ptr = tt_xrealloc(buf->ptr, cap + 1);
        buf->cap = cap;
        buf->ptr[buf->len] = '\0';
    }
    TT_ASSERT(buf->len <= buf->cap && buf->cap <= buf->size_max);
    return buf->ptr + buf->len;
}

void tt_buf_append(struct tt_buf *buf, const void *bytes, size_t size)
{
    char *to = tt_buf_reserve(buf, size);
    if (!to) {
        return;
    }
    if (size > 0) {
        memcpy(to, bytes, size);
    }
    buf->len += size;
    buf->ptr[buf->len] = '\0';
}

void tt_buf_str(struct tt_buf *buf, struct tt_str s)
{
    tt_buf_append(buf, s.ptr, s.len);
}

void tt_buf_c(struct tt_buf *buf, const char *c_string)
{
    tt_buf_append(buf, c_string, strlen(c_string));
}

void tt_buf_char(struct tt_buf *buf, char c)
{
    tt_buf_append(buf, &c, 1);
}

void tt_buf_u64(struct tt_buf *buf, uint64_t value)
{
    char digits[TT_U64_DIGITS_MAX];
    tt_buf_append(buf, digits, tt_u64_digits(value, digits));
}

void tt_buf_printf(struct tt_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    tt_buf_vprintf(buf, fmt, args);
    va_end(args);
}

void tt_buf_vprintf(struct tt_buf *buf, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    size_t room = buf->ptr ? buf->cap - buf->len + 1 : 0;
    int len = vsnprintf(room > 0 ? buf->ptr + buf->len : NULL, room, fmt, args);
    TT_ASSERT(len >= 0);
    if (buf->failed || (size_t)len >= room) {
        /* Did not fit in what there is: undo the cut text, grow, print again. */
        if (buf->ptr) {
            buf->ptr[buf->len] = '\0';
        }
        char *to = tt_buf_reserve(buf, (size_t)len);
        len = to ? vsnprintf(to, (size_t)len + 1, fmt, again) : 0;
    }
    va_end(again);
    buf->len += (size_t)len;
}

void tt_buf_consume(struct tt_buf *buf, size_t size)
{
    TT_ASSERT(size <= buf->len);
    if (size == 0) {
        return;
    }
    buf->len -= size;
    memmove(buf->ptr, buf->ptr + size, buf->len);
    buf->ptr[buf->len] = '\0';
}

char *tt_buf_take(struct tt_buf *buf, size_t *ret_size)
{
    char *bytes = buf->ptr ? buf->ptr : tt_xstrdup("");
    if (ret_size) {
        *ret_size = buf->len;
    }
    *buf = (struct tt_buf){.size_max = buf->size_max};
    return bytes;
}

/* tt_bytes: the count of references precedes what callers see. A slice's owner is never a slice
 * itself, so that chains of them cannot grow. */
struct bytes_block {
    _Atomic size_t ref_count;  /* free at 0 */
    struct bytes_block *owner; /* of a slice: whose bytes they are, a reference; else NULL */
    struct tt_bytes view;      /* what callers hold; ptr: behind us, of a slice behind the owner */
};

static struct bytes_block *block_of(struct tt_bytes *bytes)
{
    return TT_CONTAINER_OF(bytes, struct bytes_block, view);
}

struct tt_bytes *tt_bytes_new_uninit(size_t size, uint8_t **ret_data)
{
    size_t total;
    TT_ASSERT(tt_size_add(sizeof(struct bytes_block), size, &total));
    struct bytes_block *block = tt_xmalloc(total);
    uint8_t *data = (uint8_t *)(block + 1);
    atomic_init(&block->ref_count, 1);
    block->owner = NULL;
    block->view = (struct tt_bytes){data, size};
    *ret_data = data;
    return &block->view;
}

struct tt_bytes *tt_bytes_new(const void *bytes, size_t size)
{
    uint8_t *data;
    struct tt_bytes *shared = tt_bytes_new_uninit(size, &data);
    if (size > 0) {
        memcpy(data, bytes, size);
    }
    return shared;
}

struct tt_bytes *tt_bytes_slice(struct tt_bytes *of, size_t from, size_t size)
{
    TT_ASSERT(from <= of->size && size <= of->size - from);
    struct bytes_block *whole = block_of(of);
    struct bytes_block *owner = whole->owner ? whole->owner : whole;
    struct bytes_block *slice = tt_xmalloc(sizeof *slice);
    (void)tt_bytes_ref(&owner->view);
    atomic_init(&slice->ref_count, 1);
    slice->owner = owner;
    slice->view = (struct tt_bytes){of->ptr + from, size};
    return &slice->view;
}

struct tt_bytes *tt_bytes_join(struct tt_bytes *const *parts, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        TT_ASSERT(tt_size_add(size, parts[i]->size, &size));
    }
    uint8_t *to;
    struct tt_bytes *joined = tt_bytes_new_uninit(size, &to);
    for (size_t i = 0; i < count; i++) {
        memcpy(to, parts[i]->ptr, parts[i]->size);
        to += parts[i]->size;
    }
    return joined;
}

void tt_bytes_shorten(struct tt_bytes *unshared, size_t size)
{
    TT_ASSERT(size <= unshared->size && atomic_load(&block_of(unshared)->ref_count) == 1);
    unshared->size = size;
}

struct tt_bytes *tt_bytes_ref(struct tt_bytes *bytes)
{
    size_t before = atomic_fetch_add_explicit(&block_of(bytes)->ref_count, 1, memory_order_relaxed);
    TT_ASSERT(before > 0);
    return bytes;
}

void tt_bytes_unref(struct tt_bytes *bytes)
{
    struct bytes_block *block = bytes ? block_of(bytes) : NULL;
    while (block) {
        size_t before = atomic_fetch_sub_explicit(&block->ref_count, 1, memory_order_acq_rel);
        TT_ASSERT(before > 0);
        if (before > 1) {
            return;
        }
        struct bytes_block *owner = block->owner; /* the slice held a reference on it */
        tt_free(block);
        block = owner;
    }
}
