/* What must hold at every step.
 *
 *   - one leader per term, over restarts too
 *   - log matching: an (index, term) has one content, on whatever server it was ever appended
 *   - what a leader commits is durable on a majority of the voters, and of its own term
 *   - everybody applies the same commands at the same places (rolling hash), and has the same state
 *     behind each, also when it came from a snapshot
 *   - every server's history of changes is the one history, without a gap
 *   - term and vote that were made durable are there after a restart
 *   - the core knows what is durable: no more and, when nothing is under way, no less
 *
 * The truth is kept here, apart from the servers: the first server to apply or publish something
 * writes it down, all others are compared with it. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "tests/sim/sim_conduct.h"

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0xFF51AFD7ED558CCD);
    return hash ^ hash >> 32;
}

static uint64_t hash_bytes(uint64_t hash, struct tt_str bytes)
{
    return mix(mix(hash, bytes.len), tt_crc32c((uint32_t)hash, bytes.ptr, bytes.len));
}

/* (index, term) → hash of type and payload; open addressing. */
struct entry_slot {
    uint64_t index; /* 0: free */
    uint64_t term;
    uint64_t hash;
    bool is_change; /* of the members */
};
struct sim_entry_map {
    struct entry_slot *slots;
    size_t cap; /* a power of two */
    size_t count;
};

static struct entry_slot *slot_of(const struct sim_entry_map *map, uint64_t index, uint64_t term)
{
    size_t i = (size_t)mix(mix(1, index), term) & (map->cap - 1);
    while (map->slots[i].index != 0 &&
           (map->slots[i].index != index || map->slots[i].term != term)) {
        i = (i + 1) & (map->cap - 1);
    }
    return &map->slots[i];
}

static void map_grow(struct sim_entry_map *map)
{
    struct sim_entry_map bigger = {.cap = map->cap == 0 ? 4096 : 2 * map->cap};
    bigger.slots = tt_xcalloc(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < map->cap; i++) {
        if (map->slots[i].index != 0) {
            *slot_of(&bigger, map->slots[i].index, map->slots[i].term) = map->slots[i];
        }
    }
    bigger.count = map->count;
    tt_free(map->slots);
    *map = bigger;
}

static void check_entry(struct sim_server *server, const struct tt_wal_entry *entry)
{
    struct sim *sim = server->sim;
    if (!sim->entries) {
        sim->entries = TT_NEW(struct sim_entry_map);
    }
    struct sim_entry_map *map = sim->entries;
    if (2 * map->count >= map->cap) {
        map_grow(map);
    }
    uint64_t hash = mix(7, entry->type);
    if (entry->payload) {
        hash = hash_bytes(hash, tt_str((const char *)entry->payload->ptr, entry->payload->size));
    }
    struct entry_slot *slot = slot_of(map, entry->index, entry->term);
    if (slot->index == 0) {
        *slot = (struct entry_slot){entry->index, entry->term, hash, entry->type == RAFT_CHANGE};
        map->count++;
    } else if (slot->hash != hash) {
        sim_fail(sim, SIM_LOG_MATCHING,
                 "log matching: %s holds another entry at index %" PRIu64 ", term %" PRIu64
                 " than somebody else",
                 server->name, entry->index, entry->term);
    }
}

bool sim_check_is_change(const struct sim *sim, uint64_t index, uint64_t term)
{
    return sim->entries && slot_of(sim->entries, index, term)->is_change;
}

void sim_check_append(struct sim_server *server, const struct tt_wal_req *req)
{
    for (size_t i = 0; i < req->count; i++) {
        check_entry(server, &req->entries[i]);
    }
}

/* The state that the next command finds is the one that the last one left. */
static void check_state(struct sim_server *server, const char *when)
{
    uint64_t state = tt_store_hash(server->core.store);
    if (server->state != 0 && server->state != state) {
        sim_fail(server->sim, SIM_SAME_STATE, "%s holds another state %s, behind command %zu",
                 server->name, when, server->applied_position);
    }
    server->state = state;
}

void sim_check_applied(struct sim_server *server)
{
    struct sim_applied *applied = &server->sim->applied[server->applied_position - 1];
    if (applied->state == 0) {
        applied->state = tt_store_hash(server->core.store); /* the first one to apply it */
    }
    server->state = applied->state;
    check_state(server, "than others");
}

