/* The registry under threads: readers hold snapshots while a writer adds and removes kinds. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/kinds/registry.h"

enum { READERS = 3, ROUNDS = 200 };

static const char schema[] =
    "{\"group\":\"example.com\",\"version\":\"v1\",\"kind\":\"Thing\",\"plural\":\"things\","
    "\"singular\":\"thing\",\"namespaced\":true,\"custom\":true,\"verbs\":\"get\",\"types\":{"
    "\"com.example.v1.Thing\":{\"fields\":{\"spec\":{\"type\":\"core.PodSpec\"}}}}}";

struct reader {
    pthread_t thread;
    struct tt_registry *registry;
    size_t seen;  /* snapshots with the added kind */
    size_t wrong; /* snapshots that did not make sense */
};

static void *read_snapshots(void *arg)
{
    struct reader *reader = arg;
    for (int i = 0; i < ROUNDS * 4; i++) {
        struct tt_kinds *kinds = tt_registry_get(reader->registry);
        const struct tt_kind *thing =
            tt_kinds_kind(kinds, TT_STR("example.com/v1"), TT_STR("Thing"));
        const struct tt_kind *pod =
            tt_kinds_resource(kinds, TT_STR(""), TT_STR("v1"), TT_STR("pods"));
        reader->wrong += pod == NULL;
        if (thing != NULL) {
            reader->seen++;
            reader->wrong += tt_type_field(thing->type, TT_STR("spec")) == NULL;
        }
        tt_kinds_unref(kinds);
    }
    return NULL;
}

static void readers_and_a_writer_do_not_disturb_each_other(void **state)
{
    struct reader readers[READERS] = {0};
    struct tt_registry *registry = NULL;
    (void)state;
    assert_int_equal(tt_registry_new(&registry, NULL), TT_OK);
    for (size_t i = 0; i < READERS; i++) {
        readers[i].registry = registry;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_snapshots, &readers[i]), 0);
    }
    int failed = 0;
    for (int i = 0; i < ROUNDS; i++) {
        failed += tt_registry_add(registry, TT_STR(schema), NULL) != TT_OK;
        failed += tt_registry_remove(registry, TT_STR("example.com"), TT_STR("v1"),
                                     TT_STR("things"), NULL) != TT_OK;
    }
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_int_equal(readers[i].wrong, 0);
    }
    assert_int_equal(failed, 0);
    tt_registry_free(registry);
}

static void a_snapshot_outlives_its_registry(void **state)
{
    struct tt_registry *registry = NULL;
    (void)state;
    assert_int_equal(tt_registry_new(&registry, NULL), TT_OK);
    assert_int_equal(tt_registry_add(registry, TT_STR(schema), NULL), TT_OK);
    struct tt_kinds *kinds = tt_registry_get(registry);
    uint64_t generation = tt_kinds_generation(kinds);
    assert_int_equal(tt_registry_add(registry, TT_STR(schema), NULL), TT_OK); /* replaces */
    struct tt_kinds *next = tt_registry_get(registry);
    assert_int_equal(tt_kinds_generation(next), generation + 1);
    assert_int_equal(tt_kinds_count(next), tt_kinds_count(kinds));
    tt_registry_free(registry);
    assert_non_null(tt_kinds_kind(kinds, TT_STR("example.com/v1"), TT_STR("Thing")));
    tt_kinds_unref(kinds);
    assert_non_null(tt_kinds_type(next, TT_STR("com.example.v1.Thing")));
    tt_kinds_unref(next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_and_a_writer_do_not_disturb_each_other),
        cmocka_unit_test(a_snapshot_outlives_its_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
