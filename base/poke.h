/* A poke wakes the owner of a mailbox however often it is asked to, with one message at most in the
 * box: "there is something new, look". What is new is read when it runs.
 *
 * Ownership: the poke's owner keeps it until the mailbox is closed and drained. Thread: fire from
 * any thread; `run` on the mailbox's. Errors: none; a closed mailbox needs no wake-up. */
#ifndef BASE_POKE_H
#define BASE_POKE_H

#include <stdatomic.h>

#include "base/queue.h"

struct tt_poke {
    struct tt_msg msg;                 /* in the mailbox while posted */
    atomic_bool posted;                /* msg is in box; any thread sets it, only run's clears it */
    struct tt_mailbox *box;            /* kept */
    void (*run)(struct tt_poke *poke); /* a fire during run posts again */
};
void tt_poke_init(struct tt_poke *poke, struct tt_mailbox *box, void (*run)(struct tt_poke *poke));
void tt_poke_fire(struct tt_poke *poke);

#endif
