/* The log thread on the system's disk: order, group commit, reads through the pool, failure. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "raft/disk_memory.h"
#include "raft/log_cache.h"
#include "raft/log_thread.h"

struct fixture {
    char dir[256];
    struct tt_pool *pool;
    struct tt_mailbox *reply;
    struct tt_wal_thread *thread;
    struct tt_wal_queue queue;
    uint64_t done_count;
    uint64_t next_epoch; /* completions must come in this order */
    uint64_t sync_count; /* of the newest completion */
    int last_result;
    volatile int fatal_code; /* written on the log thread, read after it ended */
};

static void on_fatal(void *ctx, const struct tt_err *err)
{
    ((struct fixture *)ctx)->fatal_code = err->code;
}

static void on_done(struct tt_wal_req *req)
{
    struct fixture *f = req->owner;
    assert_int_equal(req->epoch, f->next_epoch);
    f->next_epoch++;
    f->done_count++;
    f->sync_count = req->sync_count;
    f->last_result = req->result;
}

static void thread_run(struct fixture *f, struct tt_wal *wal)
{
    f->pool = tt_pool_new(1, 0, 64);
    f->reply = tt_mailbox_new(1024, NULL, NULL);
    const struct tt_wal_thread_config thread = {
        .log = wal, .reply = f->reply, .pool = f->pool, .fatal = on_fatal, .ctx = f};
    assert_int_equal(tt_wal_thread_start(&thread, &f->thread, NULL), 0);
    f->queue = tt_wal_thread_queue(f->thread);
}

static void thread_start(struct fixture *f, const struct tt_disk *disk, const char *dir,
                         uint64_t segment_size)
{
    const struct tt_wal_config config = {.disk = disk, .dir = dir, .segment_size = segment_size};
    struct tt_wal_recovered found;
    struct tt_wal *wal = NULL;
    assert_int_equal(tt_wal_bootstrap(&config, NULL, 0, NULL), 0);
    assert_int_equal(tt_wal_open(&config, &wal, &found, NULL), 0);
    thread_run(f, wal);
}

static void thread_end(struct fixture *f)
{
    tt_wal_thread_free(f->thread);
    tt_pool_free(f->pool);
    tt_mailbox_close(f->reply);
    (void)tt_mailbox_drain(f->reply);
    tt_mailbox_free(f->reply);
}

/* Drains until `count` requests are done; 20 s at most. */
static void wait_done(struct fixture *f, uint64_t count)
{
    uint64_t until = tt_clock_ms(tt_clock_real()) + 20000;
    while (f->done_count < count) {
        if (tt_mailbox_drain(f->reply) == 0) {
            (void)usleep(50);
        }
        assert_true(tt_clock_ms(tt_clock_real()) < until);
    }
}

