/* Any bytes as a snapshot stream: restored or refused, never a crash. By the first byte either raw
 * bytes, or payloads {u16 size, bytes} that are framed with right checksums here, behind a head
 * that is good, so that mutations reach the records. */
#include "base/crc32c.h"
#include "base/intmath.h"
#include "server/store/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // NOLINT: the name is libFuzzer's

static int feed_frame(struct tt_snapshot_reader *reader, const uint8_t *payload, size_t size)
{
    uint8_t head[STORE_FRAME_HEAD_SIZE];
    tt_le32_put(head, (uint32_t)size);
    tt_le32_put(head + 4, tt_crc32c(0, payload, size));
    int r = tt_snapshot_reader_feed(reader, tt_str((const char *)head, sizeof head), NULL);
    if (r == 0) {
        r = tt_snapshot_reader_feed(reader, tt_str((const char *)payload, size), NULL);
    }
    return r;
}

static int feed_head(struct tt_snapshot_reader *reader, uint8_t compacted)
{
    Tt__SnapshotRecord record;
    Tt__SnapshotHead head;
    uint8_t bytes[128];
    tt__snapshot_record__init(&record);
    tt__snapshot_head__init(&head);
    record.head = &head;
    head.has_format = true;
    head.format = STORE_SNAPSHOT_FORMAT;
    head.has_feature_level = true;
    head.feature_level = STORE_FEATURE_LEVEL_FIRST;
    head.has_compacted = true;
    head.compacted = compacted;
    head.has_revision = true;
    head.revision = compacted + 3u;
    head.has_once_sequence = true;
    head.once_sequence = 5;
    TT_ASSERT(tt__snapshot_record__get_packed_size(&record) <= sizeof bytes);
    return feed_frame(reader, bytes, tt__snapshot_record__pack(&record, bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) // NOLINT
{
    if (size < 2) {
        return 0;
    }
    struct tt_store *store = tt_store_new();
    struct tt_snapshot_reader *reader = tt_snapshot_reader_new(store);
    int r = 0;
    if (data[0] % 2 == 0) {
        r = tt_snapshot_reader_feed(reader, tt_str((const char *)data + 1, size - 1), NULL);
    } else {
        r = feed_head(reader, data[1]);
        TT_ASSERT(r == 0);
        for (data += 2, size -= 2; r == 0 && size > 2;) {
            size_t part = tt_size_min((size_t)data[0] | (size_t)data[1] << 8, size - 2);
            r = feed_frame(reader, data + 2, part);
            data += 2 + part;
            size -= 2 + part;
        }
    }
    if (r == 0) {
        r = tt_snapshot_reader_finish(reader, NULL);
    }
    TT_ASSERT(r == 0 || r == TT_ECORRUPT);
    TT_ASSERT(store_tree_valid(&store->state.rows));
    tt_snapshot_reader_free(reader);
    tt_store_free(store);
    return 0;
}
