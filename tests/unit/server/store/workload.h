/* Random commands of every kind, with compares that hold about half of the time.
 *
 * Ownership: the commands are the workload's. Thread: the test's. Errors: a failure ends the test.
 */
#ifndef TESTS_UNIT_SERVER_STORE_WORKLOAD_H
#define TESTS_UNIT_SERVER_STORE_WORKLOAD_H

#include "tests/unit/server/store/store_support.h"

struct workload {
    struct tt_rng rng;
    uint64_t key_space;
    uint64_t time_ms;
};

static inline struct tt_str workload_key(struct workload *w, char out[64])
{
    static const char *const kinds[] = {"pods", "nodes", "pods/status", "p", "secrets"};
    int n = snprintf(out, 64, "/%s/%llu", kinds[tt_rng_below(&w->rng, 5)],
                     (unsigned long long)tt_rng_below(&w->rng, w->key_space));
    return tt_str(out, (size_t)n);
}

static inline struct tt_value workload_value(struct workload *w, char *out, size_t out_size)
{
    size_t size = tt_rng_chance(&w->rng, 0.05) ? out_size : tt_rng_below(&w->rng, 100);
    memset(out, (int)('a' + tt_rng_below(&w->rng, 26)), size);
    struct tt_value value = {.codec = TT_CODEC_JSON, .bytes = tt_str(out, size)};
    if (tt_rng_chance(&w->rng, 0.2)) {
        value.codec = TT_CODEC_SEALED;
        value.key_id = TT_STR("root-1");
    } else if (size > 10) {
        value.splice = (uint32_t)tt_rng_below(&w->rng, size);
    }
    return value;
}

enum { WORKLOAD_OPS_MAX = 8, WORKLOAD_VALUE_SIZE = 2000 };
struct workload_txn {
    struct tt_txn txn;
    struct tt_compare compare;
    struct tt_txn_op ops[WORKLOAD_OPS_MAX];
    char keys[WORKLOAD_OPS_MAX + 1][64];
    char values[WORKLOAD_OPS_MAX][WORKLOAD_VALUE_SIZE];
    char request_id[32];
};

/* A transaction; `version` (of the same state) makes some compares true. */
static inline void workload_txn(struct workload *w, const struct tt_version *version,
                                struct workload_txn *ret)
{
    ret->txn = (struct tt_txn){.ops = ret->ops, .actor = TT_STR("spiffe://t/user/1")};
    ret->txn.op_count = 1 + tt_rng_below(&w->rng, WORKLOAD_OPS_MAX);
    for (size_t i = 0; i < ret->txn.op_count; i++) {
        struct tt_txn_op *op = &ret->ops[i];
        *op = (struct tt_txn_op){.kind = TT_OP_PUT, .key = workload_key(w, ret->keys[i])};
        if (tt_rng_chance(&w->rng, 0.4)) {
            op->kind = TT_OP_DELETE;
        } else {
            op->value = workload_value(w, ret->values[i], WORKLOAD_VALUE_SIZE);
        }
    }
    if (tt_rng_chance(&w->rng, 0.3)) {
        ret->compare.key = workload_key(w, ret->keys[WORKLOAD_OPS_MAX]);
        const struct tt_item *item = tt_version_get(version, ret->compare.key);
        ret->compare.mod_revision = item ? item->mod_revision : 0;
        ret->compare.mod_revision += tt_rng_chance(&w->rng, 0.3) ? 1 : 0;
        ret->txn.compares = &ret->compare;
        ret->txn.compare_count = 1;
    }
    if (tt_rng_chance(&w->rng, 0.3)) {
        int n = snprintf(ret->request_id, sizeof ret->request_id, "req-%llu",
                         (unsigned long long)tt_rng_below(&w->rng, 200));
        ret->txn.request_id = tt_str(ret->request_id, (size_t)n);
    }
}

