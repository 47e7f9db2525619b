/* Commands on the wire: the canonical writer and reader of command_wire.h against protobuf-c, which
 * is what defines the format. They must agree on every sequence of bytes that both take, and the
 * reader must take all that is encoded here. */
#include "tests/unit/server/store/workload.h"

#include "base/intmath.h"
#include "base/wire.h"
#include "tests/support/command_same.h"

enum { ROUNDS = 3000, MUTATIONS = 30, SIZE_MAX_ = 64 << 10 };

struct both {
    struct store_decoder decoder;   /* of protobuf-c */
    struct store_command canonical; /* by store_command_read */
    struct store_command any;       /* by protobuf-c */
    uint64_t taken;                 /* byte sequences that the canonical reader took */
    uint64_t left;                  /* that it left, and protobuf-c took */
};

static int setup(void **state)
{
    struct both *both = TT_NEW(struct both);
    store_decoder_init(&both->decoder, 8 << 20);
    *state = both;
    return 0;
}

static int teardown(void **state)
{
    struct both *both = *state;
    store_decoder_fini(&both->decoder);
    tt_free(both);
    return 0;
}

/* What the canonical reader takes, protobuf-c takes too and understands alike. */
static bool agree(struct both *both, struct tt_str bytes)
{
    bool canonical = store_command_read(bytes, &both->canonical);
    bool any = store_command_decode_any(&both->decoder, bytes, &both->any, NULL) == 0;
    both->taken += canonical;
    both->left += any && !canonical;
    return !canonical || (any && same_command(&both->canonical, &both->any));
}

static struct tt_bytes *random_command(struct workload *w, const struct tt_version *version)
{
    struct workload_txn *txn = tt_xmalloc(sizeof *txn);
    workload_txn(w, version, txn);
    if (tt_rng_chance(&w->rng, 0.3)) {
        txn->txn.impersonator = TT_STR("spiffe://t/user/2");
        txn->txn.verb = TT_STR("patch");
    }
    struct tt_bytes *bytes = test_encode(&txn->txn);
    test_stamp(bytes, tt_rng_u64(&w->rng));
    tt_free(txn);
    return bytes;
}

static void a_written_transaction_is_what_protobuf_packs(void **state)
{
    struct both *both = *state;
    struct workload w = {.key_space = 100};
    tt_rng_seed(&w.rng, test_seed("a_written_transaction_is_what_protobuf_packs"));
    struct tt_store *store = tt_store_new();
    struct tt_version *version = tt_store_version(store);
    for (int i = 0; i < ROUNDS; i++) {
        struct tt_bytes *bytes = random_command(&w, version);
        Tt__Command *message = tt__command__unpack(NULL, bytes->size, bytes->ptr);
        assert_non_null(message);
        uint8_t *packed = tt_xmalloc(bytes->size);
        assert_int_equal(tt__command__get_packed_size(message), bytes->size);
        assert_int_equal(tt__command__pack(message, packed), bytes->size);
        assert_memory_equal(packed, bytes->ptr, bytes->size);
        struct tt_str view = tt_str((const char *)bytes->ptr, bytes->size);
        assert_true(store_command_read(view, &both->canonical));
        assert_true(agree(both, view));
        tt_free(packed);
        tt__command__free_unpacked(message, NULL);
        tt_bytes_unref(bytes);
    }
    tt_version_unref(version);
    tt_store_free(store);
}

