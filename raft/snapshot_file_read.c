/* Reading, listing and retaining snapshot files. The format is drawn in snapshot_file.c.
 *
 * Happy path: open reads the header and the trailer; next reads, checks and expands one chunk after
 * the other, hashing on the way; at the end mark the hash must be the trailer's and the file must
 * be over. Failure modes: whatever does not fit is TT_ECORRUPT; sizes are checked against fixed
 * maxima before anything is read into memory. */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "base/intmath.h"
#include "base/pace.h"
#include "raft/snapshot_file.h"
#include "raft/snapshot_file_format.h"

struct tt_snapshot_file {
    struct tt_disk_file *file;            /* owned */
    struct tt_snapshot_meta meta;         /* from the header; index and term agree with the name */
    char *configuration;                  /* what meta borrows; owned */
    uint8_t header[SNAPSHOT_HEADER_SIZE]; /* as read; its CRC covers it and the configuration */
    struct tt_snapshot_handle handle;     /* name's index and term, file's size, trailer's hash */
    uint64_t offset;                      /* of the next chunk */
    EVP_MD_CTX *hash;                     /* of the bytes before offset; owned */
    ZSTD_DCtx *zstd;                      /* owned */
    uint8_t *packed;                      /* one compressed chunk; owned */
    size_t packed_max;                    /* bytes */
    uint8_t *chunk;                       /* one chunk; owned */
    bool ended;                           /* everything was verified */
};

static int damaged(const struct tt_snapshot_file *file, struct tt_err *err, const char *what)
{
    return TT_FAIL(err, TT_ECORRUPT, "snapshot %" PRIu64 ", offset %" PRIu64 ": %s",
                   file->handle.index, file->offset, what);
}

static int read_exactly(struct tt_snapshot_file *file, uint64_t offset, void *out, size_t size,
                        struct tt_err *err)
{
    size_t got = 0;
    int r = tt_disk_read(file->file, offset, out, size, &got, err);
    if (r == 0 && got != size) {
        r = damaged(file, err, "the file ends early");
    }
    return r;
}

static void rewind_file(struct tt_snapshot_file *file)
{
    EVP_MD_CTX_free(file->hash);
    file->hash = snapshot_hash_new();
    snapshot_hash_add(file->hash, file->header, sizeof file->header);
    snapshot_hash_add(file->hash, file->configuration, file->meta.configuration.len);
    file->offset = SNAPSHOT_HEADER_SIZE + file->meta.configuration.len;
    file->ended = false;
}

static int load_header(struct tt_snapshot_file *file, struct tt_err *err)
{
    int r = read_exactly(file, 0, file->header, sizeof file->header, err);
    if (r != 0) {
        return r;
    }
    uint32_t size = 0;
    if (!snapshot_header_decode(file->header, &file->meta, &size) ||
        file->meta.index != file->handle.index || file->meta.term != file->handle.term ||
        file->handle.size < SNAPSHOT_SIZE_MIN + (uint64_t)size) {
        return damaged(file, err, "the header is malformed");
    }
    file->configuration = tt_xmalloc(size + (size_t)1);
    file->meta.configuration = tt_str(file->configuration, size);
    r = read_exactly(file, SNAPSHOT_HEADER_SIZE, file->configuration, size, err);
    if (r == 0 && !snapshot_header_check(file->header, file->meta.configuration)) {
        r = damaged(file, err, "the header is damaged");
    }
    if (r == 0) {
        r = read_exactly(file, file->handle.size - TT_SNAPSHOT_HASH_SIZE, file->handle.hash,
                         TT_SNAPSHOT_HASH_SIZE, err);
    }
    return r;
}

