/* tuttid restore: from a backup file to the data directory of a new cluster's first server.
 *
 * Happy path: check the whole file (hash, frames) → restore it into a store, which checks contents
 * and completeness → in DIR.restoring: a member with a new cluster id, a snapshot of that store
 * that names this server as the only voter, a log that begins behind it → rename to DIR. The rename
 * is the moment the directory exists; whatever fails before leaves DIR untouched, and DIR.restoring
 * is removed by the next try. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "api/json/json.h"
#include "base/file.h"
#include "base/options.h"
#include "base/rng.h"
#include "ctl/backup_file.h"
#include "raft/datadir.h"
#include "raft/membership.h"
#include "raft/node_store.h"
#include "raft/snapshot_file.h"
#include "server/main/offline.h"
#include "server/store/store.h"
#include "server/store/version.h"

enum { OPTION_COUNT = 6, PIECE_SIZE = 256 << 10, WORDS_MAX = 64, HEADER_SIZE_MAX = 4096 };

struct restore {
    /* all from argv: the backup file; DIR; SERVER; HOST:PORT */
    const char *from, *data_dir, *name, *peer_address;
    uint64_t member_id;                  /* of the new cluster's first server; never 0 */
    bool help;                           /* only print the help */
    uint64_t term;                       /* of the new cluster's first snapshot */
    char *building;                      /* DIR.restoring */
    struct tt_store *store;              /* owned; filled from the backup */
    struct tt_datadir_identity identity; /* of the new cluster's first server */
};

static int parse(struct restore *restore, int argc, char **argv, struct tt_err *err)
{
    const struct tt_option options[OPTION_COUNT] = {
        {"from", 0, TT_OPTION_STRING, &restore->from, "FILE", "the backup (required)"},
        {"data-dir", 'd', TT_OPTION_STRING, &restore->data_dir, "DIR",
         "where to make it; must not exist or be empty (required)"},
        {"name", 'n', TT_OPTION_STRING, &restore->name, "NAME",
         "of the server, as in its certificate (required)"},
        {"peer-address", 0, TT_OPTION_STRING, &restore->peer_address, "HOST:PORT",
         "where other servers will reach it (required)"},
        {"member-id", 0, TT_OPTION_U64, &restore->member_id, "ID", "its member id [1]"},
        {"help", 'h', TT_OPTION_FLAG, &restore->help, NULL, "show this help"},
    };
    const struct tt_option_set set = {options, OPTION_COUNT};
    const char *words[WORDS_MAX];
    size_t word_count = 0;
    int r = argc <= WORDS_MAX ? tt_options_parse(&set, argc, argv, words, &word_count, err)
                              : TT_FAIL(err, TT_EINVAL, "too many arguments");
    if (r == TT_OK && restore->help) {
        TT_AUTO_BUF struct tt_buf text;
        tt_buf_init(&text, 64 << 10);
        tt_buf_c(&text, "Usage: tuttid restore --from FILE --data-dir DIR --name NAME "
                        "--peer-address HOST:PORT\n\nMakes the data directory of a new cluster's "
                        "first server from a backup.\n\n");
        tt_options_help(&set, &text);
        (void)fwrite(text.ptr, 1, text.len, stdout);
        return TT_OK;
    }
    if (r == TT_OK &&
        (restore->from == NULL || restore->data_dir == NULL || restore->name == NULL ||
         restore->peer_address == NULL || restore->member_id == 0 || word_count > 0)) {
        return TT_FAIL(err, TT_EINVAL,
                       "--from, --data-dir, --name and --peer-address are required (--help)");
    }
    return r;
}

/* ---- the backup ---- */

static int check_file(struct restore *restore, struct tt_err *err)
{
    struct ctl_stream_facts facts;
    TT_AUTO_BUF struct tt_buf header;
    TT_AUTO(tt_arena) arena = tt_arena_new(4096, 1 << 20);
    yyjson_doc *doc = NULL;
    tt_buf_init(&header, HEADER_SIZE_MAX);
    int r = ctl_backup_verify(restore->from, &facts, &header, err);
    if (r == TT_OK) {
        r = tt_json_read(arena, tt_buf_view(&header), &doc, err);
    }
    if (r != TT_OK) {
        return r;
    }
    int64_t term = tt_json_iget_i64(yyjson_doc_get_root(doc), "term", 0);
    if (term <= 0 || term > INT64_MAX - OFFLINE_TERM_JUMP) {
        return TT_FAIL(err, TT_ECORRUPT, "%s: its header names no term", restore->from);
    }
    restore->term = (uint64_t)term + OFFLINE_TERM_JUMP;
    return TT_OK;
}

