/* The manifest reader: any text is refused or gives objects that are within the bounds, that say
 * apiVersion and kind, and that know a line of the text for each of their fields. */
#include "ctl/manifest.h"

#include "ctl/merge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_object(const struct ctl_object *object, size_t line_count)
{
    TT_ASSERT(ctl_object_str(object, "kind").len > 0);
    TT_ASSERT(ctl_object_str(object, "apiVersion").len > 0);
    TT_ASSERT(object->line >= 1 && object->line <= line_count);
    TT_ASSERT(ctl_object_line(object, TT_STR("metadata.labels[a].b[0]")) <= line_count);
    TT_ASSERT(tt_json_check(object->root, CTL_MANIFEST_VALUES_MAX + 1, NULL) == TT_OK);
    yyjson_mut_val *metadata = tt_json_member(object->root, TT_STR("metadata"));
    if (yyjson_mut_is_obj(metadata)) {
        /* Too deep or too large is an answer too. */
        TT_IGNORE(ctl_last_applied_set(object->doc, object->root, NULL));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ctl_manifest manifest;
    size_t line_count = 1;
    for (size_t i = 0; i < size; i++) {
        line_count += data[i] == '\n' || data[i] == '\r';
    }
    ctl_manifest_init(&manifest);
    if (ctl_manifest_parse(&manifest, tt_str((const char *)data, size), "fuzz", NULL) == TT_OK) {
        for (size_t i = 0; i < manifest.count; i++) {
            check_object(&manifest.items[i], line_count);
        }
    }
    ctl_manifest_fini(&manifest);
    return 0;
}
