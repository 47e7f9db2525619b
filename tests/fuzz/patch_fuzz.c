/* Patches of all three kinds on a Pod: the first byte chooses the kind, the rest is the patch. What
 * comes out must still encode, and decode again. */
#include "api/kinds/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); // NOLINT: the name is libFuzzer's

static const char pod[] =
    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\",\"labels\":{\"x\":\"y\"},"
    "\"finalizers\":[\"a.b/c\",\"a.b/d\"]},\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":"
    "\"i\",\"env\":[{\"name\":\"X\",\"value\":\"1\"}],\"ports\":[{\"containerPort\":80}]},{"
    "\"name\":\"b\"}],\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],\"tolerations\":[{\"key\":"
    "\"k\"}]}}";

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
    static const enum tt_patch_type types[] = {TT_PATCH_JSON, TT_PATCH_MERGE_JSON,
                                               TT_PATCH_STRATEGIC};
    if (size == 0) {
        return 0;
    }
    const struct tt_kind *kind = tt_kinds_kind(kinds_of_process(), TT_STR("v1"), TT_STR("Pod"));
    TT_AUTO(tt_arena) arena = tt_arena_new(16384, 64 << 20);
    struct tt_object object, again;
    struct tt_issues issues;
    tt_issues_init(&issues, arena);
    TT_ASSERT(tt_object_stored(kind, arena, TT_STR(pod), 0, &object, NULL) == TT_OK);
    struct tt_str patch = tt_str((const char *)data + 1, size - 1);
    if (tt_object_patch(&object, types[data[0] % 3], patch, TT_FIELDS_WARN, &issues, NULL) < 0 ||
        tt_object_name(&object).len == 0) {
        return 0;
    }
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 4 << 20);
    uint32_t splice = 0;
    tt_issues_init(&issues, arena);
    (void)tt_object_validate(&object, &issues, NULL); /* any verdict is fine */
    if (tt_object_encode(&object, &buf, &splice, NULL) == TT_OK) {
        TT_ASSERT(tt_object_stored(kind, arena, tt_buf_view(&buf), 0, &again, NULL) == TT_OK);
        TT_ASSERT(buf.ptr[splice - 1] == '{');
    }
    return 0;
}
