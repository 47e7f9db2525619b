/* The file operations that the raft member's storage needs, as a vtable: production uses the
 * system's files, the simulator and the fault tests bring their own.
 *
 * What a disk promises (and a simulated one must model): a write is durable only after sync of that
 * file; a write that was not synced may survive a crash in any subset of its 512-byte sectors; a
 * sector itself is old or new, never a mixture; a created, renamed or removed name is durable only
 * after sync_dir of its directory (both directories of a rename).
 *
 * Ownership: a disk is borrowed by whoever uses it and outlives them; an opened file is the
 * caller's until close. Paths are NUL-terminated, separated by '/'.
 * Thread: the production disk from any; a file from one at a time, except read, which several may
 * call.
 * Errors: errno converted with the path. TT_ENOSPACE and TT_EIO on write and sync are fatal for the
 * member (rule 10): after a failed sync nobody knows what is on the disk. */
#ifndef RAFT_DISK_H
#define RAFT_DISK_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum {
    TT_DISK_SECTOR_SIZE = 512,
    TT_DISK_DIRECT_ALIGN = 512, /* of offset, size and address of a write around the page cache */
};

enum tt_disk_open {
    TT_DISK_READ,   /* must exist, read only */
    TT_DISK_WRITE,  /* must exist, read and write */
    TT_DISK_CREATE, /* read and write; an existing file is emptied */
};

/* An open file; each disk embeds it as the first member of its own struct. */
struct tt_disk_file {
    const struct tt_disk_file_ops *ops; /* of the disk that opened it */
};
struct tt_disk_file_ops {
    void (*close)(struct tt_disk_file *file); /* does not sync */
    /* At most `size` bytes; *ret_size is shorter only at the end of the file. */
    int (*read)(struct tt_disk_file *file, uint64_t offset, void *out, size_t size,
                size_t *ret_size, struct tt_err *err);
    /* All of it or an error; grows the file when it passes its end (a gap reads as zeros). */
    int (*write)(struct tt_disk_file *file, uint64_t offset, const void *bytes, size_t size,
                 struct tt_err *err);
    int (*sync)(struct tt_disk_file *file, struct tt_err *err); /* data and size */
    /* starts write-back of the range and waits; makes nothing durable */
    int (*drain)(struct tt_disk_file *file, uint64_t offset, uint64_t size, struct tt_err *err);
    /* bytes seen now, synced or not */
    int (*size)(struct tt_disk_file *file, uint64_t *ret_size, struct tt_err *err);
    void (*direct)(struct tt_disk_file *file); /* NULL: there is no page cache */
    /* NULL: giving blocks back takes no time */
    int (*shrink)(struct tt_disk_file *file, uint64_t size, struct tt_err *err);
};

struct tt_disk_ops {
    int (*open)(void *ctx, const char *path, enum tt_disk_open how, struct tt_disk_file **ret,
                struct tt_err *err); /* absent: TT_ENOTFOUND */
    int (*rename)(void *ctx, const char *from, const char *to, struct tt_err *err); /* replaces */
    /* A file or an empty directory. Absent: TT_ENOTFOUND. */
    int (*unlink)(void *ctx, const char *path, struct tt_err *err);
    int (*mkdir)(void *ctx, const char *path, struct tt_err *err); /* mode 0700; TT_EEXISTS */
    /* Calls each(arg, name) for every entry but "." and "..", in any order. */
    int (*list)(void *ctx, const char *path, void (*each)(void *arg, const char *name), void *arg,
                struct tt_err *err);
    /* makes the names in it durable */
    int (*sync_dir)(void *ctx, const char *path, struct tt_err *err);
    /* Bytes an unprivileged process may still allocate on the file system of `path`. */
    int (*free_space)(void *ctx, const char *path, uint64_t *ret_bytes, struct tt_err *err);
};

struct tt_disk {
    const struct tt_disk_ops *ops; /* shared by all disks of a kind */
    void *ctx;                     /* passed to ops */
};

/* The system's files: pread, pwrite, fdatasync, rename, fsync of directories. */
const struct tt_disk *tt_disk_system(void);

int tt_disk_open(const struct tt_disk *disk, const char *path, enum tt_disk_open how,
                 struct tt_disk_file **ret, struct tt_err *err) TT_MUST_USE;
void tt_disk_close(struct tt_disk_file *file); /* NULL is fine */
int tt_disk_read(struct tt_disk_file *file, uint64_t offset, void *out, size_t size,
                 size_t *ret_size, struct tt_err *err) TT_MUST_USE;
int tt_disk_write(struct tt_disk_file *file, uint64_t offset, const void *bytes, size_t size,
                  struct tt_err *err) TT_MUST_USE;
int tt_disk_sync(struct tt_disk_file *file, struct tt_err *err) TT_MUST_USE;
/* Waits until the range has left memory, without making it durable: no metadata, no flush of the
 * device. So a long file does not pile up a queue of pages that somebody else's sync waits for. */
int tt_disk_drain(struct tt_disk_file *file, uint64_t offset, uint64_t size,
                  struct tt_err *err) TT_MUST_USE;
int tt_disk_size(struct tt_disk_file *file, uint64_t *ret_size, struct tt_err *err) TT_MUST_USE;
/* A hint: from now on writes aligned to TT_DISK_DIRECT_ALIGN go around the page cache, if the file
 * system can. For what is written once and hardly ever read: it costs neither a copy nor memory.
 * What a write promises stays the same. */
void tt_disk_direct(struct tt_disk_file *file);
/* Gives back what a file that nobody reads any more has behind `size`, before it is unlinked: all
 * at once would keep the device, and whoever writes to it, waiting for long. */
int tt_disk_shrink(struct tt_disk_file *file, uint64_t size, struct tt_err *err) TT_MUST_USE;
int tt_disk_rename(const struct tt_disk *disk, const char *from, const char *to,
                   struct tt_err *err) TT_MUST_USE;
int tt_disk_unlink(const struct tt_disk *disk, const char *path, struct tt_err *err) TT_MUST_USE;
int tt_disk_mkdir(const struct tt_disk *disk, const char *path, struct tt_err *err) TT_MUST_USE;
int tt_disk_list(const struct tt_disk *disk, const char *path,
                 void (*each)(void *arg, const char *name), void *arg,
                 struct tt_err *err) TT_MUST_USE;
int tt_disk_sync_dir(const struct tt_disk *disk, const char *path, struct tt_err *err) TT_MUST_USE;
int tt_disk_free_space(const struct tt_disk *disk, const char *path, uint64_t *ret_bytes,
                       struct tt_err *err) TT_MUST_USE;

/* Writes zeros over [offset, offset + size) and does not sync. */
int tt_disk_fill_zero(struct tt_disk_file *file, uint64_t offset, uint64_t size,
                      struct tt_err *err) TT_MUST_USE;
/* A small file replaced as a whole: temporary name, sync, rename, sync_dir of `dir`. */
int tt_disk_replace(const struct tt_disk *disk, const char *dir, const char *name,
                    struct tt_str bytes, struct tt_err *err) TT_MUST_USE;
/* All of a file of at most size_max bytes (else TT_ETOOLARGE). ret_buf is initialised here; fini
 * it. */
int tt_disk_load(const struct tt_disk *disk, const char *path, size_t size_max,
                 struct tt_buf *ret_buf, struct tt_err *err) TT_MUST_USE;

#endif