int tt_snapshot_file_open(const struct tt_disk *disk, const char *dir, uint64_t index,
                          uint64_t term, struct tt_snapshot_file **ret, struct tt_err *err)
{
    TT_AUTO(tt_snapshot_file) file = TT_NEW(struct tt_snapshot_file);
    TT_AUTO_FREE char *path = snapshot_path(dir, index, term, "");
    file->handle.index = index;
    file->handle.term = term;
    int r = tt_disk_open(disk, path, TT_DISK_READ, &file->file, err);
    if (r == 0) {
        r = tt_disk_size(file->file, &file->handle.size, err);
    }
    if (r == 0) {
        r = load_header(file, err);
    }
    if (r != 0) {
        return TT_WRAP(err, r, "open %s", path);
    }
    file->zstd = ZSTD_createDCtx();
    TT_ASSERT(file->zstd != NULL);
    file->packed_max = ZSTD_compressBound(TT_SNAPSHOT_CHUNK_SIZE);
    file->packed = tt_xmalloc(file->packed_max);
    file->chunk = tt_xmalloc(TT_SNAPSHOT_CHUNK_SIZE);
    rewind_file(file);
    *ret = TT_TAKE(file);
    return TT_OK;
}

const struct tt_snapshot_meta *tt_snapshot_file_meta(const struct tt_snapshot_file *file)
{
    return &file->meta;
}

struct tt_snapshot_handle tt_snapshot_file_handle(const struct tt_snapshot_file *file)
{
    return file->handle;
}

static int finish(struct tt_snapshot_file *file, struct tt_err *err)
{
    uint8_t hash[TT_SNAPSHOT_HASH_SIZE];
    snapshot_hash_end(file->hash, hash);
    if (memcmp(hash, file->handle.hash, sizeof hash) != 0) {
        return damaged(file, err, "the hash is wrong");
    }
    if (file->offset + sizeof hash != file->handle.size) {
        return damaged(file, err, "the file goes on behind its end");
    }
    file->ended = true;
    return TT_OK;
}

int tt_snapshot_file_next(struct tt_snapshot_file *file, struct tt_str *ret_chunk,
                          struct tt_err *err)
{
    uint8_t header[SNAPSHOT_CHUNK_HEADER_SIZE];
    if (file->ended) {
        *ret_chunk = TT_STR_NONE;
        return TT_OK;
    }
    int r = read_exactly(file, file->offset, header, sizeof header, err);
    if (r != 0) {
        return r;
    }
    uint32_t packed = tt_le32_get(header);
    uint32_t size = tt_le32_get(header + 4);
    snapshot_hash_add(file->hash, header, sizeof header);
    if (packed == 0 && size == 0) {
        file->offset += sizeof header;
        *ret_chunk = TT_STR_NONE;
        return finish(file, err);
    }
    if (packed == 0 || packed > file->packed_max || size == 0 || size > TT_SNAPSHOT_CHUNK_SIZE) {
        return damaged(file, err, "a chunk's size is out of range");
    }
    r = read_exactly(file, file->offset + sizeof header, file->packed, packed, err);
    if (r != 0) {
        return r;
    }
    if (tt_crc32c(0, file->packed, packed) != tt_le32_get(header + 8)) {
        return damaged(file, err, "a chunk is damaged");
    }
    size_t got =
        ZSTD_decompressDCtx(file->zstd, file->chunk, TT_SNAPSHOT_CHUNK_SIZE, file->packed, packed);
    if (ZSTD_isError(got) || got != size) {
        return damaged(file, err, "a chunk cannot be expanded");
    }
    snapshot_hash_add(file->hash, file->packed, packed);
    file->offset += sizeof header + packed;
    *ret_chunk = tt_str((const char *)file->chunk, size);
    return TT_OK;
}

int tt_snapshot_file_piece(struct tt_snapshot_file *file, uint64_t offset, size_t size,
                           struct tt_buf *out, struct tt_err *err)
{
    size_t got = 0;
    size = tt_size_min(size, TT_SNAPSHOT_PIECE_SIZE_MAX);
    char *room = tt_buf_reserve(out, size);
    if (!room) {
        return TT_FAIL(err, TT_ETOOLARGE, "no room for a piece of %zu bytes", size);
    }
    int r = tt_disk_read(file->file, offset, room, size, &got, err);
    if (r == 0) {
        out->len += got;
    }
    return r;
}

