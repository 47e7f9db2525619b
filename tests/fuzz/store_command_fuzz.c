/* Any bytes as a command: refused or applied, and then the state is sound; and what the reader of
 * canonical commands takes, protobuf-c takes too and understands alike. Each input is cut into
 * commands of {u16 size, bytes} so that sequences are reached too. */
#include "base/intmath.h"
#include "server/store/apply.h"
#include "tests/support/command_same.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // NOLINT: the name is libFuzzer's

static void read_both_ways(struct store_decoder *decoder, struct tt_str bytes)
{
    struct store_command *canonical = TT_NEW(struct store_command);
    struct store_command *any = TT_NEW(struct store_command);
    if (store_command_read(bytes, canonical)) {
        int r = store_command_decode_any(decoder, bytes, any, NULL);
        TT_ASSERT(r == 0 && same_command(canonical, any));
    }
    tt_free(canonical);
    tt_free(any);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) // NOLINT
{
    struct tt_store *store = tt_store_new();
    uint64_t index = 0;
    while (size >= 2) {
        size_t part = tt_size_min((size_t)data[0] | (size_t)data[1] << 8, size - 2);
        struct tt_apply_result result;
        uint64_t before = tt_store_hash(store);
        read_both_ways(&store->decoder, tt_str((const char *)data + 2, part));
        int r = tt_store_apply(store, ++index, tt_str((const char *)data + 2, part), &result, NULL);
        TT_ASSERT(r == 0 || (r == TT_ECORRUPT && tt_store_hash(store) == before));
        if (data[0] % 2 == 0) {
            tt_store_publish(store);
        }
        data += 2 + part;
        size -= 2 + part;
    }
    TT_ASSERT(store_tree_valid(&store->state.rows));
    TT_ASSERT(store_tree_valid(&store->state.onces));
    tt_store_free(store);
    return 0;
}
