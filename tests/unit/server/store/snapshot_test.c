/* Snapshot streams that are cut, flipped or mixed up are refused and leave the store empty. */
#include "tests/unit/server/store/workload.h"

struct fixture {
    struct tt_store *store;
    struct tt_buf stream; /* a snapshot of it */
};

static void encode(struct tt_store *store, struct tt_buf *out)
{
    struct tt_version *version = tt_store_version(store);
    TT_AUTO(tt_snapshot_writer) writer = tt_snapshot_writer_new(version);
    tt_version_unref(version);
    for (bool done = false; !done;) {
        assert_int_equal(tt_snapshot_writer_next(writer, 1 << 16, out, &done, NULL), 0);
    }
}

static int setup(void **state)
{
    struct fixture *f = TT_NEW(struct fixture);
    struct workload w = {.key_space = 50};
    tt_rng_seed(&w.rng, 7);
    f->store = tt_store_new();
    for (uint64_t i = 1; i <= 300; i++) {
        struct tt_version *version = tt_store_version(f->store);
        struct tt_bytes *command = workload_command(&w, version);
        struct tt_apply_result r;
        assert_int_equal(tt_store_apply(f->store, i,
                                        tt_str((const char *)command->ptr, command->size), &r,
                                        NULL),
                         0);
        tt_bytes_unref(command);
        tt_version_unref(version);
        tt_store_publish(f->store);
    }
    tt_buf_init(&f->stream, 64 << 20);
    encode(f->store, &f->stream);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    tt_buf_fini(&f->stream);
    tt_store_free(f->store);
    tt_free(f);
    return 0;
}

/* Code of restoring these bytes; the store must be empty and usable when it failed. */
static int restore(struct tt_str bytes, struct tt_store *store)
{
    TT_AUTO(tt_snapshot_reader) reader = tt_snapshot_reader_new(store);
    int r = tt_snapshot_reader_feed(reader, bytes, NULL);
    if (r == 0) {
        r = tt_snapshot_reader_finish(reader, NULL);
    }
    return r;
}

static void refused(struct tt_str bytes)
{
    struct tt_store *store = tt_store_new();
    uint64_t empty = tt_store_hash(store);
    assert_int_equal(restore(bytes, store), TT_ECORRUPT);
    assert_int_equal(tt_store_hash(store), empty);
    uint64_t index = 0;
    assert_int_equal(test_put(store, &index, TT_STR("a"), TT_STR("1")).revision_first, 1);
    tt_store_free(store);
}

static void restored_store_is_the_same(void **state)
{
    struct fixture *f = *state;
    struct tt_store *store = tt_store_new();
    assert_int_equal(restore(tt_buf_view(&f->stream), store), 0);
    assert_same_store(f->store, store);
    tt_store_free(store);
}

static void restored_store_encodes_the_same_stream(void **state)
{
    struct fixture *f = *state;
    struct tt_store *store = tt_store_new();
    assert_int_equal(restore(tt_buf_view(&f->stream), store), 0);
    TT_AUTO_BUF struct tt_buf again;
    tt_buf_init(&again, 64 << 20);
    encode(store, &again);
    tt_store_free(store);
    assert_true(tt_str_eq(tt_buf_view(&again), tt_buf_view(&f->stream)));
}

static void empty_store_is_restored(void **state)
{
    (void)state;
    struct tt_store *from = tt_store_new();
    struct tt_store *to = tt_store_new();
    TT_AUTO_BUF struct tt_buf stream;
    tt_buf_init(&stream, 1 << 20);
    encode(from, &stream);
    assert_int_equal(restore(tt_buf_view(&stream), to), 0);
    assert_same_store(from, to);
    tt_store_free(from);
    tt_store_free(to);
}

static void stream_cut_anywhere_is_refused(void **state)
{
    struct fixture *f = *state;
    struct tt_str all = tt_buf_view(&f->stream);
    for (size_t i = 0; i < 60; i++) {
        refused(tt_str_head(all, i));
        refused(tt_str_head(all, all.len - 1 - i));
        refused(tt_str_head(all, all.len * i / 60));
    }
}