static int setup(void **state)
{
    struct fixture *f = TT_NEW(struct fixture);
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(f->dir, sizeof f->dir, "%s/log-thread-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    *state = f;
    return mkdtemp(f->dir) ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int r = tt_dir_remove_tree(f->dir, NULL);
    tt_free(f);
    return r;
}

static struct tt_wal_req append_req(struct fixture *f, const struct tt_wal_entry *entry,
                                    uint64_t epoch)
{
    return (struct tt_wal_req){.op = TT_WAL_OP_APPEND,
                               .epoch = epoch,
                               .entries = entry,
                               .count = 1,
                               .done = on_done,
                               .owner = f};
}

/* The system's disk, whose syncs wait while the test holds `gate`, and whose removals wait while it
 * holds `unlink_gate`. Static because the operations of a file have no context of their own; one
 * test at a time uses it. */
static struct {
    pthread_rwlock_t gate;
    pthread_rwlock_t unlink_gate;
    atomic_uint unlink_count; /* begun */
    struct tt_disk disk;
    struct tt_disk_ops ops;           /* the system's, but for open and unlink */
    struct tt_disk_file_ops file_ops; /* the system's, but for sync */
    int (*sync)(struct tt_disk_file *file, struct tt_err *err); /* the system's */
} gated = {.gate = PTHREAD_RWLOCK_INITIALIZER, .unlink_gate = PTHREAD_RWLOCK_INITIALIZER};

static int gated_sync(struct tt_disk_file *file, struct tt_err *err)
{
    (void)pthread_rwlock_rdlock(&gated.gate); /* fails only for a thread that has it */
    (void)pthread_rwlock_unlock(&gated.gate);
    return gated.sync(file, err);
}

static int gated_open(void *ctx, const char *path, enum tt_disk_open how, struct tt_disk_file **ret,
                      struct tt_err *err)
{
    int r = tt_disk_system()->ops->open(ctx, path, how, ret, err);
    if (r == 0) {
        (*ret)->ops = &gated.file_ops;
    }
    return r;
}

static int gated_unlink(void *ctx, const char *path, struct tt_err *err)
{
    (void)atomic_fetch_add(&gated.unlink_count, 1);
    (void)pthread_rwlock_rdlock(&gated.unlink_gate); /* as above */
    (void)pthread_rwlock_unlock(&gated.unlink_gate);
    return tt_disk_system()->ops->unlink(ctx, path, err);
}

static const struct tt_disk *gated_disk(const char *dir)
{
    TT_AUTO_FREE char *path = tt_xasprintf("%s/probe", dir);
    struct tt_disk_file *file = NULL;
    assert_int_equal(tt_disk_open(tt_disk_system(), path, TT_DISK_CREATE, &file, NULL), 0);
    gated.file_ops = *file->ops;
    gated.sync = file->ops->sync;
    gated.file_ops.sync = gated_sync;
    tt_disk_close(file);
    assert_int_equal(tt_disk_unlink(tt_disk_system(), path, NULL), 0);
    gated.ops = *tt_disk_system()->ops;
    gated.ops.open = gated_open;
    gated.ops.unlink = gated_unlink;
    gated.disk = (struct tt_disk){.ops = &gated.ops, .ctx = tt_disk_system()->ctx};
    return &gated.disk;
}

static void many_requests_share_few_syncs_and_complete_in_order(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 2000 };
    thread_start(f, gated_disk(f->dir), f->dir, 1 << 20);
    struct tt_bytes *payload = tt_bytes_new(f, sizeof *f);
    struct tt_wal_entry *entries = tt_xcalloc(COUNT, sizeof *entries);
    struct tt_wal_req *reqs = tt_xcalloc(COUNT, sizeof *reqs);
    assert_int_equal(pthread_rwlock_wrlock(&gated.gate), 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        entries[i] =
            (struct tt_wal_entry){.index = i + 1, .term = 1, .type = 1, .payload = payload};
        reqs[i] = append_req(f, &entries[i], i);
        f->queue.submit(f->queue.ctx, &reqs[i]);
    }
    assert_int_equal(pthread_rwlock_unlock(&gated.gate), 0);
    wait_done(f, COUNT);
    assert_int_equal(f->last_result, 0);
    /* One that began before the others came, one for all of them. */
    assert_in_range(f->sync_count, 1, 2);
    struct tt_wal_req stop = {.op = TT_WAL_OP_STOP, .epoch = COUNT, .done = on_done, .owner = f};
    f->queue.submit(f->queue.ctx, &stop);
    wait_done(f, COUNT + 1);
    thread_end(f);
    const struct tt_wal_config config = {.disk = tt_disk_system(), .dir = f->dir};
    struct tt_wal_recovered found;
    struct tt_wal *wal = NULL;
    assert_int_equal(tt_wal_open(&config, &wal, &found, NULL), 0);
    assert_int_equal(found.verdict, TT_WAL_CLEAN);
    assert_int_equal(found.last_index, COUNT);
    tt_wal_free(wal);
    tt_bytes_unref(payload);
    tt_free(entries);
    tt_free(reqs);
}

static bool segment_exists(const struct fixture *f, unsigned number)
{
    char path[320];
    (void)snprintf(path, sizeof path, "%s/segment-%016x", f->dir, number);
    return access(path, F_OK) == 0;
}

