/* From a data directory to what the node starts with.
 *
 *   absent → bootstrap (first members, or nothing for a joiner)
 *   present → log (recovery checks every byte) → newest snapshot it names → into the store → terms
 *   and types of the entries behind it
 * Corruption of log or snapshot: the member directory goes to quarantine with the reason beside it,
 * and start-up fails with TT_ECORRUPT; nothing is ever cut off to make a directory usable. */
#include "base/log.h"
#include "base/rng.h"
#include "raft/replica_core.h"

#include <raft.h>

static int bootstrap(struct replica_core *core, struct tt_err *err)
{
    const struct tt_replica_config *config = &core->config;
    if (config->member_id == 0) {
        return TT_FAIL(err, TT_EINVAL,
                       "%s is empty: start a first cluster with --bootstrap or enter one with "
                       "--join",
                       config->data_dir);
    }
    struct tt_datadir_bootstrap bootstrap = {.identity.member_id = config->member_id,
                                             .identity.incarnation = core->env.log_id,
                                             .segment_size = core->env.log_segment_size,
                                             .log_id = core->env.log_id};
    (void)snprintf(bootstrap.identity.cluster_id, sizeof bootstrap.identity.cluster_id, "%s",
                   config->cluster_id);
    (void)snprintf(bootstrap.identity.name, sizeof bootstrap.identity.name, "%s", config->name);
    struct tt_wal_entry first = {.index = 1, .term = 1, .type = RAFT_CHANGE};
    struct tt_membership membership = {.count = 0};
    int r = TT_OK;
    if (config->initial_count > 0) {
        TT_ASSERT(config->initial_count <= TT_MEMBERS_MAX);
        memcpy(membership.members, config->initial,
               config->initial_count * sizeof membership.members[0]);
        membership.count = config->initial_count;
        r = tt_membership_encode(&membership, &first.payload, err);
        bootstrap.entries = &first;
        bootstrap.count = 1;
    }
    if (r == TT_OK) {
        r = tt_datadir_bootstrap(core->datadir, &bootstrap, err);
    }
    tt_bytes_unref(first.payload);
    return r != TT_OK ? TT_WRAP(err, r, "make a new member in %s", config->data_dir) : TT_OK;
}

static int feed_store(struct replica_core *core, struct tt_snapshot_file *file, struct tt_err *err)
{
    TT_AUTO(tt_snapshot_reader) reader = tt_snapshot_reader_new(core->store);
    for (;;) {
        struct tt_str chunk;
        int r = tt_snapshot_file_next(file, &chunk, err);
        if (r != TT_OK) {
            return r;
        }
        if (chunk.len == 0) {
            return tt_snapshot_reader_finish(reader, err);
        }
        r = tt_snapshot_reader_feed(reader, chunk, err);
        if (r != TT_OK) {
            return r;
        }
    }
}

static int load_snapshot(struct replica_core *core, const struct tt_wal_snapshot *named,
                         struct tt_node_snapshot *snapshot, struct tt_err *err)
{
    if (named->index == 0) {
        return TT_OK;
    }
    TT_AUTO(tt_snapshot_file) file = NULL;
    int r = tt_snapshot_file_open(core->env.disk, tt_datadir_snapshot_dir(core->datadir),
                                  named->index, named->term, &file, err);
    if (r == TT_ENOTFOUND) {
        return TT_FAIL(err, TT_ECORRUPT, "the log names snapshot %llu, but its file is not there",
                       (unsigned long long)named->index);
    }
    if (r != TT_OK) {
        return r;
    }
    const struct tt_snapshot_meta *meta = tt_snapshot_file_meta(file);
    struct tt_snapshot_handle handle = tt_snapshot_file_handle(file);
    if (meta->configuration.len > sizeof snapshot->config) {
        return TT_FAIL(err, TT_ECORRUPT, "the snapshot's configuration is too large");
    }
    snapshot->index = meta->index;
    snapshot->term = meta->term;
    snapshot->config_index = meta->configuration_index;
    snapshot->config_size = (uint32_t)meta->configuration.len;
    memcpy(snapshot->config, meta->configuration.ptr, meta->configuration.len);
    snapshot->file_size = handle.size;
    memcpy(snapshot->sha256, handle.hash, sizeof snapshot->sha256);
    r = feed_store(core, file, err);
    return r != TT_OK ? TT_WRAP(err, r, "restore snapshot %llu", (unsigned long long)named->index)
                      : TT_OK;
}