/* Between the two lines of the head and the trailer. */
static int feed_stream(struct tt_snapshot_reader *reader, FILE *file, struct tt_err *err)
{
    int lines = 0;
    int c;
    while (lines < 2 && (c = fgetc(file)) != EOF) {
        lines += c == '\n';
    }
    long begin = ftell(file);
    if (begin < 0 || fseek(file, 0, SEEK_END) != 0) {
        return TT_FAIL_ERRNO(err, errno, "read the backup");
    }
    long left = ftell(file) - CTL_BACKUP_TRAILER_SIZE - begin;
    TT_AUTO_FREE char *piece = tt_xmalloc(PIECE_SIZE);
    int r = left > 0 && fseek(file, begin, SEEK_SET) == 0
                ? TT_OK
                : TT_FAIL(err, TT_ECORRUPT, "the backup has no contents");
    while (r == TT_OK && left > 0) {
        size_t wanted = left < PIECE_SIZE ? (size_t)left : PIECE_SIZE;
        if (fread(piece, 1, wanted, file) != wanted) {
            return TT_FAIL(err, TT_EIO, "the backup could not be read");
        }
        left -= (long)wanted;
        r = tt_snapshot_reader_feed(reader, tt_str(piece, wanted), err);
    }
    return r == TT_OK ? tt_snapshot_reader_finish(reader, err) : r;
}

static int load_store(struct restore *restore, struct tt_err *err)
{
    FILE *file = fopen(restore->from, "rbe");
    if (file == NULL) {
        return TT_FAIL_ERRNO(err, errno, "%s", restore->from);
    }
    TT_AUTO(tt_snapshot_reader) reader = tt_snapshot_reader_new(restore->store);
    int r = feed_stream(reader, file, err);
    (void)fclose(file); /* it was only read */
    return r != TT_OK ? TT_WRAP(err, r, "%s", restore->from) : TT_OK;
}

/* ---- the member ---- */

static int write_stream(struct tt_version *version, struct tt_snapshot_file_writer *file,
                        struct tt_err *err)
{
    TT_AUTO(tt_snapshot_writer) writer = tt_snapshot_writer_new(version);
    TT_AUTO_BUF struct tt_buf piece;
    bool done = false;
    int r = TT_OK;
    tt_buf_init(&piece, 4 << 20);
    while (r == TT_OK && !done) {
        tt_buf_reset(&piece);
        r = tt_snapshot_writer_next(writer, PIECE_SIZE, &piece, &done, err);
        if (r == TT_OK) {
            r = tt_snapshot_file_append(file, tt_buf_view(&piece), err);
        }
    }
    return r;
}

static int write_snapshot(struct restore *restore, const struct tt_datadir *datadir,
                          struct tt_snapshot_handle *ret, struct tt_err *err)
{
    struct tt_membership alone = {.count = 1};
    struct tt_member *self = &alone.members[0];
    *self = (struct tt_member){.id = restore->member_id, .role = TT_ROLE_VOTER};
    (void)snprintf(self->name, sizeof self->name, "%s", restore->name);
    (void)snprintf(self->peer_address, sizeof self->peer_address, "%s", restore->peer_address);
    struct tt_bytes *config = NULL;
    int r = tt_membership_encode(&alone, &config, err);
    if (r != TT_OK) {
        return r;
    }
    TT_AUTO(tt_version) version = tt_store_version(restore->store);
    uint64_t index = tt_node_store_index(tt_version_index(version)) + 1;
    const struct tt_snapshot_meta meta = {.index = index,
                                          .term = restore->term,
                                          .configuration_index = index,
                                          .revision = tt_version_revision(version),
                                          .feature_level = tt_store_feature_level(restore->store),
                                          .configuration =
                                              tt_str((const char *)config->ptr, config->size)};
    TT_AUTO(tt_snapshot_file_writer) file = NULL;
    r = tt_snapshot_file_create(tt_disk_system(), tt_datadir_snapshot_dir(datadir), &meta, &file,
                                err);
    if (r == TT_OK) {
        r = write_stream(version, file, err);
    }
    if (r == TT_OK) {
        r = tt_snapshot_file_commit(file, ret, err);
    }
    tt_bytes_unref(config);
    return r;
}

