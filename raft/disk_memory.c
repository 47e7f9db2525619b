/* The memory disk: files as two copies of their bytes, names as two tables and a queue between.
 *
 * Happy path: operations change the seen state; sync copies a file's seen bytes to its durable
 * ones; sync_dir replays queued name changes onto the durable table. Failure modes: the ordered
 * failure, after which the disk is dead; crash then decides what survived and makes the two states
 * one. */
#include "raft/disk_memory.h"

#include "base/intmath.h"

/* A file's bytes; reachable from names, queued changes and open handles. */
struct inode {
    uint32_t refs;       /* of names, changes and handles; freed at 0 */
    bool directory;      /* it has no bytes; what is in it shows by the paths */
    uint8_t *seen;       /* owned */
    size_t seen_size;    /* bytes; what a read gets */
    uint8_t *durable;    /* owned */
    size_t durable_size; /* bytes; what a crash leaves */
    size_t dirty_from;   /* seen and durable bytes differ at most from here … */
    size_t dirty_to;     /* … to here, and in their sizes */
};

struct name {
    char *path;          /* owned */
    struct inode *inode; /* a reference */
};

struct table {
    struct name *names; /* owned */
    size_t count;       /* of names, in no order */
};

enum change_kind { CHANGE_LINK, CHANGE_UNLINK, CHANGE_RENAME };

struct change {
    enum change_kind kind; /* says which members are set */
    char *path;            /* owned */
    char *to;              /* RENAME; owned */
    struct inode *inode;   /* LINK: a reference */
};

struct tt_disk_memory {
    struct tt_disk disk;    /* what callers hold; its ctx is us */
    struct table seen;      /* what an open finds */
    struct table durable;   /* what a crash leaves */
    struct change *changes; /* of names, not durable yet, in order; owned */
    size_t change_count;    /* of changes */
    uint64_t op_count;      /* operations so far that can be made to fail */
    uint64_t fail_at;       /* op_count at which to fail; 0 = never */
    int fail_code;          /* of the ordered failure; 0 = TT_EIO */
    bool dead;              /* failed as ordered: nothing works until the crash */
    uint64_t free_space;    /* bytes, as told to it */
};

struct memory_file {
    struct tt_disk_file file;      /* first */
    struct tt_disk_memory *memory; /* kept */
    struct inode *inode;           /* a reference */
};

/* ---- inodes and tables ---- */

static struct inode *inode_new(bool directory)
{
    struct inode *inode = TT_NEW(struct inode);
    inode->refs = 1;
    inode->directory = directory;
    return inode;
}

static struct inode *inode_ref(struct inode *inode)
{
    inode->refs++;
    return inode;
}

static void inode_unref(struct inode *inode)
{
    if (inode && --inode->refs == 0) {
        tt_free(inode->seen);
        tt_free(inode->durable);
        tt_free(inode);
    }
}

static void bytes_resize(uint8_t **bytes, size_t *size, size_t new_size)
{
    if (new_size > *size) {
        *bytes = tt_xrealloc(*bytes, new_size);
        memset(*bytes + *size, 0, new_size - *size);
    }
    *size = new_size;
}

static void inode_touch(struct inode *inode, size_t from, size_t to)
{
    bool clean = inode->dirty_from == inode->dirty_to;
    inode->dirty_from = clean ? from : tt_size_min(inode->dirty_from, from);
    inode->dirty_to = clean ? to : tt_size_max(inode->dirty_to, to);
}

static void inode_settle(struct inode *inode)
{
    bytes_resize(&inode->durable, &inode->durable_size, inode->seen_size);
    size_t to = tt_size_min(inode->dirty_to, inode->seen_size);
    if (inode->dirty_from < to) {
        memcpy(inode->durable + inode->dirty_from, inode->seen + inode->dirty_from,
               to - inode->dirty_from);
    }
    inode->dirty_from = inode->dirty_to = 0;
}

static struct name *table_find(const struct table *table, const char *path)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->names[i].path, path) == 0) {
            return &table->names[i];
        }
    }
    return NULL;
}

