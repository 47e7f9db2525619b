/* OpenAPI v3 documents.
 *
 * A document has the paths of each kind of one group-version (collection and item, with the
 * parameters and content types clients look for) and the component schemas reachable from them.
 * Reachable types are gathered breadth-first; each is written once. */
#include "api/kinds/openapi.h"

#include "base/intmath.h"
#include "base/json.h"
#include "base/mem.h"

enum { TYPES_MAX = 4096, TEXT_MAX = 1024 };

/* Types found so far, in order of discovery. */
struct reached {
    const struct tt_type **types; /* owned; named objects, each once; types borrowed */
    size_t count;                 /* of types; <= TYPES_MAX */
    size_t capacity;              /* elements there is room for */
};

static const char ref_prefix[] = "#/components/schemas/";

static void reach(struct reached *set, const struct tt_type *type)
{
    while (type->item != NULL) {
        type = type->item;
    }
    if (type->kind != TT_TYPE_OBJECT || type->name.len == 0) {
        for (uint32_t i = 0; i < type->field_count; i++) {
            reach(set, type->fields[i].type);
        }
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        if (set->types[i] == type) {
            return;
        }
    }
    if (set->count == TYPES_MAX) {
        return; /* more types than any group-version has: the document stays bounded */
    }
    if (set->count == set->capacity) {
        set->capacity = tt_size_max(64, set->capacity * 2);
        set->types = tt_xrealloc(set->types, set->capacity * sizeof(struct tt_type *));
    }
    set->types[set->count++] = type;
}

static void reach_all(struct reached *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct tt_type *type = set->types[i];
        for (uint32_t k = 0; k < type->field_count; k++) {
            reach(set, type->fields[k].type);
        }
    }
}

static void write_ref(struct tt_json_writer *w, const char *key, struct tt_str name,
                      const char *suffix)
{
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_MAX);
    tt_buf_printf(&text, "%s%.*s%s", ref_prefix, TT_STR_ARG(name), suffix);
    tt_json_str(w, key, tt_buf_view(&text));
}

/* text + suffix as a NUL-terminated key. */
static void open_object(struct tt_json_writer *w, struct tt_str text, const char *suffix)
{
    TT_AUTO_BUF struct tt_buf key;
    tt_buf_init(&key, TEXT_MAX);
    tt_buf_str(&key, text);
    tt_buf_c(&key, suffix);
    tt_json_object(w, tt_buf_ok(&key) ? key.ptr : "");
}

static void write_scalar(struct tt_json_writer *w, enum tt_type_kind kind)
{
    static const struct {
        enum tt_type_kind kind;    /* a scalar; ANY has no row */
        const char *type, *format; /* OpenAPI's; format NULL: none */
    } scalars[] = {
        {TT_TYPE_STRING, "string", NULL},
        {TT_TYPE_INT32, "integer", "int32"},
        {TT_TYPE_INT64, "integer", "int64"},
        {TT_TYPE_BOOL, "boolean", NULL},
        {TT_TYPE_NUMBER, "number", "double"},
        {TT_TYPE_QUANTITY, "string", NULL},
        {TT_TYPE_TIME, "string", "date-time"},
        {TT_TYPE_MICRO_TIME, "string", "date-time"},
        {TT_TYPE_DURATION, "string", NULL},
        {TT_TYPE_BYTES, "string", "byte"},
        {TT_TYPE_INT_OR_STRING, "string", "int-or-string"},
    };
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++) {
        if (scalars[i].kind == kind) {
            tt_json_c(w, "type", scalars[i].type);
            if (scalars[i].format != NULL) {
                tt_json_c(w, "format", scalars[i].format);
            }
        }
    }
    if (kind == TT_TYPE_ANY) {
        tt_json_c(w, "type", "object");
    }
}

static void write_properties(struct tt_json_writer *w, const struct tt_type *type, unsigned depth);

/* The members that describe a type, inside an object that is open. */
static void write_type(struct tt_json_writer *w, const struct tt_type *type, unsigned depth)
{
    if (type->kind == TT_TYPE_LIST) {
        tt_json_c(w, "type", "array");
        tt_json_object(w, "items");
        write_type(w, type->item, depth + 1);
        tt_json_object_end(w);
    } else if (type->kind == TT_TYPE_MAP) {
        tt_json_c(w, "type", "object");
        tt_json_object(w, "additionalProperties");
        write_type(w, type->item, depth + 1);
        tt_json_object_end(w);
    } else if (type->kind == TT_TYPE_OBJECT && type->name.len > 0) {
        tt_json_array(w, "allOf");
        tt_json_object(w, NULL);
        write_ref(w, "$ref", type->name, "");
        tt_json_object_end(w);
        tt_json_array_end(w);
    } else if (type->kind == TT_TYPE_OBJECT) {
        tt_json_c(w, "type", "object");
        write_properties(w, type, depth + 1);
    } else {
        write_scalar(w, type->kind);
    }
}

