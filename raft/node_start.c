/* From what the disk holds to a running core.
 *
 * Checks that log and snapshot belong together (rule 7): a log that ends before the snapshot or
 * disagrees with it is dropped, on disk too; a gap between them is corruption. A sole voter first
 * makes its next term and a vote for itself durable (rule 3); everybody else starts at once. */
#include "raft/node_parts.h"

#include <inttypes.h>

/* A stream that broke off is not told to the core, which asks again after this; what it asks for
 * while one runs is dropped (rule 5). */
enum { SNAPSHOT_ASK_MS = 2000 };

static const struct tt_wal_entry *entry_at(const struct tt_node_disk *disk, uint64_t index)
{
    if (index < disk->first_index || index - disk->first_index >= disk->entry_count) {
        return NULL;
    }
    return &disk->entries[index - disk->first_index];
}

static int check_entry(const struct tt_node_disk *disk, size_t i, struct tt_err *err)
{
    const struct tt_wal_entry *entry = &disk->entries[i];
    if (entry->index != disk->first_index + i || entry->term == 0 || entry->term > disk->term ||
        (i > 0 && entry->term < entry[-1].term)) {
        return TT_FAIL(err, TT_ECORRUPT, "log entry %" PRIu64 " is out of order",
                       disk->first_index + i);
    }
    if (entry->type != RAFT_CHANGE) {
        return 0;
    }
    if (!entry->payload) {
        return TT_FAIL(err, TT_ECORRUPT, "log entry %" PRIu64 " is empty", entry->index);
    }
    struct tt_membership membership;
    int r = tt_membership_decode(tt_str((const char *)entry->payload->ptr, entry->payload->size),
                                 &membership, err);
    return r < 0 ? TT_FAIL(err, TT_ECORRUPT, "log entry %" PRIu64, entry->index) : 0;
}

static int check(const struct tt_node_disk *disk, struct tt_err *err)
{
    for (size_t i = 0; i < disk->entry_count; i++) {
        int r = check_entry(disk, i, err);
        if (r < 0) {
            return r;
        }
    }
    if (disk->entry_count > 0 && disk->first_index > disk->snapshot.index + 1) {
        return TT_FAIL(err, TT_ECORRUPT, "log begins at %" PRIu64 ", behind snapshot %" PRIu64,
                       disk->first_index, disk->snapshot.index);
    }
    if (disk->snapshot.index == 0 && disk->entry_count > 0 &&
        disk->entries[0].type != RAFT_CHANGE) {
        return TT_FAIL(err, TT_ECORRUPT, "log does not begin with a configuration");
    }
    if (disk->term == 0 && disk->voted_for != 0) {
        return TT_FAIL(err, TT_ECORRUPT, "a vote without a term");
    }
    if (disk->snapshot.term > disk->term) {
        return TT_FAIL(err, TT_ECORRUPT, "snapshot of term %" PRIu64 " beyond term %" PRIu64,
                       disk->snapshot.term, disk->term);
    }
    return 0;
}

/* True when the snapshot replaces the whole log. */
static bool log_superseded(const struct tt_node_disk *disk)
{
    if (disk->snapshot.index == 0) {
        return false;
    }
    const struct tt_wal_entry *entry = entry_at(disk, disk->snapshot.index);
    if (entry) {
        return entry->term != disk->snapshot.term;
    }
    return disk->entry_count == 0 || disk->first_index + disk->entry_count <= disk->snapshot.index;
}

static void load_config(struct tt_node *node)
{
    const struct tt_node_disk *disk = &node->start;
    if (disk->snapshot.index > 0) {
        struct tt_bytes *bytes = tt_bytes_new(disk->snapshot.config, disk->snapshot.config_size);
        node_config_set(node, disk->snapshot.config_index, bytes);
        tt_bytes_unref(bytes);
    }
    for (size_t i = 0; i < disk->entry_count; i++) {
        const struct tt_wal_entry *entry = &disk->entries[i];
        if (entry->type != RAFT_CHANGE || entry->index <= node->config_committed.index) {
            continue;
        }
        if (entry->index == 1) {
            node_config_set(node, 1, entry->payload); /* committed by being everybody's first */
        } else {
            node_config_push(node, entry->index, entry->payload);
        }
    }
}

void node_start_fini(struct tt_node *node)
{
    for (size_t i = 0; i < node->start.entry_count; i++) {
        tt_bytes_unref(node->start_entries[i].payload);
    }
    tt_free(node->start_entries);
    node->start_entries = NULL;
    node->start.entries = NULL;
    node->start.entry_count = 0;
}

