/* The registry of kinds: immutable snapshots that API threads read without locks.
 *
 * A registry holds the current snapshot; tt_registry_get takes a reference to it (any thread), a
 * request keeps one snapshot from start to end and must let go of it before the registry's owner
 * expects all memory back (late readers keep it alive safely). tt_registry_add builds the next
 * snapshot from the current one plus further schema documents and publishes it; types loaded
 * earlier are shared. Ownership: kinds, types and documents belong to snapshots. Thread:
 * get/ref/unref any; add one writer at a time. Errors: TT_EINVALID for a bad schema, with the file
 * and path. */
#ifndef API_KINDS_REGISTRY_H
#define API_KINDS_REGISTRY_H

#include "api/kinds/schema.h"

struct tt_registry;
struct tt_kinds; /* one snapshot */

/* With the built-in kinds. */
int tt_registry_new(struct tt_registry **ret_registry, struct tt_err *err) TT_MUST_USE;
void tt_registry_free(struct tt_registry *registry);
TT_DEFINE_AUTO(tt_registry)
/* json: a schema file (borrowed). A kind that is there already is replaced. */
int tt_registry_add(struct tt_registry *registry, struct tt_str json,
                    struct tt_err *err) TT_MUST_USE;
/* TT_ENOTFOUND when there is no such kind. */
int tt_registry_remove(struct tt_registry *registry, struct tt_str group, struct tt_str version,
                       struct tt_str plural, struct tt_err *err) TT_MUST_USE;

struct tt_kinds *tt_registry_get(struct tt_registry *registry); /* refs */
/* Of the snapshot that get would return; without the lock, any thread. */
uint64_t tt_registry_generation(const struct tt_registry *registry);
struct tt_kinds *tt_kinds_ref(struct tt_kinds *kinds);
void tt_kinds_unref(struct tt_kinds *kinds); /* NULL is fine */
void tt_kinds_free(struct tt_kinds *kinds);  /* = unref, for TT_AUTO */
TT_DEFINE_AUTO(tt_kinds)
uint64_t tt_kinds_generation(const struct tt_kinds *kinds); /* grows with each add and remove */

/* Borrowed from the snapshot; NULL when absent. */
const struct tt_kind *tt_kinds_resource(const struct tt_kinds *kinds, struct tt_str group,
                                        struct tt_str version, struct tt_str plural);
/* api_version as in an object: "v1", "apps/v1". */
const struct tt_kind *tt_kinds_kind(const struct tt_kinds *kinds, struct tt_str api_version,
                                    struct tt_str kind);
/* A shared type by its full name ("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"). */
const struct tt_type *tt_kinds_type(const struct tt_kinds *kinds, struct tt_str name);
size_t tt_kinds_count(const struct tt_kinds *kinds);
/* Ordered by group, version, plural. */
const struct tt_kind *tt_kinds_at(const struct tt_kinds *kinds, size_t index);
bool tt_kinds_has_group_version(const struct tt_kinds *kinds, struct tt_str group,
                                struct tt_str version);

#endif