int tt_snapshot_file_verify(struct tt_snapshot_file *file, struct tt_err *err)
{
    struct tt_str chunk = TT_STR_NONE;
    int r = TT_OK;
    rewind_file(file);
    do {
        r = tt_snapshot_file_next(file, &chunk, err);
    } while (r == 0 && !file->ended);
    if (r == 0) {
        rewind_file(file);
    }
    return r;
}

void tt_snapshot_file_free(struct tt_snapshot_file *file)
{
    if (!file) {
        return;
    }
    tt_disk_close(file->file);
    EVP_MD_CTX_free(file->hash);
    (void)ZSTD_freeDCtx(file->zstd); /* always 0 */
    tt_free(file->configuration);
    tt_free(file->packed);
    tt_free(file->chunk);
    tt_free(file);
}

/* ---- the directory ---- */

enum { SNAPSHOT_STALE_MAX = 64 };

struct listing {
    struct tt_snapshot_name *names;  /* room for TT_SNAPSHOT_LIST_MAX */
    size_t count;                    /* of names; complete snapshots */
    char *stale[SNAPSHOT_STALE_MAX]; /* names of interrupted writes; owned */
    size_t stale_count;              /* of stale; more than fit are left for the next time */
};

static bool name_parse(const char *text, struct tt_snapshot_name *ret)
{
    struct tt_str s = tt_str_c(text);
    uint8_t bytes[16];
    if (s.len != 9 + 16 + 1 + 16 || !tt_str_starts(s, TT_STR("snapshot-")) || s.ptr[25] != '-' ||
        tt_hex_decode(tt_str_head(tt_str_skip(s, 9), 16), bytes, 8) != 8 ||
        tt_hex_decode(tt_str_skip(s, 26), bytes + 8, 8) != 8) {
        return false;
    }
    ret->index = 0;
    ret->term = 0;
    for (size_t i = 0; i < 8; i++) {
        ret->index = ret->index << 8 | bytes[i];
        ret->term = ret->term << 8 | bytes[8 + i];
    }
    return true;
}

static void listing_add(void *arg, const char *text)
{
    struct listing *listing = arg;
    struct tt_snapshot_name name;
    struct tt_str s = tt_str_c(text);
    if (name_parse(text, &name)) {
        if (listing->count < TT_SNAPSHOT_LIST_MAX) {
            listing->names[listing->count++] = name;
        }
    } else if ((tt_str_ends(s, TT_STR(".tmp")) || tt_str_ends(s, TT_STR(".part")) ||
                tt_str_ends(s, TT_STR(".old"))) &&
               listing->stale_count < SNAPSHOT_STALE_MAX) {
        listing->stale[listing->stale_count++] = tt_xstrdup(text);
    }
}

static int compare_newest_first(const void *a, const void *b)
{
    const struct tt_snapshot_name *x = a;
    const struct tt_snapshot_name *y = b;
    if (x->index != y->index) {
        return x->index < y->index ? 1 : -1;
    }
    return (x->term < y->term) - (x->term > y->term);
}

static int listing_load(const struct tt_disk *disk, const char *dir, struct listing *listing,
                        struct tt_err *err)
{
    int r = tt_disk_list(disk, dir, listing_add, listing, err);
    if (r == 0 && listing->count > 0) {
        qsort(listing->names, listing->count, sizeof *listing->names, compare_newest_first);
    }
    return r;
}

static void listing_fini(struct listing *listing)
{
    for (size_t i = 0; i < listing->stale_count; i++) {
        tt_free(listing->stale[i]);
    }
}

int tt_snapshot_file_list(const struct tt_disk *disk, const char *dir,
                          struct tt_snapshot_name ret[TT_SNAPSHOT_LIST_MAX], size_t *ret_count,
                          struct tt_err *err)
{
    struct listing listing = {.names = ret};
    int r = listing_load(disk, dir, &listing, err);
    listing_fini(&listing);
    if (r == 0) {
        *ret_count = listing.count;
    }
    return r;
}

