/* The system's disk: writes around the page cache mix with others, and leave nothing in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "raft/disk.h"

enum { SECTOR = TT_DISK_SECTOR_SIZE, SECTORS = 128, FILE_SIZE = SECTORS * SECTOR };

struct fixture {
    char dir[256];
    char *path;
    struct tt_disk_file *file;
};

static int make(void **state)
{
    struct fixture *fixture = TT_NEW(struct fixture);
    const char *base = getenv("TMPDIR");
    int len = snprintf(fixture->dir, sizeof fixture->dir, "%s/tutti-disk-XXXXXX",
                       base != NULL ? base : "/tmp");
    assert_true(len > 0 && (size_t)len < sizeof fixture->dir);
    assert_non_null(mkdtemp(fixture->dir));
    fixture->path = tt_xasprintf("%s/file", fixture->dir);
    assert_int_equal(
        tt_disk_open(tt_disk_system(), fixture->path, TT_DISK_CREATE, &fixture->file, NULL), 0);
    assert_int_equal(tt_disk_fill_zero(fixture->file, 0, FILE_SIZE, NULL), 0);
    assert_int_equal(tt_disk_sync(fixture->file, NULL), 0);
    *state = fixture;
    return 0;
}

static int unmake(void **state)
{
    struct fixture *fixture = *state;
    tt_disk_close(fixture->file);
    (void)unlink(fixture->path);
    (void)rmdir(fixture->dir);
    tt_free(fixture->path);
    tt_free(fixture);
    return 0;
}

/* Ranges at any place, aligned ones through aligned memory, against a copy in memory. */
static void direct_and_other_writes_read_back_alike(void **state)
{
    struct fixture *fixture = *state;
    struct tt_rng rng;
    tt_rng_seed(&rng, 7);
    print_message("seed 7\n");
    TT_AUTO_FREE uint8_t *model = tt_xcalloc(1, FILE_SIZE);
    TT_AUTO_FREE uint8_t *read = tt_xmalloc(FILE_SIZE);
    TT_AUTO_FREE uint8_t *bytes = tt_xaligned(TT_DISK_DIRECT_ALIGN, FILE_SIZE);
    tt_disk_direct(fixture->file);
    for (int turn = 0; turn < 200; turn++) {
        uint64_t unit = tt_rng_below(&rng, 3) == 0 ? 1 : SECTOR;
        uint64_t from = tt_rng_below(&rng, FILE_SIZE / unit) * unit;
        uint64_t size = (1 + tt_rng_below(&rng, (FILE_SIZE - from) / unit)) * unit;
        memset(bytes, turn + 1, size);
        memset(model + from, turn + 1, size);
        assert_int_equal(tt_disk_write(fixture->file, from, bytes, size, NULL), 0);
        size_t got = 0;
        assert_int_equal(tt_disk_read(fixture->file, 0, read, FILE_SIZE, &got, NULL), 0);
        assert_int_equal(got, FILE_SIZE);
        assert_memory_equal(read, model, FILE_SIZE);
    }
    uint64_t size = 0;
    assert_int_equal(tt_disk_size(fixture->file, &size, NULL), 0);
    assert_int_equal(size, FILE_SIZE);
}

static size_t pages_in_memory(const char *path)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char resident[FILE_SIZE / 512];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    void *map = mmap(NULL, FILE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_int_equal(mincore(map, FILE_SIZE, resident), 0);
    size_t count = 0;
    for (size_t i = 0; i < FILE_SIZE / page; i++) {
        count += resident[i] & 1;
    }
    (void)munmap(map, FILE_SIZE);
    (void)close(fd);
    return count;
}

/* Whether a plain direct write of the whole file takes it out of memory here. Some file systems and
 * devices refuse such writes, some take them for others, and some know nothing but memory. */
static bool has_direct_writes(const struct fixture *fixture, const uint8_t *bytes)
{
    int fd = open(fixture->path, O_WRONLY | O_CLOEXEC | O_DIRECT);
    if (fd < 0) {
        return false;
    }
    bool written = pwrite(fd, bytes, FILE_SIZE, 0) == FILE_SIZE && fsync(fd) == 0;
    (void)close(fd);
    return written && pages_in_memory(fixture->path) == 0;
}

static void a_direct_write_leaves_no_page_in_memory(void **state)
{
    struct fixture *fixture = *state;
    static _Alignas(TT_DISK_DIRECT_ALIGN) uint8_t bytes[FILE_SIZE];
    memset(bytes, 1, FILE_SIZE);
    if (!has_direct_writes(fixture, bytes)) {
        print_message("skipped: the file system of %s keeps its files in memory or has no direct "
                      "writes\n",
                      fixture->dir);
        skip();
    }
    assert_int_equal(tt_disk_write(fixture->file, 0, bytes, FILE_SIZE, NULL), 0);
    assert_int_equal(tt_disk_sync(fixture->file, NULL), 0);
    assert_true(pages_in_memory(fixture->path) > 0);
    tt_disk_direct(fixture->file);
    assert_int_equal(tt_disk_write(fixture->file, 0, bytes, FILE_SIZE, NULL), 0);
    assert_int_equal(tt_disk_sync(fixture->file, NULL), 0);
    assert_int_equal(pages_in_memory(fixture->path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(direct_and_other_writes_read_back_alike, make, unmake),
        cmocka_unit_test_setup_teardown(a_direct_write_leaves_no_page_in_memory, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
