/* Behaviour of base/file: whole reads, atomic replacement, directories. */
#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_SIZE = 512 };

/* A fresh directory; the test removes it with drop_dir. */
static void make_dir(char dir[PATH_SIZE])
{
    const char *base = getenv("TMPDIR");
    int len = snprintf(dir, PATH_SIZE, "%s/tutti-file-XXXXXX", base ? base : "/tmp");
    assert_in_range(len, 1, PATH_SIZE - 1);
    assert_non_null(mkdtemp(dir));
}

static void drop_dir(const char *dir)
{
    assert_int_equal(tt_dir_remove_tree(dir, NULL), TT_OK);
    assert_false(tt_path_exists(dir));
}

static void path_in(char out[PATH_SIZE], const char *dir, const char *name)
{
    int len = snprintf(out, PATH_SIZE, "%.400s/%.100s", dir, name);
    assert_in_range(len, 1, PATH_SIZE - 1);
}

static size_t entry_count(const char *path)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir)) {
        count++;
    }
    closedir(dir);
    return count - 2; /* "." and ".." */
}

static void a_replaced_file_reads_back_and_leaves_nothing_beside_it(void **state)
{
    (void)state; /* no fixture */
    char dir[PATH_SIZE];
    char path[PATH_SIZE];
    struct stat info;
    struct tt_buf buf;
    make_dir(dir);
    path_in(path, dir, "f");
    assert_int_equal(tt_file_write_atomic(path, TT_STR("old"), 0644, NULL), TT_OK);
    assert_int_equal(tt_file_write_atomic(path, TT_STR("new bytes"), 0600, NULL), TT_OK);
    assert_int_equal(tt_file_read(path, 100, &buf, NULL), TT_OK);
    assert_true(tt_str_eq_c(tt_buf_view(&buf), "new bytes"));
    tt_buf_fini(&buf);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(entry_count(dir), 1);
    drop_dir(dir);
}

static void reading_refuses_too_much_and_what_is_not_there(void **state)
{
    (void)state; /* no fixture */
    char dir[PATH_SIZE];
    char path[PATH_SIZE];
    struct tt_buf buf;
    struct tt_err err;
    tt_err_init(&err);
    make_dir(dir);
    path_in(path, dir, "f");
    assert_int_equal(tt_file_read(path, 100, &buf, &err), TT_ENOTFOUND);
    assert_int_equal(tt_file_write_atomic(path, TT_STR("12345"), 0600, NULL), TT_OK);
    assert_int_equal(tt_file_read(path, 4, &buf, &err), TT_ETOOLARGE);
    tt_buf_fini(&buf);
    assert_int_equal(tt_file_read(path, 5, &buf, &err), TT_OK);
    tt_buf_fini(&buf);
    drop_dir(dir);
}

static void a_failed_replacement_keeps_the_old_file(void **state)
{
    (void)state; /* no fixture */
    char dir[PATH_SIZE];
    char path[PATH_SIZE];
    make_dir(dir);
    path_in(path, dir, "sub/f");
    assert_int_equal(tt_file_write_atomic(path, TT_STR("x"), 0600, NULL), TT_ENOTFOUND);
    path_in(path, dir, "sub");
    assert_int_equal(tt_dir_make(path, 0700, NULL), TT_OK);
    /* A directory cannot be replaced by a file: the rename fails after the write. */
    assert_true(tt_file_write_atomic(path, TT_STR("x"), 0600, NULL) < 0);
    assert_int_equal(entry_count(dir), 1);
    drop_dir(dir);
}

static void directories_are_made_with_parents_and_may_exist(void **state)
{
    (void)state; /* no fixture */
    char dir[PATH_SIZE];
    char path[PATH_SIZE];
    make_dir(dir);
    path_in(path, dir, "a/b/c");
    assert_int_equal(tt_dir_make(path, 0700, NULL), TT_OK);
    assert_int_equal(tt_dir_make(path, 0700, NULL), TT_OK);
    assert_true(tt_path_exists(path));
    path_in(path, dir, "file");
    assert_int_equal(tt_file_write_atomic(path, TT_STR("x"), 0600, NULL), TT_OK);
    assert_int_equal(tt_dir_make(path, 0700, NULL), TT_EEXISTS);
    drop_dir(dir);
}

