/* One look at a container over the network: does the port answer, does the path say 200-399?
 *
 * Ownership: a probe is the caller's until done; strings are borrowed until then. Thread: that of
 * the loop. Errors: none: every failure is "not ok" with a message. done is never called inside
 * start; cancel makes it come soon. Source: Kubernetes API, Probe. */
#ifndef AGENT_PROBE_H
#define AGENT_PROBE_H

#include "base/buf.h"
#include "base/loop.h"
#include "base/mem.h"

struct probe {
    /* Set before start. */
    char host[128]; /* numeric */
    uint16_t port;
    const char *request; /* whole HTTP/1.1 request; NULL: connecting is enough */
    size_t request_size;
    uint64_t timeout_ms;
    void (*done)(struct probe *probe, bool ok, const char *message);
    void *ctx;
    /* The probe's. */
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct tt_timer timer;
    char answer[512]; /* the beginning of it: the status line is enough */
    size_t answer_size;
    char message[128];
    bool ok;
    bool is_ending;
    int open; /* handles */
};
void probe_start(struct probe *probe, struct tt_loop *loop);
void probe_cancel(struct probe *probe);
/* "HTTP/1.1 204 …" → 204; 0: no status line. */
unsigned probe_http_status(struct tt_str answer);

#endif