static void flipped_bits_are_refused(void **state)
{
    struct fixture *f = *state;
    struct tt_rng rng;
    tt_rng_seed(&rng, test_seed("flipped_bits_are_refused"));
    for (unsigned i = 0; i < 300; i++) {
        size_t at = tt_rng_below(&rng, f->stream.len);
        char mask = (char)(1 << tt_rng_below(&rng, 8));
        f->stream.ptr[at] ^= mask;
        refused(tt_buf_view(&f->stream));
        f->stream.ptr[at] ^= mask;
    }
}

static void bytes_behind_the_end_are_refused(void **state)
{
    struct fixture *f = *state;
    tt_buf_char(&f->stream, 'x');
    refused(tt_buf_view(&f->stream));
}

/* Payload size of the frame at an offset. */
static size_t frame_at(const struct tt_buf *stream, size_t offset)
{
    uint32_t size;
    memcpy(&size, stream->ptr + offset, sizeof size);
    return 8 + size;
}

static void frames_in_another_order_are_refused(void **state)
{
    struct fixture *f = *state;
    size_t starts[1000];
    size_t count = 0;
    for (size_t at = 0; at < f->stream.len; at += frame_at(&f->stream, at)) {
        assert_true(count < 1000);
        starts[count++] = at;
    }
    starts[count] = f->stream.len;
    assert_true(count >= 4);
    TT_AUTO_BUF struct tt_buf mixed;
    tt_buf_init(&mixed, 64 << 20);
    for (size_t i = 0; i + 1 < count; i++) {
        tt_buf_reset(&mixed);
        size_t end = starts[i + 2];
        tt_buf_append(&mixed, f->stream.ptr, starts[i]);
        tt_buf_append(&mixed, f->stream.ptr + starts[i + 1], end - starts[i + 1]);
        tt_buf_append(&mixed, f->stream.ptr + starts[i], starts[i + 1] - starts[i]);
        tt_buf_append(&mixed, f->stream.ptr + end, f->stream.len - end);
        refused(tt_buf_view(&mixed));
    }
}

static void reader_that_is_dropped_leaves_an_empty_store(void **state)
{
    struct fixture *f = *state;
    struct tt_store *store = tt_store_new();
    uint64_t empty = tt_store_hash(store);
    struct tt_snapshot_reader *reader = tt_snapshot_reader_new(store);
    assert_int_equal(tt_snapshot_reader_feed(
                         reader, tt_str_head(tt_buf_view(&f->stream), f->stream.len / 2), NULL),
                     0);
    tt_snapshot_reader_free(reader);
    assert_int_equal(tt_store_hash(store), empty);
    assert_int_equal(restore(tt_buf_view(&f->stream), store), 0);
    tt_store_free(store);
}

static void cleared_store_can_be_restored_into(void **state)
{
    struct fixture *f = *state;
    struct tt_store *store = tt_store_new();
    uint64_t index = 0;
    (void)test_put(store, &index, TT_STR("old"), TT_STR("1"));
    tt_store_publish(store);
    struct tt_version *old = tt_store_version(store);
    tt_store_clear(store);
    test_expect(store, TT_STR("old"), NULL);
    assert_int_equal(restore(tt_buf_view(&f->stream), store), 0);
    assert_same_store(f->store, store);
    assert_non_null(tt_version_get(old, TT_STR("old")));
    tt_store_free(store);
    tt_version_unref(old);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(restored_store_is_the_same),
        T(restored_store_encodes_the_same_stream),
        cmocka_unit_test(empty_store_is_restored),
        T(stream_cut_anywhere_is_refused),
        T(flipped_bits_are_refused),
        T(bytes_behind_the_end_are_refused),
        T(frames_in_another_order_are_refused),
        T(reader_that_is_dropped_leaves_an_empty_store),
        T(cleared_store_can_be_restored_into),
    };
#undef T
    return cmocka_run_group_tests_name("server/store/snapshot", tests, NULL, NULL);
}
