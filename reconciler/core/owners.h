/* Who owns whom: an index from an owner's uid to the keys of its dependents, kept from the changes
 * of the store, so that a deletion finds its dependents without looking at everything.
 *
 * Ownership: copies keys. Thread: one. Errors: beyond its bounds dependents are not remembered; the
 * first time that is logged with what to do. */
#ifndef RECONCILER_CORE_OWNERS_H
#define RECONCILER_CORE_OWNERS_H

#include "base/map.h"
#include "base/queue.h"

/* Of owners, and of the dependents of one of them. */
enum { OWNERS_MAX = 1 << 20 };

struct owners;
struct owners *owners_new(size_t count_max);
void owners_free(struct owners *owners);
bool owners_empty(const struct owners *owners);
void owners_add(struct owners *owners, struct tt_str uid, struct tt_str dependent_key);
void owners_remove(struct owners *owners, struct tt_str uid, struct tt_str dependent_key);
/* Calls each(ctx, key) for every dependent of uid. each must not change the index. */
void owners_each(const struct owners *owners, struct tt_str uid,
                 void (*each)(void *ctx, struct tt_str dependent_key), void *ctx);

#endif
