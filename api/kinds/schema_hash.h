/* The hash of field names, shared by the loader that fills the tables and the lookup.
 *
 * Ownership: none. Thread: any. Errors: none. */
#ifndef API_KINDS_SCHEMA_HASH_H
#define API_KINDS_SCHEMA_HASH_H

#include "base/str.h"

static inline uint32_t kinds_field_hash(struct tt_str name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ (uint8_t)name.ptr[i]) * 16777619u;
    }
    return hash ^ (hash >> 15);
}

#endif