static void table_remove(struct table *table, const char *path)
{
    struct name *name = table_find(table, path);
    if (name) {
        tt_free(name->path);
        inode_unref(name->inode);
        size_t i = (size_t)(name - table->names);
        memmove(name, name + 1, (table->count - i - 1) * sizeof *name);
        table->count--;
    }
}

static void table_add(struct table *table, const char *path, struct inode *inode)
{
    table_remove(table, path);
    table->names = tt_xrealloc(table->names, (table->count + 1) * sizeof *table->names);
    table->names[table->count++] = (struct name){tt_xstrdup(path), inode_ref(inode)};
}

static bool path_below(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    return strncmp(path, dir, size) == 0 && path[size] == '/';
}

/* Also renames what lies below a directory. */
static void table_rename(struct table *table, const char *from, const char *to)
{
    if (!table_find(table, from)) {
        return;
    }
    table_remove(table, to);
    for (size_t i = 0; i < table->count; i++) {
        struct name *name = &table->names[i];
        if (strcmp(name->path, from) == 0 || path_below(name->path, from)) {
            char *path = tt_xasprintf("%s%s", to, name->path + strlen(from));
            tt_free(name->path);
            name->path = path;
        }
    }
}

static void table_fini(struct table *table)
{
    while (table->count > 0) {
        table_remove(table, table->names[table->count - 1].path);
    }
    tt_free(table->names);
    table->names = NULL;
}

static void change_apply(struct table *table, const struct change *change)
{
    switch (change->kind) {
    case CHANGE_LINK:
        table_add(table, change->path, change->inode);
        break;
    case CHANGE_UNLINK:
        table_remove(table, change->path);
        break;
    case CHANGE_RENAME:
        table_rename(table, change->path, change->to);
        break;
    }
}

/* The oldest `count` changes become durable (apply) or all of them are forgotten. */
static void changes_drop(struct tt_disk_memory *memory, size_t count, bool apply)
{
    for (size_t i = 0; i < count; i++) {
        struct change *change = &memory->changes[i];
        if (apply) {
            change_apply(&memory->durable, change);
        }
        tt_free(change->path);
        tt_free(change->to);
        inode_unref(change->inode);
    }
    if (count > 0) {
        memmove(memory->changes, memory->changes + count,
                (memory->change_count - count) * sizeof *memory->changes);
        memory->change_count -= count;
    }
}

static void change_add(struct tt_disk_memory *memory, enum change_kind kind, const char *path,
                       const char *to, struct inode *inode)
{
    memory->changes =
        tt_xrealloc(memory->changes, (memory->change_count + 1) * sizeof *memory->changes);
    struct change *change = &memory->changes[memory->change_count++];
    *change = (struct change){.kind = kind,
                              .path = tt_xstrdup(path),
                              .to = to ? tt_xstrdup(to) : NULL,
                              .inode = inode ? inode_ref(inode) : NULL};
    change_apply(&memory->seen, change);
}

/* ---- operations ---- */

/* True when this operation is the one that fails, or comes after it. *ret_now: it is the one. */
static bool op_fails(struct tt_disk_memory *memory, bool *ret_now)
{
    *ret_now = false;
    if (memory->dead) {
        return true;
    }
    memory->op_count++;
    if (memory->fail_at != 0 && memory->op_count >= memory->fail_at) {
        memory->dead = true;
        *ret_now = true;
        return true;
    }
    return false;
}

static int op_failed(const struct tt_disk_memory *memory, struct tt_err *err)
{
    return TT_FAIL(err, memory->fail_code ? memory->fail_code : TT_EIO, "the disk failed");
}

static void memory_close(struct tt_disk_file *file)
{
    struct memory_file *self = TT_CONTAINER_OF(file, struct memory_file, file);
    inode_unref(self->inode);
    tt_free(self);
}

static int memory_read(struct tt_disk_file *file, uint64_t offset, void *out, size_t size,
                       size_t *ret_size, struct tt_err *err)
{
    struct memory_file *self = TT_CONTAINER_OF(file, struct memory_file, file);
    if (self->memory->dead) {
        return op_failed(self->memory, err);
    }
    size_t have = self->inode->seen_size;
    size_t part = offset >= have ? 0 : tt_size_min(size, have - (size_t)offset);
    if (part > 0) {
        memcpy(out, self->inode->seen + offset, part);
    }
    *ret_size = part;
    return TT_OK;
}

