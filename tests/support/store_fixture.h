/* Rows in a store, for tests: objects are put and deleted directly, each as its own command.
 *
 * Ownership: the fixture owns the store. Thread: one. Errors: a refused command fails the test. */
#ifndef TESTS_SUPPORT_STORE_FIXTURE_H
#define TESTS_SUPPORT_STORE_FIXTURE_H

#include "api/kinds/keys.h"
#include "server/store/store.h"

struct store_fixture {
    struct tt_store *store;
    uint64_t index; /* of the command applied last */
};

static inline void store_fixture_init(struct store_fixture *f)
{
    f->store = tt_store_new();
    f->index = 0;
}

static inline void store_fixture_fini(struct store_fixture *f)
{
    tt_store_free(f->store);
}

/* The revision of the change. */
static inline uint64_t store_fixture_apply(struct store_fixture *f, struct tt_bytes *command)
{
    struct tt_apply_result result;
    struct tt_str text = tt_str((const char *)command->ptr, command->size);
    int r = tt_store_apply(f->store, ++f->index, text, &result, NULL);
    tt_bytes_unref(command);
    TT_ASSERT(r == TT_OK && result.code == TT_OK);
    tt_store_publish(f->store);
    return result.revision_first;
}

static inline uint64_t store_fixture_op(struct store_fixture *f, const struct tt_txn_op *op)
{
    struct tt_txn txn = {.ops = op, .op_count = 1};
    struct tt_bytes *command = NULL;
    int r = tt_txn_encode(&txn, &command, NULL);
    TT_ASSERT(r == TT_OK);
    return store_fixture_apply(f, command);
}

/* json: compact, with `"metadata":{`. */
static inline uint64_t store_fixture_put(struct store_fixture *f, const char *key, const char *json)
{
    static const char mark[] = "\"metadata\":{";
    const char *metadata = strstr(json, mark);
    TT_ASSERT(metadata != NULL);
    struct tt_txn_op op = {TT_OP_PUT,
                           tt_str_c(key),
                           {.codec = TT_CODEC_JSON,
                            .splice = (uint32_t)(metadata - json) + (uint32_t)sizeof mark - 1,
                            .bytes = tt_str_c(json)}};
    return store_fixture_op(f, &op);
}

static inline uint64_t store_fixture_delete(struct store_fixture *f, const char *key)
{
    struct tt_txn_op op = {.kind = TT_OP_DELETE, .key = tt_str_c(key)};
    return store_fixture_op(f, &op);
}

#endif
