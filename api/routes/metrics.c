/* Happy path: one increment per request and bucket; the text is written when it is asked for. */
#include "api/routes/metrics.h"

#include <inttypes.h>

#include "api/auth/auth.h"

static const uint64_t bucket_us[API_METRIC_BUCKETS] = {
    250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 500000, 2500000, 10000000};
static const char *const bucket_text[API_METRIC_BUCKETS] = {"0.00025", "0.0005", "0.001", "0.0025",
                                                            "0.005",   "0.01",   "0.025", "0.05",
                                                            "0.1",     "0.5",    "2.5",   "10"};

_Static_assert(API_METRIC_VERBS == TT_VERB_COUNT + 1, "a row per verb and one for other routes");

void api_metrics_count(struct api_metrics *metrics, unsigned verb, int http_status,
                       uint64_t duration_us)
{
    TT_ASSERT(verb < API_METRIC_VERBS);
    unsigned class = http_status >= 100 && http_status < 600 ? (unsigned)http_status / 100 : 0;
    metrics->requests[verb][class]++;
    unsigned bucket = 0;
    while (bucket < API_METRIC_BUCKETS && duration_us > bucket_us[bucket]) {
        bucket++;
    }
    metrics->duration_bucket[verb][bucket]++;
    metrics->duration_sum_us[verb] += duration_us;
}

void api_metrics_add(struct api_metrics *sum, const struct api_metrics *other)
{
    for (unsigned verb = 0; verb < API_METRIC_VERBS; verb++) {
        for (unsigned i = 0; i < API_METRIC_CLASSES; i++) {
            sum->requests[verb][i] += other->requests[verb][i];
        }
        for (unsigned i = 0; i <= API_METRIC_BUCKETS; i++) {
            sum->duration_bucket[verb][i] += other->duration_bucket[verb][i];
        }
        sum->duration_sum_us[verb] += other->duration_sum_us[verb];
    }
    sum->conflicts += other->conflicts;
    sum->read_index += other->read_index;
    sum->watches += other->watches;
    sum->events += other->events;
    sum->denied += other->denied;
}

static const char *verb_text(unsigned verb)
{
    return verb < TT_VERB_COUNT ? tt_verb_name((enum tt_verb)verb) : "other";
}

static void write_requests(struct tt_buf *buf, const struct api_metrics *metrics)
{
    tt_buf_c(buf, "# HELP tutti_api_requests_total Requests answered, by verb and class of status "
                  "(0: the client went away).\n"
                  "# TYPE tutti_api_requests_total counter\n");
    for (unsigned verb = 0; verb < API_METRIC_VERBS; verb++) {
        for (unsigned i = 0; i < API_METRIC_CLASSES; i++) {
            if (metrics->requests[verb][i] > 0) {
                tt_buf_printf(buf,
                              "tutti_api_requests_total{verb=\"%s\",code=\"%u%s\"} %" PRIu64 "\n",
                              verb_text(verb), i, i > 0 ? "xx" : "", metrics->requests[verb][i]);
            }
        }
    }
}

static void write_durations(struct tt_buf *buf, const struct api_metrics *metrics)
{
    tt_buf_c(buf, "# HELP tutti_api_request_duration_seconds From the whole request to the "
                  "answer; watches until they end.\n"
                  "# TYPE tutti_api_request_duration_seconds histogram\n");
    for (unsigned verb = 0; verb < API_METRIC_VERBS; verb++) {
        uint64_t count = 0;
        const char *name = verb_text(verb);
        for (unsigned i = 0; i < API_METRIC_BUCKETS; i++) {
            count += metrics->duration_bucket[verb][i];
            tt_buf_printf(buf,
                          "tutti_api_request_duration_seconds_bucket{verb=\"%s\",le=\"%s\"} "
                          "%" PRIu64 "\n",
                          name, bucket_text[i], count);
        }
        count += metrics->duration_bucket[verb][API_METRIC_BUCKETS];
        uint64_t sum = metrics->duration_sum_us[verb];
        tt_buf_printf(buf,
                      "tutti_api_request_duration_seconds_bucket{verb=\"%s\",le=\"+Inf\"} %" PRIu64
                      "\ntutti_api_request_duration_seconds_sum{verb=\"%s\"} %" PRIu64 ".%06" PRIu64
                      "\ntutti_api_request_duration_seconds_count{verb=\"%s\"} %" PRIu64 "\n",
                      name, count, name, sum / 1000000, sum % 1000000, name, count);
    }
}

static void write_one(struct tt_buf *buf, const char *name, const char *type, const char *help,
                      uint64_t value)
{
    tt_buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", name, help, name, type, name,
                  value);
}

void api_metrics_write(struct tt_buf *buf, const struct api_metrics *metrics)
{
    write_requests(buf, metrics);
    write_durations(buf, metrics);
    write_one(buf, "tutti_api_admission_conflicts_total", "counter",
              "Writes admitted again because a row they relied on had changed.",
              metrics->conflicts);
    write_one(buf, "tutti_api_read_index_total", "counter",
              "Linearizable read operations; one serves every read of a loop turn.",
              metrics->read_index);
    write_one(buf, "tutti_api_watches", "gauge", "Open watches.", metrics->watches);
    write_one(buf, "tutti_api_watch_events_total", "counter", "Watch events sent.",
              metrics->events);
    write_one(buf, "tutti_api_denied_total", "counter", "Requests refused by the authoriser.",
              metrics->denied);
}
