#include "raft/transport_frame.h"

#include "base/crc32c.h"
#include "base/intmath.h"
#include "raft/transport.h"

/* Header: u32 payload size | u8 type | 3 zero bytes | u32 CRC-32C of those 8 bytes and the payload.
 *
 * Size and reserved bytes are checked before memory is taken for the payload; the checksum when all
 * of it is there. TLS already protects the bytes on the way: the checksum is for what TLS cannot
 * see, memory that went bad on either side between encoding and decoding. */

enum { CHECKED_SIZE = 8 };

void tt_frame_header(uint8_t out[TT_FRAME_HEADER_SIZE], uint8_t type, struct tt_bytes *const *parts,
                     size_t part_count)
{
    size_t size = 0;
    for (size_t i = 0; i < part_count; i++) {
        size += parts[i]->size;
    }
    TT_ASSERT(size <= UINT32_MAX);
    tt_le32_put(out, (uint32_t)size);
    tt_le32_put(out + 4, type);
    uint32_t crc = tt_crc32c(0, out, CHECKED_SIZE);
    for (size_t i = 0; i < part_count; i++) {
        crc = tt_crc32c(crc, parts[i]->ptr, parts[i]->size);
    }
    tt_le32_put(out + CHECKED_SIZE, crc);
}

void tt_frame_reader_init(struct tt_frame_reader *reader, size_t size_max)
{
    *reader = (struct tt_frame_reader){.size_max = size_max};
}

void tt_frame_reader_fini(struct tt_frame_reader *reader)
{
    tt_bytes_unref(reader->payload);
    *reader = (struct tt_frame_reader){0};
}

static int header_check(struct tt_frame_reader *reader, struct tt_err *err)
{
    uint32_t size = tt_le32_get(reader->header);
    if (size > reader->size_max) {
        return TT_FAIL(err, TT_EPROTO, "a frame of %u bytes is over the limit of %zu", size,
                       reader->size_max);
    }
    if (reader->header[5] != 0 || reader->header[6] != 0 || reader->header[7] != 0) {
        return TT_FAIL(err, TT_EPROTO, "a frame's reserved bytes are not zero");
    }
    reader->payload = tt_bytes_new_uninit(size, &reader->fill);
    reader->filled = 0;
    return 0;
}

static int frame_finish(struct tt_frame_reader *reader, struct tt_frame *ret_frame,
                        struct tt_err *err)
{
    struct tt_bytes *payload = reader->payload;
    uint32_t crc = tt_crc32c(0, reader->header, CHECKED_SIZE);
    crc = tt_crc32c(crc, payload->ptr, payload->size);
    if (crc != tt_le32_get(reader->header + CHECKED_SIZE)) {
        return TT_FAIL(err, TT_EPROTO, "a frame's checksum does not match");
    }
    *ret_frame = (struct tt_frame){reader->header[4], payload};
    reader->payload = NULL;
    reader->header_size = 0;
    return 1;
}

int tt_frame_read(struct tt_frame_reader *reader, struct tt_str *bytes, struct tt_frame *ret_frame,
                  struct tt_err *err)
{
    if (reader->payload == NULL) {
        size_t size = tt_size_min(bytes->len, TT_FRAME_HEADER_SIZE - reader->header_size);
        if (size > 0) {
            memcpy(reader->header + reader->header_size, bytes->ptr, size);
        }
        reader->header_size += size;
        *bytes = tt_str_skip(*bytes, size);
        if (reader->header_size < TT_FRAME_HEADER_SIZE) {
            return 0;
        }
        int r = header_check(reader, err);
        if (r != 0) {
            return r;
        }
    }
    TT_ASSERT(reader->payload != NULL);
    size_t size = tt_size_min(bytes->len, reader->payload->size - reader->filled);
    if (size > 0) {
        memcpy(reader->fill + reader->filled, bytes->ptr, size);
    }
    reader->filled += size;
    *bytes = tt_str_skip(*bytes, size);
    return reader->filled == reader->payload->size ? frame_finish(reader, ret_frame, err) : 0;
}

/* u32 version | u64 from | u64 to | u64 from's incarnation | u64 to's | u8 channel | u8 size of the
 * cluster id | cluster id | address, the rest of the payload */
enum { HELLO_CHANNEL_AT = 4 + 4 * 8, HELLO_FIXED_SIZE = HELLO_CHANNEL_AT + 1 + 1 };

struct tt_bytes *tt_hello_encode(const struct tt_hello *hello)
{
    size_t id_size = strlen(hello->cluster_id);
    size_t address_size = strlen(hello->address);
    uint8_t *out = NULL;
    struct tt_bytes *bytes = tt_bytes_new_uninit(HELLO_FIXED_SIZE + id_size + address_size, &out);
    TT_ASSERT(bytes->size <= TT_HELLO_SIZE_MAX);
    tt_le32_put(out, TT_HELLO_VERSION);
    tt_le64_put(out + 4, hello->from);
    tt_le64_put(out + 12, hello->to);
    tt_le64_put(out + 20, hello->from_incarnation);
    tt_le64_put(out + 28, hello->to_incarnation);
    out[HELLO_CHANNEL_AT] = hello->channel;
    out[HELLO_CHANNEL_AT + 1] = (uint8_t)id_size;
    memcpy(out + HELLO_FIXED_SIZE, hello->cluster_id, id_size);
    memcpy(out + HELLO_FIXED_SIZE + id_size, hello->address, address_size);
    return bytes;
}

/* Text without a NUL, and short enough. */
static bool hello_text(struct tt_str text, char *out, size_t out_size)
{
    if (text.len >= out_size || (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL)) {
        return false;
    }
    if (text.len > 0) {
        memcpy(out, text.ptr, text.len);
    }
    out[text.len] = '\0';
    return true;
}

int tt_hello_decode(struct tt_str payload, struct tt_hello *ret_hello, struct tt_err *err)
{
    const uint8_t *in = (const uint8_t *)payload.ptr;
    struct tt_hello hello = {0};
    if (payload.len >= 4 && tt_le32_get(in) != TT_HELLO_VERSION) {
        return TT_FAIL(err, TT_EPROTO, "a hello of version %u", tt_le32_get(in));
    }
    if (payload.len < HELLO_FIXED_SIZE ||
        payload.len - HELLO_FIXED_SIZE < in[HELLO_CHANNEL_AT + 1]) {
        return TT_FAIL(err, TT_EPROTO, "a hello of %zu bytes", payload.len);
    }
    size_t id_size = in[HELLO_CHANNEL_AT + 1];
    struct tt_str texts = tt_str_skip(payload, HELLO_FIXED_SIZE);
    if (in[HELLO_CHANNEL_AT] > TT_TRANSPORT_BULK ||
        !hello_text(tt_str_head(texts, id_size), hello.cluster_id, sizeof hello.cluster_id) ||
        !hello_text(tt_str_skip(texts, id_size), hello.address, sizeof hello.address)) {
        return TT_FAIL(err, TT_EPROTO, "a malformed hello");
    }
    hello.from = tt_le64_get(in + 4);
    hello.to = tt_le64_get(in + 12);
    hello.from_incarnation = tt_le64_get(in + 20);
    hello.to_incarnation = tt_le64_get(in + 28);
    hello.channel = in[HELLO_CHANNEL_AT];
    *ret_hello = hello;
    return 0;
}
