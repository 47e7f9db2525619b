/* Who owns whom: an index from an owner's uid to the keys of its dependents, kept from the changes
 * of the store, so that a deletion finds its dependents without looking at everything.
 *
 * Ownership: copies keys. Thread: one. Errors: beyond its bound dependents are not remembered and
 * `overflow` is set: they are then found by the next full listing only. */
#ifndef RECONCILER_CORE_OWNERS_H
#define RECONCILER_CORE_OWNERS_H

#include "base/map.h"
#include "base/queue.h"

struct owners;
struct owners *owners_new(void);
void owners_free(struct owners *owners);
void owners_add(struct owners *owners, struct tt_str uid, struct tt_str dependent_key);
void owners_remove(struct owners *owners, struct tt_str uid, struct tt_str dependent_key);
/* Calls each(ctx, key) for every dependent of uid. each must not change the index. */
void owners_each(const struct owners *owners, struct tt_str uid,
                 void (*each)(void *ctx, struct tt_str dependent_key), void *ctx);
bool owners_has(const struct owners *owners, struct tt_str uid);
bool owners_overflow(const struct owners *owners);

#endif