void sim_check_apply(struct sim_server *server, uint64_t index, uint32_t position,
                     struct tt_str command)
{
    struct sim *sim = server->sim;
    uint64_t sequence = tt_node_store_sequence(index, position);
    check_state(server, "than it left");
    server->rolling = hash_bytes(mix(server->rolling, sequence), command);
    if (server->applied_position == sim->applied_count) {
        if (sim->applied_count == sim->applied_cap) {
            sim->applied_cap = sim->applied_cap == 0 ? 4096 : 2 * sim->applied_cap;
            sim->applied = tt_xrealloc(sim->applied, sim->applied_cap * sizeof *sim->applied);
        }
        sim->applied[sim->applied_count++] =
            (struct sim_applied){.sequence = sequence, .rolling = server->rolling};
    } else if (sim->applied[server->applied_position].sequence != sequence ||
               sim->applied[server->applied_position].rolling != server->rolling) {
        sim_fail(sim, SIM_SAME_ORDER,
                 "applied prefixes differ: %s at index %" PRIu64 ", command %u", server->name,
                 index, position);
    }
    server->applied_position++;
}

/* The state up to and with `index` came from a snapshot. */
void sim_check_restored(struct sim_server *server, uint64_t index)
{
    struct sim *sim = server->sim;
    size_t low = 0;
    size_t high = sim->applied_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (tt_node_store_index(sim->applied[middle].sequence) <= index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    server->applied_position = low;
    server->rolling = low > 0 ? sim->applied[low - 1].rolling : 0;
    server->state = low > 0 ? sim->applied[low - 1].state : 0;
    check_state(server, "from a snapshot");
    server->watched = 0;
    sim_check_published(server);
}

static uint64_t change_hash(const struct tt_change *change)
{
    const struct tt_item *item = change->item ? change->item : change->prev;
    uint64_t hash = mix(3, change->item != NULL);
    hash = item ? hash_bytes(hash, item->key) : hash;
    return change->item ? hash_bytes(hash, item->value.bytes) : hash;
}

/* Changes are numbered 1, 2, 3, …: a gap is a missing one. */
static void check_change(struct sim_server *server, const struct tt_change *change)
{
    struct sim *sim = server->sim;
    uint64_t hash = change_hash(change);
    if (change->revision != server->watched + 1) {
        sim_fail(sim, SIM_WATCH, "watch: %s goes from revision %" PRIu64 " to %" PRIu64,
                 server->name, server->watched, change->revision);
        return;
    }
    server->watched = change->revision;
    if (change->revision <= sim->change_count) {
        if (sim->changes[change->revision - 1].hash != hash) {
            sim_fail(sim, SIM_WATCH, "watch: %s shows another change at revision %" PRIu64,
                     server->name, change->revision);
        }
        return;
    }
    if (change->revision != sim->change_count + 1) {
        sim_fail(sim, SIM_WATCH, "watch: %s skips to revision %" PRIu64, server->name,
                 change->revision);
        return;
    }
    if (sim->change_count == sim->change_cap) {
        sim->change_cap = sim->change_cap == 0 ? 4096 : 2 * sim->change_cap;
        sim->changes = tt_xrealloc(sim->changes, sim->change_cap * sizeof *sim->changes);
    }
    sim->changes[sim->change_count++] =
        (struct sim_change){.revision = change->revision, .hash = hash};
    sim_once_changed(sim, change);
}

static bool event_dropped(struct sim_server *server)
{
    const struct sim_bug *bug = server->sim->options.bug;
    return bug && bug->drop_watch_event && tt_rng_chance(&server->sim->rng, 0.001);
}

void sim_check_published(struct sim_server *server)
{
    struct tt_version *version = tt_store_version(server->core.store);
    struct tt_history_cursor cursor;
    uint64_t compacted = tt_version_compacted(version);
    if (server->watched < compacted) {
        server->watched = compacted; /* told to start again: never a silent gap */
    }
    int r = tt_history_seek(version, server->watched, &cursor, NULL);
    struct tt_change change;
    while (r == 0 && !server->sim->failed && tt_history_next(version, &cursor, &change)) {
        if (!event_dropped(server)) {
            check_change(server, &change);
        }
    }
    if (r != 0) {
        sim_fail(server->sim, SIM_WATCH,
                 "watch: %s cannot resume at revision %" PRIu64 ", compacted %" PRIu64,
                 server->name, server->watched, compacted);
    } else if (server->watched != tt_version_revision(version) && !server->sim->failed) {
        sim_fail(server->sim, SIM_WATCH, "watch: %s ends at revision %" PRIu64 " of %" PRIu64,
                 server->name, server->watched, tt_version_revision(version));
    }
    tt_version_unref(version);
}

static void check_leader(struct sim_server *server)
{
    struct sim *sim = server->sim;
    uint64_t term = raft_current_term(&server->node->raft);
    if (raft_state(&server->node->raft) != RAFT_LEADER) {
        return;
    }
    if (term >= sim->leader_cap) {
        uint64_t cap = 2 * term + 64;
        sim->leaders = tt_xrealloc(sim->leaders, cap * sizeof *sim->leaders);
        memset(sim->leaders + sim->leader_cap, 0, (cap - sim->leader_cap) * sizeof *sim->leaders);
        sim->leader_cap = cap;
    }
    uint64_t who = (uint64_t)server->incarnation << 8 | (uint64_t)(server->slot + 1);
    if (sim->leaders[term] == 0) {
        sim->leaders[term] = who;
        sim_trace(sim, "%s leads term %" PRIu64, server->name, term);
    } else if (sim->leaders[term] != who) {
        sim_fail(sim, SIM_ONE_LEADER,
                 "two leaders in term %" PRIu64 ": %s and the server in slot %d", term,
                 server->name, (int)(sim->leaders[term] & 0xff) - 1);
    }
}

/* A leader's commit index: on a majority of the disks, and of its own term. */
static void check_commit(struct sim_server *server)
{
    const struct tt_node *node = server->node;
    uint64_t commit = node->commit_index;
    if (commit <= server->commit_checked) {
        return;
    }
    server->commit_checked = commit;
    if (raft_state(&server->node->raft) != RAFT_LEADER || commit > server->memory_log.last_index ||
        commit <= server->memory_log.snapshot_index) {
        return;
    }
    uint64_t term = server->memory_log.terms[commit];
    size_t have = 0;
    for (size_t i = 0; i < node->membership.count; i++) {
        const struct tt_member *member = &node->membership.members[i];
        const struct sim_server *other = sim_by_id(server->sim, member->id);
        have += member->role == TT_ROLE_VOTER && other &&
                sim_disk_has_shadow(&other->durable, commit, term);
    }
    if (2 * have <= tt_membership_voter_count(&node->membership)) {
        sim_fail(server->sim, SIM_COMMIT_STORED,
                 "%s commits index %" PRIu64 ", term %" PRIu64 ", which %zu of %zu voters hold",
                 server->name, commit, term, have, tt_membership_voter_count(&node->membership));
    }
}

/* The core takes for stored what the disk has, and for uncommitted what the node does. */
static void check_core(struct sim_server *server)
{
    const struct tt_node *node = server->node;
    uint64_t stored = node->raft.last_stored;
    if (tt_sm_state(&node->sm) != NODE_RUNNING) {
        return;
    }
    bool idle = !server->log_busy && !server->log_first;
    if (idle && stored < server->durable.last_index) {
        sim_fail(server->sim, SIM_STORED_KNOWN,
                 "%s takes index %" PRIu64 " for the last that is durable, and it is %" PRIu64,
                 server->name, stored, server->durable.last_index);
    }
    if (stored > server->durable.snapshot_index &&
        (stored > server->memory_log.last_index ||
         !sim_disk_has_shadow(&server->durable, stored, server->memory_log.terms[stored]))) {
        sim_fail(server->sim, SIM_STORED, "%s takes index %" PRIu64 " for durable, and it is not",
                 server->name, stored);
    }
    /* After a restart the core takes all but the last one for committed, rightly. */
    uint64_t uncommitted = node->raft.configuration_uncommitted_index;
    uint64_t newest = uncommitted != 0 ? uncommitted : node->raft.configuration_committed_index;
    if (newest != node->config_index || (node->config_count == 0 && uncommitted != 0)) {
        sim_fail(server->sim, SIM_CONFIGURATION,
                 "%s: the core's newest configuration is %" PRIu64 " (uncommitted %" PRIu64
                 "), the log's is %" PRIu64,
                 server->name, newest, uncommitted, node->config_index);
    }
}

void sim_check_installed(struct sim_server *server)
{
    uint64_t count = server->node->stats.snapshot_installed_count;
    if (count != server->installs_seen) {
        server->installs_seen = count;
        sim_check_restored(server, server->node->snapshot->index);
    }
}

void sim_check_turn(struct sim_server *server)
{
    sim_check_installed(server);
    if (node_alive(server->node) && server->node->raft_open) {
        check_leader(server);
        check_commit(server);
        check_core(server);
        sim_conduct_turn(server);
    }
}

/* Reads a varint off *bytes. */
static uint64_t varint(struct tt_str *bytes)
{
    uint64_t value = 0;
    for (unsigned shift = 0; bytes->len > 0 && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)bytes->ptr[0];
        *bytes = tt_str_skip(*bytes, 1);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            break;
        }
    }
    return value;
}

