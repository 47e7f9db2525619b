/* Snapshot files.
 *
 *   header   magic (8) version (4) configuration size (4) index term configuration-index revision
 *            (8 each) feature level (4) CRC32C of all before and of the configuration (4)
 *   configuration
 *   chunk…   compressed size (4) size (4) CRC32C of the compressed bytes (4), the bytes (zstd)
 *   end      twelve zero bytes
 *   trailer  SHA-256 of everything before (32)
 *
 * Happy path: append fills a chunk, compresses and writes it; commit writes the end and the
 * trailer, syncs, renames and syncs the directory. Failure modes: an interrupted writer leaves a
 * .tmp, an interrupted receiver a .part, neither of which is ever listed. A damaged byte is found
 * by the chunk's CRC or at the latest by the hash. Whole blocks of a megabyte are written around
 * the page cache, and what still got there is drained, so that the log's own syncs never wait
 * behind a long queue of dirty pages.
 */
#include "raft/snapshot_file.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "base/intmath.h"
#include "raft/snapshot_file_format.h"

/* ---- handle, names, header ---- */

void tt_snapshot_handle_encode(const struct tt_snapshot_handle *handle,
                               uint8_t out[TT_SNAPSHOT_HANDLE_SIZE])
{
    tt_le64_put(out, handle->index);
    tt_le64_put(out + 8, handle->term);
    tt_le64_put(out + 16, handle->size);
    memcpy(out + 24, handle->hash, TT_SNAPSHOT_HASH_SIZE);
}
_Static_assert(24 + TT_SNAPSHOT_HASH_SIZE == TT_SNAPSHOT_HANDLE_SIZE, "wire size");

int tt_snapshot_handle_decode(struct tt_str bytes, struct tt_snapshot_handle *ret,
                              struct tt_err *err)
{
    const uint8_t *in = (const uint8_t *)bytes.ptr;
    if (bytes.len != TT_SNAPSHOT_HANDLE_SIZE) {
        return TT_FAIL(err, TT_ECORRUPT, "a snapshot handle has %zu bytes", bytes.len);
    }
    ret->index = tt_le64_get(in);
    ret->term = tt_le64_get(in + 8);
    ret->size = tt_le64_get(in + 16);
    memcpy(ret->hash, in + 24, TT_SNAPSHOT_HASH_SIZE);
    return TT_OK;
}

char *snapshot_path(const char *dir, uint64_t index, uint64_t term, const char *suffix)
{
    return tt_xasprintf("%s/snapshot-%016" PRIx64 "-%016" PRIx64 "%s", dir, index, term, suffix);
}

static void header_encode(const struct tt_snapshot_meta *meta, uint8_t out[SNAPSHOT_HEADER_SIZE])
{
    tt_le64_put(out, SNAPSHOT_MAGIC);
    tt_le32_put(out + 8, SNAPSHOT_VERSION);
    tt_le32_put(out + 12, (uint32_t)meta->configuration.len);
    tt_le64_put(out + 16, meta->index);
    tt_le64_put(out + 24, meta->term);
    tt_le64_put(out + 32, meta->configuration_index);
    tt_le64_put(out + 40, meta->revision);
    tt_le32_put(out + 48, meta->feature_level);
    uint32_t crc = tt_crc32c(0, out, 52);
    tt_le32_put(out + 52, tt_crc32c(crc, meta->configuration.ptr, meta->configuration.len));
}

bool snapshot_header_decode(const uint8_t in[SNAPSHOT_HEADER_SIZE], struct tt_snapshot_meta *ret,
                            uint32_t *ret_configuration_size)
{
    uint32_t size = tt_le32_get(in + 12);
    if (tt_le64_get(in) != SNAPSHOT_MAGIC || tt_le32_get(in + 8) != SNAPSHOT_VERSION ||
        size > TT_SNAPSHOT_CONFIGURATION_SIZE_MAX) {
        return false;
    }
    *ret = (struct tt_snapshot_meta){
        .index = tt_le64_get(in + 16),
        .term = tt_le64_get(in + 24),
        .configuration_index = tt_le64_get(in + 32),
        .revision = tt_le64_get(in + 40),
        .feature_level = tt_le32_get(in + 48),
    };
    *ret_configuration_size = size;
    return true;
}

bool snapshot_header_check(const uint8_t in[SNAPSHOT_HEADER_SIZE], struct tt_str configuration)
{
    uint32_t crc = tt_crc32c(0, in, 52);
    return tt_crc32c(crc, configuration.ptr, configuration.len) == tt_le32_get(in + 52);
}

/* ---- the hash ---- */

EVP_MD_CTX *snapshot_hash_new(void)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    TT_ASSERT(hash != NULL);
    TT_ASSERT(EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1);
    return hash;
}

