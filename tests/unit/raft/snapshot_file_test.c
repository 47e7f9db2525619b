/* Snapshot files: what went in comes out, to a peer too; damage of any byte is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/pace.h"
#include "raft/disk_memory.h"
#include "raft/snapshot_file.h"

#define DIR "snapshots"

static struct tt_disk_memory *disk_new(void)
{
    struct tt_disk_memory *memory = tt_disk_memory_new();
    assert_int_equal(tt_disk_mkdir(tt_disk_memory_disk(memory), DIR, NULL), 0);
    return memory;
}

/* Bytes that zstd cannot make disappear. */
static void fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    struct tt_rng rng;
    tt_rng_seed(&rng, seed);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)tt_rng_below(&rng, 16);
    }
}

static int snapshot_write(const struct tt_disk *disk, uint64_t index, size_t size,
                          struct tt_snapshot_handle *ret)
{
    const struct tt_snapshot_meta meta = {.index = index,
                                          .term = 3,
                                          .configuration_index = 2,
                                          .revision = 99,
                                          .feature_level = 1,
                                          .configuration = TT_STR("members")};
    struct tt_snapshot_file_writer *writer = NULL;
    TT_AUTO_FREE uint8_t *bytes = tt_xmalloc(size + 1);
    fill(bytes, size, index);
    int r = tt_snapshot_file_create(disk, DIR, &meta, &writer, NULL);
    for (size_t at = 0; r == 0 && at < size; at += 70001) {
        size_t part = size - at < 70001 ? size - at : 70001;
        r = tt_snapshot_file_append(writer, tt_str((const char *)bytes + at, part), NULL);
    }
    if (r == 0) {
        r = tt_snapshot_file_commit(writer, ret, NULL);
    }
    tt_snapshot_file_writer_free(writer);
    return r;
}

/* 0 when it reads back as it was written. */
static int snapshot_check(const struct tt_disk *disk, uint64_t index, size_t size)
{
    struct tt_snapshot_file *file = NULL;
    TT_AUTO_FREE uint8_t *bytes = tt_xmalloc(size + 1);
    fill(bytes, size, index);
    int r = tt_snapshot_file_open(disk, DIR, index, 3, &file, NULL);
    size_t at = 0;
    struct tt_str chunk = TT_STR("x");
    while (r == 0 && chunk.len > 0) {
        r = tt_snapshot_file_next(file, &chunk, NULL);
        if (r == 0 && chunk.len > 0) {
            assert_true(at + chunk.len <= size);
            assert_memory_equal(chunk.ptr, bytes + at, chunk.len);
            at += chunk.len;
        }
    }
    if (r == 0) {
        assert_int_equal(at, size);
        assert_int_equal(tt_snapshot_file_meta(file)->revision, 99);
        assert_true(tt_str_eq_c(tt_snapshot_file_meta(file)->configuration, "members"));
    }
    tt_snapshot_file_free(file);
    return r;
}

static void what_was_written_is_read_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, TT_SNAPSHOT_CHUNK_SIZE, TT_SNAPSHOT_CHUNK_SIZE + 1,
                                   3000000};
    struct tt_disk_memory *memory = disk_new();
    const struct tt_disk *disk = tt_disk_memory_disk(memory);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct tt_snapshot_handle handle;
        assert_int_equal(snapshot_write(disk, i + 1, sizes[i], &handle), 0);
        assert_int_equal(snapshot_check(disk, i + 1, sizes[i]), 0);
    }
    tt_disk_memory_free(memory);
}

