/* The data directory.
 *
 * Happy path of a new member: build member.tmp with its log, snapshots and identity, sync each,
 * then rename it to member and sync the parent: the rename is the moment the member exists. Failure
 * modes: a crash before it leaves member.tmp, which the next open removes; a crash after it leaves
 * a complete member. A lock that another process holds refuses to open. */
#include "raft/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/intmath.h"
#include "base/rng.h"

enum {
    DATADIR_IDENTITY_SIZE = 8 + 8 + TT_DATADIR_UUID_SIZE + TT_DATADIR_NAME_SIZE + 8 + 4,
    DATADIR_IDENTITY_SIZE_1 = DATADIR_IDENTITY_SIZE - 8, /* before there were incarnations */
    DATADIR_REASON_SIZE_MAX = 4096,
    DATADIR_DEPTH_MAX = 4, /* of directories that are removed */
    DATADIR_QUARANTINE_MAX = 1000,
};
#define DATADIR_MAGIC_1 UINT64_C(0x312d6d656d747574) /* "tutmem-1" */
#define DATADIR_MAGIC   UINT64_C(0x322d6d656d747574) /* "tutmem-2" */

struct tt_datadir {
    const struct tt_disk *disk; /* kept */
    char *dir;                  /* owned, as all paths below */
    char *member;               /* DIR/member */
    char *temporary;            /* DIR/member.tmp */
    char *log;                  /* DIR/member/log */
    char *snapshots;            /* DIR/member/snapshots */
    int lock_fd;                /* -1 = none */
};

/* ---- helpers ---- */

struct names {
    char **list;  /* owned */
    size_t count; /* of list */
};

static void names_add(void *arg, const char *name)
{
    struct names *names = arg;
    names->list = tt_xrealloc(names->list, (names->count + 1) * sizeof *names->list);
    names->list[names->count++] = tt_xstrdup(name);
}

static void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        tt_free(names->list[i]);
    }
    tt_free(names->list);
}

