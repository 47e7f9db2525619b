/* The servers of a cluster: configurations as bytes and as arrays, the legal changes between them,
 * and the last resort after a lost quorum. Pure functions; membership_op.h drives changes in time.
 *
 * A configuration is encoded by libraft ({id, address, role} each); the address holds
 * "name@host:port". At most one server changes per step, by one of: add as spare, spare → standby,
 * standby → voter, remove. Nothing is ever demoted (rule 9).
 * Ownership: plain structs and arrays; encoded bytes are returned as one reference. Thread: any.
 * Errors: TT_EPROTO for bytes that are no configuration, TT_EINVAL/TT_ECONFLICT/TT_ENOTFOUND for a
 * change that is not legal. */
#ifndef RAFT_MEMBERSHIP_H
#define RAFT_MEMBERSHIP_H

#include <raft.h>

#include "base/buf.h"
#include "server/store/proposer.h"

enum {
    TT_MEMBERSHIP_SIZE_MAX = 4096, /* encoded */
    TT_MEMBER_ID_BASE = 1000,      /* ids given by a leader: this + the index of the addition */
};

/* Only id, name, peer_address and role of the members are part of it. */
struct tt_membership {
    struct tt_member members[TT_MEMBERS_MAX]; /* [0, count); ids, names and peer addresses differ */
    size_t count;                             /* of members; never above TT_MEMBERS_MAX */
};

int tt_membership_encode(const struct tt_membership *membership, struct tt_bytes **ret,
                         struct tt_err *err) TT_MUST_USE;
/* Checks everything: libraft's own decoder trusts its input. */
int tt_membership_decode(struct tt_str bytes, struct tt_membership *ret,
                         struct tt_err *err) TT_MUST_USE;
/* For libraft; the configuration is the caller's to close or to give away. */
int tt_membership_to_raft(struct tt_str bytes, struct raft_configuration *ret,
                          struct tt_err *err) TT_MUST_USE;

const struct tt_member *tt_membership_get(const struct tt_membership *membership, uint64_t id);
size_t tt_membership_voter_count(const struct tt_membership *membership);
bool tt_membership_is_voter(const struct tt_membership *membership, uint64_t id);
bool tt_membership_sole_voter(const struct tt_membership *membership, uint64_t id);

/* The member of this id was removed: the committed configuration of this index is without it and
 * came after the entry that added it, which the id tells (smaller ids are of the first
 * configuration, at index 1). Ids are never given again, so this never becomes untrue. */
bool tt_membership_proves_removed(const struct tt_membership *committed, uint64_t index,
                                  uint64_t id);

/* One legal step. `role` is the role after it; NULL-terminated reasons go to err. */
int tt_membership_add(struct tt_membership *membership, const struct tt_member *spare,
                      struct tt_err *err) TT_MUST_USE;
int tt_membership_promote(struct tt_membership *membership, uint64_t id, enum tt_member_role role,
                          struct tt_err *err) TT_MUST_USE;
/* reachable_voters: how many of the voters that remain are heard from; a majority must be. */
int tt_membership_remove(struct tt_membership *membership, uint64_t id, size_t reachable_voters,
                         struct tt_err *err) TT_MUST_USE;

/* After a lost quorum, offline: what to append to the log of the one server that goes on alone.
 * `last_*` and `term` are those of its log. The others must never come back: give the cluster a new
 * id. The server then starts as the sole voter; others are added again as new members. */
struct tt_membership_recovery {
    uint64_t term;           /* to be made durable, with a vote for the server */
    uint64_t index;          /* of the new RAFT_CHANGE entry, whose term is `term` */
    struct tt_bytes *config; /* its payload; one reference */
};
int tt_membership_recover(const struct tt_member *survivor, uint64_t term, uint64_t last_index,
                          struct tt_membership_recovery *ret, struct tt_err *err) TT_MUST_USE;

#endif