/* Renames the member aside; the error keeps TT_ECORRUPT and says where it is and what to do. */
static int quarantine(struct replica_core *core, struct tt_err *err)
{
    char reason[512];
    char *path = NULL;
    struct tt_err why;
    tt_err_init(&why);
    (void)tt_err_format(err, reason, sizeof reason);
    tt_wal_free(TT_TAKE(core->wal));
    if (tt_datadir_quarantine(core->datadir, reason, &path, &why) != TT_OK) {
        TT_LOG(TT_LOG_ERROR, "raft", "the damaged member could not be put into quarantine",
               TT_F_ERR(&why));
    }
    int r = TT_WRAP(err, TT_ECORRUPT,
                    "this member's data is damaged and was kept in %s; remove the member from "
                    "the cluster and let the server join again (docs/ops/recovery.md)",
                    path != NULL ? path : core->config.data_dir);
    tt_free(path);
    return r;
}

/* Who this is, and by which directories it knows the others. */
static int open_identity(struct replica_core *core, struct tt_err *err)
{
    struct tt_datadir_identity *identity = &core->identity;
    int r = tt_datadir_identity(core->datadir, identity, err);
    if (r == TT_OK && identity->incarnation == 0) { /* made by an older build */
        while (identity->incarnation == 0) {
            identity->incarnation = tt_random_u64();
        }
        r = tt_datadir_set_identity(core->datadir, identity, err);
    }
    return r != TT_OK ? r
                      : tt_peer_book_open(core->env.disk, tt_datadir_member_dir(core->datadir),
                                          identity->cluster_id, &core->book, err);
}

static int open_member(struct replica_core *core, struct tt_err *err)
{
    struct tt_wal_recovered recovered;
    const struct tt_wal_config wal = {.disk = core->env.disk,
                                      .dir = tt_datadir_log_dir(core->datadir)};
    int r = open_identity(core, err);
    if (r == TT_OK) {
        r = tt_wal_open(&wal, &core->wal, &recovered, err);
    }
    if (r != TT_OK) {
        return r;
    }
    if (recovered.verdict == TT_WAL_TORN_TAIL) {
        TT_LOG(TT_LOG_WARN, "raft", "an incomplete write at the log's end was dropped",
               TT_F_C("reason", recovered.reason));
    }
    const struct tt_snapshot_name recorded = {.index = recovered.snapshot.index,
                                              .term = recovered.snapshot.term};
    r = tt_snapshot_file_settle(core->env.disk, tt_datadir_snapshot_dir(core->datadir), &recorded,
                                err);
    if (r != TT_OK) {
        return r;
    }
    struct tt_node_snapshot snapshot = {.index = 0};
    r = load_snapshot(core, &recovered.snapshot, &snapshot, err);
    return r != TT_OK ? r : tt_node_load(core->wal, &snapshot, &core->disk, err);
}

int replica_core_open(struct replica_core *core, struct tt_err *err)
{
    int r =
        tt_datadir_open(core->env.disk, core->config.data_dir, core->env.lock, &core->datadir, err);
    if (r == TT_OK && !tt_datadir_has_member(core->datadir)) {
        r = bootstrap(core, err);
    }
    if (r == TT_OK) {
        r = open_member(core, err);
    }
    if (r == TT_ECORRUPT) {
        return quarantine(core, err);
    }
    if (r == TT_OK) {
        const struct tt_snapshot_retention retention = {.keep = 2,
                                                        .pinned_index = core->disk.snapshot.index};
        r = tt_snapshot_file_retain(core->env.disk, tt_datadir_snapshot_dir(core->datadir),
                                    &retention, err);
    }
    return r;
}