static int memory_write(struct tt_disk_file *file, uint64_t offset, const void *bytes, size_t size,
                        struct tt_err *err)
{
    struct memory_file *self = TT_CONTAINER_OF(file, struct memory_file, file);
    bool now = false;
    bool fails = op_fails(self->memory, &now);
    if (!fails || now) {
        struct inode *inode = self->inode;
        size_t end = (size_t)offset + size;
        if (end > inode->seen_size) {
            bytes_resize(&inode->seen, &inode->seen_size, end);
        }
        if (size > 0) {
            memcpy(inode->seen + offset, bytes, size);
            inode_touch(inode, (size_t)offset, end);
        }
    }
    return fails ? op_failed(self->memory, err) : TT_OK;
}

static int memory_sync(struct tt_disk_file *file, struct tt_err *err)
{
    struct memory_file *self = TT_CONTAINER_OF(file, struct memory_file, file);
    bool now = false;
    if (op_fails(self->memory, &now)) {
        return op_failed(self->memory, err);
    }
    inode_settle(self->inode);
    return TT_OK;
}

/* Nothing becomes durable by it, but the device may fail. */
static int memory_drain(struct tt_disk_file *file, uint64_t offset, uint64_t size,
                        struct tt_err *err)
{
    struct memory_file *self = TT_CONTAINER_OF(file, struct memory_file, file);
    bool now = false;
    (void)offset, (void)size;
    return op_fails(self->memory, &now) ? op_failed(self->memory, err) : TT_OK;
}

static int memory_size(struct tt_disk_file *file, uint64_t *ret_size, struct tt_err *err)
{
    struct memory_file *self = TT_CONTAINER_OF(file, struct memory_file, file);
    if (self->memory->dead) {
        return op_failed(self->memory, err);
    }
    *ret_size = self->inode->seen_size;
    return TT_OK;
}

static bool parent_exists(const struct tt_disk_memory *memory, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) {
        return true;
    }
    TT_AUTO_FREE char *parent = tt_xstrndup(path, (size_t)(slash - path));
    struct name *name = table_find(&memory->seen, parent);
    return name && name->inode->directory;
}

static int memory_open(void *ctx, const char *path, enum tt_disk_open how,
                       struct tt_disk_file **ret, struct tt_err *err)
{
    static const struct tt_disk_file_ops ops = {
        .close = memory_close,
        .read = memory_read,
        .write = memory_write,
        .sync = memory_sync,
        .drain = memory_drain,
        .size = memory_size,
    };
    struct tt_disk_memory *memory = ctx;
    bool now = false;
    if (how == TT_DISK_CREATE ? op_fails(memory, &now) : memory->dead) {
        return op_failed(memory, err);
    }
    struct name *name = table_find(&memory->seen, path);
    if ((!name && how != TT_DISK_CREATE) || !parent_exists(memory, path)) {
        return TT_FAIL(err, TT_ENOTFOUND, "open %s: no such file", path);
    }
    if (!name) {
        struct inode *inode = inode_new(false);
        change_add(memory, CHANGE_LINK, path, NULL, inode);
        inode_unref(inode);
        name = table_find(&memory->seen, path);
    } else if (how == TT_DISK_CREATE) {
        name->inode->seen_size = 0;
        inode_touch(name->inode, 0, SIZE_MAX);
    }
    TT_ASSERT(name != NULL);
    struct memory_file *self = TT_NEW(struct memory_file);
    self->file.ops = &ops;
    self->memory = memory;
    self->inode = inode_ref(name->inode);
    *ret = &self->file;
    return TT_OK;
}

static int memory_rename(void *ctx, const char *from, const char *to, struct tt_err *err)
{
    struct tt_disk_memory *memory = ctx;
    bool now = false;
    bool fails = op_fails(memory, &now);
    if (!fails && !table_find(&memory->seen, from)) {
        return TT_FAIL(err, TT_ENOTFOUND, "rename %s: no such file", from);
    }
    if ((!fails || now) && table_find(&memory->seen, from)) {
        change_add(memory, CHANGE_RENAME, from, to, NULL);
    }
    return fails ? op_failed(memory, err) : TT_OK;
}