static void removing_a_tree_does_not_follow_links(void **state)
{
    (void)state; /* no fixture */
    char dir[PATH_SIZE];
    char kept[PATH_SIZE];
    char link_path[PATH_SIZE];
    make_dir(dir);
    path_in(kept, dir, "kept/inner");
    assert_int_equal(tt_dir_make(kept, 0700, NULL), TT_OK);
    path_in(link_path, dir, "tree/deep");
    assert_int_equal(tt_dir_make(link_path, 0700, NULL), TT_OK);
    path_in(link_path, dir, "tree/deep/link");
    assert_int_equal(symlink(kept, link_path), 0);
    path_in(link_path, dir, "tree");
    assert_int_equal(tt_dir_remove_tree(link_path, NULL), TT_OK);
    assert_int_equal(tt_dir_remove_tree(link_path, NULL), TT_OK); /* absent is fine */
    assert_true(tt_path_exists(kept));
    drop_dir(dir);
}

static void touch_at(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* So many that a directory is hardly ever the last one to be read, whatever the order is. */
enum { AFTER_COUNT = 16 };

/* path/d/d/d…: each level has files made before and after the next one, a directory and a link. */
static void make_deep(const char *path, unsigned levels, const char *link_target)
{
    assert_int_equal(mkdir(path, 0700), 0);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < levels; i++) {
        assert_true(fd >= 0);
        touch_at(fd, "before");
        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        assert_int_equal(mkdirat(fd, "sibling", 0700), 0);
        assert_int_equal(symlinkat(link_target, fd, "link"), 0);
        for (unsigned k = 0; k < AFTER_COUNT; k++) {
            char name[16];
            (void)snprintf(name, sizeof name, "after%u", k);
            touch_at(fd, name);
        }
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    assert_true(fd >= 0);
    close(fd);
}

/* Leaves so many descriptors to the process; returns the limit that was. */
static struct rlimit leave_descriptors(unsigned count)
{
    struct rlimit before;
    int lowest = dup(STDOUT_FILENO);
    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit few = {(rlim_t)lowest + count, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    return before;
}

static void a_tree_of_any_depth_is_removed_with_few_descriptors(void **state)
{
    (void)state; /* no fixture */
    char dir[PATH_SIZE];
    char kept[PATH_SIZE];
    char path[PATH_SIZE];
    make_dir(dir);
    path_in(kept, dir, "kept/inner");
    assert_int_equal(tt_dir_make(kept, 0700, NULL), TT_OK);
    path_in(path, dir, "tree");
    make_deep(path, 300, kept);
    path_in(kept, dir, "kept");
    struct rlimit before = leave_descriptors(48);
    int r = tt_dir_remove_tree(path, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, TT_OK);
    assert_int_equal(entry_count(dir), 1);
    assert_int_equal(entry_count(kept), 1);
    drop_dir(dir);
}

static void a_removal_that_fails_removes_the_rest_and_can_be_repeated(void **state)
{
    (void)state; /* no fixture */
    char dir[PATH_SIZE];
    char path[PATH_SIZE];
    char sub[PATH_SIZE];
    struct tt_err err;
    tt_err_init(&err);
    make_dir(dir);
    path_in(path, dir, "tree");
    make_deep(path, 20, dir);
    struct rlimit before = leave_descriptors(8); /* it cannot open all levels */
    int r = tt_dir_remove_tree(path, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(r < 0);
    assert_string_not_equal(tt_err_cause(&err), "");
    assert_int_equal(entry_count(path), 1); /* only the way to what failed */
    path_in(sub, path, "d/d");
    assert_int_equal(entry_count(sub), 1);
    assert_int_equal(tt_dir_remove_tree(path, NULL), TT_OK);
    assert_false(tt_path_exists(path));
    drop_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replaced_file_reads_back_and_leaves_nothing_beside_it),
        cmocka_unit_test(reading_refuses_too_much_and_what_is_not_there),
        cmocka_unit_test(a_failed_replacement_keeps_the_old_file),
        cmocka_unit_test(directories_are_made_with_parents_and_may_exist),
        cmocka_unit_test(removing_a_tree_does_not_follow_links),
        cmocka_unit_test(a_tree_of_any_depth_is_removed_with_few_descriptors),
        cmocka_unit_test(a_removal_that_fails_removes_the_rest_and_can_be_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
