/* Two levels of hash maps: uid → (dependent key → itself). An owner without dependents is dropped.
 *
 * When a map is full the dependent is forgotten by this index, which is built anew by the next
 * leader: it outlives its owner then, and an owner that waits for its dependents does not wait for
 * it. */
#include "reconciler/core/owners.h"

#include "base/log.h"
#include "base/mem.h"

struct owners {
    struct tt_map *by_uid; /* uid → struct tt_map of dependent keys, owned */
    size_t count_max;      /* of owners, and of the dependents of one of them */
    bool overflow;         /* a reference found no room, which was logged; never cleared */
};

static void free_dependents(void *value)
{
    tt_map_free(value);
}

struct owners *owners_new(size_t count_max)
{
    struct owners *owners = TT_NEW(struct owners);
    owners->count_max = count_max;
    owners->by_uid = tt_map_new(count_max, free_dependents);
    return owners;
}

void owners_free(struct owners *owners)
{
    if (owners != NULL) {
        tt_map_free(owners->by_uid);
        tt_free(owners);
    }
}

bool owners_empty(const struct owners *owners)
{
    return tt_map_count(owners->by_uid) == 0;
}

static void forget(struct owners *owners, struct tt_str dependent_key)
{
    if (!owners->overflow) {
        owners->overflow = true;
        TT_LOG(TT_LOG_ERROR, "reconciler",
               "the index of owners is full: this dependent and others may stay behind when their "
               "owners are deleted; delete objects that are not needed, then restart this server",
               TT_F_STR("name", dependent_key), TT_F_U64("max", owners->count_max));
    }
}

void owners_add(struct owners *owners, struct tt_str uid, struct tt_str dependent_key)
{
    struct tt_map *dependents = tt_map_get(owners->by_uid, uid);
    if (dependents == NULL) {
        dependents = tt_map_new(owners->count_max, NULL);
        if (tt_map_set(owners->by_uid, uid, dependents, NULL) != TT_OK) {
            tt_map_free(dependents);
            forget(owners, dependent_key);
            return;
        }
    }
    /* Only the key counts; the value just must not be NULL. */
    if (tt_map_set(dependents, dependent_key, dependents, NULL) != TT_OK) {
        forget(owners, dependent_key);
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