void snapshot_hash_add(EVP_MD_CTX *hash, const void *bytes, size_t size)
{
    TT_ASSERT(EVP_DigestUpdate(hash, bytes, size) == 1);
}

void snapshot_hash_end(EVP_MD_CTX *hash, uint8_t out[TT_SNAPSHOT_HASH_SIZE])
{
    unsigned size = 0;
    TT_ASSERT(EVP_DigestFinal_ex(hash, out, &size) == 1);
    TT_ASSERT(size == TT_SNAPSHOT_HASH_SIZE);
}

/* ---- writer ---- */

struct tt_snapshot_file_writer {
    const struct tt_disk *disk; /* kept */
    char *dir;                  /* owned */
    char *temporary;            /* path while writing; owned */
    char *path;                 /* final; owned */
    struct tt_disk_file *file;  /* owned; NULL after commit */
    uint64_t offset;            /* bytes written; a multiple of SNAPSHOT_BLOCK until the end */
    uint8_t *block;             /* SNAPSHOT_BLOCK bytes behind them being filled; owned */
    size_t block_size;          /* bytes in it */
    uint64_t index;             /* of the last entry in it; names the file */
    uint64_t term;              /* of that entry */
    EVP_MD_CTX *hash;           /* of all written; owned */
    ZSTD_CCtx *zstd;            /* owned */
    uint8_t *chunk;             /* TT_SNAPSHOT_CHUNK_SIZE bytes being filled; owned */
    size_t chunk_size;          /* bytes in it */
    uint8_t *out;               /* chunk header and compressed bytes; owned */
    size_t out_capacity;        /* bytes; fits the worst compression */
    bool committed;             /* renamed and durable: free leaves the file */
};

static int writer_write(struct tt_snapshot_file_writer *writer, struct tt_err *err)
{
    size_t size = writer->block_size;
    int r = tt_disk_write(writer->file, writer->offset, writer->block, size, err);
    if (r == 0) {
        r = tt_disk_drain(writer->file, writer->offset, size, err);
    }
    writer->offset += size;
    writer->block_size = 0;
    return r;
}

static int writer_add(struct tt_snapshot_file_writer *writer, const void *bytes, size_t size,
                      struct tt_err *err)
{
    const uint8_t *from = bytes;
    int r = TT_OK;
    while (r == 0 && size > 0) {
        size_t part = tt_size_min(size, SNAPSHOT_BLOCK - writer->block_size);
        memcpy(writer->block + writer->block_size, from, part);
        writer->block_size += part;
        from += part;
        size -= part;
        if (writer->block_size == SNAPSHOT_BLOCK) {
            r = writer_write(writer, err);
        }
    }
    return r;
}

static int writer_put(struct tt_snapshot_file_writer *writer, const void *bytes, size_t size,
                      struct tt_err *err)
{
    snapshot_hash_add(writer->hash, bytes, size);
    return writer_add(writer, bytes, size, err);
}

int tt_snapshot_file_create(const struct tt_disk *disk, const char *dir,
                            const struct tt_snapshot_meta *meta,
                            struct tt_snapshot_file_writer **ret, struct tt_err *err)
{
    if (meta->index == 0 || meta->configuration.len > TT_SNAPSHOT_CONFIGURATION_SIZE_MAX) {
        return TT_FAIL(err, TT_EINVAL, "the snapshot's metadata are out of range");
    }
    TT_AUTO(tt_snapshot_file_writer) writer = TT_NEW(struct tt_snapshot_file_writer);
    writer->disk = disk;
    writer->dir = tt_xstrdup(dir);
    writer->temporary = snapshot_path(dir, meta->index, meta->term, ".tmp");
    writer->path = snapshot_path(dir, meta->index, meta->term, "");
    writer->index = meta->index;
    writer->term = meta->term;
    writer->hash = snapshot_hash_new();
    writer->zstd = ZSTD_createCCtx();
    TT_ASSERT(writer->zstd != NULL);
    writer->chunk = tt_xmalloc(TT_SNAPSHOT_CHUNK_SIZE);
    writer->out_capacity = SNAPSHOT_CHUNK_HEADER_SIZE + ZSTD_compressBound(TT_SNAPSHOT_CHUNK_SIZE);
    writer->out = tt_xmalloc(writer->out_capacity);
    writer->block = tt_xaligned(TT_DISK_DIRECT_ALIGN, SNAPSHOT_BLOCK);
    int r = tt_disk_open(disk, writer->temporary, TT_DISK_CREATE, &writer->file, err);
    if (r != 0) {
        return r;
    }
    tt_disk_direct(writer->file);
    uint8_t header[SNAPSHOT_HEADER_SIZE];
    header_encode(meta, header);
    r = writer_put(writer, header, sizeof header, err);
    if (r == 0 && meta->configuration.len > 0) {
        r = writer_put(writer, meta->configuration.ptr, meta->configuration.len, err);
    }
    if (r == 0) {
        *ret = TT_TAKE(writer);
    }
    return r;
}

