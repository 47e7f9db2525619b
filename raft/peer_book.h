/* The peer book: which data directory each member of the cluster had when this one first met it.
 *
 * A member that lost its memory must never come back under its old id: it would vote again in terms
 * it has voted in, and without entries it has acknowledged. Every data directory has a random
 * incarnation (datadir.h); members tell it in the hello (transport_frame.h), and whoever meets one
 * for the first time writes it down, durably, before it takes anything from that member. Another
 * incarnation under a known id is refused from then on. DIR/member/peers holds the book.
 *
 * Ownership: keeps disk and dir. Thread: one at a time (the transport's). Errors: open:
 * TT_ECORRUPT; meet: TT_ECONFLICT for another incarnation, else of the disk. */
#ifndef RAFT_PEER_BOOK_H
#define RAFT_PEER_BOOK_H

#include "base/mem.h"
#include "raft/disk.h"

/* Members ever met; beyond it the smallest id is forgotten. */
enum { TT_PEER_BOOK_ENTRIES_MAX = 256 };

struct tt_peer_book;
/* dir: the member's directory. A book of another cluster id (before a recovery, which begins ids
 * anew) is an empty one. */
int tt_peer_book_open(const struct tt_disk *disk, const char *dir, const char *cluster_id,
                      struct tt_peer_book **ret_book, struct tt_err *err) TT_MUST_USE;
void tt_peer_book_free(struct tt_peer_book *book);
TT_DEFINE_AUTO(tt_peer_book)
/* The incarnation the member is known by; 0: not met yet. */
uint64_t tt_peer_book_known(const struct tt_peer_book *book, uint64_t member_id);
/* Writes down who is not known yet; may wait for the disk, once per member and its lifetime. */
int tt_peer_book_meet(struct tt_peer_book *book, uint64_t member_id, uint64_t incarnation,
                      struct tt_err *err) TT_MUST_USE;

#endif