enum {
    HEAD_AT = 4,
    CLUSTER_SIZE = 9,
    RESULT = 3,
    APPEND = 4,
    APPEND_RESULT = 5,
    TIMEOUT_NOW = 6,
    PROBE = 7,
    REPLY = 8
};

/* The first numbers of a body, by field; field numbers as in proto/peer.proto. */
static void numbers(struct tt_str body, uint64_t values[4])
{
    for (unsigned i = 0; i < 3 && body.len > 0; i++) {
        uint64_t tag = varint(&body);
        if ((tag & 7) != 0 || tag >> 3 > 3) {
            return;
        }
        values[tag >> 3] = varint(&body);
    }
}

static bool speaks_early(const struct sim_shadow *durable, uint64_t field, const uint64_t values[4],
                         uint64_t to_id)
{
    if (field != RESULT) {
        return durable->term < values[1];
    }
    bool vote = values[2] != 0 && values[3] == 0; /* granted, and no pre-vote */
    return vote &&
           (durable->term < values[1] || (durable->term == values[1] && durable->vote != to_id));
}

static void note_agreement(struct sim_server *from, uint64_t to_id, uint64_t field,
                           const uint64_t values[4])
{
    const struct sim_server *to = sim_by_id(from->sim, to_id);
    if (to && field == RESULT && values[2] != 0 && values[3] != 0) {
        sim_conduct_agreed(from, to, values[1]);
    } else if (to && field == TIMEOUT_NOW) {
        sim_conduct_handed(from->sim, to, values[1]);
    }
}

