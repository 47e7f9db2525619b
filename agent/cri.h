/* Single calls of the Container Runtime Interface over a unix socket: encode, send, decode.
 *
 * Ownership: a call is the caller's until done; request messages are borrowed until start returns;
 * the reply lives in the call's arena until cri_call_fini. Thread: that of the loop.
 * Errors: as in api/http/grpc.h; a reply that does not decode is TT_EPROTO.
 * Source: CRI API runtime.v1 (field numbers in proto/cri.proto). */
#ifndef AGENT_CRI_H
#define AGENT_CRI_H

#include <protobuf-c/protobuf-c.h>

#include "api/http/grpc.h"

#define CRI_RUNTIME "/runtime.v1.RuntimeService/"
#define CRI_IMAGES  "/runtime.v1.ImageService/"

struct cri_call {
    struct tt_grpc_call grpc; /* filled in by start; its status is for done to read */
    const ProtobufCMessageDescriptor *reply_type; /* set by the caller: what the answer must be */
    struct tt_arena *arena;                       /* of the reply; owned */
    ProtobufCMessage *reply;                      /* NULL when it failed */
    /* Once; err NULL: reply is there. */
    void (*done)(struct cri_call *call, const struct tt_err *err);
    void *ctx; /* the caller's, for done */
};
/* Failure: done is not called. timeout_ms 0: none. */
int cri_call_start(struct tt_http_client *client, struct cri_call *call, const char *path,
                   const ProtobufCMessage *request, uint64_t timeout_ms,
                   struct tt_err *err) TT_MUST_USE;
void cri_call_fini(struct cri_call *call);
/* Decodes untrusted bytes into the arena; NULL when they are no such message or too large. */
ProtobufCMessage *cri_decode(const ProtobufCMessageDescriptor *type, struct tt_str bytes,
                             struct tt_arena *arena) TT_MUST_USE;

#endif
