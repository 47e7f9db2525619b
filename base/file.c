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
 * done but the directory cannot be synced → an error, although the new file is in place. A removal
 * that fails somewhere removes the rest, and may leave deep directories as `.removing-…` in the
 * root of the tree: the next call takes them like anything else. */

enum {
    DIR_DEPTH_MAX = 32,          /* levels that are open at a time */
    REMOVAL_ROUNDS_MAX = 1 << 16 /* a tree that grows faster is left to a later call */
};

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

/* ---- removal ---- */

/* One removal. What lies deeper than DIR_DEPTH_MAX is moved up into the root of the tree and taken
 * in the next round, so a tree of any depth (a container may make one) costs as many descriptors
 * and as much stack as a shallow one. Each move takes levels away, so rounds come to an end. */
struct removal {
    int root_fd;        /* the directory that is removed */
    bool has_moved;     /* in this round: another one is needed */
    int result;         /* of the first failure, or TT_OK */
    struct tt_err *err; /* borrowed; told the first failure only */
};

static void removal_failed(struct removal *removal, int cause, const char *what, const char *name)
{
    if (removal->result == TT_OK) {
        removal->result = TT_FAIL_ERRNO(removal->err, cause, "%s %s", what, name);
    }
}

static void move_up(struct removal *removal, int dir_fd, const char *name)
{
    char unique[64];
    (void)snprintf(unique, sizeof unique, ".removing-%016llx", (unsigned long long)tt_random_u64());
    if (renameat(dir_fd, name, removal->root_fd, unique) == 0) {
        removal->has_moved = true;
    } else if (errno != ENOENT) {
        removal_failed(removal, errno, "move up", name);
    }
}

static void empty_dir(struct removal *removal, int dir_fd, const char *name, unsigned depth);

/* Removes one entry of a directory, with what is below it. */
static void remove_entry(struct removal *removal, int dir_fd, const char *name, unsigned depth)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) {
        return;
    }
    if (errno != EISDIR && errno != EPERM) {
        removal_failed(removal, errno, "remove", name);
        return;
    }
    if (depth < DIR_DEPTH_MAX) {
        empty_dir(removal, dir_fd, name, depth);
    }
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT) {
        return;
    }
    if (depth >= DIR_DEPTH_MAX && (errno == ENOTEMPTY || errno == EEXIST)) {
        move_up(removal, dir_fd, name);
    } else {
        removal_failed(removal, errno, "remove directory", name);
    }
}

/* A failure does not keep the other entries: what can go goes. Recursion is bounded by
 * DIR_DEPTH_MAX, as is the number of open directories. */
static void empty_dir(struct removal *removal, int dir_fd, const char *name, unsigned depth)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (errno != ENOENT) {
            removal_failed(removal, errno, "open directory", name);
        }
        close_quietly(fd);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            remove_entry(removal, fd, entry->d_name, depth + 1);
        }
    }
    (void)closedir(dir); /* closes fd too; it was only read */
}

static int remove_dir(const char *path, struct tt_err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "open directory %s", path);
    }
    struct removal removal = {.root_fd = fd, .has_moved = true, .err = err};
    for (unsigned i = 0; i < REMOVAL_ROUNDS_MAX && removal.has_moved; i++) {
        removal.has_moved = false;
        empty_dir(&removal, fd, ".", 0);
    }
    close_quietly(fd);
    if (removal.result == TT_OK && unlinkat(AT_FDCWD, path, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return TT_FAIL_ERRNO(err, errno, "remove directory %s", path);
    }
    return removal.result;
}

int tt_dir_remove_tree(const char *path, struct tt_err *err)
{
    if (unlink(path) == 0 || errno == ENOENT) {
        return TT_OK;
    }
    int r = errno == EISDIR || errno == EPERM ? remove_dir(path, err)
                                              : TT_FAIL_ERRNO(err, errno, "remove %s", path);
    return r == TT_OK ? TT_OK : TT_WRAP(err, r, "remove tree %s", path);
}

bool tt_path_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}
