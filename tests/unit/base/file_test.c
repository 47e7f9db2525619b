/* Behaviour of base/file: whole reads, atomic replacement, directories. */
#include "base/file.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replaced_file_reads_back_and_leaves_nothing_beside_it),
        cmocka_unit_test(reading_refuses_too_much_and_what_is_not_there),
        cmocka_unit_test(a_failed_replacement_keeps_the_old_file),
        cmocka_unit_test(directories_are_made_with_parents_and_may_exist),
        cmocka_unit_test(removing_a_tree_does_not_follow_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
