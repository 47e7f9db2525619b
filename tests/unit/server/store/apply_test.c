/* What one command does: revisions, compares, exactly-once, compaction, levels, bad input. */
#include "tests/unit/server/store/store_support.h"

#include "server/store/once.h"

struct fixture {
    struct tt_store *store;
    uint64_t index;
};

static int setup(void **state)
{
    struct fixture *f = TT_NEW(struct fixture);
    f->store = tt_store_new();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tt_store_free(f->store);
    tt_free(f);
    return 0;
}

static void put_is_visible_after_publish_only(void **state)
{
    struct fixture *f = *state;
    struct tt_apply_result r = test_put(f->store, &f->index, TT_STR("a"), TT_STR("1"));
    assert_int_equal(r.revision_first, 1);
    assert_int_equal(r.revision_last, 1);
    test_expect(f->store, TT_STR("a"), NULL);
    tt_store_publish(f->store);
    test_expect(f->store, TT_STR("a"), "1");
}

static void version_stays_as_it_was(void **state)
{
    struct fixture *f = *state;
    (void)test_put(f->store, &f->index, TT_STR("a"), TT_STR("1"));
    tt_store_publish(f->store);
    struct tt_version *old = tt_store_version(f->store);
    (void)test_put(f->store, &f->index, TT_STR("a"), TT_STR("2"));
    (void)test_put(f->store, &f->index, TT_STR("b"), TT_STR("3"));
    tt_store_publish(f->store);
    assert_true(tt_str_eq_c(tt_version_get(old, TT_STR("a"))->value.bytes, "1"));
    assert_null(tt_version_get(old, TT_STR("b")));
    assert_int_equal(tt_version_count(old), 1);
    tt_version_unref(old);
    test_expect(f->store, TT_STR("a"), "2");
}

/* The chunk of history that owns what was replaced goes in the batch that made it. */
static void version_stays_when_its_items_are_compacted_in_the_next_batch(void **state)
{
    (void)state;
    struct tt_store *store = tt_store_new();
    uint64_t index = 0;
    char key[16];
    enum { PUTS = 1000 };
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < PUTS; i++) {
            int n = snprintf(key, sizeof key, "%u", i);
            (void)test_put(store, &index, tt_str(key, (size_t)n), TT_STR("first"));
        }
        if (round == 0) {
            tt_store_publish(store);
        }
    }
    struct tt_version *old = tt_store_version(store);
    (void)test_apply(store, &index, tt_command_compact(2 * PUTS), 0);
    tt_store_publish(store);
    for (unsigned i = 0; i < PUTS; i++) {
        int n = snprintf(key, sizeof key, "%u", i);
        const struct tt_item *item = tt_version_get(old, tt_str(key, (size_t)n));
        assert_int_equal(item->mod_revision, i + 1);
        assert_true(tt_str_eq_c(item->value.bytes, "first"));
    }
    tt_version_unref(old);
    tt_store_free(store);
}

static void version_outlives_the_store(void **state)
{
    (void)state;
    struct tt_store *store = tt_store_new();
    uint64_t index = 0;
    (void)test_put(store, &index, TT_STR("a"), TT_STR("1"));
    tt_store_publish(store);
    struct tt_version *kept = tt_store_version(store);
    (void)test_put(store, &index, TT_STR("a"), TT_STR("2"));
    tt_store_free(store);
    assert_true(tt_str_eq_c(tt_version_get(kept, TT_STR("a"))->value.bytes, "1"));
    tt_version_unref(kept);
}

static void item_outlives_its_version(void **state)
{
    struct fixture *f = *state;
    (void)test_put(f->store, &f->index, TT_STR("a"), TT_STR("1"));
    tt_store_publish(f->store);
    struct tt_version *version = tt_store_version(f->store);
    const struct tt_item *item = tt_item_ref(tt_version_get(version, TT_STR("a")));
    tt_version_unref(version);
    tt_store_clear(f->store);
    assert_true(tt_str_eq_c(item->value.bytes, "1"));
    tt_item_unref(item);
}