static void a_copy_sent_in_pieces_is_the_same_file(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = disk_new();
    struct tt_disk_memory *peer = disk_new();
    struct tt_snapshot_handle handle;
    assert_int_equal(snapshot_write(tt_disk_memory_disk(memory), 7, 1000000, &handle), 0);
    struct tt_snapshot_file *file = NULL;
    struct tt_snapshot_file_receiver *receiver = NULL;
    assert_int_equal(tt_snapshot_file_open(tt_disk_memory_disk(memory), DIR, 7, 3, &file, NULL), 0);
    struct tt_snapshot_handle opened = tt_snapshot_file_handle(file);
    assert_int_equal(opened.size, handle.size);
    assert_memory_equal(opened.hash, handle.hash, sizeof handle.hash);
    assert_int_equal(
        tt_snapshot_file_receive(tt_disk_memory_disk(peer), DIR, &handle, &receiver, NULL), 0);
    while (tt_snapshot_file_receiver_offset(receiver) < handle.size) {
        struct tt_buf piece;
        tt_buf_init(&piece, 1 << 20);
        assert_int_equal(tt_snapshot_file_piece(file, tt_snapshot_file_receiver_offset(receiver),
                                                50021, &piece, NULL),
                         0);
        assert_int_equal(tt_snapshot_file_receiver_append(receiver, tt_buf_view(&piece), NULL), 0);
        tt_buf_fini(&piece);
    }
    assert_int_equal(tt_snapshot_file_receiver_append(receiver, TT_STR("x"), NULL), TT_EPROTO);
    assert_int_equal(tt_snapshot_file_receiver_commit(receiver, NULL), 0);
    tt_snapshot_file_receiver_free(receiver);
    tt_snapshot_file_free(file);
    assert_int_equal(snapshot_check(tt_disk_memory_disk(peer), 7, 1000000), 0);
    tt_disk_memory_free(memory);
    tt_disk_memory_free(peer);
}

static void a_changed_piece_is_refused_and_leaves_nothing(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = disk_new();
    const struct tt_disk *disk = tt_disk_memory_disk(memory);
    struct tt_snapshot_handle handle;
    assert_int_equal(snapshot_write(disk, 7, 10000, &handle), 0);
    size_t size = 0;
    uint8_t *bytes = tt_disk_memory_bytes(memory, tt_disk_memory_path(memory, 0), &size);
    struct tt_disk_memory *peer = disk_new();
    for (size_t at = 0; at < size; at += 97) {
        struct tt_snapshot_file_receiver *receiver = NULL;
        assert_int_equal(
            tt_snapshot_file_receive(tt_disk_memory_disk(peer), DIR, &handle, &receiver, NULL), 0);
        bytes[at] ^= 4;
        assert_int_equal(
            tt_snapshot_file_receiver_append(receiver, tt_str((const char *)bytes, size), NULL), 0);
        bytes[at] ^= 4;
        assert_int_equal(tt_snapshot_file_receiver_commit(receiver, NULL), TT_ECORRUPT);
        tt_snapshot_file_receiver_free(receiver);
        assert_null(tt_disk_memory_path(peer, 0));
    }
    tt_disk_memory_free(memory);
    tt_disk_memory_free(peer);
}

static void damage_anywhere_is_found(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = disk_new();
    const struct tt_disk *disk = tt_disk_memory_disk(memory);
    struct tt_snapshot_handle handle;
    assert_int_equal(snapshot_write(disk, 1, 5000, &handle), 0);
    TT_AUTO_FREE char *path = tt_xstrdup(tt_disk_memory_path(memory, 0));
    size_t size = 0;
    uint8_t *bytes = tt_disk_memory_bytes(memory, path, &size);
    for (size_t at = 0; at < size; at++) {
        bytes[at] ^= 0x10;
        assert_int_equal(snapshot_check(disk, 1, 5000), TT_ECORRUPT);
        bytes[at] ^= 0x10;
    }
    TT_AUTO_FREE uint8_t *copy = tt_xmemdup(bytes, size);
    for (size_t cut = 0; cut < size; cut += 13) {
        tt_disk_memory_put(memory, path, copy, cut);
        assert_int_equal(snapshot_check(disk, 1, 5000), TT_ECORRUPT);
    }
    tt_disk_memory_put(memory, path, copy, size);
    assert_int_equal(snapshot_check(disk, 1, 5000), 0);
    tt_disk_memory_free(memory);
}

