/* History: the changes after the compaction mark, each with the new and the previous item.
 *
 * Changes have consecutive revisions, so a chunk holds the fixed range of revisions
 * [n * STORE_CHUNK_CHANGES, …) and place is arithmetic: seeking is O(1). The directory is an array
 * of chunks; the writer appends behind what any published version looks at, and replaces the
 * directory by a new one when it is full. Both are retired to the lineage like tree nodes.
 * Ownership: a chunk owns the previous items, as the tree did before. It borrows the new ones: each
 * is in the tree until a later change owns it, and that one is compacted later. Thread: appended by
 * the writer; a published version reads only up to its own revision. Errors: none here. */
#ifndef SERVER_STORE_HISTORY_H
#define SERVER_STORE_HISTORY_H

#include "server/store/tree.h"

enum { STORE_CHUNK_CHANGES = 256, STORE_HISTORY_OVERHEAD = 96 };

struct store_change {
    const struct tt_item *item; /* NULL: delete; borrowed */
    struct store_item *prev;    /* NULL: create; owned */
};
struct store_chunk {
    struct store_garbage garbage; /* first; the writer retires it at compaction */
    uint64_t number;              /* of its first revision: number * STORE_CHUNK_CHANGES */
    uint32_t first;               /* changes [first, end) are set */
    uint32_t end;                 /* the writer's: readers go by their version's revision */
    uint64_t time_ms;             /* leader time of the newest change; the writer's */
    uint64_t bytes; /* what its changes keep alive, as compaction counts; the writer's */
    /* [i] is revision number * STORE_CHUNK_CHANGES + i */
    struct store_change changes[STORE_CHUNK_CHANGES];
};
struct store_directory {
    struct store_garbage garbage; /* first; retired when a new directory replaces it */
    uint64_t first_number;        /* of chunks[0] */
    size_t capacity;              /* of chunks, fixed */
    /* by number; NULL behind the newest, dangling where all is compacted */
    struct store_chunk *chunks[];
};
/* Copied into each version. */
struct store_history {
    struct store_directory *directory; /* NULL while there never was a change */
    uint64_t compacted;                /* changes up to and with this revision are gone */
    uint64_t revision;                 /* of the newest change; equal to compacted: nothing kept */
};

/* Appends the change with revision history->revision + 1. Takes prev, which the tree has no more.
 */
void store_history_append(struct store_history *history, struct store_tree_writer *writer,
                          const struct tt_item *item, struct store_item *prev, uint64_t time_ms);
/* compacted < revision <= history->revision. Returns the bytes no longer counted. */
uint64_t store_history_compact(struct store_history *history, struct store_tree_writer *writer,
                               uint64_t revision);
/* The change of a kept revision. */
const struct store_change *store_history_get(const struct store_history *history,
                                             uint64_t revision);
/* The chunk that holds a kept revision. */
struct store_chunk *store_history_chunk(const struct store_history *history, uint64_t revision);
/* Bytes a change counts for: what only history keeps alive. */
uint64_t store_history_bytes(const struct store_item *prev);
/* Chunks and directory go onto the list. */
void store_history_collect(const struct store_history *history, struct store_garbage_list *list);
/* The newest revision to drop so that bytes_over less are counted and nothing kept is older than
 * time_ms_min, to whole chunks; history->compacted when nothing need go. */
uint64_t store_history_due(const struct store_history *history, uint64_t bytes_over,
                           uint64_t time_ms_min);

#endif
