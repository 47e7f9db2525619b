/* gRPC calls over tt_http_client: unary and server streaming.
 *
 * Success is grpc-status 0 in the trailers and nothing else; a stream that ends without it is
 * TT_ECLOSED. Messages arrive whole, reassembled across DATA frames, never compressed.
 * Ownership: the call is the caller's until done. Thread: that of the loop. Errors: the gRPC code
 * is in status; done's err carries the tutti code nearest to it (NOT_FOUND → TT_ENOTFOUND …) and
 * the peer's message. Source: gRPC over HTTP2 protocol description (requests, responses, status
 * codes). */
#ifndef API_HTTP_GRPC_H
#define API_HTTP_GRPC_H

#include "api/http/client.h"

enum tt_grpc_status {
    TT_GRPC_OK = 0,
    TT_GRPC_CANCELLED = 1,
    TT_GRPC_UNKNOWN = 2,
    TT_GRPC_INVALID_ARGUMENT = 3,
    TT_GRPC_DEADLINE_EXCEEDED = 4,
    TT_GRPC_NOT_FOUND = 5,
    TT_GRPC_ALREADY_EXISTS = 6,
    TT_GRPC_PERMISSION_DENIED = 7,
    TT_GRPC_RESOURCE_EXHAUSTED = 8,
    TT_GRPC_FAILED_PRECONDITION = 9,
    TT_GRPC_ABORTED = 10,
    TT_GRPC_OUT_OF_RANGE = 11,
    TT_GRPC_UNIMPLEMENTED = 12,
    TT_GRPC_INTERNAL = 13,
    TT_GRPC_UNAVAILABLE = 14,
    TT_GRPC_DATA_LOSS = 15,
    TT_GRPC_UNAUTHENTICATED = 16
};
enum { TT_GRPC_TEXT_SIZE = 512 };

struct tt_grpc_call {
    /* Set before start. */
    const char *path;        /* "/runtime.v1.RuntimeService/Version", static */
    uint64_t timeout_ms;     /* also sent as grpc-timeout; 0 = none */
    size_t message_size_max; /* of one answer; 0 = 16 MiB */
    /* Each message, borrowed until return (protobuf bytes). NULL: unary, see reply. */
    void (*message)(struct tt_grpc_call *call, struct tt_str bytes);
    void (*done)(struct tt_grpc_call *call, const struct tt_err *err); /* err NULL: status 0 */
    void *ctx;                                                         /* the user's */
    /* Answer. */
    int status;                   /* enum tt_grpc_status; -1 when none arrived */
    char text[TT_GRPC_TEXT_SIZE]; /* grpc-message, decoded */
    struct tt_str reply;          /* unary: the message, inside done only */
    /* The codec's. */
    struct tt_http_call http;
    struct tt_buf request;            /* 5-byte prefix and the message */
    struct tt_buf in;                 /* bytes of messages not yet whole */
    struct tt_http_header headers[3]; /* of http */
    char timeout_text[24];            /* of grpc-timeout: digits and "m" */
    int broken;                       /* a TT_E… found while decoding; 0 */
};
/* message is copied. Failure: done is not called. */
int tt_grpc_start(struct tt_http_client *client, struct tt_grpc_call *call, struct tt_str message,
                  struct tt_err *err) TT_MUST_USE;
void tt_grpc_cancel(struct tt_grpc_call *call);
const char *tt_grpc_status_name(int status);

#endif
