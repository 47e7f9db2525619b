/* Readers on other threads while the writer applies, publishes and compacts: each version is
 * consistent, watches see no gap. Meant for the tsan and asan presets as well. */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/server/store/workload.h"

#include "base/pace.h"
#include "server/store/apply.h"

enum { READERS = 3, BATCHES = 1500, KEYS = 400 };

struct shared {
    struct tt_store *store;
    atomic_bool stop;
    atomic_uint handed_over;
    struct tt_store_reclaimer reclaimer;
    pthread_mutex_t lock; /* guards dead */
    struct tt_version *dead[64];
    unsigned dead_count;
};
struct reader {
    struct shared *shared;
    pthread_t thread;
    uint64_t seed;
    uint64_t versions; /* looked at */
    uint64_t changes;  /* seen as a watch would */
    uint64_t expired;  /* times the watch was too late */
    const char *wrong; /* what did not hold; NULL: nothing */
};

/* Every put writes the key's own text "<mod revision>" and every batch writes all of "pair/a" and
 * "pair/b" together: what a torn version would break. */
static const char *check_version(struct tt_version *version)
{
    const struct tt_item *a = tt_version_get(version, TT_STR("pair/a"));
    const struct tt_item *b = tt_version_get(version, TT_STR("pair/b"));
    if (!a != !b || (a && !tt_str_eq(a->value.bytes, b->value.bytes))) {
        return "transaction seen in part";
    }
    struct tt_scan *scan = NULL;
    if (tt_scan_new(version, TT_STR_NONE, TT_STR_NONE, 0, &scan, NULL) != 0) {
        return "scan refused";
    }
    uint64_t count = 0;
    uint64_t bytes = 0;
    for (const struct tt_item *item; (item = tt_scan_next(scan)); count++) {
        bytes += item->key.len + item->value.bytes.len;
        if (item->mod_revision > tt_version_revision(version)) {
            tt_scan_free(scan);
            return "item from the future";
        }
    }
    tt_scan_free(scan);
    if (count != tt_version_count(version) || bytes != tt_version_bytes(version)) {
        return "count or bytes do not match the scan";
    }
    return NULL;
}

static const char *follow(struct reader *reader, struct tt_version *version, uint64_t *seen)
{
    struct tt_history_cursor cursor;
    struct tt_change change;
    int r = tt_history_seek(version, *seen, &cursor, NULL);
    if (r == TT_EEXPIRED) {
        reader->expired++;
        *seen = tt_version_revision(version);
        return NULL;
    }
    while (tt_history_next(version, &cursor, &change)) {
        if (*seen != 0 && change.revision != *seen + 1) {
            return "watch has a gap";
        }
        if (change.item && change.item->mod_revision != change.revision) {
            return "change with another revision";
        }
        *seen = change.revision;
        reader->changes++;
    }
    return *seen == tt_version_revision(version) ? NULL : "watch ends early";
}

static void *read_all(void *arg)
{
    struct reader *reader = arg;
    struct tt_rng rng;
    uint64_t seen = 0;
    tt_rng_seed(&rng, reader->seed);
    struct tt_version *pinned = NULL;
    while (!atomic_load(&reader->shared->stop) && !reader->wrong) {
        struct tt_version *version = tt_store_version(reader->shared->store);
        reader->versions++;
        reader->wrong = follow(reader, version, &seen);
        if (!reader->wrong && tt_rng_chance(&rng, 0.2)) {
            reader->wrong = check_version(version);
        }
        if (tt_rng_chance(&rng, 0.05)) { /* some are kept for a while */
            if (pinned && !reader->wrong) {
                reader->wrong = check_version(pinned);
            }
            tt_version_unref(pinned);
            pinned = tt_version_ref(version);
        }
        tt_version_unref(version);
    }
    tt_version_unref(pinned);
    return NULL;
}

static void hand_over(struct tt_store_reclaimer *reclaimer, struct tt_version *dead)
{
    struct shared *shared = TT_CONTAINER_OF(reclaimer, struct shared, reclaimer);
    atomic_fetch_add(&shared->handed_over, 1);
    (void)pthread_mutex_lock(&shared->lock);
    bool kept = shared->dead_count < 64;
    if (kept) {
        shared->dead[shared->dead_count++] = dead;
    }
    (void)pthread_mutex_unlock(&shared->lock);
    if (!kept) {
        tt_version_reclaim(dead, NULL);
    }
}

/* What the pool does. */
static void *reclaim_all(void *arg)
{
    struct shared *shared = arg;
    struct tt_pace *pace = tt_pace_new(50);
    for (bool stop = false; !stop;) {
        stop = atomic_load(&shared->stop);
        struct tt_version *dead = NULL;
        (void)pthread_mutex_lock(&shared->lock);
        if (shared->dead_count > 0) {
            dead = shared->dead[--shared->dead_count];
            stop = false;
        }
        (void)pthread_mutex_unlock(&shared->lock);
        if (dead) {
            tt_version_reclaim(dead, pace);
        }
    }
    tt_pace_free(pace);
    return NULL;
}

