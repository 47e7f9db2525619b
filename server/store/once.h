/* The exactly-once table: what transactions with a request id answered, so that a retry repeats the
 * answer instead of the work.
 *
 * Kept per identity: the STORE_ONCE_ACTOR_MAX newest of the last 24 h of leader time; over all
 * identities at most STORE_ONCE_MAX (then the oldest goes), which bounds the memory. Only
 * transactions that were applied are kept: one whose compares failed did nothing and may be tried
 * again under the same id. Replicated state is the tree state->onces (sequence → record), so
 * versions and snapshots have it; the index in here is derived from it. Ownership: the index
 * borrows the tree's items while they are in the tree. Thread: the writer's. Errors: none. */
#ifndef SERVER_STORE_ONCE_H
#define SERVER_STORE_ONCE_H

#include "server/store/lineage.h"

enum {
    STORE_ONCE_ACTOR_MAX = 10000,
    STORE_ONCE_MAX = 1 << 19,
    STORE_ONCE_HOURS = 24,
    STORE_ONCE_EXPIRE_STEP = 16 /* expired entries removed per command, so that no command stalls */
};

struct store_once_record {
    uint64_t sequence;        /* order of application, from 1; the key in the tree */
    uint64_t time_ms;         /* leader time when applied: what it expires by */
    uint64_t revision_first;  /* the answer that is repeated; 0: it changed nothing */
    uint64_t revision_last;   /* likewise */
    struct tt_str actor;      /* identity that sent it; a view, like request_id */
    struct tt_str request_id; /* not empty */
};
/* Borrowed from the item. False when the item's value is not such a record. */
bool store_once_decode(const struct tt_item *item, struct store_once_record *ret_record);

struct store_once;
struct store_once *store_once_new(void);
void store_once_free(struct store_once *once);
/* The answer given to this request, if it is still kept at time_ms. */
bool store_once_find(const struct store_once *once, struct tt_str actor, struct tt_str request_id,
                     uint64_t time_ms, struct store_once_record *ret_record);
/* Adds an entry with record->sequence > all others, replacing one of the same request, and keeps
 * the limits. */
void store_once_add(struct store_once *once, struct store_state *state,
                    struct store_tree_writer *writer, const struct store_once_record *record);
/* Removes at most STORE_ONCE_EXPIRE_STEP expired entries. */
void store_once_expire(struct store_once *once, struct store_state *state,
                       struct store_tree_writer *writer);

#endif
