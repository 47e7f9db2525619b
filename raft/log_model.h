/* What the log says after each of its records: term, vote, snapshot, and where every kept entry
 * lies. The engine and recovery run the same code over it. Internal to raft/log*.c.
 *
 * Ownership: plain struct, owns its index. Thread: the log's. Errors: a record that cannot follow
 * is refused with a static reason, and the model is unchanged. */
#ifndef RAFT_LOG_MODEL_H
#define RAFT_LOG_MODEL_H

#include "raft/log_format.h"

/* One kept entry. */
struct log_place {
    uint64_t position; /* byte address of its record in the line of segments; LOG_PLACE_STAGED set:
                          within the staged batch */
    uint64_t term;     /* of the entry */
    uint32_t size;     /* of the payload */
    uint8_t type;      /* enum raft_entry_type */
};
#define LOG_PLACE_STAGED (UINT64_C(1) << 63)

struct log_model {
    struct log_state state;   /* after the newest record */
    struct log_place *places; /* a ring would save the moves, but trims are rare and large */
    size_t head;              /* of the first kept place */
    size_t count;             /* kept places */
    size_t capacity;          /* allocated places */
    uint64_t places_first;    /* index of the first kept place (or of the next one) */
};

void log_model_fini(struct log_model *model);
/* Begins with what a SEGMENT record holds: entries before it are not known. */
void log_model_begin(struct log_model *model, const struct log_state *base);
/* NULL, or why this record cannot follow. `bytes` are the record's, `address` its byte address. */
const char *log_model_apply(struct log_model *model, const struct log_record *record,
                            const uint8_t *bytes, uint64_t address);
/* Borrowed until the next apply; NULL when index is not kept. */
struct log_place *log_model_place(const struct log_model *model, uint64_t index);
/* Every entry from state.first_index on has a place. */
bool log_model_complete(const struct log_model *model);

#endif
