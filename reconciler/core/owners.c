/* Two levels of hash maps: uid → (dependent key → itself). An owner without dependents is dropped.
 */
#include "reconciler/core/owners.h"

#include "base/mem.h"

enum { OWNERS_MAX = 1 << 20, DEPENDENTS_MAX = 1 << 20 };

struct owners {
    struct tt_map *by_uid; /* uid → struct tt_map of dependent keys, owned */
    bool overflow;         /* a reference found no room: the index is not whole; never cleared */
};

static void free_dependents(void *value)
{
    tt_map_free(value);
}

struct owners *owners_new(void)
{
    struct owners *owners = TT_NEW(struct owners);
    owners->by_uid = tt_map_new(OWNERS_MAX, free_dependents);
    return owners;
}

void owners_free(struct owners *owners)
{
    if (owners != NULL) {
        tt_map_free(owners->by_uid);
        tt_free(owners);
    }
}

void owners_add(struct owners *owners, struct tt_str uid, struct tt_str dependent_key)
{
    struct tt_map *dependents = tt_map_get(owners->by_uid, uid);
    if (dependents == NULL) {
        dependents = tt_map_new(DEPENDENTS_MAX, NULL);
        if (tt_map_set(owners->by_uid, uid, dependents, NULL) != TT_OK) {
            tt_map_free(dependents);
            owners->overflow = true;
            return;
        }
    }
    /* Only the key counts; the value just must not be NULL. */
    if (tt_map_set(dependents, dependent_key, dependents, NULL) != TT_OK) {
        owners->overflow = true;
    }
}

void owners_remove(struct owners *owners, struct tt_str uid, struct tt_str dependent_key)
{
    struct tt_map *dependents = tt_map_get(owners->by_uid, uid);
    if (dependents != NULL && tt_map_remove(dependents, dependent_key) &&
        tt_map_count(dependents) == 0) {
        (void)tt_map_remove(owners->by_uid, uid); /* it was found above */
    }
}

void owners_each(const struct owners *owners, struct tt_str uid,
                 void (*each)(void *ctx, struct tt_str dependent_key), void *ctx)
{
    const struct tt_map *dependents = tt_map_get(owners->by_uid, uid);
    struct tt_str key;
    void *value;
    for (size_t i = 0; dependents != NULL && tt_map_next(dependents, &i, &key, &value);) {
        each(ctx, key);
    }
}

bool owners_has(const struct owners *owners, struct tt_str uid)
{
    return tt_map_get(owners->by_uid, uid) != NULL;
}

bool owners_overflow(const struct owners *owners)
{
    return owners->overflow;
}