static void a_transaction_is_read_as_it_was_written(void **state)
{
    struct both *both = *state;
    struct workload w = {.key_space = 100};
    tt_rng_seed(&w.rng, test_seed("a_transaction_is_read_as_it_was_written"));
    struct tt_store *store = tt_store_new();
    struct tt_version *version = tt_store_version(store);
    struct workload_txn *txn = tt_xmalloc(sizeof *txn);
    for (int i = 0; i < ROUNDS; i++) {
        workload_txn(&w, version, txn);
        struct tt_bytes *bytes = test_encode(&txn->txn);
        struct tt_str view = tt_str((const char *)bytes->ptr, bytes->size);
        assert_true(store_command_read(view, &both->canonical));
        for (size_t j = 0; j < txn->txn.op_count; j++) {
            if (txn->ops[j].kind == TT_OP_DELETE) {
                txn->ops[j].value = (struct tt_value){0};
            }
        }
        assert_true(same_txn(&both->canonical.txn, &txn->txn));
        tt_bytes_unref(bytes);
    }
    tt_free(txn);
    tt_version_unref(version);
    tt_store_free(store);
}

static void the_other_commands_are_read_without_protobuf(void **state)
{
    struct both *both = *state;
    const uint64_t revisions[] = {0, 1, 127, 128, 1 << 20, UINT64_MAX};
    for (size_t i = 0; i < sizeof revisions / sizeof revisions[0]; i++) {
        struct tt_bytes *bytes = tt_command_compact(revisions[i]);
        struct tt_str view = tt_str((const char *)bytes->ptr, bytes->size);
        assert_true(store_command_read(view, &both->canonical));
        assert_true(agree(both, view));
        assert_int_equal(both->canonical.compact, revisions[i]);
        tt_bytes_unref(bytes);
    }
    struct tt_bytes *bytes = tt_command_feature_level(UINT32_MAX);
    struct tt_str view = tt_str((const char *)bytes->ptr, bytes->size);
    assert_true(store_command_read(view, &both->canonical));
    assert_true(agree(both, view));
    assert_int_equal(both->canonical.raise, UINT32_MAX);
    tt_bytes_unref(bytes);
}

/* One small damage: a byte changed, put in or left out, or a piece repeated. */
static size_t mutate(struct tt_rng *rng, uint8_t *bytes, size_t size)
{
    /* Most structure is at the front, and in the last few bytes. */
    size_t reach = tt_rng_chance(rng, 0.8) ? tt_size_min(size, 60) : size;
    size_t at = size > 0 ? (size_t)tt_rng_below(rng, reach) : 0;
    size_t piece = 0;
    switch (tt_rng_below(rng, 5)) {
    case 0:
        bytes[at] = (uint8_t)tt_rng_u64(rng);
        return size;
    case 1:
        bytes[at] = (uint8_t)(bytes[at] + (tt_rng_chance(rng, 0.5) ? 1 : -1));
        return size;
    case 2:
        memmove(bytes + at + 1, bytes + at, size - at);
        bytes[at] = tt_rng_chance(rng, 0.5) ? 0x80 : (uint8_t)tt_rng_below(rng, 64);
        return size + 1;
    case 3:
        piece = tt_size_min(1 + (size_t)tt_rng_below(rng, 4), size - at);
        memmove(bytes + at, bytes + at + piece, size - at - piece);
        return size - piece;
    default:
        piece = tt_size_min(1 + (size_t)tt_rng_below(rng, 40), size - at);
        memmove(bytes + at + piece, bytes + at, size - at);
        return size + piece;
    }
}

static void damaged_commands_are_understood_alike_or_left(void **state)
{
    struct both *both = *state;
    struct workload w = {.key_space = 100};
    tt_rng_seed(&w.rng, test_seed("damaged_commands_are_understood_alike_or_left"));
    struct tt_store *store = tt_store_new();
    struct tt_version *version = tt_store_version(store);
    uint8_t *damaged = tt_xmalloc(SIZE_MAX_);
    for (int i = 0; i < ROUNDS; i++) {
        struct tt_bytes *bytes = random_command(&w, version);
        for (int j = 0; j < MUTATIONS; j++) {
            size_t size = bytes->size;
            memcpy(damaged, bytes->ptr, size);
            for (uint64_t n = 1 + tt_rng_below(&w.rng, 3); n > 0 && size > 0; n--) {
                size = mutate(&w.rng, damaged, size);
            }
            assert_true(agree(both, tt_str((const char *)damaged, size)));
        }
        tt_bytes_unref(bytes);
    }
    assert_true(both->taken > ROUNDS); /* not all damage shows */
    tt_free(damaged);
    tt_version_unref(version);
    tt_store_free(store);
}

