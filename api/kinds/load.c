/* From schema files to types.
 *
 * Two passes over the files: first every named type gets its (still empty) struct, so that types
 * may refer to each other in any order and recursively; then fields are filled in. A last pass
 * finds out which types have defaults somewhere below, so that defaulting skips the others.
 * Failure modes: malformed JSON, an unknown type or rule name, a name twice; the unit is dropped.
 * Schema files are part of the program; those of CustomResourceDefinitions come from users, hence
 * errors, never assertions. */
#include "api/kinds/load.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/json/json.h"
#include "api/kinds/rules.h"
#include "api/kinds/schema_hash.h"
#include "base/intmath.h"

enum { SCRATCH_SIZE_MAX = 16 << 20, INLINE_DEPTH_MAX = 16 };

struct loader {
    struct kinds_unit *unit;       /* being built */
    const struct kinds_unit *base; /* borrowed; asked for types second; NULL: none */
    struct tt_arena *scratch;      /* the parsed files */
    const char *file;              /* being loaded */
    struct tt_str type_name;       /* being loaded */
    unsigned depth;                /* of inline objects */
    struct tt_err *err;            /* borrowed */
};

static const struct {
    const char *name;    /* as schemas say it */
    struct tt_type type; /* the one that all fields of it share */
} scalars[] = {
    {"string", {.kind = TT_TYPE_STRING}},
    {"int32", {.kind = TT_TYPE_INT32}},
    {"int64", {.kind = TT_TYPE_INT64}},
    {"bool", {.kind = TT_TYPE_BOOL}},
    {"number", {.kind = TT_TYPE_NUMBER}},
    {"quantity", {.kind = TT_TYPE_QUANTITY}},
    {"intOrString", {.kind = TT_TYPE_INT_OR_STRING}},
    {"time", {.kind = TT_TYPE_TIME}},
    {"microTime", {.kind = TT_TYPE_MICRO_TIME}},
    {"duration", {.kind = TT_TYPE_DURATION}},
    {"bytes", {.kind = TT_TYPE_BYTES}},
    {"any", {.kind = TT_TYPE_ANY}},
};
static const struct {
    struct tt_str prefix, full; /* how type names are cut short, and their package */
} packages[] = {
    {{"core.", 5}, {"io.k8s.api.core.v1.", 19}},
    {{"meta.", 5}, {"io.k8s.apimachinery.pkg.apis.meta.v1.", 37}},
};

static int fill_type(struct loader *l, struct tt_type *type, yyjson_val *body);

static int bad(struct loader *l, struct tt_str what, const char *why)
{
    return TT_FAIL(l->err, TT_EINVALID, "schema %s: %.*s: %.*s %s", l->file,
                   TT_STR_ARG(l->type_name), TT_STR_ARG(what), why);
}

static int full(struct loader *l)
{
    return TT_FAIL(l->err, TT_ETOOLARGE, "schema %s: larger than a unit may be", l->file);
}

static struct tt_str keep(struct loader *l, struct tt_str s)
{
    const char *copy = s.len > 0 ? tt_arena_strndup(l->unit->arena, s.ptr, s.len) : NULL;
    return copy != NULL ? tt_str(copy, s.len) : TT_STR("");
}

static struct tt_str keep_member(struct loader *l, yyjson_val *obj, const char *name)
{
    return keep(l, tt_json_istr_of(yyjson_obj_get(obj, name)));
}

/* An array of strings; NULL and 0 when absent. */
static int keep_list(struct loader *l, yyjson_val *obj, const char *name,
                     const struct tt_str **ret_list, uint16_t *ret_count)
{
    yyjson_val *list = yyjson_obj_get(obj, name);
    size_t count = yyjson_arr_size(list), i, n;
    if (count == 0) {
        return TT_OK;
    }
    struct tt_str *copy =
        count < UINT16_MAX ? tt_arena_alloc(l->unit->arena, count * sizeof *copy) : NULL;
    if (copy == NULL) {
        return full(l);
    }
    yyjson_val *item;
    yyjson_arr_foreach(list, i, n, item)
    {
        copy[i] = keep(l, tt_json_istr_of(item));
    }
    *ret_list = copy;
    *ret_count = (uint16_t)count;
    return TT_OK;
}

