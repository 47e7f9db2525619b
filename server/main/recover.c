/* tuttid recover: after a lost majority, the one server whose data directory this is goes on alone.
 *
 * Happy path: read who the member is and the last configuration (log, else snapshot) → give the
 * member a new cluster id → append, in a term far ahead, a configuration that names it as the only
 * voter. Everything in its log stays, committed or not: what was acknowledged is among it if this
 * server had it. The id comes first: a crash in between leaves a server that reaches no one, and
 * the command is run again. --show changes nothing and prints how far the log goes: the server to
 * recover is the one with the highest last term, then the highest last index. */
#include <inttypes.h>
#include <raft.h>
#include <stdio.h>

#include "base/options.h"
#include "base/rng.h"
#include "raft/datadir.h"
#include "raft/membership.h"
#include "raft/snapshot_file.h"
#include "server/main/offline.h"

enum { OPTION_COUNT = 4, WORDS_MAX = 64 };

struct recovery {
    const char *data_dir;                /* of the one server that is left; from argv */
    const char *peer_address;            /* NULL: as before */
    bool show;                           /* only print, change nothing */
    bool help;                           /* only print the help */
    struct tt_datadir *datadir;          /* owned; locked while open */
    struct tt_wal *wal;                  /* owned; its log */
    struct tt_wal_recovered log;         /* what is in it */
    struct tt_datadir_identity identity; /* of this server; cluster_id: the old one, then the new */
    struct tt_membership last;           /* the configuration before */
    uint64_t last_term;                  /* of the last entry */
};

static int parse(struct recovery *recovery, int argc, char **argv, struct tt_err *err)
{
    const struct tt_option options[OPTION_COUNT] = {
        {"data-dir", 'd', TT_OPTION_STRING, &recovery->data_dir, "DIR",
         "of a server that is not running (required)"},
        {"peer-address", 0, TT_OPTION_STRING, &recovery->peer_address, "HOST:PORT",
         "where other servers will reach it [as before]"},
        {"show", 0, TT_OPTION_FLAG, &recovery->show, NULL, "only print how far its log goes"},
        {"help", 'h', TT_OPTION_FLAG, &recovery->help, NULL, "show this help"},
    };
    const struct tt_option_set set = {options, OPTION_COUNT};
    const char *words[WORDS_MAX];
    size_t word_count = 0;
    int r = argc <= WORDS_MAX ? tt_options_parse(&set, argc, argv, words, &word_count, err)
                              : TT_FAIL(err, TT_EINVAL, "too many arguments");
    if (r == TT_OK && recovery->help) {
        TT_AUTO_BUF struct tt_buf text;
        tt_buf_init(&text, 64 << 10);
        tt_buf_c(&text, "Usage: tuttid recover --data-dir DIR [--show]\n\nAfter a lost majority: "
                        "makes this server the only one of a new cluster that holds its data.\n\n");
        tt_options_help(&set, &text);
        (void)fwrite(text.ptr, 1, text.len, stdout);
        return TT_OK;
    }
    if (r == TT_OK && (recovery->data_dir == NULL || word_count > 0)) {
        return TT_FAIL(err, TT_EINVAL, "--data-dir is required (--help)");
    }
    return r;
}

/* ---- reading ---- */

static int read_snapshot_config(struct recovery *recovery, struct tt_err *err)
{
    TT_AUTO(tt_snapshot_file) file = NULL;
    const struct tt_wal_snapshot *named = &recovery->log.snapshot;
    if (named->index == 0) {
        return TT_FAIL(err, TT_ENOTFOUND,
                       "the log holds no configuration: this server never "
                       "belonged to a cluster");
    }
    int r = tt_snapshot_file_open(tt_disk_system(), tt_datadir_snapshot_dir(recovery->datadir),
                                  named->index, named->term, &file, err);
    if (r == TT_OK) {
        r = tt_snapshot_file_verify(file, err);
    }
    return r == TT_OK ? tt_membership_decode(tt_snapshot_file_meta(file)->configuration,
                                             &recovery->last, err)
                      : r;
}

static int read_entry_config(struct recovery *recovery, uint64_t index, struct tt_err *err)
{
    struct tt_wal_plan plan;
    int r = tt_wal_plan(recovery->wal, index, 1, &plan, err);
    if (r != TT_OK) {
        return r;
    }
    struct tt_wal_entry *entries = tt_xcalloc(plan.count, sizeof *entries);
    r = tt_wal_read(&plan, entries, err);
    const struct tt_bytes *payload = r == TT_OK ? entries[0].payload : NULL;
    if (r == TT_OK && payload == NULL) {
        r = TT_FAIL(err, TT_ECORRUPT, "entry %" PRIu64 " is an empty configuration", index);
    } else if (r == TT_OK) {
        r = tt_membership_decode(tt_str((const char *)payload->ptr, payload->size), &recovery->last,
                                 err);
    }
    for (size_t i = 0; i < plan.count; i++) {
        tt_bytes_unref(entries[i].payload);
    }
    tt_free(entries);
    tt_wal_plan_fini(&plan);
    return r;
}