static void transaction_takes_a_contiguous_range(void **state)
{
    struct fixture *f = *state;
    (void)test_put(f->store, &f->index, TT_STR("x"), TT_STR("0"));
    struct tt_txn_op ops[] = {
        {TT_OP_PUT, TT_STR("a"), test_value(TT_STR("1"))},
        {TT_OP_PUT, TT_STR("b"), test_value(TT_STR("2"))},
        {TT_OP_DELETE, TT_STR("x"), {0}},
        {TT_OP_PUT, TT_STR("a"), test_value(TT_STR("3"))},
    };
    struct tt_txn txn = {.ops = ops, .op_count = 4};
    struct tt_apply_result r = test_apply(f->store, &f->index, test_encode(&txn), 0);
    assert_int_equal(r.revision_first, 2);
    assert_int_equal(r.revision_last, 5);
    tt_store_publish(f->store);
    TT_AUTO(tt_version) version = tt_store_version(f->store);
    const struct tt_item *a = tt_version_get(version, TT_STR("a"));
    assert_int_equal(a->create_revision, 2);
    assert_int_equal(a->mod_revision, 5);
    struct tt_history_cursor cursor;
    struct tt_change change;
    assert_int_equal(tt_history_seek(version, 3, &cursor, NULL), 0);
    assert_true(tt_history_next(version, &cursor, &change));
    assert_int_equal(change.revision, 4);
    assert_null(change.item);
    assert_true(tt_str_eq_c(change.prev->value.bytes, "0"));
    assert_true(tt_history_next(version, &cursor, &change));
    assert_int_equal(change.prev->mod_revision, 2);
    assert_false(tt_history_next(version, &cursor, &change));
}

static void failed_compare_changes_nothing(void **state)
{
    struct fixture *f = *state;
    (void)test_put(f->store, &f->index, TT_STR("a"), TT_STR("1"));
    struct tt_compare compares[] = {{TT_STR("a"), 1}, {TT_STR("b"), 7}};
    struct tt_txn_op op = {TT_OP_PUT, TT_STR("a"), test_value(TT_STR("2"))};
    struct tt_txn txn = {.compares = compares, .compare_count = 2, .ops = &op, .op_count = 1};
    struct tt_apply_result r = test_apply(f->store, &f->index, test_encode(&txn), 0);
    assert_int_equal(r.code, TT_ECONFLICT);
    assert_int_equal(r.failed_compare, 1);
    assert_int_equal(r.revision_first, 0);
    tt_store_publish(f->store);
    test_expect(f->store, TT_STR("a"), "1");
}

static void compare_with_zero_means_absent(void **state)
{
    struct fixture *f = *state;
    struct tt_compare compare = {TT_STR("a"), 0};
    struct tt_txn_op op = {TT_OP_PUT, TT_STR("a"), test_value(TT_STR("2"))};
    struct tt_txn txn = {.compares = &compare, .compare_count = 1, .ops = &op, .op_count = 1};
    assert_int_equal(test_apply(f->store, &f->index, test_encode(&txn), 0).code, 0);
    assert_int_equal(test_apply(f->store, &f->index, test_encode(&txn), 0).code, TT_ECONFLICT);
}

static void delete_of_an_absent_key_takes_no_revision(void **state)
{
    struct fixture *f = *state;
    struct tt_apply_result r = test_delete(f->store, &f->index, TT_STR("a"));
    assert_int_equal(r.code, 0);
    assert_int_equal(r.revision_first, 0);
    assert_int_equal(test_put(f->store, &f->index, TT_STR("a"), TT_STR("1")).revision_first, 1);
}

/* One put under a request id. */
static struct tt_apply_result put_once(struct fixture *f, const char *actor, const char *id,
                                       const char *text, uint64_t time_ms)
{
    struct tt_txn_op op = {TT_OP_PUT, TT_STR("a"), test_value(tt_str_c(text))};
    struct tt_txn txn = {
        .ops = &op, .op_count = 1, .actor = tt_str_c(actor), .request_id = tt_str_c(id)};
    return test_apply(f->store, &f->index, test_encode(&txn), time_ms);
}

static void retry_with_a_request_id_repeats_the_answer(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_once(f, "me", "r1", "1", 1).revision_first, 1);
    assert_int_equal(put_once(f, "me", "r2", "2", 2).revision_first, 2);
    struct tt_apply_result r = put_once(f, "me", "r1", "1", 3);
    assert_int_equal(r.revision_first, 1);
    assert_int_equal(r.revision_last, 1);
    tt_store_publish(f->store);
    test_expect(f->store, TT_STR("a"), "2");
    assert_int_equal(put_once(f, "you", "r1", "3", 4).revision_first, 3);
}

static void request_id_is_kept_a_day(void **state)
{
    struct fixture *f = *state;
    (void)put_once(f, "me", "r1", "1", 1000);
    assert_int_equal(put_once(f, "me", "r1", "1", 1000 + 86400000).revision_first, 1);
    assert_int_equal(put_once(f, "me", "r1", "1", 1001 + 86400000).revision_first, 2);
}

