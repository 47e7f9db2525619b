/* Container logs: whatever a container made its runtime write, the filter ends, takes only what it
 * was given, and never passes the byte limit. */
#include "agent/log_line.h"
#include "agent/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct tt_str input = tt_str((const char *)data + 2, size - 2);
    struct log_filter filter = {.timestamps = (data[0] & 1) != 0,
                                .since_ms = (data[0] & 2) != 0 ? UINT64_C(1767225602000) : 0,
                                .bytes_max = data[1] == 0 ? UINT64_MAX : data[1]};
    struct tt_buf out;
    tt_buf_init(&out, 4 << 20);
    (void)probe_http_status(input);
    while (input.len > 0) {
        size_t before = input.len;
        log_filter_run(&filter, &input, 1 << 16, &out);
        TT_ASSERT(input.len <= before && tt_buf_ok(&out));
        TT_ASSERT(filter.bytes == out.len && out.len <= filter.bytes_max);
        if (input.len == before) {
            break; /* the rest is no whole record, or the limit is reached */
        }
    }
    tt_buf_fini(&out);
    return 0;
}
