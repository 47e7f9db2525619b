/* Lookups in schemas: fields by an open-addressed table that the loader made, lists by walking
 * (they have a handful of entries). */
#include "api/kinds/schema.h"

#include "api/kinds/schema_hash.h"

const struct tt_field *tt_type_field(const struct tt_type *type, struct tt_str name)
{
    if (type->slots == NULL) {
        return NULL;
    }
    uint32_t at = kinds_field_hash(name) & type->slot_mask;
    while (type->slots[at] != 0) { /* the table is at most half full */
        const struct tt_field *field = &type->fields[type->slots[at] - 1];
        if (tt_str_eq(field->name, name)) {
            return field;
        }
        at = (at + 1) & type->slot_mask;
    }
    return NULL;
}

const struct tt_subresource *tt_kind_subresource(const struct tt_kind *kind, struct tt_str name)
{
    for (size_t i = 0; i < kind->subresource_count; i++) {
        if (tt_str_eq(kind->subresources[i].name, name)) {
            return &kind->subresources[i];
        }
    }
    return NULL;
}

bool tt_kind_has_field_selector(const struct tt_kind *kind, struct tt_str path)
{
    for (size_t i = 0; i < kind->field_selector_count; i++) {
        if (tt_str_eq(kind->field_selectors[i], path)) {
            return true;
        }
    }
    return false;
}

bool tt_kind_has_verb(const struct tt_kind *kind, struct tt_str verb)
{
    struct tt_str rest = kind->verbs, part;
    while (tt_str_cut(&rest, ',', &part)) {
        if (tt_str_eq(part, verb)) {
            return true;
        }
    }
    return false;
}