/* Moves leader time, mostly forward, seldom by hours. */
static inline uint64_t workload_time(struct workload *w)
{
    w->time_ms += tt_rng_chance(&w->rng, 0.01) ? 7200000 : tt_rng_below(&w->rng, 50);
    return tt_rng_chance(&w->rng, 0.1) ? w->time_ms / 2 : w->time_ms;
}

/* A stamped command of any kind. */
static inline struct tt_bytes *workload_command(struct workload *w,
                                                const struct tt_version *version)
{
    struct tt_bytes *command;
    uint64_t roll = tt_rng_below(&w->rng, 100);
    if (roll == 0) {
        command = tt_command_feature_level(1);
    } else if (roll <= 2) {
        uint64_t revision = tt_version_revision(version);
        uint64_t compacted = tt_version_compacted(version);
        command = tt_command_compact(compacted + tt_rng_below(&w->rng, revision - compacted + 2));
    } else {
        struct workload_txn *txn = TT_NEW(struct workload_txn);
        workload_txn(w, version, txn);
        command = test_encode(&txn->txn);
        tt_free(txn);
    }
    test_stamp(command, workload_time(w));
    return command;
}

static inline void assert_same_item(const struct tt_item *a, const struct tt_item *b)
{
    assert_true(!a == !b);
    if (!a || !b) {
        return;
    }
    assert_true(tt_str_eq(a->key, b->key));
    assert_true(tt_str_eq(a->value.bytes, b->value.bytes));
    assert_true(tt_str_eq(a->value.key_id, b->value.key_id));
    assert_int_equal(a->value.codec, b->value.codec);
    assert_int_equal(a->value.splice, b->value.splice);
    assert_int_equal(a->create_revision, b->create_revision);
    assert_int_equal(a->mod_revision, b->mod_revision);
}

static inline void assert_same_scan(struct tt_version *a, struct tt_version *b, uint64_t revision)
{
    struct tt_scan *x = NULL;
    struct tt_scan *y = NULL;
    assert_int_equal(tt_scan_new(a, TT_STR_NONE, TT_STR_NONE, revision, &x, NULL), 0);
    assert_int_equal(tt_scan_new(b, TT_STR_NONE, TT_STR_NONE, revision, &y, NULL), 0);
    const struct tt_item *item;
    do {
        item = tt_scan_next(x);
        assert_same_item(item, tt_scan_next(y));
    } while (item);
    tt_scan_free(x);
    tt_scan_free(y);
}

static inline void assert_same_history(struct tt_version *a, struct tt_version *b)
{
    struct tt_history_cursor x;
    struct tt_history_cursor y;
    struct tt_change p;
    struct tt_change q;
    assert_int_equal(tt_version_compacted(a), tt_version_compacted(b));
    assert_int_equal(tt_history_seek(a, 0, &x, NULL), 0);
    assert_int_equal(tt_history_seek(b, 0, &y, NULL), 0);
    while (tt_history_next(a, &x, &p)) {
        assert_true(tt_history_next(b, &y, &q));
        assert_int_equal(p.revision, q.revision);
        assert_same_item(p.item, q.item);
        assert_same_item(p.prev, q.prev);
    }
    assert_false(tt_history_next(b, &y, &q));
}

/* Everything that can be seen of two stores. */
static inline void assert_same_store(struct tt_store *a, struct tt_store *b)
{
    TT_AUTO(tt_version) x = tt_store_version(a);
    TT_AUTO(tt_version) y = tt_store_version(b);
    assert_int_equal(tt_store_hash(a), tt_store_hash(b));
    assert_int_equal(tt_version_hash(x), tt_version_hash(y));
    assert_int_equal(tt_version_index(x), tt_version_index(y));
    assert_int_equal(tt_version_revision(x), tt_version_revision(y));
    assert_int_equal(tt_version_count(x), tt_version_count(y));
    assert_int_equal(tt_version_bytes(x), tt_version_bytes(y));
    assert_same_scan(x, y, 0);
    if (tt_version_compacted(x) > 0) {
        assert_same_scan(x, y, tt_version_compacted(x));
    }
    assert_same_history(x, y);
}

#endif