/* Nothing leaves before the term and the vote it speaks for are durable. */
void sim_check_frame(struct sim_server *from, uint64_t to_id, const struct tt_bytes *frame)
{
    struct tt_str rest = tt_str_skip(tt_bytes_view(frame), HEAD_AT);
    rest = tt_str_skip(tt_str_head(rest, tt_le32_get(frame->ptr)), CLUSTER_SIZE);
    uint64_t field = varint(&rest) >> 3;
    if (field != RESULT && field != APPEND && field != APPEND_RESULT && field != PROBE &&
        field != REPLY && field != TIMEOUT_NOW) {
        return;
    }
    (void)varint(&rest); /* size of the body */
    uint64_t values[4] = {0};
    numbers(rest, values);
    note_agreement(from, to_id, field, values);
    if (speaks_early(&from->durable, field, values, to_id)) {
        sim_fail(from->sim, SIM_SPEAKS_LATE,
                 "%s speaks for term %" PRIu64 " before it is durable (%" PRIu64 ")", from->name,
                 values[1], from->durable.term);
    }
}

/* Entries that were durable and not about to be replaced must be there again. */
static void check_entries(struct sim_server *server, const struct tt_node_disk *disk)
{
    const struct sim_shadow *durable = &server->durable;
    const struct sim_shadow *memory = &server->memory_log;
    uint64_t last =
        disk->entry_count > 0 ? disk->first_index + disk->entry_count - 1 : disk->snapshot.index;
    for (uint64_t i = durable->snapshot_index + 1; i <= durable->last_index; i++) {
        if (i > memory->last_index || memory->terms[i] != durable->terms[i] ||
            i <= memory->snapshot_index) {
            return; /* a truncation or an install was under way */
        }
        bool there = i <= disk->snapshot.index ||
                     (i <= last && i >= disk->first_index &&
                      disk->entries[i - disk->first_index].term == durable->terms[i]);
        if (!there) {
            sim_fail(server->sim, SIM_KEPT, "%s lost the durable entry %" PRIu64 ", term %" PRIu64,
                     server->name, i, durable->terms[i]);
            return;
        }
    }
}

void sim_check_restart(struct sim_server *server, const struct tt_node_disk *disk)
{
    const struct sim_shadow *durable = &server->durable;
    if (disk->term < durable->term ||
        (disk->term == durable->term && durable->vote != 0 && disk->voted_for != durable->vote)) {
        sim_fail(server->sim, SIM_KEPT,
                 "%s lost its durable vote: term %" PRIu64 " vote %" PRIu64 ", now %" PRIu64
                 " and %" PRIu64,
                 server->name, durable->term, durable->vote, disk->term, disk->voted_for);
    }
    check_entries(server, disk);
    sim_shadow_load(&server->durable, disk);
    sim_shadow_load(&server->memory_log, disk);
}

void sim_check_fini(struct sim *sim)
{
    if (sim->entries) {
        tt_free(sim->entries->slots);
        tt_free(sim->entries);
    }
    tt_free(sim->applied);
    tt_free(sim->changes);
    tt_free(sim->leaders);
    sim_once_fini(sim);
    sim_conduct_fini(sim);
}