/* A default outlives the parsed file: it becomes a small document of its own in the unit. */
static int keep_value(struct loader *l, yyjson_val *val, yyjson_val **ret)
{
    TT_AUTO_BUF struct tt_buf buf;
    tt_buf_init(&buf, 64 << 10);
    tt_json_iwrite(&buf, val);
    yyjson_doc *doc = NULL;
    if (!tt_buf_ok(&buf)) {
        return full(l);
    }
    int r = tt_json_read(l->unit->arena, tt_buf_view(&buf), &doc, l->err);
    if (r == TT_OK) {
        *ret = yyjson_doc_get_root(doc);
    }
    return r;
}

static int cmp_type(const void *a, const void *b)
{
    struct tt_type *const *x = a, *const *y = b;
    return tt_str_cmp((*x)->name, (*y)->name);
}

const struct tt_type *kinds_unit_type(const struct kinds_unit *unit, struct tt_str name)
{
    size_t low = 0, high = unit->type_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = tt_str_cmp(unit->types[mid]->name, name);
        if (c == 0) {
            return unit->types[mid];
        }
        low = c < 0 ? mid + 1 : low;
        high = c < 0 ? high : mid;
    }
    return NULL;
}

static const struct tt_type *find_named(struct loader *l, struct tt_str name)
{
    const struct tt_type *type = kinds_unit_type(l->unit, name);
    return type != NULL || l->base == NULL ? type : kinds_unit_type(l->base, name);
}

/* "PodSpec" in the package of the type being loaded, "core.PodSpec", or a full name. */
static const struct tt_type *find_type(struct loader *l, struct tt_str name)
{
    const struct tt_type *type = find_named(l, name);
    char text[256];
    struct tt_str head = TT_STR("");
    for (size_t i = 0; type == NULL && i < sizeof packages / sizeof packages[0]; i++) {
        if (tt_str_starts(name, packages[i].prefix)) {
            head = packages[i].full;
            name = tt_str_skip(name, packages[i].prefix.len);
        }
    }
    if (type == NULL && head.len == 0) {
        for (size_t i = 0; i < l->type_name.len; i++) {
            head = l->type_name.ptr[i] == '.' ? tt_str_head(l->type_name, i + 1) : head;
        }
    }
    if (type == NULL && head.len + name.len < sizeof text) {
        memcpy(text, head.ptr, head.len);
        memcpy(text + head.len, name.ptr, name.len);
        type = find_named(l, tt_str(text, head.len + name.len));
    }
    return type;
}

static struct tt_type *new_type(struct loader *l, enum tt_type_kind kind)
{
    struct tt_type *type = tt_arena_alloc(l->unit->arena, sizeof *type);
    if (type != NULL) {
        *type = (struct tt_type){.kind = kind};
    }
    return type;
}

/* "[]string", "map[quantity]", "PodSpec", "object" (fields follow inline in `body`). */
static int parse_type(struct loader *l, struct tt_str text, yyjson_val *body,
                      const struct tt_type **ret)
{
    bool is_list = tt_str_starts(text, TT_STR("[]"));
    bool is_map = tt_str_starts(text, TT_STR("map[")) && tt_str_ends(text, TT_STR("]"));
    if (is_list || is_map) {
        struct tt_str inner = is_list ? tt_str_skip(text, 2) : tt_str(text.ptr + 4, text.len - 5);
        struct tt_type *type = new_type(l, is_list ? TT_TYPE_LIST : TT_TYPE_MAP);
        *ret = type;
        return type != NULL ? parse_type(l, inner, body, &type->item) : full(l);
    }
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        if (tt_str_eq_c(text, scalars[i].name)) {
            *ret = &scalars[i].type;
            return TT_OK;
        }
    }
    if (tt_str_eq(text, TT_STR("object"))) {
        struct tt_type *type = new_type(l, TT_TYPE_OBJECT);
        if (type == NULL || l->depth == INLINE_DEPTH_MAX) {
            return full(l);
        }
        type->has_defaults = true; /* unnamed types are not in the list that is searched below */
        l->depth++;
        int r = fill_type(l, type, body);
        l->depth--;
        *ret = type;
        return r;
    }
    *ret = find_type(l, text);
    return *ret != NULL ? TT_OK : bad(l, text, "is not a known type");
}

