/* Manifests: files, directories and standard input, in YAML (several documents each) or JSON, as
 * objects that know where they stand.
 *
 * All is read and checked before anything is used: a mistake in the last document changes nothing.
 * Lists (kind List) are taken apart. Input is outside input: sizes, depth, values and objects are
 * bounded, aliases count as what they stand for, and what YAML readers understand differently
 * (yes/no/on/off, merge keys, own tags) is refused with a line and a way out.
 * Ownership: a manifest owns its objects. Thread: one. Errors: "FILE:LINE: what".
 * Source of the number forms: YAML 1.2.2, 10.3, and the octal form of YAML 1.1 (0644). */
#ifndef CTL_MANIFEST_H
#define CTL_MANIFEST_H

#include "api/json/json.h"
#include "base/options.h"

enum {
    CTL_MANIFEST_FILE_SIZE_MAX = 64 << 20,
    CTL_MANIFEST_VALUES_MAX = 200000, /* of one document, aliases resolved */
    CTL_MANIFEST_OBJECTS_MAX = 20000,
};

struct ctl_mark {
    const yyjson_mut_val *val; /* a value of the document */
    unsigned line;             /* of its key, or of the item */
};
struct ctl_object {
    const char *source;     /* file name, "standard input" */
    unsigned line;          /* where its document begins; from 1 */
    yyjson_mut_doc *doc;    /* in the manifest's arena */
    yyjson_mut_val *root;   /* an object with apiVersion, kind and metadata */
    struct ctl_mark *marks; /* of the whole document, in its order */
    size_t mark_count;      /* of marks; 0 when read from JSON */
};
struct ctl_manifest {
    struct tt_arena *arena;   /* owned; documents, marks and names of files */
    struct ctl_object *items; /* in the order read; Namespaces first */
    size_t count;             /* of items */
    size_t capacity;          /* of items */
};
void ctl_manifest_init(struct ctl_manifest *manifest);
void ctl_manifest_fini(struct ctl_manifest *manifest);
/* sources: paths and "-". Directories: their *.yaml, *.yml and *.json in order of names, with
 * `recursive` also those below. */
int ctl_manifest_read(struct ctl_manifest *manifest, const struct tt_option_values *sources,
                      bool recursive, struct tt_err *err) TT_MUST_USE;
/* Adds what one text holds; source is kept. */
int ctl_manifest_parse(struct ctl_manifest *manifest, struct tt_str text, const char *source,
                       struct tt_err *err) TT_MUST_USE;
/* The line of a field ("spec.containers[0].image"), or of the nearest part that is there. */
unsigned ctl_object_line(const struct ctl_object *object, struct tt_str field);

struct tt_str ctl_object_str(const struct ctl_object *object, const char *dotted);

#endif
