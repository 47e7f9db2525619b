/* Continue tokens of lists: what is accepted stays below the list's prefix and survives the way
 * back. */
#include "api/routes/list_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tt_str prefix = TT_STR("o/core/pods/default/");
    TT_AUTO(tt_arena) arena = tt_arena_new(4096, 64 << 10);
    struct api_list_token token;
    struct api_list_token again;
    struct tt_str text;
    if (api_list_token_decode(arena, tt_str((const char *)data, size), prefix, &token, NULL) != 0) {
        return 0;
    }
    TT_ASSERT(tt_str_starts(token.key, prefix) && token.key.len > prefix.len);
    TT_ASSERT(api_list_token_encode(arena, &token, prefix, &text, NULL) == 0);
    TT_ASSERT(api_list_token_decode(arena, text, prefix, &again, NULL) == 0);
    TT_ASSERT(again.revision == token.revision && tt_str_eq(again.key, token.key));
    return 0;
}
