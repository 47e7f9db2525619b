/* A brake for long work in the background: between its pieces the worker rests, so that the work
 * takes a share of the time and leaves the rest to whoever answers people. (Nice values hold back
 * only within one session or service; this holds back everywhere.)
 *
 * What a piece cost the worker says: time on a core where the core is what others want, time that
 * passed where it is the disk.
 *
 * Ownership: the maker frees it, after the workers are done with it. Thread: any; workers that
 * share one rest each for itself. Errors: none. */
#ifndef BASE_PACE_H
#define BASE_PACE_H

#include "base/clock.h"
#include "base/mem.h"

enum { TT_PACE_PAUSE_MS_MAX = 100 }; /* one rest, whatever the piece cost */

struct tt_pace;
struct tt_pace *tt_pace_new(unsigned share_percent); /* 1 to 100 */
void tt_pace_free(struct tt_pace *pace);
/* Takes effect with the next rest. */
void tt_pace_set_share(struct tt_pace *pace, unsigned share_percent);
/* Ends a rest under way; from then on tt_pace_rest says false. */
void tt_pace_cancel(struct tt_pace *pace);
/* After each piece: rests as long as the share asks. False: cancelled, give up. */
bool tt_pace_rest(struct tt_pace *pace, uint64_t worked_ns) TT_MUST_USE;

/* The pure part: ns of rest due after worked_ns of work. */
uint64_t tt_pace_pause_ns(uint64_t worked_ns, unsigned share_percent);

#endif
