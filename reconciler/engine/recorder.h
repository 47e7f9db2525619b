/* The server's recorder of Events: notes of passes become Events in the store, through the ordinary
 * proposal path, a moment later and a batch at a time.
 *
 * One commit is out at a time; Events of a namespace that is gone or going are dropped. Nothing
 * ever waits for it: what is too much or cannot be committed is dropped and counted.
 * Ownership: keeps everything in the config. Thread: that of the loop, but tt_recorder_stats, which
 * any thread may call. Errors: none. */
#ifndef RECONCILER_ENGINE_RECORDER_H
#define RECONCILER_ENGINE_RECORDER_H

#include "api/kinds/event_book.h"
#include "api/kinds/registry.h"
#include "base/clock.h"
#include "base/loop.h"
#include "server/store/proposer.h"
#include "server/store/store.h"

struct tt_pass;
struct tt_recorder;
struct tt_recorder_config {
    struct tt_loop *loop;         /* keeps, as the others */
    struct tt_store *store;       /* where namespaces and written Events are looked up */
    struct tt_proposer *proposer; /* commits the batches */
    struct tt_registry *registry; /* the kinds, asked anew for each batch */
    const struct tt_clock *clock; /* of the passes that write */
    struct tt_str actor;          /* SPIFFE identity that commits; keeps the bytes */
    uint64_t seed;                /* of the Events' names */
};
struct tt_recorder *tt_recorder_new(const struct tt_recorder_config *config);
void tt_recorder_free(struct tt_recorder *recorder);  /* after the loop ended; NULL is fine */
void tt_recorder_start(struct tt_recorder *recorder); /* on the loop */
void tt_recorder_stop(struct tt_recorder *recorder);  /* on the loop: its timer ends */
/* Takes over what a pass noted. */
void tt_recorder_take(struct tt_recorder *recorder, const struct tt_pass *pass);
struct tt_event_stats tt_recorder_stats(const struct tt_recorder *recorder);
/* Plans the write of one Event; *ret_is_planned is false when there is no namespace for it. The
 * component's tests use it without a loop. */
int tt_recorder_plan(struct tt_pass *pass, const struct tt_event_book *book,
                     const struct tt_event *event, bool *ret_is_planned,
                     struct tt_err *err) TT_MUST_USE;

#endif
