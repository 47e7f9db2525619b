/* A snapshot file as another server may send it. By the first byte either raw bytes, or chunks
 * {u8 claimed size × 64, u8 packed size, bytes} that get right checksums, a good header and the
 * right hash here, so that what expands them is reached. Reading ends, within the bounds, and says
 * the same twice. */
#include <openssl/evp.h>

#include "base/crc32c.h"
#include "base/intmath.h"
#include "raft/disk_memory.h"
#include "raft/snapshot_file_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INDEX = 7, TERM = 3, FILE_SIZE_MAX = 1 << 20 };

static const char DIR[] = "/snapshots";

/* Header and configuration of a good file. */
static void good_head(struct tt_disk_memory *memory, struct tt_buf *head)
{
    const struct tt_disk *disk = tt_disk_memory_disk(memory);
    const struct tt_snapshot_meta meta = {
        .index = INDEX, .term = TERM, .configuration_index = 1, .configuration = TT_STR("members")};
    TT_AUTO(tt_snapshot_file_writer) writer = NULL;
    struct tt_snapshot_handle handle;
    size_t size = 0;
    TT_AUTO_FREE char *path = snapshot_path(DIR, INDEX, TERM, "");
    TT_ASSERT(tt_snapshot_file_create(disk, DIR, &meta, &writer, NULL) == 0);
    TT_ASSERT(tt_snapshot_file_append(writer, TT_STR("state"), NULL) == 0);
    TT_ASSERT(tt_snapshot_file_commit(writer, &handle, NULL) == 0);
    const uint8_t *bytes = tt_disk_memory_bytes(memory, path, &size);
    TT_ASSERT(bytes != NULL && size >= SNAPSHOT_SIZE_MIN);
    tt_buf_append(head, bytes, SNAPSHOT_HEADER_SIZE + meta.configuration.len);
}

static void append_chunk(struct tt_buf *file, uint32_t claimed, struct tt_str packed)
{
    uint8_t header[SNAPSHOT_CHUNK_HEADER_SIZE];
    tt_le32_put(header, (uint32_t)packed.len);
    tt_le32_put(header + 4, claimed);
    tt_le32_put(header + 8, tt_crc32c(0, packed.ptr, packed.len));
    tt_buf_append(file, header, sizeof header);
    tt_buf_str(file, packed);
}

/* The chunks of the input behind a good head, with an end mark and the right hash. */
static void build(struct tt_str input, struct tt_buf *file)
{
    static const uint8_t end[SNAPSHOT_CHUNK_HEADER_SIZE];
    uint8_t hash[TT_SNAPSHOT_HASH_SIZE];
    while (input.len > 2) {
        uint32_t claimed = (uint32_t)(uint8_t)input.ptr[0] * 64u;
        size_t packed = (uint8_t)input.ptr[1];
        input = tt_str_skip(input, 2);
        if (packed > input.len || packed == 0) {
            packed = input.len;
        }
        append_chunk(file, claimed, tt_str_head(input, packed));
        input = tt_str_skip(input, packed);
    }
    tt_buf_append(file, end, sizeof end);
    EVP_MD_CTX *digest = snapshot_hash_new();
    snapshot_hash_add(digest, file->ptr, file->len);
    snapshot_hash_end(digest, hash);
    EVP_MD_CTX_free(digest);
    tt_buf_append(file, hash, sizeof hash);
}

/* Code of the first failure, 0 when the whole file was read. */
static int read_all(struct tt_snapshot_file *file, size_t file_size)
{
    struct tt_str chunk = TT_STR_NONE;
    size_t chunks = 0;
    int r = 0;
    do {
        r = tt_snapshot_file_next(file, &chunk, NULL);
        TT_ASSERT(r != 0 || chunk.len <= TT_SNAPSHOT_CHUNK_SIZE);
        TT_ASSERT(++chunks <= file_size);
    } while (r == 0 && chunk.len > 0);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > FILE_SIZE_MAX / 2) {
        return 0;
    }
    TT_AUTO(tt_disk_memory) memory = tt_disk_memory_new();
    const struct tt_disk *disk = tt_disk_memory_disk(memory);
    TT_AUTO_BUF struct tt_buf bytes;
    TT_AUTO(tt_snapshot_file) file = NULL;
    TT_AUTO_FREE char *path = snapshot_path(DIR, INDEX, TERM, "");
    struct tt_str input = tt_str((const char *)data + 1, size - 1);
    tt_buf_init(&bytes, FILE_SIZE_MAX * 8);
    TT_ASSERT(tt_disk_mkdir(disk, DIR, NULL) == 0);
    if (data[0] & 1) {
        good_head(memory, &bytes);
        build(input, &bytes);
    } else {
        tt_buf_str(&bytes, input);
    }
    tt_disk_memory_put(memory, path, bytes.ptr, bytes.len);
    int r = tt_snapshot_file_open(disk, DIR, INDEX, TERM, &file, NULL);
    TT_ASSERT(r == 0 || (data[0] & 1) == 0);
    if (r == 0) {
        r = read_all(file, bytes.len);
        TT_ASSERT((tt_snapshot_file_verify(file, NULL) == 0) == (r == 0));
    }
    tt_snapshot_file_free(TT_TAKE(file));
    return 0;
}