static int writer_flush(struct tt_snapshot_file_writer *writer, struct tt_err *err)
{
    if (writer->chunk_size == 0) {
        return TT_OK;
    }
    size_t size = ZSTD_compressCCtx(writer->zstd, writer->out + SNAPSHOT_CHUNK_HEADER_SIZE,
                                    writer->out_capacity - SNAPSHOT_CHUNK_HEADER_SIZE,
                                    writer->chunk, writer->chunk_size, SNAPSHOT_LEVEL);
    if (ZSTD_isError(size)) {
        return TT_FAIL(err, TT_EINTERNAL, "zstd: %s", ZSTD_getErrorName(size));
    }
    tt_le32_put(writer->out, (uint32_t)size);
    tt_le32_put(writer->out + 4, (uint32_t)writer->chunk_size);
    tt_le32_put(writer->out + 8, tt_crc32c(0, writer->out + SNAPSHOT_CHUNK_HEADER_SIZE, size));
    writer->chunk_size = 0;
    return writer_put(writer, writer->out, SNAPSHOT_CHUNK_HEADER_SIZE + size, err);
}

int tt_snapshot_file_append(struct tt_snapshot_file_writer *writer, struct tt_str bytes,
                            struct tt_err *err)
{
    TT_ASSERT(!writer->committed);
    while (bytes.len > 0) {
        size_t part = tt_size_min(bytes.len, TT_SNAPSHOT_CHUNK_SIZE - writer->chunk_size);
        memcpy(writer->chunk + writer->chunk_size, bytes.ptr, part);
        writer->chunk_size += part;
        bytes = tt_str_skip(bytes, part);
        if (writer->chunk_size == TT_SNAPSHOT_CHUNK_SIZE) {
            int r = writer_flush(writer, err);
            if (r != 0) {
                return r;
            }
        }
    }
    return TT_OK;
}

int tt_snapshot_file_commit(struct tt_snapshot_file_writer *writer, struct tt_snapshot_handle *ret,
                            struct tt_err *err)
{
    static const uint8_t end[SNAPSHOT_CHUNK_HEADER_SIZE];
    TT_ASSERT(!writer->committed);
    struct tt_snapshot_handle handle = {.index = writer->index, .term = writer->term};
    int r = writer_flush(writer, err);
    if (r == 0) {
        r = writer_put(writer, end, sizeof end, err);
    }
    if (r == 0) {
        snapshot_hash_end(writer->hash, handle.hash);
        r = writer_add(writer, handle.hash, sizeof handle.hash, err);
    }
    if (r == 0) {
        r = writer_write(writer, err);
    }
    if (r == 0) {
        r = tt_disk_sync(writer->file, err);
    }
    if (r == 0) {
        r = tt_disk_rename(writer->disk, writer->temporary, writer->path, err);
    }
    if (r == 0) {
        writer->committed = true;
        r = tt_disk_sync_dir(writer->disk, writer->dir, err);
    }
    if (r != 0) {
        return TT_WRAP(err, r, "write snapshot %" PRIu64, writer->index);
    }
    handle.size = writer->offset;
    *ret = handle;
    return TT_OK;
}

void tt_snapshot_file_writer_free(struct tt_snapshot_file_writer *writer)
{
    if (!writer) {
        return;
    }
    tt_disk_close(writer->file);
    if (writer->file && !writer->committed) {
        int r = tt_disk_unlink(writer->disk, writer->temporary, NULL);
        (void)r; /* what stays is removed at the next start */
    }
    EVP_MD_CTX_free(writer->hash);
    (void)ZSTD_freeCCtx(writer->zstd); /* always 0 */
    tt_free(writer->chunk);
    tt_free(writer->out);
    tt_free(writer->block);
    tt_free(writer->dir);
    tt_free(writer->temporary);
    tt_free(writer->path);
    tt_free(writer);
}

/* ---- receiver ---- */

struct tt_snapshot_file_receiver {
    const struct tt_disk *disk;       /* kept */
    char *dir;                        /* owned */
    char *temporary;                  /* owned */
    char *path;                       /* owned */
    struct tt_disk_file *file;        /* owned */
    struct tt_snapshot_handle handle; /* what was promised: size and hash are checked at commit */
    uint64_t offset;                  /* bytes received */
    uint64_t drained;                 /* of them */
    EVP_MD_CTX *hash;                 /* of the bytes before the trailer; owned */
    bool committed;                   /* verified, renamed and durable: free leaves the file */
};

