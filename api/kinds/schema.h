/* What a kind is: types with fields, and the facts that routes, tables, patches and discovery read.
 *
 * Built from the schema files (api/kinds/<kind>.json; api/kinds/README.md explains the format) or,
 * later, from CustomResourceDefinitions. Everything here is immutable once its registry snapshot is
 * published.
 * Ownership: all pointers belong to the registry snapshot (registry.h). Thread: any, read-only.
 * Errors: none, it was checked when it was built. */
#ifndef API_KINDS_SCHEMA_H
#define API_KINDS_SCHEMA_H

#include <yyjson.h>

#include "base/mem.h"
#include "base/str.h"

enum tt_type_kind {
    TT_TYPE_OBJECT = 1, /* fixed fields */
    TT_TYPE_LIST,       /* of item */
    TT_TYPE_MAP,        /* string → item */
    TT_TYPE_STRING,
    TT_TYPE_INT32,
    TT_TYPE_INT64,
    TT_TYPE_BOOL,
    TT_TYPE_NUMBER,   /* float or double */
    TT_TYPE_QUANTITY, /* "500m"; numbers are accepted and become strings */
    TT_TYPE_INT_OR_STRING,
    TT_TYPE_TIME, /* RFC 3339, whole seconds; null is accepted */
    TT_TYPE_MICRO_TIME,
    TT_TYPE_DURATION, /* Go notation: "1h30m" */
    TT_TYPE_BYTES,    /* base64 */
    TT_TYPE_ANY,      /* any JSON, kept as it is */
};

enum tt_patch_strategy { /* flags */
                         TT_PATCH_MERGE = 1,
                         TT_PATCH_RETAIN_KEYS = 2,
};
enum tt_list_type { TT_LIST_ATOMIC = 0, TT_LIST_SET, TT_LIST_MAP };

struct tt_rule;
struct tt_type;
struct tt_field {
    struct tt_str name;             /* the JSON member */
    const struct tt_type *type;     /* never NULL; the unit's, its base's or a static scalar */
    struct tt_str doc;              /* own words; may be empty */
    yyjson_val *default_value;      /* NULL: none */
    const struct tt_str *enums;     /* allowed values; NULL: any */
    const struct tt_str *list_keys; /* server-side apply keys of a LIST_MAP */
    struct tt_str merge_key;        /* strategic merge key; empty: none */
    struct tt_str format;           /* named check of strings: dns1123Label, … ; empty: none */
    int64_t min, max;               /* of whole numbers; checked when has_min / has_max */
    uint32_t proto;                 /* protobuf field number; 0: not in the wire format */
    uint32_t proto_inline;          /* number of the embedded message it sits in; 0: none */
    uint16_t enum_count, list_key_count; /* of enums and list_keys */
    uint8_t patch_strategy;              /* enum tt_patch_strategy flags */
    uint8_t list_type;                   /* enum tt_list_type */
    /* nullable: null is kept, else it reads as absent. atomic_map: server-side apply takes it as
     * one value. */
    uint8_t required : 1, has_min : 1, has_max : 1, nullable : 1, atomic_map : 1;
    uint8_t pointer : 1; /* zero ("", 0, false) is a value of its own; otherwise it means unset */
};
struct tt_type {
    enum tt_type_kind kind;        /* says which members below count */
    uint32_t field_count;          /* of fields; 0 unless an object */
    struct tt_str name;            /* objects: "io.k8s.api.core.v1.PodSpec"; empty otherwise */
    struct tt_str doc;             /* own words; may be empty */
    const struct tt_type *item;    /* lists and maps */
    const struct tt_field *fields; /* objects: in schema order */
    const uint16_t *slots;         /* objects: hash → field index + 1; slot_mask + 1 entries */
    uint32_t slot_mask;            /* a power of two less one; at most half of the slots are used */
    uint32_t rule_count;           /* of rules */
    const struct tt_rule *const *rules; /* semantic defaulters and checks (rules.h) */
    bool has_defaults;  /* something at or below this type has a default or a rule */
    bool keeps_unknown; /* unknown fields are kept and never reported */
};

/* A printer column. */
struct tt_column {
    struct tt_str name, type, format, doc; /* type: string, integer, date, boolean, number */
    struct tt_str value; /* ".status.phase", or "#name" for a rendering in table_cells.c */
    int32_t priority;    /* > 0: only with -o wide */
};
struct tt_subresource {
    struct tt_str name;           /* "status", "scale", "log", … */
    struct tt_str kind;           /* kind of its body when it differs: "Scale" */
    struct tt_str group, version; /* of that kind; version empty: the parent's own */
    struct tt_str verbs;          /* "get,patch,update" */
};

struct tt_kind {
    /* group: "" for core; list_kind: "PodList"; plural: as in paths; singular: may be "". */
    struct tt_str group, version, kind, list_kind, plural, singular;
    struct tt_str api_version; /* "v1", "apps/v1" */
    struct tt_str doc;         /* own words; may be empty */
    struct tt_str verbs;       /* comma-separated, alphabetical */
    /* Lists, NULL when empty. The last two are dotted paths; an update may not change the last. */
    const struct tt_str *short_names, *categories, *field_selectors, *immutable_paths;
    const struct tt_column *columns;           /* NAME first; empty: NAME and AGE */
    const struct tt_subresource *subresources; /* subresource_count of them */
    const struct tt_type *type;                /* of the whole object */
    /* Of the arrays above. */
    uint16_t short_name_count, category_count, field_selector_count, immutable_count, column_count,
        subresource_count;
    bool namespaced;     /* else cluster-scoped */
    bool has_status;     /* status is a subresource: main writes keep it, status writes only it */
    bool has_generation; /* metadata.generation follows changes of spec */
    bool has_strategic;  /* strategic merge patch allowed (false for custom resources) */
    uint16_t name_rule;  /* enum tt_name_rule */
};
enum tt_name_rule { TT_NAME_SUBDOMAIN = 0, TT_NAME_LABEL, TT_NAME_LABEL_1035 };

/* NULL when there is none. */
const struct tt_field *tt_type_field(const struct tt_type *type, struct tt_str name);
const struct tt_subresource *tt_kind_subresource(const struct tt_kind *kind, struct tt_str name);
bool tt_kind_has_field_selector(const struct tt_kind *kind, struct tt_str path);
bool tt_kind_has_verb(const struct tt_kind *kind, struct tt_str verb);

#endif