static bool names_have(const struct names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->list[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* A file or a directory of known, shallow depth. */
static int remove_tree(const struct tt_disk *disk, const char *path, int depth, struct tt_err *err)
{
    struct names names = {0};
    int r = TT_OK;
    if (depth > 0 && tt_disk_list(disk, path, names_add, &names, NULL) == 0) {
        for (size_t i = 0; r == 0 && i < names.count; i++) {
            TT_AUTO_FREE char *below = tt_xasprintf("%s/%s", path, names.list[i]);
            r = remove_tree(disk, below, depth - 1, err);
        }
    }
    names_fini(&names);
    return r != 0 ? r : tt_disk_unlink(disk, path, err);
}

static int take_lock(struct tt_datadir *datadir, struct tt_err *err)
{
    TT_AUTO_FREE char *path = tt_xasprintf("%s/lock", datadir->dir);
    datadir->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (datadir->lock_fd < 0) {
        return TT_FAIL_ERRNO(err, errno, "open %s", path);
    }
    if (flock(datadir->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return TT_FAIL(err, TT_EBUSY, "another process uses %s", datadir->dir);
        }
        return TT_FAIL_ERRNO(err, errno, "lock %s", path);
    }
    return TT_OK;
}

/* ---- open ---- */

static int ensure_dir(const struct tt_disk *disk, const char *path, struct tt_err *err)
{
    struct tt_err ignored;
    tt_err_init(&ignored);
    int r = tt_disk_mkdir(disk, path, &ignored);
    if (r != 0 && r != TT_EEXISTS) {
        return TT_FAIL(err, r, "%s", tt_err_cause(&ignored));
    }
    /* Also when it is there: the process that made it may have died before it synced. */
    const char *slash = strrchr(path, '/');
    TT_AUTO_FREE char *parent = slash ? tt_xstrndup(path, (size_t)(slash - path)) : tt_xstrdup(".");
    return tt_disk_sync_dir(disk, *parent ? parent : "/", err);
}

static int clean(struct tt_datadir *datadir, struct tt_err *err)
{
    struct names names = {0};
    int r = tt_disk_list(datadir->disk, datadir->dir, names_add, &names, err);
    if (r == 0 && names_have(&names, "member.tmp")) {
        r = remove_tree(datadir->disk, datadir->temporary, DATADIR_DEPTH_MAX, err);
        if (r == 0) {
            r = tt_disk_sync_dir(datadir->disk, datadir->dir, err);
        }
    }
    names_fini(&names);
    return r;
}

int tt_datadir_open(const struct tt_disk *disk, const char *dir, bool lock, struct tt_datadir **ret,
                    struct tt_err *err)
{
    TT_AUTO(tt_datadir) datadir = TT_NEW(struct tt_datadir);
    datadir->disk = disk;
    datadir->lock_fd = -1;
    datadir->dir = tt_xstrdup(dir);
    datadir->member = tt_xasprintf("%s/member", dir);
    datadir->temporary = tt_xasprintf("%s/member.tmp", dir);
    datadir->log = tt_xasprintf("%s/member/log", dir);
    datadir->snapshots = tt_xasprintf("%s/member/snapshots", dir);
    int r = ensure_dir(disk, dir, err);
    if (r == 0 && lock) {
        r = take_lock(datadir, err);
    }
    if (r == 0) {
        r = clean(datadir, err);
    }
    if (r != 0) {
        return TT_WRAP(err, r, "open data directory %s", dir);
    }
    *ret = TT_TAKE(datadir);
    return TT_OK;
}

void tt_datadir_free(struct tt_datadir *datadir)
{
    if (!datadir) {
        return;
    }
    if (datadir->lock_fd >= 0) {
        (void)close(datadir->lock_fd); /* gives the lock back */
    }
    tt_free(datadir->dir);
    tt_free(datadir->member);
    tt_free(datadir->temporary);
    tt_free(datadir->log);
    tt_free(datadir->snapshots);
    tt_free(datadir);
}

static bool has_name(const struct tt_datadir *datadir, const char *name)
{
    struct names names = {0};
    int r = tt_disk_list(datadir->disk, datadir->dir, names_add, &names, NULL);
    bool found = r == 0 && names_have(&names, name);
    names_fini(&names);
    return found;
}

bool tt_datadir_has_member(const struct tt_datadir *datadir)
{
    return has_name(datadir, "member");
}

/* ---- identity ---- */

static void identity_encode(const struct tt_datadir_identity *identity,
                            uint8_t out[DATADIR_IDENTITY_SIZE])
{
    memset(out, 0, DATADIR_IDENTITY_SIZE);
    tt_le64_put(out, DATADIR_MAGIC);
    tt_le64_put(out + 8, identity->member_id);
    memcpy(out + 16, identity->cluster_id, strlen(identity->cluster_id));
    memcpy(out + 16 + TT_DATADIR_UUID_SIZE, identity->name, strlen(identity->name));
    tt_le64_put(out + DATADIR_IDENTITY_SIZE - 12, identity->incarnation);
    tt_le32_put(out + DATADIR_IDENTITY_SIZE - 4, tt_crc32c(0, out, DATADIR_IDENTITY_SIZE - 4));
}

static bool identity_decode(struct tt_str bytes, struct tt_datadir_identity *ret)
{
    const uint8_t *in = (const uint8_t *)bytes.ptr;
    bool has_incarnation = bytes.len == DATADIR_IDENTITY_SIZE;
    if ((!has_incarnation && bytes.len != DATADIR_IDENTITY_SIZE_1) ||
        tt_le64_get(in) != (has_incarnation ? DATADIR_MAGIC : DATADIR_MAGIC_1) ||
        tt_le32_get(in + bytes.len - 4) != tt_crc32c(0, in, bytes.len - 4)) {
        return false;
    }
    ret->incarnation = has_incarnation ? tt_le64_get(in + DATADIR_IDENTITY_SIZE - 12) : 0;
    ret->member_id = tt_le64_get(in + 8);
    memcpy(ret->cluster_id, in + 16, TT_DATADIR_UUID_SIZE);
    memcpy(ret->name, in + 16 + TT_DATADIR_UUID_SIZE, TT_DATADIR_NAME_SIZE);
    return ret->member_id != 0 && memchr(ret->cluster_id, 0, TT_DATADIR_UUID_SIZE) &&
           memchr(ret->name, 0, TT_DATADIR_NAME_SIZE);
}

int tt_datadir_identity(const struct tt_datadir *datadir, struct tt_datadir_identity *ret,
                        struct tt_err *err)
{
    TT_AUTO_FREE char *path = tt_xasprintf("%s/identity", datadir->member);
    struct tt_buf buf;
    struct tt_datadir_identity identity;
    int r = tt_disk_load(datadir->disk, path, DATADIR_IDENTITY_SIZE, &buf, err);
    if (r == TT_ETOOLARGE || (r == 0 && !identity_decode(tt_buf_view(&buf), &identity))) {
        r = TT_FAIL(err, TT_ECORRUPT, "%s is damaged", path);
    } else if (r == TT_ENOTFOUND && tt_datadir_has_member(datadir)) {
        r = TT_FAIL(err, TT_ECORRUPT, "%s is missing", path);
    }
    tt_buf_fini(&buf);
    if (r == 0) {
        *ret = identity;
    }
    return r;
}

int tt_datadir_set_identity(struct tt_datadir *datadir, const struct tt_datadir_identity *identity,
                            struct tt_err *err)
{
    uint8_t bytes[DATADIR_IDENTITY_SIZE];
    TT_ASSERT(identity->member_id != 0 && memchr(identity->name, 0, TT_DATADIR_NAME_SIZE));
    TT_ASSERT(memchr(identity->cluster_id, 0, TT_DATADIR_UUID_SIZE));
    if (!tt_datadir_has_member(datadir)) {
        return TT_FAIL(err, TT_ENOTFOUND, "%s holds no member", datadir->dir);
    }
    identity_encode(identity, bytes);
    return tt_disk_replace(datadir->disk, datadir->member, "identity",
                           tt_str((const char *)bytes, sizeof bytes), err);
}

/* ---- bootstrap and quarantine ---- */

/* A member that lost its memory must never come back under its old id: it would vote again in terms
 * it has voted in, and without entries it has acknowledged. An unreadable identity may be any. */
static int check_not_quarantined(const struct tt_datadir *datadir,
                                 const struct tt_datadir_identity *identity, struct tt_err *err)
{
    for (unsigned n = 1; n <= DATADIR_QUARANTINE_MAX; n++) {
        TT_AUTO_FREE char *name = tt_xasprintf("quarantine-%u", n);
        TT_AUTO_FREE char *path = tt_xasprintf("%s/%s/identity", datadir->dir, name);
        struct tt_datadir_identity old;
        struct tt_buf buf;
        if (!has_name(datadir, name)) {
            return TT_OK;
        }
        int r = tt_disk_load(datadir->disk, path, DATADIR_IDENTITY_SIZE, &buf, NULL);
        bool known = r == 0 && identity_decode(tt_buf_view(&buf), &old);
        tt_buf_fini(&buf);
        if (!known || (old.member_id == identity->member_id &&
                       strcmp(old.cluster_id, identity->cluster_id) == 0)) {
            return TT_FAIL(err, TT_ECONFLICT,
                           "member %llu was damaged and is kept in %s/%s: it must not start again "
                           "empty; remove it from the cluster, add this server anew and start it "
                           "with --join (docs/ops/recovery.md)",
                           (unsigned long long)identity->member_id, datadir->dir, name);
        }
    }
    return TT_OK;
}

static int build_member(struct tt_datadir *datadir, const struct tt_datadir_bootstrap *bootstrap,
                        struct tt_err *err)
{
    TT_AUTO_FREE char *log = tt_xasprintf("%s/log", datadir->temporary);
    TT_AUTO_FREE char *snapshots = tt_xasprintf("%s/snapshots", datadir->temporary);
    uint8_t identity[DATADIR_IDENTITY_SIZE];
    struct tt_datadir_identity own = bootstrap->identity;
    while (own.incarnation == 0) {
        own.incarnation = tt_random_u64();
    }
    identity_encode(&own, identity);
    const struct tt_wal_config config = {.disk = datadir->disk,
                                         .dir = log,
                                         .segment_size = bootstrap->segment_size,
                                         .log_id = bootstrap->log_id};
    int r = tt_disk_mkdir(datadir->disk, datadir->temporary, err);
    if (r == 0) {
        r = tt_disk_mkdir(datadir->disk, log, err);
    }
    if (r == 0) {
        r = tt_disk_mkdir(datadir->disk, snapshots, err);
    }
    if (r == 0) {
        r = tt_wal_bootstrap(&config, bootstrap->entries, bootstrap->count, err);
    }
    if (r == 0) {
        r = tt_disk_replace(datadir->disk, datadir->temporary, "identity",
                            tt_str((const char *)identity, sizeof identity), err);
    }
    if (r == 0) {
        r = tt_disk_sync_dir(datadir->disk, snapshots, err);
    }
    return r != 0 ? r : tt_disk_sync_dir(datadir->disk, datadir->temporary, err);
}

int tt_datadir_bootstrap(struct tt_datadir *datadir, const struct tt_datadir_bootstrap *bootstrap,
                         struct tt_err *err)
{
    const struct tt_datadir_identity *identity = &bootstrap->identity;
    if (identity->member_id == 0 || !memchr(identity->cluster_id, 0, TT_DATADIR_UUID_SIZE) ||
        !memchr(identity->name, 0, TT_DATADIR_NAME_SIZE)) {
        return TT_FAIL(err, TT_EINVAL, "a member needs an id and terminated names");
    }
    if (tt_datadir_has_member(datadir)) {
        return TT_FAIL(err, TT_EEXISTS, "%s holds a member already", datadir->dir);
    }
    int r = check_not_quarantined(datadir, identity, err);
    if (r == 0) {
        r = clean(datadir, err);
    }
    if (r == 0) {
        r = build_member(datadir, bootstrap, err);
    }
    if (r == 0) {
        r = tt_disk_rename(datadir->disk, datadir->temporary, datadir->member, err);
    }
    if (r == 0) {
        r = tt_disk_sync_dir(datadir->disk, datadir->dir, err);
    }
    return r != 0 ? TT_WRAP(err, r, "make a member in %s", datadir->dir) : TT_OK;
}

const char *tt_datadir_member_dir(const struct tt_datadir *datadir)
{
    return datadir->member;
}

const char *tt_datadir_log_dir(const struct tt_datadir *datadir)
{
    return datadir->log;
}

const char *tt_datadir_snapshot_dir(const struct tt_datadir *datadir)
{
    return datadir->snapshots;
}

static int quarantine_path(const struct tt_datadir *datadir, char **ret_path, struct tt_err *err)
{
    for (unsigned n = 1; n <= DATADIR_QUARANTINE_MAX; n++) {
        TT_AUTO_FREE char *name = tt_xasprintf("quarantine-%u", n);
        if (!has_name(datadir, name)) {
            *ret_path = tt_xasprintf("%s/%s", datadir->dir, name);
            return TT_OK;
        }
    }
    return TT_FAIL(err, TT_EEXISTS, "%s holds too many quarantined members", datadir->dir);
}

int tt_datadir_quarantine(struct tt_datadir *datadir, const char *reason, char **ret_path,
                          struct tt_err *err)
{
    TT_AUTO_FREE char *path = NULL;
    int r = quarantine_path(datadir, &path, err);
    if (r == 0) {
        r = tt_disk_rename(datadir->disk, datadir->member, path, err);
    }
    if (r == 0) {
        r = tt_disk_sync_dir(datadir->disk, datadir->dir, err);
    }
    if (r == 0) {
        /* After the rename: what counts is that the member is out of the way. */
        r = tt_disk_replace(datadir->disk, path, "reason",
                            tt_str_head(tt_str_c(reason), DATADIR_REASON_SIZE_MAX), err);
    }
    if (r != 0) {
        return TT_WRAP(err, r, "quarantine %s", datadir->member);
    }
    if (ret_path) {
        *ret_path = TT_TAKE(path);
    }
    return TT_OK;
}

int tt_datadir_free_space(const struct tt_datadir *datadir, uint64_t *ret_bytes, struct tt_err *err)
{
    return tt_disk_free_space(datadir->disk, datadir->dir, ret_bytes, err);
}