static void writes_go_on_while_a_segment_is_being_removed(void **state)
{
    struct fixture *f = *state;
    enum { ENTRIES = 40, PAYLOAD = 4096 }; /* more than two segments */
    thread_start(f, gated_disk(f->dir), f->dir, TT_WAL_SEGMENT_SIZE_MIN);
    uint8_t *bytes;
    struct tt_bytes *payload = tt_bytes_new_uninit(PAYLOAD, &bytes);
    memset(bytes, 'x', PAYLOAD);
    struct tt_wal_entry entry = {.term = 1, .type = 1, .payload = payload};
    struct tt_wal_req append;
    for (uint64_t i = 0; i < ENTRIES; i++) {
        entry.index = i + 1;
        append = append_req(f, &entry, i);
        f->queue.submit(f->queue.ctx, &append);
        wait_done(f, i + 1);
    }
    assert_true(segment_exists(f, 1) && segment_exists(f, 2) && segment_exists(f, 3));
    assert_int_equal(pthread_rwlock_wrlock(&gated.unlink_gate), 0);
    unsigned before = atomic_load(&gated.unlink_count);
    const struct tt_wal_snapshot taken = {.index = ENTRIES, .term = 1, .handle_size = 1};
    struct tt_wal_req snapshot = {.op = TT_WAL_OP_SNAPSHOT,
                                  .epoch = ENTRIES,
                                  .snapshot = &taken,
                                  .keep_from = ENTRIES,
                                  .done = on_done,
                                  .owner = f};
    f->queue.submit(f->queue.ctx, &snapshot);
    wait_done(f, ENTRIES + 1);
    uint64_t until = tt_clock_ms(tt_clock_real()) + 20000;
    while (atomic_load(&gated.unlink_count) == before) {
        assert_true(tt_clock_ms(tt_clock_real()) < until);
        (void)usleep(50);
    }
    entry.index = ENTRIES + 1;
    append = append_req(f, &entry, ENTRIES + 1);
    f->queue.submit(f->queue.ctx, &append);
    wait_done(f, ENTRIES + 2); /* while the removal waits */
    assert_int_equal(f->last_result, 0);
    assert_true(segment_exists(f, 1));
    assert_int_equal(pthread_rwlock_unlock(&gated.unlink_gate), 0);
    while (segment_exists(f, 1) || segment_exists(f, 2)) {
        assert_true(tt_clock_ms(tt_clock_real()) < until);
        (void)usleep(50);
    }
    thread_end(f);
    tt_bytes_unref(payload);
}

static void reads_come_back_through_the_pool(void **state)
{
    struct fixture *f = *state;
    thread_start(f, tt_disk_system(), f->dir, 1 << 20);
    struct tt_bytes *payload = tt_bytes_new("contents", 8);
    struct tt_wal_entry entries[2] = {{.index = 1, .term = 1, .type = 1, .payload = payload},
                                      {.index = 2, .term = 1, .type = 2}};
    struct tt_wal_req append = append_req(f, entries, 0);
    append.count = 2;
    f->queue.submit(f->queue.ctx, &append);
    wait_done(f, 1);
    struct tt_wal_entry *room = tt_xcalloc(TT_WAL_READ_COUNT_MAX, sizeof *room);
    struct tt_wal_req read = {.op = TT_WAL_OP_READ,
                              .epoch = 1,
                              .first_index = 1,
                              .size_max = 1 << 20,
                              .read_entries = room,
                              .done = on_done,
                              .owner = f};
    f->queue.submit(f->queue.ctx, &read);
    wait_done(f, 2);
    assert_int_equal(read.result, 0);
    assert_int_equal(read.read_count, 2);
    assert_memory_equal(room[0].payload->ptr, "contents", 8);
    assert_int_equal(room[1].type, 2);
    assert_null(room[1].payload);
    tt_bytes_unref(room[0].payload);
    read.epoch = 2;
    read.first_index = 3;
    f->queue.submit(f->queue.ctx, &read);
    wait_done(f, 3);
    assert_int_equal(read.result, TT_ENOTFOUND);
    tt_bytes_unref(payload);
    tt_free(room);
    thread_end(f);
}

