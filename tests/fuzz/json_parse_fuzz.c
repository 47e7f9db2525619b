/* Any bytes into the JSON parser; what parses must write back to text that parses to an equal
 * document, never deeper than allowed. */
#include "api/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // NOLINT: the name is libFuzzer's

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) // NOLINT
{
    TT_AUTO(tt_arena) arena = tt_arena_new(4096, 32 << 20);
    struct tt_issues issues;
    yyjson_mut_doc *doc = NULL, *again = NULL;
    tt_issues_init(&issues, arena);
    if (tt_json_parse(arena, tt_str((const char *)data, size), TT_JSON_DUPLICATES_REPORT, &issues,
                      &doc, NULL) < 0) {
        return 0;
    }
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    TT_ASSERT(tt_json_check(root, SIZE_MAX, NULL) == TT_OK);
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 8 << 20);
    tt_json_write(&buf, root);
    if (tt_buf_ok(&buf) && buf.len <= TT_JSON_SIZE_MAX) {
        TT_ASSERT(tt_json_parse(arena, tt_buf_view(&buf), TT_JSON_DUPLICATES_REFUSE, NULL, &again,
                                NULL) == TT_OK);
        TT_ASSERT(yyjson_mut_get_type(root) == yyjson_mut_get_type(yyjson_mut_doc_get_root(again)));
        TT_ASSERT(tt_json_equal(root, tt_json_copy(again, root)) || tt_json_is_number(root) ||
                  unsafe_yyjson_is_ctn(root));
    }
    return 0;
}
