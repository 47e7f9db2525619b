/* Checking a tree against a type and bringing values into their normal form.
 *
 * Ownership: changes the tree in place. Thread: the arena's.
 * Errors: TT_EINVAL naming the field for a value of the wrong type. */
#ifndef API_KINDS_DECODE_H
#define API_KINDS_DECODE_H

#include "api/json/json.h"
#include "api/kinds/schema.h"

struct decode {
    yyjson_mut_doc *doc;      /* of the tree; new values are made in it */
    struct tt_arena *arena;   /* the document's; paths of messages */
    struct tt_issues *issues; /* receives unknown fields; NULL: they are dropped silently */
    struct tt_err *err;       /* borrowed */
};
/* Unknown and null members are removed, quantities and times normalised. */
int kinds_decode(struct decode *ctx, const struct tt_type *type, yyjson_mut_val *val) TT_MUST_USE;

/* Field defaults, then rules, top-down. False: the arena is full. */
bool kinds_fill_defaults(yyjson_mut_doc *doc, const struct tt_type *type,
                         yyjson_mut_val *root) TT_MUST_USE;

/* Required fields, enums, limits, formats, rules. Adds causes. */
void kinds_validate(struct tt_issues *causes, const struct tt_type *type, yyjson_mut_val *root);
void kinds_validate_update(struct tt_issues *causes, const struct tt_type *type,
                           yyjson_mut_val *root, yyjson_mut_val *old);

#endif
