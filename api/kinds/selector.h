/* Label selectors and field selectors: parse once, match many.
 *
 * Labels: =, ==, !=, in (…), notin (…), key, !key, joined by commas. Fields: path=value,
 * path==value, path!=value with backslash escapes; only paths the kind lists.
 * Ownership: a selector lives in the arena it was parsed into; an empty text gives a selector that
 * matches everything. Thread: any once built. Errors: TT_EINVAL, worded for the client. */
#ifndef API_KINDS_SELECTOR_H
#define API_KINDS_SELECTOR_H

#include "api/json/json.h"
#include "api/kinds/schema.h"

enum { TT_SELECTOR_SIZE_MAX = 16 << 10, TT_SELECTOR_TERMS_MAX = 256 };

struct tt_label_selector;
struct tt_field_selector;

int tt_label_selector_parse(struct tt_arena *arena, struct tt_str text,
                            const struct tt_label_selector **ret_selector,
                            struct tt_err *err) TT_MUST_USE;
/* From a LabelSelector value ({matchLabels, matchExpressions}). NULL or null matches nothing. */
int tt_label_selector_from(struct tt_arena *arena, yyjson_mut_val *value,
                           const struct tt_label_selector **ret_selector,
                           struct tt_err *err) TT_MUST_USE;
int tt_label_selector_ifrom(struct tt_arena *arena, yyjson_val *value,
                            const struct tt_label_selector **ret_selector,
                            struct tt_err *err) TT_MUST_USE;
bool tt_label_selector_empty(const struct tt_label_selector *selector); /* matches everything */
/* labels: the object's metadata.labels, NULL when it has none. */
bool tt_label_selector_match(const struct tt_label_selector *selector, yyjson_mut_val *labels);
bool tt_label_selector_imatch(const struct tt_label_selector *selector, yyjson_val *labels);

int tt_field_selector_parse(struct tt_arena *arena, const struct tt_kind *kind, struct tt_str text,
                            const struct tt_field_selector **ret_selector,
                            struct tt_err *err) TT_MUST_USE;
bool tt_field_selector_empty(const struct tt_field_selector *selector);
/* A missing field counts as "". */
bool tt_field_selector_match(const struct tt_field_selector *selector, yyjson_val *root);
/* True when the selector demands path=value exactly once: *ret_value borrows from the arena (lists
 * by metadata.name and watches of one object become a lookup). */
bool tt_field_selector_exact(const struct tt_field_selector *selector, const char *path,
                             struct tt_str *ret_value);

#endif
