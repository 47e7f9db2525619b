/* Any bytes through the text decoders of base/: nothing may be read or written out of bounds, and
 * what is accepted must survive the way back. */
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_hex(struct tt_str text)
{
    TT_AUTO_FREE uint8_t *bytes = tt_xmalloc(text.len / 2 + 1);
    ptrdiff_t size = tt_hex_decode(text, bytes, text.len / 2);
    if (size >= 0) {
        TT_AUTO_FREE char *again = tt_xmalloc(2 * (size_t)size + 1);
        size_t len = tt_hex_encode(bytes, (size_t)size, again);
        TT_ASSERT(tt_str_eq_nocase(tt_str(again, len), text));
    }
}

static void check_base64(struct tt_str text)
{
    size_t room = text.len / 4 * 3;
    TT_AUTO_FREE uint8_t *bytes = tt_xmalloc(room);
    ptrdiff_t size = tt_base64_decode(text, bytes, room);
    if (size >= 0) {
        TT_AUTO_FREE char *again = tt_xmalloc(tt_base64_encoded_size((size_t)size) + 1);
        size_t len = tt_base64_encode(bytes, (size_t)size, again);
        TT_ASSERT(tt_str_eq(tt_str(again, len), text)); /* strict: one text per bytes */
    }
}

static void check_time(struct tt_str text)
{
    uint64_t wall_ms;
    uint64_t again_ms;
    char out[TT_TIME_TEXT_SIZE];
    if (tt_time_parse(text, &wall_ms)) {
        size_t len = tt_time_format_ms(wall_ms, out);
        TT_ASSERT(tt_time_parse(tt_str(out, len), &again_ms) && again_ms == wall_ms);
    }
}

static void check_quote(struct tt_str text)
{
    TT_AUTO_BUF struct tt_buf quoted;
    tt_buf_init(&quoted, 6 * text.len + 2);
    tt_json_quote(&quoted, text);
    TT_ASSERT(tt_buf_ok(&quoted));
    TT_ASSERT(tt_utf8_valid(tt_buf_view(&quoted)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly this size, so that one byte too many is noticed. */
    TT_AUTO_FREE char *copy = tt_xmemdup(data, size);
    struct tt_str text = tt_str(copy, size);
    uint64_t u64;
    int64_t i64;
    check_hex(text);
    check_base64(text);
    check_time(text);
    check_quote(text);
    (void)tt_str_to_u64(text, &u64); /* only for the sanitizers */
    (void)tt_str_to_i64(text, &i64); /* only for the sanitizers */
    return 0;
}
