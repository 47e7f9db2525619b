/* Allocation that cannot fail (daemons abort when memory is out), checked allocation for decoders,
 * cleanup attributes, arenas.
 *
 * Ownership: the caller owns what tt_x… returns and frees it with tt_free. Arena memory lives until
 * the arena is reset. Thread: allocation from any thread; an arena belongs to one thread. Errors:
 * see each function. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

void *tt_xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *tt_xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *tt_xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
/* alignment: a power of two. Contents are undefined. */
void *tt_xaligned(size_t alignment, size_t size) __attribute__((malloc, returns_nonnull));
void *tt_xmemdup(const void *p, size_t size) __attribute__((malloc, returns_nonnull));
char *tt_xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *tt_xstrndup(const char *s, size_t size)
    __attribute__((malloc, returns_nonnull)); /* always NUL-terminated */
char *tt_xasprintf(const char *fmt, ...) TT_PRINTF(1, 2)
__attribute__((malloc, returns_nonnull));
void tt_free(void *p); /* NULL is fine */

/* For decoders of outside input: NULL when size > size_max or memory is out. Fails on demand in
 * torture tests. */
void *tt_try_malloc(size_t size, size_t size_max) TT_MUST_USE;
/* Torture: the nth (1-based) tt_try_malloc from now on returns NULL; 0 turns it off. Process-wide,
 * tests only. */
void tt_try_malloc_fail_at(uint64_t nth);

#define TT_NEW(type) ((type *)tt_xcalloc(1, sizeof(type)))
#define TT_CONTAINER_OF(ptr, type, member)                                                         \
    ((type *)(void *)((uintptr_t)(ptr)-offsetof(type, member)))

/* TT_AUTO(tt_obj) o = NULL;  frees with tt_obj_free at scope end; needs TT_DEFINE_AUTO(tt_obj) in
 * its header. */
#define TT_DEFINE_AUTO(name)                                                                       \
    static inline void name##_auto(struct name **p)                                                \
    {                                                                                              \
        if (*p) {                                                                                  \
            name##_free(*p);                                                                       \
        }                                                                                          \
    }
#define TT_AUTO(name) __attribute__((cleanup(name##_auto))) struct name *
#ifdef __cppcheck__
#define TT_TAKE(p) (p) /* it cannot read statement expressions in initialisers */
#else
#define TT_TAKE(p)                                                                                 \
    __extension__({                                                                                \
        __typeof__(p) tt_taken_ = (p);                                                             \
        (p) = NULL;                                                                                \
        tt_taken_;                                                                                 \
    })
#endif
static inline void tt_free_auto_(void *p)
{
    void *target;
    memcpy(&target, p, sizeof target);
    tt_free(target);
}
#define TT_AUTO_FREE __attribute__((cleanup(tt_free_auto_))) /* TT_AUTO_FREE char *s = NULL; */

/* Arena: bump allocation for one request or one reconcile pass, bounded by size_max. */
struct tt_arena;
struct tt_arena *tt_arena_new(size_t chunk_size, size_t size_max);
void tt_arena_free(struct tt_arena *arena);
void tt_arena_reset(
    struct tt_arena *arena); /* keeps one chunk, so a reused arena does not allocate */
/* 16-byte aligned; NULL when the arena's maximum would be passed. */
void *tt_arena_alloc(struct tt_arena *arena, size_t size) TT_MUST_USE;
char *tt_arena_strndup(struct tt_arena *arena, const char *s, size_t size) TT_MUST_USE;
char *tt_arena_printf(struct tt_arena *arena, const char *fmt, ...) TT_PRINTF(2, 3)
TT_MUST_USE;
/* A secret lies, or is about to lie, in it: the next reset or free overwrites all that was handed
 * out until then. */
void tt_arena_hold_secret(struct tt_arena *arena);
size_t tt_arena_used(const struct tt_arena *arena);
TT_DEFINE_AUTO(tt_arena)

#endif
