/* Random transactions against a naive model: a sorted array, and the list of all changes ever. */
#include "tests/support/effort.h"
#include "tests/unit/server/store/workload.h"

#include "server/store/apply.h"

enum { TXNS = TEST_EFFORT(3000, 300), MODEL_MAX = 4096, LOG_MAX = TXNS * WORKLOAD_OPS_MAX + 1 };

struct model_row {
    char key[64];
    size_t key_size;
    char *text; /* owned; NULL: deleted (in the log) */
    size_t text_size;
    uint64_t create_revision;
    uint64_t mod_revision;
};
struct model {
    struct model_row rows[MODEL_MAX];
    size_t count;
    struct model_row log[LOG_MAX]; /* [r - 1]: the change of revision r; borrows from rows' texts */
    uint64_t revision;
    char *texts[LOG_MAX]; /* every text, freed at the end */
};

static struct tt_str row_key(const struct model_row *row)
{
    return tt_str(row->key, row->key_size);
}

/* Where the key is or belongs. */
static size_t model_find(const struct model_row *rows, size_t count, struct tt_str key,
                         bool *ret_found)
{
    size_t at = 0;
    for (size_t end = count; at < end;) {
        size_t middle = at + (end - at) / 2;
        bool is_before = tt_str_cmp(row_key(&rows[middle]), key) < 0;
        at = is_before ? middle + 1 : at;
        end = is_before ? end : middle;
    }
    *ret_found = at < count && tt_str_eq(row_key(&rows[at]), key);
    return at;
}

/* Applies a logged change to an array of rows; returns the new count. */
static size_t model_change(struct model_row *rows, size_t count, const struct model_row *change)
{
    bool found;
    size_t at = model_find(rows, count, row_key(change), &found);
    if (!change->text) {
        for (size_t i = at + 1; i < count; i++) { /* the sanitizer's memmove goes by bytes */
            rows[i - 1] = rows[i];
        }
        return count - 1;
    }
    if (!found) {
        assert_true(count < MODEL_MAX);
        for (size_t i = count; i > at; i--) {
            rows[i] = rows[i - 1];
        }
        count++;
    }
    rows[at] = *change;
    return count;
}

static void model_txn(struct model *model, const struct tt_txn *txn)
{
    for (size_t i = 0; i < txn->op_count; i++) {
        const struct tt_txn_op *op = &txn->ops[i];
        bool found;
        size_t at = model_find(model->rows, model->count, op->key, &found);
        if (op->kind == TT_OP_DELETE && !found) {
            continue;
        }
        uint64_t revision = ++model->revision;
        struct model_row *change = &model->log[revision - 1];
        *change = (struct model_row){.key_size = op->key.len, .mod_revision = revision};
        memcpy(change->key, op->key.ptr, op->key.len);
        change->create_revision = found ? model->rows[at].create_revision : revision;
        if (op->kind == TT_OP_PUT) {
            change->text = tt_xmalloc(op->value.bytes.len + 1);
            memcpy(change->text, op->value.bytes.ptr, op->value.bytes.len);
            change->text_size = op->value.bytes.len;
            model->texts[revision - 1] = change->text;
        }
        model->count = model_change(model->rows, model->count, change);
    }
}

static void assert_row(const struct tt_item *item, const struct model_row *row)
{
    assert_non_null(item);
    assert_true(tt_str_eq(item->key, row_key(row)));
    assert_true(tt_str_eq(item->value.bytes, tt_str(row->text, row->text_size)));
    assert_int_equal(item->create_revision, row->create_revision);
    assert_int_equal(item->mod_revision, row->mod_revision);
}

/* The range [from, to) of `rows` is what a scan at the revision gives. */
static void check_scan(struct tt_version *version, const struct model_row *rows, size_t count,
                       uint64_t revision, struct tt_str from, struct tt_str to)
{
    struct tt_scan *scan = NULL;
    assert_int_equal(tt_scan_new(version, from, to, revision, &scan, NULL), 0);
    uint64_t expected = 0;
    for (size_t i = 0; i < count; i++) {
        struct tt_str key = row_key(&rows[i]);
        if (tt_str_cmp(key, from) >= 0 && (to.len == 0 || tt_str_cmp(key, to) < 0)) {
            assert_row(tt_scan_next(scan), &rows[i]);
            expected++;
        }
    }
    assert_null(tt_scan_next(scan));
    tt_scan_free(scan);
    if (revision == 0) {
        assert_int_equal(tt_version_count_range(version, from, to), expected);
    }
}

static void check_history(struct tt_version *version, const struct model *model, uint64_t after)
{
    struct tt_history_cursor cursor;
    struct tt_change change;
    assert_int_equal(tt_history_seek(version, after, &cursor, NULL), 0);
    uint64_t from = after > 0 ? after : tt_version_compacted(version);
    for (uint64_t revision = from + 1; revision <= model->revision; revision++) {
        const struct model_row *row = &model->log[revision - 1];
        assert_true(tt_history_next(version, &cursor, &change));
        assert_int_equal(change.revision, revision);
        if (row->text) {
            assert_row(change.item, row);
        } else {
            assert_null(change.item);
            assert_true(tt_str_eq(change.prev->key, row_key(row)));
        }
        if (change.prev) {
            const struct model_row *prev = &model->log[change.prev->mod_revision - 1];
            assert_row(change.prev, prev);
        } else {
            assert_int_equal(row->create_revision, revision);
        }
    }
    assert_false(tt_history_next(version, &cursor, &change));
}

