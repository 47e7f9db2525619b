/* Small builders for tests of the store: one-op transactions, applied and checked.
 *
 * Ownership: nothing is kept. Thread: the test's. Errors: a failure ends the test. */
#ifndef TESTS_UNIT_SERVER_STORE_STORE_SUPPORT_H
#define TESTS_UNIT_SERVER_STORE_STORE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "server/store/store.h"

/* Seed of a random test: $TT_SEED or a fresh one; printed. */
static inline uint64_t test_seed(const char *name)
{
    const char *text = getenv("TT_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 10) : tt_random_u64() % 1000000;
    print_message("%s: TT_SEED=%llu\n", name, (unsigned long long)seed);
    return seed;
}

static inline struct tt_value test_value(struct tt_str text)
{
    return (struct tt_value){.codec = TT_CODEC_JSON, .bytes = text};
}

static inline void test_stamp(struct tt_bytes *unshared, uint64_t time_ms)
{
    uint8_t *bytes = (uint8_t *)(uintptr_t)unshared->ptr;
    assert_int_equal(tt_command_stamp(bytes, unshared->size, time_ms, NULL), 0);
}

/* Applies at the next index with the given leader time. */
static inline struct tt_apply_result test_apply(struct tt_store *store, uint64_t *index,
                                                struct tt_bytes *command, uint64_t time_ms)
{
    struct tt_apply_result result;
    struct tt_err err;
    tt_err_init(&err);
    test_stamp(command, time_ms);
    int r = tt_store_apply(store, ++*index, tt_str((const char *)command->ptr, command->size),
                           &result, &err);
    if (r != 0) {
        print_message("apply: %s\n", tt_err_cause(&err));
    }
    assert_int_equal(r, 0);
    tt_bytes_unref(command);
    return result;
}

static inline struct tt_bytes *test_encode(const struct tt_txn *txn)
{
    struct tt_bytes *command = NULL;
    struct tt_err err;
    tt_err_init(&err);
    int r = tt_txn_encode(txn, &command, &err);
    if (r != 0) {
        print_message("encode: %s\n", tt_err_cause(&err));
    }
    assert_int_equal(r, 0);
    return command;
}

static inline struct tt_apply_result test_put(struct tt_store *store, uint64_t *index,
                                              struct tt_str key, struct tt_str text)
{
    struct tt_txn_op op = {.kind = TT_OP_PUT, .key = key, .value = test_value(text)};
    struct tt_txn txn = {.ops = &op, .op_count = 1};
    return test_apply(store, index, test_encode(&txn), 0);
}

static inline struct tt_apply_result test_delete(struct tt_store *store, uint64_t *index,
                                                 struct tt_str key)
{
    struct tt_txn_op op = {.kind = TT_OP_DELETE, .key = key};
    struct tt_txn txn = {.ops = &op, .op_count = 1};
    return test_apply(store, index, test_encode(&txn), 0);
}

/* The text behind a key in the newest version, checked; NULL: absent. */
static inline void test_expect(struct tt_store *store, struct tt_str key, const char *text)
{
    TT_AUTO(tt_version) version = tt_store_version(store);
    const struct tt_item *item = tt_version_get(version, key);
    if (!text) {
        assert_null(item);
        return;
    }
    assert_non_null(item);
    assert_true(tt_str_eq_c(item->value.bytes, text));
}

#endif
