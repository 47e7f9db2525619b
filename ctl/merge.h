/* The three-way merge of apply: what the manifest says now, what it said last time, what is there.
 *
 *   fields of the manifest win; fields it had last time and has no more go; all else stays
 * Lists follow the schema of the kind: merged by their key (containers by name), as sets, or as a
 * whole. The last manifest is kept in the annotation kubectl uses, in kubectl's form, so that both
 * tools can take turns. Ownership: values live in the documents' arenas. Thread: one.
 * Errors: TT_ETOOLARGE when an arena is full. */
#ifndef CTL_MERGE_H
#define CTL_MERGE_H

#include "api/json/json.h"
#include "api/kinds/schema.h"

#define CTL_LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

/* Changes live (a value of doc) to what it should be. last may be NULL; type NULL: a kind without a
 * built-in schema, whose lists are replaced as a whole. */
int ctl_merge(const struct tt_type *type, yyjson_mut_doc *doc, yyjson_mut_val *live,
              yyjson_mut_val *last, yyjson_mut_val *next, struct tt_err *err) TT_MUST_USE;
/* Sets the annotation of object to the object without it. */
int ctl_last_applied_set(yyjson_mut_doc *doc, yyjson_mut_val *object,
                         struct tt_err *err) TT_MUST_USE;
/* What the annotation of live holds; *ret is NULL when there is none or it is not readable. */
void ctl_last_applied_get(struct tt_arena *arena, yyjson_mut_val *live, yyjson_mut_val **ret);

#endif