static void check_all(struct tt_store *store, struct model *model, struct workload *w)
{
    TT_AUTO(tt_version) version = tt_store_version(store);
    assert_true(store_tree_valid(&version->state.rows));
    assert_true(store_tree_valid(&version->state.onces));
    assert_int_equal(tt_version_revision(version), model->revision);
    assert_int_equal(tt_version_count(version), model->count);
    char a[64];
    char b[64];
    struct tt_str from = workload_key(w, a);
    struct tt_str to = workload_key(w, b);
    check_scan(version, model->rows, model->count, 0, TT_STR_NONE, TT_STR_NONE);
    check_scan(version, model->rows, model->count, 0, from, to);
    uint64_t compacted = tt_version_compacted(version);
    if (model->revision > compacted) {
        uint64_t revision = compacted + tt_rng_below(&w->rng, model->revision - compacted);
        struct model_row *old = tt_xcalloc(MODEL_MAX, sizeof *old);
        size_t count = 0;
        for (uint64_t r = 1; r <= revision; r++) {
            count = model_change(old, count, &model->log[r - 1]);
        }
        if (revision > 0) {
            check_scan(version, old, count, revision, TT_STR_NONE, TT_STR_NONE);
            check_scan(version, old, count, revision, from, TT_STR_NONE);
        }
        tt_free(old);
        check_history(version, model, revision);
    }
    check_history(version, model, 0);
}

static void store_behaves_like_a_sorted_array(void **state)
{
    (void)state;
    struct workload w = {.key_space = 250, .time_ms = 0};
    tt_rng_seed(&w.rng, test_seed("store_behaves_like_a_sorted_array"));
    struct model *model = TT_NEW(struct model);
    struct workload_txn *txn = TT_NEW(struct workload_txn);
    struct tt_store *store = tt_store_new();
    uint64_t index = 0;
    for (unsigned i = 0; i < TXNS; i++) {
        TT_AUTO(tt_version) version = tt_store_version(store);
        workload_txn(&w, version, txn);
        txn->txn.request_id = TT_STR_NONE;
        txn->txn.compare_count = 0;
        struct tt_apply_result r =
            test_apply(store, &index, test_encode(&txn->txn), workload_time(&w));
        uint64_t before = model->revision;
        model_txn(model, &txn->txn);
        assert_int_equal(r.revision_first, model->revision > before ? before + 1 : 0);
        assert_int_equal(r.revision_last, model->revision > before ? model->revision : 0);
        if (i % 97 == 96) {
            uint64_t revision = tt_rng_below(&w.rng, model->revision + 1);
            (void)test_apply(store, &index, tt_command_compact(revision), 0);
        }
        if (tt_rng_chance(&w.rng, 0.3)) {
            tt_store_publish(store);
            if (i % 10 == 0) {
                check_all(store, model, &w);
            }
        }
    }
    tt_store_publish(store);
    check_all(store, model, &w);
    tt_store_free(store);
    for (size_t i = 0; i < LOG_MAX; i++) {
        tt_free(model->texts[i]);
    }
    tt_free(model);
    tt_free(txn);
}

/* Grows to many nodes and shrinks to nothing, in random order. */
static void tree_stays_valid_while_it_grows_and_shrinks(void **state)
{
    (void)state;
    struct workload w = {.key_space = 20000};
    tt_rng_seed(&w.rng, test_seed("tree_stays_valid_while_it_grows_and_shrinks"));
    struct tt_store *store = tt_store_new();
    uint64_t index = 0;
    char key[64];
    for (unsigned i = 0; i < TEST_EFFORT(40000, 4000); i++) {
        (void)test_put(store, &index, workload_key(&w, key), TT_STR("v"));
        if (i % 1000 == 0) {
            tt_store_publish(store);
            assert_true(store_tree_valid(&store->state.rows));
        }
    }
    uint64_t count = store->state.rows.count;
    while (store->state.rows.count > 0) {
        struct store_tree_cursor cursor;
        store_tree_seek(&store->state.rows, workload_key(&w, key), &cursor);
        const struct store_item *item = store_tree_next(&cursor);
        if (!item) {
            store_tree_seek(&store->state.rows, TT_STR_NONE, &cursor);
            item = store_tree_next(&cursor);
        }
        size_t size = item->item.key.len;
        memcpy(key, item->item.key.ptr, size);
        (void)test_delete(store, &index, tt_str(key, size));
        if (--count % 1000 == 0) {
            tt_store_publish(store);
            assert_true(store_tree_valid(&store->state.rows));
        }
        assert_int_equal(store->state.rows.count, count);
    }
    assert_int_equal(store->state.row_bytes, 0);
    assert_int_equal(store->state.content_hash, 0);
    assert_null(store->state.rows.root);
    tt_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_behaves_like_a_sorted_array),
        cmocka_unit_test(tree_stays_valid_while_it_grows_and_shrinks),
    };
    return cmocka_run_group_tests_name("server/store/model", tests, NULL, NULL);
}
