/* Strategic merge patch: merges by the keys in the schema.
 *
 * Directives: $patch: delete | replace | merge, $setElementOrder/<list>,
 * $deleteFromPrimitiveList/<list>, $retainKeys. Lists without patchStrategy merge are replaced.
 * Ownership: values live in doc's arena. Thread: one.
 * Errors: TT_EINVAL for malformed directives or elements without their merge key, TT_ETOOLARGE. */
#ifndef API_KINDS_STRATEGIC_H
#define API_KINDS_STRATEGIC_H

#include "api/json/json.h"
#include "api/kinds/schema.h"

/* Changes target; patch values are moved into it (the patch is used up). */
int tt_strategic_merge(const struct tt_type *type, yyjson_mut_doc *doc, yyjson_mut_val *target,
                       yyjson_mut_val *patch, struct tt_err *err) TT_MUST_USE;

#endif
