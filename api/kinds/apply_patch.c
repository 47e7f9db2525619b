/* Patches of objects: which kind a content type names, and the way from patch text to a checked
 * object. */
#include "api/json/patch.h"
#include "api/kinds/object.h"
#include "api/kinds/strategic.h"

enum { PATCHED_VALUES_MAX = 400000 };

static const struct {
    const char *content_type; /* without parameters; compared without case */
    enum tt_patch_type type;  /* STRATEGIC only where the kind allows it */
} types[] = {
    {"application/json-patch+json", TT_PATCH_JSON},
    {"application/merge-patch+json", TT_PATCH_MERGE_JSON},
    {"application/strategic-merge-patch+json", TT_PATCH_STRATEGIC},
};

int tt_patch_type_parse(const struct tt_kind *kind, struct tt_str content_type,
                        enum tt_patch_type *ret_type, struct tt_err *err)
{
    ptrdiff_t end = tt_str_find(content_type, ';');
    struct tt_str name =
        tt_str_trim(end >= 0 ? tt_str_head(content_type, (size_t)end) : content_type);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (tt_str_eq_nocase(name, tt_str_c(types[i].content_type)) &&
            (types[i].type != TT_PATCH_STRATEGIC || kind->has_strategic)) {
            *ret_type = types[i].type;
            return TT_OK;
        }
    }
    return TT_FAIL(err, TT_EMEDIATYPE,
                   "the body of the request was in an unknown format - accepted media types "
                   "include: application/json-patch+json, application/merge-patch+json%s",
                   kind->has_strategic ? ", application/strategic-merge-patch+json" : "");
}

int tt_object_patch(struct tt_object *original, enum tt_patch_type type, struct tt_str patch,
                    enum tt_field_validation validation, struct tt_issues *ret_issues,
                    struct tt_err *err)
{
    yyjson_mut_doc *doc = NULL;
    struct tt_issues ignored;
    tt_issues_init(&ignored, original->arena);
    int r = tt_json_parse(original->arena, patch, TT_JSON_DUPLICATES_REPORT,
                          validation == TT_FIELDS_IGNORE ? &ignored : ret_issues, &doc, err);
    if (r < 0) {
        return r;
    }
    yyjson_mut_val *body = yyjson_mut_doc_get_root(doc);
    switch (type) {
    case TT_PATCH_JSON:
        r = tt_json_patch(original->doc, original->root, body, &original->root, err);
        break;
    case TT_PATCH_MERGE_JSON:
        r = tt_json_merge_patch(original->doc, original->root, body, &original->root, err);
        break;
    case TT_PATCH_STRATEGIC:
        r = tt_strategic_merge(original->kind->type, original->doc, original->root, body, err);
        break;
    case TT_PATCH_APPLY:
        return TT_FAIL(err, TT_EMEDIATYPE, "server-side apply is not served");
    }
    if (r == TT_OK) {
        r = tt_json_check(original->root, PATCHED_VALUES_MAX, err);
    }
    return r == TT_OK ? tt_object_adopt(original, validation, ret_issues, err) : r;
}