/* A log that holds nothing but the term and the snapshot. */
static int write_log(const struct tt_datadir *datadir, const struct tt_snapshot_handle *handle,
                     struct tt_err *err)
{
    TT_AUTO(tt_wal) wal = NULL;
    struct tt_wal_recovered recovered;
    const struct tt_wal_config config = {.disk = tt_disk_system(),
                                         .dir = tt_datadir_log_dir(datadir)};
    struct tt_wal_snapshot snapshot = {
        .index = handle->index, .term = handle->term, .handle_size = TT_SNAPSHOT_HANDLE_SIZE};
    tt_snapshot_handle_encode(handle, snapshot.handle);
    int r = tt_wal_open(&config, &wal, &recovered, err);
    if (r == TT_OK) {
        r = tt_wal_stage_hard_state(wal, handle->term, 0, err);
    }
    if (r == TT_OK) {
        r = tt_wal_stage_install(wal, &snapshot, err);
    }
    return r == TT_OK ? tt_wal_stop(wal, err) : r;
}

static int build(struct restore *restore, struct tt_err *err)
{
    TT_AUTO(tt_datadir) datadir = NULL;
    struct tt_snapshot_handle handle;
    struct tt_datadir_bootstrap bootstrap = {.identity = restore->identity};
    int r = tt_datadir_open(tt_disk_system(), restore->building, true, &datadir, err);
    if (r == TT_OK) {
        r = tt_datadir_bootstrap(datadir, &bootstrap, err);
    }
    if (r == TT_OK) {
        r = write_snapshot(restore, datadir, &handle, err);
    }
    return r == TT_OK ? write_log(datadir, &handle, err) : r;
}

/* DIR may be there when it is empty. */
static int put_in_place(struct restore *restore, struct tt_err *err)
{
    if (rmdir(restore->data_dir) != 0 && errno != ENOENT) {
        return TT_FAIL(err, TT_EEXISTS, "%s is not empty: a restore never overwrites",
                       restore->data_dir);
    }
    if (rename(restore->building, restore->data_dir) != 0) {
        return TT_FAIL_ERRNO(err, errno, "rename %s", restore->building);
    }
    TT_AUTO_FREE char *parent = tt_xasprintf("%s/..", restore->data_dir);
    return tt_dir_sync(parent, err);
}

static int name_member(struct restore *restore, struct tt_err *err)
{
    struct tt_datadir_identity *identity = &restore->identity;
    char uuid[TT_UUID_TEXT_SIZE];
    tt_uuid_v4(uuid);
    int size = snprintf(identity->name, sizeof identity->name, "%s", restore->name);
    (void)snprintf(identity->cluster_id, sizeof identity->cluster_id, "%s", uuid);
    identity->member_id = restore->member_id;
    bool fits = size > 0 && size < TT_NAME_SIZE && strlen(restore->peer_address) < TT_ADDRESS_SIZE;
    return fits ? TT_OK : TT_FAIL(err, TT_EINVAL, "--name or --peer-address is too long");
}

static int carry_out(struct restore *restore, struct tt_err *err)
{
    int r = name_member(restore, err);
    if (r == TT_OK) {
        r = check_file(restore, err);
    }
    if (r == TT_OK) {
        r = load_store(restore, err);
    }
    if (r == TT_OK) {
        r = tt_dir_remove_tree(restore->building, err);
    }
    if (r == TT_OK) {
        r = build(restore, err);
    }
    return r == TT_OK ? put_in_place(restore, err) : r;
}

int offline_restore(int argc, char **argv, struct tt_err *err)
{
    struct restore restore = {.member_id = 1};
    int r = parse(&restore, argc, argv, err);
    if (r != TT_OK || restore.help) {
        return r;
    }
    restore.building = tt_xasprintf("%s.restoring", restore.data_dir);
    restore.store = tt_store_new();
    r = carry_out(&restore, err);
    if (r == TT_OK) {
        TT_AUTO(tt_version) version = tt_store_version(restore.store);
        (void)printf("%s: %s is the first server of the new cluster %s, at revision %" PRIu64 "\n"
                     "next: start it as before, without --bootstrap and --join, with the seal key "
                     "of the old\ncluster; then add further servers (tuttictl cluster add)\n",
                     restore.data_dir, restore.name, restore.identity.cluster_id,
                     tt_version_revision(version));
    }
    tt_store_free(restore.store);
    tt_free(restore.building);
    return r;
}
