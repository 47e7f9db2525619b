/* The system's disk, and what is common to all disks.
 *
 * Happy path: thin wrappers that turn errno into the error type with the path. Short reads and
 * writes and EINTR are handled here, so that the layers above see all or an error. fdatasync is
 * enough for file contents: it also flushes the size where that changed. Writes around the page
 * cache go through a second descriptor of the same file, because not every write is aligned; the
 * kernel keeps both views coherent. Failure modes: the first
 * failing system call ends an operation; nothing is retried after a failed sync, because the kernel
 * drops the dirty pages and a second call would lie. */
#include "raft/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/intmath.h"
#include "base/mem.h"

enum { DISK_ZERO_SIZE = 64 << 10 };

struct system_file {
    struct tt_disk_file file; /* first */
    int fd;                   /* owned */
    int direct_fd;            /* the same file with O_DIRECT, or -1; owned */
    char *path;               /* for messages; owned */
};

static struct system_file *system_of(struct tt_disk_file *file)
{
    return TT_CONTAINER_OF(file, struct system_file, file);
}

static void direct_end(struct system_file *self)
{
    if (self->direct_fd >= 0) {
        (void)close(self->direct_fd);
        self->direct_fd = -1;
    }
}

static void system_close(struct tt_disk_file *file)
{
    struct system_file *self = system_of(file);
    direct_end(self);
    (void)close(self->fd); /* data that matter were synced */
    tt_free(self->path);
    tt_free(self);
}

static int system_read(struct tt_disk_file *file, uint64_t offset, void *out, size_t size,
                       size_t *ret_size, struct tt_err *err)
{
    struct system_file *self = system_of(file);
    size_t done = 0;
    while (done < size) {
        ssize_t n = pread(self->fd, (char *)out + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return TT_FAIL_ERRNO(err, errno, "read %s", self->path);
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    *ret_size = done;
    return TT_OK;
}

static bool direct_fits(const struct system_file *self, const char *bytes, size_t size,
                        uint64_t offset)
{
    uint64_t odd = offset | size | (uintptr_t)bytes;
    return self->direct_fd >= 0 && size > 0 && odd % TT_DISK_DIRECT_ALIGN == 0;
}

static int system_write(struct tt_disk_file *file, uint64_t offset, const void *bytes, size_t size,
                        struct tt_err *err)
{
    struct system_file *self = system_of(file);
    size_t done = 0;
    while (done < size) {
        const char *from = (const char *)bytes + done;
        bool direct = direct_fits(self, from, size - done, offset + done);
        ssize_t n =
            pwrite(direct ? self->direct_fd : self->fd, from, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EINVAL && direct) {
            direct_end(self); /* a device of larger sectors */
            continue;
        }
        if (n <= 0) {
            return TT_FAIL_ERRNO(err, n < 0 ? errno : EIO, "write %s", self->path);
        }
        done += (size_t)n;
    }
    return TT_OK;
}

/* A file system that cannot says so by an error of open. */
static void system_direct(struct tt_disk_file *file)
{
    struct system_file *self = system_of(file);
    if (self->direct_fd < 0) {
        self->direct_fd = open(self->path, O_WRONLY | O_CLOEXEC | O_DIRECT);
    }
}

static int system_sync(struct tt_disk_file *file, struct tt_err *err)
{
    struct system_file *self = system_of(file);
    if (fdatasync(self->fd) != 0) {
        return TT_FAIL_ERRNO(err, errno, "sync %s", self->path);
    }
    return TT_OK;
}

static int system_drain(struct tt_disk_file *file, uint64_t offset, uint64_t size,
                        struct tt_err *err)
{
    struct system_file *self = system_of(file);
    const unsigned how =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (sync_file_range(self->fd, (off_t)offset, (off_t)size, how) != 0) {
        return TT_FAIL_ERRNO(err, errno, "write back %s", self->path);
    }
    return TT_OK;
}

static int system_size(struct tt_disk_file *file, uint64_t *ret_size, struct tt_err *err)
{
    struct system_file *self = system_of(file);
    struct stat st;
    if (fstat(self->fd, &st) != 0) {
        return TT_FAIL_ERRNO(err, errno, "stat %s", self->path);
    }
    *ret_size = (uint64_t)st.st_size;
    return TT_OK;
}

static int system_shrink(struct tt_disk_file *file, uint64_t size, struct tt_err *err)
{
    struct system_file *self = system_of(file);
    if (ftruncate(self->fd, (off_t)size) != 0) {
        return TT_FAIL_ERRNO(err, errno, "shrink %s", self->path);
    }
    return TT_OK;
}

static const struct tt_disk_file_ops system_file_ops = {
    .close = system_close,
    .read = system_read,
    .write = system_write,
    .sync = system_sync,
    .drain = system_drain,
    .size = system_size,
    .direct = system_direct,
    .shrink = system_shrink,
};

static int system_open(void *ctx, const char *path, enum tt_disk_open how,
                       struct tt_disk_file **ret, struct tt_err *err)
{
    (void)ctx;
    int flags = O_CLOEXEC;
    switch (how) {
    case TT_DISK_READ:
        flags |= O_RDONLY;
        break;
    case TT_DISK_WRITE:
        flags |= O_RDWR;
        break;
    case TT_DISK_CREATE:
        flags |= O_RDWR | O_CREAT | O_TRUNC;
        break;
    }
    int fd = open(path, flags, 0600);
    if (fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "open %s", path);
    }
    struct system_file *self = TT_NEW(struct system_file);
    self->file.ops = &system_file_ops;
    self->fd = fd;
    self->direct_fd = -1;
    self->path = tt_xstrdup(path);
    *ret = &self->file;
    return TT_OK;
}

static int system_rename(void *ctx, const char *from, const char *to, struct tt_err *err)
{
    (void)ctx;
    if (rename(from, to) != 0) {
        return TT_FAIL_ERRNO(err, errno, "rename %s to %s", from, to);
    }
    return TT_OK;
}

static int system_unlink(void *ctx, const char *path, struct tt_err *err)
{
    (void)ctx;
    if (remove(path) != 0) {
        return TT_FAIL_ERRNO(err, errno, "remove %s", path);
    }
    return TT_OK;
}

static int system_mkdir(void *ctx, const char *path, struct tt_err *err)
{
    (void)ctx;
    if (mkdir(path, 0700) != 0) {
        return TT_FAIL_ERRNO(err, errno, "make directory %s", path);
    }
    return TT_OK;
}

static int system_list(void *ctx, const char *path, void (*each)(void *arg, const char *name),
                       void *arg, struct tt_err *err)
{
    (void)ctx;
    DIR *dir = opendir(path);
    if (!dir) {
        return TT_FAIL_ERRNO(err, errno, "list %s", path);
    }
    int r = TT_OK;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno != 0) {
                r = TT_FAIL_ERRNO(err, errno, "list %s", path);
            }
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            each(arg, entry->d_name);
        }
    }
    (void)closedir(dir); /* only reading */
    return r;
}