int tt_snapshot_file_settle(const struct tt_disk *disk, const char *dir,
                            const struct tt_snapshot_name *recorded, struct tt_err *err)
{
    struct tt_snapshot_name names[TT_SNAPSHOT_LIST_MAX];
    struct listing listing = {.names = names};
    int r = listing_load(disk, dir, &listing, err);
    for (size_t i = 0; r == 0 && i < listing.stale_count; i++) {
        TT_AUTO_FREE char *path = tt_xasprintf("%s/%s", dir, listing.stale[i]);
        r = tt_disk_unlink(disk, path, err);
    }
    for (size_t i = 0; r == 0 && i < listing.count; i++) {
        bool newer = names[i].index > recorded->index;
        bool other = names[i].index == recorded->index && names[i].term != recorded->term;
        if (newer || other) {
            TT_AUTO_FREE char *path = snapshot_path(dir, names[i].index, names[i].term, "");
            r = tt_disk_unlink(disk, path, err);
        }
    }
    listing_fini(&listing);
    return r == 0 ? tt_disk_sync_dir(disk, dir, err) : r;
}

/* From its end on, a piece at a time. A server that stops does not wait for the rests. */
static int shrink_slowly(const struct tt_disk *disk, const char *path, struct tt_pace *pace,
                         struct tt_err *err)
{
    struct tt_disk_file *file;
    uint64_t size = 0;
    int r = tt_disk_open(disk, path, TT_DISK_WRITE, &file, err);
    if (r != 0) {
        return r;
    }
    const struct tt_clock *clock = tt_clock_real();
    r = tt_disk_size(file, &size, err);
    for (bool go_on = true; r == 0 && go_on && size > SNAPSHOT_SHRINK;) {
        uint64_t begin_ns = tt_clock_ns(clock);
        size -= SNAPSHOT_SHRINK;
        r = tt_disk_shrink(file, size, err);
        go_on = tt_pace_rest(pace, SNAPSHOT_SHRINK_WEIGHT * (tt_clock_ns(clock) - begin_ns));
    }
    tt_disk_close(file);
    return r;
}

/* Slowly under a name that is never listed, where it may be cut short; a start removes what a crash
 * left of it. */
static int remove_file(const struct tt_disk *disk, const char *dir,
                       const struct tt_snapshot_name *name, struct tt_pace *pace,
                       struct tt_err *err)
{
    TT_AUTO_FREE char *path = snapshot_path(dir, name->index, name->term, "");
    if (pace == NULL) {
        return tt_disk_unlink(disk, path, err);
    }
    TT_AUTO_FREE char *old = snapshot_path(dir, name->index, name->term, ".old");
    int r = tt_disk_rename(disk, path, old, err);
    if (r == 0) {
        r = shrink_slowly(disk, old, pace, err);
    }
    return r == 0 ? tt_disk_unlink(disk, old, err) : r;
}

static int retain(const struct tt_disk *disk, const char *dir, const struct listing *listing,
                  const struct tt_snapshot_retention *retention, struct tt_err *err)
{
    int r = TT_OK;
    bool removed = false;
    for (size_t i = retention->keep; r == 0 && i < listing->count; i++) {
        const struct tt_snapshot_name *name = &listing->names[i];
        if (name->index == retention->pinned_index) {
            continue;
        }
        r = remove_file(disk, dir, name, retention->pace, err);
        removed = true;
    }
    return r == 0 && removed ? tt_disk_sync_dir(disk, dir, err) : r;
}

int tt_snapshot_file_retain(const struct tt_disk *disk, const char *dir,
                            const struct tt_snapshot_retention *retention, struct tt_err *err)
{
    struct tt_snapshot_name names[TT_SNAPSHOT_LIST_MAX];
    struct listing listing = {.names = names};
    int r = listing_load(disk, dir, &listing, err);
    if (r == 0) {
        r = retain(disk, dir, &listing, retention, err);
    }
    listing_fini(&listing);
    return r;
}
