/* The flag is cleared before `run` looks, so that a fire after the look posts anew: nothing new is
 * ever missed, and at most one message is out. */
#include "base/poke.h"

#include "base/mem.h"

static void poke_run(struct tt_msg *msg)
{
    struct tt_poke *poke = TT_CONTAINER_OF(msg, struct tt_poke, msg);
    atomic_store(&poke->posted, false);
    poke->run(poke);
}

void tt_poke_init(struct tt_poke *poke, struct tt_mailbox *box, void (*run)(struct tt_poke *poke))
{
    poke->msg.next = NULL;
    poke->msg.run = poke_run;
    atomic_init(&poke->posted, false);
    poke->box = box;
    poke->run = run;
}

void tt_poke_fire(struct tt_poke *poke)
{
    if (!atomic_exchange(&poke->posted, true)) {
        /* Bounded by one per poke, so it counts as an answer; a closed box runs nothing more. */
        TT_IGNORE(tt_mailbox_post_answer(poke->box, &poke->msg));
    }
}
