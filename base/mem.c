#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/intmath.h"

/* Happy path: tt_x… never returns NULL; arenas bump a pointer through chunks.
 *
 * Failure modes: a daemon without memory aborts at once (it restarts from its log; limping on with
 * half-done work would be worse). Sizes that come from outside go through tt_try_malloc, which
 * refuses what is over the caller's bound and can be told to fail in torture tests. */

enum { ARENA_ALIGN = 16 };

/* 0 = torture off; n = the nth call from now fails. */
static _Atomic uint64_t try_malloc_countdown;

static _Noreturn void die_of_memory(void)
{
    static const char text[] = "{\"level\":\"error\",\"mod\":\"mem\",\"msg\":\"out of memory\"}\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof text - 1);
    (void)written; /* aborting anyway */
    abort();
}

void *tt_xmalloc(size_t size)
{
    void *p = malloc(size > 0 ? size : 1);
    if (!p) {
        die_of_memory();
    }
    return p;
}

void *tt_xcalloc(size_t count, size_t size)
{
    void *p = calloc(count > 0 ? count : 1, size > 0 ? size : 1);
    if (!p) {
        die_of_memory();
    }
    return p;
}

void *tt_xrealloc(void *p, size_t size)
{
    void *grown = realloc(p, size > 0 ? size : 1);
    if (!grown) {
        die_of_memory();
    }
    return grown;
}

void *tt_xaligned(size_t alignment, size_t size)
{
    TT_ASSERT(alignment >= sizeof(void *) && (alignment & (alignment - 1)) == 0);
    void *p = NULL;
    if (posix_memalign(&p, alignment, size > 0 ? size : alignment) != 0) {
        die_of_memory();
    }
    return p;
}

void *tt_xmemdup(const void *p, size_t size)
{
    void *copy = tt_xmalloc(size);
    if (size > 0) {
        memcpy(copy, p, size);
    }
    return copy;
}

char *tt_xstrdup(const char *s)
{
    return tt_xmemdup(s, strlen(s) + 1);
}

char *tt_xstrndup(const char *s, size_t size)
{
    size_t len = size > 0 ? strnlen(s, size) : 0;
    char *copy = tt_xmalloc(len + 1);
    if (len > 0) {
        memcpy(copy, s, len);
    }
    copy[len] = '\0';
    return copy;
}

char *tt_xasprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0 || !text) {
        die_of_memory();
    }
    return text;
}

void tt_free(void *p)
{
    free(p);
}

/* True when torture wants this call to fail. */
static bool torture_fires(void)
{
    uint64_t left = atomic_load_explicit(&try_malloc_countdown, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak(&try_malloc_countdown, &left, left - 1)) {
            return left == 1;
        }
    }
    return false;
}

void *tt_try_malloc(size_t size, size_t size_max)
{
    if (size > size_max || torture_fires()) {
        return NULL;
    }
    return malloc(size > 0 ? size : 1);
}

void tt_try_malloc_fail_at(uint64_t nth)
{
    atomic_store(&try_malloc_countdown, nth);
}

struct arena_chunk {
    struct arena_chunk *next;            /* older chunk */
    size_t cap;                          /* bytes behind the header */
    size_t used;                         /* of cap */
    _Alignas(ARENA_ALIGN) char bytes[1]; /* cap bytes */
};

struct tt_arena {
    struct arena_chunk *chunks; /* newest first; allocation tries only this one */
    size_t chunk_size;          /* payload of a usual chunk */
    size_t size_max;            /* bound on used */
    size_t used;                /* bytes handed out, with alignment */
    bool holds_secret;          /* until the next reset */
};

static struct arena_chunk *chunk_new(size_t cap)
{
    size_t size;
    if (!tt_size_add(offsetof(struct arena_chunk, bytes), cap, &size)) {
        die_of_memory();
    }
    struct arena_chunk *chunk = tt_xmalloc(size);
    chunk->next = NULL;
    chunk->cap = cap;
    chunk->used = 0;
    return chunk;
}

struct tt_arena *tt_arena_new(size_t chunk_size, size_t size_max)
{
    TT_ASSERT(chunk_size > 0);
    struct tt_arena *arena = TT_NEW(struct tt_arena);
    arena->chunk_size = chunk_size;
    arena->size_max = size_max;
    return arena;
}

static void free_chunks(struct arena_chunk *chunk)
{
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        tt_free(chunk);
        chunk = next;
    }
}

void tt_arena_hold_secret(struct tt_arena *arena)
{
    arena->holds_secret = true;
}

/* Not memset: what is freed next may be left out by the compiler. */
static void wipe_secret(struct tt_arena *arena)
{
    struct arena_chunk *first = arena->holds_secret ? arena->chunks : NULL;
    for (struct arena_chunk *chunk = first; chunk; chunk = chunk->next) {
        explicit_bzero(chunk->bytes, chunk->used);
    }
    arena->holds_secret = false;
}

void tt_arena_free(struct tt_arena *arena)
{
    if (!arena) {
        return;
    }
    wipe_secret(arena);
    free_chunks(arena->chunks);
    tt_free(arena);
}

void tt_arena_reset(struct tt_arena *arena)
{
    wipe_secret(arena);
    struct arena_chunk *kept = NULL;
    struct arena_chunk *chunk = arena->chunks;
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        if (!kept && chunk->cap == arena->chunk_size) {
            kept = chunk;
        } else {
            tt_free(chunk);
        }
        chunk = next;
    }
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
    }
    arena->chunks = kept;
    arena->used = 0;
}

void *tt_arena_alloc(struct tt_arena *arena, size_t size)
{
    size_t rounded;
    size_t total;
    if (!tt_size_add(size > 0 ? size : 1, ARENA_ALIGN - 1, &rounded)) {
        return NULL;
    }
    rounded &= ~(size_t)(ARENA_ALIGN - 1);
    if (!tt_size_add(arena->used, rounded, &total) || total > arena->size_max) {
        return NULL;
    }
    struct arena_chunk *chunk = arena->chunks;
    if (!chunk || chunk->cap - chunk->used < rounded) {
        chunk = chunk_new(tt_size_max(arena->chunk_size, rounded));
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    void *p = chunk->bytes + chunk->used;
    chunk->used += rounded;
    arena->used = total;
    TT_ASSERT(chunk->used <= chunk->cap);
    return p;
}

char *tt_arena_strndup(struct tt_arena *arena, const char *s, size_t size)
{
    size_t with_nul;
    if (!tt_size_add(size, 1, &with_nul)) {
        return NULL;
    }
    char *copy = tt_arena_alloc(arena, with_nul);
    if (!copy) {
        return NULL;
    }
    if (size > 0) {
        memcpy(copy, s, size);
    }
    copy[size] = '\0';
    return copy;
}

char *tt_arena_printf(struct tt_arena *arena, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = len < 0 ? NULL : tt_arena_alloc(arena, (size_t)len + 1);
    if (text) {
        (void)vsnprintf(text, (size_t)len + 1, fmt, again); /* measured above */
    }
    va_end(again);
    return text;
}

size_t tt_arena_used(const struct tt_arena *arena)
{
    return arena->used;
}
