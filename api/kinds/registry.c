/* Snapshots of kinds.
 *
 * A snapshot is a sorted array of kinds and the units that own them. Readers take a reference under
 * a lock that is held for two instructions; after that they read without any. add and remove build
 * the next snapshot beside the current one and swap the pointer; the old one lives until its last
 * reader lets go.
 * Units: number 0 holds the built-in schemas and is part of each snapshot, because the types of
 * later units refer to its types. Failure modes: a bad schema changes nothing. */
#include "api/kinds/registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api/kinds/builtin.h"
#include "api/kinds/load.h"

enum { BUILTIN_FILES_MAX = 64 };

/* One kind and where it comes from. */
struct entry {
    const struct tt_kind *kind; /* in the unit's arena */
    struct kinds_unit *unit;    /* counted once per entry and once more for unit 0 */
};
struct tt_kinds {
    struct tt_registry *registry; /* whose lock guards refs */
    uint32_t refs;                /* of readers, and one while it is current */
    uint64_t generation;          /* from 1, one more with each that is published */
    size_t count;                 /* of entries */
    struct kinds_unit *builtin;   /* holds one reference */
    struct entry entries[];       /* by group, version, plural */
};
struct tt_registry {
    pthread_mutex_t lock;        /* current, and all reference counts */
    uint32_t refs;               /* the owner and each snapshot */
    struct tt_kinds *current;    /* one reference; NULL only while it is freed */
    _Atomic uint64_t generation; /* of current: told without the lock */
};

static int cmp_kind(const struct tt_kind *a, const struct tt_kind *b)
{
    int c = tt_str_cmp(a->group, b->group);
    c = c != 0 ? c : tt_str_cmp(a->version, b->version);
    return c != 0 ? c : tt_str_cmp(a->plural, b->plural);
}

static int cmp_entry(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return cmp_kind(x->kind, y->kind);
}

/* With the lock held. */
static void unit_drop(struct kinds_unit *unit)
{
    TT_ASSERT(unit->refs > 0);
    if (--unit->refs == 0) {
        kinds_unit_free(unit);
    }
}

static struct tt_kinds *snapshot_new(struct tt_registry *registry, struct kinds_unit *builtin,
                                     size_t count)
{
    struct tt_kinds *kinds = tt_xcalloc(1, sizeof *kinds + count * sizeof(struct entry));
    kinds->registry = registry;
    kinds->refs = 1;
    kinds->builtin = builtin;
    builtin->refs++;
    registry->refs++;
    return kinds;
}

static void snapshot_push(struct tt_kinds *kinds, const struct tt_kind *kind,
                          struct kinds_unit *unit)
{
    kinds->entries[kinds->count++] = (struct entry){kind, unit};
    unit->refs++;
}

/* With the lock held; true: the registry itself is to be freed. */
static bool snapshot_drop(struct tt_kinds *kinds)
{
    TT_ASSERT(kinds->refs > 0);
    if (--kinds->refs > 0) {
        return false;
    }
    for (size_t i = 0; i < kinds->count; i++) {
        unit_drop(kinds->entries[i].unit);
    }
    unit_drop(kinds->builtin);
    bool last = --kinds->registry->refs == 0;
    tt_free(kinds);
    return last;
}

static void registry_destroy(struct tt_registry *registry)
{
    (void)pthread_mutex_destroy(&registry->lock); /* unlocked by construction */
    tt_free(registry);
}

int tt_registry_new(struct tt_registry **ret_registry, struct tt_err *err)
{
    struct kinds_source sources[BUILTIN_FILES_MAX];
    TT_ASSERT(kinds_builtin_count > 0 && kinds_builtin_count <= BUILTIN_FILES_MAX);
    for (size_t i = 0; i < kinds_builtin_count; i++) {
        const char *text = (const char *)kinds_builtin[i].bytes;
        sources[i] =
            (struct kinds_source){kinds_builtin[i].file, tt_str(text, kinds_builtin[i].size)};
    }
    struct kinds_unit *unit = NULL;
    int r = kinds_unit_load(sources, kinds_builtin_count, NULL, &unit, err);
    if (r < 0) {
        return r;
    }
    struct tt_registry *registry = TT_NEW(struct tt_registry);
    if (pthread_mutex_init(&registry->lock, NULL) != 0) {
        tt_free(registry);
        kinds_unit_free(unit);
        return TT_FAIL(err, TT_EINTERNAL, "no mutex for the registry of kinds");
    }
    registry->refs = 1;
    struct tt_kinds *kinds = snapshot_new(registry, unit, unit->kind_count);
    for (size_t i = 0; i < unit->kind_count; i++) {
        snapshot_push(kinds, unit->kinds[i], unit);
    }
    qsort(kinds->entries, kinds->count, sizeof(struct entry), cmp_entry);
    kinds->generation = 1;
    atomic_init(&registry->generation, kinds->generation);
    unit->refs--; /* the loader's; the snapshot has its own */
    registry->current = kinds;
    *ret_registry = registry;
    return TT_OK;
}

void tt_registry_free(struct tt_registry *registry)
{
    if (registry == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&registry->lock);
    bool last = snapshot_drop(TT_TAKE(registry->current));
    TT_ASSERT(!last); /* the owner's own reference is still there */
    last = --registry->refs == 0;
    (void)pthread_mutex_unlock(&registry->lock);
    if (last) {
        registry_destroy(registry);
    }
}

static void publish(struct tt_registry *registry, struct tt_kinds *next)
{
    qsort(next->entries, next->count, sizeof(struct entry), cmp_entry);
    next->generation = registry->current->generation + 1;
    struct tt_kinds *old = registry->current;
    registry->current = next;
    atomic_store_explicit(&registry->generation, next->generation, memory_order_release);
    (void)snapshot_drop(old); /* never the last: the owner is here */
}

