#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"

/* Happy path of a replacement: temporary file beside the target, write, fsync, rename, fsync of the
 * directory. A reader sees the old file or the new one, also after a crash.
 *
 * Failure modes: any step fails → the temporary file is removed, the old file stays. The rename is
 * done but the directory cannot be synced → an error, although the new file is in place. */

enum { DIR_DEPTH_MAX = 64 };

static void close_quietly(int fd)
{
    if (fd >= 0) {
        (void)close(fd); /* nothing was written through it, or fsync has told already */
    }
}

static int read_all(int fd, const char *path, struct tt_buf *buf, struct tt_err *err)
{
    char chunk[8192];
    for (;;) {
        ssize_t count = read(fd, chunk, sizeof chunk);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return TT_FAIL_ERRNO(err, errno, "read %s", path);
        }
        if (count == 0) {
            break;
        }
        tt_buf_append(buf, chunk, (size_t)count);
        if (!tt_buf_ok(buf)) {
            return TT_FAIL(err, TT_ETOOLARGE, "read %s: over %zu bytes", path, buf->size_max);
        }
    }
    return TT_OK;
}

int tt_file_read(const char *path, size_t size_max, struct tt_buf *ret_buf, struct tt_err *err)
{
    tt_buf_init(ret_buf, size_max);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "open %s", path);
    }
    int r = read_all(fd, path, ret_buf, err);
    close_quietly(fd);
    return r;
}

static int write_all(int fd, const char *path, struct tt_str bytes, struct tt_err *err)
{
    while (bytes.len > 0) {
        ssize_t count = write(fd, bytes.ptr, bytes.len);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return TT_FAIL_ERRNO(err, errno, "write %s", path);
        }
        bytes = tt_str_skip(bytes, (size_t)count);
    }
    if (fsync(fd) != 0) {
        return TT_FAIL_ERRNO(err, errno, "fsync %s", path);
    }
    return TT_OK;
}

/* A new file of exactly this mode (whatever the umask) with these bytes, on disk. */
static int write_new(const char *path, struct tt_str bytes, unsigned mode, struct tt_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "create %s", path);
    }
    int r = fchmod(fd, (mode_t)mode) == 0 ? TT_OK : TT_FAIL_ERRNO(err, errno, "chmod %s", path);
    if (r == TT_OK) {
        r = write_all(fd, path, bytes, err);
    }
    close_quietly(fd);
    return r;
}

/* The directory part of path: "." when there is none. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) {
        return tt_xstrdup(".");
    }
    return slash == path ? tt_xstrdup("/") : tt_xstrndup(path, (size_t)(slash - path));
}

int tt_file_write_atomic(const char *path, struct tt_str bytes, unsigned mode, struct tt_err *err)
{
    TT_AUTO_FREE char *temporary =
        tt_xasprintf("%s.%016llx.tmp", path, (unsigned long long)tt_random_u64());
    TT_AUTO_FREE char *parent = parent_of(path);
    int r = write_new(temporary, bytes, mode, err);
    if (r == TT_OK && rename(temporary, path) != 0) {
        r = TT_FAIL_ERRNO(err, errno, "rename to %s", path);
    }
    if (r != TT_OK) {
        (void)unlink(temporary); /* it may not exist */
        return r;
    }
    return tt_dir_sync(parent, err);
}

static int make_one(const char *path, unsigned mode, struct tt_err *err)
{
    struct stat info;
    if (mkdir(path, (mode_t)mode) == 0) {
        return TT_OK;
    }
    int cause = errno;
    if (cause == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return TT_OK;
    }
    return TT_FAIL_ERRNO(err, cause, "mkdir %s", path);
}

int tt_dir_make(const char *path, unsigned mode, struct tt_err *err)
{
    TT_AUTO_FREE char *partial = tt_xstrdup(path);
    for (char *c = partial; *c; c++) {
        if (*c != '/' || c == partial) {
            continue;
        }
        *c = '\0';
        int r = make_one(partial, mode, err);
        *c = '/';
        if (r != TT_OK) {
            return r;
        }
    }
    return make_one(path, mode, err);
}

int tt_dir_sync(const char *path, struct tt_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "open directory %s", path);
    }
    int r = fsync(fd) == 0 ? TT_OK : TT_FAIL_ERRNO(err, errno, "fsync directory %s", path);
    close_quietly(fd);
    return r;
}

static int empty_dir(int dir_fd, const char *name, unsigned depth, struct tt_err *err);

/* Removes one entry of the directory, with what is below it. */
static int remove_entry(int dir_fd, const char *name, unsigned depth, struct tt_err *err)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) {
        return TT_OK;
    }
    if (errno != EISDIR && errno != EPERM) {
        return TT_FAIL_ERRNO(err, errno, "remove %s", name);
    }
    int r = empty_dir(dir_fd, name, depth, err);
    if (r == TT_OK && unlinkat(dir_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return TT_FAIL_ERRNO(err, errno, "remove directory %s", name);
    }
    return r;
}

/* Recursion is bounded by DIR_DEPTH_MAX: trees of ours are a handful of levels deep. */
static int empty_dir(int dir_fd, const char *name, unsigned depth, struct tt_err *err)
{
    if (depth >= DIR_DEPTH_MAX) {
        return TT_FAIL(err, TT_EINVAL, "remove %s: more than %d levels", name, DIR_DEPTH_MAX);
    }
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "open directory %s", name);
    }
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int cause = errno;
        close_quietly(fd);
        return TT_FAIL_ERRNO(err, cause, "read directory %s", name);
    }
    int r = TT_OK;
    const struct dirent *entry;
    while (r == TT_OK && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            r = remove_entry(fd, entry->d_name, depth + 1, err);
        }
    }
    (void)closedir(dir); /* closes fd too; it was only read */
    return r;
}

int tt_dir_remove_tree(const char *path, struct tt_err *err)
{
    int r = remove_entry(AT_FDCWD, path, 0, err);
    return r == TT_OK ? TT_OK : TT_WRAP(err, r, "remove tree %s", path);
}

bool tt_path_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}