/* The newest configuration: of the log, else of the snapshot. */
static int read_config(struct recovery *recovery, struct tt_err *err)
{
    uint8_t type = 0;
    uint64_t term = 0;
    for (uint64_t index = recovery->log.last_index; index >= recovery->log.first_index; index--) {
        if (tt_wal_entry_info(recovery->wal, index, &term, &type) && type == RAFT_CHANGE) {
            return read_entry_config(recovery, index, err);
        }
    }
    return read_snapshot_config(recovery, err);
}

static int open_all(struct recovery *recovery, struct tt_err *err)
{
    int r = tt_datadir_open(tt_disk_system(), recovery->data_dir, true, &recovery->datadir, err);
    if (r == TT_OK && !tt_datadir_has_member(recovery->datadir)) {
        r = TT_FAIL(err, TT_ENOTFOUND, "%s holds no member", recovery->data_dir);
    }
    if (r == TT_OK) {
        r = tt_datadir_identity(recovery->datadir, &recovery->identity, err);
    }
    if (r != TT_OK) {
        return r;
    }
    const struct tt_wal_config config = {.disk = tt_disk_system(),
                                         .dir = tt_datadir_log_dir(recovery->datadir)};
    r = tt_wal_open(&config, &recovery->wal, &recovery->log, err);
    if (r == TT_OK) {
        r = read_config(recovery, err);
    }
    uint8_t type = 0;
    recovery->last_term = recovery->log.snapshot.term;
    if (r == TT_OK) {
        /* False: no entries behind the snapshot, whose term it is then. */
        (void)tt_wal_entry_info(recovery->wal, recovery->log.last_index, &recovery->last_term,
                                &type);
    }
    return r;
}

/* ---- changing ---- */

static int append_config(struct recovery *recovery, const struct tt_member *survivor,
                         struct tt_err *err)
{
    struct tt_membership_recovery plan;
    uint64_t term =
        recovery->log.term > recovery->last_term ? recovery->log.term : recovery->last_term;
    int r = tt_membership_recover(survivor, term + OFFLINE_TERM_JUMP, recovery->log.last_index,
                                  &plan, err);
    if (r != TT_OK) {
        return r;
    }
    const struct tt_wal_entry entry = {
        .index = plan.index, .term = plan.term, .type = RAFT_CHANGE, .payload = plan.config};
    r = tt_wal_stage_hard_state(recovery->wal, plan.term, survivor->id, err);
    if (r == TT_OK) {
        r = tt_wal_stage_entry(recovery->wal, &entry, err);
    }
    if (r == TT_OK) {
        r = tt_wal_stop(recovery->wal, err);
    }
    tt_bytes_unref(plan.config);
    return r;
}

static int change(struct recovery *recovery, struct tt_err *err)
{
    const struct tt_member *self = tt_membership_get(&recovery->last, recovery->identity.member_id);
    if (self == NULL || self->role == TT_ROLE_SPARE) {
        return TT_FAIL(err, TT_EINVAL,
                       "%s was no voter of its cluster: recover the voter whose log goes furthest",
                       recovery->identity.name);
    }
    struct tt_member survivor = *self;
    char uuid[TT_UUID_TEXT_SIZE];
    if (recovery->peer_address != NULL) {
        int size = snprintf(survivor.peer_address, sizeof survivor.peer_address, "%s",
                            recovery->peer_address);
        if (size <= 0 || (size_t)size >= sizeof survivor.peer_address) {
            return TT_FAIL(err, TT_EINVAL, "--peer-address is too long");
        }
    }
    tt_uuid_v4(uuid);
    (void)snprintf(recovery->identity.cluster_id, sizeof recovery->identity.cluster_id, "%s", uuid);
    int r = tt_datadir_set_identity(recovery->datadir, &recovery->identity, err);
    if (r == TT_OK) {
        r = append_config(recovery, &survivor, err);
    }
    return r != TT_OK ? TT_WRAP(err, r, "not finished: run it again") : TT_OK;
}

static void print_state(const struct recovery *recovery)
{
    (void)printf("%s: member %" PRIu64 " of cluster %s, last term %" PRIu64 ", last index %" PRIu64
                 "\n",
                 recovery->identity.name, recovery->identity.member_id,
                 recovery->identity.cluster_id, recovery->last_term, recovery->log.last_index);
    for (size_t i = 0; i < recovery->last.count; i++) {
        const struct tt_member *member = &recovery->last.members[i];
        (void)printf("  %s, id %" PRIu64 ", at %s\n", member->name, member->id,
                     member->peer_address);
    }
}

int offline_recover(int argc, char **argv, struct tt_err *err)
{
    struct recovery recovery = {.data_dir = NULL};
    int r = parse(&recovery, argc, argv, err);
    if (r != TT_OK || recovery.help) {
        return r;
    }
    r = open_all(&recovery, err);
    if (r == TT_OK) {
        print_state(&recovery);
    }
    if (r == TT_OK && !recovery.show) {
        r = change(&recovery, err);
    }
    if (r == TT_OK && !recovery.show) {
        (void)printf("%s is the only server of the new cluster %s now\n"
                     "next: start it as before; remove the data directories of the others and "
                     "add them\nas new members (tuttictl cluster add, tuttid server --join)\n",
                     recovery.identity.name, recovery.identity.cluster_id);
    }
    tt_wal_free(recovery.wal);
    tt_datadir_free(recovery.datadir);
    return r;
}