int tt_registry_add(struct tt_registry *registry, struct tt_str json, struct tt_err *err)
{
    /* One writer at a time, so that the current snapshot stays what it is without the lock. */
    const struct kinds_source source = {"(added)", json};
    struct kinds_unit *unit = NULL;
    int r = kinds_unit_load(&source, 1, registry->current->builtin, &unit, err);
    if (r < 0) {
        return r;
    }
    (void)pthread_mutex_lock(&registry->lock);
    struct tt_kinds *old = registry->current;
    struct tt_kinds *next = snapshot_new(registry, old->builtin, old->count + unit->kind_count);
    for (size_t i = 0; i < old->count; i++) {
        bool replaced = false;
        for (size_t k = 0; k < unit->kind_count; k++) {
            replaced |= cmp_kind(old->entries[i].kind, unit->kinds[k]) == 0;
        }
        if (!replaced) {
            snapshot_push(next, old->entries[i].kind, old->entries[i].unit);
        }
    }
    for (size_t k = 0; k < unit->kind_count; k++) {
        snapshot_push(next, unit->kinds[k], unit);
    }
    unit_drop(unit); /* the loader's reference */
    publish(registry, next);
    (void)pthread_mutex_unlock(&registry->lock);
    return TT_OK;
}

int tt_registry_remove(struct tt_registry *registry, struct tt_str group, struct tt_str version,
                       struct tt_str plural, struct tt_err *err)
{
    (void)pthread_mutex_lock(&registry->lock);
    struct tt_kinds *old = registry->current;
    const struct tt_kind *gone = tt_kinds_resource(old, group, version, plural);
    if (gone != NULL) {
        struct tt_kinds *next = snapshot_new(registry, old->builtin, old->count);
        for (size_t i = 0; i < old->count; i++) {
            if (old->entries[i].kind != gone) {
                snapshot_push(next, old->entries[i].kind, old->entries[i].unit);
            }
        }
        publish(registry, next);
    }
    (void)pthread_mutex_unlock(&registry->lock);
    return gone != NULL ? TT_OK
                        : TT_FAIL(err, TT_ENOTFOUND, "no kind %.*s in %.*s/%.*s",
                                  TT_STR_ARG(plural), TT_STR_ARG(group), TT_STR_ARG(version));
}

struct tt_kinds *tt_registry_get(struct tt_registry *registry)
{
    (void)pthread_mutex_lock(&registry->lock);
    struct tt_kinds *kinds = registry->current;
    kinds->refs++;
    (void)pthread_mutex_unlock(&registry->lock);
    return kinds;
}

uint64_t tt_registry_generation(const struct tt_registry *registry)
{
    return atomic_load_explicit(&registry->generation, memory_order_acquire);
}

struct tt_kinds *tt_kinds_ref(struct tt_kinds *kinds)
{
    (void)pthread_mutex_lock(&kinds->registry->lock);
    kinds->refs++;
    (void)pthread_mutex_unlock(&kinds->registry->lock);
    return kinds;
}

void tt_kinds_unref(struct tt_kinds *kinds)
{
    if (kinds == NULL) {
        return;
    }
    struct tt_registry *registry = kinds->registry;
    (void)pthread_mutex_lock(&registry->lock);
    bool last = snapshot_drop(kinds);
    (void)pthread_mutex_unlock(&registry->lock);
    if (last) {
        registry_destroy(registry);
    }
}

void tt_kinds_free(struct tt_kinds *kinds)
{
    tt_kinds_unref(kinds);
}

uint64_t tt_kinds_generation(const struct tt_kinds *kinds)
{
    return kinds->generation;
}

const struct tt_kind *tt_kinds_resource(const struct tt_kinds *kinds, struct tt_str group,
                                        struct tt_str version, struct tt_str plural)
{
    const struct tt_kind wanted = {.group = group, .version = version, .plural = plural};
    size_t low = 0, high = kinds->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = cmp_kind(kinds->entries[mid].kind, &wanted);
        if (c == 0) {
            return kinds->entries[mid].kind;
        }
        low = c < 0 ? mid + 1 : low;
        high = c < 0 ? high : mid;
    }
    return NULL;
}

const struct tt_kind *tt_kinds_kind(const struct tt_kinds *kinds, struct tt_str api_version,
                                    struct tt_str kind)
{
    for (size_t i = 0; i < kinds->count; i++) {
        const struct tt_kind *at = kinds->entries[i].kind;
        if (tt_str_eq(at->kind, kind) && tt_str_eq(at->api_version, api_version)) {
            return at;
        }
    }
    return NULL;
}

const struct tt_type *tt_kinds_type(const struct tt_kinds *kinds, struct tt_str name)
{
    const struct tt_type *type = kinds_unit_type(kinds->builtin, name);
    for (size_t i = 0; type == NULL && i < kinds->count; i++) {
        if (kinds->entries[i].unit != kinds->builtin) {
            type = kinds_unit_type(kinds->entries[i].unit, name);
        }
    }
    return type;
}

size_t tt_kinds_count(const struct tt_kinds *kinds)
{
    return kinds->count;
}

const struct tt_kind *tt_kinds_at(const struct tt_kinds *kinds, size_t index)
{
    TT_ASSERT(index < kinds->count);
    return kinds->entries[index].kind;
}

bool tt_kinds_has_group_version(const struct tt_kinds *kinds, struct tt_str group,
                                struct tt_str version)
{
    for (size_t i = 0; i < kinds->count; i++) {
        const struct tt_kind *at = kinds->entries[i].kind;
        if (tt_str_eq(at->group, group) && tt_str_eq(at->version, version)) {
            return true;
        }
    }
    return false;
}