int tt_snapshot_file_receive(const struct tt_disk *disk, const char *dir,
                             const struct tt_snapshot_handle *handle,
                             struct tt_snapshot_file_receiver **ret, struct tt_err *err)
{
    if (handle->index == 0 || handle->size < SNAPSHOT_SIZE_MIN) {
        return TT_FAIL(err, TT_EINVAL, "the offered snapshot is malformed");
    }
    TT_AUTO(tt_snapshot_file_receiver) receiver = TT_NEW(struct tt_snapshot_file_receiver);
    receiver->disk = disk;
    receiver->dir = tt_xstrdup(dir);
    receiver->temporary = snapshot_path(dir, handle->index, handle->term, ".part");
    receiver->path = snapshot_path(dir, handle->index, handle->term, "");
    receiver->handle = *handle;
    receiver->hash = snapshot_hash_new();
    int r = tt_disk_open(disk, receiver->temporary, TT_DISK_CREATE, &receiver->file, err);
    if (r == 0) {
        *ret = TT_TAKE(receiver);
    }
    return r;
}

uint64_t tt_snapshot_file_receiver_offset(const struct tt_snapshot_file_receiver *receiver)
{
    return receiver->offset;
}

int tt_snapshot_file_receiver_append(struct tt_snapshot_file_receiver *receiver,
                                     struct tt_str piece, struct tt_err *err)
{
    if (piece.len > receiver->handle.size - receiver->offset) {
        return TT_FAIL(err, TT_EPROTO, "the snapshot is longer than was offered");
    }
    int r = tt_disk_write(receiver->file, receiver->offset, piece.ptr, piece.len, err);
    if (r != 0) {
        return r;
    }
    uint64_t hashed = receiver->handle.size - TT_SNAPSHOT_HASH_SIZE;
    if (receiver->offset < hashed) {
        snapshot_hash_add(receiver->hash, piece.ptr,
                          (size_t)tt_u64_min(piece.len, hashed - receiver->offset));
    }
    receiver->offset += piece.len;
    if (receiver->offset - receiver->drained >= SNAPSHOT_DRAIN_EVERY) {
        r = tt_disk_drain(receiver->file, receiver->drained, receiver->offset - receiver->drained,
                          err);
        receiver->drained = receiver->offset;
    }
    return r;
}

static int receiver_check(struct tt_snapshot_file_receiver *receiver, struct tt_err *err)
{
    uint8_t hash[TT_SNAPSHOT_HASH_SIZE];
    uint8_t trailer[TT_SNAPSHOT_HASH_SIZE];
    uint8_t header[SNAPSHOT_HEADER_SIZE];
    size_t got = 0;
    if (receiver->offset != receiver->handle.size) {
        return TT_FAIL(err, TT_ECORRUPT, "only %" PRIu64 " of %" PRIu64 " bytes came",
                       receiver->offset, receiver->handle.size);
    }
    snapshot_hash_end(receiver->hash, hash);
    uint64_t at = receiver->handle.size - sizeof trailer;
    int r = tt_disk_read(receiver->file, at, trailer, sizeof trailer, &got, err);
    if (r == 0) {
        r = tt_disk_read(receiver->file, 0, header, sizeof header, &got, err);
    }
    if (r != 0) {
        return r;
    }
    if (memcmp(hash, receiver->handle.hash, sizeof hash) != 0 ||
        memcmp(hash, trailer, sizeof hash) != 0 || tt_le64_get(header) != SNAPSHOT_MAGIC ||
        tt_le64_get(header + 16) != receiver->handle.index ||
        tt_le64_get(header + 24) != receiver->handle.term) {
        return TT_FAIL(err, TT_ECORRUPT, "the received snapshot is not what was offered");
    }
    return TT_OK;
}

int tt_snapshot_file_receiver_commit(struct tt_snapshot_file_receiver *receiver, struct tt_err *err)
{
    TT_ASSERT(!receiver->committed);
    int r = receiver_check(receiver, err);
    if (r == 0) {
        r = tt_disk_sync(receiver->file, err);
    }
    if (r == 0) {
        r = tt_disk_rename(receiver->disk, receiver->temporary, receiver->path, err);
    }
    if (r == 0) {
        receiver->committed = true;
        r = tt_disk_sync_dir(receiver->disk, receiver->dir, err);
    }
    return r != 0 ? TT_WRAP(err, r, "receive snapshot %" PRIu64, receiver->handle.index) : TT_OK;
}

void tt_snapshot_file_receiver_free(struct tt_snapshot_file_receiver *receiver)
{
    if (!receiver) {
        return;
    }
    tt_disk_close(receiver->file);
    if (receiver->file && !receiver->committed) {
        int r = tt_disk_unlink(receiver->disk, receiver->temporary, NULL);
        (void)r; /* what stays is removed at the next start */
    }
    EVP_MD_CTX_free(receiver->hash);
    tt_free(receiver->dir);
    tt_free(receiver->temporary);
    tt_free(receiver->path);
    tt_free(receiver);
}
