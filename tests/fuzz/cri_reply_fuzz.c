/* What a container runtime sends: any bytes as any reply are refused or decoded within the arena's
 * bound, and what was decoded can be encoded again. */
#include "agent/cri.h"
#include "base/mem.h"
#include "proto/cri.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &tutti__cri__list_pod_sandbox_response__descriptor,
        &tutti__cri__list_containers_response__descriptor,
        &tutti__cri__container_status_response__descriptor,
        &tutti__cri__pod_sandbox_status_response__descriptor,
        &tutti__cri__exec_sync_response__descriptor,
        &tutti__cri__image_status_response__descriptor,
        &tutti__cri__version_response__descriptor,
    };
    if (size == 0) {
        return 0;
    }
    const ProtobufCMessageDescriptor *type = types[data[0] % (sizeof types / sizeof types[0])];
    TT_AUTO(tt_arena) arena = tt_arena_new(4096, 1 << 20);
    const ProtobufCMessage *message =
        cri_decode(type, tt_str((const char *)data + 1, size - 1), arena);
    if (message != NULL) {
        size_t packed = protobuf_c_message_get_packed_size(message);
        uint8_t *out = tt_xmalloc(packed + 1);
        TT_ASSERT(protobuf_c_message_pack(message, out) == packed);
        tt_free(out);
    }
    return 0;
}
