/* Behaviour of base/map: agreement with a plain model, bounds, iteration. */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"

static unsigned freed;

static void count_free(void *value)
{
    (void)value; /* static objects: only the call counts */
    freed++;
}

enum { MODEL_KEYS = 200, MODEL_STEPS = 50000 };

static void random_use_agrees_with_a_model(void **state)
{
    (void)state; /* no fixture */
    uint64_t seed = tt_random_u64();
    print_message("seed %llu\n", (unsigned long long)seed);
    struct tt_rng rng;
    tt_rng_seed(&rng, seed);
    struct tt_map *map = tt_map_new(MODEL_KEYS, NULL);
    char values[MODEL_KEYS * 2];
    char *model[MODEL_KEYS] = {NULL};
    size_t count = 0;
    for (unsigned step = 0; step < MODEL_STEPS; step++) {
        char key[16];
        size_t k = tt_rng_below(&rng, MODEL_KEYS);
        struct tt_str name = tt_str(key, (size_t)snprintf(key, sizeof key, "key-%zu", k));
        if (tt_rng_chance(&rng, 0.5)) {
            char *value = &values[tt_rng_below(&rng, sizeof values)];
            assert_int_equal(tt_map_set(map, name, value, NULL), TT_OK);
            count += model[k] ? 0 : 1;
            model[k] = value;
        } else {
            assert_int_equal(tt_map_remove(map, name), model[k] != NULL);
            count -= model[k] ? 1 : 0;
            model[k] = NULL;
        }
        assert_ptr_equal(tt_map_get(map, name), model[k]);
        assert_int_equal(tt_map_count(map), count);
    }
    tt_map_free(map);
}

static void a_full_map_takes_replacements_only(void **state)
{
    (void)state; /* no fixture */
    struct tt_map *map = tt_map_new(1, NULL);
    char a;
    char b;
    struct tt_err err;
    tt_err_init(&err);
    assert_int_equal(tt_map_set(map, TT_STR("a"), &a, &err), TT_OK);
    assert_int_equal(tt_map_set(map, TT_STR("b"), &b, &err), TT_EBUSY);
    assert_int_equal(tt_map_set(map, TT_STR("a"), &b, &err), TT_OK);
    assert_ptr_equal(tt_map_get(map, TT_STR("a")), &b);
    tt_map_free(map);
}

static void values_are_freed_once_on_replace_remove_and_end(void **state)
{
    (void)state; /* no fixture */
    char values[3];
    freed = 0;
    struct tt_map *map = tt_map_new(8, count_free);
    assert_int_equal(tt_map_set(map, TT_STR("a"), &values[0], NULL), TT_OK);
    assert_int_equal(tt_map_set(map, TT_STR("a"), &values[1], NULL), TT_OK);
    assert_int_equal(freed, 1);
    assert_true(tt_map_remove(map, TT_STR("a")));
    assert_int_equal(freed, 2);
    assert_int_equal(tt_map_set(map, TT_STR(""), &values[2], NULL), TT_OK);
    tt_map_free(map);
    assert_int_equal(freed, 3);
}

static void iteration_sees_each_entry_once_while_removing(void **state)
{
    (void)state; /* no fixture */
    char values[100];
    bool visited[100] = {false};
    struct tt_map *map = tt_map_new(100, NULL);
    for (size_t i = 0; i < 100; i++) {
        char key[8];
        size_t len = (size_t)snprintf(key, sizeof key, "%zu", i);
        assert_int_equal(tt_map_set(map, tt_str(key, len), &values[i], NULL), TT_OK);
    }
    struct tt_str key;
    void *value;
    for (size_t i = 0; tt_map_next(map, &i, &key, &value);) {
        size_t which = (size_t)((char *)value - values);
        assert_false(visited[which]);
        visited[which] = true;
        assert_true(tt_map_remove(map, key));
    }
    assert_int_equal(tt_map_count(map), 0);
    for (size_t i = 0; i < 100; i++) {
        assert_true(visited[i]);
    }
    tt_map_free(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_use_agrees_with_a_model),
        cmocka_unit_test(a_full_map_takes_replacements_only),
        cmocka_unit_test(values_are_freed_once_on_replace_remove_and_end),
        cmocka_unit_test(iteration_sees_each_entry_once_while_removing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