static void a_crash_while_writing_leaves_the_old_snapshot_and_no_half_one(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        struct tt_disk_memory *memory = disk_new();
        const struct tt_disk *disk = tt_disk_memory_disk(memory);
        struct tt_rng rng;
        struct tt_snapshot_handle handle;
        tt_rng_seed(&rng, nth);
        assert_int_equal(snapshot_write(disk, 1, 3000, &handle), 0);
        assert_int_equal(tt_disk_sync_dir(disk, DIR, NULL), 0);
        tt_disk_memory_fail_at(memory, nth, TT_EIO);
        int r = snapshot_write(disk, 2, 600000, &handle);
        tt_disk_memory_crash(memory, &rng);
        struct tt_snapshot_name names[TT_SNAPSHOT_LIST_MAX];
        size_t count = 0;
        assert_int_equal(tt_snapshot_file_list(disk, DIR, names, &count, NULL), 0);
        assert_int_equal(snapshot_check(disk, 1, 3000), 0);
        assert_true(count == 1 || count == 2);
        assert_true(r != 0 || count == 2);
        if (count == 2) {
            assert_int_equal(names[0].index, 2);
            assert_int_equal(snapshot_check(disk, 2, 600000), 0);
        }
        /* The log knows only of the first: the second goes, and what was interrupted. */
        const struct tt_snapshot_name recorded = {.index = 1, .term = 3};
        assert_int_equal(tt_snapshot_file_settle(disk, DIR, &recorded, NULL), 0);
        assert_null(tt_disk_memory_path(memory, 1));
        assert_int_equal(snapshot_check(disk, 1, 3000), 0);
        tt_disk_memory_free(memory);
        if (r == 0) {
            assert_true(nth > 5);
            break;
        }
    }
}