static void write_strings(struct tt_json_writer *w, const char *key, const struct tt_str *list,
                          size_t count)
{
    tt_json_array(w, key);
    for (size_t i = 0; i < count; i++) {
        tt_json_str(w, NULL, list[i]);
    }
    tt_json_array_end(w);
}

static void write_merge_facts(struct tt_json_writer *w, const struct tt_field *field)
{
    static const char *const list_types[] = {"atomic", "set", "map"};
    static const char *const strategies[] = {"", "merge", "retainKeys", "merge,retainKeys"};
    if (field->type->kind == TT_TYPE_LIST) {
        tt_json_c(w, "x-kubernetes-list-type", list_types[field->list_type]);
    }
    if (field->list_key_count > 0) {
        write_strings(w, "x-kubernetes-list-map-keys", field->list_keys, field->list_key_count);
    }
    if (field->atomic_map) {
        tt_json_c(w, "x-kubernetes-map-type", "atomic");
    }
    if (field->merge_key.len > 0) {
        tt_json_str(w, "x-kubernetes-patch-merge-key", field->merge_key);
    }
    if (field->patch_strategy != 0) {
        tt_json_c(w, "x-kubernetes-patch-strategy", strategies[field->patch_strategy & 3]);
    }
}

static void write_field(struct tt_json_writer *w, const struct tt_field *field, unsigned depth)
{
    open_object(w, field->name, "");
    if (field->doc.len > 0) {
        tt_json_str(w, "description", field->doc);
    }
    write_type(w, field->type, depth);
    if (field->enum_count > 0 && field->type->kind == TT_TYPE_STRING) {
        write_strings(w, "enum", field->enums, field->enum_count);
    }
    write_merge_facts(w, field);
    tt_json_object_end(w);
}

static void write_properties(struct tt_json_writer *w, const struct tt_type *type, unsigned depth)
{
    bool required = false;
    if (depth > 24) {
        return; /* the writer tracks 63 levels; unnamed objects nest no deeper in practice */
    }
    tt_json_object(w, "properties");
    for (uint32_t i = 0; i < type->field_count; i++) {
        write_field(w, &type->fields[i], depth);
        required |= type->fields[i].required;
    }
    tt_json_object_end(w);
    if (required) {
        tt_json_array(w, "required");
        for (uint32_t i = 0; i < type->field_count; i++) {
            if (type->fields[i].required) {
                tt_json_str(w, NULL, type->fields[i].name);
            }
        }
        tt_json_array_end(w);
    }
}

static void write_gvk(struct tt_json_writer *w, const char *key, const struct tt_kind *kind,
                      struct tt_str name)
{
    tt_json_object(w, key);
    tt_json_str(w, "group", kind->group);
    tt_json_str(w, "version", kind->version);
    tt_json_str(w, "kind", name);
    tt_json_object_end(w);
}

static const struct tt_kind *kind_of_type(const struct tt_kinds *kinds, const struct tt_type *type)
{
    for (size_t i = 0; i < tt_kinds_count(kinds); i++) {
        if (tt_kinds_at(kinds, i)->type == type) {
            return tt_kinds_at(kinds, i);
        }
    }
    return NULL;
}

static void write_schema(struct tt_json_writer *w, const struct tt_kinds *kinds,
                         const struct tt_type *type)
{
    const struct tt_kind *kind = kind_of_type(kinds, type);
    struct tt_str doc = kind != NULL ? kind->doc : type->doc;
    open_object(w, type->name, "");
    if (doc.len > 0) {
        tt_json_str(w, "description", doc);
    }
    tt_json_c(w, "type", "object");
    write_properties(w, type, 0);
    if (kind != NULL) {
        tt_json_array(w, "x-kubernetes-group-version-kind");
        write_gvk(w, NULL, kind, kind->kind);
        tt_json_array_end(w);
    }
    tt_json_object_end(w);
}

static void write_list_schema(struct tt_json_writer *w, const struct tt_kind *kind)
{
    static const struct tt_str list_meta = {"io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta", 45};
    open_object(w, kind->type->name, "List");
    tt_json_c(w, "type", "object");
    tt_json_object(w, "properties");
    tt_json_object(w, "apiVersion");
    tt_json_c(w, "type", "string");
    tt_json_object_end(w);
    tt_json_object(w, "kind");
    tt_json_c(w, "type", "string");
    tt_json_object_end(w);
    tt_json_object(w, "metadata");
    write_ref(w, "$ref", list_meta, "");
    tt_json_object_end(w);
    tt_json_object(w, "items");
    tt_json_c(w, "type", "array");
    tt_json_object(w, "items");
    write_ref(w, "$ref", kind->type->name, "");
    tt_json_object_end(w);
    tt_json_object_end(w);
    tt_json_object_end(w);
    tt_json_array(w, "x-kubernetes-group-version-kind");
    write_gvk(w, NULL, kind, kind->list_kind);
    tt_json_array_end(w);
    tt_json_object_end(w);
}

