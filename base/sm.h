/* State machines: a table of legal transitions and an invariant, checked at every move.
 *
 * Each asynchronous operation embeds one struct tt_sm. An illegal move or a broken invariant is a
 * bug: it asserts. Ownership: embedded; `def` is static. Thread: that of the operation.
 * Errors: none, only assertions. */
#ifndef BASE_SM_H
#define BASE_SM_H

#include <stdbool.h>
#include <stdint.h>

struct tt_sm;
struct tt_sm_state {
    const char *name;      /* static; what tt_sm_name says */
    uint32_t next_allowed; /* bit per state that may follow */
    bool final;            /* fini is legal here */
};
struct tt_sm_def {
    const char *name;                 /* of the operation; static */
    const struct tt_sm_state *states; /* indexed by the state's number, at most 32 */
    uint32_t state_count;             /* of states; 1 to 32 */
    /* True when the operation's data agree with `state`. Mandatory. */
    bool (*invariant)(const struct tt_sm *sm, uint32_t state);
};
struct tt_sm {
    const struct tt_sm_def *def; /* static; as given to init */
    uint32_t state;              /* the present one, an index into def->states */
};
#define TT_SM_BIT(state) (UINT32_C(1) << (state))
void tt_sm_init(struct tt_sm *sm, const struct tt_sm_def *def, uint32_t state);
void tt_sm_move(struct tt_sm *sm, uint32_t state);
void tt_sm_fini(const struct tt_sm *sm);
static inline uint32_t tt_sm_state(const struct tt_sm *sm)
{
    return sm->state;
}
const char *tt_sm_name(const struct tt_sm *sm);

#endif
