/* A connected byte stream behind a small vtable, so that one HTTP/2 client session runs over TLS
 * (another server, etcd) and over a plain unix socket (containerd).
 *
 * Ownership: the stream frees itself after `closed` returned. Thread: that of the loop.
 * Errors: delivered once, through `closed`; never inside the connecting call. */
#ifndef API_HTTP_BYTE_STREAM_H
#define API_HTTP_BYTE_STREAM_H

#include "base/loop.h"
#include "base/str.h"

struct tt_tls_context; /* server/tls/context.h */
struct tt_byte_stream;

struct tt_byte_stream_events {
    void (*opened)(void *ctx);                           /* connected, TLS done */
    void (*data)(void *ctx, struct tt_str bytes);        /* borrowed until return */
    void (*writable)(void *ctx);                         /* the queue went down */
    void (*closed)(void *ctx, const struct tt_err *err); /* NULL: clean end. Last call. */
};
struct tt_byte_stream_ops {
    /* Queues a copy; TT_EBUSY: nothing was taken. */
    int (*write)(struct tt_byte_stream *stream, struct tt_str bytes);
    size_t (*queued)(const struct tt_byte_stream *stream); /* bytes not yet with the kernel */
    void (*flush)(struct tt_byte_stream *stream);          /* hand queued bytes to the kernel */
    void (*close)(struct tt_byte_stream *stream);          /* flush what fits, end, then closed */
    void (*abort)(struct tt_byte_stream *stream);          /* drop, then closed */
};
struct tt_byte_stream {
    const struct tt_byte_stream_ops *ops; /* static: TLS or unix socket */
};
struct tt_byte_stream_config {
    struct tt_loop *loop;        /* keeps */
    struct tt_tls_context *tls;  /* NULL: unix_path is used, in the clear */
    const char *host;            /* TLS: numeric address or name */
    uint16_t port;               /* TLS: of TCP */
    const char *server_name;     /* TLS: expected SPIFFE URI or name; NULL = any of the CA */
    const char *alpn;            /* TLS: the protocol that must be agreed; NULL = any */
    const char *unix_path;       /* path of a socket */
    size_t write_queue_max;      /* bytes */
    uint64_t connect_timeout_ms; /* until opened; 0 = 10 s */
    struct tt_byte_stream_events events; /* copied; all four are set */
    void *ctx;                           /* of events; kept */
};
/* All strings are copied or used up before it returns. */
int tt_byte_stream_connect(const struct tt_byte_stream_config *config,
                           struct tt_byte_stream **ret_stream, struct tt_err *err) TT_MUST_USE;

#endif
