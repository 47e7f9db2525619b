/* Finding the server that knows best: the leader, else one that knows who it is.
 *
 * Ownership: the session and the answer are the caller's. Thread: one. Errors: only when no server
 * answers at all; a cluster without a leader is an answer. */
#ifndef CTL_LEADER_H
#define CTL_LEADER_H

#include "ctl/session.h"

/* *ret_session talks to the server that gave *ret_status (its /tutti/v1/cluster). */
int ctl_leader_open(const struct ctl_common *common, struct ctl_session **ret_session,
                    struct ctl_answer *ret_status, struct tt_err *err) TT_MUST_USE;

#endif
