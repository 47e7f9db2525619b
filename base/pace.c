#include "base/pace.h"

#include <pthread.h>

#include "base/err.h"
#include "base/intmath.h"

/* Happy path: piece → rest (a timed wait) → piece → rest …
 *
 * Failure modes: cancelled while resting → the wait ends at once. A piece that took very long (the
 * process was paused) costs one rest of the maximum only. */

enum { NS_PER_MS = 1000000, NS_PER_S = 1000000000 };

struct tt_pace {
    pthread_mutex_t lock;     /* guards all below */
    pthread_cond_t cancelled; /* signalled by cancel; its clock is the monotonic one */
    bool cancel;              /* set once: no rest takes time any more */
    unsigned share_percent;   /* of the time that is work, not rest; 1 to 100 */
};

struct tt_pace *tt_pace_new(unsigned share_percent)
{
    TT_ASSERT(share_percent >= 1 && share_percent <= 100);
    struct tt_pace *pace = TT_NEW(struct tt_pace);
    pace->share_percent = share_percent;
    pthread_condattr_t attributes;
    int r = pthread_condattr_init(&attributes);
    TT_ASSERT(r == 0);
    r = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    TT_ASSERT(r == 0);
    r = pthread_cond_init(&pace->cancelled, &attributes);
    TT_ASSERT(r == 0);
    (void)pthread_condattr_destroy(&attributes);
    r = pthread_mutex_init(&pace->lock, NULL);
    TT_ASSERT(r == 0);
    return pace;
}

void tt_pace_free(struct tt_pace *pace)
{
    if (pace != NULL) {
        (void)pthread_cond_destroy(&pace->cancelled);
        (void)pthread_mutex_destroy(&pace->lock);
        tt_free(pace);
    }
}

void tt_pace_set_share(struct tt_pace *pace, unsigned share_percent)
{
    TT_ASSERT(share_percent >= 1 && share_percent <= 100);
    pthread_mutex_lock(&pace->lock);
    pace->share_percent = share_percent;
    pthread_mutex_unlock(&pace->lock);
}

void tt_pace_cancel(struct tt_pace *pace)
{
    pthread_mutex_lock(&pace->lock);
    pace->cancel = true;
    pthread_cond_broadcast(&pace->cancelled);
    pthread_mutex_unlock(&pace->lock);
}

uint64_t tt_pace_pause_ns(uint64_t worked_ns, unsigned share_percent)
{
    const uint64_t max_ns = (uint64_t)TT_PACE_PAUSE_MS_MAX * NS_PER_MS;
    uint64_t counted_ns = tt_u64_min(worked_ns, 100 * max_ns); /* no overflow below */
    return tt_u64_min(counted_ns * (100 - share_percent) / share_percent, max_ns);
}

bool tt_pace_rest(struct tt_pace *pace, uint64_t worked_ns)
{
    pthread_mutex_lock(&pace->lock);
    uint64_t now_ns = tt_clock_ns(tt_clock_real());
    uint64_t until_ns = now_ns + tt_pace_pause_ns(worked_ns, pace->share_percent);
    const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                                   .tv_nsec = (long)(until_ns % NS_PER_S)};
    while (!pace->cancel && now_ns < until_ns) {
        (void)pthread_cond_timedwait(&pace->cancelled, &pace->lock, &until); /* see the clock */
        now_ns = tt_clock_ns(tt_clock_real());
    }
    bool go_on = !pace->cancel;
    pthread_mutex_unlock(&pace->lock);
    return go_on;
}
