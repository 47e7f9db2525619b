/* The log's contents as an array of (index, term, type), with the payloads of configurations. */
#include "raft/node_load.h"

#include <inttypes.h>
#include <raft.h>

#include "base/mem.h"

/* The payload of one configuration; its reference goes to *entry. */
static int read_config(struct tt_wal *wal, struct tt_wal_entry *entry, struct tt_err *err)
{
    struct tt_wal_plan plan;
    int r = tt_wal_plan(wal, entry->index, 1, &plan, err);
    if (r < 0) {
        return r;
    }
    struct tt_wal_entry *read = tt_xcalloc(plan.count, sizeof *read);
    r = tt_wal_read(&plan, read, err);
    for (size_t i = 0; r == 0 && i < plan.count; i++) {
        if (i == 0) {
            *entry = read[0];
        } else {
            tt_bytes_unref(read[i].payload);
        }
    }
    tt_free(read);
    tt_wal_plan_fini(&plan);
    return r;
}

int tt_node_load(struct tt_wal *wal, const struct tt_node_snapshot *snapshot,
                 struct tt_node_disk *ret, struct tt_err *err)
{
    uint64_t first = tt_wal_first_index(wal);
    uint64_t last = tt_wal_last_index(wal);
    size_t count = last >= first ? (size_t)(last - first + 1) : 0;
    struct tt_wal_entry *entries = tt_xcalloc(count + 1, sizeof *entries);
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        struct tt_wal_entry *entry = &entries[i];
        entry->index = first + i;
        if (!tt_wal_entry_info(wal, entry->index, &entry->term, &entry->type)) {
            r = TT_FAIL(err, TT_EINTERNAL, "log does not know its entry %" PRIu64, entry->index);
        } else if (entry->type == RAFT_CHANGE) {
            r = read_config(wal, entry, err);
        }
    }
    *ret = (struct tt_node_disk){
        .term = tt_wal_term(wal),
        .voted_for = tt_wal_voted_for(wal),
        .snapshot = *snapshot,
        .first_index = first,
        .entries = entries,
        .entry_count = count,
    };
    if (r == 0 && ret->term == 0 && count > 0) {
        ret->term = entries[0].term; /* bootstrapped and never started: no hard state yet */
    }
    if (r < 0) {
        tt_node_load_fini(ret);
        return TT_WRAP(err, r, "load the log");
    }
    return 0;
}

void tt_node_load_fini(struct tt_node_disk *disk)
{
    for (size_t i = 0; i < disk->entry_count; i++) {
        tt_bytes_unref(disk->entries[i].payload);
    }
    tt_free((void *)(uintptr_t)disk->entries);
    disk->entries = NULL;
    disk->entry_count = 0;
}