static void fill_limits(struct tt_field *field, yyjson_val *body)
{
    field->has_min = tt_json_ito_i64(yyjson_obj_get(body, "min"), &field->min);
    field->has_max = tt_json_ito_i64(yyjson_obj_get(body, "max"), &field->max);
    field->required = yyjson_get_bool(yyjson_obj_get(body, "required"));
    field->nullable = yyjson_get_bool(yyjson_obj_get(body, "nullable"));
    field->atomic_map = yyjson_get_bool(yyjson_obj_get(body, "atomic"));
    field->pointer = yyjson_get_bool(yyjson_obj_get(body, "pointer"));
    field->proto = (uint32_t)tt_json_iget_i64(body, "proto", 0);
    field->proto_inline = (uint32_t)tt_json_iget_i64(body, "inline", 0);
    struct tt_str list = tt_json_istr_of(yyjson_obj_get(body, "list"));
    field->list_type = tt_str_eq(list, TT_STR("map"))   ? TT_LIST_MAP
                       : tt_str_eq(list, TT_STR("set")) ? TT_LIST_SET
                                                        : TT_LIST_ATOMIC;
    struct tt_str patch = tt_json_istr_of(yyjson_obj_get(body, "patch")), part;
    while (tt_str_cut(&patch, ',', &part)) {
        field->patch_strategy |= tt_str_eq(part, TT_STR("merge")) ? TT_PATCH_MERGE : 0;
        field->patch_strategy |= tt_str_eq(part, TT_STR("retainKeys")) ? TT_PATCH_RETAIN_KEYS : 0;
    }
}

static int fill_field(struct loader *l, struct tt_field *field, struct tt_str name,
                      yyjson_val *body)
{
    *field = (struct tt_field){.name = keep(l, name)};
    fill_limits(field, body);
    field->doc = keep_member(l, body, "doc");
    field->format = keep_member(l, body, "format");
    field->merge_key = keep_member(l, body, "mergeKey");
    int r = keep_list(l, body, "enum", &field->enums, &field->enum_count);
    if (r == TT_OK) {
        r = keep_list(l, body, "listKeys", &field->list_keys, &field->list_key_count);
    }
    yyjson_val *fallback = yyjson_obj_get(body, "default");
    if (r == TT_OK && fallback != NULL) {
        r = keep_value(l, fallback, &field->default_value);
    }
    struct tt_str type = tt_json_istr_of(yyjson_obj_get(body, "type"));
    if (r == TT_OK && type.len == 0) {
        return bad(l, name, "has no type");
    }
    return r == TT_OK ? parse_type(l, type, body, &field->type) : r;
}

/* At most half full, so that a lookup ends soon. */
static int fill_slots(struct loader *l, struct tt_type *type)
{
    uint32_t size = 4;
    while (size < type->field_count * 2) {
        size *= 2;
    }
    uint16_t *slots = tt_arena_alloc(l->unit->arena, size * sizeof *slots);
    if (slots == NULL) {
        return full(l);
    }
    memset(slots, 0, size * sizeof *slots);
    for (uint32_t i = 0; i < type->field_count; i++) {
        uint32_t at = kinds_field_hash(type->fields[i].name) & (size - 1);
        while (slots[at] != 0) {
            at = (at + 1) & (size - 1);
        }
        slots[at] = (uint16_t)(i + 1);
    }
    type->slots = slots;
    type->slot_mask = size - 1;
    return TT_OK;
}

