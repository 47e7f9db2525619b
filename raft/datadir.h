/* The data directory of one raft member: identity, lock, log and snapshots, and how it comes into
 * being at once or not at all.
 *
 *   DIR/lock            held (flock) while a process uses the directory
 *   DIR/member/identity cluster id, member id, name, incarnation
 *   DIR/member/peers    peer_book.h
 *   DIR/member/log/     log.h
 *   DIR/member/snapshots/  snapshot_file.h
 *   DIR/quarantine-N/   a member directory that was found corrupt, kept for its owner to look at
 *
 * Bootstrap builds DIR/member.tmp, syncs it, and renames it: a directory with `member` is complete.
 * Quarantine renames `member` aside; the server then joins again as a new member id: bootstrap
 * refuses the id of a quarantined member (TT_ECONFLICT), as one without its memory must not vote.
 *
 * Ownership: owns the lock. Thread: start-up, before threads. Errors: TT_EBUSY: another process
 * holds it; TT_ENOTFOUND: there is no member yet; TT_EEXISTS: there is one already; TT_ECORRUPT. */
#ifndef RAFT_DATADIR_H
#define RAFT_DATADIR_H

#include "raft/log.h"

enum { TT_DATADIR_NAME_SIZE = 256, TT_DATADIR_UUID_SIZE = 37 };

struct tt_datadir_identity {
    char cluster_id[TT_DATADIR_UUID_SIZE]; /* a new one after recovery from quorum loss */
    uint64_t member_id;                    /* never 0, never reused */
    char name[TT_DATADIR_NAME_SIZE];       /* of the server */
    uint64_t incarnation; /* of this directory, random: peers know the member by it (peer_book.h).
                             Bootstrap draws one for 0; a directory of an older build reads as 0 */
};

struct tt_datadir;
/* Takes the lock (a simulated disk has none to take: pass lock = false) and removes what an
 * interrupted bootstrap left. Makes DIR itself when it is absent. */
int tt_datadir_open(const struct tt_disk *disk, const char *dir, bool lock, struct tt_datadir **ret,
                    struct tt_err *err) TT_MUST_USE;
void tt_datadir_free(struct tt_datadir *datadir); /* gives the lock back; NULL is fine */
TT_DEFINE_AUTO(tt_datadir)
bool tt_datadir_has_member(const struct tt_datadir *datadir);
/* A new member, with the first entries of its log (none for a server that joins). segment_size: 0 =
 * default. */
struct tt_datadir_bootstrap {
    struct tt_datadir_identity identity; /* incarnation 0: draw one */
    const struct tt_wal_entry *entries;  /* borrowed */
    size_t count;                        /* of entries */
    uint64_t segment_size;               /* of the log; 0 = default */
    uint64_t log_id;                     /* of the log; 0 = a random one */
};
int tt_datadir_bootstrap(struct tt_datadir *datadir, const struct tt_datadir_bootstrap *bootstrap,
                         struct tt_err *err) TT_MUST_USE;
int tt_datadir_identity(const struct tt_datadir *datadir, struct tt_datadir_identity *ret,
                        struct tt_err *err) TT_MUST_USE;
/* Replaces the identity of the member that is there: recovery gives the cluster a new id. */
int tt_datadir_set_identity(struct tt_datadir *datadir, const struct tt_datadir_identity *identity,
                            struct tt_err *err) TT_MUST_USE;
const char *tt_datadir_member_dir(const struct tt_datadir *datadir);   /* borrowed */
const char *tt_datadir_log_dir(const struct tt_datadir *datadir);      /* borrowed */
const char *tt_datadir_snapshot_dir(const struct tt_datadir *datadir); /* borrowed */
/* Renames `member` aside with `reason` in a file of it. ret_path (may be NULL): where it is now;
 * free with tt_free. Nothing of the log or the snapshots may be open. */
int tt_datadir_quarantine(struct tt_datadir *datadir, const char *reason, char **ret_path,
                          struct tt_err *err) TT_MUST_USE;
/* For the proposer's reserve (rule 8): what may still be allocated below the directory. */
int tt_datadir_free_space(const struct tt_datadir *datadir, uint64_t *ret_bytes,
                          struct tt_err *err) TT_MUST_USE;

#endif