static void retention_keeps_the_newest_and_the_pinned(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = disk_new();
    const struct tt_disk *disk = tt_disk_memory_disk(memory);
    struct tt_snapshot_handle handle;
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(snapshot_write(disk, i, 100, &handle), 0);
    }
    const struct tt_snapshot_retention retention = {.keep = 2, .pinned_index = 2};
    assert_int_equal(tt_snapshot_file_retain(disk, DIR, &retention, NULL), 0);
    struct tt_snapshot_name names[TT_SNAPSHOT_LIST_MAX];
    size_t count = 0;
    assert_int_equal(tt_snapshot_file_list(disk, DIR, names, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_int_equal(names[0].index, 5);
    assert_int_equal(names[1].index, 4);
    assert_int_equal(names[2].index, 2);
    tt_disk_memory_free(memory);
}

/* A memory disk that can shrink files and counts how. Static because the operations of a file have
 * no context of their own; one test uses it. */
static struct {
    struct tt_disk disk;
    struct tt_disk_ops ops;           /* the memory's, but for open */
    struct tt_disk_file_ops file_ops; /* the memory's, with shrink */
    const struct tt_disk *memory;
    unsigned count;
    uint64_t size; /* of the last */
    char path[128];
} shrinking;

static int count_shrink(struct tt_disk_file *file, uint64_t size, struct tt_err *err)
{
    (void)file;
    (void)err;
    assert_true(shrinking.count == 0 || size < shrinking.size);
    shrinking.count++;
    shrinking.size = size;
    return TT_OK;
}

static int shrinking_open(void *ctx, const char *path, enum tt_disk_open how,
                          struct tt_disk_file **ret, struct tt_err *err)
{
    int r = shrinking.memory->ops->open(ctx, path, how, ret, err);
    if (r == TT_OK) {
        shrinking.file_ops = *(*ret)->ops;
        shrinking.file_ops.shrink = count_shrink;
        (*ret)->ops = &shrinking.file_ops;
        (void)snprintf(shrinking.path, sizeof shrinking.path, "%s", path);
    }
    return r;
}

static void a_large_file_is_given_back_in_pieces_under_a_name_that_nobody_reads(void **state)
{
    (void)state;
    enum { SIZE = 40 << 20 };
    struct tt_disk_memory *memory = disk_new();
    struct tt_snapshot_handle handle;
    shrinking.memory = tt_disk_memory_disk(memory);
    shrinking.ops = *shrinking.memory->ops;
    shrinking.ops.open = shrinking_open;
    shrinking.disk = (struct tt_disk){.ops = &shrinking.ops, .ctx = shrinking.memory->ctx};
    assert_int_equal(snapshot_write(&shrinking.disk, 1, SIZE, &handle), 0);
    assert_int_equal(snapshot_write(&shrinking.disk, 2, 100, &handle), 0);
    struct tt_pace *pace = tt_pace_new(100);
    const struct tt_snapshot_retention retention = {.keep = 1, .pace = pace};
    assert_int_equal(tt_snapshot_file_retain(&shrinking.disk, DIR, &retention, NULL), 0);
    assert_in_range(shrinking.count, 2, 8); /* half of SIZE is left of it in the file */
    assert_in_range(shrinking.size, 1, 8 << 20);
    assert_true(tt_str_ends(tt_str_c(shrinking.path), TT_STR(".old")));
    assert_non_null(tt_disk_memory_path(memory, 0));
    assert_null(tt_disk_memory_path(memory, 1)); /* only the second is left */
    assert_int_equal(snapshot_check(&shrinking.disk, 2, 100), 0);
    tt_pace_free(pace);
    tt_disk_memory_free(memory);
}

static void what_a_crash_left_of_a_removal_goes_at_the_start(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = disk_new();
    const struct tt_disk *disk = tt_disk_memory_disk(memory);
    struct tt_snapshot_handle handle;
    assert_int_equal(snapshot_write(disk, 1, 100, &handle), 0);
    assert_int_equal(snapshot_write(disk, 2, 100, &handle), 0);
    assert_int_equal(tt_disk_rename(disk, DIR "/snapshot-0000000000000001-0000000000000003",
                                    DIR "/snapshot-0000000000000001-0000000000000003.old", NULL),
                     0);
    const struct tt_snapshot_name recorded = {.index = 2, .term = 3};
    assert_int_equal(tt_snapshot_file_settle(disk, DIR, &recorded, NULL), 0);
    assert_null(tt_disk_memory_path(memory, 1));
    assert_int_equal(snapshot_check(disk, 2, 100), 0);
    tt_disk_memory_free(memory);
}

static void a_handle_survives_its_encoding(void **state)
{
    (void)state;
    struct tt_snapshot_handle handle = {.index = 5, .term = 6, .size = 7, .hash = {1, 2, 3}};
    struct tt_snapshot_handle decoded;
    uint8_t bytes[TT_SNAPSHOT_HANDLE_SIZE];
    tt_snapshot_handle_encode(&handle, bytes);
    assert_int_equal(tt_snapshot_handle_decode(tt_str((char *)bytes, sizeof bytes), &decoded, NULL),
                     0);
    assert_int_equal(decoded.index, 5);
    assert_int_equal(decoded.term, 6);
    assert_int_equal(decoded.size, 7);
    assert_memory_equal(decoded.hash, handle.hash, sizeof handle.hash);
    assert_int_equal(tt_snapshot_handle_decode(tt_str((char *)bytes, 3), &decoded, NULL),
                     TT_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(a_copy_sent_in_pieces_is_the_same_file),
        cmocka_unit_test(a_changed_piece_is_refused_and_leaves_nothing),
        cmocka_unit_test(damage_anywhere_is_found),
        cmocka_unit_test(a_crash_while_writing_leaves_the_old_snapshot_and_no_half_one),
        cmocka_unit_test(retention_keeps_the_newest_and_the_pinned),
        cmocka_unit_test(a_large_file_is_given_back_in_pieces_under_a_name_that_nobody_reads),
        cmocka_unit_test(what_a_crash_left_of_a_removal_goes_at_the_start),
        cmocka_unit_test(a_handle_survives_its_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