static struct raft_entry *core_entries(const struct tt_node_disk *disk)
{
    if (disk->entry_count == 0) {
        return NULL;
    }
    struct raft_entry *entries = tt_xcalloc(disk->entry_count, sizeof *entries);
    for (size_t i = 0; i < disk->entry_count; i++) {
        const struct tt_wal_entry *from = &disk->entries[i];
        entries[i].term = from->term;
        entries[i].type = from->type;
        if (from->type == RAFT_CHANGE) {
            entries[i].buf.base = (void *)(uintptr_t)from->payload->ptr;
            entries[i].buf.len = from->payload->size;
        }
    }
    return entries;
}

void node_open_core(struct tt_node *node)
{
    struct tt_node_disk *disk = &node->start;
    if (raft_init(&node->raft, NULL, NULL, node->config.id, node->name) != 0) {
        struct tt_err err;
        tt_err_init(&err);
        (void)TT_FAIL(&err, TT_ENOMEM, "raft_init");
        node_fault(node, &err);
        return;
    }
    node->raft.tracer = NULL; /* its buffer is shared by all nodes of a process */
    raft_seed(&node->raft, (unsigned)node->config.seed);
    raft_set_election_timeout(&node->raft, node->config.election_timeout_ms);
    raft_set_heartbeat_timeout(&node->raft, node->config.heartbeat_ms);
    raft_set_install_snapshot_timeout(&node->raft, SNAPSHOT_ASK_MS);
    raft_set_pre_vote(&node->raft, !NODE_FAULT(node, no_pre_vote));
    if (NODE_FAULT(node, space_by_core)) {
        raft_set_capacity_threshold(&node->raft, 200);
    }
    node->raft_open = true;
    tt_sm_move(&node->sm, NODE_RUNNING);

    struct raft_snapshot_metadata metadata = {.index = disk->snapshot.index,
                                              .term = disk->snapshot.term,
                                              .configuration_index = disk->snapshot.config_index};
    struct raft_event event = {.type = RAFT_START};
    if (disk->snapshot.index > 0) {
        int r = tt_membership_to_raft(
            tt_str((const char *)disk->snapshot.config, disk->snapshot.config_size),
            &metadata.configuration, NULL);
        TT_ASSERT(r == 0); /* load_config has decoded it */
        event.start.metadata = &metadata;
    }
    struct raft_entry *entries = core_entries(disk);
    event.start.term = node->hard_term;
    event.start.voted_for = node->hard_vote;
    event.start.start_index =
        disk->entry_count == 0 && NODE_FAULT(node, start_index_first) ? 1 : disk->first_index;
    event.start.entries = entries;
    event.start.n_entries = (unsigned)disk->entry_count;
    (void)node_step(node, &event, NULL);
    tt_free(entries);
    node_start_fini(node);
    node_hasten_start(node);
}

int tt_node_start(struct tt_node *node, const struct tt_node_disk *disk, struct tt_err *err)
{
    TT_ASSERT(tt_sm_state(&node->sm) == NODE_NEW);
    (void)node_now(node);
    int r = check(disk, err);
    if (r == 0 && disk->snapshot.index > 0) {
        struct tt_membership membership;
        r = tt_membership_decode(
            tt_str((const char *)disk->snapshot.config, disk->snapshot.config_size), &membership,
            err);
    }
    if (r < 0) {
        return TT_WRAP(err, r, "start of server %" PRIu64, node->config.id);
    }
    node->start = *disk;
    node->start.entries = NULL;
    node->start.entry_count = 0;
    *node->snapshot = disk->snapshot;
    node->snapshot_logged = disk->snapshot.index;
    if (log_superseded(disk)) {
        node->start.first_index = disk->snapshot.index + 1;
        if (disk->entry_count > 0) {
            node_log_snapshot(node, node->snapshot, disk->snapshot.index + 1, true);
        }
    } else if (disk->entry_count > 0) {
        node->start_entries = tt_xcalloc(disk->entry_count, sizeof *node->start_entries);
        for (size_t i = 0; i < disk->entry_count; i++) {
            node->start_entries[i] = disk->entries[i];
            if (disk->entries[i].payload) {
                (void)tt_bytes_ref(disk->entries[i].payload);
            }
        }
        node->start.entries = node->start_entries;
        node->start.entry_count = disk->entry_count;
    } else {
        node->start.first_index = 1;
    }
    node->last_index = node->start.first_index + node->start.entry_count - 1;
    node->commit_index = disk->snapshot.index;
    node->applied_index = disk->snapshot.index;
    node->applied_term = disk->snapshot.term;
    node->published_index = disk->snapshot.index;
    node->hard_term = disk->term;
    node->hard_vote = disk->voted_for;
    load_config(node);
    if (tt_membership_sole_voter(&node->membership, node->config.id) &&
        !NODE_FAULT(node, sole_voter_same_term)) {
        tt_sm_move(&node->sm, NODE_ELECTING);
        node_hard_state(node, disk->term + 1, node->config.id);
        node->sole_term = node->hard_term;
    } else {
        node_open_core(node);
    }
    return 0;
}