static void ten_thousand_request_ids_are_kept_per_identity(void **state)
{
    struct fixture *f = *state;
    char id[32];
    (void)put_once(f, "other", "r", "1", 1);
    for (unsigned i = 0; i <= STORE_ONCE_ACTOR_MAX; i++) {
        (void)snprintf(id, sizeof id, "r%u", i);
        (void)put_once(f, "me", id, "1", 1);
    }
    uint64_t newest = STORE_ONCE_ACTOR_MAX + 2;
    assert_int_equal(put_once(f, "me", "r1", "1", 1).revision_first, 3);
    assert_int_equal(put_once(f, "other", "r", "1", 1).revision_first, 1);
    assert_int_equal(put_once(f, "me", "r0", "1", 1).revision_first, newest + 1);
}

static void failed_request_may_be_tried_again_under_its_id(void **state)
{
    struct fixture *f = *state;
    struct tt_compare compare = {TT_STR("b"), 1};
    struct tt_txn_op op = {TT_OP_PUT, TT_STR("a"), test_value(TT_STR("2"))};
    struct tt_txn txn = {.compares = &compare,
                         .compare_count = 1,
                         .ops = &op,
                         .op_count = 1,
                         .request_id = TT_STR("r1")};
    assert_int_equal(test_apply(f->store, &f->index, test_encode(&txn), 0).code, TT_ECONFLICT);
    compare.mod_revision = 0;
    assert_int_equal(test_apply(f->store, &f->index, test_encode(&txn), 0).code, 0);
}

static void leader_time_never_goes_back(void **state)
{
    struct fixture *f = *state;
    (void)put_once(f, "me", "r1", "1", 5000);
    (void)put_once(f, "me", "r2", "1", 10);
    tt_store_publish(f->store);
    TT_AUTO(tt_version) version = tt_store_version(f->store);
    assert_int_equal(tt_version_time_ms(version), 5000);
}

static void compaction_expires_older_revisions(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 1000; i++) {
        (void)test_put(f->store, &f->index, TT_STR("a"), TT_STR("1"));
    }
    (void)test_apply(f->store, &f->index, tt_command_compact(600), 0);
    tt_store_publish(f->store);
    TT_AUTO(tt_version) version = tt_store_version(f->store);
    struct tt_history_cursor cursor;
    struct tt_change change;
    struct tt_scan *scan = NULL;
    assert_int_equal(tt_version_compacted(version), 600);
    assert_int_equal(tt_history_seek(version, 599, &cursor, NULL), TT_EEXPIRED);
    assert_int_equal(tt_history_seek(version, 600, &cursor, NULL), 0);
    assert_true(tt_history_next(version, &cursor, &change));
    assert_int_equal(change.revision, 601);
    assert_int_equal(tt_history_seek(version, 0, &cursor, NULL), 0);
    assert_int_equal(cursor.next_revision, 601);
    assert_int_equal(tt_scan_new(version, TT_STR_NONE, TT_STR_NONE, 599, &scan, NULL), TT_EEXPIRED);
    assert_int_equal(tt_scan_new(version, TT_STR_NONE, TT_STR_NONE, 1001, &scan, NULL),
                     TT_EINVALID);
}

static void compaction_is_due_by_age(void **state)
{
    struct fixture *f = *state;
    (void)put_once(f, "me", "", "1", 1000);
    assert_int_equal(tt_store_compaction_due(f->store), 0);
    for (unsigned i = 0; i < 300; i++) {
        (void)put_once(f, "me", "", "1", 200000);
    }
    (void)put_once(f, "me", "", "1", 499999);
    assert_int_equal(tt_store_compaction_due(f->store), 0);
    (void)put_once(f, "me", "", "1", 500001);
    assert_int_equal(tt_store_compaction_due(f->store), 255);
    (void)test_apply(f->store, &f->index, tt_command_compact(255), 0);
    assert_int_equal(tt_store_compaction_due(f->store), 0);
}

static void compaction_is_due_by_size(void **state)
{
    struct fixture *f = *state;
    size_t size = 1 << 20;
    char *text = tt_xmalloc(size);
    memset(text, 'x', size);
    for (unsigned i = 0; i < 64; i++) {
        (void)test_put(f->store, &f->index, TT_STR("a"), tt_str(text, size));
    }
    uint64_t before = tt_store_compaction_due(f->store);
    (void)test_put(f->store, &f->index, TT_STR("a"), tt_str(text, size));
    uint64_t after = tt_store_compaction_due(f->store);
    tt_free(text);
    assert_int_equal(before, 0);
    assert_int_equal(after, 65); /* all in one chunk */
}

