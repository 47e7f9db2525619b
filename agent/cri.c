/* A reply is decoded into an arena, so that a hostile or broken runtime can cost no more memory
 * than the arena's maximum and nothing has to be freed field by field. */
#include "agent/cri.h"

#include "base/mem.h"

enum {
    REQUEST_SIZE_MAX = 1 << 20,
    REPLY_SIZE_MAX = 16 << 20,
    ARENA_CHUNK = 8 << 10,
    ARENA_MAX = 64 << 20,
};

static void *arena_take(void *ctx, size_t size)
{
    return tt_arena_alloc(ctx, size);
}

static void arena_leave(void *ctx, void *p)
{
    (void)ctx; /* the arena goes as a whole */
    (void)p;
}

ProtobufCMessage *cri_decode(const ProtobufCMessageDescriptor *type, struct tt_str bytes,
                             struct tt_arena *arena)
{
    ProtobufCAllocator allocator = {
        .alloc = arena_take, .free = arena_leave, .allocator_data = arena};
    return protobuf_c_message_unpack(type, &allocator, bytes.len, (const uint8_t *)bytes.ptr);
}

static void grpc_done(struct tt_grpc_call *grpc, const struct tt_err *err)
{
    struct cri_call *call = grpc->ctx;
    struct tt_err own;
    tt_err_init(&own);
    if (err == NULL) {
        call->arena = tt_arena_new(ARENA_CHUNK, ARENA_MAX);
        call->reply = cri_decode(call->reply_type, grpc->reply, call->arena);
        if (call->reply == NULL) {
            (void)TT_FAIL(&own, TT_EPROTO, "%s: the answer is no %s", grpc->path,
                          call->reply_type->name);
            err = &own;
        }
    }
    call->done(call, err);
}

int cri_call_start(struct tt_http_client *client, struct cri_call *call, const char *path,
                   const ProtobufCMessage *request, uint64_t timeout_ms, struct tt_err *err)
{
    TT_AUTO_BUF struct tt_buf bytes;
    tt_buf_init(&bytes, REQUEST_SIZE_MAX);
    size_t size = protobuf_c_message_get_packed_size(request);
    char *out = tt_buf_reserve(&bytes, size);
    if (out == NULL) {
        return TT_FAIL(err, TT_ETOOLARGE, "%s: a request of %zu bytes", path, size);
    }
    bytes.len = protobuf_c_message_pack(request, (uint8_t *)out);
    TT_ASSERT(bytes.len == size);
    call->grpc = (struct tt_grpc_call){.path = path,
                                       .timeout_ms = timeout_ms,
                                       .message_size_max = REPLY_SIZE_MAX,
                                       .done = grpc_done,
                                       .ctx = call};
    call->arena = NULL;
    call->reply = NULL;
    return tt_grpc_start(client, &call->grpc, tt_buf_view(&bytes), err);
}

void cri_call_fini(struct cri_call *call)
{
    tt_arena_free(call->arena);
    call->arena = NULL;
    call->reply = NULL;
}