static void a_failed_disk_fails_all_requests_and_is_told_once(void **state)
{
    struct fixture *f = *state;
    struct tt_disk_memory *memory = tt_disk_memory_new();
    const struct tt_wal_config config = {
        .disk = tt_disk_memory_disk(memory), .dir = "log", .segment_size = TT_WAL_SEGMENT_SIZE_MIN};
    struct tt_wal_recovered found;
    struct tt_wal *wal = NULL;
    struct tt_wal_prepare job;
    assert_int_equal(tt_disk_mkdir(config.disk, "log", NULL), 0);
    assert_int_equal(tt_wal_bootstrap(&config, NULL, 0, NULL), 0);
    assert_int_equal(tt_wal_open(&config, &wal, &found, NULL), 0);
    /* The memory disk belongs to one thread: leave the pool nothing to fill. */
    while (tt_wal_prepare_want(wal, &job)) {
        assert_int_equal(tt_wal_prepare_run(&job, NULL), 0);
        tt_wal_prepare_done(wal, &job, 0);
    }
    tt_disk_memory_fail_at(memory, 3, TT_ENOSPACE);
    thread_run(f, wal);
    struct tt_wal_entry entries[64];
    struct tt_wal_req reqs[64];
    for (uint64_t i = 0; i < 64; i++) {
        entries[i] = (struct tt_wal_entry){.index = i + 1, .term = 1, .type = 1};
        reqs[i] = append_req(f, &entries[i], i);
        f->queue.submit(f->queue.ctx, &reqs[i]);
        if (i == 0) {
            wait_done(f, 1);
            assert_int_equal(f->last_result, 0);
        }
    }
    wait_done(f, 64);
    thread_end(f);
    assert_int_equal(f->last_result, TT_ENOSPACE);
    assert_int_equal(f->fatal_code, TT_ENOSPACE);
    tt_disk_memory_free(memory);
}

static void the_cache_keeps_the_newest_within_its_bytes(void **state)
{
    (void)state;
    struct tt_wal_cache *cache = tt_wal_cache_new(10 * (64 + 100));
    struct tt_bytes *payload = tt_bytes_new_uninit(100, &(uint8_t *){NULL});
    for (uint64_t i = 5; i < 205; i++) {
        const struct tt_wal_entry entry = {.index = i, .term = 1, .type = 1, .payload = payload};
        tt_wal_cache_append(cache, &entry);
    }
    assert_int_equal(tt_wal_cache_last(cache), 204);
    assert_int_equal(tt_wal_cache_first(cache), 195);
    assert_null(tt_wal_cache_get(cache, 194));
    assert_int_equal(tt_wal_cache_get(cache, 200)->index, 200);
    tt_wal_cache_pin(cache, 197);
    for (uint64_t i = 205; i < 300; i++) {
        const struct tt_wal_entry entry = {.index = i, .term = 1, .type = 1, .payload = payload};
        tt_wal_cache_append(cache, &entry);
    }
    assert_int_equal(tt_wal_cache_first(cache), 198); /* pinned ones stay, over the bound */
    tt_wal_cache_truncate(cache, 250);
    assert_int_equal(tt_wal_cache_last(cache), 249);
    tt_wal_cache_reset(cache);
    assert_int_equal(tt_wal_cache_bytes(cache), 0);
    assert_int_equal(tt_wal_cache_last(cache), 0);
    tt_wal_cache_free(cache);
    tt_bytes_unref(payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_requests_share_few_syncs_and_complete_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(writes_go_on_while_a_segment_is_being_removed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(reads_come_back_through_the_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_disk_fails_all_requests_and_is_told_once, setup,
                                        teardown),
        cmocka_unit_test(the_cache_keeps_the_newest_within_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
