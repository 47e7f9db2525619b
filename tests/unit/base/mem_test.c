/* Behaviour of base/mem: arenas, bounded allocation, torture. */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void arena_memory_is_aligned_and_separate(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO(tt_arena) arena = tt_arena_new(256, 4096);
    char *a = tt_arena_alloc(arena, 3);
    char *b = tt_arena_alloc(arena, 5);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal((uintptr_t)a % 16, 0);
    assert_int_equal((uintptr_t)b % 16, 0);
    assert_int_equal(b - a, 16);
}

static void an_arena_refuses_what_passes_its_maximum(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO(tt_arena) arena = tt_arena_new(64, 128);
    assert_non_null(tt_arena_alloc(arena, 100));
    assert_null(tt_arena_alloc(arena, 100));
    assert_null(tt_arena_alloc(arena, SIZE_MAX));
    assert_non_null(tt_arena_alloc(arena, 16));
    assert_int_equal(tt_arena_used(arena), 128);
}

static void a_reset_arena_gives_its_whole_room_again(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO(tt_arena) arena = tt_arena_new(64, 256);
    void *first = tt_arena_alloc(arena, 64);
    assert_non_null(tt_arena_alloc(arena, 128));
    tt_arena_reset(arena);
    assert_int_equal(tt_arena_used(arena), 0);
    assert_ptr_equal(tt_arena_alloc(arena, 64), first); /* the kept chunk */
    assert_non_null(tt_arena_alloc(arena, 192));
}

static void a_secret_is_overwritten_by_the_reset(void **state)
{
    (void)state; /* no fixture */
    static const char nothing[64];
    TT_AUTO(tt_arena) arena = tt_arena_new(64, 4096);
    char *secret = tt_arena_alloc(arena, 64);
    assert_non_null(secret);
    memset(secret, 'x', 64);
    tt_arena_hold_secret(arena);
    assert_non_null(tt_arena_alloc(arena, 100)); /* not in the chunk that is kept */
    tt_arena_reset(arena);
    assert_ptr_equal(tt_arena_alloc(arena, 64), secret);
    assert_memory_equal(secret, nothing, 64);
}

static void arena_text_is_copied_and_terminated(void **state)
{
    (void)state; /* no fixture */
    TT_AUTO(tt_arena) arena = tt_arena_new(64, 4096);
    assert_string_equal(tt_arena_strndup(arena, "abcdef", 3), "abc");
    assert_string_equal(tt_arena_printf(arena, "%d-%s", 42, "x"), "42-x");
}

static void bounded_allocation_refuses_more_than_its_bound(void **state)
{
    (void)state; /* no fixture */
    assert_null(tt_try_malloc(101, 100));
    void *p = tt_try_malloc(100, 100);
    assert_non_null(p);
    tt_free(p);
}

static void torture_fails_exactly_the_nth_allocation(void **state)
{
    (void)state; /* no fixture */
    tt_try_malloc_fail_at(2);
    void *first = tt_try_malloc(1, 1);
    void *second = tt_try_malloc(1, 1);
    void *third = tt_try_malloc(1, 1);
    assert_non_null(first);
    assert_null(second);
    assert_non_null(third);
    tt_free(first);
    tt_free(third);
}

static void take_empties_the_source(void **state)
{
    (void)state; /* no fixture */
    char *source = tt_xstrdup("x");
    TT_AUTO_FREE char *taken = TT_TAKE(source);
    assert_null(source);
    assert_string_equal(taken, "x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_memory_is_aligned_and_separate),
        cmocka_unit_test(an_arena_refuses_what_passes_its_maximum),
        cmocka_unit_test(a_reset_arena_gives_its_whole_room_again),
        cmocka_unit_test(a_secret_is_overwritten_by_the_reset),
        cmocka_unit_test(arena_text_is_copied_and_terminated),
        cmocka_unit_test(bounded_allocation_refuses_more_than_its_bound),
        cmocka_unit_test(torture_fails_exactly_the_nth_allocation),
        cmocka_unit_test(take_empties_the_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