static int fill_rules(struct loader *l, struct tt_type *type, yyjson_val *rules)
{
    size_t count = yyjson_arr_size(rules), i, n;
    if (count == 0) {
        return TT_OK;
    }
    const struct tt_rule **copy = tt_arena_alloc(l->unit->arena, count * sizeof(struct tt_rule *));
    if (copy == NULL) {
        return full(l);
    }
    yyjson_val *item;
    yyjson_arr_foreach(rules, i, n, item)
    {
        copy[i] = kinds_rule(tt_json_istr_of(item));
        if (copy[i] == NULL) {
            return bad(l, tt_json_istr_of(item), "is not a known rule");
        }
    }
    type->rules = copy;
    type->rule_count = (uint32_t)count;
    return TT_OK;
}

static int fill_type(struct loader *l, struct tt_type *type, yyjson_val *body)
{
    yyjson_val *fields = yyjson_obj_get(body, "fields"), *key, *item;
    size_t count = yyjson_obj_size(fields), i, n;
    type->doc = keep_member(l, body, "doc");
    type->keeps_unknown = yyjson_get_bool(yyjson_obj_get(body, "keepsUnknown"));
    struct tt_field *copy = count > 0 && count < UINT16_MAX / 2
                                ? tt_arena_alloc(l->unit->arena, count * sizeof *copy)
                                : NULL;
    if (copy == NULL && count > 0) {
        return full(l);
    }
    yyjson_obj_foreach(fields, i, n, key, item)
    {
        int r = fill_field(l, &copy[i], tt_json_istr_of(key), item);
        if (r < 0) {
            return r;
        }
    }
    type->fields = copy;
    type->field_count = (uint32_t)count;
    int r = fill_slots(l, type);
    return r == TT_OK ? fill_rules(l, type, yyjson_obj_get(body, "rules")) : r;
}

static int fill_columns(struct loader *l, struct tt_kind *kind, yyjson_val *columns)
{
    size_t count = yyjson_arr_size(columns), i, n;
    struct tt_column *copy = tt_arena_alloc(l->unit->arena, (count + 1) * sizeof *copy);
    if (copy == NULL || count > UINT16_MAX) {
        return full(l);
    }
    yyjson_val *item;
    yyjson_arr_foreach(columns, i, n, item)
    {
        copy[i] = (struct tt_column){
            .name = keep_member(l, item, "name"),
            .type = keep_member(l, item, "type"),
            .format = keep_member(l, item, "format"),
            .doc = keep_member(l, item, "doc"),
            .value = keep_member(l, item, "value"),
            .priority = (int32_t)tt_json_iget_i64(item, "priority", 0),
        };
    }
    kind->columns = copy;
    kind->column_count = (uint16_t)count;
    return TT_OK;
}

static int fill_subresources(struct loader *l, struct tt_kind *kind, yyjson_val *list)
{
    size_t count = yyjson_arr_size(list), i, n;
    struct tt_subresource *copy = tt_arena_alloc(l->unit->arena, (count + 1) * sizeof *copy);
    if (copy == NULL || count > UINT16_MAX) {
        return full(l);
    }
    yyjson_val *item;
    yyjson_arr_foreach(list, i, n, item)
    {
        copy[i] = (struct tt_subresource){
            .name = keep_member(l, item, "name"),
            .kind = keep_member(l, item, "kind"),
            .group = keep_member(l, item, "group"),
            .version = keep_member(l, item, "version"),
            .verbs = keep_member(l, item, "verbs"),
        };
        kind->has_status |= tt_str_eq(copy[i].name, TT_STR("status"));
    }
    kind->subresources = copy;
    kind->subresource_count = (uint16_t)count;
    return TT_OK;
}