static int memory_unlink(void *ctx, const char *path, struct tt_err *err)
{
    struct tt_disk_memory *memory = ctx;
    bool now = false;
    bool fails = op_fails(memory, &now);
    if (!fails && !table_find(&memory->seen, path)) {
        return TT_FAIL(err, TT_ENOTFOUND, "remove %s: no such file", path);
    }
    if ((!fails || now) && table_find(&memory->seen, path)) {
        change_add(memory, CHANGE_UNLINK, path, NULL, NULL);
    }
    return fails ? op_failed(memory, err) : TT_OK;
}

static int memory_mkdir(void *ctx, const char *path, struct tt_err *err)
{
    struct tt_disk_memory *memory = ctx;
    bool now = false;
    bool fails = op_fails(memory, &now);
    if (!fails && table_find(&memory->seen, path)) {
        return TT_FAIL(err, TT_EEXISTS, "make directory %s: it exists", path);
    }
    if (!fails && !parent_exists(memory, path)) {
        return TT_FAIL(err, TT_ENOTFOUND, "make directory %s: no parent", path);
    }
    if ((!fails || now) && !table_find(&memory->seen, path)) {
        struct inode *inode = inode_new(true);
        change_add(memory, CHANGE_LINK, path, NULL, inode);
        inode_unref(inode);
    }
    return fails ? op_failed(memory, err) : TT_OK;
}

static int memory_list(void *ctx, const char *path, void (*each)(void *arg, const char *name),
                       void *arg, struct tt_err *err)
{
    struct tt_disk_memory *memory = ctx;
    if (memory->dead) {
        return op_failed(memory, err);
    }
    if (!table_find(&memory->seen, path)) {
        return TT_FAIL(err, TT_ENOTFOUND, "list %s: no such directory", path);
    }
    for (size_t i = 0; i < memory->seen.count; i++) {
        const char *name = memory->seen.names[i].path;
        if (path_below(name, path) && !strchr(name + strlen(path) + 1, '/')) {
            each(arg, name + strlen(path) + 1);
        }
    }
    return TT_OK;
}

static int memory_sync_dir(void *ctx, const char *path, struct tt_err *err)
{
    struct tt_disk_memory *memory = ctx;
    bool now = false;
    if (op_fails(memory, &now)) {
        return op_failed(memory, err);
    }
    size_t count = 0;
    for (size_t i = 0; i < memory->change_count; i++) {
        const struct change *change = &memory->changes[i];
        if (strcmp(path, ".") == 0 || path_below(change->path, path) ||
            (change->to && path_below(change->to, path))) {
            count = i + 1;
        }
    }
    changes_drop(memory, count, true);
    return TT_OK;
}

static int memory_free_space(void *ctx, const char *path, uint64_t *ret_bytes, struct tt_err *err)
{
    struct tt_disk_memory *memory = ctx;
    (void)path;
    if (memory->dead) {
        return op_failed(memory, err);
    }
    *ret_bytes = memory->free_space;
    return TT_OK;
}

/* ---- the outside ---- */

struct tt_disk_memory *tt_disk_memory_new(void)
{
    static const struct tt_disk_ops ops = {
        .open = memory_open,
        .rename = memory_rename,
        .unlink = memory_unlink,
        .mkdir = memory_mkdir,
        .list = memory_list,
        .sync_dir = memory_sync_dir,
        .free_space = memory_free_space,
    };
    struct tt_disk_memory *memory = TT_NEW(struct tt_disk_memory);
    memory->disk = (struct tt_disk){.ops = &ops, .ctx = memory};
    memory->free_space = UINT64_C(1) << 40;
    return memory;
}

void tt_disk_memory_free(struct tt_disk_memory *memory)
{
    if (memory) {
        changes_drop(memory, memory->change_count, false);
        table_fini(&memory->seen);
        table_fini(&memory->durable);
        tt_free(memory->changes);
        tt_free(memory);
    }
}

const struct tt_disk *tt_disk_memory_disk(struct tt_disk_memory *memory)
{
    return &memory->disk;
}

uint64_t tt_disk_memory_op_count(const struct tt_disk_memory *memory)
{
    return memory->op_count;
}

