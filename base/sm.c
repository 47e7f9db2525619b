#include "base/sm.h"

#include <stddef.h>

#include "base/err.h"

/* Every move is checked three times: the invariant of the state that is left behind was checked
 * when it was entered, the table must allow the move, the invariant of the new state must hold. */

enum { SM_STATE_MAX = 32 };

void tt_sm_init(struct tt_sm *sm, const struct tt_sm_def *def, uint32_t state)
{
    TT_ASSERT(def->state_count > 0 && def->state_count <= SM_STATE_MAX);
    TT_ASSERT(def->invariant != NULL);
    TT_ASSERT(state < def->state_count);
    sm->def = def;
    sm->state = state;
    TT_ASSERT(def->invariant(sm, state));
}

void tt_sm_move(struct tt_sm *sm, uint32_t state)
{
    const struct tt_sm_def *def = sm->def;
    TT_ASSERT(state < def->state_count);
    TT_ASSERT((def->states[sm->state].next_allowed & TT_SM_BIT(state)) != 0);
    sm->state = state;
    TT_ASSERT(def->invariant(sm, state));
}

void tt_sm_fini(const struct tt_sm *sm)
{
    TT_ASSERT(sm->def->states[sm->state].final);
    TT_ASSERT(sm->def->invariant(sm, sm->state));
}

const char *tt_sm_name(const struct tt_sm *sm)
{
    return sm->def->states[sm->state].name;
}
