/* Frames and hellos between servers: any split of any bytes gives the same frames or the same end.
 */
#include "base/intmath.h"
#include "raft/transport_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PAYLOAD_SIZE_MAX = 4096 };

/* Reads all of it in steps; returns frames read, negative when it ended in an error. */
static int read_in_steps(const uint8_t *data, size_t size, size_t step)
{
    struct tt_frame_reader reader;
    int count = 0;
    int r = 0;
    tt_frame_reader_init(&reader, PAYLOAD_SIZE_MAX);
    for (size_t at = 0; at < size && r >= 0; at += step) {
        struct tt_str chunk = tt_str((const char *)data + at, tt_size_min(step, size - at));
        struct tt_frame frame = {0};
        while ((r = tt_frame_read(&reader, &chunk, &frame, NULL)) == 1) {
            struct tt_hello hello;
            TT_ASSERT(frame.payload->size <= PAYLOAD_SIZE_MAX);
            if (tt_hello_decode(tt_str((const char *)frame.payload->ptr, frame.payload->size),
                                &hello, NULL) == 0) {
                TT_ASSERT(strlen(hello.cluster_id) < sizeof hello.cluster_id);
            }
            tt_bytes_unref(frame.payload);
            count++;
        }
        TT_ASSERT(r != 0 || chunk.len == 0);
    }
    tt_frame_reader_fini(&reader);
    return r < 0 ? -1 - count : count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tt_hello hello;
    int whole = read_in_steps(data, size, size > 0 ? size : 1);
    TT_ASSERT(read_in_steps(data, size, 1) == whole);
    TT_ASSERT(read_in_steps(data, size, 7) == whole);
    (void)tt_hello_decode(tt_str((const char *)data, size), &hello, NULL); /* must only not crash */
    return 0;
}
