/* The data directory: all or nothing at bootstrap, one process at a time, corrupt ones aside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/file.h"
#include "raft/datadir.h"
#include "raft/disk_memory.h"

static struct tt_datadir_bootstrap member(uint64_t id)
{
    struct tt_datadir_bootstrap bootstrap = {
        .identity = {.cluster_id = "00000000-0000-4000-8000-000000000001", .name = "server-1"},
        .segment_size = TT_WAL_SEGMENT_SIZE_MIN,
        .log_id = 5,
    };
    bootstrap.identity.member_id = id;
    return bootstrap;
}

static void expect_complete(const struct tt_disk *disk, const struct tt_datadir *datadir)
{
    struct tt_datadir_identity identity;
    assert_int_equal(tt_datadir_identity(datadir, &identity, NULL), 0);
    assert_int_equal(identity.member_id, 9);
    assert_string_equal(identity.name, "server-1");
    const struct tt_wal_config config = {.disk = disk, .dir = tt_datadir_log_dir(datadir)};
    struct tt_wal_recovered found;
    struct tt_wal *wal = NULL;
    assert_int_equal(tt_wal_open(&config, &wal, &found, NULL), 0);
    tt_wal_free(wal);
}

static void a_crash_in_bootstrap_leaves_a_whole_member_or_none(void **state)
{
    (void)state;
    size_t none = 0;
    size_t whole = 0;
    for (uint64_t nth = 1;; nth++) {
        struct tt_disk_memory *memory = tt_disk_memory_new();
        const struct tt_disk *disk = tt_disk_memory_disk(memory);
        struct tt_datadir *datadir = NULL;
        struct tt_rng rng;
        tt_rng_seed(&rng, nth);
        assert_int_equal(tt_datadir_open(disk, "data", false, &datadir, NULL), 0);
        const struct tt_datadir_bootstrap bootstrap = member(9);
        tt_disk_memory_fail_at(memory, nth, TT_ENOSPACE);
        int r = tt_datadir_bootstrap(datadir, &bootstrap, NULL);
        tt_datadir_free(datadir);
        datadir = NULL;
        tt_disk_memory_crash(memory, &rng);
        assert_int_equal(tt_datadir_open(disk, "data", false, &datadir, NULL), 0);
        if (!tt_datadir_has_member(datadir)) {
            assert_int_not_equal(r, 0);
            none++;
            assert_int_equal(tt_datadir_bootstrap(datadir, &bootstrap, NULL), 0);
        } else {
            whole++;
        }
        expect_complete(disk, datadir);
        assert_int_equal(tt_datadir_bootstrap(datadir, &bootstrap, NULL), TT_EEXISTS);
        tt_datadir_free(datadir);
        tt_disk_memory_free(memory);
        if (r == 0) {
            break;
        }
    }
    assert_true(none > 10);
    assert_true(whole > 0);
}

static void a_second_opener_is_refused(void **state)
{
    (void)state;
    char dir[256];
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/datadir-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(dir));
    struct tt_datadir *first = NULL;
    struct tt_datadir *second = NULL;
    assert_int_equal(tt_datadir_open(tt_disk_system(), dir, true, &first, NULL), 0);
    assert_int_equal(tt_datadir_open(tt_disk_system(), dir, true, &second, NULL), TT_EBUSY);
    const struct tt_datadir_bootstrap bootstrap = member(9);
    assert_int_equal(tt_datadir_bootstrap(first, &bootstrap, NULL), 0);
    expect_complete(tt_disk_system(), first);
    uint64_t space = 0;
    assert_int_equal(tt_datadir_free_space(first, &space, NULL), 0);
    assert_true(space > 0);
    tt_datadir_free(first);
    assert_int_equal(tt_datadir_open(tt_disk_system(), dir, true, &second, NULL), 0);
    char *path = NULL;
    assert_int_equal(tt_datadir_quarantine(second, "a test", &path, NULL), 0);
    assert_false(tt_datadir_has_member(second));
    assert_true(tt_path_exists(path));
    tt_free(path);
    assert_int_equal(tt_datadir_bootstrap(second, &bootstrap, NULL), TT_ECONFLICT);
    assert_false(tt_datadir_has_member(second));
    const struct tt_datadir_bootstrap fresh = member(10);
    assert_int_equal(tt_datadir_bootstrap(second, &fresh, NULL), 0);
    assert_int_equal(tt_datadir_quarantine(second, "again", NULL, NULL), 0);
    assert_int_equal(tt_datadir_bootstrap(second, &fresh, NULL), TT_ECONFLICT);
    tt_datadir_free(second);
    assert_int_equal(tt_dir_remove_tree(dir, NULL), 0);
}

static void a_damaged_identity_is_refused(void **state)
{
    (void)state;
    struct tt_disk_memory *memory = tt_disk_memory_new();
    const struct tt_disk *disk = tt_disk_memory_disk(memory);
    struct tt_datadir *datadir = NULL;
    struct tt_datadir_identity identity;
    assert_int_equal(tt_datadir_open(disk, "data", false, &datadir, NULL), 0);
    assert_int_equal(tt_datadir_identity(datadir, &identity, NULL), TT_ENOTFOUND);
    const struct tt_datadir_bootstrap bootstrap = member(9);
    assert_int_equal(tt_datadir_bootstrap(datadir, &bootstrap, NULL), 0);
    size_t size = 0;
    uint8_t *bytes = tt_disk_memory_bytes(memory, "data/member/identity", &size);
    assert_non_null(bytes);
    for (size_t at = 0; at < size; at++) {
        bytes[at] ^= 1;
        assert_int_equal(tt_datadir_identity(datadir, &identity, NULL), TT_ECORRUPT);
        bytes[at] ^= 1;
    }
    TT_AUTO_FREE uint8_t *copy = tt_xmemdup(bytes, size);
    for (size_t cut = 0; cut < size; cut++) {
        tt_disk_memory_put(memory, "data/member/identity", copy, cut);
        assert_int_equal(tt_datadir_identity(datadir, &identity, NULL), TT_ECORRUPT);
    }
    assert_int_equal(tt_disk_unlink(disk, "data/member/identity", NULL), 0);
    assert_int_equal(tt_datadir_identity(datadir, &identity, NULL), TT_ECORRUPT);
    tt_datadir_free(datadir);
    tt_disk_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_in_bootstrap_leaves_a_whole_member_or_none),
        cmocka_unit_test(a_second_opener_is_refused),
        cmocka_unit_test(a_damaged_identity_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
