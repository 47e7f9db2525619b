/* A brake for long work in the background: between its pieces the worker rests, so that the work
 * takes a share of one core's time and leaves the rest to whoever answers people. (Nice values hold
 * back only within one session or service; this holds back everywhere.)
 *
 * What counts as work is the time that passed since the last rest, waiting for a core included: on
 * a busy machine the work steps back further by itself.
 *
 * Ownership: the maker frees it, after the worker is done with it. Thread: tt_pace_rest by one
 * worker at a time, the others by any. Errors: none. */
#ifndef BASE_PACE_H
#define BASE_PACE_H

#include "base/clock.h"
#include "base/mem.h"

enum { TT_PACE_PAUSE_MS_MAX = 100 }; /* one rest, however long the piece took */

struct tt_pace;
struct tt_pace *tt_pace_new(unsigned share_percent); /* 1 to 100 of one core */
void tt_pace_free(struct tt_pace *pace);
/* Takes effect with the next rest. */
void tt_pace_set_share(struct tt_pace *pace, unsigned share_percent);
/* Ends a rest under way; from then on tt_pace_rest says false. */
void tt_pace_cancel(struct tt_pace *pace);
/* The next piece begins now: what passed before is not counted. */
void tt_pace_begin(struct tt_pace *pace);
/* After each piece: rests as long as the share asks. False: cancelled, give up. */
bool tt_pace_rest(struct tt_pace *pace) TT_MUST_USE;

/* The pure part: ns of rest due after worked_ns of work. */
uint64_t tt_pace_pause_ns(uint64_t worked_ns, unsigned share_percent);

#endif
