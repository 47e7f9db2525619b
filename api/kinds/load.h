/* Loading schema files into a unit: the types and kinds of one or more files, in one arena.
 *
 * Ownership: a unit owns its arena; kinds and types live in it. Types of a base unit are borrowed:
 * a snapshot that holds a unit holds its base too. Thread: one while loading, then read-only.
 * Errors: TT_EINVALID naming file and type. */
#ifndef API_KINDS_LOAD_H
#define API_KINDS_LOAD_H

#include "api/kinds/schema.h"

enum {
    UNIT_SIZE_MAX = 8 << 20, /* bytes of one unit's schemas */
    UNIT_TYPES_MAX = 4096,
    UNIT_KINDS_MAX = 256,
};

struct kinds_unit {
    uint32_t refs;          /* under the registry's lock */
    struct tt_arena *arena; /* owned; the types and kinds themselves */
    struct tt_type **types; /* owned array of the named ones, sorted by name once loaded */
    size_t type_count;      /* of types */
    struct tt_kind **kinds; /* owned array, in the order of the files; kinds: in the arena */
    size_t kind_count;      /* of kinds */
};
struct kinds_source {
    const char *file;   /* for messages */
    struct tt_str json; /* borrowed while loading */
};
/* base may be NULL. The unit starts with one reference. */
int kinds_unit_load(const struct kinds_source *sources, size_t count, const struct kinds_unit *base,
                    struct kinds_unit **ret_unit, struct tt_err *err) TT_MUST_USE;
void kinds_unit_free(struct kinds_unit *unit);
const struct tt_type *kinds_unit_type(const struct kinds_unit *unit, struct tt_str name);

#endif
