/* VOLUME/..data → ..N, VOLUME/NAME → ..data/NAME: changing the one link changes all files at once.
 * The directory ..N is named after a hash of its content, so an unchanged volume is left alone and
 * one that was half written by a killed agent is written again. */
#include "agent/project.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

enum { PATH_SIZE = 1024, LINK_SIZE = 64, DIR_MODE = 0755 };
#define DATA_LINK "..data"

bool project_path_valid(const char *path)
{
    struct tt_str rest = tt_str_c(path);
    struct tt_str part;
    if (rest.len == 0) {
        return false;
    }
    while (rest.ptr != NULL && tt_str_cut(&rest, '/', &part)) {
        if (part.len == 0 || tt_str_eq_c(part, ".") || tt_str_starts(part, TT_STR(".."))) {
            return false;
        }
    }
    return true;
}

static uint64_t hash_add(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *p = bytes; /* FNV-1a: a name for content, nothing that an attacker gains from */
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static void content_name(const struct project_file *files, size_t count, char out[LINK_SIZE])
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++) {
        uint64_t size = files[i].bytes.len;
        hash = hash_add(hash, files[i].path, strlen(files[i].path) + 1);
        hash = hash_add(hash, &size, sizeof size);
        hash = hash_add(hash, files[i].bytes.ptr, files[i].bytes.len);
        hash = hash_add(hash, &files[i].mode, sizeof files[i].mode);
    }
    (void)snprintf(out, LINK_SIZE, "..%016llx", (unsigned long long)hash);
}

static int path_of(char out[PATH_SIZE], struct tt_err *err, const char *directory, const char *name)
{
    int size = snprintf(out, PATH_SIZE, "%s/%s", directory, name);
    return size < PATH_SIZE ? TT_OK : TT_FAIL(err, TT_EINVAL, "the path %s is too long", name);
}

static int write_file(const char *path, const struct project_file *file, struct tt_err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, file->mode);
    if (fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "%s", path);
    }
    size_t done = 0;
    int failed = fchmod(fd, file->mode) == 0 ? 0 : errno;
    while (failed == 0 && done < file->bytes.len) {
        ssize_t n = write(fd, file->bytes.ptr + done, file->bytes.len - done);
        if (n < 0) {
            failed = errno;
        } else {
            done += (size_t)n;
        }
    }
    (void)close(fd); /* no fsync: see the header of volumes.h */
    return failed == 0 ? TT_OK : TT_FAIL_ERRNO(err, failed, "%s", path);
}

static int make_parents(const char *base, const char *path, struct tt_err *err)
{
    const char *slash = strrchr(path, '/');
    char full[PATH_SIZE];
    if (slash == NULL) {
        return TT_OK;
    }
    int size = snprintf(full, sizeof full, "%s/%.*s", base, (int)(slash - path), path);
    if (size >= (int)sizeof full) {
        return TT_FAIL(err, TT_EINVAL, "the path %s is too long", path);
    }
    return tt_dir_make(full, DIR_MODE, err);
}

static int write_all(const char *directory, const struct project_file *files, size_t count,
                     struct tt_err *err)
{
    int r = tt_dir_make(directory, DIR_MODE, err);
    for (size_t i = 0; r == TT_OK && i < count; i++) {
        char path[PATH_SIZE];
        r = path_of(path, err, directory, files[i].path);
        if (r == TT_OK) {
            r = make_parents(directory, files[i].path, err);
        }
        if (r == TT_OK) {
            r = write_file(path, &files[i], err);
        }
    }
    return r;
}

/* Replaces a link in one step. */
static int link_to(const char *directory, const char *name, const char *target, struct tt_err *err)
{
    char path[PATH_SIZE];
    char fresh[PATH_SIZE];
    char now[LINK_SIZE * 4];
    int r = path_of(path, err, directory, name);
    if (r == TT_OK) {
        r = path_of(fresh, err, directory, "..new");
    }
    if (r != TT_OK) {
        return r;
    }
    ssize_t size = readlink(path, now, sizeof now);
    if (size > 0 && tt_str_eq_c(tt_str(now, (size_t)size), target)) {
        return TT_OK;
    }
    (void)unlink(fresh); /* of an agent that was killed */
    if (symlink(target, fresh) != 0 || rename(fresh, path) != 0) {
        return TT_FAIL_ERRNO(err, errno, "%s", path);
    }
    return TT_OK;
}

bool project_is_there(const char *directory)
{
    char link[PATH_SIZE];
    char target[LINK_SIZE];
    return path_of(link, NULL, directory, DATA_LINK) == TT_OK &&
           readlink(link, target, sizeof target) > 0;
}

/* The first part of each path is a link at the top. */
static int link_top(const char *directory, const struct project_file *files, size_t count,
                    struct tt_err *err)
{
    int r = TT_OK;
    for (size_t i = 0; r == TT_OK && i < count; i++) {
        size_t size = strcspn(files[i].path, "/");
        char name[256];
        char target[256 + sizeof DATA_LINK];
        if (size >= sizeof name) {
            return TT_FAIL(err, TT_EINVAL, "the name %s is too long", files[i].path);
        }
        (void)snprintf(name, sizeof name, "%.*s", (int)size, files[i].path);
        (void)snprintf(target, sizeof target, DATA_LINK "/%s", name);
        r = link_to(directory, name, target, err);
    }
    return r;
}

static bool is_wanted(const char *entry, const char *data, const struct project_file *files,
                      size_t count)
{
    if (strcmp(entry, ".") == 0 || strcmp(entry, "..") == 0 || strcmp(entry, DATA_LINK) == 0 ||
        strcmp(entry, data) == 0) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        size_t size = strcspn(files[i].path, "/");
        if (strlen(entry) == size && memcmp(entry, files[i].path, size) == 0) {
            return true;
        }
    }
    return false;
}

/* What an earlier content left. Failures leave it for the next change. */
static void drop_rest(const char *directory, const char *data, const struct project_file *files,
                      size_t count)
{
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[PATH_SIZE];
        if (!is_wanted(entry->d_name, data, files, count) &&
            path_of(path, NULL, directory, entry->d_name) == TT_OK) {
            TT_IGNORE(entry->d_type == DT_DIR ? tt_dir_remove_tree(path, NULL) : unlink(path));
        }
    }
    (void)closedir(dir);
}

int project_commit(const char *directory, const struct project_file *files, size_t count,
                   struct tt_err *err)
{
    char name[LINK_SIZE];
    char data[PATH_SIZE];
    char link[PATH_SIZE];
    char now[LINK_SIZE];
    for (size_t i = 0; i < count; i++) {
        if (!project_path_valid(files[i].path)) {
            return TT_FAIL(err, TT_EINVAL, "the path \"%s\" leaves its volume", files[i].path);
        }
    }
    content_name(files, count, name);
    int r = tt_dir_make(directory, DIR_MODE, err);
    if (r == TT_OK) {
        r = path_of(data, err, directory, name);
    }
    if (r == TT_OK) {
        r = path_of(link, err, directory, DATA_LINK);
    }
    if (r != TT_OK) {
        return r;
    }
    ssize_t size = readlink(link, now, sizeof now);
    if (size > 0 && tt_str_eq_c(tt_str(now, (size_t)size), name)) {
        return link_top(directory, files, count, err);
    }
    r = write_all(data, files, count, err);
    if (r == TT_OK) {
        r = link_to(directory, DATA_LINK, name, err);
    }
    if (r == TT_OK) {
        r = link_top(directory, files, count, err);
    }
    if (r == TT_OK) {
        drop_rest(directory, name, files, count);
    }
    return r;
}
