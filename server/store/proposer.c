/* Names of what proposer.h declares. */
#include "server/store/proposer.h"

const char *tt_server_state_name(enum tt_server_state state)
{
    switch (state) {
    case TT_STATE_STARTING:
        return "starting";
    case TT_STATE_FOLLOWER:
        return "follower";
    case TT_STATE_CANDIDATE:
        return "candidate";
    case TT_STATE_LEADER:
        return "leader";
    case TT_STATE_INSTALLING:
        return "installing";
    case TT_STATE_FAULTED:
        return "faulted";
    case TT_STATE_REMOVED:
        return "removed";
    default:
        return "unknown";
    }
}