static void write_batch(struct shared *shared, struct tt_rng *rng, uint64_t *index)
{
    char text[32];
    char key[32];
    for (uint64_t ops = 1 + tt_rng_below(rng, 300); ops > 0; ops--) {
        int n = snprintf(key, sizeof key, "key/%llu", (unsigned long long)tt_rng_below(rng, KEYS));
        if (tt_rng_chance(rng, 0.3)) {
            (void)test_delete(shared->store, index, tt_str(key, (size_t)n));
        } else {
            (void)test_put(shared->store, index, tt_str(key, (size_t)n), TT_STR("value"));
        }
    }
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)*index);
    struct tt_value value = test_value(tt_str(text, (size_t)n));
    struct tt_txn_op ops[] = {{TT_OP_PUT, TT_STR("pair/a"), value},
                              {TT_OP_PUT, TT_STR("pair/b"), value}};
    struct tt_txn txn = {.ops = ops, .op_count = 2};
    struct tt_apply_result r = test_apply(shared->store, index, test_encode(&txn), 0);
    if (tt_rng_chance(rng, 0.1) && r.revision_last > 2000) {
        (void)test_apply(shared->store, index,
                         tt_command_compact(r.revision_last - tt_rng_below(rng, 2000)), 0);
    }
    tt_store_publish(shared->store);
}

static void readers_see_consistent_versions_while_the_writer_goes_on(void **state)
{
    (void)state;
    uint64_t seed = test_seed("readers_see_consistent_versions");
    struct shared shared = {.store = tt_store_new(), .reclaimer = {hand_over}};
    struct reader readers[READERS] = {0};
    struct tt_rng rng;
    pthread_t pool;
    uint64_t index = 0;
    tt_rng_seed(&rng, seed);
    assert_int_equal(pthread_mutex_init(&shared.lock, NULL), 0);
    tt_store_reclaim_with(shared.store, &shared.reclaimer);
    assert_int_equal(pthread_create(&pool, NULL, reclaim_all, &shared), 0);
    for (unsigned i = 0; i < READERS; i++) {
        readers[i].shared = &shared;
        readers[i].seed = seed + i;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_all, &readers[i]), 0);
    }
    for (unsigned i = 0; i < BATCHES; i++) {
        write_batch(&shared, &rng, &index);
    }
    atomic_store(&shared.stop, true);
    for (unsigned i = 0; i < READERS; i++) {
        (void)pthread_join(readers[i].thread, NULL);
        print_message("reader %u: %llu versions, %llu changes, %llu times expired\n", i,
                      (unsigned long long)readers[i].versions,
                      (unsigned long long)readers[i].changes,
                      (unsigned long long)readers[i].expired);
    }
    (void)pthread_join(pool, NULL);
    tt_store_free(shared.store);
    for (unsigned i = 0; i < shared.dead_count; i++) {
        tt_version_reclaim(shared.dead[i], NULL);
    }
    (void)pthread_mutex_destroy(&shared.lock);
    for (unsigned i = 0; i < READERS; i++) {
        assert_null(readers[i].wrong);
        assert_true(readers[i].versions > 0);
    }
    assert_true(atomic_load(&shared.handed_over) > 0);
}

/* More versions taken between two publishes than the count in the slot can hold. */
static void very_many_readers_of_one_version_are_counted(void **state)
{
    (void)state;
    struct tt_store *store = tt_store_new();
    uint64_t index = 0;
    (void)test_put(store, &index, TT_STR("a"), TT_STR("1"));
    tt_store_publish(store);
    enum { TAKEN = 200000 };
    struct tt_version *first = tt_store_version(store);
    for (unsigned i = 1; i < TAKEN; i++) {
        assert_ptr_equal(tt_store_version(store), first);
    }
    (void)test_put(store, &index, TT_STR("a"), TT_STR("2"));
    tt_store_publish(store);
    for (unsigned i = 1; i < TAKEN; i++) {
        tt_version_unref(first);
    }
    assert_true(tt_str_eq_c(tt_version_get(first, TT_STR("a"))->value.bytes, "1"));
    tt_version_unref(first);
    tt_store_free(store);
}

/* A snapshot or a slow list must not keep alive what only versions after it reached. */
static void pinned_version_holds_only_what_it_reaches(void **state)
{
    (void)state;
    struct tt_store *store = tt_store_new();
    uint64_t index = 0;
    (void)test_put(store, &index, TT_STR("a"), TT_STR("1"));
    tt_store_publish(store);
    struct tt_version *pinned = tt_store_version(store);
    for (unsigned i = 0; i < 2000; i++) {
        struct tt_apply_result r = test_put(store, &index, TT_STR("a"), TT_STR("2"));
        if (r.revision_last % 500 == 0) {
            (void)test_apply(store, &index, tt_command_compact(r.revision_last), 0);
        }
        tt_store_publish(store);
    }
    size_t held =
        pinned->garbage.count; /* one item, one leaf, its directory and chunk, newer tail */
    assert_true(tt_str_eq_c(tt_version_get(pinned, TT_STR("a"))->value.bytes, "1"));
    tt_version_unref(pinned);
    tt_store_free(store);
    assert_in_range(held, 2, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_consistent_versions_while_the_writer_goes_on),
        cmocka_unit_test(pinned_version_holds_only_what_it_reaches),
        cmocka_unit_test(very_many_readers_of_one_version_are_counted),
    };
    return cmocka_run_group_tests_name("server/store/concurrency", tests, NULL, NULL);
}