static int fill_kind_lists(struct loader *l, struct tt_kind *kind, yyjson_val *root)
{
    int r = keep_list(l, root, "shortNames", &kind->short_names, &kind->short_name_count);
    if (r == TT_OK) {
        r = keep_list(l, root, "categories", &kind->categories, &kind->category_count);
    }
    if (r == TT_OK) {
        r = keep_list(l, root, "fieldSelectors", &kind->field_selectors,
                      &kind->field_selector_count);
    }
    if (r == TT_OK) {
        r = keep_list(l, root, "immutable", &kind->immutable_paths, &kind->immutable_count);
    }
    if (r == TT_OK) {
        r = fill_columns(l, kind, yyjson_obj_get(root, "columns"));
    }
    return r == TT_OK ? fill_subresources(l, kind, yyjson_obj_get(root, "subresources")) : r;
}

static uint16_t name_rule_of(struct tt_str text)
{
    return tt_str_eq(text, TT_STR("label"))       ? TT_NAME_LABEL
           : tt_str_eq(text, TT_STR("label1035")) ? TT_NAME_LABEL_1035
                                                  : TT_NAME_SUBDOMAIN;
}

static int load_kind(struct loader *l, yyjson_val *root)
{
    struct tt_kind *kind = tt_arena_alloc(l->unit->arena, sizeof *kind);
    if (kind == NULL || l->unit->kind_count == UNIT_KINDS_MAX) {
        return full(l);
    }
    *kind = (struct tt_kind){
        .group = keep_member(l, root, "group"),
        .version = keep_member(l, root, "version"),
        .kind = keep_member(l, root, "kind"),
        .plural = keep_member(l, root, "plural"),
        .singular = keep_member(l, root, "singular"),
        .doc = keep_member(l, root, "doc"),
        .verbs = keep_member(l, root, "verbs"),
        .namespaced = yyjson_get_bool(yyjson_obj_get(root, "namespaced")),
        .has_generation = yyjson_get_bool(yyjson_obj_get(root, "generation")),
        .has_strategic = !yyjson_get_bool(yyjson_obj_get(root, "custom")),
        .name_rule = name_rule_of(tt_json_istr_of(yyjson_obj_get(root, "nameRule"))),
    };
    if (kind->kind.len == 0 || kind->version.len == 0 || kind->plural.len == 0) {
        return bad(l, kind->kind, "needs kind, version and plural");
    }
    char text[256];
    int n = snprintf(text, sizeof text, "%.*sList", TT_STR_ARG(kind->kind));
    kind->list_kind = keep(l, tt_str(text, tt_size_min((size_t)n, sizeof text - 1)));
    n = snprintf(text, sizeof text, "%.*s%s%.*s", TT_STR_ARG(kind->group),
                 kind->group.len > 0 ? "/" : "", TT_STR_ARG(kind->version));
    kind->api_version = keep(l, tt_str(text, tt_size_min((size_t)n, sizeof text - 1)));
    /* The first type of a kind's file is the kind's own. */
    yyjson_obj_iter it = yyjson_obj_iter_with(yyjson_obj_get(root, "types"));
    yyjson_val *first = yyjson_obj_iter_next(&it);
    kind->type = first != NULL ? find_named(l, tt_json_istr_of(first)) : NULL;
    if (kind->type == NULL) {
        return bad(l, kind->kind, "has no type");
    }
    l->unit->kinds[l->unit->kind_count++] = kind;
    return fill_kind_lists(l, kind, root);
}

static int declare_types(struct loader *l, yyjson_val *root)
{
    yyjson_val *types = yyjson_obj_get(root, "types"), *key, *item;
    size_t i, n;
    yyjson_obj_foreach(types, i, n, key, item)
    {
        struct tt_type *type = new_type(l, TT_TYPE_OBJECT);
        if (type == NULL || l->unit->type_count == UNIT_TYPES_MAX) {
            return full(l);
        }
        type->name = keep(l, tt_json_istr_of(key));
        l->unit->types[l->unit->type_count++] = type;
    }
    return TT_OK;
}

static int fill_types(struct loader *l, yyjson_val *root)
{
    yyjson_val *types = yyjson_obj_get(root, "types"), *key, *item;
    size_t i, n;
    yyjson_obj_foreach(types, i, n, key, item)
    {
        l->type_name = tt_json_istr_of(key);
        const struct tt_type *type = kinds_unit_type(l->unit, l->type_name);
        TT_ASSERT(type != NULL);
        struct tt_type **slot =
            bsearch(&type, l->unit->types, l->unit->type_count, sizeof(struct tt_type *), cmp_type);
        TT_ASSERT(slot != NULL); /* it is one of them */
        int r = fill_type(l, *slot, item);
        if (r < 0) {
            return r;
        }
    }
    return TT_OK;
}