static void write_parameter(struct tt_json_writer *w, const char *name, const char *in)
{
    tt_json_object(w, NULL);
    tt_json_c(w, "name", name);
    tt_json_c(w, "in", in);
    if (in[0] == 'p') {
        tt_json_bool(w, "required", true);
    }
    tt_json_object(w, "schema");
    tt_json_c(w, "type", "string");
    tt_json_object_end(w);
    tt_json_object_end(w);
}

static void write_body(struct tt_json_writer *w, const struct tt_kind *kind, bool patch)
{
    static const char *const patches[] = {"application/json-patch+json",
                                          "application/merge-patch+json",
                                          "application/strategic-merge-patch+json"};
    tt_json_object(w, "requestBody");
    tt_json_object(w, "content");
    for (size_t i = 0; patch && i < (kind->has_strategic ? 3u : 2u); i++) {
        tt_json_object(w, patches[i]);
        tt_json_object_end(w);
    }
    if (!patch) {
        tt_json_object(w, "application/json");
        tt_json_object(w, "schema");
        write_ref(w, "$ref", kind->type->name, "");
        tt_json_object_end(w);
        tt_json_object_end(w);
    }
    tt_json_object_end(w);
    tt_json_object_end(w);
}

/* One operation; `action` is Kubernetes' verb. */
struct operation {
    const char *method, *action; /* method: lower case, a key of the path item */
    bool writes;                 /* takes fieldValidation and dryRun */
    bool body;                   /* takes one: an object, or a patch when so is method */
    bool list;                   /* answers a list */
};

static void write_operation(struct tt_json_writer *w, const struct tt_kind *kind,
                            const struct operation *op)
{
    tt_json_object(w, op->method);
    tt_json_c(w, "x-kubernetes-action", op->action);
    write_gvk(w, "x-kubernetes-group-version-kind", kind, kind->kind);
    if (op->writes) {
        tt_json_array(w, "parameters");
        write_parameter(w, "dryRun", "query");
        write_parameter(w, "fieldManager", "query");
        write_parameter(w, "fieldValidation", "query");
        tt_json_array_end(w);
    }
    if (op->body) {
        write_body(w, kind, strcmp(op->method, "patch") == 0);
    }
    tt_json_object(w, "responses");
    tt_json_object(w, "200");
    tt_json_c(w, "description", "OK");
    tt_json_object(w, "content");
    tt_json_object(w, "application/json");
    tt_json_object(w, "schema");
    write_ref(w, "$ref", kind->type->name, op->list ? "List" : "");
    for (int i = 0; i < 6; i++) {
        tt_json_object_end(w); /* schema, media type, content, 200, responses, operation */
    }
}

static void write_path(struct tt_json_writer *w, const struct tt_kind *kind, struct tt_str path,
                       bool item)
{
    static const struct operation collection[] = {
        {"get", "list", false, false, true},
        {"post", "post", true, true, false},
    };
    static const struct operation single[] = {
        {"get", "get", false, false, false},
        {"put", "put", true, true, false},
        {"patch", "patch", true, true, false},
        {"delete", "delete", false, false, false},
    };
    size_t count =
        item ? sizeof single / sizeof single[0] : sizeof collection / sizeof collection[0];
    TT_AUTO_BUF struct tt_buf text;
    tt_buf_init(&text, TEXT_MAX);
    tt_buf_printf(&text, "/%.*s/%s%.*s%s", TT_STR_ARG(path),
                  kind->namespaced ? "namespaces/{namespace}/" : "", TT_STR_ARG(kind->plural),
                  item ? "/{name}" : "");
    tt_json_object(w, tt_buf_ok(&text) ? text.ptr : "");
    for (size_t i = 0; i < count; i++) {
        write_operation(w, kind, item ? &single[i] : &collection[i]);
    }
    if (item || kind->namespaced) {
        tt_json_array(w, "parameters");
        if (item) {
            write_parameter(w, "name", "path");
        }
        if (kind->namespaced) {
            write_parameter(w, "namespace", "path");
        }
        tt_json_array_end(w);
    }
    tt_json_object_end(w);
}

