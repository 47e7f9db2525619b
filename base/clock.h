/* Time. The only place that reads a clock; simulation passes its own struct tt_clock.
 *
 * Monotonic time drives timers and timeouts; wall time only stamps things people read (no
 * correctness depends on it). Ownership: a clock is borrowed by whoever uses it. Thread: the real
 * clock from any; a virtual one from its simulation. Errors: none.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/str.h"

struct tt_clock {
    uint64_t (*monotonic_ns)(void *ctx); /* arbitrary origin, never backwards */
    uint64_t (*wall_ms)(void *ctx);      /* Unix time */
    void *ctx;                           /* passed to both */
};
const struct tt_clock *tt_clock_real(void);
static inline uint64_t tt_clock_ns(const struct tt_clock *c)
{
    return c->monotonic_ns(c->ctx);
}
static inline uint64_t tt_clock_ms(const struct tt_clock *c)
{
    return c->monotonic_ns(c->ctx) / 1000000u;
}
static inline uint64_t tt_clock_wall_ms(const struct tt_clock *c)
{
    return c->wall_ms(c->ctx);
}

/* Time for which the calling thread has had a core: neither waiting for one nor sleeping counts. */
uint64_t tt_clock_thread_ns(void);

enum { TT_TIME_TEXT_SIZE = 40 };
size_t tt_time_format(uint64_t wall_ms,
                      char out[TT_TIME_TEXT_SIZE]); /* "2026-01-02T03:04:05Z" (metav1.Time) */
size_t tt_time_format_micro(uint64_t wall_us,
                            char out[TT_TIME_TEXT_SIZE]); /* "…05.000006Z" (metav1.MicroTime) */
size_t tt_time_format_ms(uint64_t wall_ms, char out[TT_TIME_TEXT_SIZE]); /* "…05.004Z" (logs) */
bool tt_time_parse(struct tt_str rfc3339,
                   uint64_t *ret_wall_ms); /* fractions and offsets accepted */

#endif
