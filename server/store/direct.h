/* The direct proposer: a tt_proposer and a tt_cluster over a local store, without a log and without
 * peers.
 *
 * A proposed command is stamped, applied and published inside the submitting call; the answer is
 * posted to op->reply like that of the real proposer, so `done` never runs inside the call. What
 * routes, watches and reconcilers are tested with. It starts as leader of term 1. Ownership: keeps
 * the store and the clock. Thread: submit from any thread (serialised by a lock); the store's
 * listeners run on the submitting thread. Errors: TT_EUNAVAILABLE in op->code while not leading.
 */
#ifndef SERVER_STORE_DIRECT_H
#define SERVER_STORE_DIRECT_H

#include "base/clock.h"
#include "server/store/proposer.h"
#include "server/store/store.h"

struct tt_direct;
/* clock stamps the commands; NULL: the stamp stays 0, so that leader time stands still. */
struct tt_direct *tt_direct_new(struct tt_store *store, const struct tt_clock *clock);
void tt_direct_free(struct tt_direct *direct);
TT_DEFINE_AUTO(tt_direct)
struct tt_proposer *tt_direct_proposer(struct tt_direct *direct); /* lives as long as direct */
/* read_index answers at once; change answers TT_EINVALID (there is nobody to change) except for
 * TRANSFER and SNAPSHOT, which succeed and do nothing; listen calls `gained` at once while leading.
 */
struct tt_cluster *tt_direct_cluster(struct tt_direct *direct);
/* Gains (a new term) or loses the leadership and tells the listeners. */
void tt_direct_lead(struct tt_direct *direct, bool leading);
/* The next `count` proposals are answered `code` (TT_ETIMEOUT applies them first, the others do
 * not): for tests of what callers make of failures. */
void tt_direct_fail_next(struct tt_direct *direct, unsigned count, int code);

#endif
