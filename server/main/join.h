/* What a new server must know before it can join: the cluster's id, its members, and the id that it
 * was added by. Asked from any server of the cluster over its API.
 *
 * Ownership: plain values. Thread: start-up; blocks. Errors: TT_ENOTFOUND when the cluster has no
 * member of this name yet (with the command that adds it); those of the connection. */
#ifndef SERVER_MAIN_JOIN_H
#define SERVER_MAIN_JOIN_H

#include "server/main/server_options.h"

struct join_answer {
    char cluster_id[40];                      /* like a UUID; "" with member_count 0 */
    uint64_t member_id;                       /* of this server */
    struct tt_member members[TT_MEMBERS_MAX]; /* as that server knows them, this one among them */
    size_t member_count;                      /* 0: nobody was asked */
};
/* options->join: comma list of https URLs. */
int join_ask(const struct server_options *options, struct join_answer *ret_answer,
             struct tt_err *err) TT_MUST_USE;

#endif