static bool type_has_defaults(const struct tt_type *type)
{
    if (type->item != NULL) {
        return type_has_defaults(type->item);
    }
    return type->has_defaults;
}

/* has_defaults spreads upwards until nothing changes; types may be recursive. */
static void spread_defaults(struct kinds_unit *unit)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < unit->type_count; i++) {
            struct tt_type *type = unit->types[i];
            bool has = type->has_defaults || type->rule_count > 0;
            for (uint32_t k = 0; !has && k < type->field_count; k++) {
                has = type->fields[k].default_value != NULL ||
                      type_has_defaults(type->fields[k].type);
            }
            changed |= has != type->has_defaults;
            type->has_defaults = has;
        }
    }
}

static int load_all(struct loader *l, const struct kinds_source *sources, size_t count)
{
    yyjson_val **roots = tt_arena_alloc(l->scratch, count * sizeof(yyjson_val *));
    int r = roots != NULL ? TT_OK : full(l);
    for (size_t i = 0; r == TT_OK && i < count; i++) {
        yyjson_doc *doc = NULL;
        l->file = sources[i].file;
        r = tt_json_read(l->scratch, sources[i].json, &doc, l->err);
        if (r < 0) {
            return TT_WRAP(l->err, r, "schema %s", l->file);
        }
        roots[i] = yyjson_doc_get_root(doc);
        r = declare_types(l, roots[i]);
    }
    qsort(l->unit->types, l->unit->type_count, sizeof(struct tt_type *), cmp_type);
    for (size_t i = 1; r == TT_OK && i < l->unit->type_count; i++) {
        if (cmp_type(&l->unit->types[i - 1], &l->unit->types[i]) == 0) {
            r = bad(l, l->unit->types[i]->name, "is there twice");
        }
    }
    for (size_t i = 0; r == TT_OK && i < count; i++) {
        l->file = sources[i].file;
        r = fill_types(l, roots[i]);
        if (r == TT_OK && yyjson_obj_get(roots[i], "kind") != NULL) {
            r = load_kind(l, roots[i]);
        }
    }
    return r;
}

int kinds_unit_load(const struct kinds_source *sources, size_t count, const struct kinds_unit *base,
                    struct kinds_unit **ret_unit, struct tt_err *err)
{
    TT_ASSERT(count > 0);
    struct kinds_unit *unit = TT_NEW(struct kinds_unit);
    TT_AUTO(tt_arena) scratch = tt_arena_new(64 << 10, SCRATCH_SIZE_MAX);
    unit->refs = 1;
    unit->arena = tt_arena_new(32 << 10, UNIT_SIZE_MAX);
    unit->types = tt_xcalloc(UNIT_TYPES_MAX, sizeof(struct tt_type *));
    unit->kinds = tt_xcalloc(UNIT_KINDS_MAX, sizeof(struct tt_kind *));
    struct loader l = {.unit = unit, .base = base, .scratch = scratch, .file = "", .err = err};
    int r = load_all(&l, sources, count);
    if (r < 0) {
        kinds_unit_free(unit);
        return r;
    }
    unit->types = tt_xrealloc(unit->types, (unit->type_count + 1) * sizeof(struct tt_type *));
    unit->kinds = tt_xrealloc(unit->kinds, (unit->kind_count + 1) * sizeof(struct tt_kind *));
    spread_defaults(unit);
    *ret_unit = unit;
    return TT_OK;
}

void kinds_unit_free(struct kinds_unit *unit)
{
    if (unit == NULL) {
        return;
    }
    tt_arena_free(unit->arena);
    tt_free(unit->types);
    tt_free(unit->kinds);
    tt_free(unit);
}
