/* Each write is done once or not at all, and its answer is true: a value that a client made up for
 * one write must not appear twice in the history, must be there at the revision that was confirmed,
 * and must never appear when the answer was a definite no. */
#include <inttypes.h>

#include "tests/sim/sim.h"

struct sim_write {
    uint64_t revision; /* in the history; 0 = not there (yet) */
    bool refused;      /* answered: it was not done, and never will be */
};
struct sim_once {
    struct sim_write *writes; /* by number of the value */
    uint64_t cap;
};

static struct sim_write *write_of(struct sim *sim, uint64_t value)
{
    if (!sim->once) {
        sim->once = TT_NEW(struct sim_once);
    }
    struct sim_once *once = sim->once;
    if (value >= once->cap) {
        uint64_t cap = 2 * value + 1024;
        once->writes = tt_xrealloc(once->writes, cap * sizeof *once->writes);
        memset(once->writes + once->cap, 0, (cap - once->cap) * sizeof *once->writes);
        once->cap = cap;
    }
    return &once->writes[value];
}

/* "seed/value/…" */
static bool value_of(struct tt_str bytes, uint64_t *ret)
{
    ptrdiff_t slash = tt_str_find_str(bytes, TT_STR("/"));
    if (slash < 0) {
        return false;
    }
    bytes = tt_str_skip(bytes, (size_t)slash + 1);
    slash = tt_str_find_str(bytes, TT_STR("/"));
    return slash > 0 && tt_str_to_u64(tt_str_head(bytes, (size_t)slash), ret);
}

void sim_once_changed(struct sim *sim, const struct tt_change *change)
{
    uint64_t value = 0;
    if (!change->item || !value_of(change->item->value.bytes, &value)) {
        return; /* a delete says nothing of itself */
    }
    struct sim_write *write = write_of(sim, value);
    if (write->revision != 0) {
        sim_fail(sim, SIM_ONCE,
                 "a write was done twice: value %" PRIu64 " at revisions %" PRIu64 " and %" PRIu64,
                 value, write->revision, change->revision);
    } else if (write->refused) {
        sim_fail(sim, SIM_REFUSED,
                 "a write that was refused is done: value %" PRIu64 " at revision %" PRIu64, value,
                 change->revision);
    }
    write->revision = change->revision;
}

void sim_once_refused(struct sim *sim, uint64_t value)
{
    struct sim_write *write = write_of(sim, value);
    if (write->revision != 0) {
        sim_fail(sim, SIM_REFUSED,
                 "a write is refused that was done: value %" PRIu64 " at revision %" PRIu64, value,
                 write->revision);
    }
    write->refused = true;
}

void sim_once_confirmed(struct sim *sim, uint64_t value, uint64_t revision)
{
    const struct sim_write *write = write_of(sim, value);
    if (write->revision != revision) {
        sim_fail(sim, SIM_CONFIRMED,
                 "value %" PRIu64 " is confirmed at revision %" PRIu64
                 ", and was written at %" PRIu64,
                 value, revision, write->revision);
    }
}

void sim_once_fini(struct sim *sim)
{
    if (sim->once) {
        tt_free(sim->once->writes);
        tt_free(TT_TAKE(sim->once));
    }
}