static int system_sync_dir(void *ctx, const char *path, struct tt_err *err)
{
    (void)ctx;
    return tt_dir_sync(path, err);
}

static int system_free_space(void *ctx, const char *path, uint64_t *ret_bytes, struct tt_err *err)
{
    (void)ctx;
    struct statvfs st;
    if (statvfs(path, &st) != 0) {
        return TT_FAIL_ERRNO(err, errno, "free space of %s", path);
    }
    *ret_bytes = (uint64_t)st.f_bavail * (uint64_t)st.f_frsize;
    return TT_OK;
}

const struct tt_disk *tt_disk_system(void)
{
    static const struct tt_disk_ops ops = {
        .open = system_open,
        .rename = system_rename,
        .unlink = system_unlink,
        .mkdir = system_mkdir,
        .list = system_list,
        .sync_dir = system_sync_dir,
        .free_space = system_free_space,
    };
    static const struct tt_disk disk = {.ops = &ops, .ctx = NULL};
    return &disk;
}

int tt_disk_open(const struct tt_disk *disk, const char *path, enum tt_disk_open how,
                 struct tt_disk_file **ret, struct tt_err *err)
{
    return disk->ops->open(disk->ctx, path, how, ret, err);
}

void tt_disk_close(struct tt_disk_file *file)
{
    if (file) {
        file->ops->close(file);
    }
}

int tt_disk_read(struct tt_disk_file *file, uint64_t offset, void *out, size_t size,
                 size_t *ret_size, struct tt_err *err)
{
    return file->ops->read(file, offset, out, size, ret_size, err);
}

int tt_disk_write(struct tt_disk_file *file, uint64_t offset, const void *bytes, size_t size,
                  struct tt_err *err)
{
    return file->ops->write(file, offset, bytes, size, err);
}

int tt_disk_sync(struct tt_disk_file *file, struct tt_err *err)
{
    return file->ops->sync(file, err);
}