static void unknown_commands_stop_the_member(void **state)
{
    struct fixture *f = *state;
    struct tt_apply_result r;
    uint64_t hash = tt_store_hash(f->store);
    char body_missing[9] = {0x09};
    char unknown_field[11] = {0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x78, 1};
    char high_level[13] = {0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 9, 0x1a, 0};
    const struct tt_str bad[] = {
        TT_STR_NONE,
        TT_STR("garbage"),
        {body_missing, sizeof body_missing},
        {unknown_field, sizeof unknown_field},
        {high_level, sizeof high_level},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(tt_store_apply(f->store, 1, bad[i], &r, NULL), TT_ECORRUPT);
    }
    struct tt_bytes *level = tt_command_feature_level(999);
    int code = tt_store_apply(f->store, 1, tt_str((const char *)level->ptr, level->size), &r, NULL);
    tt_bytes_unref(level);
    assert_int_equal(code, TT_ECORRUPT);
    assert_int_equal(tt_store_hash(f->store), hash);
}

static void encode_refuses_what_is_too_large(void **state)
{
    (void)state;
    struct tt_txn_op ops[TT_TXN_OPS_MAX + 1];
    struct tt_bytes *command = NULL;
    char key[TT_KEY_SIZE_MAX + 1];
    memset(key, 'k', sizeof key);
    for (size_t i = 0; i <= TT_TXN_OPS_MAX; i++) {
        ops[i] = (struct tt_txn_op){TT_OP_DELETE, TT_STR("k"), {0}};
    }
    struct tt_txn txn = {.ops = ops, .op_count = TT_TXN_OPS_MAX + 1};
    assert_int_equal(tt_txn_encode(&txn, &command, NULL), TT_ETOOLARGE);
    txn.op_count = 1;
    ops[0].key = tt_str(key, sizeof key);
    assert_int_equal(tt_txn_encode(&txn, &command, NULL), TT_ETOOLARGE);
    ops[0].key = TT_STR_NONE;
    assert_int_equal(tt_txn_encode(&txn, &command, NULL), TT_EINVAL);
    assert_null(command);
}

static void count_published(struct tt_store_listener *listener, uint64_t revision);
struct counter {
    struct tt_store_listener listener;
    unsigned calls;
    uint64_t revision;
};
static void count_published(struct tt_store_listener *listener, uint64_t revision)
{
    struct counter *counter = TT_CONTAINER_OF(listener, struct counter, listener);
    counter->calls++;
    counter->revision = revision;
}

static void listeners_hear_of_each_publish_with_news(void **state)
{
    struct fixture *f = *state;
    struct counter counter = {.listener = {.published = count_published}};
    tt_store_listen(f->store, &counter.listener);
    tt_store_publish(f->store);
    assert_int_equal(counter.calls, 0);
    (void)test_put(f->store, &f->index, TT_STR("a"), TT_STR("1"));
    (void)test_put(f->store, &f->index, TT_STR("b"), TT_STR("1"));
    tt_store_publish(f->store);
    assert_int_equal(counter.calls, 1);
    assert_int_equal(counter.revision, 2);
    tt_store_unlisten(f->store, &counter.listener);
    (void)test_put(f->store, &f->index, TT_STR("b"), TT_STR("1"));
    tt_store_publish(f->store);
    assert_int_equal(counter.calls, 1);
}

static void prefix_end_is_above_all_with_the_prefix(void **state)
{
    (void)state;
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 100);
    tt_key_prefix_end(TT_STR("ab"), &buf);
    assert_true(tt_str_eq_c(tt_buf_view(&buf), "ac"));
    tt_key_prefix_end(TT_STR("a\xff\xff"), &buf);
    assert_true(tt_str_eq_c(tt_buf_view(&buf), "b"));
    tt_key_prefix_end(TT_STR("\xff"), &buf);
    assert_int_equal(buf.len, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(put_is_visible_after_publish_only),
        T(version_stays_as_it_was),
        T(version_stays_when_its_items_are_compacted_in_the_next_batch),
        T(version_outlives_the_store),
        T(item_outlives_its_version),
        T(transaction_takes_a_contiguous_range),
        T(failed_compare_changes_nothing),
        T(compare_with_zero_means_absent),
        T(delete_of_an_absent_key_takes_no_revision),
        T(retry_with_a_request_id_repeats_the_answer),
        T(request_id_is_kept_a_day),
        T(ten_thousand_request_ids_are_kept_per_identity),
        T(failed_request_may_be_tried_again_under_its_id),
        T(leader_time_never_goes_back),
        T(compaction_expires_older_revisions),
        T(compaction_is_due_by_age),
        T(compaction_is_due_by_size),
        T(unknown_commands_stop_the_member),
        T(encode_refuses_what_is_too_large),
        T(listeners_hear_of_each_publish_with_news),
        T(prefix_end_is_above_all_with_the_prefix),
    };
#undef T
    return cmocka_run_group_tests_name("server/store/apply", tests, NULL, NULL);
}
