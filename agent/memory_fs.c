/* tmpfs, never with devices or set-user-id programs, and without swap where the kernel can (6.4).
 */
#include "agent/memory_fs.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/file.h"

enum { TEXT_SIZE = 128, PATH_SIZE = 1024, LAYERS_MAX = 8 };

static bool is_in_memory(const char *directory)
{
    struct statfs fs;
    return statfs(directory, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

static int mount_with(const char *directory, const struct memory_fs_options *options,
                      const char *more)
{
    char text[TEXT_SIZE];
    char size[32] = "";
    unsigned long flags = MS_NODEV | MS_NOSUID | (options->no_programs ? MS_NOEXEC : 0UL);
    if (options->size_max > 0) {
        (void)snprintf(size, sizeof size, ",size=%" PRIu64, options->size_max);
    }
    (void)snprintf(text, sizeof text, "mode=%o%s%s", options->mode, size, more);
    return mount("tmpfs", directory, "tmpfs", flags, text) == 0 ? 0 : errno;
}

int memory_fs_mount(const char *directory, const struct memory_fs_options *options,
                    struct tt_err *err)
{
    if (is_in_memory(directory)) {
        return TT_OK;
    }
    int r = tt_dir_remove_tree(directory, err);
    if (r == TT_OK) {
        r = tt_dir_make(directory, options->mode, err);
    }
    if (r != TT_OK) {
        return r;
    }
    int failed = mount_with(directory, options, ",noswap");
    if (failed == EINVAL) {
        failed = mount_with(directory, options, "");
    }
    return failed == 0 ? TT_OK : TT_FAIL_ERRNO(err, failed, "mount memory on %s", directory);
}

/* Layers: an agent that was killed may have mounted twice. */
static int unmount(const char *path, dev_t below, struct tt_err *err)
{
    struct stat st;
    for (int i = 0; i < LAYERS_MAX; i++) {
        if (lstat(path, &st) != 0 || st.st_dev == below) {
            return TT_OK;
        }
        if (umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) != 0) {
            return TT_FAIL_ERRNO(err, errno, "unmount %s", path);
        }
    }
    return TT_FAIL(err, TT_EBUSY, "%s is mounted again and again", path);
}

int memory_fs_unmount_in(const char *directory, struct tt_err *err)
{
    struct stat st;
    int r = TT_OK;
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        return errno == ENOENT ? TT_OK : TT_FAIL_ERRNO(err, errno, "%s", directory);
    }
    if (fstat(dirfd(dir), &st) != 0) {
        r = TT_FAIL_ERRNO(err, errno, "%s", directory);
    }
    for (struct dirent *entry = readdir(dir); r == TT_OK && entry != NULL; entry = readdir(dir)) {
        char path[PATH_SIZE];
        int size = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        bool own = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
        if (own) {
            r = size < PATH_SIZE ? unmount(path, st.st_dev, err)
                                 : TT_FAIL(err, TT_EINVAL, "a path in %s is too long", directory);
        }
    }
    (void)closedir(dir);
    return r;
}