int tt_disk_drain(struct tt_disk_file *file, uint64_t offset, uint64_t size, struct tt_err *err)
{
    return file->ops->drain(file, offset, size, err);
}

int tt_disk_size(struct tt_disk_file *file, uint64_t *ret_size, struct tt_err *err)
{
    return file->ops->size(file, ret_size, err);
}

void tt_disk_direct(struct tt_disk_file *file)
{
    if (file->ops->direct != NULL) {
        file->ops->direct(file);
    }
}

int tt_disk_shrink(struct tt_disk_file *file, uint64_t size, struct tt_err *err)
{
    return file->ops->shrink ? file->ops->shrink(file, size, err) : TT_OK;
}

int tt_disk_rename(const struct tt_disk *disk, const char *from, const char *to, struct tt_err *err)
{
    return disk->ops->rename(disk->ctx, from, to, err);
}

int tt_disk_unlink(const struct tt_disk *disk, const char *path, struct tt_err *err)
{
    return disk->ops->unlink(disk->ctx, path, err);
}

int tt_disk_mkdir(const struct tt_disk *disk, const char *path, struct tt_err *err)
{
    return disk->ops->mkdir(disk->ctx, path, err);
}

int tt_disk_list(const struct tt_disk *disk, const char *path,
                 void (*each)(void *arg, const char *name), void *arg, struct tt_err *err)
{
    return disk->ops->list(disk->ctx, path, each, arg, err);
}

int tt_disk_sync_dir(const struct tt_disk *disk, const char *path, struct tt_err *err)
{
    return disk->ops->sync_dir(disk->ctx, path, err);
}

int tt_disk_free_space(const struct tt_disk *disk, const char *path, uint64_t *ret_bytes,
                       struct tt_err *err)
{
    return disk->ops->free_space(disk->ctx, path, ret_bytes, err);
}

int tt_disk_fill_zero(struct tt_disk_file *file, uint64_t offset, uint64_t size, struct tt_err *err)
{
    static const _Alignas(TT_DISK_DIRECT_ALIGN) uint8_t zeros[DISK_ZERO_SIZE];
    while (size > 0) {
        size_t part = (size_t)tt_u64_min(size, sizeof zeros);
        int r = tt_disk_write(file, offset, zeros, part, err);
        if (r != 0) {
            return r;
        }
        offset += part;
        size -= part;
    }
    return TT_OK;
}

static int disk_write_new(const struct tt_disk *disk, const char *path, struct tt_str bytes,
                          struct tt_err *err)
{
    struct tt_disk_file *file = NULL;
    int r = tt_disk_open(disk, path, TT_DISK_CREATE, &file, err);
    if (r != 0) {
        return r;
    }
    r = tt_disk_write(file, 0, bytes.ptr, bytes.len, err);
    if (r == 0) {
        r = tt_disk_sync(file, err);
    }
    tt_disk_close(file);
    return r;
}

int tt_disk_replace(const struct tt_disk *disk, const char *dir, const char *name,
                    struct tt_str bytes, struct tt_err *err)
{
    TT_AUTO_FREE char *path = tt_xasprintf("%s/%s", dir, name);
    TT_AUTO_FREE char *temporary = tt_xasprintf("%s/%s.tmp", dir, name);
    int r = disk_write_new(disk, temporary, bytes, err);
    if (r == 0) {
        r = tt_disk_rename(disk, temporary, path, err);
    }
    if (r == 0) {
        r = tt_disk_sync_dir(disk, dir, err);
    }
    return r;
}

int tt_disk_load(const struct tt_disk *disk, const char *path, size_t size_max,
                 struct tt_buf *ret_buf, struct tt_err *err)
{
    tt_buf_init(ret_buf, size_max);
    struct tt_disk_file *file = NULL;
    int r = tt_disk_open(disk, path, TT_DISK_READ, &file, err);
    if (r != 0) {
        return r;
    }
    uint64_t size = 0;
    r = tt_disk_size(file, &size, err);
    if (r == 0 && size > size_max) {
        r = TT_FAIL(err, TT_ETOOLARGE, "%s has %" PRIu64 " bytes, at most %zu are expected", path,
                    size, size_max);
    }
    if (r == 0 && size > 0) {
        char *room = tt_buf_reserve(ret_buf, (size_t)size);
        TT_ASSERT(room != NULL);
        size_t got = 0;
        r = tt_disk_read(file, 0, room, (size_t)size, &got, err);
        ret_buf->len += r == 0 ? got : 0;
    }
    tt_disk_close(file);
    return r;
}