/* Fields of any number, type and order, most of them known, some of them messages again. */
static size_t random_fields(struct tt_rng *rng, uint8_t *out, size_t room, unsigned depth)
{
    size_t size = 0;
    for (uint64_t n = tt_rng_below(rng, 5); n > 0 && room - size > 64; n--) {
        unsigned number = 1 + (unsigned)tt_rng_below(rng, tt_rng_chance(rng, 0.9) ? 6 : 15);
        if (tt_rng_chance(rng, 0.4)) {
            uint64_t value = tt_rng_u64(rng) >> (4 + tt_rng_below(rng, 60));
            uint8_t *end = tt_wire_put_number(out + size, TT_WIRE_TAG(number, 0), value);
            if (tt_rng_chance(rng, 0.05)) { /* one byte more than it needs */
                end[-1] |= 0x80;
                *end++ = 0;
            }
            size = (size_t)(end - out);
            continue;
        }
        uint8_t inner[512];
        size_t inner_size = 0;
        if (depth > 0 && tt_rng_chance(rng, 0.7)) {
            inner_size =
                random_fields(rng, inner, tt_size_min(sizeof inner, room - size - 16), depth - 1);
        } else {
            inner_size = (size_t)tt_rng_below(rng, 6);
            memset(inner, 'k', inner_size);
        }
        uint8_t *end = tt_wire_put_bytes(out + size, TT_WIRE_TAG(number, TT_WIRE_BYTES),
                                         tt_str((const char *)inner, inner_size));
        size = (size_t)(end - out);
    }
    return size;
}

static void random_messages_are_understood_alike_or_left(void **state)
{
    struct both *both = *state;
    struct tt_rng rng;
    tt_rng_seed(&rng, test_seed("random_messages_are_understood_alike_or_left"));
    for (int i = 0; i < ROUNDS * MUTATIONS; i++) {
        uint8_t bytes[2048] = {TT_WIRE_TAG(1, TT_WIRE_FIXED64), (uint8_t)i};
        size_t size = 9 + random_fields(&rng, bytes + 9, sizeof bytes - 9, 4);
        assert_true(agree(both, tt_str((const char *)bytes, size)));
    }
    assert_true(both->taken > 100 && both->left > 100);
}

static void a_command_in_another_encoding_is_still_applied(void **state)
{
    (void)state;
    /* Time, then a transaction whose one delete has its key before its kind, twice. */
    static const char command[] = "\x09\0\0\0\0\0\0\0\0\x1a\x0a\x12\x08\x12\x01x\x12\x01y\x08\x02";
    struct tt_store *store = tt_store_new();
    uint64_t index = 0;
    test_put(store, &index, TT_STR("x"), TT_STR("1"));
    test_put(store, &index, TT_STR("y"), TT_STR("2"));
    struct tt_apply_result result;
    struct tt_str bytes = tt_str(command, sizeof command - 1);
    struct store_command *read = TT_NEW(struct store_command);
    assert_false(store_command_read(bytes, read));
    tt_free(read);
    assert_int_equal(tt_store_apply(store, ++index, bytes, &result, NULL), 0);
    assert_int_equal(result.revision_last, 3);
    tt_store_publish(store);
    test_expect(store, TT_STR("x"), "1");
    test_expect(store, TT_STR("y"), NULL);
    tt_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_written_transaction_is_what_protobuf_packs, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_transaction_is_read_as_it_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(the_other_commands_are_read_without_protobuf, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(damaged_commands_are_understood_alike_or_left, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(random_messages_are_understood_alike_or_left, setup,
                                        teardown),
        cmocka_unit_test(a_command_in_another_encoding_is_still_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
