/* A hash map from byte strings to pointers, bounded by count_max.
 *
 * Ownership: keys are copied; values are the caller's (free_value, if given, runs on remove,
 * replace and fini). Thread: one. Order of iteration is unspecified: never let it decide replicated
 * state. Errors: false when it is full. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/str.h"

struct tt_map;
struct tt_map *tt_map_new(size_t count_max, void (*free_value)(void *value));
void tt_map_free(struct tt_map *map);
void *tt_map_get(const struct tt_map *map, struct tt_str key); /* borrowed, NULL when absent */
int tt_map_set(struct tt_map *map, struct tt_str key, void *value,
               struct tt_err *err) TT_MUST_USE; /* value non-NULL; TT_EBUSY when full */
bool tt_map_remove(struct tt_map *map, struct tt_str key);
size_t tt_map_count(const struct tt_map *map);
/* for (size_t i = 0; tt_map_next(map, &i, &key, &value);) — removing the current entry while
 * iterating is allowed. */
bool tt_map_next(const struct tt_map *map, size_t *cursor, struct tt_str *ret_key,
                 void **ret_value);

#endif
