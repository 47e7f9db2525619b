/* Quantities and durations: what parses formats to text that parses to the same value. */
#include "api/kinds/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // NOLINT: the name is libFuzzer's

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) // NOLINT
{
    struct tt_str text = tt_str((const char *)data, size);
    struct tt_quantity quantity, again;
    char out[TT_QUANTITY_TEXT_SIZE], time[TT_DURATION_TEXT_SIZE];
    int64_t ns, ns_again;
    if (tt_quantity_parse(text, &quantity)) {
        size_t len = tt_quantity_format(&quantity, out);
        TT_ASSERT(tt_quantity_parse(tt_str(out, len), &again));
        TT_ASSERT(tt_quantity_cmp(&quantity, &again) == 0);
    }
    if (tt_duration_parse(text, &ns)) {
        size_t len = tt_duration_format(ns, time);
        TT_ASSERT(tt_duration_parse(tt_str(time, len), &ns_again));
        TT_ASSERT(ns == ns_again);
    }
    return 0;
}
