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
    char host[128];      /* numeric */
    uint16_t port;       /* TCP */
    const char *request; /* whole HTTP/1.1 request; NULL: connecting is enough */
    size_t request_size; /* bytes of request */
    uint64_t timeout_ms; /* from connecting to the end of the status line */
    /* Once, as the last thing: it may free the probe. */
    void (*done)(struct probe *probe, bool ok, const char *message);
    void *ctx; /* the caller's, for done */
    /* The probe's. */
    uv_tcp_t tcp;
    uv_connect_t connect;  /* request on tcp */
    uv_write_t write;      /* request on tcp; of the HTTP request */
    struct tt_timer timer; /* fires after timeout_ms */
    char answer[512];      /* the beginning of it: the status line is enough */
    size_t answer_size;    /* bytes in answer */
    char message[128];     /* why it failed; no matter when ok */
    bool ok;               /* the result; set with is_ending */
    bool is_ending;        /* decided: the handles are being closed */
    int open;              /* handles */
};
void probe_start(struct probe *probe, struct tt_loop *loop);
void probe_cancel(struct probe *probe);
/* "HTTP/1.1 204 …" → 204; 0: no status line. */
unsigned probe_http_status(struct tt_str answer);

#endif
