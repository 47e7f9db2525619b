/* Inside of struct tt_store: the writer's working copy and the changes that make it up. Shared by
 * store.c (commands) and the snapshot reader (restore replays changes through the same code).
 *
 * Ownership: the store owns all of it. Thread: the writer's. Errors: none here; input is checked
 * before. */
#ifndef SERVER_STORE_APPLY_H
#define SERVER_STORE_APPLY_H

#include "server/store/command.h"
#include "server/store/lineage.h"
#include "server/store/once.h"

struct tt_store {
    struct store_slot slot; /* the published version; the one member that other threads touch */
    struct store_lineage *lineage;   /* shared with the versions; freed with the last of them */
    struct store_state state;        /* working copy, ahead of the published version */
    struct store_tree_writer writer; /* the open batch */
    struct store_once *once;         /* owned; the index over state.onces */
    struct store_decoder decoder;    /* of commands */
    struct store_command command;    /* the one being applied */
    bool dirty;                      /* applied something since the last publish */
    struct tt_list listeners;        /* struct tt_store_listener */
    struct tt_store_reclaimer *reclaimer; /* kept; NULL: large versions are freed where they die */
};

/* Each takes the next revision. */
void store_apply_put(struct tt_store *store, struct tt_str key, const struct tt_value *value);
bool store_apply_delete(struct tt_store *store, struct tt_str key); /* false: absent, no revision */
/* A row of a snapshot, as it was at the compaction mark: no history, no revision taken. */
void store_apply_row(struct tt_store *store, struct store_item *item);
/* The state hash of hash.h, of a working copy or a version. */
uint64_t store_state_hash(const struct store_state *state);
/* Empties a working copy that was filled by a restore and never published. */
void store_discard(struct tt_store *store);
/* Publishes without telling the listeners. */
void store_publish_quietly(struct tt_store *store);

#endif
