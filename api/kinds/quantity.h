/* Kubernetes quantities ("500m", "1.5Gi", "1e3") and Go durations ("1h30m"), exact or refused.
 *
 * A quantity is kept in nano units as a 128-bit integer; parsing rounds up beyond nano, as
 * Kubernetes does. Ownership: plain values. Thread: any.
 * Errors: false for malformed or out-of-range text. Source: Kubernetes API, "Quantity". */
#ifndef API_KINDS_QUANTITY_H
#define API_KINDS_QUANTITY_H

#include "base/intmath.h"
#include "base/str.h"

enum tt_quantity_format { TT_QUANTITY_DECIMAL, TT_QUANTITY_BINARY, TT_QUANTITY_EXPONENT };
struct tt_quantity {
    tt_i128 nano;                   /* value × 10^9 */
    enum tt_quantity_format format; /* how it was written: suffix family kept when formatted */
};
bool tt_quantity_parse(struct tt_str text, struct tt_quantity *ret);
enum { TT_QUANTITY_TEXT_SIZE = 64 };
/* Canonical form: the largest suffix of its family that leaves no fraction ("1500m", "2Gi", "1").
 * Returns the length. */
size_t tt_quantity_format(const struct tt_quantity *quantity, char out[TT_QUANTITY_TEXT_SIZE]);
int tt_quantity_cmp(const struct tt_quantity *a, const struct tt_quantity *b);
bool tt_quantity_add(struct tt_quantity *a, const struct tt_quantity *b); /* false: overflow */
bool tt_quantity_sub(struct tt_quantity *a, const struct tt_quantity *b);
/* Rounded up; false when out of range. */
bool tt_quantity_milli(const struct tt_quantity *quantity, int64_t *ret_milli);
bool tt_quantity_value(const struct tt_quantity *quantity, int64_t *ret_value);

bool tt_duration_parse(struct tt_str text, int64_t *ret_ns);
enum { TT_DURATION_TEXT_SIZE = 40 };
size_t tt_duration_format(int64_t ns, char out[TT_DURATION_TEXT_SIZE]); /* "1h30m0s" */
/* As kubectl's AGE column: "5s", "3m12s", "4h", "2d3h", "400d", "3y". */
size_t tt_duration_human(int64_t seconds, char out[TT_DURATION_TEXT_SIZE]);

#endif
