/* Mistakes that the simulator's own copy of the replica core makes on purpose, to prove that the
 * simulator would notice; as node_faults.h, for what surrounds the node.
 *
 * Ownership: plain struct. Thread: set before the node starts. Errors: none. */
#ifndef RAFT_REPLICA_FAULTS_H
#define RAFT_REPLICA_FAULTS_H

#include <stdbool.h>

#ifdef TT_SIM
struct replica_faults {
    bool pin_late;      /* the version of a snapshot is taken when it is written */
    bool staged_begin;  /* a staged piece is reported by where it begins */
    bool lost_untold;   /* the end of a leadership is kept from those who listen */
    bool leader_untold; /* the status names the last leader until it is written anyway */
};
#define REPLICA_FAULT(core, name) ((core)->faults.name)
#else
#define REPLICA_FAULT(core, name) false
#endif

#endif
