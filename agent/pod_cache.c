/* uid becomes a file name only when it looks like one. */
#include "agent/pod_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

enum { PATH_SIZE = 600, POD_SIZE_MAX = 2 << 20 };
#define SUFFIX ".json"

static bool path_of(const char *root, struct tt_str uid, const char *suffix, char out[PATH_SIZE])
{
    for (size_t i = 0; i < uid.len; i++) {
        char c = uid.ptr[i];
        bool fits = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-';
        if (!fits) {
            return false;
        }
    }
    int size = snprintf(out, PATH_SIZE, "%s/specs/%.*s%s", root, TT_STR_ARG(uid), suffix);
    return uid.len > 0 && size < PATH_SIZE;
}

static int write_file(const char *path, struct tt_str bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    ssize_t size = write(fd, bytes.ptr, bytes.len);
    int failed = size == (ssize_t)bytes.len ? 0 : size < 0 ? errno : ENOSPC;
    (void)close(fd); /* what was written is checked when it is read */
    return failed;
}

void pod_cache_put(const char *root, struct tt_str uid, struct tt_str json)
{
    char path[PATH_SIZE];
    char fresh[PATH_SIZE];
    char directory[PATH_SIZE];
    if (!path_of(root, uid, SUFFIX, path) || !path_of(root, uid, ".new", fresh)) {
        return;
    }
    (void)snprintf(directory, sizeof directory, "%s/specs", root);
    int failed = tt_dir_make(directory, 0700, NULL) == TT_OK ? write_file(fresh, json) : EIO;
    if (failed == 0 && rename(fresh, path) != 0) {
        failed = errno;
    }
    if (failed != 0) {
        TT_LOG(TT_LOG_WARN, "agent", "a pod cannot be kept for a start without servers",
               TT_F_STR("name", uid), TT_F_C("err", strerror(failed)));
    }
}

void pod_cache_drop(const char *root, struct tt_str uid)
{
    char path[PATH_SIZE];
    if (path_of(root, uid, SUFFIX, path)) {
        (void)unlink(path); /* absent is fine; a stale one is corrected by the first list */
    }
}

void pod_cache_load(const char *root,
                    void (*found)(void *ctx, struct tt_str uid, struct tt_str json), void *ctx)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s/specs", root);
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        struct tt_str uid = tt_str_c(entry->d_name);
        struct tt_buf json;
        if (!tt_str_ends(uid, TT_STR(SUFFIX))) {
            continue;
        }
        uid = tt_str_head(uid, uid.len - (sizeof SUFFIX - 1));
        if (path_of(root, uid, SUFFIX, path) &&
            tt_file_read(path, POD_SIZE_MAX, &json, NULL) == TT_OK) {
            found(ctx, uid, tt_buf_view(&json));
            tt_buf_fini(&json);
        }
    }
    (void)closedir(dir);
}
