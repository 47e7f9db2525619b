/* One step of a rolling update.
 *
 *   total = Σ replicas may reach desired + surge_max           → the new set grows into that room
 *   available must not fall below desired - unavailable_max    → the old sets shrink within that
 * Unavailable old pods are dropped first: they cost no availability. Each step only uses what is
 * observed now; the sequence of steps ends with the new set at desired and the old ones at 0. */
#include "reconciler/containers/rollout.h"

#include "base/err.h"
#include "base/str.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t not_negative(int64_t a)
{
    return a > 0 ? a : 0;
}

static int64_t total(const struct rollout_set *sets, size_t count, bool next)
{
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += next ? sets[i].next : sets[i].replicas;
    }
    return sum;
}

static void grow_new(const struct rollout_limits *limits, struct rollout_set *sets, size_t count)
{
    struct rollout_set *fresh = &sets[0];
    if (fresh->replicas >= limits->desired) {
        fresh->next = limits->desired; /* scaled down: at once */
        return;
    }
    int64_t room = limits->desired + limits->surge_max - total(sets, count, false);
    fresh->next = fresh->replicas + least(not_negative(room), limits->desired - fresh->replicas);
}

static int64_t take(struct rollout_set *set, int64_t at_most)
{
    int64_t taken = least(set->next, not_negative(at_most));
    set->next -= taken;
    return taken;
}

static void shrink_old(const struct rollout_limits *limits, struct rollout_set *sets, size_t count)
{
    int64_t available_min = limits->desired - limits->unavailable_max;
    int64_t fresh_missing = not_negative(sets[0].next - sets[0].available);
    /* Pods of the new set that are not there yet count as missing, so that old ones stay. */
    int64_t budget = total(sets, count, true) - available_min - fresh_missing;
    for (size_t i = 1; i < count && budget > 0; i++) {
        budget -= take(&sets[i], least(budget, not_negative(sets[i].next - sets[i].available)));
    }
    int64_t available = 0;
    for (size_t i = 0; i < count; i++) {
        available += least(sets[i].available, sets[i].next);
    }
    int64_t spare = not_negative(available - available_min);
    for (size_t i = 1; i < count && spare > 0; i++) {
        spare -= take(&sets[i], spare);
    }
}

/* Keeps the shares while the number of replicas changes (paused rollouts). */
static void scale_in_proportion(const struct rollout_limits *limits, struct rollout_set *sets,
                                size_t count)
{
    int64_t now = total(sets, count, false);
    int64_t wanted = limits->desired;
    if (now == 0) {
        sets[0].next = wanted;
        return;
    }
    int64_t given = 0;
    for (size_t i = 0; i < count; i++) {
        sets[i].next = sets[i].replicas * wanted / now;
        given += sets[i].next;
    }
    for (size_t i = 0; i < count && given < wanted; i++) {
        if (sets[i].replicas > 0) {
            sets[i].next += wanted - given; /* the newest one that runs takes the remainder */
            given = wanted;
        }
    }
}

void rollout_next(const struct rollout_limits *limits, struct rollout_set *sets, size_t count)
{
    TT_ASSERT(count > 0);
    TT_ASSERT(limits->desired >= 0 && limits->surge_max >= 0 && limits->unavailable_max >= 0);
    for (size_t i = 0; i < count; i++) {
        sets[i].next = sets[i].replicas;
    }
    if (limits->paused) {
        scale_in_proportion(limits, sets, count);
        return;
    }
    if (limits->recreate) {
        for (size_t i = 1; i < count; i++) {
            sets[i].next = 0;
        }
        sets[0].next = limits->old_pods > 0 ? sets[0].replicas : limits->desired;
        return;
    }
    grow_new(limits, sets, count);
    shrink_old(limits, sets, count);
}

static bool resolve(const char *text, int64_t desired, bool round_up, int64_t *ret)
{
    struct tt_str s = tt_str_c(text);
    int64_t number;
    if (tt_str_ends(s, TT_STR("%"))) {
        if (!tt_str_to_i64(tt_str_head(s, s.len - 1), &number) || number < 0 || number > 1000) {
            return false;
        }
        *ret = round_up ? (desired * number + 99) / 100 : desired * number / 100;
        return true;
    }
    if (!tt_str_to_i64(s, &number) || number < 0) {
        return false;
    }
    *ret = number;
    return true;
}

bool rollout_resolve(const char *surge, const char *unavailable, struct rollout_limits *limits)
{
    if (!resolve(surge, limits->desired, true, &limits->surge_max) ||
        !resolve(unavailable, limits->desired, false, &limits->unavailable_max)) {
        return false;
    }
    limits->unavailable_max = least(limits->unavailable_max, limits->desired);
    if (limits->surge_max == 0 && limits->unavailable_max == 0) {
        limits->unavailable_max = 1;
    }
    return true;
}
