/* Label and field selectors from any text, matched against an object. */
#include "api/kinds/registry.h"
#include "api/kinds/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // NOLINT: the name is libFuzzer's

static const struct tt_str fields[] = {{"metadata.name", 13}, {"spec.nodeName", 13}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) // NOLINT
{
    static const char object[] = "{\"metadata\":{\"name\":\"a\",\"labels\":{\"app\":\"web\"}},"
                                 "\"spec\":{\"nodeName\":\"n\"}}";
    const struct tt_kind kind = {.field_selectors = fields, .field_selector_count = 2};
    TT_AUTO(tt_arena) arena = tt_arena_new(16384, 16 << 20);
    struct tt_str text = tt_str((const char *)data, size);
    const struct tt_label_selector *labels = NULL;
    const struct tt_field_selector *terms = NULL;
    yyjson_doc *doc = NULL;
    TT_ASSERT(tt_json_read(arena, TT_STR(object), &doc, NULL) == TT_OK);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (tt_label_selector_parse(arena, text, &labels, NULL) == TT_OK) {
        (void)tt_label_selector_imatch(labels, tt_json_iget(root, "metadata.labels"));
        (void)tt_label_selector_imatch(labels, NULL);
    }
    if (tt_field_selector_parse(arena, &kind, text, &terms, NULL) == TT_OK) {
        struct tt_str name;
        (void)tt_field_selector_match(terms, root);
        (void)tt_field_selector_exact(terms, "metadata.name", &name);
    }
    return 0;
}
