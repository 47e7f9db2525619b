/* The same commands give the same state: whatever the batches, whether applied or restored. */
#include "tests/unit/server/store/workload.h"

enum { COMMANDS = 4000 };

/* Streams `from` into `to`, which is empty, in pieces of random size. */
static void copy_store(struct tt_store *from, struct tt_store *to, struct tt_rng *rng)
{
    struct tt_version *version = tt_store_version(from);
    TT_AUTO(tt_snapshot_writer) writer = tt_snapshot_writer_new(version);
    tt_version_unref(version);
    TT_AUTO(tt_snapshot_reader) reader = tt_snapshot_reader_new(to);
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 8 << 20);
    for (bool done = false; !done;) {
        tt_buf_reset(&buf);
        size_t size = 1 + tt_rng_below(rng, 100000);
        assert_int_equal(tt_snapshot_writer_next(writer, size, &buf, &done, NULL), 0);
        struct tt_str left = tt_buf_view(&buf);
        while (left.len > 0) {
            struct tt_str part = tt_str_head(left, 1 + tt_rng_below(rng, 3000));
            assert_int_equal(tt_snapshot_reader_feed(reader, part, NULL), 0);
            left = tt_str_skip(left, part.len);
        }
    }
    assert_int_equal(tt_snapshot_reader_finish(reader, NULL), 0);
}

static void apply_bytes(struct tt_store *store, uint64_t index, const struct tt_bytes *command,
                        struct tt_apply_result *ret)
{
    struct tt_str bytes = tt_str((const char *)command->ptr, command->size);
    assert_int_equal(tt_store_apply(store, index, bytes, ret, NULL), 0);
}

static void assert_same_result(const struct tt_apply_result *a, const struct tt_apply_result *b)
{
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->revision_first, b->revision_first);
    assert_int_equal(a->revision_last, b->revision_last);
    assert_int_equal(a->failed_compare, b->failed_compare);
}

static void same_commands_give_the_same_state(void **state)
{
    (void)state;
    struct workload w = {.key_space = 300, .time_ms = 1000};
    tt_rng_seed(&w.rng, test_seed("same_commands_give_the_same_state"));
    struct tt_rng other;
    tt_rng_seed(&other, tt_rng_u64(&w.rng));
    struct tt_store *one = tt_store_new();
    struct tt_store *batched = tt_store_new();
    struct tt_store *restored = NULL;
    uint64_t restore_at = 1 + tt_rng_below(&other, COMMANDS);
    for (uint64_t i = 1; i <= COMMANDS; i++) {
        TT_AUTO(tt_version) version = tt_store_version(one);
        struct tt_bytes *command = workload_command(&w, version);
        struct tt_apply_result r[3];
        apply_bytes(one, i, command, &r[0]);
        tt_store_publish(one);
        apply_bytes(batched, i, command, &r[1]);
        if (tt_rng_chance(&other, 0.05)) {
            tt_store_publish(batched);
        }
        assert_same_result(&r[0], &r[1]);
        if (restored) {
            apply_bytes(restored, i, command, &r[2]);
            assert_same_result(&r[0], &r[2]);
        } else if (i == restore_at) {
            restored = tt_store_new();
            copy_store(one, restored, &other);
            assert_same_store(one, restored);
        }
        tt_bytes_unref(command);
        assert_int_equal(tt_store_hash(one), tt_store_hash(batched));
    }
    tt_store_publish(batched);
    tt_store_publish(restored);
    assert_same_store(one, batched);
    assert_same_store(one, restored);
    assert_int_equal(tt_store_compaction_due(one), tt_store_compaction_due(batched));
    tt_store_free(one);
    tt_store_free(batched);
    tt_store_free(restored);
}

static void hash_differs_when_anything_differs(void **state)
{
    (void)state;
    struct tt_store *a = tt_store_new();
    struct tt_store *b = tt_store_new();
    uint64_t i = 0;
    uint64_t k = 0;
    (void)test_put(a, &i, TT_STR("a"), TT_STR("1"));
    (void)test_put(b, &k, TT_STR("a"), TT_STR("2"));
    assert_int_not_equal(tt_store_hash(a), tt_store_hash(b));
    /* The same content by another way is another state. */
    (void)test_put(a, &i, TT_STR("a"), TT_STR("3"));
    (void)test_put(b, &k, TT_STR("a"), TT_STR("3"));
    assert_int_not_equal(tt_store_hash(a), tt_store_hash(b));
    tt_store_free(a);
    tt_store_free(b);
}

/* The definition in hash.h must never change: members of different builds compare it. */
static void hash_of_a_known_history_is_known(void **state)
{
    (void)state;
    struct tt_store *store = tt_store_new();
    uint64_t index = 0;
    (void)test_put(store, &index, TT_STR("/pods/a"), TT_STR("{\"metadata\":{\"name\":\"a\"}}"));
    (void)test_put(store, &index, TT_STR("/pods/b"), TT_STR("0123456789012345678901234567890123"));
    (void)test_delete(store, &index, TT_STR("/pods/a"));
    uint64_t hash = tt_store_hash(store);
    tt_store_free(store);
    assert_int_equal(hash, UINT64_C(0x45499f50487ca895));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_commands_give_the_same_state),
        cmocka_unit_test(hash_differs_when_anything_differs),
        cmocka_unit_test(hash_of_a_known_history_is_known),
    };
    return cmocka_run_group_tests_name("server/store/determinism", tests, NULL, NULL);
}
