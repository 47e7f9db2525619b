/* Counters of one worker, and their Prometheus text.
 *
 * Ownership: plain struct in the worker. Thread: the worker's; summed by a message that visits
 * every worker (health.c). Errors: those of the buffer. */
#ifndef API_ROUTES_METRICS_H
#define API_ROUTES_METRICS_H

#include "base/buf.h"

enum {
    API_METRIC_VERBS = 9,   /* enum tt_verb, then "other" */
    API_METRIC_CLASSES = 6, /* 1xx … 5xx by hundreds, 0 = client went away */
    API_METRIC_BUCKETS = 12,
};
struct api_metrics {
    uint64_t requests[API_METRIC_VERBS][API_METRIC_CLASSES];            /* ended */
    uint64_t duration_bucket[API_METRIC_VERBS][API_METRIC_BUCKETS + 1]; /* last: +Inf */
    uint64_t duration_sum_us[API_METRIC_VERBS]; /* of all requests of the verb */
    uint64_t conflicts;                         /* admitted again after a failed compare */
    uint64_t read_index;                        /* read operations submitted */
    uint64_t watches;                           /* open now */
    uint64_t events;                            /* watch events sent */
    uint64_t denied;                            /* authorisation failures */
};
void api_metrics_count(struct api_metrics *metrics, unsigned verb, int http_status,
                       uint64_t duration_us);
void api_metrics_add(struct api_metrics *sum, const struct api_metrics *other);
void api_metrics_write(struct tt_buf *buf, const struct api_metrics *metrics);

#endif