static bool parse_path(struct tt_str path, struct tt_str *ret_group, struct tt_str *ret_version)
{
    struct tt_str part;
    if (!tt_str_cut(&path, '/', &part)) {
        return false;
    }
    if (tt_str_eq(part, TT_STR("api"))) {
        *ret_group = TT_STR("");
        *ret_version = path;
        return true;
    }
    if (!tt_str_eq(part, TT_STR("apis")) || !tt_str_cut(&path, '/', ret_group)) {
        return false;
    }
    *ret_version = path;
    return ret_group->len > 0;
}

static void write_document(struct tt_json_writer *w, const struct tt_kinds *kinds,
                           struct tt_str path, struct tt_str group, struct tt_str version)
{
    struct reached set = {0};
    tt_json_object(w, NULL);
    tt_json_c(w, "openapi", "3.0.0");
    tt_json_object(w, "info");
    tt_json_c(w, "title", "tutti");
    tt_json_str(w, "version", version);
    tt_json_object_end(w);
    tt_json_object(w, "paths");
    for (size_t i = 0; i < tt_kinds_count(kinds); i++) {
        const struct tt_kind *kind = tt_kinds_at(kinds, i);
        if (tt_str_eq(kind->group, group) && tt_str_eq(kind->version, version)) {
            reach(&set, kind->type);
            write_path(w, kind, path, false);
            write_path(w, kind, path, true);
        }
    }
    tt_json_object_end(w);
    tt_json_object(w, "components");
    tt_json_object(w, "schemas");
    const struct tt_type *list_meta =
        tt_kinds_type(kinds, TT_STR("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"));
    if (list_meta != NULL) {
        reach(&set, list_meta);
    }
    reach_all(&set);
    for (size_t i = 0; i < set.count; i++) {
        write_schema(w, kinds, set.types[i]);
        const struct tt_kind *kind = kind_of_type(kinds, set.types[i]);
        if (kind != NULL) {
            write_list_schema(w, kind);
        }
    }
    tt_json_object_end(w);
    tt_json_object_end(w);
    tt_json_object_end(w);
    tt_free(set.types);
}

bool tt_openapi_document(struct tt_buf *buf, const struct tt_kinds *kinds, struct tt_str path)
{
    struct tt_json_writer w;
    struct tt_str group, version;
    if (!parse_path(path, &group, &version) || !tt_kinds_has_group_version(kinds, group, version)) {
        return false;
    }
    tt_json_begin(&w, buf);
    write_document(&w, kinds, path, group, version);
    return true;
}

bool tt_openapi_hash(const struct tt_kinds *kinds, struct tt_str path,
                     char out[TT_OPENAPI_HASH_SIZE])
{
    TT_AUTO_BUF struct tt_buf document;
    tt_buf_init(&document, TT_OPENAPI_SIZE_MAX);
    if (!tt_openapi_document(&document, kinds, path)) {
        return false;
    }
    uint64_t hash[2] = {14695981039346656037u, 1099511628211u * 31}; /* FNV-1a, two seeds */
    for (size_t i = 0; i < document.len; i++) {
        hash[0] = (hash[0] ^ (uint8_t)document.ptr[i]) * 1099511628211u;
        hash[1] = (hash[1] ^ (uint8_t)document.ptr[i]) * 1099511628211u;
    }
    uint8_t bytes[16];
    tt_le64_put(bytes, hash[0]);
    tt_le64_put(bytes + 8, hash[1]);
    (void)tt_hex_encode(bytes, sizeof bytes, out); /* 32 characters and a NUL */
    return true;
}

void tt_openapi_index(struct tt_buf *buf, const struct tt_kinds *kinds)
{
    tt_buf_c(buf, "{\"paths\":{");
    const struct tt_kind *was = NULL;
    for (size_t i = 0; i < tt_kinds_count(kinds); i++) {
        const struct tt_kind *kind = tt_kinds_at(kinds, i);
        char hash[TT_OPENAPI_HASH_SIZE];
        if (was != NULL && tt_str_eq(was->api_version, kind->api_version)) {
            continue;
        }
        TT_AUTO_BUF struct tt_buf path;
        tt_buf_init(&path, TEXT_MAX);
        tt_buf_printf(&path, "%s/%.*s", kind->group.len > 0 ? "apis" : "api",
                      TT_STR_ARG(kind->api_version));
        if (tt_openapi_hash(kinds, tt_buf_view(&path), hash)) {
            tt_buf_printf(buf, "%s\"%.*s\":{\"serverRelativeURL\":\"/openapi/v3/%.*s?hash=%s\"}",
                          was != NULL ? "," : "", TT_STR_ARG(tt_buf_view(&path)),
                          TT_STR_ARG(tt_buf_view(&path)), hash);
        }
        was = kind;
    }
    tt_buf_c(buf, "}}");
}
