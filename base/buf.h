/* A growing byte buffer with a mandatory maximum.
 *
 * Ownership: owns its bytes; fini or take ends it. Thread: one at a time.
 * Errors: an append beyond the maximum sets `failed` and drops the bytes; check once at the end
 * (tt_buf_ok). */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct tt_buf {
    char *ptr;       /* NULL until the first append; always followed by a NUL byte otherwise */
    size_t len;      /* bytes in use */
    size_t cap;      /* bytes allocated, without the NUL */
    size_t size_max; /* len never exceeds it */
    bool failed;     /* sticky: an append did not fit */
};

void tt_buf_init(struct tt_buf *buf, size_t size_max);
void tt_buf_fini(struct tt_buf *buf);  /* NULL and zeroed structs are fine */
void tt_buf_reset(struct tt_buf *buf); /* len = 0, failed = false, memory kept */
void tt_buf_append(struct tt_buf *buf, const void *bytes, size_t size);
void tt_buf_str(struct tt_buf *buf, struct tt_str s);
void tt_buf_c(struct tt_buf *buf, const char *c_string);
void tt_buf_char(struct tt_buf *buf, char c);
void tt_buf_u64(struct tt_buf *buf, uint64_t value); /* decimal */
void tt_buf_printf(struct tt_buf *buf, const char *fmt, ...) TT_PRINTF(2, 3);
void tt_buf_vprintf(struct tt_buf *buf, const char *fmt, va_list args) TT_PRINTF(2, 0);
/* Room for at least `size` more bytes: the pointer to write at (then add to len), NULL when it does
 * not fit. */
char *tt_buf_reserve(struct tt_buf *buf, size_t size);
void tt_buf_consume(struct tt_buf *buf, size_t size); /* drops bytes at the front (memmove) */
char *tt_buf_take(struct tt_buf *buf,
                  size_t *ret_size); /* hands the bytes over (tt_free); buf is empty after */
static inline bool tt_buf_ok(const struct tt_buf *buf)
{
    return !buf->failed;
}
static inline struct tt_str tt_buf_view(const struct tt_buf *buf)
{
    return (struct tt_str){buf->ptr, buf->len};
}
static inline void tt_buf_auto_(struct tt_buf *buf)
{
    tt_buf_fini(buf);
}
#define TT_AUTO_BUF                                                                                \
    __attribute__((                                                                                \
        cleanup(tt_buf_auto_))) /* TT_AUTO_BUF struct tt_buf b; tt_buf_init(&b, …) first */

/* An immutable, reference-counted run of bytes: how payloads are shared between threads without a
 * copy. */
struct tt_bytes {
    const uint8_t *ptr; /* borrowed from the run; freed with its last reference */
    size_t size;        /* bytes at ptr */
};
struct tt_bytes *
tt_bytes_new(const void *bytes,
             size_t size); /* copies; bytes lie behind the struct in one allocation */
/* A part of another run, [from, from + size), without a copy: refs the run that holds the bytes, so
 * that all of that run stays in memory as long as the slice. */
struct tt_bytes *tt_bytes_slice(struct tt_bytes *of, size_t from, size_t size);
struct tt_bytes *tt_bytes_join(struct tt_bytes *const *parts, size_t count); /* one copy of all */
/* Uninitialised payload to fill before it is shared: write through *ret_data, then treat as
 * immutable. */
struct tt_bytes *tt_bytes_new_uninit(size_t size, uint8_t **ret_data);
void tt_bytes_shorten(struct tt_bytes *unshared, size_t size); /* less was filled than expected */
static inline struct tt_str tt_bytes_view(const struct tt_bytes *bytes)
{
    return (struct tt_str){(const char *)bytes->ptr, bytes->size};
}
struct tt_bytes *tt_bytes_ref(struct tt_bytes *bytes); /* any thread */
void tt_bytes_unref(struct tt_bytes *bytes);           /* any thread; NULL is fine */

#endif
