/* What the nemesis does, counted by kind; sim_nemesis.h has their names.
 *
 * Ownership: plain enum. Thread: any. Errors: none. */
#ifndef TESTS_SIM_SIM_FAULTS_H
#define TESTS_SIM_SIM_FAULTS_H

enum sim_fault {
    SIM_CRASH,
    SIM_STOP,
    SIM_PARTITION,
    SIM_ONE_WAY_CUT,
    SIM_ISOLATE_LEADER,
    SIM_PAUSE,
    SIM_SLOW_DISK,
    SIM_DISK_FAILURE,
    SIM_CLOCK_JUMP,
    SIM_NET_QUALITY,
    SIM_MEMBERSHIP,
    SIM_TRANSFER,
    SIM_SNAPSHOT,
    SIM_COMPACTION,
    SIM_BURST,
    SIM_LAG,
    SIM_DISK_FULL,
    SIM_TAKEN_FOR_GONE,
    SIM_ROT,
    SIM_FRAME_DROPPED, /* from here on: single frames, counted apart */
    SIM_FRAME_DUPLICATED,
    SIM_FRAME_DELAYED,
    SIM_FAULT_COUNT
};

#endif