void tt_disk_memory_fail_at(struct tt_disk_memory *memory, uint64_t nth, int code)
{
    memory->fail_at = nth == 0 ? 0 : memory->op_count + nth;
    memory->fail_code = code;
}

void tt_disk_memory_set_free_space(struct tt_disk_memory *memory, uint64_t bytes)
{
    memory->free_space = bytes;
}

static void inode_crash(struct inode *inode, struct tt_rng *rng)
{
    /* All, nothing or half of the sectors: the extremes are as likely as the mixture. */
    static const double chances[] = {0.0, 0.5, 1.0};
    double keep = chances[tt_rng_below(rng, 3)];
    size_t size = tt_rng_chance(rng, 0.5) ? inode->seen_size : inode->durable_size;
    bytes_resize(&inode->durable, &inode->durable_size, size);
    for (size_t at = 0; at < size && at < inode->seen_size; at += TT_DISK_SECTOR_SIZE) {
        size_t part = tt_size_min(TT_DISK_SECTOR_SIZE, tt_size_min(size, inode->seen_size) - at);
        if (memcmp(inode->durable + at, inode->seen + at, part) != 0 && tt_rng_chance(rng, keep)) {
            memcpy(inode->durable + at, inode->seen + at, part);
        }
    }
    bytes_resize(&inode->seen, &inode->seen_size, size);
    if (size > 0) {
        memcpy(inode->seen, inode->durable, size);
    }
    inode->dirty_from = inode->dirty_to = 0;
}

void tt_disk_memory_crash(struct tt_disk_memory *memory, struct tt_rng *rng)
{
    changes_drop(memory, (size_t)tt_rng_below(rng, memory->change_count + 1), true);
    changes_drop(memory, memory->change_count, false);
    table_fini(&memory->seen);
    for (size_t i = 0; i < memory->durable.count; i++) {
        inode_crash(memory->durable.names[i].inode, rng);
        table_add(&memory->seen, memory->durable.names[i].path, memory->durable.names[i].inode);
    }
    memory->dead = false;
    memory->fail_at = 0;
}

struct tt_disk_memory *tt_disk_memory_clone(const struct tt_disk_memory *memory)
{
    struct tt_disk_memory *clone = tt_disk_memory_new();
    clone->free_space = memory->free_space;
    for (size_t i = 0; i < memory->seen.count; i++) {
        const struct name *name = &memory->seen.names[i];
        if (name->inode->directory) {
            struct inode *inode = inode_new(true);
            table_add(&clone->seen, name->path, inode);
            table_add(&clone->durable, name->path, inode);
            inode_unref(inode);
        } else {
            tt_disk_memory_put(clone, name->path, name->inode->seen, name->inode->seen_size);
        }
    }
    return clone;
}

uint8_t *tt_disk_memory_bytes(struct tt_disk_memory *memory, const char *path, size_t *ret_size)
{
    struct name *name = table_find(&memory->seen, path);
    if (!name || name->inode->directory) {
        return NULL;
    }
    *ret_size = name->inode->seen_size;
    return name->inode->seen;
}

void tt_disk_memory_rot(struct tt_disk_memory *memory, const char *path, size_t offset,
                        uint8_t mask)
{
    struct name *name = table_find(&memory->seen, path);
    TT_ASSERT(name && offset < name->inode->seen_size);
    name->inode->seen[offset] ^= mask;
    if (offset < name->inode->durable_size) {
        name->inode->durable[offset] ^= mask;
    }
}

void tt_disk_memory_put(struct tt_disk_memory *memory, const char *path, const void *bytes,
                        size_t size)
{
    struct inode *inode = inode_new(false);
    bytes_resize(&inode->seen, &inode->seen_size, size);
    if (size > 0) {
        memcpy(inode->seen, bytes, size);
        inode_touch(inode, 0, size);
    }
    inode_settle(inode);
    table_add(&memory->seen, path, inode);
    table_add(&memory->durable, path, inode);
    inode_unref(inode);
}

const char *tt_disk_memory_path(const struct tt_disk_memory *memory, size_t i)
{
    for (size_t n = 0; n < memory->seen.count; n++) {
        if (!memory->seen.names[n].inode->directory && i-- == 0) {
            return memory->seen.names[n].path;
        }
    }
    return NULL;
}
