/* Any bytes as a protobuf body: what converts must be JSON. */
#include "api/json/json.h"
#include "api/kinds/protobody.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // NOLINT: the name is libFuzzer's

static struct tt_kinds *kinds_of_process(void)
{
    static struct tt_kinds *kinds; /* built once: a fuzzer has one thread and no end */
    if (kinds == NULL) {
        struct tt_registry *registry = NULL;
        TT_ASSERT(tt_registry_new(&registry, NULL) == TT_OK);
        kinds = tt_registry_get(registry);
        tt_registry_free(registry);
    }
    return kinds;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) // NOLINT
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, TT_JSON_SIZE_MAX);
    if (tt_proto_body_to_json(kinds_of_process(), tt_str((const char *)data, size), &buf, NULL) ==
        TT_OK) {
        TT_AUTO(tt_arena) arena = tt_arena_new(16384, 128 << 20);
        yyjson_doc *doc = NULL;
        TT_ASSERT(tt_json_read(arena, tt_buf_view(&buf), &doc, NULL) == TT_OK);
    }
    return 0;
}
